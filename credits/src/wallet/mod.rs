//! The wallet: a state machine over a seed and the ledger's log.
//!
//! It does no I/O. The caller fetches pages of the log and hands them to [`Wallet::apply_page`], stores
//! [`Wallet::state`] after every change, and stores it *before* it sends what [`Wallet::prepare_spend`] or
//! [`Wallet::deposit_outputs`] returned: then no crash loses credits. Even a lost state loses none, because the notes
//! follow from the seed and the log.
//!
//! Trusted on entry: the seed, and the ledger's keys in [`LedgerInfo`], which the caller pins. Not trusted: everything in a
//! page. The log must extend what was replayed, agree with every signed checkpoint that was ever seen, and obey the rules
//! that [`EntryFault`] lists. `docs/protocol.md` §3, §4; `design/credits.md` §1.4.

mod derive;
mod error;
mod merging;
mod scan;
mod standing;
mod state;
#[cfg(test)]
mod tests;
mod withdrawal;

use self::derive::WalletKeys;
pub use self::derive::WalletSeed;
pub use self::error::{EntryFault, WalletError};
pub use self::merging::PreparedMerge;
use self::scan::{Lanes, Replay, remember, spend_item};
pub use self::state::{
    ClaimItem, DepositItem, HistoryItem, MergeItem, NoteStatus, OwnedNote, SpendItem, SpendProgress, WalletState,
};
pub use self::withdrawal::OwnWithdrawal;
use crate::checkpoint::{Checkpoint, ledger_id};
use crate::context::{SpendContext, SpendContextInputs};
use crate::keys::TabKey;
use crate::ledger::{LedgerInfo, LogPage, MintOutput, REDEEM_OUTPUTS_MAX};
use crate::note::Nullifier;
use crate::spend::{SpendPublic, SpendWitness};
use crate::tree::spent_under;
use crate::value::Credits;

/// The format of a stored [`WalletState`], and the tag of all derivations.
pub const WALLET_FORMAT: &str = "cloister/wallet/v1";
/// How many unused lanes beyond the last used one are searched for deposits.
pub const LANE_GAP: u64 = 64;
/// The most notes of a ledger that a wallet keeps the leaves of: 32 MiB.
pub const LEAVES_KEPT_MAX: usize = 1 << 20;
/// The most history items kept.
pub const HISTORY_ITEMS_MAX: usize = 10_000;
/// The most checkpoints remembered beyond the replayed log; the newest always is.
pub const CHECKPOINTS_AWAITED_MAX: usize = 16;

/// A wallet at one ledger.
#[derive(Clone)]
pub struct Wallet {
    keys: WalletKeys,
    lanes: Lanes,
    state: WalletState,
}

/// What a wallet is worth. The three parts do not overlap, and together are everything deposited and not charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// In free notes.
    pub spendable: Credits,
    /// Reserved by open tabs: an upper bound of what they will charge.
    pub reserved: Credits,
    /// Comes back by itself: the rest of the notes behind open tabs, and notes of spends and merges that are prepared and not in
    /// the log.
    pub pending: Credits,
}

/// How far a replay got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncProgress {
    /// Entries applied.
    pub applied: u64,
    /// The number of the next entry to fetch.
    pub next_entry: u64,
    /// Entries that the checkpoint has beyond it; 0 when the wallet is in step.
    pub remaining: u64,
}

/// A spend, ready to be proved and sent.
#[derive(Clone, Debug)]
pub struct PreparedSpend {
    /// The statement.
    pub public: SpendPublic,
    /// Why it holds. Secret.
    pub witness: SpendWitness,
    /// What it is bound to.
    pub context: SpendContext,
    /// The key that signs the tab's requests. Secret.
    pub tab_key: TabKey,
}

impl Wallet {
    /// A wallet that has seen nothing yet.
    pub fn new(seed: WalletSeed, ledger: &LedgerInfo) -> Self {
        let keys = WalletKeys::new(seed, ledger.ledger_id);
        let state = WalletState::new(keys.fingerprint(), ledger);
        Self::assemble(keys, state)
    }

