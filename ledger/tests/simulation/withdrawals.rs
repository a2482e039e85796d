//! Withdrawals as the client's program makes, lists and deposits them (`verifier/src/withdraw.rs`).

use credits::hash::sha256;
use credits::wallet::{OwnWithdrawal, SpendProgress};
use credits::{
    Bytes32, LedgerError, Nullifier, PayeeAccount, PayeeKey, ReserveRequest, SettleRequest, SettledBy, SigningKey,
    SpendContextInputs, Withdrawal, settle_message,
};

use super::books::{Answer, Call};
use super::device::{Begun, WalletFlaw, choose};
use super::invariant::{Invariant, Violation};
use super::op::{Cut, Link, OWNERS, Restored};
use super::world::World;

/// A text that somebody was given.
#[derive(Clone, Debug)]
pub(super) struct HandedOut {
    pub(super) payee: Bytes32,
    owner: usize,
    nullifier: Nullifier,
    value: u64,
    text: String,
}

impl World {
    /// A withdrawal, up to where it is cut off.
    pub(super) fn withdraw(
        &mut self,
        device: usize,
        amount: u64,
        life: u64,
        cut: Cut,
        [reserve, settle]: [Link; 2],
    ) -> Result<(), Violation> {
        if self.books.is_down() {
            return Ok(());
        }
        self.sync(device, 1000, Link::Whole)?;
        let Some((prepared, begun)) = self.devices[device].withdraw(amount, life)? else {
            self.count("withdrawal: nothing large enough");
            return Ok(());
        };
        self.count(match begun {
            Begun::Anew => "withdrawal: begun",
            Begun::WithAnotherAmount => "withdrawal: begun with another amount",
            Begun::Again => "withdrawal: taken up again",
        });
        if cut == Cut::Prepared {
            self.count("withdrawal: killed before it was sent");
            return self.devices[device].restore(Restored::Crash, 0);
        }
        let (public, context) = (prepared.public, prepared.context.clone());
        let proof = self.secrets.prove(self.devices[device].owner, &prepared.witness, public.ctx);
        let request = ReserveRequest {
            root: public.root,
            nullifier: public.nullifier,
            inner_next: public.inner_next,
            c_max: public.c_max,
            context,
            proof,
        };
        match self.line(reserve).call(Call::Reserve(Box::new(request))) {
            Ok(_) => {}
            Err(error) => {
                self.count(&format!("withdrawal: {}", error.code()));
                self.devices[device].not_opened(public.nullifier, error.http_status(), error.code());
                return Ok(());
            }
        }
        let flaw = self.devices[device].flaw;
        if cut == Cut::Reserved {
            self.count("withdrawal: killed before it was charged");
            return self.devices[device].restore(Restored::Crash, 0);
        }
        if flaw == Some(WalletFlaw::HasOnePayee) {
            return Ok(());
        }
        let charged = self.settle_own(device, public.nullifier, settle)?;
        if charged && cut == Cut::Charged {
            self.count("withdrawal: killed before its text was shown");
            return self.devices[device].restore(Restored::Crash, 0);
        }
        if charged || flaw == Some(WalletFlaw::HandsOutUncharged) {
            self.hand_out(device, public.nullifier);
        }
        Ok(())
    }

    fn own(&self, device: usize, nullifier: Nullifier) -> Option<OwnWithdrawal> {
        self.devices[device].wallet().withdrawals().find(|own| own.nullifier == nullifier)
    }

    /// Charges what was reserved; whether it is.
    fn settle_own(&mut self, device: usize, nullifier: Nullifier, link: Link) -> Result<bool, Violation> {
        self.sync(device, 1000, Link::Whole)?;
        if self.books.is_down() {
            return Ok(false);
        }
        let Some(own) = self.own(device, nullifier) else {
            return Err(
                Invariant::WithdrawalsKept.violated(format!("{nullifier} was reserved, and its wallet does not know"))
            );
        };
        let request = self.devices[device].wallet().settle_withdrawal(nullifier, own.withdrawal.value);
        match self.line(link).call(Call::Settle(request)) {
            Ok(Answer::Settled(_)) => {
                self.sync(device, 1000, Link::Whole)?;
                Ok(true)
            }
            Err(LedgerError::Unavailable) => Ok(false),
            // Its time was over a moment before: it came back.
            Err(LedgerError::SettleConflict) => {
                self.count("withdrawal: came back");
                self.sync(device, 1000, Link::Whole)?;
                Ok(false)
            }
            other => Err(Invariant::WithdrawalsKept.violated(format!("its own charge is answered {other:?}"))),
        }
    }

