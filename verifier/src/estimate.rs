//! What a request can cost at most, read from its body before it is sent.
//!
//! Decides: how much to reserve. Trusts on entry: the caller's own request and a verified offer. Holds on exit: an upper bound
//! under the assumption that a token is at least one byte of the body, plus what a chat template adds. The node meters; this
//! only picks a tier, so a wrong bound costs a second try, never money.

use credits::Credits;
use credits::offer::Offer;
use serde::Deserialize;

/// Tokens a chat template may add to what is in the body; per message it adds less than the JSON around the message has bytes.
const TEMPLATE_TOKENS: u64 = 256;
/// Completion tokens reckoned with when the body names no maximum; a node then gives what the tab can pay.
const COMPLETION_TOKENS_ASSUMED: u64 = 512;
/// Bytes of a body that is like most.
const BODY_BYTES_USUAL: u64 = 1024;

/// What matters about a request for paying it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestShape {
    /// The model asked for.
    pub model: String,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Most completion tokens over all choices, when the body says so.
    pub completion_tokens_max: Option<u64>,
    per_choice_max: Option<u64>,
    choices: u64,
    body_len: u64,
}

/// Why a body is not a request for inference.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The body is not a JSON object with the expected members.
    #[error("the body is not a request for a completion: {detail}")]
    Malformed {
        /// What is wrong; never contains the body.
        detail: String,
    },
}

#[derive(Deserialize)]
struct Members {
    model: String,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    max_completion_tokens: Option<u64>,
    #[serde(default)]
    max_output_tokens: Option<u64>,
    #[serde(default)]
    n: Option<u64>,
}

impl RequestShape {
    /// Reads the few members that matter; everything else is the node's business.
    ///
    /// # Errors
    /// When the body is not a JSON object, names no model, or one of these members has the wrong type.
    pub fn of(path: &str, body: &[u8]) -> Result<Self, ShapeError> {
        // The parser's message can quote a value of the body, so only its position is passed on.
        let members: Members = serde_json::from_slice(body).map_err(|error| ShapeError::Malformed {
            detail: format!("line {}, column {}: {}", error.line(), error.column(), kind(&error)),
        })?;
        // Vectors are made of no tokens.
        let makes_nothing = path == "/v1/embeddings";
        let asked = members.max_completion_tokens.or(members.max_tokens).or(members.max_output_tokens);
        let per_choice_max = if makes_nothing { Some(0) } else { asked };
        let choices = members.n.unwrap_or(1).max(1);
        Ok(Self {
            model: members.model,
            stream: members.stream.unwrap_or(false),
            completion_tokens_max: per_choice_max.map(|tokens| tokens.saturating_mul(choices)),
            per_choice_max,
            choices,
            body_len: u64::try_from(body.len()).unwrap_or(u64::MAX),
        })
    }

    /// The most the request can cost under an offer; nothing when the model is not offered or the number is absurd.
    #[must_use]
    pub fn cost_max(&self, offer: &Offer) -> Option<Credits> {
        let model = offer.model(&self.model)?;
        let prompt = self.body_len.saturating_add(TEMPLATE_TOKENS);
        let per_choice = self.per_choice_max.unwrap_or(COMPLETION_TOKENS_ASSUMED).min(model.context_tokens_max);
        model.cost(prompt, per_choice.saturating_mul(self.choices))
    }
}

/// What a request costs at most of which nothing is known but that it is like most.
#[must_use]
pub fn usual_cost(offer: &Offer) -> Option<Credits> {
    let prompt = BODY_BYTES_USUAL.saturating_add(TEMPLATE_TOKENS);
    offer.models.first().and_then(|model| model.cost(prompt, COMPLETION_TOKENS_ASSUMED.min(model.context_tokens_max)))
}

fn kind(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Data => "a member is missing or has the wrong type",
        serde_json::error::Category::Eof => "it ends early",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "it is not JSON",
    }
}

