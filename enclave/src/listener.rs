//! Accepts connections, finishes TLS 1.3, and serves HTTP on them: one path for every kind of socket.
//!
//! TLS 1.3 only, X25519MLKEM768 preferred, no 0-RTT, no tickets: a resumed session would carry trust that was decided for
//! another one (N4). Each connection's RFC 9266 exporter is computed once and given to its handlers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use attestation::{EXPORTER_LABEL, Exporter};
use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::activity::{Activity, InUseBody};
use crate::attestation_api::Channel;
use crate::certificate::Certificates;
use crate::config::LimitsConfig;
use crate::limits::{
    ACCEPT_QUEUE, CONNECTION_CLOSE_TIMEOUT, FILES_RESERVED, HEADERS_MAX, PING_INTERVAL, PING_TIMEOUT,
    STREAM_ERRORS_MAX, STREAM_RESETS_PENDING_MAX,
};
use crate::metrics::{Failure, Metrics};
use crate::request_rest::RestTaken;
use crate::vsock::VsockListener;

/// TLS settings for a key, of which these are the certificates.
pub fn tls_config(certificates: Arc<Certificates>) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// Listens for clients at an address.
pub fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As `TcpListener::bind` does it: a node that starts again need not wait for connections of the one before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_QUEUE.into())
}

/// A listening socket.
pub trait Accept: Send + Sync + 'static {
    /// What it accepts.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _peer) = Self::accept(self).await?;
        // Tokens are small frames that must not wait for each other.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

impl Accept for VsockListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        Self::accept(self).await
    }
}

/// What every connection passes, whichever socket it came on. Clones share the limit on connections.
#[derive(Clone)]
pub struct Entrance {
    acceptor: TlsAcceptor,
    router: Router,
    slots: Arc<Semaphore>,
    limits: LimitsConfig,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<bool>,
}

impl std::fmt::Debug for Entrance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entrance").field("slots", &self.slots.available_permits()).finish_non_exhaustive()
    }
}

impl Entrance {
    /// An entrance that closes when `stop` turns true.
    #[must_use]
    pub fn new(
        tls: ServerConfig,
        router: Router,
        limits: LimitsConfig,
        metrics: Arc<Metrics>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let slots = Arc::new(Semaphore::new(connections_max(files, limits.connections)));
        Self { acceptor, router, slots, limits, metrics, stop }
    }

    /// An entrance of other keys and routes, under the same limit on connections.
    #[must_use]
    pub fn beside(&self, tls: ServerConfig, router: Router) -> Self {
        Self { acceptor: TlsAcceptor::from(Arc::new(tls)), router, ..self.clone() }
    }

    /// Serves until the entrance closes, then lets open connections finish what they are doing.
    pub async fn serve(self, listener: impl Accept) -> anyhow::Result<()> {
        let mut stop = self.stop.clone();
        loop {
            let slot = Arc::clone(&self.slots).acquire_owned().await.context("connection slots")?;
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(stream) => {
                    let (entrance, stop) = (self.clone(), stop.clone());
                    tokio::spawn(serve_connection(entrance, stream, stop, slot));
                }
                // Out of file descriptors, or the peer was gone already: wait a little instead of spinning.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
    }
}

/// Connections of a process that may open so many files.
fn connections_max(files: u64, configured: usize) -> usize {
    let places = files.saturating_sub(FILES_RESERVED) / 2;
    usize::try_from(places).unwrap_or(usize::MAX).clamp(1, configured)
}

async fn serve_connection(
    entrance: Entrance,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    mut stop: watch::Receiver<bool>,
    _slot: OwnedSemaphorePermit,
) {
    let Entrance { acceptor, router, limits, metrics, .. } = entrance;
    let _open = metrics.connection();
    let Ok(Ok(tls)) = tokio::time::timeout(limits.handshake(), acceptor.accept(stream)).await else {
        return metrics.failed(Failure::Handshake);
    };
    let Ok(exporter) = tls.get_ref().1.export_keying_material([0_u8; 32], EXPORTER_LABEL, Some(b"")) else { return };
    let channel = Arc::new(Channel::new(Exporter(exporter), limits));
    let activity = Arc::new(Activity::default());
    let routes = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&channel));
        let (in_use, answer) = (activity.begin(), routes.call(RestTaken::of(request)));
        async move { answer.await.map(|answer| answer.map(|body| InUseBody::new(body, in_use))) }
    });
    let builder = http_limits(&limits);
    let connection = builder.serve_connection(TokioIo::new(tls), service);
    tokio::pin!(connection);
    // A stopping node lets answers finish; drain has its own time. An idle connection has none.
    let time = tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => Duration::MAX,
        () = activity.idle_for(limits.idle()) => CONNECTION_CLOSE_TIMEOUT,
    };
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(time, connection).await;
}

