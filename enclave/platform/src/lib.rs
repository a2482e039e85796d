//! What a guardian asks about its platform (protocol.md §2.6): one JSON line asked, one JSON line answered.
//!
//! Decides: the questions and their form, for the guardian (`enclave`), the host's services (`host`) and the service for GPUs
//! (`enclave/nvml`). Nobody trusts an answer: evidence and endorsements are signed by vendors, and what is not signed can only
//! stop a node.

mod gpu;
mod name;
mod serve;

use attestation::gpu::{GpuEndorsements, GpuEvidence};
use attestation::{Base64, CpuEvidence, Endorsements};
use serde::{Deserialize, Serialize};

pub use gpu::{Environment, GpuDeviceState, GpuState, MultiGpuMode};
pub use name::is_public_name;
pub use serve::{Access, Answers, serve, serve_lines};

/// Longest question: the evidence of many GPUs in base64.
pub const QUESTION_BYTES_MAX: u64 = 512 << 10;

/// Longest answer: that, with two reference manifests and their OCSP responses.
pub const ANSWER_BYTES_MAX: u64 = 2 << 20;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// A report over these 64 bytes, hex.
    ReportData(String),
    /// The GPUs' evidence for this nonce of 32 bytes, hex.
    GpuNonce(String),
    /// What the vendor says about the machine of this report.
    Endorse(CpuEvidence),
    /// What NVIDIA says about the devices of this evidence.
    EndorseGpus(Vec<GpuEvidence>),
    /// What the driver says of the GPUs now.
    GpuState,
    /// Let the GPUs take work, or no longer.
    GpusReady(bool),
    /// A public authority's certificate for the key and name of this request (PKCS #10, DER).
    Certify(Base64),
}

/// What is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Answer {
    /// To [`Question::ReportData`].
    Report {
        /// The report.
        evidence: CpuEvidence,
        /// What endorses it.
        endorsements: Endorsements,
    },
    /// To [`Question::GpuNonce`], from who has endorsements too.
    Gpu {
        /// One for each device.
        evidence: Vec<GpuEvidence>,
        /// What endorses all of it.
        endorsements: GpuEndorsements,
    },
    /// To [`Question::GpuNonce`], from the driver.
    GpuEvidence(Vec<GpuEvidence>),
    /// To [`Question::Endorse`].
    Endorsements(Endorsements),
    /// To [`Question::EndorseGpus`].
    GpuEndorsements(GpuEndorsements),
    /// To [`Question::GpuState`].
    GpuState(GpuState),
    /// To [`Question::GpusReady`]: the state that was set.
    GpusReady(bool),
    /// To [`Question::Certify`]: the certificate (DER), then those up to a root.
    Certificate(Vec<Base64>),
    /// To [`Question::Certify`]: there is none yet, and why.
    CertificatePending(String),
    /// There is no answer.
    Error {
        /// Why.
        message: String,
    },
}

/// Reads the bytes of a question that are written in hex.
///
/// # Errors
/// If they are not hex, or not `N` bytes.
pub fn exactly<const N: usize>(name: &str, text: &str) -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| anyhow::anyhow!("{name} must be {N} bytes in hex"))?;
    Ok(bytes)
}
