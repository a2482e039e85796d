//! Transparency logs: the public log of releases, each node's log of receipts, and what witnesses see of a ledger's log.
//!
//! | part | what it is |
//! |---|---|
//! | [`note`], [`checkpoint`] | C2SP signed-note and tlog-checkpoint, Ed25519 |
//! | [`cosignature`] | C2SP tlog-cosignature: what witnesses say |
//! | [`proof`] | inclusion: C2SP tlog-proof v1; consistency: hashes in the order of RFC 9162 §2.1.4.1 |
//! | [`quorum`] | how many of which witnesses are enough |
//! | [`entry`], [`service`] | what a log of receipts holds, and what a guardian asks who keeps it |
//! | [`ledger_log`] | the log of a ledger, as witnesses know it |
//!
//! No I/O, no clock. Hashing and Merkle proofs are those of `credits::merkle`.

/// Longest name of a log of receipts.
const ORIGIN_BYTES_MAX: usize = 128;

/// Whether a log of receipts can have this name. What a guardian signs of it begins with the name, and nothing else that its receipt key
/// signs begins so.
///
/// # Errors
/// What is wrong.
pub fn check_origin(text: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/');
    let begins_plain = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins_plain && text.len() <= ORIGIN_BYTES_MAX && text.bytes().all(plain) {
        return Ok(());
    }
    Err(format!("must be letters, digits, dots, dashes and slashes, at most {ORIGIN_BYTES_MAX}"))
}

pub mod checkpoint;
pub mod cosignature;
pub mod entry;
pub mod error;
pub mod ledger_log;
pub mod note;
pub mod proof;
pub mod quorum;
pub mod service;
#[cfg(test)]
mod tests;

pub use checkpoint::Checkpoint;
pub use cosignature::{Cosigner, WitnessKey, Witnessed, witnessed};
pub use entry::ReceiptLogEntry;
pub use error::LogFault;
pub use note::{LogKey, NoteSigner};
pub use proof::{Growth, LogProof};
pub use quorum::{Quorum, QuorumFault};
