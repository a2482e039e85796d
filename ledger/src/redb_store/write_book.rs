//! One write transaction.

use credits::claim::LastClaim;
use credits::state::SpendState;
use credits::{Bond, Bytes32, Credits, Inner, Leaf, LogEntry, Nullifier, Root};
use redb::{ReadableTable, Table, WriteTransaction};

use super::tables::{
    BONDS, CLAIMS, DUE, ENTRIES, INNERS, META, META_KEY, NODES, PAYEES, ROOT_COUNTS, ROOTS, SPENDS, VOUCHERS,
};
use crate::committed::Committed;
use crate::error::{StoreError, doing};
use crate::record::{Meta, decode, encode, is_anchor, is_recent, roots_kept};
use crate::storage::{Book, Facts, Heads, RedeemedVoucher, Totals};

type Bytes<'a> = &'a [u8; 32];

pub(super) struct WriteBook<'t> {
    /// What the transaction will leave; its heads stay those of the state it started from until [`WriteBook::close`].
    meta: Meta,
    changed: bool,
    committed: Committed,
    meta_table: Table<'t, &'static str, &'static [u8]>,
    entries: Table<'t, u64, &'static [u8]>,
    nodes: Table<'t, (u8, u64), Bytes<'static>>,
    spends: Table<'t, Bytes<'static>, &'static [u8]>,
    inners: Table<'t, Bytes<'static>, Bytes<'static>>,
    due: Table<'t, (u64, Bytes<'static>), ()>,
    vouchers: Table<'t, Bytes<'static>, &'static [u8]>,
    payees: Table<'t, Bytes<'static>, u64>,
    claims: Table<'t, Bytes<'static>, &'static [u8]>,
    bonds: Table<'t, Bytes<'static>, &'static [u8]>,
    roots: Table<'t, Bytes<'static>, u64>,
    root_counts: Table<'t, u64, Bytes<'static>>,
}

impl<'t> WriteBook<'t> {
    /// Opens every table, which also creates those that do not exist.
    pub(super) fn open(transaction: &'t WriteTransaction, meta: Meta) -> Result<Self, StoreError> {
        let failed = || doing("open its tables");
        Ok(Self {
            committed: Committed::after(&meta.log, meta.heads, meta.totals),
            meta,
            changed: false,
            meta_table: transaction.open_table(META).map_err(failed())?,
            entries: transaction.open_table(ENTRIES).map_err(failed())?,
            nodes: transaction.open_table(NODES).map_err(failed())?,
            spends: transaction.open_table(SPENDS).map_err(failed())?,
            inners: transaction.open_table(INNERS).map_err(failed())?,
            due: transaction.open_table(DUE).map_err(failed())?,
            vouchers: transaction.open_table(VOUCHERS).map_err(failed())?,
            payees: transaction.open_table(PAYEES).map_err(failed())?,
            claims: transaction.open_table(CLAIMS).map_err(failed())?,
            bonds: transaction.open_table(BONDS).map_err(failed())?,
            roots: transaction.open_table(ROOTS).map_err(failed())?,
            root_counts: transaction.open_table(ROOT_COUNTS).map_err(failed())?,
        })
    }

    /// The stored description, when there is one.
    pub(super) fn stored_meta(&self) -> Result<Option<Meta>, StoreError> {
        let record = self.meta_table.get(META_KEY).map_err(doing("read its description"))?;
        record.map(|record| decode("description", record.value())).transpose()
    }

    /// Whether anything was written.
    pub(super) const fn is_changed(&self) -> bool {
        self.changed
    }

    /// Writes what the transaction leaves: new heads, the roots that are recent under them, the description.
    pub(super) fn close(mut self, root_window: u64) -> Result<(Meta, Committed), StoreError> {
        let notes_before = self.meta.heads.note_count;
        self.meta.update_heads();
        let Heads { note_count, note_root, .. } = self.meta.heads;
        if note_count != notes_before {
            self.record_root(&note_root, note_count)?;
            self.forget_roots(note_count.saturating_sub(roots_kept(root_window)))?;
        }
        let record = encode("description", &self.meta)?;
        self.meta_table.insert(META_KEY, record.as_slice()).map_err(doing("write its description"))?;
        let committed = self.committed.ended(self.meta.heads, self.meta.totals);
        Ok((self.meta, committed))
    }

