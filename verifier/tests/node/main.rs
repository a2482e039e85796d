//! The library and the program against a node that can misbehave in one way at a time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod answers;
mod appraise;
mod audit;
mod fake;
mod program;
mod release;
mod tls;
mod verdicts;
