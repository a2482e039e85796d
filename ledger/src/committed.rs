//! What one transaction left, kept in memory so that its operations are answered without reading it back.

use std::collections::HashMap;

use credits::claim::LastClaim;
use credits::merkle::LogFrontier;
use credits::state::SpendState;
use credits::{Bond, Bytes32, Credits, Inner, LogEntry, Nullifier, Root};

use crate::error::StoreError;
use crate::storage::{Facts, Heads, Totals, View};

/// A state that one transaction committed, as far as the answers to its operations need it. What it does not hold is an error, and is
/// then read from the store.
///
/// Proofs about entries of the transaction need nothing older than its beginning but the complete subtrees that the log then consisted
/// of: a node beside the path of a new entry is one of those, or was completed since.
#[derive(Clone, Debug)]
pub struct Committed {
    heads: Heads,
    totals: Totals,
    /// Position of the first of `entries`.
    first_entry: u64,
    entries: Vec<LogEntry>,
    nodes: HashMap<(u8, u64), Bytes32>,
    spends: HashMap<Nullifier, SpendState>,
}

impl Committed {
    /// Nothing yet, after a state.
    pub(crate) fn after(log: &LogFrontier, heads: Heads, totals: Totals) -> Self {
        let mut nodes = HashMap::new();
        let mut covered: u64 = 0;
        let levels = (0..u8::try_from(u64::BITS).unwrap_or(u8::MAX)).rev().filter(|level| log.size() >> level & 1 == 1);
        for (level, peak) in levels.zip(log.peaks()) {
            nodes.insert((level, covered >> level), *peak);
            covered |= 1 << level;
        }
        Self { heads, totals, first_entry: log.size(), entries: Vec::new(), nodes, spends: HashMap::new() }
    }

    /// An entry was appended.
    pub(crate) fn note_entry(&mut self, entry: &LogEntry) {
        self.entries.push(entry.clone());
    }

    /// A subtree of the log was completed.
    pub(crate) fn note_node(&mut self, level: u8, index: u64, hash: Bytes32) {
        self.nodes.insert((level, index), hash);
    }

    /// A spend was recorded, or its record was changed.
    pub(crate) fn note_spend(&mut self, nullifier: &Nullifier, state: &SpendState) {
        self.spends.insert(*nullifier, state.clone());
    }

    /// The heads and sums it ended with.
    pub(crate) fn ended(mut self, heads: Heads, totals: Totals) -> Self {
        (self.heads, self.totals) = (heads, totals);
        self
    }
}

/// Something that only the store holds.
fn only_stored<T>() -> Result<T, StoreError> {
    Err(StoreError::Missing { record: "record in one transaction" })
}

impl Facts for Committed {
    fn spend(&self, nullifier: &Nullifier) -> Result<Option<SpendState>, StoreError> {
        self.spends.get(nullifier).cloned().map_or_else(only_stored, |state| Ok(Some(state)))
    }

    fn inner_used(&self, _inner: &Inner) -> Result<bool, StoreError> {
        only_stored()
    }

    fn root_recent(&self, _root: &Root, _window: u64) -> Result<bool, StoreError> {
        only_stored()
    }
}

impl View for Committed {
    fn heads(&self) -> Heads {
        self.heads
    }

    fn totals(&self) -> Totals {
        self.totals
    }

    fn nodes(&self, wanted: &[(u8, u64)]) -> Result<Vec<Bytes32>, StoreError> {
        let nodes: Option<_> = wanted.iter().map(|position| self.nodes.get(position).copied()).collect();
        nodes.map_or_else(only_stored, Ok)
    }

    fn entries(&self, from: u64, count: u64) -> Result<Vec<LogEntry>, StoreError> {
        let first = from.checked_sub(self.first_entry).and_then(|first| usize::try_from(first).ok());
        let count = usize::try_from(count).ok();
        let range = first.zip(count).and_then(|(first, count)| Some(first..first.checked_add(count)?));
        range.and_then(|range| self.entries.get(range)).map_or_else(only_stored, |entries| Ok(entries.to_vec()))
    }

    fn payee_owed(&self, _payee: &Bytes32) -> Result<Credits, StoreError> {
        only_stored()
    }

    fn last_claim(&self, _payee: &Bytes32) -> Result<Option<LastClaim>, StoreError> {
        only_stored()
    }

    fn bond(&self, _payee: &Bytes32) -> Result<Option<Bond>, StoreError> {
        only_stored()
    }
}

#[cfg(test)]
mod tests {
    use credits::Fe;
    use credits::merkle::{LogTree, inclusion_proof, leaf_hash};

    use super::*;
    use crate::answers::inclusion;

    fn heads(tree: &LogTree) -> Heads {
        Heads { log_size: tree.size(), log_root: tree.root(), note_count: 0, note_root: Root(Fe::ZERO) }
    }

    #[test]
    fn every_entry_of_a_transaction_is_proved_from_what_the_transaction_left() {
        let leaf = |position: u64| leaf_hash(&position.to_be_bytes());
        for before in 0..40 {
            for count in 1..20 {
                let (mut frontier, mut tree) = (LogFrontier::new(), LogTree::default());
                for position in 0..before {
                    frontier.append(leaf(position));
                    tree.append(leaf(position));
                }
                let mut committed = Committed::after(&frontier, heads(&tree), Totals::default());
                for position in before..before + count {
                    frontier.append_with(leaf(position), |level, index, hash| committed.note_node(level, index, hash));
                    tree.append(leaf(position));
                }
                let committed = committed.ended(heads(&tree), Totals::default());
                for position in before..before + count {
                    let node = |level, index| tree.node(level, index).ok_or(());
                    let proof = inclusion_proof(position, tree.size(), node).unwrap();
                    assert_eq!(inclusion(&committed, position).unwrap(), proof, "{position} of {before} + {count}");
                }
            }
        }
    }

    #[test]
    fn what_is_older_than_the_transaction_is_left_to_the_store() {
        let (mut frontier, mut tree) = (LogFrontier::new(), LogTree::default());
        for position in 0..5_u64 {
            frontier.append(leaf_hash(&position.to_be_bytes()));
            tree.append(leaf_hash(&position.to_be_bytes()));
        }
        let committed = Committed::after(&frontier, heads(&tree), Totals::default());
        let nullifier = Nullifier(Fe::from(1));
        assert!(matches!(committed.spend(&nullifier), Err(StoreError::Missing { .. })));
        for (from, count) in [(4, 1), (5, 1), (0, 1), (u64::MAX, 1), (5, u64::MAX)] {
            assert!(matches!(committed.entries(from, count), Err(StoreError::Missing { .. })), "{from} {count}");
        }
        assert!(matches!(inclusion(&committed, 0), Err(StoreError::Missing { .. })));
    }
}
