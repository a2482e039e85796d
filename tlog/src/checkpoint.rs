//! Checkpoints: what a log says its size and root are (C2SP tlog-checkpoint).
//!
//! Decides: that the log named by the trusted key said so. Not that it is the newest thing it said: clients remember what they saw.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credits::Bytes32;

use crate::error::LogFault;
use crate::note::{LogKey, NoteSigner, open_note};

/// Head of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Number of entries.
    pub size: u64,
    /// RFC 9162 root over them.
    pub root: Bytes32,
}

impl Checkpoint {
    /// The signed note: the origin is the key's name.
    #[must_use]
    pub fn sign(&self, signer: &NoteSigner) -> String {
        signer.sign(&self.text(signer.public().name()))
    }

    /// What is signed, of the log with this name.
    #[must_use]
    pub fn text(&self, origin: &str) -> String {
        format!("{origin}\n{}\n{}\n", self.size, STANDARD.encode(self.root.0))
    }

    /// Reads a checkpoint that `key` signed.
    ///
    /// # Errors
    /// See [`open_note`]; [`LogFault::Origin`] for a checkpoint of another log, [`LogFault::Malformed`] for a note
    /// that is none.
    pub fn open(note: &str, key: &LogKey) -> Result<Self, LogFault> {
        let text = open_note(note, key)?;
        let bad = |problem: &str| LogFault::malformed("checkpoint", problem);
        // Extension lines are opaque, may follow, and are not empty. None is understood here.
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(bad("it has fewer than three lines"));
        };
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(bad("it has an empty line"));
        }
        if origin != key.name() {
            return Err(LogFault::Origin { got: origin.to_owned(), expected: key.name().to_owned() });
        }
        let size = decimal(size).ok_or_else(|| bad("its size is not a number"))?;
        let root = hash(root).ok_or_else(|| bad("its root is not 32 bytes in base64"))?;
        Ok(Self { size, root })
    }
}

/// A decimal number without leading zeros.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// Thirty-two bytes of base64.
pub(crate) fn hash(text: &str) -> Option<Bytes32> {
    STANDARD.decode(text).ok()?.try_into().ok().map(Bytes32)
}
