//! The proxy's session and tabs.
//!
//! Decides: when a new connection is verified, which tab pays a request, and when tabs are closed. Trusts on entry: nothing but
//! the user's configuration. Holds on exit of [`Keeper::lease`]: a verified session and an open tab that, as far as this side
//! can tell, covers the request.
//!
//! One tab is current; requests in flight share it. It is retired when it runs low or near its end, and closed once nothing is
//! in flight under it. A new connection is a new verification; a tab survives it when the node still has the same keyset, and
//! is left to the ledger when it has not. While the proxy is used, the next tab's spend is proved before it is needed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use attestation::{Clock, Transcript};
use credits::Credits;
use credits::offer::Offer;
use rand_core::{OsRng, RngCore};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::ahead::{Plan, wish_for};
use crate::error::{Error, chain};
use crate::open::open_session;
use crate::payment::{ClosedTab, Payer, PaymentError, Stage};
use crate::session::{Session, SessionError};
use crate::tab::Tab;
use crate::target::NodeUrl;
use crate::verify::Trust;

/// A tab that ends sooner than this, or than a quarter of its life, takes no new requests.
const TAB_SECS_LEFT_MIN: u64 = 120;
/// Up to this part of its life sooner, at random: tabs of many wallets end at one moment and should not all be closed at one.
const TAB_SPREAD: u64 = 16;
/// How long a client's idempotency key is remembered, so that a retry goes to the tab that was charged.
const KEY_SECS: u64 = 600;
/// Pause before a tab is closed again at a node that could not be reached.
const CLOSE_PAUSE: Duration = Duration::from_secs(10);
/// A tab after which another was opened is closed within so many milliseconds, at random.
const CLOSE_LATER_MS_MAX: u64 = 20_000;
/// Most keys remembered.
const KEYS_MAX: usize = 4096;

/// Where the proxy's words go. They never contain a prompt, an answer, or a client's headers.
pub type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// What the keeper needs to know.
pub(crate) struct KeeperConfig {
    pub(crate) target: NodeUrl,
    pub(crate) trust: Arc<Trust>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) reserve: Option<Credits>,
    pub(crate) idle: Duration,
    pub(crate) log: Log,
}

/// See the module.
pub(crate) struct Keeper {
    pub(super) config: KeeperConfig,
    pub(super) state: Mutex<State>,
    /// Who wants both locks the state first. What nobody waits for locks the payer alone: a request that has a tab does not wait for it.
    pub(super) payer: Mutex<Payer>,
    /// Set when the node charged what it may not charge: nothing more is sent to it.
    pub(super) condemned: OnceLock<String>,
}

pub(super) struct State {
    pub(super) session: Option<Session>,
    current: Option<Arc<LiveTab>>,
    retired: Vec<Arc<LiveTab>>,
    keys: HashMap<String, (Arc<LiveTab>, Instant)>,
    pub(super) last_used: Instant,
    close_again_at: Instant,
    pub(super) plan: Plan,
}

struct LiveTab {
    tab: Arc<Tab>,
    /// It takes no new requests when less is left of its time.
    spare_secs: u64,
    leases: AtomicU64,
    committed: AtomicU64,
}

impl LiveTab {
    fn new(tab: Tab, now: u64) -> Self {
        let life = tab.not_after().saturating_sub(now);
        let spread = OsRng.next_u64().checked_rem(life / TAB_SPREAD).unwrap_or(0);
        Self {
            tab: Arc::new(tab),
            spare_secs: TAB_SECS_LEFT_MIN.min(life / 4).saturating_add(spread),
            leases: AtomicU64::new(0),
            committed: AtomicU64::new(0),
        }
    }

    fn is_idle(&self) -> bool {
        self.leases.load(Ordering::SeqCst) == 0
    }

    /// What is left when every request under way costs its worst case.
    fn covers(&self, need: Credits, now: u64) -> bool {
        let taken = self.tab.charges().running_total.get().saturating_add(self.committed.load(Ordering::SeqCst));
        let left = self.tab.reserve().get().saturating_sub(taken);
        left >= need.get() && self.tab.not_after() > now.saturating_add(self.spare_secs)
    }
}

/// The right to send one request.
pub(crate) struct Lease {
    pub(crate) session: Session,
    pub(crate) tab: Arc<Tab>,
    live: Arc<LiveTab>,
    need: u64,
    /// The tab was opened for this very request: if it does not cover it, only a larger one will.
    pub(crate) fresh: bool,
}

