//! Where everything of an image is, before a byte is written.
//!
//! Decides: the number (place) of every inode and the first block of its contents. An inode and the tail behind it never cross a block, as
//! the kernel refuses that. Inodes are small (32 bytes) unless a length or a link count needs the large kind.

use std::collections::HashMap;

use super::directory::{Directory, Entry, Target};
use super::{BLOCK_BYTES, BLOCKS_MAX, ErofsError, NAME_BYTES_MAX, TARGET_BYTES_MAX};
use crate::tree::{FileTree, Node, Source};

/// The root directory's number: inodes begin at block 1.
pub(super) const ROOT_NID: u64 = BLOCK_BYTES / NID_BYTES;
/// An inode's number is its offset in units of this.
const NID_BYTES: u64 = 32;
const COMPACT_BYTES: u64 = 32;
const EXTENDED_BYTES: u64 = 64;
/// The address of contents without whole blocks.
const NO_BLOCK: u32 = u32::MAX;

/// Bits of an inode's format.
const FORMAT_EXTENDED: u16 = 1;
const FORMAT_FLAT_INLINE: u16 = 2 << 1;

const MODE_MAX: u16 = 0o7777;
const ROOT_MODE: u16 = 0o755;

/// What an inode is.
pub(super) enum Content<'a> {
    Directory(Directory<'a>),
    File(&'a Source),
    Symlink(&'a str),
}

impl Content<'_> {
    /// The type bits of a mode, and the type in a directory's entry.
    fn types(&self) -> (u16, u8) {
        match self {
            Self::File(_) => (0o100_000, 1),
            Self::Directory(_) => (0o040_000, 2),
            Self::Symlink(_) => (0o120_000, 7),
        }
    }
}

/// An inode with its place.
pub(super) struct Inode<'a> {
    pub(super) content: Content<'a>,
    /// Length of the contents.
    pub(super) len: u64,
    /// Where the inode is.
    pub(super) offset: u64,
    mode: u16,
    links: u32,
    /// Whether the tail of the contents is behind the inode.
    inline: bool,
    /// First of the whole blocks.
    block: u32,
}

impl<'a> Inode<'a> {
    fn new(content: Content<'a>, mode: u16, links: u32, len: u64) -> Self {
        Self { content, len, offset: 0, mode, links, inline: false, block: NO_BLOCK }
    }

    /// How much of the contents is in blocks of its own.
    pub(super) fn whole_bytes(&self) -> u64 {
        if self.inline { self.len.saturating_sub(self.len % BLOCK_BYTES) } else { self.len }
    }

    fn extended(&self) -> bool {
        u32::try_from(self.len).is_err() || u16::try_from(self.links).is_err()
    }

    fn bytes(&self) -> u64 {
        if self.extended() { EXTENDED_BYTES } else { COMPACT_BYTES }
    }

    /// The inode as it is in the image, without a tail.
    pub(super) fn encode(&self) -> Result<Vec<u8>, ErofsError> {
        let (type_bits, _) = self.content.types();
        let inline = if self.inline { FORMAT_FLAT_INLINE } else { 0 };
        // The serial number only serves 32-bit programs: the place is as good as any.
        let serial = u32::try_from(self.nid()).map_err(|_| ErofsError::TooLarge)?;
        let mut bytes = Vec::new();
        match (u32::try_from(self.len), u16::try_from(self.links)) {
            (Ok(len), Ok(links)) => {
                for field in [inline, 0, type_bits | self.mode, links] {
                    bytes.extend(field.to_le_bytes());
                }
                // Owner and group are the last two; zeros.
                for field in [len, 0, self.block, serial, 0, 0] {
                    bytes.extend(field.to_le_bytes());
                }
            }
            _ => {
                for field in [inline | FORMAT_EXTENDED, 0, type_bits | self.mode, 0] {
                    bytes.extend(field.to_le_bytes());
                }
                bytes.extend(self.len.to_le_bytes());
                // Owner, group, time (64 bits) and its nanoseconds are zeros, and so is the reserved end.
                for field in [self.block, serial, 0, 0, 0, 0, 0, self.links, 0, 0, 0, 0] {
                    bytes.extend(field.to_le_bytes());
                }
            }
        }
        Ok(bytes)
    }

    fn nid(&self) -> u64 {
        self.offset / NID_BYTES
    }
}

/// All inodes, the root first.
pub(super) struct Layout<'a> {
    pub(super) inodes: Vec<Inode<'a>>,
    /// Where inodes end and whole blocks begin.
    pub(super) metadata_bytes: u64,
    /// Blocks of the image.
    pub(super) blocks: u64,
}

