//! The tables inside an OVMF firmware image: the GUID-ed footer table and the SEV and TDVF metadata it points to.
//!
//! Decides: whether the tables are well formed, and what they say. Trusts nothing: every offset and count is bounded
//! before use. On exit the sections are page-aligned and the memory they describe is within [`SECTION_PAGES_MAX`];
//! whether the image is one the caller wants is for its digest to say.
//!
//! Layouts: edk2 `OvmfPkg/ResetVector` (footer table, SEV metadata), TDVF Design Guide "TDVF Metadata".

use super::{MeasureError, PAGE_LEN};
use crate::reader::Reader;

/// Largest firmware image read.
pub const FIRMWARE_BYTES_MAX: usize = 64 << 20;

/// Most sections one metadata table may have.
pub const SECTIONS_MAX: u32 = 64;

/// Most pages all sections of one metadata table may describe together: 256 MiB.
pub const SECTION_PAGES_MAX: u64 = 65_536;

/// Most entries in the footer table.
const ENTRIES_MAX: usize = 64;

/// The footer entry ends this far before the end of the image, where the reset vector stands.
const RESET_VECTOR_LEN: usize = 32;

/// Length and GUID, the part every entry of the footer table has.
const ENTRY_HEADER_LEN: usize = 18;

/// Where the image ends in guest memory.
const FOUR_GIB: u64 = 1 << 32;

type Guid = [u8; 16];

/// 96b582de-1fb2-45f7-baea-a366c55a082d: the footer itself.
const FOOTER: Guid = 0xde82_b596_b21f_f745_baea_a366_c55a_082d_u128.to_be_bytes();
/// 7255371f-3a3b-4b04-927b-1da6efa8d454: where the table of kernel hashes goes.
const SEV_HASH_TABLE: Guid = 0x1f37_5572_3b3a_044b_927b_1da6_efa8_d454_u128.to_be_bytes();
/// 00f771de-1a7e-4fcb-890e-68c77e2fb44e: where application processors start.
const SEV_ES_RESET_BLOCK: Guid = 0xde71_f700_7e1a_cb4f_890e_68c7_7e2f_b44e_u128.to_be_bytes();
/// dc886566-984a-4798-a75e-5585a7bf67cc: where the SEV metadata is.
const SEV_METADATA: Guid = 0x6665_88dc_4a98_9847_a75e_5585_a7bf_67cc_u128.to_be_bytes();
/// e47a6535-984a-4798-865e-4685a7bf8ec2: where the TDVF metadata is.
const TDX_METADATA: Guid = 0x3565_7ae4_4a98_9847_865e_4685_a7bf_8ec2_u128.to_be_bytes();

/// An OVMF image whose footer table is well formed.
#[derive(Debug, Clone)]
pub struct OvmfImage<'a> {
    bytes: &'a [u8],
    entries: Vec<(Guid, &'a [u8])>,
}

/// What the hypervisor does with the pages of a SEV metadata section (edk2 `OvmfSevMetadata.asm`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SevSectionKind {
    /// Memory the firmware uses before it accepts any: zero pages.
    SecMemory,
    /// The secrets page.
    Secrets,
    /// The CPUID page.
    Cpuid,
    /// The calling area of a secure VM service module: zero pages.
    SvsmCallingArea,
    /// The page that takes kernel, initrd and command-line hashes.
    KernelHashes,
}

/// One section of the SEV metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SevSection {
    /// First guest physical address; page-aligned.
    pub gpa: u32,
    /// Bytes; whole pages, at least one.
    pub size: u32,
    /// What the pages are.
    pub kind: SevSectionKind,
}

/// Where the table of kernel hashes goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashTableArea {
    /// Guest physical address.
    pub gpa: u32,
    /// Bytes reserved there.
    pub size: u32,
}

/// What a TDVF section holds (TDVF Design Guide, "TDVF section types").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TdvfSectionKind {
    /// Boot firmware volume: code.
    Bfv,
    /// Configuration firmware volume: variables.
    Cfv,
    /// The hand-off block list of the hypervisor.
    TdHob,
    /// Memory used until the firmware accepts more.
    TempMemory,
    /// Memory that stays.
    PermMemory,
    /// A payload started instead of a boot manager.
    Payload,
    /// The payload's parameters.
    PayloadParam,
}

