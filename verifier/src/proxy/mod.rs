//! A local OpenAI endpoint in front of a verified, paid node.
//!
//! Decides: who may connect and which paths exist. Trusts on entry: programs of this machine's user. Holds on exit: every prompt
//! that leaves goes to a node that was verified on the connection it goes over. Prompts, answers and headers are never logged.

mod ahead;
mod guard;
mod keeper;
mod relay;
mod reply;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use attestation::{Clock, Transcript};
use credits::Credits;
use http::header::{ALLOW, CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{RwLock, oneshot, watch};

pub use keeper::Log;

use crate::bundle::ReceiptBundle;
use crate::error::Error;
use crate::exchange::{Answer, Refusal};
use crate::fetch::NodeError;
use crate::payment::Payer;
use crate::session::{SessionError, fresh_idempotency_key};
use crate::target::NodeUrl;
use crate::verify::Trust;
use keeper::{Keeper, KeeperConfig, Lease};
use relay::Ask;
use reply::{Problem, ReplyBody, json_response};

/// Longest request body.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A client must send its request's head within this time.
const HEAD_SECS_MAX: u64 = 30;
/// How often idle tabs are looked for.
const TEND_MS: u64 = 500;
/// How long requests under way may take to finish at the end.
const SHUTDOWN_SECS: u64 = 20;
/// Time for the last receipts to be shown in the node's log.
const PLACES_SECS: u64 = 12;
/// Receipts of refusals that one proxy keeps: a program that asks wrongly again and again must not fill the disk.
const REFUSALS_KEPT_MAX: usize = 1000;

/// How a proxy is set up.
pub struct ProxyConfig {
    /// The node.
    pub target: NodeUrl,
    /// What it is judged by.
    pub trust: Arc<Trust>,
    /// This side's clock.
    pub clock: Arc<dyn Clock>,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Listen beyond loopback: whoever reaches the address spends the wallet's credits.
    pub danger_listen_anywhere: bool,
    /// Credits per tab, rounded up to a tier.
    pub reserve: Option<Credits>,
    /// A tab without requests for this long is closed.
    pub idle: Duration,
    /// Where receipts are stored.
    pub receipts: Vec<PathBuf>,
    /// Where the proxy's own words go.
    pub log: Log,
}

/// A proxy in front of a verified node, listening.
pub struct Proxy {
    listener: TcpListener,
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    keeper: Keeper,
    receipts: Vec<PathBuf>,
    /// Receipts of refusals that were kept.
    refusals: AtomicUsize,
    /// Read by whoever asks the node for a receipt's place in its log.
    asking: RwLock<()>,
    danger_listen_anywhere: bool,
    log: Log,
}

impl Shared {
    fn log(&self, words: &str) {
        (self.log)(words);
    }

    /// Stores an answer's receipt and tells what it cost.
    fn account(&self, answer: &Answer) {
        let usage = &answer.receipt.usage;
        self.store(&answer.bundle);
        self.log(&format!(
            "served: {}+{} tokens, {} credits, tab total {}, receipt {}",
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cost,
            usage.running_total,
            answer.receipt.receipt.receipt_id
        ));
    }

    fn store(&self, bundle: &ReceiptBundle) {
        for directory in &self.receipts {
            if let Err(error) = bundle.store(directory) {
                self.log(&format!("receipt not stored: {}", crate::error::chain(&error)));
            }
        }
    }

    /// Asks for the receipt of a refusal and stores it. Whoever was refused knows by then.
    async fn keep_refusal(&self, lease: &Lease, refused: &mut Refusal) {
        let error = refused.to_error();
        match refused.receipt(&lease.session, &lease.tab, &mut Transcript::default()).await {
            Ok(Some(bundle)) if self.refusals.fetch_add(1, Ordering::Relaxed) < REFUSALS_KEPT_MAX => {
                self.store(&bundle);
                self.log(&format!("refused: {}, receipt {}", error.code(), bundle.receipt.receipt_id));
            }
            Ok(Some(_)) => self.log(&format!("refused: {}; no more receipts of refusals are kept", error.code())),
            Ok(None) => self.log(&format!("refused: {}, without a receipt", error.code())),
            Err(error) => self.log(&format!("the receipt of a refusal is none: {}", crate::error::chain(&error))),
        }
    }

    /// Asks for the receipt's place in the node's log and stores it with the receipt. Whoever asked has the answer by then.
    async fn note_place(&self, mut answer: Answer) {
        match answer.ask_for_log_proof().await {
            Ok(None) => {}
            Ok(Some(_)) => self.store(&answer.bundle),
            Err(error) => self.log(&format!(
                "receipt {} is not shown to be in the node's log: {}",
                answer.receipt.receipt.receipt_id,
                crate::error::chain(&error)
            )),
        }
    }
}

impl Proxy {
    /// Verifies the node, then starts to listen.
    ///
    /// # Errors
    /// When the address is not allowed, the node is not accepted, or the address is taken.
    pub async fn bind(config: ProxyConfig, payer: Payer, transcript: &mut Transcript) -> Result<Self, Error> {
        let ProxyConfig { target, trust, clock, listen, danger_listen_anywhere, reserve, idle, receipts, log } = config;
        require_loopback(listen, danger_listen_anywhere)?;
        let keeper_config = KeeperConfig { target, trust, clock, reserve, idle, log: Arc::clone(&log) };
        let keeper = Keeper::start(keeper_config, payer, transcript).await?;
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|source| Error::Io { action: format!("listen on {listen}"), source })?;
        Ok(Self {
            listener,
            shared: Arc::new(Shared {
                keeper,
                receipts,
                refusals: AtomicUsize::new(0),
                asking: RwLock::default(),
                danger_listen_anywhere,
                log,
            }),
        })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// When the operating system does not know.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.listener
            .local_addr()
            .map_err(|source| Error::Io { action: "read the listening address".to_owned(), source })
    }

    /// What was established about the node at the start.
    ///
    /// # Errors
    /// When the connection is gone and the node is not accepted again.
    pub async fn session(&self) -> Result<crate::session::Session, Error> {
        self.shared.keeper.session().await
    }

    /// Serves until `stop` is done, then lets requests under way finish and closes every tab.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        tokio::pin!(stop);
        let mut tend = tokio::time::interval(Duration::from_millis(TEND_MS));
        tend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let keeper_task = tokio::spawn({
            let (shared, mut stopped) = (Arc::clone(&self.shared), stopped.clone());
            async move {
                loop {
                    tokio::select! {
                        _ = tend.tick() => {
                            shared.keeper.close_unused().await;
                            // A ledger that is slow to answer keeps nobody from stopping.
                            tokio::select! {
                                () = shared.keeper.prove_ahead() => {}
                                _ = stopped.changed() => return,
                            }
                        }
                        _ = stopped.changed() => return,
                    }
                }
            }
        });
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, _)) => {
                        tokio::spawn(serve_connection(Arc::clone(&self.shared), socket, stopped.clone()));
                    }
                    // Out of descriptors, most likely: give others time to close theirs.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
            }
        }
        drop(self.listener);
        stopping.send_replace(true);
        // The task only ends by returning; its result says nothing.
        let _ = keeper_task.await;
        self.shared.keeper.shut_down(Duration::from_secs(SHUTDOWN_SECS)).await;
        // The receipts are stored; what may be missing is that they are shown to be in the node's log.
        let _ = tokio::time::timeout(Duration::from_secs(PLACES_SECS), self.shared.asking.write()).await;
    }
}

