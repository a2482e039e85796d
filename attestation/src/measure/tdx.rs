//! MRTD: the measurement of what a TD was built from, for firmware with TDVF metadata.
//!
//! Decides: the value, from the image alone (TDX Module ABI, TDH.MEM.PAGE.ADD and TDH.MR.EXTEND; TDVF Design Guide
//! "TDVF Metadata"). The order of the two calls is the hypervisor's choice and changes the value, so the caller names
//! it or accepts both. Sections that are added after launch are not measured.

use super::ovmf::{OvmfImage, TdvfSection};
use super::{MeasureError, PAGE_LEN};
use crate::crypto::Sha384Context;

/// TDH.MR.EXTEND measures this many bytes at a time.
const EXTEND_CHUNK_LEN: usize = 256;

/// Both calls feed the measurement a block of this size that names the call and an address.
const BLOCK_LEN: usize = 128;

/// The order in which a hypervisor adds and measures the pages of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageAddOrder {
    /// All pages of the section are added, then all are extended.
    TwoPass,
    /// Each page is added and extended before the next.
    Interleaved,
}

/// MRTD of a TD started from `firmware`.
///
/// # Errors
/// `measure.firmware_size`, `measure.footer_*`, `measure.entry_missing`, `measure.tdvf_metadata`,
/// `measure.too_many_pages`.
pub fn mrtd(firmware: &[u8], order: PageAddOrder) -> Result<[u8; 48], MeasureError> {
    let image = OvmfImage::parse(firmware)?;
    let mut measurement = Measurement(Sha384Context::new());
    for section in image.tdvf_sections()?.iter().filter(|section| !section.augment) {
        match (section.extend, order) {
            (false, _) => pages(section).for_each(|(gpa, _)| measurement.add(gpa)),
            (true, PageAddOrder::TwoPass) => {
                pages(section).for_each(|(gpa, _)| measurement.add(gpa));
                pages(section).for_each(|(gpa, page)| measurement.extend(gpa, page));
            }
            (true, PageAddOrder::Interleaved) => pages(section).for_each(|(gpa, page)| {
                measurement.add(gpa);
                measurement.extend(gpa, page);
            }),
        }
    }
    Ok(measurement.0.finish())
}

/// Each page of a section: its address and what the image has for it, which may be less than a page.
fn pages<'a>(section: &TdvfSection<'a>) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
    let addresses = (section.gpa..section.gpa.saturating_add(section.memory_size)).step_by(PAGE_LEN);
    addresses.zip(section.data.chunks(PAGE_LEN).chain(std::iter::repeat(&[][..])))
}

struct Measurement(Sha384Context);

impl Measurement {
    fn add(&mut self, gpa: u64) {
        self.0.update(&block(b"MEM.PAGE.ADD", gpa));
    }

    /// Measure a page in chunks; memory the image has no data for is zero.
    fn extend(&mut self, gpa: u64, data: &[u8]) {
        let mut page = [0; PAGE_LEN];
        for (target, byte) in page.iter_mut().zip(data) {
            *target = *byte;
        }
        for (chunk, gpa) in page.chunks_exact(EXTEND_CHUNK_LEN).zip((gpa..).step_by(EXTEND_CHUNK_LEN)) {
            self.0.update(&block(b"MR.EXTEND", gpa));
            self.0.update(chunk);
        }
    }
}

/// The name of the call, padded to 16 bytes, and the address, padded to the block.
fn block(name: &[u8], gpa: u64) -> [u8; BLOCK_LEN] {
    const ADDRESS_AT: usize = 16;
    let mut block = [0; BLOCK_LEN];
    for (target, byte) in block.iter_mut().zip(name) {
        *target = *byte;
    }
    for (target, byte) in block.iter_mut().skip(ADDRESS_AT).zip(gpa.to_le_bytes()) {
        *target = byte;
    }
    block
}
