//! The items that a response is a row of.

use serde_json::{Value, json};

use crate::telling::{Kind, Part};

/// How ids of items of a kind begin.
pub(super) fn prefix(kind: Kind) -> &'static str {
    match kind {
        Kind::Thoughts => "rs",
        Kind::Text => "msg",
        Kind::Call(_) => "fc",
    }
}

/// How events that tell an item's text are called.
pub(super) fn text_event(kind: Kind) -> &'static str {
    match kind {
        Kind::Thoughts => "reasoning_text",
        Kind::Text => "output_text",
        Kind::Call(_) => "function_call_arguments",
    }
}

/// The content of an item that is no call.
pub(super) fn content(kind: Kind, text: &str) -> Value {
    match kind {
        Kind::Thoughts => json!({"type": "reasoning_text", "text": text}),
        Kind::Text | Kind::Call(_) => json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}),
    }
}

/// An item that was said.
pub(super) fn whole(id: &str, part: &Part) -> Value {
    as_json(id, part, "completed", &part.text, vec![content(part.kind, &part.text)])
}

/// An item that says nothing yet.
pub(super) fn begun(id: &str, part: &Part) -> Value {
    as_json(id, part, "in_progress", "", Vec::new())
}

fn as_json(id: &str, part: &Part, status: &str, text: &str, content: Vec<Value>) -> Value {
    match part.kind {
        Kind::Thoughts => {
            json!({"id": id, "type": "reasoning", "status": status, "summary": [], "content": content})
        }
        Kind::Text => {
            json!({"id": id, "type": "message", "role": "assistant", "status": status, "content": content})
        }
        Kind::Call(_) => json!({"id": id, "type": "function_call", "status": status, "call_id": part.call_id,
            "name": part.name, "arguments": text}),
    }
}
