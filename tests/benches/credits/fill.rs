//! Fills a ledger with spends that are over, past the rules: each with its two entries of the log, its record, its successor.
//!
//! Written in the tables' own format, because ten million spends through the ledger's front take hours. That the ledger
//! takes what is written here for its own is asserted when it is opened. Nullifiers come in ascending order, which fills a
//! tree faster than the random ones of real spends.

use std::path::Path;

use credits::merkle::LogFrontier;
use credits::state::{ReservedSpend, SpendOutcome, SpendState};
use credits::{Bytes32, Leaf, LogEntry, NoteFrontier, Root, SettleEntry, SettledBy, SignatureBytes};
use ledger::{Heads, Totals};
use redb::{Database, TableDefinition};
use serde::Serialize;

use crate::world::{RESERVED, credits, element, info, payee, spend};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
const NODES: TableDefinition<'_, (u8, u64), &[u8; 32]> = TableDefinition::new("nodes");
const SPENDS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("spends");
const INNERS: TableDefinition<'_, &[u8; 32], &[u8; 32]> = TableDefinition::new("inners");
const PAYEES: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("payees");

/// Spends of one transaction.
const TRANSACTION: u64 = 50_000;
const CACHE_BYTES: usize = 1 << 30;
/// What each spend is charged.
const CHARGE: u64 = 400;

/// The ledger's description of where it stands.
#[derive(Serialize)]
struct Meta {
    ledger_id: Bytes32,
    log: LogFrontier,
    notes: NoteFrontier,
    totals: Totals,
    heads: Heads,
}

/// A ledger's book, as far as it is filled.
pub(crate) struct Filled {
    log: LogFrontier,
    notes: NoteFrontier,
    root: Root,
    spends: u64,
}

/// What one spend leaves.
pub(crate) struct Rows {
    pub(crate) nullifier: [u8; 32],
    pub(crate) inner_next: [u8; 32],
    pub(crate) state: Vec<u8>,
    /// With their positions.
    pub(crate) entries: [(u64, Vec<u8>); 2],
    /// Level, number and hash of each subtree of the log that is complete with it.
    pub(crate) nodes: Vec<(u8, u64, Bytes32)>,
}

impl Filled {
    pub(crate) fn new() -> Self {
        let notes = NoteFrontier::new();
        Self { log: LogFrontier::new(), root: notes.root(), notes, spends: 0 }
    }

    /// One more spend.
    pub(crate) fn add(&mut self) -> Rows {
        let request = spend(&info(), self.root, self.spends);
        self.spends += 1;
        let (charge, refund) = (credits(CHARGE), credits(RESERVED - CHARGE));
        // Any leaf: nobody replays this log.
        let leaf = Leaf(element(7, self.spends));
        let leaf_index = self.notes.append(leaf).unwrap();
        let (nullifier, inner_next) = (request.nullifier, request.inner_next);
        let by = SettledBy::Guardian;
        let signature = Some(SignatureBytes([8; 64]));
        let mut nodes = Vec::new();
        let mut append = |entry: &LogEntry| {
            let position = self.log.size();
            self.log.append_with(entry.leaf_hash(), |level, number, hash| nodes.push((level, number, hash)));
            (position, serde_json::to_vec(entry).unwrap())
        };
        let reserved = append(&LogEntry::Reserve(request.entry()));
        let settled = SettleEntry { nullifier, charge, refund, leaf_index, leaf, by, signature };
        let settled = append(&LogEntry::Settle(settled));
        let spend = ReservedSpend {
            inner_next,
            c_max: request.c_max,
            context: request.context,
            entry_index: reserved.0,
            journalled: None,
        };
        let outcome = SpendOutcome { charge, refund, leaf, leaf_index, entry_index: settled.0, rated: None };
        let state = serde_json::to_vec(&SpendState::Settled { spend, outcome, by }).unwrap();
        let (nullifier, inner_next) = (*nullifier.as_bytes(), *inner_next.as_bytes());
        Rows { nullifier, inner_next, state, entries: [reserved, settled], nodes }
    }

    /// The description, and what the payee of all spends is owed.
    pub(crate) fn end(&self) -> (Vec<u8>, u64) {
        let Self { log, notes, spends, .. } = self;
        let owed = CHARGE * spends;
        let heads =
            Heads { log_size: log.size(), log_root: log.root(), note_count: notes.len(), note_root: notes.root() };
        let totals = Totals { minted: credits(RESERVED * spends), owed: credits(owed), ..Totals::default() };
        let ledger_id = info().ledger_id;
        let meta = Meta { ledger_id, log: log.clone(), notes: notes.clone(), totals, heads };
        (serde_json::to_vec(&meta).unwrap(), owed)
    }
}

/// Fills a file that the store made. The last transaction ends as the store's own do; the database is not closed.
pub(crate) fn fill_file(path: &Path, spends: u64) -> anyhow::Result<()> {
    let database = Database::builder().set_cache_size(CACHE_BYTES).open(path)?;
    let mut filled = Filled::new();
    while filled.spends < spends {
        let mut transaction = database.begin_write()?;
        transaction.set_two_phase_commit(true);
        // Only the last, on which opening depends: what the others say about free pages nobody reads.
        transaction.set_quick_repair(spends - filled.spends <= TRANSACTION);
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            let mut nodes = transaction.open_table(NODES)?;
            let mut states = transaction.open_table(SPENDS)?;
            let mut inners = transaction.open_table(INNERS)?;
            for _ in 0..TRANSACTION.min(spends - filled.spends) {
                let rows = filled.add();
                for (position, entry) in &rows.entries {
                    entries.insert(position, entry.as_slice())?;
                }
                for (level, number, hash) in &rows.nodes {
                    nodes.insert((*level, *number), hash.as_bytes())?;
                }
                states.insert(&rows.nullifier, rows.state.as_slice())?;
                inners.insert(&rows.inner_next, &rows.nullifier)?;
            }
            let (meta, owed) = filled.end();
            transaction.open_table(META)?.insert("ledger", meta.as_slice())?;
            transaction.open_table(PAYEES)?.insert(payee().as_bytes(), owed)?;
        }
        transaction.commit()?;
    }
    std::mem::forget(database);
    Ok(())
}
