//! Evidence of several parts as one set: a CPU's, GPUs', or both, appraised together without a live channel.
//!
//! Decides: what a file of evidence is, and that every part of a set is accepted before the set is. A part that is
//! missing is a fault only where the policy requires it. REPORT_DATA and nonces are compared when the caller knows what
//! they must be; otherwise the transcript says that nothing was compared.

mod appraise;

use serde::{Deserialize, Serialize};

use crate::digest::{Hex32, decode_hex};
use crate::document::{Base64, SnpEndorsements};
use crate::gpu::{GpuEndorsements, GpuEvidence};
use crate::rejection::Rejection;
use crate::tdx::TdxCollateral;

pub(crate) use appraise::Judge;
pub use appraise::{VerificationCache, appraise_evidence};

/// Largest file of evidence that is read.
pub const EVIDENCE_BYTES_MAX: usize = 1024 * 1024;

/// What a file of evidence holds, told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EvidenceKind {
    /// A raw SEV-SNP report.
    SnpReport,
    /// A raw TDX (or SGX) quote.
    Quote,
    /// A raw SPDM GET_MEASUREMENTS request and response.
    SpdmMeasurements,
    /// JSON: one of the documents this version reads.
    Json,
}

impl EvidenceKind {
    /// The kind of `bytes`; nothing is trusted by it, only a parser is chosen.
    ///
    /// # Errors
    /// [`Rejection::EvidenceUnrecognised`] when no parser would accept such a beginning.
    pub fn of(bytes: &[u8]) -> Result<Self, Rejection> {
        /// SPDM 1.1 GET_MEASUREMENTS (DSP0274 §10.11).
        const SPDM_REQUEST: [u8; 2] = [0x11, 0xe0];
        if bytes.len() > EVIDENCE_BYTES_MAX {
            return Err(Rejection::DocumentTooLarge { got: bytes.len(), maximum: EVIDENCE_BYTES_MAX });
        }
        if matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'[')) {
            return Ok(Self::Json);
        }
        if bytes.starts_with(&SPDM_REQUEST) {
            return Ok(Self::SpdmMeasurements);
        }
        // A report begins with a 32-bit version, a quote with a 16-bit version and a 16-bit key type that is never zero.
        match bytes.first_chunk::<4>() {
            Some([_, 0, 0, 0]) => Ok(Self::SnpReport),
            Some([_, 0, _, 0]) => Ok(Self::Quote),
            _ => Err(Rejection::EvidenceUnrecognised),
        }
    }
}

/// CPU evidence with its endorsements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CpuEvidenceSet {
    /// AMD SEV-SNP.
    SevSnp {
        /// The report.
        report: Base64,
        /// AMD's endorsements.
        endorsements: SnpEndorsements,
    },
    /// Intel TDX.
    Tdx {
        /// The quote.
        quote: Base64,
        /// Intel's endorsements.
        collateral: Box<TdxCollateral>,
    },
    /// Azure's paravisor over either.
    AzureVtpm {
        /// The evidence's JSON.
        evidence: Base64,
        /// The nonce it must answer, when the caller knows it.
        #[serde(deserialize_with = "Option::deserialize")]
        nonce: Option<NonceHex>,
        /// Certificates that may stand between the vTPM's key and a root, DER.
        intermediates: Vec<Base64>,
        /// Endorsements of the SNP report inside.
        #[serde(deserialize_with = "Option::deserialize")]
        snp: Option<SnpEndorsements>,
        /// Endorsements of the TD quote inside.
        #[serde(deserialize_with = "Option::deserialize")]
        tdx: Option<Box<TdxCollateral>>,
    },
}

/// GPU evidence with its endorsements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuEvidenceSet {
    /// One per device.
    pub evidence: Vec<GpuEvidence>,
    /// NVIDIA's endorsements.
    pub endorsements: GpuEndorsements,
    /// The nonce all devices must answer, when the caller knows it.
    #[serde(deserialize_with = "Option::deserialize")]
    pub nonce: Option<Hex32>,
}

/// What is appraised together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceSet {
    /// The CPU's evidence.
    #[serde(deserialize_with = "Option::deserialize")]
    pub cpu: Option<CpuEvidenceSet>,
    /// The GPUs' evidence.
    #[serde(deserialize_with = "Option::deserialize")]
    pub gpu: Option<GpuEvidenceSet>,
    /// The 64 bytes REPORT_DATA must be, when the caller knows them.
    #[serde(deserialize_with = "Option::deserialize")]
    pub report_data: Option<ExpectedReportData>,
}

impl EvidenceSet {
    /// Drop what somebody else says was expected; the verdict then lists freshness as not shown.
    pub fn forget_expectations(&mut self) {
        self.report_data = None;
        if let Some(gpu) = &mut self.gpu {
            gpu.nonce = None;
        }
        if let Some(CpuEvidenceSet::AzureVtpm { nonce, .. }) = &mut self.cpu {
            *nonce = None;
        }
    }
}

/// The 64 bytes REPORT_DATA must be, written in hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedReportData(pub [u8; 64]);

impl Serialize for ExpectedReportData {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for ExpectedReportData {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl std::str::FromStr for ExpectedReportData {
    type Err = crate::digest::HexError;

    /// 128 lowercase hex characters.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decode_hex(text).map(Self)
    }
}

/// A nonce of 1 to 64 bytes, written in lowercase hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonceHex(pub Vec<u8>);

impl Serialize for NonceHex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for NonceHex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl std::str::FromStr for NonceHex {
    type Err = crate::digest::HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const CHARACTERS_MAX: usize = 128;
        if text.is_empty() || text.len() > CHARACTERS_MAX || !text.len().is_multiple_of(2) {
            return Err(Self::Err::Length { expected: CHARACTERS_MAX, got: text.len() });
        }
        if !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(Self::Err::NotLowercaseHex);
        }
        hex::decode(text).map(Self).map_err(|_| Self::Err::NotLowercaseHex)
    }
}