/// Refuses addresses that others can reach, unless the user said the dangerous words.
///
/// # Errors
/// When the address is not a loopback address and `danger_anywhere` is not set.
pub fn require_loopback(listen: SocketAddr, danger_anywhere: bool) -> Result<(), Error> {
    if danger_anywhere || listen.ip().is_loopback() {
        return Ok(());
    }
    let message = format!("{listen} can be reached by others, who would spend your credits; use a loopback address");
    Err(Error::Choice { code: "proxy.listen_refused", message })
}

async fn serve_connection(shared: Arc<Shared>, socket: TcpStream, mut stopped: watch::Receiver<bool>) {
    // Latency of small pieces matters more than packet count; failure to set it does not matter.
    let _ = socket.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, std::convert::Infallible>(answer(shared, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEAD_SECS_MAX))
        .serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    // An error here is a client that went away, or an answer that was cut on purpose.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Every answer has a request id: programs quote it in reports.
async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response<ReplyBody> {
    let mut response = route(shared, request).await;
    let id = HeaderName::from_static("x-request-id");
    if !response.headers().contains_key(&id)
        && let Ok(fresh) = fresh_idempotency_key()
        && let Ok(value) = HeaderValue::from_str(&format!("req-{}", fresh.chars().take(24).collect::<String>()))
    {
        response.headers_mut().insert(id, value);
    }
    response
}

async fn route(shared: Arc<Shared>, request: Request<Incoming>) -> Response<ReplyBody> {
    if let Err(problem) = guard::admit(request.headers(), shared.danger_listen_anywhere) {
        return problem.response();
    }
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::POST, "/v1/chat/completions") => infer(shared, request, "/v1/chat/completions").await,
        (&Method::POST, "/v1/completions") => infer(shared, request, "/v1/completions").await,
        (&Method::POST, "/v1/responses") => infer(shared, request, "/v1/responses").await,
        (&Method::POST, "/v1/messages") => infer(shared, request, "/v1/messages").await,
        (&Method::POST, "/v1/embeddings") => infer(shared, request, "/v1/embeddings").await,
        (&Method::GET, path) if is_models_path(path) => models(&shared, path).await,
        (_, "/v1/chat/completions" | "/v1/completions" | "/v1/responses" | "/v1/messages" | "/v1/embeddings") => {
            other_method("POST")
        }
        (_, path) if is_models_path(path) => other_method("GET"),
        _ => Problem::invalid(
            StatusCode::NOT_FOUND,
            "proxy.path",
            "this proxy serves /v1/chat/completions, /v1/completions, /v1/responses, /v1/messages, /v1/embeddings and \
             /v1/models",
        )
        .response(),
    }
}

