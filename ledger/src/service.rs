//! The HTTP service of `docs/protocol.md` §4.6.
//!
//! Requests are decoded strictly and bounded in size before anything else looks at them. Every refusal is
//! `{"error":{"code","message"}}` with the status of its [`LedgerError`].

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use credits::ledger::LOG_PAGE_ENTRIES_MAX;
use credits::{
    Bond, Bytes32, CheckpointAnswer, ClaimRequest, ClaimResponse, JournalRequest, Ledger, LedgerError, LedgerInfo,
    LogPage, MergeRequest, MergeResponse, Nullifier, PayeeAccount, RatingRequest, RatingResponse, RedeemRequest,
    RedeemResponse, Reservation, ReserveRequest, SettleRequest, SettleResponse, SlashRequest, SlashResponse,
    StakeRequest, StakeResponse,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::directory::OpenLedger;
use crate::durable::DurableLedger;
use crate::error::StoreError;
use crate::witnessed::WitnessedHead;

/// Longest redemption: a voucher and eight outputs are below 3 KiB.
pub const REDEEM_BODY_BYTES_MAX: usize = 8 << 10;
/// Longest reservation: 14 hex values and a proof are below 2 KiB.
pub const RESERVE_BODY_BYTES_MAX: usize = 4 << 10;
/// Longest claim: four hex values and two amounts are below 1 KiB.
pub const CLAIM_BODY_BYTES_MAX: usize = 2 << 10;
/// Longest act on a stake, and longest rating: three hex values, a signature and two numbers are below 1 KiB.
pub const STAKE_BODY_BYTES_MAX: usize = 2 << 10;
/// Longest evidence: two heads of a log, or two statements of a settlement, are below 4 KiB.
pub const SLASH_BODY_BYTES_MAX: usize = 8 << 10;
/// Longest journal or settle request: three short members.
pub const AMOUNT_BODY_BYTES_MAX: usize = 1 << 10;
/// How often the service looks for overdue reservations.
pub const FINALISE_PERIOD: Duration = Duration::from_secs(1);

/// How long requests that are under way may take to end once the service is asked to stop.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// The parameters of the proof system, as the service hands them out.
#[derive(Clone)]
pub struct PublishedParams {
    /// Of spends.
    pub spend: PublishedKeys,
    /// Of merges, where there are any.
    pub merge: Option<PublishedKeys>,
}

/// The keys of one statement.
#[derive(Clone)]
pub struct PublishedKeys {
    /// Bytes of the proving key.
    pub proving_key: Bytes,
    /// Bytes of the verifying key.
    pub verifying_key: Bytes,
}

/// The service ended other than by being asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The listener failed.
    #[error("the ledger's listener failed")]
    Listener(#[source] std::io::Error),
    /// The store failed: the process must end, and may start again.
    #[error("the ledger's store failed")]
    Store(#[source] Arc<StoreError>),
}

/// Serves a ledger until `shutdown` resolves or its store fails. Reservations that are overdue are ended every
/// [`FINALISE_PERIOD`].
pub async fn serve(
    listener: TcpListener,
    ledger: OpenLedger,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let OpenLedger { ledger, params, witnessed } = ledger;
    let failed = ledger.failed();
    let finaliser = tokio::spawn(finalise_periodically(ledger.clone()));
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let shutdown = async {
        shutdown.await;
        let _server_may_have_ended = stopping.send(());
    };
    let drained = async {
        match stopped.await {
            Ok(()) => tokio::time::sleep(DRAIN_TIME_MAX).await,
            Err(_server_ended) => std::future::pending().await,
        }
    };
    let server = axum::serve(listener, router(ledger, params, witnessed)).with_graceful_shutdown(shutdown);
    let result = tokio::select! {
        result = server => result.map_err(ServeError::Listener),
        error = failed => Err(ServeError::Store(error)),
        () = drained => Ok(()),
    };
    finaliser.abort();
    // Until it is gone it holds the ledger, and with it the database file.
    drop(finaliser.await);
    result
}

async fn finalise_periodically(ledger: DurableLedger) {
    let mut ticks = tokio::time::interval(FINALISE_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match ledger.finalise_overdue().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "ended overdue reservations"),
            // The store reports its own failure; the service ends through `failed`.
            Err(error) => tracing::warn!(code = error.code(), "could not look for overdue reservations"),
        }
    }
}

