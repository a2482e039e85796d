//! The appraisal of a set: CPU first, then what the CPU's evidence cannot speak for.
//!
//! Decides: acceptance of the whole. Nothing is accepted because something else was.

use super::{CpuEvidenceSet, EvidenceSet, ExpectedReportData, GpuEvidenceSet};
use crate::azure::{self, HardwareEvidence, VtpmEvidence};
use crate::cpu::CpuClaims;
use crate::document::SnpEndorsements;
use crate::gpu::{self, GpuCache, GpuReport};
use crate::policy::{AppraisalPolicy, Part};
use crate::rejection::Rejection;
use crate::result::AttestationResult;
use crate::roots::TrustRoots;
use crate::snp::{self, SnpCache};
use crate::tdx::{self, TdxCache, TdxCollateral};
use crate::time::UnixTime;
use crate::transcript::Transcript;

/// Everything verified once that need not be verified again, for all platforms. One per process is enough.
#[derive(Debug, Default)]
pub struct VerificationCache {
    /// SEV-SNP chains and revocation lists.
    pub snp: SnpCache,
    /// PCK chains, collateral and quoting enclaves.
    pub tdx: TdxCache,
    /// Device chains, reference manifests and OCSP responses.
    pub gpu: GpuCache,
}

/// What every step of one appraisal shares.
pub(crate) struct Judge<'a> {
    pub(crate) roots: &'a TrustRoots,
    pub(crate) policy: &'a AppraisalPolicy,
    pub(crate) now: UnixTime,
    pub(crate) cache: &'a VerificationCache,
}

/// Appraise every part of `set`.
///
/// # Errors
/// The first reason to refuse; `evidence.empty` when there is no part, `evidence.part_missing` when one is missing that
/// the policy requires.
pub fn appraise_evidence(
    set: &EvidenceSet,
    roots: &TrustRoots,
    policy: &AppraisalPolicy,
    now: UnixTime,
    cache: &VerificationCache,
    transcript: &mut Transcript,
) -> Result<AttestationResult, Rejection> {
    policy.check_reference_values(now, transcript)?;
    let judge = Judge { roots, policy, now, cache };
    let mut result = AttestationResult::new(roots, policy, now);
    if set.cpu.is_none() && set.gpu.is_none() {
        return transcript
            .check("evidence.parts", Err(Rejection::EvidenceEmpty), |_: &AttestationResult| String::new());
    }
    if let Some(cpu) = &set.cpu {
        judge.cpu(cpu, set.report_data, &mut result, transcript)?;
    }
    if let Some(gpu) = &set.gpu {
        judge.gpu(gpu, &mut result, transcript)?;
    }
    // After what is there: who judges one part alone still sees every check of it.
    judge.require_part(Part::Cpu, set.cpu.is_some(), &mut result, transcript)?;
    judge.require_part(Part::Gpu, set.gpu.is_some(), &mut result, transcript)?;
    judge.name_what_files_cannot_show(set, &mut result, transcript)?;
    Ok(result)
}

