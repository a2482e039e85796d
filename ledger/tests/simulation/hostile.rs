//! What hostile guardians and hostile wallets try. What the ledger must refuse, it must refuse here; what it must carry out
//! whoever asks is left to the invariants.

use credits::{LedgerError, Nullifier, RedeemRequest, ReserveRequest, SpendContext};

use super::books::Call;
use super::device::choose;
use super::guardian::Request;
use super::invariant::{Invariant, Violation};
use super::op::{Fraud, HOSTILE_GUARDIAN, HOSTILE_OWNER, Link, Misdeed, OPERATORS, OWNERS, TIERS};
use super::oracle::Spend;
use super::world::World;

impl World {
    /// A call that must be refused in one of these ways, unless the ledger is down.
    pub(super) fn refused(&mut self, what: &str, call: Call, refusals: &[LedgerError]) -> Result<(), Violation> {
        match self.line(Link::Whole).call(call) {
            Err(LedgerError::Unavailable) => Ok(()),
            Err(error) if refusals.contains(&error) => {
                self.count(what);
                Ok(())
            }
            other => Err(Invariant::FraudRefused.violated(format!("{what}: {other:?}"))),
        }
    }

    pub(super) fn misbehave(&mut self, pick: u64, misdeed: Misdeed) -> Result<(), Violation> {
        if !self.setup.hostile_guardian {
            return Ok(());
        }
        let keyset = self.guardians[HOSTILE_GUARDIAN].keyset_digest;
        let wants_own = misdeed != Misdeed::SettleAnothers;
        let wants_ended = misdeed == Misdeed::SettleAgain;
        let fits = |(_, spend): &(&Nullifier, &Spend)| {
            let is_own = spend.context.keyset_digest == keyset;
            is_own == wants_own && spend.ended.is_some() == wants_ended
        };
        let spends: Vec<_> = self.oracle.spends.iter().filter(fits).map(|(id, spend)| (*id, spend.clone())).collect();
        let Some((id, spend)) = choose(&spends, pick).cloned() else { return Ok(()) };
        let guardian = &self.guardians[HOSTILE_GUARDIAN];
        let settle = |charge| Call::Settle(guardian.signs_settle(&id, charge));
        let journal = |total| Call::Journal(guardian.signs_journal(&id, total));
        match misdeed {
            Misdeed::ChargeAboveReserve => {
                let call = settle(spend.c_max + 1);
                self.refused("misdeed: charge above the reserve", call, &[LedgerError::SettleAboveReserve])
            }
            Misdeed::JournalLess => {
                let Some(less) = spend.journalled.and_then(|last| last.checked_sub(1)) else { return Ok(()) };
                let refusals = [LedgerError::JournalDecreasing, LedgerError::JournalFinalised];
                let call = journal(less);
                self.refused("misdeed: total below the last", call, &refusals)
            }
            Misdeed::SettleAgain => {
                let Some((charge, _)) = spend.ended else { return Ok(()) };
                let call = settle(if charge == spend.c_max { charge - 1 } else { charge + 1 });
                self.refused("misdeed: settled again", call, &[LedgerError::SettleConflict])
            }
            Misdeed::SettleAnothers => {
                let call = settle(spend.c_max);
                self.refused("misdeed: another's spend settled", call, &[LedgerError::SettleSignature])
            }
            Misdeed::ChargeEverything | Misdeed::JournalEverything => {
                let is_late = ledger::Clock::now(&*self.books.clock)
                    > spend.context.not_after.saturating_add(crate::support::GRACE_SECS);
                let is_settle = misdeed == Misdeed::ChargeEverything;
                let call = if is_settle { settle(spend.c_max) } else { journal(spend.c_max) };
                if is_late && spend.journalled != Some(spend.c_max) {
                    // Its time is up: the ledger ends the spend at what was journalled.
                    let refusals = [LedgerError::SettleConflict, LedgerError::JournalFinalised];
                    return self.refused("misdeed: settled after the end", call, &refusals);
                }
                let done = self.line(Link::Whole).call(call).is_ok();
                if done {
                    self.count(if is_settle {
                        "misdeed: everything charged"
                    } else {
                        "misdeed: everything journalled"
                    });
                }
                Ok(())
            }
        }
    }

