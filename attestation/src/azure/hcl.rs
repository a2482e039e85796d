//! The HCL report: what the paravisor left in the vTPM at boot (OpenHCL `attestation_report`).
//!
//! Decides: whether 2600 bytes are a header, a hardware report, and runtime claims with nothing else around them, and
//! whether REPORT_DATA names the claims. Trusts nothing. On exit the claims are as trustworthy as the hardware report.
//!
//! Layout: header 32 | hardware report 1184 (an SNP report, or a TDREPORT of 1024 and zeros) | claims header 20 | claims
//! | zeros up to the size of the vTPM's index. Integers are little endian.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::AzureRejection;
use crate::crypto;
use crate::reader::Reader;
use crate::snp::REPORT_LEN;
use crate::tdx::padding;

/// Size of the vTPM index the report is read from.
pub const HCL_REPORT_LEN: usize = 2600;

const HEADER_LEN: u32 = 32;
const HARDWARE_REPORT_LEN: u32 = 1184;
const CLAIMS_HEADER_LEN: u32 = 20;

/// Bytes of a TDREPORT_STRUCT (TDX Module ABI).
const TD_REPORT_LEN: usize = 1024;

/// REPORT_DATA of an SNP report (SNP ABI §7.3).
const SNP_REPORT_DATA_AT: usize = 0x50;

/// REPORTDATA of a TDREPORT_STRUCT, inside its REPORTMACSTRUCT.
const TD_REPORT_DATA_AT: usize = 128;

/// REPORTDATA in the TD report body of a quote.
const QUOTE_BODY_REPORT_DATA_AT: usize = 520;

/// TEE type of a TD, in a quote's header and as the first byte of a TDREPORT.
const TEE_TYPE_TDX: u32 = 0x81;

/// Smallest and largest modulus of an attestation key, in bytes.
const AK_MODULUS_LEN: std::ops::RangeInclusive<usize> = 256..=1024;

/// Which hardware the paravisor runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HardwareKind {
    /// AMD SEV-SNP; the report type is 2.
    Snp,
    /// Intel TDX; the report type is 4.
    Tdx,
}

/// A well-formed HCL report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HclReport {
    /// Which hardware the report inside is of.
    pub hardware: HardwareKind,
    /// The SNP report, 1184 bytes, or the TDREPORT, 1024 bytes.
    pub hardware_report: Vec<u8>,
    /// REPORT_DATA of the hardware report.
    pub report_data: [u8; 64],
    /// The claims, as received: their hash is what counts.
    pub runtime_claims: Vec<u8>,
}

/// What the paravisor states in the runtime claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeClaims {
    /// Modulus of the attestation key, big endian.
    pub ak_modulus: Vec<u8>,
    /// Public exponent of the attestation key, big endian.
    pub ak_exponent: Vec<u8>,
    /// How the machine is configured.
    pub vm_configuration: VmConfiguration,
    /// 64 bytes the guest put into a vTPM index before it asked; zero when it did not.
    pub user_data: [u8; 64],
}

/// How the machine is configured. Members this library does not name are covered by the hash and left alone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VmConfiguration {
    /// Whether a console can be attached.
    pub console_enabled: bool,
    /// Whether the virtual firmware enforces secure boot.
    pub secure_boot: bool,
    /// Whether there is a vTPM.
    pub tpm_enabled: bool,
    /// Whether the vTPM's state outlives the machine; not stated by older paravisors.
    pub tpm_persisted: Option<bool>,
    /// Thumbprint of the root the paravisor was given, if any.
    pub root_cert_thumbprint: Option<String>,
    /// The provider's name for the machine.
    #[serde(rename = "vmUniqueId")]
    pub vm_unique_id: String,
}

