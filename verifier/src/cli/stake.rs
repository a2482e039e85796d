//! Arguments of `cloister stake`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use credits::Bytes32;

use super::{TrustArgs, WalletArgs};

/// What stands behind nodes: put credits at stake, look at stakes, show faults.
///
/// A payee's credits can be put at stake and answer for the nodes that it backs: clients that ask for it (`--min-stake`) pay only such
/// nodes. Whoever shows that a backed node signed what contradicts itself takes the stake away; a twentieth of it is the reward, the rest
/// is nobody's. What is backed until a time cannot be taken back before.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  cloister stake put 100000 --payee-key payee.key")]
pub(crate) enum Stake {
    Put(StakePut),
    Back(StakeBack),
    Take(StakeTake),
    Show(StakeShow),
    Accuse(StakeAccuse),
}

/// Whose stake, and the wallet that knows the ledger.
#[derive(Debug, Args)]
pub(crate) struct Payee {
    /// File with the payee's key, as `cloister-host payee new` makes it
    #[arg(long, value_name = "FILE")]
    pub(crate) payee_key: PathBuf,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

/// Put some of what a payee is owed at stake.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloister stake put 100000 --payee-key payee.key")]
pub(crate) struct StakePut {
    /// Credits, of those that the payee was paid and has not claimed
    pub(crate) amount: u64,
    #[command(flatten)]
    pub(crate) by: Payee,
}

/// Verify a node of the payee and answer for it with the stake.
///
/// The node has a new key after each start and must be backed anew. Until the time is over the stake cannot be taken back.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloister stake back https://node.example:8443 --days 30 --payee-key payee.key --policy policy.toml"
)]
pub(crate) struct StakeBack {
    /// Address of the node, as https://host:port
    pub(crate) url: String,
    /// For how many days from now
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=365))]
    pub(crate) days: u64,
    #[command(flatten)]
    pub(crate) by: Payee,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

/// Take a stake back, once no node is backed any longer: it can be claimed again.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloister stake take --payee-key payee.key")]
pub(crate) struct StakeTake {
    #[command(flatten)]
    pub(crate) by: Payee,
}

/// Print what a payee has at stake and for which keys, from the ledger's log.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloister stake show 3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
)]
pub(crate) struct StakeShow {
    /// The payee, as the node's offer names it
    pub(crate) payee: Bytes32,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

/// Show a node's fault to the ledger: what answered for the node is lost.
///
/// Evidence is two things that the node signed and an honest node does not sign both. `cloister chat` and `cloister proxy` keep it in the
/// wallet's directory when a node charges more than it billed. It tells of the tab what the log tells already. Whoever carries it to the
/// ledger can name another reporter.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloister stake accuse evidence.json --payee-key reward.key")]
pub(crate) struct StakeAccuse {
    /// The file of evidence
    pub(crate) evidence: PathBuf,
    /// File with the key that may claim the reward; a new one tells least
    #[arg(long, value_name = "FILE")]
    pub(crate) payee_key: PathBuf,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}
