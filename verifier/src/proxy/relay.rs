//! One request through the proxy.
//!
//! Decides: when a request is sent again (never after a byte of an answer, and always under the same idempotency key and tab), and
//! what the client sees. Holds on exit: a client that sees `data: [DONE]`, or a whole body, sees an answer whose receipt was
//! verified. Anything else ends in an error event and a cut connection, because clients take a clean end for completeness.

use std::sync::Arc;
use std::time::Duration;

use attestation::{Sha256Digest, Transcript};
use bytes::Bytes;
use credits::Credits;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::keeper::{Demand, Lease};
use super::reply::{Aborted, Problem, ReplyBody, json_response};
use crate::error::{Error, Exit, chain};
use crate::estimate::RequestShape;
use crate::exchange::{Answer, Exchange, ExchangeError, InferenceRequest, Refusal, Reply};
use crate::fetch::NodeError;
use crate::session::fresh_idempotency_key;

/// Tries of one request: a lost connection or a tab that is too small each cost one.
const TRIES: u32 = 4;
/// Pause before a request is sent again under a tab that had too many.
const BUSY_PAUSE_MS: u64 = 1000;
/// Time for the last piece taken from the queue to be written to the socket.
const FLUSH_PAUSE_MS: u64 = 100;
/// Pieces of a stream held for a slow client before the node is slowed down too.
const PIECES_MAX: usize = 16;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RECEIPT_ID: HeaderName = HeaderName::from_static("x-cloister-receipt-id");

/// Headers of a refusal that tell official clients whether and when to try again.
const REFUSAL_HEADERS: [&str; 4] = ["x-request-id", "x-should-retry", "retry-after", "retry-after-ms"];

