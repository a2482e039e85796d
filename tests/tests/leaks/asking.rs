//! What is asked, and what the engine makes of it: every request carries its mark, and in each round every failure happens once.

use std::io::Cursor;
use std::time::Duration;

use acceptance::clock::WallClock;
use acceptance::payer::{CHAT, Payer};
use acceptance::raw;
use acceptance::scripted_engine::{Step, answer, finish_chunk, text_chunk, usage_chunk};
use attestation::Clock;
use bhttp::{Message, Mode};
use bytes::Bytes;
use credits::TabKey;
use credits::wallet::PreparedSpend;
use serde_json::{Value, json};

use crate::oblivious;

/// What happens is the same every so many requests: each kind of failure is one in twenty of them.
const ROUND: usize = 20;

/// Endpoints take turns from round to round, so that each has every kind. The last is none of this node's: its model makes text.
const ENDPOINTS: [&str; 5] = [CHAT, "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings"];

/// Those that answer.
const ANSWERING: usize = 4;

/// The prompt, and whether it was asked for without a chat's form.
fn prompt(body: &Value) -> (String, bool) {
    if let Some(prompt) = body["prompt"].as_str() {
        return (prompt.to_owned(), true);
    }
    let content = &body["messages"][0]["content"];
    let text = content.as_str().or_else(|| content[0]["text"].as_str());
    (text.unwrap_or_default().to_owned(), false)
}

