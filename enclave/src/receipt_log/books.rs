//! What is in the log, what is on the way there, and where the newest receipts are in it.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use credits::{Bytes32, LogFrontier};
use tlog::service::APPEND_ENTRIES_MAX;
use tlog::{Checkpoint, ReceiptLogEntry};

use super::nodes::Nodes;
use crate::limits::RECEIPTS_HELD_MAX;

#[derive(Debug, Default)]
pub(super) struct Books {
    /// When the last round began that ended well.
    pub(super) kept: Option<Instant>,
    /// What was acknowledged.
    frontier: LogFrontier,
    nodes: Nodes,
    /// What was not, oldest first.
    pending: VecDeque<ReceiptLogEntry>,
    /// Where entries are that may be asked for; nowhere yet, for what is pending.
    places: HashMap<ReceiptLogEntry, Option<u64>>,
    /// The same, oldest first.
    order: VecDeque<ReceiptLogEntry>,
}

impl Books {
    pub(super) fn new(frontier: LogFrontier) -> Self {
        let nodes = Nodes::new(&frontier);
        Self { frontier, nodes, ..Self::default() }
    }

    pub(super) fn put(&mut self, entry: ReceiptLogEntry) {
        self.pending.push_back(entry);
        self.places.insert(entry, None);
        self.order.push_back(entry);
        if self.order.len() > RECEIPTS_HELD_MAX
            && let Some(oldest) = self.order.pop_front()
            && let Some(Some(index)) = self.places.remove(&oldest)
        {
            self.nodes.forget(index);
        }
    }

    /// Whether this boot has an entry in the log.
    pub(super) fn is_begun(&self) -> bool {
        self.frontier.size() > 0 && self.pending.is_empty()
    }

    pub(super) fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// What is appended next, and behind how many. Nothing, if nothing waits.
    pub(super) fn next(&self) -> Option<(u64, Vec<ReceiptLogEntry>)> {
        let entries: Vec<_> = self.pending.iter().take(APPEND_ENTRIES_MAX).copied().collect();
        (!entries.is_empty()).then(|| (self.frontier.size(), entries))
    }

    /// The first `count` of those that waited are in the log.
    pub(super) fn appended(&mut self, count: usize) {
        for entry in self.pending.drain(..count.min(self.pending.len())) {
            let index = self.frontier.size();
            self.nodes.append(&mut self.frontier, entry.leaf_hash());
            match self.places.get_mut(&entry) {
                Some(place) => *place = Some(index),
                // It gave way while it waited.
                None => self.nodes.forget(index),
            }
        }
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { size: self.frontier.size(), root: self.frontier.root() }
    }

    /// The proof that the entry at `index` is among the first `size`.
    pub(super) fn inclusion(&self, index: u64, size: u64) -> Option<Vec<Bytes32>> {
        self.nodes.inclusion(index, size)
    }

    /// Where an entry is: nothing if it is not known, nowhere if it is pending.
    pub(super) fn index_of(&self, entry: &ReceiptLogEntry) -> Option<Option<u64>> {
        self.places.get(entry).copied()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use attestation::Sha256Digest;

    use super::*;

    fn receipt(number: usize) -> ReceiptLogEntry {
        ReceiptLogEntry::Receipt(Sha256Digest::of(&number.to_be_bytes()))
    }

    #[test]
    fn places_are_known_once_appended_and_until_they_give_way() {
        let mut books = Books::new(LogFrontier::new());
        for number in 0..3 {
            books.put(receipt(number));
        }
        assert_eq!((books.index_of(&receipt(0)), books.index_of(&receipt(9))), (Some(None), None));
        assert_eq!(books.next().unwrap(), (0, vec![receipt(0), receipt(1), receipt(2)]));
        books.appended(2);
        assert_eq!((books.index_of(&receipt(1)), books.index_of(&receipt(2))), (Some(Some(1)), Some(None)));
        assert_eq!((books.next().unwrap(), books.checkpoint().size), ((2, vec![receipt(2)]), 2));
        books.appended(99);
        assert_eq!((books.next(), books.checkpoint().size), (None, 3));
        for number in 3..RECEIPTS_HELD_MAX + 1 {
            books.put(receipt(number));
        }
        assert_eq!((books.index_of(&receipt(0)), books.index_of(&receipt(1))), (None, Some(Some(1))));
        let (from, batch) = books.next().unwrap();
        assert_eq!((from, batch.len()), (3, APPEND_ENTRIES_MAX));
    }
}