/// A client's request for inference.
pub(crate) struct Ask {
    pub(crate) path: &'static str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

type ReplySender = oneshot::Sender<Response<ReplyBody>>;

/// Serves one request for inference; runs apart from the client's connection, so that a client that goes away is noticed and the
/// charge is still accounted for.
pub(crate) async fn infer(shared: Arc<Shared>, ask: Ask, mut reply: ReplySender) {
    match obtain(&shared, &ask, &mut reply).await {
        Ok(Obtained::ClientGone) => shared.log("client left before the answer began"),
        Ok(Obtained::Answer(lease, exchange)) => relay(&shared, lease, *exchange, reply).await,
        Ok(Obtained::Refused(lease, mut refused)) => {
            // A client that went away does not want the answer.
            drop(reply.send(refusal_response(&refused)));
            // Before the tab can be closed: its account may learn that this cost nothing.
            let _asking = shared.asking.read().await;
            shared.keep_refusal(&lease, &mut refused).await;
        }
        Err(problem) => {
            shared.log(&format!("request failed: {} ({})", problem.message, problem.code));
            drop(reply.send(problem.response()));
        }
    }
}

enum Obtained {
    Answer(Lease, Box<Exchange>),
    Refused(Lease, Refusal),
    ClientGone,
}

/// Sends the request, again where that is safe, until the node answers or refuses for good.
async fn obtain(shared: &Shared, ask: &Ask, reply: &mut ReplySender) -> Result<Obtained, Problem> {
    let shape = RequestShape::of(ask.path, &ask.body)
        .map_err(|error| Problem::invalid(StatusCode::BAD_REQUEST, "proxy.body_malformed", error.to_string()))?;
    let client_key = client_key(&ask.headers);
    let idempotency_key = match &client_key {
        Some(key) => key.clone(),
        None => fresh_idempotency_key().map_err(|error| problem(&error.into()))?,
    };
    let cost = |offer: &_| shape.cost_max(offer);
    let mut demand = Demand { cost: &cost, floor: Credits::ZERO, client_key: client_key.as_deref(), tried: None };
    let mut given_up = 0;
    for attempt in 1..=TRIES {
        let lease = shared.keeper.lease(&demand).await.map_err(|error| problem(&error))?;
        let request = InferenceRequest {
            path: ask.path,
            body: ask.body.clone(),
            idempotency_key: idempotency_key.clone(),
            request_id: ask.headers.get(&REQUEST_ID).cloned(),
            completion_tokens_max: shape.completion_tokens_max,
        };
        // Only the wait for the node is given up with the client: a tab being opened is opened to its end.
        let answer = tokio::select! {
            answer = lease.session.infer(&lease.tab, request) => answer,
            () = reply.closed() => return Ok(Obtained::ClientGone),
        };
        match answer {
            Ok(Reply::Answer(exchange)) => {
                // The tries given up before are this same, once-charged request.
                (0..given_up).for_each(|_| lease.tab.recovered());
                return Ok(Obtained::Answer(lease, exchange));
            }
            Ok(Reply::Refused(refused)) if attempt < TRIES && wants_other_tab(&refused) => {
                if lease.fresh {
                    let one = Credits::new(1).unwrap_or(Credits::ZERO);
                    demand.floor = lease.tab.reserve().checked_add(one).unwrap_or(Credits::MAX);
                }
                demand.tried = None;
                shared.keeper.retire(&lease).await;
            }
            Ok(Reply::Refused(refused)) if attempt < TRIES && is_busy(&refused) => {
                drop(lease);
                tokio::time::sleep(Duration::from_millis(BUSY_PAUSE_MS)).await;
            }
            Ok(Reply::Refused(refused)) => return Ok(Obtained::Refused(lease, refused)),
            Err(ExchangeError::Node(error)) if attempt < TRIES && error.is_connection_lost() => {
                given_up += u32::from(!error.is_definitive());
                demand.tried = Some(lease.tab_ref());
                shared.keeper.forget_session(&lease.session).await;
            }
            Err(error) => return Err(problem(&error.into())),
        }
    }
    Err(Problem {
        status: StatusCode::BAD_GATEWAY,
        kind: "server_error",
        code: "proxy.gave_up".to_owned(),
        message: "the node did not answer after several tries".to_owned(),
    })
}

/// A refusal that another tab may cure: this one is used up, ended, or unknown to the node.
fn wants_other_tab(refused: &Refusal) -> bool {
    let NodeError::Refused { status, code, .. } = refused.to_error() else { return false };
    match status.as_u16() {
        402 => true,
        403 => matches!(code.as_str(), "tab.closed" | "tab.too_many_calls"),
        _ => false,
    }
}

/// Too many requests share the tab at this moment.
fn is_busy(refused: &Refusal) -> bool {
    matches!(refused.to_error(), NodeError::Refused { status, code, .. } if status.as_u16() == 429 && code == "tab.busy")
}

/// The client's key, hashed: the node learns nothing from it, and any text a client uses becomes a valid key.
fn client_key(headers: &HeaderMap) -> Option<String> {
    headers.get("idempotency-key").map(|key| Sha256Digest::of(key.as_bytes()).to_hex())
}

async fn relay(shared: &Shared, lease: Lease, exchange: Exchange, reply: ReplySender) {
    let answered = if exchange.is_stream() {
        relay_stream(shared, exchange, reply).await
    } else {
        relay_whole(shared, exchange, reply).await
    };
    // The tab may be closed from here on; its receipts can be asked for all the same, and a proxy that stops waits for that.
    let _asking = shared.asking.read().await;
    drop(lease);
    if let Some(answer) = answered {
        shared.note_place(answer).await;
    }
}

/// A body that is not a stream is shown once its receipt is verified.
async fn relay_whole(shared: &Shared, mut exchange: Exchange, mut reply: ReplySender) -> Option<Answer> {
    let head = answer_head(&exchange);
    let read = async {
        while exchange.next().await?.is_some() {}
        Ok(())
    };
    let read: Result<(), ExchangeError> = tokio::select! {
        read = read => read,
        () = reply.closed() => {
            client_gone(shared, exchange).await;
            return None;
        }
    };
    let outcome = match read {
        Ok(()) => exchange.finish(&mut Transcript::default()).await,
        Err(error) => Err(exchange.fail(error).await),
    };
    match outcome {
        Ok(answer) => {
            shared.account(&answer);
            drop(reply.send(finish_head(head, ReplyBody::Whole(Some(answer.tail.clone())), Some(&answer))));
            Some(answer)
        }
        Err(error) => {
            drop(reply.send(failed(shared, error).response()));
            None
        }
    }
}

/// Events are shown as they come; the end marker once the receipt is verified.
async fn relay_stream(shared: &Shared, exchange: Exchange, reply: ReplySender) -> Option<Answer> {
    let (pieces, body) = mpsc::channel(PIECES_MAX);
    let response = finish_head(answer_head(&exchange), ReplyBody::Pieces(body), None);
    if reply.send(response).is_err() {
        client_gone(shared, exchange).await;
        return None;
    }
    let exchange = pass_events(shared, exchange, &pieces).await?;
    match exchange.finish(&mut Transcript::default()).await {
        Ok(answer) => {
            shared.account(&answer);
            // A client that left at the very last moment has been served all the same.
            let _ = pieces.send(Ok(answer.tail.clone())).await;
            Some(answer)
        }
        Err(error) => {
            abort(&pieces, &failed(shared, error)).await;
            None
        }
    }
}

/// Passes on what may be shown. Nothing is left to do for an exchange that did not come to its end.
async fn pass_events(
    shared: &Shared,
    mut exchange: Exchange,
    pieces: &mpsc::Sender<Result<Bytes, Aborted>>,
) -> Option<Exchange> {
    loop {
        let next = tokio::select! {
            next = exchange.next() => next,
            () = pieces.closed() => Ok(Some(Bytes::new())),
        };
        match next {
            Ok(Some(bytes)) => {
                if pieces.send(Ok(bytes)).await.is_err() {
                    client_gone(shared, exchange).await;
                    return None;
                }
            }
            Ok(None) => return Some(exchange),
            Err(error) => {
                abort(pieces, &failed(shared, exchange.fail(error).await)).await;
                return None;
            }
        }
    }
}

/// An error event, then a cut: never a clean end. The cut discards what is not written yet, so it waits until the event was.
async fn abort(pieces: &mpsc::Sender<Result<Bytes, Aborted>>, problem: &Problem) {
    let sent = pieces.send(Ok(problem.event())).await;
    if sent.is_ok() && pieces.reserve_many(PIECES_MAX).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(FLUSH_PAUSE_MS)).await;
    }
    let _ = pieces.send(Err(Aborted)).await;
}

