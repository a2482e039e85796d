//! What the vendor says about this machine, from the host, which fetched it from the vendor.
//!
//! Decides: how old it may be before it is asked for again. It is signed by the vendor and judged by every client with its own
//! clock, so the host is not trusted for it; a host that gives none, or a stale one, has this node refused, by clients or, with GPUs, by itself.
//! While the host does not answer, what it said before about the same machine is handed out: clients know best whether it will do.

use std::time::Instant;

use attestation::gpu::{GpuEndorsements, GpuEvidence, GpuReport};
use attestation::snp::{SigningKey, SnpReport};
use attestation::{CpuEvidence, Endorsements, EvidenceFormat};
use tokio::sync::Mutex;

use super::AttesterError;
use super::service::Service;
use crate::limits::{COLLATERAL_AGE_MAX, COLLATERAL_PATIENCE, COLLATERAL_PAUSE, COLLATERAL_RETRY, COLLATERAL_TIMEOUT};

/// What is said about reports of this machine.
pub(super) type CpuCollateral = Collateral<Subject, Endorsements>;
/// What is said about its GPUs.
pub(super) type GpuCollateral = Collateral<Vec<GpuSubject>, GpuEndorsements>;

/// The host's service, and what it said last about a subject.
#[derive(Debug)]
pub(super) struct Collateral<S, E> {
    service: Service,
    held: Mutex<Option<Held<S, E>>>,
}

#[derive(Debug)]
struct Held<S, E> {
    of: S,
    endorsements: E,
    ask_again: Instant,
}

/// What endorsements are about: a chip and its signing key at one state of its firmware, or an Intel platform, whose quote names its own key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subject {
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

/// A device, and what runs on it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GpuSubject {
    certificate_chain: Vec<u8>,
    driver_version: Option<String>,
    vbios_version: Option<String>,
}

impl GpuSubject {
    fn of(evidence: &GpuEvidence) -> Result<Self, AttesterError> {
        let report = GpuReport::parse(&evidence.report)
            .map_err(|rejection| AttesterError::Refused(format!("not a GPU's report: {rejection}")))?;
        Ok(Self {
            certificate_chain: evidence.certificate_chain.clone(),
            driver_version: report.opaque.driver_version,
            vbios_version: report.opaque.vbios_version,
        })
    }
}

impl<S, E> From<Service> for Collateral<S, E> {
    fn from(service: Service) -> Self {
        Self { service, held: Mutex::new(None) }
    }
}

impl<S: PartialEq, E: Clone> Collateral<S, E> {
    /// The next time the host is asked, whatever it said before.
    pub(super) async fn forget(&self) {
        *self.held.lock().await = None;
    }

    /// What is known about `of`, or what `ask` says when it is not known, or not lately.
    async fn about<F>(&self, of: S, ask: impl Fn() -> F + Send + Sync) -> Result<E, AttesterError>
    where
        F: Future<Output = Result<E, AttesterError>> + Send,
    {
        let asked = || async {
            let answer = tokio::time::timeout(COLLATERAL_TIMEOUT, ask()).await;
            answer.unwrap_or(Err(AttesterError::Timeout))
        };
        let mut held = self.held.lock().await;
        if let Some(known) = held.as_mut().filter(|held| held.of == of) {
            if Instant::now() >= known.ask_again {
                // First, since a caller may give up while the host is asked.
                known.ask_again = Instant::now() + COLLATERAL_PAUSE;
                match asked().await {
                    Ok(endorsements) => {
                        known.endorsements = endorsements;
                        known.ask_again = Instant::now() + COLLATERAL_AGE_MAX;
                    }
                    Err(error) => tracing::warn!(%error, "no newer endorsements"),
                }
            }
            return Ok(known.endorsements.clone());
        }
        let endorsements = patiently(asked).await?;
        *held = Some(Held { of, endorsements: endorsements.clone(), ask_again: Instant::now() + COLLATERAL_AGE_MAX });
        Ok(endorsements)
    }
}

/// Asks as long as the host answers that it has nothing, or nothing yet: it may be fetching what this machine never needed before.
async fn patiently<E, F>(ask: impl Fn() -> F) -> Result<E, AttesterError>
where
    F: Future<Output = Result<E, AttesterError>>,
{
    let until = Instant::now() + COLLATERAL_PATIENCE;
    let mut said = None;
    loop {
        match ask().await {
            Err(error @ (AttesterError::Timeout | AttesterError::Refused(_))) if Instant::now() < until => {
                tracing::warn!(%error, "no endorsements yet");
                said = Some(error);
                tokio::time::sleep(COLLATERAL_RETRY).await;
            }
            Ok(endorsements) => return Ok(endorsements),
            Err(error) => return Err(said.unwrap_or(error)),
        }
    }
}

impl CpuCollateral {
    /// Endorsements of `evidence`, of its own kind.
    pub(super) async fn of(&self, evidence: &CpuEvidence) -> Result<Endorsements, AttesterError> {
        let ask = || async {
            let endorsements = self.service.endorse(evidence).await?;
            match (evidence.format, &endorsements) {
                (EvidenceFormat::SevSnpReportV1, Endorsements::SevSnp(_))
                | (EvidenceFormat::TdxQuoteV1, Endorsements::Tdx(_)) => Ok(endorsements),
                _ => Err(AttesterError::Refused("endorsements of another platform".to_owned())),
            }
        };
        self.about(Subject::of(evidence)?, ask).await
    }
}

impl GpuCollateral {
    /// Endorsements of `evidence`.
    pub(super) async fn of(&self, evidence: &[GpuEvidence]) -> Result<GpuEndorsements, AttesterError> {
        let subjects = evidence.iter().map(GpuSubject::of).collect::<Result<_, _>>()?;
        self.about(subjects, || self.service.endorse_gpus(evidence)).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Instant;

    use attestation::{Base64, CpuEvidence, EvidenceFormat};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::{CpuCollateral, Service};
    use crate::attester::AttesterError;
    use crate::line_service::LineService;

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
        let collateral = CpuCollateral::from(Service::from(LineService::Socket(path.clone())));
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
        let collateral = CpuCollateral::from(Service::from(LineService::Socket(path.clone())));
        let asked = quote();
        let (refused, ()) = tokio::join!(collateral.of(&asked), host(listener, answer, 1));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(refused, Err(AttesterError::Refused(text)) if text.contains("another platform")));
    }
}
