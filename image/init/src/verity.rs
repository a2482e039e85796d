//! dm-verity tables: a function of the measured volume and of the device it is expected on.
//!
//! No superblock is read: every parameter is measured. `check_at_most_once` never appears, because the host can change a block
//! after its first read; `panic_on_corruption` does, so that nothing goes on after one wrong byte.

use crate::config::{BLOCK_LEN, Volume};

/// Length of the sectors in which the device mapper counts.
pub const SECTOR_LEN: u64 = 512;

/// Digests of 32 bytes that fit in one block of the tree.
const HASHES_PER_BLOCK: u64 = BLOCK_LEN / 32;

/// Blocks of the hash tree over `data_blocks`, all levels; one data block needs none but has a root all the same.
#[must_use]
pub fn tree_blocks(data_blocks: u64) -> u64 {
    let mut level = data_blocks;
    let mut sum: u64 = 0;
    while level > 1 {
        level = level.div_ceil(HASHES_PER_BLOCK);
        sum = sum.saturating_add(level);
    }
    sum
}

/// Bytes of the device: data and tree.
#[must_use]
pub fn device_bytes(volume: &Volume) -> u64 {
    volume.data_blocks.saturating_add(tree_blocks(volume.data_blocks)).saturating_mul(BLOCK_LEN)
}

/// Sectors of the mapped device: the data.
#[must_use]
pub fn data_sectors(volume: &Volume) -> u64 {
    volume.data_blocks.saturating_mul(BLOCK_LEN / SECTOR_LEN)
}

/// Parameters of the `verity` target for `volume` on `device` (`major:minor`).
#[must_use]
pub fn table(volume: &Volume, device: &str) -> String {
    let Volume { data_blocks, root_hash, salt, .. } = volume;
    format!(
        "1 {device} {device} {BLOCK_LEN} {BLOCK_LEN} {data_blocks} {data_blocks} sha256 {root_hash} {salt} 1 panic_on_corruption"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::volume;

    #[test]
    fn table_is_the_documented_one() {
        let expected = format!(
            "1 254:0 254:0 4096 4096 8515 8515 sha256 {} {} 1 panic_on_corruption",
            "a".repeat(64),
            "5".repeat(64)
        );
        let table = table(&volume("root", "a", 8515), "254:0");
        assert_eq!(table, expected);
        assert!(!table.contains("check_at_most_once"));
    }

    #[test]
    fn tree_has_the_blocks_that_veritysetup_writes() {
        // One block of hashes per 128 blocks below, until one is left; checked against `veritysetup format --no-superblock`.
        for (data, tree) in [(1, 0), (2, 1), (128, 1), (129, 3), (128 * 128, 129), (128 * 128 + 1, 132)] {
            assert_eq!(tree_blocks(data), tree, "{data} data blocks");
        }
        assert_eq!(device_bytes(&volume("root", "a", 129)), 132 * 4096);
        assert_eq!(data_sectors(&volume("root", "a", 129)), 129 * 8);
    }
}
