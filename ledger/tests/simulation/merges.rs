//! Merges as the client's program makes them (`verifier/src/merge.rs`), and what hostile wallets try with them.

use std::collections::BTreeMap;

use credits::note::inner;
use credits::wallet::{NoteStatus, PreparedMerge, Wallet};
use credits::{Credits, LedgerError, Nullifier};

use super::books::{Answer, Call};
use super::device::{Device, WalletFlaw};
use super::guardian::Request;
use super::invariant::{Invariant, Violation};
use super::op::{Fraud, HOSTILE_OWNER, Link, Meanwhile, OPERATORS, OWNERS, Restored, TIERS};
use super::world::World;

/// Merges that were sent and may be recorded: each note with the one that it becomes one with.
#[derive(Default)]
pub(super) struct MergesSent(BTreeMap<Nullifier, Nullifier>);

impl MergesSent {
    pub(super) fn has(&self, nullifier: &Nullifier) -> bool {
        self.0.contains_key(nullifier)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// A merge is over when the log shows that one of its notes is gone, or reserved.
    pub(super) fn read(&mut self, wallet: &Wallet) {
        let notes = wallet.state().notes();
        let stands = |nullifier: &Nullifier| {
            let note = notes.iter().find(|owned| owned.nullifier == *nullifier);
            note.is_some_and(|owned| !matches!(owned.status, NoteStatus::Reserved { .. }))
        };
        self.0.retain(|one, other| stands(one) && stands(other));
    }
}

impl Device {
    /// Takes up a merge that was cut off, or prepares one and stores it; and whether it is taken up.
    fn merge(&mut self, needed: Option<Credits>) -> Result<Option<(PreparedMerge, bool)>, Violation> {
        let cut_off = self.wallet().merging().next();
        let prepared = match cut_off {
            Some(first) => self.wallet().prepared_merge(first).map(Some),
            None if self.flaw == Some(WalletFlaw::MergesBeforeSaving) => self.unsaved(|w| w.prepare_merge(needed)),
            None => self.update(|wallet| wallet.prepare_merge(needed)),
        };
        let Ok(Some(prepared)) = prepared else { return Ok(None) };
        if cut_off.is_none() {
            let [one, other] = prepared.public.nullifiers;
            self.may_spend(one)?;
            self.may_spend(other)?;
        }
        Ok(Some((prepared, cut_off.is_some())))
    }

    fn sends_merge(&mut self, prepared: &PreparedMerge) {
        let [one, other] = prepared.public.nullifiers;
        self.merges.0.extend([(one, other), (other, one)]);
    }

    /// Frees the notes of merges that were cut off, which are none any more if their owner says so; how many there were.
    fn give_up_merges(&mut self, is_said: bool) -> usize {
        let cut_off: Vec<_> = self.wallet().merging().collect();
        if is_said {
            self.merges.0.retain(|one, other| !cut_off.contains(one) && !cut_off.contains(other));
        }
        for first in &cut_off {
            self.update(|wallet| {
                wallet.abandon_merge(*first);
                Ok(())
            })
            .unwrap();
        }
        cut_off.len()
    }
}

impl World {
    /// One merge: the one that was cut off, or the next.
    pub(super) fn merge(
        &mut self,
        device: usize,
        needed: u64,
        meanwhile: Meanwhile,
        link: Link,
    ) -> Result<(), Violation> {
        if self.books.is_down() {
            return Ok(());
        }
        self.sync(device, 1000, Link::Whole)?;
        let needed = (needed > 0).then(|| Credits::new(needed).unwrap());
        let Some((prepared, is_again)) = self.devices[device].merge(needed)? else {
            self.count("merge: nothing to do");
            return Ok(());
        };
        self.count(if is_again { "merge: sent again" } else { "merge: begun" });
        if meanwhile == Meanwhile::Prepared {
            self.count("merge: killed before it was sent");
            return self.devices[device].restore(Restored::Crash, 0);
        }
        self.devices[device].sends_merge(&prepared);
        if meanwhile == Meanwhile::Overtaken {
            self.calm(Link::Whole)?;
        }
        let proof = self.secrets.prove_merge(self.devices[device].owner, &prepared.witness, prepared.public.ctx);
        let answer = self.line(link).call(Call::Merge(Box::new(prepared.request(proof))));
        if meanwhile == Meanwhile::Sent {
            self.count("merge: killed before it was answered");
            return self.devices[device].restore(Restored::Crash, 0);
        }
        // Whatever is refused, the log tells what became of the notes; what is not decided stays as it is.
        self.sync(device, 1000, Link::Whole)?;
        match answer {
            Ok(Answer::Merged(merged)) => {
                self.count("merge: made");
                let wallet = self.devices[device].wallet();
                let [first, _] = prepared.public.nullifiers;
                let is_read = wallet.next_entry() > merged.entry_index;
                let is_shown = !is_read || wallet.merging().all(|merging| merging != first);
                Invariant::AnswersProved
                    .require(is_shown, || format!("{first} is merged, and its wallet does not see it"))
            }
            Ok(other) => Err(Invariant::AnswersProved.violated(format!("a merge is answered {other:?}"))),
            Err(error) => {
                self.count(&format!("merge: {}", error.code()));
                // A wallet in step knows what is spent and which roots are good, unless others came before.
                let is_overtaken = meanwhile == Meanwhile::Overtaken;
                let may_be = match error {
                    LedgerError::Unavailable => true,
                    LedgerError::SpendConflict | LedgerError::RootUnknown => is_overtaken,
                    _ => false,
                };
                Invariant::GoodMergesTaken.require(may_be, || format!("a good merge is refused: {error}"))?;
                if self.devices[device].flaw == Some(WalletFlaw::GivesUpMerges) {
                    self.devices[device].give_up_merges(false);
                }
                Ok(())
            }
        }
    }

