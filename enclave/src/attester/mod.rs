//! Where reports come from. The only code of the guardian that speaks to the platform.
//!
//! On entry: 64 bytes of REPORT_DATA. On exit: the platform's report and the endorsements it supplied, neither of them
//! trusted here; clients appraise both. Hardware sources (configfs-tsm, `/dev/sev-guest`) join this enum.

mod report_socket;

use attestation::{CpuEvidence, Endorsements};

use crate::config::TeeConfig;

/// One configured report source.
#[derive(Debug, Clone)]
pub enum Attester {
    /// A service on a Unix socket.
    ReportSocket(std::path::PathBuf),
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
            TeeConfig::ReportSocket { path } => Self::ReportSocket(path.clone()),
        }
    }

    /// Obtains one report over `report_data`.
    pub async fn attest(&self, report_data: [u8; 64]) -> Result<Attested, AttesterError> {
        let report = async {
            match self {
                Self::ReportSocket(path) => report_socket::attest(path, report_data).await,
            }
        };
        tokio::time::timeout(crate::limits::ATTESTATION_TIMEOUT, report).await.map_err(|_| AttesterError::Timeout)?
    }
}
