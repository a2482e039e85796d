//! The files of a volume or a ramdisk, before they become bytes of one.
//!
//! Decides: that paths are relative, normal and unique, and that every parent is there. Owners and times are not kept: everything belongs
//! to root and is as old as the epoch, or two builds would differ.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
pub enum Source {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file on the building machine.
    File(PathBuf),
}

/// One entry of a tree.
#[derive(Debug, Clone)]
pub enum Node {
    /// A directory.
    Directory {
        /// Permission bits.
        mode: u16,
    },
    /// A regular file.
    File {
        /// Permission bits.
        mode: u16,
        /// Its content.
        source: Source,
        /// Length in bytes.
        len: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: String,
    },
}

/// Files by path: relative, `/`-separated, no `.` or `..`; the root directory itself is not listed (its mode is 0755).
#[derive(Debug, Clone, Default)]
pub struct FileTree {
    entries: BTreeMap<String, Node>,
}

/// Why an entry was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The path is empty, absolute, or has empty, `.` or `..` parts.
    #[error("{path:?} is not a plain relative path")]
    Path {
        /// The path.
        path: String,
    },
    /// Something else is at the path, or above it.
    #[error("{path:?} is there already, as something else")]
    Occupied {
        /// The path.
        path: String,
    },
    /// A file on the building machine could not be examined.
    #[error("examine {path}")]
    Examine {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl FileTree {
    /// Adds a directory and its parents. One that is there already keeps its mode.
    ///
    /// # Errors
    /// [`TreeError`] for a bad path or when something else is there.
    pub fn directory(&mut self, path: &str, mode: u16) -> Result<(), TreeError> {
        self.parents(path)?;
        match self.entries.get(path) {
            Some(Node::Directory { .. }) => Ok(()),
            Some(_) => Err(TreeError::Occupied { path: path.to_owned() }),
            None => {
                self.entries.insert(path.to_owned(), Node::Directory { mode });
                Ok(())
            }
        }
    }

    /// Adds a file with the given bytes.
    ///
    /// # Errors
    /// [`TreeError`] for a bad path or when something is there.
    pub fn bytes(&mut self, path: &str, mode: u16, bytes: Vec<u8>) -> Result<(), TreeError> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.insert(path, Node::File { mode, source: Source::Bytes(bytes), len })
    }

    /// Adds a file of the building machine.
    ///
    /// # Errors
    /// [`TreeError`] for a bad path, when something is there, or when `file` cannot be examined.
    pub fn file(&mut self, path: &str, mode: u16, file: PathBuf) -> Result<(), TreeError> {
        let examined = std::fs::metadata(&file);
        let len = examined.map_err(|source| TreeError::Examine { path: file.clone(), source })?.len();
        self.insert(path, Node::File { mode, source: Source::File(file), len })
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// [`TreeError`] for a bad path or when something is there.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), TreeError> {
        self.insert(path, Node::Symlink { target: target.to_owned() })
    }

    /// Every entry, parents before their children.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.entries.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// What is at `path`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.entries.get(path)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn insert(&mut self, path: &str, node: Node) -> Result<(), TreeError> {
        self.parents(path)?;
        if self.entries.contains_key(path) {
            return Err(TreeError::Occupied { path: path.to_owned() });
        }
        self.entries.insert(path.to_owned(), node);
        Ok(())
    }

    fn parents(&mut self, path: &str) -> Result<(), TreeError> {
        let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
        if !path.split('/').all(plain) {
            return Err(TreeError::Path { path: path.to_owned() });
        }
        for (end, _) in path.match_indices('/') {
            let parent = path.get(..end).unwrap_or_default();
            match self.entries.get(parent) {
                Some(Node::Directory { .. }) => {}
                Some(_) => return Err(TreeError::Occupied { path: parent.to_owned() }),
                None => {
                    self.entries.insert(parent.to_owned(), Node::Directory { mode: 0o755 });
                }
            }
        }
        Ok(())
    }
}
