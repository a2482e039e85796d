//! Arguments of `cloister ledger`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use credits::Bytes32;

use super::LedgerWitnesses;

/// Watch a ledger.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  cloister ledger audit http://127.0.0.1:7070 --seen seen.json")]
pub(crate) enum Ledger {
    Audit(LedgerAudit),
    Evidence(LedgerEvidence),
}

/// Judge what a ledger signed against itself.
///
/// A wallet that is shown an older state, or another log, keeps both signed states in its directory (`ledger-evidence`), and `ledger audit
/// --seen FILE` in FILE.evidence; a guardian prints them. Whoever knows the ledger's key can judge them, without the ledger. Exit code 0 when
/// they prove it, 20 when the ledger would have to show that its log has both, 10 when they say nothing against it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloister ledger evidence ledger-9-8-rollback.json --ledger-key \
    1f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a7988")]
pub(crate) struct LedgerEvidence {
    /// The file of evidence
    pub(crate) evidence: PathBuf,
    /// The key of the ledger that is accused, as `cloister ledger audit --json` and `cloister-host ledger info` tell it: anybody can make
    /// evidence against a key of his own
    #[arg(long, value_name = "HEX")]
    pub(crate) ledger_key: Bytes32,
}

/// Replay a ledger's whole log and hold it against every rule.
///
/// Each entry follows from those before it, no note is spent twice, no more is charged and reserved than was minted, and every
/// guardian's signature and every proof verifies (about two thousand proofs in a second). No wallet is needed. What a log cannot
/// show is not seen: whether a voucher was the administrator's and worth as much, whether a deadline had passed, what was refused.
/// Exit code 10 when the log breaks a rule; logs of more than a million notes are not replayed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloister ledger audit http://127.0.0.1:7070\n  \
    cloister ledger audit http://127.0.0.1:7070 --seen seen.json --json\n  \
    cloister ledger audit http://127.0.0.1:7070 --witness w1.example+a194a4cd+BAFrCAOC4YYfgI3x7fQHEoOH1LxQkvE4slLgqvPoRJbl")]
pub(crate) struct LedgerAudit {
    /// Address of the ledger
    pub(crate) url: String,
    /// The ledger's id [default: whatever the address says it is]
    #[arg(long, value_name = "HEX")]
    pub(crate) ledger_id: Option<Bytes32>,
    /// File with the newest checkpoint seen: the ledger must continue it; written once the audit has passed
    #[arg(long, value_name = "FILE")]
    pub(crate) seen: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) witnesses: LedgerWitnesses,
}
