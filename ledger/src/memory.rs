//! The model store: everything in memory, nothing kept. Contract tests run the same suite against it and against the
//! store on disk. The service cannot be given one: it takes what [`crate::open`] opens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use credits::claim::LastClaim;
use credits::merkle::LogTree;
use credits::state::SpendState;
use credits::{Bond, Bytes32, Credits, Inner, Leaf, LedgerError, LogEntry, NoteFrontier, Nullifier, Root};

use crate::clock::Clock;
use crate::engine::StoredLedger;
use crate::error::{Abort, StoreError};
use crate::identity::{LedgerIdentity, Rules};
use crate::record::{is_anchor, is_recent};
use crate::spend_verifier::SpendVerifier;
use crate::storage::{Backend, Book, Facts, Heads, RedeemedVoucher, Totals, View};
use crate::transitions::{Op, Outcome, apply};

/// A ledger that forgets everything when it is dropped.
pub type VolatileLedger = StoredLedger<MemoryBackend>;

impl VolatileLedger {
    /// A new, empty ledger in memory.
    pub fn volatile(
        identity: LedgerIdentity,
        verifier: impl SpendVerifier,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let backend = MemoryBackend {
            book: Mutex::new(MemoryBook::default()),
            rules: identity.rules(),
            clock: Arc::clone(&clock),
        };
        Self::over(backend, verifier, identity, clock)
    }
}

/// The store of a [`VolatileLedger`].
pub struct MemoryBackend {
    book: Mutex<MemoryBook>,
    rules: Rules,
    clock: Arc<dyn Clock>,
}

impl MemoryBackend {
    fn book(&self) -> MutexGuard<'_, MemoryBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for MemoryBackend {
    fn read<T>(&self, answer: impl FnOnce(&dyn View) -> Result<T, Abort>) -> Result<T, Abort> {
        answer(&*self.book())
    }

    async fn submit(&self, op: Op) -> Result<Outcome, LedgerError> {
        let now = self.clock.now();
        let mut book = self.book();
        let outcome = apply(&mut *book, &self.rules, now, &op);
        book.record_root();
        outcome.map_err(|abort| match abort {
            Abort::Refused(error) => error,
            Abort::Broken(_) => LedgerError::Unavailable,
        })
    }
}

/// An account that would be no amount.
const OWED: StoreError = StoreError::Sum { sum: "account of a payee" };

#[derive(Default)]
struct MemoryBook {
    entries: Vec<LogEntry>,
    log: LogTree,
    notes: NoteFrontier,
    /// The root over so many notes, as last worked out: each hash of a root costs more than an operation.
    note_root: Option<(u64, Root)>,
    totals: Totals,
    spends: BTreeMap<Nullifier, SpendState>,
    inners: BTreeSet<Inner>,
    due: BTreeSet<(u64, Nullifier)>,
    vouchers: BTreeMap<Bytes32, RedeemedVoucher>,
    payees: BTreeMap<Bytes32, Credits>,
    claims: BTreeMap<Bytes32, LastClaim>,
    bonds: BTreeMap<Bytes32, Bond>,
    /// Root of every committed state that had new notes, and every anchor, with its number of notes.
    roots: BTreeMap<Root, u64>,
}

impl MemoryBook {
    fn record_root(&mut self) {
        let root = self.note_root();
        self.note_root = Some((self.notes.len(), root));
        self.roots.insert(root, self.notes.len());
    }

    fn note_root(&self) -> Root {
        match self.note_root {
            Some((len, root)) if len == self.notes.len() => root,
            _ => self.notes.root(),
        }
    }
}

impl Facts for MemoryBook {
    fn spend(&self, nullifier: &Nullifier) -> Result<Option<SpendState>, StoreError> {
        Ok(self.spends.get(nullifier).cloned())
    }

    fn inner_used(&self, inner: &Inner) -> Result<bool, StoreError> {
        Ok(self.inners.contains(inner))
    }

    fn root_recent(&self, root: &Root, window: u64) -> Result<bool, StoreError> {
        Ok(is_recent(&self.heads(), root, self.roots.get(root).copied(), window))
    }
}

impl Book for MemoryBook {
    fn voucher(&self, voucher_id: &Bytes32) -> Result<Option<RedeemedVoucher>, StoreError> {
        Ok(self.vouchers.get(voucher_id).cloned())
    }

    fn put_voucher(&mut self, voucher_id: &Bytes32, redeemed: &RedeemedVoucher) -> Result<(), StoreError> {
        self.vouchers.insert(*voucher_id, redeemed.clone());
        Ok(())
    }

