//! Sections added to a PE file, the kind of program that UEFI firmware starts.
//!
//! Decides: new sections follow the old ones in memory and in the file, and that what varies by machine and time is zero (time stamp,
//! checksum). Trusts nothing of the given file: what is not a 64-bit PE file without a signature, with room for the headers, is refused.

use std::ops::Range;

/// The largest file that is written.
pub const FILE_BYTES_MAX: usize = 1 << 30;
/// Bytes of a section's name.
pub const NAME_BYTES_MAX: usize = 8;

const DOS_MAGIC: &[u8] = b"MZ";
const PE_MAGIC: &[u8] = b"PE\0\0";
const PE32_PLUS: u16 = 0x20b;
const PE_OFFSET_AT: usize = 0x3c;
const COFF_BYTES: usize = 20;
const SECTION_BYTES: usize = 40;
const ALIGNMENT_MAX: u32 = 1 << 16;

/// Fields of the COFF header.
const SECTION_COUNT: usize = 2;
const TIME_STAMP: usize = 4;
const OPTIONAL_BYTES: usize = 16;

/// Fields of the optional header.
const INITIALIZED_BYTES: usize = 8;
const SECTION_ALIGNMENT: usize = 32;
const FILE_ALIGNMENT: usize = 36;
const IMAGE_BYTES: usize = 56;
const HEADERS_BYTES: usize = 60;
const CHECKSUM: usize = 64;
const CHARACTERISTICS: usize = 70;
const DIRECTORY_COUNT: usize = 108;
const SIGNATURE_DIRECTORY: usize = 112 + 4 * 8;
const SIGNATURE_INDEX: u32 = 4;

/// Fields of a section's header.
const VIRTUAL_BYTES: usize = 8;
const VIRTUAL_ADDRESS: usize = 12;
const RAW_BYTES: usize = 16;
const RAW_OFFSET: usize = 20;

/// What a section is, and that it may be read.
const DATA: u32 = 0x4000_0040;
const CODE: u32 = 0x4000_0020;

/// The program runs with its data not executable.
const NX_COMPATIBLE: u16 = 0x100;

/// A section to add.
#[derive(Debug, Clone, Copy)]
pub struct NewSection<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its contents.
    pub bytes: &'a [u8],
    /// Whether it is a program; data otherwise. It is not mapped executable either way.
    pub code: bool,
}

/// Why a file was refused, or sections could not be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeError {
    /// The file ends before its headers do.
    #[error("the file ends within its headers")]
    Truncated,
    /// It is another kind of file.
    #[error("not a 64-bit PE file")]
    Kind,
    /// It is signed; sections would break the signature.
    #[error("the file is signed")]
    Signed,
    /// An alignment is zero, no power of two, or too large.
    #[error("alignment {got} is not a power of two up to {ALIGNMENT_MAX}")]
    Alignment {
        /// The alignment.
        got: u32,
    },
    /// The headers have no room for more sections.
    #[error("no room for {got} section headers before the first section")]
    NoRoom {
        /// Sections, old and new.
        got: usize,
    },
    /// A name is empty or longer than [`NAME_BYTES_MAX`].
    #[error("{name:?} is no name of a section")]
    Name {
        /// The name.
        name: String,
    },
    /// A section of that name is there already.
    #[error("there is a section {name:?} already")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A section has no contents.
    #[error("section {name:?} is empty")]
    Empty {
        /// The name.
        name: String,
    },
    /// The file would be longer than [`FILE_BYTES_MAX`].
    #[error("the file would have more than {FILE_BYTES_MAX} bytes")]
    TooLarge,
}

