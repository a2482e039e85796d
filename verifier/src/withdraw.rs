//! Money that leaves a wallet, and money that comes back: withdrawals and claims. `docs/protocol.md` §4.7.
//!
//! Decides: when a withdrawal is the holder's. Trusts on entry: the wallet's own replay of the ledger. Holds on exit of
//! [`Payer::withdraw`]: the spend was on disk before it was sent, and what is handed out is charged. A withdrawal that is cut off
//! before it is reserved is taken up by the next one of the same amount; one that is reserved and not charged is finished later, or
//! comes back when its time is over.

use credits::claim::{ClaimRequest, PayeeAccount, PayeeKey};
use credits::ledger::{Ledger, LedgerError, ReserveRequest};
use credits::wallet::{OwnWithdrawal, PreparedSpend, SpendProgress};
use credits::{Credits, Withdrawal};

use crate::payment::deadline::shared_end;
use crate::payment::{Payer, PaymentError, Stage, prove_spend};

/// How long a withdrawal may take until it comes back by itself.
pub const WITHDRAWAL_SECS: u64 = 600;

/// A withdrawal, and what of it is still there.
#[derive(Clone, Debug)]
pub struct UnclaimedWithdrawal {
    /// The right to it. Secret.
    pub withdrawal: Withdrawal,
    /// What nobody has claimed yet.
    pub claimable: Credits,
}

impl Payer {
    /// Takes `amount` out of the wallet.
    ///
    /// # Errors
    /// When no note of the wallet is large enough, or the ledger refuses or does not answer.
    pub async fn withdraw(
        &mut self,
        amount: Credits,
        on_stage: &(dyn Fn(Stage) + Sync),
    ) -> Result<Withdrawal, PaymentError> {
        on_stage(Stage::Sync);
        let info = self.ledger_info().await?;
        self.sync().await?;
        let params = self.proving_params(&info, on_stage).await?;
        // A clock that is behind the ledger's would have it refused.
        let seen = self.store().wallet().state().newest_seen().map_or(0, |checkpoint| checkpoint.time);
        let longest = WITHDRAWAL_SECS.min(info.tab_secs_max / 2);
        let not_after = shared_end(self.now().max(seen).saturating_add(longest), longest);
        let prepared = match self.resumable_withdrawal(amount) {
            Some(prepared) => prepared,
            None => {
                let prepared = self.store_mut().update(|wallet| wallet.prepare_withdrawal(amount, not_after));
                prepared.map_err(PaymentError::Store)?
            }
        };
        on_stage(Stage::Prove);
        let proof = match prove_spend(params, &prepared).await {
            Ok(proof) => proof,
            Err(error) => {
                self.abandon(&prepared)?;
                return Err(error);
            }
        };
        on_stage(Stage::Open);
        let PreparedSpend { public, context, .. } = &prepared;
        let request = ReserveRequest {
            root: public.root,
            nullifier: public.nullifier,
            inner_next: public.inner_next,
            c_max: public.c_max,
            context: context.clone(),
            proof,
        };
        if let Err(error) = self.ledger().reserve(request).await {
            if was_never_reserved(&error) {
                self.abandon(&prepared)?;
            }
            return Err(PaymentError::Ledger(error));
        }
        self.sync().await?;
        self.settle_own(&prepared.public.nullifier).await
    }

    /// Charges the withdrawals that were cut off after they were reserved, and lists those that are not all claimed.
    ///
    /// # Errors
    /// When the ledger refuses or does not answer.
    pub async fn unclaimed_withdrawals(&mut self) -> Result<Vec<UnclaimedWithdrawal>, PaymentError> {
        self.sync().await?;
        let reserved = |own: &OwnWithdrawal| own.progress == SpendProgress::Reserved;
        let cut_off: Vec<_> = self.store().wallet().withdrawals().filter(reserved).collect();
        for own in &cut_off {
            match self.settle_own(&own.nullifier).await {
                // Its time was over a moment before: it came back. Whatever else is refused hides none of the others.
                Err(PaymentError::Ledger(error)) if matches!(error.http_status(), 400 | 403) => {
                    self.sync().await?;
                }
                settled => settled.map(|_| ())?,
            }
        }
        let settled = |own: &OwnWithdrawal| own.progress == SpendProgress::Settled;
        let withdrawals: Vec<_> =
            self.store().wallet().withdrawals().filter(settled).map(|own| own.withdrawal).collect();
        let mut unclaimed = Vec::new();
        for withdrawal in withdrawals {
            let claimable = self.withdrawn(&withdrawal).await?;
            if !claimable.is_zero() {
                unclaimed.push(UnclaimedWithdrawal { withdrawal, claimable });
            }
        }
        Ok(unclaimed)
    }

