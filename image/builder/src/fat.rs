//! The EFI system partition: a FAT file system with the one file that firmware starts.
//!
//! Decides: FAT32 with clusters of one sector, a size that follows from the file alone, the file in one piece, and the format's first day
//! as every date, so the same file makes the same bytes. Names fit the format's oldest form: there are no long ones.

/// The largest file that is taken.
pub const LOADER_BYTES_MAX: usize = 512 << 20;
/// Every file system is at least this large: below it has too few clusters to be FAT32.
pub const SIZE_BYTES_MIN: usize = 40 << 20;
/// Sizes are multiples of this.
const SIZE_UNIT_BYTES: usize = 1 << 20;
/// The two tables have four bytes each for every cluster of 512 bytes: a 64th; a 32nd and a unit leave room for the rest.
const OVERHEAD_DIVISOR: usize = 32;

const SECTOR_BYTES: u16 = 512;
const SECTOR: usize = 512;
const RESERVED_SECTORS: u16 = 32;
const TABLES: u8 = 2;
const TABLE_ENTRY_BYTES: usize = 4;
const INFO_SECTOR: u16 = 1;
const BACKUP_SECTOR: u16 = 6;

/// Where the directories and the file are; the numbers of clusters begin at 2.
const ROOT_CLUSTER: u32 = 2;
const EFI_CLUSTER: u32 = 3;
const BOOT_CLUSTER: u32 = 4;
const LOADER_CLUSTER: u32 = 5;
/// A link to the root directory is written so.
const NO_CLUSTER: u32 = 0;
const MEDIA: u8 = 0xf8;
const FIRST_ENTRIES: [u32; 2] = [0x0fff_fff8, 0x0fff_ffff];
const END_OF_CHAIN: u32 = 0x0fff_ffff;

const LABEL: &[u8; 11] = b"ESP        ";
const ATTRIBUTE_LABEL: u8 = 0x08;
const ATTRIBUTE_DIRECTORY: u8 = 0x10;
const ATTRIBUTE_FILE: u8 = 0x20;
/// 1 January 1980.
const FIRST_DAY: u16 = 0x0021;

/// Why a file system could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FatError {
    /// The file is larger than [`LOADER_BYTES_MAX`].
    #[error("the loader has {got} bytes, more than {LOADER_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        got: usize,
    },
}

/// A file system with `loader` as `EFI/BOOT/BOOTX64.EFI`.
///
/// # Errors
/// [`FatError`] when the file is too large.
pub fn esp(loader: &[u8], volume_id: u32) -> Result<Vec<u8>, FatError> {
    let too_large = FatError::TooLarge { got: loader.len() };
    if loader.len() > LOADER_BYTES_MAX {
        return Err(too_large);
    }
    let needed = loader.len().saturating_add(loader.len() / OVERHEAD_DIVISOR).saturating_add(SIZE_UNIT_BYTES);
    let size = needed.next_multiple_of(SIZE_UNIT_BYTES).max(SIZE_BYTES_MIN);
    let number = |number: usize| u32::try_from(number).map_err(|_| too_large);
    let sectors = number(size / SECTOR)?;
    // As if every sector were a cluster: a little more than needed.
    let table_bytes = (size / SECTOR).saturating_mul(TABLE_ENTRY_BYTES).next_multiple_of(SECTOR);
    let table_sectors = number(table_bytes / SECTOR)?;
    let loader_clusters = number(loader.len().div_ceil(SECTOR))?;
    let next_free = LOADER_CLUSTER.saturating_add(loader_clusters);
    let data_sectors = sectors
        .saturating_sub(u32::from(RESERVED_SECTORS))
        .saturating_sub(table_sectors.saturating_mul(u32::from(TABLES)));
    let free = data_sectors.saturating_sub(next_free.saturating_sub(ROOT_CLUSTER));

    let boot = [boot_sector(sectors, table_sectors, volume_id), information(free, next_free)].concat();
    let mut image = boot.clone();
    image.resize(usize::from(BACKUP_SECTOR).saturating_mul(SECTOR), 0);
    image.extend(boot);
    image.resize(usize::from(RESERVED_SECTORS).saturating_mul(SECTOR), 0);
    let mut table = table(loader_clusters);
    table.resize(table_bytes, 0);
    for _ in 0..TABLES {
        image.extend_from_slice(&table);
    }
    let first = if loader_clusters == 0 { NO_CLUSTER } else { LOADER_CLUSTER };
    let directories = [
        [entry(LABEL, ATTRIBUTE_LABEL, NO_CLUSTER, 0), entry(b"EFI        ", ATTRIBUTE_DIRECTORY, EFI_CLUSTER, 0)]
            .concat(),
        [links(EFI_CLUSTER, NO_CLUSTER), entry(b"BOOT       ", ATTRIBUTE_DIRECTORY, BOOT_CLUSTER, 0)].concat(),
        [links(BOOT_CLUSTER, EFI_CLUSTER), entry(b"BOOTX64 EFI", ATTRIBUTE_FILE, first, number(loader.len())?)]
            .concat(),
    ];
    for mut directory in directories {
        directory.resize(SECTOR, 0);
        image.extend(directory);
    }
    image.extend_from_slice(loader);
    image.resize(size, 0);
    Ok(image)
}

