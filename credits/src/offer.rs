//! A guardian's offer: models, prices and tab sizes. `docs/protocol.md` §5.1.

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes32;
use crate::hash::sha256;
use crate::value::{CREDITS_MAX, Credits};

/// Value of [`Offer::version`], and the purpose under which an offer is signed.
pub const OFFER_VERSION: &str = "cloister/offer/v1";

/// What a guardian sells and for how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// [`OFFER_VERSION`].
    pub version: String,
    /// The ledger it takes credits of.
    pub ledger_id: Bytes32,
    /// The verifying key of that ledger's proofs.
    pub vk_digest: Bytes32,
    /// Whom the operator wants credited.
    pub payee: Bytes32,
    /// What is sold.
    pub models: Vec<ModelOffer>,
    /// The reserves a tab may have: powers of two, ascending, so that amounts do not fingerprint.
    pub tiers: Vec<Credits>,
    /// Longest life of a tab.
    pub tab_secs_max: u64,
}

/// One model and its prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelOffer {
    /// The name a request gives in `model`.
    pub id: String,
    /// `sha256:<hex>` of the weights.
    pub weights_digest: String,
    /// Price of one prompt token.
    pub prompt_credits: Credits,
    /// Price of one completion token.
    pub completion_credits: Credits,
    /// Price of a request, whatever its length.
    pub request_credits: Credits,
    /// Longest prompt and completion together, in tokens.
    pub context_tokens_max: u64,
}

/// An offer that cannot be written in canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// A number is above 2^53 − 1, which JSON does not keep exact (protocol §1).
    #[error("{field} is above {CREDITS_MAX}")]
    NumberTooLarge {
        /// The member.
        field: &'static str,
    },
}

impl ModelOffer {
    /// `request_credits + prompt_tokens·prompt_credits + completion_tokens·completion_credits` (protocol §5.1), or nothing
    /// when that is above the largest amount of credits.
    pub fn cost(&self, prompt_tokens: u64, completion_tokens: u64) -> Option<Credits> {
        let prompt = self.prompt_credits.checked_mul(prompt_tokens)?;
        let completion = self.completion_credits.checked_mul(completion_tokens)?;
        self.request_credits.checked_add(prompt)?.checked_add(completion)
    }
}

impl Offer {
    /// The model of that name.
    pub fn model(&self, id: &str) -> Option<&ModelOffer> {
        self.models.iter().find(|model| model.id == id)
    }

    /// `price_sheet_digest` = SHA-256(JCS(offer)).
    pub fn price_sheet_digest(&self) -> Result<Bytes32, OfferError> {
        Ok(sha256(self.to_jcs()?.as_bytes()))
    }

    /// The RFC 8785 form. The members of our one shape are written in the sorted order JCS asks for, so no general
    /// canonicaliser is needed; strings are escaped by `serde_json`, which escapes exactly what JCS escapes.
    fn to_jcs(&self) -> Result<String, OfferError> {
        let models: Vec<String> = self.models.iter().map(ModelOffer::to_jcs).collect::<Result<_, _>>()?;
        let tiers: Vec<String> = self.tiers.iter().map(Credits::to_string).collect();
        Ok(format!(
            r#"{{"ledger_id":"{}","models":[{}],"payee":"{}","tab_secs_max":{},"tiers":[{}],"version":{},"vk_digest":"{}"}}"#,
            self.ledger_id,
            models.join(","),
            self.payee,
            exact("tab_secs_max", self.tab_secs_max)?,
            tiers.join(","),
            json_string(&self.version),
            self.vk_digest,
        ))
    }
}

impl ModelOffer {
    fn to_jcs(&self) -> Result<String, OfferError> {
        Ok(format!(
            r#"{{"completion_credits":{},"context_tokens_max":{},"id":{},"prompt_credits":{},"request_credits":{},"weights_digest":{}}}"#,
            self.completion_credits,
            exact("context_tokens_max", self.context_tokens_max)?,
            json_string(&self.id),
            self.prompt_credits,
            self.request_credits,
            json_string(&self.weights_digest),
        ))
    }
}

fn exact(field: &'static str, number: u64) -> Result<u64, OfferError> {
    if number > CREDITS_MAX { Err(OfferError::NumberTooLarge { field }) } else { Ok(number) }
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credits(value: u64) -> Credits {
        Credits::new(value).unwrap()
    }

    fn offer() -> Offer {
        Offer {
            version: OFFER_VERSION.to_owned(),
            ledger_id: Bytes32([1; 32]),
            vk_digest: Bytes32([2; 32]),
            payee: Bytes32([3; 32]),
            models: vec![ModelOffer {
                id: "tiny \"é\"\n".to_owned(),
                weights_digest: format!("sha256:{}", "ab".repeat(32)),
                prompt_credits: credits(2),
                completion_credits: credits(6),
                request_credits: credits(10),
                context_tokens_max: 4096,
            }],
            tiers: vec![credits(1024), credits(4096)],
            tab_secs_max: 3600,
        }
    }

    /// The canonical form is what a sorted map serialises to: written in another way, member order comes from the map.
    #[test]
    fn jcs_is_the_sorted_compact_form_and_has_every_member() {
        fn sorted(value: &serde_json::Value) -> String {
            match value {
                serde_json::Value::Object(members) => {
                    let members: std::collections::BTreeMap<_, _> = members.iter().collect();
                    let parts: Vec<_> =
                        members.iter().map(|(k, v)| format!("{}:{}", json_string(k), sorted(v))).collect();
                    format!("{{{}}}", parts.join(","))
                }
                serde_json::Value::Array(items) => {
                    format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(","))
                }
                other => other.to_string(),
            }
        }
        let offer = offer();
        assert_eq!(offer.to_jcs().unwrap(), sorted(&serde_json::to_value(&offer).unwrap()));
    }

    /// Computed apart: `hashlib.sha256(json.dumps(offer, sort_keys=True, separators=(",",":"), ensure_ascii=False))`.
    #[test]
    fn digest_vector() {
        let digest = offer().price_sheet_digest().unwrap();
        assert_eq!(digest.to_string(), "eab31cd27d15e6f1ef5e1fc2f5eb3a0bd8e86edda0449852a900d1961ce9b90d");
    }

    #[test]
    fn cost_is_linear_and_never_wraps() {
        let model = &offer().models[0];
        assert_eq!(model.cost(0, 0), Some(credits(10)));
        assert_eq!(model.cost(7, 3), Some(credits(10 + 14 + 18)));
        assert_eq!(model.cost(u64::MAX, 0), None);
        assert_eq!(model.cost(0, CREDITS_MAX), None);
    }

    #[test]
    fn numbers_json_does_not_keep_are_refused() {
        let offer = Offer { tab_secs_max: CREDITS_MAX + 1, ..offer() };
        assert_eq!(offer.price_sheet_digest(), Err(OfferError::NumberTooLarge { field: "tab_secs_max" }));
    }

    #[test]
    fn unknown_members_are_refused() {
        let mut json = serde_json::to_value(offer()).unwrap();
        json["surprise"] = true.into();
        assert!(serde_json::from_value::<Offer>(json).is_err());
    }
}
