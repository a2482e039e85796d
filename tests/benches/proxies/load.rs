//! The clients: the same requests to whatever listens, signed for a tab like a wallet does, over connections that are kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use acceptance::payer::{CHAT, Payer};
use acceptance::tls;
use anyhow::{Context, ensure};
use bytes::Bytes;
use credits::wallet::PreparedSpend;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::upstream::TOKENS;

/// Who asks, and with what.
pub(crate) struct Client {
    payer: Payer,
    tabs: Vec<PreparedSpend>,
    tls: Arc<ClientConfig>,
    body: Vec<u8>,
    calls: AtomicU64,
}

/// One answer.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// From the request to the first byte of the body.
    pub(crate) first: Duration,
    /// From the request to the end.
    pub(crate) whole: Duration,
    /// Bytes of the body.
    pub(crate) bytes: usize,
}

impl Client {
    /// A client with so many tabs open at the node.
    pub(crate) async fn new(mut payer: Payer, tabs: usize, plain: bool) -> anyhow::Result<Self> {
        let mut open = Vec::new();
        for _ in 0..tabs {
            open.push(payer.opened(crate::node::TIER, 3000).await?);
        }
        let body = json!({"model": "smollm2-135m", "stream": true, "max_tokens": TOKENS,
            "stream_options": {"include_usage": true, "include_obfuscation": !plain},
            "messages": [{"role": "user", "content": "Write sixty-four words."}]});
        let (tls, body) = (tls::client_config(b"http/1.1")?, body.to_string().into_bytes());
        Ok(Self { payer, tabs: open, tls, body, calls: AtomicU64::new(0) })
    }

    /// A connection, with its handshake done.
    pub(crate) async fn connect(&self, port: u16) -> anyhow::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("cloister.invalid")?;
        Ok(TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?)
    }

    /// A connection for requests.
    pub(crate) async fn open(&self, port: u16) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.connect(port).await?)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// One request; every event of its answer must come.
    pub(crate) async fn ask(&self, sender: &mut SendRequest<Full<Bytes>>, connection: usize) -> anyhow::Result<Sample> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let tab = self.tabs.get(connection % self.tabs.len()).context("a tab")?;
        let headers = self.payer.chat_headers(tab, &format!("call-{call}"), &self.body);
        let mut request = Request::post(CHAT)
            .header("host", "cloister.invalid")
            .header("content-type", "application/json")
            .header("te", "trailers");
        for (name, value) in headers.pairs() {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(self.body.clone())))?;
        let began = Instant::now();
        sender.ready().await?;
        let mut response = sender.send_request(request).await?;
        let (mut first, mut bytes, mut events, mut after_newline) = (None, 0, 0, false);
        while let Some(frame) = response.frame().await {
            let frame = frame?;
            let Some(data) = frame.data_ref() else { continue };
            first.get_or_insert_with(|| began.elapsed());
            bytes += data.len();
            for byte in data {
                events += usize::from(after_newline && *byte == b'\n');
                after_newline = *byte == b'\n';
            }
        }
        let status = response.status();
        ensure!(status.is_success() && events == TOKENS + 2, "{status}: {events} events, {bytes} bytes");
        Ok(Sample { first: first.context("no body")?, whole: began.elapsed(), bytes })
    }

    /// Streams on so many connections at once for a time; all that were finished.
    pub(crate) async fn streams(
        self: &Arc<Self>,
        port: u16,
        connections: usize,
        time: Duration,
    ) -> anyhow::Result<Vec<Sample>> {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(self.open(port).await?);
        }
        let until = Instant::now() + time;
        let mut tasks = tokio::task::JoinSet::new();
        for (connection, mut sender) in open.into_iter().enumerate() {
            let client = Arc::clone(self);
            tasks.spawn(async move {
                let mut samples = Vec::new();
                loop {
                    samples.push(client.ask(&mut sender, connection).await?);
                    if Instant::now() >= until {
                        return anyhow::Ok(samples);
                    }
                }
            });
        }
        let mut samples = Vec::new();
        while let Some(finished) = tasks.join_next().await {
            samples.extend(finished??);
        }
        Ok(samples)
    }

    /// Handshakes on so many connections at once for a time; how many there were.
    pub(crate) async fn handshakes(
        self: &Arc<Self>,
        port: u16,
        at_once: usize,
        time: Duration,
    ) -> anyhow::Result<usize> {
        let until = Instant::now() + time;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..at_once {
            let client = Arc::clone(self);
            tasks.spawn(async move {
                let mut count = 0;
                while Instant::now() < until {
                    drop(client.connect(port).await?);
                    count += 1;
                }
                anyhow::Ok(count)
            });
        }
        let mut count = 0;
        while let Some(finished) = tasks.join_next().await {
            count += finished??;
        }
        Ok(count)
    }
}
