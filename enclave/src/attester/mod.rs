//! Where reports come from. The only code of the guardian that speaks to the platform.
//!
//! On entry: 64 bytes of REPORT_DATA. On exit: the platform's report and what endorses it, neither of them trusted here; clients
//! appraise both. On hardware the report comes from the kernel (`configfs_tsm.rs`) and the endorsements from the host
//! (`collateral.rs`); a simulated platform is a `service.rs` that has both.

mod collateral;
mod configfs_tsm;
mod service;

use std::sync::Arc;

use attestation::gpu::{GpuEndorsements, GpuEvidence};
use attestation::{CpuEvidence, Endorsements};

use crate::config::TeeConfig;
use crate::limits::ATTESTATION_TIMEOUT;
use collateral::Collateral;
pub use configfs_tsm::ReportEntry;
use service::Service;

/// The configured platform. Clones share it.
#[derive(Debug, Clone)]
pub struct Attester {
    source: Arc<Source>,
}

#[derive(Debug)]
enum Source {
    /// A service that signs by itself, and answers for a GPU if `gpu` says so.
    Service { service: Service, gpu: bool },
    /// The kernel's report interface. GPUs join it with the driver's own interface.
    Kernel { entry: ReportEntry, collateral: Box<Collateral> },
}

/// A report with what the platform supplied to verify it.
#[derive(Debug, Clone)]
pub struct Attested {
    /// The report.
    pub evidence: CpuEvidence,
    /// What the vendor says about it.
    pub endorsements: Endorsements,
}

/// Why no report was obtained.
#[derive(Debug, thiserror::Error)]
pub enum AttesterError {
    /// The source cannot be reached or broke off.
    #[error("talk to the report source: {0}")]
    Io(#[source] std::io::Error),
    /// It answered something else than what was asked.
    #[error("report source answered: {0}")]
    Refused(String),
    /// Somebody else uses it, again and again.
    #[error("report source is busy")]
    Busy,
    /// It took too long.
    #[error("report source did not answer in time")]
    Timeout,
}

impl Attester {
    /// The source named by the measured configuration.
    #[must_use]
    pub fn from_config(config: &TeeConfig) -> Self {
        let source = match config {
            TeeConfig::ReportSocket { path, gpu } => {
                Source::Service { service: Service::Socket(path.clone()), gpu: *gpu }
            }
            TeeConfig::ReportVsock { cid, port, gpu } => {
                Source::Service { service: Service::vsock(*cid, *port), gpu: *gpu }
            }
            TeeConfig::ConfigfsTsm { entry, collateral } => Source::Kernel {
                entry: ReportEntry::at(entry.clone()),
                collateral: Box::new(Collateral::from(Service::from_config(collateral))),
            },
        };
        Self { source: Arc::new(source) }
    }

    /// Obtains one report over `report_data`.
    ///
    /// # Errors
    /// [`AttesterError`]; within [`ATTESTATION_TIMEOUT`].
    pub async fn attest(&self, report_data: [u8; 64]) -> Result<Attested, AttesterError> {
        in_time(async {
            match &*self.source {
                Source::Service { service, .. } => service.attest(report_data).await,
                Source::Kernel { entry, collateral } => {
                    let evidence = entry.report(report_data).await?;
                    let endorsements = collateral.of(&evidence).await?;
                    Ok(Attested { evidence, endorsements })
                }
            }
        })
        .await
    }

    /// Whether this node has GPUs to attest.
    #[must_use]
    pub fn has_gpus(&self) -> bool {
        match &*self.source {
            Source::Service { gpu, .. } => *gpu,
            Source::Kernel { .. } => false,
        }
    }

    /// Obtains the GPUs' evidence for one nonce.
    ///
    /// # Errors
    /// [`AttesterError`]; within [`ATTESTATION_TIMEOUT`].
    pub async fn attest_gpus(&self, nonce: [u8; 32]) -> Result<(Vec<GpuEvidence>, GpuEndorsements), AttesterError> {
        in_time(async {
            match &*self.source {
                Source::Service { service, .. } => service.attest_gpus(nonce).await,
                Source::Kernel { .. } => Err(AttesterError::Refused("no GPU is configured".to_owned())),
            }
        })
        .await
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, AttesterError>>) -> Result<T, AttesterError> {
    tokio::time::timeout(ATTESTATION_TIMEOUT, work).await.map_err(|_| AttesterError::Timeout)?
}
