//! The GPUs of this boot: judged before they take work, watched while they do, and attested to clients (protocol.md §2.5).
//!
//! Decides: when the GPUs take work. Evidence is obtained under a nonce of our own, appraised as a client would, renewed before it
//! is ten minutes old, and named by REPORT_DATA; clients appraise it again. A GPU that is not confidential, is another one than at
//! boot, or fails ends the node (`watch.rs`).

mod fault;
mod judge;
mod watch;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use attestation::gpu::{GpuEvidence, GpuReport};
use attestation::{Clock, GpuBinding, GpuSection, Hex32, Nonce, Rejection, Sha256Digest};
use platform_service::GpuState;
use tokio::sync::Notify;

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
    current: Mutex<Round>,
    /// One round at a time; what there is is handed out meanwhile.
    renewing: tokio::sync::Mutex<()>,
    /// Critical events so far: evidence from before one is handed out no more.
    events: AtomicU64,
    renewal: Notify,
}

/// Evidence that was judged.
#[derive(Clone)]
struct Round {
    section: Arc<GpuSection>,
    /// What names that evidence.
    binding: GpuBinding,
    devices: Vec<Identity>,
    /// When it was asked for, and after how many events.
    asked: Instant,
    after_events: u64,
}

impl std::fmt::Debug for Gpus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gpus").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Gpus {
    /// Judges the GPUs of the measured configuration, if it names any, and then lets them take work.
    ///
    /// # Errors
    /// [`GpuFault`]; then they were told to take none, if there was somebody to tell.
    pub async fn take(
        attester: &Attester,
        config: Option<&GpuConfig>,
        clock: Arc<dyn Clock>,
        keyset_digest: Sha256Digest,
    ) -> Result<Option<Self>, GpuFault> {
        let Some(config) = config else { return Ok(None) };
        // Whoever let them take work before was not this boot.
        attester.set_gpus_ready(false).await?;
        let gpus = Self::judged(attester.clone(), config, clock, keyset_digest).await?;
        match gpus.set_to_work().await {
            Ok(()) => Ok(Some(gpus)),
            Err(fault) => {
                gpus.release().await;
                Err(fault)
            }
        }
    }

    async fn judged(
        attester: Attester,
        config: &GpuConfig,
        clock: Arc<dyn Clock>,
        keyset_digest: Sha256Digest,
    ) -> Result<Self, GpuFault> {
        let judge = Judge::from_config(config, clock)?;
        let state = attester.gpu_state().await?;
        state.as_ref().map_or(Ok(()), watch::require_confidential)?;
        let first = round(&attester, &judge, &keyset_digest, (0, 0), None).await?;
        // A device that the driver has and that gave no evidence would take work unjudged, and so would one that was not stopped.
        let unjudged = |state: &GpuState| state.ready || state.devices.len() != first.devices.len();
        if state.as_ref().is_some_and(unjudged) {
            return Err(GpuFault::StateChanged);
        }
        let (renewing, events, renewal) = (tokio::sync::Mutex::default(), AtomicU64::new(0), Notify::new());
        Ok(Self { attester, judge, keyset_digest, state, current: Mutex::new(first), renewing, events, renewal })
    }

    async fn set_to_work(&self) -> Result<(), GpuFault> {
        self.attester.set_gpus_ready(true).await?;
        if let (Some(first), Some(now)) = (&self.state, self.attester.gpu_state().await?) {
            watch::require_same(first, &now)?;
        }
        tracing::info!(devices = self.held().devices.len(), judged = %self.judge.assurance(), "the GPUs take work");
        Ok(())
    }

    /// Evidence young enough to hand out.
    ///
    /// # Errors
    /// When it is too old, or from before a critical event, and there is no newer.
    pub async fn fresh(&self) -> Result<Arc<GpuSection>, AttesterError> {
        self.younger_than(GPU_EVIDENCE_AGE_MAX).await.map_err(|fault| AttesterError::Refused(fault.to_string()))
    }

    async fn younger_than(&self, age: Duration) -> Result<Arc<GpuSection>, GpuFault> {
        if let Some(section) = self.usable(age) {
            return Ok(section);
        }
        let _one_round = self.renewing.lock().await;
        if let Some(section) = self.usable(age) {
            return Ok(section);
        }
        let held = self.held();
        let after_events = self.events.load(Ordering::Acquire);
        let counts = (held.section.epoch.saturating_add(1), after_events);
        let next = round(&self.attester, &self.judge, &self.keyset_digest, counts, Some(&held)).await?;
        let section = Arc::clone(&next.section);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(section)
    }

    /// What names the newest evidence.
    #[must_use]
    pub fn binding(&self) -> GpuBinding {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).binding.clone()
    }

    fn held(&self) -> Round {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn usable(&self, age: Duration) -> Option<Arc<GpuSection>> {
        let held = self.held();
        let after_all_events = held.after_events == self.events.load(Ordering::Acquire);
        (after_all_events && held.asked.elapsed() < age).then_some(held.section)
    }

    fn age(&self) -> Duration {
        self.held().asked.elapsed()
    }

    /// From now on the GPUs take no work. If nobody can be told, that is logged.
    pub async fn release(&self) {
        if let Err(error) = self.attester.set_gpus_ready(false).await {
            tracing::warn!(%error, "the GPUs were not told to take no more work");
        }
    }
}