/// 405 with the method that the path takes (RFC 9110 §15.5.6).
fn other_method(allowed: &'static str) -> Response<ReplyBody> {
    let mut response =
        Problem::invalid(StatusCode::METHOD_NOT_ALLOWED, "proxy.method", "this path takes another method").response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

async fn infer(shared: Arc<Shared>, request: Request<Incoming>, path: &'static str) -> Response<ReplyBody> {
    let (head, body) = request.into_parts();
    let too_long =
        || Problem::invalid(StatusCode::PAYLOAD_TOO_LARGE, "proxy.body_too_long", "the request is too long").response();
    let announced = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > REQUEST_BYTES_MAX) {
        return too_long();
    }
    let Ok(body) = Limited::new(body, REQUEST_BYTES_MAX).collect().await else {
        return too_long();
    };
    let ask = Ask { path, headers: head.headers, body: body.to_bytes() };
    let (reply, answered) = oneshot::channel();
    tokio::spawn(relay::infer(shared, ask, reply));
    match answered.await {
        Ok(response) => response,
        Err(_) => Problem {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            kind: "server_error",
            code: "proxy.internal".to_owned(),
            message: "the proxy failed".to_owned(),
        }
        .response(),
    }
}

/// `/v1/models` and `/v1/models/{id}`; ids may contain slashes, but nothing that changes the path's meaning.
fn is_models_path(path: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/' | b':' | b'%' | b'~');
    match path.strip_prefix("/v1/models") {
        Some("") => true,
        Some(rest) => {
            rest.starts_with('/')
                && rest.len() > 1
                && rest.bytes().all(plain)
                && !rest.contains("..")
                && !rest.contains("//")
        }
        None => false,
    }
}

async fn models(shared: &Shared, path: &str) -> Response<ReplyBody> {
    let session = match shared.keeper.session().await {
        Ok(session) => session,
        Err(error) => return relay::problem(&error).response(),
    };
    match session.get(path).await {
        Ok((_, body)) => json_response(StatusCode::OK, body),
        Err(SessionError::Node(NodeError::Refused { status, code, message })) => {
            Problem { status, kind: "invalid_request_error", code, message }.response()
        }
        Err(error) => relay::problem(&error.into()).response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_beyond_loopback_needs_the_dangerous_flag() {
        for (address, allowed) in [
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("0.0.0.0:1", false),
            ("192.168.1.2:1", false),
            ("[::]:1", false),
        ] {
            assert_eq!(require_loopback(address.parse().unwrap(), false).is_ok(), allowed, "{address}");
            assert!(require_loopback(address.parse().unwrap(), true).is_ok());
        }
    }

    #[test]
    fn model_paths_stay_model_paths() {
        for path in ["/v1/models", "/v1/models/tiny", "/v1/models/org/tiny-1.5b:q4", "/v1/models/a%20b"] {
            assert!(is_models_path(path), "{path}");
        }
        for path in [
            "/v1/modelsx",
            "/v1/models/",
            "/v1/models/../tabs",
            "/v1/models//x",
            "/v1/tabs",
            "/v1/models/a?b",
            "/v1/models/a b",
        ] {
            assert!(!is_models_path(path), "{path}");
        }
    }
}
