//! Why the GPUs take no work, or no more.

use attestation::Rejection;
use platform_service::MultiGpuMode;

use crate::attester::AttesterError;

/// Why. At boot the node does not start; later it stops.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", self.code(), self.text())]
pub enum GpuFault {
    /// Roots or policy of the measured configuration are none.
    Config(String),
    /// The confidential mode is off.
    NotConfidential,
    /// The confidential mode is NVIDIA's simulation of it, or there is none.
    NoHardware,
    /// Developers' tools may look into the GPU.
    DeveloperTools,
    /// Several GPUs are joined: this version appraises one.
    Joined(MultiGpuMode),
    /// The driver, the devices it names or the service that asks it are others than at boot, or more than were judged.
    StateChanged,
    /// The evidence is of another device than at boot, or of another of its boots.
    DeviceChanged,
    /// Somebody else took the GPUs' work away.
    NotReady,
    /// The evidence was refused.
    Refused(Box<Rejection>),
    /// There was no answer from the driver, or none in time.
    Lost(AttesterError),
}

impl GpuFault {
    /// Its stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(_) => "gpu.config",
            Self::NotConfidential => "gpu.not_confidential",
            Self::NoHardware => "gpu.no_hardware",
            Self::DeveloperTools => "gpu.developer_tools",
            Self::Joined(_) => "gpu.joined",
            Self::StateChanged => "gpu.state_changed",
            Self::DeviceChanged => "gpu.device_changed",
            Self::NotReady => "gpu.not_ready",
            Self::Refused(rejection) => rejection.code(),
            Self::Lost(_) => "gpu.lost",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Config(reason) => reason.clone(),
            Self::NotConfidential => {
                "the confidential mode is off; set it with NVIDIA's gpu-admin-tools and reset".to_owned()
            }
            Self::NoHardware => "the confidential mode is not that of hardware".to_owned(),
            Self::DeveloperTools => "developers' tools may look into the GPU; turn that mode off and reset".to_owned(),
            Self::Joined(mode) => format!("several GPUs are joined ({mode:?}); this version attests one"),
            Self::StateChanged => {
                "driver, devices or the service that asks it are others than at boot, or more than gave evidence"
                    .to_owned()
            }
            Self::DeviceChanged => "the evidence is of another device, or another start of it, than at boot".to_owned(),
            Self::NotReady => "the GPUs were told to take no work, and not by this guardian".to_owned(),
            Self::Refused(rejection) => format!("the GPUs' evidence is refused: {rejection}"),
            Self::Lost(error) => error.to_string(),
        }
    }
}

impl From<Rejection> for GpuFault {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(Box::new(rejection))
    }
}

impl From<AttesterError> for GpuFault {
    fn from(error: AttesterError) -> Self {
        Self::Lost(error)
    }
}
