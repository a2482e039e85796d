//! Where reports come from. The only code of the guardian that speaks to the platform.
//!
//! On entry: 64 bytes of REPORT_DATA. On exit: the platform's report and the endorsements it supplied, neither of them
//! trusted here; clients appraise both. Hardware sources (configfs-tsm, `/dev/sev-guest`) join this enum.

mod report_socket;

use attestation::gpu::{GpuEndorsements, GpuEvidence};
use attestation::{CpuEvidence, Endorsements};

use tokio::net::UnixStream;

use crate::config::TeeConfig;
use crate::vsock::{self, VsockAddress};

/// One configured report source.
#[derive(Debug, Clone)]
pub enum Attester {
    /// A service on a Unix socket.
    ReportSocket {
        /// Its path.
        path: std::path::PathBuf,
        /// Whether it answers for a GPU too.
        gpu: bool,
    },
    /// The same service on another machine, by vsock.
    ReportVsock {
        /// Where it is.
        address: VsockAddress,
        /// Whether it answers for a GPU too.
        gpu: bool,
    },
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
    #[error("talk to the report source")]
    Io(#[source] std::io::Error),
    /// It answered something else than a report.
    #[error("report source answered: {0}")]
    Refused(String),
    /// It took too long.
    #[error("report source did not answer in time")]
    Timeout,
}

impl Attester {
    /// The source named by the measured configuration.
    #[must_use]
    pub fn from_config(config: &TeeConfig) -> Self {
        match config {
            TeeConfig::ReportSocket { path, gpu } => Self::ReportSocket { path: path.clone(), gpu: *gpu },
            TeeConfig::ReportVsock { cid, port, gpu } => {
                Self::ReportVsock { address: VsockAddress { cid: *cid, port: *port }, gpu: *gpu }
            }
        }
    }

    /// Obtains one report over `report_data`.
    pub async fn attest(&self, report_data: [u8; 64]) -> Result<Attested, AttesterError> {
        let report = async { report_socket::attest(self.connect().await?, report_data).await };
        tokio::time::timeout(crate::limits::ATTESTATION_TIMEOUT, report).await.map_err(|_| AttesterError::Timeout)?
    }

    /// Whether this node has GPUs to attest.
    #[must_use]
    pub fn has_gpus(&self) -> bool {
        match self {
            Self::ReportSocket { gpu, .. } | Self::ReportVsock { gpu, .. } => *gpu,
        }
    }

    async fn connect(&self) -> Result<UnixStream, AttesterError> {
        let connected = match self {
            Self::ReportSocket { path, .. } => UnixStream::connect(path).await,
            Self::ReportVsock { address, .. } => vsock::connect(*address).await,
        };
        connected.map_err(AttesterError::Io)
    }

    /// Obtains the GPUs' evidence for one nonce.
    pub async fn attest_gpus(&self, nonce: [u8; 32]) -> Result<(Vec<GpuEvidence>, GpuEndorsements), AttesterError> {
        let evidence = async { report_socket::attest_gpus(self.connect().await?, nonce).await };
        tokio::time::timeout(crate::limits::ATTESTATION_TIMEOUT, evidence).await.map_err(|_| AttesterError::Timeout)?
    }
}
