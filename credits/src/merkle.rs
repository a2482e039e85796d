//! The RFC 9162 Merkle tree over a ledger's log: frontier, inclusion and consistency proofs, and their verification.
//!
//! Proofs are made from the hashes of complete subtrees, node `(level, index)` covering the `2^level` leaves from
//! `index·2^level` on; a store that keeps them answers in O(log n) reads. Verification trusts nothing but the roots it is
//! given. RFC 9162 §2.1; `docs/protocol.md` §4.2.

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes32;
use crate::hash::sha256;

/// RFC 9162 §2.1.1: `SHA-256(0x00 ‖ entry)`.
pub fn leaf_hash(entry: &[u8]) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(entry.len().saturating_add(1));
    bytes.push(0);
    bytes.extend_from_slice(entry);
    sha256(&bytes).0
}

/// RFC 9162 §2.1.1: `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Bytes32, right: &Bytes32) -> Bytes32 {
    let mut bytes = [1; 65];
    bytes.iter_mut().skip(1).zip(left.0.iter().chain(&right.0)).for_each(|(byte, value)| *byte = *value);
    sha256(&bytes)
}

/// Root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Bytes32 {
    sha256(&[])
}

/// A proof that cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError<E> {
    /// The position is not in a tree of that size.
    #[error("there is no position {position} in a tree of {size}")]
    OutOfRange {
        /// Leaf index, or size of the older tree.
        position: u64,
        /// Size of the tree.
        size: u64,
    },
    /// A node could not be read.
    #[error("a node of the tree could not be read")]
    Node(#[source] E),
}

/// A proof that proves nothing about the given roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Merkle proof does not verify")]
pub struct BadProof;

/// The complete subtrees a tree of some size is made of: all that appending needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FrontierParts", into = "FrontierParts")]
pub struct LogFrontier {
    size: u64,
    /// One hash per set bit of `size`, largest subtree first.
    peaks: Vec<Bytes32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontierParts {
    size: u64,
    peaks: Vec<Bytes32>,
}

impl TryFrom<FrontierParts> for LogFrontier {
    type Error = String;

    fn try_from(FrontierParts { size, peaks }: FrontierParts) -> Result<Self, String> {
        if u32::try_from(peaks.len()) != Ok(size.count_ones()) {
            return Err(format!("a log of {size} entries does not have {} complete subtrees", peaks.len()));
        }
        Ok(Self { size, peaks })
    }
}

impl From<LogFrontier> for FrontierParts {
    fn from(LogFrontier { size, peaks }: LogFrontier) -> Self {
        Self { size, peaks }
    }
}

impl LogFrontier {
    /// The frontier of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, one for each set bit of the size, largest first.
    pub fn peaks(&self) -> &[Bytes32] {
        &self.peaks
    }

    /// Appends a leaf hash.
    pub fn append(&mut self, leaf: [u8; 32]) {
        self.append_with(leaf, |_, _, _| ());
    }

