//! A committed state, read through one read-only transaction.

use std::cell::RefCell;

use credits::claim::LastClaim;
use credits::state::SpendState;
use credits::{Bond, Bytes32, Credits, Inner, LogEntry, Nullifier, Root};
use postgres::types::{ToSql, Type};
use postgres::{Client, Row, Transaction};

use super::connection::serving;
use super::rows::{BOND, LAST_CLAIM, PAYEE, owed, read_nodes};
use super::schema::{begin, bigint, column, number};
use crate::error::StoreError;
use crate::record::{Meta, decode, is_recent};
use crate::storage::{Facts, Heads, Totals, View};

pub(super) struct ReadView<'c> {
    transaction: RefCell<Transaction<'c>>,
    meta: Meta,
    waits_for_standbys: bool,
}

impl<'c> ReadView<'c> {
    pub(super) fn begin(client: &'c mut Client, ledger_id: Bytes32) -> Result<Self, StoreError> {
        let mut transaction = begin(client, true).map_err(serving("begin"))?;
        let sql = "SELECT state, current_setting('synchronous_standby_names') <> '' FROM ledger_state";
        let row = transaction.query_typed_opt(sql, &[]);
        let row = row.map_err(serving("read its description"))?.ok_or(StoreError::NoLedger)?;
        let meta: Meta = decode("description", column::<&str>(&row, 0)?.as_bytes())?;
        if meta.ledger_id != ledger_id {
            return Err(StoreError::ForeignDatabase);
        }
        let waits_for_standbys = column(&row, 1)?;
        Ok(Self { transaction: RefCell::new(transaction), meta, waits_for_standbys })
    }

    /// Whether the server acknowledges commits only once standbys have them.
    pub(super) const fn waits_for_standbys(&self) -> bool {
        self.waits_for_standbys
    }

    pub(super) fn end(self) -> Result<(), StoreError> {
        self.transaction.into_inner().commit().map_err(serving("end a transaction"))
    }

    fn query(
        &self,
        doing: &'static str,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, StoreError> {
        self.transaction.borrow_mut().query_typed(sql, params).map_err(serving(doing))
    }

    fn lookup(&self, doing: &'static str, sql: &str, key: &[u8; 32]) -> Result<Option<Row>, StoreError> {
        Ok(self.query(doing, sql, &[(&key.as_slice(), Type::BYTEA)])?.pop())
    }
}

impl Facts for ReadView<'_> {
    fn spend(&self, nullifier: &Nullifier) -> Result<Option<SpendState>, StoreError> {
        let sql = "SELECT state FROM spends WHERE nullifier = $1";
        let row = self.lookup("read a spend", sql, nullifier.as_bytes())?;
        row.map(|row| decode("spend", column::<&str>(&row, 0)?.as_bytes())).transpose()
    }

    fn inner_used(&self, inner: &Inner) -> Result<bool, StoreError> {
        let sql = "SELECT nullifier FROM successors WHERE inner_next = $1";
        Ok(self.lookup("read a successor", sql, inner.as_bytes())?.is_some())
    }

    fn root_recent(&self, root: &Root, window: u64) -> Result<bool, StoreError> {
        let sql = "SELECT note_count FROM note_roots WHERE root = $1";
        let row = self.lookup("read a root", sql, root.as_bytes())?;
        let count = row.map(|row| number(column(&row, 0)?)).transpose()?;
        Ok(is_recent(&self.meta.heads, root, count, window))
    }
}

impl View for ReadView<'_> {
    fn heads(&self) -> Heads {
        self.meta.heads
    }

    fn totals(&self) -> Totals {
        self.meta.totals
    }

    fn nodes(&self, wanted: &[(u8, u64)]) -> Result<Vec<Bytes32>, StoreError> {
        read_nodes(&mut self.transaction.borrow_mut(), wanted)
    }

    fn entries(&self, from: u64, count: u64) -> Result<Vec<LogEntry>, StoreError> {
        let missing = StoreError::Missing { record: "log entry" };
        let Some(end) = from.checked_add(count) else { return Err(missing) };
        let sql = "SELECT entry FROM log_entries WHERE position >= $1 AND position < $2 ORDER BY position";
        let range = (bigint(from)?, bigint(end)?);
        let rows = self.query("read the log", sql, &[(&range.0, Type::INT8), (&range.1, Type::INT8)])?;
        if u64::try_from(rows.len()) != Ok(count) {
            return Err(missing);
        }
        rows.iter().map(|row| decode("log entry", column::<&str>(row, 0)?.as_bytes())).collect()
    }

    fn payee_owed(&self, payee: &Bytes32) -> Result<Credits, StoreError> {
        let row = self.lookup("read a payee", PAYEE, payee.as_bytes())?;
        row.as_ref().map_or(Ok(Credits::ZERO), owed)
    }

    fn last_claim(&self, payee: &Bytes32) -> Result<Option<LastClaim>, StoreError> {
        let row = self.lookup("read a claim", LAST_CLAIM, payee.as_bytes())?;
        row.map(|row| decode("claim", column::<&str>(&row, 0)?.as_bytes())).transpose()
    }

    fn bond(&self, payee: &Bytes32) -> Result<Option<Bond>, StoreError> {
        let row = self.lookup("read a stake", BOND, payee.as_bytes())?;
        row.map(|row| decode("stake", column::<&str>(&row, 0)?.as_bytes())).transpose()
    }
}
