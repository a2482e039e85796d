//! The route table, and the handlers that are only glue.
//!
//! Exact paths, closed set: what is not here is 404 and never reaches the engine, whose own server answers a dozen
//! paths nobody asked for.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde_json::json;

use crate::attestation_api::{self, Channel};
use crate::endpoint::Endpoint;
use crate::payload::Payload;
use crate::problem::Problem;
use crate::sealed::ohttp;
use crate::state::Guardian;
use crate::{aci, admission, calls, log_api, openapi, settlement};

type Shared = State<Arc<Guardian>>;

const ACI_VERSION: HeaderName = HeaderName::from_static("x-aci-version");

/// The routes of the attested entrance, and the gateway before them.
pub fn router(guardian: Arc<Guardian>) -> Router {
    let attested = Router::new()
        .route("/v1/attestation", get(attestation))
        .route("/v1/attestation/boot", get(boot_attestation))
        .route("/v1/aci/attestation", get(aci_attestation))
        .route("/v1/aci/receipts/{id}", get(receipt))
        .route("/v1/receipts/{id}", get(log_api::logged_receipt))
        .route("/v1/receipt-log", get(log_api::receipt_log));
    let api = finished(serving().merge(attested), Arc::clone(&guardian));
    refusals_finished(ohttp::routes(Arc::clone(&guardian), &api), guardian).fallback_service(api)
}

/// The routes of an entrance that is attested in another way: no report of ours is bound to its key, and its GETs have no sealed answers, so
/// receipts leave it as trailers only.
pub fn router_elsewhere(guardian: Arc<Guardian>) -> Router {
    finished(serving(), guardian)
}

fn serving() -> Router<Arc<Guardian>> {
    let routes = Router::new()
        .route("/health", get(health))
        .route("/openapi.json", get(openapi))
        .route("/v1/offer", get(offer))
        .route("/v1/models", get(models))
        .route("/v1/models/{id}", get(model))
        .route("/v1/tabs", post(open_tab))
        .route("/v1/tabs/{id}", get(tab_status))
        .route("/v1/tabs/{id}/close", post(close_tab));
    Endpoint::ALL.into_iter().fold(routes, |routes, endpoint| {
        let call = move |guardian: Shared, headers, payload| calls::call(guardian.0, endpoint, headers, payload);
        routes.route(endpoint.path(), post(call))
    })
}

fn finished(routes: Router<Arc<Guardian>>, guardian: Arc<Guardian>) -> Router {
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(Arc::clone(&guardian), common_headers))
        .with_state(guardian)
}

/// Routes before the API: what they refuse reaches none of it, and is counted and marked as its refusals are.
pub fn refusals_finished(routes: Router, guardian: Arc<Guardian>) -> Router {
    routes.layer(middleware::from_fn_with_state(guardian, headers_of_refusals))
}

/// Headers on every response, errors included (ACI §5.2, and what official clients read).
async fn common_headers(State(guardian): Shared, request: Request, next: Next) -> Response {
    finish(&guardian, next.run(request).await)
}

async fn headers_of_refusals(State(guardian): Shared, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    // The API's own are finished already, and what is sealed is nobody's to read.
    let is_refusal = response.status().is_client_error() || response.status().is_server_error();
    if is_refusal && !response.headers().contains_key(&ACI_VERSION) { finish(&guardian, response) } else { response }
}

fn finish(guardian: &Guardian, mut response: Response) -> Response {
    guardian.work.metrics.answered(response.status());
    let headers = response.headers_mut();
    headers.insert(ACI_VERSION, HeaderValue::from_static("aci/1"));
    if let Ok(digest) = HeaderValue::from_str(&guardian.keys.keyset_digest.to_string()) {
        headers.insert(HeaderName::from_static("x-aci-keyset-digest"), digest);
    }
    let request_id = HeaderName::from_static("x-request-id");
    if !headers.contains_key(&request_id)
        && let Ok(id) = calls::fresh_id("req-")
        && let Ok(id) = HeaderValue::from_str(&id)
    {
        headers.insert(request_id, id);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn not_found() -> Problem {
    nothing_here()
}

fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
}

/// 405.
pub async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method")
}

async fn openapi(State(guardian): Shared) -> Response {
    json_bytes(openapi::document(&guardian.config.engine).into_bytes())
}

