//! The operator's wall clock: the ledger needs it to end tabs.

use std::sync::Arc;

struct SystemClock;

impl ledger::Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where this program reads the wall clock")]
    fn now(&self) -> u64 {
        // Before 1970 there is no ledger to serve.
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}

/// The present time, for the simulated vendor's revocation list.
pub(crate) fn now() -> attestation::UnixTime {
    attestation::UnixTime(ledger::Clock::now(&SystemClock))
}

/// The operating system's clock.
pub(crate) fn system() -> Arc<dyn ledger::Clock> {
    Arc::new(SystemClock)
}
