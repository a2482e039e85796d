//! Where reports come from. The only code of the guardian that speaks to the platform.
//!
//! On entry: 64 bytes of REPORT_DATA. On exit: the platform's report and what endorses it, neither of them trusted here; clients
//! appraise both. On hardware the report comes from the kernel (`configfs_tsm.rs`, or `sev_guest.rs` where that is too old), GPU evidence
//! from the driver (`gpus.rs`), and the endorsements of both from the host (`collateral.rs`); a simulated platform is a `service.rs` that
//! has all.

mod collateral;
mod configfs_tsm;
mod gpus;
mod service;
mod sev_guest;

use std::sync::Arc;

use attestation::gpu::{GpuEndorsements, GpuEvidence};
use attestation::{CpuEvidence, Endorsements};
use platform_service::GpuState;

use crate::config::{GpuConfig, ServiceAddress, TeeConfig};
use crate::limits::ATTESTATION_TIMEOUT;
use crate::line_service::LineService;
use collateral::CpuCollateral;
pub use configfs_tsm::ReportEntry;
use gpus::Driver;
use service::Service;
pub use sev_guest::ReportDevice;

/// The configured platform. Clones share it.
#[derive(Debug, Clone)]
pub struct Attester {
    source: Arc<Source>,
    driver: Option<Arc<Driver>>,
}

#[derive(Debug)]
enum Source {
    /// A service that signs by itself, for a GPU too if it has one.
    Service(Service),
    /// The kernel.
    Kernel { reports: KernelReports, collateral: Box<CpuCollateral> },
}

#[derive(Debug)]
enum KernelReports {
    Entry(ReportEntry),
    Device(ReportDevice),
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

impl Source {
    fn kernel(reports: KernelReports, collateral: &ServiceAddress) -> Self {
        Self::Kernel { reports, collateral: Box::new(CpuCollateral::from(Service::from_config(collateral))) }
    }
}

impl Attester {
    /// The source named by the measured configuration.
    #[must_use]
    pub fn from_config(config: &TeeConfig, gpu: Option<&GpuConfig>) -> Self {
        let source = match config {
            TeeConfig::ReportSocket { path } => Source::Service(LineService::Socket(path.clone()).into()),
            TeeConfig::ReportVsock { cid, port } => Source::Service(Service::vsock(*cid, *port)),
            TeeConfig::ConfigfsTsm { entry, collateral } => {
                Source::kernel(KernelReports::Entry(ReportEntry::at(entry.clone())), collateral)
            }
            TeeConfig::SevGuest { device, collateral } => {
                Source::kernel(KernelReports::Device(ReportDevice::at(device.clone())), collateral)
            }
        };
        let driver = gpu.and_then(|gpu| gpu.nvml.as_ref()).map(|nvml| Arc::new(Driver::from_config(nvml)));
        Self { source: Arc::new(source), driver }
    }

    /// Obtains one report over `report_data`.
    ///
    /// # Errors
    /// [`AttesterError`]; within [`ATTESTATION_TIMEOUT`].
    pub async fn attest(&self, report_data: [u8; 64]) -> Result<Attested, AttesterError> {
        in_time(async {
            match &*self.source {
                Source::Service(service) => service.attest(report_data).await,
                Source::Kernel { reports, collateral } => {
                    let evidence = match reports {
                        KernelReports::Entry(entry) => entry.report(report_data).await?,
                        KernelReports::Device(device) => device.report(report_data).await?,
                    };
                    let endorsements = collateral.of(&evidence).await?;
                    Ok(Attested { evidence, endorsements })
                }
            }
        })
        .await
    }

    /// Obtains the GPUs' evidence for one nonce, with what endorses it if the same source has it.
    ///
    /// # Errors
    /// [`AttesterError`]; within [`ATTESTATION_TIMEOUT`].
    pub async fn attest_gpus(
        &self,
        nonce: [u8; 32],
    ) -> Result<(Vec<GpuEvidence>, Option<GpuEndorsements>), AttesterError> {
        match (&self.driver, &*self.source) {
            (Some(driver), _) => Ok((driver.evidence(nonce).await?, None)),
            (None, Source::Service(service)) => {
                let (evidence, endorsements) = in_time(service.attest_gpus(nonce)).await?;
                Ok((evidence, Some(endorsements)))
            }
            (None, Source::Kernel { .. }) => {
                Err(AttesterError::Refused("the kernel has no report of a GPU".to_owned()))
            }
        }
    }

    /// What the host has about the devices of this evidence.
    ///
    /// # Errors
    /// [`AttesterError`]; within [`ATTESTATION_TIMEOUT`].
    pub async fn endorse_gpus(&self, evidence: &[GpuEvidence]) -> Result<GpuEndorsements, AttesterError> {
        match &self.driver {
            Some(driver) => driver.endorsements(evidence).await,
            None => Err(AttesterError::Refused("no service has endorsements of GPUs".to_owned())),
        }
    }

    /// What the host said about GPUs is asked for again when it is needed.
    pub async fn forget_gpu_endorsements(&self) {
        if let Some(driver) = &self.driver {
            driver.forget_endorsements().await;
        }
    }

    /// What the driver says of the GPUs; nothing where there is no driver to ask.
    ///
    /// # Errors
    /// [`AttesterError`]; within twice [`crate::limits::GPU_STATE_TIMEOUT`].
    pub async fn gpu_state(&self) -> Result<Option<GpuState>, AttesterError> {
        match &self.driver {
            Some(driver) => driver.state().await.map(Some),
            None => Ok(None),
        }
    }

    /// Lets the GPUs take work, or no longer. Where there is no driver there is nobody to tell.
    ///
    /// # Errors
    /// [`AttesterError`]; within [`crate::limits::GPU_READY_TIMEOUT`].
    pub async fn set_gpus_ready(&self, ready: bool) -> Result<(), AttesterError> {
        match &self.driver {
            Some(driver) => driver.set_ready(ready).await,
            None => Ok(()),
        }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, AttesterError>>) -> Result<T, AttesterError> {
    tokio::time::timeout(ATTESTATION_TIMEOUT, work).await.map_err(|_| AttesterError::Timeout)?
}