    /// A wallet from its stored state.
    pub fn from_state(seed: WalletSeed, state: WalletState) -> Result<Self, WalletError> {
        if state.format != WALLET_FORMAT {
            return Err(WalletError::Format { got: state.format });
        }
        let keys = WalletKeys::new(seed, state.ledger_id);
        if keys.fingerprint() != state.fingerprint {
            return Err(WalletError::SeedMismatch);
        }
        let leaf_of = |owned: &OwnedNote| owned.note.leaf(keys.spend_key());
        let sound = state.notes.iter().all(|owned| {
            state.tree.leaf(owned.leaf_index) == Some(leaf_of(owned))
                && owned.nullifier == owned.note.nullifier(keys.spend_key())
        });
        if sound { Ok(Self::assemble(keys, state)) } else { Err(WalletError::StateCorrupt) }
    }

    fn assemble(keys: WalletKeys, state: WalletState) -> Self {
        let mut lanes = Lanes::default();
        lanes.cover(&keys, state.lanes_minted);
        Self { keys, lanes, state }
    }

    /// What to store. It holds no key, but it tells which notes are the wallet's.
    pub const fn state(&self) -> &WalletState {
        &self.state
    }

    /// Allocates fresh notes for a deposit. Store the state before redeeming the voucher with them.
    pub fn deposit_outputs(&mut self, value: Credits, notes: u32) -> Result<Vec<MintOutput>, WalletError> {
        let refused = WalletError::Outputs { value, notes };
        let count = u64::from(notes);
        let (Some(share), Some(rest)) = (value.get().checked_div(count), value.get().checked_rem(count)) else {
            return Err(refused);
        };
        if share == 0 || usize::try_from(notes).map_or(true, |notes| notes > REDEEM_OUTPUTS_MAX) {
            return Err(refused);
        }
        // A recovery finds no note beyond the gap, so lanes whose deposits never appeared are used again when it is full.
        let gap_end = self.state.lanes_minted.saturating_add(LANE_GAP);
        if self.state.next_lane.saturating_add(count) > gap_end {
            self.state.next_lane = self.state.lanes_minted;
        }
        let first = self.state.next_lane;
        self.state.next_lane = first.saturating_add(count);
        (0..count)
            .map(|number| {
                let lane = first.saturating_add(number);
                let value = share.saturating_add(u64::from(number < rest));
                let value = Credits::new(value).map_err(|_| refused.clone())?;
                Ok(MintOutput { pk: self.keys.public_key(lane), value, b: self.keys.mint_blind(lane).0 })
            })
            .collect()
    }

    /// The number of the next log entry to fetch.
    pub const fn next_entry(&self) -> u64 {
        self.state.log.size()
    }

    /// Takes note of a checkpoint that came with some other answer: from now on the log must agree with it.
    pub fn observe(&mut self, checkpoint: &Checkpoint) -> Result<(), WalletError> {
        let mut state = self.state.clone();
        observe(&mut state, checkpoint)?;
        compare(&mut state)?;
        self.state = state;
        Ok(())
    }

