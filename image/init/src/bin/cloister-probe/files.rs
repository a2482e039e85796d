//! Looking at files and mounts, for every place.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the entry is that gives reports, if there is one.
pub(crate) const REPORT_ENTRY: &str = "/run/tsm";

/// One line of `/proc/self/mounts`.
pub(crate) struct Mount {
    pub(crate) at: String,
    pub(crate) kind: String,
    pub(crate) options: Vec<String>,
}

impl Mount {
    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|other| other == option)
    }

    /// The kernel's report interface, which on a machine with a TEE the guardian may write to.
    pub(crate) fn is_report_entry(&self) -> bool {
        self.kind == "configfs" && self.at == REPORT_ENTRY && self.has("noexec")
    }
}

pub(crate) fn mounts() -> Vec<Mount> {
    let parse = |line: &str| {
        let mut fields = line.split(' ').skip(1).map(String::from);
        let (at, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Mount { at, kind, options: options.split(',').map(String::from).collect() })
    };
    read("/proc/self/mounts").lines().filter_map(parse).collect()
}

/// The text of a file, empty if there is none.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// What `outcome` says, as an error number; 0 if it succeeded.
pub(crate) fn errno<T>(outcome: io::Result<T>) -> i32 {
    outcome.err().map_or(0, |error| error.raw_os_error().unwrap_or(-1))
}

/// Every regular file on the file system that `root` is on.
pub(crate) fn walk(root: &str) -> Vec<PathBuf> {
    let Ok(device) = fs::metadata(root).map(|data| data.dev()) else { return Vec::new() };
    let mut found = Vec::new();
    let mut directories = vec![PathBuf::from(root)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match fs::symlink_metadata(entry.path()) {
                Ok(data) if data.dev() != device => {}
                Ok(data) if data.is_dir() => directories.push(entry.path()),
                Ok(data) if data.is_file() => found.push(entry.path()),
                Ok(_) | Err(_) => {}
            }
        }
    }
    found.sort();
    found
}

/// Names in a directory, sorted.
pub(crate) fn names(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The first bytes of a file.
pub(crate) fn magic(path: &Path) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let _ = fs::File::open(path).and_then(|file| file.take(4).read_to_end(&mut bytes));
    bytes
}
