//! Group commit: one writer turns whatever is queued into one transaction after another.
//!
//! There is no timer: operations that arrive while a commit waits for the disk form the next transaction, so a lone one is
//! never held back and a crowd shares its syncs. When a store reports an error that no retry mends, it stops for good.

use std::future::Future;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credits::LedgerError;
use tokio::sync::{mpsc, oneshot, watch};

use crate::committed::Committed;
use crate::error::{Abort, StoreError};
use crate::hash_ahead::hash_mints;
use crate::identity::Rules;
use crate::storage::{Book, Done};
use crate::transitions::{Op, Outcome, apply};

/// Most operations in one transaction. From 32 on the syncs no longer dominate; a larger group only delays its members.
pub(crate) const BATCH_OPS_MAX: usize = 256;
/// Operations that may wait for the writer; beyond them callers wait their turn to queue.
const QUEUE_LEN: usize = 1024;
/// How long a caller waits; then nothing is known about its operation.
const SUBMIT_TIME_MAX: Duration = Duration::from_secs(30);
/// How long closing waits for the writer: one that waits for a server may never end.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(10);

/// Outcomes of a batch, in the order of its operations.
pub(crate) type Outcomes = Vec<Result<Outcome, LedgerError>>;

/// What a store's writer does.
pub(crate) trait Committer: Send + 'static {
    /// Carries out a batch in one transaction. Outcomes, and what it left if it changed anything, are returned only after it is on
    /// disk.
    fn commit(&mut self, ops: &[Op]) -> Result<(Outcomes, Option<Committed>), StoreError>;
}

/// Decides and writes a batch into one transaction's book.
pub(crate) fn apply_all(book: &mut impl Book, rules: &Rules, now: u64, ops: &[Op]) -> Result<Outcomes, StoreError> {
    hash_mints(ops, book.totals().mint_seq, rules.reserve.ledger_id);
    let mut outcomes = Vec::with_capacity(ops.len());
    for op in ops {
        outcomes.push(match apply(book, rules, now, op) {
            Ok(outcome) => Ok(outcome),
            Err(Abort::Refused(error)) => Err(error),
            Err(Abort::Broken(error)) => return Err(error),
        });
    }
    Ok(outcomes)
}

/// An operation and where its outcome goes.
struct Job {
    op: Op,
    answer: oneshot::Sender<Result<Done, LedgerError>>,
}

/// A writer and its queue.
pub(crate) struct Group {
    jobs: Option<mpsc::Sender<Job>>,
    failure: Failure,
    /// Closed when the writer's thread is done.
    ended: Mutex<Receiver<()>>,
}

impl Group {
    pub(crate) fn start(committer: impl Committer) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE_LEN);
        let failure = Failure(Arc::new(watch::Sender::new(None)));
        let reported = failure.clone();
        let thread = std::thread::Builder::new().name("ledger-writer".to_owned());
        let (ends, ended) = std::sync::mpsc::channel();
        let thread = thread.spawn(move || {
            let _dropped_last = ends;
            let watch = PanicWatch(reported);
            serve(committer, queue, &watch.0);
        });
        thread.map_err(StoreError::Spawn)?;
        Ok(Self { jobs: Some(jobs), failure, ended: Mutex::new(ended) })
    }

    pub(crate) async fn submit(&self, op: Op) -> Result<Done, LedgerError> {
        let (answer, outcome) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(LedgerError::Unavailable)?;
        let submitted = async {
            jobs.send(Job { op, answer }).await.map_err(|_| LedgerError::Unavailable)?;
            outcome.await.map_err(|_| LedgerError::Unavailable)?
        };
        tokio::time::timeout(SUBMIT_TIME_MAX, submitted).await.unwrap_or(Err(LedgerError::Unavailable))
    }

    /// The same from a thread that may block, and that has a runtime to tell the time.
    pub(crate) fn submit_blocking(&self, op: Op) -> Result<Done, LedgerError> {
        tokio::runtime::Handle::try_current().map_err(|_| LedgerError::Unavailable)?.block_on(self.submit(op))
    }

    /// Reads, unless the store has failed; a failure to read is one of the store.
    pub(crate) fn reading<T>(&self, read: impl FnOnce() -> Result<T, Abort>) -> Result<T, Abort> {
        if self.failure.is_set() {
            return Err(LedgerError::Unavailable.into());
        }
        read().map_err(|abort| match abort {
            Abort::Broken(error) => {
                self.failure.unless_passing(error);
                LedgerError::Unavailable.into()
            }
            refused @ Abort::Refused(_) => refused,
        })
    }

    /// Resolves when the store has failed and no longer takes operations.
    pub(crate) fn failed(&self) -> impl Future<Output = Arc<StoreError>> + Send + use<> {
        let mut failure = self.failure.0.subscribe();
        async move {
            match failure.wait_for(Option::is_some).await {
                Ok(error) => error.clone().unwrap_or_else(|| Arc::new(StoreError::WriterEnded)),
                Err(_sender_gone) => Arc::new(StoreError::WriterEnded),
            }
        }
    }
}

impl Drop for Group {
    /// Waits until the writer has finished what was queued, so that the store can be opened again right away.
    fn drop(&mut self) {
        self.jobs = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(CLOSE_TIME_MAX) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the ledger's writer did not end in time");
        }
    }
}

/// Serves the queue until it closes. After a failure every operation is answered with [`LedgerError::Unavailable`]: nothing
/// is known about those of the failed transaction, nothing is done for later ones.
fn serve(mut committer: impl Committer, mut queue: mpsc::Receiver<Job>, failure: &Failure) {
    let mut jobs = Vec::with_capacity(BATCH_OPS_MAX);
    while queue.blocking_recv_many(&mut jobs, BATCH_OPS_MAX) > 0 {
        let (ops, answers): (Vec<_>, Vec<_>) = jobs.drain(..).map(|Job { op, answer }| (op, answer)).unzip();
        let outcomes = if failure.is_set() { None } else { committed(&mut committer, &ops, failure) };
        // Nobody listens any more when the caller gave up; what was done stays done.
        match outcomes {
            Some((outcomes, committed)) => {
                let committed = committed.map(Arc::new);
                let done = outcomes.into_iter().map(|outcome| outcome.map(|outcome| (outcome, committed.clone())));
                answers.into_iter().zip(done).for_each(|(answer, done)| drop(answer.send(done)));
            }
            None => answers.into_iter().for_each(|answer| drop(answer.send(Err(LedgerError::Unavailable)))),
        }
    }
}

fn committed(committer: &mut impl Committer, ops: &[Op], failure: &Failure) -> Option<(Outcomes, Option<Committed>)> {
    committer.commit(ops).map_err(|error| failure.unless_passing(error)).ok()
}

/// Set once, by whoever first sees the store fail.
#[derive(Clone)]
struct Failure(Arc<watch::Sender<Option<Arc<StoreError>>>>);

impl Failure {
    fn is_set(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Records an error, unless it passes by itself.
    fn unless_passing(&self, error: StoreError) {
        if error.is_passing() {
            tracing::warn!(error = %error.chain(), "the ledger's store is not available");
        } else {
            self.set(error);
        }
    }

    /// Records the first failure; later ones only follow from it.
    fn set(&self, error: StoreError) {
        tracing::error!(error = %error.chain(), "the ledger's store failed and takes no more operations");
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert_with(|| Arc::new(error));
            is_first
        });
    }
}

/// Turns a panic of the writer into a failure of the store.
struct PanicWatch(Failure);

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set(StoreError::WriterEnded);
        }
    }
}
