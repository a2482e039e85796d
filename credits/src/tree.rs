//! The note tree: 4-ary, depth 16, appended left to right, empty leaves 0. `docs/protocol.md` §3.1.
//!
//! [`NoteTree`] keeps every leaf and gives authentication paths: wallets use it, because no query for one leaf's path may
//! exist (it would name the note). [`NoteFrontier`] keeps only what the next root depends on: ledgers use it. Both store
//! complete nodes only, so an append costs a third of a hash on average and a root 16 hashes.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::field::Fe;
use crate::hash::poseidon;
use crate::note::{Leaf, Root};

/// Levels between a leaf and the root.
pub const DEPTH: usize = 16;
/// Children of a node.
pub const ARITY: usize = 4;
/// The most leaves: `ARITY^DEPTH`.
pub const LEAVES_MAX: u64 = 1 << 32;

/// Every so many leaves the tree has an *anchor*: the root that spends are proved against, so that a spend's root says no more
/// of its time than that (protocol §4.3).
pub const ANCHOR_STEP: u64 = 64;
/// An anchor is accepted while fewer leaves than this follow it, whatever a ledger's window.
pub const ANCHOR_LIFE: u64 = 2 * ANCHOR_STEP;

/// How many leaves the root is over that a note is spent under, in a tree of `len` leaves: the newest anchor's, or all when the
/// note is younger than that.
pub const fn spent_under(len: u64, index: u64) -> u64 {
    let anchor = len - len % ANCHOR_STEP;
    if index < anchor { anchor } else { len }
}

/// The number of leaves below a node of a level, as a shift: `ARITY^level = 1 << (2 * level)`.
const ARITY_BITS: u32 = 2;

/// The tree has [`LEAVES_MAX`] leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the note tree is full")]
pub struct TreeFull;

/// The siblings of a leaf, from the leaf's level up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotePath {
    index: u64,
    siblings: [[Fe; ARITY - 1]; DEPTH],
}

impl NotePath {
    /// The leaf's number.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The other children of the leaf's ancestors, in order, from the leaf's level up.
    pub const fn siblings(&self) -> &[[Fe; ARITY - 1]; DEPTH] {
        &self.siblings
    }

    /// Which child of its parent the leaf's ancestor at `level` is.
    pub fn position(&self, level: usize) -> usize {
        digit(self.index, level)
    }

    /// All children at a level when `node` is the leaf's ancestor there.
    pub(crate) fn children(&self, level: usize, node: Fe) -> [Fe; ARITY] {
        let [a, b, c] = self.siblings.get(level).copied().unwrap_or_default();
        match self.position(level) {
            0 => [node, a, b, c],
            1 => [a, node, b, c],
            2 => [a, b, node, c],
            _ => [a, b, c, node],
        }
    }

    /// The root that the path leads to from `leaf`.
    pub fn root(&self, leaf: Leaf) -> Root {
        Root((0..DEPTH).fold(leaf.0, |node, level| poseidon(self.children(level, node))))
    }
}

/// The whole tree.
#[derive(Clone, Debug)]
pub struct NoteTree {
    /// Complete nodes by level, leaves first.
    levels: [Vec<Fe>; DEPTH + 1],
}

impl Default for NoteTree {
    fn default() -> Self {
        Self::new()
    }
}

impl NoteTree {
    /// The empty tree.
    pub const fn new() -> Self {
        Self { levels: [const { Vec::new() }; DEPTH + 1] }
    }

    /// Appends a leaf and returns its number.
    pub fn append(&mut self, leaf: Leaf) -> Result<u64, TreeFull> {
        let index = self.len();
        if index >= LEAVES_MAX {
            return Err(TreeFull);
        }
        let mut node = leaf.0;
        for (level, nodes) in self.levels.iter_mut().enumerate() {
            nodes.push(node);
            let family = nodes.len().checked_sub(ARITY).and_then(|start| nodes.get(start..));
            match family.and_then(|family| <[Fe; ARITY]>::try_from(family).ok()) {
                Some(children) if digit(index, level) == ARITY - 1 && level < DEPTH => node = poseidon(children),
                _ => break,
            }
        }
        Ok(index)
    }

    /// The number of leaves.
    pub fn len(&self) -> u64 {
        let [leaves, ..] = &self.levels;
        u64::try_from(leaves.len()).unwrap_or(u64::MAX)
    }

