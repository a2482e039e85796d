//! What the engine says in a chat → a message and its events.
//!
//! On entry parts of an engine's answer, which may be hostile. On exit Anthropic's members only. A message is a row of blocks: what the
//! model thought, what it says, which tools it calls. Only a plain answer's are kept, within a limit; a stream forgets what it told.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::chunk::EngineChoice;
use crate::limits::{RESPONSE_BYTES_MAX, RESPONSE_ITEM_BYTES};
use crate::receipt::Metered;
use crate::said::{Said, SaidCall, Untold};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Thinking,
    Text,
    /// The engine's number of the call.
    Tool(u64),
}

#[derive(Debug)]
struct Block {
    kind: Kind,
    text: String,
    id: String,
    name: String,
}

impl Block {
    fn begun(&self) -> Value {
        match self.kind {
            Kind::Thinking => json!({"type": "thinking", "thinking": "", "signature": ""}),
            Kind::Text => json!({"type": "text", "text": ""}),
            Kind::Tool(_) => json!({"type": "tool_use", "id": self.id, "name": self.name, "input": {}}),
        }
    }

    fn delta(&self, text: &str) -> Value {
        match self.kind {
            Kind::Thinking => json!({"type": "thinking_delta", "thinking": text}),
            Kind::Text => json!({"type": "text_delta", "text": text}),
            Kind::Tool(_) => json!({"type": "input_json_delta", "partial_json": text}),
        }
    }

    fn whole(&self) -> Value {
        match self.kind {
            Kind::Thinking => json!({"type": "thinking", "thinking": self.text, "signature": ""}),
            Kind::Text => json!({"type": "text", "text": self.text}),
            // What is kept of a call's input is an object, or nothing.
            Kind::Tool(_) => {
                let input: Map<String, Value> = serde_json::from_str(&self.text).unwrap_or_default();
                json!({"type": "tool_use", "id": self.id, "name": self.name, "input": input})
            }
        }
    }
}

/// A message as it grows.
#[derive(Debug)]
pub struct MessageInProgress {
    id: String,
    model: String,
    /// A plain answer keeps what its blocks say.
    keeps: bool,
    blocks: Vec<Block>,
    open: bool,
    bytes: usize,
    told: u64,
    finish_reason: Option<String>,
    begun: bool,
}

impl MessageInProgress {
    /// A message that says nothing yet; a plain answer's is kept.
    #[must_use]
    pub fn new(id: &str, model: &str, keeps: bool) -> Self {
        Self {
            id: id.to_owned(),
            model: model.to_owned(),
            keeps,
            blocks: Vec::new(),
            open: false,
            bytes: 0,
            told: 0,
            finish_reason: None,
            begun: false,
        }
    }

    /// The whole message, once a plain answer was said.
    #[must_use]
    pub fn whole(&self, metered: &Metered) -> String {
        let content: Vec<Value> = self.blocks.iter().map(Block::whole).collect();
        self.as_json(content, self.stop_reason(), metered.prompt_tokens, metered.completion_tokens).to_string()
    }

    /// Takes what an event of the engine adds, or all of a plain answer; appends the events that tell it. How many bytes of what was said
    /// are told: what is not cannot be charged.
    ///
    /// # Errors
    /// [`Untold`], also when there is not one choice.
    pub fn tell(&mut self, choices: &[EngineChoice<'_>], events: &mut Vec<u8>) -> Result<u64, Untold> {
        let [choice] = choices else { return Err(Untold) };
        let said = choice.part("delta").or_else(|| choice.part("message")).ok_or(Untold)?;
        self.said(said, choice.part("finish_reason"), events)
    }

    fn said(
        &mut self,
        delta: &RawValue,
        finish_reason: Option<&RawValue>,
        events: &mut Vec<u8>,
    ) -> Result<u64, Untold> {
        let told_before = self.told;
        self.begin(events);
        let said: Said = serde_json::from_str(delta.get()).map_err(|_| Untold)?;
        if let Some(reason) = finish_reason {
            let reason: Option<String> = serde_json::from_str(reason.get()).map_err(|_| Untold)?;
            self.finish_reason = reason.or(self.finish_reason.take());
        }
        for (kind, text) in [(Kind::Thinking, said.reasoning.or(said.reasoning_content)), (Kind::Text, said.content)] {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                if !self.is_open(kind) {
                    self.start(kind, String::new(), String::new(), events)?;
                }
                self.add(&text, events)?;
            }
        }
        for (position, call) in said.tool_calls.unwrap_or_default().into_iter().enumerate() {
            let number = call.index.or_else(|| u64::try_from(position).ok()).ok_or(Untold)?;
            self.call(number, call, events)?;
        }
        Ok(self.told.saturating_sub(told_before))
    }