/// Adds `sections`, in order, to the PE file `image`.
///
/// # Errors
/// [`PeError`] when the file is not such a one, or the sections do not fit.
pub fn add_sections(image: &[u8], sections: &[NewSection<'_>]) -> Result<Vec<u8>, PeError> {
    let headers = Headers::of(image)?;
    let all = headers.sections.len().saturating_add(sections.len());
    let table_end = headers.table.saturating_add(all.saturating_mul(SECTION_BYTES));
    let count = u16::try_from(all).ok().filter(|_| table_end <= headers.first_raw);
    let count = count.ok_or(PeError::NoRoom { got: all })?;
    let mut file = image.to_vec();
    let mut virtual_end = headers.virtual_end;
    let mut initialized = u32_at(image, headers.optional.saturating_add(INITIALIZED_BYTES))?;
    let mut names = headers.sections.clone();
    let mut header_at = headers.table.saturating_add(headers.sections.len().saturating_mul(SECTION_BYTES));
    for NewSection { name, bytes, code } in sections {
        let padded = padded_name(name)?;
        if names.contains(&padded) {
            return Err(PeError::Duplicate { name: (*name).to_owned() });
        }
        names.push(padded);
        if bytes.is_empty() {
            return Err(PeError::Empty { name: (*name).to_owned() });
        }
        let address = align(virtual_end, headers.section_alignment)?;
        pad(&mut file, headers.file_alignment)?;
        let raw_offset = small(file.len())?;
        file.extend_from_slice(bytes);
        pad(&mut file, headers.file_alignment)?;
        let raw_bytes = small(file.len())?.saturating_sub(raw_offset);
        let mut header = padded.to_vec();
        for field in [small(bytes.len())?, address, raw_bytes, raw_offset, 0, 0, 0, if *code { CODE } else { DATA }] {
            header.extend(field.to_le_bytes());
        }
        put(&mut file, header_at, &header)?;
        header_at = header_at.saturating_add(SECTION_BYTES);
        virtual_end = address.checked_add(small(bytes.len())?).ok_or(PeError::TooLarge)?;
        initialized = initialized.checked_add(small(bytes.len())?).ok_or(PeError::TooLarge)?;
    }
    let image_bytes = align(virtual_end, headers.section_alignment)?;
    put(&mut file, headers.coff.saturating_add(SECTION_COUNT), &count.to_le_bytes())?;
    put(&mut file, headers.coff.saturating_add(TIME_STAMP), &[0; 4])?;
    put(&mut file, headers.optional.saturating_add(INITIALIZED_BYTES), &initialized.to_le_bytes())?;
    put(&mut file, headers.optional.saturating_add(IMAGE_BYTES), &image_bytes.to_le_bytes())?;
    put(&mut file, headers.optional.saturating_add(CHECKSUM), &[0; 4])?;
    Ok(file)
}

/// Whether `image` asks for data that is not executable.
///
/// # Errors
/// [`PeError`] when it is not a 64-bit PE file.
pub fn is_nx_compatible(image: &[u8]) -> Result<bool, PeError> {
    let (_, optional) = optional_header(image)?;
    Ok(u16_at(image, optional.saturating_add(CHARACTERISTICS))? & NX_COMPATIBLE != 0)
}

/// Lets `image` no longer ask for data that is not executable.
///
/// # Errors
/// [`PeError`] when it is not a 64-bit PE file.
pub fn clear_nx_compatible(image: &mut [u8]) -> Result<(), PeError> {
    let (_, optional) = optional_header(image)?;
    let at = optional.saturating_add(CHARACTERISTICS);
    let cleared = u16_at(image, at)? & !NX_COMPATIBLE;
    put(image, at, &cleared.to_le_bytes())
}

/// Where the COFF header and the optional header are.
fn optional_header(image: &[u8]) -> Result<(usize, usize), PeError> {
    if !image.starts_with(DOS_MAGIC) {
        return Err(PeError::Kind);
    }
    let pe = usize::try_from(u32_at(image, PE_OFFSET_AT)?).map_err(|_| PeError::Truncated)?;
    if bytes_at(image, field(pe, 0, PE_MAGIC.len()))? != PE_MAGIC {
        return Err(PeError::Kind);
    }
    let coff = pe.saturating_add(PE_MAGIC.len());
    let optional = coff.saturating_add(COFF_BYTES);
    if u16_at(image, optional)? != PE32_PLUS {
        return Err(PeError::Kind);
    }
    Ok((coff, optional))
}

/// What a file's headers say, as far as sections need it.
struct Headers {
    coff: usize,
    optional: usize,
    table: usize,
    section_alignment: u32,
    file_alignment: u32,
    /// Names of the sections.
    sections: Vec<[u8; NAME_BYTES_MAX]>,
    /// End of the last section in memory.
    virtual_end: u32,
    /// Where in the file the table of sections must have ended.
    first_raw: usize,
}

impl Headers {
    fn of(image: &[u8]) -> Result<Self, PeError> {
        let (coff, optional) = optional_header(image)?;
        if u32_at(image, optional.saturating_add(DIRECTORY_COUNT))? > SIGNATURE_INDEX
            && bytes_at(image, field(optional, SIGNATURE_DIRECTORY, 8))? != [0; 8]
        {
            return Err(PeError::Signed);
        }
        let alignment = |at: usize| {
            let got = u32_at(image, optional.saturating_add(at))?;
            let fits = got.is_power_of_two() && got <= ALIGNMENT_MAX;
            if fits { Ok(got) } else { Err(PeError::Alignment { got }) }
        };
        let table = optional.saturating_add(usize::from(u16_at(image, coff.saturating_add(OPTIONAL_BYTES))?));
        let headers_bytes = u32_at(image, optional.saturating_add(HEADERS_BYTES))?;
        let mut headers = Self {
            coff,
            optional,
            table,
            section_alignment: alignment(SECTION_ALIGNMENT)?,
            file_alignment: alignment(FILE_ALIGNMENT)?,
            sections: Vec::new(),
            virtual_end: headers_bytes,
            first_raw: usize::try_from(headers_bytes).map_err(|_| PeError::Truncated)?.min(image.len()),
        };
        for index in 0..usize::from(u16_at(image, coff.saturating_add(SECTION_COUNT))?) {
            headers.section(image, table.saturating_add(index.saturating_mul(SECTION_BYTES)))?;
        }
        Ok(headers)
    }

    /// Takes the section whose header is at `at` into account.
    fn section(&mut self, image: &[u8], at: usize) -> Result<(), PeError> {
        let name = bytes_at(image, field(at, 0, NAME_BYTES_MAX))?;
        self.sections.push(name.try_into().map_err(|_| PeError::Truncated)?);
        let field = |offset: usize| u32_at(image, at.saturating_add(offset));
        let (virtual_bytes, raw_bytes) = (field(VIRTUAL_BYTES)?, field(RAW_BYTES)?);
        let end = field(VIRTUAL_ADDRESS)?.checked_add(virtual_bytes.max(raw_bytes)).ok_or(PeError::TooLarge)?;
        self.virtual_end = self.virtual_end.max(end);
        if raw_bytes > 0 {
            let raw = usize::try_from(field(RAW_OFFSET)?).map_err(|_| PeError::Truncated)?;
            self.first_raw = self.first_raw.min(raw);
        }
        Ok(())
    }
}

fn padded_name(name: &str) -> Result<[u8; NAME_BYTES_MAX], PeError> {
    let mut padded = [0; NAME_BYTES_MAX];
    match padded.get_mut(..name.len()) {
        Some(start) if !name.is_empty() => start.copy_from_slice(name.as_bytes()),
        _ => return Err(PeError::Name { name: name.to_owned() }),
    }
    Ok(padded)
}

fn field(base: usize, offset: usize, len: usize) -> Range<usize> {
    let start = base.saturating_add(offset);
    start..start.saturating_add(len)
}

fn bytes_at(image: &[u8], range: Range<usize>) -> Result<&[u8], PeError> {
    image.get(range).ok_or(PeError::Truncated)
}

fn u16_at(image: &[u8], at: usize) -> Result<u16, PeError> {
    let bytes = bytes_at(image, field(at, 0, 2))?.try_into();
    bytes.map(u16::from_le_bytes).map_err(|_| PeError::Truncated)
}

fn u32_at(image: &[u8], at: usize) -> Result<u32, PeError> {
    let bytes = bytes_at(image, field(at, 0, 4))?.try_into();
    bytes.map(u32::from_le_bytes).map_err(|_| PeError::Truncated)
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) -> Result<(), PeError> {
    file.get_mut(field(at, 0, bytes.len())).ok_or(PeError::Truncated)?.copy_from_slice(bytes);
    Ok(())
}

fn align(value: u32, alignment: u32) -> Result<u32, PeError> {
    value.checked_next_multiple_of(alignment).ok_or(PeError::TooLarge)
}

fn pad(file: &mut Vec<u8>, alignment: u32) -> Result<(), PeError> {
    let len = align(small(file.len())?, alignment)?;
    file.resize(usize::try_from(len).map_err(|_| PeError::TooLarge)?, 0);
    Ok(())
}

fn small(len: usize) -> Result<u32, PeError> {
    u32::try_from(len).ok().filter(|_| len <= FILE_BYTES_MAX).ok_or(PeError::TooLarge)
}