/// What the engine does with a marked prompt: mostly it answers with the mark, and in each round it fails in every way once.
pub(super) fn speak(body: &Value) -> Vec<Step> {
    let (prompt, bare) = prompt(body);
    let (mark, kind) = prompt.split_once(' ').unwrap_or((&prompt, ""));
    let piece = |text: &str| {
        if bare { json!({"choices": [{"index": 0, "text": text, "finish_reason": null}]}) } else { text_chunk(text) }
    };
    let finish =
        if bare { json!({"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}) } else { finish_chunk() };
    let said = Step::event(&piece(mark));
    let raw = |text: String| Step::Say(text.into_bytes());
    match kind {
        "dies" => vec![Step::stream_head(), said, raw(format!("data: {{\"choices\": \"{mark}"))],
        "errs" => vec![Step::stream_head(), said, Step::event(&json!({"error": {"message": mark, "code": mark}}))],
        "babbles" => vec![Step::stream_head(), raw(format!("data: {mark}\n\n"))],
        "refuses" => {
            let error = json!({"error": {"message": mark, "type": mark, "param": mark}}).to_string();
            let length = error.len();
            vec![raw(format!("HTTP/1.1 400 Bad\r\ncontent-length: {length}\r\n\r\n{error}"))]
        }
        "garbles" => vec![raw(format!("{mark} {mark}\r\n\r\n"))],
        "stalls" => vec![Step::stream_head(), said, Step::Pause(Duration::from_secs(5)), Step::done()],
        "whole" => {
            let message = json!({"role": "assistant", "content": mark});
            let usage = json!({"prompt_tokens": 10, "completion_tokens": 4});
            let choice = if bare { json!({"text": mark}) } else { json!({"message": message}) };
            let mut choice = choice;
            (choice["index"], choice["finish_reason"]) = (json!(0), json!("stop"));
            acceptance::scripted_engine::plain(&json!({"choices": [choice], "usage": usage}))
        }
        "odd" => {
            let mut odd = piece(mark);
            (odd["choices"][0][mark], odd[mark]) = (json!(mark), json!(mark));
            if !bare {
                odd["choices"][0]["delta"] = json!({mark: mark});
            }
            let rest = [Step::event(&finish), Step::event(&usage_chunk(10, 4)), Step::done()];
            [Step::stream_head(), Step::event(&odd)].into_iter().chain(rest).collect()
        }
        _ if bare => {
            let rest = [said, Step::event(&finish), Step::event(&usage_chunk(10, 1)), Step::done()];
            [Step::stream_head()].into_iter().chain(rest).collect()
        }
        _ => answer(&[mark.to_owned()]),
    }
}

/// A question in the form of its endpoint.
fn question(path: &str, text: &str, stream: bool) -> Value {
    let words = match path {
        "/v1/completions" => json!({"prompt": text, "max_tokens": 16}),
        "/v1/responses" => json!({"input": text, "max_output_tokens": 16}),
        "/v1/embeddings" => return json!({"model": "smollm2-135m", "input": text}),
        _ => json!({"messages": [{"role": "user", "content": text}], "max_tokens": 16}),
    };
    let mut body = words;
    (body["model"], body["stream"]) = (json!("smollm2-135m"), json!(stream));
    body
}

/// Who asks: the payer under a tab, at this port, with keys for envelopes.
pub(super) struct Asker<'a> {
    pub(super) payer: &'a Payer,
    pub(super) spend: &'a PreparedSpend,
    pub(super) port: u16,
    pub(super) envelopes: &'a [u8],
}

/// What came of a request that must be answered: the headers of the answer are in the clear even if it breaks off.
#[derive(Default)]
pub(super) struct Seen {
    /// Answers that broke off.
    pub(super) broken: usize,
    /// Ids of receipts, and idempotency keys.
    pub(super) ids: Vec<String>,
    /// Plain ones that were answered, by endpoint, and those in envelopes.
    pub(super) answered: [usize; ANSWERING + 1],
}

impl Asker<'_> {
    /// The same call in an envelope: status and body of the answer in it.
    async fn sealed(&self, path: &str, id: &str, body: &Value) -> anyhow::Result<(u16, String)> {
        let (body, now) = (body.to_string(), WallClock.now().0);
        let (key, tab) = (&self.spend.tab_key, &self.spend.public.nullifier);
        let headers = credits::sign_request(key, "POST", path, tab, id, body.as_bytes(), now);
        let inner = oblivious::message("POST", path, &headers.pairs(), body.as_bytes(), Mode::KnownLength);
        let client = ohttp::ClientRequest::from_encoded_config_list(self.envelopes)?;
        let (envelope, client) = client.encapsulate(&inner)?;
        let request = http::Request::post("/ohttp").header("content-type", oblivious::WHOLE);
        let answer = raw::send(self.port, request.body(Bytes::from(envelope))?).await?;
        let message = Message::read_bhttp(&mut Cursor::new(client.decapsulate(&answer.body)?))?;
        Ok((oblivious::status(&message), String::from_utf8_lossy(message.content()).into_owned()))
    }

    /// A panic breaks the answer off. Asked again, as clients do, the same request is answered, once, with its mark: the marks do go
    /// through.
    async fn answered(&self, number: usize, path: &str, id: &str, body: &Value, mark: &str, seen: &mut Seen) {
        let in_envelope = number % ROUND == 17;
        for _ in 0..4 {
            let answer = if in_envelope {
                self.sealed(path, id, body).await
            } else {
                let (tab, key) = (&self.spend.public.nullifier, &self.spend.tab_key);
                self.payer.signed(path, tab, key, id, body).await.map(|answer| {
                    seen.ids.extend(answer.headers.get("x-receipt-id").map(|id| id.to_str().unwrap().to_owned()));
                    (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
                })
            };
            match answer {
                Ok((200, text)) => {
                    assert!(text.contains(mark), "request {number}: {text}");
                    let of = if in_envelope { Some(ANSWERING) } else { ENDPOINTS.iter().position(|at| *at == path) };
                    seen.answered[of.unwrap()] += 1;
                    return;
                }
                // The guardian may be busy with what it has not noticed to be over.
                Ok((_, text)) => assert!(text.contains("tab.request_in_flight"), "request {number}: {text}"),
                Err(_) => seen.broken += 1,
            }
        }
        panic!("request {number} is not answered");
    }

    /// One request of the kind that `number` is of. A plain one must be answered.
    pub(super) async fn ask(&self, number: usize, mark: &str, seen: &mut Seen) {
        const KINDS: [&str; 8] = ["dies", "errs", "babbles", "refuses", "garbles", "odd", "whole", "stalls"];
        let (Self { payer, spend, port, .. }, step) = (self, number % ROUND);
        // What is sealed into one envelope is answered at once.
        let kind = if step == 17 { "whole" } else { KINDS.get(step).copied().unwrap_or("") };
        // One request in each round is for what this node does not do.
        let path = if step == 19 { ENDPOINTS[ANSWERING] } else { ENDPOINTS[number / ROUND % ANSWERING] };
        let mut body = question(path, &format!("{mark} {kind}"), kind != "whole");
        let key = TabKey::from_seed(&[9; 32]);
        let id = format!("{mark}id");
        seen.ids.push(id.clone());
        match step {
            8 => body[mark] = json!(mark),
            9 => body["model"] = json!(mark),
            10 => body["messages"] = json!(mark),
            11 => body["stop"] = json!({mark: mark}),
            _ => {}
        }
        let tab = &spend.public.nullifier;
        let call = match step {
            // A stranger's key, a path and headers that are marked, and no JSON.
            12 => payer.signed(path, tab, &key, &id, &body).await.map(drop),
            13 => {
                let headers = [("x-mark", mark), ("cookie", mark)];
                raw::post(*port, &format!("/{mark}"), &headers, mark.to_owned()).await.map(drop)
            }
            // Marked outside of an envelope that is none.
            15 if number % (2 * ROUND) == 15 => {
                raw::post(*port, "/ohttp", &[("x-mark", mark)], mark.to_owned()).await.map(drop)
            }
            14 => raw::post(*port, "/v1/tabs", &[("cloister-tab", mark)], format!("{{\"version\": \"{mark}\"}}"))
                .await
                .map(drop),
            15 => raw::get(*port, &format!("/v1/attestation?nonce={mark}")).await.map(drop),
            7 => {
                // The client leaves in the middle.
                let left = payer.signed(path, tab, &spend.tab_key, &id, &body);
                tokio::time::timeout(Duration::from_millis(150), left).await.map_or(Ok(()), |answer| answer.map(drop))
            }
            6 | 16..=18 => {
                self.answered(number, path, &id, &body, mark, seen).await;
                Ok(())
            }
            _ => payer.signed(path, tab, &spend.tab_key, &id, &body).await.map(|answer| {
                seen.ids.extend(answer.headers.get("x-receipt-id").map(|id| id.to_str().unwrap().to_owned()));
            }),
        };
        // An answer that breaks off is what half of these are about.
        drop(call);
    }
}
