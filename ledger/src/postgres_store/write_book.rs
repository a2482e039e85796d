//! One transaction that writes. What its operations look at is read at once when it opens, what they write is kept here and
//! written at once when it closes: a batch costs a dozen round trips, however many operations it has.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use credits::claim::LastClaim;
use credits::state::SpendState;
use credits::{Bond, Bytes32, Credits, Inner, Leaf, LogEntry, Nullifier, Root};
use postgres::Transaction;
use postgres::types::Type;

use super::rows::{BOND, LAST_CLAIM, PAYEE, Rows, owed, read};
use super::schema::{bigint, bytes32, column, number};
use crate::committed::Committed;
use crate::error::StoreError;
use crate::record::{Meta, decode, encode, is_anchor, is_recent, roots_kept};
use crate::storage::{Book, Facts, RedeemedVoucher, Totals};
use crate::transitions::{Mentioned, Op};

pub(super) struct WriteBook<'t, 'c> {
    transaction: RefCell<&'t mut Transaction<'c>>,
    /// What the transaction will leave; its heads stay those of the state it started from until [`WriteBook::close`].
    meta: Meta,
    changed: bool,
    committed: Committed,
    /// Spends that were looked at.
    spends: RefCell<BTreeMap<Nullifier, Spend>>,
    /// Hidden parts that were looked at, and whether a spend used them.
    inners: RefCell<BTreeMap<Inner, bool>>,
    roots: BTreeMap<Root, u64>,
    vouchers: BTreeMap<Bytes32, RedeemedVoucher>,
    due_set: BTreeSet<(u64, Nullifier)>,
    due_cleared: BTreeSet<(u64, Nullifier)>,
    credited: BTreeMap<Bytes32, Credits>,
    claimed: BTreeMap<Bytes32, Credits>,
    claims: BTreeMap<Bytes32, LastClaim>,
    bonds: BTreeMap<Bytes32, Bond>,
    rows: Rows,
}

/// A spend, as this transaction leaves it.
#[derive(Clone, Default)]
struct Spend {
    state: Option<SpendState>,
    /// Whether the database has a row for it.
    stored: bool,
    changed: bool,
}

impl<'t, 'c> WriteBook<'t, 'c> {
    /// Reads what the operations of a batch look at.
    pub(super) fn open(transaction: &'t mut Transaction<'c>, meta: Meta, ops: &[Op]) -> Result<Self, StoreError> {
        let Mentioned { nullifiers, inners, roots, voucher_ids } = Mentioned::by(ops);
        let mut book = Self {
            transaction: RefCell::new(transaction),
            committed: Committed::after(&meta.log, meta.heads, meta.totals),
            meta,
            changed: false,
            spends: RefCell::default(),
            inners: RefCell::default(),
            roots: BTreeMap::new(),
            vouchers: BTreeMap::new(),
            due_set: BTreeSet::new(),
            due_cleared: BTreeSet::new(),
            credited: BTreeMap::new(),
            claimed: BTreeMap::new(),
            claims: BTreeMap::new(),
            bonds: BTreeMap::new(),
            rows: Rows::default(),
        };
        book.read_spends(&nullifiers)?;
        book.read_inners(&inners)?;
        let sql = "SELECT root, note_count FROM note_roots WHERE root = ANY($1)";
        for row in book.by_keys("read the roots", sql, roots.iter().map(Root::as_bytes))? {
            let root = Root::from_bytes(bytes32(&row, 0)?).map_err(|_| StoreError::Missing { record: "root" })?;
            book.roots.insert(root, number(column(&row, 1)?)?);
        }
        let sql = "SELECT voucher_id, redeemed FROM vouchers WHERE voucher_id = ANY($1)";
        for row in book.by_keys("read the vouchers", sql, voucher_ids.iter().map(Bytes32::as_bytes))? {
            let redeemed = decode("voucher", column::<&str>(&row, 1)?.as_bytes())?;
            book.vouchers.insert(Bytes32(bytes32(&row, 0)?), redeemed);
        }
        Ok(book)
    }

