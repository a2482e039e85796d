//! What clients ask about the log of receipts (protocol.md §6.2): where their receipt is in it, and how it grew.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::admission;
use crate::limits::LOG_RETRY_SECS;
use crate::payload::Payload;
use crate::problem::Problem;
use crate::receipt_log::{NotShown, ReceiptLog};
use crate::routes::{aci_refusal, no_receipt};
use crate::state::Guardian;

type Shared = State<Arc<Guardian>>;

/// A receipt of a served call, for its own tab, and the proof that it is in the log.
pub async fn logged_receipt(
    State(guardian): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, Problem> {
    let path = format!("/v1/receipts/{id}");
    let tab = admission::authenticate_reader(&guardian, &path, &headers, payload.sent()).map_err(aci_refusal)?;
    // Refusals are not logged: whoever sees one knows it as well by itself.
    let receipt = guardian.work.receipts.find(&tab, &id).ok_or_else(no_receipt)?;
    let log = log_of(&guardian)?;
    let _turn = turn(&guardian.work.log_waiters)?;
    let digest = receipt.digest().map_err(|_| no_receipt())?;
    let proof = log.inclusion(digest).await.map_err(|not_shown| match not_shown {
        NotShown::Unknown => no_receipt(),
        NotShown::Pending => Problem::unavailable("log.pending", 1, "the receipt is not in the log yet; ask again"),
        NotShown::Keeper => no_proof(),
    })?;
    Ok(axum::Json(json!({"receipt": &*receipt, "log_proof": proof.to_text()})).into_response())
}

/// From how many entries on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Since {
    from: Option<u64>,
}

/// The newest witnessed head, and how the log grew to it from so many entries. Null, if it never was that long.
pub async fn receipt_log(
    State(guardian): Shared,
    query: Result<Query<Since>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Since { from }) =
        query.map_err(|_| Problem::invalid("log.from", "from", "must be a number of entries, or left out"))?;
    let log = log_of(&guardian)?;
    let _turn = turn(&guardian.work.log_readers)?;
    let head = log.head().ok_or_else(no_proof)?;
    let size = head.checkpoint().size;
    let consistency = log.growth(from.unwrap_or(size), &head).await.map_err(|_| no_proof())?;
    Ok(axum::Json(json!({"checkpoint": head.note, "consistency": consistency})).into_response())
}

fn log_of(guardian: &Guardian) -> Result<&ReceiptLog, Problem> {
    let none = || Problem::new(StatusCode::NOT_FOUND, "log.none", "this node keeps no log of receipts");
    guardian.receipt_log.as_deref().ok_or_else(none)
}

fn turn(turns: &Semaphore) -> Result<SemaphorePermit<'_>, Problem> {
    let busy = |_| Problem::unavailable("log.busy", 1, "many ask about the log; ask again");
    turns.try_acquire().map_err(busy)
}

fn no_proof() -> Problem {
    Problem::unavailable("log.unavailable", LOG_RETRY_SECS, "the log gives no proof now; ask again")
}
