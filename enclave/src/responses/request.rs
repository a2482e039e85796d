//! A request of the Responses API → a chat request.
//!
//! On entry a JSON object, hostile. On exit members that the chat parser still checks, and those that the answer repeats. What would need
//! memory between requests, tools of the node's own, or content that is not text is refused by name.

use serde_json::{Map, Value, json};

use crate::limits::{METADATA_KEY_BYTES_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_BYTES_MAX};
use crate::problem::Problem;

/// Members that are understood; all others are refused.
pub const MEMBERS: &[&str] = &[
    "model",
    "input",
    "instructions",
    "max_output_tokens",
    "temperature",
    "top_p",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "text",
    "stream",
    "stream_options",
    "metadata",
    "store",
    "background",
    "previous_response_id",
    "conversation",
    "truncation",
    "include",
    "service_tier",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "provider",
    "cloister_tab",
];

/// Members that the answer repeats, and what stands there when they were not given. All of them are bounded: by themselves, or since the
/// engine is sent them too and their length is in the price.
const ECHOED: &[(&str, &str)] = &[
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("metadata", "null"),
    ("parallel_tool_calls", "true"),
    ("temperature", "null"),
    ("text", "{\"format\":{\"type\":\"text\"}}"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_p", "null"),
    ("user", "null"),
];

/// Members whose meaning a chat request has under the same name.
const SAME: &[&str] = &["model", "temperature", "top_p", "parallel_tool_calls", "stream", "stream_options", "provider"];

/// A chat request, and what the answer repeats of the one it was made from.
#[derive(Debug)]
pub struct AsChat {
    /// The chat request's members.
    pub members: Map<String, Value>,
    /// What the answer repeats: members of an object, as JSON, without its braces.
    pub echo: String,
}

fn invalid(param: &str, text: impl Into<String>) -> Problem {
    Problem::invalid("request.invalid", param, text)
}

fn unsupported(param: &str, text: impl Into<String>) -> Problem {
    Problem::invalid("request.unknown_parameter", param, text)
}

/// Translates a request.
///
/// # Errors
/// With the member at fault.
pub fn as_chat(asked: &Map<String, Value>) -> Result<AsChat, Problem> {
    if let Some((name, _)) = asked.iter().find(|(name, value)| !value.is_null() && !MEMBERS.contains(&name.as_str())) {
        return Err(unsupported(name, "this parameter is not supported; remove it"));
    }
    let given = |name: &str| asked.get(name).filter(|value| !value.is_null());
    keeps_nothing(asked)?;
    let mut members = Map::new();
    for name in SAME {
        if let Some(value) = given(name) {
            members.insert((*name).to_owned(), value.clone());
        }
    }
    if let Some(tokens) = given("max_output_tokens") {
        if tokens.as_u64().is_none_or(|tokens| tokens == 0) {
            return Err(invalid("max_output_tokens", "must be a positive integer"));
        }
        members.insert("max_completion_tokens".to_owned(), tokens.clone());
    }
    if let Some(format) = given("text") {
        members.extend(text_format(format)?);
    }
    if let Some(tools) = given("tools") {
        let tools = tools.as_array().ok_or_else(|| invalid("tools", "must be a list"))?;
        if !tools.is_empty() {
            members.insert("tools".to_owned(), tools.iter().map(tool).collect::<Result<_, _>>()?);
        }
    }
    if let Some(choice) = given("tool_choice") {
        members.insert("tool_choice".to_owned(), tool_choice(choice)?);
    }
    members.insert("messages".to_owned(), messages(given("instructions"), given("input"))?.into());
    few_words("metadata", given("metadata"))?;
    if given("user").is_some_and(|user| !is_short(user, METADATA_VALUE_BYTES_MAX)) {
        return Err(invalid("user", format!("must be a text of at most {METADATA_VALUE_BYTES_MAX} bytes")));
    }
    let echoed = |(name, default): &(&str, &str)| match given(name) {
        Some(value) => format!("\"{name}\":{value}"),
        None => format!("\"{name}\":{default}"),
    };
    let echo = ECHOED.iter().map(echoed).collect::<Vec<_>>().join(",");
    Ok(AsChat { members, echo })
}

fn is_short(value: &Value, limit: usize) -> bool {
    value.as_str().is_some_and(|text| text.len() <= limit)
}

/// A few short texts, as OpenAI limits them.
fn few_words(name: &str, words: Option<&Value>) -> Result<(), Problem> {
    let fits = |words: &Map<String, Value>| {
        words.len() <= METADATA_PAIRS_MAX
            && words
                .iter()
                .all(|(key, value)| key.len() <= METADATA_KEY_BYTES_MAX && is_short(value, METADATA_VALUE_BYTES_MAX))
    };
    match words {
        None => Ok(()),
        Some(words) if words.as_object().is_some_and(fits) => Ok(()),
        Some(_) => Err(invalid(
            name,
            format!(
                "must be at most {METADATA_PAIRS_MAX} texts of {METADATA_VALUE_BYTES_MAX} bytes, with names of {METADATA_KEY_BYTES_MAX}"
            ),
        )),
    }
}

/// Nothing outlives the answer here, and nothing runs after it.
fn keeps_nothing(asked: &Map<String, Value>) -> Result<(), Problem> {
    let given = |name: &str| asked.get(name).filter(|value| !value.is_null());
    for name in ["previous_response_id", "conversation"] {
        if given(name).is_some() {
            return Err(unsupported(name, "this node keeps no conversation; send its items as input"));
        }
    }
    let flag = |name: &str| match given(name) {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| invalid(name, "must be true or false")),
    };
    // Official clients store unless told not to. It is not done, and the answer says so.
    flag("store")?;
    if flag("background")? {
        return Err(unsupported("background", "this node does not answer in the background"));
    }
    if given("truncation").is_some_and(|truncation| truncation != "disabled") {
        return Err(unsupported("truncation", "this node shortens no input"));
    }
    match given("include") {
        None => Ok(()),
        Some(Value::Array(names)) if names.is_empty() => Ok(()),
        Some(_) => Err(unsupported("include", "nothing more can be included")),
    }
}

