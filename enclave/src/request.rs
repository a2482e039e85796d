//! Bytes → an allow-listed request.
//!
//! On entry the bytes are hostile. On exit every member is one we know, has the right shape, and is either forwarded or
//! deliberately dropped. vLLM accepts far more than OpenAI documents (embeddings, URLs, templates, cache salts): what is not in
//! `FORWARDED` never reaches it.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::aci;
use crate::embeddings;
use crate::endpoint::Endpoint;
use crate::limits::{
    CHOICES_MAX, COMPLETIONS_LOGPROBS_MAX, MESSAGES_MAX, STOP_BYTES_MAX, STOPS_MAX, TEMPLATE_TOKENS_BASE,
    TEMPLATE_TOKENS_PER_MESSAGE, TEXT_COMPLETION_TOKENS_DEFAULT, TOP_LOGPROBS_MAX,
};
use crate::messages;
use crate::problem::Problem;
#[cfg(test)]
use crate::responses;
use crate::responses::request::{AsChat, as_chat};

/// Members passed to the engine as they are, once their type is right: of all endpoints that make text …
const FORWARDED: &[(&str, Shape)] = &[
    ("temperature", Shape::Number),
    ("top_p", Shape::Number),
    ("presence_penalty", Shape::Number),
    ("frequency_penalty", Shape::Number),
    ("seed", Shape::Integer),
    ("stop", Shape::StringOrList),
];

/// … of chat …
const CHAT_FORWARDED: &[(&str, Shape)] = &[
    ("logprobs", Shape::Bool),
    ("top_logprobs", Shape::Integer),
    ("response_format", Shape::Object),
    ("tools", Shape::List),
    ("tool_choice", Shape::StringOrObject),
    ("parallel_tool_calls", Shape::Bool),
];

/// … and of `/v1/completions`. `echo` and `best_of` are not among them: both make an engine say text that was not made or work
/// for text that is not said.
const COMPLETIONS_FORWARDED: &[(&str, Shape)] = &[("logprobs", Shape::Integer)];

/// Members that are understood and not passed on: they say something about the caller, or are read below.
const CHAT_READ_OR_DROPPED: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "provider",
    "cloister_tab",
];

/// The same for `/v1/completions`.
const COMPLETIONS_READ_OR_DROPPED: &[&str] =
    &["model", "prompt", "stream", "stream_options", "max_tokens", "n", "user", "provider", "cloister_tab"];

#[derive(Clone, Copy)]
enum Shape {
    Number,
    Integer,
    Bool,
    List,
    Object,
    StringOrList,
    StringOrObject,
}

impl Shape {
    fn matches(self, value: &Value) -> bool {
        match self {
            Self::Number => value.is_number(),
            Self::Integer => value.is_i64(),
            Self::Bool => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
            Self::StringOrList => value.is_string() || value.is_array(),
            Self::StringOrObject => value.is_string() || value.is_object(),
        }
    }
}

/// A request that may be forwarded.
#[derive(Clone)]
pub struct InferenceRequest {
    /// Where it came in.
    pub endpoint: Endpoint,
    /// The model asked for.
    pub model: String,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether the client asked for a usage chunk.
    pub include_usage: bool,
    /// Whether the sizes and times of the answer are hidden: yes, unless the client asked for plain ones.
    pub obfuscate: bool,
    /// Completion tokens the client allows per choice, if it said so.
    pub completion_tokens_max: Option<u64>,
    /// Number of choices.
    pub choices: u64,
    /// Upper bound of the prompt's tokens: no tokenizer makes more tokens than bytes, plus the template's.
    pub prompt_tokens_bound: u64,
    /// Bytes of the longest text that ends an answer: that much is made and not said.
    pub stop_bytes: u64,
    /// Members for the engine: `messages` or `prompt`, and those that are forwarded.
    pub forward: Map<String, Value>,
    /// Members that an answer of the Responses API repeats.
    pub echo: Arc<str>,
}

impl std::fmt::Debug for InferenceRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InferenceRequest({} prompt tokens at most)", self.prompt_tokens_bound)
    }
}

