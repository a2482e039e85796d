//! Records as stores keep them: JSON of the same types that go over the wire.

use credits::merkle::LogFrontier;
use credits::tree::{ANCHOR_LIFE, ANCHOR_STEP};
use credits::{Bytes32, NoteFrontier, Root};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::StoreError;
use crate::storage::{Heads, Totals};

/// What every transaction starts from and rewrites.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Meta {
    /// Whose database this is.
    pub(crate) ledger_id: Bytes32,
    /// The log, for appending.
    pub(crate) log: LogFrontier,
    /// The note tree, for appending.
    pub(crate) notes: NoteFrontier,
    /// The sums.
    pub(crate) totals: Totals,
    /// The heads of the two trees above.
    pub(crate) heads: Heads,
}

impl Meta {
    pub(crate) fn empty(ledger_id: Bytes32) -> Self {
        let (log, notes) = (LogFrontier::new(), NoteFrontier::new());
        let heads = heads(&log, &notes);
        Self { ledger_id, log, notes, totals: Totals::default(), heads }
    }

    /// Brings the heads up to the trees.
    pub(crate) fn update_heads(&mut self) {
        self.heads = heads(&self.log, &self.notes);
    }
}

fn heads(log: &LogFrontier, notes: &NoteFrontier) -> Heads {
    Heads { log_size: log.size(), log_root: log.root(), note_count: notes.len(), note_root: notes.root() }
}

pub(crate) fn encode<T: Serialize>(record: &'static str, value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|source| StoreError::Record { record, source })
}

pub(crate) fn decode<T: DeserializeOwned>(record: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|source| StoreError::Record { record, source })
}

/// How many notes behind roots are remembered.
pub(crate) const fn roots_kept(window: u64) -> u64 {
    if window > ANCHOR_LIFE { window } else { ANCHOR_LIFE }
}

/// Whether a root over so many notes is an anchor, recorded whether or not a transaction ended there.
pub(crate) const fn is_anchor(count: u64) -> bool {
    count.is_multiple_of(ANCHOR_STEP)
}

/// Whether a root is the current one, or was recorded for a number of notes that is fewer than `window` behind; for an anchor
/// fewer than its life.
pub(crate) fn is_recent(heads: &Heads, root: &Root, recorded_count: Option<u64>, window: u64) -> bool {
    let is_recent = |count: u64| {
        let life = if is_anchor(count) { roots_kept(window) } else { window };
        heads.note_count.checked_sub(count).is_some_and(|age| age < life)
    };
    *root == heads.note_root || recorded_count.is_some_and(is_recent)
}
