//! Accepts connections, finishes TLS 1.3, and serves HTTP on them.
//!
//! TLS 1.3 only, X25519MLKEM768 preferred, no 0-RTT, no tickets: a resumed session would carry trust that was decided for
//! another one (N4). Each connection's RFC 9266 exporter is computed once and given to its handlers.

use std::sync::Arc;

use anyhow::Context;
use attestation::{EXPORTER_LABEL, Exporter};
use axum::Router;
use axum::extract::Extension;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::attestation_api::Channel;
use crate::keys::BootKeys;
use crate::limits::{
    CONNECTIONS_MAX, HANDSHAKE_TIMEOUT, HEADER_BYTES_MAX, HEADER_READ_TIMEOUT, STREAMS_PER_CONNECTION_MAX,
};

/// TLS settings for the boot key.
pub fn tls_config(keys: &BootKeys) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![keys.certificate.clone()], keys.tls_key.clone_key())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// Serves until `stop` turns true, then lets open connections finish what they are doing.
pub async fn serve(
    listener: TcpListener,
    tls: ServerConfig,
    router: Router,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await.context("connection slots")?;
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _peer)) => {
                let connection = serve_connection(acceptor.clone(), stream, router.clone(), slot, stop.clone());
                tokio::spawn(connection);
            }
            // Out of file descriptors, or the peer was gone already: wait a little instead of spinning.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

async fn serve_connection(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    router: Router,
    _slot: OwnedSemaphorePermit,
    mut stop: watch::Receiver<bool>,
) {
    // Tokens are small frames that must not wait for each other.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(tls)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await else { return };
    let Ok(exporter) = tls.get_ref().1.export_keying_material([0_u8; 32], EXPORTER_LABEL, Some(b"")) else { return };
    let channel = Arc::new(Channel::new(Exporter(exporter)));
    let service = TowerToHyperService::new(router.layer(Extension(channel)));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT).max_headers(64);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX);
    let connection = builder.serve_connection(TokioIo::new(tls), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
