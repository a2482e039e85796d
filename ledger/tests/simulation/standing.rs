//! Operators that stake, people who show faults of guardians or make some up, and payers who rate.

use credits::wallet::HistoryItem;
use credits::{
    Bytes32, Credits, Evidence, LedgerError, Nullifier, RatingRequest, Said, SigningKey, SlashRequest, StakeAct,
    StakeRequest,
};

use super::books::{Answer, Call};
use super::device::choose;
use super::guardian::payee_key;
use super::invariant::{Invariant, Violation};
use super::op::{HOSTILE_GUARDIAN, Link, OPERATOR_OWNERS, OPERATORS, Staking};
use super::world::World;
use crate::support::stakes::two_charges;

impl World {
    /// A program of an operator does something with its stake, as the ledger's log says that it stands.
    pub(super) fn stake(&mut self, operator: usize, staking: Staking, link: Link) -> Result<(), Violation> {
        if self.books.is_down() {
            return Ok(());
        }
        if self.touched {
            self.look()?;
        }
        let key = payee_key(u8::try_from(operator).unwrap());
        let payee = key.public();
        let account = self.oracle.payees.get(&payee).cloned().unwrap_or_default();
        let now = ledger::Clock::now(&*self.books.clock);
        let act = match staking {
            Staking::Put { part } => StakeAct::Put { amount: Credits::new(account.owed().div_ceil(part)).unwrap() },
            Staking::Back { guardian, secs } => {
                // Of its own guardians, the one that is meant or the first.
                let own = |at: &usize| usize::from(OPERATORS[*at]) == operator;
                let at = Some(guardian).filter(own).or_else(|| (0..OPERATORS.len()).find(own)).unwrap();
                let settle_key = self.guardians[at].spend_context(0).settle_key;
                StakeAct::Back { settle_key, until: now + secs }
            }
            Staking::Take => StakeAct::Take {},
        };
        let expected = account.bond.verdict(&act, account.owed(), now);
        let request = StakeRequest::sign(&key, &self.books.info.ledger_id, account.bond.acts, act);
        let answer = self.line(link).call(Call::Stake(request));
        match answer {
            Ok(Answer::Staked(_)) if expected.is_ok() => {
                self.count(match act {
                    StakeAct::Put { .. } => "stake: put",
                    StakeAct::Back { .. } => "stake: a guardian is backed",
                    StakeAct::Take {} => "stake: taken back",
                });
                Ok(())
            }
            Err(LedgerError::Unavailable) => Ok(()),
            Err(error) if expected.as_ref() == Err(&error) => {
                self.count(&format!("stake: {}", error.code()));
                Ok(())
            }
            other => Err(Invariant::StakesCovered.violated(format!("{act:?} is answered {other:?}, not {expected:?}"))),
        }
    }

    /// What contradicts itself of what the guardians of spends signed: of which spend, and the two things.
    fn faults(&self) -> Vec<(Nullifier, Evidence)> {
        let mut faults = Vec::new();
        for (nullifier, all) in &self.facts.said {
            let Some(spend) = self.oracle.spends.get(nullifier) else { continue };
            for (at, first) in all.iter().enumerate() {
                for second in &all[..at] {
                    let evidence = Evidence { first: first.clone(), second: second.clone() };
                    // Another guardian may have signed one of them: that is no word of this one.
                    if evidence.verify(&self.books.info.ledger_id, &spend.context.settle_key).is_ok() {
                        faults.push((*nullifier, evidence));
                    }
                }
            }
        }
        faults
    }

    /// A payee at an honest or a hostile operator, whoever the reporter is.
    fn accusation(&self, nullifier: &Nullifier, evidence: Evidence, pick: u64) -> Option<SlashRequest> {
        let context = &self.oracle.spends.get(nullifier)?.context;
        let reporter = payee_key(u8::try_from(pick % 2).unwrap()).public();
        Some(SlashRequest { payee: context.payee, settle_key: context.settle_key, evidence, reporter })
    }

    pub(super) fn accuse(&mut self, pick: u64, link: Link) -> Result<(), Violation> {
        if self.books.is_down() {
            return Ok(());
        }
        if self.touched {
            self.look()?;
        }
        let faults = self.faults();
        let Some((nullifier, evidence)) = choose(&faults, pick).cloned() else { return Ok(()) };
        let Some(request) = self.accusation(&nullifier, evidence, pick) else { return Ok(()) };
        let now = ledger::Clock::now(&*self.books.clock);
        let bond = self.oracle.payees.get(&request.payee).map(|payee| payee.bond.clone()).unwrap_or_default();
        let at_stake = bond.at_stake(&request.settle_key, now);
        match self.line(link).call(Call::Slash(Box::new(request))) {
            Ok(Answer::Slashed(slashed)) => {
                // What took the stake once is answered as before, until there is another.
                let is_exact = slashed.entry.amount.get() == at_stake || bond.staked == 0;
                self.count(if at_stake > 0 { "fault: a stake is lost" } else { "fault: shown again" });
                Invariant::FaultsProved.require(is_exact, || format!("{slashed:?} of {bond:?}"))
            }
            Err(LedgerError::Unavailable) => Ok(()),
            Err(LedgerError::SlashNotBacked) if at_stake == 0 => {
                self.count("fault: nothing answers for it");
                Ok(())
            }
            other => Err(Invariant::FaultsProved.violated(format!("{at_stake} at stake, and the fault is {other:?}"))),
        }
    }

