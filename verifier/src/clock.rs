//! The one place of this crate that reads the clock. Everything else takes a [`Clock`].

use std::time::{SystemTime, UNIX_EPOCH};

use attestation::{Clock, UnixTime};

/// The machine's wall clock. Freshness never rests on it: it comes from nonces.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the client judges certificate dates by its own clock, read here and nowhere else"
    )]
    fn now(&self) -> UnixTime {
        UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

/// Reads a point in time: Unix seconds, or `YYYY-MM-DDTHH:MM:SSZ`.
#[must_use]
pub fn parse_time(text: &str) -> Option<UnixTime> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(UnixTime);
    }
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers::<3>(date, '-')?;
    let [hour, minute, second] = numbers::<3>(time, ':')?;
    let in_range =
        (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
    if !in_range || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(UnixTime(((days_before(year, month) + day - 1) * 24 + hour) * 3600 + minute * 60 + second))
}

/// The inverse of [`parse_time`], for people.
#[must_use]
pub fn format_time(time: UnixTime) -> String {
    let (mut days, seconds) = (time.0 / 86_400, time.0 % 86_400);
    let mut year = 1970;
    while days >= year_days(year) && year < 9999 {
        days -= year_days(year);
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days >= month_days(year, month) {
        days -= month_days(year, month);
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}Z", days + 1, seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn numbers<const N: usize>(text: &str, separator: char) -> Option<[u64; N]> {
    let parsed: Option<Vec<u64>> = text
        .split(separator)
        .map(|part| if part.len() >= 2 && part.bytes().all(|b| b.is_ascii_digit()) { part.parse().ok() } else { None })
        .collect();
    parsed?.try_into().ok()
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn year_days(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn month_days(year: u64, month: u64) -> u64 {
    match month {
        2 => {
            if is_leap(year) {
                29
            } else {
                28
            }
        }
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_before(year: u64, month: u64) -> u64 {
    (1970..year).map(year_days).sum::<u64>() + (1..month).map(|m| month_days(year, m)).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_printed() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:30:15Z", 951_827_415),
            ("2026-11-22T21:00:00Z", 1_795_381_200),
        ] {
            assert_eq!(parse_time(text), Some(UnixTime(seconds)));
            assert_eq!(format_time(UnixTime(seconds)), text);
        }
        assert_eq!(parse_time("1795381200"), Some(UnixTime(1_795_381_200)));
        for bad in [
            "",
            "now",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01",
            "-1",
            "2026-1-01T00:00:00Z",
        ] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}
