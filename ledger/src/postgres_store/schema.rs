//! The tables of the database. Their records are JSON, see [`crate::record`]; hashes and field elements are 32 bytes each.
//!
//! Plain SQL that other servers of the same protocol take too. The keys are a second line behind the row that is locked: a row
//! that must be new and is not ends the service.

use postgres::types::Type;
use postgres::{Client, IsolationLevel, Transaction};

use super::connection::serving;
use crate::error::StoreError;
use crate::identity::LedgerIdentity;
use crate::record::{Meta, encode};
use crate::storage::Totals;

const TABLES: &str = "
CREATE TABLE ledger_state (one smallint PRIMARY KEY CHECK (one = 1), info text NOT NULL, state text NOT NULL);
CREATE TABLE log_entries (position bigint PRIMARY KEY, entry text NOT NULL);
CREATE TABLE log_nodes (level smallint, number bigint, hash bytea NOT NULL, PRIMARY KEY (level, number));
CREATE TABLE spends (nullifier bytea PRIMARY KEY, state text NOT NULL);
CREATE TABLE successors (inner_next bytea PRIMARY KEY, nullifier bytea NOT NULL);
CREATE TABLE due (not_after bigint, nullifier bytea, PRIMARY KEY (not_after, nullifier));
CREATE TABLE vouchers (voucher_id bytea PRIMARY KEY, redeemed text NOT NULL);
CREATE TABLE payees (payee bytea PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
CREATE TABLE note_roots (root bytea PRIMARY KEY, note_count bigint NOT NULL UNIQUE);
";
/// A table that ledgers of before there were claims do not have.
const CLAIMS: &str = "CREATE TABLE claims (payee bytea PRIMARY KEY, claim text NOT NULL)";
/// A table that ledgers of before there were stakes do not have.
const BONDS: &str = "CREATE TABLE bonds (payee bytea PRIMARY KEY, bond text NOT NULL)";
const DUPLICATE_TABLE: &str = "42P07";
/// What a table that somebody else makes at the same moment gives.
const UNIQUE_VIOLATION: &str = "23505";

/// Makes the tables of an empty ledger in the connection's schema, all or none.
pub(super) fn create(client: &mut Client, identity: &LedgerIdentity) -> Result<(), StoreError> {
    let mut transaction = begin(client, false).map_err(serving("begin"))?;
    transaction.batch_execute(TABLES).map_err(|error| match error.code() {
        Some(code) if code.code() == DUPLICATE_TABLE => StoreError::Occupied,
        _ => serving("make its tables")(error),
    })?;
    for table in [CLAIMS, BONDS] {
        transaction.batch_execute(table).map_err(serving("make its tables"))?;
    }
    let state = encode("description", &Meta::empty(identity.ledger_id()))?;
    let (info, state) = (info(identity)?, text(&state)?);
    let insert = "INSERT INTO ledger_state (one, info, state) VALUES (1, $1, $2)";
    let inserted = transaction.execute_typed(insert, &[(&info, Type::TEXT), (&state, Type::TEXT)]);
    inserted.map_err(serving("write its description"))?;
    transaction.commit().map_err(serving("commit"))
}

/// Makes the tables that a ledger of before there were claims, or stakes, lacks. One that had them and lacks the table lost it: made
/// anew, all of them could be made again.
pub(super) fn add_tables(client: &mut Client, totals: Totals) -> Result<(), StoreError> {
    add_table(client, "SELECT to_regclass('claims') IS NOT NULL", CLAIMS, (totals.claims, "table of claims"))?;
    add_table(client, "SELECT to_regclass('bonds') IS NOT NULL", BONDS, (totals.stake_acts, "table of stakes"))
}

fn add_table(
    client: &mut Client,
    exists: &str,
    table: &str,
    (records, record): (u64, &'static str),
) -> Result<(), StoreError> {
    let rows = client.query_typed(exists, &[]);
    let rows = rows.map_err(serving("look for its tables"))?;
    if rows.first().map(|row| column(row, 0)).transpose()? == Some(true) {
        return Ok(());
    }
    if records != 0 {
        return Err(StoreError::Missing { record });
    }
    match client.batch_execute(table) {
        Err(error) if error.code().is_some_and(|code| [DUPLICATE_TABLE, UNIQUE_VIOLATION].contains(&code.code())) => {
            Ok(())
        }
        made => made.map_err(serving("make its tables")),
    }
}

/// The description that all services over the database must agree on.
pub(super) fn info(identity: &LedgerIdentity) -> Result<String, StoreError> {
    Ok(text(&encode("description", identity.info())?)?.to_owned())
}

/// Begins a transaction, whatever the database's defaults are. One that reads sees one committed state to its end; one that
/// writes sees the newest in each statement, which after the lock is the same.
pub(super) fn begin(client: &mut Client, reads: bool) -> Result<Transaction<'_>, postgres::Error> {
    let isolation = if reads { IsolationLevel::RepeatableRead } else { IsolationLevel::ReadCommitted };
    client.build_transaction().isolation_level(isolation).read_only(reads).start()
}

/// An encoded record as the text it is.
pub(super) fn text(record: &[u8]) -> Result<&str, StoreError> {
    std::str::from_utf8(record).map_err(|_| StoreError::Missing { record: "text of a record" })
}

/// Numbers of rows and seconds fit the server's signed ones.
pub(super) fn bigint(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Sum { sum: "count" })
}

/// The reverse of [`bigint`].
pub(super) fn number(stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(|_| StoreError::Sum { sum: "count" })
}

/// A column of a row of a known query.
pub(super) fn column<'r, T: postgres::types::FromSql<'r>>(
    row: &'r postgres::Row,
    index: usize,
) -> Result<T, StoreError> {
    let doing = "read a column";
    row.try_get(index).map_err(|error| StoreError::Database { doing, source: Box::new(error) })
}

/// A column of 32 bytes.
pub(super) fn bytes32(row: &postgres::Row, index: usize) -> Result<[u8; 32], StoreError> {
    let bytes: &[u8] = column(row, index)?;
    bytes.try_into().map_err(|_| StoreError::Missing { record: "value of 32 bytes" })
}
