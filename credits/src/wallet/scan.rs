//! Replaying the ledger's log: every entry is judged, the wallet's own are recognised.
//!
//! What is judged is all that follows from the entries themselves: numbering, `rho`, leaves, sums, totals and guardians'
//! signatures (`docs/protocol.md` §3.1, §4). Spend proofs are not verified again: a reservation of the wallet's own note is
//! recognised by a successor that only its seed determines, and whether others' proofs were sound is between them and the
//! ledger's auditors.

use std::collections::BTreeMap;

use super::derive::WalletKeys;
use super::error::EntryFault;
use super::state::{
    ClaimItem, DepositItem, HistoryItem, MergeItem, NoteStatus, OpenSpend, OwnedNote, SpendItem, SpendProgress,
    WalletState,
};
use super::{HISTORY_ITEMS_MAX, LANE_GAP};
use crate::claim::verify_claim;
use crate::context::SpendContext;
use crate::entry::{
    ClaimEntry, JournalEntry, LogEntry, MergeEntry, MintEntry, ReserveEntry, SettleEntry, SettledBy, VoidEntry,
};
use crate::field::Fe;
use crate::keys::verify_ed25519;
use crate::ledger::{MintOutput, journal_message, settle_message};
use crate::note::{Blind, Leaf, Note, NotePublicKey, Nullifier, inner, leaf, mint_rho};
use crate::value::Credits;

/// The public keys of the lanes on which deposits are recognised: all that were used, and a gap beyond.
#[derive(Clone, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<NotePublicKey, u64>,
    covered: u64,
}

impl Lanes {
    /// Covers the gap beyond the lanes that have been minted on.
    pub(super) fn cover(&mut self, keys: &WalletKeys, lanes_minted: u64) {
        let end = lanes_minted.saturating_add(LANE_GAP);
        self.lanes.extend((self.covered..end).map(|lane| (keys.public_key(lane), lane)));
        self.covered = self.covered.max(end);
    }
}

/// A replay in progress, on a copy of the wallet's state.
pub(super) struct Replay<'a> {
    pub(super) keys: &'a WalletKeys,
    pub(super) lanes: &'a mut Lanes,
    pub(super) state: &'a mut WalletState,
    /// The time of the checkpoint that the entries came with.
    pub(super) seen: u64,
}

