//! A request of the Messages API → a chat request.
//!
//! On entry a JSON object, hostile. On exit members that the chat parser still checks. Content that is not text, tools of the node's own and
//! members that a chat has no word for are refused by name.

use serde_json::{Map, Value, json};

use crate::problem::Problem;
use crate::request::invalid;

/// Members that are understood; all others are refused.
pub const MEMBERS: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "system",
    "stop_sequences",
    "stream",
    "temperature",
    "top_p",
    "tools",
    "tool_choice",
    "metadata",
    "thinking",
    "service_tier",
    "provider",
    "cloister_tab",
];

/// Members whose meaning a chat request has under the same name.
const SAME: &[&str] = &["model", "stream", "temperature", "top_p", "max_tokens", "provider"];

fn unsupported(param: &str, text: &str) -> Problem {
    Problem::invalid("request.unknown_parameter", param, text)
}

/// Translates a request.
///
/// # Errors
/// With the member at fault.
pub fn as_chat(asked: &Map<String, Value>) -> Result<Map<String, Value>, Problem> {
    if let Some((name, _)) = asked.iter().find(|(name, value)| !value.is_null() && !MEMBERS.contains(&name.as_str())) {
        return Err(unsupported(name, "this parameter is not supported; remove it"));
    }
    let given = |name: &str| asked.get(name).filter(|value| !value.is_null());
    let mut members = Map::new();
    for name in SAME {
        if let Some(value) = given(name) {
            members.insert((*name).to_owned(), value.clone());
        }
    }
    if given("max_tokens").is_none() {
        return Err(invalid("max_tokens", "is required and must be a positive integer"));
    }
    if given("thinking").is_some_and(|thinking| thinking.get("type").and_then(Value::as_str) != Some("disabled")) {
        return Err(unsupported("thinking", "this node does not choose how long a model thinks"));
    }
    if let Some(texts) = given("stop_sequences") {
        if !texts.is_array() {
            return Err(invalid("stop_sequences", "must be a list of texts"));
        }
        members.insert("stop".to_owned(), texts.clone());
    }
    if let Some(tools) = given("tools") {
        let tools = tools.as_array().ok_or_else(|| invalid("tools", "must be a list"))?;
        if !tools.is_empty() {
            members.insert("tools".to_owned(), tools.iter().map(tool).collect::<Result<_, _>>()?);
        }
    }
    if let Some(choice) = given("tool_choice") {
        members.extend(tool_choice(choice)?);
    }
    members.insert("messages".to_owned(), messages(given("system"), given("messages"))?.into());
    Ok(members)
}

fn tool(tool: &Value) -> Result<Value, Problem> {
    let tool = tool.as_object().ok_or_else(|| invalid("tools", "must be a list of objects"))?;
    if tool.get("type").is_some_and(|kind| kind != "custom" && !kind.is_null()) {
        return Err(unsupported("tools", "this node has no tools of its own; only those of the client are supported"));
    }
    let name = tool.get("name").filter(|name| name.is_string()).ok_or_else(|| invalid("tools", "each needs a name"))?;
    let schema = tool.get("input_schema").filter(|schema| schema.is_object());
    let schema = schema.ok_or_else(|| invalid("tools", "each needs an input_schema"))?;
    let mut function = Map::from_iter([("name".to_owned(), name.clone()), ("parameters".to_owned(), schema.clone())]);
    // An input is an object of this schema in this API; engines hold a model to that when they are told so.
    let strict = tool.get("strict").filter(|strict| !strict.is_null()).cloned();
    function.insert("strict".to_owned(), strict.unwrap_or(Value::Bool(true)));
    if let Some(description) = tool.get("description").filter(|description| !description.is_null()) {
        function.insert("description".to_owned(), description.clone());
    }
    Ok(json!({"type": "function", "function": function}))
}

