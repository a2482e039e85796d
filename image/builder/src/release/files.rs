//! Files others will read: whole or not there, also after a power cut.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}", path.display())]
pub struct FileError {
    /// What was done.
    pub action: &'static str,
    /// To what.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub source: std::io::Error,
}

impl FileError {
    pub(crate) fn of(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source }
    }
}

/// What a name that is not finished yet looks like.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".tmp")
}

/// Makes or replaces a file: temporary file, fsync, rename, fsync of the directory.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let directory = directory_of(path);
    make_directory(directory)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.tmp"));
    write_synced(&temporary, bytes, OpenOptions::new().write(true).create(true).truncate(true).mode(0o644))?;
    std::fs::rename(&temporary, path).map_err(FileError::of("replace", path))?;
    sync_directory(directory)
}

/// Makes a file that only its owner can read; one that is there is never overwritten.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    make_directory(directory_of(path))?;
    write_synced(path, bytes, OpenOptions::new().write(true).create_new(true).mode(0o600))?;
    sync_directory(directory_of(path))
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn read_capped(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(FileError::of("open", path))?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(FileError::of("read", path))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= limit) {
        Ok(bytes)
    } else {
        Err(FileError::of("read", path)(std::io::Error::other(format!("it has more than {limit} bytes"))))
    }
}

fn write_synced(path: &Path, bytes: &[u8], options: &OpenOptions) -> Result<(), FileError> {
    let mut file = options.open(path).map_err(FileError::of("create", path))?;
    file.write_all(bytes).map_err(FileError::of("write", path))?;
    file.sync_all().map_err(FileError::of("sync", path))
}

/// Makes a directory whose name outlives a power cut.
pub(crate) fn make_directory(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    make_directory(directory_of(path))?;
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(FileError::of("create", path)(error)),
        _ => sync_directory(directory_of(path)),
    }
}

fn sync_directory(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(FileError::of("sync", path))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
