//! All acceptance tests, in one binary.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod abuse;
mod aci;
mod ahead;
mod batching;
mod canary;
mod certificates;
mod checks;
mod claims;
mod collateral;
mod crash;
mod crowd;
mod described;
mod draining;
mod embeddings;
mod gpu;
mod hostile_engine;
mod http_abuse;
mod http_signatures;
mod kernel_reports;
mod layering;
mod leaks;
mod ledger_kills;
mod ledger_process;
mod ledger_witnesses;
mod licences;
mod limits;
mod machine;
mod merges;
mod metrics;
mod money;
mod oblivious;
mod openai;
mod race;
mod receipt_log;
mod recorded;
mod sev_guest;
mod shape;
mod stakes;
mod starting;
mod tidy;
mod tinfoil;
mod tls_scanners;
mod trust;
mod withdrawals;