fn boot_sector(sectors: u32, table_sectors: u32, volume_id: u32) -> Vec<u8> {
    let mut bytes = b"\xeb\x58\x90CLOISTER".to_vec();
    bytes.extend(SECTOR_BYTES.to_le_bytes());
    bytes.push(1);
    bytes.extend(RESERVED_SECTORS.to_le_bytes());
    bytes.push(TABLES);
    // Entries of the root directory and sectors in 16 bits, which FAT32 has not.
    bytes.extend([0; 4]);
    bytes.push(MEDIA);
    // Sectors of a table in 16 bits; a geometry of 32 sectors and 64 heads that nobody looks at.
    for field in [0_u16, 32, 64] {
        bytes.extend(field.to_le_bytes());
    }
    // Hidden sectors; then flags and version in one.
    for field in [0, sectors, table_sectors, 0, ROOT_CLUSTER] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(INFO_SECTOR.to_le_bytes());
    bytes.extend(BACKUP_SECTOR.to_le_bytes());
    bytes.extend([0; 12]);
    // The first hard disk, and the mark of the three fields behind it.
    bytes.extend([0x80, 0, 0x29]);
    bytes.extend(volume_id.to_le_bytes());
    bytes.extend(LABEL);
    bytes.extend(b"FAT32   ");
    bytes.resize(SECTOR.saturating_sub(2), 0);
    bytes.extend([0x55, 0xaa]);
    bytes
}

/// The sector that says how much is free.
fn information(free: u32, next_free: u32) -> Vec<u8> {
    let mut bytes = b"RRaA".to_vec();
    bytes.resize(484, 0);
    bytes.extend(b"rrAa");
    bytes.extend(free.to_le_bytes());
    bytes.extend(next_free.to_le_bytes());
    bytes.resize(SECTOR.saturating_sub(2), 0);
    bytes.extend([0x55, 0xaa]);
    bytes
}

/// Which cluster follows which.
fn table(loader_clusters: u32) -> Vec<u8> {
    let end = LOADER_CLUSTER.saturating_add(loader_clusters);
    let chain = (LOADER_CLUSTER..end)
        .map(|cluster| cluster.saturating_add(1))
        .map(|next| if next == end { END_OF_CHAIN } else { next });
    let entries = FIRST_ENTRIES.into_iter().chain([END_OF_CHAIN; 3]).chain(chain);
    entries.flat_map(u32::to_le_bytes).collect()
}

/// A directory's entries for itself and its parent.
fn links(own: u32, parent: u32) -> Vec<u8> {
    let link = |name, cluster| entry(name, ATTRIBUTE_DIRECTORY, cluster, 0);
    [link(b".          ", own), link(b"..         ", parent)].concat()
}

fn entry(name: &[u8; 11], attribute: u8, cluster: u32, len: u32) -> Vec<u8> {
    let [low_0, low_1, high_0, high_1] = cluster.to_le_bytes();
    let [day_0, day_1] = FIRST_DAY.to_le_bytes();
    let mut bytes = name.to_vec();
    // Made at midnight of the first day, read on it, written at its midnight.
    bytes.extend([attribute, 0, 0, 0, 0, day_0, day_1, day_0, day_1, high_0, high_1, 0, 0, day_0, day_1, low_0, low_1]);
    bytes.extend(len.to_le_bytes());
    bytes
}