    /// Replays the entries that follow [`Wallet::next_entry`]; changes nothing when any of them, or the checkpoint, is refused.
    pub fn apply_page(&mut self, page: &LogPage) -> Result<SyncProgress, WalletError> {
        // 1 The checkpoint is the ledger's, and not behind one seen before.
        let mut state = self.state.clone();
        observe(&mut state, &page.checkpoint)?;
        compare(&mut state)?;

        // 2 The entries are covered by it.
        let missing = page.checkpoint.log_size.saturating_sub(state.log.size());
        let applied = u64::try_from(page.entries.len()).unwrap_or(u64::MAX);
        let remaining = missing.checked_sub(applied).ok_or(WalletError::PageExcess)?;
        if applied == 0 && remaining > 0 {
            return Err(WalletError::PageEmpty { remaining });
        }

        // 3 Each obeys the rules, and the log agrees with every checkpoint that is reached.
        let mut lanes = self.lanes.clone();
        for entry in &page.entries {
            let index = state.log.size();
            if state.tree.len() >= u64::try_from(LEAVES_KEPT_MAX).unwrap_or(u64::MAX) {
                return Err(WalletError::TooManyNotes);
            }
            let seen = page.checkpoint.time;
            Replay { keys: &self.keys, lanes: &mut lanes, state: &mut state, seen }
                .apply(entry)
                .map_err(|fault| WalletError::EntryInvalid { index, fault })?;
            compare(&mut state)?;
        }

        // 4 In step, the ledger's time decides which pending spends can no longer be reserved.
        if remaining == 0 {
            release_lapsed(&mut state, page.checkpoint.time);
        }
        (self.state, self.lanes) = (state, lanes);
        Ok(SyncProgress { applied, next_entry: self.next_entry(), remaining })
    }

    /// What the wallet is worth.
    pub fn balance(&self) -> Balance {
        let mut balance = Balance { spendable: Credits::ZERO, reserved: Credits::ZERO, pending: Credits::ZERO };
        // No sum exceeds the amount type unless the ledger minted more than exists; then the largest amount is shown.
        let add = |sum: &mut Credits, more: Credits| *sum = sum.checked_add(more).unwrap_or(Credits::MAX);
        for owned in &self.state.notes {
            let worth = owned.note.balance().unwrap_or(Credits::ZERO);
            match &owned.status {
                NoteStatus::Free => add(&mut balance.spendable, worth),
                NoteStatus::Pending { .. } | NoteStatus::Merging { .. } => add(&mut balance.pending, worth),
                NoteStatus::Reserved { c_max, value_next } => {
                    add(&mut balance.reserved, *c_max);
                    add(&mut balance.pending, *value_next);
                }
            }
        }
        balance
    }

    /// Picks a note and marks it pending. Store the state before proving and sending the spend.
    ///
    /// The smallest sufficient note is taken, of equal ones the oldest, so that large notes stay whole; but one that the newest
    /// anchor has goes before all that it does not, whose root would say when they were made.
    pub fn prepare_spend(&mut self, c_max: Credits, inputs: SpendContextInputs) -> Result<PreparedSpend, WalletError> {
        let nullifier = self.choose(c_max, &inputs)?;
        self.prepare(nullifier, c_max, inputs)
    }

    /// The note to spend.
    fn choose(&self, c_max: Credits, inputs: &SpendContextInputs) -> Result<Nullifier, WalletError> {
        if inputs.ledger_id != self.state.ledger_id || inputs.vk_digest != self.state.vk_digest {
            return Err(WalletError::LedgerMismatch);
        }
        self.pick(c_max)
    }

    fn prepare(
        &mut self,
        nullifier: Nullifier,
        c_max: Credits,
        inputs: SpendContextInputs,
    ) -> Result<PreparedSpend, WalletError> {
        let context = Box::new(inputs.with_tab_key(self.keys.tab_key(nullifier).public()));
        let owned = self.state.notes.iter_mut().find(|owned| owned.nullifier == nullifier);
        let owned = owned.ok_or(WalletError::NotPending { nullifier })?;
        owned.status = NoteStatus::Pending { c_max, context: context.clone() };
        remember(
            &mut self.state,
            HistoryItem::Spend(SpendItem {
                nullifier,
                c_max,
                context,
                progress: SpendProgress::Pending,
                charge: None,
                refund: None,
                seen: None,
                rating: None,
            }),
        );
        self.prepared(nullifier)
    }

