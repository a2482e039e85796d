//! `cloister wallet`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{LedgerWitnesses, WalletArgs, WalletWitnesses};

/// Keep anonymous credits.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  cloister wallet new --ledger http://127.0.0.1:7070 && cloister wallet deposit cloister-voucher-v1.…"
)]
pub(crate) enum Wallet {
    New(WalletNew),
    Restore(WalletRestore),
    Deposit(WalletDeposit),
    Withdraw(WalletWithdraw),
    Withdrawals(WalletWithdrawals),
    Claim(WalletClaim),
    Merge(WalletMerge),
    Rate(WalletRate),
    Balance(WalletShow),
    History(WalletShow),
    Sync(WalletShow),
    Words(WalletWords),
    Passphrase(WalletPassphrase),
    Witnesses(WalletWitnesses),
}

/// What a new wallet does only if it is told to.
#[derive(Debug, Args)]
pub(crate) struct WalletRisks {
    /// Keep the words and the notes on disk unsealed: whoever can read the directory has the credits
    #[arg(long, conflicts_with = "passphrase_file")]
    pub(crate) no_passphrase: bool,
    /// Use a ledger whose credits are worth money although one party made its parameters and can forge spends
    #[arg(long)]
    pub(crate) accept_single_party: bool,
}

/// Make a wallet for a ledger and print its 24 recovery words.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloister wallet new --ledger http://127.0.0.1:7070\n  \
    cloister wallet new --ledger http://127.0.0.1:7070 --passphrase-file secret.txt")]
pub(crate) struct WalletNew {
    #[command(flatten)]
    pub(crate) risks: WalletRisks,
    #[command(flatten)]
    pub(crate) witnesses: LedgerWitnesses,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

/// Make a wallet from 24 recovery words and find its credits in the ledger.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloister wallet restore --ledger http://127.0.0.1:7070 < words.txt")]
pub(crate) struct WalletRestore {
    /// File with the words [default: read from stdin]
    #[arg(long, value_name = "FILE")]
    pub(crate) words: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) risks: WalletRisks,
    #[command(flatten)]
    pub(crate) witnesses: LedgerWitnesses,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

/// Print the 24 recovery words again, to write them down.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloister wallet words")]
pub(crate) struct WalletWords {
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

/// Seal the wallet under another passphrase, or no longer.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloister wallet passphrase\n  \
    cloister wallet passphrase --passphrase-file old.txt --new-passphrase-file new.txt")]
pub(crate) struct WalletPassphrase {
    /// File with the new passphrase [default: ask on the terminal]
    #[arg(long, value_name = "FILE")]
    pub(crate) new_passphrase_file: Option<PathBuf>,
    /// Keep the words and the notes on disk unsealed: whoever can read the directory has the credits
    #[arg(long, conflicts_with = "new_passphrase_file")]
    pub(crate) no_passphrase: bool,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

/// Redeem a voucher, or claim what another wallet withdrew.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloister wallet deposit cloister-voucher-v1.eyJ… --notes 2\n  \
    cloister wallet deposit < withdrawal.txt")]
pub(crate) struct WalletDeposit {
    /// The voucher or withdrawal [default: read from stdin, where other users of the machine do not see it]
    pub(crate) voucher: Option<String>,
    /// Notes to split the value into; each can pay one tab at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) notes: u32,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

/// Take credits out of the wallet as a text that any wallet of the ledger can deposit.
///
/// Whoever has the text has the credits, and this wallet can show it again until somebody deposits it. The amount and the moment are public,
/// the note it came from is not; powers of two hide better than other amounts. A deposit of it is publicly one with the withdrawal.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloister wallet withdraw 4096 --out withdrawal.txt")]
pub(crate) struct WalletWithdraw {
    /// Credits; they must be in one note
    pub(crate) amount: u64,
    /// Write the text into this file, which only you can read, and not to stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

/// Print the withdrawals that nobody has deposited yet, and finish those that were cut off.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloister wallet withdrawals")]
pub(crate) struct WalletWithdrawals {
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

/// Turn what a payee was paid into notes of this wallet: how a node's operator gets at what it earned.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloister wallet claim --payee-key payee.key")]
pub(crate) struct WalletClaim {
    /// File with the payee's key, as `cloister-host payee new` makes it
    #[arg(long, value_name = "FILE")]
    pub(crate) payee_key: PathBuf,
    /// Credits to claim [default: all there are]
    #[arg(long, value_name = "CREDITS")]
    pub(crate) amount: Option<u64>,
    /// Notes to split them into
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) notes: u32,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

/// Make fewer and larger notes: a tab is paid from one note.
///
/// Everybody who reads the ledger's log sees that the merged notes are one wallet's, not which deposits or refunds they came from, nor
/// what they are worth. Merges in one run, and a payment soon after one, are told to be one wallet's by their order and time.
///
/// A merge that was cut off or refused is finished first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloister wallet merge --at-least 4096\n  cloister wallet merge")]
pub(crate) struct WalletMerge {
    /// Stop once one note is worth as much [default: merge all notes into one]
    #[arg(long, value_name = "CREDITS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) at_least: Option<u64>,
    /// Free the notes of a merge that was cut off, and merge nothing: who saw that merge can tell that later spends of them are one
    /// wallet's
    #[arg(long, conflicts_with = "at_least")]
    pub(crate) give_up: bool,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

/// Rate a tab that was charged, once, for everybody to see.
///
/// The ledger's log tells of a tab when it was opened and closed, what it cost and whom it paid; the rating adds the score and its moment.
/// Ratings that come together tell that their tabs are one wallet's.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloister wallet rate 1f2e3d4c5b6a79880f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978 5"
)]
pub(crate) struct WalletRate {
    /// The tab, as `cloister wallet history` prints it
    pub(crate) tab: String,
    /// From 1, the worst, to 5
    #[arg(value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) score: u8,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

/// Read the ledger and print what the wallet holds.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cloister wallet balance --json\n  cloister wallet history\n  cloister wallet sync"
)]
pub(crate) struct WalletShow {
    /// Do not contact the ledger
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}
