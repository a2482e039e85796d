//! One paid call of an inference endpoint: authenticate → parse → hold the price → forward → relay.

use std::sync::Arc;

use attestation::{Nonce, Sha256Digest};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use credits::{Credits, ModelOffer};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::admission::{self, Authenticated};
use crate::endpoint::Endpoint;
use crate::limits::{COMPLETION_TOKENS_DEFAULT, ENGINE_STARTING_RETRY_SECS};
use crate::payload::Payload;
use crate::problem::Problem;
use crate::receipt::{self, CallFacts, Refused};
use crate::request::{self, InferenceRequest};
use crate::state::Guardian;
use crate::stream::{self, Call, RECEIPT_TRAILER};
use crate::tabs::{CallOutcome, CallRefusal, Hold, Tab};

/// Names the receipt of a response.
pub const RECEIPT_ID_HEADER: &str = "x-receipt-id";

/// A fresh random id with a prefix, as OpenAI's ids look.
pub fn fresh_id(prefix: &str) -> Result<String, Problem> {
    let random = Nonce::random().map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "no randomness; nothing was charged")
    })?;
    let digits: String = random.to_string().chars().take(24).collect();
    Ok(format!("{prefix}{digits}"))
}

/// Serves a call of this endpoint.
///
/// # Errors
/// What has no receipt: an endpoint this node does not serve, and a caller that is not known.
pub async fn call(
    guardian: Arc<Guardian>,
    endpoint: Endpoint,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, Problem> {
    if !guardian.config.engine.makes.serves(endpoint) {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "endpoint.not_served",
            "the model of this node does not do this; see /openapi.json for what it does",
        ));
    }
    let body = &payload.body;
    let request = request::parse(endpoint, body);
    let bound = request.as_ref().ok().and_then(|request| cost_bound(&guardian, request)).map(Credits::get);
    let Authenticated { tab, idempotency_key } =
        admission::authenticate(&guardian, "POST", endpoint.path(), &headers, payload.sent(), bound)?;
    payload.require_named(&tab.id)?;
    let digest = Sha256Digest::of(body);
    let mut refused = Refused { endpoint, request: digest, forwarded: None };
    let served = match request {
        Ok(request) if request.stream && payload.answered_at_once => Err(Problem::invalid(
            "ohttp.stream",
            "stream",
            "a stream needs an envelope that is answered in chunks: message/ohttp-chunked-req",
        )),
        Ok(request) => admit(Arc::clone(&guardian), &tab, &idempotency_key, request, &mut refused).await,
        Err(problem) => Err(problem),
    };
    served.or_else(|problem| Ok(receipted(&guardian, &tab, refused, problem)))
}

/// A refusal, with the receipt that says so.
fn receipted(guardian: &Guardian, tab: &Tab, refused: Refused, problem: Problem) -> Response {
    let receipt = receipt::refusal(guardian, tab, refused, Sha256Digest::of(&problem.body()));
    let mut response = problem.into_response();
    if let Some(id) = receipt.and_then(|receipt| HeaderValue::from_str(&receipt.receipt_id).ok()) {
        response.headers_mut().insert(RECEIPT_ID_HEADER, id);
    }
    response
}

async fn admit(
    guardian: Arc<Guardian>,
    tab: &Arc<Tab>,
    idempotency_key: &str,
    request: InferenceRequest,
    refused_if: &mut Refused,
) -> Result<Response, Problem> {
    let digest = refused_if.request;
    if let Some(refusal) = tab.known_call(idempotency_key, &digest) {
        return refused(&guardian, tab, refusal);
    }
    check_open(&guardian, tab)?;
    let prices = guardian.offer.statement.model(&request.model).cloned().ok_or_else(no_such_model)?;
    let completion_tokens_max = affordable(&guardian, tab, &request, &prices)?;
    let cost = prices
        .cost(request.prompt_tokens_bound, completion_tokens_max.saturating_mul(request.choices))
        .unwrap_or(Credits::MAX);
    let hold = match tab.hold(idempotency_key, digest, cost, guardian.config.limits.requests_per_tab) {
        Ok(hold) => hold,
        Err(refusal) => return refused(&guardian, tab, refusal),
    };
    forward(guardian, hold, request, refused_if, completion_tokens_max, prices).await
}

