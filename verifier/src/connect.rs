//! A TCP + TLS + HTTP/2 connection to a node about which nothing is known yet.
//!
//! Decides: nothing about trust. Trusts on entry: nothing. Holds on exit: a [`Channel`] with this side's view of the handshake.
//! A channel can fetch attestation documents, and that is all it can do: prompts, tabs and offers need a
//! [`Session`](crate::session::Session).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::target::NodeUrl;
use crate::tls::{ChannelSecrets, TlsError, channel_secrets, client_config};

/// Longest wait for the TCP connection and for the handshake, each.
pub const CONNECT_SECS_MAX: u64 = 10;
/// HTTP/2 pings go out this often, so that a vanished node is noticed while a model thinks.
const PING_SECS: u64 = 15;
/// A ping without answer for this long ends the connection.
const PING_ANSWER_SECS_MAX: u64 = 20;

/// The sending half of a connection.
pub(crate) type Sender = SendRequest<Full<Bytes>>;

/// Why there is no connection. Nothing was sent to the node beyond the handshake.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host is unknown or refuses connections.
    #[error("connect to {address}")]
    Tcp {
        /// What was dialled.
        address: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The handshake failed; a bad handshake signature ends here.
    #[error("TLS handshake with {address}")]
    Handshake {
        /// What was dialled.
        address: String,
        /// What the TLS library said.
        #[source]
        source: std::io::Error,
    },
    /// The peer did not answer in time.
    #[error("{address} did not finish {step} within {CONNECT_SECS_MAX} s")]
    TimedOut {
        /// What was dialled.
        address: String,
        /// The unfinished step.
        step: &'static str,
    },
    /// The handshake finished without something that is needed.
    #[error("the TLS connection is not usable")]
    Tls(#[from] TlsError),
    /// The HTTP/2 preface failed.
    #[error("start HTTP/2")]
    Http2(#[source] hyper::Error),
}

/// A connection to a node that has proved nothing yet.
pub struct Channel {
    pub(crate) sender: Sender,
    pub(crate) secrets: ChannelSecrets,
    pub(crate) target: NodeUrl,
}

impl Channel {
    /// Dials the node and finishes the handshake.
    ///
    /// # Errors
    /// When any step fails or takes too long.
    pub async fn open(target: &NodeUrl) -> Result<Self, ConnectError> {
        let address = target.authority();
        let late = |step| {
            let address = address.clone();
            move |_| ConnectError::TimedOut { address, step }
        };
        let limit = Duration::from_secs(CONNECT_SECS_MAX);
        // 1. TCP.
        let tcp = timeout(limit, TcpStream::connect((target.host(), target.port())))
            .await
            .map_err(late("the TCP connection"))?
            .map_err(|source| ConnectError::Tcp { address: address.clone(), source })?;
        // Latency of small frames matters more than packet count; failure to set it does not matter.
        let _ = tcp.set_nodelay(true);
        // 2. TLS 1.3; the handshake signature is verified, identity is not.
        let connector = TlsConnector::from(Arc::clone(&client_config()?));
        let tls = timeout(limit, connector.connect(target.server_name(), tcp))
            .await
            .map_err(late("the TLS handshake"))?
            .map_err(|source| ConnectError::Handshake { address: address.clone(), source })?;
        // 3. This side's own view of the channel.
        let secrets = channel_secrets(tls.get_ref().1)?;
        // 4. HTTP/2.
        let (sender, driver) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(Duration::from_secs(PING_SECS)))
            .keep_alive_timeout(Duration::from_secs(PING_ANSWER_SECS_MAX))
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(tls))
            .await
            .map_err(ConnectError::Http2)?;
        // The driver ends when every sender is dropped or the peer goes away; requests then report the error themselves.
        tokio::spawn(async move { drop(driver.await) });
        Ok(Self { sender, secrets, target: target.clone() })
    }

    /// The node's address.
    #[must_use]
    pub fn target(&self) -> &NodeUrl {
        &self.target
    }

    /// This side's own view of the handshake.
    #[must_use]
    pub fn secrets(&self) -> &ChannelSecrets {
        &self.secrets
    }
}
