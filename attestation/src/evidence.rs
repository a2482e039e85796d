//! Evidence of several parts as one set: a CPU's, GPUs', or both, appraised together without a live channel.
//!
//! Decides: what a file of evidence is, and that every part of a set is accepted before the set is. A part that is
//! missing is a fault only where the policy requires it. REPORT_DATA is compared when the caller knows what it must be;
//! otherwise the transcript says that nothing was compared.

use serde::{Deserialize, Serialize};

use crate::digest::decode_hex;
use crate::document::{Base64, SnpEndorsements};
use crate::policy::AppraisalPolicy;
use crate::rejection::Rejection;
use crate::result::AttestationResult;
use crate::roots::TrustRoots;
use crate::snp::{self, SnpCache};
use crate::time::UnixTime;
use crate::transcript::Transcript;

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
}

/// What is appraised together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceSet {
    /// The CPU's evidence.
    #[serde(deserialize_with = "Option::deserialize")]
    pub cpu: Option<CpuEvidenceSet>,
    /// The 64 bytes REPORT_DATA must be, when the caller knows them.
    #[serde(deserialize_with = "Option::deserialize")]
    pub report_data: Option<ExpectedReportData>,
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

/// Everything verified once that need not be verified again, for all platforms. One per process is enough.
#[derive(Debug, Default)]
pub struct VerificationCache {
    /// SEV-SNP chains and revocation lists.
    pub snp: SnpCache,
}

/// Appraise every part of `set`.
///
/// # Errors
/// The first reason to refuse; [`Rejection::EvidenceEmpty`] when there is no part.
pub fn appraise_evidence(
    set: &EvidenceSet,
    roots: &TrustRoots,
    policy: &AppraisalPolicy,
    now: UnixTime,
    cache: &VerificationCache,
    transcript: &mut Transcript,
) -> Result<AttestationResult, Rejection> {
    let mut result = AttestationResult::new(roots, policy, now);
    let report_data = match &set.cpu {
        Some(CpuEvidenceSet::SevSnp { report, endorsements }) => {
            let claims = snp::appraise(&report.0, endorsements, roots, policy, now, &cache.snp, transcript)?;
            result.add(claims.claims(), claims.unchecked());
            Some(claims.report().report_data)
        }
        None => None,
    };
    if let Some(got) = report_data {
        compare_report_data(set.report_data, got, transcript)?;
    }
    if result.claims().is_empty() { Err(Rejection::EvidenceEmpty) } else { Ok(result) }
}

fn compare_report_data(
    expected: Option<ExpectedReportData>,
    got: [u8; 64],
    transcript: &mut Transcript,
) -> Result<(), Rejection> {
    let Some(expected) = expected else {
        transcript.skip("evidence.report_data", "no expected value was given: freshness and channel are not shown");
        return Ok(());
    };
    let same = if expected.0 == got { Ok(()) } else { Err(Rejection::ReportDataMismatch) };
    transcript.check("evidence.report_data", same, |()| hex::encode(got))
}
