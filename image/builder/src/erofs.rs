//! Read-only volumes: an EROFS image, as the kernel mounts it.
//!
//! Decides: nothing is compressed, everything belongs to root and is of time zero, no extended attributes, no hard links. Inodes come first,
//! each with the tail of its contents behind it where that fits in a block ("flat inline"), then whole blocks of contents, all in the order
//! of the tree, so the image is written front to back and the same tree makes the same bytes. The layout is the one that kernels read since
//! 5.4; the only feature flag is the checksum of the superblock, and the kernel checks it.

mod directory;
mod layout;

use std::io::Write;

use crate::content::{ContentError, copy_range, zeros};
use crate::tree::FileTree;
use layout::{Content, Inode, Layout};

/// Bytes of a block.
pub const BLOCK_BYTES: u64 = 4096;
/// The longest name of a directory's entry.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest target of a symbolic link.
pub const TARGET_BYTES_MAX: u64 = 4095;
/// The most blocks of an image: their addresses have 32 bits, and the last means "none".
pub const BLOCKS_MAX: u64 = 0xffff_fffe;

const SUPERBLOCK_OFFSET: u64 = 1024;
const MAGIC: u32 = 0xe0f5_e1e2;
const BLOCK_BITS: u8 = 12;
const FEATURE_CHECKSUM: u32 = 1;
/// CRC-32C (Castagnoli), reflected.
const CRC32C_POLYNOMIAL: u32 = 0x82f6_3b78;

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErofsError {
    /// A name is longer than [`NAME_BYTES_MAX`].
    #[error("the name of {path:?} is longer than {NAME_BYTES_MAX} bytes")]
    Name {
        /// The entry.
        path: String,
    },
    /// The target of a symbolic link is empty or longer than [`TARGET_BYTES_MAX`].
    #[error("the target of {path:?} has {got} bytes, expected 1 to {TARGET_BYTES_MAX}")]
    Target {
        /// The link.
        path: String,
        /// Bytes of its target.
        got: u64,
    },
    /// A mode has other than permission bits.
    #[error("{path:?} has mode {mode:o}, more than permission bits")]
    Mode {
        /// The entry.
        path: String,
        /// Its mode.
        mode: u16,
    },
    /// The image would have more than [`BLOCKS_MAX`] blocks.
    #[error("the image needs more than {BLOCKS_MAX} blocks")]
    TooLarge,
    /// Contents could not be copied.
    #[error(transparent)]
    Content(#[from] ContentError),
}

/// Writes `tree` as an image and returns its length, a multiple of [`BLOCK_BYTES`].
///
/// # Errors
/// [`ErofsError`] when an entry does not fit the format, or contents cannot be copied.
pub fn write(tree: &FileTree, uuid: [u8; 16], out: &mut impl Write) -> Result<u64, ErofsError> {
    let layout = Layout::of(tree)?;
    let mut image = Image { out, written: 0 };
    image.bytes(&first_block(&layout, uuid)?)?;
    for inode in &layout.inodes {
        image.pad_to(inode.offset)?;
        image.bytes(&inode.encode()?)?;
        image.contents(&layout, inode, inode.whole_bytes(), inode.len)?;
    }
    image.pad_to(layout.metadata_bytes)?;
    for inode in &layout.inodes {
        image.contents(&layout, inode, 0, inode.whole_bytes())?;
        image.pad_to(image.written.next_multiple_of(BLOCK_BYTES))?;
    }
    Ok(image.written)
}

/// The block with the superblock, which checks itself.
fn first_block(layout: &Layout<'_>, uuid: [u8; 16]) -> Result<Vec<u8>, ErofsError> {
    let superblock = |checksum: u32| -> Result<Vec<u8>, ErofsError> {
        let mut bytes = Vec::new();
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend(checksum.to_le_bytes());
        bytes.extend(FEATURE_CHECKSUM.to_le_bytes());
        bytes.extend([BLOCK_BITS, 0]);
        let root = u16::try_from(layout::ROOT_NID).map_err(|_| ErofsError::TooLarge)?;
        bytes.extend(root.to_le_bytes());
        bytes.extend(layout::count(layout.inodes.len()).to_le_bytes());
        // Time, its nanoseconds.
        bytes.extend([0; 12]);
        bytes.extend(u32::try_from(layout.blocks).map_err(|_| ErofsError::TooLarge)?.to_le_bytes());
        // Metadata is addressed from block 0; there are no shared attributes.
        bytes.extend([0; 8]);
        bytes.extend(uuid);
        // Volume name, incompatible features, and what only those need.
        bytes.resize(usize::try_from(BLOCK_BYTES - SUPERBLOCK_OFFSET).unwrap_or(0), 0);
        Ok(bytes)
    };
    let mut block = vec![0; usize::try_from(SUPERBLOCK_OFFSET).unwrap_or(0)];
    block.extend(superblock(crc32c(&superblock(0)?))?);
    Ok(block)
}

/// CRC-32C as EROFS has it: not inverted at the end.
fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            let shifted = crc >> 1;
            if crc & 1 == 1 { shifted ^ CRC32C_POLYNOMIAL } else { shifted }
        })
    })
}

struct Image<'a, W: Write> {
    out: &'a mut W,
    written: u64,
}

impl<W: Write> Image<'_, W> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), ErofsError> {
        self.out.write_all(bytes).map_err(ContentError::Write)?;
        self.written = self.written.saturating_add(layout::count(bytes.len()));
        Ok(())
    }

    fn pad_to(&mut self, offset: u64) -> Result<(), ErofsError> {
        zeros(offset.saturating_sub(self.written), self.out)?;
        self.written = self.written.max(offset);
        Ok(())
    }

    /// Writes the contents of `inode` from `start` to `end`.
    fn contents(&mut self, layout: &Layout<'_>, inode: &Inode<'_>, start: u64, end: u64) -> Result<(), ErofsError> {
        if start == end {
            return Ok(());
        }
        match &inode.content {
            Content::Directory(directory) => {
                let bytes = directory.encode(|index| layout.target(index));
                let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
                let wanted = range.and_then(|(start, end)| bytes.get(start..end));
                self.bytes(wanted.ok_or(ErofsError::TooLarge)?)
            }
            Content::Symlink(target) => self.bytes(target.as_bytes()),
            Content::File(source) => {
                copy_range(source, inode.len, start, end, self.out)?;
                self.written = self.written.saturating_add(end.saturating_sub(start));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720 B.4: 32 bytes of zeros give aa36918a, bytes swapped.
    #[test]
    fn the_checksum_is_the_one_of_iscsi() {
        assert_eq!(!crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(!crc32c(b"123456789"), 0xe306_9283);
    }
}
