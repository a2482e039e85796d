//! A TPM quote: the structure a TPM signs over its PCRs (TPM 2.0 Library Part 2, §10.12.12 TPMS_ATTEST).
//!
//! Decides: whether bytes are exactly one TPMS_ATTEST of type quote over one selection of the SHA-256 bank. Trusts
//! nothing; that a TPM signed it is the caller's to check over the same bytes. Integers are big endian.

use super::{AzureRejection, NONCE_BYTES_MAX};
use crate::reader::Reader;

/// TPM_GENERATED_VALUE: only a TPM signs structures that begin so.
const MAGIC: u32 = 0xff54_4347;
/// TPM_ST_ATTEST_QUOTE.
const TYPE_QUOTE: u16 = 0x8018;
/// TPM_ALG_SHA256.
const ALGORITHM_SHA256: u16 = 0x000b;
/// Longest TPM2B_NAME: an algorithm and its largest digest.
const NAME_BYTES_MAX: usize = 66;

/// Which PCRs a quote covers, of the SHA-256 bank: bit n is PCR n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PcrSelection(u32);

impl PcrSelection {
    /// The selected indexes, ascending, which is the order the digest is made in.
    pub fn indexes(self) -> impl Iterator<Item = u32> {
        (0..24).filter(move |index| self.0 & (1 << index) != 0)
    }
}

/// A parsed quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmQuote {
    /// Name of the signing key, as the TPM computed it.
    pub qualified_signer: Vec<u8>,
    /// What the relying party asked to have signed along.
    pub qualifying_data: Vec<u8>,
    /// Milliseconds the TPM was powered.
    pub clock: u64,
    /// How often it was reset.
    pub reset_count: u32,
    /// How often it was restarted or resumed since.
    pub restart_count: u32,
    /// Whether the clock never ran backwards.
    pub clock_safe: bool,
    /// The TPM's firmware version.
    pub firmware_version: u64,
    /// Which PCRs are covered.
    pub selection: PcrSelection,
    /// SHA-256 of their values, one after the other.
    pub pcr_digest: [u8; 32],
}

impl TpmQuote {
    /// Parse a TPMS_ATTEST, without the size a TPM2B_ATTEST has in front.
    ///
    /// # Errors
    /// `azure.quote_malformed`, `azure.quote_magic`, `azure.quote_type`, `azure.pcr_selection`.
    pub fn parse(bytes: &[u8]) -> Result<Self, AzureRejection> {
        let malformed = |detail| AzureRejection::QuoteMalformed { detail };
        let short = || malformed("it is cut off");
        let mut fields = Reader::new(bytes);
        if fields.u32_be().ok_or_else(short)? != MAGIC {
            return Err(AzureRejection::QuoteMagic);
        }
        match fields.u16_be().ok_or_else(short)? {
            TYPE_QUOTE => {}
            got => return Err(AzureRejection::QuoteType { got }),
        }
        let qualified_signer = sized(&mut fields, NAME_BYTES_MAX)?;
        let qualifying_data = sized(&mut fields, NONCE_BYTES_MAX)?;
        let clock = fields.u64_be().ok_or_else(short)?;
        let reset_count = fields.u32_be().ok_or_else(short)?;
        let restart_count = fields.u32_be().ok_or_else(short)?;
        let clock_safe = match fields.u8().ok_or_else(short)? {
            0 => false,
            1 => true,
            _ => return Err(malformed("a flag is neither yes nor no")),
        };
        let firmware_version = fields.u64_be().ok_or_else(short)?;
        let selection = selection(&mut fields)?;
        let pcr_digest = sized(&mut fields, 32)?.try_into();
        let pcr_digest = pcr_digest.map_err(|_| malformed("the PCR digest is not 32 bytes"))?;
        if !fields.is_empty() {
            return Err(malformed("bytes follow the PCR digest"));
        }
        Ok(Self {
            qualified_signer,
            qualifying_data,
            clock,
            reset_count,
            restart_count,
            clock_safe,
            firmware_version,
            selection,
            pcr_digest,
        })
    }
}

/// A TPM2B: a length of two bytes, then as many.
fn sized(fields: &mut Reader<'_>, maximum: usize) -> Result<Vec<u8>, AzureRejection> {
    let malformed = |detail| AzureRejection::QuoteMalformed { detail };
    let length = fields.u16_be().map(usize::from).ok_or_else(|| malformed("it is cut off"))?;
    if length > maximum {
        return Err(malformed("a field is longer than a TPM makes it"));
    }
    fields.take(length).map(<[u8]>::to_vec).ok_or_else(|| malformed("it is cut off"))
}

/// TPML_PCR_SELECTION with one TPMS_PCR_SELECTION of 24 bits.
fn selection(fields: &mut Reader<'_>) -> Result<PcrSelection, AzureRejection> {
    let short = || AzureRejection::QuoteMalformed { detail: "it is cut off" };
    let count = fields.u32_be().ok_or_else(short)?;
    let bank = fields.u16_be().ok_or_else(short)?;
    let size = fields.u8().ok_or_else(short)?;
    let [low, middle, high] = fields.array().ok_or_else(short)?;
    let bits = u32::from_le_bytes([low, middle, high, 0]);
    if (count, bank, size) != (1, ALGORITHM_SHA256, 3) || bits == 0 {
        return Err(AzureRejection::PcrSelection);
    }
    Ok(PcrSelection(bits))
}
