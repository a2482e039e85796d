//! Withdrawals: spends whose payee is a key of the wallet's own. `docs/protocol.md` §4.7.
//!
//! A withdrawal is reserved and charged in full like any spend, with the wallet in the guardian's place. What it was charged is
//! then the payee's to claim, and whoever is told the payee's key can claim it.

use std::collections::BTreeMap;

use super::state::{HistoryItem, SpendItem, SpendProgress};
use super::{PreparedSpend, Wallet, WalletError};
use crate::bytes::Bytes32;
use crate::claim::PayeeKey;
use crate::context::{SpendContext, SpendContextInputs};
use crate::ledger::{SettleRequest, settle_message};
use crate::note::Nullifier;
use crate::value::Credits;
use crate::withdrawal::Withdrawal;

/// A withdrawal and how far it got.
#[derive(Clone, Debug)]
pub struct OwnWithdrawal {
    /// The spend.
    pub nullifier: Nullifier,
    /// How far it got. What was charged is the payee's.
    pub progress: SpendProgress,
    /// What its holder can claim, once it is charged. Secret.
    pub withdrawal: Withdrawal,
}

/// The note that an item of the history is an attempt at.
const fn tried(item: &HistoryItem) -> Option<Nullifier> {
    match item {
        HistoryItem::Spend(item) => Some(item.nullifier),
        HistoryItem::Deposit(_) | HistoryItem::Claim(_) | HistoryItem::Merge(_) => None,
    }
}

impl Wallet {
    /// Picks a note and marks `amount` of it as being withdrawn. Store the state before proving and sending the spend; then
    /// settle it with [`Wallet::settle_withdrawal`].
    pub fn prepare_withdrawal(&mut self, amount: Credits, not_after: u64) -> Result<PreparedSpend, WalletError> {
        let nullifier = self.pick(amount)?;
        let payee = self.withdrawal_key(nullifier).public();
        // No guardian serves it: there is no keyset and there are no prices.
        let none = Bytes32::default();
        let (ledger_id, vk_digest) = (self.state.ledger_id, self.state.vk_digest);
        let (keyset_digest, price_sheet_digest, settle_key) = (none, none, payee);
        let inputs = SpendContextInputs {
            ledger_id,
            vk_digest,
            keyset_digest,
            settle_key,
            payee,
            price_sheet_digest,
            not_after,
        };
        self.prepare(nullifier, amount, inputs)
    }

    /// Charges a reserved withdrawal in full; repeating it is harmless.
    pub fn settle_withdrawal(&self, nullifier: Nullifier, amount: Credits) -> SettleRequest {
        let signature = self.withdrawal_key(nullifier).sign(&settle_message(&self.state.ledger_id, &nullifier, amount));
        SettleRequest { nullifier, charge: amount, signature }
    }

    /// The withdrawals that the wallet remembers, oldest first: also those that another device with its seed made. Of several
    /// attempts at one note it is the newest, the one that the log has or can have.
    pub fn withdrawals(&self) -> impl Iterator<Item = OwnWithdrawal> {
        let newest: BTreeMap<_, _> =
            (0..).zip(self.history()).filter_map(|(at, item)| Some((tried(item)?, at))).collect();
        let own = move |(at, item): (usize, &HistoryItem)| match item {
            HistoryItem::Spend(SpendItem { nullifier, c_max, context, progress, .. })
                if newest.get(nullifier) == Some(&at) && self.is_withdrawal(*nullifier, context) =>
            {
                let withdrawal =
                    Withdrawal { ledger_id: self.state.ledger_id, value: *c_max, key: self.withdrawal_key(*nullifier) };
                Some(OwnWithdrawal { nullifier: *nullifier, progress: *progress, withdrawal })
            }
            HistoryItem::Spend(_) | HistoryItem::Deposit(_) | HistoryItem::Claim(_) | HistoryItem::Merge(_) => None,
        };
        (0..).zip(self.history()).filter_map(own)
    }

    fn withdrawal_key(&self, nullifier: Nullifier) -> PayeeKey {
        self.keys.withdrawal_key(nullifier)
    }

    fn is_withdrawal(&self, nullifier: Nullifier, context: &SpendContext) -> bool {
        // Only what names no guardian is worth the derivation of a key.
        context.names_no_guardian() && context.payee == self.withdrawal_key(nullifier).public()
    }
}
