//! Rows that a transaction writes, column by column, so that each table takes one statement.

use credits::{Bytes32, Credits};
use postgres::types::{ToSql, Type};
use postgres::{Row, Transaction};

use super::connection::serving;
use super::schema::{bigint, bytes32, column, number, text};
use crate::error::StoreError;

type Keys = Vec<Vec<u8>>;
type Texts = Vec<String>;
type Numbers = Vec<i64>;

#[derive(Default)]
pub(super) struct Rows {
    entries: (Numbers, Texts),
    nodes: (Vec<i16>, Numbers, Keys),
    new_spends: (Keys, Texts),
    changed_spends: (Keys, Texts),
    successors: (Keys, Keys),
    due: (Numbers, Keys),
    not_due: (Numbers, Keys),
    vouchers: (Keys, Texts),
    payees: (Keys, Numbers),
    claimed: (Keys, Numbers),
    claims: (Keys, Texts),
    bonds: (Keys, Texts),
    roots: (Keys, Numbers),
}

impl Rows {
    pub(super) fn entry(&mut self, position: u64, record: &[u8]) -> Result<(), StoreError> {
        self.entries.0.push(bigint(position)?);
        self.entries.1.push(text(record)?.to_owned());
        Ok(())
    }

    pub(super) fn node(&mut self, level: u8, number: u64, hash: &[u8; 32]) -> Result<(), StoreError> {
        self.nodes.0.push(i16::from(level));
        self.nodes.1.push(bigint(number)?);
        self.nodes.2.push(hash.to_vec());
        Ok(())
    }

    pub(super) fn spend(&mut self, nullifier: &[u8; 32], record: &[u8], stored: bool) -> Result<(), StoreError> {
        let spends = if stored { &mut self.changed_spends } else { &mut self.new_spends };
        spends.0.push(nullifier.to_vec());
        spends.1.push(text(record)?.to_owned());
        Ok(())
    }

    pub(super) fn successor(&mut self, inner: &[u8; 32], nullifier: &[u8; 32]) {
        self.successors.0.push(inner.to_vec());
        self.successors.1.push(nullifier.to_vec());
    }

    pub(super) fn due(&mut self, not_after: u64, nullifier: &[u8; 32]) -> Result<(), StoreError> {
        self.due.0.push(bigint(not_after)?);
        self.due.1.push(nullifier.to_vec());
        Ok(())
    }

    pub(super) fn not_due(&mut self, not_after: u64, nullifier: &[u8; 32]) -> Result<(), StoreError> {
        self.not_due.0.push(bigint(not_after)?);
        self.not_due.1.push(nullifier.to_vec());
        Ok(())
    }

    pub(super) fn voucher(&mut self, voucher_id: &[u8; 32], record: &[u8]) -> Result<(), StoreError> {
        self.vouchers.0.push(voucher_id.to_vec());
        self.vouchers.1.push(text(record)?.to_owned());
        Ok(())
    }

    pub(super) fn payee(&mut self, payee: &[u8; 32], amount: u64) -> Result<(), StoreError> {
        self.payees.0.push(payee.to_vec());
        self.payees.1.push(bigint(amount)?);
        Ok(())
    }

    pub(super) fn claimed(&mut self, payee: &[u8; 32], amount: u64) -> Result<(), StoreError> {
        self.claimed.0.push(payee.to_vec());
        self.claimed.1.push(bigint(amount)?);
        Ok(())
    }

    pub(super) fn claim(&mut self, payee: &[u8; 32], record: &[u8]) -> Result<(), StoreError> {
        self.claims.0.push(payee.to_vec());
        self.claims.1.push(text(record)?.to_owned());
        Ok(())
    }

    pub(super) fn bond(&mut self, payee: &[u8; 32], record: &[u8]) -> Result<(), StoreError> {
        self.bonds.0.push(payee.to_vec());
        self.bonds.1.push(text(record)?.to_owned());
        Ok(())
    }

