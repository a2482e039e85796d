//! What the guardian counts of an answer itself. The engine is not trusted with money: it says how many tokens it made, and this
//! says how many at most it can have made, and when it has said more than any honest one would.

use serde_json::Value;

use crate::limits::{
    ENGINE_BYTES_BASE, ENGINE_BYTES_PER_TOKEN, ENGINE_EVENTS_BASE, ENGINE_EVENTS_PER_TOKEN, TOKENS_WITHOUT_TEXT,
};

/// Counts of one answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Recount {
    bytes: u64,
    events: u64,
    relayed: u64,
    text_bytes: u64,
}

impl Recount {
    /// Bytes arrived, whatever they mean.
    pub fn bytes(&mut self, count: usize) {
        self.bytes = self.bytes.saturating_add(count_of(count));
    }

    /// An event arrived, whatever it says.
    pub fn event(&mut self) {
        self.events = self.events.saturating_add(1);
    }

    /// These choices go to the client, as they are here. What the client does not get cannot be charged.
    pub fn relayed(&mut self, choices: &[Value]) {
        self.relayed = self.relayed.saturating_add(1);
        for choice in choices {
            let said = ["delta", "message", "text"].iter().filter_map(|name| choice.get(*name)).map(text_bytes);
            self.text_bytes = said.fold(self.text_bytes, u64::saturating_add);
        }
    }

    /// Most completion tokens that can have been made: each has a byte of text or an event of its own, but for the few at the ends
    /// of choices and those whose text ended one (`stop_bytes` at most).
    #[must_use]
    pub fn tokens_max(&self, choices: u64, stop_bytes: u64) -> u64 {
        let unsaid = choices.saturating_mul(TOKENS_WITHOUT_TEXT.saturating_add(stop_bytes));
        self.text_bytes.saturating_add(self.relayed).saturating_add(unsaid)
    }

    /// Whether more came than an answer of so many tokens has.
    #[must_use]
    pub fn is_too_much(&self, tokens: u64) -> bool {
        let bytes = tokens.saturating_mul(ENGINE_BYTES_PER_TOKEN).saturating_add(ENGINE_BYTES_BASE);
        let events = tokens.saturating_mul(ENGINE_EVENTS_PER_TOKEN).saturating_add(ENGINE_EVENTS_BASE);
        self.bytes > bytes || self.events > events
    }
}

/// Bytes of all strings in a value, whatever the member is called: content, reasoning, arguments of tools.
fn text_bytes(value: &Value) -> u64 {
    match value {
        Value::String(text) => count_of(text.len()),
        Value::Array(items) => items.iter().map(text_bytes).fold(0, u64::saturating_add),
        Value::Object(members) => members.values().map(text_bytes).fold(0, u64::saturating_add),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn count_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Recount;
    use crate::limits::{ENGINE_BYTES_BASE, ENGINE_EVENTS_BASE, TOKENS_WITHOUT_TEXT};

    #[test]
    fn text_of_every_kind_counts_and_names_do_not() {
        let mut recount = Recount::default();
        recount.relayed(&[json!({"index": 0, "delta": {"content": "four", "reasoning_content": "four"}})]);
        recount
            .relayed(&[json!({"delta": {"tool_calls": [{"function": {"arguments": "{}"}}]}, "logprobs": {"x": "no"}})]);
        assert_eq!(recount.tokens_max(1, 0), 4 + 4 + 2 + 2 + TOKENS_WITHOUT_TEXT);
        recount.relayed(&[json!({"index": 0, "text": "four", "logprobs": {"tokens": ["no"]}})]);
        assert_eq!(recount.tokens_max(1, 0), 4 + 4 + 2 + 4 + 3 + TOKENS_WITHOUT_TEXT);
    }

    #[test]
    fn more_than_an_answer_has_is_told() {
        let mut recount = Recount::default();
        for _ in 0..ENGINE_EVENTS_BASE {
            recount.event();
        }
        assert!(!recount.is_too_much(0));
        recount.event();
        assert!(recount.is_too_much(0) && !recount.is_too_much(1));
        let mut recount = Recount::default();
        recount.bytes(usize::try_from(ENGINE_BYTES_BASE).unwrap());
        assert!(!recount.is_too_much(0));
        recount.bytes(1);
        assert!(recount.is_too_much(0) && !recount.is_too_much(1));
    }
}
