//! The initial ramdisk: a `newc` cpio archive, as the kernel unpacks it.
//!
//! Decides: owner root, time zero, inode numbers counted from one, entries in the order of the tree, no compression (a compressor's version
//! would become an input of the measurement). The root directory has no entry: the kernel has made it.

use std::collections::BTreeMap;
use std::io::Write;

use crate::content::{ContentError, copy, zeros};
use crate::tree::{FileTree, Node};

const MAGIC: &str = "070701";
const TRAILER: &str = "TRAILER!!!";
/// Headers and contents begin at multiples of this.
const ALIGN_BYTES: u64 = 4;
/// The longest file that the format's eight hex digits can tell.
pub const FILE_BYTES_MAX: u64 = 0xffff_ffff;
/// The longest path the kernel unpacks, without its NUL.
pub const PATH_BYTES_MAX: usize = 4095;

const TYPE_CHARACTER_DEVICE: u32 = 0o020_000;
const TYPE_DIRECTORY: u32 = 0o040_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_SYMLINK: u32 = 0o120_000;
const MODE_MAX: u16 = 0o7777;

/// A character device that a ramdisk brings along, such as `/dev/console`. Its directory must be in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    /// Path in the ramdisk, relative as in a tree.
    pub path: String,
    /// Permission bits.
    pub mode: u16,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// Why an archive could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CpioError {
    /// A file is longer than [`FILE_BYTES_MAX`].
    #[error("{path:?} has {got} bytes, more than {FILE_BYTES_MAX}")]
    FileLength {
        /// The file.
        path: String,
        /// Its length.
        got: u64,
    },
    /// A path is longer than [`PATH_BYTES_MAX`].
    #[error("{path:?} is longer than {PATH_BYTES_MAX} bytes, or is the name of the trailer")]
    Path {
        /// The path.
        path: String,
    },
    /// A mode has other than permission bits.
    #[error("{path:?} has mode {mode:o}, more than permission bits")]
    Mode {
        /// The entry.
        path: String,
        /// Its mode.
        mode: u16,
    },
    /// There are too many entries.
    #[error("more entries than inode numbers")]
    Entries,
    /// The device's directory is not in the tree, or something else is at its path.
    #[error("there is no free place for the device {path:?}")]
    Device {
        /// Its path.
        path: String,
    },
    /// Contents could not be copied.
    #[error(transparent)]
    Content(#[from] ContentError),
}

/// Writes `tree` and returns the length of the archive.
///
/// # Errors
/// [`CpioError`] when an entry does not fit the format, or contents cannot be copied.
pub fn write(tree: &FileTree, out: &mut impl Write) -> Result<u64, CpioError> {
    write_with(tree, &[], out)
}

/// Writes `tree`, then the devices, and returns the length of the archive.
///
/// # Errors
/// As [`write()`], and when a device has no place in the tree.
pub fn write_with(tree: &FileTree, devices: &[Extra], out: &mut impl Write) -> Result<u64, CpioError> {
    let subdirectories = subdirectories(tree);
    let mut archive = Archive { out, written: 0, inodes: 0 };
    for (path, node) in tree.entries() {
        match node {
            Node::Directory { mode } => {
                let links = subdirectories.get(path).map_or(2, |count| count.saturating_add(2));
                archive
                    .entry(path, &Inode { mode: permissions(path, *mode)? | TYPE_DIRECTORY, links, ..Inode::ONE })?;
            }
            Node::File { mode, source, len } => {
                let mode = permissions(path, *mode)? | TYPE_FILE;
                archive.entry(path, &Inode { mode, len: *len, ..Inode::ONE })?;
                copy(source, *len, archive.out)?;
                archive.advance(*len)?;
            }
            Node::Symlink { target } => {
                let len = u64::try_from(target.len()).unwrap_or(u64::MAX);
                archive.entry(path, &Inode { mode: TYPE_SYMLINK | 0o777, len, ..Inode::ONE })?;
                archive.bytes(target.as_bytes())?;
            }
        }
    }
    for Extra { path, mode, major, minor } in devices {
        let parent = path.rsplit_once('/').map(|(parent, _)| parent);
        let parent_is_there = parent.is_none_or(|parent| matches!(tree.get(parent), Some(Node::Directory { .. })));
        if !parent_is_there || tree.get(path).is_some() {
            return Err(CpioError::Device { path: path.clone() });
        }
        let mode = permissions(path, *mode)? | TYPE_CHARACTER_DEVICE;
        archive.entry(path, &Inode { mode, device: (*major, *minor), ..Inode::ONE })?;
    }
    archive.header(TRAILER, 0, &Inode::ONE)?;
    Ok(archive.written)
}

fn permissions(path: &str, mode: u16) -> Result<u32, CpioError> {
    if mode > MODE_MAX {
        return Err(CpioError::Mode { path: path.to_owned(), mode });
    }
    Ok(u32::from(mode))
}

/// How many directories each directory holds.
fn subdirectories(tree: &FileTree) -> BTreeMap<&str, u32> {
    let mut counts = BTreeMap::new();
    for (path, node) in tree.entries() {
        if let (Node::Directory { .. }, Some((parent, _))) = (node, path.rsplit_once('/')) {
            let count: &mut u32 = counts.entry(parent).or_default();
            *count = count.saturating_add(1);
        }
    }
    counts
}

struct Inode {
    mode: u32,
    links: u32,
    len: u64,
    device: (u32, u32),
}

impl Inode {
    const ONE: Self = Self { mode: 0, links: 1, len: 0, device: (0, 0) };
}

struct Archive<'a, W: Write> {
    out: &'a mut W,
    written: u64,
    inodes: u32,
}

impl<W: Write> Archive<'_, W> {
    fn entry(&mut self, path: &str, inode: &Inode) -> Result<(), CpioError> {
        if path.len() > PATH_BYTES_MAX || path == TRAILER {
            return Err(CpioError::Path { path: path.to_owned() });
        }
        self.inodes = self.inodes.checked_add(1).ok_or(CpioError::Entries)?;
        self.header(path, self.inodes, inode)
    }

    fn header(&mut self, name: &str, number: u32, inode: &Inode) -> Result<(), CpioError> {
        let Inode { mode, links, len, device: (major, minor) } = *inode;
        let len = u32::try_from(len).map_err(|_| CpioError::FileLength { path: name.to_owned(), got: len })?;
        let name_bytes = name.len().saturating_add(1);
        let mut header = String::from(MAGIC);
        for field in [number, mode, 0, 0, links, 0, len, 0, 0, major, minor] {
            header.push_str(&format!("{field:08x}"));
        }
        header.push_str(&format!("{name_bytes:08x}{:08x}{name}\0", 0));
        self.bytes(header.as_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), CpioError> {
        self.out.write_all(bytes).map_err(ContentError::Write)?;
        self.advance(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
    }

    /// Counts what was written and pads it.
    fn advance(&mut self, count: u64) -> Result<(), CpioError> {
        let end = self.written.saturating_add(count);
        self.written = end.next_multiple_of(ALIGN_BYTES);
        zeros(self.written.saturating_sub(end), self.out)?;
        Ok(())
    }
}
