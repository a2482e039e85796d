//! The engine, on its Unix socket. The one file that knows its dialect.
//!
//! The engine is inside the appliance but not trusted with money: what it reports is bounded by the caller. Nothing it says
//! is logged, since its error texts repeat user content.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use serde_json::{Map, Value, json};
use tokio::net::UnixStream;

use crate::config::{EngineConfig, EngineDialect};
use crate::embeddings;
use crate::endpoint::Endpoint;
use crate::engine_body::{Arrived, EngineBody, EngineConnection};
use crate::limits::{
    ENGINE_BODY_BYTES_MAX, ENGINE_CONNECT_TIMEOUT, ENGINE_IDLE_TIMEOUT, ENGINE_SHORT_BYTES_MAX, FRAME_BYTES_TOGETHER,
};
use crate::problem::Problem;
use crate::request::InferenceRequest;

/// A configured engine.
#[derive(Debug, Clone)]
pub struct Engine {
    socket: PathBuf,
    dialect: EngineDialect,
    model: String,
}

/// Why the engine gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Not reachable, or broke off before answering.
    #[error("the engine cannot be reached")]
    Unavailable,
    /// Its queue is full.
    #[error("the engine is busy")]
    Busy,
    /// It went silent.
    #[error("the engine went silent")]
    Timeout,
    /// It refused the request as the client's fault; the text is for that client only.
    #[error("the engine refused the request")]
    Refused {
        /// What it said.
        message: String,
        /// The parameter at fault.
        param: Option<String>,
    },
    /// It answered something that is not its protocol.
    #[error("the engine's answer cannot be understood")]
    Malformed,
}

/// What the client learns of it before the first byte. Nothing is charged in any of these cases.
impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unavailable | EngineError::Malformed => {
                Self::unavailable("engine.unavailable", 2, "the engine is not available; nothing was charged")
            }
            EngineError::Timeout => {
                Self::unavailable("engine.timeout", 5, "the engine did not answer in time; nothing was charged")
            }
            EngineError::Busy => Self::unavailable("engine.busy", 1, "the engine is busy; nothing was charged"),
            EngineError::Refused { message, param } => {
                Self { param, ..Self::new(http::StatusCode::BAD_REQUEST, "request.engine_refused", message) }
            }
        }
    }
}

/// Token counts as the engine reports them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, with the chat template.
    pub prompt_tokens: u64,
    /// Completion tokens, over all choices.
    pub completion_tokens: u64,
}

/// A start of the engine: its socket is another file after each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineStart {
    inode: u64,
    made: (i64, i64),
}

impl Engine {
    /// Which start of the engine listens now; nothing if none does.
    #[must_use]
    pub fn start(&self) -> Option<EngineStart> {
        let socket = std::fs::metadata(&self.socket).ok()?;
        Some(EngineStart { inode: socket.ino(), made: (socket.ctime(), socket.ctime_nsec()) })
    }

    /// The engine named by the measured configuration.
    #[must_use]
    pub fn from_config(config: &EngineConfig) -> Self {
        Self { socket: config.socket.clone(), dialect: config.dialect, model: config.model.clone() }
    }

    /// Whether it answers its health check.
    pub async fn is_ready(&self) -> bool {
        let request = http::Request::get("/health").header("host", "engine").body(Full::new(Bytes::new()));
        let Ok(request) = request else { return false };
        matches!(self.send(request).await, Ok(response) if response.status().is_success())
    }

    /// The body to forward: what the client may decide, and what only the guardian decides.
    #[must_use]
    pub fn body(&self, request: &InferenceRequest, completion_tokens: u64, cache_salt: &str) -> Vec<u8> {
        let mut body: Map<String, Value> = request.forward.clone();
        body.insert("model".to_owned(), json!(self.model));
        if request.endpoint == Endpoint::Embeddings {
            body.insert("encoding_format".to_owned(), json!(embeddings::BASE64));
            self.keep_to_itself(&mut body, cache_salt);
            return Value::Object(body).to_string().into_bytes();
        }
        body.insert("max_tokens".to_owned(), json!(completion_tokens));
        body.insert("n".to_owned(), json!(request.choices));
        body.insert("stream".to_owned(), json!(request.stream));
        match self.dialect {
            EngineDialect::Vllm if request.stream => {
                let options = json!({"include_usage": true, "continuous_usage_stats": true});
                body.insert("stream_options".to_owned(), options);
            }
            EngineDialect::Llama if request.stream => {
                body.insert("stream_options".to_owned(), json!({"include_usage": true}));
                body.insert("timings_per_token".to_owned(), json!(true));
            }
            EngineDialect::Vllm | EngineDialect::Llama => {}
        }
        self.keep_to_itself(&mut body, cache_salt);
        Value::Object(body).to_string().into_bytes()
    }

