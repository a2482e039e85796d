//! The store on disk: one redb file, two-phase commits, one writer that groups operations into transactions.
//!
//! Everything a transaction wrote is on disk before any of its operations is acknowledged. When the database reports an
//! error the store stops for good: the process ends and starts again from what is on disk.

mod read_view;
mod tables;
mod write_book;
mod writer;

use std::fs::OpenOptions;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use credits::LedgerError;
use redb::Database;
use redb::backends::FileBackend;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::engine::StoredLedger;
use crate::error::{Abort, StoreError, doing};
use crate::identity::LedgerIdentity;
use crate::spend_verifier::SpendVerifier;
use crate::storage::{Backend, View};
use crate::transitions::{Op, Outcome};

use read_view::ReadView;
use writer::{Job, Writer};

/// Memory the database may use for its page cache; redb's own default is 1 GiB.
pub const CACHE_BYTES: usize = 64 << 20;
/// Operations that may wait for the writer; beyond them callers wait their turn to queue.
const QUEUE_LEN: usize = 1024;

/// A ledger on disk.
pub type RedbLedger<V> = StoredLedger<RedbBackend, V>;

impl<V: SpendVerifier> RedbLedger<V> {
    /// Opens a database file that [`create_database`] made.
    pub fn open_file(
        path: &Path,
        identity: LedgerIdentity,
        verifier: V,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).open(path).map_err(doing("open"))?;
        Self::over_database(database, identity, verifier, clock)
    }

    /// A ledger over a database that was opened by other means, such as one on a test's storage. An empty database becomes an
    /// empty ledger.
    pub fn over_database(
        database: Database,
        identity: LedgerIdentity,
        verifier: V,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let backend = RedbBackend::start(database, &identity, Arc::clone(&clock))?;
        Ok(Self::over(backend, verifier, identity, clock))
    }

    /// Resolves when the store has failed and no longer takes operations.
    pub fn failed(&self) -> impl Future<Output = Arc<StoreError>> + Send + 'static {
        let mut failure = self.backend().failure.subscribe();
        async move {
            match failure.wait_for(Option::is_some).await {
                Ok(error) => error.clone().unwrap_or_else(|| Arc::new(StoreError::WriterEnded)),
                Err(_sender_gone) => Arc::new(StoreError::WriterEnded),
            }
        }
    }
}

/// Makes the database file of an empty ledger; there must be no file yet.
pub fn create_database(path: &Path, identity: &LedgerIdentity) -> Result<(), StoreError> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
    let file = file.map_err(redb::Error::from).map_err(doing("create its file"))?;
    let backend = FileBackend::new(file).map_err(doing("create its file"))?;
    let database = Database::builder().create_with_backend(backend).map_err(doing("create"))?;
    writer::make_empty(&database, identity)
}

/// Set once, by whoever first sees the database fail.
type Failure = Arc<watch::Sender<Option<Arc<StoreError>>>>;

/// Turns a panic of the writer into a failure of the store.
struct PanicWatch(Failure);

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            report(&self.0, StoreError::WriterEnded);
        }
    }
}

/// The store of a [`RedbLedger`].
pub struct RedbBackend {
    database: Arc<Database>,
    jobs: Option<mpsc::Sender<Job>>,
    failure: Failure,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl RedbBackend {
    fn start(database: Database, identity: &LedgerIdentity, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let database = Arc::new(database);
        let writer = Writer::prepare(Arc::clone(&database), identity, clock)?;
        let (jobs, queue) = mpsc::channel(QUEUE_LEN);
        let failure: Failure = Arc::new(watch::Sender::new(None));
        let reported = Arc::clone(&failure);
        let thread = std::thread::Builder::new().name("ledger-writer".to_owned());
        let thread = thread.spawn(move || {
            let watch = PanicWatch(reported);
            writer.run(queue, &watch.0);
        });
        let thread = thread.map_err(StoreError::Spawn)?;
        Ok(Self { database, jobs: Some(jobs), failure, writer: Mutex::new(Some(thread)) })
    }
}

impl Drop for RedbBackend {
    /// Waits until the writer has finished what was queued, so that the file can be opened again right away.
    fn drop(&mut self) {
        self.jobs = None;
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the ledger's writer panicked");
        }
    }
}

impl Backend for RedbBackend {
    fn read<T>(&self, answer: impl FnOnce(&dyn View) -> Result<T, Abort>) -> Result<T, Abort> {
        if self.failure.borrow().is_some() {
            return Err(LedgerError::Unavailable.into());
        }
        let result = ReadView::open(&self.database).map_err(Abort::from).and_then(|view| answer(&view));
        match result {
            Err(Abort::Broken(error)) => {
                report(&self.failure, error);
                Err(LedgerError::Unavailable.into())
            }
            other => other,
        }
    }

    async fn submit(&self, op: Op) -> Result<Outcome, LedgerError> {
        let (answer, outcome) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(LedgerError::Unavailable)?;
        jobs.send(Job { op, answer }).await.map_err(|_| LedgerError::Unavailable)?;
        outcome.await.map_err(|_| LedgerError::Unavailable)?
    }
}

/// Records the first failure; later ones only follow from it.
fn report(failure: &Failure, error: StoreError) {
    tracing::error!(error = %error.chain(), "the ledger's store failed and takes no more operations");
    failure.send_if_modified(|first| {
        let is_first = first.is_none();
        first.get_or_insert_with(|| Arc::new(error));
        is_first
    });
}