    fn put_spend(&mut self, nullifier: &Nullifier, state: &SpendState) -> Result<(), StoreError> {
        self.spends.insert(*nullifier, state.clone());
        Ok(())
    }

    fn use_inner(&mut self, inner: &Inner, _nullifier: &Nullifier) -> Result<(), StoreError> {
        self.inners.insert(*inner);
        Ok(())
    }

    fn due(&self, before: u64, limit: usize) -> Result<Vec<Nullifier>, StoreError> {
        let due = self.due.iter().take_while(|(not_after, _)| *not_after < before);
        Ok(due.take(limit).map(|(_, nullifier)| *nullifier).collect())
    }

    fn set_due(&mut self, not_after: u64, nullifier: &Nullifier) -> Result<(), StoreError> {
        self.due.insert((not_after, *nullifier));
        Ok(())
    }

    fn clear_due(&mut self, not_after: u64, nullifier: &Nullifier) -> Result<(), StoreError> {
        self.due.remove(&(not_after, *nullifier));
        Ok(())
    }

    fn payee_owed(&self, payee: &Bytes32) -> Result<Credits, StoreError> {
        Ok(self.payees.get(payee).copied().unwrap_or_default())
    }

    fn last_claim(&self, payee: &Bytes32) -> Result<Option<LastClaim>, StoreError> {
        Ok(self.claims.get(payee).cloned())
    }

    fn put_claim(&mut self, payee: &Bytes32, claim: &LastClaim) -> Result<(), StoreError> {
        self.claims.insert(*payee, claim.clone());
        Ok(())
    }

    fn credit_payee(&mut self, payee: &Bytes32, amount: Credits) -> Result<(), StoreError> {
        let balance = self.payees.entry(*payee).or_default();
        *balance = balance.checked_add(amount).ok_or(OWED)?;
        Ok(())
    }

    fn debit_payee(&mut self, payee: &Bytes32, amount: Credits) -> Result<(), StoreError> {
        let left = Book::payee_owed(self, payee)?.checked_sub(amount);
        self.payees.insert(*payee, left.ok_or(OWED)?);
        Ok(())
    }

    fn bond(&self, payee: &Bytes32) -> Result<Option<Bond>, StoreError> {
        Ok(self.bonds.get(payee).cloned())
    }

    fn put_bond(&mut self, payee: &Bytes32, bond: &Bond) -> Result<(), StoreError> {
        self.bonds.insert(*payee, bond.clone());
        Ok(())
    }

    fn append_note(&mut self, leaf: Leaf) -> Result<u64, StoreError> {
        let index = self.notes.append(leaf).map_err(|_| StoreError::NotesFull)?;
        if is_anchor(self.notes.len()) {
            self.record_root();
        }
        Ok(index)
    }

    fn append_entry(&mut self, entry: &LogEntry) -> Result<u64, StoreError> {
        let index = self.log.size();
        self.log.append(entry.leaf_hash());
        self.entries.push(entry.clone());
        Ok(index)
    }

    fn totals(&mut self) -> &mut Totals {
        &mut self.totals
    }
}

impl View for MemoryBook {
    fn heads(&self) -> Heads {
        Heads {
            log_size: self.log.size(),
            log_root: self.log.root(),
            note_count: self.notes.len(),
            note_root: self.note_root(),
        }
    }

    fn totals(&self) -> Totals {
        self.totals
    }

    fn nodes(&self, wanted: &[(u8, u64)]) -> Result<Vec<Bytes32>, StoreError> {
        let node = |(level, index): &(u8, u64)| self.log.node(*level, *index);
        let nodes: Option<_> = wanted.iter().map(node).collect();
        nodes.ok_or(StoreError::Missing { record: "node of the log tree" })
    }

    fn entries(&self, from: u64, count: u64) -> Result<Vec<LogEntry>, StoreError> {
        let missing = StoreError::Missing { record: "log entry" };
        let range = usize::try_from(from).ok().zip(from.checked_add(count).and_then(|end| usize::try_from(end).ok()));
        let entries = range.and_then(|(from, to)| self.entries.get(from..to));
        entries.map(<[LogEntry]>::to_vec).ok_or(missing)
    }

    fn payee_owed(&self, payee: &Bytes32) -> Result<Credits, StoreError> {
        Book::payee_owed(self, payee)
    }

    fn last_claim(&self, payee: &Bytes32) -> Result<Option<LastClaim>, StoreError> {
        Book::last_claim(self, payee)
    }

    fn bond(&self, payee: &Bytes32) -> Result<Option<Bond>, StoreError> {
        Book::bond(self, payee)
    }
}
