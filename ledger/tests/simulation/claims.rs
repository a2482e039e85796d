//! What was charged becomes notes of whoever has the payee's key: the operators' programs, and those that deposit a withdrawal
//! (`verifier/src/withdraw.rs`, `Payer::claim`).

use std::collections::BTreeSet;

use credits::{Bytes32, ClaimRequest, LedgerError, MintOutput, PayeeAccount, PayeeKey, SignatureBytes};

use super::books::{Answer, Call};
use super::device::{WalletFlaw, choose};
use super::guardian::payee_key;
use super::invariant::{Invariant, Violation};
use super::op::{HOSTILE_OWNER, Link, Misclaim, OPERATOR_OWNERS, OWNERS, Restored};
use super::world::{Message, World};
use crate::support::credits;

/// Rounds of claims after which an operator must have all that it is owed.
const CLAIM_ROUNDS_MAX: u64 = 3;

/// The hostile operator.
const HOSTILE_OPERATOR: u8 = 1;

impl World {
    /// A program of an operator claims, on any device of its owner.
    pub(super) fn claim(
        &mut self,
        operator: usize,
        pick: u64,
        (part, notes): (u64, u32),
        is_killed: bool,
    ) -> Result<(), Violation> {
        let owner = OPERATOR_OWNERS[operator];
        let devices: Vec<_> = (0..OWNERS.len()).filter(|device| OWNERS[*device] == owner).collect();
        let device = *choose(&devices, pick).expect("a device of the operator's owner");
        let key = payee_key(u8::try_from(operator).unwrap());
        let is_raced = self.claims_under_way(&key.public());
        if self.start_claims(device, &key, (part, notes), is_killed)? && is_raced {
            self.count("claim: beside another program's");
        }
        Ok(())
    }

    pub(super) fn claims_under_way(&self, payee: &Bytes32) -> bool {
        self.messages
            .iter()
            .any(|message| matches!(message, Message::Claims { claims, .. } if claims[0].payee == *payee))
    }

    /// The account is read, the notes are stored, and the first claim is on its way. Whether it is.
    pub(super) fn start_claims(
        &mut self,
        device: usize,
        key: &PayeeKey,
        (part, notes): (u64, u32),
        is_killed: bool,
    ) -> Result<bool, Violation> {
        self.sync(device, 1000, Link::Whole)?;
        let Ok(PayeeAccount { owed, claims }) = self.books.account(key.public()) else { return Ok(false) };
        let amount = if part == 0 { owed.get() } else { part.min(owed.get()) };
        if amount == 0 {
            self.count("claim: nothing is owed");
            return Ok(false);
        }
        let notes = u32::try_from(amount).map_or(notes, |amount| notes.min(amount));
        let Some(outputs) = self.devices[device].deposit(amount, notes) else { return Ok(false) };
        let owner = self.devices[device].owner;
        outputs.iter().for_each(|output| self.secrets.owns(owner, output.pk));
        if is_killed {
            self.count("claim: killed before it was sent");
            self.devices[device].restore(Restored::Crash, 0)?;
            return Ok(false);
        }
        let is_operators = (0..).zip(OPERATOR_OWNERS).any(|(operator, _)| payee_key(operator).public() == key.public());
        let reuses = self.devices[device].flaw == Some(WalletFlaw::ReusesClaimNumbers) && is_operators;
        let first = if reuses { 0 } else { claims };
        let ledger_id = self.books.info.ledger_id;
        let claims = (first..).zip(outputs).map(|(number, output)| ClaimRequest::sign(key, &ledger_id, number, output));
        let (claims, life) = (claims.collect(), self.devices[device].life);
        if self.devices[device].forgot {
            self.count("claim: by a wallet that was put back");
        }
        self.messages.push(Message::Claims { device, life, claims });
        Ok(true)
    }