    /// Whether anything was written.
    pub(super) const fn is_changed(&self) -> bool {
        self.changed
    }

    /// Writes what the transaction leaves, and returns it.
    pub(super) fn close(mut self, root_window: u64) -> Result<Committed, StoreError> {
        let notes_before = self.meta.heads.note_count;
        self.meta.update_heads();
        for (nullifier, spend) in self.spends.into_inner() {
            if let (Some(state), true) = (spend.state, spend.changed) {
                self.rows.spend(nullifier.as_bytes(), &encode("spend", &state)?, spend.stored)?;
            }
        }
        for (not_after, nullifier) in &self.due_set {
            self.rows.due(*not_after, nullifier.as_bytes())?;
        }
        for (not_after, nullifier) in &self.due_cleared {
            self.rows.not_due(*not_after, nullifier.as_bytes())?;
        }
        for (payee, amount) in &self.credited {
            self.rows.payee(payee.as_bytes(), amount.get())?;
        }
        for (payee, amount) in &self.claimed {
            self.rows.claimed(payee.as_bytes(), amount.get())?;
        }
        for (payee, claim) in &self.claims {
            self.rows.claim(payee.as_bytes(), &encode("claim", claim)?)?;
        }
        for (payee, bond) in &self.bonds {
            self.rows.bond(payee.as_bytes(), &encode("stake", bond)?)?;
        }
        let heads = self.meta.heads;
        // An anchor is recorded already.
        if heads.note_count != notes_before && !is_anchor(heads.note_count) {
            self.rows.root(heads.note_root.as_bytes(), heads.note_count)?;
        }
        let oldest = heads.note_count.saturating_sub(roots_kept(root_window));
        let state = encode("description", &self.meta)?;
        self.rows.write(self.transaction.into_inner(), oldest, &state)?;
        Ok(self.committed.ended(heads, self.meta.totals))
    }

    fn by_keys<'k>(
        &self,
        doing: &'static str,
        sql: &str,
        keys: impl Iterator<Item = &'k [u8; 32]>,
    ) -> Result<Vec<postgres::Row>, StoreError> {
        let keys: Vec<_> = keys.map(<[u8; 32]>::as_slice).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        read(&mut self.transaction.borrow_mut(), doing, sql, &[(&keys, Type::BYTEA_ARRAY)])
    }

    /// Claims are rare: what they look at is read when they do.
    fn by_key(&self, doing: &'static str, sql: &str, key: &Bytes32) -> Result<Vec<postgres::Row>, StoreError> {
        read(&mut self.transaction.borrow_mut(), doing, sql, &[(&key.as_bytes().as_slice(), Type::BYTEA)])
    }

    /// Reads the spends that were not looked at yet.
    fn read_spends(&self, nullifiers: &[Nullifier]) -> Result<(), StoreError> {
        let mut spends = self.spends.borrow_mut();
        let unread: BTreeSet<_> = nullifiers.iter().filter(|nullifier| !spends.contains_key(nullifier)).collect();
        let sql = "SELECT nullifier, state FROM spends WHERE nullifier = ANY($1)";
        let rows = self.by_keys("read the spends", sql, unread.iter().map(|nullifier| nullifier.as_bytes()))?;
        spends.extend(unread.into_iter().map(|nullifier| (*nullifier, Spend::default())));
        for row in rows {
            let state = Some(decode("spend", column::<&str>(&row, 1)?.as_bytes())?);
            spends.insert(nullifier(bytes32(&row, 0)?)?, Spend { state, stored: true, changed: false });
        }
        Ok(())
    }

    /// Reads the hidden parts that were not looked at yet.
    fn read_inners(&self, wanted: &[Inner]) -> Result<(), StoreError> {
        let mut inners = self.inners.borrow_mut();
        let unread: BTreeSet<_> = wanted.iter().filter(|inner| !inners.contains_key(inner)).collect();
        let sql = "SELECT inner_next FROM successors WHERE inner_next = ANY($1)";
        let rows = self.by_keys("read the successors", sql, unread.iter().map(|inner| inner.as_bytes()))?;
        inners.extend(unread.into_iter().map(|inner| (*inner, false)));
        for row in rows {
            let inner = Inner::from_bytes(bytes32(&row, 0)?);
            inners.insert(inner.map_err(|_| StoreError::Missing { record: "canonical successor" })?, true);
        }
        Ok(())
    }
}

