//! One request and its answer, withheld until its receipt is verified.
//!
//! Decides: which bytes may be shown when, and whether an answer is complete. Trusts on entry: a [`Session`] and an open
//! [`Tab`]. Holds on exit of [`Exchange::finish`]: the answer ended the way its kind ends (its last event, or a whole JSON
//! body), its receipt covers every byte sent and received, and the tab's account contains it. Bytes of a stream are shown as
//! they come, but never its end marker; a body that is not a stream is not shown at all before its receipt is verified.

use std::sync::Arc;
use std::time::Duration;

use attestation::{Receipt, Sha256Digest, Sha256Stream, Transcript};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::bundle::ReceiptBundle;
use crate::event_gate::EventGate;
use crate::fetch::{ANSWER_BYTES_MAX, NodeError, collect, send};
use crate::receipts::{CheckedReceipt, Expected, Machine, ReceiptError, Usage, check_receipt, is_receipt_id};
pub use crate::refusals::Refusal;
use crate::session::{JSON, Session, SessionError};
use crate::sse::{DoneGate, SseError};
use crate::tab::Tab;

/// Longest wait for the first byte of an answer, and between two pieces of it.
pub const STALL_SECS_MAX: u64 = 600;
/// Most bytes of an answer that is not a stream.
pub const WHOLE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A receipt of an abandoned request is asked for this often.
const RECEIPT_TRIES: u32 = 6;
/// Pause between two of those.
const RECEIPT_PAUSE_MS: u64 = 500;
/// Trailer with the receipt (protocol.md §5.3).
const RECEIPT_TRAILER: &str = "cloister-receipt";
const DURING: &str = "the request";

/// A request for inference. The body is a prompt: it has no `Debug` that shows it and is never logged.
#[derive(Clone)]
pub struct InferenceRequest {
    /// Path, as `/v1/chat/completions`.
    pub path: &'static str,
    /// The JSON body, sent as it is.
    pub body: Bytes,
    /// 1–64 characters of `[A-Za-z0-9_-]`; a repeat is charged once.
    pub idempotency_key: String,
    /// Passed on as `x-request-id`.
    pub request_id: Option<HeaderValue>,
    /// The most completion tokens the body allows, over all choices, when it says so.
    pub completion_tokens_max: Option<u64>,
}

/// What came back first.
pub enum Reply {
    /// The node answers; read it with [`Exchange::next`].
    Answer(Box<Exchange>),
    /// The node refused.
    Refused(Refusal),
}

/// Why an answer cannot be taken for what it claims to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The connection or the answer broke.
    #[error("the answer did not arrive whole")]
    Node(#[source] NodeError),
    /// The receipt could not be fetched or the request not be signed.
    #[error("the exchange could not be finished")]
    Session(#[source] SessionError),
    /// The stream goes on after its end.
    #[error("the stream is malformed")]
    Stream(#[source] SseError),
    /// The answer ended without its end marker, or its receipt says that it was cut short.
    #[error("the answer ended early{}", charged.as_ref().map_or_else(String::new, |usage| format!("; {} credits were charged", usage.cost)))]
    Incomplete {
        /// What the receipt says was charged, when there is one.
        charged: Option<Usage>,
    },
    /// The receipt does not account for the exchange.
    #[error("the answer's receipt was not accepted")]
    Receipt(#[source] ReceiptError),
}

impl ExchangeError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Node(error) => error.code(),
            Self::Session(error) => error.code(),
            Self::Stream(_) => "stream.malformed",
            Self::Incomplete { .. } => "stream.incomplete",
            Self::Receipt(error) => error.code(),
        }
    }
}

/// A complete, verified answer.
pub struct Answer {
    /// The verified receipt.
    pub receipt: CheckedReceipt,
    /// Everything needed to verify it again later.
    pub bundle: ReceiptBundle,
    /// The bytes withheld so far: the end of a stream, or a whole body.
    pub tail: Bytes,
    pub(crate) session: Session,
    pub(crate) tab: Arc<Tab>,
}

/// An answer under way.
pub struct Exchange {
    session: Session,
    tab: Arc<Tab>,
    ticket: Ticket,
    asked: Asked,
    status: StatusCode,
    headers: HeaderMap,
    receipt_id: Option<String>,
    body: Incoming,
    gate: Gate,
    digest: Sha256Stream,
    trailer: Option<HeaderValue>,
    ended: bool,
}

