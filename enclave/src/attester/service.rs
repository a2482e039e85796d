//! A service on a socket: one JSON line asked, one JSON line answered, connection closed. A simulated platform answers all
//! questions; a host answers those that need no key, what vendors say about evidence; the service for GPUs those about the driver.

use std::path::PathBuf;

use attestation::gpu::{GpuEndorsements, GpuEvidence};
use attestation::{CpuEvidence, Endorsements};
use platform_service::{ANSWER_BYTES_MAX, Answer, GpuState, Question};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{Attested, AttesterError};
use crate::config::ServiceAddress;
use crate::vsock::{self, VsockAddress};

/// Where the service is.
#[derive(Debug)]
pub(super) enum Service {
    /// On this machine.
    Socket(PathBuf),
    /// On another machine, usually the host.
    Vsock(VsockAddress),
}

impl Service {
    pub(super) fn vsock(cid: u32, port: u32) -> Self {
        Self::Vsock(VsockAddress { cid, port })
    }

    pub(super) fn from_config(address: &ServiceAddress) -> Self {
        match address {
            ServiceAddress::Socket(path) => Self::Socket(path.clone()),
            ServiceAddress::Vsock { cid, port } => Self::vsock(*cid, *port),
        }
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
        ask(self.connect().await?, question).await
    }

    async fn connect(&self) -> Result<UnixStream, AttesterError> {
        let connected = match self {
            Self::Socket(path) => UnixStream::connect(path).await,
            Self::Vsock(address) => vsock::connect(*address).await,
        };
        connected.map_err(AttesterError::Io)
    }
}

/// Why an answer is none to the question that was asked.
fn refused(answer: Answer) -> AttesterError {
    AttesterError::Refused(match answer {
        Answer::Error { message } => message,
        _ => "the answer to another question".to_owned(),
    })
}

async fn ask<S>(mut stream: S, question: &Question) -> Result<Answer, AttesterError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = serde_json::to_vec(question).map_err(|error| AttesterError::Refused(error.to_string()))?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(AttesterError::Io)?;
    let mut line = String::new();
    BufReader::new(stream).take(ANSWER_BYTES_MAX).read_line(&mut line).await.map_err(AttesterError::Io)?;
    serde_json::from_str(&line).map_err(|error| AttesterError::Refused(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::AttesterError;
    use platform_service::{Answer, Question};

    use super::{ask, refused};

    /// What a service that answers `answer` was asked, and what the client made of it.
    async fn asked(answer: &str) -> (String, Result<(), AttesterError>) {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let service = async move {
            let mut question = [0; 147];
            theirs.read_exact(&mut question).await.unwrap();
            theirs.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(question.to_vec()).unwrap()
        };
        let asked = Question::ReportData("ab".repeat(64));
        let (question, answered) = tokio::join!(service, ask(ours, &asked));
        let answered = answered.and_then(|answer| match answer {
            Answer::Report { .. } => Ok(()),
            other => Err(refused(other)),
        });
        (question, answered)
    }

    #[tokio::test]
    async fn one_line_is_asked_and_refusals_are_told_apart() {
        let (question, refused) = asked("{\"error\":{\"message\":\"no\"}}\n").await;
        assert_eq!(question, format!("{{\"report_data\":\"{}\"}}\n", "ab".repeat(64)));
        assert!(matches!(refused, Err(AttesterError::Refused(text)) if text == "no"));
        for cut in ["", "{\"report\":", "{}\n", "{\"surprise\":{}}\n"] {
            assert!(matches!(asked(cut).await.1, Err(AttesterError::Refused(_))), "{cut:?}");
        }
    }
}
