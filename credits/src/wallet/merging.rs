//! Merging: two notes of the wallet become one. `docs/protocol.md` §3.6, §4.9.
//!
//! A merge has no deadline. One that was sent and not answered is best sent again. It may be given up all the same and loses
//! nothing: whether it is recorded afterwards or not, the wallet has one note or the other two, and the log tells which. But who saw
//! it knows that later spends of the two are one wallet's.

use std::cmp::Reverse;

use super::scan::free_partner;
use super::{NoteStatus, OwnedNote, Wallet, WalletError};
use crate::merge::{MergePublic, MergeRequest, MergeWitness, merge_ctx};
use crate::note::Nullifier;
use crate::spend::SpendProof;
use crate::tree::spent_under;
use crate::value::Credits;

/// A merge, ready to be proved and sent.
#[derive(Clone, Debug)]
pub struct PreparedMerge {
    /// The statement.
    pub public: MergePublic,
    /// Why it holds. Secret.
    pub witness: MergeWitness,
}

impl PreparedMerge {
    /// What to send once it is proved.
    pub const fn request(&self, proof: SpendProof) -> MergeRequest {
        let MergePublic { root, nullifiers, inner_next, ctx: _ } = self.public;
        MergeRequest { root, nullifiers, inner_next, proof }
    }
}

impl Wallet {
    /// Picks two free notes and marks them as being merged; nothing when there is nothing to do. Store the state before proving
    /// and sending the merge.
    ///
    /// With an amount that one note is to be worth, the largest two are taken, until one is worth as much. Without one the smallest
    /// two are, until there is one note, and those that the newest anchor has before all others, whose root would say when they
    /// were made. Which of two comes first is nothing but the order of their nullifiers, so that it tells nothing.
    ///
    /// # Errors
    ///
    /// `wallet.merge_not_offered` at a ledger without merges, and `wallet.insufficient_balance` when all notes together are worth less.
    pub fn prepare_merge(&mut self, needed: Option<Credits>) -> Result<Option<PreparedMerge>, WalletError> {
        if self.state.merge_vk_digest.is_none() {
            return Err(WalletError::MergeNotOffered);
        }
        if !self.in_step() {
            return Err(WalletError::NotSynced);
        }
        let len = self.state.tree.len();
        let free = self.state.notes.iter().filter(|owned| owned.status == NoteStatus::Free);
        let worths = free.filter_map(|owned| {
            let is_young = spent_under(len, owned.leaf_index) == len;
            Some((owned.note.balance()?, is_young, owned.leaf_index, owned.nullifier))
        });
        let mut worths: Vec<_> = worths.collect();
        if let Some(needed) = needed {
            let spendable = self.balance().spendable;
            if spendable < needed {
                return Err(WalletError::InsufficientBalance { needed, spendable });
            }
            worths.sort_unstable_by_key(|(worth, is_young, index, _)| (Reverse(*worth), *is_young, *index));
            if worths.first().is_some_and(|(worth, ..)| *worth >= needed) {
                return Ok(None);
            }
        } else {
            worths.sort_unstable_by_key(|(worth, is_young, index, _)| (*is_young, *worth, *index));
        }
        let Some([(.., one), (.., other)]) = worths.first_chunk() else { return Ok(None) };
        let (first, second) = (*one.min(other), *one.max(other));
        self.mark_merging(first, NoteStatus::Merging { partner: second, leads: true });
        self.mark_merging(second, NoteStatus::Merging { partner: first, leads: false });
        self.prepared_merge(first).map(Some)
    }

    fn mark_merging(&mut self, nullifier: Nullifier, status: NoteStatus) {
        if let Some(owned) = self.state.notes.iter_mut().find(|owned| owned.nullifier == nullifier) {
            owned.status = status;
        }
    }

    /// The merges that were prepared and that the log does not show, each by its first note.
    pub fn merging(&self) -> impl Iterator<Item = Nullifier> {
        let leads = |owned: &&OwnedNote| matches!(owned.status, NoteStatus::Merging { leads: true, .. });
        self.state.notes.iter().filter(leads).map(|owned| owned.nullifier)
    }

    /// A prepared merge once more, against a present root; sending it again is harmless.
    pub fn prepared_merge(&self, first: Nullifier) -> Result<PreparedMerge, WalletError> {
        let refused = WalletError::NotPending { nullifier: first };
        let lead = self.owned(first).ok_or(refused.clone())?;
        let NoteStatus::Merging { partner, leads: true } = lead.status else { return Err(refused) };
        let partner = self.owned(partner).ok_or(refused)?;
        let merge_vk_digest = self.state.merge_vk_digest.ok_or(WalletError::MergeNotOffered)?;
        if !self.in_step() {
            return Err(WalletError::NotSynced);
        }
        let tree = &self.state.tree;
        let unusable = WalletError::NotePath { root: tree.root() };
        // One root has both: the newest that the younger note is spent under.
        let under = spent_under(tree.len(), lead.leaf_index.max(partner.leaf_index));
        let with_path = |owned: &OwnedNote| Some((owned.note.clone(), tree.path_under(owned.leaf_index, under)?));
        let notes = with_path(lead).zip(with_path(partner)).ok_or(unusable.clone())?;
        let witness = MergeWitness {
            spend_key: self.keys.spend_key().clone(),
            notes: notes.into(),
            blind_next: self.keys.blind_next(first),
        };
        let ctx = merge_ctx(&self.state.ledger_id, &merge_vk_digest);
        let public = witness.public(ctx).map_err(|_| unusable)?;
        Ok(PreparedMerge { public, witness })
    }

    /// Frees the notes of a merge that was prepared. Does nothing for any other.
    pub fn abandon_merge(&mut self, first: Nullifier) {
        let lead = self.state.notes.iter_mut().find(|owned| owned.nullifier == first);
        let Some(owned) = lead.filter(|owned| matches!(owned.status, NoteStatus::Merging { .. })) else { return };
        let before = std::mem::replace(&mut owned.status, NoteStatus::Free);
        free_partner(&mut self.state, &before);
    }
}
