//! The table of kernel hashes: what a hypervisor writes for a direct boot, and where.
//!
//! Decides: the bytes, as QEMU lays them out (`target/i386/sev.c`, `SevHashTable`) and edk2's `BlobVerifierSevHashes` reads
//! them. The table can be placed by other means than SNP, so that a firmware's refusals can be seen on any machine.

use crate::crypto;
use crate::measure::ovmf::{HashTableArea, OvmfImage, SevSection, SevSectionKind};
use crate::measure::{MeasureError, PAGE_LEN};

/// Hashes of what a direct boot loads, which the firmware checks against before it starts the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelHashes {
    /// SHA-256 of the kernel file.
    pub kernel: [u8; 32],
    /// SHA-256 of the initial RAM disk, of nothing when there is none.
    pub initrd: [u8; 32],
    /// SHA-256 of the command line and its terminating zero byte.
    pub cmdline: [u8; 32],
}

impl KernelHashes {
    /// Hash the three parts of a direct boot. The command line comes without its terminator.
    ///
    /// # Errors
    /// [`MeasureError::CommandLine`] when the command line holds a zero byte.
    pub fn of(kernel: &[u8], initrd: Option<&[u8]>, cmdline: &str) -> Result<Self, MeasureError> {
        if cmdline.bytes().any(|byte| byte == 0) {
            return Err(MeasureError::CommandLine);
        }
        let mut terminated = crypto::Sha256Context::new();
        terminated.update(cmdline.as_bytes());
        terminated.update(&[0]);
        Ok(Self {
            kernel: crypto::sha256(kernel),
            initrd: crypto::sha256(initrd.unwrap_or_default()),
            cmdline: terminated.finish(),
        })
    }
}

/// A table of kernel hashes and the guest physical address it goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelHashesTable {
    /// Guest physical address, from the firmware's footer table.
    pub gpa: u32,
    /// The table and its padding.
    pub bytes: [u8; HASH_TABLE_PADDED_LEN],
}

/// The table of `hashes` for this firmware, and where the firmware looks for it.
///
/// Under SNP the hypervisor writes the zero page around it as well; elsewhere memory is zero to begin with.
///
/// # Errors
/// `measure.kernel_hashes_section`, `measure.kernel_hashes_table`, and what reading the firmware's tables can say.
pub fn kernel_hashes_table(firmware: &[u8], hashes: &KernelHashes) -> Result<KernelHashesTable, MeasureError> {
    let image = OvmfImage::parse(firmware)?;
    let (_, area) = place(&image, &image.sev_sections()?)?;
    Ok(KernelHashesTable { gpa: area.gpa, bytes: table(hashes) })
}

/// The page the hypervisor fills with hashes, when a kernel is booted directly.
pub(super) fn page(
    image: &OvmfImage<'_>,
    sections: &[SevSection],
    hashes: &KernelHashes,
) -> Result<[u8; PAGE_LEN], MeasureError> {
    let (offset, _) = place(image, sections)?;
    let mut page = [0; PAGE_LEN];
    for (target, byte) in page.iter_mut().skip(offset).zip(table(hashes)) {
        *target = byte;
    }
    Ok(page)
}

/// 9438d606-4f22-4cc9-b479-a793d411fd21: the table of hashes.
const HASH_TABLE_GUID: [u8; 16] = 0x06d6_3894_224f_c94c_b479_a793_d411_fd21_u128.to_be_bytes();
/// 97d02dd8-bd20-4c94-aa78-e7714d36ab2a: the command line's entry.
const CMDLINE_GUID: [u8; 16] = 0xd82d_d097_20bd_944c_aa78_e771_4d36_ab2a_u128.to_be_bytes();
/// 44baf731-3a2f-4bd7-9af1-41e29169781d: the initial RAM disk's entry.
const INITRD_GUID: [u8; 16] = 0x31f7_ba44_2f3a_d74b_9af1_41e2_9169_781d_u128.to_be_bytes();
/// 4de79437-abd2-427f-b835-d5b172d2045b: the kernel's entry.
const KERNEL_GUID: [u8; 16] = 0x3794_e74d_d2ab_7f42_b835_d5b1_72d2_045b_u128.to_be_bytes();

/// GUID, length and one hash.
const HASH_ENTRY_LEN: u16 = 16 + 2 + 32;
/// GUID, length and three entries.
const HASH_TABLE_LEN: u16 = 16 + 2 + 3 * HASH_ENTRY_LEN;
/// The table rounded up to 16 bytes, as the hypervisor writes it.
pub const HASH_TABLE_PADDED_LEN: usize = 176;

/// Where in the hashes page the table goes, and the area the firmware reserves for it.
fn place(image: &OvmfImage<'_>, sections: &[SevSection]) -> Result<(usize, HashTableArea), MeasureError> {
    let mut found = sections.iter().filter(|section| section.kind == SevSectionKind::KernelHashes);
    let (Some(section), None) = (found.next(), found.next()) else { return Err(MeasureError::KernelHashesSection) };
    let area = image.hash_table_area()?.ok_or(MeasureError::EntryMissing { entry: "SEV_HASH_TABLE" })?;
    let misplaced = |_| MeasureError::KernelHashesTable;
    let offset = area.gpa.checked_sub(section.gpa).ok_or(MeasureError::KernelHashesTable)?;
    let offset = usize::try_from(offset).map_err(misplaced)?;
    let (reserved, section_size) = (usize::try_from(area.size), usize::try_from(section.size));
    let fits = offset.checked_add(HASH_TABLE_PADDED_LEN).zip(section_size.ok()).is_some_and(|(end, size)| end <= size);
    if !fits || reserved.map_err(misplaced)? < HASH_TABLE_PADDED_LEN {
        return Err(MeasureError::KernelHashesTable);
    }
    Ok((offset, area))
}

fn table(hashes: &KernelHashes) -> [u8; HASH_TABLE_PADDED_LEN] {
    let mut table = Vec::with_capacity(HASH_TABLE_PADDED_LEN);
    table.extend(HASH_TABLE_GUID);
    table.extend(HASH_TABLE_LEN.to_le_bytes());
    for (guid, hash) in [(CMDLINE_GUID, hashes.cmdline), (INITRD_GUID, hashes.initrd), (KERNEL_GUID, hashes.kernel)] {
        table.extend(guid);
        table.extend(HASH_ENTRY_LEN.to_le_bytes());
        table.extend(hash);
    }
    table.resize(HASH_TABLE_PADDED_LEN, 0);
    table.try_into().expect("invariant: the table was brought to this length")
}