    fn hand_out(&mut self, device: usize, nullifier: Nullifier) {
        let Some(own) = self.own(device, nullifier) else { return };
        let (payee, value, text) = (own.withdrawal.key.public(), own.withdrawal.value.get(), own.withdrawal.to_text());
        if self.texts.iter().any(|handed_out| handed_out.payee == payee) {
            return;
        }
        self.count("withdrawal: handed out");
        let owner = self.devices[device].owner;
        self.texts.push(HandedOut { payee, owner, nullifier, value, text: text.to_string() });
    }

    /// Charges what was cut off after it was reserved, and shows the texts of what nobody has claimed.
    pub(super) fn list_withdrawals(&mut self, device: usize, link: Link) -> Result<(), Violation> {
        if self.books.is_down() {
            return Ok(());
        }
        self.sync(device, 1000, Link::Whole)?;
        let reserved = |own: &OwnWithdrawal| own.progress == SpendProgress::Reserved;
        let cut_off: Vec<_> = self.devices[device].wallet().withdrawals().filter(reserved).collect();
        let mut link = Some(link);
        for own in cut_off {
            if self.settle_own(device, own.nullifier, link.take().unwrap_or(Link::Whole))? {
                self.count("withdrawal: charged later");
            }
        }
        let settled = |own: &OwnWithdrawal| own.progress == SpendProgress::Settled;
        let settled: Vec<_> = self.devices[device].wallet().withdrawals().filter(settled).collect();
        for own in settled {
            let is_known = self.texts.iter().any(|text| text.payee == own.withdrawal.key.public());
            if self.left(&own.withdrawal)?.is_some_and(|left| left > 0) && !is_known {
                self.count("withdrawal: its text was lost, and is shown");
                if self.devices[device].forgot {
                    self.count("withdrawal: its text is shown by a wallet that was put back");
                }
                self.hand_out(device, own.nullifier);
            }
        }
        Ok(())
    }

    /// What is left of a withdrawal. A ledger that says less than was withdrawn before anybody claimed is not believed.
    fn left(&mut self, withdrawal: &Withdrawal) -> Result<Option<u64>, Violation> {
        let Ok(PayeeAccount { owed, claims }) = self.books.account(withdrawal.key.public()) else { return Ok(None) };
        let believed = claims > 0 || owed >= withdrawal.value;
        Invariant::WithdrawalsKept.require(believed, || format!("{owed} is left of {withdrawal:?}"))?;
        Ok(Some(owed.get()))
    }

    /// Somebody was given a text and deposits it.
    pub(super) fn deposit_withdrawal(
        &mut self,
        device: usize,
        pick: u64,
        notes: u32,
        is_killed: bool,
    ) -> Result<(), Violation> {
        let Some(HandedOut { text, payee, owner, .. }) = choose(&self.texts, pick).cloned() else { return Ok(()) };
        let withdrawal = Withdrawal::from_text(&text).unwrap();
        let is_own = self.devices[device].owner == owner;
        let is_raced = self.claims_under_way(&payee);
        match self.left(&withdrawal)? {
            None => Ok(()),
            Some(0) => {
                self.count("withdrawal: nothing of it is left");
                Ok(())
            }
            Some(_) => {
                let is_sent = self.start_claims(device, &withdrawal.key, (0, notes), is_killed)?;
                if is_sent && is_raced {
                    self.count("withdrawal: two deposit it at once");
                }
                if is_sent && is_own {
                    self.count("withdrawal: back into the same wallet");
                }
                Ok(())
            }
        }
    }

