//! `GET /v1/attestation`: one report for one connection's exporter and one client nonce.
//!
//! No endpoint puts client bytes into REPORT_DATA unhashed: the nonce enters through the batch leaf, under our tag (protocol.md §2.2).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use attestation::{AttestationDocument, BatchPosition, Exporter, GpuSection, Nonce, ReportDataInputs, Role};
use http::StatusCode;

use crate::attester::Attested;
use crate::keys::BootKeys;
use crate::limits::ATTESTATIONS_PER_CONNECTION_MAX;
use crate::problem::Problem;
use crate::state::Guardian;

/// What a connection brings to its attestation.
#[derive(Debug)]
pub struct Channel {
    /// RFC 9266 exporter of this connection.
    pub exporter: Exporter,
    asked: AtomicU32,
}

impl Channel {
    /// A connection that has not asked yet.
    #[must_use]
    pub fn new(exporter: Exporter) -> Self {
        Self { exporter, asked: AtomicU32::new(0) }
    }
}

/// REPORT_DATA and batch position for one leaf (a batch of one).
#[must_use]
pub fn report_data(
    keys: &BootKeys,
    gpu: Option<&GpuSection>,
    role: Role,
    nonce: &Nonce,
    exporter: Option<&Exporter>,
) -> [u8; 64] {
    let inputs = ReportDataInputs {
        role,
        batch_root: attestation::batch_leaf(role, nonce, exporter),
        leaf_spki_sha256: keys.leaf_spki_sha256,
        keyset_digest: keys.keyset_digest,
        gpu: gpu.map(GpuSection::binding),
    };
    inputs.report_data()
}

/// The attestation document for this connection.
pub async fn attest(guardian: &Guardian, channel: &Channel, nonce: &str) -> Result<Vec<u8>, Problem> {
    let nonce: Nonce = nonce.parse().map_err(|_| {
        Problem::invalid("attestation.nonce", "nonce", "must be 64 lowercase hex characters: 32 fresh random bytes")
    })?;
    if channel.asked.fetch_add(1, Ordering::Relaxed) >= ATTESTATIONS_PER_CONNECTION_MAX {
        let text = "this connection asked for too many reports; open another one";
        return Err(Problem {
            retry_after: Some(1),
            ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "attestation.rate", text)
        });
    }
    let _slot = guardian.work.attestation_slots.acquire().await.map_err(|_| unavailable())?;
    let gpu = match &guardian.gpus {
        Some(gpus) => Some(gpus.fresh(&guardian.attester).await.map_err(|error| {
            tracing::warn!(%error, "no GPU evidence");
            unavailable()
        })?),
        None => None,
    };
    let data = report_data(&guardian.keys, gpu.as_deref(), Role::Tls, &nonce, Some(&channel.exporter));
    let attested = guardian.attester.attest(data).await.map_err(|error| {
        tracing::warn!(%error, "no report");
        unavailable()
    })?;
    Ok(document(guardian, gpu, Role::Tls, nonce, attested).to_json())
}

/// The boot report, with no client input.
#[must_use]
pub fn boot_document(guardian: &Guardian) -> Vec<u8> {
    let gpu = guardian.boot_gpu.clone();
    document(guardian, gpu, Role::Keyset, Nonce([0; 32]), guardian.boot_report.clone()).to_json()
}

fn document(
    guardian: &Guardian,
    gpu: Option<Arc<GpuSection>>,
    role: Role,
    nonce: Nonce,
    attested: Attested,
) -> AttestationDocument {
    AttestationDocument {
        version: attestation::DOCUMENT_VERSION.to_owned(),
        role,
        nonce,
        batch: BatchPosition::alone(),
        keyset: guardian.keys.keyset.clone(),
        keyset_digest: guardian.keys.keyset_digest,
        gpu: gpu.map(Arc::unwrap_or_clone),
        evidence: attested.evidence,
        endorsements: attested.endorsements,
    }
}

fn unavailable() -> Problem {
    Problem::unavailable("attestation.unavailable", 2, "the platform gave no report; nothing was promised")
}
