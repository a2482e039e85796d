//! Requests that were recorded with an engine alone, sent again with the guardian in front of it: the same status, the same text, the
//! same members but for those that `docs/openai-differences.md` names.
//!
//! A model does not say the same on every processor: they round otherwise, and where two tokens are nearly as likely the text goes
//! another way. Where the text is not the recorded one, the engine of this machine is asked alone, and that is what is compared with.

use std::collections::{BTreeMap, BTreeSet};

use acceptance::payer::Payer;
use acceptance::{EngineKind, World, processes, raw};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};

/// Recordings whose requests are answered otherwise here: with this status and this code.
const OTHERWISE: [(&str, u16, &str); 3] = [
    ("04b_chat_stream_continuous", 400, "request.unknown_parameter"),
    ("11_err_badkey", 200, ""),
    ("17_logprobs_tokenids", 400, "request.unknown_parameter"),
];

#[derive(Debug, Deserialize)]
struct Recording {
    engine: String,
    request: RecordedRequest,
    response: RecordedResponse,
}

#[derive(Debug, Deserialize)]
struct RecordedRequest {
    method: String,
    path: String,
    body: Value,
}

#[derive(Debug, Deserialize)]
struct RecordedResponse {
    status: u16,
    body: Option<Value>,
    events: Option<Vec<Value>>,
}

fn recordings(engine: &str) -> BTreeMap<String, Recording> {
    let files = std::fs::read_dir(processes::repo_root().join("tests/wire")).unwrap().map(|file| file.unwrap().path());
    let read = files.filter(|file| file.extension().is_some_and(|extension| extension == "json")).map(|file| {
        let recording: Recording = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        (file.file_stem().unwrap().to_str().unwrap().to_owned(), recording)
    });
    read.filter(|(_, recording)| recording.engine.starts_with(engine)).collect()
}

/// Names of members that say something, with the way to them; lists count as one.
fn members(value: &Value, way: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
                let way = if way.is_empty() { name.clone() } else { format!("{way}.{name}") };
                members(value, &way, found);
                found.insert(way);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| members(item, way, found)),
        _ => {}
    }
}

fn members_of(values: &[Value]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    values.iter().for_each(|value| members(value, "", &mut found));
    found
}

/// All that was said: text, and names and arguments of tools, in their order.
fn said(values: &[Value]) -> String {
    let mut said = String::new();
    for choice in values.iter().filter_map(|value| value.get("choices")?.as_array()).flatten() {
        for part in ["message", "delta"] {
            said += choice.pointer(&format!("/{part}/content")).and_then(Value::as_str).unwrap_or_default();
            for call in choice.pointer(&format!("/{part}/tool_calls")).and_then(Value::as_array).into_iter().flatten() {
                said += call.pointer("/function/name").and_then(Value::as_str).unwrap_or_default();
                said += call.pointer("/function/arguments").and_then(Value::as_str).unwrap_or_default();
            }
        }
        said += choice.get("text").and_then(Value::as_str).unwrap_or_default();
    }
    for value in values {
        // What was added, and at the end of a response all of it.
        said += value.get("delta").and_then(Value::as_str).unwrap_or_default();
        let whole = value.get("output").or_else(|| value.pointer("/response/output"));
        for part in
            whole.and_then(Value::as_array).into_iter().flatten().filter_map(|item| item.pointer("/content/0/text"))
        {
            said += part.as_str().unwrap_or_default();
        }
    }
    said
}

fn events(body: &[u8]) -> Vec<Value> {
    let data = std::str::from_utf8(body).unwrap().lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| Value::String(data.to_owned()))).collect()
}

impl RecordedResponse {
    /// Its events, or its one object.
    fn values(&self) -> Vec<Value> {
        let one = || vec![self.body.clone().unwrap()];
        self.events.clone().unwrap_or_else(one)
    }
}

/// The events, or the one object, of an answer like the recorded one.
fn parsed(recorded: &RecordedResponse, body: &[u8]) -> Vec<Value> {
    if recorded.events.is_some() { events(body) } else { vec![serde_json::from_slice(body).unwrap()] }
}

