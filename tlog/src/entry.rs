//! What stands in a log of receipts (protocol.md §6.1): digests, and nothing that says of what.
//!
//! A receipt's digest needs no salt: the receipt holds a signature that nobody but its guardian can make, so that only who was given
//! the receipt can tell which leaf is its own.

use attestation::{Lp, Sha256Digest};
use credits::merkle::leaf_hash;
use serde::{Deserialize, Serialize};

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptLogEntry {
    /// A guardian began: the digest of its keyset. What follows was signed by keys of it.
    Boot(Sha256Digest),
    /// SHA-256 of a receipt's canonical JSON, its signature included.
    Receipt(Sha256Digest),
}

/// Bytes of an entry in a file.
pub const RECORD_BYTES: usize = 36;

impl ReceiptLogEntry {
    /// What is hashed.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Boot(digest) => Lp::new("cloister/receipt-log/boot/v1").bytes(&digest.0).finish(),
            Self::Receipt(digest) => Lp::new("cloister/receipt-log/receipt/v1").bytes(&digest.0).finish(),
        }
    }

    /// RFC 9162 §2.1.1 over [`ReceiptLogEntry::bytes`].
    #[must_use]
    pub fn leaf_hash(&self) -> [u8; 32] {
        leaf_hash(&self.bytes())
    }

    /// How it stands in a file: a letter, the digest, and the first bytes of the leaf hash, by which a torn one is told.
    #[must_use]
    pub fn to_record(&self) -> [u8; RECORD_BYTES] {
        let (kind, digest) = match self {
            Self::Boot(digest) => (b'b', digest),
            Self::Receipt(digest) => (b'r', digest),
        };
        let mut record = [kind; RECORD_BYTES];
        let rest = digest.0.into_iter().chain(self.leaf_hash());
        record.iter_mut().skip(1).zip(rest).for_each(|(byte, value)| *byte = value);
        record
    }

    /// Reads that again. Nothing for what is none.
    #[must_use]
    pub fn from_record(record: &[u8; RECORD_BYTES]) -> Option<Self> {
        let (kind, rest) = record.split_first()?;
        let digest = Sha256Digest(*rest.first_chunk()?);
        let entry = match kind {
            b'b' => Self::Boot(digest),
            b'r' => Self::Receipt(digest),
            _ => return None,
        };
        (entry.to_record() == *record).then_some(entry)
    }
}
