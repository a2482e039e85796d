//! A disk with a GUID partition table.
//!
//! Decides: sectors of 512 bytes, partitions in the given order from 1 MiB on, each at a multiple of 1 MiB, nothing between; the disk ends
//! 1 MiB behind the last partition's MiB, with the second table in its last sectors. Every GUID is the caller's, so the same parts make the
//! same bytes. GUIDs are given in the order of their text and swapped as the format wants.

use std::io::Write;

use crate::content::{ContentError, copy, zeros};
use crate::tree::Source;

/// Type of the EFI system partition, c12a7328-f81f-11d2-ba4b-00a0c93ec93b.
pub const TYPE_ESP: [u8; 16] =
    [0xc1, 0x2a, 0x73, 0x28, 0xf8, 0x1f, 0x11, 0xd2, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
/// Type of Linux data, 0fc63daf-8483-4772-8e79-3d69d8477de4.
pub const TYPE_LINUX_DATA: [u8; 16] =
    [0x0f, 0xc6, 0x3d, 0xaf, 0x84, 0x83, 0x47, 0x72, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4];
/// Entries of the table.
pub const PARTITIONS_MAX: usize = 128;
/// The longest name, in UTF-16 units.
pub const NAME_UNITS_MAX: usize = 36;
/// Partitions begin at multiples of this, and so does the end of the disk.
pub const ALIGN_BYTES: u64 = 1 << 20;
/// The largest disk, 16 TiB.
pub const DISK_BYTES_MAX: u64 = 1 << 44;

const SECTOR_BYTES: u64 = 512;
const ALIGN_SECTORS: u64 = ALIGN_BYTES / SECTOR_BYTES;
const ENTRY_BYTES: u32 = 128;
const TABLE_SECTORS: u64 = 32;
const HEADER_BYTES: u32 = 92;
const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;

/// A partition to write.
#[derive(Debug, Clone)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_guid: [u8; 16],
    /// Its own GUID.
    pub guid: [u8; 16],
    /// Its contents.
    pub source: Source,
}

/// Why a disk could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GptError {
    /// There are too many partitions, or none.
    #[error("{got} partitions, expected 1 to {PARTITIONS_MAX}")]
    Count {
        /// How many.
        got: usize,
    },
    /// A name is empty, too long, or another partition's.
    #[error("{name:?} is no name for a partition, or there are two of it")]
    Name {
        /// The name.
        name: String,
    },
    /// A GUID is zero, or another's.
    #[error("the GUID of {name:?} is zero, or there are two of it")]
    Guid {
        /// The partition.
        name: String,
    },
    /// A partition has no contents.
    #[error("partition {name:?} is empty")]
    Empty {
        /// The partition.
        name: String,
    },
    /// The disk would be larger than [`DISK_BYTES_MAX`].
    #[error("the disk would have more than {DISK_BYTES_MAX} bytes")]
    TooLarge,
    /// Contents could not be copied.
    #[error(transparent)]
    Content(#[from] ContentError),
}

/// Writes a disk and returns its length, a multiple of [`ALIGN_BYTES`].
///
/// # Errors
/// [`GptError`] when the partitions do not make a table, or contents cannot be copied.
pub fn write(disk_guid: [u8; 16], partitions: &[Partition], out: &mut impl Write) -> Result<u64, GptError> {
    let disk = Disk::of(disk_guid, partitions)?;
    let mut emit = |bytes: &[u8]| out.write_all(bytes).map_err(ContentError::Write);
    emit(&disk.protective_mbr())?;
    emit(&disk.header(1, disk.last_sector(), 2))?;
    emit(&disk.table)?;
    let mut written = (2 + TABLE_SECTORS).saturating_mul(SECTOR_BYTES);
    for (partition, extent) in partitions.iter().zip(&disk.extents) {
        let start = extent.first.saturating_mul(SECTOR_BYTES);
        zeros(start.saturating_sub(written), out)?;
        copy(&partition.source, extent.bytes, out)?;
        written = start.saturating_add(extent.bytes);
    }
    let second_table = disk.sectors.saturating_sub(1 + TABLE_SECTORS);
    zeros(second_table.saturating_mul(SECTOR_BYTES).saturating_sub(written), out)?;
    let mut emit = |bytes: &[u8]| out.write_all(bytes).map_err(ContentError::Write);
    emit(&disk.table)?;
    emit(&disk.header(disk.last_sector(), 1, second_table))?;
    Ok(disk.sectors.saturating_mul(SECTOR_BYTES))
}

/// Where a partition begins, and how long its contents are.
struct Extent {
    first: u64,
    bytes: u64,
}