    /// Appends the last events.
    pub fn end(&mut self, metered: &Metered, events: &mut Vec<u8>) {
        self.begin(events);
        self.close(events);
        let delta = json!({"stop_reason": self.stop_reason(), "stop_sequence": null});
        let usage = usage(metered.prompt_tokens, metered.completion_tokens);
        event("message_delta", json!({"delta": delta, "usage": usage}), events);
        event("message_stop", json!({}), events);
    }

    /// The prompt's tokens are known at the end, where they are said.
    fn begin(&mut self, events: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            event("message_start", json!({"message": self.as_json(Vec::new(), Value::Null, 0, 0)}), events);
        }
    }

    fn is_open(&self, kind: Kind) -> bool {
        self.open && self.blocks.last().is_some_and(|block| block.kind == kind)
    }

    /// Takes a piece of a call; its name and id come with its first.
    fn call(&mut self, number: u64, call: SaidCall, events: &mut Vec<u8>) -> Result<(), Untold> {
        let kind = Kind::Tool(number);
        let (name, arguments) = call.function.map_or((None, None), |function| (function.name, function.arguments));
        if !self.is_open(kind) {
            // A call that was left is not taken up again.
            if self.blocks.iter().any(|block| block.kind == kind) {
                return Err(Untold);
            }
            let name = name.filter(|name| !name.is_empty()).ok_or(Untold)?;
            let digits = self.id.strip_prefix("msg_").unwrap_or(&self.id);
            let made = || format!("toolu_{digits}{number}");
            let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(made);
            // A stream keeps these too.
            let length = id.len().saturating_add(name.len());
            self.count(length)?;
            self.told = self.told.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
            self.start(kind, id, name, events)?;
        }
        match arguments.filter(|arguments| !arguments.is_empty()) {
            Some(arguments) if self.keeps => match self.input(&arguments)? {
                Some(input) => self.add(&input, events),
                None => Ok(()),
            },
            Some(arguments) => self.add(&arguments, events),
            None => Ok(()),
        }
    }

    /// A whole call's input, as it is told: an object. An answer that was cut in the middle of one has half of it, which is nothing.
    fn input(&self, arguments: &str) -> Result<Option<String>, Untold> {
        match serde_json::from_str::<Map<String, Value>>(arguments) {
            Ok(input) => Ok(Some(Value::Object(input).to_string())),
            Err(_) if self.finish_reason.as_deref() == Some("length") => Ok(None),
            Err(_) => Err(Untold),
        }
    }

    fn start(&mut self, kind: Kind, id: String, name: String, events: &mut Vec<u8>) -> Result<(), Untold> {
        // Each costs memory, however little it says.
        self.count(RESPONSE_ITEM_BYTES)?;
        self.close(events);
        let block = Block { kind, text: String::new(), id, name };
        let begun = json!({"index": self.blocks.len(), "content_block": block.begun()});
        self.blocks.push(block);
        self.open = true;
        event("content_block_start", begun, events);
        Ok(())
    }

    fn add(&mut self, text: &str, events: &mut Vec<u8>) -> Result<(), Untold> {
        self.count_told(text.len())?;
        let index = self.blocks.len().saturating_sub(1);
        let keeps = self.keeps;
        let block = self.blocks.last_mut().ok_or(Untold)?;
        if keeps {
            block.text.push_str(text);
        }
        event("content_block_delta", json!({"index": index, "delta": block.delta(text)}), events);
        Ok(())
    }

    fn close(&mut self, events: &mut Vec<u8>) {
        if std::mem::replace(&mut self.open, false) {
            event("content_block_stop", json!({"index": self.blocks.len().saturating_sub(1)}), events);
        }
    }

    fn count_told(&mut self, bytes: usize) -> Result<(), Untold> {
        self.told = self.told.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.keeps { self.count(bytes) } else { Ok(()) }
    }

    fn count(&mut self, bytes: usize) -> Result<(), Untold> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > RESPONSE_BYTES_MAX { Err(Untold) } else { Ok(()) }
    }

    /// Engines do not tell alike which text ended an answer, so that is said of none.
    fn stop_reason(&self) -> Value {
        // vLLM says `stop` when it was told which tool to call.
        let calls = self.blocks.iter().any(|block| matches!(block.kind, Kind::Tool(_)));
        json!(match self.finish_reason.as_deref() {
            Some("length") => "max_tokens",
            Some("content_filter") => "refusal",
            _ if calls => "tool_use",
            _ => "end_turn",
        })
    }

    fn as_json(&self, content: Vec<Value>, stop_reason: Value, prompt_tokens: u64, completion_tokens: u64) -> Value {
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": null,
            "usage": usage(prompt_tokens, completion_tokens),
        })
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

    use super::MessageInProgress;
    use crate::limits::{RESPONSE_BYTES_MAX, RESPONSE_ITEM_BYTES};
    use crate::receipt::Metered;
    use crate::said::Untold;

    fn raw(value: &Value) -> Box<RawValue> {
        RawValue::from_string(value.to_string()).unwrap()
    }

    fn metered() -> Metered {
        Metered { prompt_tokens: 3, completion_tokens: 4, cost: credits::Credits::ZERO }
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
        let (mut message, mut events) = (MessageInProgress::new("msg_01", "m", false), Vec::new());
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
        let mut message = MessageInProgress::new("msg_01", "m", true);
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
        let refuses = |delta: &Value| {
            MessageInProgress::new("msg_01", "m", true).said(&raw(delta), None, &mut Vec::new()) == Err(Untold)
        };
        // Half of a call's input, where nothing was cut, is no input; one that means the same in fewer words is counted in those.
        assert!(refuses(&call(0, json!("c"), json!("f"), "{\"cut")) && refuses(&call(0, json!("c"), json!("f"), "[]")));
        let mut message = MessageInProgress::new("msg_01", "m", true);
        let padded = format!("{{{}}}", " ".repeat(1000));
        let told = message.said(&raw(&call(0, json!("c"), json!("f"), &padded)), None, &mut Vec::new());
        assert_eq!(told, Ok(4));
        assert_eq!(message.stop_reason(), "tool_use");
        assert!(
            refuses(&json!({"content": 1})) && refuses(&json!("text")) && refuses(&call(0, json!("c"), json!(""), ""))
        );
        let (mut message, mut events) = (MessageInProgress::new("msg_01", "m", true), Vec::new());
        let half = json!({"content": "x".repeat(RESPONSE_BYTES_MAX / 2)});
        assert!(message.said(&raw(&half), None, &mut events).is_ok());
        assert_eq!(message.said(&raw(&half), None, &mut events), Err(Untold));
        // A stream keeps no text, but what each block costs.
        let (mut message, mut events) = (MessageInProgress::new("msg_01", "m", false), Vec::new());
        assert!(message.said(&raw(&half), None, &mut events).is_ok());
        assert!(message.said(&raw(&half), None, &mut events).is_ok());
        let told = (0..).take_while(|number| {
            message.said(&raw(&call(*number, json!("c"), json!("f"), "")), None, &mut events).is_ok()
        });
        assert_eq!(told.count(), (RESPONSE_BYTES_MAX - RESPONSE_ITEM_BYTES) / (RESPONSE_ITEM_BYTES + 2));
        let mut message = MessageInProgress::new("msg_01", "m", false);
        let long = "f".repeat(RESPONSE_BYTES_MAX);
        assert_eq!(message.said(&raw(&call(0, json!("c"), json!(long), "")), None, &mut events), Err(Untold));
        // A call that was left is not taken up again.
        let mut message = MessageInProgress::new("msg_01", "m", false);
        for number in [0, 1] {
            message.said(&raw(&call(number, json!("c"), json!("f"), "")), None, &mut events).unwrap();
        }
        assert_eq!(message.said(&raw(&call(0, Value::Null, Value::Null, "{}")), None, &mut events), Err(Untold));
    }
}