impl Lease {
    fn new(session: &Session, live: &Arc<LiveTab>, need: Credits, fresh: bool) -> Self {
        live.leases.fetch_add(1, Ordering::SeqCst);
        live.committed.fetch_add(need.get(), Ordering::SeqCst);
        Self { session: session.clone(), tab: Arc::clone(&live.tab), live: Arc::clone(live), need: need.get(), fresh }
    }

    /// The tab, for a further try of the same request.
    pub(crate) fn tab_ref(&self) -> TabRef {
        TabRef(Arc::clone(&self.live))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.live.leases.fetch_sub(1, Ordering::SeqCst);
        self.live.committed.fetch_sub(self.need, Ordering::SeqCst);
    }
}

/// What a request needs.
pub(crate) struct Demand<'a> {
    /// Its worst case under an offer; nothing when the model is not offered.
    pub(crate) cost: &'a (dyn Fn(&Offer) -> Option<Credits> + Sync),
    /// At least this much, after a tab turned out too small.
    pub(crate) floor: Credits,
    /// The client's own idempotency key.
    pub(crate) client_key: Option<&'a str>,
    /// The tab an earlier try went to; if it still stands, the next try goes there too and is charged once.
    pub(crate) tried: Option<TabRef>,
}

/// Names a tab of the keeper's.
#[derive(Clone)]
pub(crate) struct TabRef(Arc<LiveTab>);

impl Keeper {
    /// Verifies the node once, so that a proxy does not start in front of a node it will refuse.
    pub(crate) async fn start(
        config: KeeperConfig,
        mut payer: Payer,
        transcript: &mut Transcript,
    ) -> Result<Self, Error> {
        let session = open_session(&config.target, &config.trust, &config.clock, transcript).await?;
        let closed = payer.close_leftovers(&session).await?;
        if closed > 0 {
            (config.log)(&format!("closed {closed} tabs that an earlier process left open"));
        }
        let state = State {
            plan: Plan::new(config.reserve, session.offer()),
            session: Some(session),
            current: None,
            retired: Vec::new(),
            keys: HashMap::new(),
            last_used: Instant::now(),
            close_again_at: Instant::now(),
        };
        Ok(Self { config, state: Mutex::new(state), payer: Mutex::new(payer), condemned: OnceLock::new() })
    }

    /// A verified session, without a tab.
    pub(crate) async fn session(&self) -> Result<Session, Error> {
        let mut state = self.state.lock().await;
        self.ensure_session(&mut state).await
    }

    /// A verified session and a tab that covers the demand.
    pub(crate) async fn lease(&self, demand: &Demand<'_>) -> Result<Lease, Error> {
        let mut state = self.state.lock().await;
        state.last_used = Instant::now();
        let session = self.ensure_session(&mut state).await?;
        let need = (demand.cost)(session.offer()).ok_or_else(|| not_offered(session.offer()))?.max(demand.floor);
        let lease = match state.standing(demand.tried.as_ref()).or_else(|| state.remembered(demand.client_key)) {
            Some(live) => Lease::new(&session, &live, need, false),
            None => self.lease_current(&mut state, &session, need).await?,
        };
        state.remember(demand.client_key, &lease.live);
        Ok(lease)
    }

    async fn lease_current(&self, state: &mut State, session: &Session, need: Credits) -> Result<Lease, Error> {
        if let Some(live) = state.current.clone() {
            if live.covers(need, self.config.clock.now().0) {
                return Ok(Lease::new(session, &live, need, false));
            }
            state.retire_current();
        }
        let mut payer = self.payer.lock().await;
        if payer.is_ahead(session, wish_for(self.config.reserve, need)) {
            // The note is there. The old tab is closed when nobody waits, and not at a moment that tells which tab came after it.
            // One that waits already waits no longer: tabs that are opened one after another must not keep it open.
            let later = Duration::from_millis(OsRng.next_u64().checked_rem(CLOSE_LATER_MS_MAX).unwrap_or(0));
            if state.close_again_at <= Instant::now() {
                state.close_again_at = Instant::now() + later;
            }
        } else {
            // A closed tab gives its refund back before a note is chosen.
            self.close_retired(state, &mut payer, LiveTab::is_idle).await;
        }
        let tab = match self.open_tab(state, &mut payer, session, need).await {
            // Another device took that note.
            Err(Error::Payment(error)) if error.is_insufficient() && !state.retired.is_empty() => {
                self.close_retired(state, &mut payer, LiveTab::is_idle).await;
                self.open_tab(state, &mut payer, session, need).await?
            }
            other => other?,
        };
        let live = Arc::new(LiveTab::new(tab, self.config.clock.now().0));
        state.current = Some(Arc::clone(&live));
        Ok(Lease::new(session, &live, need, true))
    }