impl HclReport {
    /// Parse the contents of the vTPM index.
    ///
    /// # Errors
    /// `azure.hcl_length`, `azure.hcl_malformed`, `azure.hcl_unsupported`, `azure.hcl_status`.
    pub fn parse(bytes: &[u8]) -> Result<Self, AzureRejection> {
        if bytes.len() != HCL_REPORT_LEN {
            return Err(AzureRejection::HclLength { got: bytes.len() });
        }
        let mut fields = Reader::new(bytes);
        let report_size = header(&mut fields)?;
        let hardware_report = fields.take_u32(HARDWARE_REPORT_LEN).ok_or_else(short)?;
        let (hardware, claims_len) = claims_header(&mut fields, report_size)?;
        let runtime_claims = fields.take_u32(claims_len).ok_or_else(short)?.to_vec();
        if fields.rest().iter().any(|byte| *byte != 0) {
            return Err(malformed("bytes follow the runtime claims"));
        }
        let (hardware_report, report_data) = match hardware {
            HardwareKind::Snp => (hardware_report, report_data(hardware_report, SNP_REPORT_DATA_AT)),
            HardwareKind::Tdx => (td_report(hardware_report)?, report_data(hardware_report, TD_REPORT_DATA_AT)),
        };
        let report_data = report_data.ok_or_else(short)?;
        Ok(Self { hardware, hardware_report: hardware_report.to_vec(), report_data, runtime_claims })
    }

    /// Whether `report_data` is the hash of the claims, followed by zeros.
    pub(super) fn require_bound(&self, report_data: &[u8; 64]) -> Result<(), AzureRejection> {
        let mut expected = [0; 64];
        for (target, byte) in expected.iter_mut().zip(crypto::sha256(&self.runtime_claims)) {
            *target = byte;
        }
        if expected == *report_data { Ok(()) } else { Err(AzureRejection::ClaimsNotBound) }
    }
}

fn malformed(detail: &'static str) -> AzureRejection {
    AzureRejection::HclMalformed { detail }
}

fn short() -> AzureRejection {
    malformed("it is cut off")
}

/// Signature, version, size of the report, request type, status and reserved bytes; returns the size.
fn header(fields: &mut Reader<'_>) -> Result<u32, AzureRejection> {
    const REQUEST_TYPE_ATTESTATION: u32 = 2;
    if fields.array().ok_or_else(short)? != *b"HCLA" {
        return Err(malformed("its signature is not HCLA"));
    }
    let version = fields.u32_le().ok_or_else(short)?;
    if !matches!(version, 1 | 2) {
        return Err(AzureRejection::HclUnsupported { field: "version", got: version });
    }
    let report_size = fields.u32_le().ok_or_else(short)?;
    let request_type = fields.u32_le().ok_or_else(short)?;
    if request_type != REQUEST_TYPE_ATTESTATION {
        return Err(AzureRejection::HclUnsupported { field: "request type", got: request_type });
    }
    let status = fields.u32_le().ok_or_else(short)?;
    if status != 0 {
        return Err(AzureRejection::HclStatus { got: status });
    }
    if fields.array().ok_or_else(short)? != [0_u8; 12] {
        return Err(malformed("a reserved byte is not zero"));
    }
    Ok(report_size)
}

/// Size, version, report type, hash type and length of the claims; returns hardware and length.
fn claims_header(fields: &mut Reader<'_>, report_size: u32) -> Result<(HardwareKind, u32), AzureRejection> {
    let unsupported = |field, got| AzureRejection::HclUnsupported { field, got };
    let size = fields.u32_le().ok_or_else(short)?;
    let version = fields.u32_le().ok_or_else(short)?;
    let report_type = fields.u32_le().ok_or_else(short)?;
    let hash_type = fields.u32_le().ok_or_else(short)?;
    let claims_len = fields.u32_le().ok_or_else(short)?;
    if version != 1 {
        return Err(unsupported("claims version", version));
    }
    let hardware = match report_type {
        2 => HardwareKind::Snp,
        4 => HardwareKind::Tdx,
        got => return Err(unsupported("report type", got)),
    };
    if hash_type != 1 {
        return Err(unsupported("hash type", hash_type));
    }
    let fits = claims_len.checked_add(CLAIMS_HEADER_LEN) == Some(size)
        && size.checked_add(HEADER_LEN + HARDWARE_REPORT_LEN) == Some(report_size);
    if !fits {
        return Err(malformed("its sizes contradict each other"));
    }
    Ok((hardware, claims_len))
}

