//! What the handlers share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use attestation::{Clock, GpuSection, Receipt, Sha256Digest, Signed};
use credits::params::VerifyingParams;
use credits::{Bytes32, LedgerError, Nullifier, Offer};
use ledger_client::LedgerClient;
use tokio::sync::{Notify, RwLock, Semaphore, watch};

use crate::aci::AciReporter;
use crate::attester::Attested;
use crate::batcher::Batcher;
use crate::config::{GuardianConfig, LimitsConfig};
use crate::gpu::Gpus;
use crate::inference::{Engine, EngineStart};
use crate::keys::BootKeys;
use crate::ledger_watch::LedgerTrust;
use crate::limits::{
    CALLS_PER_TAB_MAX, LOG_READERS_MAX, LOG_RETRY_SECS, LOG_WAITERS_MAX, PROOFS_CONCURRENT_MAX, RECEIPTS_HELD_MAX,
    REFUSALS_HELD_MAX, REFUSALS_PER_TAB_MAX, REPLAY_TOTAL_BYTES_MAX,
};
use crate::metrics::Metrics;
use crate::past_tabs::PastTabs;
use crate::problem::Problem;
use crate::receipt_log::ReceiptLog;
use crate::receipts::ReceiptStore;
use crate::tabs::Tab;

/// One booted guardian.
pub struct Guardian {
    /// Measured configuration.
    pub config: GuardianConfig,
    /// Boot keys.
    pub keys: BootKeys,
    /// Reports for clients.
    pub reports: Batcher,
    /// Reports for clients that send envelopes.
    pub envelope_reports: Batcher,
    /// Reports for clients of the ACI protocol.
    pub aci: AciReporter,
    /// The GPUs, if this node has any.
    pub gpus: Option<Arc<Gpus>>,
    /// The evidence the boot report names.
    pub boot_gpu: Option<Arc<GpuSection>>,
    /// The boot report (role `keyset`): lets a third party check a receipt later.
    pub boot_report: Attested,
    /// Launch digest in the boot report, hex.
    pub launch_digest: String,
    /// Prices and payment terms, signed.
    pub offer: Signed<Offer>,
    /// Digest of the offer, bound by every spend.
    pub price_sheet_digest: Bytes32,
    /// The log of receipts, if this node has one.
    pub receipt_log: Option<Arc<ReceiptLog>>,
    /// The ledger.
    pub ledger: LedgerClient,
    /// The spend circuit's verifying key.
    pub spend_params: Arc<VerifyingParams>,
    /// The engine.
    pub engine: Engine,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What is going on.
    pub work: Work,
}

/// The tabs of this boot.
#[derive(Debug, Default)]
struct Tabs {
    open: HashMap<Nullifier, Arc<Tab>>,
    past: PastTabs,
}

/// From what requests are served.
#[derive(Debug, Clone, Copy)]
enum Serving {
    /// Whatever listens.
    FromAny,
    /// The start of the engine whose canary was right.
    From(EngineStart),
}

/// Requests, tabs and receipts of this boot.
#[derive(Debug)]
pub struct Work {
    /// Bounds proof checks in progress.
    pub proof_slots: Semaphore,
    /// Bounds those in progress and those that wait for it.
    pub proofs_pending: Semaphore,
    /// Bytes of answers that may still be held for repeats.
    pub replay_room: Arc<Semaphore>,
    /// True once no new work is accepted.
    pub draining: watch::Sender<bool>,
    /// Read by whoever opens a tab, from before it asks whether work is accepted until the tab is known; a stop writes once.
    pub opening: Arc<RwLock<()>>,
    /// Bounds questions of everybody about the log.
    pub log_readers: Semaphore,
    /// Bounds those of tabs about their receipts in it.
    pub log_waiters: Semaphore,
    /// The start of the engine from which requests are served.
    engine: Mutex<Option<Serving>>,
    /// Told when another one is found than the one that was asked the canary's question.
    pub engine_changed: Notify,
    /// Whether what is shown as the ledger is taken for it.
    pub ledger_trust: LedgerTrust,
    tabs: Mutex<Tabs>,
    /// Counts for the operator.
    pub metrics: Arc<Metrics>,
    /// Receipts of what was served.
    pub receipts: ReceiptStore,
    /// Receipts of what was refused. They cost nothing, so they never make a paid one give way.
    pub refusals: ReceiptStore,
}