fn tool_choice(choice: &Value) -> Result<Map<String, Value>, Problem> {
    let wrong =
        || invalid("tool_choice", "must be an object of the type auto, any, none or tool, the last with a name");
    let chosen = match (choice.get("type").and_then(Value::as_str), choice.get("name")) {
        (Some("auto"), _) => json!("auto"),
        (Some("any"), _) => json!("required"),
        (Some("none"), _) => json!("none"),
        (Some("tool"), Some(name)) if name.is_string() => json!({"type": "function", "function": {"name": name}}),
        _ => return Err(wrong()),
    };
    let mut members = Map::from_iter([("tool_choice".to_owned(), chosen)]);
    match choice.get("disable_parallel_tool_use") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::Bool(true)) => drop(members.insert("parallel_tool_calls".to_owned(), json!(false))),
        Some(_) => return Err(wrong()),
    }
    Ok(members)
}

fn messages(system: Option<&Value>, said: Option<&Value>) -> Result<Vec<Value>, Problem> {
    let mut messages = Vec::new();
    if let Some(system) = system {
        let content = texts(system).map_err(|text| invalid("system", text))?;
        messages.push(json!({"role": "system", "content": content}));
    }
    let Some(Value::Array(said)) = said.filter(|said| said.as_array().is_some_and(|said| !said.is_empty())) else {
        return Err(invalid("messages", "is required and must be a list of messages"));
    };
    for (index, message) in said.iter().enumerate() {
        add(message, &mut messages).map_err(|text| invalid(&format!("messages[{index}]"), text))?;
    }
    Ok(messages)
}

const NOT_TEXT: &str = "needs text content; other content is not supported";

/// A text, or a list of blocks of text.
fn texts(content: &Value) -> Result<Value, &'static str> {
    match content {
        Value::String(_) => Ok(content.clone()),
        Value::Array(blocks) => blocks.iter().map(text_part).collect(),
        _ => Err(NOT_TEXT),
    }
}

fn text_part(block: &Value) -> Result<Value, &'static str> {
    let is_text = block.get("type").and_then(Value::as_str) == Some("text");
    let text = block.get("text").and_then(Value::as_str).filter(|_| is_text).ok_or(NOT_TEXT)?;
    Ok(json!({"type": "text", "text": text}))
}

/// Adds a message. Results of tools are messages of their own in a chat; what a model thought earlier is not sent to it again.
fn add(message: &Value, messages: &mut Vec<Value>) -> Result<(), &'static str> {
    let role = match message.get("role").and_then(Value::as_str) {
        Some(role @ ("user" | "assistant")) => role,
        _ => return Err("needs a role: user or assistant"),
    };
    let blocks = match message.get("content") {
        Some(text @ Value::String(_)) => {
            messages.push(json!({"role": role, "content": text}));
            return Ok(());
        }
        Some(Value::Array(blocks)) => blocks,
        _ => return Err(NOT_TEXT),
    };
    let (mut parts, mut calls) = (Vec::new(), Vec::new());
    for block in blocks {
        let text = |name: &str| block.get(name).and_then(Value::as_str);
        match (text("type"), role) {
            (Some("text"), _) => parts.push(text_part(block)?),
            (Some("tool_use"), "assistant") => calls.push(json!({
                "id": text("id").ok_or("has a tool_use without an id")?,
                "type": "function",
                "function": {
                    "name": text("name").ok_or("has a tool_use without a name")?,
                    "arguments": block.get("input").filter(|input| input.is_object())
                        .ok_or("has a tool_use without an input")?.to_string(),
                },
            })),
            (Some("tool_result"), "user") => {
                say(role, &mut parts, Vec::new(), messages);
                let id = text("tool_use_id").ok_or("has a tool_result without a tool_use_id")?;
                let content = block.get("content").map_or(Ok(json!("")), texts)?;
                messages.push(json!({"role": "tool", "tool_call_id": id, "content": content}));
            }
            (Some("thinking" | "redacted_thinking"), "assistant") => {}
            _ => return Err("has content of a type that is not supported there"),
        }
    }
    say(role, &mut parts, calls, messages);
    Ok(())
}

