//! Arguments of `cloister receipt`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tlog::WitnessKey;

use super::TrustArgs;

/// Work with stored receipts.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  cloister receipt verify receipts/rcpt_01.json --policy policy.toml")]
pub(crate) enum Receipt {
    Verify(ReceiptVerify),
    Audit(ReceiptAudit),
    Show(ReceiptShow),
}

/// Verify a stored receipt without any network.
///
/// Appraises the stored evidence under the roots and the policy, recomputes REPORT_DATA from the stored view of the channel, and
/// verifies offer, receipt and price. That the stored channel was your own only you can know. Without a policy nothing ties the
/// signing key to a machine: the verdict is then UNANCHORED and the exit code 20.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloister receipt verify receipts/rcpt_01.json --policy policy.toml --at 2026-11-22T12:00:00Z"
)]
pub(crate) struct ReceiptVerify {
    /// The stored receipt
    pub(crate) file: PathBuf,
    /// Judge dates at this time: Unix seconds, YYYY-MM-DDTHH:MM:SSZ, or now [default: the receipt's own time]
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Compare this file with the request the receipt covers
    #[arg(long, value_name = "FILE")]
    pub(crate) request_body: Option<PathBuf>,
    /// Compare this file with the response the receipt covers
    #[arg(long, value_name = "FILE")]
    pub(crate) response_body: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) witnesses: WitnessArgs,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

/// Whose word is taken that a node's log of receipts only grows.
#[derive(Debug, Args)]
pub(crate) struct WitnessArgs {
    /// Key of a witness that must have cosigned the log, NAME+HASH+BASE64; may be repeated
    #[arg(long, value_name = "KEY")]
    pub(crate) witness: Vec<WitnessKey>,
    /// How many of them must have [default: all]
    #[arg(long, value_name = "N", requires = "witness")]
    pub(crate) witnesses_needed: Option<usize>,
}

/// Ask a node whether its log of receipts still holds what it held when these receipts were stored.
///
/// The node is verified like any other. Its log must have grown from the head stored with each receipt to the head it shows now; one that
/// is shorter, or is not shown to have grown, is refused. This finds a log that was put back where no witnesses watch it.
/// Receipts without a stored proof are passed over; the first that fails ends it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloister receipt audit receipts/*.json --url https://node.example:8443 --policy policy.toml"
)]
pub(crate) struct ReceiptAudit {
    /// Stored receipts
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The node that made them, now
    #[arg(long)]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

/// Print what a stored receipt says, without verifying it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloister receipt show receipts/rcpt_01.json")]
pub(crate) struct ReceiptShow {
    /// The stored receipt
    pub(crate) file: PathBuf,
}
