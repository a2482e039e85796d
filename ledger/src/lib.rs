//! Ledgers: the rules of [`credits::state`] over a store, and the service in front of it.
//!
//! The ledger is the money: it verifies every signature and proof itself, whatever its callers verified before.
//! `docs/protocol.md` §4.

pub mod clock;
pub mod committed;
pub mod directory;
pub mod durable;
pub mod engine;
pub mod error;
pub mod identity;
pub mod memory;
pub mod postgres_store;
pub mod proof_queue;
pub mod redb_store;
pub mod service;
pub mod spend_verifier;
pub mod storage;
pub mod transitions;
pub mod witnessed;

mod answers;
mod group;
mod hash_ahead;
mod merging;
mod record;
mod reserved_lately;
mod standing;

pub use clock::Clock;
pub use directory::{
    DirectoryError, InitOptions, MergeSource, OpenLedger, Parameters, PostgresOptions, init, issue_voucher, open,
};
pub use durable::DurableLedger;
pub use engine::StoredLedger;
pub use error::StoreError;
pub use identity::{IdentityError, LedgerIdentity};
pub use memory::VolatileLedger;
pub use postgres_store::PostgresServer;
pub use service::{PublishedKeys, PublishedParams, ServeError, router, serve};
pub use spend_verifier::{SpendVerifier, Verifiers};
pub use storage::{Heads, Totals};
pub use transitions::MINTED_TOTAL_MAX;
pub use witnessed::{LogHead, WitnessedHead};
