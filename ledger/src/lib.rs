//! Ledgers: the rules of [`credits::state`] over a store, and the service in front of it.
//!
//! The ledger is the money: it verifies every signature and proof itself, whatever its callers verified before.
//! `docs/protocol.md` §4.

pub mod clock;
pub mod directory;
pub mod engine;
pub mod error;
pub mod identity;
pub mod memory;
pub mod redb_store;
pub mod service;
pub mod spend_verifier;
pub mod storage;
pub mod transitions;

mod answers;

pub use clock::Clock;
pub use directory::{DirectoryError, InitOptions, OpenLedger, init, issue_voucher, open};
pub use engine::StoredLedger;
pub use error::StoreError;
pub use identity::{IdentityError, LedgerIdentity};
pub use memory::VolatileLedger;
pub use redb_store::RedbLedger;
pub use service::{PublishedParams, ServeError, router, serve};
pub use spend_verifier::SpendVerifier;
pub use storage::{Heads, Totals};
pub use transitions::MINTED_TOTAL_MAX;
