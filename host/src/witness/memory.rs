//! What a witness has seen, on disk: the newest checkpoint it cosigned of each log.
//!
//! A checkpoint is on disk before its cosignature leaves. A witness whose memory is lost must not go on under its key: it would
//! cosign a log that was put back. So the directory says that it has one, and nothing starts without.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use attestation::Sha256Digest;

/// Folder of the checkpoints.
const SEEN: &str = "seen";

pub(super) struct Memory {
    folder: PathBuf,
    _lock: File,
}

impl Memory {
    /// Begins an empty one.
    pub(super) fn begin(dir: &Path) -> anyhow::Result<()> {
        let folder = dir.join(SEEN);
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        File::open(dir)?.sync_all().with_context(|| format!("write {}", dir.display()))
    }

    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let folder = dir.join(SEEN);
        let lock = File::open(&folder).with_context(|| {
            format!("open {}. A witness that has lost what it saw must not go on: make another", folder.display())
        })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder, _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!("another process is the witness in {}", dir.display()),
            Err(TryLockError::Error(error)) => Err(error).context("lock the witness"),
        }
    }

    /// The logs that were seen, and how far.
    pub(super) fn seen(dir: &Path) -> anyhow::Result<Vec<(String, u64)>> {
        let mut seen = Vec::new();
        for file in fs::read_dir(dir.join(SEEN)).context("read what was seen")? {
            let text = fs::read_to_string(file?.path())?;
            let mut lines = text.lines();
            if let (Some(origin), Some(Ok(size))) = (lines.next(), lines.next().map(str::parse)) {
                seen.push((origin.to_owned(), size));
            }
        }
        seen.sort();
        Ok(seen)
    }

    /// The newest checkpoint of this log, a note, if any was cosigned.
    pub(super) fn newest(&self, origin: &str) -> anyhow::Result<Option<String>> {
        match fs::read_to_string(self.file(origin)) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("read what was seen"),
        }
    }

    /// Remembers a newer one.
    pub(super) fn remember(&self, origin: &str, note: &str) -> anyhow::Result<()> {
        let path = self.file(origin);
        let new = path.with_extension("new");
        let mut file = File::create(&new).context("write what was seen")?;
        file.write_all(note.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        Ok(File::open(&self.folder)?.sync_all()?)
    }

    /// A name may hold any character; its digest is a file name.
    fn file(&self, origin: &str) -> PathBuf {
        self.folder.join(hex::encode(Sha256Digest::of(origin.as_bytes()).0))
    }
}
