//! Where the ledger reads the time.

/// A clock in Unix seconds. Binaries implement it over the system clock, tests over a number they set.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> u64;
}
