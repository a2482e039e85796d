//! The append-only log of releases, as a directory anyone can serve (C2SP tlog-tiles).
//!
//! Decides: whether the directory is the log its checkpoint says, byte for byte, before anything is appended to it. Trusts on
//! entry: the log's key, and that the directory was not put back to an older state as a whole, which only those who saw the newer one
//! can tell (clients refuse the fork). Holds on exit: entries and tiles are on disk before the checkpoint that covers
//! them is signed, so a cut anywhere leaves the old log; nothing that a checkpoint covers is ever written again.
//!
//! What a cut leaves behind, the files of one more entry, is kept: its checkpoint may have been signed and published. Only the
//! same entry may follow.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use credits::Bytes32;
use credits::merkle::{LogTree, consistency_proof, inclusion_proof, leaf_hash};
use verifier::release::bundle::GROWTH_MAX;
use verifier::release::checkpoint::Checkpoint;
use verifier::release::entry::ReleaseEntry;
use verifier::release::note::{LogKey, NoteSigner};
use verifier::release::proof::{Growth, LogProof};
use verifier::release::{ReleaseError, Version};

use super::files::{FileError, is_temporary, make_directory, write_whole};
use super::tiles::{Kind, TILE_WIDTH, Tile};

const CHECKPOINT: &str = "checkpoint";
const LOCK: &str = ".lock";
/// Longest file of a log: 256 entries of at most 64 KiB.
const FILE_BYTES_MAX: u64 = 17 * 1024 * 1024;

/// Why the log cannot be used, or a release not logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process uses the log.
    #[error("another process uses the log {}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The checkpoint is not this key's.
    #[error("the log's checkpoint is not usable")]
    Checkpoint(#[source] ReleaseError),
    /// The directory is not what the checkpoint says.
    #[error("the log was altered: {file} {problem}")]
    Altered {
        /// Which file.
        file: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// What is to be logged is not an entry.
    #[error("what is to be logged is not an entry")]
    Entry(#[source] ReleaseError),
    /// This version was released before, as something else.
    #[error("version {version} of {kind} was released before with other content; use a new version")]
    Twice {
        /// Flavour and mode.
        kind: String,
        /// The version.
        version: Version,
    },
    /// A newer version was released before: clients would refuse this one.
    #[error("version {version} of {kind} is not newer than version {newest}, which was released before")]
    NotNewer {
        /// Flavour and mode.
        kind: String,
        /// The version.
        version: Version,
        /// The newest.
        newest: Version,
    },
    /// Another release was cut off while it was logged.
    #[error(
        "releasing version {version} of {kind} was cut off: release it again, or remove {file} and what came with it if its \
         checkpoint surely never left this machine"
    )]
    Unfinished {
        /// Flavour and mode.
        kind: String,
        /// The version.
        version: Version,
        /// The file that holds it.
        file: String,
    },
}

/// The log, locked for this process and found to be whole.
#[derive(Debug)]
pub struct ReleaseLog {
    directory: PathBuf,
    signer: NoteSigner,
    entries: Vec<(Vec<u8>, ReleaseEntry)>,
    tree: LogTree,
    /// The signed head; nothing for a log without entries.
    checkpoint: Option<String>,
    /// An entry that was written but is not under the checkpoint, and its file.
    pending: Option<(Vec<u8>, ReleaseEntry, String)>,
    _lock: File,
}

