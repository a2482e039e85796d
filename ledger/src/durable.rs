//! Ledgers that keep what they acknowledge: on disk or in PostgreSQL. Only these can be served.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use credits::LedgerError;
use redb::Database;

use crate::clock::Clock;
use crate::engine::StoredLedger;
use crate::error::{Abort, StoreError};
use crate::identity::LedgerIdentity;
use crate::postgres_store::{PostgresServer, PostgresStore};
use crate::redb_store::{RedbStore, open_database};
use crate::spend_verifier::SpendVerifier;
use crate::storage::{Backend, Done, View};
use crate::transitions::{Op, Outcome};

/// A ledger that keeps what it acknowledges.
pub type DurableLedger = StoredLedger<DurableStore>;

/// The store of a [`DurableLedger`].
pub struct DurableStore(Kind);

enum Kind {
    Redb(RedbStore),
    Postgres(PostgresStore),
}

impl DurableLedger {
    /// Opens a database file that [`crate::redb_store::create_database`] made.
    pub fn open_file(
        path: &Path,
        identity: LedgerIdentity,
        verifier: impl SpendVerifier,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        Self::over_database(open_database(path)?, identity, verifier, clock)
    }

    /// A ledger over a database that was opened by other means, such as one on a test's storage. An empty database becomes an
    /// empty ledger.
    pub fn over_database(
        database: Database,
        identity: LedgerIdentity,
        verifier: impl SpendVerifier,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let store = RedbStore::start(database, &identity, Arc::clone(&clock))?;
        Self::over(DurableStore(Kind::Redb(store)), verifier, identity, clock)
    }

    /// Opens a ledger that [`PostgresServer::create_ledger`] made. Blocks; not for threads that drive a runtime.
    pub fn open_postgres(
        server: PostgresServer,
        identity: LedgerIdentity,
        verifier: impl SpendVerifier,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let store = PostgresStore::start(server, &identity, Arc::clone(&clock))?;
        Self::over(DurableStore(Kind::Postgres(store)), verifier, identity, clock)
    }

    /// Resolves when the store has failed and no longer takes operations.
    pub fn failed(&self) -> impl Future<Output = Arc<StoreError>> + Send + use<> {
        match &self.backend().0 {
            Kind::Redb(store) => store.group.failed(),
            Kind::Postgres(store) => store.group.failed(),
        }
    }
}

impl Backend for DurableStore {
    fn read<T>(&self, answer: impl FnOnce(&dyn View) -> Result<T, Abort>) -> Result<T, Abort> {
        match &self.0 {
            Kind::Redb(store) => store.read(answer),
            Kind::Postgres(store) => store.read(answer),
        }
    }

    async fn submit(&self, op: Op) -> Result<Outcome, LedgerError> {
        self.commit(op).await.map(|(outcome, _committed)| outcome)
    }

    async fn commit(&self, op: Op) -> Result<Done, LedgerError> {
        match &self.0 {
            Kind::Redb(store) => store.group.submit(op).await,
            Kind::Postgres(store) => store.group.submit(op).await,
        }
    }
}
