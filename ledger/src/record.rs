//! Records as stores keep them: JSON of the same types that go over the wire.

use std::sync::{Arc, Mutex, PoisonError};

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

/// The description that was read last, as it was stored and as what it says: most reads are of the same state as the one before.
#[derive(Default)]
pub(crate) struct LastMeta(Mutex<Option<(Vec<u8>, Arc<Meta>)>>);

impl LastMeta {
    /// Decodes a description, unless it is the last one byte for byte.
    pub(crate) fn decode(&self, record: &[u8]) -> Result<Arc<Meta>, StoreError> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((stored, meta)) = &*last
            && stored == record
        {
            return Ok(Arc::clone(meta));
        }
        let meta = Arc::new(decode("description", record)?);
        *last = Some((record.to_vec(), Arc::clone(&meta)));
        Ok(meta)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_description_is_taken_only_for_the_same_bytes() {
        let (last, mut meta) = (LastMeta::default(), Meta::empty(Bytes32([1; 32])));
        let first = encode("description", &meta).unwrap();
        meta.log.append([2; 32]);
        meta.update_heads();
        let second = encode("description", &meta).unwrap();
        for (record, size) in [(&first, 0), (&second, 1), (&second, 1), (&first, 0)] {
            assert_eq!(last.decode(record).unwrap().heads.log_size, size);
        }
        for length in 0..first.len() {
            let cut = last.decode(&first[..length]);
            assert!(matches!(cut, Err(StoreError::Record { record: "description", .. })), "{length}");
        }
        let trailing = [first.as_slice(), b"}"].concat();
        assert!(matches!(last.decode(&trailing), Err(StoreError::Record { record: "description", .. })));
        assert_eq!(last.decode(&first).unwrap().heads.log_size, 0);
    }
}