fn check_open(guardian: &Guardian, tab: &Tab) -> Result<(), Problem> {
    if guardian.is_draining() {
        return Err(Problem::unavailable(
            "node.draining",
            5,
            "this node is stopping; close the tab and use another one",
        ));
    }
    if guardian.clock.now().0 >= tab.not_after {
        return Err(Problem::payment(
            "tab.expired",
            "the tab's end has passed; open a new one",
            admission::terms(guardian, None),
        ));
    }
    // Before anything is held. The tab stays open: it may be used once the engine is there, or closed at no charge.
    if !guardian.takes_requests() {
        return Err(Problem::unavailable(
            "engine.starting",
            ENGINE_STARTING_RETRY_SECS,
            "the model is being loaded or checked; nothing was charged: send the request again shortly",
        ));
    }
    guardian.require_witnessed()
}

/// What the request could cost at most, if it names its own maximum or takes the default.
fn cost_bound(guardian: &Guardian, request: &InferenceRequest) -> Option<Credits> {
    let prices = guardian.offer.statement.model(&request.model)?;
    let completion = request.completion_tokens_max.unwrap_or(COMPLETION_TOKENS_DEFAULT).min(prices.context_tokens_max);
    prices.cost(request.prompt_tokens_bound, completion.saturating_mul(request.choices))
}

/// Completion tokens the engine may make per choice. A maximum the client named is kept or refused, never lowered in silence;
/// the default is lowered to what the tab can pay.
fn affordable(guardian: &Guardian, tab: &Tab, request: &InferenceRequest, prices: &ModelOffer) -> Result<u64, Problem> {
    let cost = |completion: u64| prices.cost(request.prompt_tokens_bound, completion.saturating_mul(request.choices));
    let fits = |completion: u64| cost(completion).is_some_and(|cost| cost <= tab.available());
    let insufficient = |needed: Option<Credits>| {
        let terms = admission::terms(guardian, needed.map(Credits::get));
        Problem::payment(
            "tab.insufficient",
            "what is left of the tab cannot cover this request; close it and open a larger one",
            terms,
        )
    };
    if let Some(wanted) = request.completion_tokens_max {
        let wanted = wanted.min(prices.context_tokens_max);
        return if fits(wanted) { Ok(wanted) } else { Err(insufficient(cost(wanted))) };
    }
    let mut completion = COMPLETION_TOKENS_DEFAULT.min(prices.context_tokens_max);
    while completion > 0 && !fits(completion) {
        completion /= 2;
    }
    if completion > 0 { Ok(completion) } else { Err(insufficient(cost(1))) }
}

async fn forward(
    guardian: Arc<Guardian>,
    hold: Hold,
    request: InferenceRequest,
    refused_if: &mut Refused,
    completion_tokens_max: u64,
    prices: ModelOffer,
) -> Result<Response, Problem> {
    let body = guardian.engine.body(&request, completion_tokens_max, &cache_salt(&guardian, hold.tab()));
    let facts = CallFacts {
        receipt_id: fresh_id("rcpt-")?,
        endpoint: request.endpoint,
        chat_id: fresh_id(request.endpoint.id_prefix())?,
        model: request.model.clone(),
        request: refused_if.request,
        forwarded: Sha256Digest::of(&body),
    };
    refused_if.forwarded = Some(facts.forwarded);
    // The hold is dropped on any error below, which gives it back.
    let tab = Arc::clone(hold.tab());
    let asked = guardian.engine.infer(request.endpoint, body);
    let engine_body = unless_cut(&guardian, &tab, asked).await?.map_err(Problem::from)?;
    let (receipt_id, streamed) = (facts.receipt_id.clone(), request.stream);
    let call = Call { guardian, hold, facts, request, completion_tokens_max, prices };
    let body = if streamed { call.stream(engine_body) } else { call.plain(engine_body).await? };
    Ok(response(&receipt_id, streamed, body))
}

