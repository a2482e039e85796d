//! What can be wrong with a wallet's ledger, its stored state, or what it is asked to do.

use crate::note::{Nullifier, Root};
use crate::value::Credits;

/// Why a wallet refuses. Nothing has changed when it does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// The stored state is of another format or version.
    #[error("the wallet state has format {got:?}")]
    Format {
        /// The format found.
        got: String,
    },
    /// The stored state belongs to another seed.
    #[error("the wallet state belongs to another seed")]
    SeedMismatch,
    /// The stored state contradicts itself.
    #[error("the wallet state contradicts itself")]
    StateCorrupt,
    /// A value is of another ledger, or the ledger's id does not follow from its keys.
    #[error("this is not the wallet's ledger")]
    LedgerMismatch,
    /// The checkpoint is not signed by the ledger.
    #[error("the checkpoint is not signed by the ledger")]
    CheckpointSignature,
    /// The ledger went back behind a checkpoint it had signed.
    #[error("the ledger shows {got} entries after it had shown {seen}")]
    LedgerRollback {
        /// Entries of the newest checkpoint seen.
        seen: u64,
        /// Entries of the checkpoint offered.
        got: u64,
    },
    /// The ledger signed checkpoints that its log does not have.
    #[error("the ledger's log of {size} entries is not what its checkpoint says")]
    LedgerFork {
        /// Entries of the contradicted checkpoint.
        size: u64,
    },
    /// The page has entries that its checkpoint does not cover.
    #[error("the page has more entries than its checkpoint")]
    PageExcess,
    /// The page has no entries although the ledger has some.
    #[error("the page is empty and {remaining} entries are missing")]
    PageEmpty {
        /// Entries that the checkpoint has beyond the wallet's.
        remaining: u64,
    },
    /// An entry breaks the ledger's rules.
    #[error("log entry {index} is invalid")]
    EntryInvalid {
        /// The entry's number.
        index: u64,
        /// The broken rule.
        #[source]
        fault: EntryFault,
    },
    /// The ledger has more notes than a wallet keeps.
    #[error("the ledger has more notes than a wallet keeps")]
    TooManyNotes,
    /// The wallet has not replayed the log up to a checkpoint.
    #[error("the wallet is not in step with the ledger")]
    NotSynced,
    /// A deposit must be split into one to eight notes of at least one credit.
    #[error("{value} credits cannot be split into {notes} notes")]
    Outputs {
        /// The deposit.
        value: Credits,
        /// The number of notes asked for.
        notes: u32,
    },
    /// A spend of nothing.
    #[error("a spend must reserve at least one credit")]
    AmountZero,
    /// The free notes together are worth less.
    #[error("{needed} credits are needed, {spendable} can be spent")]
    InsufficientBalance {
        /// The amount to reserve.
        needed: Credits,
        /// The worth of all free notes.
        spendable: Credits,
    },
    /// The free notes are worth enough, but none alone.
    #[error("{needed} credits are needed from one note, the largest has {largest}")]
    Fragmented {
        /// The amount to reserve.
        needed: Credits,
        /// The worth of the largest free note.
        largest: Credits,
    },
    /// The ledger makes no merges.
    #[error("the ledger makes no merges")]
    MergeNotOffered,
    /// No pending spend or merge has this nullifier.
    #[error("no pending spend or merge has the nullifier {nullifier}")]
    NotPending {
        /// The nullifier.
        nullifier: Nullifier,
    },
    /// The wallet has no tab of this nullifier that was charged.
    #[error("no tab of this wallet that was charged has the nullifier {nullifier}")]
    NotRateable {
        /// The nullifier.
        nullifier: Nullifier,
    },
    /// The wallet's own note is not under the root it replayed; a fault of this program.
    #[error("a note of the wallet is not under the root {root}")]
    NotePath {
        /// The root.
        root: Root,
    },
}

/// The rule that a log entry breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryFault {
    /// Mints are numbered from 0 without gaps: each number gives one `rho`.
    #[error("the mint has number {got}, expected {expected}")]
    MintSequence {
        /// The next number.
        expected: u64,
        /// The number found.
        got: u64,
    },
    /// `rho` of a mint follows from its number.
    #[error("the mint's rho does not follow from its number")]
    MintRho,
    /// Leaves are appended in order.
    #[error("the leaf has number {got}, expected {expected}")]
    LeafIndex {
        /// The next number.
        expected: u64,
        /// The number found.
        got: u64,
    },
    /// A leaf follows from the opened note or from the reservation.
    #[error("the leaf is not the note's")]
    Leaf,
    /// A spend is reserved for this ledger and verifying key.
    #[error("the spend is bound to another ledger")]
    Context,
    /// A nullifier is reserved once.
    #[error("the nullifier is already reserved")]
    SpendRepeated,
    /// Only a reserved spend is journalled, settled or voided.
    #[error("the spend is not reserved")]
    SpendUnknown,
    /// The wallet's own spend has the successor that its seed determines.
    #[error("the spend's successor is not the wallet's")]
    Successor,
    /// `c_max = charge + refund`.
    #[error("charge and refund do not add up to what was reserved")]
    RefundSum,
    /// Journalled totals do not fall and do not exceed what was reserved.
    #[error("the journalled total falls or exceeds what was reserved")]
    JournalTotal,
    /// A charge is not below the last journalled total; the ledger alone charges exactly that.
    #[error("the charge is not what was journalled")]
    ChargeJournal,
    /// The guardian signs what it journals and settles, the payee what it claims.
    #[error("the guardian's or the payee's signature does not verify")]
    Signature,
    /// Stakes are put, backed with, taken back and lost by the rules.
    #[error("the stake is not what its payee's acts make it")]
    Stake,
    /// Ratings are scores of tabs that have ended.
    #[error("the rating is no score, or of a tab that is open")]
    Rating,
}

impl WalletError {
    /// The stable code of the refusal.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Format { .. } => "wallet.format",
            Self::SeedMismatch => "wallet.seed_mismatch",
            Self::StateCorrupt => "wallet.state_corrupt",
            Self::LedgerMismatch => "wallet.ledger_mismatch",
            Self::CheckpointSignature => "wallet.checkpoint_signature",
            Self::LedgerRollback { .. } => "wallet.ledger_rollback",
            Self::LedgerFork { .. } => "wallet.ledger_fork",
            Self::PageExcess => "wallet.page_excess",
            Self::PageEmpty { .. } => "wallet.page_empty",
            Self::EntryInvalid { .. } => "wallet.entry_invalid",
            Self::TooManyNotes => "wallet.too_many_notes",
            Self::NotSynced => "wallet.not_synced",
            Self::Outputs { .. } => "wallet.outputs",
            Self::AmountZero => "wallet.amount_zero",
            Self::InsufficientBalance { .. } => "wallet.insufficient_balance",
            Self::MergeNotOffered => "wallet.merge_not_offered",
            Self::Fragmented { .. } => "wallet.fragmented",
            Self::NotPending { .. } => "wallet.not_pending",
            Self::NotRateable { .. } => "wallet.not_rateable",
            Self::NotePath { .. } => "wallet.note_path",
        }
    }
}