/// Parses the body of a request to `endpoint`.
pub fn parse(endpoint: Endpoint, body: &[u8]) -> Result<InferenceRequest, Problem> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        invalid("body", format!("the body is not JSON (line {}, column {})", error.line(), error.column()))
    })?;
    let Value::Object(members) = value else {
        return Err(invalid("body", "the body must be a JSON object"));
    };
    match endpoint {
        Endpoint::Responses => {
            let AsChat { members, echo } = as_chat(&members)?;
            let words = [("messages", "input"), ("response_format", "text.format")];
            let request = parse_members(Endpoint::Chat, &members).map_err(|problem| in_words(problem, &words))?;
            Ok(InferenceRequest { endpoint, echo: echo.into(), ..request })
        }
        Endpoint::Messages => {
            let members = messages::request::as_chat(&members)?;
            let words = [("stop", "stop_sequences")];
            let request = parse_members(Endpoint::Chat, &members).map_err(|problem| in_words(problem, &words))?;
            Ok(InferenceRequest { endpoint, ..request })
        }
        Endpoint::Chat | Endpoint::Completions | Endpoint::Embeddings => parse_members(endpoint, &members),
    }
}

/// A refusal of a chat, in the words of what was asked for.
fn in_words(problem: Problem, words: &[(&str, &str)]) -> Problem {
    let param = problem.param.map(|param| {
        let whole = param.split(['[', '.']).next().unwrap_or_default();
        let word = words.iter().find(|(chat, _)| *chat == whole);
        word.map_or(param.clone(), |(_, asked)| (*asked).to_owned())
    });
    Problem { param, ..problem }
}

fn parse_members(endpoint: Endpoint, members: &Map<String, Value>) -> Result<InferenceRequest, Problem> {
    aci::serving_constraints(members)?;
    let mut forward = allowed(endpoint, members)?;
    let (include_usage, obfuscate) = stream_options(members)?;
    let (prompt_tokens_bound, completion_tokens_max) = match endpoint {
        Endpoint::Chat | Endpoint::Responses | Endpoint::Messages => {
            at_most(members, "top_logprobs", TOP_LOGPROBS_MAX)?;
            let messages = take_messages(members)?;
            forward.insert("messages".to_owned(), Value::Array(messages.clone()));
            (messages_bound(messages, members), completion_tokens_max(members)?)
        }
        Endpoint::Completions => {
            at_most(members, "logprobs", COMPLETIONS_LOGPROBS_MAX)?;
            let prompt = take_prompt(members)?;
            forward.insert("prompt".to_owned(), Value::String(prompt.to_owned()));
            let tokens = positive(members, "max_tokens")?.unwrap_or(TEXT_COMPLETION_TOKENS_DEFAULT);
            (text_bound(prompt), Some(tokens))
        }
        Endpoint::Embeddings => {
            let (texts, bound) = embeddings::take(members)?;
            forward = texts;
            (bound, Some(0))
        }
    };
    Ok(InferenceRequest {
        endpoint,
        model: string(members, "model")?,
        stream: flag(members, "stream")?,
        include_usage,
        obfuscate,
        completion_tokens_max,
        choices: choices(members)?,
        prompt_tokens_bound,
        stop_bytes: stop_bytes(members)?,
        forward,
        echo: Arc::default(),
    })
}

/// What all endpoints that make text forward.
fn forwarded(endpoint: Endpoint) -> &'static [(&'static str, Shape)] {
    if endpoint == Endpoint::Embeddings { &[] } else { FORWARDED }
}

/// What an endpoint forwards beside that, and what it reads or drops.
fn own_members(endpoint: Endpoint) -> (&'static [(&'static str, Shape)], &'static [&'static str]) {
    match endpoint {
        Endpoint::Embeddings => (&[], embeddings::MEMBERS),
        // A response and a message are chats by then.
        Endpoint::Chat | Endpoint::Responses | Endpoint::Messages => (CHAT_FORWARDED, CHAT_READ_OR_DROPPED),
        Endpoint::Completions => (COMPLETIONS_FORWARDED, COMPLETIONS_READ_OR_DROPPED),
    }
}