    pub(super) fn root(&mut self, root: &[u8; 32], note_count: u64) -> Result<(), StoreError> {
        self.roots.0.push(root.to_vec());
        self.roots.1.push(bigint(note_count)?);
        Ok(())
    }

    /// Writes all rows, forgets the roots over at most `oldest` notes, and writes where the ledger stands now.
    pub(super) fn write(self, transaction: &mut Transaction<'_>, oldest: u64, state: &[u8]) -> Result<(), StoreError> {
        use Type as T;
        let Self { entries, nodes, new_spends, changed_spends, successors, due, not_due, .. } = self;
        let Self { vouchers, payees, claimed, claims, bonds, roots, .. } = self;
        let mut all = |doing, count: usize, sql: &str, params: &[(&(dyn ToSql + Sync), Type)]| {
            let done = if count == 0 { Ok(0) } else { transaction.execute_typed(sql, params).map_err(serving(doing)) };
            // A statement that touched fewer rows than it was given found the database other than it was left.
            let exact = u64::try_from(count) == Ok(done?);
            if exact { Ok(()) } else { Err(StoreError::Missing { record: "row that was to be changed" }) }
        };
        all(
            "append to the log",
            entries.0.len(),
            "INSERT INTO log_entries (position, entry) SELECT * FROM unnest($1, $2)",
            &[(&entries.0, T::INT8_ARRAY), (&entries.1, T::TEXT_ARRAY)],
        )?;
        all(
            "append to the log tree",
            nodes.0.len(),
            "INSERT INTO log_nodes (level, number, hash) SELECT * FROM unnest($1, $2, $3)",
            &[(&nodes.0, T::INT2_ARRAY), (&nodes.1, T::INT8_ARRAY), (&nodes.2, T::BYTEA_ARRAY)],
        )?;
        all(
            "record the spends",
            new_spends.0.len(),
            "INSERT INTO spends (nullifier, state) SELECT * FROM unnest($1, $2)",
            &[(&new_spends.0, T::BYTEA_ARRAY), (&new_spends.1, T::TEXT_ARRAY)],
        )?;
        all(
            "change the spends",
            changed_spends.0.len(),
            "UPDATE spends SET state = given.state FROM unnest($1, $2) AS given (nullifier, state) \
             WHERE spends.nullifier = given.nullifier",
            &[(&changed_spends.0, T::BYTEA_ARRAY), (&changed_spends.1, T::TEXT_ARRAY)],
        )?;
        all(
            "record the successors",
            successors.0.len(),
            "INSERT INTO successors (inner_next, nullifier) SELECT * FROM unnest($1, $2)",
            &[(&successors.0, T::BYTEA_ARRAY), (&successors.1, T::BYTEA_ARRAY)],
        )?;
        all(
            "record what is due",
            due.0.len(),
            "INSERT INTO due (not_after, nullifier) SELECT * FROM unnest($1, $2)",
            &[(&due.0, T::INT8_ARRAY), (&due.1, T::BYTEA_ARRAY)],
        )?;
        all(
            "forget what was due",
            not_due.0.len(),
            "DELETE FROM due USING unnest($1, $2) AS given (not_after, nullifier) \
             WHERE due.not_after = given.not_after AND due.nullifier = given.nullifier",
            &[(&not_due.0, T::INT8_ARRAY), (&not_due.1, T::BYTEA_ARRAY)],
        )?;
        all(
            "record the vouchers",
            vouchers.0.len(),
            "INSERT INTO vouchers (voucher_id, redeemed) SELECT * FROM unnest($1, $2)",
            &[(&vouchers.0, T::BYTEA_ARRAY), (&vouchers.1, T::TEXT_ARRAY)],
        )?;
        all(
            "credit the payees",
            payees.0.len(),
            "INSERT INTO payees (payee, balance) SELECT * FROM unnest($1, $2) \
             ON CONFLICT (payee) DO UPDATE SET balance = payees.balance + excluded.balance",
            &[(&payees.0, T::BYTEA_ARRAY), (&payees.1, T::INT8_ARRAY)],
        )?;
        all(
            "take claims and stakes off the payees",
            claimed.0.len(),
            "UPDATE payees SET balance = payees.balance - given.amount FROM unnest($1, $2) AS given (payee, amount) \
             WHERE payees.payee = given.payee",
            &[(&claimed.0, T::BYTEA_ARRAY), (&claimed.1, T::INT8_ARRAY)],
        )?;
        all(
            "record the claims",
            claims.0.len(),
            "INSERT INTO claims (payee, claim) SELECT * FROM unnest($1, $2) \
             ON CONFLICT (payee) DO UPDATE SET claim = excluded.claim",
            &[(&claims.0, T::BYTEA_ARRAY), (&claims.1, T::TEXT_ARRAY)],
        )?;
        all(
            "record the stakes",
            bonds.0.len(),
            "INSERT INTO bonds (payee, bond) SELECT * FROM unnest($1, $2) \
             ON CONFLICT (payee) DO UPDATE SET bond = excluded.bond",
            &[(&bonds.0, T::BYTEA_ARRAY), (&bonds.1, T::TEXT_ARRAY)],
        )?;
        let grew = !roots.0.is_empty();
        all(
            "record the roots",
            roots.0.len(),
            "INSERT INTO note_roots (root, note_count) SELECT * FROM unnest($1, $2)",
            &[(&roots.0, T::BYTEA_ARRAY), (&roots.1, T::INT8_ARRAY)],
        )?;
        if grew {
            let (delete, oldest) = ("DELETE FROM note_roots WHERE note_count <= $1", bigint(oldest)?);
            transaction.execute_typed(delete, &[(&oldest, T::INT8)]).map_err(serving("forget old roots"))?;
        }
        let state = text(state)?;
        let update = "UPDATE ledger_state SET state = $1 WHERE one = 1";
        transaction.execute_typed(update, &[(&state, T::TEXT)]).map_err(serving("write its description"))?;
        Ok(())
    }
}

