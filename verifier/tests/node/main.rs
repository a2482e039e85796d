//! The library and the program against a node that can misbehave in one way at a time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod answers;
mod appraise;
mod fake;
mod program;
mod tls;
mod verdicts;