    /// A claim arrives; if its program is killed, nobody hears the answer.
    pub(super) fn claims_arrive(
        &mut self,
        device: usize,
        life: u64,
        mut claims: Vec<ClaimRequest>,
        link: Link,
        is_killed: bool,
    ) -> Result<(), Violation> {
        let request = claims.remove(0);
        let is_withdrawals = self.texts.iter().any(|text| text.payee == request.payee);
        if link != Link::Whole {
            self.count("claim: met a fault of the network");
        }
        let answer = self.line(link).call(Call::Claim(request.clone()));
        if is_killed && self.devices[device].life == life {
            self.count("claim: killed before it was answered");
            return self.devices[device].restore(Restored::Crash, 0);
        }
        if self.devices[device].life != life {
            self.count("claim: nobody waits");
            return Ok(());
        }
        match answer {
            Ok(Answer::Claimed(claimed)) => {
                self.count(if is_withdrawals { "withdrawal: note deposited" } else { "claim: note claimed" });
                self.told.push(request);
                let observed = self.devices[device].observe(&claimed.checkpoint);
                Invariant::ViewsOnlyGrow.require(observed.is_ok(), || format!("{observed:?} after a claim"))?;
                if !claims.is_empty() {
                    self.messages.push(Message::Claims { device, life, claims });
                }
                Ok(())
            }
            Err(LedgerError::ClaimStale) => {
                self.count(if is_withdrawals {
                    "withdrawal: another deposited it"
                } else {
                    "claim: another came before"
                });
                if self.devices[device].flaw == Some(WalletFlaw::TellsOfLostClaims) {
                    self.told.push(request);
                }
                Ok(())
            }
            Err(LedgerError::Unavailable) => Ok(()),
            Err(LedgerError::ClaimAboveCharges) if self.was_staked(&request)? => {
                self.count("claim: what it was for is at stake meanwhile");
                Ok(())
            }
            // An account grows by itself; who claims from it takes the number, and who stakes is known.
            other => Err(Invariant::EarningsKept.violated(format!("a claim in order is answered {other:?}"))),
        }
    }

    /// Whether the owner of an account put so much at stake that a claim is above what is left, as the log says.
    fn was_staked(&mut self, claim: &ClaimRequest) -> Result<bool, Violation> {
        if self.touched {
            self.look()?;
        }
        let account = self.oracle.payees.get(&claim.payee);
        Ok(account.is_some_and(|account| account.bond.acts > 0 && account.owed() < claim.output.value.get()))
    }

    /// What must hold of claims after every step.
    pub(super) fn check_claims(&self) -> Result<(), Violation> {
        for (operator, owner) in (0..).zip(OPERATOR_OWNERS) {
            let payee = payee_key(operator).public();
            let Some(account) = self.oracle.payees.get(&payee) else { continue };
            let is_own = account.claims.iter().all(|(_, to)| *to == owner);
            Invariant::EarningsKept.require(is_own, || format!("what operator {operator} earned is another's"))?;
        }
        for ClaimRequest { payee, claim_seq, output, .. } in &self.told {
            let made: Option<&(MintOutput, usize)> = self
                .oracle
                .payees
                .get(payee)
                .and_then(|account| account.claims.get(usize::try_from(*claim_seq).unwrap()));
            Invariant::DepositsWon.require(made.is_some_and(|(made, _)| made == output), || {
                format!("claim {claim_seq} of {payee} was told of, and is another's")
            })?;
        }
        self.check_texts()
    }

    /// A device that forgot nothing asks for every note on a new key. Two with one seed do not, and make one claim of two.
    pub(super) fn check_links(&mut self) -> Result<(), Violation> {
        for owner in 0..=HOSTILE_OWNER {
            let devices: Vec<_> = (0..OWNERS.len()).filter(|device| OWNERS[*device] == owner).collect();
            let forgot = devices.iter().any(|device| self.devices[*device].forgot);
            let reused = self.oracle.reused_note_keys(owner);
            let is_one = devices.len() == 1;
            if is_one && !forgot {
                Invariant::NoteKeysUnlinked
                    .require(reused == 0, || format!("owner {owner} has {reused} keys twice"))?;
            }
            for _ in 0..reused {
                self.count(if is_one { "link: a key again after a loss" } else { "link: a key on two devices" });
            }
        }
        let one_claim = |claim: &ClaimRequest| (claim.payee, claim.claim_seq);
        let claims: BTreeSet<_> = self.told.iter().map(one_claim).collect();
        for _ in claims.len()..self.told.len() {
            self.count("claim: told of by two programs");
        }
        Ok(())
    }