impl Work {
    /// Nothing yet, within these limits.
    #[must_use]
    pub fn new(limits: &LimitsConfig) -> Self {
        Self {
            proof_slots: Semaphore::new(PROOFS_CONCURRENT_MAX),
            proofs_pending: Semaphore::new(limits.proofs_pending),
            replay_room: Arc::new(Semaphore::new(REPLAY_TOTAL_BYTES_MAX)),
            draining: watch::channel(false).0,
            opening: Arc::default(),
            log_readers: Semaphore::new(LOG_READERS_MAX),
            log_waiters: Semaphore::new(LOG_WAITERS_MAX),
            engine: Mutex::default(),
            engine_changed: Notify::new(),
            ledger_trust: LedgerTrust::default(),
            tabs: Mutex::default(),
            metrics: Arc::default(),
            receipts: ReceiptStore::of(RECEIPTS_HELD_MAX, CALLS_PER_TAB_MAX),
            refusals: ReceiptStore::of(REFUSALS_HELD_MAX, REFUSALS_PER_TAB_MAX),
        }
    }
}

impl std::fmt::Debug for Guardian {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guardian").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Guardian {
    /// Digest of the boot report's bytes.
    #[must_use]
    pub fn boot_report_digest(&self) -> Sha256Digest {
        Sha256Digest::of(&self.boot_report.evidence.report.0)
    }

    /// The tab with this id.
    #[must_use]
    pub fn tab(&self, id: &Nullifier) -> Option<Arc<Tab>> {
        self.lock_tabs().open.get(id).cloned()
    }

    fn lock_tabs(&self) -> MutexGuard<'_, Tabs> {
        self.work.tabs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All tabs of this boot.
    #[must_use]
    pub fn tabs(&self) -> Vec<Arc<Tab>> {
        self.lock_tabs().open.values().cloned().collect()
    }

    /// Whether another tab fits.
    #[must_use]
    pub fn has_room_for_tab(&self) -> bool {
        self.lock_tabs().open.len() < self.config.limits.tabs
    }

    /// Adds a tab, or returns the one that a concurrent repeat of the same call added first. None for a spend whose tab has ended: a
    /// request to open it that was delayed, or that comes again after the clock went back, must not make this guardian settle it a
    /// second time, at another charge.
    pub fn add_tab(&self, tab: Tab) -> Option<Arc<Tab>> {
        let mut tabs = self.lock_tabs();
        if tabs.past.has(&tab.id) {
            return None;
        }
        Some(Arc::clone(tabs.open.entry(tab.id).or_insert_with(|| Arc::new(tab))))
    }

    /// Whether a spend's tab has ended.
    #[must_use]
    pub fn has_ended(&self, id: &Nullifier) -> bool {
        self.lock_tabs().past.has(id)
    }

    /// Forgets a settled tab, but that there was one. Its receipts stay.
    pub fn remove_tab(&self, id: &Nullifier) {
        let mut tabs = self.lock_tabs();
        tabs.open.remove(id);
        tabs.past.add(*id, Instant::now());
    }

    /// The receipt with this id, or of the answer with it, if it belongs to `tab`: of what was served, or of what was refused.
    #[must_use]
    pub fn receipt(&self, tab: &Nullifier, id: &str) -> Option<Arc<Receipt>> {
        self.work.receipts.find(tab, id).or_else(|| self.work.refusals.find(tab, id))
    }

    /// The key of a tab that has ended and has receipts.
    #[must_use]
    pub fn past_tab_key(&self, tab: &Nullifier) -> Option<Bytes32> {
        self.work.receipts.tab_key(tab).or_else(|| self.work.refusals.tab_key(tab))
    }

    /// Whether requests are taken: once the engine has been ready and its canary was right. An engine that was started anew since then is
    /// asked first; one that is gone says so to each request by itself.
    #[must_use]
    pub fn takes_requests(&self) -> bool {
        let mut engine = self.lock_engine();
        let is_other = |proven| self.engine.start().is_some_and(|start| start != proven);
        if let Some(Serving::From(proven)) = *engine
            && is_other(proven)
        {
            *engine = None;
            self.work.engine_changed.notify_one();
        }
        engine.is_some()
    }

    /// From now on requests are taken, if there is a canary from this start of the engine only.
    pub fn take_requests(&self, proven: Option<EngineStart>) {
        *self.lock_engine() = Some(proven.map_or(Serving::FromAny, Serving::From));
    }

    /// From now on requests are told to come again.
    pub fn pause_requests(&self) {
        *self.lock_engine() = None;
    }

    fn lock_engine(&self) -> MutexGuard<'_, Option<Serving>> {
        self.work.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether new work would be receipted and paid, as far as witnesses of either log can tell.
    pub fn require_witnessed(&self) -> Result<(), Problem> {
        if !self.work.ledger_trust.holds(tokio::time::Instant::now()) {
            return Err(LedgerError::Unwitnessed.into());
        }
        if self.receipt_log.as_ref().is_none_or(|log| log.is_kept()) {
            return Ok(());
        }
        let text =
            "the log of receipts is not witnessed; nothing was charged: send the request again, or use another node";
        Err(Problem::unavailable("log.unwitnessed", LOG_RETRY_SECS, text))
    }

    /// Whether new work is refused.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.work.draining.borrow()
    }
}
