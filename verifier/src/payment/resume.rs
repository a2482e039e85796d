//! Spends that were cut off between being stored and being answered.
//!
//! Such a spend may have been sent or not. Sending it again is harmless, since ledger and node answer a repeat as they did before, and
//! it has its note in use at once; otherwise the note waits until the spend's end and the ledger's grace have passed.

use credits::Credits;
use credits::wallet::{PreparedSpend, SpendProgress};

use super::{Amount, Payer};
use crate::estimate::tiers_to_try;
use crate::session::Session;

/// What must be left of a spend's time for it to be taken up again.
const TIME_LEFT_SECS_MIN: u64 = 120;

impl Payer {
    /// A spend that was prepared for this boot of the node, at today's prices, that reserves what a new one might and lasts for a while.
    pub(super) fn resumable(&self, session: &Session, amount: Amount) -> Option<PreparedSpend> {
        let (wallet, soonest) = (self.store.wallet(), self.now().saturating_add(TIME_LEFT_SECS_MIN));
        // No more is put at the node's mercy than a new spend would be.
        let tiers = tiers_to_try(&session.offer().tiers, amount.need, amount.wish);
        let fits = |prepared: &PreparedSpend| {
            let (context, c_max) = (&prepared.context, prepared.public.c_max);
            let here = session.spend_context(context.not_after).with_tab_key(prepared.tab_key.public());
            *context == here && context.not_after > soonest && c_max >= amount.need && tiers.contains(&c_max)
        };
        wallet.pending().filter_map(|nullifier| wallet.prepared(nullifier).ok()).find(fits)
    }

    /// A withdrawal of this amount that was prepared and lasts for a while.
    pub(crate) fn resumable_withdrawal(&self, amount: Credits) -> Option<PreparedSpend> {
        let (wallet, soonest) = (self.store.wallet(), self.now().saturating_add(TIME_LEFT_SECS_MIN));
        let begun =
            wallet.withdrawals().filter(|own| own.progress == SpendProgress::Pending && own.withdrawal.value == amount);
        let mut prepared = begun.filter_map(|own| wallet.prepared(own.nullifier).ok());
        prepared.find(|prepared| prepared.context.not_after > soonest)
    }
}
