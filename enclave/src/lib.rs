//! The guardian. A request passes these files in order:
//!
//! 1. `listener.rs` accepts, finishes TLS 1.3 (`certificate.rs`), limits connections and computes the channel exporter
//! 2. `routes.rs` is the route table; what comes sealed is opened by `sealed/` before
//! 3. `request.rs` turns bytes into an allow-listed request of an `endpoint.rs`; `responses/` and `messages/` are chats in another form,
//!    `embeddings.rs` vectors of texts
//! 4. `admission.rs` opens a tab (spend proof → reservation) and authenticates requests under it
//! 5. `inference.rs` speaks to the engine on its Unix socket; `engine_body.rs` is an answer as it arrives, `chunk.rs` what it says
//! 6. `stream.rs` relays and meters, `plain.rs` answers at once; `output.rs` sends and hashes, `shaping.rs` says how that looks from outside
//! 7. `settlement.rs` journals running totals and settles tabs
//! 8. `receipt.rs` signs what was done, `receipt_log/` has it logged and witnessed
//!
//! Invariant: a prompt reaches the engine only after its payer's nullifier is durably reserved at the ledger.
//! Deliberately absent: a simulated mode, state on a disk of its own, any log line made from a request or a response.

pub mod aci;
pub mod activity;
pub mod admission;
pub mod attestation_api;
pub mod attester;
pub mod batcher;
pub mod boot;
pub mod calls;
pub mod canary;
pub mod certificate;
pub mod chunk;
pub mod clock;
pub mod config;
pub mod embeddings;
pub mod endpoint;
pub mod engine_body;
pub mod gpu;
pub mod hardening;
pub mod inference;
pub mod keys;
pub mod ledger_watch;
pub mod limits;
pub mod line_service;
pub mod listener;
pub mod log_api;
pub mod messages;
pub mod metrics;
pub mod openapi;
pub mod output;
mod past_tabs;
pub mod payload;
mod plain;
pub mod problem;
pub mod receipt;
pub mod receipt_log;
pub mod receipts;
pub mod recount;
pub mod request;
pub mod request_rest;
pub mod responses;
pub mod routes;
pub mod said;
pub mod sealed;
pub mod settlement;
pub mod shaping;
pub mod sse;
pub mod state;
pub mod stream;
pub mod tabs;
pub mod telemetry;
pub mod telling;
pub mod vsock;