/// All members a request to `endpoint` may have.
#[cfg(test)]
pub(crate) fn members(endpoint: Endpoint) -> Vec<&'static str> {
    match endpoint {
        Endpoint::Responses => return responses::request::MEMBERS.to_vec(),
        Endpoint::Messages => return messages::request::MEMBERS.to_vec(),
        Endpoint::Chat | Endpoint::Completions | Endpoint::Embeddings => {}
    }
    let (own, read_or_dropped) = own_members(endpoint);
    forwarded(endpoint).iter().chain(own).map(|(name, _)| *name).chain(read_or_dropped.iter().copied()).collect()
}

/// The members that are forwarded as they are; an error for one that is not known.
fn allowed(endpoint: Endpoint, members: &Map<String, Value>) -> Result<Map<String, Value>, Problem> {
    let (own, read_or_dropped) = own_members(endpoint);
    let mut forward = Map::new();
    for (name, member) in members {
        if member.is_null() || read_or_dropped.contains(&name.as_str()) {
            continue;
        }
        let Some((_, shape)) = forwarded(endpoint).iter().chain(own).find(|(known, _)| known == name) else {
            return Err(Problem::invalid(
                "request.unknown_parameter",
                name,
                "this parameter is not supported; remove it",
            ));
        };
        if !shape.matches(member) {
            return Err(invalid(name, "has the wrong JSON type"));
        }
        forward.insert(name.clone(), member.clone());
    }
    Ok(forward)
}

/// A refusal of a member.
pub(crate) fn invalid(param: &str, message: impl Into<String>) -> Problem {
    Problem::invalid("request.invalid", param, message)
}

fn string(members: &Map<String, Value>, name: &str) -> Result<String, Problem> {
    let value = members.get(name).and_then(Value::as_str);
    value.map(str::to_owned).ok_or_else(|| invalid(name, "is required and must be a string"))
}

fn flag(members: &Map<String, Value>, name: &str) -> Result<bool, Problem> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| invalid(name, "must be true or false")),
    }
}

/// Length of the longest stop text. A few short ones, as with OpenAI: engines look for each after each token.
fn stop_bytes(members: &Map<String, Value>) -> Result<u64, Problem> {
    let texts = match members.get("stop") {
        None | Some(Value::Null) => return Ok(0),
        Some(Value::Array(texts)) => texts.as_slice(),
        Some(text) => std::slice::from_ref(text),
    };
    let lengths: Option<Vec<usize>> = texts.iter().map(|text| text.as_str().map(str::len)).collect();
    let valid = |lengths: &Vec<usize>| {
        lengths.len() <= STOPS_MAX && lengths.iter().all(|length| (1..=STOP_BYTES_MAX).contains(length))
    };
    let lengths = lengths
        .filter(valid)
        .ok_or_else(|| invalid("stop", format!("must be at most {STOPS_MAX} texts of 1 to {STOP_BYTES_MAX} bytes")))?;
    Ok(lengths.into_iter().max().and_then(|longest| u64::try_from(longest).ok()).unwrap_or(0))
}

fn positive_or_zero(members: &Map<String, Value>, name: &str) -> Result<Option<u64>, Problem> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| invalid(name, "must not be negative")),
    }
}

fn at_most(members: &Map<String, Value>, name: &str, maximum: u64) -> Result<(), Problem> {
    match positive_or_zero(members, name)? {
        Some(number) if number > maximum => Err(invalid(name, format!("must be at most {maximum}"))),
        _ => Ok(()),
    }
}

fn positive(members: &Map<String, Value>, name: &str) -> Result<Option<u64>, Problem> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) if number > 0 => Ok(Some(number)),
            _ => Err(invalid(name, "must be a positive integer")),
        },
    }
}

fn completion_tokens_max(members: &Map<String, Value>) -> Result<Option<u64>, Problem> {
    let newer = positive(members, "max_completion_tokens")?;
    Ok(newer.or(positive(members, "max_tokens")?))
}

fn choices(members: &Map<String, Value>) -> Result<u64, Problem> {
    match positive(members, "n")?.unwrap_or(1) {
        n if n <= CHOICES_MAX => Ok(n),
        _ => Err(invalid("n", format!("must be at most {CHOICES_MAX}"))),
    }
}