/// What a client may do to both versions of HTTP, all of it configured or named in `limits.rs`.
fn http_limits(limits: &LimitsConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header())
        .max_headers(HEADERS_MAX)
        .max_buf_size(usize::try_from(limits.header_bytes).unwrap_or(usize::MAX));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_header_list_size(limits.header_bytes)
        .max_concurrent_streams(limits.streams_per_connection)
        .max_pending_accept_reset_streams(STREAM_RESETS_PENDING_MAX)
        .max_local_error_reset_streams(STREAM_ERRORS_MAX);
    builder
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and says what it skips")]
mod tests {
    use axum::extract::Extension;
    use axum::routing::get;
    use rustls::{ClientConfig, RootCertStore};
    use rustls_pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::vsock::{self, VsockAddress};

    /// The loopback machine of vsock (`VMADDR_CID_LOCAL`).
    const CID_LOCAL: u32 = 1;

    impl Accept for UnixListener {
        type Stream = UnixStream;

        async fn accept(&self) -> io::Result<UnixStream> {
            Ok(Self::accept(self).await?.0)
        }
    }

    struct Node {
        entrance: Entrance,
        client: TlsConnector,
        stop: watch::Sender<bool>,
    }

    /// An entrance whose one route answers with the channel's exporter, and a client that accepts its key alone.
    fn node() -> Node {
        let keys = crate::keys::generate(crate::clock::system().now(), None).unwrap();
        let exporter =
            |Extension(channel): Extension<Arc<Channel>>| async move { hex::encode(channel.exporter().unwrap().0) };
        let (stop, closed) = watch::channel(false);
        let router = Router::new().route("/exporter", get(exporter));
        let certificates = Arc::new(Certificates::new(&keys.tls, None).unwrap());
        let limits = LimitsConfig::default();
        let entrance = Entrance::new(tls_config(certificates).unwrap(), router, limits, Arc::default(), closed);
        let mut roots = RootCertStore::empty();
        roots.add(keys.tls.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Node { entrance, client: TlsConnector::from(Arc::new(client)), stop }
    }

    /// One request over `stream`; the answer must be the exporter that this side computes.
    async fn is_served(client: &TlsConnector, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let name = ServerName::try_from("cloister.invalid").unwrap();
        let mut tls = client.connect(name, stream).await.unwrap();
        let exporter = tls.get_ref().1.export_keying_material([0_u8; 32], EXPORTER_LABEL, Some(b"")).unwrap();
        tls.write_all(b"GET /exporter HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        tls.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&hex::encode(exporter)), "{answer}");
    }

    #[tokio::test]
    async fn every_kind_of_socket_leads_to_one_entrance() {
        let Node { entrance, client, stop } = node();
        let dir = std::env::temp_dir().join(format!("cloister-entrance-{}", std::process::id()));
        let _ = std::fs::remove_file(&dir);
        let unix = UnixListener::bind(&dir).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let slots = Arc::clone(&entrance.slots);
        let serving = [tokio::spawn(entrance.clone().serve(tcp)), tokio::spawn(entrance.serve(unix))];
        let held = TcpStream::connect(address).await.unwrap();
        let also_held = UnixStream::connect(&dir).await.unwrap();
        is_served(&client, TcpStream::connect(address).await.unwrap()).await;
        is_served(&client, UnixStream::connect(&dir).await.unwrap()).await;
        // Two open connections, and one slot that each listener keeps for the next: all of one limit.
        let limit = connections_max(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), 16_384);
        for _ in 0..100 {
            if slots.available_permits() == limit - 4 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(slots.available_permits(), limit - 4);
        stop.send_replace(true);
        for serving in serving {
            serving.await.unwrap().unwrap();
        }
        drop((held, also_held));
        std::fs::remove_file(&dir).unwrap();
    }

    #[test]
    fn there_are_never_more_connections_than_files() {
        let rows = [(0, 1), (1024, 384), (4096, 1920), (65_536, 16_384), (u64::MAX, 16_384)];
        for (files, connections) in rows {
            assert_eq!(connections_max(files, 16_384), connections, "{files} files");
        }
    }

    /// Needs the kernel's vsock loopback (`modprobe vsock_loopback`).
    #[tokio::test]
    async fn vsock_leads_to_the_same_entrance() {
        let Node { entrance, client, stop: _open } = node();
        let port = 20_000 + std::process::id() % 40_000;
        let listener = match VsockListener::bind(port) {
            Ok(listener) => listener,
            Err(error) => return eprintln!("SKIP: no vsock on this machine: {error}"),
        };
        tokio::spawn(entrance.serve(listener));
        let peer = VsockAddress { cid: CID_LOCAL, port };
        match tokio::time::timeout(Duration::from_secs(2), vsock::connect(peer)).await {
            Ok(Ok(stream)) => is_served(&client, stream).await,
            Ok(Err(error)) => eprintln!("SKIP: no vsock loopback (modprobe vsock_loopback): {error}"),
            Err(_) => eprintln!("SKIP: no vsock loopback (modprobe vsock_loopback): no answer"),
        }
    }
}