struct Service {
    ledger: DurableLedger,
    params: PublishedParams,
    witnessed: WitnessedHead,
}

type Shared = State<Arc<Service>>;

/// The routes of a ledger.
pub fn router(ledger: DurableLedger, params: PublishedParams, witnessed: WitnessedHead) -> Router {
    let limit = DefaultBodyLimit::max;
    Router::new()
        .route("/v1/ledger", get(info))
        .route("/v1/params/proving-key", get(proving_key))
        .route("/v1/params/verifying-key", get(verifying_key))
        .route("/v1/params/merge-proving-key", get(merge_proving_key))
        .route("/v1/params/merge-verifying-key", get(merge_verifying_key))
        .route("/v1/checkpoint", get(checkpoint))
        .route("/v1/witnessed", get(witnessed_head))
        .route("/v1/log", get(log))
        .route("/v1/vouchers/redeem", post(redeem).layer(limit(REDEEM_BODY_BYTES_MAX)))
        .route("/v1/spends", post(reserve).layer(limit(RESERVE_BODY_BYTES_MAX)))
        .route("/v1/spends/{nullifier}/journal", post(journal).layer(limit(AMOUNT_BODY_BYTES_MAX)))
        .route("/v1/spends/{nullifier}/settle", post(settle).layer(limit(AMOUNT_BODY_BYTES_MAX)))
        .route("/v1/claims", post(claim).layer(limit(CLAIM_BODY_BYTES_MAX)))
        .route("/v1/merges", post(merge).layer(limit(RESERVE_BODY_BYTES_MAX)))
        .route("/v1/payees/{payee}", get(payee))
        .route("/v1/stakes", post(stake).layer(limit(STAKE_BODY_BYTES_MAX)))
        .route("/v1/stakes/{payee}", get(bond))
        .route("/v1/slashes", post(slash).layer(limit(SLASH_BODY_BYTES_MAX)))
        .route("/v1/ratings", post(rate).layer(limit(STAKE_BODY_BYTES_MAX)))
        .fallback(async || Refusal::from(LedgerError::NotFound).with_message("no such resource"))
        .method_not_allowed_fallback(async || {
            let refusal = Refusal::from(LedgerError::Malformed).with_message("no such method on this resource");
            (StatusCode::METHOD_NOT_ALLOWED, Json(refusal.body()))
        })
        .with_state(Arc::new(Service { ledger, params, witnessed }))
}

async fn info(service: Shared) -> Result<Json<LedgerInfo>, Refusal> {
    Ok(Json(service.ledger.info().await?))
}

async fn proving_key(service: Shared) -> impl IntoResponse {
    bytes(service.params.spend.proving_key.clone())
}

async fn verifying_key(service: Shared) -> impl IntoResponse {
    bytes(service.params.spend.verifying_key.clone())
}

async fn merge_proving_key(service: Shared) -> Result<impl IntoResponse, Refusal> {
    let keys = service.params.merge.as_ref().ok_or(LedgerError::MergeNotOffered)?;
    Ok(bytes(keys.proving_key.clone()))
}

async fn merge_verifying_key(service: Shared) -> Result<impl IntoResponse, Refusal> {
    let keys = service.params.merge.as_ref().ok_or(LedgerError::MergeNotOffered)?;
    Ok(bytes(keys.verifying_key.clone()))
}

fn bytes(body: Bytes) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/octet-stream")], body)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointQuery {
    #[serde(default)]
    from: u64,
    to: Option<u64>,
}

async fn checkpoint(
    service: Shared,
    query: Result<Query<CheckpointQuery>, QueryRejection>,
) -> Result<Json<CheckpointAnswer>, Refusal> {
    let Query(CheckpointQuery { from, to }) = query?;
    Ok(Json(match to {
        None => service.ledger.checkpoint(from).await?,
        Some(to) => service.ledger.checkpoint_between(from, to).await?,
    }))
}

