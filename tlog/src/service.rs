//! What a guardian asks of the service that keeps its log (protocol.md §6.3): one JSON line asked, one JSON line answered. Nobody
//! trusts an answer: what is wrong with one, a witness or the holder of a receipt finds.

use credits::{Bytes32, LogFrontier};
use serde::{Deserialize, Serialize};

use crate::ReceiptLogEntry;

/// Entries that are appended at once.
pub const APPEND_ENTRIES_MAX: usize = 1024;
/// Longest answer: signatures of all witnesses.
pub const ANSWER_BYTES_MAX: u64 = 128 << 10;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum LogQuestion {
    /// Where the log with this name ends.
    Frontier {
        /// The log's name.
        origin: String,
    },
    /// Append these. Said again, with the same size before, it is the same.
    Append {
        /// Entries before them.
        from: u64,
        /// What is appended.
        entries: Vec<ReceiptLogEntry>,
    },
    /// Have this checkpoint cosigned.
    Cosign {
        /// A note, signed by the guardian.
        checkpoint: String,
    },
    /// How the first `to` entries are shown to begin with the first `from`.
    Consistency {
        /// The fewer.
        from: u64,
        /// The more.
        to: u64,
    },
}

/// What is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum LogAnswer {
    /// To [`LogQuestion::Frontier`].
    Frontier(LogFrontier),
    /// To [`LogQuestion::Append`]: entries that are on disk now.
    Appended {
        /// How many.
        size: u64,
    },
    /// To [`LogQuestion::Cosign`].
    Cosigned {
        /// Signature lines, of whoever cosigned.
        lines: String,
        /// Why others did not, a sentence each.
        refusals: Vec<String>,
    },
    /// To [`LogQuestion::Consistency`]: hashes in the order of RFC 9162.
    Proof(Vec<Bytes32>),
    /// There is no answer.
    Error {
        /// Why.
        message: String,
    },
}
