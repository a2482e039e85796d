//! The items that a response is a row of.

use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Reasoning,
    Message,
    /// The engine's number of the call.
    Call(u64),
}

impl Kind {
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Reasoning => "rs",
            Self::Message => "msg",
            Self::Call(_) => "fc",
        }
    }

    /// How events that tell its text are called.
    pub(super) fn text_event(self) -> &'static str {
        match self {
            Self::Reasoning => "reasoning_text",
            Self::Message => "output_text",
            Self::Call(_) => "function_call_arguments",
        }
    }
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) text: String,
    pub(super) call_id: String,
    pub(super) name: String,
}

impl Item {
    pub(super) fn part(&self, text: &str) -> Value {
        match self.kind {
            Kind::Reasoning => json!({"type": "reasoning_text", "text": text}),
            Kind::Message | Kind::Call(_) => {
                json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
            }
        }
    }

    pub(super) fn as_json(&self, status: &str, is_empty: bool) -> Value {
        let text = if is_empty { "" } else { self.text.as_str() };
        let parts = if is_empty { Vec::new() } else { vec![self.part(text)] };
        let Self { id, call_id, name, .. } = self;
        match self.kind {
            Kind::Reasoning => {
                json!({"id": id, "type": "reasoning", "status": status, "summary": [], "content": parts})
            }
            Kind::Message => {
                json!({"id": id, "type": "message", "role": "assistant", "status": status, "content": parts})
            }
            Kind::Call(_) => json!({"id": id, "type": "function_call", "status": status, "call_id": call_id,
                "name": name, "arguments": text}),
        }
    }
}
