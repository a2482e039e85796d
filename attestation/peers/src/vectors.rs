//! The vectors of the repository: where they are, their indexes, and times as they are written there.

use std::fs;
use std::path::{Path, PathBuf};

use attestation::{AppraisalPolicy, UnixTime};
use serde::de::DeserializeOwned;

/// The policy for captures, which waives nearly everything already.
const CAPTURED_POLICY: &str = include_str!("../../policies/captured.toml");

/// What it still checks and a policy may waive.
const STILL_CHECKED: &[(&str, &[&str])] = &[
    ("[snp.report]", &["vlek_csp_ids", "vmpl"]),
    ("[snp.guest]", &["debug", "migration_agent", "cxl"]),
    ("[tdx.quote]", &["service_tds"]),
    ("[tdx.attributes]", &["debug", "reserved", "migratable", "xfam_allowed"]),
];

/// The policy that waives everything a policy can waive: what it still refuses is not genuine, or not for this time. It
/// exists to be compared with libraries that have no policy.
#[must_use]
pub fn waived_policy() -> AppraisalPolicy {
    let (mut section, mut waived, mut text) = ("", 0, String::new());
    for line in CAPTURED_POLICY.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let key = line.split_once(" = ").map(|(key, _)| key);
        let is_checked = |(of, keys): &(&str, &[&str])| *of == section && key.is_some_and(|key| keys.contains(&key));
        if let (Some(key), true) = (key, STILL_CHECKED.iter().any(is_checked)) {
            text.push_str(&format!("{key} = \"unchecked\"\n"));
            waived += 1;
        } else {
            text.push_str(&format!("{line}\n"));
        }
    }
    assert_eq!(waived, STILL_CHECKED.iter().map(|(_, keys)| keys.len()).sum::<usize>(), "each item stands once");
    AppraisalPolicy::from_toml(&text).unwrap()
}

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A path below `tests/vectors`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    repository().join("tests/vectors").join(name)
}

/// A file below `tests/vectors`.
#[must_use]
pub fn file(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The entries of an index.
#[must_use]
pub fn index<T: DeserializeOwned>(area: &str) -> Vec<T> {
    serde_json::from_slice(&file(&format!("{area}/index.json"))).unwrap()
}

/// `2026-06-01T00:00:00Z`, `…+00:00`, or the same with a blank for the `T`, in Unix seconds.
#[must_use]
pub fn unix_time(text: &str) -> UnixTime {
    assert!(text.ends_with('Z') || text.ends_with("+00:00"), "{text}");
    let number = |from: usize, to: usize| text.get(from..to).unwrap().parse::<u64>().unwrap();
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    // Years that begin in March, whose leap day is their last; 719468 is the number of days from year 0 to 1970.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    UnixTime(days * 86_400 + number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19))
}