impl Replay<'_> {
    /// Judges and applies the next entry.
    pub(super) fn apply(&mut self, entry: &LogEntry) -> Result<(), EntryFault> {
        match entry {
            LogEntry::Mint(entry) => self.mint(entry),
            LogEntry::Reserve(entry) => self.reserve(entry),
            LogEntry::Journal(entry) => self.journal(entry),
            LogEntry::Settle(entry) => self.settle(entry),
            LogEntry::Void(entry) => self.void(entry),
            LogEntry::Claim(entry) => self.claim(entry),
            LogEntry::Merge(entry) => self.merge(entry),
            LogEntry::Stake(entry) => self.stake(entry),
            LogEntry::Slash(entry) => self.slash(entry),
            LogEntry::Rating(entry) => self.rating(entry),
        }?;
        self.state.log.append(entry.leaf_hash());
        Ok(())
    }

    fn mint(&mut self, entry: &MintEntry) -> Result<(), EntryFault> {
        let MintEntry { mint_seq, value, pk, rho, b, leaf_index, leaf, voucher_id } = *entry;
        if self.open_note(mint_seq, rho, MintOutput { pk, value, b }, (leaf_index, leaf))? {
            let (entry_index, seen) = (self.state.log.size(), self.seen);
            self.remember(HistoryItem::Deposit(DepositItem { value, voucher_id, entry_index, seen }));
        }
        Ok(())
    }

    /// Whether the payee had been paid as much, only an audit sees: wallets keep no sums of others.
    fn claim(&mut self, entry: &ClaimEntry) -> Result<(), EntryFault> {
        let request = entry.request();
        verify_claim(&self.state.ledger_id, &request).map_err(|_| EntryFault::Signature)?;
        if self.open_note(entry.mint_seq, entry.rho, request.output, (entry.leaf_index, entry.leaf))? {
            let (value, payee, entry_index, seen) = (entry.value, entry.payee, self.state.log.size(), self.seen);
            self.remember(HistoryItem::Claim(ClaimItem { value, payee, entry_index, seen }));
        }
        Ok(())
    }

    /// Appends a note that was opened in the clear; whether it is the wallet's.
    fn open_note(
        &mut self,
        mint_seq: u64,
        rho: Fe,
        MintOutput { pk, value, b }: MintOutput,
        (leaf_index, minted): (u64, Leaf),
    ) -> Result<bool, EntryFault> {
        let expected = self.state.next_mint_seq;
        if mint_seq != expected {
            return Err(EntryFault::MintSequence { expected, got: mint_seq });
        }
        // With the numbers contiguous this also means that no rho repeats.
        if rho != mint_rho(self.state.ledger_id, mint_seq) {
            return Err(EntryFault::MintRho);
        }
        let blind = Blind(b);
        if minted != leaf(inner(pk, value, rho, blind), Credits::ZERO) {
            return Err(EntryFault::Leaf);
        }
        self.append_leaf(leaf_index, minted)?;
        self.state.next_mint_seq = expected.saturating_add(1);

        let Some(lane) = self.lanes.lanes.get(&pk).copied() else { return Ok(false) };
        self.state.lanes_minted = self.state.lanes_minted.max(lane.saturating_add(1));
        self.state.next_lane = self.state.next_lane.max(self.state.lanes_minted);
        self.lanes.cover(self.keys, self.state.lanes_minted);
        self.keep(Note { lane, value, rho, blind, refund: Credits::ZERO }, leaf_index);
        Ok(true)
    }

    fn reserve(&mut self, entry: &ReserveEntry) -> Result<(), EntryFault> {
        let ReserveEntry { nullifier, inner_next, c_max, context, .. } = entry;
        if context.ledger_id != self.state.ledger_id || context.vk_digest != self.state.vk_digest {
            return Err(EntryFault::Context);
        }
        let open =
            OpenSpend { inner_next: *inner_next, c_max: *c_max, settle_key: context.settle_key, journalled: None };
        if self.state.open.insert(*nullifier, open).is_some() {
            return Err(EntryFault::SpendRepeated);
        }
        let Some(owned) = self.state.notes.iter_mut().find(|owned| owned.nullifier == *nullifier) else {
            return Ok(());
        };
        // b' is secret: whoever reserved this successor had the seed, and agreed to this c_max.
        let balance = owned.note.balance();
        let value_next = balance.and_then(|balance| balance.checked_sub(*c_max)).ok_or(EntryFault::Successor)?;
        let pk = self.keys.public_key(owned.note.lane);
        if *inner_next != inner(pk, value_next, nullifier.0, self.keys.blind_next(*nullifier)) {
            return Err(EntryFault::Successor);
        }
        let before = std::mem::replace(&mut owned.status, NoteStatus::Reserved { c_max: *c_max, value_next });
        free_partner(self.state, &before);
        self.remember_reserved(*nullifier, *c_max, context);
        Ok(())
    }

    fn merge(&mut self, entry: &MergeEntry) -> Result<(), EntryFault> {
        let MergeEntry { nullifiers, inner_next, leaf_index, leaf: successor, .. } = entry;
        let [first, second] = nullifiers;
        if first == second || nullifiers.iter().any(|nullifier| self.state.open.contains_key(nullifier)) {
            return Err(EntryFault::SpendRepeated);
        }
        if *successor != leaf(*inner_next, Credits::ZERO) {
            return Err(EntryFault::Leaf);
        }
        self.append_leaf(*leaf_index, *successor)?;

        let (lead, partner) = match (self.take(first), self.take(second)) {
            (None, None) => return Ok(()),
            (Some(lead), Some(partner)) => (lead, partner),
            // Both notes are of one key, and the wallet's own merges are of notes that it has.
            (Some(_), None) | (None, Some(_)) => return Err(EntryFault::Successor),
        };
        // b' is secret here as in a reservation.
        let value = lead.note.balance().zip(partner.note.balance());
        let value = value.and_then(|(value, more)| value.checked_add(more)).ok_or(EntryFault::Successor)?;
        let (lane, blind) = (lead.note.lane, self.keys.blind_next(*first));
        if *inner_next != inner(self.keys.public_key(lane), value, first.0, blind) {
            return Err(EntryFault::Successor);
        }
        for taken in [&lead, &partner] {
            free_partner(self.state, &taken.status);
            // What was prepared for it instead can no longer be reserved.
            if matches!(taken.status, NoteStatus::Pending { .. })
                && let Some(item) = self.spend_item(taken.nullifier)
            {
                item.progress = SpendProgress::Abandoned;
            }
        }
        self.keep(Note { lane, value, rho: first.0, blind, refund: Credits::ZERO }, *leaf_index);
        let (entry_index, seen) = (self.state.log.size(), self.seen);
        self.remember(HistoryItem::Merge(MergeItem { nullifiers: *nullifiers, value, entry_index, seen }));
        Ok(())
    }

    /// Takes a note of the wallet out of it.
    fn take(&mut self, nullifier: &Nullifier) -> Option<OwnedNote> {
        let at = self.state.notes.iter().position(|owned| owned.nullifier == *nullifier)?;
        Some(self.state.notes.remove(at))
    }

    fn journal(&mut self, entry: &JournalEntry) -> Result<(), EntryFault> {
        let open = self.state.open.get_mut(&entry.nullifier).ok_or(EntryFault::SpendUnknown)?;
        if entry.total > open.c_max || open.journalled.is_some_and(|last| entry.total < last) {
            return Err(EntryFault::JournalTotal);
        }
        let message = journal_message(&self.state.ledger_id, &entry.nullifier, entry.total);
        verify_ed25519(&open.settle_key, &message, &entry.signature).map_err(|_| EntryFault::Signature)?;
        open.journalled = Some(entry.total);
        if let Some(item) = self.spend_item(entry.nullifier) {
            item.charge = Some(entry.total);
        }
        Ok(())
    }

    fn settle(&mut self, entry: &SettleEntry) -> Result<(), EntryFault> {
        let SettleEntry { nullifier, charge, refund, leaf_index, leaf, by, signature } = entry;
        let open = self.state.open.remove(nullifier).ok_or(EntryFault::SpendUnknown)?;
        if charge.checked_add(*refund) != Some(open.c_max) {
            return Err(EntryFault::RefundSum);
        }
        match (by, signature) {
            (SettledBy::Guardian, Some(signature)) => {
                if open.journalled.is_some_and(|last| *charge < last) {
                    return Err(EntryFault::ChargeJournal);
                }
                let message = settle_message(&self.state.ledger_id, nullifier, *charge);
                verify_ed25519(&open.settle_key, &message, signature).map_err(|_| EntryFault::Signature)?;
            }
            (SettledBy::Ledger, None) if open.journalled == Some(*charge) => {}
            (SettledBy::Ledger, None) => return Err(EntryFault::ChargeJournal),
            (SettledBy::Guardian, None) | (SettledBy::Ledger, Some(_)) => return Err(EntryFault::Signature),
        }
        self.end(*nullifier, &open, *refund, (*leaf_index, *leaf))?;
        self.remember_end(*nullifier, SpendProgress::Settled, *charge, *refund);
        Ok(())
    }

    fn void(&mut self, entry: &VoidEntry) -> Result<(), EntryFault> {
        let VoidEntry { nullifier, refund, leaf_index, leaf } = entry;
        let open = self.state.open.remove(nullifier).ok_or(EntryFault::SpendUnknown)?;
        if *refund != open.c_max {
            return Err(EntryFault::RefundSum);
        }
        if open.journalled.is_some() {
            return Err(EntryFault::ChargeJournal);
        }
        self.end(*nullifier, &open, *refund, (*leaf_index, *leaf))?;
        self.remember_end(*nullifier, SpendProgress::Voided, Credits::ZERO, *refund);
        Ok(())
    }

    /// Appends the one successor of a spend and, if the spend was the wallet's, keeps it in place of the spent note.
    fn end(
        &mut self,
        nullifier: Nullifier,
        open: &OpenSpend,
        refund: Credits,
        (leaf_index, successor): (u64, Leaf),
    ) -> Result<(), EntryFault> {
        if successor != leaf(open.inner_next, refund) {
            return Err(EntryFault::Leaf);
        }
        self.append_leaf(leaf_index, successor)?;
        let Some(at) = self.state.notes.iter().position(|owned| owned.nullifier == nullifier) else { return Ok(()) };
        let spent = self.state.notes.remove(at);
        // A note is only ever in `open` and owned at once as Reserved.
        if let NoteStatus::Reserved { value_next, .. } = spent.status {
            let blind = self.keys.blind_next(nullifier);
            let note = Note { lane: spent.note.lane, value: value_next, rho: nullifier.0, blind, refund };
            self.keep(note, leaf_index);
        }
        Ok(())
    }

    fn append_leaf(&mut self, leaf_index: u64, leaf: Leaf) -> Result<(), EntryFault> {
        let expected = self.state.tree.len();
        match self.state.tree.append(leaf) {
            Ok(index) if index == leaf_index => Ok(()),
            _ => Err(EntryFault::LeafIndex { expected, got: leaf_index }),
        }
    }

    fn keep(&mut self, note: Note, leaf_index: u64) {
        // A note of nothing cannot pay for anything.
        if note.balance().is_some_and(|balance| !balance.is_zero()) {
            let nullifier = note.nullifier(self.keys.spend_key());
            self.state.notes.push(OwnedNote { note, leaf_index, nullifier, status: NoteStatus::Free });
        }
    }

    fn remember_reserved(&mut self, nullifier: Nullifier, c_max: Credits, context: &SpendContext) {
        if let Some(item) = self.spend_item(nullifier) {
            if *item.context == *context && item.c_max == c_max {
                item.progress = SpendProgress::Reserved;
                return;
            }
            // Another attempt at the same note made it to the ledger.
            item.progress = SpendProgress::Abandoned;
        }
        self.remember(HistoryItem::Spend(SpendItem {
            nullifier,
            c_max,
            context: Box::new(context.clone()),
            progress: SpendProgress::Reserved,
            charge: None,
            refund: None,
            seen: None,
            rating: None,
        }));
    }

    fn remember_end(&mut self, nullifier: Nullifier, progress: SpendProgress, charge: Credits, refund: Credits) {
        let seen = self.seen;
        if let Some(item) = self.spend_item(nullifier) {
            item.progress = progress;
            item.charge = Some(charge);
            item.refund = Some(refund);
            item.seen = Some(seen);
        }
    }

    fn remember(&mut self, item: HistoryItem) {
        remember(self.state, item);
    }

    pub(super) fn spend_item(&mut self, nullifier: Nullifier) -> Option<&mut SpendItem> {
        spend_item(self.state, nullifier)
    }
}