struct Disk {
    guid: [u8; 16],
    sectors: u64,
    extents: Vec<Extent>,
    table: Vec<u8>,
}

impl Disk {
    fn of(guid: [u8; 16], partitions: &[Partition]) -> Result<Self, GptError> {
        if !(1..=PARTITIONS_MAX).contains(&partitions.len()) {
            return Err(GptError::Count { got: partitions.len() });
        }
        let mut guids = vec![[0; 16], guid];
        let mut names = Vec::new();
        let mut disk = Self { guid, sectors: ALIGN_SECTORS, extents: Vec::new(), table: Vec::new() };
        for partition in partitions {
            let name = || partition.name.clone();
            let units: Vec<u16> = partition.name.encode_utf16().collect();
            if !(1..=NAME_UNITS_MAX).contains(&units.len()) || names.contains(&units) {
                return Err(GptError::Name { name: name() });
            }
            if guids.contains(&partition.guid) {
                return Err(GptError::Guid { name: name() });
            }
            guids.push(partition.guid);
            let bytes = length(&partition.source)?;
            if bytes == 0 {
                return Err(GptError::Empty { name: name() });
            }
            disk.push(partition, &units, bytes)?;
            names.push(units);
        }
        disk.table.resize(usize::try_from(TABLE_SECTORS * SECTOR_BYTES).unwrap_or(0), 0);
        // The second table.
        disk.sectors = disk.sectors.saturating_add(ALIGN_SECTORS);
        Ok(disk)
    }

    fn push(&mut self, partition: &Partition, name: &[u16], bytes: u64) -> Result<(), GptError> {
        if bytes > DISK_BYTES_MAX || self.sectors > DISK_BYTES_MAX / SECTOR_BYTES {
            return Err(GptError::TooLarge);
        }
        let first = self.sectors;
        let end = first.saturating_add(bytes.div_ceil(SECTOR_BYTES));
        let last = end.saturating_sub(1);
        self.sectors = end.next_multiple_of(ALIGN_SECTORS);
        self.extents.push(Extent { first, bytes });
        self.table.extend(on_disk(partition.type_guid));
        self.table.extend(on_disk(partition.guid));
        for field in [first, last, 0] {
            self.table.extend(field.to_le_bytes());
        }
        let mut units = name.to_vec();
        units.resize(NAME_UNITS_MAX, 0);
        self.table.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        Ok(())
    }

    fn last_sector(&self) -> u64 {
        self.sectors.saturating_sub(1)
    }

    /// The sector that keeps programs without GPT from taking the disk for empty.
    fn protective_mbr(&self) -> Vec<u8> {
        let sectors = u32::try_from(self.last_sector()).unwrap_or(u32::MAX);
        let mut bytes = vec![0; 446];
        // Not active, from cylinder 0 head 0 sector 2, type GPT, to the end.
        bytes.extend([0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(sectors.to_le_bytes());
        bytes.resize(510, 0);
        bytes.extend([0x55, 0xaa]);
        bytes
    }

    fn header(&self, own: u64, other: u64, table: u64) -> Vec<u8> {
        let header = |checksum: u32| {
            let mut bytes = SIGNATURE.to_vec();
            for field in [REVISION, HEADER_BYTES, checksum, 0] {
                bytes.extend(field.to_le_bytes());
            }
            let last_usable = self.sectors.saturating_sub(2 + TABLE_SECTORS);
            for field in [own, other, 2 + TABLE_SECTORS, last_usable] {
                bytes.extend(field.to_le_bytes());
            }
            bytes.extend(on_disk(self.guid));
            bytes.extend(table.to_le_bytes());
            let entries = u32::try_from(PARTITIONS_MAX).unwrap_or(0);
            for field in [entries, ENTRY_BYTES, crc32fast::hash(&self.table)] {
                bytes.extend(field.to_le_bytes());
            }
            bytes
        };
        let mut sector = header(crc32fast::hash(&header(0)));
        sector.resize(usize::try_from(SECTOR_BYTES).unwrap_or(0), 0);
        sector
    }
}

fn length(source: &Source) -> Result<u64, GptError> {
    match source {
        Source::Bytes(bytes) => Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
        Source::File(path) => {
            let examined = std::fs::metadata(path);
            Ok(examined.map_err(|source| ContentError::Read { path: path.clone(), source })?.len())
        }
    }
}

/// The first three fields of a GUID are little-endian on disk.
fn on_disk(guid: [u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = guid;
    let [i, j, k, l, m, n, o, p] = rest;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}