    /// Whether the tree has no leaf.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The leaves, in order.
    pub fn leaves(&self) -> impl ExactSizeIterator<Item = Leaf> {
        let [leaves, ..] = &self.levels;
        leaves.iter().copied().map(Leaf)
    }

    /// A leaf by number.
    pub fn leaf(&self, index: u64) -> Option<Leaf> {
        let [leaves, ..] = &self.levels;
        leaves.get(usize::try_from(index).ok()?).copied().map(Leaf)
    }

    /// The root.
    pub fn root(&self) -> Root {
        Root(self.edge(self.len()).last().copied().flatten().unwrap_or(empty_node(DEPTH)))
    }

    /// The authentication path of a leaf.
    pub fn path(&self, index: u64) -> Option<NotePath> {
        self.path_under(index, self.len())
    }

    /// The authentication path of a leaf to the root over the first `len` leaves, which the tree has.
    pub fn path_under(&self, index: u64, len: u64) -> Option<NotePath> {
        if index >= len || len > self.len() {
            return None;
        }
        let edge = self.edge(len);
        let mut path = NotePath { index, siblings: [[Fe::ZERO; ARITY - 1]; DEPTH] };
        for (level, siblings) in path.siblings.iter_mut().enumerate() {
            let ancestor = usize::try_from(index >> bits_below(level)).ok()?;
            let position = digit(index, level);
            let first = ancestor.checked_sub(position)?;
            let others = (first..).take(ARITY).filter(|child| *child != ancestor);
            siblings.iter_mut().zip(others).for_each(|(sibling, child)| *sibling = self.node(level, child, len, &edge));
        }
        Some(path)
    }

    /// The node of a level by number, over the first `len` leaves: complete, or the one at the right edge, or empty.
    fn node(&self, level: usize, number: usize, len: u64, edge: &[Option<Fe>; DEPTH + 1]) -> Fe {
        let complete = complete_nodes(level, len);
        let nodes = self.levels.get(level).map_or(&[][..], Vec::as_slice);
        match nodes.get(number) {
            Some(node) if number < complete => *node,
            _ if number == complete => edge.get(level).copied().flatten().unwrap_or(empty_node(level)),
            _ => empty_node(level),
        }
    }

    fn edge(&self, len: u64) -> [Option<Fe>; DEPTH + 1] {
        let mut rests: [&[Fe]; DEPTH] = [&[]; DEPTH];
        for (level, (rest, nodes)) in rests.iter_mut().zip(&self.levels).enumerate() {
            let complete = complete_nodes(level, len);
            *rest = nodes.get(complete.saturating_sub(digit(len, level))..complete).unwrap_or_default();
        }
        let [.., top] = &self.levels;
        right_edge(rests, top.first().copied().filter(|_| len == LEAVES_MAX))
    }
}

/// How many nodes of a level are complete over `len` leaves.
fn complete_nodes(level: usize, len: u64) -> usize {
    usize::try_from(len.checked_shr(bits_below(level)).unwrap_or_default()).unwrap_or(usize::MAX)
}

/// What the next roots of a tree depend on: per level the complete nodes whose parent is not complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FrontierParts", into = "FrontierParts")]
pub struct NoteFrontier {
    len: u64,
    rests: [Vec<Fe>; DEPTH],
    full: Option<Fe>,
}

impl Default for NoteFrontier {
    fn default() -> Self {
        Self::new()
    }
}

impl NoteFrontier {
    /// The frontier of the empty tree.
    pub const fn new() -> Self {
        Self { len: 0, rests: [const { Vec::new() }; DEPTH], full: None }
    }

    /// Appends a leaf and returns its number.
    pub fn append(&mut self, leaf: Leaf) -> Result<u64, TreeFull> {
        let index = self.len;
        if index >= LEAVES_MAX {
            return Err(TreeFull);
        }
        let mut carry = Some(leaf.0);
        for rest in &mut self.rests {
            let Some(node) = carry.take() else { break };
            rest.push(node);
            if let Ok(children) = <[Fe; ARITY]>::try_from(rest.as_slice()) {
                rest.clear();
                carry = Some(poseidon(children));
            }
        }
        self.full = carry;
        self.len = index.saturating_add(1);
        Ok(index)
    }

