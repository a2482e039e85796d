//! A committed state, read through one read transaction.

use std::sync::Arc;

use credits::claim::LastClaim;
use credits::state::SpendState;
use credits::{Bond, Bytes32, Credits, Inner, LogEntry, Nullifier, Root};
use redb::{Database, ReadTransaction, ReadableDatabase, TableError};

use super::tables::{BONDS, CLAIMS, ENTRIES, INNERS, META, META_KEY, NODES, PAYEES, ROOTS, SPENDS};
use crate::error::{StoreError, doing};
use crate::record::{LastMeta, Meta, decode, is_recent};
use crate::storage::{Facts, Heads, Totals, View};

pub(super) struct ReadView {
    transaction: ReadTransaction,
    meta: Arc<Meta>,
}

impl ReadView {
    pub(super) fn open(database: &Database, last: &LastMeta) -> Result<Self, StoreError> {
        let transaction = database.begin_read().map_err(doing("begin reading"))?;
        let table = transaction.open_table(META).map_err(doing("open its description"))?;
        let record = table.get(META_KEY).map_err(doing("read its description"))?;
        let record = record.ok_or(StoreError::Missing { record: "description" })?;
        let meta = last.decode(record.value())?;
        Ok(Self { transaction, meta })
    }
}

impl Facts for ReadView {
    fn spend(&self, nullifier: &Nullifier) -> Result<Option<SpendState>, StoreError> {
        let table = self.transaction.open_table(SPENDS).map_err(doing("open the spends"))?;
        let record = table.get(nullifier.as_bytes()).map_err(doing("read a spend"))?;
        record.map(|record| decode("spend", record.value())).transpose()
    }

    fn inner_used(&self, inner: &Inner) -> Result<bool, StoreError> {
        let table = self.transaction.open_table(INNERS).map_err(doing("open the successors"))?;
        Ok(table.get(inner.as_bytes()).map_err(doing("read a successor"))?.is_some())
    }

    fn root_recent(&self, root: &Root, window: u64) -> Result<bool, StoreError> {
        let table = self.transaction.open_table(ROOTS).map_err(doing("open the roots"))?;
        let count = table.get(root.as_bytes()).map_err(doing("read a root"))?.map(|record| record.value());
        Ok(is_recent(&self.meta.heads, root, count, window))
    }
}

impl View for ReadView {
    fn heads(&self) -> Heads {
        self.meta.heads
    }

    fn totals(&self) -> Totals {
        self.meta.totals
    }

    fn nodes(&self, wanted: &[(u8, u64)]) -> Result<Vec<Bytes32>, StoreError> {
        let table = self.transaction.open_table(NODES).map_err(doing("open the log tree"))?;
        let node = |position: &(u8, u64)| {
            let record = table.get(*position).map_err(doing("read the log tree"))?;
            let record = record.ok_or(StoreError::Missing { record: "node of the log tree" })?;
            Ok(Bytes32(*record.value()))
        };
        wanted.iter().map(node).collect()
    }

    fn entries(&self, from: u64, count: u64) -> Result<Vec<LogEntry>, StoreError> {
        let missing = StoreError::Missing { record: "log entry" };
        let Some(end) = from.checked_add(count) else { return Err(missing) };
        let table = self.transaction.open_table(ENTRIES).map_err(doing("open the log"))?;
        let mut entries = Vec::new();
        for record in table.range(from..end).map_err(doing("read the log"))? {
            let (_position, entry) = record.map_err(doing("read the log"))?;
            entries.push(decode("log entry", entry.value())?);
        }
        if u64::try_from(entries.len()) == Ok(count) { Ok(entries) } else { Err(missing) }
    }

    fn payee_owed(&self, payee: &Bytes32) -> Result<Credits, StoreError> {
        let table = self.transaction.open_table(PAYEES).map_err(doing("open the payees"))?;
        let owed = table.get(payee.as_bytes()).map_err(doing("read a payee"))?.map_or(0, |record| record.value());
        Credits::new(owed).map_err(|_| StoreError::Sum { sum: "account of a payee" })
    }

    fn last_claim(&self, payee: &Bytes32) -> Result<Option<LastClaim>, StoreError> {
        let table = match self.transaction.open_table(CLAIMS) {
            Err(TableError::TableDoesNotExist(_)) if self.meta.totals.claims == 0 => return Ok(None),
            table => table.map_err(doing("open the claims"))?,
        };
        let record = table.get(payee.as_bytes()).map_err(doing("read a claim"))?;
        record.map(|record| decode("claim", record.value())).transpose()
    }

    fn bond(&self, payee: &Bytes32) -> Result<Option<Bond>, StoreError> {
        let table = match self.transaction.open_table(BONDS) {
            Err(TableError::TableDoesNotExist(_)) if self.meta.totals.stake_acts == 0 => return Ok(None),
            table => table.map_err(doing("open the stakes"))?,
        };
        let record = table.get(payee.as_bytes()).map_err(doing("read a stake"))?;
        record.map(|record| decode("stake", record.value())).transpose()
    }
}
