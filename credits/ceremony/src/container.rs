//! The container that ptau, zkey and r1cs files share: four letters, a version, a number of sections, and each section with its
//! number and length. Integers are little-endian. (github.com/iden3/r1csfile, `doc/r1cs_bin_format.md`.)

use std::collections::BTreeMap;

use ark_ec::short_weierstrass::{Affine, SWCurveConfig};

use crate::error::{CeremonyError, FileKind};
use crate::points::{Coordinate, read_point};

/// The version of all three formats that snarkjs writes.
const VERSION: u32 = 1;
/// More sections than any of the formats has.
const SECTIONS_MAX: u32 = 32;

/// A file's sections, which lie in it one behind the other.
pub(crate) struct Container<'a> {
    file: FileKind,
    sections: BTreeMap<u32, &'a [u8]>,
}

impl<'a> Container<'a> {
    /// Finds the sections. Their contents are not looked at.
    pub(crate) fn parse(file: FileKind, bytes: &'a [u8]) -> Result<Self, CeremonyError> {
        let magic = match file {
            FileKind::Ptau => b"ptau",
            FileKind::Zkey => b"zkey",
        };
        let Some(rest) = bytes.strip_prefix(magic) else { return Err(CeremonyError::Magic { file }) };
        let mut reader = Reader { file, section: 0, bytes: rest };
        if reader.u32()? != VERSION {
            return Err(CeremonyError::Magic { file });
        }
        let count = reader.u32()?;
        if count > SECTIONS_MAX {
            return Err(CeremonyError::Header { file });
        }
        let mut sections = BTreeMap::new();
        for _ in 0..count {
            let number = reader.u32()?;
            let length = usize::try_from(reader.u64()?).map_err(|_| CeremonyError::Truncated { file })?;
            if sections.insert(number, reader.take(length)?).is_some() {
                return Err(CeremonyError::Section { file, section: number });
            }
        }
        if !reader.bytes.is_empty() {
            return Err(CeremonyError::Truncated { file });
        }
        Ok(Self { file, sections })
    }

    /// Refuses the file if it has other sections than these.
    pub(crate) fn only(&self, known: &[u32]) -> Result<(), CeremonyError> {
        match self.sections.keys().find(|number| !known.contains(number)) {
            Some(section) => Err(CeremonyError::Section { file: self.file, section: *section }),
            None => Ok(()),
        }
    }

    /// A section's bytes.
    pub(crate) fn section(&self, section: u32) -> Result<Reader<'a>, CeremonyError> {
        let bytes = self.sections.get(&section).ok_or(CeremonyError::Section { file: self.file, section })?;
        Ok(Reader { file: self.file, section, bytes })
    }

    /// A section that is `count` points and nothing else.
    pub(crate) fn points<C: SWCurveConfig<BaseField: Coordinate>>(
        &self,
        section: u32,
        count: usize,
    ) -> Result<Vec<Affine<C>>, CeremonyError> {
        let mut reader = self.section(section)?;
        reader.expect_points::<C>(count)?;
        reader.points(count)
    }
}

/// What is left of a section.
pub(crate) struct Reader<'a> {
    file: FileKind,
    section: u32,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Everything that is left.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    fn short(&self) -> CeremonyError {
        match self.section {
            0 => CeremonyError::Truncated { file: self.file },
            section => CeremonyError::Section { file: self.file, section },
        }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], CeremonyError> {
        let (head, tail) = self.bytes.split_at_checked(length).ok_or_else(|| self.short())?;
        self.bytes = tail;
        Ok(head)
    }

    /// The next bytes as a section of their own.
    pub(crate) fn part(&mut self, length: usize) -> Result<Self, CeremonyError> {
        let bytes = self.take(length)?;
        Ok(Self { file: self.file, section: self.section, bytes })
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], CeremonyError> {
        let (head, tail) = self.bytes.split_first_chunk::<N>().ok_or_else(|| self.short())?;
        self.bytes = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, CeremonyError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CeremonyError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, CeremonyError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn point<C: SWCurveConfig<BaseField: Coordinate>>(&mut self) -> Result<Affine<C>, CeremonyError> {
        let bytes = self.take(2 * C::BaseField::LEN)?;
        read_point(bytes).ok_or(CeremonyError::Point { file: self.file, section: self.section })
    }

    pub(crate) fn points<C: SWCurveConfig<BaseField: Coordinate>>(
        &mut self,
        count: usize,
    ) -> Result<Vec<Affine<C>>, CeremonyError> {
        (0..count).map(|_| self.point()).collect()
    }

    /// Refuses a section that is not this many points long.
    pub(crate) fn expect_points<C: SWCurveConfig<BaseField: Coordinate>>(
        &self,
        count: usize,
    ) -> Result<(), CeremonyError> {
        let length = count.checked_mul(2 * C::BaseField::LEN);
        if length == Some(self.bytes.len()) { Ok(()) } else { Err(self.short()) }
    }

    /// Leaves points out.
    pub(crate) fn skip_points<C: SWCurveConfig<BaseField: Coordinate>>(
        &mut self,
        count: usize,
    ) -> Result<(), CeremonyError> {
        let length = count.checked_mul(2 * C::BaseField::LEN).ok_or_else(|| self.short())?;
        self.take(length).map(|_| ())
    }

    /// Refuses what is left over.
    pub(crate) fn end(&self) -> Result<(), CeremonyError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(self.short()) }
    }
}

/// Puts a file together from its sections.
pub(crate) fn assemble(magic: &[u8; 4], sections: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let lengths: usize = sections.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut file = Vec::with_capacity(lengths.saturating_add(16 * (sections.len() + 1)));
    file.extend(magic);
    file.extend(VERSION.to_le_bytes());
    file.extend(u32_of(sections.len()).to_le_bytes());
    for (number, bytes) in sections {
        file.extend(number.to_le_bytes());
        file.extend(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        file.extend(bytes);
    }
    file
}

/// A count as files have it.
pub(crate) fn u32_of(count: usize) -> u32 {
    u32::try_from(count).expect("invariant: circuits and transcripts are limited to far fewer")
}