    fn put_owed(&mut self, payee: &Bytes32, owed: Option<Credits>) -> Result<(), StoreError> {
        let owed = owed.ok_or(StoreError::Sum { sum: "account of a payee" })?;
        self.payees.insert(payee.as_bytes(), owed.get()).map_err(doing("write a payee's account"))?;
        Ok(())
    }

    fn record_root(&mut self, root: &Root, note_count: u64) -> Result<(), StoreError> {
        self.roots.insert(root.as_bytes(), note_count).map_err(doing("record a root"))?;
        self.root_counts.insert(note_count, root.as_bytes()).map_err(doing("record a root"))?;
        Ok(())
    }

    /// Forgets the roots of at most `count` notes.
    fn forget_roots(&mut self, count: u64) -> Result<(), StoreError> {
        while let Some((old_count, old_root)) = self.oldest_root()?
            && old_count <= count
        {
            self.root_counts.remove(old_count).map_err(doing("forget a root"))?;
            self.roots.remove(&old_root).map_err(doing("forget a root"))?;
        }
        Ok(())
    }

    fn oldest_root(&self) -> Result<Option<(u64, [u8; 32])>, StoreError> {
        let oldest = self.root_counts.first().map_err(doing("read the oldest root"))?;
        Ok(oldest.map(|(count, root)| (count.value(), *root.value())))
    }
}

impl Facts for WriteBook<'_> {
    fn spend(&self, nullifier: &Nullifier) -> Result<Option<SpendState>, StoreError> {
        let record = self.spends.get(nullifier.as_bytes()).map_err(doing("read a spend"))?;
        record.map(|record| decode("spend", record.value())).transpose()
    }

    fn inner_used(&self, inner: &Inner) -> Result<bool, StoreError> {
        Ok(self.inners.get(inner.as_bytes()).map_err(doing("read a successor"))?.is_some())
    }

    fn root_recent(&self, root: &Root, window: u64) -> Result<bool, StoreError> {
        let count = self.roots.get(root.as_bytes()).map_err(doing("read a root"))?.map(|record| record.value());
        Ok(is_recent(&self.meta.heads, root, count, window))
    }
}