/// `include_usage` and `include_obfuscation`; the latter is on unless switched off, as with OpenAI.
fn stream_options(members: &Map<String, Value>) -> Result<(bool, bool), Problem> {
    match members.get("stream_options") {
        None | Some(Value::Null) => Ok((false, true)),
        Some(Value::Object(options)) => {
            if let Some(unknown) =
                options.keys().find(|name| !["include_usage", "include_obfuscation"].contains(&name.as_str()))
            {
                let name = format!("stream_options.{unknown}");
                return Err(Problem::invalid(
                    "request.unknown_parameter",
                    &name,
                    "this option is not supported; remove it",
                ));
            }
            let plain = matches!(options.get("include_obfuscation"), Some(value) if !value.is_null())
                && !flag(options, "include_obfuscation")?;
            Ok((flag(options, "include_usage")?, !plain))
        }
        Some(_) => Err(invalid("stream_options", "must be an object")),
    }
}

fn take_messages(members: &Map<String, Value>) -> Result<&Vec<Value>, Problem> {
    let Some(Value::Array(messages)) = members.get("messages") else {
        return Err(invalid("messages", "is required and must be a list of messages"));
    };
    if messages.is_empty() || messages.len() > MESSAGES_MAX {
        return Err(invalid("messages", format!("must hold 1 to {MESSAGES_MAX} messages")));
    }
    for (index, message) in messages.iter().enumerate() {
        check_message(message).map_err(|problem| invalid(&format!("messages[{index}]"), problem))?;
    }
    Ok(messages)
}

/// One prompt, as text: a list is accepted with one element, as some clients send it. Token numbers are not: their text, which the
/// price's bound is made from, is the engine's secret.
fn take_prompt(members: &Map<String, Value>) -> Result<&str, Problem> {
    let prompt = match members.get("prompt") {
        Some(Value::Array(prompts)) => match prompts.as_slice() {
            [prompt] => prompt.as_str(),
            _ => None,
        },
        Some(prompt) => prompt.as_str(),
        None => None,
    };
    let prompt = prompt.filter(|prompt| !prompt.is_empty());
    prompt.ok_or_else(|| invalid("prompt", "is required and must be one text; send several prompts one by one"))
}

/// Text only: an image or audio part would make the engine fetch or decode what a stranger chose (I4).
fn check_message(message: &Value) -> Result<(), &'static str> {
    const MEMBERS: &[&str] = &["role", "content", "name", "tool_calls", "tool_call_id", "refusal"];
    let Value::Object(message) = message else { return Err("must be an object") };
    if message.keys().any(|name| !MEMBERS.contains(&name.as_str())) {
        return Err("has an unknown member");
    }
    match message.get("role").and_then(Value::as_str) {
        Some("system" | "developer" | "user" | "assistant" | "tool") => {}
        _ => return Err("needs a role: system, developer, user, assistant or tool"),
    }
    match message.get("content") {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(Value::Array(parts)) if parts.iter().all(is_text_part) => Ok(()),
        Some(_) => Err("needs text content; other content is not supported"),
    }
}

fn is_text_part(part: &Value) -> bool {
    part.as_object().is_some_and(|part| {
        part.len() == 2
            && part.get("type").and_then(Value::as_str) == Some("text")
            && part.get("text").is_some_and(Value::is_string)
    })
}

fn messages_bound(messages: &[Value], members: &Map<String, Value>) -> u64 {
    let bytes_of = |value: &Value| u64::try_from(value.to_string().len()).unwrap_or(u64::MAX);
    let extra = ["tools", "response_format"].iter().filter_map(|name| members.get(*name)).map(bytes_of);
    let text = messages.iter().map(bytes_of).chain(extra).fold(0_u64, u64::saturating_add);
    let count = u64::try_from(messages.len()).unwrap_or(u64::MAX);
    text.saturating_add(count.saturating_mul(TEMPLATE_TOKENS_PER_MESSAGE)).saturating_add(TEMPLATE_TOKENS_BASE)
}

/// Upper bound of a text's tokens, with those that a tokenizer puts around it.
fn text_bound(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX).saturating_add(TEMPLATE_TOKENS_BASE)
}

#[cfg(test)]
mod tests;