    pub(super) fn cheat(&mut self, fraud: Fraud, pick: u64) -> Result<(), Violation> {
        if !self.setup.hostile_wallet {
            return Ok(());
        }
        let device = OWNERS.iter().position(|owner| *owner == HOSTILE_OWNER).expect("a device of the hostile owner");
        match fraud {
            Fraud::SpendTwice => self.spend_twice(device, pick),
            Fraud::SpendAgain => {
                let spends: Vec<_> =
                    self.oracle.spends.iter().filter(|(_, spend)| spend.owner == HOSTILE_OWNER).collect();
                let Some(context) = choose(&spends, pick).map(|(_, spend)| spend.context.clone()) else {
                    return Ok(());
                };
                let Some(id) = choose(&spends, pick).map(|(id, _)| **id) else { return Ok(()) };
                self.spend_again(id, context)
            }
            Fraud::SpendMore | Fraud::SpendAnothers => self.spend_more(device, fraud, pick),
            Fraud::RedeemAgain => {
                let done: Vec<_> = self.deposits.iter().filter(|deposit| deposit.is_done).cloned().collect();
                let Some(deposit) = choose(&done, pick) else { return Ok(()) };
                let value = deposit.voucher.value.get();
                let Some(outputs) = self.devices[device].deposit(value, 1) else { return Ok(()) };
                if outputs == deposit.outputs {
                    return Ok(());
                }
                let call = Call::Redeem(RedeemRequest { voucher: deposit.voucher.to_text(), outputs });
                self.refused("fraud: voucher used again", call, &[LedgerError::VoucherUsed])
            }
            Fraud::MergeMore | Fraud::MergeWithItself | Fraud::MergeAndSpend => self.cheat_with_merges(fraud, pick),
        }
    }

    /// One note to two guardians: the wallet is copied before it marks the note.
    fn spend_twice(&mut self, device: usize, pick: u64) -> Result<(), Violation> {
        let guardians: Vec<_> = (0..OPERATORS.len()).collect();
        let mut nullifiers = Vec::new();
        for turn in 0..2 {
            let guardian = *choose(&guardians, pick.wrapping_add(turn)).expect("there are guardians");
            let not_after = self.devices[device].clock + 200;
            let inputs = self.guardians[guardian].spend_context(not_after);
            let tier = credits::Credits::new(TIERS[usize::try_from(turn).unwrap()]).unwrap();
            let mut copy = self.devices[device].wallet().clone();
            let Ok(prepared) = copy.prepare_spend(tier, inputs) else { return Ok(()) };
            nullifiers.push(prepared.public.nullifier);
            let request = self.devices[device].prove(&self.secrets, &prepared);
            self.send(device, guardian, Request::Open(Box::new(request)));
        }
        if nullifiers[0] == nullifiers[1] {
            self.count("fraud: one note to two guardians");
        }
        Ok(())
    }

    /// A nullifier that is recorded, in another context, at the ledger itself.
    fn spend_again(&mut self, id: Nullifier, mut context: SpendContext) -> Result<(), Violation> {
        let Ok(page) = self.books.log(0, 1000) else { return Ok(()) };
        let recorded = page.entries.iter().find_map(|entry| match entry {
            credits::LogEntry::Reserve(entry) if entry.nullifier == id => Some(entry.clone()),
            _ => None,
        });
        let Some(entry) = recorded else { return Ok(()) };
        context.tab_key.0[0] ^= 1;
        context.not_after += 100;
        let credits::ReserveEntry { root, nullifier, inner_next, c_max, proof, .. } = entry;
        let request = ReserveRequest { root, nullifier, inner_next, c_max, context, proof };
        self.refused("fraud: note spent again", Call::Reserve(Box::new(request)), &[LedgerError::SpendConflict])
    }

    /// A proof that does not prove what is asked: a note that is worth more than it is, or another's nullifier.
    fn spend_more(&mut self, device: usize, fraud: Fraud, pick: u64) -> Result<(), Violation> {
        let now = ledger::Clock::now(&*self.books.clock);
        let inputs = self.guardians[0].spend_context(now + 200);
        let mut copy = self.devices[device].wallet().clone();
        let Ok(mut prepared) = copy.prepare_spend(credits::Credits::new(TIERS[0]).unwrap(), inputs) else {
            return Ok(());
        };
        let mut public = prepared.public;
        if fraud == Fraud::SpendMore {
            let more = credits::Credits::new(prepared.witness.note.value.get() + 1_000).unwrap();
            prepared.witness.note.value = more;
            public = prepared.witness.public(public.c_max, public.ctx).unwrap();
            // Under the tree's root it is not proved; under the root that it would have, there is no tree.
            if pick.is_multiple_of(2) {
                public.root = prepared.public.root;
            }
        } else {
            let spends: Vec<_> = self.oracle.spends.keys().copied().collect();
            let Some(other) = choose(&spends, pick) else { return Ok(()) };
            public.nullifier = Nullifier(credits::Fe::from_digest(credits::hash::sha256(other.as_bytes())));
        }
        let proof = self.secrets.prove(HOSTILE_OWNER, &prepared.witness, public.ctx);
        let call = Call::Reserve(Box::new(ReserveRequest {
            root: public.root,
            nullifier: public.nullifier,
            inner_next: public.inner_next,
            c_max: public.c_max,
            context: prepared.context,
            proof,
        }));
        // A wallet that is behind has an old root, or a note that is spent under a successor that is used.
        let refusals =
            [LedgerError::ProofInvalid, LedgerError::RootUnknown, LedgerError::SpendConflict, LedgerError::InnerReused];
        self.refused("fraud: proof of something else", call, &refusals)
    }
}
