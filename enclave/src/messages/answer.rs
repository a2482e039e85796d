//! An answer in the words of Anthropic's Messages API: a row of blocks.

use serde_json::{Map, Value, json};

use crate::receipt::Metered;
use crate::said::Untold;
use crate::telling::{Answer, Kind, Part, Words};

/// A message as it is told.
#[derive(Debug)]
pub struct MessageWords {
    id: String,
    model: String,
}

impl MessageWords {
    /// Of this id and model.
    #[must_use]
    pub fn new(id: &str, model: &str) -> Self {
        Self { id: id.to_owned(), model: model.to_owned() }
    }

    fn as_json(&self, content: Vec<Value>, stop_reason: Option<&str>, usage: Value) -> Value {
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": null,
            "usage": usage,
        })
    }
}

impl Words for MessageWords {
    fn repeats_parts(&self) -> bool {
        false
    }

    fn call_id(&self, number: u64) -> String {
        format!("toolu_{}{number}", self.id.strip_prefix("msg_").unwrap_or(&self.id))
    }

    /// An input is an object. An answer that was cut in the middle of one has half of it, which is nothing.
    fn arguments(&self, said: String, is_cut: bool) -> Result<String, Untold> {
        match serde_json::from_str::<Map<String, Value>>(&said) {
            Ok(input) => Ok(Value::Object(input).to_string()),
            Err(_) if is_cut => Ok(String::new()),
            Err(_) => Err(Untold),
        }
    }

    /// The prompt's tokens are known at the end, where they are said.
    fn begin(&mut self, events: &mut Vec<u8>) {
        let message = self.as_json(Vec::new(), None, usage(0, 0));
        event("message_start", json!({"message": message}), events);
    }

    fn start(&mut self, index: usize, part: &Part, events: &mut Vec<u8>) {
        let block = match part.kind {
            Kind::Thoughts => json!({"type": "thinking", "thinking": "", "signature": ""}),
            Kind::Text => json!({"type": "text", "text": ""}),
            Kind::Call(_) => json!({"type": "tool_use", "id": part.call_id, "name": part.name, "input": {}}),
        };
        event("content_block_start", json!({"index": index, "content_block": block}), events);
    }

    fn add(&mut self, index: usize, part: &Part, text: &str, events: &mut Vec<u8>) {
        let delta = match part.kind {
            Kind::Thoughts => json!({"type": "thinking_delta", "thinking": text}),
            Kind::Text => json!({"type": "text_delta", "text": text}),
            Kind::Call(_) => json!({"type": "input_json_delta", "partial_json": text}),
        };
        event("content_block_delta", json!({"index": index, "delta": delta}), events);
    }

    fn close(&mut self, index: usize, _part: &Part, events: &mut Vec<u8>) {
        event("content_block_stop", json!({"index": index}), events);
    }

    fn end(&mut self, answer: &Answer, metered: &Metered, events: &mut Vec<u8>) {
        let delta = json!({"stop_reason": stop_reason(answer), "stop_sequence": null});
        let usage = usage(metered.prompt_tokens, metered.completion_tokens);
        event("message_delta", json!({"delta": delta, "usage": usage}), events);
        event("message_stop", json!({}), events);
    }

    fn whole(&self, answer: &Answer, metered: &Metered) -> String {
        let usage = usage(metered.prompt_tokens, metered.completion_tokens);
        let content = answer.parts.iter().map(block).collect();
        self.as_json(content, Some(stop_reason(answer)), usage).to_string()
    }
}

/// A block that was said.
fn block(part: &Part) -> Value {
    match part.kind {
        Kind::Thoughts => json!({"type": "thinking", "thinking": part.text, "signature": ""}),
        Kind::Text => json!({"type": "text", "text": part.text}),
        // What is kept of a call's input is an object, or nothing.
        Kind::Call(_) => {
            let input: Map<String, Value> = serde_json::from_str(&part.text).unwrap_or_default();
            json!({"type": "tool_use", "id": part.call_id, "name": part.name, "input": input})
        }
    }
}