    /// Every operator claims what it is owed.
    pub(super) fn end_earnings(&mut self) -> Result<(), Violation> {
        for operator in 0..OPERATOR_OWNERS.len() {
            let payee = payee_key(u8::try_from(operator).unwrap()).public();
            let owed = |world: &Self| world.oracle.payees.get(&payee).map_or(0, super::oracle::Payee::owed);
            for round in 0..CLAIM_ROUNDS_MAX {
                if owed(self) > 0 {
                    self.claim(operator, round, (0, 2), false)?;
                    self.calm(Link::Whole)?;
                    self.check()?;
                }
            }
            let owed = owed(self);
            Invariant::EarningsKept
                .require(owed == 0, || format!("operator {operator} is owed {owed}, and cannot claim it"))?;
        }
        Ok(())
    }

    /// What a hostile operator claims, which must be refused.
    pub(super) fn misclaim(&mut self, wrong: Misclaim, pick: u64) -> Result<(), Violation> {
        if !self.setup.hostile_payee {
            return Ok(());
        }
        let device = OWNERS.iter().position(|owner| *owner == HOSTILE_OWNER).expect("a device of the hostile owner");
        // It can also try that with a withdrawal that somebody deposited.
        let of_text = (wrong == Misclaim::OtherTarget).then(|| self.deposited(pick)).flatten();
        let (key, ledger_id) = (of_text.unwrap_or_else(|| payee_key(HOSTILE_OPERATOR)), self.books.info.ledger_id);
        let Ok(PayeeAccount { owed, claims }) = self.books.account(key.public()) else { return Ok(()) };
        let value = if wrong == Misclaim::AboveOwed { owed.get() + 1 + pick % 50 } else { 1 + pick % 20 };
        let Some(output) = self.devices[device].deposit(value, 1).and_then(|mut outputs| outputs.pop()) else {
            return Ok(());
        };
        self.secrets.owns(HOSTILE_OWNER, output.pk);
        let sign = |number, output| ClaimRequest::sign(&key, &ledger_id, number, output);
        let (what, request, refusal) = match wrong {
            Misclaim::AboveOwed => {
                ("misclaim: above what is owed", sign(claims, output), LedgerError::ClaimAboveCharges)
            }
            Misclaim::Anothers => {
                let payee = payee_key(0).public();
                let request = ClaimRequest { payee, ..sign(claims, output) };
                ("misclaim: another's", request, LedgerError::ClaimSignature)
            }
            Misclaim::OtherTarget => {
                let Some(last) = claims.checked_sub(1) else { return Ok(()) };
                ("misclaim: into another note", sign(last, output), LedgerError::ClaimStale)
            }
            Misclaim::AheadOfTime => {
                ("misclaim: ahead of time", sign(claims + 1 + pick % 3, output), LedgerError::ClaimStale)
            }
            Misclaim::SmallOrder => {
                // The neutral point: nobody's key, and R = 0·B, S = 0 fits every message.
                let mut signature = [0; 64];
                signature[0] = 1;
                let mut payee = Bytes32::default();
                payee.0[0] = 1;
                let request = ClaimRequest { payee, claim_seq: 0, output, signature: SignatureBytes(signature) };
                ("misclaim: small order", request, LedgerError::ClaimSignature)
            }
            Misclaim::Nothing => {
                let output = MintOutput { value: credits(0), ..output };
                ("misclaim: of nothing", sign(claims, output), LedgerError::ClaimZero)
            }
        };
        self.refused(what, Call::Claim(request), &[refusal])
    }
}
