//! `GET /v1/attestation`: a report that covers this connection's exporter and this client's nonce, beside those of others that asked
//! at the same time.
//!
//! No endpoint puts client bytes into REPORT_DATA unhashed: the nonce enters through the batch leaf, under our tag (protocol.md §2.2).

use std::sync::atomic::{AtomicU32, Ordering};

use attestation::{AttestationDocument, BatchPosition, Exporter, GpuSection, Nonce, ReportDataInputs, Role};
use http::StatusCode;
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};

use crate::attester::Attested;
use crate::batcher::BatchError;
use crate::config::LimitsConfig;
use crate::keys::BootKeys;
use crate::metrics::Failure;
use crate::problem::Problem;
use crate::state::Guardian;

/// What is known of a connection beside what it sends: what its reports are bound to, and how much it asks for.
#[derive(Debug)]
pub struct Channel {
    /// RFC 9266 exporter of this connection; none of an envelope, whose sender sees another one.
    exporter: Option<Exporter>,
    /// What it may ask for.
    limits: LimitsConfig,
    answered: AtomicU32,
    /// A connection waits for one report at a time.
    waiting: Mutex<()>,
    /// Spend proofs of it that are verified or wait for it.
    proofs: Semaphore,
}

impl Channel {
    /// A connection that has not asked yet.
    #[must_use]
    pub fn new(exporter: Exporter, limits: LimitsConfig) -> Self {
        Self { exporter: Some(exporter), ..Self::sealed(limits) }
    }

    /// What an envelope comes on, which asks once.
    #[must_use]
    pub fn sealed(limits: LimitsConfig) -> Self {
        Self {
            exporter: None,
            limits,
            answered: AtomicU32::new(0),
            waiting: Mutex::new(()),
            proofs: Semaphore::new(limits.proofs_per_connection),
        }
    }

    /// Its exporter, if it is a TLS connection.
    #[must_use]
    pub fn exporter(&self) -> Option<&Exporter> {
        self.exporter.as_ref()
    }

    /// What it may ask for.
    #[must_use]
    pub const fn limits(&self) -> &LimitsConfig {
        &self.limits
    }

    /// A place for one more spend proof, if this connection has one left.
    #[must_use]
    pub fn proof(&self) -> Option<SemaphorePermit<'_>> {
        self.proofs.try_acquire().ok()
    }

    /// A turn to ask for a report; one at a time, and not too many.
    pub fn turn(&self) -> Result<Turn<'_>, Problem> {
        let held = self.waiting.try_lock().map_err(|_| later("this connection waits for a report already"))?;
        if self.answered.load(Ordering::Relaxed) >= self.limits.attestations_per_connection {
            return Err(later("this connection asked for too many reports; open another one"));
        }
        Ok(Turn { answered: &self.answered, _held: held })
    }
}

/// While this exists, its connection may not ask again.
#[derive(Debug)]
pub struct Turn<'a> {
    answered: &'a AtomicU32,
    _held: MutexGuard<'a, ()>,
}

impl Turn<'_> {
    /// The report was made and counts.
    pub fn answered(self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// REPORT_DATA of the boot report, which has no client.
#[must_use]
pub fn boot_report_data(keys: &BootKeys, gpu: Option<&GpuSection>) -> [u8; 64] {
    let inputs = ReportDataInputs {
        role: Role::Keyset,
        batch_root: attestation::batch_leaf(Role::Keyset, &Nonce::ABSENT, None),
        leaf_spki_sha256: keys.tls.spki_sha256,
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
    let turn = channel.turn()?;
    // What binds an envelope's report is the key that it was sealed to, in the keyset.
    let (reports, role) = match channel.exporter {
        Some(_) => (&guardian.reports, Role::Tls),
        None => (&guardian.envelope_reports, Role::Ohttp),
    };
    let evidence = reports.attest(&nonce, channel.exporter()).await.map_err(|error| match error {
        BatchError::Full => later("too many clients wait for a report; ask again"),
        BatchError::NoReport(_) => {
            guardian.work.metrics.failed(Failure::Report);
            unavailable()
        }
    })?;
    turn.answered();
    Ok(document(guardian, evidence.gpu.as_deref(), role, nonce, evidence.position, &evidence.attested).to_json())
}

/// The boot report, with no client input.
#[must_use]
pub fn boot_document(guardian: &Guardian) -> Vec<u8> {
    let (gpu, report) = (guardian.boot_gpu.as_deref(), &guardian.boot_report);
    document(guardian, gpu, Role::Keyset, Nonce::ABSENT, BatchPosition::alone(), report).to_json()
}

fn document(
    guardian: &Guardian,
    gpu: Option<&GpuSection>,
    role: Role,
    nonce: Nonce,
    batch: BatchPosition,
    attested: &Attested,
) -> AttestationDocument {
    AttestationDocument {
        version: attestation::DOCUMENT_VERSION.to_owned(),
        role,
        nonce,
        batch,
        keyset: guardian.keys.keyset.clone(),
        keyset_digest: guardian.keys.keyset_digest,
        gpu: gpu.cloned(),
        evidence: attested.evidence.clone(),
        endorsements: attested.endorsements.clone(),
    }
}

/// 429: ask again.
pub fn later(text: &'static str) -> Problem {
    Problem { retry_after: Some(1), ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "attestation.rate", text) }
}

/// 503: the platform gave no report.
pub fn unavailable() -> Problem {
    Problem::unavailable("attestation.unavailable", 2, "the platform gave no report; nothing was promised")
}
