//! Files that hold money or its traces: whole or not there, and readable by their owner only.
//!
//! Decides: when a write counts (after the rename, and after both file and directory reached the disk). Trusts on entry: the
//! local file system. Holds on exit: a reader sees the old bytes or the new ones, never a mixture, also after a power cut.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// An operation failed.
    #[error("{action} {}", path.display())]
    Io {
        /// What was done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is longer than such a file may be.
    #[error("{} has more than {limit} bytes", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
}

impl FileError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the file is simply not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

/// Whether others than its owner may do anything with a file.
///
/// # Errors
/// When it cannot be looked at.
pub fn is_open_to_others(path: &Path) -> Result<bool, FileError> {
    let metadata = std::fs::metadata(path).map_err(FileError::io("look at", path))?;
    Ok(metadata.permissions().mode() & 0o077 != 0)
}

/// Makes a directory, and its parents, that only its owner can enter.
///
/// # Errors
/// When that fails.
pub fn create_private_dir(path: &Path) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(FileError::io("create", path))
}

/// Replaces a file: temporary file, fsync, rename, fsync of the directory.
///
/// # Errors
/// When any step fails; the old file is then still there.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_private_dir(directory)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = directory.join(name);
    let written = write_new(&temporary, bytes).and_then(|()| {
        std::fs::rename(&temporary, path).map_err(FileError::io("replace", path))?;
        File::open(directory).and_then(|dir| dir.sync_all()).map_err(FileError::io("sync", directory))
    });
    if written.is_err() {
        // The old file is untouched; a leftover temporary file is harmless.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(FileError::io("create", path))?;
    file.write_all(bytes).map_err(FileError::io("write", path))?;
    file.sync_all().map_err(FileError::io("sync", path))
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// When it cannot be read or is longer.
pub fn read_capped(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(FileError::io("open", path))?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(FileError::io("read", path))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= limit) {
        Ok(bytes)
    } else {
        Err(FileError::TooLong { path: path.to_owned(), limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/state.json");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(read_capped(&path, 3).unwrap(), b"two");
        assert!(matches!(read_capped(&path, 2), Err(FileError::TooLong { .. })));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        let names: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file stays");
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        write_private(&path, b"old").unwrap();
        // The temporary name is taken by a directory, so the write cannot start.
        std::fs::create_dir(dir.path().join(format!("state.json.{}.tmp", std::process::id()))).unwrap();
        assert!(write_private(&path, b"new").is_err());
        assert_eq!(read_capped(&path, 10).unwrap(), b"old");
    }

    #[test]
    fn a_missing_file_says_so() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_capped(&dir.path().join("none"), 1).unwrap_err().is_not_found());
    }
}
