//! The writer: a connection of its own, made again when it was lost.

use std::sync::Arc;

use credits::Bytes32;
use postgres::types::Type;
use postgres::{Client, Transaction};

use super::connection::{PostgresServer, serving};
use super::schema::{begin, column};
use super::write_book::WriteBook;
use crate::clock::Clock;
use crate::error::StoreError;
use crate::group::{Committer, Outcomes, apply_all};
use crate::identity::{LedgerIdentity, Rules};
use crate::record::{Meta, decode};
use crate::transitions::Op;

pub(super) struct Writer {
    server: PostgresServer,
    client: Option<Client>,
    ledger_id: Bytes32,
    rules: Rules,
    clock: Arc<dyn Clock>,
}

impl Writer {
    pub(super) fn new(server: PostgresServer, identity: &LedgerIdentity, clock: Arc<dyn Clock>) -> Self {
        Self { server, client: None, ledger_id: identity.ledger_id(), rules: identity.rules(), clock }
    }

    /// Makes sure that the database is this ledger's and keeps what it acknowledges.
    pub(super) fn check(&mut self) -> Result<(), StoreError> {
        let mut client = self.connect()?;
        let row = client.query_typed("SHOW fsync", &[]).map_err(serving("read its settings"))?;
        if row.first().map(|row| column::<&str>(row, 0)).transpose()? != Some("on") {
            return Err(StoreError::Undurable { setting: "fsync" });
        }
        let mut transaction = begin(&mut client, false).map_err(serving("begin"))?;
        self.lock(&mut transaction)?;
        drop(transaction);
        self.client = Some(client);
        Ok(())
    }

    fn connect(&self) -> Result<Client, StoreError> {
        self.server.connect().map_err(serving("connect"))
    }

    /// Waits for this service's turn and reads where the ledger stands.
    fn lock(&self, transaction: &mut Transaction<'_>) -> Result<Meta, StoreError> {
        let sql = "SELECT state FROM ledger_state WHERE one = $1 FOR UPDATE";
        let row = transaction.query_typed_opt(sql, &[(&1_i16, Type::INT2)]).map_err(|error| match error.code() {
            Some(code) if code.code() == "42P01" => StoreError::NoLedger,
            _ => serving("take its turn")(error),
        })?;
        let row = row.ok_or(StoreError::NoLedger)?;
        let meta: Meta = decode("description", column::<&str>(&row, 0)?.as_bytes())?;
        if meta.ledger_id == self.ledger_id { Ok(meta) } else { Err(StoreError::ForeignDatabase) }
    }

    fn commit_with(&self, client: &mut Client, ops: &[Op]) -> Result<Outcomes, StoreError> {
        let mut transaction = begin(client, false).map_err(serving("begin"))?;
        let meta = self.lock(&mut transaction)?;
        let mut book = WriteBook::open(&mut transaction, meta, ops)?;
        let outcomes = apply_all(&mut book, &self.rules, self.clock.now(), ops)?;
        if book.is_changed() {
            book.close(self.rules.root_window)?;
            transaction.commit().map_err(serving("commit"))?;
        } else {
            drop(book);
            transaction.rollback().map_err(serving("end a transaction"))?;
        }
        Ok(outcomes)
    }
}

impl Committer for Writer {
    fn commit(&mut self, ops: &[Op]) -> Result<Outcomes, StoreError> {
        // A connection that was lost since the last batch is found out before anything of this one is sent.
        let kept = self.client.take().and_then(|mut client| client.check_connection().is_ok().then_some(client));
        let mut client = kept.map_or_else(|| self.connect(), Ok)?;
        let outcomes = self.commit_with(&mut client, ops)?;
        self.client = Some(client);
        Ok(outcomes)
    }
}