    fn pick(&self, c_max: Credits) -> Result<Nullifier, WalletError> {
        if c_max.is_zero() {
            return Err(WalletError::AmountZero);
        }
        if !self.in_step() {
            return Err(WalletError::NotSynced);
        }
        let free = self.state.notes.iter().filter(|owned| owned.status == NoteStatus::Free);
        let worths = free.filter_map(|owned| Some((owned.note.balance()?, owned.leaf_index, owned.nullifier)));
        let len = self.state.tree.len();
        let sufficient = worths.clone().filter(|(worth, ..)| *worth >= c_max);
        let sufficient = sufficient.min_by_key(|(worth, index, _)| (spent_under(len, *index) == len, *worth, *index));
        if let Some((.., nullifier)) = sufficient {
            return Ok(nullifier);
        }
        let spendable = self.balance().spendable;
        match worths.map(|(worth, ..)| worth).max() {
            Some(largest) if spendable >= c_max => Err(WalletError::Fragmented { needed: c_max, largest }),
            _ => Err(WalletError::InsufficientBalance { needed: c_max, spendable }),
        }
    }

    /// The pending spends, for a wallet that was interrupted between preparing and sending.
    pub fn pending(&self) -> impl Iterator<Item = Nullifier> {
        let pending = |owned: &&OwnedNote| matches!(owned.status, NoteStatus::Pending { .. });
        self.state.notes.iter().filter(pending).map(|owned| owned.nullifier)
    }

    /// What [`Wallet::prepare_spend`] would make now, without making it: nothing is marked, so it must not be sent. To be proved ahead of
    /// time: the proof is of the spend that is prepared later if both state the same.
    pub fn foresee_spend(&self, c_max: Credits, inputs: SpendContextInputs) -> Result<PreparedSpend, WalletError> {
        let nullifier = self.choose(c_max, &inputs)?;
        let owned = self.owned(nullifier).ok_or(WalletError::NotPending { nullifier })?;
        self.state_spend(owned, c_max, inputs.with_tab_key(self.keys.tab_key(nullifier).public()))
    }

    /// A pending spend once more, with the same context against a present root; sending it again is harmless.
    pub fn prepared(&self, nullifier: Nullifier) -> Result<PreparedSpend, WalletError> {
        let refused = WalletError::NotPending { nullifier };
        let owned = self.owned(nullifier).ok_or(refused.clone())?;
        let NoteStatus::Pending { c_max, context } = &owned.status else { return Err(refused) };
        if !self.in_step() {
            return Err(WalletError::NotSynced);
        }
        self.state_spend(owned, *c_max, SpendContext::clone(context))
    }

    fn owned(&self, nullifier: Nullifier) -> Option<&OwnedNote> {
        self.state.notes.iter().find(|owned| owned.nullifier == nullifier)
    }

    /// The statement of a note's spend and why it holds, against a present root.
    fn state_spend(
        &self,
        owned: &OwnedNote,
        c_max: Credits,
        context: SpendContext,
    ) -> Result<PreparedSpend, WalletError> {
        let (index, tree, nullifier) = (owned.leaf_index, &self.state.tree, owned.nullifier);
        let root = tree.root();
        let path = tree.path_under(index, spent_under(tree.len(), index)).ok_or(WalletError::NotePath { root })?;
        // The leaf in the tree is the ledger's; the one that the witness makes is the wallet's.
        let root = path.root(tree.leaf(index).ok_or(WalletError::NotePath { root })?);
        let witness = SpendWitness {
            spend_key: self.keys.spend_key().clone(),
            note: owned.note.clone(),
            path,
            blind_next: self.keys.blind_next(nullifier),
        };
        let public = witness.public(c_max, context.digest(c_max)).map_err(|_| WalletError::NotePath { root })?;
        if public.root != root {
            return Err(WalletError::NotePath { root });
        }
        Ok(PreparedSpend { public, witness, context, tab_key: self.keys.tab_key(nullifier) })
    }

