//! The tables of the database and the forms of their records. Records are JSON: the same types that go over the wire.

use credits::merkle::LogFrontier;
use credits::{Bytes32, NoteFrontier};
use redb::TableDefinition;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::StoreError;
use crate::storage::{Heads, Totals};

/// One record, [`META_KEY`]: the [`Meta`] of the committed state.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Log position → entry.
pub(super) const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
/// Level and index of a complete subtree of the log → its hash.
pub(super) const NODES: TableDefinition<'_, (u8, u64), &[u8; 32]> = TableDefinition::new("nodes");
/// Nullifier → state of the spend. Its keys are the spent set.
pub(super) const SPENDS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("spends");
/// Hidden part of a successor note → nullifier of the spend that used it.
pub(super) const INNERS: TableDefinition<'_, &[u8; 32], &[u8; 32]> = TableDefinition::new("inners");
/// `not_after` and nullifier of every spend that is reserved.
pub(super) const DUE: TableDefinition<'_, (u64, &[u8; 32]), ()> = TableDefinition::new("due");
/// Voucher id → what it was redeemed for.
pub(super) const VOUCHERS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("vouchers");
/// Payee → balance.
pub(super) const PAYEES: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("payees");
/// Recent note root → number of notes under it.
pub(super) const ROOTS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("roots");
/// Number of notes → recent note root.
pub(super) const ROOT_COUNTS: TableDefinition<'_, u64, &[u8; 32]> = TableDefinition::new("root_counts");

/// Key of the one record of [`META`].
pub(super) const META_KEY: &str = "ledger";

/// What every transaction starts from and rewrites.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Meta {
    /// Whose database this is.
    pub(super) ledger_id: Bytes32,
    /// The log, for appending.
    pub(super) log: LogFrontier,
    /// The note tree, for appending.
    pub(super) notes: NoteFrontier,
    /// The sums.
    pub(super) totals: Totals,
    /// The heads of the two trees above.
    pub(super) heads: Heads,
}

impl Meta {
    pub(super) fn empty(ledger_id: Bytes32) -> Self {
        let (log, notes) = (LogFrontier::new(), NoteFrontier::new());
        let heads = heads(&log, &notes);
        Self { ledger_id, log, notes, totals: Totals::default(), heads }
    }

    /// Brings the heads up to the trees.
    pub(super) fn update_heads(&mut self) {
        self.heads = heads(&self.log, &self.notes);
    }
}

fn heads(log: &LogFrontier, notes: &NoteFrontier) -> Heads {
    Heads { log_size: log.size(), log_root: log.root(), note_count: notes.len(), note_root: notes.root() }
}

pub(super) fn encode<T: Serialize>(record: &'static str, value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|source| StoreError::Record { record, source })
}

pub(super) fn decode<T: DeserializeOwned>(record: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|source| StoreError::Record { record, source })
}