/// What the engine of this machine answers to a recorded request when nothing is in front of it.
async fn alone(world: &World, Recording { request, response, .. }: &Recording) -> RecordedResponse {
    let stream = tokio::net::UnixStream::connect(world.engine_socket()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let asked = http::Request::builder().method(request.method.as_str()).uri(&request.path).header("host", "engine");
    let asked = asked.header("content-type", "application/json");
    let answer =
        sender.send_request(asked.body(Full::new(Bytes::from(request.body.to_string()))).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let values = parsed(response, &body);
    let (body, events) =
        if response.events.is_some() { (None, Some(values)) } else { (values.into_iter().next(), None) };
    RecordedResponse { status, body, events }
}

/// What differs between a recorded answer and one of today, in the words of the document.
fn differences(recorded: &RecordedResponse, status: u16, body: &[u8]) -> BTreeSet<String> {
    assert_eq!(status, recorded.status, "{}", String::from_utf8_lossy(body));
    let kind = match (&recorded.events, status) {
        (Some(_), _) => "events",
        (None, 200) => "answers",
        (None, _) => "errors",
    };
    let (recorded, here) = (recorded.values(), parsed(recorded, body));
    assert_eq!(said(&here), said(&recorded));
    for (here, there) in here.iter().zip(&recorded).map(|(here, there)| (vectors(here), vectors(there))) {
        assert_eq!(here.len(), there.len());
        assert!(here.iter().zip(&there).all(|(here, there)| here.len() == there.len() && cosine(here, there) > 0.999));
    }
    assert_eq!(here.last() == Some(&Value::String("[DONE]".to_owned())), recorded.contains(&json!("[DONE]")));
    let names = |events: &[Value]| {
        let mut names: Vec<_> = events.iter().filter_map(|event| event.get("type")).cloned().collect();
        // How many tokens come in one event depends on how busy the machine is.
        names.dedup();
        names
    };
    assert_eq!(names(&here), names(&recorded), "the same events in the same order");
    let (there, here) = (members_of(&recorded), members_of(&here));
    let lacks = only_in(&there, &here).map(|name| format!("{kind} have no `{name}`"));
    let more = only_in(&here, &there).map(|name| format!("{kind} have `{name}`"));
    lacks.chain(more).collect()
}

/// What only `one` has, without what is inside of that.
fn only_in<'a>(one: &'a BTreeSet<String>, other: &'a BTreeSet<String>) -> impl Iterator<Item = &'a String> {
    let inside = |name: &str| name.rsplit_once('.').is_none_or(|(way, _)| other.contains(way));
    one.difference(other).filter(move |name| inside(name))
}

/// Differences from this engine that the document gives a reason for.
fn documented(engine: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(processes::repo_root().join("docs/openai-differences.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let (difference, seen_with) = (cells.next()?, cells.next()?);
        (seen_with == "both" || seen_with == engine).then(|| difference.to_owned())
    });
    rows.collect()
}

/// The vectors of an answer.
fn vectors(answer: &Value) -> Vec<Vec<f32>> {
    let data = answer.get("data").and_then(Value::as_array).into_iter().flatten();
    let bytes = data.filter_map(|item| item.get("embedding")?.as_str()).map(|text| STANDARD.decode(text).unwrap());
    let numbers = |bytes: Vec<u8>| bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    bytes.map(numbers).collect()
}

/// How much two vectors have the same direction: other processors round otherwise.
fn cosine(one: &[f32], other: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
}

/// Sends so many recordings again that are for this kind of node; all that differs.
fn send_again(kind: EngineKind, engine: &str, count: usize) -> BTreeSet<String> {
    let world = World::builder().engine(kind).start().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut recordings = recordings(engine);
    let embeds = kind == EngineKind::VllmEmbeddings;
    recordings.retain(|_, recording| (recording.request.path == "/v1/embeddings") == embeds);
    let mut found = BTreeSet::new();
    runtime.block_on(async {
        let mut payer = Payer::new(&world, 8 * 65_536).await.unwrap();
        let spend = payer.opened(65_536, 3600).await.unwrap();
        for (name, recording) in &recordings {
            let RecordedRequest { method, path, body } = &recording.request;
            let answer = if method == "GET" {
                raw::get(world.guardian_port(), path).await.unwrap()
            } else {
                payer.signed(path, &spend.public.nullifier, &spend.tab_key, name, body).await.unwrap()
            };
            let status = answer.status.as_u16();
            if let Some((_, other, code)) = OTHERWISE.iter().find(|(other, ..)| other == name) {
                assert_eq!((status, answer.code().as_str()), (*other, *code), "{name}");
                found.insert(format!("`{name}`"));
            } else {
                let here = parsed(&recording.response, &answer.body);
                if said(&here) == said(&recording.response.values()) {
                    found.extend(differences(&recording.response, status, &answer.body));
                } else {
                    let alone = alone(&world, recording).await;
                    found.extend(differences(&alone, status, &answer.body));
                }
            }
        }
    });
    assert_eq!(recordings.len(), count);
    found
}

#[test]
fn llama_answers_as_it_was_recorded() {
    assert_eq!(send_again(EngineKind::Light, "llama", 3), documented("llama.cpp"));
}

#[test]
fn vllm_answers_as_it_was_recorded() {
    let mut found = send_again(EngineKind::Vllm, "vllm", 17);
    found.extend(send_again(EngineKind::VllmEmbeddings, "vllm", 1));
    assert_eq!(found, documented("vLLM"));
}