fn text_format(text: &Value) -> Result<Map<String, Value>, Problem> {
    let text = text.as_object().ok_or_else(|| invalid("text", "must be an object"))?;
    if let Some(unknown) = text.iter().find(|(name, value)| *name != "format" && !value.is_null()) {
        return Err(unsupported(&format!("text.{}", unknown.0), "this parameter is not supported; remove it"));
    }
    let Some(format) = text.get("format").filter(|format| !format.is_null()) else { return Ok(Map::new()) };
    let format = format.as_object().ok_or_else(|| invalid("text.format", "must be an object"))?;
    let response_format = match format.get("type").and_then(Value::as_str) {
        Some("text") if format.len() == 1 => return Ok(Map::new()),
        Some("json_object") if format.len() == 1 => json!({"type": "json_object"}),
        Some("json_schema") => {
            let mut schema = format.clone();
            schema.remove("type");
            json!({"type": "json_schema", "json_schema": schema})
        }
        _ => return Err(invalid("text.format", "needs a type: text, json_object or json_schema")),
    };
    Ok(Map::from_iter([("response_format".to_owned(), response_format)]))
}

fn tool(tool: &Value) -> Result<Value, Problem> {
    let tool = tool.as_object().ok_or_else(|| invalid("tools", "must be a list of objects"))?;
    if tool.get("type").and_then(Value::as_str) != Some("function") {
        return Err(unsupported("tools", "this node has no tools of its own; only functions are supported"));
    }
    let mut function = tool.clone();
    function.remove("type");
    function.retain(|_, value| !value.is_null());
    Ok(json!({"type": "function", "function": function}))
}

fn tool_choice(choice: &Value) -> Result<Value, Problem> {
    match choice {
        Value::String(_) => Ok(choice.clone()),
        Value::Object(object)
            if object.len() == 2 && object.get("type").and_then(Value::as_str) == Some("function") =>
        {
            let name = object.get("name").filter(|name| name.is_string());
            Ok(
                json!({"type": "function", "function": {"name": name.ok_or_else(|| invalid("tool_choice", "needs a name"))?}}),
            )
        }
        _ => Err(invalid("tool_choice", "must be auto, none, required or a function")),
    }
}

fn messages(instructions: Option<&Value>, input: Option<&Value>) -> Result<Vec<Value>, Problem> {
    let mut messages = Vec::new();
    match instructions {
        None => {}
        Some(Value::String(text)) => messages.push(json!({"role": "system", "content": text})),
        Some(_) => return Err(invalid("instructions", "must be a text")),
    }
    match input {
        Some(Value::String(text)) => messages.push(json!({"role": "user", "content": text})),
        Some(Value::Array(items)) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                add(item, &mut messages).map_err(|text| invalid(&format!("input[{index}]"), text))?;
            }
        }
        _ => return Err(invalid("input", "is required and must be a text or a list of items")),
    }
    Ok(messages)
}

/// Adds an item of a conversation. Calls of functions that follow each other belong to one message of the assistant.
fn add(item: &Value, messages: &mut Vec<Value>) -> Result<(), &'static str> {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    match text("type").unwrap_or("message") {
        "message" => {
            let role = text("role").ok_or("needs a role")?;
            messages.push(json!({"role": role, "content": content(item.get("content"))?}));
        }
        "function_call" => {
            let call = json!({
                "id": text("call_id").ok_or("needs a call_id")?,
                "type": "function",
                "function": {
                    "name": text("name").ok_or("needs a name")?,
                    "arguments": text("arguments").ok_or("needs arguments, as a text")?,
                },
            });
            let open = messages.last_mut().and_then(|message| message.get_mut("tool_calls"));
            match open.and_then(Value::as_array_mut) {
                Some(calls) => calls.push(call),
                None => messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]})),
            }
        }
        "function_call_output" => {
            let id = text("call_id").ok_or("needs a call_id")?;
            messages.push(json!({"role": "tool", "tool_call_id": id, "content": content(item.get("output"))?}));
        }
        // What a model thought earlier is not sent to it again, as in a chat.
        "reasoning" => {}
        _ => return Err("is an item of a type that is not supported"),
    }
    Ok(())
}

