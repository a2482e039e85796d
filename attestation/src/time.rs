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

    /// A date and time of RFC 3339 in its strictest form, `YYYY-MM-DDThh:mm:ssZ`, from 1970 on.
    pub(crate) fn from_rfc3339(text: &str) -> Option<Self> {
        let bytes: [u8; 20] = text.as_bytes().try_into().ok()?;
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2, b'Z'] = bytes else {
            return None;
        };
        let (year, month, day) = (decimal(&[y1, y2, y3, y4])?, decimal(&[m1, m2])?, decimal(&[d1, d2])?);
        let (hour, minute, second) = (decimal(&[h1, h2])?, decimal(&[n1, n2])?, decimal(&[s1, s2])?);
        let february = if is_leap(year) { 29 } else { 28 };
        let lengths: [u64; 12] = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let months_before = usize::try_from(month.checked_sub(1)?).ok()?;
        let length = *lengths.get(months_before)?;
        let in_range = year >= 1970 && (1..=length).contains(&day) && hour < 24 && minute < 60 && second < 60;
        if !in_range {
            return None;
        }
        // Four digits of year and the ranges above keep every product far below 2^64.
        let days: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum::<u64>()
            + lengths.iter().take(months_before).sum::<u64>()
            + (day - 1);
        Some(Self(days * 86_400 + hour * 3600 + minute * 60 + second))
    }

    /// Seconds from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn secs_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

fn is_leap(year: u64) -> bool {
    (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
}

/// The value of at most four decimal digits.
fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + u64::from(digit.saturating_sub(b'0')))
    })
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

#[cfg(test)]
mod tests {
    use super::UnixTime;

    #[test]
    fn only_the_strictest_form_of_a_date_is_read() {
        let read = |text| UnixTime::from_rfc3339(text).map(|time| time.0);
        assert_eq!(read("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(read("2000-02-29T12:34:56Z"), Some(951_827_696));
        assert_eq!(read("2026-06-01T00:00:00Z"), Some(1_780_272_000));
        assert_eq!(read("9999-12-31T23:59:59Z"), Some(253_402_300_799));
        for bad in [
            "",
            "2026-06-01",
            "1969-12-31T23:59:59Z",
            "2026-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-06-00T00:00:00Z",
            "2026-06-31T00:00:00Z",
            "2026-06-01T24:00:00Z",
            "2026-06-01T00:60:00Z",
            "2026-06-01T00:00:60Z",
            "2026-06-01t00:00:00Z",
            "2026-06-01T00:00:00z",
            "2026-06-01T00:00:00.0Z",
            "2026-06-01T00:00:00+00:00",
            "+026-06-01T00:00:00Z",
            "2026-06-01T00:00:00Z ",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
