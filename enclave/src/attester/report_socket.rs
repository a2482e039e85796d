//! Client of a report service on a Unix socket: one JSON line asked, one JSON line answered, connection closed.

use std::path::Path;

use attestation::{Base64, CpuEvidence, Endorsements, EvidenceFormat, SnpEndorsements};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{Attested, AttesterError};

/// Largest answer line: a report and four certificates in base64 with room to spare.
const ANSWER_BYTES_MAX: u64 = 128 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Answer {
    Report { report: Base64, vek: Base64, intermediate: Base64, root: Base64, crl: Option<Base64> },
    Error { message: String },
}

pub(super) async fn attest(path: &Path, report_data: [u8; 64]) -> Result<Attested, AttesterError> {
    let mut stream = UnixStream::connect(path).await.map_err(AttesterError::Io)?;
    let question = format!("{{\"report_data\":\"{}\"}}\n", hex::encode(report_data));
    stream.write_all(question.as_bytes()).await.map_err(AttesterError::Io)?;
    let mut line = String::new();
    BufReader::new(stream).take(ANSWER_BYTES_MAX).read_line(&mut line).await.map_err(AttesterError::Io)?;
    match serde_json::from_str(&line).map_err(|error| AttesterError::Refused(error.to_string()))? {
        Answer::Error { message } => Err(AttesterError::Refused(message)),
        Answer::Report { report, vek, intermediate, root, crl } => Ok(Attested {
            evidence: CpuEvidence { format: EvidenceFormat::SevSnpReportV1, report },
            endorsements: Endorsements::SevSnp(SnpEndorsements { vek, intermediate, root, crl }),
        }),
    }
}