fn content(content: Option<&Value>) -> Result<Value, &'static str> {
    let not_text = "needs text content; other content is not supported";
    match content {
        Some(Value::String(text)) => Ok(json!(text)),
        Some(Value::Array(parts)) => {
            let text = |part: &Value| {
                let is_text = matches!(part.get("type")?.as_str()?, "input_text" | "output_text" | "text");
                is_text.then(|| part.get("text")?.as_str().map(str::to_owned)).flatten()
            };
            let texts: Option<Vec<String>> = parts.iter().map(text).collect();
            let parts = texts.ok_or(not_text)?.into_iter().map(|text| json!({"type": "text", "text": text}));
            Ok(parts.collect())
        }
        _ => Err(not_text),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{AsChat, as_chat};

    fn chat(asked: &Value) -> AsChat {
        as_chat(asked.as_object().unwrap()).unwrap()
    }

    #[test]
    fn a_conversation_with_functions_is_a_chat() {
        let asked = json!({
            "model": "m", "instructions": "Be brief.", "max_output_tokens": 9, "store": true, "stream": null,
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
                {"type": "reasoning", "summary": []},
                {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}", "id": "fc_1"},
                {"type": "function_call", "call_id": "c2", "name": "time", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "rain"},
                {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
                    "content": [{"type": "output_text", "text": "Rain.", "annotations": []}]},
            ],
            "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": null}],
            "tool_choice": {"type": "function", "name": "weather"},
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}},
        });
        let AsChat { members, echo } = chat(&asked);
        let call =
            |id: &str, name: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}});
        let expected = json!({
            "model": "m", "max_completion_tokens": 9,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
                {"role": "assistant", "content": null, "tool_calls": [call("c1", "weather"), call("c2", "time")]},
                {"role": "tool", "tool_call_id": "c1", "content": "rain"},
                {"role": "assistant", "content": [{"type": "text", "text": "Rain."}]},
            ],
            "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
            "response_format": {"type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}},
        });
        assert_eq!(Value::Object(members), expected);
        let repeated: Value = serde_json::from_str(&format!("{{{echo}}}")).unwrap();
        for name in ["instructions", "max_output_tokens", "text", "tool_choice", "tools"] {
            assert_eq!(repeated.get(name), asked.get(name), "{name}");
        }
        assert_eq!((&repeated["parallel_tool_calls"], &repeated["user"]), (&json!(true), &Value::Null));
    }

    #[test]
    fn what_cannot_be_done_here_is_refused_by_name() {
        let refusals = [
            (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
            (json!({"conversation": "conv_1"}), "conversation"),
            (json!({"background": true}), "background"),
            (json!({"store": "yes"}), "store"),
            (json!({"truncation": "auto"}), "truncation"),
            (json!({"include": ["reasoning.encrypted_content"]}), "include"),
            (json!({"reasoning": {"effort": "low"}}), "reasoning"),
            (json!({"max_output_tokens": 0}), "max_output_tokens"),
            (json!({"instructions": ["x"]}), "instructions"),
            (json!({"tools": [{"type": "web_search"}]}), "tools"),
            (json!({"tools": {}}), "tools"),
            (json!({"tool_choice": {"type": "web_search"}}), "tool_choice"),
            (json!({"text": {"format": {"type": "grammar"}}}), "text.format"),
            (json!({"text": {"verbosity": "low"}}), "text.verbosity"),
            (json!({"text": {"format": {"type": "text", "more": []}}}), "text.format"),
            (json!({"tool_choice": {"type": "function", "name": "f", "more": []}}), "tool_choice"),
            (json!({"metadata": [{}]}), "metadata"),
            (json!({"metadata": {"a": {}}}), "metadata"),
            (json!({"metadata": {"a": "x".repeat(513)}}), "metadata"),
            (json!({"metadata": (0..17).map(|n| (n.to_string(), json!("x"))).collect::<Map<_, _>>()}), "metadata"),
            (json!({"user": []}), "user"),
            (json!({"input": []}), "input"),
            (json!({"input": null}), "input"),
            (json!({"input": ["x"]}), "input[0]"),
            (json!({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}), "input[0]"),
            (json!({"input": [{"type": "item_reference", "id": "msg_1"}]}), "input[0]"),
            (json!({"input": [{"type": "function_call", "name": "f", "arguments": {}}]}), "input[0]"),
        ];
        for (change, param) in refusals {
            let mut asked = json!({"model": "m", "input": "x"});
            asked.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let problem = as_chat(asked.as_object().unwrap()).unwrap_err();
            assert_eq!((problem.status.as_u16(), problem.param.as_deref()), (400, Some(param)), "{change}");
        }
    }
}