    /// A person gives up merges that were cut off, and spends the notes otherwise, whatever becomes of the merges.
    pub(super) fn give_up_merges(&mut self, device: usize) {
        if self.devices[device].give_up_merges(true) > 0 {
            self.count("merge: given up");
        }
    }

    /// Merges that were cut off are sent again, until there are none.
    pub(super) fn end_merges(&mut self) -> Result<(), Violation> {
        for device in 0..self.devices.len() {
            self.sync(device, 1000, Link::Whole)?;
            while self.devices[device].wallet().merging().next().is_some() {
                let before = self.devices[device].wallet().merging().count();
                self.merge(device, 0, Meanwhile::Nothing, Link::Whole)?;
                let left = self.devices[device].wallet().merging().count();
                Invariant::EverythingEnds
                    .require(left < before, || format!("device {device} cannot make its merge, nor give it up"))?;
            }
        }
        self.check()
    }

    pub(super) fn cheat_with_merges(&mut self, fraud: Fraud, pick: u64) -> Result<(), Violation> {
        let device = OWNERS.iter().position(|owner| *owner == HOSTILE_OWNER).expect("a device of the hostile owner");
        let mut copy = self.devices[device].wallet().clone();
        let Ok(Some(prepared)) = copy.prepare_merge(None) else { return Ok(()) };
        let witness = &prepared.witness;
        let proof = self.secrets.prove_merge(HOSTILE_OWNER, witness, prepared.public.ctx);
        let mut request = prepared.request(proof);
        // A wallet that is behind has an old root, or a note that is gone.
        let mut refusals = vec![LedgerError::RootUnknown, LedgerError::SpendConflict, LedgerError::InnerReused];
        match fraud {
            Fraud::MergeMore => {
                let more = Credits::new(witness.value_next().unwrap().get() + 1_000).unwrap();
                let [(first, _), _] = &witness.notes;
                let pk = first.public_key(&witness.spend_key);
                request.inner_next = inner(pk, more, request.nullifiers[0].fe(), witness.blind_next);
                refusals.push(LedgerError::ProofInvalid);
                self.refused("fraud: a merge into more", Call::Merge(Box::new(request)), &refusals)
            }
            Fraud::MergeWithItself => {
                request.nullifiers[1] = request.nullifiers[0];
                refusals.push(LedgerError::MergeOneNote);
                self.refused("fraud: a note merged with itself", Call::Merge(Box::new(request)), &refusals)
            }
            _ => {
                // Whichever comes first: the other finds the note gone.
                let guardian = usize::try_from(pick).unwrap_or(0) % OPERATORS.len();
                let inputs = self.guardians[guardian].spend_context(self.devices[device].clock + 200);
                let mut other = self.devices[device].wallet().clone();
                let Ok(spend) = other.prepare_spend(Credits::new(TIERS[0]).unwrap(), inputs) else { return Ok(()) };
                if request.nullifiers.contains(&spend.public.nullifier) {
                    self.count("fraud: one note to a merge and a guardian");
                }
                let open = self.devices[device].prove(&self.secrets, &spend);
                self.send(device, guardian, Request::Open(Box::new(open)));
                let link = if pick.is_multiple_of(2) { Link::RequestLate } else { Link::Whole };
                drop(self.line(link).call(Call::Merge(Box::new(request))));
                Ok(())
            }
        }
    }
}
