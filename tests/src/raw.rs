//! A bare HTTP/1.1 client over TLS, for what a well-behaved client never sends.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls;

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// What came after the body, if the client said that it takes that (`te: trailers`).
    pub trailers: HeaderMap,
}

impl Answer {
    /// The body as JSON (null when it is none).
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// `error.code` of an error body, or the empty string.
    #[must_use]
    pub fn code(&self) -> String {
        self.json().pointer("/error/code").and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// Sends one request on a connection of its own. An answer that breaks off is an error.
pub async fn send(port: u16, request: Request<Bytes>) -> anyhow::Result<Answer> {
    let (answer, whole) = send_and_take_what_comes(port, request).await?;
    anyhow::ensure!(whole, "the answer broke off");
    Ok(answer)
}

/// Sends one request on a connection of its own; the answer as far as it came, and whether it came to its end.
pub async fn send_and_take_what_comes(port: u16, request: Request<Bytes>) -> anyhow::Result<(Answer, bool)> {
    take(port, request, |_| false).await
}

/// A POST whose client leaves as soon as what it has satisfies `enough`.
pub async fn take_until(
    port: u16,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
    enough: impl Fn(&str) -> bool,
) -> anyhow::Result<()> {
    let request = json_post(path, headers, body)?;
    let (answer, ended) = take(port, request, |body| enough(&String::from_utf8_lossy(body))).await?;
    anyhow::ensure!(!ended, "the answer ended first: {}", answer.status);
    Ok(())
}

async fn take(port: u16, request: Request<Bytes>, enough: impl Fn(&[u8]) -> bool) -> anyhow::Result<(Answer, bool)> {
    Line::open(port).await?.take(request, enough).await
}

/// A TLS connection on which nothing was said yet.
///
/// # Errors
/// When the node does not take it.
pub async fn connect(port: u16, alpn: &[u8]) -> anyhow::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    // As our clients have it. Otherwise what is measured here is what one kernel waits before it acknowledges.
    stream.set_nodelay(true)?;
    let name = rustls::pki_types::ServerName::try_from("cloister.invalid")?;
    Ok(TlsConnector::from(tls::client_config(alpn)?).connect(name, stream).await?)
}

/// One connection that is kept, for many requests one after the other. Dropping it closes it.
#[derive(Debug)]
pub struct Line {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: tokio::task::JoinHandle<hyper::Result<()>>,
    port: u16,
}

impl Line {
    /// Connects.
    ///
    /// # Errors
    /// When the node does not take the connection.
    pub async fn open(port: u16) -> anyhow::Result<Self> {
        let stream = connect(port, b"http/1.1").await?;
        let client = stream.get_ref().0.local_addr()?.port();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, driver: tokio::spawn(connection), port: client })
    }

    /// This side's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends a request; its whole answer.
    ///
    /// # Errors
    /// When the answer breaks off.
    pub async fn send(&mut self, request: Request<Bytes>) -> anyhow::Result<Answer> {
        let (answer, whole) = self.take(request, |_| false).await?;
        anyhow::ensure!(whole, "the answer broke off");
        Ok(answer)
    }

    async fn take(
        &mut self,
        request: Request<Bytes>,
        enough: impl Fn(&[u8]) -> bool,
    ) -> anyhow::Result<(Answer, bool)> {
        self.sender.ready().await?;
        let (mut parts, body) = request.into_parts();
        parts.headers.insert(http::header::HOST, http::HeaderValue::from_static("cloister.invalid"));
        let response = self.sender.send_request(Request::from_parts(parts, Full::new(body))).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut incoming = response.into_body();
        let (mut body, mut trailers, mut whole) = (BytesMut::new(), HeaderMap::new(), true);
        while let Some(frame) = incoming.frame().await {
            let broken = frame.is_err();
            let frame = frame.ok();
            body.extend_from_slice(frame.as_ref().and_then(Frame::data_ref).map_or(&[], |data| &data[..]));
            trailers.extend(frame.and_then(|frame| frame.into_trailers().ok()).unwrap_or_default());
            if broken || enough(&body) {
                whole = false;
                break;
            }
        }
        Ok((Answer { status, headers, body: body.freeze(), trailers }, whole))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A POST with a JSON body.
pub async fn post(port: u16, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> anyhow::Result<Answer> {
    send(port, json_post(path, headers, body)?).await
}

/// The request of such a POST.
///
/// # Errors
/// When the headers are none.
pub fn json_post(path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> anyhow::Result<Request<Bytes>> {
    let mut request = Request::post(path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(request.body(body.into())?)
}

/// A GET.
pub async fn get(port: u16, path: &str) -> anyhow::Result<Answer> {
    send(port, Request::get(path).body(Bytes::new())?).await
}
