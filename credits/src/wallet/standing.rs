//! What the log says of nodes: stakes that answer for them, what lost them, and ratings. Protocol §4.10, §4.11.

use super::error::EntryFault;
use super::scan::Replay;
use super::state::SpendProgress;
use super::{HistoryItem, Wallet, WalletError};
use crate::bytes::Bytes32;
use crate::entry::{RatingEntry, SlashEntry, StakeEntry};
use crate::fault::{SlashDecision, SlashRequest, VerifiedSlash, decide_slash};
use crate::note::Nullifier;
use crate::rating::{RatingRequest, SCORE_MAX};
use crate::stake::{Bond, StakeDecision, VerifiedStake};
use crate::value::Credits;

impl Replay<'_> {
    /// Whether the payee was owed as much as it staked, only an audit sees.
    pub(super) fn stake(&mut self, entry: &StakeEntry) -> Result<(), EntryFault> {
        let stake = VerifiedStake::verify(entry.request(), &self.state.ledger_id).map_err(|_| EntryFault::Signature)?;
        let bond = self.state.bonds.entry(entry.payee).or_default();
        match bond.decide(stake.request(), entry.at) {
            Ok(StakeDecision::Record) => {}
            // An act is recorded once.
            Ok(StakeDecision::Repeat { .. }) | Err(_) => return Err(EntryFault::Stake),
        }
        bond.carry_out(entry.act, entry.at, self.state.log.size());
        Ok(())
    }

    pub(super) fn slash(&mut self, entry: &SlashEntry) -> Result<(), EntryFault> {
        let SlashEntry { payee, settle_key, ref evidence, reporter, at, amount, reward } = *entry;
        let request = SlashRequest { payee, settle_key, evidence: evidence.clone(), reporter };
        let slash = VerifiedSlash::verify(request, &self.state.ledger_id).map_err(|_| EntryFault::Signature)?;
        let bond = self.state.bonds.get_mut(&payee).ok_or(EntryFault::Stake)?;
        match decide_slash(Some(bond), &slash, at) {
            Ok(decision) if decision == (SlashDecision::Record { amount, reward }) => {}
            Ok(_) | Err(_) => return Err(EntryFault::Stake),
        }
        bond.slash(slash.request().digest(), self.state.log.size());
        Ok(())
    }

    /// Wallets keep no spends of others that have ended: that the tab's key signed, and that it was charged, an audit sees.
    pub(super) fn rating(&mut self, entry: &RatingEntry) -> Result<(), EntryFault> {
        if !(1..=SCORE_MAX).contains(&entry.score) || self.state.open.contains_key(&entry.nullifier) {
            return Err(EntryFault::Rating);
        }
        if let Some(item) = self.spend_item(entry.nullifier) {
            item.rating = Some(entry.score);
        }
        Ok(())
    }
}

impl Wallet {
    /// What a payee has at stake, as far as the log is replayed; the default when it never had anything.
    pub fn bond(&self, payee: &Bytes32) -> Bond {
        self.state.bonds.get(payee).cloned().unwrap_or_default()
    }

    /// What is at stake, until a time at least, for what a guardian's key signs.
    pub fn at_stake(&self, payee: &Bytes32, settle_key: &Bytes32, until: u64) -> Credits {
        self.state.bonds.get(payee).map_or(Credits::ZERO, |bond| bond.at_stake(settle_key, until))
    }

    /// A rating of a tab of this wallet that was charged.
    pub fn rate(&self, nullifier: Nullifier, score: u8) -> Result<RatingRequest, WalletError> {
        let refused = WalletError::NotRateable { nullifier };
        let is_this = |item: &&HistoryItem| matches!(item, HistoryItem::Spend(item) if item.nullifier == nullifier);
        let Some(HistoryItem::Spend(item)) = self.history().iter().rev().find(is_this) else { return Err(refused) };
        let is_charged = item.progress == SpendProgress::Settled && item.charge.is_some_and(|charge| !charge.is_zero());
        if !is_charged || item.context.names_no_guardian() {
            return Err(refused);
        }
        Ok(RatingRequest::sign(&self.tab_key(nullifier), &self.state.ledger_id, nullifier, score))
    }
}
