//! The wall clock, for tests that meet live evidence.

use attestation::{Clock, UnixTime};

/// The operating system's clock.
#[derive(Debug, Clone, Copy)]
pub struct WallClock;

impl Clock for WallClock {
    #[allow(clippy::disallowed_methods, reason = "live evidence is judged at the present time")]
    fn now(&self) -> UnixTime {
        UnixTime(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs())
    }
}