fn nullifier(bytes: [u8; 32]) -> Result<Nullifier, StoreError> {
    Nullifier::from_bytes(bytes).map_err(|_| StoreError::Missing { record: "canonical nullifier" })
}

impl Facts for WriteBook<'_, '_> {
    fn spend(&self, nullifier: &Nullifier) -> Result<Option<SpendState>, StoreError> {
        self.read_spends(std::slice::from_ref(nullifier))?;
        Ok(self.spends.borrow().get(nullifier).and_then(|spend| spend.state.clone()))
    }

    fn inner_used(&self, inner: &Inner) -> Result<bool, StoreError> {
        self.read_inners(std::slice::from_ref(inner))?;
        Ok(self.inners.borrow().get(inner).copied().unwrap_or_default())
    }

    fn root_recent(&self, root: &Root, window: u64) -> Result<bool, StoreError> {
        Ok(is_recent(&self.meta.heads, root, self.roots.get(root).copied(), window))
    }
}

impl Book for WriteBook<'_, '_> {
    fn voucher(&self, voucher_id: &Bytes32) -> Result<Option<RedeemedVoucher>, StoreError> {
        Ok(self.vouchers.get(voucher_id).cloned())
    }

    fn put_voucher(&mut self, voucher_id: &Bytes32, redeemed: &RedeemedVoucher) -> Result<(), StoreError> {
        self.vouchers.insert(*voucher_id, redeemed.clone());
        self.rows.voucher(voucher_id.as_bytes(), &encode("voucher", redeemed)?)
    }

    fn put_spend(&mut self, nullifier: &Nullifier, state: &SpendState) -> Result<(), StoreError> {
        self.read_spends(std::slice::from_ref(nullifier))?;
        let mut spends = self.spends.borrow_mut();
        let spend = spends.entry(*nullifier).or_default();
        spend.state = Some(state.clone());
        spend.changed = true;
        self.committed.note_spend(nullifier, state);
        Ok(())
    }

    fn use_inner(&mut self, inner: &Inner, nullifier: &Nullifier) -> Result<(), StoreError> {
        self.inners.borrow_mut().insert(*inner, true);
        self.rows.successor(inner.as_bytes(), nullifier.as_bytes());
        Ok(())
    }

    fn due(&self, before: u64, limit: usize) -> Result<Vec<Nullifier>, StoreError> {
        let (before, cleared) = (bigint(before).unwrap_or(i64::MAX), self.due_cleared.len());
        let rows = i64::try_from(limit.saturating_add(cleared)).unwrap_or(i64::MAX);
        let sql = "SELECT not_after, nullifier FROM due WHERE not_after < $1 ORDER BY not_after, nullifier LIMIT $2";
        let params: [(&(dyn postgres::types::ToSql + Sync), Type); 2] = [(&before, Type::INT8), (&rows, Type::INT8)];
        let rows = read(&mut self.transaction.borrow_mut(), "read what is due", sql, &params)?;
        let mut due = self.due_set.clone();
        for row in rows {
            let key = (number(column(&row, 0)?)?, nullifier(bytes32(&row, 1)?)?);
            if !self.due_cleared.contains(&key) {
                due.insert(key);
            }
        }
        let before = number(before)?;
        let due: Vec<_> =
            due.into_iter().take_while(|(not_after, _)| *not_after < before).take(limit).map(|(_, key)| key).collect();
        self.read_spends(&due)?;
        Ok(due)
    }

    fn set_due(&mut self, not_after: u64, nullifier: &Nullifier) -> Result<(), StoreError> {
        self.due_set.insert((not_after, *nullifier));
        Ok(())
    }