impl<'a> Layout<'a> {
    pub(super) fn of(tree: &'a FileTree) -> Result<Self, ErofsError> {
        let mut layout = Self { inodes: inodes(tree)?, metadata_bytes: 0, blocks: 0 };
        layout.place()?;
        Ok(layout)
    }

    /// What a directory says of the inode at `index`.
    pub(super) fn target(&self, index: usize) -> Target {
        let inode = self.inodes.get(index).expect("invariant: entries name inodes of this layout");
        Target { nid: inode.nid(), file_type: inode.content.types().1 }
    }

    fn place(&mut self) -> Result<(), ErofsError> {
        let mut end = BLOCK_BYTES;
        for inode in &mut self.inodes {
            let tail = inode.len % BLOCK_BYTES;
            let with_tail = inode.bytes().saturating_add(tail);
            inode.inline = tail > 0 && with_tail <= BLOCK_BYTES;
            let bytes = if inode.inline { with_tail } else { inode.bytes() };
            let left = end.next_multiple_of(BLOCK_BYTES).saturating_sub(end);
            inode.offset = if bytes <= left || left == 0 { end } else { end.saturating_add(left) };
            end = inode.offset.saturating_add(bytes).next_multiple_of(NID_BYTES);
        }
        self.metadata_bytes = end.next_multiple_of(BLOCK_BYTES);
        self.blocks = self.metadata_bytes / BLOCK_BYTES;
        for inode in &mut self.inodes {
            let whole = inode.whole_bytes().div_ceil(BLOCK_BYTES);
            if whole > 0 {
                inode.block = u32::try_from(self.blocks).map_err(|_| ErofsError::TooLarge)?;
            }
            self.blocks = self.blocks.saturating_add(whole);
        }
        if self.blocks > BLOCKS_MAX { Err(ErofsError::TooLarge) } else { Ok(()) }
    }
}

/// The inodes of a tree without places: the root, then the entries in order.
fn inodes(tree: &FileTree) -> Result<Vec<Inode<'_>>, ErofsError> {
    let indices: HashMap<&str, usize> =
        std::iter::once("").chain(tree.entries().map(|(path, _)| path)).zip(0..).collect();
    let index = |path: &str| *indices.get(path).expect("invariant: a tree holds every parent");
    let mut listings: HashMap<&str, Listing<'_>> = HashMap::from([("", Listing::new(0, 0))]);
    for (path, node) in tree.entries() {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name.len() > NAME_BYTES_MAX {
            return Err(ErofsError::Name { path: path.to_owned() });
        }
        let is_directory = matches!(node, Node::Directory { .. });
        if is_directory {
            listings.insert(path, Listing::new(index(path), index(parent)));
        }
        let listing = listings.get_mut(parent).expect("invariant: parents come before their children");
        listing.entries.push(Entry { name, inode: index(path) });
        listing.directories = listing.directories.saturating_add(u32::from(is_directory));
    }
    let mut directory = |path: &str, mode: u16| {
        let listing = listings.remove(path).expect("invariant: every directory was listed");
        let directory = Directory::new(listing.entries);
        let len = directory.len();
        Inode::new(Content::Directory(directory), mode, listing.directories.saturating_add(2), len)
    };
    let mut inodes = vec![directory("", ROOT_MODE)];
    for (path, node) in tree.entries() {
        inodes.push(match node {
            Node::Directory { mode } => directory(path, permissions(path, *mode)?),
            Node::File { mode, source, len } => Inode::new(Content::File(source), permissions(path, *mode)?, 1, *len),
            Node::Symlink { target } => {
                let len = count(target.len());
                if !(1..=TARGET_BYTES_MAX).contains(&len) {
                    return Err(ErofsError::Target { path: path.to_owned(), got: len });
                }
                Inode::new(Content::Symlink(target), 0o777, 1, len)
            }
        });
    }
    Ok(inodes)
}

/// The entries of a directory while they are collected.
struct Listing<'a> {
    entries: Vec<Entry<'a>>,
    directories: u32,
}

impl Listing<'_> {
    fn new(own: usize, parent: usize) -> Self {
        Self { entries: vec![Entry { name: ".", inode: own }, Entry { name: "..", inode: parent }], directories: 0 }
    }
}

fn permissions(path: &str, mode: u16) -> Result<u16, ErofsError> {
    if mode > MODE_MAX { Err(ErofsError::Mode { path: path.to_owned(), mode }) } else { Ok(mode) }
}

/// A number of things in memory.
pub(super) fn count(things: usize) -> u64 {
    u64::try_from(things).unwrap_or(u64::MAX)
}
