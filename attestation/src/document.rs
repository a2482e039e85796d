//! The attestation document: what the guardian answers on the connection to be bound (protocol.md §2.3).
//!
//! Decides: whether bytes are a document at all. Nothing in it is trusted on exit: evidence and endorsements still
//! have to be appraised, and the echoed nonce and digest are only compared with what the caller computes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::batch::BatchPosition;
use crate::crypto;
use crate::digest::{Hex32, Sha256Digest};
use crate::gpu::{GpuEndorsements, GpuEvidence};
use crate::keyset::Keyset;
use crate::lp::Lp;
use crate::rejection::Rejection;
use crate::report_data::{GpuBinding, Nonce, Role};
use crate::tdx::TdxCollateral;

/// The largest document a verifier reads.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

/// The `version` of the only document there is.
pub const DOCUMENT_VERSION: &str = "cloister/attestation/v1";

/// Bytes written as standard, padded, canonical base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl fmt::Debug for Base64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base64({} bytes)", self.0.len())
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The STANDARD engine refuses missing padding, whitespace and non-zero trailing bits.
        STANDARD.decode(text).map(Self).map_err(|_| D::Error::custom("not standard padded base64"))
    }
}

/// How evidence is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EvidenceFormat {
    /// A raw 1184-byte SEV-SNP attestation report.
    #[serde(rename = "sev-snp-report/v1")]
    SevSnpReportV1,
    /// A raw TDX quote, version 4 or 5.
    #[serde(rename = "tdx-quote/v1")]
    TdxQuoteV1,
}

/// The CPU's evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuEvidence {
    /// Encoding of `report`.
    pub format: EvidenceFormat,
    /// The report as the firmware gave it.
    pub report: Base64,
}

/// What AMD says about the CPU. All DER.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpEndorsements {
    /// The VCEK or VLEK.
    pub vek: Base64,
    /// The ASK or ASVK.
    pub intermediate: Base64,
    /// A hint about which trusted root to use; never trusted itself.
    pub root: Base64,
    /// The root's revocation list; `null` when there is none, never left out.
    #[serde(deserialize_with = "Option::deserialize")]
    pub crl: Option<Base64>,
}

/// What the vendor says about the CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endorsements {
    /// Of an SNP report.
    SevSnp(SnpEndorsements),
    /// Of a TDX quote: Intel's collateral in the form quote providers hand out.
    Tdx(Box<TdxCollateral>),
}

/// The GPUs' part of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuSection {
    /// What made this round's nonce unpredictable.
    pub random: Hex32,
    /// Counts how often the evidence was renewed.
    pub epoch: u64,
    /// One per device.
    pub evidence: Vec<GpuEvidence>,
    /// NVIDIA's endorsements.
    pub endorsements: GpuEndorsements,
}

impl GpuSection {
    /// The nonce every device must have answered (protocol.md §2.5): `SHA-256("cloister/gpu-nonce/v1" ‖ lp(keyset
    /// digest) ‖ lp(random) ‖ lp(epoch))`.
    #[must_use]
    pub fn nonce(keyset_digest: &Sha256Digest, random: &Hex32, epoch: u64) -> [u8; 32] {
        let bytes = Lp::new("cloister/gpu-nonce/v1").bytes(&keyset_digest.0).bytes(&random.0).u64(epoch).finish();
        crypto::sha256(&bytes)
    }

    /// What REPORT_DATA names the evidence by: `SHA-256("cloister/gpu-evidence/v1" ‖ for each device lp(report) ‖
    /// lp(chain))` and the epoch. Endorsements are not covered: they prove themselves.
    #[must_use]
    pub fn binding(&self) -> GpuBinding {
        let set = self.evidence.iter().fold(Lp::new("cloister/gpu-evidence/v1"), |set, device| {
            set.bytes(&device.report).bytes(&device.certificate_chain)
        });
        GpuBinding { evidence_digest: Hex32(crypto::sha256(&set.finish())), epoch: self.epoch }
    }
}

/// The answer to `GET /v1/attestation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestationDocument {
    /// [`DOCUMENT_VERSION`].
    pub version: String,
    /// What the report vouches for.
    pub role: Role,
    /// The nonce this answers.
    pub nonce: Nonce,
    /// Where the nonce's leaf sits.
    pub batch: BatchPosition,
    /// The keys of this boot.
    pub keyset: Keyset,
    /// Digest of `keyset`, as the guardian computed it.
    pub keyset_digest: Sha256Digest,
    /// GPU evidence; `null` when there is no GPU, never left out.
    #[serde(deserialize_with = "Option::deserialize")]
    pub gpu: Option<GpuSection>,
    /// The CPU's evidence.
    pub evidence: CpuEvidence,
    /// The vendor's endorsements.
    pub endorsements: Endorsements,
}

/// Only what decides whether the rest can be read.
#[derive(Deserialize)]
struct Envelope {
    version: String,
    evidence: EnvelopeEvidence,
}

#[derive(Deserialize)]
struct EnvelopeEvidence {
    format: String,
}

impl AttestationDocument {
    /// Parse a document: at most [`DOCUMENT_BYTES_MAX`] bytes, no unknown, repeated or missing members.
    ///
    /// # Errors
    /// `document.*` rejections.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Rejection> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(Rejection::DocumentTooLarge { got: bytes.len(), maximum: DOCUMENT_BYTES_MAX });
        }
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(malformed)?;
        if envelope.version != DOCUMENT_VERSION {
            return Err(Rejection::DocumentVersion { got: envelope.version });
        }
        let format = serde_json::Value::String(envelope.evidence.format);
        if EvidenceFormat::deserialize(&format).is_err() {
            return Err(Rejection::EvidenceFormat { got: format.to_string() });
        }
        let document: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        let agree = matches!(
            (document.evidence.format, &document.endorsements),
            (EvidenceFormat::SevSnpReportV1, Endorsements::SevSnp(_))
                | (EvidenceFormat::TdxQuoteV1, Endorsements::Tdx(_))
        );
        if agree {
            Ok(document)
        } else {
            Err(Rejection::DocumentMalformed { detail: "the endorsements are not of the evidence's format".to_owned() })
        }
    }

    /// The document as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("invariant: a document holds only strings, integers and lists")
    }
}

fn malformed(error: serde_json::Error) -> Rejection {
    Rejection::DocumentMalformed { detail: error.to_string() }
}