    fn clear_due(&mut self, not_after: u64, nullifier: &Nullifier) -> Result<(), StoreError> {
        // What this transaction set itself was never in the database.
        if !self.due_set.remove(&(not_after, *nullifier)) {
            self.due_cleared.insert((not_after, *nullifier));
        }
        Ok(())
    }

    fn payee_owed(&self, payee: &Bytes32) -> Result<Credits, StoreError> {
        let rows = self.by_key("read a payee", PAYEE, payee)?;
        let stored = rows.first().map_or(Ok(Credits::ZERO), owed)?;
        let of = |sums: &BTreeMap<Bytes32, Credits>| sums.get(payee).copied().unwrap_or_default();
        // On the way it may be more than any amount: what comes back and goes out in one batch.
        let owed = stored.get().checked_add(of(&self.credited).get());
        let owed =
            owed.and_then(|owed| owed.checked_sub(of(&self.claimed).get())).and_then(|owed| Credits::new(owed).ok());
        owed.ok_or(StoreError::Sum { sum: "account of a payee" })
    }

    fn last_claim(&self, payee: &Bytes32) -> Result<Option<LastClaim>, StoreError> {
        if let Some(claim) = self.claims.get(payee) {
            return Ok(Some(claim.clone()));
        }
        let rows = self.by_key("read a claim", LAST_CLAIM, payee)?;
        rows.first().map(|row| decode("claim", column::<&str>(row, 0)?.as_bytes())).transpose()
    }

    fn put_claim(&mut self, payee: &Bytes32, claim: &LastClaim) -> Result<(), StoreError> {
        self.claims.insert(*payee, claim.clone());
        Ok(())
    }

    fn credit_payee(&mut self, payee: &Bytes32, amount: Credits) -> Result<(), StoreError> {
        let credited = self.credited.entry(*payee).or_default();
        *credited = credited.checked_add(amount).ok_or(StoreError::Sum { sum: "account of a payee" })?;
        Ok(())
    }

    fn debit_payee(&mut self, payee: &Bytes32, amount: Credits) -> Result<(), StoreError> {
        let claimed = self.claimed.entry(*payee).or_default();
        *claimed = claimed.checked_add(amount).ok_or(StoreError::Sum { sum: "account of a payee" })?;
        Ok(())
    }

    fn bond(&self, payee: &Bytes32) -> Result<Option<Bond>, StoreError> {
        if let Some(bond) = self.bonds.get(payee) {
            return Ok(Some(bond.clone()));
        }
        let rows = self.by_key("read a stake", BOND, payee)?;
        rows.first().map(|row| decode("stake", column::<&str>(row, 0)?.as_bytes())).transpose()
    }

    fn put_bond(&mut self, payee: &Bytes32, bond: &Bond) -> Result<(), StoreError> {
        self.bonds.insert(*payee, bond.clone());
        Ok(())
    }

    fn append_note(&mut self, leaf: Leaf) -> Result<u64, StoreError> {
        self.changed = true;
        let index = self.meta.notes.append(leaf).map_err(|_| StoreError::NotesFull)?;
        if is_anchor(self.meta.notes.len()) {
            self.rows.root(self.meta.notes.root().as_bytes(), self.meta.notes.len())?;
        }
        Ok(index)
    }

    fn append_entry(&mut self, entry: &LogEntry) -> Result<u64, StoreError> {
        self.changed = true;
        let index = self.meta.log.size();
        self.rows.entry(index, &encode("log entry", entry)?)?;
        self.committed.note_entry(entry);
        let mut completed = Vec::new();
        self.meta.log.append_with(entry.leaf_hash(), |level, index, hash| completed.push((level, index, hash)));
        for (level, index, hash) in completed {
            self.rows.node(level, index, hash.as_bytes())?;
            self.committed.note_node(level, index, hash);
        }
        Ok(index)
    }

    fn totals(&mut self) -> &mut Totals {
        &mut self.meta.totals
    }
}
