//! Lock files: every input that comes from outside, by version and SHA-256.
//!
//! Decides: what may enter a build. A lock is data: [`crate::update`] writes it, everything else only reads it, and a build never asks an
//! archive what the newest version is. Names follow the archive: a package's `path` starts with the archive's own directory
//! (`debian/pool/…`), so that any mirror of it will do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use attestation::Sha256Digest;
use serde::{Deserialize, Serialize};

/// Version of this format.
pub const SCHEMA: &str = "cloister/image-lock/v1";

/// Largest lock file read.
pub const LOCK_BYTES_MAX: u64 = 16 << 20;

/// One Debian package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedDeb {
    /// What it is for: `tool`, `kernel-source`, `engine`, `firmware`, …
    pub role: String,
    /// Package name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Architecture.
    pub arch: String,
    /// Suite whose index named it.
    pub suite: String,
    /// Path below a mirror, with the archive's directory.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256, lowercase hex.
    pub sha256: String,
}

/// One Python wheel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedWheel {
    /// What it is for.
    pub role: String,
    /// Distribution name.
    pub name: String,
    /// Version.
    pub version: String,
    /// SHA-256, lowercase hex.
    pub sha256: String,
}

/// An input that is declared and cannot be fetched from where this lock was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unavailable {
    /// What it is for.
    pub role: String,
    /// What it is, with version.
    pub what: String,
    /// SHA-256 if its vendor publishes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Why it could not be fetched.
    pub why: String,
}

/// A lock file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// [`SCHEMA`].
    pub schema: String,
    /// Index of each suite the packages were chosen from: its `Date` and SHA-256, for whoever repeats the choice.
    pub suites: BTreeMap<String, SuiteIndex>,
    /// Debian packages, sorted.
    pub debs: Vec<LockedDeb>,
    /// Python wheels, sorted.
    #[serde(default)]
    pub wheels: Vec<LockedWheel>,
    /// What could not be had.
    #[serde(default)]
    pub unavailable: Vec<Unavailable>,
}

/// The signed index a choice was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteIndex {
    /// Its `Date` field.
    pub date: String,
    /// SHA-256 of the signed index.
    pub inrelease_sha256: String,
}

/// Why a lock cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// It cannot be read.
    #[error("read lock {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It is not of the required form.
    #[error("lock {path} is not valid")]
    Form {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A value makes no sense.
    #[error("lock {path}: {entry}: {problem}")]
    Entry {
        /// The file.
        path: PathBuf,
        /// Which entry.
        entry: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A package that the recipe needs is not in the lock.
    #[error(
        "the lock names no package {name:?} for {role}: add it to the package list and run `cloister-image lock update`"
    )]
    Missing {
        /// The package.
        name: String,
        /// Its role.
        role: String,
    },
}

impl Lock {
    /// Reads and checks a lock file.
    ///
    /// # Errors
    /// [`LockError`] when it is unreadable, malformed, or names one thing twice.
    pub fn load(path: &Path) -> Result<Self, LockError> {
        let read = |source| LockError::Read { path: path.into(), source };
        let len = std::fs::metadata(path).map_err(read)?.len();
        if len > LOCK_BYTES_MAX {
            return Err(LockError::Entry {
                path: path.into(),
                entry: format!("{len} bytes"),
                problem: "larger than 16 MiB",
            });
        }
        let text = std::fs::read(path).map_err(read)?;
        let lock: Self =
            serde_json::from_slice(&text).map_err(|source| LockError::Form { path: path.into(), source })?;
        lock.require_sensible(path)?;
        Ok(lock)
    }

    fn require_sensible(&self, path: &Path) -> Result<(), LockError> {
        let bad = |entry: &str, problem| Err(LockError::Entry { path: path.into(), entry: entry.to_owned(), problem });
        if self.schema != SCHEMA {
            return bad(&self.schema, "unknown schema");
        }
        let mut seen = std::collections::BTreeSet::new();
        for deb in &self.debs {
            if !is_sha256(&deb.sha256) {
                return bad(&deb.name, "sha256 is not 64 lowercase hex digits");
            }
            if deb.size == 0 {
                return bad(&deb.name, "size is zero");
            }
            let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
            if !deb.path.split('/').all(plain) || !deb.path.ends_with(".deb") {
                return bad(&deb.name, "path is not a plain relative path of a .deb");
            }
            if !seen.insert((&deb.role, &deb.name, &deb.arch)) {
                return bad(&deb.name, "named twice for one role");
            }
        }
        for wheel in &self.wheels {
            if !is_sha256(&wheel.sha256) {
                return bad(&wheel.name, "sha256 is not 64 lowercase hex digits");
            }
        }
        Ok(())
    }

    /// The packages for `role`.
    #[must_use]
    pub fn role(&self, role: &str) -> Vec<&LockedDeb> {
        self.debs.iter().filter(|deb| deb.role == role).collect()
    }

    /// The one package `name` for `role`.
    ///
    /// # Errors
    /// [`LockError::Missing`] when the lock does not have it.
    pub fn deb(&self, role: &str, name: &str) -> Result<&LockedDeb, LockError> {
        self.debs
            .iter()
            .find(|deb| deb.role == role && deb.name == name)
            .ok_or_else(|| LockError::Missing { name: name.to_owned(), role: role.to_owned() })
    }

    /// The lock file's text, as it is written.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("invariant: a lock has only string keys");
        text.push('\n');
        text
    }

    /// SHA-256 of the text, lowercase hex.
    #[must_use]
    pub fn digest(&self) -> String {
        Sha256Digest::of(self.to_json().as_bytes()).to_hex()
    }
}

/// Whether `text` is 64 lowercase hex digits.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::{Lock, LockError};

    fn load(text: &str) -> Result<Lock, LockError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Lock::load(file.path())
    }

    fn with_deb(change: impl Fn(&mut serde_json::Value)) -> Result<Lock, LockError> {
        let mut deb = serde_json::json!({
            "role": "engine", "name": "a", "version": "1", "arch": "amd64", "suite": "sid",
            "path": "debian/pool/main/a/a_1_amd64.deb", "size": 1, "sha256": "ab".repeat(32),
        });
        change(&mut deb);
        load(&serde_json::json!({"schema": super::SCHEMA, "suites": {}, "debs": [deb.clone()]}).to_string())
    }

    #[test]
    fn a_good_entry_is_read() {
        assert_eq!(with_deb(|_| {}).unwrap().role("engine").len(), 1);
    }

    #[test]
    fn bad_entries_are_named() {
        let rows: &[(&str, serde_json::Value, &str)] = &[
            ("sha256", "AB".repeat(32).into(), "sha256"),
            ("size", 0.into(), "size is zero"),
            ("path", "debian/../etc/a.deb".into(), "plain relative path"),
            ("path", "/debian/a.deb".into(), "plain relative path"),
            ("unknown", 1.into(), "not valid"),
        ];
        for (field, value, expected) in rows {
            let error = with_deb(|deb| deb[*field] = value.clone()).unwrap_err().to_string();
            assert!(error.contains(expected), "{field}: {error}");
        }
    }

    #[test]
    fn a_package_that_is_not_locked_says_what_to_do() {
        let error = with_deb(|_| {}).unwrap().deb("engine", "llama.cpp").unwrap_err().to_string();
        assert!(error.contains("lock update"), "{error}");
    }
}
