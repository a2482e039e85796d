//! Client of a report service on a Unix socket: one JSON line asked, one JSON line answered, connection closed.

use std::path::Path;

use attestation::gpu::{GpuEndorsements, GpuEvidence};
use attestation::{CpuEvidence, Endorsements};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

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

pub(super) async fn attest(path: &Path, report_data: [u8; 64]) -> Result<Attested, AttesterError> {
    match ask(path, "report_data", &hex::encode(report_data)).await? {
        Answer::Report { evidence, endorsements } => Ok(Attested { evidence, endorsements }),
        Answer::Gpu { .. } => Err(AttesterError::Refused("a GPU answered for the CPU".to_owned())),
        Answer::Error { message } => Err(AttesterError::Refused(message)),
    }
}

pub(super) async fn attest_gpus(
    path: &Path,
    nonce: [u8; 32],
) -> Result<(Vec<GpuEvidence>, GpuEndorsements), AttesterError> {
    match ask(path, "gpu_nonce", &hex::encode(nonce)).await? {
        Answer::Gpu { evidence, endorsements } => Ok((evidence, endorsements)),
        Answer::Report { .. } => Err(AttesterError::Refused("the CPU answered for a GPU".to_owned())),
        Answer::Error { message } => Err(AttesterError::Refused(message)),
    }
}

async fn ask(path: &Path, what: &str, value: &str) -> Result<Answer, AttesterError> {
    let mut stream = UnixStream::connect(path).await.map_err(AttesterError::Io)?;
    let question = format!("{{\"{what}\":\"{value}\"}}\n");
    stream.write_all(question.as_bytes()).await.map_err(AttesterError::Io)?;
    let mut line = String::new();
    BufReader::new(stream).take(ANSWER_BYTES_MAX).read_line(&mut line).await.map_err(AttesterError::Io)?;
    serde_json::from_str(&line).map_err(|error| AttesterError::Refused(error.to_string()))
}