    /// The number of leaves.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the tree has no leaf.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The root.
    pub fn root(&self) -> Root {
        let rests = self.rests.each_ref().map(Vec::as_slice);
        Root(right_edge(rests, self.full).last().copied().flatten().unwrap_or(empty_node(DEPTH)))
    }
}

/// The stored form of a [`NoteFrontier`]; reading it back checks the shape.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontierParts {
    len: u64,
    rests: Vec<Vec<Fe>>,
    full: Option<Fe>,
}

/// A stored frontier whose nodes do not fit its number of leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the nodes of a stored note frontier do not fit its number of leaves")]
struct FrontierShape;

impl From<NoteFrontier> for FrontierParts {
    fn from(frontier: NoteFrontier) -> Self {
        Self { len: frontier.len, rests: frontier.rests.into(), full: frontier.full }
    }
}

impl TryFrom<FrontierParts> for NoteFrontier {
    type Error = FrontierShape;

    fn try_from(parts: FrontierParts) -> Result<Self, FrontierShape> {
        let rests: [Vec<Fe>; DEPTH] = parts.rests.try_into().map_err(|_| FrontierShape)?;
        let fits = rests.iter().enumerate().all(|(level, rest)| rest.len() == digit(parts.len, level))
            && parts.len <= LEAVES_MAX
            && parts.full.is_some() == (parts.len == LEAVES_MAX);
        if fits { Ok(Self { len: parts.len, rests, full: parts.full }) } else { Err(FrontierShape) }
    }
}

/// The incomplete node at the right edge of each level, where there is one; the last is the root unless the tree is empty.
fn right_edge(rests: [&[Fe]; DEPTH], full: Option<Fe>) -> [Option<Fe>; DEPTH + 1] {
    let mut edge = [None; DEPTH + 1];
    let mut below = None;
    for (level, (rest, above)) in rests.into_iter().zip(edge.iter_mut().skip(1)).enumerate() {
        let mut children = [empty_node(level); ARITY];
        let known = rest.iter().copied().chain(below);
        let count = rest.len().saturating_add(usize::from(below.is_some()));
        children.iter_mut().zip(known).for_each(|(child, node)| *child = node);
        below = if count == 0 { None } else { Some(poseidon(children)) };
        *above = below;
    }
    if let (Some(root), Some(full)) = (edge.last_mut(), full) {
        *root = Some(full);
    }
    edge
}

/// The root of an empty subtree whose root is at `level`.
fn empty_node(level: usize) -> Fe {
    static EMPTY: LazyLock<[Fe; DEPTH + 1]> = LazyLock::new(|| {
        let mut nodes = [Fe::ZERO; DEPTH + 1];
        nodes.iter_mut().skip(1).fold(Fe::ZERO, |below, node| {
            *node = poseidon([below; ARITY]);
            *node
        });
        nodes
    });
    EMPTY.get(level).copied().unwrap_or_default()
}

/// The bits of a leaf's number that select below `level`.
fn bits_below(level: usize) -> u32 {
    u32::try_from(level).unwrap_or(u32::MAX).saturating_mul(ARITY_BITS)
}

