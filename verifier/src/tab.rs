//! This side's account of one tab: what was sent, what the receipts say, and what a settlement may therefore charge.
//!
//! Decides: whether receipts and settlement of a tab agree with each other. Trusts on entry: receipts whose signature and
//! content were already verified. Holds on exit: every charged credit is covered by exactly one receipt, or is at least
//! reported as not covered. Receipts of concurrent requests arrive in any order: each one charges the span
//! `(running total − cost, running total]`, and spans of one tab must not overlap.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use credits::keys::TabKey;
use credits::settlement::Settlement;
use credits::{Credits, Nullifier};

use crate::receipts::ReceiptError;

/// An open tab.
pub struct Tab {
    pub(crate) id: Nullifier,
    pub(crate) key: TabKey,
    pub(crate) reserve: Credits,
    pub(crate) not_after: u64,
    pub(crate) keyset_digest: attestation::Sha256Digest,
    account: Mutex<Account>,
}

#[derive(Default)]
struct Account {
    /// Charged spans by their end: running total → (cost, receipt id).
    spans: BTreeMap<u64, (u64, String)>,
    /// Ids of receipts that charged nothing.
    free: Vec<String>,
    /// Requests under way.
    in_flight: u64,
    /// Requests that ended without a verified receipt and may have been charged.
    unreceipted: u64,
}

/// What is known about a tab's charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TabCharges {
    /// Sum of the costs of all verified receipts.
    pub receipted: Credits,
    /// The highest running total any receipt showed.
    pub running_total: Credits,
    /// Requests that ended without a receipt.
    pub unreceipted: u64,
    /// Requests under way.
    pub in_flight: u64,
}

impl Tab {
    pub(crate) fn new(
        id: Nullifier,
        key: TabKey,
        reserve: Credits,
        not_after: u64,
        keyset_digest: attestation::Sha256Digest,
    ) -> Self {
        Self { id, key, reserve, not_after, keyset_digest, account: Mutex::default() }
    }

    /// A tab of an earlier process: what it was charged for is not known here.
    pub(crate) fn found(
        id: Nullifier,
        key: TabKey,
        reserve: Credits,
        not_after: u64,
        keyset_digest: attestation::Sha256Digest,
    ) -> Self {
        let tab = Self::new(id, key, reserve, not_after, keyset_digest);
        tab.account().unreceipted = 1;
        tab
    }

    /// The tab's id: the nullifier of the spend behind it.
    #[must_use]
    pub fn id(&self) -> Nullifier {
        self.id
    }

    /// The most that can be charged.
    #[must_use]
    pub fn reserve(&self) -> Credits {
        self.reserve
    }

    /// When the tab ends, in Unix seconds.
    #[must_use]
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// The keyset of the node boot the tab was opened with; no other boot can use it.
    #[must_use]
    pub fn keyset_digest(&self) -> attestation::Sha256Digest {
        self.keyset_digest
    }

    /// The present state of the account.
    #[must_use]
    pub fn charges(&self) -> TabCharges {
        let account = self.account();
        let total = account.spans.last_key_value().map_or(0, |(end, _)| *end);
        TabCharges {
            receipted: Credits::new(account.receipted()).unwrap_or(Credits::MAX),
            running_total: Credits::new(total).unwrap_or(Credits::MAX),
            unreceipted: account.unreceipted,
            in_flight: account.in_flight,
        }
    }

    /// Notes that a request is under way.
    pub(crate) fn start(&self) {
        self.account().in_flight += 1;
    }

    /// Notes that a request under way ended; `certain` when it was certainly not charged or its receipt was recorded.
    pub(crate) fn end(&self, certain: bool) {
        let mut account = self.account();
        account.in_flight = account.in_flight.saturating_sub(1);
        if !certain {
            account.unreceipted += 1;
        }
    }

    /// Notes that a request first given up was accounted for later.
    pub(crate) fn recovered(&self) {
        let mut account = self.account();
        account.unreceipted = account.unreceipted.saturating_sub(1);
    }

    /// Adds a verified receipt to the account. The same receipt twice is one charge.
    pub(crate) fn record(&self, receipt_id: &str, cost: Credits, running_total: Credits) -> Result<(), ReceiptError> {
        if cost > running_total || running_total > self.reserve {
            return Err(ReceiptError::RunningTotal { got: running_total, cost, reserve: self.reserve });
        }
        self.account().record(receipt_id, cost.get(), running_total.get()).then_some(()).ok_or(ReceiptError::Overlap {
            receipt_id: receipt_id.to_owned(),
            running_total,
            cost,
        })
    }

    /// Compares a settlement with the account.
    ///
    /// # Errors
    /// When it is about another tab, does not add up, or charges something no request explains.
    pub(crate) fn check_settlement(&self, settlement: &Settlement) -> Result<(), ReceiptError> {
        let charges = self.charges();
        let fault = |what| Err(ReceiptError::Settlement { what });
        if settlement.nullifier != self.id || settlement.reserve != self.reserve {
            return fault("it is about another tab");
        }
        if settlement.charge.checked_add(settlement.refund) != Some(settlement.reserve) {
            return fault("charge and refund do not add up to the reserve");
        }
        if settlement.charge < charges.running_total {
            return fault("it charges less than a receipt already showed");
        }
        let all_known = charges.unreceipted == 0 && charges.in_flight == 0;
        if all_known && settlement.charge != charges.receipted {
            return fault("it charges more than the receipts say");
        }
        Ok(())
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        // Every critical section leaves the account consistent, so a poisoned lock is still right.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn receipted(&self) -> u64 {
        self.spans.values().map(|(cost, _)| cost).sum()
    }

    fn record(&mut self, receipt_id: &str, cost: u64, end: u64) -> bool {
        if cost == 0 {
            if !self.free.iter().any(|id| id == receipt_id) {
                self.free.push(receipt_id.to_owned());
            }
            return true;
        }
        if let Some((known_cost, known_id)) = self.spans.get(&end) {
            return *known_cost == cost && known_id == receipt_id;
        }
        let start = end - cost;
        let before_fits = self.spans.range(..end).next_back().is_none_or(|(earlier_end, _)| *earlier_end <= start);
        let after_fits =
            self.spans.range(end..).next().is_none_or(|(later_end, (later_cost, _))| later_end - later_cost >= end);
        if before_fits && after_fits {
            self.spans.insert(end, (cost, receipt_id.to_owned()));
        }
        before_fits && after_fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(account: &mut Account, rows: &[(&str, u64, u64)]) -> Vec<bool> {
        rows.iter().map(|(id, cost, end)| account.record(id, *cost, *end)).collect()
    }

    #[test]
    fn concurrent_receipts_in_any_order_are_accepted_once() {
        let mut account = Account::default();
        assert_eq!(
            record(&mut account, &[("b", 5, 15), ("a", 10, 10), ("c", 1, 16), ("b", 5, 15), ("z", 0, 15)]),
            [true; 5]
        );
        assert_eq!(account.receipted(), 16);
    }

    #[test]
    fn one_credit_is_charged_by_one_receipt() {
        let mut account = Account::default();
        assert!(account.record("a", 10, 20));
        for (id, cost, end) in [("b", 10, 20), ("a", 11, 20), ("c", 5, 15), ("d", 11, 21), ("e", 25, 30), ("f", 1, 11)]
        {
            assert!(!account.record(id, cost, end), "{id}");
        }
        assert!(account.record("g", 10, 10) && account.record("h", 1, 21));
    }
}
