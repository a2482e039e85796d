//! PE images and the digest firmware and signers take of them (Microsoft "Windows Authenticode Portable Executable Signature
//! Format"; edk2 `Tcg2Dxe/MeasureBootPeCoff.c` computes the same before it starts an image).
//!
//! Decides: whether an image is laid out so that the digest covers every byte but the checksum and the signatures. Where
//! the format leaves room for bytes nobody hashes (gaps and overlaps between headers, sections and certificates), the
//! image is refused: a genuine builder has no use for them.

use std::ops::Range;

use super::MeasureError;
use crate::crypto;
use crate::reader::Reader;

/// Largest image read.
pub const PE_BYTES_MAX: usize = 1 << 30;

/// Most sections an image may have: what the Windows loader allows.
pub const PE_SECTIONS_MAX: u16 = 96;

/// Offset of the field that says where the PE header starts.
const LFANEW_AT: usize = 0x3c;

/// Bytes of signature and COFF file header.
const FILE_HEADER_LEN: usize = 4 + 20;

/// Offset of the checksum in the optional header.
const CHECKSUM_AT: usize = 64;

/// Bytes of a PE32+ optional header before its data directories.
const DIRECTORIES_AT: usize = 112;

/// Bytes of a data directory entry.
const DIRECTORY_LEN: usize = 8;

/// Most data directories the format has.
const DIRECTORIES_MAX: u32 = 16;

/// Index of the certificate table's directory.
const CERTIFICATES: usize = 4;

/// IMAGE_FILE_MACHINE_AMD64.
const MACHINE_AMD64: u16 = 0x8664;

/// Magic of PE32+.
const PE32_PLUS: u16 = 0x020b;

/// A PE32+ image for x86-64 whose layout leaves no byte out of its digest.
#[derive(Debug, Clone)]
pub struct PeImage<'a> {
    bytes: &'a [u8],
    sections: Vec<PeSection<'a>>,
    /// What the digest leaves out, in file order.
    left_out: [Range<usize>; 3],
}

/// A section of a PE image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeSection<'a> {
    /// Its name, padded with zeros.
    pub name: [u8; 8],
    /// Bytes in memory.
    pub virtual_size: u32,
    /// Address in memory, from the image's base.
    pub virtual_address: u32,
    /// Bytes in the file, whole file-alignment units.
    pub raw: &'a [u8],
}

/// A section header, before its bytes are looked up.
struct SectionHeader {
    name: [u8; 8],
    virtual_size: u32,
    virtual_address: u32,
    raw: Range<usize>,
}

/// The fields of the optional header that matter here.
struct OptionalHeader {
    headers_len: usize,
    checksum: Range<usize>,
    /// The directory entry of the certificate table, when the header has one, and what it points to.
    certificates: Option<(Range<usize>, Range<usize>)>,
    /// Where the header ends, and the section table starts.
    end: usize,
}

fn malformed(detail: &'static str) -> MeasureError {
    MeasureError::Pe { detail }
}