/// One section of the TDVF metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TdvfSection<'a> {
    /// Bytes of the image that are copied in; at most `memory_size`, the rest of the memory is zero.
    pub data: &'a [u8],
    /// First guest physical address; page-aligned.
    pub gpa: u64,
    /// Bytes of guest memory; whole pages.
    pub memory_size: u64,
    /// What the section holds.
    pub kind: TdvfSectionKind,
    /// Attribute bit 0, MR.EXTEND: the contents are measured, not only the addresses.
    pub extend: bool,
    /// Attribute bit 1, PAGE.AUG: pages are added after launch and not measured.
    pub augment: bool,
}

impl<'a> OvmfImage<'a> {
    /// Parse the footer table of an image.
    ///
    /// # Errors
    /// `measure.firmware_size`, `measure.footer_missing`, `measure.footer_malformed`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MeasureError> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(PAGE_LEN) || bytes.len() > FIRMWARE_BYTES_MAX {
            return Err(MeasureError::FirmwareSize { got: bytes.len() });
        }
        let before_reset = bytes.len().checked_sub(RESET_VECTOR_LEN).and_then(|end| bytes.get(..end));
        let (above, length, guid) = before_reset.and_then(split_entry_header).ok_or(MeasureError::FooterMissing)?;
        if guid != FOOTER {
            return Err(MeasureError::FooterMissing);
        }
        // The footer's length covers the whole table including its own header.
        let table = usize::from(length)
            .checked_sub(ENTRY_HEADER_LEN)
            .and_then(|length| above.len().checked_sub(length))
            .and_then(|start| above.get(start..))
            .ok_or(MeasureError::FooterMalformed { detail: "the table is longer than the image" })?;
        Ok(Self { bytes, entries: entries(table)? })
    }

    /// The whole image.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where the image starts in guest memory: it ends at 4 GiB.
    #[must_use]
    pub fn gpa(&self) -> u64 {
        FOUR_GIB.saturating_sub(u64::try_from(self.bytes.len()).unwrap_or(FOUR_GIB))
    }

    /// Where application processors start, from the SEV-ES reset block.
    ///
    /// # Errors
    /// `measure.entry_missing`, `measure.footer_malformed`.
    pub fn sev_es_reset_eip(&self) -> Result<u32, MeasureError> {
        self.entry_u32(&SEV_ES_RESET_BLOCK, "SEV_ES_RESET_BLOCK")
    }

    /// Where the table of kernel hashes goes; `None` when the firmware takes none.
    ///
    /// # Errors
    /// `measure.footer_malformed`.
    pub fn hash_table_area(&self) -> Result<Option<HashTableArea>, MeasureError> {
        let Some(data) = self.entry(&SEV_HASH_TABLE) else { return Ok(None) };
        let mut fields = Reader::new(data);
        let area = fields.u32_le().zip(fields.u32_le()).filter(|_| fields.is_empty());
        let (gpa, size) =
            area.ok_or(MeasureError::FooterMalformed { detail: "the SEV_HASH_TABLE entry is not 8 bytes" })?;
        Ok(Some(HashTableArea { gpa, size }))
    }

    /// The SEV metadata, in file order, which is the order pages are measured in.
    ///
    /// # Errors
    /// `measure.entry_missing`, `measure.footer_malformed`, `measure.sev_metadata`, `measure.too_many_pages`.
    pub fn sev_sections(&self) -> Result<Vec<SevSection>, MeasureError> {
        let malformed = |detail| MeasureError::SevMetadata { detail };
        let mut fields = self.descriptor(&SEV_METADATA, "SEV_METADATA", malformed)?;
        let count = descriptor_header(&mut fields, *b"ASEV", 12).map_err(malformed)?;
        let sections = (0..count).map(|_| sev_section(&mut fields)).collect::<Result<Vec<_>, _>>()?;
        within_page_limit(sections.iter().map(|section| u64::from(section.size)))?;
        Ok(sections)
    }

    /// The TDVF metadata, in file order.
    ///
    /// # Errors
    /// `measure.entry_missing`, `measure.footer_malformed`, `measure.tdvf_metadata`, `measure.too_many_pages`.
    pub fn tdvf_sections(&self) -> Result<Vec<TdvfSection<'a>>, MeasureError> {
        let malformed = |detail| MeasureError::TdvfMetadata { detail };
        let mut fields = self.descriptor(&TDX_METADATA, "TDX_METADATA", malformed)?;
        let count = descriptor_header(&mut fields, *b"TDVF", 32).map_err(malformed)?;
        let sections = (0..count).map(|_| self.tdvf_section(&mut fields)).collect::<Result<Vec<_>, _>>()?;
        within_page_limit(sections.iter().map(|section| section.memory_size))?;
        Ok(sections)
    }

    fn entry(&self, guid: &Guid) -> Option<&'a [u8]> {
        self.entries.iter().find(|(known, _)| known == guid).map(|(_, data)| *data)
    }

    fn entry_u32(&self, guid: &Guid, name: &'static str) -> Result<u32, MeasureError> {
        let data = self.entry(guid).ok_or(MeasureError::EntryMissing { entry: name })?;
        let value = data.try_into().map(u32::from_le_bytes);
        value.map_err(|_| MeasureError::FooterMalformed { detail: "an address entry is not 4 bytes" })
    }

    /// The bytes from a descriptor on, which an entry gives by its distance from the end of the image.
    fn descriptor(
        &self,
        guid: &Guid,
        name: &'static str,
        malformed: impl Fn(&'static str) -> MeasureError,
    ) -> Result<Reader<'a>, MeasureError> {
        let from_end = usize::try_from(self.entry_u32(guid, name)?).ok();
        from_end
            .and_then(|from_end| self.bytes.len().checked_sub(from_end))
            .and_then(|start| self.bytes.get(start..))
            .map(Reader::new)
            .ok_or_else(|| malformed("the descriptor lies outside the image"))
    }

    fn tdvf_section(&self, fields: &mut Reader<'a>) -> Result<TdvfSection<'a>, MeasureError> {
        let malformed = |detail| MeasureError::TdvfMetadata { detail };
        let short = || malformed("a section is cut off");
        let data_offset = fields.u32_le().ok_or_else(short)?;
        let data_size = fields.u32_le().ok_or_else(short)?;
        let gpa = fields.u64_le().ok_or_else(short)?;
        let memory_size = fields.u64_le().ok_or_else(short)?;
        let kind = match fields.u32_le().ok_or_else(short)? {
            0 => TdvfSectionKind::Bfv,
            1 => TdvfSectionKind::Cfv,
            2 => TdvfSectionKind::TdHob,
            3 => TdvfSectionKind::TempMemory,
            4 => TdvfSectionKind::PermMemory,
            5 => TdvfSectionKind::Payload,
            6 => TdvfSectionKind::PayloadParam,
            _ => return Err(malformed("a section type is unknown")),
        };
        let attributes = fields.u32_le().ok_or_else(short)?;
        if attributes & !0b11 != 0 {
            return Err(malformed("a reserved section attribute is set"));
        }
        if u64::from(data_size) > memory_size {
            return Err(malformed("a section has more data than memory"));
        }
        if !page_aligned(gpa) || !page_aligned(memory_size) || gpa.checked_add(memory_size).is_none() {
            return Err(malformed("a section is not whole pages"));
        }
        let mut image = Reader::new(self.bytes);
        let data = image.take_u32(data_offset).and_then(|_| image.take_u32(data_size));
        let data = data.ok_or_else(|| malformed("a section's data lies outside the image"))?;
        Ok(TdvfSection { data, gpa, memory_size, kind, extend: attributes & 1 != 0, augment: attributes & 2 != 0 })
    }
}