async fn client_gone(shared: &Shared, exchange: Exchange) {
    match exchange.give_up().await {
        Ok(checked) => shared.log(&format!("client left; {} credits charged", checked.usage.cost)),
        Err(error) => shared.log(&format!("client left; the charge is not known yet: {}", chain(&error))),
    }
}

fn failed(shared: &Shared, error: ExchangeError) -> Problem {
    let problem = problem(&error.into());
    shared.log(&format!("answer withheld: {} ({})", problem.message, problem.code));
    problem
}

/// Status and the headers a client may use; trailers and everything else of the node's stay here.
fn answer_head(exchange: &Exchange) -> (StatusCode, HeaderMap) {
    let mut headers = HeaderMap::new();
    for name in [CONTENT_TYPE, REQUEST_ID] {
        if let Some(value) = exchange.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    if let Some(id) = exchange.receipt_id().and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(RECEIPT_ID, id);
    }
    (exchange.status(), headers)
}

fn finish_head(
    (status, mut headers): (StatusCode, HeaderMap),
    body: ReplyBody,
    answer: Option<&Answer>,
) -> Response<ReplyBody> {
    if let Some(id) = answer.and_then(|answer| HeaderValue::from_str(&answer.receipt.receipt.receipt_id).ok()) {
        headers.insert(RECEIPT_ID, id);
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn refusal_response(refused: &Refusal) -> Response<ReplyBody> {
    let mut response = json_response(refused.status, refused.body.clone());
    for name in REFUSAL_HEADERS {
        if let Some(value) = refused.headers.get(name) {
            response.headers_mut().insert(HeaderName::from_static(name), value.clone());
        }
    }
    response
}

/// A failure of this side's, told to the client without detail about its own request.
pub(crate) fn problem(error: &Error) -> Problem {
    let (status, kind) = match error.exit() {
        Exit::Payment => (StatusCode::PAYMENT_REQUIRED, "insufficient_quota"),
        Exit::Usage => (StatusCode::NOT_FOUND, "invalid_request_error"),
        Exit::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "server_error"),
        _ => (StatusCode::BAD_GATEWAY, "server_error"),
    };
    Problem { status, kind, code: error.code().to_owned(), message: chain(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Asked;

    fn refused(status: u16, code: &str) -> Refusal {
        let body = serde_json::json!({"error": {"message": "m", "type": "t", "param": null, "code": code}}).to_string();
        let asked =
            Asked { path: "/v1/chat/completions", request_digest: Sha256Digest::of(b""), completion_tokens_max: None };
        Refusal {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.into(),
            asked,
            may_be_charged: false,
        }
    }

    #[test]
    fn only_refusals_about_the_tab_are_tried_with_another() {
        for (status, code, again) in [
            (402, "tab.insufficient", true),
            (402, "tab.unknown", true),
            (403, "tab.closed", true),
            (403, "tab.too_many_calls", true),
            (403, "tab.idempotency_conflict", false),
            (404, "model_not_found", false),
            (429, "tab.closed", false),
            (500, "tab.closed", false),
        ] {
            assert_eq!(wants_other_tab(&refused(status, code)), again, "{status} {code}");
        }
    }

    #[test]
    fn a_clients_key_becomes_a_valid_key_that_says_nothing() {
        let mut headers = HeaderMap::new();
        assert_eq!(client_key(&headers), None);
        headers.insert("idempotency-key", HeaderValue::from_static("order 7 / é".split_at(7).0));
        let key = client_key(&headers).unwrap();
        assert!(credits::http_sig::is_idempotency_key(&key) && !key.contains("order"));
        assert_eq!(client_key(&headers).unwrap(), key);
    }

    #[test]
    fn refusals_keep_the_bytes_and_the_retry_headers() {
        let mut refused = refused(429, "rate");
        refused.headers.insert("retry-after-ms", HeaderValue::from_static("250"));
        refused.headers.insert("set-cookie", HeaderValue::from_static("x"));
        let response = refusal_response(&refused);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers().get("retry-after-ms").unwrap(), "250");
        assert!(response.headers().get("set-cookie").is_none());
    }
}
