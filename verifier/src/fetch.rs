//! Plain request and answer over an open connection, with a cap on size and time.
//!
//! Decides: when an answer is too long, too late or not an answer. Trusts on entry: nothing. Holds on exit: at most the allowed
//! number of bytes. Whether anything in them is true is decided elsewhere.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::connect::Sender;

/// Longest wait for a small answer: attestation, offer, tab, receipt.
pub const ANSWER_SECS_MAX: u64 = 60;
/// Most bytes of a small answer; also the cap of an attestation document (protocol.md §2.3).
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Why a node gave no usable answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The connection was gone before the request left: the node has certainly not seen it.
    #[error("the connection to the node is closed")]
    Closed,
    /// The connection broke while a request was under way: the node may have seen it.
    #[error("the connection to the node broke during {during}")]
    Broken {
        /// What was under way.
        during: &'static str,
        /// What HTTP said.
        #[source]
        source: hyper::Error,
    },
    /// No answer in time: the node may have seen the request.
    #[error("the node did not answer {during} within {limit_secs} s")]
    TimedOut {
        /// What was under way.
        during: &'static str,
        /// The limit.
        limit_secs: u64,
    },
    /// The node refused.
    #[error("the node refused: {message} (HTTP {status}, {code})")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// The `code` of the node's error, or `http.<status>`.
        code: String,
        /// The node's words, shortened and without control characters.
        message: String,
    },
    /// The answer is longer than such an answer may be.
    #[error("the answer to {during} is longer than {limit} bytes")]
    TooLong {
        /// What was under way.
        during: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The answer is not what the protocol says.
    #[error("the answer to {during} is malformed: {detail}")]
    Malformed {
        /// What was under way.
        during: &'static str,
        /// What is wrong.
        detail: String,
    },
}

impl NodeError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Closed | Self::Broken { .. } => "node.connection_lost",
            Self::TimedOut { .. } => "node.timed_out",
            Self::Refused { code, .. } => code,
            Self::TooLong { .. } | Self::Malformed { .. } => "node.malformed",
        }
    }

    /// Whether the node certainly did not act on the request: it never left, or the node said no.
    #[must_use]
    pub fn is_definitive(&self) -> bool {
        match self {
            Self::Closed => true,
            Self::Refused { status, .. } => status.is_client_error(),
            Self::Broken { .. } | Self::TimedOut { .. } | Self::TooLong { .. } | Self::Malformed { .. } => false,
        }
    }

    /// Whether a new connection may help.
    #[must_use]
    pub fn is_connection_lost(&self) -> bool {
        matches!(self, Self::Closed | Self::Broken { .. })
    }
}

/// Sends one request and waits for the head of the answer.
pub(crate) async fn send(
    sender: &Sender,
    request: Request<Full<Bytes>>,
    during: &'static str,
    limit_secs: u64,
) -> Result<Response<Incoming>, NodeError> {
    let mut sender = sender.clone();
    let answer = async {
        if sender.is_closed() || sender.ready().await.is_err() {
            return Err(NodeError::Closed);
        }
        sender.send_request(request).await.map_err(|source| {
            if source.is_canceled() { NodeError::Closed } else { NodeError::Broken { during, source } }
        })
    };
    timeout(Duration::from_secs(limit_secs), answer).await.map_err(|_| NodeError::TimedOut { during, limit_secs })?
}

/// Sends a request and reads its whole answer. A status that is not 2xx becomes [`NodeError::Refused`].
pub(crate) async fn call(
    sender: &Sender,
    request: Request<Full<Bytes>>,
    during: &'static str,
) -> Result<(HeaderMap, Bytes), NodeError> {
    let response = send(sender, request, during, ANSWER_SECS_MAX).await?;
    let (head, body) = response.into_parts();
    let body = timeout(Duration::from_secs(ANSWER_SECS_MAX), collect(body, during, ANSWER_BYTES_MAX))
        .await
        .map_err(|_| NodeError::TimedOut { during, limit_secs: ANSWER_SECS_MAX })??;
    if head.status.is_success() { Ok((head.headers, body)) } else { Err(refusal(head.status, &body)) }
}

/// [`call`], then JSON of the expected shape.
pub(crate) async fn call_json<T: DeserializeOwned>(
    sender: &Sender,
    request: Request<Full<Bytes>>,
    during: &'static str,
) -> Result<T, NodeError> {
    let (_, body) = call(sender, request, during).await?;
    serde_json::from_slice(&body).map_err(|error| NodeError::Malformed { during, detail: error.to_string() })
}

/// Reads a body up to `limit` bytes; trailers are dropped.
pub(crate) async fn collect(mut body: Incoming, during: &'static str, limit: usize) -> Result<Bytes, NodeError> {
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| NodeError::Broken { during, source })?;
        if let Ok(data) = frame.into_data() {
            if collected.len() + data.len() > limit {
                return Err(NodeError::TooLong { during, limit });
            }
            collected.extend_from_slice(&data);
        }
    }
    Ok(collected.freeze())
}

/// The node's error body, read leniently: an unreadable refusal is still a refusal.
pub(crate) fn refusal(status: StatusCode, body: &[u8]) -> NodeError {
    #[derive(Deserialize)]
    struct Outer {
        error: Inner,
    }
    #[derive(Deserialize)]
    struct Inner {
        #[serde(default)]
        message: Option<String>,
        #[serde(default)]
        code: Option<String>,
    }
    let parsed = serde_json::from_slice::<Outer>(body).ok().map(|outer| outer.error);
    let (message, code) = parsed.map_or((None, None), |inner| (inner.message, inner.code));
    NodeError::Refused {
        status,
        code: printable(&code.unwrap_or_else(|| format!("http.{}", status.as_u16())), 64),
        message: printable(&message.unwrap_or_else(|| "no reason given".to_owned()), 400),
    }
}

/// A peer's words for a terminal: no control characters, bounded.
pub(crate) fn printable(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_keep_code_and_message_and_no_control_characters() {
        let body = br#"{"error":{"message":"no \u001b[31mmoney","type":"payment_required","param":null,"code":"tab.insufficient"}}"#;
        let error = refusal(StatusCode::PAYMENT_REQUIRED, body);
        assert_eq!(error.code(), "tab.insufficient");
        assert!(error.to_string().contains("no [31mmoney"), "{error}");
        assert!(error.is_definitive() && !error.is_connection_lost());
    }

    #[test]
    fn an_unreadable_refusal_is_a_refusal() {
        for body in [&b""[..], b"<html>", b"{\"error\":\"text\"}", b"{\"detail\":1}"] {
            assert_eq!(refusal(StatusCode::BAD_GATEWAY, body).code(), "http.502");
        }
        // A 5xx may come from something between the request and the decision.
        assert!(!refusal(StatusCode::BAD_GATEWAY, b"").is_definitive());
    }
}
