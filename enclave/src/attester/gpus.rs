//! Where the GPUs' evidence comes from: the platform's own service, when it has a GPU too, or NVIDIA's driver, whose library the
//! service `cloister-nvml` loads in a process of its own.

use attestation::gpu::{GpuEndorsements, GpuEvidence};
use platform_service::GpuState;

use super::collateral::GpuCollateral;
use super::service::Service;
use super::{AttesterError, in_time};
use crate::config::{NvmlConfig, ServiceAddress};
use crate::limits::{GPU_READY_TIMEOUT, GPU_STATE_TIMEOUT};

/// The service that speaks to the driver, and the one that has what NVIDIA says.
#[derive(Debug)]
pub(super) struct Driver {
    service: Service,
    collateral: GpuCollateral,
}

impl Driver {
    pub(super) fn from_config(config: &NvmlConfig) -> Self {
        Self {
            service: Service::from_config(&ServiceAddress::Socket(config.socket.clone())),
            collateral: GpuCollateral::from(Service::from_config(&config.collateral)),
        }
    }

    pub(super) async fn evidence(&self, nonce: [u8; 32]) -> Result<Vec<GpuEvidence>, AttesterError> {
        in_time(self.service.gpu_evidence(nonce)).await
    }

    pub(super) async fn endorsements(&self, evidence: &[GpuEvidence]) -> Result<GpuEndorsements, AttesterError> {
        in_time(self.collateral.of(evidence)).await
    }

    pub(super) async fn forget_endorsements(&self) {
        self.collateral.forget().await;
    }

    /// What the driver says. One that does not answer is asked once more: a busy machine is no fault.
    pub(super) async fn state(&self) -> Result<GpuState, AttesterError> {
        match self.asked().await {
            Err(AttesterError::Io(_) | AttesterError::Timeout) => self.asked().await,
            answered => answered,
        }
    }

    async fn asked(&self) -> Result<GpuState, AttesterError> {
        let asked = tokio::time::timeout(GPU_STATE_TIMEOUT, self.service.gpu_state()).await;
        asked.map_err(|_| AttesterError::Timeout)?
    }

    pub(super) async fn set_ready(&self, ready: bool) -> Result<(), AttesterError> {
        let asked = tokio::time::timeout(GPU_READY_TIMEOUT, self.service.set_gpus_ready(ready)).await;
        asked.map_err(|_| AttesterError::Timeout)?
    }
}