impl<'a> PeImage<'a> {
    /// Parse an image.
    ///
    /// # Errors
    /// `measure.pe`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MeasureError> {
        if bytes.len() > PE_BYTES_MAX {
            return Err(malformed("it is larger than any image read here"));
        }
        let (file_header, start) = file_header(bytes)?;
        let optional = optional_header(bytes, start, file_header.optional_len)?;
        let headers = section_headers(bytes, optional.end, file_header.sections)?;
        let table_len = headers.len().saturating_mul(SECTION_HEADER_LEN);
        if optional.end.saturating_add(table_len) > optional.headers_len {
            return Err(malformed("the section table reaches beyond the headers"));
        }
        let data_end = contiguous_end(&headers, optional.headers_len)?;
        require_certificates_last(bytes, optional.certificates.as_ref().map(|(_, table)| table), data_end)?;
        let sections = headers.into_iter().map(|header| section(bytes, header)).collect::<Result<Vec<_>, _>>()?;
        let (entry, table) = optional.certificates.unwrap_or((0..0, bytes.len()..bytes.len()));
        // Without an entry there is nothing to leave out between checksum and certificates.
        let entry = if entry.is_empty() { optional.checksum.end..optional.checksum.end } else { entry };
        Ok(Self { bytes, sections, left_out: [optional.checksum, entry, table] })
    }

    /// The sections, in table order.
    #[must_use]
    pub fn sections(&self) -> &[PeSection<'a>] {
        &self.sections
    }

    /// The only section of this name, without its padding zeros.
    ///
    /// # Errors
    /// `measure.pe` when two sections have it: readers disagree on which one counts.
    pub fn section(&self, name: &str) -> Result<Option<&PeSection<'a>>, MeasureError> {
        let mut found = self.sections.iter().filter(|section| section.is_named(name));
        match (found.next(), found.next()) {
            (section, None) => Ok(section),
            _ => Err(malformed("two sections have the same name")),
        }
    }

    /// The Authenticode digest with SHA-256.
    #[must_use]
    pub fn authenticode_sha256(&self) -> [u8; 32] {
        let mut context = crypto::Sha256Context::new();
        self.covered().for_each(|part| context.update(part));
        context.finish()
    }

    /// The Authenticode digest with SHA-384.
    #[must_use]
    pub fn authenticode_sha384(&self) -> [u8; 48] {
        let mut context = crypto::Sha384Context::new();
        self.covered().for_each(|part| context.update(part));
        context.finish()
    }

    /// What the digest covers, in order: sections lie contiguous and ascending after the headers, so this is file order.
    fn covered(&self) -> impl Iterator<Item = &'a [u8]> {
        let [checksum, entry, table] = &self.left_out;
        [0..checksum.start, checksum.end..entry.start, entry.end..table.start]
            .into_iter()
            .filter_map(|range| self.bytes.get(range))
    }
}

impl<'a> PeSection<'a> {
    /// Whether its name is this, which has at most eight bytes.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        let mut padded = self.name.iter().copied();
        name.bytes().all(|byte| padded.next() == Some(byte)) && padded.all(|byte| byte == 0)
    }

    /// What it holds in memory, when the file holds all of it.
    #[must_use]
    pub fn data(&self) -> Option<&'a [u8]> {
        self.raw.get(..usize::try_from(self.virtual_size).ok()?)
    }
}

/// Number of sections, and length of the optional header.
struct FileHeader {
    sections: u16,
    optional_len: usize,
}

/// The COFF file header, and where the optional header starts.
fn file_header(bytes: &[u8]) -> Result<(FileHeader, usize), MeasureError> {
    let short = || malformed("it is cut off in its headers");
    if bytes.get(..2) != Some(b"MZ".as_slice()) {
        return Err(malformed("it does not begin with MZ"));
    }
    let mut dos = Reader::new(bytes.get(LFANEW_AT..).ok_or_else(short)?);
    let at = usize::try_from(dos.u32_le().ok_or_else(short)?).map_err(|_| short())?;
    if at < LFANEW_AT + 4 {
        return Err(malformed("its PE header overlaps its DOS header"));
    }
    let mut fields = Reader::new(bytes.get(at..).ok_or_else(short)?);
    if fields.array().ok_or_else(short)? != *b"PE\0\0" {
        return Err(malformed("it has no PE signature"));
    }
    if fields.u16_le().ok_or_else(short)? != MACHINE_AMD64 {
        return Err(malformed("it is not for x86-64"));
    }
    let sections = fields.u16_le().ok_or_else(short)?;
    if sections == 0 || sections > PE_SECTIONS_MAX {
        return Err(malformed("its number of sections is out of range"));
    }
    // Time stamp, symbol table and number of symbols say nothing here.
    let _ = fields.take(12).ok_or_else(short)?;
    let optional_len = usize::from(fields.u16_le().ok_or_else(short)?);
    let start = at.checked_add(FILE_HEADER_LEN).ok_or_else(short)?;
    Ok((FileHeader { sections, optional_len }, start))
}

