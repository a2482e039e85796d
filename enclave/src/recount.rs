//! What the guardian counts of an answer itself. The engine is not trusted with money: it says how many tokens it made, and this
//! says how many at most it can have made, and when it has said more than any honest one would.

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

    /// So much text goes to the client, in one event or answer. What the client does not get cannot be charged.
    pub fn relayed(&mut self, text_bytes: u64) {
        self.relayed = self.relayed.saturating_add(1);
        self.text_bytes = self.text_bytes.saturating_add(text_bytes);
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

fn count_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Recount;
    use crate::limits::{ENGINE_BYTES_BASE, ENGINE_EVENTS_BASE, TOKENS_WITHOUT_TEXT};

    #[test]
    fn an_event_or_a_byte_is_a_token_at_most() {
        let mut recount = Recount::default();
        recount.relayed(8);
        recount.relayed(0);
        assert_eq!(recount.tokens_max(1, 0), 8 + 2 + TOKENS_WITHOUT_TEXT);
        assert_eq!(recount.tokens_max(2, 5), 8 + 2 + 2 * (TOKENS_WITHOUT_TEXT + 5));
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
