//! What is fuzzed: one function per parser, each taking any bytes and returning whatever the verdict.
//!
//! Decides: nothing. A target fails by panicking, by not returning, or by breaking a property it asserts. Verification
//! runs as far as the bytes carry it, so that code behind a parser sees what a parser lets through.

mod fixed;
mod paying;
mod targets;

pub use targets::TARGETS;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is its corpus directory.
    pub name: &'static str,
    /// What it does with bytes.
    pub run: fn(&[u8]),
}

/// The target called `name`.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
