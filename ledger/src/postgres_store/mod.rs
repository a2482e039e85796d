//! The store in PostgreSQL: a database that other machines can reach, replicate and fail over.
//!
//! Any number of services may run over one database. Each transaction that writes first locks the one row that says where
//! the ledger stands, so that they take turns, and no service keeps anything from one transaction to the next
//! (`docs/decisions/0026`). A server that goes away makes calls fail with [`credits::LedgerError::Unavailable`] until it is
//! back; whether the call under way was done, its repeat tells.

mod connection;
mod read_view;
mod rows;
mod schema;
mod write_book;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::{Abort, StoreError};
use crate::group::Group;
use crate::identity::LedgerIdentity;
use crate::storage::View;

pub use connection::PostgresServer;
use read_view::ReadView;
use writer::Writer;

/// Connections that read; a ninth reader waits.
const READERS_MAX: u32 = 8;
/// How long a reader waits for a connection.
const READER_WAIT: Duration = Duration::from_secs(2);

/// The store over a PostgreSQL database.
pub(crate) struct PostgresStore {
    pub(crate) group: Group,
    /// Present until the store is dropped.
    readers: Option<r2d2::Pool<PostgresServer>>,
}

impl PostgresStore {
    pub(crate) fn start(
        server: PostgresServer,
        identity: &LedgerIdentity,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let mut writer = Writer::new(server.clone(), identity, clock);
        writer.check()?;
        let readers = r2d2::Pool::builder().max_size(READERS_MAX).min_idle(Some(0));
        // Connections that ended while they waited here are seen when they are asked before they are used.
        let readers = readers.test_on_check_out(true).connection_timeout(READER_WAIT).build_unchecked(server);
        Ok(Self { group: Group::start(writer)?, readers: Some(readers) })
    }

    pub(crate) fn read<T>(&self, answer: impl FnOnce(&dyn View) -> Result<T, Abort>) -> Result<T, Abort> {
        self.group.reading(|| {
            let readers = self.readers.as_ref().ok_or(StoreError::WriterEnded)?;
            let mut client = readers.get().map_err(connection::no_reader)?;
            let view = ReadView::begin(&mut client)?;
            let value = answer(&view)?;
            view.end()?;
            Ok(value)
        })
    }
}

impl Drop for PostgresStore {
    /// A connection waits when it is closed, which a thread that drives a runtime must not.
    fn drop(&mut self) {
        let readers = self.readers.take();
        let closed = std::thread::Builder::new().name("ledger-close".to_owned()).spawn(move || drop(readers));
        match closed.map(std::thread::JoinHandle::join) {
            Ok(Ok(())) => {}
            _ => tracing::warn!("the connections to the ledger's database were not closed in order"),
        }
    }
}