/// Waits for the engine, unless the tab is cut off meanwhile.
pub(crate) async fn unless_cut<T>(guardian: &Guardian, tab: &Tab, work: impl Future<Output = T>) -> Result<T, Problem> {
    let mut cut = tab.cut.subscribe();
    tokio::select! {
        biased;
        _ = cut.wait_for(|cut| *cut) => Err(if guardian.is_draining() {
            admission::draining()
        } else {
            Problem::new(StatusCode::FORBIDDEN, "tab.expired", "the tab reached its end; nothing was charged")
        }),
        done = work => Ok(done),
    }
}

/// Prefix caches are shared within a tab and with nobody else. Tab ids are public on the ledger, so the salt is keyed with
/// something that never leaves this process.
fn cache_salt(guardian: &Guardian, tab: &Tab) -> String {
    let salt = attestation::Lp::new("cloister/cache-salt/v1").bytes(&guardian.keys.cache_salt[..]);
    Sha256Digest::of(&salt.bytes(tab.id.as_bytes()).finish()).to_hex()
}

fn response(receipt_id: &str, streamed: bool, body: Body) -> Response {
    let content_type = if streamed { "text/event-stream; charset=utf-8" } else { "application/json" };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::TRAILER, HeaderValue::from_name(RECEIPT_TRAILER));
    if let Ok(id) = HeaderValue::from_str(receipt_id) {
        headers.insert(RECEIPT_ID_HEADER, id);
    }
    response
}

fn refused(guardian: &Guardian, tab: &Tab, refusal: CallRefusal) -> Result<Response, Problem> {
    let forbidden = |code, text| Problem::new(StatusCode::FORBIDDEN, code, text);
    let later =
        |code, text| Problem { retry_after: Some(1), ..Problem::new(StatusCode::TOO_MANY_REQUESTS, code, text) };
    Err(match refusal {
        CallRefusal::Repeat(outcome) => return repeated(guardian, tab, &outcome),
        CallRefusal::InFlight => Problem::unavailable(
            "tab.request_in_flight",
            1,
            "this very request is being served; ask again for its answer",
        ),
        CallRefusal::Conflict => {
            forbidden("tab.idempotency_conflict", "this idempotency key was used for another body")
        }
        CallRefusal::Closed => forbidden("tab.closed", "this tab is closed; open a new one"),
        CallRefusal::Busy => later("tab.busy", "too many requests in flight under this tab"),
        CallRefusal::TooManyCalls => {
            forbidden("tab.too_many_calls", "this tab has served its number of requests; open a new one")
        }
        CallRefusal::Insufficient(left) => Problem::payment(
            "tab.insufficient",
            format!(
                "{left} credits are left of the tab, which cannot cover this request; close it and open a larger one"
            ),
            admission::terms(guardian, None),
        ),
    })
}

/// A repeat of a call that was charged: the same answer while it is held, the fact and the receipt's id later.
fn repeated(guardian: &Guardian, tab: &Tab, outcome: &CallOutcome) -> Result<Response, Problem> {
    let Some(replay) = &outcome.replay else {
        let text = format!(
            "this request was served and charged once; its answer is no longer held. Receipt: {}",
            outcome.receipt_id
        );
        return Err(Problem::new(StatusCode::FORBIDDEN, "tab.request_served", text));
    };
    let receipt = guardian.receipt(&tab.id, &outcome.receipt_id);
    let body = stream::replayed_body(replay.body.clone(), receipt.as_deref());
    Ok(response(&outcome.receipt_id, replay.stream, body))
}

/// 404 with OpenAI's code for it.
#[must_use]
pub fn no_such_model() -> Problem {
    let problem =
        Problem::new(StatusCode::NOT_FOUND, "model_not_found", "this node does not serve that model; see /v1/models");
    Problem { param: Some("model".to_owned()), ..problem }
}
