//! The contracts on an EVM, against the `credits` crate: its hashes, its tree, its proofs, its rules.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod anchors;
mod books;
mod cap;
mod chain;
mod fixture;
mod full;
mod gas;
mod ledger;
mod primitives;
mod reorganised;
mod rules;
mod schedules;
mod settlement;
mod stake;
mod suite;
mod vectors;
mod world;
