//! All acceptance tests, in one binary.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod abuse;
mod checks;
mod claims;
mod crash;
mod layering;
mod licences;
mod money;
mod openai;
mod starting;
mod tidy;
mod trust;