/// What a payee is owed: see [`owed`].
pub(super) const PAYEE: &str = "SELECT balance FROM payees WHERE payee = $1";
/// A payee's last claim.
pub(super) const LAST_CLAIM: &str = "SELECT claim FROM claims WHERE payee = $1";

/// A payee's stake.
pub(super) const BOND: &str = "SELECT bond FROM bonds WHERE payee = $1";

/// The amount in a row of [`PAYEE`].
pub(super) fn owed(row: &Row) -> Result<Credits, StoreError> {
    Credits::new(number(column(row, 0)?)?).map_err(|_| StoreError::Sum { sum: "account of a payee" })
}

/// Rows of a query inside a transaction.
pub(super) fn read(
    transaction: &mut Transaction<'_>,
    doing: &'static str,
    sql: &str,
    params: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, StoreError> {
    transaction.query_typed(sql, params).map_err(serving(doing))
}

/// Complete subtrees of the log, each by level and index, all of which exist.
pub(super) fn read_nodes(transaction: &mut Transaction<'_>, wanted: &[(u8, u64)]) -> Result<Vec<Bytes32>, StoreError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let levels: Vec<_> = wanted.iter().map(|(level, _)| i16::from(*level)).collect();
    let numbers = wanted.iter().map(|(_, number)| bigint(*number)).collect::<Result<Vec<_>, _>>()?;
    let sql = "SELECT hash FROM unnest($1, $2) WITH ORDINALITY AS wanted (level, number, place) \
               JOIN log_nodes USING (level, number) ORDER BY place";
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&levels, Type::INT2_ARRAY), (&numbers, Type::INT8_ARRAY)];
    let rows = read(transaction, "read the log tree", sql, &params)?;
    if rows.len() != wanted.len() {
        return Err(StoreError::Missing { record: "node of the log tree" });
    }
    rows.iter().map(|row| Ok(Bytes32(bytes32(row, 0)?))).collect()
}
