//! Stakes, what loses them, and ratings, as somebody who knows everything sees them: the rules of `docs/protocol.md` §4.10 and §4.11
//! a second time.

use std::collections::BTreeMap;

use credits::rating::rating_message;
use credits::stake::stake_message;
use credits::{
    Bytes32, LedgerError, RatingEntry, Said, SlashEntry, StakeAct, StakeEntry, journal_message, settle_message,
    verify_ed25519,
};

use super::invariant::{Invariant, Violation};
use super::oracle::Oracle;

/// A payee's stake.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bonded {
    pub(crate) staked: u64,
    /// What it ever lost, and what it was given for showing faults of others or its own.
    pub(crate) lost: u64,
    pub(crate) rewarded: u64,
    pub(crate) acts: u64,
    /// The keys it answers for, and until when.
    pub(crate) backed: BTreeMap<Bytes32, u64>,
}

impl Bonded {
    pub(crate) fn held_until(&self) -> u64 {
        self.backed.values().copied().max().unwrap_or(0)
    }

    pub(crate) fn at_stake(&self, key: &Bytes32, now: u64) -> u64 {
        if self.backed.get(key).is_some_and(|until| *until >= now) { self.staked } else { 0 }
    }

    /// What becomes of the next act, of a payee who is owed so much.
    pub(crate) fn verdict(&self, act: &StakeAct, owed: u64, now: u64) -> Result<(), LedgerError> {
        match act {
            StakeAct::Put { amount } if amount.is_zero() => Err(LedgerError::StakeZero),
            StakeAct::Put { amount } if amount.get() > owed => Err(LedgerError::StakeAboveOwed),
            StakeAct::Back { .. } | StakeAct::Take {} if self.staked == 0 => Err(LedgerError::StakeNone),
            StakeAct::Back { settle_key, until } => {
                let before = self.backed.get(settle_key).copied().unwrap_or(0);
                if *until > now && *until > before { Ok(()) } else { Err(LedgerError::StakeUntil) }
            }
            StakeAct::Take {} if self.held_until() >= now => Err(LedgerError::StakeHeld),
            StakeAct::Put { .. } | StakeAct::Take {} => Ok(()),
        }
    }
}

impl Oracle {
    pub(super) fn stake(&mut self, entry: &StakeEntry, (from, to): (u64, u64)) -> Result<(), Violation> {
        let StakeEntry { payee, seq, act, at, signature } = *entry;
        let message = stake_message(&self.info.ledger_id, &payee, seq, &act);
        let signed = verify_ed25519(&payee, &message, &signature).is_ok();
        let account = self.payees.entry(payee).or_default();
        let (owed, bond) = (account.owed(), &mut account.bond);
        let in_order = signed && seq == bond.acts && (from..=to).contains(&at);
        Invariant::StakesCovered.require(in_order, || format!("act {seq} of {payee} at {at}, after {}", bond.acts))?;
        let verdict = bond.verdict(&act, owed, at);
        let invariant =
            if verdict == Err(LedgerError::StakeHeld) { Invariant::StakesHeld } else { Invariant::StakesCovered };
        invariant.require(verdict.is_ok(), || format!("{act:?} of {payee} at {at}: {verdict:?}"))?;
        bond.acts += 1;
        bond.backed.retain(|_, until| *until >= at);
        match act {
            StakeAct::Put { amount } => bond.staked += amount.get(),
            StakeAct::Back { settle_key, until } => drop(bond.backed.insert(settle_key, until)),
            StakeAct::Take {} => (bond.staked, bond.backed) = (0, BTreeMap::new()),
        }
        Ok(())
    }

    pub(super) fn slash(&mut self, entry: &SlashEntry, (from, to): (u64, u64)) -> Result<(), Violation> {
        let SlashEntry { payee, settle_key, evidence, reporter, at, amount, reward } = entry;
        let said = [&evidence.first, &evidence.second];
        let signed = said.iter().all(|said| self.is_said_by(said, settle_key));
        // The guardians here give no bills and keep no logs: what contradicts itself is two charges.
        let contradicts = match said {
            [Said::Charge { nullifier, charge, .. }, Said::Charge { nullifier: same, charge: other, .. }] => {
                nullifier == same && charge != other
            }
            _ => false,
        };
        let bond = &mut self.payees.entry(*payee).or_default().bond;
        let is_backed = (from..=to).contains(at) && bond.at_stake(settle_key, *at) == amount.get();
        let exact = !amount.is_zero() && reward.get() == amount.get() / 20;
        Invariant::FaultsProved.require(signed && contradicts && is_backed && exact, || {
            format!("{amount} of {payee} are lost, signed {signed}, contradicts {contradicts}, backed {is_backed}")
        })?;
        (bond.staked, bond.backed) = (0, BTreeMap::new());
        bond.lost += amount.get();
        self.payees.entry(*reporter).or_default().bond.rewarded += reward.get();
        Ok(())
    }

    fn is_said_by(&self, said: &Said, key: &Bytes32) -> bool {
        let id = &self.info.ledger_id;
        match said {
            Said::Total { nullifier, total, signature } => {
                verify_ed25519(key, &journal_message(id, nullifier, *total), signature).is_ok()
            }
            Said::Charge { nullifier, charge, signature } => {
                verify_ed25519(key, &settle_message(id, nullifier, *charge), signature).is_ok()
            }
            Said::Bill { .. } | Said::Head { .. } => false,
        }
    }

    pub(super) fn rating(&mut self, entry: &RatingEntry) -> Result<(), Violation> {
        let RatingEntry { nullifier, score, signature } = *entry;
        let spend = self.spends.get(&nullifier);
        let message = rating_message(&self.info.ledger_id, &nullifier, score);
        let earned = spend.is_some_and(|spend| {
            let is_charged = spend.ended.is_some_and(|(charge, _)| charge > 0);
            let names_guardian = spend.context.keyset_digest != Bytes32::default();
            is_charged && names_guardian && verify_ed25519(&spend.context.tab_key, &message, &signature).is_ok()
        });
        let is_first = self.rated.insert(nullifier, score).is_none();
        let earned = earned && is_first && (1..=5).contains(&score);
        Invariant::RatingsEarned.require(earned, || format!("{nullifier} is rated {score}, the first: {is_first}"))
    }

    /// What payees have at stake, and what was lost with stakes and is nobody's.
    pub(crate) fn staked_and_burnt(&self) -> (u64, u64) {
        let bonds = || self.payees.values().map(|payee| &payee.bond);
        let staked = bonds().map(|bond| bond.staked).sum();
        (staked, bonds().map(|bond| bond.lost).sum::<u64>() - bonds().map(|bond| bond.rewarded).sum::<u64>())
    }
}