/// What precedes an entry header at the end of `bytes`, and the header's length and GUID.
fn split_entry_header(bytes: &[u8]) -> Option<(&[u8], u16, Guid)> {
    let (above, guid) = bytes.split_last_chunk()?;
    let (above, length) = above.split_last_chunk()?;
    Some((above, u16::from_le_bytes(*length), *guid))
}

/// The entries of a footer table, which is read from its end.
fn entries(mut table: &[u8]) -> Result<Vec<(Guid, &[u8])>, MeasureError> {
    let malformed = |detail| MeasureError::FooterMalformed { detail };
    let mut entries: Vec<(Guid, &[u8])> = Vec::new();
    while !table.is_empty() {
        let (above, length, guid) =
            split_entry_header(table).ok_or(malformed("bytes are left before the first entry"))?;
        let (rest, data) = usize::from(length)
            .checked_sub(ENTRY_HEADER_LEN)
            .and_then(|length| above.len().checked_sub(length))
            .and_then(|start| above.split_at_checked(start))
            .ok_or(malformed("an entry's length is impossible"))?;
        if entries.iter().any(|(known, _)| *known == guid) {
            return Err(malformed("an entry occurs twice"));
        }
        if entries.len() == ENTRIES_MAX {
            return Err(malformed("too many entries"));
        }
        entries.push((guid, data));
        table = rest;
    }
    Ok(entries)
}

