//! An engine that says what a test tells it to: in the real one's place on the socket, for what the real one does too seldom.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedSender;

/// One thing the engine does while it answers.
#[derive(Debug, Clone)]
pub enum Step {
    /// It writes these bytes, which need not be HTTP.
    Say(Vec<u8>),
    /// It is silent.
    Pause(Duration),
    /// It is silent until whoever asked has left, and says when that was.
    UntilLeft(UnboundedSender<Instant>),
}

impl Step {
    /// The head of an event stream that ends with the connection.
    #[must_use]
    pub fn stream_head() -> Self {
        Self::Say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_vec())
    }

    /// One event.
    #[must_use]
    pub fn event(data: &Value) -> Self {
        Self::Say(format!("data: {data}\n\n").into_bytes())
    }

    /// The end of a stream.
    #[must_use]
    pub fn done() -> Self {
        Self::Say(b"data: [DONE]\n\n".to_vec())
    }
}

/// A chunk with one piece of text, as llama.cpp's server sends it.
#[must_use]
pub fn text_chunk(text: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]})
}

/// The last chunk of an answer.
#[must_use]
pub fn finish_chunk() -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
}

/// The chunk with the counts.
#[must_use]
pub fn usage_chunk(prompt_tokens: u64, completion_tokens: u64) -> Value {
    json!({"choices": [], "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}})
}

/// A whole well-formed answer of these pieces.
#[must_use]
pub fn answer(pieces: &[String]) -> Vec<Step> {
    let mut steps = vec![Step::stream_head()];
    steps.extend(pieces.iter().map(|piece| Step::event(&text_chunk(piece))));
    let count = u64::try_from(pieces.len()).unwrap_or(u64::MAX);
    steps.extend([Step::event(&finish_chunk()), Step::event(&usage_chunk(10, count)), Step::done()]);
    steps
}

/// A whole plain answer.
#[must_use]
pub fn plain(answer: &Value) -> Vec<Step> {
    let body = answer.to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    vec![Step::Say((head + &body).into_bytes())]
}

/// What the engine does with the body of a request.
pub type Script = dyn Fn(&Value) -> Vec<Step> + Send + Sync;

/// A running one. Dropping it stops it.
#[derive(Debug)]
pub struct ScriptedEngine(tokio::task::JoinHandle<()>);

impl ScriptedEngine {
    /// Listens on `socket`, whatever was there before, and is healthy.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub fn start(socket: &Path, script: Arc<Script>) -> anyhow::Result<Self> {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket)?;
        Ok(Self(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = Arc::clone(&script);
                // The guardian may hang up at any time; that ends this answer only.
                tokio::spawn(async move { drop(serve(stream, &*script).await) });
            }
        })))
    }
}

impl Drop for ScriptedEngine {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(mut stream: UnixStream, script: &Script) -> std::io::Result<()> {
    let mut seen = Vec::new();
    let (head, body) = loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await?;
        seen.extend_from_slice(piece.get(..count).unwrap_or_default());
        if let Some(whole) = whole_request(&seen) {
            break whole;
        }
        if count == 0 {
            return Ok(());
        }
    };
    if head.starts_with("GET /health ") {
        return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    }
    for step in script(&body) {
        match step {
            Step::Say(bytes) => {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
            }
            Step::Pause(time) => tokio::time::sleep(time).await,
            Step::UntilLeft(when) => {
                while matches!(stream.read(&mut [0; 512]).await, Ok(1..)) {}
                let _ = when.send(Instant::now());
                return Ok(());
            }
        }
    }
    stream.shutdown().await
}

/// Head and body, once both are there.
fn whole_request(seen: &[u8]) -> Option<(String, Value)> {
    let end = seen.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(seen.get(..end)?).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).map_or(Ok(0), |n| n.trim().parse());
    let body = seen.get(end..end.checked_add(length.ok()?)?)?;
    let head = String::from_utf8_lossy(seen.get(..end)?).into_owned();
    Some((head, serde_json::from_slice(body).unwrap_or_default()))
}
