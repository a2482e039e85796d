//! Many clients answered by one report: the RFC 9162 tree over their leaves (protocol.md §2.2).
//!
//! Decides: the root that REPORT_DATA covers, and where in its tree each client's leaf is. Prover and verifier are both here, so that
//! they cannot drift apart; the verifier's half ([`BatchPosition::root`]) trusts nothing it is given.

use serde::{Deserialize, Serialize};

use crate::crypto;
use crate::digest::Hex32;
use crate::lp::Lp;
use crate::rejection::Rejection;
use crate::report_data::{Exporter, Nonce, Role};

/// Where a client's leaf sits in a batch of clients answered by one report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchPosition {
    /// Index of the leaf, from zero.
    pub leaf_index: u64,
    /// Number of leaves.
    pub tree_size: u64,
    /// RFC 9162 inclusion path, from the leaf upwards.
    pub path: Vec<Hex32>,
}

impl BatchPosition {
    /// The only position in a batch of one.
    #[must_use]
    pub fn alone() -> Self {
        Self { leaf_index: 0, tree_size: 1, path: Vec::new() }
    }

    /// The root this path leads to from `leaf` (RFC 9162 §2.1.3.2).
    ///
    /// # Errors
    /// [`Rejection::BatchPath`] when the path does not have the shape of its tree.
    pub fn root(&self, leaf: [u8; 32]) -> Result<[u8; 32], Rejection> {
        if self.leaf_index >= self.tree_size {
            return Err(Rejection::BatchPath);
        }
        let mut index = self.leaf_index;
        let mut last = self.tree_size.saturating_sub(1);
        let mut root = leaf;
        for sibling in &self.path {
            if last == 0 {
                return Err(Rejection::BatchPath);
            }
            if index & 1 == 1 || index == last {
                root = batch_node(&sibling.0, &root);
                // A right edge without siblings of its own skips the levels where it stood alone.
                while index & 1 == 0 && index != 0 {
                    index >>= 1;
                    last >>= 1;
                }
            } else {
                root = batch_node(&root, &sibling.0);
            }
            index >>= 1;
            last >>= 1;
        }
        if last == 0 { Ok(root) } else { Err(Rejection::BatchPath) }
    }
}

/// The leaf of one client: `SHA-256(0x00 ‖ lp(role) ‖ lp(nonce) ‖ lp(exporter))`, without exporter a zero-length one.
#[must_use]
pub fn batch_leaf(role: Role, nonce: &Nonce, exporter: Option<&Exporter>) -> [u8; 32] {
    let exporter: &[u8] = exporter.map_or(&[], AsRef::as_ref);
    let mut bytes = vec![0x00];
    bytes.extend(Lp::new(role.as_str()).bytes(&nonce.0).bytes(exporter).finish());
    crypto::sha256(&bytes)
}

/// The root of a batch with a single leaf: the leaf.
#[must_use]
pub fn batch_root_of_one(leaf: [u8; 32]) -> [u8; 32] {
    leaf
}

/// The clients of one report.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The tree's levels, leaves first; the last one is the root alone. A node without a sibling is moved up as it is, which gives
    /// RFC 9162's tree.
    levels: Vec<Vec<[u8; 32]>>,
}

impl Batch {
    /// The batch of `leaves`, in their order; `None` without any.
    #[must_use]
    pub fn new(leaves: Vec<[u8; 32]>) -> Option<Self> {
        if leaves.is_empty() {
            return None;
        }
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let above = level.chunks(2).map(|pair| match pair {
                [left, right] => batch_node(left, right),
                alone => alone.first().copied().unwrap_or_default(),
            });
            levels.push(above.collect());
        }
        Some(Self { levels })
    }

    /// What REPORT_DATA covers.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or_default()
    }

    /// The position of each leaf, in their order.
    pub fn positions(&self) -> impl Iterator<Item = BatchPosition> + '_ {
        let count = self.levels.first().map_or(0, Vec::len);
        let tree_size = u64::try_from(count).unwrap_or(u64::MAX);
        (0..count).map(move |leaf| {
            let siblings = self.levels.iter().enumerate().filter_map(|(height, level)| level.get((leaf >> height) ^ 1));
            let leaf_index = u64::try_from(leaf).unwrap_or(u64::MAX);
            BatchPosition { leaf_index, tree_size, path: siblings.copied().map(Hex32).collect() }
        })
    }
}

/// An inner node of a batch: `SHA-256(0x01 ‖ left ‖ right)`.
fn batch_node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut context = crypto::Sha256Context::new();
    context.update(&[0x01]);
    context.update(left);
    context.update(right);
    context.finish()
}