impl Book for WriteBook<'_> {
    fn voucher(&self, voucher_id: &Bytes32) -> Result<Option<RedeemedVoucher>, StoreError> {
        let record = self.vouchers.get(voucher_id.as_bytes()).map_err(doing("read a voucher"))?;
        record.map(|record| decode("voucher", record.value())).transpose()
    }

    fn put_voucher(&mut self, voucher_id: &Bytes32, redeemed: &RedeemedVoucher) -> Result<(), StoreError> {
        let record = encode("voucher", redeemed)?;
        self.vouchers.insert(voucher_id.as_bytes(), record.as_slice()).map_err(doing("record a voucher"))?;
        Ok(())
    }

    fn put_spend(&mut self, nullifier: &Nullifier, state: &SpendState) -> Result<(), StoreError> {
        let record = encode("spend", state)?;
        self.spends.insert(nullifier.as_bytes(), record.as_slice()).map_err(doing("record a spend"))?;
        self.committed.note_spend(nullifier, state);
        Ok(())
    }

    fn use_inner(&mut self, inner: &Inner, nullifier: &Nullifier) -> Result<(), StoreError> {
        self.inners.insert(inner.as_bytes(), nullifier.as_bytes()).map_err(doing("record a successor"))?;
        Ok(())
    }

    fn due(&self, before: u64, limit: usize) -> Result<Vec<Nullifier>, StoreError> {
        let mut due = Vec::new();
        for record in self.due.range(..(before, &[0; 32])).map_err(doing("read what is due"))?.take(limit) {
            let (key, ()) = record.map(|(key, value)| (key, value.value())).map_err(doing("read what is due"))?;
            let (_not_after, nullifier) = key.value();
            let nullifier = Nullifier::from_bytes(*nullifier);
            due.push(nullifier.map_err(|_| StoreError::Missing { record: "canonical nullifier" })?);
        }
        Ok(due)
    }

    fn set_due(&mut self, not_after: u64, nullifier: &Nullifier) -> Result<(), StoreError> {
        self.due.insert((not_after, nullifier.as_bytes()), ()).map_err(doing("record what is due"))?;
        Ok(())
    }

    fn clear_due(&mut self, not_after: u64, nullifier: &Nullifier) -> Result<(), StoreError> {
        self.due.remove((not_after, nullifier.as_bytes())).map_err(doing("record what is due"))?;
        Ok(())
    }

    fn payee_owed(&self, payee: &Bytes32) -> Result<Credits, StoreError> {
        let record = self.payees.get(payee.as_bytes()).map_err(doing("read a payee"))?;
        let owed = record.map_or(0, |record| record.value());
        Credits::new(owed).map_err(|_| StoreError::Sum { sum: "account of a payee" })
    }

    fn last_claim(&self, payee: &Bytes32) -> Result<Option<LastClaim>, StoreError> {
        let record = self.claims.get(payee.as_bytes()).map_err(doing("read a claim"))?;
        record.map(|record| decode("claim", record.value())).transpose()
    }

    fn put_claim(&mut self, payee: &Bytes32, claim: &LastClaim) -> Result<(), StoreError> {
        let record = encode("claim", claim)?;
        self.claims.insert(payee.as_bytes(), record.as_slice()).map_err(doing("record a claim"))?;
        Ok(())
    }

    fn credit_payee(&mut self, payee: &Bytes32, amount: Credits) -> Result<(), StoreError> {
        let owed = self.payee_owed(payee)?.checked_add(amount);
        self.put_owed(payee, owed)
    }

    fn debit_payee(&mut self, payee: &Bytes32, amount: Credits) -> Result<(), StoreError> {
        let owed = self.payee_owed(payee)?.checked_sub(amount);
        self.put_owed(payee, owed)
    }

    fn bond(&self, payee: &Bytes32) -> Result<Option<Bond>, StoreError> {
        let record = self.bonds.get(payee.as_bytes()).map_err(doing("read a stake"))?;
        record.map(|record| decode("stake", record.value())).transpose()
    }

    fn put_bond(&mut self, payee: &Bytes32, bond: &Bond) -> Result<(), StoreError> {
        let record = encode("stake", bond)?;
        self.bonds.insert(payee.as_bytes(), record.as_slice()).map_err(doing("record a stake"))?;
        Ok(())
    }

    fn append_note(&mut self, leaf: Leaf) -> Result<u64, StoreError> {
        self.changed = true;
        let index = self.meta.notes.append(leaf).map_err(|_| StoreError::NotesFull)?;
        if is_anchor(self.meta.notes.len()) {
            let (root, count) = (self.meta.notes.root(), self.meta.notes.len());
            self.record_root(&root, count)?;
        }
        Ok(index)
    }

    fn append_entry(&mut self, entry: &LogEntry) -> Result<u64, StoreError> {
        self.changed = true;
        let index = self.meta.log.size();
        let record = encode("log entry", entry)?;
        self.entries.insert(index, record.as_slice()).map_err(doing("append to the log"))?;
        self.committed.note_entry(entry);
        let mut completed = Vec::new();
        self.meta.log.append_with(entry.leaf_hash(), |level, index, hash| completed.push((level, index, hash)));
        for (level, index, hash) in completed {
            self.nodes.insert((level, index), hash.as_bytes()).map_err(doing("append to the log tree"))?;
            self.committed.note_node(level, index, hash);
        }
        Ok(index)
    }

    fn totals(&mut self) -> &mut Totals {
        &mut self.meta.totals
    }
}
