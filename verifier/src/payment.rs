//! Paying a node from a wallet.
//!
//! Decides: whether this wallet pays this node, with how much, and what counts as paid. Trusts on entry: a [`Session`] (the node
//! is attested, its offer signed) and the wallet's own replay of the ledger. Holds on exit of [`Payer::open_tab`]: the spend was
//! on disk before it was sent. Steps:
//!
//! 1. The node sells on this wallet's ledger, and its assurance is enough for that ledger.
//! 2. The wallet is brought up to date with the ledger.
//! 3. A note is chosen, its spend bound to this node boot, price sheet and deadline, and stored. One that was cut off is taken up again.
//! 4. The spend is proved, or was ahead of time.
//! 5. The tab is opened. A definitive no frees the note; no answer leaves it pending, and the ledger's log decides later.

mod ahead;
mod closing;
pub(crate) mod deadline;
mod resume;

use std::path::PathBuf;
use std::sync::Arc;

use attestation::{AssuranceClass, Clock};
use credits::Credits;
use credits::ledger::{LOG_PAGE_ENTRIES_MAX, Ledger, LedgerError, LedgerInfo};
use credits::offer::Offer;
use credits::params::ProvingParams;
use credits::settlement::Settlement;
use credits::spend::{SpendProof, prove};
use credits::tab::{OpenTabRequest, TAB_VERSION};
use credits::wallet::{PreparedSpend, SyncProgress, WalletError};
use ledger_client::{ConnectError, Known, LedgerClient, Pins, Watch};
use rand_core::OsRng;

use crate::estimate::tiers_to_try;
use crate::fetch::NodeError;
use crate::ledger_evidence;
use crate::proving_keys;
use crate::session::{Session, SessionError};
use crate::tab::Tab;
use crate::wallet_store::{StoreError, WalletStore};

use ahead::Ahead;
pub use ahead::AheadProgress;
use deadline::tab_end;

/// Why a payment did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PaymentError {
    /// The node sells on another ledger.
    #[error("the node takes credits of ledger {got}, the wallet holds credits of {expected}")]
    OtherLedger {
        /// The node's.
        got: String,
        /// The wallet's.
        expected: String,
    },
    /// The wallet's credits are worth money and the node is not vendor-rooted.
    #[error("the ledger's credits are worth money, and the node's assurance is only {assurance}")]
    Assurance {
        /// What the node has.
        assurance: AssuranceClass,
    },
    /// The node charged more than it billed; the wallet has the evidence.
    #[error("the node charged more than it billed: the evidence is in {}", file.display())]
    Blamed {
        /// The evidence.
        file: PathBuf,
    },
    /// Too little answers for the node.
    #[error("{needed} credits must be at stake for the node, and {at_stake} of payee {payee} are")]
    Stake {
        /// What the user asked for.
        needed: Credits,
        /// What there is, for long enough.
        at_stake: Credits,
        /// Whose.
        payee: credits::Bytes32,
    },
    /// The ledger said something else about itself than when the wallet was made.
    #[error("the ledger at {url} is not the one the wallet belongs to")]
    LedgerChanged {
        /// Its address.
        url: String,
    },
    /// The node's offer names no tier.
    #[error("the node's offer has no tiers")]
    NoTiers,
    /// The offer and the ledger leave no time for a tab.
    #[error("the node or the ledger allows no tab long enough to use")]
    NoTime,
    /// The wallet could not be read or stored, or refused.
    #[error("use the wallet")]
    Store(#[source] StoreError),
    /// The ledger cannot be used at all.
    #[error("connect to the ledger")]
    Connect(#[source] ConnectError),
    /// The ledger refused or did not answer.
    #[error("the ledger did not carry out the call")]
    Ledger(#[source] LedgerError),
    /// The proving key is not the ledger's.
    #[error("the proving key is not usable: {detail}")]
    ProvingKey {
        /// What is wrong.
        detail: String,
    },
    /// The proof could not be made.
    #[error("prove the spend: {detail}")]
    Prove {
        /// What is wrong.
        detail: String,
    },
    /// The node refused the tab, or gave no answer.
    #[error("open the tab")]
    Open(#[source] SessionError),
    /// The node did not close the tab properly.
    #[error("close the tab")]
    Close(#[source] SessionError),
}

impl PaymentError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::OtherLedger { .. } => "payment.other_ledger",
            Self::Assurance { .. } => "payment.assurance",
            Self::Blamed { .. } => "payment.blamed",
            Self::Stake { .. } => "payment.stake",
            Self::LedgerChanged { .. } => "payment.ledger_changed",
            Self::NoTiers | Self::NoTime => "payment.offer",
            Self::Store(error) => error.code(),
            Self::Connect(error) => error.code(),
            Self::Ledger(error) => error.code(),
            Self::ProvingKey { .. } => "payment.proving_key",
            Self::Prove { .. } => "payment.proof",
            Self::Open(error) | Self::Close(error) => error.code(),
        }
    }

    /// Whether the wallet simply has no note that is large enough.
    #[must_use]
    pub fn is_insufficient(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Wallet(WalletError::InsufficientBalance { .. } | WalletError::Fragmented { .. }))
        )
    }
}

