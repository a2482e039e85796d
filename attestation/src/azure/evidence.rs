//! The JSON vTPM evidence travels in.
//!
//! Decides: whether it is one of the known forms, with every member known and every encoding exact. Known are the
//! confidential-containers forms of version 1 and 2, the same inside `{"platform": ..., "evidence": ...}`, and an
//! optional `ak_certificate` beside the others. Nothing is verified.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::AzureRejection;

/// Largest evidence read.
pub const EVIDENCE_BYTES_MAX: usize = 256 << 10;

/// Most PCRs a TPM of this profile has.
pub(super) const PCRS_MAX: usize = 24;

/// URL-safe base64; writers of these forms disagree on padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// vTPM evidence, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VtpmEvidence {
    /// Contents of the vTPM index the paravisor filled at boot.
    pub hcl_report: Vec<u8>,
    /// The quote over the PCRs.
    pub tpm_quote: TpmQuoteEvidence,
    /// A quote of the TD, on TDX.
    pub td_quote: Option<Vec<u8>>,
    /// DER of the VCEK certificate, on SNP.
    pub vcek: Option<Vec<u8>>,
    /// DER of the attestation key's certificate; zeros may follow, as its vTPM index has a fixed size.
    pub ak_certificate: Option<Vec<u8>>,
}

/// A TPM quote and what it takes to check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmQuoteEvidence {
    /// The signed TPMS_ATTEST.
    pub message: Vec<u8>,
    /// The RSASSA-PKCS1-v1_5 signature itself, without the structure a TPM wraps it in.
    pub signature: Vec<u8>,
    /// Values of the quoted PCRs, ascending.
    pub pcrs: Vec<[u8; 32]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped {
    platform: String,
    evidence: Raw,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    version: u32,
    hcl_report: String,
    tpm_quote: RawQuote,
    td_quote: Option<String>,
    vcek: Option<String>,
    ak_certificate: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuote {
    message: String,
    signature: String,
    pcrs: Vec<String>,
}

impl VtpmEvidence {
    /// Decode the JSON.
    ///
    /// # Errors
    /// `azure.evidence_too_large`, `azure.evidence_malformed`, `azure.evidence_version`.
    pub fn from_json(json: &[u8]) -> Result<Self, AzureRejection> {
        if json.len() > EVIDENCE_BYTES_MAX {
            return Err(AzureRejection::EvidenceTooLarge { got: json.len() });
        }
        if let Ok(wrapped) = serde_json::from_slice::<Wrapped>(json) {
            let is_tdx = match wrapped.platform.as_str() {
                "az-snp" => false,
                "az-tdx" => true,
                _ => return Err(AzureRejection::EvidenceVersion { got: wrapped.platform }),
            };
            let evidence = wrapped.evidence.decode()?;
            let agrees = is_tdx == evidence.td_quote.is_some();
            return if agrees { Ok(evidence) } else { Err(malformed("the platform does not fit the evidence")) };
        }
        serde_json::from_slice::<Raw>(json).map_err(|error| malformed(&error.to_string()))?.decode()
    }
}

impl Raw {
    fn decode(self) -> Result<VtpmEvidence, AzureRejection> {
        if !matches!(self.version, 1 | 2) {
            return Err(AzureRejection::EvidenceVersion { got: self.version.to_string() });
        }
        Ok(VtpmEvidence {
            hcl_report: base64("hcl_report", &self.hcl_report)?,
            tpm_quote: self.tpm_quote.decode()?,
            td_quote: self.td_quote.map(|text| base64("td_quote", &text)).transpose()?,
            vcek: self.vcek.map(|text| base64("vcek", &text)).transpose()?,
            ak_certificate: self.ak_certificate.map(|text| base64("ak_certificate", &text)).transpose()?,
        })
    }
}

impl RawQuote {
    fn decode(self) -> Result<TpmQuoteEvidence, AzureRejection> {
        if self.pcrs.len() > PCRS_MAX {
            return Err(malformed("there are more PCRs than a TPM has"));
        }
        let pcr = |text: &String| {
            let mut value = [0; 32];
            hex::decode_to_slice(text, &mut value).map(|()| value).map_err(|_| malformed("a PCR is not 32 bytes"))
        };
        Ok(TpmQuoteEvidence {
            message: hex::decode(&self.message).map_err(|_| malformed("message is not hexadecimal"))?,
            signature: hex::decode(&self.signature).map_err(|_| malformed("signature is not hexadecimal"))?,
            pcrs: self.pcrs.iter().map(pcr).collect::<Result<_, _>>()?,
        })
    }
}

fn malformed(detail: &str) -> AzureRejection {
    AzureRejection::EvidenceMalformed { detail: detail.to_owned() }
}

fn base64(member: &str, text: &str) -> Result<Vec<u8>, AzureRejection> {
    BASE64.decode(text).map_err(|_| malformed(&format!("{member} is not URL-safe base64")))
}
