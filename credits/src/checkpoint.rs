//! Signed checkpoints of a ledger: the heads of its log and of its note tree at one moment.
//!
//! A checkpoint that verifies says what the ledger claims, not that it is the newest: whoever reads one compares it with
//! the newest seen before. `docs/protocol.md` §4.3.

use serde::{Deserialize, Serialize};

use crate::bytes::{Bytes32, LengthPrefixed, SignatureBytes};
use crate::hash::sha256;
use crate::keys::{LedgerKey, verify_ed25519};
use crate::note::Root;

/// A signed checkpoint. [`Checkpoint::verify`] decides whether the signature is the ledger's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The ledger.
    pub ledger_id: Bytes32,
    /// Number of log entries.
    pub log_size: u64,
    /// RFC 9162 root over the log entries.
    pub log_root: Bytes32,
    /// Number of notes.
    pub note_count: u64,
    /// Root of the note tree.
    pub note_root: Root,
    /// When it was signed, in Unix seconds by the ledger's clock.
    pub time: u64,
    /// By the ledger key.
    pub signature: SignatureBytes,
}

/// What a checkpoint says, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedCheckpoint {
    /// See [`Checkpoint::ledger_id`].
    pub ledger_id: Bytes32,
    /// See [`Checkpoint::log_size`].
    pub log_size: u64,
    /// See [`Checkpoint::log_root`].
    pub log_root: Bytes32,
    /// See [`Checkpoint::note_count`].
    pub note_count: u64,
    /// See [`Checkpoint::note_root`].
    pub note_root: Root,
    /// See [`Checkpoint::time`].
    pub time: u64,
}

/// A checkpoint that is not the ledger's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The signature does not verify under the ledger key.
    #[error("the checkpoint's signature is not by the ledger key")]
    Signature,
}

impl CheckpointError {
    /// The stable code of the refusal.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Signature => "ledger.checkpoint_signature",
        }
    }
}

impl UnsignedCheckpoint {
    fn message(&self) -> Vec<u8> {
        LengthPrefixed::new("cloister/checkpoint/v1")
            .bytes(self.ledger_id)
            .number(self.log_size)
            .bytes(self.log_root)
            .number(self.note_count)
            .bytes(self.note_root)
            .number(self.time)
            .finish()
    }
}

impl Checkpoint {
    /// Signs a checkpoint.
    pub fn sign(unsigned: UnsignedCheckpoint, key: &LedgerKey) -> Self {
        let signature = key.sign(&unsigned.message());
        let UnsignedCheckpoint { ledger_id, log_size, log_root, note_count, note_root, time } = unsigned;
        Self { ledger_id, log_size, log_root, note_count, note_root, time, signature }
    }

    /// Verifies the signature under the ledger's public key.
    pub fn verify(&self, ledger_key: &Bytes32) -> Result<(), CheckpointError> {
        verify_ed25519(ledger_key, &self.unsigned().message(), &self.signature).map_err(|_| CheckpointError::Signature)
    }

    fn unsigned(&self) -> UnsignedCheckpoint {
        let Self { ledger_id, log_size, log_root, note_count, note_root, time, signature: _ } = *self;
        UnsignedCheckpoint { ledger_id, log_size, log_root, note_count, note_root, time }
    }
}

/// `ledger_id` of a ledger (protocol §4.3): its key and its verifying keys; one that makes no merges has one of them.
pub fn ledger_id(ledger_key: Bytes32, vk_digest: Bytes32, merge_vk_digest: Option<Bytes32>) -> Bytes32 {
    let string = LengthPrefixed::new("cloister/ledger-id/v1").bytes(ledger_key).bytes(vk_digest);
    let string = match merge_vk_digest {
        Some(digest) => string.bytes(digest),
        None => string,
    };
    sha256(&string.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Fe;
    use crate::keys::SigningKey;

    #[test]
    fn every_field_is_signed() {
        let key = SigningKey::from_seed(&[7; 32]);
        let checkpoint = Checkpoint::sign(
            UnsignedCheckpoint {
                ledger_id: Bytes32([1; 32]),
                log_size: 2,
                log_root: Bytes32([3; 32]),
                note_count: 4,
                note_root: Root(Fe::from(5)),
                time: 6,
            },
            &key,
        );
        assert_eq!(checkpoint.verify(&key.public()), Ok(()));
        assert_eq!(checkpoint.verify(&SigningKey::from_seed(&[8; 32]).public()), Err(CheckpointError::Signature));
        let faults: [fn(&mut Checkpoint); 7] = [
            |c| c.ledger_id.0[0] ^= 1,
            |c| c.log_size ^= 1,
            |c| c.log_root.0[0] ^= 1,
            |c| c.note_count ^= 1,
            |c| c.note_root = Root(Fe::from(9)),
            |c| c.time ^= 1,
            |c| c.signature.0[0] ^= 1,
        ];
        for (row, fault) in faults.iter().enumerate() {
            let mut bad = checkpoint.clone();
            fault(&mut bad);
            assert_eq!(bad.verify(&key.public()), Err(CheckpointError::Signature), "row {row}");
        }
    }
}