async fn witnessed_head(service: Shared) -> Result<impl IntoResponse, Refusal> {
    let refused = || Refusal::from(LedgerError::NotFound).with_message("no witness cosigned this ledger's log lately");
    let note = service.witnessed.note().ok_or_else(refused)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogQuery {
    #[serde(default)]
    from: u64,
    limit: Option<u32>,
}

async fn log(service: Shared, query: Result<Query<LogQuery>, QueryRejection>) -> Result<Json<LogPage>, Refusal> {
    let Query(LogQuery { from, limit }) = query?;
    Ok(Json(service.ledger.log(from, limit.unwrap_or(LOG_PAGE_ENTRIES_MAX)).await?))
}

type Body = Result<Bytes, BytesRejection>;

async fn redeem(service: Shared, body: Body) -> Result<Json<RedeemResponse>, Refusal> {
    let request: RedeemRequest = decode(body)?;
    Ok(Json(service.ledger.redeem(request).await?))
}

async fn reserve(service: Shared, body: Body) -> Result<Json<Reservation>, Refusal> {
    let request: ReserveRequest = decode(body)?;
    Ok(Json(service.ledger.reserve(request).await?))
}

/// `{}`.
#[derive(Serialize)]
struct Nothing {}

async fn journal(service: Shared, nullifier: Path<String>, body: Body) -> Result<Json<Nothing>, Refusal> {
    let request: JournalRequest = decode(body)?;
    same_spend(&nullifier, &request.nullifier)?;
    service.ledger.journal(request).await?;
    Ok(Json(Nothing {}))
}

async fn settle(service: Shared, nullifier: Path<String>, body: Body) -> Result<Json<SettleResponse>, Refusal> {
    let request: SettleRequest = decode(body)?;
    same_spend(&nullifier, &request.nullifier)?;
    Ok(Json(service.ledger.settle(request).await?))
}

async fn claim(service: Shared, body: Body) -> Result<Json<ClaimResponse>, Refusal> {
    let request: ClaimRequest = decode(body)?;
    Ok(Json(service.ledger.claim(request).await?))
}

async fn merge(service: Shared, body: Body) -> Result<Json<MergeResponse>, Refusal> {
    let request: MergeRequest = decode(body)?;
    Ok(Json(service.ledger.merge(request).await?))
}

async fn stake(service: Shared, body: Body) -> Result<Json<StakeResponse>, Refusal> {
    let request: StakeRequest = decode(body)?;
    Ok(Json(service.ledger.stake(request).await?))
}

async fn slash(service: Shared, body: Body) -> Result<Json<SlashResponse>, Refusal> {
    let request: SlashRequest = decode(body)?;
    Ok(Json(service.ledger.slash(request).await?))
}

async fn rate(service: Shared, body: Body) -> Result<Json<RatingResponse>, Refusal> {
    let request: RatingRequest = decode(body)?;
    Ok(Json(service.ledger.rate(request).await?))
}

async fn payee(service: Shared, payee: Path<String>) -> Result<Json<PayeeAccount>, Refusal> {
    Ok(Json(service.ledger.payee(read_payee(&payee)?).await?))
}

async fn bond(service: Shared, payee: Path<String>) -> Result<Json<Bond>, Refusal> {
    Ok(Json(service.ledger.bond(read_payee(&payee)?).await?))
}

fn read_payee(path: &str) -> Result<Bytes32, Refusal> {
    path.parse().map_err(|_| Refusal::from(LedgerError::Malformed).with_message("a payee is 64 hex digits"))
}

fn same_spend(path: &str, body: &Nullifier) -> Result<(), Refusal> {
    if path.parse::<Nullifier>().as_ref() == Ok(body) {
        return Ok(());
    }
    Err(Refusal::from(LedgerError::Malformed).with_message("path and body name different spends"))
}

fn decode<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let malformed = |reason: String| Refusal::from(LedgerError::Malformed).with_message(reason);
    let body = body.map_err(|rejection| malformed(rejection.body_text()))?;
    serde_json::from_slice(&body).map_err(|error| malformed(format!("the body is malformed: {error}")))
}

/// A refusal on its way out.
struct Refusal {
    error: LedgerError,
    message: String,
}

#[derive(Serialize)]
struct RefusalBody {
    error: RefusalParts,
}

#[derive(Serialize)]
struct RefusalParts {
    code: &'static str,
    message: String,
}

impl Refusal {
    fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    fn body(self) -> RefusalBody {
        RefusalBody { error: RefusalParts { code: self.error.code(), message: self.message } }
    }
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        let message = error.to_string();
        Self { error, message }
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::from(LedgerError::Malformed).with_message(rejection.body_text())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.error.http_status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.body())).into_response()
    }
}