impl ReleaseLog {
    /// Opens the log in `directory`, or begins one, and verifies all of it.
    ///
    /// # Errors
    /// See [`LogError`].
    pub fn open(directory: &Path, signer: NoteSigner) -> Result<Self, LogError> {
        make_directory(directory)?;
        let lock = lock(directory)?;
        let checkpoint = match read(&directory.join(CHECKPOINT)) {
            Err(FileError { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
            bytes => Some(String::from_utf8(bytes?).map_err(|_| altered(CHECKPOINT, "is not text"))?),
        };
        let head = checkpoint.as_deref().map(|note| Checkpoint::open(note, signer.public()));
        let head = head.transpose().map_err(|fault| LogError::Checkpoint(fault.into()))?;
        let size = head.map_or(0, |head| head.size);
        let directory = directory.to_owned();
        let (entries, tree) = (Vec::new(), LogTree::new());
        let mut log = Self { directory, signer, entries, tree, checkpoint, pending: None, _lock: lock };
        log.read_entries(size)?;
        if head.is_some_and(|head| head.root != log.tree.root()) {
            return Err(altered(CHECKPOINT, "has another root than the entries"));
        }
        log.compare_files()?;
        Ok(log)
    }

    /// The key that signs its checkpoints.
    #[must_use]
    pub fn key(&self) -> &LogKey {
        self.signer.public()
    }

    fn read_entries(&mut self, size: u64) -> Result<(), LogError> {
        for tile in Tile::of_size(size).into_iter().filter(|tile| tile.kind == Kind::Entries) {
            let file = tile.path();
            let bytes = match read(&self.directory.join(&file)) {
                Err(FileError { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    return Err(altered(&file, "is missing"));
                }
                bytes => bytes?,
            };
            for bytes in split_entries(&bytes, tile.width).ok_or_else(|| altered(&file, "does not hold its entries"))? {
                let entry =
                    ReleaseEntry::from_bytes(&bytes).map_err(|_| altered(&file, "holds what is not an entry"))?;
                if self.find(&entry).is_some() {
                    return Err(altered(&file, "holds a version twice"));
                }
                self.tree.append(leaf_hash(&bytes));
                self.entries.push((bytes, entry));
            }
        }
        Ok(())
    }

    /// Every file there is must be what the entries make it, and every file they make must be there.
    fn compare_files(&mut self) -> Result<(), LogError> {
        let size = self.tree.size();
        // Every size had a checkpoint that somebody may still read the tiles of.
        let mut missing: BTreeSet<Tile> = (0..=size).flat_map(Tile::of_size).collect();
        let mut uncovered = None;
        for file in list(&self.directory)? {
            let Some(tile) = Tile::parse(&file) else {
                if file == CHECKPOINT || file == LOCK {
                    continue;
                }
                return Err(altered(&file, "is no file of a log"));
            };
            missing.remove(&tile);
            if tile.end() > size.saturating_add(1) {
                return Err(altered(&file, "is newer than the checkpoint, which was put back"));
            }
            let bytes = read(&self.directory.join(&file))?;
            if tile.end() <= size {
                if bytes != self.tile_bytes(tile) {
                    return Err(altered(&file, "has another content than the entries"));
                }
            } else if tile.kind == Kind::Entries {
                self.pending = Some(self.read_pending(&file, tile, &bytes)?);
            } else {
                uncovered = Some(file);
            }
        }
        // Entries are written first: hashes without their entry were not left by a cut.
        if let Some(file) = uncovered.filter(|_| self.pending.is_none()) {
            return Err(altered(&file, "is newer than the checkpoint, which was put back"));
        }
        match missing.first() {
            Some(tile) => Err(altered(&tile.path(), "is missing")),
            None => Ok(()),
        }
    }

    fn read_pending(&self, file: &str, tile: Tile, bytes: &[u8]) -> Result<(Vec<u8>, ReleaseEntry, String), LogError> {
        let mut entries = split_entries(bytes, tile.width).ok_or_else(|| altered(file, "does not hold its entries"))?;
        let last = entries.pop().ok_or_else(|| altered(file, "is empty"))?;
        if entries.iter().ne(self.entries_of(tile).map(|(bytes, _)| bytes)) {
            return Err(altered(file, "has another content than the entries"));
        }
        let entry = ReleaseEntry::from_bytes(&last).map_err(|_| altered(file, "holds what is not an entry"))?;
        Ok((last, entry, file.to_owned()))
    }

    fn entries_of(&self, tile: Tile) -> impl Iterator<Item = &(Vec<u8>, ReleaseEntry)> {
        let (first, width) = (usize::try_from(tile.first()), usize::try_from(tile.width));
        self.entries.iter().skip(first.unwrap_or(usize::MAX)).take(width.unwrap_or(0))
    }

    /// What a tile that the tree covers holds.
    fn tile_bytes(&self, tile: Tile) -> Vec<u8> {
        match tile.kind {
            Kind::Entries => join_entries(self.entries_of(tile).map(|(bytes, _)| bytes.as_slice())),
            Kind::Hashes(level) => (0..tile.width)
                .filter_map(|at| self.tree.node(level.saturating_mul(8), tile.first().saturating_add(at)))
                .flat_map(|hash| hash.0)
                .collect(),
        }
    }

    /// The release of this version, flavour and mode that was logged, or was about to be: its bytes and what they say.
    #[must_use]
    pub fn find_release(&self, version: Version, kind: &str) -> Option<&ReleaseEntry> {
        let pending = self.pending.iter().map(|(_, entry, _)| entry);
        let mut all = self.entries.iter().map(|(_, entry)| entry).chain(pending);
        all.find(|entry| entry.version == version && entry.kind() == kind)
    }

    fn find(&self, wanted: &ReleaseEntry) -> Option<usize> {
        self.entries.iter().position(|(_, entry)| entry.version == wanted.version && entry.kind() == wanted.kind())
    }

    /// Logs `bytes` and returns the grown log and their position; a release that was logged before is where it is.
    ///
    /// # Errors
    /// See [`LogError`]. The log on disk is then the one before, perhaps with files that no checkpoint covers.
    pub fn append(mut self, bytes: &[u8]) -> Result<(Self, u64), LogError> {
        let entry = ReleaseEntry::from_bytes(bytes).map_err(LogError::Entry)?;
        let (kind, version) = (entry.kind(), entry.version);
        if let Some(at) = self.find(&entry) {
            let same = self.entries.get(at).is_some_and(|(logged, _)| logged == bytes);
            let at = u64::try_from(at).unwrap_or(u64::MAX);
            return if same { Ok((self, at)) } else { Err(LogError::Twice { kind, version }) };
        }
        if let Some((_, other, file)) = self.pending.as_ref().filter(|(pending, ..)| pending != bytes) {
            let (kind, version, file) = (other.kind(), other.version, file.clone());
            return Err(LogError::Unfinished { kind, version, file });
        }
        let newest = self.entries.iter().map(|(_, entry)| entry).filter(|entry| entry.kind() == kind);
        if let Some(newest) = newest.map(|entry| entry.version).max().filter(|newest| *newest > version) {
            return Err(LogError::NotNewer { kind, version, newest });
        }
        let index = self.tree.size();
        for (file, content) in self.grow(bytes, entry) {
            write_whole(&self.directory.join(file), &content)?;
        }
        self.pending = None;
        Ok((self, index))
    }

    /// Takes the entry into the tree and says what to write, in the order it must reach the disk.
    pub(crate) fn grow(&mut self, bytes: &[u8], entry: ReleaseEntry) -> Vec<(String, Vec<u8>)> {
        let before = Tile::of_size(self.tree.size());
        self.tree.append(leaf_hash(bytes));
        self.entries.push((bytes.to_vec(), entry));
        let new = Tile::of_size(self.tree.size()).into_iter().filter(|tile| !before.contains(tile));
        let mut files: Vec<_> = new.map(|tile| (tile.path(), self.tile_bytes(tile))).collect();
        let note = Checkpoint { size: self.tree.size(), root: self.tree.root() }.sign(&self.signer);
        files.push((CHECKPOINT.to_owned(), note.clone().into_bytes()));
        self.checkpoint = Some(note);
        files
    }

    /// Who signs the log.
    #[must_use]
    pub fn signer(&self) -> &NoteSigner {
        &self.signer
    }

    /// The signed head; nothing for a log without entries.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }

    /// The proof that entry `index` stands in the log, under its newest checkpoint; nothing when there is no such entry.
    #[must_use]
    pub fn proof(&self, index: u64) -> Option<LogProof> {
        let hashes = inclusion_proof(index, self.tree.size(), |level, at| self.node(level, at)).ok()?;
        Some(LogProof { index, hashes, checkpoint: self.checkpoint.clone()? })
    }

    /// How the log grew from each earlier size; from the latest [`GROWTH_MAX`] of them in a longer log.
    #[must_use]
    pub fn growth(&self) -> Vec<Growth> {
        let size = self.tree.size();
        let first = size.saturating_sub(u64::try_from(GROWTH_MAX).unwrap_or(u64::MAX)).max(1);
        let proof = |from| {
            let hashes = consistency_proof(from, size, |level, at| self.node(level, at)).ok()?;
            Some(Growth { from, hashes })
        };
        (first..size).filter_map(proof).collect()
    }

    fn node(&self, level: u8, index: u64) -> Result<Bytes32, Infallible> {
        Ok(self
            .tree
            .node(level, index)
            .expect("invariant: proofs ask for complete subtrees of the tree they are about"))
    }
}

fn altered(file: &str, problem: &'static str) -> LogError {
    LogError::Altered { file: file.to_owned(), problem }
}

fn lock(directory: &Path) -> Result<File, LogError> {
    let path = directory.join(LOCK);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(FileError::of("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Locked { path: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(FileError::of("lock", &path)(source).into()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    super::files::read_capped(path, FILE_BYTES_MAX)
}

/// Every file below `directory`, by its path with `/`; what was never finished is left out.
fn list(directory: &Path) -> Result<Vec<String>, LogError> {
    let mut found = Vec::new();
    let mut open = vec![String::new()];
    while let Some(prefix) = open.pop() {
        let path = directory.join(&prefix);
        for entry in std::fs::read_dir(&path).map_err(FileError::of("list", &path))? {
            let entry = entry.map_err(FileError::of("list", &path))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let file = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(FileError::of("examine", &entry.path()))?;
            if kind.is_dir() {
                open.push(format!("{file}/"));
            } else if !kind.is_file() {
                return Err(altered(&file, "is not a plain file"));
            } else if !is_temporary(&name) {
                found.push(file);
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Entries as tlog-tiles keeps them: each after its length in two big-endian bytes.
fn join_entries<'a>(entries: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len()).expect("invariant: an entry was read, so it is at most 65535 bytes");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    bytes
}

fn split_entries(mut bytes: &[u8], count: u64) -> Option<Vec<Vec<u8>>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry.to_vec());
        bytes = rest;
    }
    let exact = bytes.is_empty() && u64::try_from(entries.len()) == Ok(count) && count <= TILE_WIDTH;
    exact.then_some(entries)
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
