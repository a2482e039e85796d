//! What a witness has seen, on disk: the newest checkpoint it cosigned of each log.
//!
//! A checkpoint is on disk before its cosignature leaves. A witness that has lost what it saw must not go on under its key: it would
//! cosign a log that was put back. So each log that is known has a file from the beginning, and nothing starts without it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use attestation::Sha256Digest;

/// Folder of the checkpoints: one file for each log, empty while nothing was seen.
const SEEN: &str = "seen";
/// Names of the logs that have a file, a line each.
const KNOWN: &str = "known";

pub(super) struct Memory {
    folder: PathBuf,
    _lock: File,
}

impl Memory {
    /// Begins an empty one.
    pub(super) fn begin(dir: &Path) -> anyhow::Result<()> {
        let folder = dir.join(SEEN);
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        File::create_new(dir.join(KNOWN)).and_then(|file| file.sync_all()).context("write what is known")?;
        sync(dir)
    }

    /// Takes it up, for these logs.
    pub(super) fn open<'a>(dir: &Path, logs: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Self> {
        let folder = dir.join(SEEN);
        let lock = File::open(dir.join(KNOWN)).with_context(|| lost(dir))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another process is the witness in {}", dir.display()),
            Err(TryLockError::Error(error)) => return Err(error).context("lock the witness"),
        }
        cut_torn_name(dir)?;
        let memory = Self { folder, _lock: lock };
        let known: BTreeSet<String> = known(dir)?.into_iter().collect();
        if let Some(missing) = known.iter().find(|origin| !memory.file(origin).is_file()) {
            bail!("what was seen of {missing} is gone. {}", lost(dir));
        }
        for origin in logs {
            if !known.contains(origin) {
                // One that is there is never emptied: it may say more than the list of names does.
                let file = OpenOptions::new().append(true).create(true).open(memory.file(origin));
                file.and_then(|file| file.sync_all()).context("write what was seen")?;
                sync(&memory.folder)?;
                let mut names = OpenOptions::new().append(true).open(dir.join(KNOWN))?;
                names.write_all(format!("{origin}\n").as_bytes())?;
                names.sync_all()?;
            }
            // A process before this one may have failed to sync it: what is read may not be on the disk.
            if let Some(note) = memory.newest(origin)? {
                memory.remember(origin, &note)?;
            }
        }
        Ok(memory)
    }

    /// The logs that are known, and how far they were seen.
    pub(super) fn seen(dir: &Path) -> anyhow::Result<Vec<(String, u64)>> {
        let size = |origin: String| {
            let text = fs::read_to_string(dir.join(SEEN).join(file_name(&origin)))?;
            let size = text.lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or(0);
            Ok((origin, size))
        };
        known(dir)?.into_iter().map(size).collect()
    }

    /// The newest checkpoint of this log, a note, if any was cosigned.
    pub(super) fn newest(&self, origin: &str) -> anyhow::Result<Option<String>> {
        let note = fs::read_to_string(self.file(origin)).context("read what was seen")?;
        Ok((!note.is_empty()).then_some(note))
    }

    /// Remembers a newer one. When that fails, what is on the disk is not known: the process must not go on.
    pub(super) fn remember(&self, origin: &str, note: &str) -> anyhow::Result<()> {
        let path = self.file(origin);
        let new = path.with_extension("new");
        let mut file = File::create(&new).context("write what was seen")?;
        file.write_all(note.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        sync(&self.folder)
    }

    fn file(&self, origin: &str) -> PathBuf {
        self.folder.join(file_name(origin))
    }
}

/// A name may hold any character; its digest is a file name.
fn file_name(origin: &str) -> String {
    hex::encode(Sha256Digest::of(origin.as_bytes()).0)
}

fn known(dir: &Path) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(dir.join(KNOWN)).with_context(|| lost(dir))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// A name whose line does not end was not finished, and its log was not served yet.
fn cut_torn_name(dir: &Path) -> anyhow::Result<()> {
    let path = dir.join(KNOWN);
    let names = fs::read(&path).with_context(|| lost(dir))?;
    let whole = names.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < names.len() {
        let file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(u64::try_from(whole)?)?;
        file.sync_all()?;
    }
    Ok(())
}

fn lost(dir: &Path) -> String {
    format!(
        "A witness that has lost what it saw must not go on: restore the newest state of {} (an older one is as bad as none), or make \
         another witness",
        dir.display()
    )
}

fn sync(dir: &Path) -> anyhow::Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| format!("write {}", dir.display()))
}
