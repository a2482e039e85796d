//! Client of a report service: one JSON line asked, one JSON line answered, connection closed. On which kind of socket is the
//! caller's business.

use attestation::gpu::{GpuEndorsements, GpuEvidence};
use attestation::{CpuEvidence, Endorsements};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::{Attested, AttesterError};

/// Largest answer line: GPU evidence with two reference manifests and their OCSP responses, in base64.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Answer {
    Report { evidence: CpuEvidence, endorsements: Endorsements },
    Gpu { evidence: Vec<GpuEvidence>, endorsements: GpuEndorsements },
    Error { message: String },
}

pub(super) async fn attest<S>(stream: S, report_data: [u8; 64]) -> Result<Attested, AttesterError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match ask(stream, "report_data", &hex::encode(report_data)).await? {
        Answer::Report { evidence, endorsements } => Ok(Attested { evidence, endorsements }),
        Answer::Gpu { .. } => Err(AttesterError::Refused("a GPU answered for the CPU".to_owned())),
        Answer::Error { message } => Err(AttesterError::Refused(message)),
    }
}

pub(super) async fn attest_gpus<S>(
    stream: S,
    nonce: [u8; 32],
) -> Result<(Vec<GpuEvidence>, GpuEndorsements), AttesterError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match ask(stream, "gpu_nonce", &hex::encode(nonce)).await? {
        Answer::Gpu { evidence, endorsements } => Ok((evidence, endorsements)),
        Answer::Report { .. } => Err(AttesterError::Refused("the CPU answered for a GPU".to_owned())),
        Answer::Error { message } => Err(AttesterError::Refused(message)),
    }
}

async fn ask<S>(mut stream: S, what: &str, value: &str) -> Result<Answer, AttesterError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let question = format!("{{\"{what}\":\"{value}\"}}\n");
    stream.write_all(question.as_bytes()).await.map_err(AttesterError::Io)?;
    let mut line = String::new();
    BufReader::new(stream).take(ANSWER_BYTES_MAX).read_line(&mut line).await.map_err(AttesterError::Io)?;
    serde_json::from_str(&line).map_err(|error| AttesterError::Refused(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::AttesterError;
    use super::attest;

    /// What a service that answers `answer` was asked, and what the client made of it.
    async fn asked(answer: &str) -> (String, Result<(), AttesterError>) {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let service = async move {
            let mut question = [0; 147];
            theirs.read_exact(&mut question).await.unwrap();
            theirs.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(question.to_vec()).unwrap()
        };
        let (question, attested) = tokio::join!(service, attest(ours, [0xab; 64]));
        (question, attested.map(drop))
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