    /// Two things that an honest guardian signed, or that it did not sign.
    pub(super) fn slander(&mut self, pick: u64) -> Result<(), Violation> {
        let said: Vec<_> = self.facts.said.iter().map(|(nullifier, all)| (*nullifier, all[0].clone())).collect();
        let Some((nullifier, one)) = choose(&said, pick).cloned() else { return Ok(()) };
        let forger = SigningKey::from_seed(&[0xf0; 32]);
        let forged = two_charges(&self.books.info, &forger, nullifier, [1, 2]);
        let (what, evidence, refusals) = match pick % 3 {
            0 => {
                let evidence = Evidence { first: one.clone(), second: one };
                ("slander: nothing is wrong", evidence, vec![LedgerError::SlashNoFault])
            }
            1 => ("slander: signed by another", forged, vec![LedgerError::SlashSignature]),
            _ => {
                let Evidence { first, .. } = forged;
                let refusals = vec![LedgerError::SlashSignature, LedgerError::SlashNoFault];
                ("slander: one of the two", Evidence { first: one, second: first }, refusals)
            }
        };
        let Some(request) = self.accusation(&nullifier, evidence, pick) else { return Ok(()) };
        self.refused(what, Call::Slash(Box::new(request)), &refusals)
    }

    /// A device rates one of its tabs that the log shows charged, perhaps for the second time.
    pub(super) fn rate(&mut self, device: usize, pick: u64, score: u8, link: Link) -> Result<(), Violation> {
        if self.books.is_down() {
            return Ok(());
        }
        if self.touched {
            self.look()?;
        }
        let wallet = self.devices[device].wallet();
        let spends = wallet.history().iter().filter_map(|item| match item {
            HistoryItem::Spend(item) => wallet.rate(item.nullifier, score).ok(),
            _ => None,
        });
        let requests: Vec<RatingRequest> = spends.collect();
        let Some(request) = choose(&requests, pick).copied() else { return Ok(()) };
        let before = self.oracle.rated.get(&request.nullifier).copied();
        match self.line(link).call(Call::Rate(request)) {
            Ok(Answer::Rated(_)) if before.is_none_or(|before| before == score) => {
                self.count(if before.is_none() { "rating: given" } else { "rating: given again" });
                Ok(())
            }
            Err(LedgerError::Unavailable) => Ok(()),
            Err(LedgerError::RatingConflict) if before.is_some_and(|before| before != score) => {
                self.count("rating: rated otherwise before");
                Ok(())
            }
            other => Err(Invariant::RatingsEarned.violated(format!("rated {before:?} before, {score} is {other:?}"))),
        }
    }

    /// Nobody can show a fault of a guardian that keeps to the rules.
    pub(super) fn check_said(&self) -> Result<(), Violation> {
        let hostile = self.setup.hostile_guardian.then(|| self.guardians[HOSTILE_GUARDIAN].payee);
        let payees: Vec<Bytes32> = self.guardians.iter().map(|guardian| guardian.payee).collect();
        for (nullifier, evidence) in self.faults() {
            let Some(spend) = self.oracle.spends.get(&nullifier) else { continue };
            let is_honest = payees.contains(&spend.context.payee) && hostile != Some(spend.context.payee);
            // Who withdraws settles for himself.
            let is_tab = spend.context.keyset_digest != Bytes32::default();
            Invariant::HonestSayOneThing
                .require(!(is_honest && is_tab), || format!("{nullifier}: {:?}", told(&evidence)))?;
        }
        Ok(())
    }

    /// Every operator takes its stake back, once nothing is backed.
    pub(super) fn end_stakes(&mut self) -> Result<(), Violation> {
        for operator in 0..OPERATOR_OWNERS.len() {
            let payee = payee_key(u8::try_from(operator).unwrap()).public();
            let bond = self.oracle.payees.get(&payee).map(|payee| payee.bond.clone()).unwrap_or_default();
            let now = ledger::Clock::now(&*self.books.clock);
            self.pass((bond.held_until() + 1).saturating_sub(now));
            self.touched = true;
            self.stake(operator, Staking::Take, Link::Whole)?;
            self.check()?;
            let left = self.oracle.payees.get(&payee).map_or(0, |payee| payee.bond.staked);
            Invariant::EverythingEnds.require(left == 0, || format!("operator {operator} cannot take {left} back"))?;
        }
        Ok(())
    }
}

/// The amounts of evidence.
fn told(evidence: &Evidence) -> Vec<u64> {
    let amount = |said: &Said| match said {
        Said::Total { total, .. } => total.get(),
        Said::Charge { charge, .. } => charge.get(),
        Said::Bill { settlement, .. } => settlement.charge.get(),
        Said::Head { .. } => 0,
    };
    [&evidence.first, &evidence.second].map(amount).to_vec()
}
