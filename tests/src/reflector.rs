//! Somebody who answers a client's question for evidence with evidence that was made for another question: HTTP/2 with a TLS key of
//! his choice, and no node behind it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What he answers to a question with this nonce.
pub type Answers = dyn Fn(&str) -> Vec<u8> + Send + Sync;

/// A running one. Dropping it stops it.
#[derive(Debug)]
pub struct Reflector {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Reflector {
    /// Listens on loopback.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(server: Arc<ServerConfig>, answers: Arc<Answers>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(server);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, answers) = (acceptor.clone(), Arc::clone(&answers));
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(client).await else { return };
                    let service = service_fn(|request: Request<Incoming>| {
                        let nonce = request.uri().query().and_then(|query| query.strip_prefix("nonce="));
                        let answer = answers(nonce.unwrap_or_default());
                        async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer)))) }
                    });
                    // The client may leave at any time; that ends this connection only.
                    let serving = http2::Builder::new(TokioExecutor::new());
                    let _ = serving.serve_connection(TokioIo::new(tls), service).await;
                });
            }
        });
        Ok(Self { address, task })
    }

    /// What a client would be told to connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for Reflector {
    fn drop(&mut self) {
        self.task.abort();
    }
}
