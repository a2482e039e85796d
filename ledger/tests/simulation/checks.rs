//! What is looked at after every step, and at the end when faults have stopped.

use std::collections::BTreeSet;

use credits::LedgerError;
use credits::wallet::WalletError;

use super::guardian::Served;
use super::invariant::{Invariant, Violation};
use super::line::Line;
use super::op::{HOSTILE_GUARDIAN, INTERVAL_CREDITS_MAX, Link, OWNERS, Restored};
use super::world::World;
use crate::support::GRACE_SECS;

impl World {
    /// Every invariant. While the ledger is down, those that need it wait for it.
    pub(super) fn check(&mut self) -> Result<(), Violation> {
        if self.touched && !self.books.is_down() {
            self.look()?;
        }
        if let Some(found) = self.facts.found.take() {
            return Err(found);
        }
        self.check_guardians()?;
        self.check_said()?;
        self.check_devices()
    }

    /// Reads what the ledger shows now and holds it against everything that is known.
    pub(super) fn look(&mut self) -> Result<(), Violation> {
        let size = self.oracle.log_size();
        match self.books.log(size, 1000) {
            Ok(page) => self.oracle.read(&page, self.ledger_times)?,
            Err(LedgerError::Unavailable) => return Ok(()),
            Err(error) => return Err(Invariant::LogOnlyGrows.violated(format!("of {size} entries: {error}"))),
        }
        let Ok(totals) = self.books.totals() else { return Ok(()) };
        let claims: usize = self.oracle.payees.values().map(|payee| payee.claims.len()).sum();
        let (staked, burnt) = self.oracle.staked_and_burnt();
        let told = (totals.minted.get(), totals.owed.get(), totals.claims, totals.staked.get(), totals.burnt.get());
        let owed = self.oracle.charged - self.oracle.claimed - staked - burnt;
        let ours = (self.oracle.minted, owed, u64::try_from(claims).unwrap(), staked, burnt);
        Invariant::LogReplays
            .require(told == ours, || format!("minted, owed, claims, staked, burnt {told:?}, the log has {ours:?}"))?;
        let guardians = self.guardians.iter().map(|guardian| guardian.payee);
        let payees: BTreeSet<_> = guardians.chain(self.oracle.payees.keys().copied()).collect();
        for payee in payees {
            let Ok(account) = self.books.account(payee) else { return Ok(()) };
            let told = (account.owed.get(), account.claims);
            let ours = self.oracle.payees.get(&payee).cloned().unwrap_or_default();
            let ours = (ours.owed(), u64::try_from(ours.claims.len()).unwrap());
            Invariant::PayeesAreSums
                .require(told == ours, || format!("{payee} is owed, after claims, {told:?} and not {ours:?}"))?;
        }
        self.check_claims()?;
        self.touched = false;
        let now = ledger::Clock::now(&*self.books.clock);
        self.ledger_times = (now, now);
        Ok(())
    }

    pub(super) fn check_guardians(&self) -> Result<(), Violation> {
        let hostile = self.setup.hostile_guardian.then(|| self.guardians[HOSTILE_GUARDIAN].payee);
        let payees: BTreeSet<_> = self.guardians.iter().map(|guardian| guardian.payee).collect();
        for (nullifier, spend) in &self.oracle.spends {
            // Nobody serves for a withdrawal, or for what is paid into one.
            if hostile == Some(spend.context.payee) || !payees.contains(&spend.context.payee) {
                continue;
            }
            let served = self.facts.served.get(nullifier).copied().unwrap_or_default();
            let Served { total, journalled, unanswered } = served;
            let paid = spend.ended.map_or(journalled, |(charge, _)| charge);
            Invariant::ChargesServed
                .require(paid <= total, || format!("{nullifier}: {paid} is charged, {total} was served"))?;
            let lost = total - paid;
            Invariant::ExposureBounded.require(lost <= INTERVAL_CREDITS_MAX + unanswered, || {
                format!("{nullifier}: {lost} of {total} served are not paid, {unanswered} for want of an answer")
            })?;
        }
        Ok(())
    }

