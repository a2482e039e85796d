//! Proofs that are made before anybody waits for them.
//!
//! Decides: which spend is proved ahead, and whether a proof that was made is of the spend that is needed. Holds on exit of
//! [`Payer::proved_ahead`]: the proof is of exactly the statement that a spend prepared now has, so neither the ledger nor a node can
//! tell it from one that was made at once. Nothing is marked in the wallet and nothing is stored: a proof that is never used, or lost
//! with the process, costs a moment of a processor and no credits.

use std::time::Duration;

use credits::Credits;
use credits::context::SpendContext;
use credits::spend::{SpendProof, SpendPublic};
use credits::wallet::PreparedSpend;
use tokio::task::JoinHandle;

use super::deadline::secs_to_next_end;
use super::{Amount, Payer, PaymentError, Stage, StoreError, prove_spend};
use crate::estimate::tiers_to_try;
use crate::session::Session;

/// What is proved, or being proved, and nobody has asked for yet.
#[derive(Default)]
pub(super) enum Ahead {
    /// Nothing: none was wanted since the last was used.
    #[default]
    Unasked,
    /// Nothing: no note was free for it.
    NoNote,
    /// The spend that would have been prepared when this was begun.
    Spend { public: SpendPublic, context: Box<SpendContext>, proof: JoinHandle<Result<SpendProof, PaymentError>> },
}

impl Ahead {
    fn is_of(&self, wanted: &SpendPublic) -> bool {
        matches!(self, Self::Spend { public, .. } if public == wanted)
    }
}

/// How far a proof ahead is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AheadProgress {
    /// None was asked for since the last was used.
    Unasked,
    /// No note is free for it.
    NoNote,
    /// It is being made.
    Proving(Credits),
    /// It can be used.
    Ready(Credits),
}

impl Payer {
    /// Starts to prove what would open a tab now, in the background, unless that is proved already. Not for every call: it asks the
    /// ledger what is new. For how long the proof states what would be stated, if nothing happens at the ledger.
    ///
    /// # Errors
    /// When the wallet does not pay this node, or the ledger does not answer.
    pub async fn prove_ahead(&mut self, session: &Session, amount: Amount) -> Result<Duration, PaymentError> {
        self.require_acceptable(session)?;
        let info = self.ledger_info().await?;
        self.sync().await?;
        let params = self.proving_params(&info, &|_: Stage| {}).await?;
        let not_after = self.not_after(session, &info)?;
        match self.foresee(session, amount, not_after)? {
            None => self.ahead = Ahead::NoNote,
            Some(foreseen) if self.ahead.is_of(&foreseen.public) => {}
            Some(foreseen) => {
                let (public, context) = (foreseen.public, Box::new(foreseen.context.clone()));
                let proof = tokio::spawn(async move { prove_spend(params, &foreseen).await });
                self.ahead = Ahead::Spend { public, context, proof };
            }
        }
        Ok(Duration::from_secs(secs_to_next_end(self.now(), session.offer().tab_secs_max.min(info.tab_secs_max))))
    }

    /// How far the proof ahead is.
    #[must_use]
    pub fn ahead(&self) -> AheadProgress {
        match &self.ahead {
            Ahead::Unasked => AheadProgress::Unasked,
            Ahead::NoNote => AheadProgress::NoNote,
            Ahead::Spend { public, proof, .. } if proof.is_finished() => AheadProgress::Ready(public.c_max),
            Ahead::Spend { public, .. } => AheadProgress::Proving(public.c_max),
        }
    }

    /// Whether a proof is there, or under way, of what would best be reserved for this amount at this boot of the node: then its note is
    /// free, even if its deadline or root are others by now.
    #[must_use]
    pub fn is_ahead(&self, session: &Session, amount: Amount) -> bool {
        let Ahead::Spend { public, context, .. } = &self.ahead else { return false };
        let here = session.spend_context(context.not_after).with_tab_key(context.tab_key);
        let best = tiers_to_try(&session.offer().tiers, amount.need, amount.wish).first().copied();
        **context == here && best == Some(public.c_max)
    }

    /// The spend that [`Payer::open_tab`] would prepare if it were called now; none if no note is large enough.
    fn foresee(
        &self,
        session: &Session,
        amount: Amount,
        not_after: u64,
    ) -> Result<Option<PreparedSpend>, PaymentError> {
        let context = session.spend_context(not_after);
        for tier in tiers_to_try(&session.offer().tiers, amount.need, amount.wish) {
            let foreseen = self.store.wallet().foresee_spend(tier, context.clone());
            match foreseen.map_err(|error| PaymentError::Store(StoreError::Wallet(error))) {
                Err(error) if error.is_insufficient() => {}
                other => return other.map(Some),
            }
        }
        Ok(None)
    }

    /// The proof of this statement, if it was made ahead. It waits for one that is under way, which was begun before one that would be
    /// begun now. Whatever was made ahead is gone then: it is of a note that is used, or of one that will not be chosen again.
    pub(super) async fn proved_ahead(&mut self, public: &SpendPublic) -> Option<SpendProof> {
        match std::mem::take(&mut self.ahead) {
            // A proof that failed is made again, and says then what is wrong.
            Ahead::Spend { public: made, proof, .. } if made == *public => proof.await.ok()?.ok(),
            Ahead::Spend { .. } | Ahead::Unasked | Ahead::NoNote => None,
        }
    }
}