    async fn settle_own(&mut self, nullifier: &credits::Nullifier) -> Result<Withdrawal, PaymentError> {
        let own = self.store().wallet().withdrawals().find(|own| own.nullifier == *nullifier);
        // The log was replayed past the reservation: the ledger acknowledged what it does not show.
        let own = own.ok_or(PaymentError::Ledger(LedgerError::AnswerMismatch))?;
        let request = self.store().wallet().settle_withdrawal(own.nullifier, own.withdrawal.value);
        self.ledger().settle(request).await.map_err(PaymentError::Ledger)?;
        self.sync().await?;
        Ok(own.withdrawal)
    }

    /// What is left of a withdrawal, as the ledger says. Before anything of it was claimed it is all there: a ledger that says
    /// less is not believed. There may be more, since anybody can pay into it.
    ///
    /// # Errors
    /// When the ledger does not answer, or says what cannot be.
    pub async fn withdrawn(&self, withdrawal: &Withdrawal) -> Result<Credits, PaymentError> {
        let account = self.account(&withdrawal.key).await?;
        left(account, withdrawal.value).ok_or(PaymentError::Ledger(LedgerError::AnswerMismatch))
    }

    /// What a payee is owed, as the ledger says.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn account(&self, payee: &PayeeKey) -> Result<PayeeAccount, PaymentError> {
        self.ledger().payee(payee.public()).await.map_err(PaymentError::Ledger)
    }

    /// Claims `amount`, or all there is, into so many notes of the wallet, and returns what was claimed.
    ///
    /// # Errors
    /// When there is less, or the ledger refuses or does not answer: what was claimed until then is in the wallet.
    pub async fn claim(
        &mut self,
        payee: &PayeeKey,
        amount: Option<Credits>,
        notes: u32,
    ) -> Result<Credits, PaymentError> {
        self.sync().await?;
        let account = self.account(payee).await?;
        let amount = amount.unwrap_or(account.owed);
        if amount > account.owed {
            return Err(PaymentError::Ledger(LedgerError::ClaimAboveCharges));
        }
        if amount.is_zero() {
            return Ok(amount);
        }
        // Fewer notes than asked for when there are fewer credits.
        let notes = u32::try_from(amount.get()).map_or(notes, |amount| notes.min(amount));
        // The notes are on disk before anything is claimed into them.
        let outputs = self.store_mut().update(|wallet| wallet.deposit_outputs(amount, notes));
        let ledger_id = self.store().ledger().info.ledger_id;
        for (before, output) in (0..).zip(outputs.map_err(PaymentError::Store)?) {
            let claim_seq = account.claims.saturating_add(before);
            let request = ClaimRequest::sign(payee, &ledger_id, claim_seq, output);
            let answer = self.ledger().claim(request).await;
            if answer.is_err() {
                // What came before this one is in the wallet, whatever became of this one.
                self.sync().await?;
            }
            answer.map_err(PaymentError::Ledger)?;
        }
        self.sync().await?;
        Ok(amount)
    }
}

/// What is left of a withdrawal of `value`; nothing if its account cannot be so.
fn left(PayeeAccount { owed, claims }: PayeeAccount, value: Credits) -> Option<Credits> {
    (claims > 0 || owed >= value).then_some(owed)
}

/// Only a clear no means that the ledger has not recorded the spend; a conflict means the opposite.
fn was_never_reserved(error: &LedgerError) -> bool {
    matches!(error.http_status(), 400 | 403) && !error.code().starts_with("credits.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_withdrawal() {
        let credits = |value| Credits::new(value).unwrap();
        let left = |owed, claims| left(PayeeAccount { owed: credits(owed), claims }, credits(100)).map(Credits::get);
        assert_eq!(left(100, 0), Some(100));
        // Anybody can pay into it, which must keep nobody from depositing it.
        assert_eq!(left(101, 0), Some(101));
        // A ledger that understates it, so that the text is thrown away.
        assert_eq!((left(99, 0), left(0, 0)), (None, None));
        // Once somebody claimed, less is left, or nothing.
        assert_eq!((left(99, 1), left(0, 1), left(100, 1)), (Some(99), Some(0), Some(100)));
    }

    #[test]
    fn only_a_clear_no_frees_a_note() {
        let freed: Vec<_> =
            LedgerError::ALL.iter().filter(|error| was_never_reserved(error)).map(LedgerError::code).collect();
        assert!(freed.contains(&"spend.expired") && freed.contains(&"spend.root_unknown"));
        for kept in ["ledger.unavailable", "credits.already_spent", "credits.spend_conflict", "ledger.rollback"] {
            assert!(!freed.contains(&kept), "{kept}");
        }
    }
}
