//! The nodes of the tree that the proofs of the newest entries need, so that nobody learns who asks for which.
//!
//! Of a log that began before this boot they are the peaks of its frontier then, and what was completed since. What only forgotten entries
//! need is dropped: there are about two nodes for each entry that is held, and a few.

use std::collections::HashMap;

use credits::merkle::inclusion_proof;
use credits::{Bytes32, LogFrontier};

#[derive(Debug, Default)]
pub(super) struct Nodes(HashMap<(u8, u64), Bytes32>);

impl Nodes {
    /// Of a log that ends there.
    pub(super) fn new(frontier: &LogFrontier) -> Self {
        let size = frontier.size();
        let levels = (0..64_u8).rev().filter(|level| size >> level & 1 == 1);
        // The peak at a level covers what is behind the larger ones.
        let nodes = levels.zip(frontier.peaks()).map(|(level, peak)| ((level, (size >> level) - 1), *peak));
        Self(nodes.collect())
    }

    /// Appends a leaf, and keeps what it completes.
    pub(super) fn append(&mut self, frontier: &mut LogFrontier, leaf: [u8; 32]) {
        frontier.append_with(leaf, |level, index, hash| {
            self.0.insert((level, index), hash);
        });
    }

    /// The entry at `index`, and those before it, are not asked for any more. What lies below a node whose entries are all forgotten no
    /// proof needs: every proof is of a later entry, which lies behind it.
    pub(super) fn forget(&mut self, index: u64) {
        let mut level = 0_u8;
        while level < 64 && (index >> level) & 1 == 1 {
            let right = index >> level;
            self.0.remove(&(level, right));
            self.0.remove(&(level, right - 1));
            level += 1;
        }
    }

    /// RFC 9162 §2.1.3.1. Nothing for an entry that is too old, or is not among the first `size`.
    pub(super) fn inclusion(&self, index: u64, size: u64) -> Option<Vec<Bytes32>> {
        inclusion_proof(index, size, |level, index| self.0.get(&(level, index)).copied().ok_or(())).ok()
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use credits::merkle::{leaf_hash, verify_inclusion};

    use super::*;

    fn leaf(number: u64) -> [u8; 32] {
        leaf_hash(&number.to_be_bytes())
    }

    fn frontier(size: u64) -> LogFrontier {
        let mut frontier = LogFrontier::new();
        (0..size).for_each(|number| frontier.append(leaf(number)));
        frontier
    }

    /// From every size at which a boot may find the log, every entry that comes then is shown under every later head.
    #[test]
    fn what_came_since_boot_is_shown_wherever_the_log_began() {
        for began in (0..70).chain([255, 256, 257, 1023]) {
            let mut frontier = frontier(began);
            let mut nodes = Nodes::new(&frontier);
            for size in began + 1..began + 20 {
                nodes.append(&mut frontier, leaf(size - 1));
                for index in began..size {
                    let proof = nodes.inclusion(index, size).unwrap();
                    verify_inclusion(leaf(index), index, size, &proof, &frontier.root()).unwrap();
                }
                assert!(nodes.inclusion(size, size).is_none());
            }
        }
    }

    /// Memory is bounded by what may be asked for.
    #[test]
    fn old_entries_give_way_and_new_ones_are_still_shown() {
        for (began, held, all) in [(77, 1000, 20_000), (0, 3, 300), (255, 1, 700), (256, 64, 900)] {
            let mut frontier = frontier(began);
            let mut nodes = Nodes::new(&frontier);
            for size in began + 1..=all {
                nodes.append(&mut frontier, leaf(size - 1));
                if size > began + held {
                    nodes.forget(size - 1 - held);
                }
                for index in [size.saturating_sub(held).max(began), size - 1] {
                    let proof = nodes.inclusion(index, size).unwrap();
                    verify_inclusion(leaf(index), index, size, &proof, &frontier.root()).unwrap();
                }
            }
            let most = usize::try_from(2 * held + 64).unwrap();
            assert!(nodes.count() <= most, "{} nodes for {held} entries", nodes.count());
        }
    }
}
