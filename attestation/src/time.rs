//! Unix time as a type, and the clock as an argument.
//!
//! Decides: nothing by itself. Verdicts depend on time, so every function that needs it takes a [`UnixTime`];
//! only binaries own a [`Clock`] that reads the machine's.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::jcs::SAFE_INTEGER_MAX;

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// This time plus `secs`, or the end of time.
    #[must_use]
    pub fn saturating_add(self, secs: u64) -> Self {
        Self(self.0.saturating_add(secs))
    }

    /// Seconds from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn secs_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for UnixTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let secs = u64::deserialize(deserializer)?;
        // A time that JCS cannot carry could be received but never signed or hashed (protocol.md §1).
        if secs > SAFE_INTEGER_MAX {
            return Err(D::Error::custom("a time is at most 2^53-1 seconds"));
        }
        Ok(Self(secs))
    }
}

/// Where a binary gets the time from. Libraries take [`UnixTime`] or this trait, never the system clock.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> UnixTime;
}
