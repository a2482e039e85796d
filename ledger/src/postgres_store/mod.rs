//! The store in PostgreSQL: a database that other machines can reach, replicate and fail over.
//!
//! Any number of services may run over one database. Each transaction that writes first locks the one row that says where
//! the ledger stands, so that they take turns, and no service decides on what it kept from one transaction to the next
//! (`docs/decisions/0026`). A server that goes away makes calls fail with [`credits::LedgerError::Unavailable`] until it is
//! back; whether the call under way was done, its repeat tells.

mod connection;
mod read_view;
mod rows;
mod schema;
mod seen;
mod write_book;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use credits::{Bytes32, LedgerError};
use tokio::sync::Semaphore;

use crate::answers::extends;
use crate::clock::Clock;
use crate::error::{Abort, StoreError};
use crate::group::Group;
use crate::identity::LedgerIdentity;
use crate::storage::{Heads, View};
use crate::transitions::Op;

pub use connection::PostgresServer;
use connection::{Readers, server};
use read_view::ReadView;
use seen::Seen;
use writer::Writer;

/// Connections that read; a ninth reader waits.
const READERS_MAX: u32 = 8;
/// How long a reader waits for a connection.
const READER_WAIT: Duration = Duration::from_secs(2);

/// Readers that may wait for standbys at once: each holds a thread.
const CONFIRMS_MAX: usize = 64;

/// The store over a PostgreSQL database.
pub(crate) struct PostgresStore {
    pub(crate) group: Group,
    /// Present until the store is dropped.
    readers: Option<r2d2::Pool<Readers>>,
    ledger_id: Bytes32,
    seen: Seen,
    confirms: Semaphore,
}

impl PostgresStore {
    pub(crate) fn start(
        server: PostgresServer,
        identity: &LedgerIdentity,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let seen = Seen::default();
        let writer = Writer::start(&server, identity, clock, seen.clone())?;
        let readers = r2d2::Pool::builder().max_size(READERS_MAX).min_idle(Some(0));
        // Connections that ended while they waited here are seen when they are asked before they are used.
        let readers = readers.test_on_check_out(true).connection_timeout(READER_WAIT).build_unchecked(Readers(server));
        let confirms = Semaphore::new(CONFIRMS_MAX);
        Ok(Self {
            group: Group::start(writer)?,
            readers: Some(readers),
            ledger_id: identity.ledger_id(),
            seen,
            confirms,
        })
    }

    pub(crate) fn read<T>(&self, answer: impl FnOnce(&dyn View) -> Result<T, Abort>) -> Result<T, Abort> {
        self.group.reading(|| {
            let readers = self.readers.as_ref().ok_or(StoreError::WriterEnded)?;
            let mut reader = readers.get().map_err(|error| server("connect", error))?;
            let before = self.seen.newest();
            let view = ReadView::begin(&mut reader.client, self.ledger_id)?;
            let (heads, waits) = (view.heads(), view.waits_for_standbys());
            let is_newer = match Seen::is_newer(before.as_ref(), &heads) {
                Ok(is_newer) => is_newer,
                // A reader may still be at a server that was left behind; the writer will not be for long.
                Err(error) => {
                    drop(view);
                    reader.is_behind = true;
                    return Err(server("read the newest state", error).into());
                }
            };
            if let (true, Some(before)) = (is_newer, before)
                && !extends(&heads, &before, |wanted| view.nodes(wanted))?
            {
                return Err(StoreError::Behind.into());
            }
            let answered = answer(&view);
            view.end()?;
            drop(reader);
            if is_newer && waits {
                self.confirm(heads)?;
            }
            self.seen.raise(heads);
            // A refusal rests on what was read, too.
            answered
        })
    }

    /// Waits until a state that was read is where it must be: what somebody else wrote, or what a commit that was cut off left,
    /// may be on no standby yet.
    fn confirm(&self, heads: Heads) -> Result<(), LedgerError> {
        let _waits = self.confirms.try_acquire().map_err(|_| LedgerError::Unavailable)?;
        // Somebody else may have waited for it.
        if matches!(Seen::is_newer(self.seen.newest().as_ref(), &heads), Ok(true)) {
            self.group.submit_blocking(Op::Confirm(heads))?;
        }
        Ok(())
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
