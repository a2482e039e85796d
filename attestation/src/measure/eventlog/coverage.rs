//! Whether an event's data is what was measured.
//!
//! Decides: for each event type whose digest is defined over the logged data, whether it is that digest. For all other
//! types the data is a remark by whoever wrote the log, and nothing may be concluded from it.
//! Definitions: PC Client PFP §10.4.1; GRUB's own format for its strings.

use super::{Event, EventType, HashAlgorithm};
use crate::crypto;
use crate::reader::Reader;

/// What an event's digest says about its data.
///
/// No digest covers an event's type, so whoever hands over the log can call a measured string by another type's name.
/// Rules about events must pin register and data, and take the type only as a hint how to read the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataCoverage {
    /// The digest is of the data: the data is as trustworthy as the register. Of an `EFI_VARIABLE_BOOT` event it may be
    /// the variable's value alone; the name is then a remark.
    Covered,
    /// The digest should be of the data and is not: somebody changed one of them.
    Contradicted,
    /// The digest is of something the log does not hold. The data is only a remark.
    Opaque,
    /// The log's writer left the data out. Only the digest is there.
    Absent,
    /// The event is not extended into any register; anybody could have written it.
    NotMeasured,
}

/// GRUB measures the text after these words, without its terminator, and logs both.
const GRUB_PREFIXES: &[&[u8]] = &[b"grub_cmd: ", b"kernel_cmdline: ", b"module_cmdline: "];

/// Whether a digest is of some bytes.
pub(super) trait Hashed {
    /// The digest of `bytes`, with the algorithm of the digest it is compared with.
    fn is_digest_of(&self, bytes: &[u8]) -> bool;
}

/// A digest of either algorithm this library relies on.
enum Known<'a> {
    Sha256(&'a [u8]),
    Sha384(&'a [u8]),
}

impl Hashed for Known<'_> {
    fn is_digest_of(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Sha256(digest) => crypto::sha256(bytes) == **digest,
            Self::Sha384(digest) => crypto::sha384(bytes) == **digest,
        }
    }
}

impl Hashed for [u8; 48] {
    fn is_digest_of(&self, bytes: &[u8]) -> bool {
        crypto::sha384(bytes) == *self
    }
}

/// Coverage of a TCG event: the worst that any of its digests says.
pub(super) fn of_event(event: &Event<'_>) -> DataCoverage {
    if !event.is_measured() {
        return DataCoverage::NotMeasured;
    }
    let known = event.digests.iter().filter_map(|digest| match digest.algorithm {
        HashAlgorithm::Sha256 => Some(Known::Sha256(digest.digest)),
        HashAlgorithm::Sha384 => Some(Known::Sha384(digest.digest)),
        HashAlgorithm::Sha1 | HashAlgorithm::Sha512 | HashAlgorithm::Sm3 => None,
    });
    let says = known.map(|digest| of_data(event.event_type, event.data, &digest));
    // Without a digest this library can compute, nothing is known about the data.
    says.reduce(worse).unwrap_or(DataCoverage::Opaque)
}

fn worse(one: DataCoverage, other: DataCoverage) -> DataCoverage {
    match (one, other) {
        (DataCoverage::Contradicted, _) | (_, DataCoverage::Contradicted) => DataCoverage::Contradicted,
        (DataCoverage::Covered, DataCoverage::Covered) => DataCoverage::Covered,
        _ => DataCoverage::Opaque,
    }
}

/// Coverage of one digest.
pub(super) fn of_data(event_type: EventType, data: &[u8], digest: &impl Hashed) -> DataCoverage {
    let judged = |covered: bool| if covered { DataCoverage::Covered } else { DataCoverage::Contradicted };
    match event_type {
        EventType::NO_ACTION => DataCoverage::NotMeasured,
        EventType::SEPARATOR
        | EventType::ACTION
        | EventType::S_CRTM_VERSION
        | EventType::EFI_ACTION
        | EventType::EFI_GPT_EVENT => judged(digest.is_digest_of(data)),
        EventType::EFI_VARIABLE_DRIVER_CONFIG | EventType::EFI_VARIABLE_BOOT2 | EventType::EFI_VARIABLE_AUTHORITY => {
            judged(variable_value(data).is_some() && digest.is_digest_of(data))
        }
        // Some firmware measures the value alone, some the whole record.
        EventType::EFI_VARIABLE_BOOT => {
            judged(variable_value(data).is_some_and(|value| digest.is_digest_of(value) || digest.is_digest_of(data)))
        }
        EventType::IPL => match grub_text(data) {
            Some(text) => judged(digest.is_digest_of(text)),
            None => covered_or_opaque(data, digest),
        },
        _ => covered_or_opaque(data, digest),
    }
}

/// For types whose digest is not defined over the data: some writers hash the data anyway.
fn covered_or_opaque(data: &[u8], digest: &impl Hashed) -> DataCoverage {
    if digest.is_digest_of(data) { DataCoverage::Covered } else { DataCoverage::Opaque }
}

fn grub_text(data: &[u8]) -> Option<&[u8]> {
    let text = GRUB_PREFIXES.iter().find_map(|prefix| data.strip_prefix(*prefix))?;
    Some(text.strip_suffix(&[0]).unwrap_or(text))
}

/// The value inside a UEFI_VARIABLE_DATA: GUID, name length in characters, value length, name, value.
fn variable_value(data: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader::new(data);
    fields.take(16)?;
    let name_len = usize::try_from(fields.u64_le()?).ok()?.checked_mul(2)?;
    let value_len = usize::try_from(fields.u64_le()?).ok()?;
    fields.take(name_len)?;
    let value = fields.take(value_len)?;
    fields.is_empty().then_some(value)
}
