//! dm-verity: the hash tree that lets the kernel refuse a changed block of a volume.
//!
//! Decides: version 1, SHA-256, blocks of 4096 bytes for data and tree, the salt before the data, no superblock, and the tree right behind
//! the data, top level first: what the kernel reads when the guest names data and tree on one device with the tree at block `data_blocks`.
//! Trusts nothing of a finished image: [`verify`] computes every hash anew.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::thread;

use attestation::Sha256Stream;

/// Bytes of a block, of data and of the tree.
pub const BLOCK_BYTES: u64 = 4096;
/// The most data blocks of a volume, 256 GiB: the lowest level of the tree is held in memory, 32 bytes for each.
pub const DATA_BLOCKS_MAX: u64 = 1 << 26;
/// Digests in a block of the tree.
const FANOUT: usize = 128;
const DIGEST_BYTES: usize = 32;
const TREE_BLOCK_BYTES: usize = FANOUT * DIGEST_BYTES;
/// Blocks read at once.
const READ_BLOCKS: u64 = 64;
const THREADS_MAX: usize = 8;

/// What the guest's kernel needs to know of a volume with its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verity {
    /// The hash of the top block.
    pub root_hash: [u8; 32],
    /// The salt before every block.
    pub salt: [u8; 32],
    /// Blocks of data, and the block where the tree begins.
    pub data_blocks: u64,
    /// Blocks of the tree; none when the data is a single block.
    pub tree_blocks: u64,
}

/// Why a tree could not be written, or an image was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerityError {
    /// There is no data.
    #[error("the volume is empty")]
    Empty,
    /// There is more than [`DATA_BLOCKS_MAX`].
    #[error("the volume has {got} blocks, more than {DATA_BLOCKS_MAX}")]
    TooLarge {
        /// Its blocks.
        got: u64,
    },
    /// The image could not be read or written.
    #[error("access the volume")]
    Access(#[from] io::Error),
    /// The image is longer or shorter than data and tree.
    #[error("the volume has {got} bytes, expected {expected}")]
    Length {
        /// Its length.
        got: u64,
        /// What the parameters say.
        expected: u64,
    },
    /// The data does not have the root hash.
    #[error("the data does not have the expected root hash")]
    RootHash,
    /// The tree in the image is not the one of the data.
    #[error("the tree is not the one of the data")]
    Tree,
}

/// Pads `image` to whole blocks and appends its tree.
///
/// # Errors
/// [`VerityError`] when the image is empty, too large, or cannot be read and written.
pub fn append_tree(image: &mut File, salt: [u8; 32]) -> Result<Verity, VerityError> {
    let data_blocks = image.metadata()?.len().div_ceil(BLOCK_BYTES);
    let tree = Tree::of(image, data_blocks, salt)?;
    let data_bytes = data_blocks.saturating_mul(BLOCK_BYTES);
    image.set_len(data_bytes)?;
    image.write_all_at(&tree.bytes, data_bytes)?;
    Ok(tree.verity(salt, data_blocks))
}

/// Computes the tree of the data anew and compares all of it.
///
/// # Errors
/// [`VerityError`] when anything differs, or the image cannot be read.
pub fn verify(image: &File, verity: &Verity) -> Result<(), VerityError> {
    let got = image.metadata()?.len();
    let expected = verity.data_blocks.saturating_add(verity.tree_blocks).saturating_mul(BLOCK_BYTES);
    if got != expected {
        return Err(VerityError::Length { got, expected });
    }
    let tree = Tree::of(image, verity.data_blocks, verity.salt)?;
    if tree.root_hash != verity.root_hash {
        return Err(VerityError::RootHash);
    }
    if tree.verity(verity.salt, verity.data_blocks) != *verity {
        return Err(VerityError::Tree);
    }
    let mut found = vec![0; tree.bytes.len()];
    image.read_exact_at(&mut found, verity.data_blocks.saturating_mul(BLOCK_BYTES))?;
    if found == tree.bytes { Ok(()) } else { Err(VerityError::Tree) }
}

struct Tree {
    root_hash: [u8; 32],
    /// The levels, top first, each padded to whole blocks.
    bytes: Vec<u8>,
}

impl Tree {
    fn of(image: &File, data_blocks: u64, salt: [u8; 32]) -> Result<Self, VerityError> {
        if data_blocks == 0 {
            return Err(VerityError::Empty);
        }
        if data_blocks > DATA_BLOCKS_MAX {
            return Err(VerityError::TooLarge { got: data_blocks });
        }
        let mut salted = Sha256Stream::new();
        salted.update(&salt);
        let mut digests = data_digests(image, data_blocks, &salted)?;
        let mut levels = Vec::new();
        while digests.len() > DIGEST_BYTES {
            digests.resize(digests.len().next_multiple_of(TREE_BLOCK_BYTES), 0);
            let above = digests.chunks(TREE_BLOCK_BYTES).flat_map(|block| digest(&salted, block)).collect();
            levels.push(std::mem::replace(&mut digests, above));
        }
        let root_hash = digests.try_into().map_err(|_| VerityError::Empty)?;
        Ok(Self { root_hash, bytes: levels.into_iter().rev().flatten().collect() })
    }

    fn verity(&self, salt: [u8; 32], data_blocks: u64) -> Verity {
        let tree_bytes = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        Verity { root_hash: self.root_hash, salt, data_blocks, tree_blocks: tree_bytes / BLOCK_BYTES }
    }
}

fn digest(salted: &Sha256Stream, block: &[u8]) -> [u8; 32] {
    let mut stream = salted.clone();
    stream.update(block);
    stream.finish().0
}

/// The digests of the data blocks, in order; every thread takes one stretch of them.
fn data_digests(image: &File, data_blocks: u64, salted: &Sha256Stream) -> Result<Vec<u8>, VerityError> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    let share = data_blocks.div_ceil(u64::try_from(threads).unwrap_or(1));
    let stretches = (0..data_blocks).step_by(usize::try_from(share).unwrap_or(usize::MAX));
    thread::scope(|scope| {
        let workers: Vec<_> = stretches
            .map(|start| start..start.saturating_add(share).min(data_blocks))
            .map(|blocks| scope.spawn(move || stretch_digests(image, blocks, salted)))
            .collect();
        let mut digests = Vec::new();
        for worker in workers {
            let stretch = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            digests.extend_from_slice(&stretch);
        }
        Ok(digests)
    })
}

fn stretch_digests(image: &File, blocks: Range<u64>, salted: &Sha256Stream) -> Result<Vec<u8>, VerityError> {
    let len = image.metadata()?.len();
    let mut digests = Vec::new();
    let mut at = blocks.start.saturating_mul(BLOCK_BYTES);
    let end = blocks.end.saturating_mul(BLOCK_BYTES);
    let mut buffer = Vec::new();
    while at < end {
        let next = end.min(at.saturating_add(READ_BLOCKS * BLOCK_BYTES));
        let wanted = next.min(len).saturating_sub(at);
        buffer.clear();
        buffer.resize(usize::try_from(wanted).unwrap_or(usize::MAX), 0);
        image.read_exact_at(&mut buffer, at)?;
        // The last block of data that is yet to be padded counts as padded.
        buffer.resize(buffer.len().next_multiple_of(TREE_BLOCK_BYTES), 0);
        digests.extend(buffer.chunks(TREE_BLOCK_BYTES).flat_map(|block| digest(salted, block)));
        at = next;
    }
    Ok(digests)
}