/// How much to reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// What the next request can cost at most.
    pub need: Credits,
    /// What the caller would like; taken when the wallet has it.
    pub wish: Credits,
}

/// What is being done, for a progress display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the ledger's log.
    Sync,
    /// Fetching the proving key, once per ledger.
    ProvingKey,
    /// Making the proof.
    Prove,
    /// Waiting for the node.
    Open,
}

/// A closed tab.
#[derive(Debug, Clone)]
pub struct ClosedTab {
    /// What the node signed; it agrees with the receipts.
    pub settlement: Settlement,
    /// Whether the refund is already in the wallet.
    pub refund_visible: bool,
}

/// A wallet and the ledger it belongs to.
pub struct Payer {
    store: WalletStore,
    ledger: LedgerClient,
    params: Option<Arc<ProvingParams>>,
    ahead: Ahead,
    clock: Arc<dyn Clock>,
    /// What must be at stake for a node.
    pub(crate) stake_min: Credits,
}

impl Payer {
    /// Joins a wallet with its ledger: the one whose identity the wallet remembers, and no other.
    ///
    /// # Errors
    /// When the ledger cannot be reached or is another one.
    pub async fn connect(store: WalletStore, clock: Arc<dyn Clock>) -> Result<Self, PaymentError> {
        let known = store.ledger();
        let watch = known.witnesses.clone().map(|quorum| Watch::new(quorum, Arc::clone(&clock)));
        // A ledger that went back while this side was not looking is noticed now.
        let seen = store.wallet().state().newest_seen().cloned();
        let evidence = Some(ledger_evidence::sink(store.ledger_evidence_dir()));
        let ledger =
            LedgerClient::connect_known(&known.url, Pins::from(&known.info), Known { seen, watch, evidence }).await;
        let ledger = ledger.map_err(PaymentError::Connect)?;
        Ok(Self { store, ledger, params: None, ahead: Ahead::default(), clock, stake_min: Credits::ZERO })
    }

    /// The wallet.
    #[must_use]
    pub fn store(&self) -> &WalletStore {
        &self.store
    }

    /// The wallet, to change it.
    pub fn store_mut(&mut self) -> &mut WalletStore {
        &mut self.store
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &LedgerClient {
        &self.ledger
    }

    /// The time on this machine, in Unix seconds.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now().0
    }

    /// Replays the ledger's log up to its newest checkpoint.
    ///
    /// # Errors
    /// When the ledger does not answer, or its log is not an extension of what the wallet has seen.
    pub async fn sync(&mut self) -> Result<SyncProgress, PaymentError> {
        let mut applied = 0;
        loop {
            let from = self.store.wallet().next_entry();
            let page = self.ledger.log(from, LOG_PAGE_ENTRIES_MAX).await.map_err(PaymentError::Ledger)?;
            let progress = self.store.update(|wallet| wallet.apply_page(&page)).map_err(PaymentError::Store)?;
            applied += progress.applied;
            if progress.remaining == 0 {
                self.compare_bills().await;
                return Ok(SyncProgress { applied, ..progress });
            }
        }
    }

    /// Opens a tab.
    ///
    /// # Errors
    /// When the wallet does not pay this node, has too little, or the node does not open the tab.
    pub async fn open_tab(
        &mut self,
        session: &Session,
        amount: Amount,
        on_stage: &(dyn Fn(Stage) + Sync),
    ) -> Result<Tab, PaymentError> {
        // 1. The right ledger, enough assurance.
        self.require_acceptable(session)?;
        // 2. An up-to-date wallet.
        on_stage(Stage::Sync);
        let info = self.ledger_info().await?;
        self.sync().await?;
        self.require_unblamed(session)?;
        let params = self.proving_params(&info, on_stage).await?;
        // 3. A note, bound and stored before anything is sent.
        let prepared = match self.resumable(session, amount) {
            Some(prepared) => {
                self.require_staked(session, prepared.context.not_after, info.grace_secs)?;
                prepared
            }
            None => {
                let not_after = self.not_after(session, &info)?;
                self.require_staked(session, not_after, info.grace_secs)?;
                self.prepare(session, amount, not_after)?
            }
        };
        // 4. The proof.
        let proof = match self.proved_ahead(&prepared.public).await {
            Some(proof) => proof,
            None => {
                on_stage(Stage::Prove);
                match prove_spend(params, &prepared).await {
                    Ok(proof) => proof,
                    Err(error) => {
                        self.abandon(&prepared)?;
                        return Err(error);
                    }
                }
            }
        };
        let open = open_request(&prepared, proof);
        // 5. The tab.
        on_stage(Stage::Open);
        match session.open_tab(&open, prepared.tab_key.clone()).await {
            Ok(tab) => Ok(tab),
            Err(error) => {
                if was_never_reserved(&error) {
                    self.abandon(&prepared)?;
                }
                Err(PaymentError::Open(error))
            }
        }
    }

