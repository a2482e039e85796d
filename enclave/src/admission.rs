//! Who may use the engine: opening tabs, and authenticating requests under them.
//!
//! Opening, cheap checks first: shape → tier → expiry → known tab → proof → **reservation at the ledger, durable** → tab.
//! The context a proof is checked against is built from this guardian's own values; the client supplies only `c_max`,
//! `not_after` and its tab key (protocol.md §3.3).
//!
//! Tabs open while the engine still starts. A wallet that is told "later" after it has sent a spend cannot know whether it was
//! recorded, and keeps the note aside until the tab's end; a tab that was never charged settles at once and in full.

use std::sync::Arc;

use attestation::Hex32;
use credits::{
    Bytes32, Ledger, LedgerError, Nullifier, OpenTabRequest, OpenTabResponse, RequestHeaders, ReserveRequest,
    SpendContext, SpendPublic, SpendRejection,
};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::attestation_api::Channel;
use crate::limits::SIGNATURE_SKEW_SECS_MAX;
use crate::problem::Problem;
use crate::state::Guardian;
use crate::tabs::Tab;

/// Header that names the tab.
pub const TAB_HEADER: &str = "cloister-tab";

/// Opens a tab for a spend. A repeat of the same spend gives the same tab.
pub async fn open_tab(guardian: &Arc<Guardian>, channel: &Channel, body: &[u8]) -> Result<OpenTabResponse, Problem> {
    let request: OpenTabRequest = serde_json::from_slice(body)
        .map_err(|error| Problem::invalid("tab.malformed", "body", format!("not a tab request: {error}")))?;
    // A stop settles every tab: one that is reserved but not known yet would be left to the ledger.
    let opening = Arc::clone(&guardian.work.opening).read_owned().await;
    cheap_checks(guardian, &request)?;
    if let Some(tab) = guardian.tab(&request.nullifier) {
        return same_tab(&tab, &request);
    }
    if guardian.has_ended(&request.nullifier) {
        return Err(has_ended());
    }
    if !guardian.has_room_for_tab() {
        return Err(Problem::unavailable("tab.too_many", 5, "this node has no room for another tab now"));
    }
    let context = context(guardian, &request);
    verify_proof(guardian, channel, &request, &context).await?;
    let reserve = ReserveRequest {
        root: request.root,
        nullifier: request.nullifier,
        inner_next: request.inner_next,
        c_max: request.c_max,
        context,
        proof: request.proof,
    };
    // Whatever becomes of the client from here on: what its ledger has recorded and this node does not know of would stay reserved until
    // the tab's end.
    let guardian = Arc::clone(guardian);
    let recorded = tokio::spawn(async move {
        let _opening = opening;
        record(&guardian, request, reserve).await
    });
    let failed = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the tab could not be opened");
    recorded.await.map_err(failed)?
}

/// Has the ledger reserve a spend, and opens its tab.
async fn record(
    guardian: &Guardian,
    request: OpenTabRequest,
    reserve: ReserveRequest,
) -> Result<OpenTabResponse, Problem> {
    // Found out before, so that nothing is reserved after a stop that waited for this no longer.
    guardian.ledger.check_witnesses().await?;
    if guardian.is_draining() {
        return Err(draining());
    }
    let reservation = guardian.ledger.reserve(reserve).await?;
    let tab = Tab::new(request.nullifier, request.tab_key, request.c_max, request.not_after, reservation.entry_index);
    let tab = guardian.add_tab(tab).ok_or_else(has_ended)?;
    guardian.work.metrics.tab_opened();
    same_tab(&tab, &request)
}

/// The note is spent, whatever else becomes of the request.
fn has_ended() -> Problem {
    let error = LedgerError::AlreadySpent;
    Problem::new(StatusCode::FORBIDDEN, error.code(), "this spend had a tab here, which has ended")
}

