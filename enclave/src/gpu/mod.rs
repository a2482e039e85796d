//! The GPUs of this boot: judged before they take work, watched while they do, and attested to clients (protocol.md §2.5).
//!
//! Decides: when the GPUs take work. Evidence is obtained under a nonce of our own, appraised as a client would, renewed before it
//! is ten minutes old, and named by REPORT_DATA; clients appraise it again. A GPU that is not confidential, is another one than at
//! boot, or fails ends the node (`watch.rs`).

mod fault;
mod judge;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use attestation::{Clock, GpuSection, Hex32, Nonce, Sha256Digest};
use platform_service::GpuState;
use tokio::sync::{Mutex, Notify};

use crate::attester::{Attester, AttesterError};
use crate::config::GpuConfig;
use crate::limits::GPU_EVIDENCE_AGE_MAX;
pub use fault::GpuFault;
use judge::{Identity, Judge};

/// The GPUs, with their current evidence.
pub struct Gpus {
    attester: Attester,
    judge: Judge,
    keyset_digest: Sha256Digest,
    /// What the driver said at boot, if there is a driver to ask.
    state: Option<GpuState>,
    devices: Vec<Identity>,
    current: Mutex<Round>,
    renewal: Notify,
}

struct Round {
    section: Arc<GpuSection>,
    obtained: Instant,
}

impl std::fmt::Debug for Gpus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gpus").field("devices", &self.devices).finish_non_exhaustive()
    }
}

impl Gpus {
    /// Judges the GPUs of the measured configuration, if it names any, and then lets them take work.
    ///
    /// # Errors
    /// [`GpuFault`]; then they take none.
    pub async fn take(
        attester: &Attester,
        config: Option<&GpuConfig>,
        clock: Arc<dyn Clock>,
        keyset_digest: Sha256Digest,
    ) -> Result<Option<Self>, GpuFault> {
        let Some(config) = config else { return Ok(None) };
        let judge = Judge::from_config(config, clock)?;
        let attester = attester.clone();
        let state = attester.gpu_state().await?;
        if let Some(state) = &state {
            watch::require_confidential(state)?;
            // Whoever let them take work was not this boot.
            if state.ready {
                attester.set_gpus_ready(false).await?;
            }
        }
        let (section, devices) = round(&attester, &judge, &keyset_digest, 0).await?;
        attester.set_gpus_ready(true).await?;
        tracing::info!(devices = devices.len(), judged = %judge.assurance(), "the GPUs take work");
        let current = Mutex::new(Round { section: Arc::new(section), obtained: Instant::now() });
        let renewal = Notify::new();
        Ok(Some(Self { attester, judge, keyset_digest, state, devices, current, renewal }))
    }

    /// Evidence young enough to hand out. Callers that come while a new round is made wait for it.
    ///
    /// # Errors
    /// When it is too old and there is no newer.
    pub async fn fresh(&self) -> Result<Arc<GpuSection>, AttesterError> {
        self.younger_than(GPU_EVIDENCE_AGE_MAX).await.map_err(|fault| AttesterError::Refused(fault.to_string()))
    }

    async fn younger_than(&self, age: Duration) -> Result<Arc<GpuSection>, GpuFault> {
        let mut current = self.current.lock().await;
        if current.obtained.elapsed() >= age {
            let epoch = current.section.epoch.saturating_add(1);
            let (section, devices) = round(&self.attester, &self.judge, &self.keyset_digest, epoch).await?;
            // A genuine device that came in the place of another has none of its state, or all of somebody else's.
            if devices != self.devices {
                return Err(GpuFault::DeviceChanged);
            }
            *current = Round { section: Arc::new(section), obtained: Instant::now() };
        }
        Ok(Arc::clone(&current.section))
    }

    async fn age(&self) -> Duration {
        self.current.lock().await.obtained.elapsed()
    }

    /// From now on the GPUs take no work.
    pub async fn release(&self) {
        if let Err(error) = self.attester.set_gpus_ready(false).await {
            tracing::warn!(%error, "the GPUs were not told to take no more work");
        }
    }
}

async fn round(
    attester: &Attester,
    judge: &Judge,
    keyset_digest: &Sha256Digest,
    epoch: u64,
) -> Result<(GpuSection, Vec<Identity>), GpuFault> {
    let random = Nonce::random().map_err(|error| AttesterError::Refused(error.to_string()))?;
    let random = Hex32(random.0);
    let nonce = GpuSection::nonce(keyset_digest, &random, epoch);
    let (evidence, endorsements) = attester.attest_gpus(nonce).await?;
    let devices = judge.judge(&evidence, &endorsements, &nonce)?;
    Ok((GpuSection { random, epoch, evidence, endorsements }, devices))
}
