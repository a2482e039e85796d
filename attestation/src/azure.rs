//! Azure's paravisor evidence: a vTPM quote whose key a hardware report vouches for.
//!
//! Decides: whether a TPM quote answers the expected nonce, covers the given PCRs, and is signed by the attestation key
//! (AK) that the paravisor named in the data its SNP report or TD quote is bound to. Nothing about the hardware report
//! is verified here: [`VerifiedVtpm::hardware`] hands it on, and **without its appraisal this module proves nothing**.
//!
//! The chain: CPU vendor → SNP report or TD quote → REPORT_DATA = SHA-256 of the runtime claims → AK → TPM quote →
//! nonce and PCRs → event log ([`crate::measure::eventlog`]). An AK certificate adds the provider's word that the vTPM
//! is one of its own; whether that is needed is the caller's explicit choice, [`AkTrust`].
//!
//! Formats: OpenHCL attestation report ("HCLA"), TPM 2.0 Library Part 2 (TPMS_ATTEST), and the JSON the
//! confidential-containers project carries both in.

pub(crate) mod appraise;
mod certificate;
mod evidence;
mod hcl;
mod policy;
mod rejection;
mod tpm;

use crate::crypto;
use crate::time::UnixTime;

use evidence::PCRS_MAX;
pub use evidence::{EVIDENCE_BYTES_MAX, TpmQuoteEvidence, VtpmEvidence};
pub use hcl::{HCL_REPORT_LEN, HardwareKind, HclReport, RuntimeClaims, VmConfiguration};
pub(crate) use policy::AzureItems;
pub use rejection::AzureRejection;
pub use tpm::{PcrSelection, TpmQuote};

/// Longest nonce a TPM takes as qualifying data: the size of its largest hash structure.
pub const NONCE_BYTES_MAX: usize = 66;

/// What vouches for the attestation key.
#[derive(Debug, Clone, Copy)]
pub enum AkTrust<'a> {
    /// The hardware report alone, through the runtime claims. A certificate in the evidence is not looked at.
    HardwareReport,
    /// The hardware report, and a certificate that chains to one of the provider's roots.
    Certificate {
        /// DER of trusted roots, by their bytes.
        roots: &'a [&'a [u8]],
        /// DER of certificates that may stand between; nothing is trusted about them.
        intermediates: &'a [&'a [u8]],
        /// When the chain must be valid.
        now: UnixTime,
    },
}

/// The hardware evidence inside, for the code that appraises SNP reports and TD quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HardwareEvidence {
    /// An SNP attestation report, with the endorsement key certificate if one came along.
    Snp {
        /// The report, 1184 bytes.
        report: Vec<u8>,
        /// DER of the VCEK certificate; nothing is verified about it.
        vcek: Option<Vec<u8>>,
    },
    /// A TD quote.
    Tdx {
        /// The quote, without the zeros behind it.
        quote: Vec<u8>,
    },
}

/// What a verified vTPM quote says. True only if the hardware evidence is genuine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedVtpm {
    /// What to appraise next.
    pub hardware: HardwareEvidence,
    /// The quoted PCRs of the SHA-256 bank, ascending: index and value.
    pub pcrs: Vec<(u32, [u8; 32])>,
    /// What the paravisor stated about the machine at boot.
    pub claims: RuntimeClaims,
    /// The quote itself: clock, reset counters, firmware version.
    pub quote: TpmQuote,
    /// Whether a certificate of the provider vouches for the attestation key too.
    pub ak_certified: bool,
}

/// Verify everything about vTPM evidence but its hardware report.
///
/// `expected_nonce` is the 1 to [`NONCE_BYTES_MAX`] bytes the relying party chose for this evidence.
///
/// # Errors
/// Any [`AzureRejection`].
pub fn verify_vtpm(
    evidence: &VtpmEvidence,
    expected_nonce: &[u8],
    ak_trust: AkTrust<'_>,
) -> Result<VerifiedVtpm, AzureRejection> {
    if expected_nonce.is_empty() || expected_nonce.len() > NONCE_BYTES_MAX {
        return Err(AzureRejection::NonceLength { got: expected_nonce.len() });
    }
    // 1. The runtime claims, and that the hardware report is bound to them.
    let hcl = HclReport::parse(&evidence.hcl_report)?;
    hcl.require_bound(&hcl.report_data)?;
    let hardware = hardware_evidence(evidence, &hcl)?;
    let claims = RuntimeClaims::parse(&hcl.runtime_claims)?;

    // 2. The quote is of the key the claims name, and answers us.
    let message = evidence.tpm_quote.message.as_slice();
    let quote = TpmQuote::parse(message)?;
    crypto::verify_rsa_pkcs1_sha256_components(
        &claims.ak_modulus,
        &claims.ak_exponent,
        message,
        &evidence.tpm_quote.signature,
    )
    .map_err(|_| AzureRejection::QuoteSignature)?;
    if quote.qualifying_data != expected_nonce {
        return Err(AzureRejection::NonceMismatch);
    }

    // 3. The PCRs are the quoted ones.
    let pcrs = quoted_pcrs(&quote, &evidence.tpm_quote.pcrs)?;

    // 4. The provider's word, when asked for.
    let ak_certified = match ak_trust {
        AkTrust::HardwareReport => false,
        AkTrust::Certificate { roots, intermediates, now } => {
            let leaf = evidence.ak_certificate.as_deref().ok_or(AzureRejection::CertificateMissing)?;
            certificate::verify(leaf, intermediates, roots, now, &claims)?;
            true
        }
    };
    Ok(VerifiedVtpm { hardware, pcrs, claims, quote, ak_certified })
}

/// The hardware evidence, which for a TD is a quote beside the HCL report: only a quote is signed.
fn hardware_evidence(evidence: &VtpmEvidence, hcl: &HclReport) -> Result<HardwareEvidence, AzureRejection> {
    match (hcl.hardware, &evidence.td_quote) {
        (HardwareKind::Snp, None) => {
            Ok(HardwareEvidence::Snp { report: hcl.hardware_report.clone(), vcek: evidence.vcek.clone() })
        }
        (HardwareKind::Tdx, Some(quote)) if evidence.vcek.is_none() => {
            hcl.require_bound(&hcl::td_quote_report_data(quote)?)?;
            Ok(HardwareEvidence::Tdx { quote: hcl::td_quote_exactly(quote)?.to_vec() })
        }
        (HardwareKind::Tdx, None) => Err(AzureRejection::TdQuoteMissing),
        _ => Err(AzureRejection::HardwareMixed),
    }
}

/// Pair the values with the selected indexes and compare their digest with the quoted one.
fn quoted_pcrs(quote: &TpmQuote, values: &[[u8; 32]]) -> Result<Vec<(u32, [u8; 32])>, AzureRejection> {
    let indexes: Vec<u32> = quote.selection.indexes().collect();
    if indexes.len() != values.len() {
        return Err(AzureRejection::PcrCount { got: values.len(), selected: indexes.len() });
    }
    let mut digest = crypto::Sha256Context::new();
    values.iter().for_each(|value| digest.update(value));
    if digest.finish() != quote.pcr_digest {
        return Err(AzureRejection::PcrDigest);
    }
    Ok(indexes.into_iter().zip(values.iter().copied()).collect())
}