/// One round: evidence under a new nonce, of the devices that there were before, judged.
async fn round(
    attester: &Attester,
    judge: &Judge,
    keyset_digest: &Sha256Digest,
    (epoch, after_events): (u64, u64),
    before: Option<&Round>,
) -> Result<Round, GpuFault> {
    let asked = Instant::now();
    let random = Nonce::random().map_err(|error| AttesterError::Refused(error.to_string()))?;
    let random = Hex32(random.0);
    let nonce = GpuSection::nonce(keyset_digest, &random, epoch);
    let (evidence, endorsements) = attester.attest_gpus(nonce).await?;
    for one in &evidence {
        GpuReport::parse(&one.report).map_err(Rejection::from)?;
    }
    // Before the host is asked anything about it: a device that came in the place of another has none of its state, or all of
    // somebody else's, however genuine it is.
    let chains =
        |evidence: &[GpuEvidence]| evidence.iter().map(|one| one.certificate_chain.clone()).collect::<Vec<_>>();
    if before.is_some_and(|before| chains(&before.section.evidence) != chains(&evidence)) {
        return Err(GpuFault::DeviceChanged);
    }
    let (endorsements, devices) = match endorsements {
        Some(endorsements) => {
            let devices = judge.judge(&evidence, &endorsements, &nonce)?;
            (endorsements, devices)
        }
        None => endorsed(attester, judge, &evidence, &nonce).await?,
    };
    if before.is_some_and(|before| before.devices != devices) {
        return Err(GpuFault::DeviceChanged);
    }
    let section = Arc::new(GpuSection { random, epoch, evidence, endorsements });
    let binding = section.binding();
    Ok(Round { section, binding, devices, asked, after_events })
}

/// Judges evidence with what the host has about it. What is held may be too old by now: then the host is asked once more.
async fn endorsed(
    attester: &Attester,
    judge: &Judge,
    evidence: &[GpuEvidence],
    nonce: &[u8; 32],
) -> Result<(attestation::gpu::GpuEndorsements, Vec<Identity>), GpuFault> {
    let held = attester.endorse_gpus(evidence).await?;
    if let Ok(devices) = judge.judge(evidence, &held, nonce) {
        return Ok((held, devices));
    }
    attester.forget_gpu_endorsements().await;
    let newest = attester.endorse_gpus(evidence).await?;
    let devices = judge.judge(evidence, &newest, nonce)?;
    Ok((newest, devices))
}