    async fn open_tab(
        &self,
        state: &mut State,
        payer: &mut Payer,
        session: &Session,
        need: Credits,
    ) -> Result<Tab, Error> {
        let amount = wish_for(self.config.reserve, need);
        let log = Arc::clone(&self.config.log);
        let on_stage = move |stage: Stage| {
            if stage == Stage::Prove {
                log("proving a spend for a new tab");
            }
        };
        // It may have become another while this waited for the payer.
        self.require_trusted()?;
        let opened = payer.open_tab(session, amount, &on_stage).await;
        state.plan.used(amount);
        let tab = opened?;
        (self.config.log)(&format!("tab {} open, {} credits reserved", short(&tab), tab.reserve()));
        Ok(tab)
    }

    fn require_trusted(&self) -> Result<(), Error> {
        match self.condemned.get() {
            None => Ok(()),
            Some(reason) => Err(Error::Choice { code: "proxy.node_condemned", message: reason.clone() }),
        }
    }

    async fn ensure_session(&self, state: &mut State) -> Result<Session, Error> {
        self.require_trusted()?;
        if let Some(session) = state.session.as_ref().filter(|session| !session.is_closed()) {
            return Ok(session.clone());
        }
        state.session = None;
        let session =
            open_session(&self.config.target, &self.config.trust, &self.config.clock, &mut Transcript::default())
                .await?;
        (self.config.log)("new connection, node verified again");
        state.drop_tabs_of_other_boots(&session, &self.config.log);
        state.session = Some(session.clone());
        Ok(session)
    }

    /// The connection broke under a request: the next lease verifies a new one.
    pub(crate) async fn forget_session(&self, session: &Session) {
        let mut state = self.state.lock().await;
        // Another request may have replaced it already.
        if state.session.as_ref().is_some_and(|current| current.is_same(session)) {
            state.session = None;
        }
    }

    /// The node does not take the tab any more.
    pub(crate) async fn retire(&self, lease: &Lease) {
        let mut state = self.state.lock().await;
        state.keys.retain(|_, (live, _)| !Arc::ptr_eq(live, &lease.live));
        if state.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &lease.live)) {
            state.retire_current();
        }
    }

    /// Housekeeping: closes what is idle. Called every second or so.
    pub(crate) async fn close_unused(&self) {
        let mut state = self.state.lock().await;
        let now = self.config.clock.now().0;
        let idle = state.last_used.elapsed() >= self.config.idle;
        let ending = state.current.as_ref().is_some_and(|live| !live.covers(Credits::ZERO, now));
        if state.current.as_ref().is_some_and(|live| live.is_idle()) && (idle || ending) {
            state.retire_current();
        }
        state.keys.retain(|_, (_, since)| since.elapsed() < Duration::from_secs(KEY_SECS));
        if Instant::now() < state.close_again_at || !state.retired.iter().any(|live| live.is_idle()) {
            return;
        }
        let closing = self.take_retired(&mut state, LiveTab::is_idle).await;
        let closed = {
            // Whoever opens a tab meanwhile waits for the refunds; whoever has one does not.
            let mut payer = self.payer.lock().await;
            drop(state);
            self.close_all(&mut payer, closing).await
        };
        self.state.lock().await.note(closed);
    }

    /// Waits for requests under way, then closes every tab.
    pub(crate) async fn shut_down(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let mut state = self.state.lock().await;
            state.retire_current();
            let busy = state.retired.iter().any(|live| !live.is_idle());
            if !busy || Instant::now() >= deadline {
                let mut payer = self.payer.lock().await;
                self.close_retired(&mut state, &mut payer, |_| true).await;
                return;
            }
            drop(state);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn close_retired(&self, state: &mut State, payer: &mut Payer, ready: impl Fn(&LiveTab) -> bool) {
        let closing = self.take_retired(state, ready).await;
        let closed = self.close_all(payer, closing).await;
        state.note(closed);
    }

    /// The retired tabs that can be closed, each with the session for it.
    async fn take_retired(&self, state: &mut State, ready: impl Fn(&LiveTab) -> bool) -> Vec<(Session, Arc<LiveTab>)> {
        let (taken, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.retired).into_iter().partition(|live| ready(live));
        state.retired = waiting;
        let mut closing = Vec::new();
        for live in taken {
            state.keys.retain(|_, (known, _)| !Arc::ptr_eq(known, &live));
            match self.ensure_session(state).await {
                Ok(session) if session.keyset_digest() == live.tab.keyset_digest() => closing.push((session, live)),
                Err(Error::Connect(_)) if live.tab.not_after() > self.config.clock.now().0 => {
                    // The node may come back before the tab ends.
                    state.close_again_at = Instant::now() + CLOSE_PAUSE;
                    state.retired.push(live);
                }
                _ => (self.config.log)(&left_to_the_ledger(&live.tab)),
            }
        }
        closing
    }

    async fn close_all(&self, payer: &mut Payer, closing: Vec<(Session, Arc<LiveTab>)>) -> Closed {
        let mut closed = Closed::default();
        for (session, live) in closing {
            let name = short(&live.tab);
            if self.condemned.get().is_some() {
                (self.config.log)(&left_to_the_ledger(&live.tab));
                continue;
            }
            let settled = payer.close_tab(&session, &live.tab).await;
            if let Err(error) = payer.require_unblamed(&session) {
                (self.config.log)(&format!("{error} (cloister stake accuse)"));
                // Once is enough.
                let _ = self.condemned.set(error.to_string());
            }
            match settled {
                Ok(ClosedTab { settlement, refund_visible }) => {
                    closed.has_refunds = true;
                    let refund = if refund_visible { "in the wallet" } else { "not yet in the ledger" };
                    (self.config.log)(&format!(
                        "tab {name} settled: {} charged, {} refunded ({refund})",
                        settlement.charge, settlement.refund
                    ));
                }
                Err(error) => {
                    let words = chain(&error);
                    (self.config.log)(&format!("tab {name} not settled: {words}"));
                    if is_fraud(&error) {
                        let reason = format!("the node's settlement of tab {name} was not acceptable: {words}");
                        // Once is enough.
                        let _ = self.condemned.set(reason);
                    } else if is_connection_lost(&error) && live.tab.not_after() > self.config.clock.now().0 {
                        closed.unreached.push(live);
                    }
                }
            }
        }
        closed
    }
}

