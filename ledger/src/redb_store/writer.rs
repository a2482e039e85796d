//! The one writer: it turns whatever is queued into one transaction after another.
//!
//! There is no timer: operations that arrive while a commit waits for the disk form the next transaction, so a lone one is
//! never held back and a crowd shares its two syncs.

use std::sync::Arc;

use credits::LedgerError;
use redb::{Database, Durability, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::tables::Meta;
use super::write_book::WriteBook;
use super::{Failure, report};
use crate::clock::Clock;
use crate::error::{Abort, StoreError, doing};
use crate::identity::{LedgerIdentity, Rules};
use crate::transitions::{Op, Outcome, apply};

/// Most operations in one transaction. From 32 on the syncs no longer dominate; a larger group only delays its members.
const BATCH_OPS_MAX: usize = 256;

/// An operation and where its outcome goes.
pub(super) struct Job {
    pub(super) op: Op,
    pub(super) answer: oneshot::Sender<Result<Outcome, LedgerError>>,
}

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

    /// Serves the queue until it closes or the database fails. After a failure every operation is answered with
    /// [`LedgerError::Unavailable`]: nothing is known about those of the failed transaction, nothing is done for later ones.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>, failure: &Failure) {
        let mut jobs = Vec::with_capacity(BATCH_OPS_MAX);
        while queue.blocking_recv_many(&mut jobs, BATCH_OPS_MAX) > 0 {
            let failed = failure.borrow().is_some();
            let outcomes = if failed { None } else { self.commit(&jobs).map_err(|error| report(failure, error)).ok() };
            match outcomes {
                Some(outcomes) => jobs.drain(..).zip(outcomes).for_each(|(job, outcome)| answer(job, outcome)),
                None => jobs.drain(..).for_each(|job| answer(job, Err(LedgerError::Unavailable))),
            }
        }
    }

    /// Carries out a batch in one transaction. Outcomes are returned only after it is on disk.
    fn commit(&mut self, jobs: &[Job]) -> Result<Vec<Result<Outcome, LedgerError>>, StoreError> {
        let now = self.clock.now();
        let transaction = begin(&self.database)?;
        let mut book = WriteBook::open(&transaction, self.meta.clone())?;
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            outcomes.push(match apply(&mut book, &self.rules, now, &job.op) {
                Ok(outcome) => Ok(outcome),
                Err(Abort::Refused(error)) => Err(error),
                Err(Abort::Broken(error)) => return Err(error),
            });
        }
        if book.is_changed() {
            let meta = book.close(self.rules.root_window)?;
            transaction.commit().map_err(doing("commit"))?;
            self.meta = meta;
        } else {
            drop(book);
            transaction.abort().map_err(doing("end a transaction"))?;
        }
        Ok(outcomes)
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
            let meta = book.close(identity.rules().root_window)?;
            transaction.commit().map_err(doing("commit"))?;
            Ok(meta)
        }
    }
}

fn answer(job: Job, outcome: Result<Outcome, LedgerError>) {
    // Nobody listens any more when the caller gave up; what was done stays done.
    drop(job.answer.send(outcome));
}

/// Two-phase commits: after a crash the last committed state is the one the file says, whatever order its pages reached the
/// disk in.
fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(doing("begin writing"))?;
    transaction.set_two_phase_commit(true);
    transaction.set_durability(Durability::Immediate).map_err(doing("begin writing"))?;
    Ok(transaction)
}