/// Engines do not tell alike which text ended an answer, so that is said of none.
fn stop_reason(answer: &Answer) -> &'static str {
    // vLLM says `stop` when it was told which tool to call.
    let calls = answer.parts.iter().any(|part| matches!(part.kind, Kind::Call(_)));
    match answer.finish_reason.as_deref() {
        Some("length") => "max_tokens",
        Some("content_filter") => "refusal",
        _ if calls => "tool_use",
        _ => "end_turn",
    }
}

fn usage(prompt_tokens: u64, completion_tokens: u64) -> Value {
    json!({
        "input_tokens": prompt_tokens,
        "output_tokens": completion_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    })
}

/// Appends one event.
fn event(name: &str, mut members: Value, events: &mut Vec<u8>) {
    if let Some(members) = members.as_object_mut() {
        members.insert("type".to_owned(), json!(name));
    }
    events.extend_from_slice(format!("event: {name}\ndata: {members}\n\n").as_bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::MessageWords;
    use crate::limits::{RESPONSE_BYTES_MAX, RESPONSE_ITEM_BYTES};
    use crate::receipt::Metered;
    use crate::said::Untold;
    use crate::telling::Telling;

    fn raw(value: &Value) -> Box<RawValue> {
        RawValue::from_string(value.to_string()).unwrap()
    }

    fn metered() -> Metered {
        Metered { prompt_tokens: 3, completion_tokens: 4, cost: credits::Credits::ZERO }
    }

    fn plain() -> Telling {
        Telling::new(Box::new(MessageWords::new("msg_01", "m")), true)
    }

    fn streamed() -> Telling {
        Telling::new(Box::new(MessageWords::new("msg_01", "m")), false)
    }

    fn call(index: u64, id: Value, name: Value, arguments: &str) -> Value {
        json!({"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]})
    }

    fn deltas() -> Vec<Value> {
        vec![
            json!({"role": "assistant", "content": ""}),
            json!({"reasoning_content": "Hm."}),
            json!({"content": "Let me "}),
            json!({"content": "look."}),
            call(0, json!("c0"), json!("weather"), ""),
            call(0, Value::Null, Value::Null, "{\"a\""),
            call(0, Value::Null, Value::Null, ":1}"),
            call(1, json!(""), json!("time"), "{}"),
        ]
    }

    #[test]
    fn thoughts_text_and_calls_are_blocks_one_after_the_other() {
        let (mut message, mut events) = (streamed(), Vec::new());
        let told: u64 = deltas().iter().map(|delta| message.said(&raw(delta), None, &mut events).unwrap()).sum();
        assert_eq!(told, 3 + 7 + 5 + 9 + 4 + 3 + 2 + u64::try_from("toolu_011time".len()).unwrap());
        message.said(&raw(&json!({})), Some(&raw(&json!("tool_calls"))), &mut events).unwrap();
        message.end(&metered(), &mut events);
        let text = String::from_utf8(events).unwrap();
        let events: Vec<(String, Value)> = text
            .split_terminator("\n\n")
            .map(|event| {
                let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
                let data: Value = serde_json::from_str(data).unwrap();
                assert_eq!(data.get("type").unwrap(), name);
                (name.to_owned(), data)
            })
            .collect();
        let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
        let (start, delta, stop) = ("content_block_start", "content_block_delta", "content_block_stop");
        let expected = [
            "message_start",
            start,
            delta,
            stop,
            start,
            delta,
            delta,
            stop,
            start,
            delta,
            delta,
            stop,
            start,
            delta,
            stop,
            "message_delta",
            "message_stop",
        ];
        assert_eq!(names, expected);
        let said = |at: usize, pointer: &str| events.get(at).unwrap().1.pointer(pointer).unwrap().clone();
        assert_eq!(said(0, "/message/content"), json!([]));
        assert_eq!((said(2, "/delta/thinking"), said(2, "/index")), (json!("Hm."), json!(0)));
        assert_eq!(said(6, "/delta/text"), "look.");
        assert_eq!(said(8, "/content_block"), json!({"type": "tool_use", "id": "c0", "name": "weather", "input": {}}));
        assert_eq!((said(10, "/delta/partial_json"), said(10, "/index")), (json!(":1}"), json!(2)));
        assert_eq!(said(12, "/content_block/id"), "toolu_011");
        assert_eq!((said(15, "/delta/stop_reason"), said(15, "/usage/input_tokens")), (json!("tool_use"), json!(3)));
        assert_eq!(said(15, "/usage/output_tokens"), 4);
    }

    #[test]
    fn a_plain_answer_has_all_blocks() {
        let mut message = plain();
        let said = json!({"content": "Let me look.", "reasoning": "Hm.", "tool_calls": [
            {"id": "c0", "type": "function", "function": {"name": "weather", "arguments": "{\"a\":1}"}},
            {"id": "c1", "type": "function", "function": {"name": "time", "arguments": "{\"cut"}}]});
        message.said(&raw(&said), Some(&raw(&json!("length"))), &mut Vec::new()).unwrap();
        let whole: Value = serde_json::from_str(&message.whole(&metered())).unwrap();
        assert_eq!(
            whole,
            json!({
                "id": "msg_01", "type": "message", "role": "assistant", "model": "m", "stop_reason": "max_tokens", "stop_sequence": null,
                "usage": {"input_tokens": 3, "output_tokens": 4, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": ""},
                    {"type": "text", "text": "Let me look."},
                    {"type": "tool_use", "id": "c0", "name": "weather", "input": {"a": 1}},
                    {"type": "tool_use", "id": "c1", "name": "time", "input": {}},
                ],
            })
        );
    }

    #[test]
    fn what_is_no_message_and_what_is_too_much_is_not_told() {
        let refuses = |delta: &Value| plain().said(&raw(delta), None, &mut Vec::new()) == Err(Untold);
        // Half of a call's input, where nothing was cut, is no input; one that means the same in fewer words is counted in those.
        assert!(refuses(&call(0, json!("c"), json!("f"), "{\"cut")) && refuses(&call(0, json!("c"), json!("f"), "[]")));
        let mut message = plain();
        let padded = format!("{{{}}}", " ".repeat(1000));
        let told = message.said(&raw(&call(0, json!("c"), json!("f"), &padded)), None, &mut Vec::new());
        assert_eq!(told, Ok(4));
        assert!(message.whole(&metered()).contains(r#""stop_reason":"tool_use""#));
        assert!(
            refuses(&json!({"content": 1})) && refuses(&json!("text")) && refuses(&call(0, json!("c"), json!(""), ""))
        );
        let (mut message, mut events) = (plain(), Vec::new());
        let half = json!({"content": "x".repeat(RESPONSE_BYTES_MAX / 2)});
        assert!(message.said(&raw(&half), None, &mut events).is_ok());
        assert_eq!(message.said(&raw(&half), None, &mut events), Err(Untold));
        // A stream keeps no text, but what each block costs.
        let (mut message, mut events) = (streamed(), Vec::new());
        assert!(message.said(&raw(&half), None, &mut events).is_ok());
        assert!(message.said(&raw(&half), None, &mut events).is_ok());
        let told = (0..).take_while(|number| {
            message.said(&raw(&call(*number, json!("c"), json!("f"), "")), None, &mut events).is_ok()
        });
        assert_eq!(told.count(), (RESPONSE_BYTES_MAX - RESPONSE_ITEM_BYTES) / (RESPONSE_ITEM_BYTES + 2));
        let mut message = streamed();
        let long = "f".repeat(RESPONSE_BYTES_MAX);
        assert_eq!(message.said(&raw(&call(0, json!("c"), json!(long), "")), None, &mut events), Err(Untold));
        // A call that was left is not taken up again.
        let mut message = streamed();
        for number in [0, 1] {
            message.said(&raw(&call(number, json!("c"), json!("f"), "")), None, &mut events).unwrap();
        }
        assert_eq!(message.said(&raw(&call(0, Value::Null, Value::Null, "{}")), None, &mut events), Err(Untold));
    }
}