pub(crate) struct Asked {
    pub(crate) path: &'static str,
    pub(crate) request_digest: Sha256Digest,
    pub(crate) completion_tokens_max: Option<u64>,
}

enum Gate {
    Stream(DoneGate),
    Events(EventGate),
    Whole(Vec<u8>),
}

impl Gate {
    /// What holds back the end of an answer at this path.
    fn of(path: &str, is_stream: bool) -> Self {
        match (is_stream, path) {
            (false, _) => Self::Whole(Vec::new()),
            (true, "/v1/responses") => Self::Events(EventGate::response()),
            (true, "/v1/messages") => Self::Events(EventGate::message()),
            (true, _) => Self::Stream(DoneGate::default()),
        }
    }
}

/// Tells the tab's account that a request is under way, and how it ended.
struct Ticket {
    tab: Arc<Tab>,
    certain: bool,
}

impl Ticket {
    fn new(tab: &Arc<Tab>) -> Self {
        tab.start();
        Self { tab: Arc::clone(tab), certain: false }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tab.end(self.certain);
    }
}

impl Session {
    /// Sends a request for inference under a tab and waits for the head of the answer.
    ///
    /// # Errors
    /// When the connection breaks. A refusal is not an error here: its bytes are passed on.
    pub async fn infer(&self, tab: &Arc<Tab>, request: InferenceRequest) -> Result<Reply, ExchangeError> {
        let asked = Asked {
            path: request.path,
            request_digest: Sha256Digest::of(&request.body),
            completion_tokens_max: request.completion_tokens_max,
        };
        let mut ask = self
            .signed(Method::POST, request.path, tab, &request.idempotency_key, request.body)
            .map_err(ExchangeError::Session)?;
        ask.headers_mut().insert(CONTENT_TYPE, JSON);
        if let Some(id) = request.request_id {
            ask.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
        }
        let mut ticket = Ticket::new(tab);
        let response = match send(self.sender(), ask, DURING, STALL_SECS_MAX).await {
            Ok(response) => response,
            Err(error) => {
                ticket.certain = error.is_definitive();
                return Err(ExchangeError::Node(error));
            }
        };
        let (head, body) = response.into_parts();
        if !head.status.is_success() {
            let body = timeout(Duration::from_secs(STALL_SECS_MAX), collect(body, DURING, ANSWER_BYTES_MAX)).await;
            let stalled = |_| NodeError::TimedOut { during: DURING, limit_secs: STALL_SECS_MAX };
            let body = body.map_err(stalled).and_then(|body| body).map_err(ExchangeError::Node)?;
            ticket.certain = head.status.is_client_error();
            let (status, may_be_charged) = (head.status, !ticket.certain);
            return Ok(Reply::Refused(Refusal { status, headers: head.headers, body, asked, may_be_charged }));
        }
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let is_stream =
            text("content-type").is_some_and(|kind| kind.trim().to_ascii_lowercase().starts_with("text/event-stream"));
        Ok(Reply::Answer(Box::new(Exchange {
            session: self.clone(),
            tab: Arc::clone(tab),
            ticket,
            gate: Gate::of(asked.path, is_stream),
            asked,
            status: head.status,
            receipt_id: text("x-receipt-id").filter(|id| is_receipt_id(id)),
            headers: head.headers,
            body,
            digest: Sha256Stream::new(),
            trailer: None,
            ended: false,
        })))
    }

    /// Sends a request and calls `on_bytes` with the answer as it comes; returns once everything is verified. The end marker of
    /// a stream, or the whole of a body that is not one, is handed over only after that.
    ///
    /// # Errors
    /// When the node refuses, the answer is not complete, or its receipt is not accepted.
    pub async fn chat(
        &self,
        tab: &Arc<Tab>,
        request: InferenceRequest,
        transcript: &mut Transcript,
        mut on_bytes: impl FnMut(&[u8]),
    ) -> Result<Answer, ExchangeError> {
        let mut exchange = match self.infer(tab, request).await? {
            Reply::Answer(exchange) => exchange,
            Reply::Refused(refused) => return Err(ExchangeError::Node(refused.to_error())),
        };
        loop {
            match exchange.next().await {
                Ok(Some(bytes)) => on_bytes(&bytes),
                Ok(None) => break,
                Err(error) => return Err(exchange.fail(error).await),
            }
        }
        let answer = exchange.finish(transcript).await?;
        on_bytes(&answer.tail);
        Ok(answer)
    }
}