/// What came of closing tabs.
#[derive(Default)]
struct Closed {
    has_refunds: bool,
    /// The connection broke: they are closed over the next.
    unreached: Vec<Arc<LiveTab>>,
}

impl State {
    fn note(&mut self, closed: Closed) {
        if closed.has_refunds {
            // One may be the note that is chosen next.
            self.plan.look();
        }
        if !closed.unreached.is_empty() {
            self.close_again_at = Instant::now() + CLOSE_PAUSE;
            self.retired.extend(closed.unreached);
        }
    }

    fn retire_current(&mut self) {
        self.retired.extend(self.current.take());
    }

    fn standing(&self, tried: Option<&TabRef>) -> Option<Arc<LiveTab>> {
        let TabRef(tried) = tried?;
        let stands = self.current.iter().chain(&self.retired).any(|live| Arc::ptr_eq(live, tried));
        stands.then(|| Arc::clone(tried))
    }

    fn remembered(&self, key: Option<&str>) -> Option<Arc<LiveTab>> {
        self.keys.get(key?).map(|(live, _)| Arc::clone(live))
    }

    fn remember(&mut self, key: Option<&str>, live: &Arc<LiveTab>) {
        if let Some(key) = key.filter(|_| self.keys.len() < KEYS_MAX) {
            self.keys.entry(key.to_owned()).or_insert_with(|| (Arc::clone(live), Instant::now()));
        }
    }

    fn drop_tabs_of_other_boots(&mut self, session: &Session, log: &Log) {
        let same_boot = |live: &LiveTab| {
            let same = live.tab.keyset_digest() == session.keyset_digest();
            if !same {
                log(&format!("the node restarted: {}", left_to_the_ledger(&live.tab)));
            }
            same
        };
        self.retired.retain(|live| same_boot(live));
        self.current = self.current.take().filter(|live| same_boot(live));
        self.keys.retain(|_, (live, _)| live.tab.keyset_digest() == session.keyset_digest());
    }
}

fn is_connection_lost(error: &PaymentError) -> bool {
    matches!(error, PaymentError::Close(SessionError::Node(error)) if error.is_connection_lost())
}

/// A settlement that is signed but wrong, or not signed by the attested keyset.
fn is_fraud(error: &PaymentError) -> bool {
    matches!(
        error,
        PaymentError::Close(
            SessionError::Settlement(_) | SessionError::Signature { .. } | SessionError::Statement { .. }
        )
    )
}

fn not_offered(offer: &Offer) -> Error {
    let names: Vec<&str> = offer.models.iter().map(|model| model.id.as_str()).collect();
    Error::Choice {
        code: "model_not_found",
        message: format!("the node does not offer that model; it offers: {}", names.join(", ")),
    }
}

fn left_to_the_ledger(tab: &Tab) -> String {
    format!("tab {} is left to the ledger, which refunds it when it ends", short(tab))
}

fn short(tab: &Tab) -> String {
    tab.id().to_string().chars().take(8).collect()
}