    /// Appends a leaf hash and hands out every subtree it completes, the leaf itself first.
    pub fn append_with(&mut self, leaf: [u8; 32], mut completed: impl FnMut(u8, u64, Bytes32)) {
        let mut hash = Bytes32(leaf);
        let (mut level, mut index) = (0, self.size);
        completed(level, index, hash);
        while index % 2 == 1
            && let Some(left) = self.peaks.pop()
        {
            hash = node_hash(&left, &hash);
            (level, index) = (level + 1, index / 2);
            completed(level, index, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root.
    pub fn root(&self) -> Bytes32 {
        let mut peaks = self.peaks.iter().rev();
        let Some(smallest) = peaks.next() else { return empty_root() };
        peaks.fold(*smallest, |right, left| node_hash(left, &right))
    }
}

/// A tree that keeps all its complete subtrees in memory.
#[derive(Clone, Debug, Default)]
pub struct LogTree {
    frontier: LogFrontier,
    levels: Vec<Vec<Bytes32>>,
}

impl LogTree {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a leaf hash.
    pub fn append(&mut self, leaf: [u8; 32]) {
        let levels = &mut self.levels;
        self.frontier.append_with(leaf, |level, _, hash| {
            let level = usize::from(level);
            if levels.len() <= level {
                levels.resize_with(level + 1, Vec::new);
            }
            if let Some(nodes) = levels.get_mut(level) {
                nodes.push(hash);
            }
        });
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root.
    pub fn root(&self) -> Bytes32 {
        self.frontier.root()
    }

    /// What appending to it needs.
    pub const fn frontier(&self) -> &LogFrontier {
        &self.frontier
    }

    /// The hash of a complete subtree.
    pub fn node(&self, level: u8, index: u64) -> Option<Bytes32> {
        self.levels.get(usize::from(level))?.get(usize::try_from(index).ok()?).copied()
    }
}

/// RFC 9162 §2.1.3.1: the inclusion proof of leaf `index` in the tree of `size` leaves.
pub fn inclusion_proof<E>(
    index: u64,
    size: u64,
    mut node: impl FnMut(u8, u64) -> Result<Bytes32, E>,
) -> Result<Vec<Bytes32>, ProofError<E>> {
    if index >= size {
        return Err(ProofError::OutOfRange { position: index, size });
    }
    let mut proof = Vec::new();
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + split(high - low);
        // The recursion of the RFC runs from the root; its output runs from the leaf.
        if index < middle {
            proof.push(range_root(middle, high, &mut node)?);
            high = middle;
        } else {
            proof.push(range_root(low, middle, &mut node)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// RFC 9162 §2.1.4.1: the proof that the tree of `new_size` leaves extends the one of `old_size`. Nothing needs proof for the
/// empty tree and for equal sizes.
pub fn consistency_proof<E>(
    old_size: u64,
    new_size: u64,
    mut node: impl FnMut(u8, u64) -> Result<Bytes32, E>,
) -> Result<Vec<Bytes32>, ProofError<E>> {
    if old_size > new_size {
        return Err(ProofError::OutOfRange { position: old_size, size: new_size });
    }
    let mut proof = Vec::new();
    if old_size == 0 || old_size == new_size {
        return Ok(proof);
    }
    let (mut low, mut high) = (0, new_size);
    while high != old_size {
        let middle = low + split(high - low);
        if old_size <= middle {
            proof.push(range_root(middle, high, &mut node)?);
            high = middle;
        } else {
            proof.push(range_root(low, middle, &mut node)?);
            low = middle;
        }
    }
    // The old tree is a complete subtree of the new one exactly when nothing was split off on its left; then its root is
    // what the verifier already has.
    if low > 0 {
        proof.push(range_root(low, high, &mut node)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The largest power of two below `length`, which is at least 2.
const fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

/// Root over the leaves `low..high`, a range that [`split`] made: `low` is a multiple of its first subtree's size.
fn range_root<E>(
    low: u64,
    high: u64,
    node: &mut impl FnMut(u8, u64) -> Result<Bytes32, E>,
) -> Result<Bytes32, ProofError<E>> {
    // The complete subtrees of the range, largest first, folded from the right.
    let mut subtrees = Vec::new();
    let mut at = low;
    while at < high {
        let level = (high - at).ilog2();
        let level_byte = u8::try_from(level).expect("invariant: a logarithm of a u64 is below 64");
        subtrees.push(node(level_byte, at >> level).map_err(ProofError::Node)?);
        at += 1 << level;
    }
    let mut subtrees = subtrees.into_iter().rev();
    let smallest = subtrees.next().expect("invariant: split ranges are not empty");
    Ok(subtrees.fold(smallest, |right, left| node_hash(&left, &right)))
}

/// RFC 9162 §2.1.3.2.
pub fn verify_inclusion(
    leaf: [u8; 32],
    index: u64,
    size: u64,
    proof: &[Bytes32],
    root: &Bytes32,
) -> Result<(), BadProof> {
    if index >= size {
        return Err(BadProof);
    }
    let (mut fn_, mut sn) = (index, size - 1);
    let mut hash = Bytes32(leaf);
    for sibling in proof {
        if sn == 0 {
            return Err(BadProof);
        }
        if fn_ % 2 == 1 || fn_ == sn {
            hash = node_hash(sibling, &hash);
            while fn_ % 2 == 0 && fn_ != 0 {
                (fn_, sn) = (fn_ >> 1, sn >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (fn_, sn) = (fn_ >> 1, sn >> 1);
    }
    if sn == 0 && hash == *root { Ok(()) } else { Err(BadProof) }
}

/// RFC 9162 §2.1.4.2. From the empty tree, and between equal sizes, only the empty proof is accepted.
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    proof: &[Bytes32],
    old_root: &Bytes32,
    new_root: &Bytes32,
) -> Result<(), BadProof> {
    if old_size == 0 || old_size == new_size {
        let roots_agree = if old_size == 0 { *old_root == empty_root() } else { old_root == new_root };
        return if proof.is_empty() && roots_agree { Ok(()) } else { Err(BadProof) };
    }
    if old_size > new_size {
        return Err(BadProof);
    }
    // A complete old tree is its own first node.
    let (first, rest) =
        if old_size.is_power_of_two() { (old_root, proof) } else { proof.split_first().ok_or(BadProof)? };
    if rest.is_empty() {
        return Err(BadProof);
    }
    let (mut fn_, mut sn) = (old_size - 1, new_size - 1);
    while fn_ % 2 == 1 {
        (fn_, sn) = (fn_ >> 1, sn >> 1);
    }
    let (mut old, mut new) = (*first, *first);
    for node in rest {
        if sn == 0 {
            return Err(BadProof);
        }
        if fn_ % 2 == 1 || fn_ == sn {
            (old, new) = (node_hash(node, &old), node_hash(node, &new));
            while fn_ % 2 == 0 && fn_ != 0 {
                (fn_, sn) = (fn_ >> 1, sn >> 1);
            }
        } else {
            new = node_hash(&new, node);
        }
        (fn_, sn) = (fn_ >> 1, sn >> 1);
    }
    if sn == 0 && old == *old_root && new == *new_root { Ok(()) } else { Err(BadProof) }
}

#[cfg(test)]
#[path = "merkle_tests.rs"]
mod tests;