    /// Keeps caches apart.
    fn keep_to_itself(&self, body: &mut Map<String, Value>, cache_salt: &str) {
        match self.dialect {
            // The prefix cache is shared by everybody unless salted: its timing tells what others asked (CVE-2025-46570).
            EngineDialect::Vllm => body.insert("cache_salt".to_owned(), json!(cache_salt)),
            // No salt exists in this dialect, so the cache stays unused.
            EngineDialect::Llama => body.insert("cache_prompt".to_owned(), json!(false)),
        };
    }

    /// Sends a request; returns the body of a 200 answer.
    pub async fn infer(&self, endpoint: Endpoint, body: Vec<u8>) -> Result<EngineBody, EngineError> {
        let request = http::Request::post(endpoint.engine_path())
            .header("host", "engine")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| EngineError::Malformed)?;
        let response = self.send(request).await?;
        let status = response.status();
        match status.as_u16() {
            200 => Ok(response.into_body()),
            503 | 429 => Err(EngineError::Busy),
            400..=499 => Err(refusal(response.into_body()).await),
            _ => Err(EngineError::Unavailable),
        }
    }

    async fn send(&self, request: http::Request<Full<Bytes>>) -> Result<http::Response<EngineBody>, EngineError> {
        let connect = tokio::time::timeout(ENGINE_CONNECT_TIMEOUT, UnixStream::connect(&self.socket));
        let stream = connect.await.map_err(|_| EngineError::Timeout)?.map_err(|_| EngineError::Unavailable)?;
        let connection = EngineConnection::open(stream).await?;
        let answer = tokio::time::timeout(ENGINE_IDLE_TIMEOUT, connection.send(request)).await;
        answer.map_err(|_| EngineError::Timeout)?
    }
}

/// Reads a whole plain answer.
pub async fn read_plain(body: EngineBody) -> Result<Bytes, EngineError> {
    read_within(body, ENGINE_BODY_BYTES_MAX).await
}

/// Reads a short answer, as JSON.
pub async fn read_short(body: EngineBody) -> Result<Value, EngineError> {
    serde_json::from_slice(&read_within(body, ENGINE_SHORT_BYTES_MAX).await?).map_err(|_| EngineError::Malformed)
}

async fn read_within(body: EngineBody, limit: usize) -> Result<Bytes, EngineError> {
    tokio::time::timeout(ENGINE_IDLE_TIMEOUT, read_all(body, limit)).await.map_err(|_| EngineError::Timeout)?
}

async fn read_all(mut body: EngineBody, limit: usize) -> Result<Bytes, EngineError> {
    let mut whole = BytesMut::new();
    loop {
        match body.next(FRAME_BYTES_TOGETHER).await {
            Arrived::Bytes(bytes) => whole.extend_from_slice(&bytes),
            Arrived::End => return Ok(whole.freeze()),
            Arrived::Broken => return Err(EngineError::Unavailable),
        }
        if whole.len() > limit {
            return Err(EngineError::Unavailable);
        }
    }
}

async fn refusal(body: EngineBody) -> EngineError {
    let said = read_short(body).await.unwrap_or_default();
    let text = |pointer: &str| said.pointer(pointer).and_then(Value::as_str);
    let message = text("/error/message").unwrap_or("the engine refused the request").chars().take(500).collect();
    let is_name = |name: &&str| (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    EngineError::Refused { message, param: text("/error/param").filter(is_name).map(str::to_owned) }
}