async fn health(State(guardian): Shared) -> Response {
    let (status, text) = if guardian.is_draining() || guardian.require_witnessed().is_err() {
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    } else if !guardian.takes_requests() {
        (StatusCode::SERVICE_UNAVAILABLE, "starting")
    } else if guardian.engine.is_ready().await {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    };
    (status, axum::Json(json!({"status": text}))).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AttestationQuery {
    nonce: String,
}

async fn attestation(
    State(guardian): Shared,
    Extension(channel): Extension<Arc<Channel>>,
    query: Result<Query<AttestationQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|_| {
        Problem::invalid(
            "attestation.nonce",
            "nonce",
            "exactly one query parameter: nonce, 64 lowercase hex characters",
        )
    })?;
    Ok(json_bytes(attestation_api::attest(&guardian, &channel, &query.nonce).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AciAttestationQuery {
    nonce: Option<String>,
}

async fn aci_attestation(
    State(guardian): Shared,
    Extension(channel): Extension<Arc<Channel>>,
    query: Result<Query<AciAttestationQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) =
        query.map_err(|_| Problem::invalid("attestation.nonce", "nonce", "at most one query parameter: nonce"))?;
    Ok(axum::Json(aci::attestation(&guardian, &channel, query.nonce.as_deref()).await?).into_response())
}

async fn boot_attestation(State(guardian): Shared) -> Response {
    json_bytes(attestation_api::boot_document(&guardian))
}

fn json_bytes(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
}

async fn offer(State(guardian): Shared) -> Response {
    axum::Json(&guardian.offer).into_response()
}

fn model_object(guardian: &Guardian) -> serde_json::Value {
    json!({"id": guardian.config.engine.model, "object": "model", "created": 0, "owned_by": "cloister"})
}

async fn models(State(guardian): Shared) -> Response {
    axum::Json(json!({"object": "list", "data": [model_object(&guardian)]})).into_response()
}

async fn model(State(guardian): Shared, Path(id): Path<String>) -> Result<Response, Problem> {
    if id == guardian.config.engine.model {
        Ok(axum::Json(model_object(&guardian)).into_response())
    } else {
        Err(calls::no_such_model())
    }
}

async fn open_tab(
    State(guardian): Shared,
    Extension(channel): Extension<Arc<Channel>>,
    payload: Payload,
) -> Result<Response, Problem> {
    let opened = admission::open_tab(&guardian, &channel, &payload.body).await?;
    Ok(axum::Json(opened).into_response())
}

/// Authenticates a call whose path names the tab; the tab in the path and the one that signed must be the same.
fn authenticated_tab(
    guardian: &Guardian,
    method: &str,
    id: &str,
    suffix: &str,
    headers: &HeaderMap,
    payload: &Payload,
) -> Result<Arc<crate::tabs::Tab>, Problem> {
    let path = format!("/v1/tabs/{id}{suffix}");
    let authenticated = admission::authenticate(guardian, method, &path, headers, payload.sent(), None)?;
    payload.require_named(&authenticated.tab.id)?;
    if authenticated.tab.id.to_string() == id { Ok(authenticated.tab) } else { Err(nothing_here()) }
}

async fn tab_status(
    State(guardian): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, Problem> {
    let tab = authenticated_tab(&guardian, "GET", &id, "", &headers, &payload)?;
    let state = if tab.settlement().is_some() { credits::TabState::Closed } else { credits::TabState::Open };
    let (charged, requests) = (tab.charged(), tab.requests());
    let status = credits::TabStatus { tab_id: tab.id, reserve: tab.reserve, charged, requests, state };
    Ok(axum::Json(status).into_response())
}

async fn close_tab(
    State(guardian): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, Problem> {
    let tab = authenticated_tab(&guardian, "POST", &id, "/close", &headers, &payload)?;
    Ok(axum::Json(settlement::settle(&guardian, &tab).await?).into_response())
}

async fn receipt(
    State(guardian): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, Problem> {
    let path = format!("/v1/aci/receipts/{id}");
    let tab = admission::authenticate_reader(&guardian, &path, &headers, payload.sent()).map_err(aci_refusal)?;
    let receipt = guardian.receipt(&tab, &id).ok_or_else(no_receipt)?;
    Ok(axum::Json(&*receipt).into_response())
}

/// ACI §10: without a credential a receipt asks for one, with a stranger's it does not exist.
pub(crate) fn aci_refusal(problem: Problem) -> Problem {
    match problem.code {
        "payment.required" => {
            Problem::new(StatusCode::UNAUTHORIZED, "receipt.unauthorized", "sign with the key of the receipt's tab")
        }
        "tab.unknown" => no_receipt(),
        _ => problem,
    }
}

pub(crate) fn no_receipt() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "receipt.not_found", "there is no such receipt for this tab")
}

/// Reads a request body of at most `limit` bytes, in `time`.
pub async fn read_body_within(body: Body, limit: usize, time: Duration) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(time, Limited::new(body, limit).collect()).await;
    match read {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request.too_large",
            format!("the body is larger than {limit} bytes"),
        )),
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "request.broken", "the body ended early")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "request.timeout", "the body did not arrive in time")),
    }
}
