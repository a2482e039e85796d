//! Verdicts and digests held against those of other libraries.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod comparison;
mod constructed;
mod launch;
mod snp;
mod tdx;
