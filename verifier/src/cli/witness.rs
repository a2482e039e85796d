//! Witnesses of a ledger, as commands name them.

use clap::Args;
use tlog::WitnessKey;

use super::WalletArgs;

/// Whose word is taken that a state of the ledger is its newest.
#[derive(Debug, Args)]
pub(crate) struct LedgerWitnesses {
    /// Key of a witness that must have cosigned the ledger's log lately, NAME+HASH+BASE64; may be repeated
    #[arg(long, value_name = "KEY")]
    pub(crate) witness: Vec<WitnessKey>,
    /// How many of them must have [default: more than half]
    #[arg(long, value_name = "N", requires = "witness")]
    pub(crate) witnesses_needed: Option<usize>,
}

/// Show or change whose word the wallet takes that the ledger was not put back.
///
/// A ledger whose disk was put back to an older state is noticed by a wallet that has seen more of it. With witnesses it is noticed by every
/// wallet: they cosign the ledger's log only as long as it grows, and the wallet goes by no state that continues none of theirs of the last
/// minute. They are kept only if they watch this ledger now. What `ledger serve --witness` asks, `witness info` prints the key of.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloister wallet witnesses\n  \
    cloister wallet witnesses --witness w1.example+a194a4cd+BAFrCAOC4YYfgI3x7fQHEoOH1LxQkvE4slLgqvPoRJbl\n  \
    cloister wallet witnesses --none")]
pub(crate) struct WalletWitnesses {
    #[command(flatten)]
    pub(crate) witnesses: LedgerWitnesses,
    /// Take nobody's word: only what this wallet has seen counts
    #[arg(long, conflicts_with = "witness")]
    pub(crate) none: bool,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}