    fn require_acceptable(&self, session: &Session) -> Result<(), PaymentError> {
        let (offer, known) = (session.offer(), &self.store.ledger().info);
        if offer.ledger_id != known.ledger_id || offer.vk_digest != known.vk_digest {
            return Err(PaymentError::OtherLedger {
                got: offer.ledger_id.to_string(),
                expected: known.ledger_id.to_string(),
            });
        }
        let assurance = session.appraisal().assurance();
        // Decision 4: real value only goes to vendor-rooted nodes.
        if known.holds_value && assurance != AssuranceClass::Vendor {
            return Err(PaymentError::Assurance { assurance });
        }
        Ok(())
    }

    /// What the ledger says now. The client has compared its identity with the pinned one; here it must not have turned from
    /// play money into money, or back, behind the user's back.
    pub(crate) async fn ledger_info(&self) -> Result<LedgerInfo, PaymentError> {
        let info = self.ledger.info().await.map_err(PaymentError::Ledger)?;
        if info.holds_value == self.store.ledger().info.holds_value {
            Ok(info)
        } else {
            Err(PaymentError::LedgerChanged { url: self.store.ledger().url.clone() })
        }
    }

    fn not_after(&self, session: &Session, info: &LedgerInfo) -> Result<u64, PaymentError> {
        let now = self.clock.now().0;
        let end = tab_end(now, session.offer().tab_secs_max.min(info.tab_secs_max)).min(session.keyset().not_after.0);
        if end > now { Ok(end) } else { Err(PaymentError::NoTime) }
    }

    fn prepare(&mut self, session: &Session, amount: Amount, not_after: u64) -> Result<PreparedSpend, PaymentError> {
        let context = session.spend_context(not_after);
        let mut last = PaymentError::NoTiers;
        for tier in tiers_to_try(&session.offer().tiers, amount.need, amount.wish) {
            let prepared = self.store.update(|wallet| wallet.prepare_spend(tier, context.clone()));
            match prepared.map_err(PaymentError::Store) {
                Err(error) if error.is_insufficient() => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    pub(crate) fn abandon(&mut self, prepared: &PreparedSpend) -> Result<(), PaymentError> {
        let nullifier = prepared.public.nullifier;
        self.store
            .update(|wallet| {
                wallet.abandon(nullifier);
                Ok(())
            })
            .map_err(PaymentError::Store)
    }

    pub(crate) async fn proving_params(
        &mut self,
        info: &LedgerInfo,
        on_stage: &(dyn Fn(Stage) + Sync),
    ) -> Result<Arc<ProvingParams>, PaymentError> {
        if let Some(params) = &self.params {
            return Ok(Arc::clone(params));
        }
        on_stage(Stage::ProvingKey);
        let params = proving_keys::load(&self.store, info.vk_digest, self.ledger.proving_key()).await?;
        self.params = Some(Arc::clone(&params));
        Ok(params)
    }
}

/// Proves a spend on a thread that may block.
pub(crate) async fn prove_spend(
    params: Arc<ProvingParams>,
    prepared: &PreparedSpend,
) -> Result<SpendProof, PaymentError> {
    let (public, witness) = (prepared.public, prepared.witness.clone());
    let failed = |detail: String| PaymentError::Prove { detail };
    tokio::task::spawn_blocking(move || prove(&params, &public, &witness, &mut OsRng))
        .await
        .map_err(|error| failed(error.to_string()))?
        .map_err(|error| failed(error.to_string()))
}

fn open_request(prepared: &PreparedSpend, proof: SpendProof) -> OpenTabRequest {
    let public = prepared.public;
    OpenTabRequest {
        version: TAB_VERSION.to_owned(),
        root: public.root,
        nullifier: public.nullifier,
        inner_next: public.inner_next,
        c_max: public.c_max,
        not_after: prepared.context.not_after,
        tab_key: prepared.tab_key.public(),
        proof,
    }
}

/// What a node that takes no work says before it looks at a spend, and so before it asks its ledger.
const UNASKED: [&str; 4] = ["node.draining", "tab.rate", "log.unwitnessed", "ledger.unwitnessed"];

/// Only a clear no means that the ledger has not seen the spend. A conflict means the opposite, and a request that may have been
/// acted on proves nothing.
fn was_never_reserved(error: &SessionError) -> bool {
    match error {
        SessionError::Node(NodeError::Closed) => true,
        SessionError::Node(NodeError::Refused { status, code, .. }) => {
            let refused = matches!(status.as_u16(), 400 | 402 | 403 | 404 | 413 | 422) && !code.starts_with("credits.");
            refused || UNASKED.contains(&code.as_str())
        }
        _ => false,
    }
}

/// The model to ask: the named one, or the only one.
#[must_use]
pub fn pick_model<'a>(offer: &'a Offer, named: Option<&str>) -> Option<&'a credits::offer::ModelOffer> {
    match named {
        Some(name) => offer.model(name),
        None => match offer.models.as_slice() {
            [only] => Some(only),
            _ => None,
        },
    }
}