/// What was said so far, if anything was.
fn say(role: &str, parts: &mut Vec<Value>, calls: Vec<Value>, messages: &mut Vec<Value>) {
    let parts = std::mem::take(parts);
    let content = if parts.is_empty() { Value::Null } else { Value::Array(parts) };
    if !calls.is_empty() {
        messages.push(json!({"role": role, "content": content, "tool_calls": calls}));
    } else if !content.is_null() {
        messages.push(json!({"role": role, "content": content}));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::{Value, json};

    use super::as_chat;

    fn chat(asked: &Value) -> Value {
        Value::Object(as_chat(asked.as_object().unwrap()).unwrap())
    }

    #[test]
    fn a_conversation_with_tools_is_a_chat() {
        let asked = json!({
            "model": "m", "max_tokens": 9, "stream": true, "stop_sequences": ["x"], "system": [{"type": "text", "text": "Be brief."}],
            "metadata": {"user_id": "someone"}, "thinking": {"type": "disabled"},
            "tools": [{"name": "weather", "description": "now", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": true},
            "messages": [
                {"role": "user", "content": "Hello."},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "x"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "c0", "name": "weather", "input": {"city": "Paris"}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "c0", "content": [{"type": "text", "text": "sunny"}], "is_error": false},
                    {"type": "text", "text": "And?"}]},
            ],
        });
        let call = json!({"id": "c0", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Paris\"}"}});
        let function =
            json!({"name": "weather", "description": "now", "parameters": {"type": "object"}, "strict": true});
        assert_eq!(
            chat(&asked),
            json!({
                "model": "m", "max_tokens": 9, "stream": true, "stop": ["x"], "parallel_tool_calls": false,
                "tools": [{"type": "function", "function": function}],
                "tool_choice": {"type": "function", "function": {"name": "weather"}},
                "messages": [
                    {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
                    {"role": "user", "content": "Hello."},
                    {"role": "assistant", "content": [{"type": "text", "text": "I look."}], "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": "c0", "content": [{"type": "text", "text": "sunny"}]},
                    {"role": "user", "content": [{"type": "text", "text": "And?"}]},
                ],
            })
        );
        for (choice, chosen) in [("auto", "auto"), ("any", "required"), ("none", "none")] {
            let mut asked = asked.clone();
            asked["tool_choice"] = json!({"type": choice});
            assert_eq!(chat(&asked)["tool_choice"], chosen);
        }
    }

    #[test]
    fn what_a_chat_has_no_word_for_is_refused_by_its_name() {
        let (invalid, unknown) = ("request.invalid", "request.unknown_parameter");
        for (member, value, code, param) in [
            ("max_tokens", Value::Null, invalid, "max_tokens"),
            ("messages", json!([]), invalid, "messages"),
            ("messages", json!("hello"), invalid, "messages"),
            ("messages", json!([{"role": "system", "content": "x"}]), invalid, "messages[0]"),
            ("messages", json!([{"role": "user"}]), invalid, "messages[0]"),
            (
                "messages",
                json!([{"role": "user", "content": [{"type": "image", "source": {}}]}]),
                invalid,
                "messages[0]",
            ),
            (
                "messages",
                json!([{"role": "user", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": {}}]}]),
                invalid,
                "messages[0]",
            ),
            (
                "messages",
                json!([{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": "{}"}]}]),
                invalid,
                "messages[0]",
            ),
            (
                "messages",
                json!([{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]),
                invalid,
                "messages[0]",
            ),
            ("system", json!(1), invalid, "system"),
            ("stop_sequences", json!("x"), invalid, "stop_sequences"),
            ("tools", json!({}), invalid, "tools"),
            ("tools", json!([{"name": "a"}]), invalid, "tools"),
            ("tools", json!([{"type": "web_search_20250305", "name": "web_search"}]), unknown, "tools"),
            ("tool_choice", json!("auto"), invalid, "tool_choice"),
            ("tool_choice", json!({"type": "tool"}), invalid, "tool_choice"),
            ("thinking", json!({"type": "enabled", "budget_tokens": 1024}), unknown, "thinking"),
            ("top_k", json!(5), unknown, "top_k"),
            ("container", json!("x"), unknown, "container"),
        ] {
            let mut asked = json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]});
            asked[member] = value.clone();
            let problem = as_chat(asked.as_object().unwrap()).unwrap_err();
            assert_eq!((problem.code, problem.param.as_deref()), (code, Some(param)), "{member} {value}");
        }
    }
}
