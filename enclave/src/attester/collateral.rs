//! What the vendor says about this machine, from the host, which fetched it from the vendor.
//!
//! Decides: how old it may be before it is asked for again. It is signed by the vendor and judged by every client with its own
//! clock, so the host is not trusted for it; a host that gives none, or a stale one, makes this node refused and nothing else.
//! While the host does not answer, what it said before about the same machine is handed out: clients know best whether it will do.

use std::time::Instant;

use attestation::snp::{SigningKey, SnpReport};
use attestation::{CpuEvidence, Endorsements, EvidenceFormat};
use tokio::sync::Mutex;

use super::AttesterError;
use super::service::Service;
use crate::limits::{COLLATERAL_AGE_MAX, COLLATERAL_TIMEOUT};

/// The host's service, and what it said last.
#[derive(Debug)]
pub(super) struct Collateral {
    service: Service,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    of: Subject,
    endorsements: Endorsements,
    ask_again: Instant,
}

/// What endorsements are about: a chip and its signing key at one state of its firmware, or an Intel platform, whose quote names its own key.
#[derive(Debug, PartialEq, Eq)]
enum Subject {
    Snp { chip_id: [u8; 64], reported_tcb: [u8; 8], signing_key: SigningKey },
    Tdx,
}

impl Subject {
    fn of(evidence: &CpuEvidence) -> Result<Self, AttesterError> {
        match evidence.format {
            EvidenceFormat::SevSnpReportV1 => {
                let report = SnpReport::parse(&evidence.report.0)
                    .map_err(|rejection| AttesterError::Refused(format!("not a report: {rejection}")))?;
                Ok(Self::Snp {
                    chip_id: report.chip_id,
                    reported_tcb: report.reported_tcb.bytes,
                    signing_key: report.key_information.signing_key,
                })
            }
            EvidenceFormat::TdxQuoteV1 => Ok(Self::Tdx),
        }
    }
}

impl From<Service> for Collateral {
    fn from(service: Service) -> Self {
        Self { service, held: Mutex::new(None) }
    }
}

impl Collateral {
    /// Endorsements of `evidence`, of its own kind.
    pub(super) async fn of(&self, evidence: &CpuEvidence) -> Result<Endorsements, AttesterError> {
        let of = Subject::of(evidence)?;
        let mut held = self.held.lock().await;
        if let Some(known) = held.as_mut().filter(|held| held.of == of) {
            if Instant::now() >= known.ask_again {
                // First, since a caller may give up while the host is asked.
                known.ask_again = Instant::now() + COLLATERAL_AGE_MAX;
                match self.ask(evidence).await {
                    Ok(endorsements) => known.endorsements = endorsements,
                    Err(error) => tracing::warn!(%error, "no newer endorsements"),
                }
            }
            return Ok(known.endorsements.clone());
        }
        let endorsements = self.ask(evidence).await?;
        *held = Some(Held { of, endorsements: endorsements.clone(), ask_again: Instant::now() + COLLATERAL_AGE_MAX });
        Ok(endorsements)
    }

    async fn ask(&self, evidence: &CpuEvidence) -> Result<Endorsements, AttesterError> {
        let asked = tokio::time::timeout(COLLATERAL_TIMEOUT, self.service.endorse(evidence)).await;
        let endorsements = asked.map_err(|_| AttesterError::Timeout)??;
        match (evidence.format, &endorsements) {
            (EvidenceFormat::SevSnpReportV1, Endorsements::SevSnp(_))
            | (EvidenceFormat::TdxQuoteV1, Endorsements::Tdx(_)) => Ok(endorsements),
            _ => Err(AttesterError::Refused("endorsements of another platform".to_owned())),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Instant;

    use attestation::{Base64, CpuEvidence, EvidenceFormat};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::Collateral;
    use crate::attester::AttesterError;
    use crate::attester::service::Service;

    const REAL: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/vectors/tdx/collateral/90c06f000000-2026-06-08-eval19-91bad3.coll.json"
    );

    fn quote() -> CpuEvidence {
        CpuEvidence { format: EvidenceFormat::TdxQuoteV1, report: Base64(b"a quote".to_vec()) }
    }

    /// A host that answers so many questions with `answer`, and then is gone.
    async fn host(listener: UnixListener, answer: String, questions: usize) {
        for _ in 0..questions {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = [0; 40];
            stream.read_exact(&mut question).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    fn socket(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("cloister-{name}-{}.sock", std::process::id()));
        drop(std::fs::remove_file(&path));
        path
    }

    #[tokio::test]
    async fn what_the_host_said_outlives_the_host() {
        let path = socket("collateral");
        let listener = UnixListener::bind(&path).unwrap();
        let members: serde_json::Value = serde_json::from_slice(&std::fs::read(REAL).unwrap()).unwrap();
        let answer = format!("{}\n", serde_json::json!({"endorsements": {"tdx": members}}));
        let collateral = Collateral::from(Service::Socket(path.clone()));
        let asked = quote();
        let (first, ()) = tokio::join!(collateral.of(&asked), host(listener, answer, 1));
        let first = first.unwrap();
        std::fs::remove_file(&path).unwrap();
        // Young enough: the host is not asked. Too old: it is, does not answer, and is left alone for a while.
        assert_eq!(collateral.of(&quote()).await.unwrap(), first);
        let past = Instant::now();
        collateral.held.lock().await.as_mut().unwrap().ask_again = past;
        assert_eq!(collateral.of(&quote()).await.unwrap(), first);
        assert!(collateral.held.lock().await.as_ref().unwrap().ask_again > past);
    }

    #[tokio::test]
    async fn endorsements_of_another_platform_are_none() {
        let path = socket("other-platform");
        let listener = UnixListener::bind(&path).unwrap();
        let snp = serde_json::json!({"vek": "AA==", "intermediate": "AA==", "root": "AA==", "crl": null});
        let answer = format!("{}\n", serde_json::json!({"endorsements": {"sev-snp": snp}}));
        let collateral = Collateral::from(Service::Socket(path.clone()));
        let asked = quote();
        let (refused, ()) = tokio::join!(collateral.of(&asked), host(listener, answer, 1));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(refused, Err(AttesterError::Refused(text)) if text.contains("another platform")));
    }
}
