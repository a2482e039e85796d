//! The writer: batches of operations in two-phase commits.

use std::sync::Arc;

use redb::{Database, Durability, WriteTransaction};

use super::write_book::WriteBook;
use crate::clock::Clock;
use crate::committed::Committed;
use crate::error::{StoreError, doing};
use crate::group::{Committer, Outcomes, apply_all};
use crate::identity::{LedgerIdentity, Rules};
use crate::record::Meta;
use crate::transitions::Op;

pub(super) struct Writer {
    database: Arc<Database>,
    meta: Meta,
    rules: Rules,
    clock: Arc<dyn Clock>,
}

impl Writer {
    /// Reads where the log stands; an empty database becomes an empty ledger.
    pub(super) fn prepare(
        database: Arc<Database>,
        identity: &LedgerIdentity,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let meta = description_or_empty(&database, identity)?;
        Ok(Self { database, meta, rules: identity.rules(), clock })
    }
}

impl Committer for Writer {
    fn commit(&mut self, ops: &[Op]) -> Result<(Outcomes, Option<Committed>), StoreError> {
        let transaction = begin(&self.database)?;
        let mut book = WriteBook::open(&transaction, self.meta.clone())?;
        let outcomes = apply_all(&mut book, &self.rules, self.clock.now(), ops)?;
        if !book.is_changed() {
            drop(book);
            transaction.abort().map_err(doing("end a transaction"))?;
            return Ok((outcomes, None));
        }
        let (meta, committed) = book.close(self.rules.root_window)?;
        transaction.commit().map_err(doing("commit"))?;
        self.meta = meta;
        Ok((outcomes, Some(committed)))
    }
}

/// Makes an empty database an empty ledger.
pub(super) fn make_empty(database: &Database, identity: &LedgerIdentity) -> Result<(), StoreError> {
    description_or_empty(database, identity).map(|_meta| ())
}

fn description_or_empty(database: &Database, identity: &LedgerIdentity) -> Result<Meta, StoreError> {
    let ledger_id = identity.ledger_id();
    let transaction = begin(database)?;
    let book = WriteBook::open(&transaction, Meta::empty(ledger_id))?;
    match book.stored_meta()? {
        Some(meta) if meta.ledger_id != ledger_id => Err(StoreError::ForeignDatabase),
        Some(meta) => {
            drop(book);
            transaction.abort().map_err(doing("end a transaction"))?;
            Ok(meta)
        }
        None => {
            let (meta, _committed) = book.close(identity.rules().root_window)?;
            transaction.commit().map_err(doing("commit"))?;
            Ok(meta)
        }
    }
}

/// Two-phase commits: after a crash the last committed state is the one the file says, whatever order its pages reached the
/// disk in. Each keeps with it which pages are free, so that a start after a crash need not read the whole file to find out: that
/// would take seconds for each gigabyte.
fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(doing("begin writing"))?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    transaction.set_durability(Durability::Immediate).map_err(doing("begin writing"))?;
    Ok(transaction)
}
