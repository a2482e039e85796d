//! The open ACI protocol, `aci/1`: its report, and what its clients may ask of a service. Its receipts are ours (`receipt.rs`).
//!
//! On entry: a nonce, or none. On exit: a report over the statement of that nonce and this keyset, beside the keyset. It is bound to
//! the TLS key through the keyset and to no channel, which is the protocol's choice; our own attestation is `attestation_api.rs`.
//! One report answers one client, so they are paced and their number is bounded.

use std::sync::Arc;

use attestation::{EvidenceFormat, GpuSection, Nonce};
use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::attestation_api::{Channel, later, unavailable};
use crate::attester::{Attested, Attester, AttesterError};
use crate::gpu::Gpus;
use crate::limits::{ACI_QUEUE_MAX, ATTESTATION_BATCH_INTERVAL, ATTESTATION_TIMEOUT, GPU_EVIDENCE_AGE_MAX};
use crate::metrics::Failure;
use crate::problem::Problem;
use crate::state::Guardian;

/// Makes the reports.
#[derive(Debug)]
pub struct AciReporter {
    attester: Attester,
    gpus: Option<Arc<Gpus>>,
    waiting: Semaphore,
    /// When the next report may be made.
    next: Mutex<Instant>,
    /// The report without a nonce, which proves no freshness, and when it was made.
    unchallenged: Mutex<Option<(Instant, Report)>>,
}

#[derive(Debug, Clone)]
struct Report {
    attested: Attested,
    gpu: Option<Arc<GpuSection>>,
}

impl AciReporter {
    /// A reporter of this platform.
    #[must_use]
    pub fn new(attester: Attester, gpus: Option<Arc<Gpus>>) -> Self {
        let (next, unchallenged) = (Mutex::new(Instant::now()), Mutex::new(None));
        Self { attester, gpus, waiting: Semaphore::new(ACI_QUEUE_MAX), next, unchallenged }
    }

    async fn make(&self, report_data: [u8; 64]) -> Result<Report, Problem> {
        let _place = self.place()?;
        self.paced(report_data).await
    }

    fn place(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.waiting.try_acquire().map_err(|_| later("too many clients wait for a report; ask again"))
    }

    /// One at a time, so that a slow platform has at most one of these before it when clients of the native protocol ask.
    async fn paced(&self, report_data: [u8; 64]) -> Result<Report, Problem> {
        let turn = tokio::time::timeout(ATTESTATION_TIMEOUT, self.next.lock()).await;
        let mut next = turn.map_err(|_| later("the platform is slow; ask again"))?;
        tokio::time::sleep_until(*next).await;
        let made = self.ask(report_data).await;
        *next = Instant::now() + ATTESTATION_BATCH_INTERVAL;
        made.map_err(|error| {
            tracing::warn!(%error, "no report");
            unavailable()
        })
    }

    async fn ask(&self, report_data: [u8; 64]) -> Result<Report, AttesterError> {
        let gpu = self.gpu().await?;
        Ok(Report { attested: self.attester.attest(report_data).await?, gpu })
    }

    async fn gpu(&self) -> Result<Option<Arc<GpuSection>>, AttesterError> {
        match &self.gpus {
            Some(gpus) => gpus.fresh().await.map(Some),
            None => Ok(None),
        }
    }

    async fn unchallenged(&self, report_data: [u8; 64]) -> Result<Report, Problem> {
        let _place = self.place()?;
        let mut held = self.unchallenged.lock().await;
        let gpu = self.gpu().await.map_err(|_| unavailable())?;
        let same_gpu = |report: &Report| match (&report.gpu, &gpu) {
            (Some(held), Some(now)) => Arc::ptr_eq(held, now),
            (held, now) => held.is_none() && now.is_none(),
        };
        if let Some((made, report)) = &*held
            && made.elapsed() < GPU_EVIDENCE_AGE_MAX
            && same_gpu(report)
        {
            return Ok(report.clone());
        }
        let report = self.paced(report_data).await?;
        *held = Some((Instant::now(), report.clone()));
        Ok(report)
    }
}

