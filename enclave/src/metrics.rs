//! Counts for the operator, in the text format of OpenMetrics: how much is done and what fails, of nobody in particular.
//!
//! Labels are types with few values, so that nothing of a request can become one. What is published is the state at the end of the last
//! whole interval: who reads it every second learns no more of single answers than who reads it every minute. Off unless configured.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::endpoint::Endpoint;
use crate::limits::{HEADER_READ_TIMEOUT, METRICS_READER_TIMEOUT, METRICS_READERS_MAX};
use crate::receipt::{Metered, Outcome};
use crate::state::Guardian;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    endpoint: EndpointLabel,
    outcome: OutcomeLabel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum EndpointLabel {
    Chat,
    Completions,
    Responses,
    Messages,
    Embeddings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum OutcomeLabel {
    Complete,
    ClientAbort,
    UpstreamError,
    TabExpired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: Reason,
}

/// Why something was refused, by the status of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Reason {
    Invalid,
    Payment,
    Forbidden,
    NotFound,
    Busy,
    Unavailable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: TokenKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum TokenKind {
    Prompt,
    Completion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    of: Failure,
}

/// What else went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Failure {
    /// A TLS handshake did not finish.
    Handshake,
    /// The platform gave no report.
    Report,
    /// A running total was not journalled.
    Journal,
    /// A tab was not settled.
    Settlement,
    /// The engine gave no answer to the canary's question, or a wrong one.
    Canary,
    /// A head of the log of receipts was not written or not witnessed.
    ReceiptLog,
    /// No certificate of a public authority was to be had.
    Certificate,
    /// The ledger's state was not shown to be one that its witnesses saw.
    LedgerWitnesses,
}

/// The counts of this boot.
#[derive(Debug, Default)]
pub struct Metrics {
    calls: Family<CallLabels, Counter>,
    tokens: Family<KindLabels, Counter>,
    credits: Counter,
    refusals: Family<ReasonLabels, Counter>,
    tabs_opened: Counter,
    tabs_open: Gauge,
    calls_in_flight: Gauge,
    connections: Gauge,
    failures: Family<FailureLabels, Counter>,
}

impl Metrics {
    /// A call ended.
    pub fn call(&self, endpoint: Endpoint, outcome: Outcome, metered: &Metered) {
        let endpoint = match endpoint {
            Endpoint::Chat => EndpointLabel::Chat,
            Endpoint::Completions => EndpointLabel::Completions,
            Endpoint::Responses => EndpointLabel::Responses,
            Endpoint::Messages => EndpointLabel::Messages,
            Endpoint::Embeddings => EndpointLabel::Embeddings,
        };
        let outcome = match outcome {
            Outcome::Complete => OutcomeLabel::Complete,
            Outcome::ClientAbort => OutcomeLabel::ClientAbort,
            Outcome::UpstreamError => OutcomeLabel::UpstreamError,
            Outcome::TabExpired => OutcomeLabel::TabExpired,
        };
        self.calls.get_or_create(&CallLabels { endpoint, outcome }).inc();
        for (kind, count) in
            [(TokenKind::Prompt, metered.prompt_tokens), (TokenKind::Completion, metered.completion_tokens)]
        {
            self.tokens.get_or_create(&KindLabels { kind }).inc_by(count);
        }
        self.credits.inc_by(metered.cost.get());
    }

    /// An answer left, on any path.
    pub fn answered(&self, status: StatusCode) {
        let reason = match status.as_u16() {
            0..400 => return,
            402 => Reason::Payment,
            401 | 403 => Reason::Forbidden,
            404 => Reason::NotFound,
            429 => Reason::Busy,
            400..500 => Reason::Invalid,
            _ => Reason::Unavailable,
        };
        self.refusals.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// A tab was opened.
    pub fn tab_opened(&self) {
        self.tabs_opened.inc();
    }

    /// Something went wrong.
    pub fn failed(&self, of: Failure) {
        self.failures.get_or_create(&FailureLabels { of }).inc();
    }

    /// A connection, as long as the value lives.
    #[must_use]
    pub fn connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("cloister");
        registry.register("calls", "Calls that ended", self.calls.clone());
        registry.register("tokens", "Tokens metered", self.tokens.clone());
        registry.register("credits_charged", "Credits charged", self.credits.clone());
        registry.register("refusals", "Requests that were refused", self.refusals.clone());
        registry.register("tabs_opened", "Tabs opened", self.tabs_opened.clone());
        registry.register("tabs_open", "Tabs open now", self.tabs_open.clone());
        registry.register("calls_in_flight", "Tabs with a call in flight now", self.calls_in_flight.clone());
        registry.register("connections", "Connections open now", self.connections.clone());
        registry.register("failures", "What else failed", self.failures.clone());
        registry
    }
}

/// An open connection.
#[derive(Debug)]
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Publishes the counts at this address until the process ends.
///
/// # Errors
/// When the address cannot be bound.
pub async fn publish(guardian: Arc<Guardian>, address: SocketAddr, interval: Duration) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address} for metrics"))?;
    let page = Arc::new(Mutex::new(Bytes::new()));
    tokio::spawn(answer_readers(listener, Arc::clone(&page)));
    let registry = guardian.work.metrics.registry();
    tokio::spawn(async move {
        loop {
            let (metrics, tabs) = (&guardian.work.metrics, guardian.tabs());
            let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
            metrics.tabs_open.set(count(tabs.len()));
            metrics.calls_in_flight.set(count(tabs.iter().filter(|tab| tab.in_flight()).count()));
            let mut text = String::new();
            if text::encode(&mut text, &registry).is_ok() {
                *page.lock().unwrap_or_else(PoisonError::into_inner) = Bytes::from(text);
            }
            tokio::time::sleep(interval).await;
        }
    });
    Ok(())
}

async fn answer_readers(listener: TcpListener, page: Arc<Mutex<Bytes>>) {
    let places = Arc::new(Semaphore::new(METRICS_READERS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: wait a little instead of spinning.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let page = Arc::clone(&page);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let page = page.lock().unwrap_or_else(PoisonError::into_inner).clone();
                async move { Ok::<_, std::convert::Infallible>(answer(&request, page)) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT).keep_alive(false);
            let reader = server.serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(METRICS_READER_TIMEOUT, reader).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, page: Bytes) -> Response<Full<Bytes>> {
    let found = request.method() == http::Method::GET && request.uri().path() == "/metrics";
    let mut response = Response::new(Full::new(if found { page } else { Bytes::new() }));
    if found {
        let text = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}