    /// Frees the note of a pending spend that was certainly never reserved. Does nothing for any other.
    pub fn abandon(&mut self, nullifier: Nullifier) {
        let pending =
            |owned: &&mut OwnedNote| owned.nullifier == nullifier && matches!(owned.status, NoteStatus::Pending { .. });
        if let Some(owned) = self.state.notes.iter_mut().find(pending) {
            owned.status = NoteStatus::Free;
            mark_abandoned(&mut self.state, nullifier);
        }
    }

    /// The key that signs the requests of a tab, for as long as the seed is there.
    pub fn tab_key(&self, nullifier: Nullifier) -> TabKey {
        self.keys.tab_key(nullifier)
    }

    /// What happened, oldest first.
    pub fn history(&self) -> &[HistoryItem] {
        &self.state.history
    }

    /// Whether the log is replayed up to the newest checkpoint seen: only then is its root one that others prove against
    /// too, and only then does the wallet know which of its notes are spent.
    fn in_step(&self) -> bool {
        let agreed = self.state.agreed.as_ref().map(|checkpoint| checkpoint.log_size);
        self.state.awaited.is_empty() && agreed == Some(self.state.log.size())
    }
}

impl std::fmt::Debug for Wallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wallet(ledger {}, {} entries)", self.state.ledger_id, self.state.log.size())
    }
}

/// Accepts a signed checkpoint that is not behind the newest seen.
fn observe(state: &mut WalletState, checkpoint: &Checkpoint) -> Result<(), WalletError> {
    let id = ledger_id(state.ledger_key, state.vk_digest, state.merge_vk_digest);
    if state.ledger_id != id || checkpoint.ledger_id != id {
        return Err(WalletError::LedgerMismatch);
    }
    checkpoint.verify(&state.ledger_key).map_err(|_| WalletError::CheckpointSignature)?;
    if let Some(seen) = state.newest_seen() {
        if checkpoint.log_size < seen.log_size {
            return Err(WalletError::LedgerRollback { seen: seen.log_size, got: checkpoint.log_size });
        }
        if checkpoint.log_size == seen.log_size {
            let same = checkpoint.log_root == seen.log_root
                && checkpoint.note_count == seen.note_count
                && checkpoint.note_root == seen.note_root;
            return if same { Ok(()) } else { Err(WalletError::LedgerFork { size: seen.log_size }) };
        }
    }
    if state.awaited.len() >= CHECKPOINTS_AWAITED_MAX {
        state.awaited.pop();
    }
    state.awaited.push(checkpoint.clone());
    Ok(())
}

/// Compares the replayed log with the checkpoint of its size, if one is awaited.
fn compare(state: &mut WalletState) -> Result<(), WalletError> {
    let size = state.log.size();
    let Some(next) = state.awaited.first() else { return Ok(()) };
    if next.log_size > size {
        return Ok(());
    }
    let agrees = next.log_size == size
        && next.log_root == state.log.root()
        && next.note_count == state.tree.len()
        && next.note_root == state.tree.root();
    if !agrees {
        return Err(WalletError::LedgerFork { size: next.log_size });
    }
    state.agreed = Some(state.awaited.remove(0));
    Ok(())
}

/// Frees the notes of pending spends that the ledger can no longer reserve: it refuses a spend after `not_after`, and the
/// grace on top covers a clock that was set back.
fn release_lapsed(state: &mut WalletState, ledger_time: u64) {
    let grace_secs = state.grace_secs;
    let mut lapsed = Vec::new();
    for owned in &mut state.notes {
        if let NoteStatus::Pending { context, .. } = &owned.status
            && context.not_after.saturating_add(grace_secs) < ledger_time
        {
            owned.status = NoteStatus::Free;
            lapsed.push(owned.nullifier);
        }
    }
    lapsed.into_iter().for_each(|nullifier| mark_abandoned(state, nullifier));
}

fn mark_abandoned(state: &mut WalletState, nullifier: Nullifier) {
    if let Some(item) = spend_item(state, nullifier) {
        item.progress = SpendProgress::Abandoned;
    }
}
