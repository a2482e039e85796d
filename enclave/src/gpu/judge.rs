//! The guardian's own appraisal of its GPUs, with what clients appraise them with.
//!
//! Decides: whether the GPUs may take work. The roots and the policy are those of the measured configuration; without any, NVIDIA's
//! and the strict one. The clock is the host's, so a host can have good evidence refused; it cannot have bad evidence accepted by
//! clients, who use their own.

use std::sync::Arc;

use attestation::gpu::{self, GpuCache, GpuEndorsements, GpuEvidence};
use attestation::{AppraisalPolicy, AssuranceClass, Clock, STRICT_POLICY, Sha256Digest, Transcript, TrustRoots};

use super::GpuFault;
use crate::config::GpuConfig;

/// Which device it is, and which of its boots: the leaf certificate is made anew at each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    serial: String,
    leaf: Sha256Digest,
    driver_version: Option<String>,
    vbios_version: Option<String>,
}

pub(super) struct Judge {
    roots: TrustRoots,
    policy: AppraisalPolicy,
    clock: Arc<dyn Clock>,
    cache: GpuCache,
}

impl Judge {
    pub(super) fn from_config(config: &GpuConfig, clock: Arc<dyn Clock>) -> Result<Self, GpuFault> {
        let roots = match &config.roots {
            Some(pem) => TrustRoots::named(pem.as_bytes()).map_err(|error| GpuFault::Config(error.to_string()))?,
            None => TrustRoots::vendor(),
        };
        let policy = AppraisalPolicy::from_toml(config.policy.as_deref().unwrap_or(STRICT_POLICY))
            .map_err(|error| GpuFault::Config(error.to_string()))?;
        Ok(Self { roots, policy, clock, cache: GpuCache::default() })
    }

    pub(super) fn assurance(&self) -> AssuranceClass {
        self.roots.assurance()
    }

    /// The devices, if they are genuine and the policy accepts them.
    pub(super) fn judge(
        &self,
        evidence: &[GpuEvidence],
        endorsements: &GpuEndorsements,
        nonce: &[u8; 32],
    ) -> Result<Vec<Identity>, GpuFault> {
        let (now, mut transcript) = (self.clock.now(), Transcript::new());
        let Self { roots, policy, cache, .. } = self;
        let claims = gpu::appraise(evidence, endorsements, nonce, roots, policy, now, cache, &mut transcript)?;
        let identity = |device: &gpu::GpuDevice| Identity {
            serial: device.device_serial().to_owned(),
            leaf: device.leaf_sha256(),
            driver_version: device.driver_version().map(str::to_owned),
            vbios_version: device.vbios_version().map(str::to_owned),
        };
        Ok(claims.devices().iter().map(identity).collect())
    }
}
