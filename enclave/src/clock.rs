//! The guardian's clock. The host controls it, so nothing that protects a client rests on it (decision 9): it decides
//! when a tab stops taking requests and what `served_at` says.

use std::sync::Arc;

use attestation::{Clock, UnixTime};

struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the guardian reads the wall clock")]
    fn now(&self) -> UnixTime {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        UnixTime(since_epoch.as_secs())
    }
}

/// The operating system's wall clock.
#[must_use]
pub fn system() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}