impl Exchange {
    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers of the answer.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The announced id of the receipt.
    #[must_use]
    pub fn receipt_id(&self) -> Option<&str> {
        self.receipt_id.as_deref()
    }

    /// Whether the answer is a stream of events.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self.gate, Gate::Stream(_) | Gate::Events(_))
    }

    /// The next bytes that may be shown; nothing when the answer ended.
    ///
    /// # Errors
    /// When the connection breaks or stalls, or a stream goes on after its end marker.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        while !self.ended {
            let frame = timeout(Duration::from_secs(STALL_SECS_MAX), self.body.frame())
                .await
                .map_err(|_| ExchangeError::Node(NodeError::TimedOut { during: DURING, limit_secs: STALL_SECS_MAX }))?;
            let Some(frame) = frame else {
                self.ended = true;
                break;
            };
            let frame = frame.map_err(|source| ExchangeError::Node(NodeError::Broken { during: DURING, source }))?;
            match frame.into_data() {
                Ok(data) => {
                    let shown = self.take(&data)?;
                    if !shown.is_empty() {
                        return Ok(Some(shown.into()));
                    }
                }
                Err(other) => {
                    self.trailer =
                        other.into_trailers().ok().and_then(|trailers| trailers.get(RECEIPT_TRAILER).cloned());
                }
            }
        }
        Ok(None)
    }

    fn take(&mut self, data: &[u8]) -> Result<Vec<u8>, ExchangeError> {
        self.digest.update(data);
        match &mut self.gate {
            Gate::Stream(gate) => gate.push(data).map_err(ExchangeError::Stream),
            Gate::Events(gate) => gate.push(data).map_err(ExchangeError::Stream),
            Gate::Whole(whole) if whole.len() + data.len() <= WHOLE_BYTES_MAX => {
                whole.extend_from_slice(data);
                Ok(Vec::new())
            }
            Gate::Whole(_) => Err(ExchangeError::Node(NodeError::TooLong { during: DURING, limit: WHOLE_BYTES_MAX })),
        }
    }

    /// Ends the exchange: the receipt is found, verified and entered into the tab's account.
    ///
    /// # Errors
    /// When the answer is not complete or its receipt is not accepted. What was withheld stays withheld.
    pub async fn finish(mut self, transcript: &mut Transcript) -> Result<Answer, ExchangeError> {
        if !self.ended {
            return Err(ExchangeError::Incomplete { charged: None });
        }
        let marked = match &self.gate {
            Gate::Stream(gate) => gate.is_done(),
            Gate::Events(gate) => gate.is_done(),
            Gate::Whole(_) => true,
        };
        let found = self.find_receipt().await;
        if !marked && found.is_err() {
            return Err(ExchangeError::Incomplete { charged: None });
        }
        let response_digest = self.digest.clone().finish();
        let checked = account(found?, &self.expected(Some(response_digest)), &self.tab, transcript)?;
        self.ticket.certain = true;
        if !marked || !matches!(checked.usage.outcome.as_str(), "complete" | "length") {
            return Err(ExchangeError::Incomplete { charged: Some(checked.usage) });
        }
        let bundle =
            ReceiptBundle::new(&self.session, &self.tab, &checked.receipt, &self.expected(Some(response_digest)));
        let tail = match self.gate {
            Gate::Stream(gate) => gate.into_held(),
            Gate::Events(gate) => gate.into_held(),
            Gate::Whole(whole) => whole,
        };
        Ok(Answer { receipt: checked, bundle, tail: tail.into(), session: self.session, tab: self.tab })
    }

    /// Gives up reading (the reader went away, or the answer broke) and asks the node what was charged, so that the account stays
    /// complete.
    ///
    /// # Errors
    /// When no acceptable receipt can be had; the tab's settlement then decides.
    pub async fn give_up(self) -> Result<CheckedReceipt, ExchangeError> {
        let Self { session, tab, mut ticket, asked, receipt_id, body, .. } = self;
        drop(body); // resets the stream: the node stops and signs what it did so far
        let id = receipt_id.ok_or(ExchangeError::Receipt(ReceiptError::Missing))?;
        let mut last = ExchangeError::Receipt(ReceiptError::Missing);
        for attempt in 0..RECEIPT_TRIES {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(RECEIPT_PAUSE_MS)).await;
            }
            match session.fetch_receipt(&tab, &id).await {
                Ok(bytes) => {
                    let receipt = parse_receipt(&bytes).map_err(ExchangeError::Receipt)?;
                    let expected = expected(&session, &tab, &asked, None);
                    let checked = account(receipt, &expected, &tab, &mut Transcript::default())?;
                    ticket.certain = true;
                    return Ok(checked);
                }
                Err(SessionError::Node(error)) if error.is_connection_lost() => return Err(ExchangeError::Node(error)),
                Err(error) => last = ExchangeError::Session(error),
            }
        }
        Err(last)
    }

    /// Ends an exchange whose reading failed. When only the answer broke and the connection still stands, the node is asked what
    /// it charged for the part that was shown.
    pub async fn fail(self, error: ExchangeError) -> ExchangeError {
        let broke = matches!(&error, ExchangeError::Node(NodeError::Broken { .. } | NodeError::TimedOut { .. }));
        if !broke || self.session.is_closed() {
            return error;
        }
        match self.give_up().await {
            Ok(checked) => ExchangeError::Incomplete { charged: Some(checked.usage) },
            Err(ExchangeError::Receipt(ReceiptError::Missing) | ExchangeError::Node(_) | ExchangeError::Session(_)) => {
                error
            }
            Err(worse) => worse,
        }
    }

    /// From the trailer, else by id.
    async fn find_receipt(&self) -> Result<Receipt, ExchangeError> {
        if let Some(value) = &self.trailer {
            let bytes = STANDARD.decode(value.as_bytes()).map_err(|_| malformed("the trailer is not base64"))?;
            return parse_receipt(&bytes).map_err(ExchangeError::Receipt);
        }
        let id = self.receipt_id.as_deref().ok_or(ExchangeError::Receipt(ReceiptError::Missing))?;
        match self.session.fetch_receipt(&self.tab, id).await {
            Ok(bytes) => parse_receipt(&bytes).map_err(ExchangeError::Receipt),
            Err(SessionError::Node(NodeError::Refused { .. })) => Err(ExchangeError::Receipt(ReceiptError::Missing)),
            Err(error) => Err(ExchangeError::Session(error)),
        }
    }

    fn expected(&self, response: Option<Sha256Digest>) -> Expected<'_> {
        expected(&self.session, &self.tab, &self.asked, response)
    }
}