fn optional_header(bytes: &[u8], start: usize, length: usize) -> Result<OptionalHeader, MeasureError> {
    let short = || malformed("it is cut off in its headers");
    let end = start.checked_add(length).ok_or_else(short)?;
    let header = bytes.get(start..end).ok_or_else(short)?;
    let field = |at: usize| {
        let bytes = header.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(short)?;
        Ok::<_, MeasureError>(u32::from_le_bytes(*bytes))
    };
    if header.first_chunk().copied().map(u16::from_le_bytes) != Some(PE32_PLUS) {
        return Err(malformed("it is not PE32+"));
    }
    let headers_len = usize::try_from(field(60)?).map_err(|_| short())?;
    if headers_len > bytes.len() {
        return Err(malformed("its headers are longer than the file"));
    }
    let directories = field(DIRECTORIES_AT - 4)?;
    let directories_len = usize::try_from(directories).ok().and_then(|count| count.checked_mul(DIRECTORY_LEN));
    if directories > DIRECTORIES_MAX || directories_len.and_then(|len| len.checked_add(DIRECTORIES_AT)) != Some(length)
    {
        return Err(malformed("its optional header does not fit its number of directories"));
    }
    let checksum = start.saturating_add(CHECKSUM_AT)..start.saturating_add(CHECKSUM_AT + 4);
    let entry_at = DIRECTORIES_AT + CERTIFICATES * DIRECTORY_LEN;
    let certificates = if usize::try_from(directories).is_ok_and(|count| count > CERTIFICATES) {
        let address = usize::try_from(field(entry_at)?).map_err(|_| short())?;
        let size = usize::try_from(field(entry_at + 4)?).map_err(|_| short())?;
        let table_end = address.checked_add(size).ok_or_else(|| malformed("its certificates lie outside the file"))?;
        let table = if size == 0 { bytes.len()..bytes.len() } else { address..table_end };
        let entry = start.saturating_add(entry_at);
        Some((entry..entry.saturating_add(DIRECTORY_LEN), table))
    } else {
        None
    };
    Ok(OptionalHeader { headers_len, checksum, certificates, end })
}

/// Bytes of a section header.
const SECTION_HEADER_LEN: usize = 40;

fn section_headers(bytes: &[u8], table_at: usize, count: u16) -> Result<Vec<SectionHeader>, MeasureError> {
    let short = || malformed("its section table is cut off");
    let mut fields = Reader::new(bytes.get(table_at..).ok_or_else(short)?);
    let mut headers = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let name = fields.array().ok_or_else(short)?;
        let virtual_size = fields.u32_le().ok_or_else(short)?;
        let virtual_address = fields.u32_le().ok_or_else(short)?;
        let size = usize::try_from(fields.u32_le().ok_or_else(short)?).map_err(|_| short())?;
        let start = usize::try_from(fields.u32_le().ok_or_else(short)?).map_err(|_| short())?;
        // Relocations, line numbers and characteristics say nothing here.
        let _ = fields.take(16).ok_or_else(short)?;
        let end = start.checked_add(size).ok_or_else(|| malformed("a section lies outside the file"))?;
        headers.push(SectionHeader { name, virtual_size, virtual_address, raw: start..end });
    }
    Ok(headers)
}

/// Where the last section ends, when sections follow the headers and each other without gap or overlap, whatever the order
/// of the table. The digest takes them by address, so any other layout would leave bytes out or count some twice.
fn contiguous_end(headers: &[SectionHeader], headers_len: usize) -> Result<usize, MeasureError> {
    let mut ranges: Vec<_> = headers.iter().map(|header| &header.raw).filter(|raw| !raw.is_empty()).collect();
    ranges.sort_unstable_by_key(|raw| raw.start);
    ranges.into_iter().try_fold(headers_len, |end, raw| {
        if raw.start < end {
            return Err(malformed("two sections, or a section and the headers, overlap"));
        }
        if raw.start > end {
            return Err(malformed("bytes lie between sections"));
        }
        Ok(raw.end)
    })
}

/// Certificates end the file: what followed them, or lay among the sections, nobody would hash.
fn require_certificates_last(bytes: &[u8], table: Option<&Range<usize>>, data_end: usize) -> Result<(), MeasureError> {
    if data_end > bytes.len() {
        return Err(malformed("a section lies outside the file"));
    }
    match table {
        Some(table) if table.end != bytes.len() => Err(malformed("its certificates do not end the file")),
        Some(table) if table.start < data_end => Err(malformed("its certificates overlap its sections")),
        _ => Ok(()),
    }
}

fn section(bytes: &[u8], header: SectionHeader) -> Result<PeSection<'_>, MeasureError> {
    let SectionHeader { name, virtual_size, virtual_address, raw } = header;
    let raw = if raw.is_empty() { Some(&[][..]) } else { bytes.get(raw) };
    let raw = raw.ok_or_else(|| malformed("a section lies outside the file"))?;
    Ok(PeSection { name, virtual_size, virtual_address, raw })
}
