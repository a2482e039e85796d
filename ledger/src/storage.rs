//! What the ledger asks of a store: facts for its decisions, a book to write them into, a view to answer from.
//!
//! A [`Book`] lives inside one transaction: either all it was told becomes durable, or nothing. A [`View`] shows one
//! committed state from beginning to end.

use std::future::Future;
use std::sync::Arc;

use credits::claim::LastClaim;
use credits::state::SpendState;
use credits::{Bond, Bytes32, Credits, Inner, Leaf, LedgerError, LogEntry, MintOutput, Nullifier, Root};
use serde::{Deserialize, Serialize};

use crate::committed::Committed;
use crate::error::{Abort, StoreError};
use crate::transitions::{Op, Outcome};

/// The heads of a committed state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heads {
    /// Number of log entries.
    pub log_size: u64,
    /// Root over them.
    pub log_root: Bytes32,
    /// Number of notes.
    pub note_count: u64,
    /// Root over them.
    pub note_root: Root,
}

/// Sums over the whole log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Number of mints.
    pub mint_seq: u64,
    /// What was minted.
    pub minted: Credits,
    /// What was charged and not claimed; the accounts of all payees sum to it. Before there were claims it was called what was
    /// charged.
    #[serde(alias = "charged")]
    pub owed: Credits,
    /// Number of claims.
    #[serde(default)]
    pub claims: u64,
    /// What payees have at stake.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub staked: Credits,
    /// What was lost with stakes and is nobody's.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub burnt: Credits,
    /// Number of acts on stakes. While there are none, programs of before there were stakes read the sums, too.
    #[serde(default, skip_serializing_if = "is_none")]
    pub stake_acts: u64,
}

/// Serde hands a reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_none(number: &u64) -> bool {
    *number == 0
}

/// As above.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_nothing(amount: &Credits) -> bool {
    amount.is_zero()
}

/// A voucher that was redeemed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedeemedVoucher {
    /// The notes it opened.
    pub outputs: Vec<MintOutput>,
    /// Position of the first mint entry in the log; the others follow it.
    pub first_entry: u64,
}

/// What decisions are made on.
pub trait Facts {
    /// The record of a nullifier.
    fn spend(&self, nullifier: &Nullifier) -> Result<Option<SpendState>, StoreError>;
    /// Whether a spend or a merge used this hidden part of a successor note.
    fn inner_used(&self, inner: &Inner) -> Result<bool, StoreError>;
    /// Whether this is the root of a committed state that fewer than `window` notes follow, or an anchor that is still accepted.
    fn root_recent(&self, root: &Root, window: u64) -> Result<bool, StoreError>;
}

/// One transaction that writes.
pub trait Book: Facts {
    /// The record of a voucher.
    fn voucher(&self, voucher_id: &Bytes32) -> Result<Option<RedeemedVoucher>, StoreError>;
    /// Records a voucher.
    fn put_voucher(&mut self, voucher_id: &Bytes32, redeemed: &RedeemedVoucher) -> Result<(), StoreError>;
    /// Records a spend's state.
    fn put_spend(&mut self, nullifier: &Nullifier, state: &SpendState) -> Result<(), StoreError>;
    /// Records that a spend, or a merge, whose first nullifier this is, used this hidden part of a successor note.
    fn use_inner(&mut self, inner: &Inner, nullifier: &Nullifier) -> Result<(), StoreError>;
    /// Reserved spends whose `not_after` is below `before`, earliest first.
    fn due(&self, before: u64, limit: usize) -> Result<Vec<Nullifier>, StoreError>;
    /// Remembers when a reserved spend is due.
    fn set_due(&mut self, not_after: u64, nullifier: &Nullifier) -> Result<(), StoreError>;
    /// Forgets when a spend was due.
    fn clear_due(&mut self, not_after: u64, nullifier: &Nullifier) -> Result<(), StoreError>;
    /// What a payee is owed, with all that this transaction did.
    fn payee_owed(&self, payee: &Bytes32) -> Result<Credits, StoreError>;
    /// A payee's last claim.
    fn last_claim(&self, payee: &Bytes32) -> Result<Option<LastClaim>, StoreError>;
    /// Records a payee's last claim.
    fn put_claim(&mut self, payee: &Bytes32, claim: &LastClaim) -> Result<(), StoreError>;
    /// Adds to what a payee is owed.
    fn credit_payee(&mut self, payee: &Bytes32, amount: Credits) -> Result<(), StoreError>;
    /// Takes off what a payee is owed, which must be as much.
    fn debit_payee(&mut self, payee: &Bytes32, amount: Credits) -> Result<(), StoreError>;
    /// A payee's stake.
    fn bond(&self, payee: &Bytes32) -> Result<Option<Bond>, StoreError>;
    /// Records a payee's stake.
    fn put_bond(&mut self, payee: &Bytes32, bond: &Bond) -> Result<(), StoreError>;
    /// Appends a note and returns its position.
    fn append_note(&mut self, leaf: Leaf) -> Result<u64, StoreError>;
    /// Appends a log entry and returns its position.
    fn append_entry(&mut self, entry: &LogEntry) -> Result<u64, StoreError>;
    /// The sums, as this transaction leaves them.
    fn totals(&mut self) -> &mut Totals;
}

/// One committed state.
pub trait View: Facts {
    /// Its heads.
    fn heads(&self) -> Heads;
    /// Its sums.
    fn totals(&self) -> Totals;
    /// Complete subtrees of its log, each by level and index, all of which exist.
    fn nodes(&self, wanted: &[(u8, u64)]) -> Result<Vec<Bytes32>, StoreError>;
    /// `count` log entries from position `from`, all of which exist.
    fn entries(&self, from: u64, count: u64) -> Result<Vec<LogEntry>, StoreError>;
    /// What a payee is owed.
    fn payee_owed(&self, payee: &Bytes32) -> Result<Credits, StoreError>;
    /// A payee's last claim.
    fn last_claim(&self, payee: &Bytes32) -> Result<Option<LastClaim>, StoreError>;
    /// A payee's stake.
    fn bond(&self, payee: &Bytes32) -> Result<Option<Bond>, StoreError>;
}

/// What came of an operation, and the state that its transaction left.
pub type Done = (Outcome, Option<Arc<Committed>>);

/// A store.
pub trait Backend: Send + Sync + 'static {
    /// Reads the newest committed state. Blocks.
    fn read<T>(&self, answer: impl FnOnce(&dyn View) -> Result<T, Abort>) -> Result<T, Abort>;

    /// Carries out one operation. When this returns, what it did is durable.
    fn submit(&self, op: Op) -> impl Future<Output = Result<Outcome, LedgerError>> + Send;

    /// The same, with what its transaction left, where the store keeps that for the answer.
    fn commit(&self, op: Op) -> impl Future<Output = Result<Done, LedgerError>> + Send {
        async { Ok((self.submit(op).await?, None)) }
    }
}
