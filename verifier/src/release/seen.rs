//! What this machine has seen of release logs, so that nobody can show it an older state of things.
//!
//! Decides: whether a verified release is at least as new as the newest seen of its flavour and mode, and whether its log is the
//! log seen before, grown. Trusts on entry: the file, which is the user's. Holds on exit: the file changes only after a release
//! passed every check, whole or not at all; two processes do not use it at once. The first release of a log is believed: there is
//! nothing to compare it with, and the transcript says so.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use attestation::{Hex32, Transcript};
use credits::Bytes32;
use serde::{Deserialize, Serialize};
use tlog::{Checkpoint, LogFault};

use super::entry::Version;
use super::error::ReleaseError;
use super::verify::{VerifiedRelease, step};
use crate::config::{ConfigError, data_dir};
use crate::files::{FileError, create_private_dir, read_capped, write_private};

/// Value of the file's `schema`.
pub const SEEN_SCHEMA: &str = "cloister/seen-releases/v1";
/// Largest file that is read.
const SEEN_BYTES_MAX: u64 = 1024 * 1024;
/// Name of the file in the data directory.
const SEEN_FILE: &str = "seen-releases.json";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    schema: String,
    /// By the text of the log's key.
    logs: BTreeMap<String, SeenLog>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeenLog {
    size: u64,
    root: Bytes32,
    /// By flavour and mode.
    newest: BTreeMap<String, SeenRelease>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeenRelease {
    version: Version,
    entry_sha256: Hex32,
}

/// The record of what was seen, locked for this process.
#[derive(Debug)]
pub struct SeenReleases {
    path: PathBuf,
    seen: Seen,
    _lock: File,
}

/// Where the record is kept when the user names no place.
///
/// # Errors
/// When there is no data directory.
pub fn default_path() -> Result<PathBuf, ConfigError> {
    Ok(data_dir()?.join(SEEN_FILE))
}

impl SeenReleases {
    /// Reads the record, or begins one. Waits for another process that uses it.
    ///
    /// # Errors
    /// [`ReleaseError::File`] or [`ReleaseError::SeenDamaged`]; a record that cannot be read is never taken for an empty one.
    pub fn open(path: &Path) -> Result<Self, ReleaseError> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        create_private_dir(directory).map_err(ReleaseError::File)?;
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock_path = PathBuf::from(lock_path);
        let failed = |source| ReleaseError::File(FileError::Io { action: "lock", path: lock_path.clone(), source });
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock_path).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let seen = match read_capped(path, SEEN_BYTES_MAX) {
            Ok(bytes) => parse(&bytes).map_err(|problem| ReleaseError::SeenDamaged { path: path.into(), problem })?,
            Err(error) if error.is_not_found() => Seen { schema: SEEN_SCHEMA.to_owned(), logs: BTreeMap::new() },
            Err(error) => return Err(ReleaseError::File(error)),
        };
        Ok(Self { path: path.to_owned(), seen, _lock: lock })
    }

    /// Refuses a release that is older than one seen before, and a log that is not the one seen before; then remembers both,
    /// durably.
    ///
    /// # Errors
    /// See [`ReleaseError`]. The record is then unchanged.
    pub fn admit(mut self, release: &VerifiedRelease, transcript: &mut Transcript) -> Result<(), ReleaseError> {
        let key = release.log().to_string();
        let (entry, head) = (release.entry(), release.head());
        let kind = entry.kind();
        let mut newest = BTreeMap::new();
        if let Some(log) = self.seen.logs.get(&key) {
            let fresh = not_older(log.newest.get(&kind), release);
            step(transcript, "release.not_older", fresh, Clone::clone)?;
            let grown = extends(Checkpoint { size: log.size, root: log.root }, release);
            step(transcript, "release.log_growth", grown, Clone::clone)?;
            newest.clone_from(&log.newest);
        } else {
            transcript.skip("release.not_older", "nothing was seen of this log before");
            transcript.skip("release.log_growth", "nothing was seen of this log before");
        }
        newest.insert(kind, SeenRelease { version: entry.version, entry_sha256: release.entry_sha256() });
        self.seen.logs.insert(key, SeenLog { size: head.size, root: head.root, newest });
        let mut bytes = serde_json::to_vec_pretty(&self.seen).expect("invariant: texts are JSON");
        bytes.push(b'\n');
        write_private(&self.path, &bytes).map_err(ReleaseError::File)
    }
}

fn parse(bytes: &[u8]) -> Result<Seen, String> {
    let seen: Seen = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if seen.schema != SEEN_SCHEMA { Err(format!("its schema is not {SEEN_SCHEMA}")) } else { Ok(seen) }
}

fn not_older(newest: Option<&SeenRelease>, release: &VerifiedRelease) -> Result<String, ReleaseError> {
    let (kind, got) = (release.entry().kind(), release.entry().version);
    let Some(SeenRelease { version: seen, entry_sha256 }) = newest.cloned() else {
        return Ok(format!("{got} is the first of {kind}"));
    };
    match got.cmp(&seen) {
        std::cmp::Ordering::Less => Err(ReleaseError::OlderThanSeen { kind, got, seen }),
        // A log that holds two releases of one version shows different people different ones.
        std::cmp::Ordering::Equal if entry_sha256 != release.entry_sha256() => {
            Err(ReleaseError::DiffersFromSeen { kind, version: got })
        }
        std::cmp::Ordering::Equal => Ok(format!("{got} is the newest seen of {kind}")),
        std::cmp::Ordering::Greater => Ok(format!("{got} follows {seen} of {kind}")),
    }
}

fn extends(old: Checkpoint, release: &VerifiedRelease) -> Result<String, ReleaseError> {
    let new = release.head();
    if new.size < old.size {
        return Err(ReleaseError::LogSmaller { got: new.size, seen: old.size });
    }
    if new.size == old.size {
        let forked: ReleaseError = LogFault::Forked { got: new.size, seen: old.size }.into();
        return if new.root == old.root { Ok(format!("{} entries, as before", new.size)) } else { Err(forked) };
    }
    let missing = ReleaseError::ConsistencyMissing { got: new.size, seen: old.size };
    release.growth_from(old.size).ok_or(missing)?.verify(&old, &new)?;
    Ok(format!("from {} to {} entries", old.size, new.size))
}