impl Judge<'_> {
    /// An expectation that no part of the set answers is an error, not a formality; and evidence from files does not
    /// say that a GPU answered for this machine.
    fn name_what_files_cannot_show(
        &self,
        set: &EvidenceSet,
        result: &mut AttestationResult,
        transcript: &mut Transcript,
    ) -> Result<(), Rejection> {
        let answers_report_data = matches!(&set.cpu, Some(CpuEvidenceSet::SevSnp { .. } | CpuEvidenceSet::Tdx { .. }));
        if set.report_data.is_some() && !answers_report_data {
            let unused = Err(Rejection::ExpectationUnused { expectation: "REPORT_DATA" });
            return transcript.check("evidence.report_data", unused, |()| String::new());
        }
        if set.cpu.is_some() && set.gpu.is_some() {
            transcript.skip("evidence.gpu_binding", "files do not show that this GPU answered for this machine");
            result.add(Vec::new(), &["evidence.gpu_binding"]);
        }
        Ok(())
    }

    /// A part the policy requires must be there; one it does not require is named when it is missing.
    pub(crate) fn require_part(
        &self,
        part: Part,
        is_there: bool,
        result: &mut AttestationResult,
        transcript: &mut Transcript,
    ) -> Result<(), Rejection> {
        let (id, name) = match part {
            Part::Cpu => ("evidence.cpu", "CPU"),
            Part::Gpu => ("evidence.gpu", "GPU"),
        };
        if is_there {
            return Ok(());
        }
        if self.policy.items().required_parts.contains(&part) {
            return transcript.check(id, Err(Rejection::EvidencePartMissing { part: name }), |()| String::new());
        }
        transcript.skip(id, "there is none, and the policy requires none");
        result.add(Vec::new(), &[id]);
        Ok(())
    }

    fn cpu(
        &self,
        cpu: &CpuEvidenceSet,
        expected: Option<ExpectedReportData>,
        result: &mut AttestationResult,
        transcript: &mut Transcript,
    ) -> Result<(), Rejection> {
        let claims = match cpu {
            CpuEvidenceSet::SevSnp { report, endorsements } => self.snp(&report.0, endorsements, transcript)?,
            CpuEvidenceSet::Tdx { quote, collateral } => self.tdx(&quote.0, collateral, transcript)?,
            CpuEvidenceSet::AzureVtpm { .. } => return self.azure(cpu, result, transcript),
        };
        result.add(claims.claims(), claims.unchecked());
        compare_report_data(expected, claims.report_data(), result, transcript)
    }

    pub(crate) fn snp(
        &self,
        report: &[u8],
        endorsements: &SnpEndorsements,
        transcript: &mut Transcript,
    ) -> Result<CpuClaims, Rejection> {
        let Self { roots, policy, now, cache } = *self;
        let claims = snp::appraise(report, endorsements, roots, policy, now, &cache.snp, transcript)?;
        Ok(CpuClaims::Snp(Box::new(claims)))
    }

    pub(crate) fn tdx(
        &self,
        quote: &[u8],
        collateral: &TdxCollateral,
        transcript: &mut Transcript,
    ) -> Result<CpuClaims, Rejection> {
        let Self { roots, policy, now, cache } = *self;
        let claims = tdx::appraise(quote, collateral, roots, policy, now, &cache.tdx, transcript)?;
        Ok(CpuClaims::Tdx(Box::new(claims)))
    }

    /// The vTPM's statements, then the hardware report they rest on. REPORT_DATA is the paravisor's there, and was
    /// compared with its claims: what the caller chose is the vTPM's nonce.
    fn azure(
        &self,
        cpu: &CpuEvidenceSet,
        result: &mut AttestationResult,
        transcript: &mut Transcript,
    ) -> Result<(), Rejection> {
        let CpuEvidenceSet::AzureVtpm { evidence, nonce, intermediates, snp, tdx } = cpu else {
            return Err(Rejection::EvidenceEmpty);
        };
        let evidence =
            transcript.check("azure.decode", VtpmEvidence::from_json(&evidence.0), |_| "vTPM evidence".to_owned())?;
        let intermediates: Vec<&[u8]> = intermediates.iter().map(|der| der.0.as_slice()).collect();
        let nonce = nonce.as_ref().map(|nonce| nonce.0.as_slice());
        let Self { roots, policy, now, .. } = *self;
        let vtpm = azure::appraise::appraise(&evidence, nonce, &intermediates, roots, policy, now, transcript)?;
        let hardware = match (vtpm.hardware(), snp, tdx) {
            (HardwareEvidence::Snp { report, .. }, Some(endorsements), _) => {
                let claims = self.snp(report, endorsements, transcript)?;
                // The runtime claims are the paravisor's only when the most privileged level asked for the report.
                let vmpl = azure::appraise::require_most_privileged(&claims).map_err(Rejection::from);
                transcript.check("azure.vmpl", vmpl, |()| "0".to_owned())?;
                claims
            }
            (HardwareEvidence::Tdx { quote }, _, Some(collateral)) => self.tdx(quote, collateral, transcript)?,
            _ => {
                let missing = Err(Rejection::EvidencePartMissing { part: "hardware endorsements" });
                return transcript.check("azure.hardware", missing, |()| String::new());
            }
        };
        result.add(hardware.claims(), hardware.unchecked());
        result.add(vtpm.claims(), vtpm.unchecked());
        if nonce.is_none() {
            result.add(Vec::new(), &["evidence.vtpm_nonce"]);
        }
        Ok(())
    }

    fn gpu(
        &self,
        set: &GpuEvidenceSet,
        result: &mut AttestationResult,
        transcript: &mut Transcript,
    ) -> Result<(), Rejection> {
        let nonce = match (set.nonce, set.evidence.first()) {
            (Some(nonce), _) => nonce.0,
            (None, Some(first)) => {
                let report = GpuReport::parse(&first.report);
                transcript.check("gpu.report.decode", report, |_| "nonce taken from the evidence".to_owned())?.nonce
            }
            (None, None) => [0; 32],
        };
        let claims = self.gpus(&set.evidence, &set.endorsements, &nonce, transcript);
        if set.nonce.is_none() {
            transcript.waive("gpu.report.nonce", "no expected nonce was given: freshness is not shown");
            result.add(Vec::new(), &["evidence.gpu_nonce"]);
        }
        let claims = claims?;
        result.add(claims.claims(), claims.unchecked());
        Ok(())
    }

    pub(crate) fn gpus(
        &self,
        evidence: &[gpu::GpuEvidence],
        endorsements: &gpu::GpuEndorsements,
        nonce: &[u8; 32],
        transcript: &mut Transcript,
    ) -> Result<gpu::GpuClaims, Rejection> {
        let Self { roots, policy, now, cache } = *self;
        let claims = gpu::appraise(evidence, endorsements, nonce, roots, policy, now, &cache.gpu, transcript)?;
        // Switches report in the same form; a set of them is no GPU.
        let has_gpu = claims.devices().iter().any(|device| device.architecture().is_gpu());
        if self.policy.items().required_parts.contains(&Part::Gpu) && !has_gpu {
            let missing = Err(Rejection::EvidencePartMissing { part: "GPU" });
            return transcript.check("evidence.gpu", missing, |_| String::new());
        }
        Ok(claims)
    }
}

fn compare_report_data(
    expected: Option<ExpectedReportData>,
    got: &[u8; 64],
    result: &mut AttestationResult,
    transcript: &mut Transcript,
) -> Result<(), Rejection> {
    let Some(expected) = expected else {
        transcript.skip("evidence.report_data", "no expected value was given: freshness and channel are not shown");
        result.add(Vec::new(), &["evidence.report_data"]);
        return Ok(());
    };
    let same = if expected.0 == *got { Ok(()) } else { Err(Rejection::ReportDataMismatch) };
    transcript.check("evidence.report_data", same, |()| hex::encode(got))
}