/// The tiers to try, best first: the smallest that holds `wish`, then smaller ones that still hold `need`. When no tier holds
/// `need`, the largest is all there is.
#[must_use]
pub fn tiers_to_try(tiers: &[Credits], need: Credits, wish: Credits) -> Vec<Credits> {
    let mut sorted = tiers.to_vec();
    sorted.sort_unstable();
    let Some(largest) = sorted.last().copied() else {
        return Vec::new();
    };
    let top = sorted.iter().copied().find(|tier| *tier >= wish.max(need)).unwrap_or(largest);
    let floor = need.min(largest);
    sorted.into_iter().rev().filter(|tier| (floor..=top).contains(tier)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use credits::Bytes32;
    use credits::offer::ModelOffer;

    const CHAT: &str = "/v1/chat/completions";

    fn credits(value: u64) -> Credits {
        Credits::new(value).unwrap()
    }

    fn offer() -> Offer {
        Offer {
            version: "cloister/offer/v1".to_owned(),
            ledger_id: Bytes32::default(),
            vk_digest: Bytes32::default(),
            payee: Bytes32::default(),
            models: vec![ModelOffer {
                id: "tiny".to_owned(),
                weights_digest: String::new(),
                prompt_credits: credits(1),
                completion_credits: credits(2),
                request_credits: credits(10),
                context_tokens_max: 1000,
            }],
            tiers: [64, 256, 1024, 4096].map(credits).to_vec(),
            tab_secs_max: 60,
        }
    }

    #[test]
    fn cost_is_bounded_by_body_and_limits() {
        let body = br#"{"model":"tiny","messages":[{"role":"user","content":"hi"}],"max_tokens":100,"n":2}"#;
        let shape = RequestShape::of(CHAT, body).unwrap();
        assert_eq!(shape.completion_tokens_max, Some(200));
        assert_eq!(shape.cost_max(&offer()), Some(credits(10 + (u64::try_from(body.len()).unwrap() + 256) + 400)));
        let open = RequestShape::of(CHAT, br#"{"model":"tiny","stream":true}"#).unwrap();
        assert!(open.stream);
        assert_eq!(open.cost_max(&offer()), Some(credits(10 + 30 + 256 + 2 * 512)));
        let greedy = RequestShape::of(CHAT, br#"{"model":"tiny","max_tokens":9999}"#).unwrap();
        assert_eq!(greedy.cost_max(&offer()), Some(credits(10 + 34 + 256 + 2 * 1000)));
        assert_eq!(RequestShape::of(CHAT, br#"{"model":"other"}"#).unwrap().cost_max(&offer()), None);
        let newer = RequestShape::of(CHAT, br#"{"model":"tiny","max_tokens":1,"max_completion_tokens":7}"#).unwrap();
        assert_eq!(newer.completion_tokens_max, Some(7));
    }

    #[test]
    fn an_error_never_quotes_the_body() {
        for body in [
            &b"secret"[..],
            br#"{"model":"secret","n":"secret"}"#,
            br#"{"messages":"secret"}"#,
            b"{\"model\":\"secret",
            b"",
        ] {
            let text = RequestShape::of(CHAT, body).unwrap_err().to_string();
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn tiers_are_tried_from_the_wish_down_to_the_need() {
        let tiers = [64, 256, 1024, 4096].map(credits);
        let try_ =
            |need, wish| tiers_to_try(&tiers, credits(need), credits(wish)).iter().map(|c| c.get()).collect::<Vec<_>>();
        assert_eq!(try_(10, 10), [64]);
        assert_eq!(try_(65, 65), [256]);
        assert_eq!(try_(100, 1000), [1024, 256]);
        assert_eq!(try_(100, 100_000), [4096, 1024, 256]);
        assert_eq!(try_(9000, 9000), [4096], "no tier is enough: the largest is all there is");
        assert_eq!(try_(300, 10), [1024], "a wish below the need is not followed");
        assert!(tiers_to_try(&[], credits(1), credits(1)).is_empty());
    }
}
