//! Proofs about the log: that it holds an entry, and that it only grew.
//!
//! Inclusion is C2SP tlog-proof v1, a text that ends in the checkpoint it is for. For consistency C2SP has no form of its
//! own: it is a JSON object with the hashes in the order of RFC 9162 §2.1.4.1. What is verified is decided by
//! `credits::merkle`; here is only the form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credits::Bytes32;
use credits::merkle::{leaf_hash, verify_consistency, verify_inclusion};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, decimal, hash};
use crate::error::LogFault;
use crate::note::{LogKey, NOTE_BYTES_MAX};

/// First line of an inclusion proof.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Most hashes of a proof: a tree of 2^64 leaves needs no more on a side, and a consistency proof one more.
const HASHES_MAX: usize = 65;

/// Where an entry is, and how that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProof {
    /// Its position.
    pub index: u64,
    /// RFC 9162 §2.1.3.1, from the leaf up.
    pub hashes: Vec<Bytes32>,
    /// The signed checkpoint the proof leads to.
    pub checkpoint: String,
}

impl LogProof {
    /// The text of the proof.
    #[must_use]
    pub fn to_text(&self) -> String {
        let hashes: String = self.hashes.iter().map(|hash| format!("{}\n", STANDARD.encode(hash.0))).collect();
        format!("{HEADER}\nindex {}\n{hashes}\n{}", self.index, self.checkpoint)
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// [`LogFault::Malformed`]. Extra data is refused too: nobody signs for it, and a release has no use for it.
    pub fn from_text(text: &str) -> Result<Self, LogFault> {
        let bad = |problem: &str| LogFault::malformed("inclusion proof", problem);
        if text.len() > 2 * NOTE_BYTES_MAX {
            return Err(bad("it is too long"));
        }
        let (proof, checkpoint) = text.split_once("\n\n").ok_or_else(|| bad("it has no checkpoint"))?;
        let mut lines = proof.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(bad("its first line is not c2sp.org/tlog-proof@v1"));
        }
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or_else(|| bad("its second line is not the index"))?;
        if lines.clone().count() > HASHES_MAX {
            return Err(bad("it has too many hashes"));
        }
        let hashes: Option<Vec<_>> = lines.map(hash).collect();
        let hashes = hashes.ok_or_else(|| bad("a hash is not 32 bytes in base64"))?;
        Ok(Self { index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// The log's head, once its key is found to have signed it.
    ///
    /// # Errors
    /// See [`Checkpoint::open`].
    pub fn checkpoint(&self, key: &LogKey) -> Result<Checkpoint, LogFault> {
        Checkpoint::open(&self.checkpoint, key)
    }

    /// That the log with this head holds `entry`.
    ///
    /// # Errors
    /// [`LogFault::NotInLog`].
    pub fn verify(&self, entry: &[u8], head: &Checkpoint) -> Result<(), LogFault> {
        verify_inclusion(leaf_hash(entry), self.index, head.size, &self.hashes, &head.root)
            .map_err(|_| LogFault::NotInLog)
    }
}

/// How the log grew from an earlier size to the checkpoint's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Growth {
    /// The earlier size.
    pub from: u64,
    /// RFC 9162 §2.1.4.1, in lowercase hex.
    pub hashes: Vec<Bytes32>,
}

impl Growth {
    /// That the log with head `new` extends the one with head `old`.
    ///
    /// # Errors
    /// [`LogFault::Forked`].
    pub fn verify(&self, old: &Checkpoint, new: &Checkpoint) -> Result<(), LogFault> {
        verify_consistency(old.size, new.size, &self.hashes, &old.root, &new.root)
            .map_err(|_| LogFault::Forked { got: new.size, seen: old.size })
    }
}