/// The report of this service for a client's nonce (ACI §4.1).
pub async fn attestation(guardian: &Guardian, channel: &Channel, nonce: Option<&str>) -> Result<Value, Problem> {
    let nonce: Option<Nonce> = nonce.map(str::parse).transpose().map_err(|_| {
        Problem::invalid("attestation.nonce", "nonce", "must be 64 lowercase hex characters: 32 fresh random bytes")
    })?;
    if channel.exporter().is_none() {
        let text = "this report names TLS keys: ask for it over TLS; inside an envelope, ask for /v1/attestation";
        return Err(Problem::new(StatusCode::FORBIDDEN, "attestation.channel", text));
    }
    let keyset_digest = guardian.keys.keyset_digest;
    let report_data = attestation::aci_report_data(&keyset_digest, nonce.as_ref());
    let turn = channel.turn()?;
    let report = match nonce {
        Some(_) => guardian.aci.make(report_data).await,
        None => guardian.aci.unchallenged(report_data).await,
    };
    let report = report.inspect_err(|problem| {
        if problem.status == StatusCode::SERVICE_UNAVAILABLE {
            guardian.work.metrics.failed(Failure::Report);
        }
    })?;
    turn.answered();
    let evidence = &report.attested.evidence;
    let tee_type = match evidence.format {
        EvidenceFormat::SevSnpReportV1 => "sev_snp",
        EvidenceFormat::TdxQuoteV1 => "tdx",
    };
    let provenance = &guardian.config.provenance;
    Ok(json!({
        "api_version": attestation::RECEIPT_API_VERSION,
        "workload_keyset_digest": keyset_digest,
        "attestation": {
            "tee_type": tee_type,
            "workload_keyset": guardian.keys.keyset,
            "report_data": hex::encode(report_data.iter().take(32).copied().collect::<Vec<_>>()),
            "source_provenance": {
                "repo_url": provenance.repo_url,
                "repo_commit": provenance.repo_commit,
                "image_digest": null,
                "image_provenance": null,
            },
            "evidence": {
                "format": evidence.format,
                "report": evidence.report,
                "endorsements": report.attested.endorsements,
                "gpu": report.gpu.as_deref(),
            },
        },
        "service_capabilities": { "supported_e2ee_versions": [], "serving": "direct" },
    }))
}

/// What a request may ask of the services behind this one (ACI §5.3). There are none: whoever asks for verified serving has it, and
/// whoever asks for certain sessions is refused.
pub fn serving_constraints(members: &Map<String, Value>) -> Result<(), Problem> {
    let invalid = |name: &str, text: &str| Problem::invalid("request.invalid", name, text);
    let provider = match members.get("provider") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(provider)) => provider,
        Some(_) => return Err(invalid("provider", "must be an object")),
    };
    if let Some(unknown) = provider.keys().find(|name| !["aci_verified", "aci_session_ids"].contains(&name.as_str())) {
        let name = format!("provider.{unknown}");
        return Err(Problem::invalid(
            "request.unknown_parameter",
            &name,
            "this constraint is not supported; remove it",
        ));
    }
    let verified = match provider.get("aci_verified") {
        None => None,
        Some(Value::Bool(verified)) => Some(*verified),
        Some(_) => return Err(invalid("provider.aci_verified", "must be true or false")),
    };
    let Some(sessions) = provider.get("aci_session_ids") else { return Ok(()) };
    let is_id = |value: &Value| value.as_str().is_some_and(|text| text.parse::<attestation::Hex32>().is_ok());
    let listed = sessions.as_array().is_some_and(|sessions| !sessions.is_empty() && sessions.iter().all(is_id));
    if !listed || verified == Some(false) {
        let text = "must be a list of session ids, 64 hex characters each, and not go with aci_verified: false";
        return Err(invalid("provider.aci_session_ids", text));
    }
    let text =
        "this service runs the model itself and has no sessions; remove the constraint, verify this service instead";
    Err(Problem::new(StatusCode::PRECONDITION_FAILED, "session_not_accepted", text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::serving_constraints;

    #[test]
    fn constraints_hold_by_construction_or_are_refused() {
        let session = "0a".repeat(32);
        for (provider, code) in [
            (json!(null), None),
            (json!({}), None),
            (json!({"aci_verified": true}), None),
            (json!({"aci_verified": false}), None),
            (json!({"aci_verified": 1}), Some("request.invalid")),
            (json!([]), Some("request.invalid")),
            (json!({"aci_other": true}), Some("request.unknown_parameter")),
            (json!({"order": ["x"]}), Some("request.unknown_parameter")),
            (json!({"aci_session_ids": []}), Some("request.invalid")),
            (json!({"aci_session_ids": session}), Some("request.invalid")),
            (json!({"aci_session_ids": ["0a"]}), Some("request.invalid")),
            (json!({"aci_session_ids": [session], "aci_verified": false}), Some("request.invalid")),
            (json!({"aci_session_ids": [session]}), Some("session_not_accepted")),
            (json!({"aci_session_ids": [session], "aci_verified": true}), Some("session_not_accepted")),
        ] {
            let body = json!({"provider": provider});
            let got = serving_constraints(body.as_object().unwrap()).err().map(|problem| problem.code);
            assert_eq!(got, code, "{provider}");
        }
    }
}