fn cheap_checks(guardian: &Guardian, request: &OpenTabRequest) -> Result<(), Problem> {
    if request.version != credits::tab::TAB_VERSION {
        return Err(Problem::invalid("tab.malformed", "version", "this node speaks cloister/tab/v1"));
    }
    if guardian.is_draining() {
        return Err(draining());
    }
    guardian.require_witnessed()?;
    if !guardian.config.prices.tiers.contains(&request.c_max) {
        return Err(Problem::invalid("tab.tier", "c_max", "the reserve must be one of the offer's tiers"));
    }
    let now = guardian.clock.now().0;
    if request.not_after <= now {
        return Err(Problem::invalid("tab.expired", "not_after", "the tab's end has passed"));
    }
    if request.not_after.saturating_sub(now) > guardian.config.prices.tab_secs_max {
        return Err(Problem::invalid("tab.too_long", "not_after", "the tab would outlive the offer's longest tab"));
    }
    Ok(())
}

fn same_tab(tab: &Tab, request: &OpenTabRequest) -> Result<OpenTabResponse, Problem> {
    let same = tab.tab_key == request.tab_key && tab.reserve == request.c_max && tab.not_after == request.not_after;
    if !same {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "credits.spend_conflict",
            "this note was spent in another way",
        ));
    }
    Ok(OpenTabResponse { tab_id: tab.id, reserve: tab.reserve, not_after: tab.not_after, entry_index: tab.entry_index })
}

fn context(guardian: &Guardian, request: &OpenTabRequest) -> SpendContext {
    let ledger = &guardian.config.ledger;
    SpendContext {
        ledger_id: ledger.ledger_id,
        vk_digest: ledger.vk_digest,
        keyset_digest: Bytes32(guardian.keys.keyset_digest.0),
        settle_key: Bytes32(guardian.keys.receipt.public().0),
        payee: ledger.payee,
        price_sheet_digest: guardian.price_sheet_digest,
        not_after: request.not_after,
        tab_key: request.tab_key,
    }
}

async fn verify_proof(
    guardian: &Guardian,
    channel: &Channel,
    request: &OpenTabRequest,
    context: &SpendContext,
) -> Result<(), Problem> {
    // A proof takes a millisecond whether it holds or not. What waits for that is bounded, and of one sender more than of all.
    let (Some(_own), Ok(_place)) = (channel.proof(), guardian.work.proofs_pending.try_acquire()) else {
        let problem =
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "tab.rate", "too many tabs are being opened; ask again");
        return Err(Problem { retry_after: Some(1), ..problem });
    };
    let public = SpendPublic {
        root: request.root,
        nullifier: request.nullifier,
        inner_next: request.inner_next,
        c_max: request.c_max,
        ctx: context.digest(request.c_max),
    };
    let proof = request.proof;
    let params = Arc::clone(&guardian.spend_params);
    let _slot = guardian.work.proof_slots.acquire().await.map_err(|_| draining())?;
    let checked = tokio::task::spawn_blocking(move || params.verify(&public, &proof)).await;
    match checked {
        Ok(Ok(_verified)) => Ok(()),
        Ok(Err(rejection)) => Err(refused_proof(&rejection)),
        Err(_) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the proof could not be checked")),
    }
}

fn refused_proof(rejection: &SpendRejection) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        rejection.code(),
        "the spend proof does not hold for this node, price sheet and tab",
    )
}

/// This node takes no more work.
pub(crate) fn draining() -> Problem {
    Problem::unavailable("node.draining", 5, "this node is stopping; use another one")
}

/// The tab that signed a request, with the idempotency key it was signed with.
#[derive(Debug)]
pub struct Authenticated {
    /// The tab.
    pub tab: Arc<Tab>,
    /// Names the logical call.
    pub idempotency_key: String,
}

