//! Appraising files: evidence and endorsements from disk, a verdict, and a bundle that repeats it years later.
//!
//! Decides: which file is what. Trusts on entry: the roots and the policy the user named; nothing in evidence,
//! endorsements or a bundle. Holds on exit: the verdict of [`attestation::appraise_evidence`], and nothing about any channel:
//! evidence from a file says that such a machine exists, not that one is talking to it.

mod endorsements;
mod json;

use std::path::{Path, PathBuf};

use attestation::azure::VtpmEvidence;
use attestation::gpu::GpuEvidence;
use attestation::{
    AttestationResult, Base64, BundleError, CpuEvidenceSet, EVIDENCE_BYTES_MAX, EvidenceKind, EvidenceSet,
    ExpectedReportData, GpuEvidenceSet, Hex32, NonceHex, Rejection, Transcript, UnixTime, VerificationCache,
    appraise_evidence,
};

pub use endorsements::EndorsementsError;

use crate::files::{FileError, read_capped};
use crate::verify::Trust;

/// What a user names on the command line.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Files of evidence: at most one of a CPU.
    pub evidence: Vec<PathBuf>,
    /// Directory of endorsements.
    pub endorsements: Option<PathBuf>,
    /// Root certificates the user named, as read.
    pub named_roots: Vec<Vec<u8>>,
    /// What REPORT_DATA must be.
    pub report_data: Option<ExpectedReportData>,
    /// What GPUs or a vTPM must have answered.
    pub nonce: Option<NonceHex>,
}

/// Why files could not be appraised at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppraisalError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The endorsements a kind of evidence needs are not there.
    #[error(transparent)]
    Endorsements(#[from] EndorsementsError),
    /// Two files are evidence of a CPU.
    #[error("{} is a second piece of CPU evidence; one machine has one", path.display())]
    SecondCpu {
        /// The second file.
        path: PathBuf,
    },
    /// GPUs answer 32 bytes.
    #[error("a GPU's nonce has 32 bytes, 64 hex characters")]
    GpuNonce,
    /// The bundle is not one.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The evidence was refused.
    #[error("the evidence was not accepted")]
    Rejected(#[from] Rejection),
}

impl AppraisalError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(_) => "file.unusable",
            Self::Endorsements(error) => error.code(),
            Self::SecondCpu { .. } => "evidence.second_cpu",
            Self::GpuNonce => "evidence.gpu_nonce",
            Self::Bundle(_) => "bundle.malformed",
            Self::Rejected(rejection) => rejection.code(),
        }
    }
}

/// Reads evidence and endorsements.
///
/// # Errors
/// When a file is missing, too long, or not what its place requires.
pub fn load_evidence(inputs: &Inputs) -> Result<EvidenceSet, AppraisalError> {
    let mut set = EvidenceSet { report_data: inputs.report_data, ..EvidenceSet::default() };
    for path in &inputs.evidence {
        let limit = u64::try_from(EVIDENCE_BYTES_MAX).unwrap_or(u64::MAX);
        let bytes = read_capped(path, limit)?;
        let directory = endorsements_dir(inputs, path);
        let cpu = match EvidenceKind::of(&bytes)? {
            EvidenceKind::SnpReport => CpuEvidenceSet::SevSnp {
                report: Base64(bytes),
                endorsements: endorsements::snp(&directory, &inputs.named_roots, None)?,
            },
            EvidenceKind::Quote => {
                CpuEvidenceSet::Tdx { quote: Base64(bytes), collateral: Box::new(endorsements::tdx(&directory)?) }
            }
            EvidenceKind::SpdmMeasurements => {
                let certificate_chain = endorsements::gpu_chain(&directory)?;
                add_gpus(&mut set, vec![GpuEvidence { report: bytes, certificate_chain }], inputs, &directory)?;
                continue;
            }
            EvidenceKind::Json if json::is_vtpm(&bytes) => azure(bytes, inputs, &directory)?,
            EvidenceKind::Json => {
                let devices = GpuEvidence::list_from_json(&bytes).map_err(Rejection::from)?;
                add_gpus(&mut set, devices, inputs, &directory)?;
                continue;
            }
        };
        if set.cpu.replace(cpu).is_some() {
            return Err(AppraisalError::SecondCpu { path: path.clone() });
        }
    }
    let answers_nonce = set.gpu.is_some() || matches!(set.cpu, Some(CpuEvidenceSet::AzureVtpm { .. }));
    if inputs.nonce.is_some() && !answers_nonce {
        return Err(Rejection::ExpectationUnused { expectation: "nonce" }.into());
    }
    Ok(set)
}

/// Devices of several files are one set: one nonce, one set of endorsements.
fn add_gpus(
    set: &mut EvidenceSet,
    devices: Vec<GpuEvidence>,
    inputs: &Inputs,
    directory: &Path,
) -> Result<(), AppraisalError> {
    if set.gpu.is_none() {
        let nonce = match &inputs.nonce {
            Some(nonce) => Some(Hex32(nonce.0.as_slice().try_into().map_err(|_| AppraisalError::GpuNonce)?)),
            None => None,
        };
        let endorsements = endorsements::gpu(directory)?;
        set.gpu = Some(GpuEvidenceSet { evidence: Vec::new(), endorsements, nonce });
    }
    if let Some(gpu) = &mut set.gpu {
        gpu.evidence.extend(devices);
    }
    Ok(())
}

/// vTPM evidence, with the endorsements of the hardware report inside it.
fn azure(bytes: Vec<u8>, inputs: &Inputs, directory: &Path) -> Result<CpuEvidenceSet, AppraisalError> {
    let evidence = VtpmEvidence::from_json(&bytes).map_err(Rejection::from)?;
    let (snp, tdx) = match evidence.td_quote {
        Some(_) => (None, Some(Box::new(endorsements::tdx(directory)?))),
        None => (Some(endorsements::snp(directory, &inputs.named_roots, evidence.vcek)?), None),
    };
    let intermediates = endorsements::azure_intermediates(directory)?.into_iter().map(Base64).collect();
    Ok(CpuEvidenceSet::AzureVtpm { evidence: Base64(bytes), nonce: inputs.nonce.clone(), intermediates, snp, tdx })
}

/// The named directory, or the one the evidence is in.
fn endorsements_dir(inputs: &Inputs, evidence: &Path) -> PathBuf {
    let beside = || evidence.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    inputs.endorsements.clone().unwrap_or_else(|| beside().to_owned())
}

/// The verdict on a set of evidence.
///
/// # Errors
/// The reason to refuse.
pub fn judge(
    set: &EvidenceSet,
    trust: &Trust,
    at: UnixTime,
    transcript: &mut Transcript,
) -> Result<AttestationResult, Rejection> {
    appraise_evidence(set, &trust.roots, &trust.policy, at, &VerificationCache::default(), transcript)
}
