//! The store on disk: one redb file, two-phase commits.

mod read_view;
mod tables;
mod write_book;
mod writer;

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use redb::Database;
use redb::backends::FileBackend;

use crate::clock::Clock;
use crate::error::{Abort, StoreError, doing};
use crate::group::Group;
use crate::identity::LedgerIdentity;
use crate::record::LastMeta;
use crate::storage::View;

use read_view::ReadView;
use writer::Writer;

/// Memory the database may use for its page cache; redb's own default is 1 GiB.
pub const CACHE_BYTES: usize = 64 << 20;

/// Makes the database file of an empty ledger; there must be no file yet.
pub fn create_database(path: &Path, identity: &LedgerIdentity) -> Result<(), StoreError> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
    let file = file.map_err(doing("create its file"))?;
    let backend = FileBackend::new(file).map_err(doing("create its file"))?;
    let database = Database::builder().create_with_backend(backend).map_err(doing("create"))?;
    writer::make_empty(&database, identity)
}

/// Opens a database file that [`create_database`] made.
pub(crate) fn open_database(path: &Path) -> Result<Database, StoreError> {
    Database::builder().set_cache_size(CACHE_BYTES).open(path).map_err(doing("open"))
}

/// The store over a redb database.
pub(crate) struct RedbStore {
    pub(crate) group: Group,
    database: Arc<Database>,
    last_read: LastMeta,
}

impl RedbStore {
    /// An empty database becomes an empty ledger.
    pub(crate) fn start(
        database: Database,
        identity: &LedgerIdentity,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let database = Arc::new(database);
        let writer = Writer::prepare(Arc::clone(&database), identity, clock)?;
        Ok(Self { group: Group::start(writer)?, database, last_read: LastMeta::default() })
    }

    pub(crate) fn read<T>(&self, answer: impl FnOnce(&dyn View) -> Result<T, Abort>) -> Result<T, Abort> {
        self.group.reading(|| answer(&ReadView::open(&self.database, &self.last_read)?))
    }
}
