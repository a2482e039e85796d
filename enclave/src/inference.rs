//! The engine, on its Unix socket. The one file that knows its dialect.
//!
//! The engine is inside the appliance but not trusted with money: what it reports is bounded by the caller. Nothing it says
//! is logged, since its error texts repeat user content.

use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::UnixStream;

use crate::config::{EngineConfig, EngineDialect};
use crate::endpoint::Endpoint;
use crate::limits::{ENGINE_BODY_BYTES_MAX, ENGINE_CONNECT_TIMEOUT, ENGINE_IDLE_TIMEOUT};
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
    Refused(String),
    /// It answered something that is not its protocol.
    #[error("the engine's answer cannot be understood")]
    Malformed,
}

/// Token counts as the engine reports them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, with the chat template.
    pub prompt_tokens: u64,
    /// Completion tokens, over all choices.
    pub completion_tokens: u64,
}

impl Engine {
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
        body.insert("max_tokens".to_owned(), json!(completion_tokens));
        body.insert("n".to_owned(), json!(request.choices));
        body.insert("stream".to_owned(), json!(request.stream));
        match self.dialect {
            EngineDialect::Vllm => {
                // The prefix cache is shared by everybody unless salted: its timing tells what others asked (CVE-2025-46570).
                body.insert("cache_salt".to_owned(), json!(cache_salt));
                if request.stream {
                    let options = json!({"include_usage": true, "continuous_usage_stats": true});
                    body.insert("stream_options".to_owned(), options);
                }
            }
            EngineDialect::Llama => {
                // No salt exists in this dialect, so the cache stays unused.
                body.insert("cache_prompt".to_owned(), json!(false));
                if request.stream {
                    body.insert("stream_options".to_owned(), json!({"include_usage": true}));
                    body.insert("timings_per_token".to_owned(), json!(true));
                }
            }
        }
        Value::Object(body).to_string().into_bytes()
    }

    /// Sends a request; returns the body of a 200 answer.
    pub async fn infer(&self, endpoint: Endpoint, body: Vec<u8>) -> Result<Incoming, EngineError> {
        let request = http::Request::post(endpoint.path())
            .header("host", "engine")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| EngineError::Malformed)?;
        let response = self.send(request).await?;
        let status = response.status();
        match status.as_u16() {
            200 => Ok(response.into_body()),
            503 | 429 => Err(EngineError::Busy),
            400..=499 => Err(EngineError::Refused(refusal_text(response.into_body()).await)),
            _ => Err(EngineError::Unavailable),
        }
    }

    async fn send(&self, request: http::Request<Full<Bytes>>) -> Result<http::Response<Incoming>, EngineError> {
        let connect = tokio::time::timeout(ENGINE_CONNECT_TIMEOUT, UnixStream::connect(&self.socket));
        let stream = connect.await.map_err(|_| EngineError::Timeout)?.map_err(|_| EngineError::Unavailable)?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|_| EngineError::Unavailable)?;
        // Dropping the response drops the connection, on which both engines stop generating.
        tokio::spawn(connection);
        let answer = tokio::time::timeout(ENGINE_IDLE_TIMEOUT, sender.send_request(request)).await;
        answer.map_err(|_| EngineError::Timeout)?.map_err(|_| EngineError::Unavailable)
    }
}

/// Reads a whole plain answer.
pub async fn read_plain(body: Incoming) -> Result<Value, EngineError> {
    let read = tokio::time::timeout(ENGINE_IDLE_TIMEOUT, Limited::new(body, ENGINE_BODY_BYTES_MAX).collect()).await;
    let bytes = read.map_err(|_| EngineError::Timeout)?.map_err(|_| EngineError::Unavailable)?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|_| EngineError::Malformed)
}

async fn refusal_text(body: Incoming) -> String {
    const FALLBACK: &str = "the engine refused the request";
    let Ok(value) = read_plain(body).await else { return FALLBACK.to_owned() };
    let text = value.pointer("/error/message").and_then(Value::as_str).unwrap_or(FALLBACK);
    text.chars().take(500).collect()
}

/// Token counts of an answer or a chunk: `usage` of both dialects, or llama.cpp's per-token timings.
#[must_use]
pub fn usage_of(value: &Value) -> Option<Usage> {
    let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64);
    if let (Some(prompt_tokens), Some(completion_tokens)) =
        (number("/usage/prompt_tokens"), number("/usage/completion_tokens"))
    {
        return Some(Usage { prompt_tokens, completion_tokens });
    }
    let prompt_tokens = number("/timings/prompt_n")?.saturating_add(number("/timings/cache_n").unwrap_or(0));
    Some(Usage { prompt_tokens, completion_tokens: number("/timings/predicted_n")? })
}

#[cfg(test)]
mod tests {
    use super::{Usage, usage_of};

    #[test]
    fn reads_counts_of_both_dialects() {
        let counts = Usage { prompt_tokens: 31, completion_tokens: 4 };
        let vllm = serde_json::json!({"usage": {"prompt_tokens": 31, "completion_tokens": 4}});
        let llama = serde_json::json!({"timings": {"prompt_n": 30, "cache_n": 1, "predicted_n": 4}});
        assert_eq!(usage_of(&vllm), Some(counts));
        assert_eq!(usage_of(&llama), Some(counts));
        assert_eq!(usage_of(&serde_json::json!({"usage": null})), None);
        assert_eq!(usage_of(&serde_json::json!({"usage": {"prompt_tokens": -1, "completion_tokens": 4}})), None);
    }
}
