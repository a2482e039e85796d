//! Cloister's relying party: verify a confidential LLM node, pay it anonymously, and check what it signed.
//!
//! The paved path, which the types enforce:
//!
//! 1. [`Channel::open`] connects. The node has proved nothing yet.
//! 2. [`Channel::verify`] appraises evidence bound to that very connection: a [`VerifiedChannel`].
//! 3. [`Session::open`] fetches the signed offer. A session is the only type that can send a prompt.
//! 4. [`Payer::open_tab`] reserves credits with a zero-knowledge spend: a [`Tab`].
//! 5. [`Session::chat`] or [`Session::infer`] sends a request under the tab; the answer counts once its receipt is verified.
//! 6. [`Payer::close_tab`] settles; the refund comes back to the wallet.
//!
//! [`open_session`] does the first three in one call. Wire formats are those of `docs/protocol.md`.

pub mod appraisal;
pub mod audit;
pub mod bundle;
pub mod clock;
pub mod config;
pub mod connect;
pub mod error;
pub mod estimate;
pub mod event_gate;
pub mod exchange;
pub mod fetch;
pub mod files;
pub mod ledger_evidence;
pub mod logged;
pub mod merge;
pub mod open;
pub mod payment;
mod proving_keys;
pub mod proxy;
pub mod receipts;
pub mod refusals;
pub mod release;
pub mod session;
pub mod sse;
pub mod standing;
pub mod tab;
pub mod target;
pub mod tls;
pub mod verify;
pub mod wallet_files;
pub mod wallet_store;
pub mod withdraw;

pub use bundle::ReceiptBundle;
pub use clock::SystemClock;
pub use connect::Channel;
pub use error::{Error, Exit};
pub use exchange::{Answer, Exchange, InferenceRequest, Refusal, Reply};
pub use logged::{Logged, WitnessTrust};
pub use open::{open_session, verify_node};
pub use payment::{AheadProgress, Amount, ClosedTab, Payer, Stage};
pub use proxy::{Proxy, ProxyConfig};
pub use session::Session;
pub use tab::Tab;
pub use target::NodeUrl;
pub use verify::{Trust, VerifiedChannel};
pub use wallet_store::{LedgerRecord, RecoveryWords, WalletStore};