/// Judges a receipt and enters it into the tab's account.
fn account(
    receipt: Receipt,
    expected: &Expected<'_>,
    tab: &Tab,
    transcript: &mut Transcript,
) -> Result<CheckedReceipt, ExchangeError> {
    let checked = check_receipt(receipt, expected, transcript).map_err(ExchangeError::Receipt)?;
    let usage = &checked.usage;
    tab.record(&checked.receipt.receipt_id, usage.cost, usage.running_total).map_err(ExchangeError::Receipt)?;
    Ok(checked)
}

pub(crate) fn expected<'a>(
    session: &'a Session,
    tab: &Tab,
    asked: &'a Asked,
    response_digest: Option<Sha256Digest>,
) -> Expected<'a> {
    Expected {
        keyset: session.keyset(),
        machine: Some(Machine::of(session.appraisal(), session.document())),
        offer: session.offer(),
        price_sheet_digest: session.price_sheet_digest(),
        tab: tab.id(),
        reserve: tab.reserve(),
        method: "POST",
        endpoint: asked.path,
        request_digest: asked.request_digest,
        response_digest,
        completion_tokens_max: asked.completion_tokens_max,
    }
}

pub(crate) fn parse_receipt(bytes: &[u8]) -> Result<Receipt, ReceiptError> {
    Receipt::from_json(bytes).map_err(ReceiptError::Rejected)
}

fn malformed(detail: &str) -> ExchangeError {
    ExchangeError::Receipt(ReceiptError::Malformed { detail: detail.to_owned() })
}
