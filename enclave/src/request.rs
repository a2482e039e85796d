//! Bytes → an allow-listed chat request.
//!
//! On entry the bytes are hostile. On exit every member is one we know, has the right shape, and is either forwarded or
//! deliberately dropped. vLLM accepts far more than OpenAI documents (embeddings, URLs, templates, cache salts): what is not in
//! `FORWARDED` never reaches it.

use serde_json::{Map, Value};

use crate::limits::{CHOICES_MAX, MESSAGES_MAX, TEMPLATE_TOKENS_BASE, TEMPLATE_TOKENS_PER_MESSAGE, TOP_LOGPROBS_MAX};
use crate::problem::Problem;

/// Members passed to the engine as they are, once their type is right.
const FORWARDED: &[(&str, Shape)] = &[
    ("temperature", Shape::Number),
    ("top_p", Shape::Number),
    ("presence_penalty", Shape::Number),
    ("frequency_penalty", Shape::Number),
    ("seed", Shape::Integer),
    ("stop", Shape::StringOrList),
    ("logprobs", Shape::Bool),
    ("top_logprobs", Shape::Integer),
    ("response_format", Shape::Object),
    ("tools", Shape::List),
    ("tool_choice", Shape::StringOrObject),
    ("parallel_tool_calls", Shape::Bool),
];

/// Members that are understood and not passed on: they say something about the caller, or are read below.
const READ_OR_DROPPED: &[&str] = &[
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
];

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
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Bool => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
            Self::StringOrList => value.is_string() || value.is_array(),
            Self::StringOrObject => value.is_string() || value.is_object(),
        }
    }
}

/// A chat request that may be forwarded.
#[derive(Clone)]
pub struct ChatRequest {
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
    /// Members for the engine: `messages` and those of `FORWARDED`.
    pub forward: Map<String, Value>,
}

impl std::fmt::Debug for ChatRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChatRequest({} messages' tokens at most)", self.prompt_tokens_bound)
    }
}

/// Parses the body of `POST /v1/chat/completions`.
pub fn parse(body: &[u8]) -> Result<ChatRequest, Problem> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        invalid("body", format!("the body is not JSON (line {}, column {})", error.line(), error.column()))
    })?;
    let Value::Object(members) = value else {
        return Err(invalid("body", "the body must be a JSON object"));
    };
    let mut forward = Map::new();
    for (name, member) in &members {
        if member.is_null() || READ_OR_DROPPED.contains(&name.as_str()) {
            continue;
        }
        let Some((_, shape)) = FORWARDED.iter().find(|(known, _)| known == name) else {
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
    if positive_or_zero(&members, "top_logprobs")?.is_some_and(|count| count > TOP_LOGPROBS_MAX) {
        return Err(invalid("top_logprobs", format!("must be at most {TOP_LOGPROBS_MAX}")));
    }
    let (include_usage, obfuscate) = stream_options(&members)?;
    let messages = take_messages(&members)?;
    let prompt_tokens_bound = prompt_bound(messages, &members);
    forward.insert("messages".to_owned(), Value::Array(messages.clone()));
    Ok(ChatRequest {
        model: string(&members, "model")?,
        stream: flag(&members, "stream")?,
        include_usage,
        obfuscate,
        completion_tokens_max: completion_tokens_max(&members)?,
        choices: choices(&members)?,
        prompt_tokens_bound,
        forward,
    })
}

fn invalid(param: &str, message: impl Into<String>) -> Problem {
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

fn positive_or_zero(members: &Map<String, Value>, name: &str) -> Result<Option<u64>, Problem> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| invalid(name, "must not be negative")),
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

fn prompt_bound(messages: &[Value], members: &Map<String, Value>) -> u64 {
    let bytes_of = |value: &Value| u64::try_from(value.to_string().len()).unwrap_or(u64::MAX);
    let extra = ["tools", "response_format"].iter().filter_map(|name| members.get(*name)).map(bytes_of);
    let text = messages.iter().map(bytes_of).chain(extra).fold(0_u64, u64::saturating_add);
    let count = u64::try_from(messages.len()).unwrap_or(u64::MAX);
    text.saturating_add(count.saturating_mul(TEMPLATE_TOKENS_PER_MESSAGE)).saturating_add(TEMPLATE_TOKENS_BASE)
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn code(body: &str) -> (&'static str, Option<String>) {
        let problem = parse(body.as_bytes()).unwrap_err();
        (problem.code, problem.param)
    }

    #[test]
    fn accepts_what_the_official_clients_send() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"stream":true,
            "stream_options":{"include_usage":true},"max_tokens":7,"temperature":0,"seed":7,"user":"someone"}"#;
        let request = parse(body.as_bytes()).unwrap();
        assert!(request.stream && request.include_usage && request.obfuscate);
        let plain = body.replace("\"include_usage\"", "\"include_obfuscation\":false,\"include_usage\"");
        assert!(!parse(plain.as_bytes()).unwrap().obfuscate);
        assert_eq!(request.completion_tokens_max, Some(7));
        assert!(!request.forward.contains_key("user"), "caller identity stays here");
        assert!(request.prompt_tokens_bound > 64);
    }

    #[test]
    fn refuses_every_wrong_shape_with_the_parameter_named() {
        let invalid = "request.invalid";
        let unknown = "request.unknown_parameter";
        let table: &[(&str, &str, &str)] = &[
            ("", invalid, "body"),
            ("[]", invalid, "body"),
            (r#"{"messages":[{"role":"user","content":"x"}]}"#, invalid, "model"),
            (r#"{"model":"m"}"#, invalid, "messages"),
            (r#"{"model":"m","messages":[]}"#, invalid, "messages"),
            (r#"{"model":"m","messages":["x"]}"#, invalid, "messages[0]"),
            (r#"{"model":"m","messages":[{"role":"root","content":"x"}]}"#, invalid, "messages[0]"),
            (r#"{"model":"m","messages":[{"role":"user","content":"x","extra":1}]}"#, invalid, "messages[0]"),
            (
                r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://x"}}]}]}"#,
                invalid,
                "messages[0]",
            ),
            (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"stream":"yes"}"#, invalid, "stream"),
            (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":0}"#, invalid, "max_tokens"),
            (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":-1}"#, invalid, "max_tokens"),
            (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"n":5}"#, invalid, "n"),
            (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"top_logprobs":21}"#, invalid, "top_logprobs"),
            (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"top_logprobs":-1}"#, invalid, "top_logprobs"),
            (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":"hot"}"#, invalid, "temperature"),
            (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"cache_salt":"mine"}"#, unknown, "cache_salt"),
            (
                r#"{"model":"m","messages":[{"role":"user","content":"x"}],"chat_template":"{{x}}"}"#,
                unknown,
                "chat_template",
            ),
            (
                r#"{"model":"m","messages":[{"role":"user","content":"x"}],"stream_options":{"continuous_usage_stats":true}}"#,
                unknown,
                "stream_options.continuous_usage_stats",
            ),
        ];
        for (body, expected, param) in table {
            assert_eq!(code(body), (*expected, Some((*param).to_owned())), "{body}");
        }
    }
}
