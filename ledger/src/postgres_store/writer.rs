//! The writer: a connection of its own, made again when it was lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use credits::Bytes32;
use postgres::types::Type;
use postgres::{Client, Transaction};

use super::connection::{PostgresServer, is_alive, server, serving};
use super::read_view::ReadView;
use super::rows::read_nodes;
use super::schema::{add_tables, begin, column, info};
use super::seen::Seen;
use super::write_book::WriteBook;
use crate::answers::extends;
use crate::clock::Clock;
use crate::committed::Committed;
use crate::error::StoreError;
use crate::group::{Committer, Outcomes, apply_all};
use crate::identity::{LedgerIdentity, Rules};
use crate::record::{Meta, decode};
use crate::storage::View;
use crate::transitions::Op;

/// Takes this service's turn. A commit of this transaction is acknowledged once it is on disk, here and on standbys that the
/// server waits for, whatever the server's settings have become.
const LOCK: &str = "SELECT state, CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') \
    THEN set_config('synchronous_commit', 'on', true) END, current_setting('synchronous_standby_names') <> '' \
    FROM ledger_state WHERE one = $1 FOR UPDATE";
/// Writes nothing new, and yet something that a commit waits for: what was committed before is then as durable.
const TOUCH: &str = "UPDATE ledger_state SET state = state WHERE one = 1";
/// Settings without which an acknowledged commit could be lost.
const DURABLE_SETTINGS: [(&str, &str); 2] = [("fsync", "SHOW fsync"), ("full_page_writes", "SHOW full_page_writes")];
const UNDEFINED_TABLE: &str = "42P01";

pub(super) struct Writer {
    server: PostgresServer,
    /// Whether the server warned of something. While a commit waits for standbys, a warning says that it no longer does.
    warned: Arc<AtomicBool>,
    client: Option<Client>,
    ledger_id: Bytes32,
    info: String,
    rules: Rules,
    clock: Arc<dyn Clock>,
    seen: Seen,
}

impl Writer {
    /// Connects to a server whose database must be this ledger's and keep what it acknowledges.
    pub(super) fn start(
        server: &PostgresServer,
        identity: &LedgerIdentity,
        clock: Arc<dyn Clock>,
        seen: Seen,
    ) -> Result<Self, StoreError> {
        let warned = Arc::new(AtomicBool::new(false));
        let server = server.noting_warnings(Arc::clone(&warned));
        let (ledger_id, info, rules) = (identity.ledger_id(), info(identity)?, identity.rules());
        let mut writer = Self { server, warned, client: None, ledger_id, info, rules, clock, seen };
        let mut client = writer.connect()?;
        let view = ReadView::begin(&mut client, ledger_id)?;
        let totals = view.totals();
        view.end()?;
        add_tables(&mut client, totals)?;
        writer.client = Some(client);
        Ok(writer)
    }

    /// A new connection, perhaps to a server that took over.
    fn connect(&self) -> Result<Client, StoreError> {
        let mut client = self.server.connect()?;
        for (setting, sql) in DURABLE_SETTINGS {
            let rows = client.query_typed(sql, &[]).map_err(serving("read its settings"))?;
            if rows.first().map(|row| column::<&str>(row, 0)).transpose()? != Some("on") {
                return Err(StoreError::Undurable { setting });
            }
        }
        let sql = "SELECT info FROM ledger_state";
        let rows = client.query_typed(sql, &[]).map_err(no_ledger_or("read its description"))?;
        let stored = rows.first().ok_or(StoreError::NoLedger)?;
        let view = ReadView::begin(&mut client, self.ledger_id)?;
        if column::<&str>(stored, 0)? != self.info {
            return Err(StoreError::OtherRules);
        }
        if let Some(newest) = self.seen.newest()
            && !extends(&view.heads(), &newest, |wanted| view.nodes(wanted))?
        {
            return Err(StoreError::Behind);
        }
        view.end()?;
        Ok(client)
    }

    /// Waits for this service's turn and reads where the ledger stands, and whether commits wait for standbys.
    fn lock(&self, transaction: &mut Transaction<'_>) -> Result<(Meta, bool), StoreError> {
        let row = transaction.query_typed_opt(LOCK, &[(&1_i16, Type::INT2)]);
        let row = row.map_err(no_ledger_or("take its turn"))?.ok_or(StoreError::NoLedger)?;
        let meta: Meta = decode("description", column::<&str>(&row, 0)?.as_bytes())?;
        if meta.ledger_id != self.ledger_id {
            return Err(StoreError::ForeignDatabase);
        }
        // Nobody else can write now, so what was seen is not newer unless the database went back.
        Seen::is_newer(self.seen.newest().as_ref(), &meta.heads)?;
        Ok((meta, column(&row, 2)?))
    }

    fn commit_with(&self, client: &mut Client, ops: &[Op]) -> Result<(Outcomes, Option<Committed>), StoreError> {
        let mut transaction = begin(client, false).map_err(serving("begin"))?;
        let (meta, waits) = self.lock(&mut transaction)?;
        let heads = meta.heads;
        for op in ops {
            // What was read from a server that was left behind is confirmed by none that took over.
            if let Op::Confirm(read) = op
                && !extends(&heads, read, |wanted| read_nodes(&mut transaction, wanted))?
            {
                return Err(server("confirm what was read", "another server has the database now"));
            }
        }
        let mut book = WriteBook::open(&mut transaction, meta, ops)?;
        let outcomes = apply_all(&mut book, &self.rules, self.clock.now(), ops)?;
        let committed = if book.is_changed() { Some(book.close(self.rules.root_window)?) } else { None };
        if committed.is_none() && !waits {
            transaction.rollback().map_err(serving("end a transaction"))?;
            self.seen.raise(heads);
            return Ok((outcomes, None));
        }
        if committed.is_none() {
            // A repeat of what a commit left whose wait for standbys was cut off is acknowledged here: it waits again.
            transaction.batch_execute(TOUCH).map_err(serving("touch its description"))?;
        }
        self.warned.store(false, Ordering::SeqCst);
        transaction.commit().map_err(serving("commit"))?;
        if self.warned.load(Ordering::SeqCst) {
            return Err(server("wait for its standbys", "the server warned while it committed"));
        }
        self.seen.raise(committed.as_ref().map_or(heads, View::heads));
        Ok((outcomes, committed))
    }
}

fn no_ledger_or(doing: &'static str) -> impl FnOnce(postgres::Error) -> StoreError {
    move |error| match error.code() {
        Some(code) if code.code() == UNDEFINED_TABLE => StoreError::NoLedger,
        _ => serving(doing)(error),
    }
}

impl Committer for Writer {
    fn commit(&mut self, ops: &[Op]) -> Result<(Outcomes, Option<Committed>), StoreError> {
        // A connection that was lost since the last batch is found out before anything of this one is sent.
        let kept = self.client.take().and_then(|mut client| is_alive(&mut client).then_some(client));
        let mut client = kept.map_or_else(|| self.connect(), Ok)?;
        let done = self.commit_with(&mut client, ops)?;
        self.client = Some(client);
        Ok(done)
    }
}
