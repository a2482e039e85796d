//! A platform's service on a socket. A simulated platform answers all questions; a host answers those that need no key, what vendors
//! say about evidence; the service for GPUs those about the driver.

use attestation::gpu::{GpuEndorsements, GpuEvidence};
use attestation::{CpuEvidence, Endorsements};
use platform_service::{ANSWER_BYTES_MAX, Answer, GpuState, Question};

use super::{Attested, AttesterError};
use crate::config::ServiceAddress;
use crate::line_service::{AskError, LineService};

/// Where it is.
#[derive(Debug)]
pub(super) struct Service(LineService);

impl From<LineService> for Service {
    fn from(service: LineService) -> Self {
        Self(service)
    }
}

impl From<AskError> for AttesterError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Io(error) => Self::Io(error),
            AskError::Line(error) => Self::Refused(error.to_string()),
        }
    }
}

impl Service {
    pub(super) fn vsock(cid: u32, port: u32) -> Self {
        Self(LineService::vsock(cid, port))
    }

    pub(super) fn from_config(address: &ServiceAddress) -> Self {
        Self(LineService::from_config(address))
    }

    /// A report over these bytes, and what endorses it.
    pub(super) async fn attest(&self, report_data: [u8; 64]) -> Result<Attested, AttesterError> {
        match self.ask(&Question::ReportData(hex::encode(report_data))).await? {
            Answer::Report { evidence, endorsements } => Ok(Attested { evidence, endorsements }),
            other => Err(refused(other)),
        }
    }

    /// The GPUs' evidence for this nonce, and what endorses it.
    pub(super) async fn attest_gpus(
        &self,
        nonce: [u8; 32],
    ) -> Result<(Vec<GpuEvidence>, GpuEndorsements), AttesterError> {
        match self.ask(&Question::GpuNonce(hex::encode(nonce))).await? {
            Answer::Gpu { evidence, endorsements } => Ok((evidence, endorsements)),
            other => Err(refused(other)),
        }
    }

    /// The GPUs' evidence for this nonce, from who has nothing else.
    pub(super) async fn gpu_evidence(&self, nonce: [u8; 32]) -> Result<Vec<GpuEvidence>, AttesterError> {
        match self.ask(&Question::GpuNonce(hex::encode(nonce))).await? {
            Answer::GpuEvidence(evidence) => Ok(evidence),
            other => Err(refused(other)),
        }
    }

    /// What the driver says of the GPUs.
    pub(super) async fn gpu_state(&self) -> Result<GpuState, AttesterError> {
        match self.ask(&Question::GpuState).await? {
            Answer::GpuState(state) => Ok(state),
            other => Err(refused(other)),
        }
    }

    /// Lets the GPUs take work, or no longer.
    pub(super) async fn set_gpus_ready(&self, ready: bool) -> Result<(), AttesterError> {
        match self.ask(&Question::GpusReady(ready)).await? {
            Answer::GpusReady(set) if set == ready => Ok(()),
            other => Err(refused(other)),
        }
    }

    /// What endorses a report.
    pub(super) async fn endorse(&self, evidence: &CpuEvidence) -> Result<Endorsements, AttesterError> {
        match self.ask(&Question::Endorse(evidence.clone())).await? {
            Answer::Endorsements(endorsements) => Ok(endorsements),
            other => Err(refused(other)),
        }
    }

    /// What endorses the evidence of GPUs.
    pub(super) async fn endorse_gpus(&self, evidence: &[GpuEvidence]) -> Result<GpuEndorsements, AttesterError> {
        match self.ask(&Question::EndorseGpus(evidence.to_vec())).await? {
            Answer::GpuEndorsements(endorsements) => Ok(endorsements),
            other => Err(refused(other)),
        }
    }

    async fn ask(&self, question: &Question) -> Result<Answer, AttesterError> {
        Ok(self.0.ask(question, ANSWER_BYTES_MAX).await?)
    }
}

/// Why an answer is none to the question that was asked.
fn refused(answer: Answer) -> AttesterError {
    AttesterError::Refused(match answer {
        Answer::Error { message } => message,
        _ => "the answer to another question".to_owned(),
    })
}