/// Frees the other note of a merge that cannot be any more, since this one's note is gone.
pub(super) fn free_partner(state: &mut WalletState, status: &NoteStatus) {
    let NoteStatus::Merging { partner, .. } = status else { return };
    let partner = state.notes.iter_mut().find(|owned| owned.nullifier == *partner);
    if let Some(owned) = partner.filter(|owned| matches!(owned.status, NoteStatus::Merging { .. })) {
        owned.status = NoteStatus::Free;
    }
}

/// The newest item of a spend.
pub(super) fn spend_item(state: &mut WalletState, nullifier: Nullifier) -> Option<&mut SpendItem> {
    state.history.iter_mut().rev().find_map(|item| match item {
        HistoryItem::Spend(item) if item.nullifier == nullifier => Some(item),
        HistoryItem::Spend(_) | HistoryItem::Deposit(_) | HistoryItem::Claim(_) | HistoryItem::Merge(_) => None,
    })
}

/// Adds to the history; when it is full the oldest finished item goes.
pub(super) fn remember(state: &mut WalletState, item: HistoryItem) {
    if state.history.len() >= HISTORY_ITEMS_MAX {
        let finished = |item: &HistoryItem| match item {
            HistoryItem::Deposit(_) | HistoryItem::Claim(_) | HistoryItem::Merge(_) => true,
            // The text of a withdrawal that nobody has claimed is made from its item.
            HistoryItem::Spend(item) if item.context.names_no_guardian() => item.progress == SpendProgress::Abandoned,
            HistoryItem::Spend(item) => !matches!(item.progress, SpendProgress::Pending | SpendProgress::Reserved),
        };
        if let Some(oldest) = state.history.iter().position(finished) {
            state.history.remove(oldest);
        }
    }
    state.history.push(item);
}