    fn check_devices(&self) -> Result<(), Violation> {
        for (number, device) in self.devices.iter().enumerate() {
            device.check_view()?;
            let wallet = device.wallet();
            if let Some(newest) = wallet.state().newest_seen()
                && let Some(root) = self.oracle.root(newest.log_size)
            {
                let told = newest.log_root;
                Invariant::ViewsOnlyGrow.require(root == told, || format!("device {number} saw another log"))?;
            }
            let Some(worth) = self.oracle.worth(device.owner, wallet.next_entry()) else { continue };
            let (told, ours) = (device.worth(), (worth.total, worth.reserved));
            Invariant::WalletsExact.require(told == ours, || {
                format!("device {number} of owner {} has {told:?} and should have {ours:?}", device.owner)
            })?;
        }
        Ok(())
    }

    /// Faults stop and time passes: everything must end, and everybody have what is theirs.
    pub(crate) fn finish(&mut self) -> Result<(), Violation> {
        self.books.stop_failing();
        Invariant::EverythingEnds.require(!self.books.is_down(), || "the ledger does not start".to_owned())?;
        self.touched = true;
        self.calm(Link::Whole)?;
        self.check()?;
        for at in 0..self.deposits.len() {
            if !self.deposits[at].is_done {
                self.redeem(at, Link::Whole)?;
            }
            let done = self.deposits[at].is_done;
            Invariant::EverythingEnds.require(done, || "a voucher cannot be redeemed".to_owned())?;
        }
        self.check()?;
        let ends = self.oracle.spends.values().map(|spend| spend.context.not_after);
        let last = ends.chain(self.devices.iter().map(super::device::Device::last_end)).max().unwrap_or(0);
        let now = ledger::Clock::now(&*self.books.clock);
        self.pass((last + GRACE_SECS + 1).saturating_sub(now));
        for guardian in &mut self.guardians {
            guardian.expire(&mut Line { books: &mut self.books, facts: &mut self.facts, link: Link::Whole });
        }
        self.touched = true;
        drop(self.books.finalise());
        self.check()?;
        self.end_merges()?;
        let open = self.oracle.spends.iter().find(|(_, spend)| spend.ended.is_none()).map(|(nullifier, _)| nullifier);
        Invariant::EverythingEnds.require(open.is_none(), || format!("{open:?} never ends"))?;
        let page = self.books.log(self.oracle.log_size(), 1).ok();
        let page = page.ok_or_else(|| Invariant::EverythingEnds.violated("the ledger does not answer".to_owned()))?;
        self.oracle.judge(&page.checkpoint)?;
        self.end_withdrawals()?;
        self.end_stakes()?;
        self.end_earnings()?;
        self.check_links()?;
        for at in 0..self.devices.len() {
            self.check_end(at)?;
        }
        // Once more, on the first device of every owner, from the seed alone.
        for (at, owner) in OWNERS.iter().enumerate() {
            if OWNERS.iter().position(|other| other == owner) == Some(at) {
                self.devices[at].restore(Restored::SeedAlone, 0)?;
                self.check_end(at)?;
            }
        }
        self.check()
    }

    /// A device in step has what was deposited and claimed and not charged, all of it free, and knows its withdrawals.
    fn check_end(&mut self, at: usize) -> Result<(), Violation> {
        self.sync(at, 1000, Link::Whole)?;
        let device = &self.devices[at];
        let (wallet, owner) = (device.wallet(), device.owner);
        let balance = wallet.balance();
        let owed = self.oracle.deposits(owner) + self.oracle.claims(owner) - self.oracle.charges(owner);
        let free = balance.spendable.get() == owed && balance.reserved.is_zero() && balance.pending.is_zero();
        Invariant::EverythingEnds.require(free, || {
            let (size, read) = (self.oracle.log_size(), wallet.next_entry());
            format!("device {at} has {balance:?} after {read} of {size} entries and should have {owed}")
        })?;
        let (told, ours) = (device.withdrawals(), self.oracle.withdrawals(owner));
        Invariant::WithdrawalsKept
            .require(told == ours, || format!("device {at} tells of the withdrawals {told:?}, made were {ours:?}"))
    }
}

/// What a hostile view must be refused as.
pub(super) fn is_contradiction(error: &WalletError) -> bool {
    matches!(
        error,
        WalletError::LedgerRollback { .. }
            | WalletError::LedgerFork { .. }
            | WalletError::EntryInvalid { .. }
            | WalletError::PageExcess
    )
}