fn report_data(report: &[u8], at: usize) -> Option<[u8; 64]> {
    let mut fields = Reader::new(report);
    fields.take(at)?;
    fields.array()
}

/// The TDREPORT in the space of a hardware report.
fn td_report(space: &[u8]) -> Result<&[u8], AzureRejection> {
    let (report, padding) = space.split_at_checked(TD_REPORT_LEN).ok_or_else(short)?;
    if report.first().copied().map(u32::from) != Some(TEE_TYPE_TDX) {
        return Err(malformed("the hardware report is not a TDREPORT"));
    }
    if padding.iter().any(|byte| *byte != 0) {
        return Err(malformed("bytes follow the TDREPORT"));
    }
    Ok(report)
}

/// REPORTDATA of a TD quote, version 4 or 5 (TDX DCAP Quote Library, appendix 3). Everything else about the quote is for
/// its own verification.
pub(super) fn td_quote_report_data(quote: &[u8]) -> Result<[u8; 64], AzureRejection> {
    let (fields, _) = padding::body(quote).ok_or(AzureRejection::TdQuoteMalformed)?;
    report_data(fields.rest(), QUOTE_BODY_REPORT_DATA_AT).ok_or(AzureRejection::TdQuoteMalformed)
}

/// The quote without the zeros the provider fills its buffer up with. Anything but zeros behind it is refused.
pub(super) fn td_quote_exactly(padded: &[u8]) -> Result<&[u8], AzureRejection> {
    padding::without_padding(padded).ok_or(AzureRejection::TdQuoteMalformed)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawClaims {
    keys: Vec<RawKey>,
    vm_configuration: VmConfiguration,
    user_data: String,
}

/// A JSON Web Key (RFC 7517), RSA, public half.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    kid: String,
    key_ops: Vec<String>,
    kty: String,
    e: String,
    n: String,
}

impl RuntimeClaims {
    /// Parse the claims of an HCL report.
    ///
    /// # Errors
    /// `azure.claims_malformed`, `azure.ak_key`.
    pub fn parse(json: &[u8]) -> Result<Self, AzureRejection> {
        let malformed = |detail: &str| AzureRejection::ClaimsMalformed { detail: detail.to_owned() };
        let raw: RawClaims = serde_json::from_slice(json).map_err(|error| malformed(&error.to_string()))?;
        let mut user_data = [0; 64];
        hex::decode_to_slice(&raw.user_data, &mut user_data).map_err(|_| malformed("user-data is not 64 bytes"))?;
        let (ak_modulus, ak_exponent) = attestation_key(&raw.keys)?;
        Ok(Self { ak_modulus, ak_exponent, vm_configuration: raw.vm_configuration, user_data })
    }
}

/// Modulus and exponent of the only key named HCLAkPub, which must be an RSA signing key.
fn attestation_key(keys: &[RawKey]) -> Result<(Vec<u8>, Vec<u8>), AzureRejection> {
    let unusable = |detail| AzureRejection::AkKey { detail };
    let mut named = keys.iter().filter(|key| key.kid == "HCLAkPub");
    let (Some(key), None) = (named.next(), named.next()) else { return Err(unusable("there is not exactly one")) };
    if key.kty != "RSA" || key.key_ops != ["sign"] {
        return Err(unusable("it is not an RSA key for signing"));
    }
    let number = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.first().is_some_and(|b| *b != 0));
    let modulus = number(&key.n).filter(|bytes| AK_MODULUS_LEN.contains(&bytes.len()));
    let modulus = modulus.ok_or_else(|| unusable("its modulus is not a number of 256 to 1024 bytes"))?;
    let exponent = number(&key.e).filter(|bytes| bytes.len() <= 4);
    Ok((modulus, exponent.ok_or_else(|| unusable("its exponent is not a number of 1 to 4 bytes"))?))
}

/// The space for a hardware report is that of an SNP report.
const _: () = assert!(HARDWARE_REPORT_LEN == 1184 && REPORT_LEN == 1184);