    /// The key of a withdrawal that somebody deposited.
    pub(super) fn deposited(&self, pick: u64) -> Option<PayeeKey> {
        let is_deposited =
            |text: &&HandedOut| self.oracle.payees.get(&text.payee).is_some_and(|payee| !payee.claims.is_empty());
        let texts: Vec<_> = self.texts.iter().filter(is_deposited).collect();
        choose(&texts, pick).map(|text| Withdrawal::from_text(&text.text).unwrap().key)
    }

    /// Somebody pays into a withdrawal, which must keep nobody from depositing it.
    pub(super) fn pay_into(&mut self, device: usize, pick: u64, amount: u64) -> Result<(), Violation> {
        let Some(HandedOut { payee, .. }) = choose(&self.texts, pick).cloned() else { return Ok(()) };
        let payer: PayeeKey = SigningKey::from_seed(&sha256(format!("payer on {device}").as_bytes()).0);
        let inputs = SpendContextInputs {
            ledger_id: self.books.info.ledger_id,
            vk_digest: self.books.info.vk_digest,
            keyset_digest: sha256(b"no guardian's"),
            settle_key: payer.public(),
            payee,
            price_sheet_digest: Bytes32([0x7f; 32]),
            not_after: self.devices[device].clock + 200,
        };
        let Some(request) = self.devices[device].open(&self.secrets, amount, inputs.clone())? else { return Ok(()) };
        let (nullifier, charge, tab_key) = (request.nullifier, request.c_max, request.tab_key);
        let context = inputs.with_tab_key(tab_key);
        let (root, inner_next, c_max, proof) = (request.root, request.inner_next, request.c_max, request.proof);
        let reserve = ReserveRequest { root, nullifier, inner_next, c_max, context, proof };
        if let Err(error) = self.line(Link::Whole).call(Call::Reserve(Box::new(reserve))) {
            self.devices[device].not_opened(nullifier, error.http_status(), error.code());
            return Ok(());
        }
        let signature = payer.sign(&settle_message(&self.books.info.ledger_id, &nullifier, charge));
        if self.line(Link::Whole).call(Call::Settle(SettleRequest { nullifier, charge, signature })).is_ok() {
            self.count("withdrawal: somebody paid into it");
        }
        Ok(())
    }

    /// What is handed out is charged, by its wallet, and goes nowhere but into claims.
    pub(super) fn check_texts(&self) -> Result<(), Violation> {
        for HandedOut { payee, nullifier, value, .. } in &self.texts {
            let ended = self.oracle.spends.get(nullifier).and_then(|spend| spend.ended);
            let is_charged = ended == Some((*value, Some(SettledBy::Guardian)));
            let charged = self.oracle.payees.get(payee).map_or(0, |account| account.charged);
            Invariant::WithdrawalsKept.require(is_charged && charged >= *value, || {
                format!("{value} for {payee} was handed out, and the spend has ended {ended:?}")
            })?;
        }
        Ok(())
    }

    /// Every withdrawal that was charged is known to its owner's wallet; what is left of all of them is deposited by others.
    pub(super) fn end_withdrawals(&mut self) -> Result<(), Violation> {
        for device in 0..OWNERS.len() {
            self.list_withdrawals(device, Link::Whole)?;
            self.check()?;
        }
        for owner in 0..=OWNERS.iter().copied().max().unwrap_or(0) {
            for (payee, value) in self.oracle.withdrawals(owner) {
                let claims = self.oracle.payees[&payee].claims.len();
                let known = claims > 0 || self.texts.iter().any(|text| text.payee == payee && text.value == value);
                Invariant::WithdrawalsKept
                    .require(known, || format!("{value} for {payee} is in no wallet, and nobody has its text"))?;
            }
        }
        for at in 0..self.texts.len() {
            let pick = u64::try_from(at).unwrap();
            self.deposit_withdrawal(at % OWNERS.len(), pick, 1, false)?;
            self.calm(Link::Whole)?;
            self.check()?;
            let left = self.oracle.payees[&self.texts[at].payee].owed();
            Invariant::WithdrawalsKept
                .require(left == 0, || format!("{left} of {:?} can be claimed by nobody", self.texts[at]))?;
        }
        Ok(())
    }
}