/// Signature, length, version 1 and count, which both kinds of metadata begin with; the length must fit the count.
fn descriptor_header(fields: &mut Reader<'_>, signature: [u8; 4], section_len: u32) -> Result<u32, &'static str> {
    const HEADER_LEN: u32 = 16;
    let short = "the descriptor is cut off";
    if fields.array().ok_or(short)? != signature {
        return Err("the signature is wrong");
    }
    let length = fields.u32_le().ok_or(short)?;
    if fields.u32_le().ok_or(short)? != 1 {
        return Err("the version is not 1");
    }
    let count = fields.u32_le().ok_or(short)?;
    if count == 0 || count > SECTIONS_MAX {
        return Err("the number of sections is out of range");
    }
    match count.checked_mul(section_len).and_then(|sections| sections.checked_add(HEADER_LEN)) {
        Some(expected) if expected == length => Ok(count),
        _ => Err("the length does not fit the number of sections"),
    }
}

fn sev_section(fields: &mut Reader<'_>) -> Result<SevSection, MeasureError> {
    let malformed = |detail| MeasureError::SevMetadata { detail };
    let short = || malformed("a section is cut off");
    let gpa = fields.u32_le().ok_or_else(short)?;
    let size = fields.u32_le().ok_or_else(short)?;
    let kind = match fields.u32_le().ok_or_else(short)? {
        1 => SevSectionKind::SecMemory,
        2 => SevSectionKind::Secrets,
        3 => SevSectionKind::Cpuid,
        4 => SevSectionKind::SvsmCallingArea,
        0x10 => SevSectionKind::KernelHashes,
        _ => return Err(malformed("a section type is unknown")),
    };
    if size == 0 || !page_aligned(u64::from(gpa)) || !page_aligned(u64::from(size)) {
        return Err(malformed("a section is not whole pages"));
    }
    // Hypervisors and published tools disagree on a longer one: some measure it all, some one page.
    let one_page = matches!(kind, SevSectionKind::Secrets | SevSectionKind::Cpuid | SevSectionKind::KernelHashes);
    if one_page && usize::try_from(size) != Ok(PAGE_LEN) {
        return Err(malformed("a single-page section is not one page"));
    }
    Ok(SevSection { gpa, size, kind })
}

fn page_aligned(value: u64) -> bool {
    value.trailing_zeros() >= 12
}

fn within_page_limit(sizes: impl Iterator<Item = u64>) -> Result<(), MeasureError> {
    let pages = sizes.fold(0_u64, |pages, size| pages.saturating_add(size >> 12));
    if pages > SECTION_PAGES_MAX {
        return Err(MeasureError::TooManyPages { got: pages, maximum: SECTION_PAGES_MAX });
    }
    Ok(())
}