/// The base-4 digit of a number at `level`.
fn digit(number: u64, level: usize) -> usize {
    let shifted = number.checked_shr(bits_below(level)).unwrap_or_default();
    usize::try_from(shifted & 3).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::seeded;

    /// The definition: hash the padded leaves level by level.
    fn root_by_definition(leaves: &[Fe]) -> Root {
        let mut nodes = leaves.to_vec();
        let mut empty = Fe::ZERO;
        for _ in 0..DEPTH {
            nodes = nodes
                .chunks(ARITY)
                .map(|chunk| {
                    let mut children = [empty; ARITY];
                    children[..chunk.len()].copy_from_slice(chunk);
                    poseidon(children)
                })
                .collect();
            empty = poseidon([empty; ARITY]);
        }
        Root(nodes.first().copied().unwrap_or(empty))
    }

    #[test]
    fn tree_frontier_and_definition_agree_at_every_size() {
        let (mut tree, mut frontier, mut leaves) = (NoteTree::new(), NoteFrontier::new(), Vec::new());
        assert_eq!(tree.root(), root_by_definition(&[]));
        for number in 0..70u64 {
            let leaf = Leaf(Fe::from(1000 + number));
            assert_eq!(tree.append(leaf), Ok(number));
            assert_eq!(frontier.append(leaf), Ok(number));
            leaves.push(leaf.0);
            assert_eq!(tree.root(), root_by_definition(&leaves), "{number}");
            assert_eq!(frontier.root(), tree.root(), "{number}");
            assert_eq!((frontier.len(), tree.len()), (number + 1, number + 1));
        }
        for (index, leaf) in tree.leaves().enumerate() {
            let path = tree.path(u64::try_from(index).unwrap()).unwrap();
            assert_eq!(path.root(leaf), tree.root(), "{index}");
            assert_ne!(path.root(Leaf(Fe::from(1))), tree.root(), "{index}");
        }
        assert_eq!(tree.path(70), None);
        // And under the root of every smaller tree.
        for len in 1..=leaves.len() {
            let (root, size) = (root_by_definition(&leaves[..len]), u64::try_from(len).unwrap());
            for index in [0, size / 2, size - 1] {
                let leaf = tree.leaf(index).unwrap();
                assert_eq!(tree.path_under(index, size).unwrap().root(leaf), root, "{index} of {len}");
            }
            assert_eq!(tree.path_under(size, size), None);
        }
        assert_eq!(tree.path_under(0, 71), None);
    }

    #[test]
    fn notes_are_spent_under_the_newest_anchor_that_has_them() {
        let step = ANCHOR_STEP;
        for (len, index, under) in [
            (1, 0, 1),
            (step - 1, 0, step - 1),
            (step, step - 1, step),
            (step + 1, 0, step),
            (step + 1, step, step + 1),
            (3 * step - 1, step, 2 * step),
            (3 * step - 1, 2 * step, 3 * step - 1),
        ] {
            assert_eq!(spent_under(len, index), under, "{index} of {len}");
        }
    }

    #[test]
    fn the_last_leaf_fits_and_one_more_is_refused() {
        // A tree of 2^32 - 1 leaves cannot be built here: its frontier can.
        let parts = FrontierParts { len: LEAVES_MAX - 1, rests: vec![vec![Fe::from(5); 3]; DEPTH], full: None };
        let mut frontier = NoteFrontier::try_from(parts).unwrap();
        assert_eq!(frontier.append(Leaf(Fe::from(5))), Ok(LEAVES_MAX - 1));
        assert_eq!(frontier.append(Leaf(Fe::from(5))), Err(TreeFull));
        let stored = serde_json::to_string(&frontier).unwrap();
        assert_eq!(serde_json::from_str::<NoteFrontier>(&stored).unwrap(), frontier);
        assert_eq!(frontier.root().0, frontier.full.unwrap());
    }

    #[test]
    fn a_stored_frontier_must_have_its_shape() {
        let mut frontier = NoteFrontier::new();
        for number in 0..9 {
            frontier.append(Leaf(Fe::from(number))).unwrap();
        }
        let stored = serde_json::to_value(&frontier).unwrap();
        assert_eq!(serde_json::from_value::<NoteFrontier>(stored.clone()).unwrap(), frontier);
        for (pointer, value) in
            [("/len", 10.into()), ("/rests/0", serde_json::json!([])), ("/full", stored["rests"][0][0].clone())]
        {
            let mut broken = stored.clone();
            *broken.pointer_mut(pointer).unwrap() = value;
            let error = serde_json::from_value::<NoteFrontier>(broken).unwrap_err().to_string();
            assert_eq!(error, FrontierShape.to_string(), "{pointer}");
        }
    }

    proptest! {
        #![proptest_config(seeded(24))]
        #[test]
        fn stored_and_live_frontiers_agree_with_the_tree(leaves in proptest::collection::vec(any::<u64>(), 0..200), cut in 0usize..200) {
            let (mut tree, mut frontier) = (NoteTree::new(), NoteFrontier::new());
            for (number, leaf) in leaves.iter().enumerate() {
                if number == cut {
                    frontier = serde_json::from_str(&serde_json::to_string(&frontier).unwrap()).unwrap();
                }
                tree.append(Leaf(Fe::from(*leaf))).unwrap();
                frontier.append(Leaf(Fe::from(*leaf))).unwrap();
            }
            prop_assert_eq!(tree.root(), frontier.root());
            prop_assert_eq!(tree.root(), root_by_definition(&leaves.iter().copied().map(Fe::from).collect::<Vec<_>>()));
        }
    }
}