/// Authenticates a request under a tab. Without tab headers the answer is 402 with `terms`.
pub fn authenticate(
    guardian: &Guardian,
    method: &str,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
    cost_bound: Option<u64>,
) -> Result<Authenticated, Problem> {
    let id = named_tab(guardian, headers, cost_bound)?;
    let tab = guardian.tab(&id).ok_or_else(|| unknown_tab(guardian, cost_bound))?;
    let idempotency_key = verify_signature(guardian, &tab.tab_key, id, method, path, headers, body)?;
    Ok(Authenticated { tab, idempotency_key })
}

/// The tab that signed a request for a receipt. It may have ended.
pub fn authenticate_reader(
    guardian: &Guardian,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Nullifier, Problem> {
    let id = named_tab(guardian, headers, None)?;
    let key = guardian.tab(&id).map(|tab| tab.tab_key).or_else(|| guardian.past_tab_key(&id));
    let key = key.ok_or_else(|| unknown_tab(guardian, None))?;
    verify_signature(guardian, &key, id, "GET", path, headers, body)?;
    Ok(id)
}

fn named_tab(guardian: &Guardian, headers: &HeaderMap, cost_bound: Option<u64>) -> Result<Nullifier, Problem> {
    let Some(id) = header(headers, TAB_HEADER) else {
        return Err(Problem::payment(
            "payment.required",
            "open a tab first: POST /v1/tabs with a spend proof",
            terms(guardian, cost_bound),
        ));
    };
    id.parse()
        .map_err(|_| Problem::invalid("tab.malformed", TAB_HEADER, "must be the tab's id: 64 lowercase hex characters"))
}

fn unknown_tab(guardian: &Guardian, cost_bound: Option<u64>) -> Problem {
    Problem::payment(
        "tab.unknown",
        "this node has no such tab; it may have restarted: verify it again and open a new tab",
        terms(guardian, cost_bound),
    )
}

/// Checks that this key signed the request; its idempotency key.
fn verify_signature(
    guardian: &Guardian,
    key: &Bytes32,
    id: Nullifier,
    method: &str,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<String, Problem> {
    let signed = RequestHeaders {
        cloister_tab: id.to_string(),
        idempotency_key: header(headers, "idempotency-key").unwrap_or_default(),
        content_digest: header(headers, "content-digest").unwrap_or_default(),
        signature_input: header(headers, "signature-input").unwrap_or_default(),
        signature: header(headers, "signature").unwrap_or_default(),
    };
    let now = guardian.clock.now().0;
    credits::verify_request(key, method, path, &signed, body, now, SIGNATURE_SKEW_SECS_MAX)
        .map_err(|rejection| Problem::new(StatusCode::FORBIDDEN, rejection.code(), rejection.to_string()))?;
    Ok(signed.idempotency_key)
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The 402 body: what would be accepted, in the shape of x402's `accepts`.
#[must_use]
pub fn terms(guardian: &Guardian, cost_bound: Option<u64>) -> Value {
    let ledger = &guardian.config.ledger;
    let prices = &guardian.config.prices;
    let smallest_tier =
        prices.tiers.iter().map(|tier| tier.get()).filter(|tier| cost_bound.is_none_or(|cost| *tier >= cost)).min();
    json!({
        "x402Version": 1,
        "accepts": [{
            "scheme": "cloister-tab",
            "network": format!("cloister:{}", ledger.ledger_id),
            "maxAmountRequired": cost_bound.or(smallest_tier).map(|amount| amount.to_string()),
            "resource": "/v1/tabs",
            "description": "open a tab with a spend proof, then sign requests with its key",
            "mimeType": "application/json",
            "payTo": ledger.payee.to_string(),
            "maxTimeoutSeconds": prices.tab_secs_max,
            "asset": "credits",
            "extra": {
                "tiers": prices.tiers,
                "reserve": smallest_tier,
                "keyset_digest": guardian.keys.keyset_digest.to_string(),
                "price_sheet_digest": Hex32(guardian.price_sheet_digest.0),
                "offer": "/v1/offer",
            },
        }],
    })
}
