//! A directory's blocks.
//!
//! Decides: where one block ends and the next begins. A block holds as many entries as fit, their fixed parts first and their names behind;
//! names ascend byte by byte over all blocks, as the kernel searches them by halves. `.` and `..` are entries like others.

use super::BLOCK_BYTES;
use super::layout::count;

const DIRENT_BYTES: u64 = 12;

/// One entry: its name, and the index of its inode.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) inode: usize,
}

/// What an entry says of its inode.
pub(super) struct Target {
    pub(super) nid: u64,
    pub(super) file_type: u8,
}

/// The entries of a directory, by blocks.
#[derive(Debug, Default)]
pub(super) struct Directory<'a> {
    blocks: Vec<Vec<Entry<'a>>>,
    last_bytes: u64,
}

impl<'a> Directory<'a> {
    pub(super) fn new(mut entries: Vec<Entry<'a>>) -> Self {
        entries.sort_by(|left, right| left.name.as_bytes().cmp(right.name.as_bytes()));
        let mut directory = Self::default();
        for entry in entries {
            let bytes = DIRENT_BYTES.saturating_add(count(entry.name.len()));
            let filled = directory.last_bytes.saturating_add(bytes);
            match directory.blocks.last_mut() {
                Some(block) if filled <= BLOCK_BYTES => {
                    block.push(entry);
                    directory.last_bytes = filled;
                }
                _ => {
                    directory.blocks.push(vec![entry]);
                    directory.last_bytes = bytes;
                }
            }
        }
        directory
    }

    /// Bytes of all blocks; the last counts as far as it is filled.
    pub(super) fn len(&self) -> u64 {
        let before = count(self.blocks.len()).saturating_sub(1).saturating_mul(BLOCK_BYTES);
        before.saturating_add(self.last_bytes)
    }

    /// The blocks, given where each inode is.
    pub(super) fn encode(&self, target: impl Fn(usize) -> Target) -> Vec<u8> {
        let mut bytes = Vec::new();
        for block in &self.blocks {
            bytes.resize(bytes.len().next_multiple_of(usize::try_from(BLOCK_BYTES).unwrap_or(1)), 0);
            let mut name_offset = DIRENT_BYTES.saturating_mul(count(block.len()));
            for entry in block {
                let Target { nid, file_type } = target(entry.inode);
                bytes.extend(nid.to_le_bytes());
                bytes.extend(u16::try_from(name_offset).unwrap_or(u16::MAX).to_le_bytes());
                bytes.extend([file_type, 0]);
                name_offset = name_offset.saturating_add(count(entry.name.len()));
            }
            for entry in block {
                bytes.extend(entry.name.as_bytes());
            }
        }
        bytes
    }
}
