//! Connections to the server: how they are described, protected and set up, and what their errors mean.

use std::error::Error;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use postgres::config::{Host, SslMode, TargetSessionAttrs};
use postgres::{Client, Config, NoTls};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::schema;
use crate::error::StoreError;
use crate::identity::LedgerIdentity;

/// Where a server's socket is when its description names no host (Debian's place).
const SOCKET_DIRECTORY: &str = "/var/run/postgresql";
/// How long connecting may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a silent network is waited for before a connection counts as lost.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// What every connection asks for. Waiting for the other services' turn is limited, and so is a turn of a service that went
/// silent. No limit on how long a statement takes: one that cut a commit off while it waits for a standby would count as done.
/// Warnings are asked for: one says when a commit no longer waits.
const SESSION: &str = "SET statement_timeout = 0; SET lock_timeout = '10s'; \
    SET idle_in_transaction_session_timeout = '10s'; SET client_min_messages = warning";
/// What connections that only read ask for as well.
const READER_SESSION: &str = "SET statement_timeout = '10s'";
/// How long a connection may take to say that it is alive.
const ALIVE_TIME_MAX: Duration = Duration::from_secs(5);

/// Errors that pass, by class or in full (appendix A of PostgreSQL's manual): connections, authorisation, conflicts, resources,
/// locks, shutdown, a transaction that was left alone too long, a server that became a standby, its disk.
const PASSING: [&str; 15] = [
    "08", "28", "40", "53", "55", "25006", "25P03", "25P04", "57000", "57014", "57P01", "57P02", "57P03", "58000",
    "58030",
];

/// A PostgreSQL server and the database on it.
#[derive(Clone)]
pub struct PostgresServer {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl PostgresServer {
    /// From a connection URL or `key=value` words, as `psql` takes them. With the certificates (PEM) of an authority the
    /// connection is over TLS and the server's name is checked; without, only servers on this machine are accepted.
    pub fn new(description: &str, authority: Option<&[u8]>) -> Result<Self, StoreError> {
        let malformed = |source: postgres::Error| StoreError::Connection { source: Box::new(source) };
        let mut config: Config = description.trim().parse().map_err(malformed)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host_path(SOCKET_DIRECTORY);
        }
        if config.get_application_name().is_none() {
            config.application_name("cloister-ledger");
        }
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.connect_timeout(CONNECT_TIME_MAX).tcp_user_timeout(SILENCE_MAX);
        config
            .keepalives(true)
            .keepalives_idle(SILENCE_MAX)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES);
        let tls = match authority {
            Some(authority) => {
                config.ssl_mode(SslMode::Require);
                Some(tls(authority)?)
            }
            None if is_local(&config) && config.get_ssl_mode() != SslMode::Require => None,
            None => return Err(StoreError::Unencrypted),
        };
        Ok(Self { config, tls })
    }

    /// Whether the description holds a password, which must then not be shown.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// Makes the tables of an empty ledger. Blocks; not for threads that drive a runtime.
    pub fn create_ledger(&self, identity: &LedgerIdentity) -> Result<(), StoreError> {
        schema::create(&mut self.connect()?, identity)
    }

    /// The same server; warnings that it sends are noted.
    pub(super) fn noting_warnings(&self, warned: Arc<AtomicBool>) -> Self {
        let mut server = self.clone();
        server.config.notice_callback(move |notice| {
            tracing::warn!(code = notice.code().code(), notice = notice.message(), "the database server warns");
            warned.store(true, Ordering::SeqCst);
        });
        server
    }

    pub(super) fn connect(&self) -> Result<Client, StoreError> {
        let connect = || match &self.tls {
            Some(tls) => self.config.connect(tls.clone()),
            None => self.config.connect(NoTls),
        };
        // The client panics when it is out of file descriptors.
        let connected = std::panic::catch_unwind(AssertUnwindSafe(connect));
        let connected = connected.map_err(|_| server("connect", "the client's runtime could not be made"))?;
        let mut client = connected.map_err(|error| match error.code() {
            Some(_) => serving("connect")(error),
            // Names, sockets, TLS: all of it about the way to the server.
            None => server("connect", error),
        })?;
        client.batch_execute(SESSION).map_err(serving("set its session up"))?;
        Ok(client)
    }
}

/// Whether a connection still reaches its server.
pub(super) fn is_alive(client: &mut Client) -> bool {
    client.is_valid(ALIVE_TIME_MAX).is_ok()
}

/// A connection that reads.
pub(super) struct Reader {
    pub(super) client: Client,
    /// It is at a server that was left behind: not to be used again.
    pub(super) is_behind: bool,
}

/// Makes connections that read.
pub(super) struct Readers(pub(super) PostgresServer);

impl r2d2::ManageConnection for Readers {
    type Connection = Reader;
    type Error = StoreError;

    fn connect(&self) -> Result<Reader, StoreError> {
        let mut client = self.0.connect()?;
        client.batch_execute(READER_SESSION).map_err(serving("set its session up"))?;
        Ok(Reader { client, is_behind: false })
    }

    fn is_valid(&self, reader: &mut Reader) -> Result<(), StoreError> {
        reader.client.is_valid(ALIVE_TIME_MAX).map_err(serving("answer"))
    }

    fn has_broken(&self, reader: &mut Reader) -> bool {
        reader.is_behind || reader.client.is_closed()
    }
}

fn tls(authority: &[u8]) -> Result<MakeRustlsConnect, StoreError> {
    let malformed = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Connection { source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority) {
        let certificate = certificate.map_err(|error| malformed(error.to_string().into()))?;
        roots.add(certificate).map_err(|error| malformed(error.into()))?;
    }
    if roots.is_empty() {
        return Err(malformed("the authority's file holds no certificate".into()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| malformed(error.into()))?;
    Ok(MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// Whether what is said to the server stays on this machine.
fn is_local(config: &Config) -> bool {
    let hosts = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback()),
        Host::Unix(_) => true,
    });
    hosts && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// Names the operation that an error interrupted, and tells errors that pass from those that do not.
pub(super) fn serving(doing: &'static str) -> impl FnOnce(postgres::Error) -> StoreError {
    move |error| {
        let passes = match error.code() {
            Some(code) => PASSING.iter().any(|passing| code.code().starts_with(passing)),
            None => error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()),
        };
        if passes { server(doing, error) } else { StoreError::Database { doing, source: Box::new(error) } }
    }
}

/// An error that passes.
pub(super) fn server(doing: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Server { doing, source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_the_machine_in_the_clear() {
        for local in ["", "postgresql:///ledger", "host=/run/pg user=x", "postgresql://u@127.0.0.1/l", "host=localhost"]
        {
            assert!(PostgresServer::new(local, None).is_ok(), "{local}");
        }
        for remote in [
            "postgresql://u@db.example/ledger",
            "postgresql://u@10.0.0.1/ledger",
            "host=127.0.0.1,10.0.0.1",
            "host=localhost hostaddr=10.0.0.1",
            "postgresql:///ledger?sslmode=require",
        ] {
            assert!(matches!(PostgresServer::new(remote, None), Err(StoreError::Unencrypted)), "{remote}");
        }
    }

    #[test]
    fn nonsense_is_malformed() {
        for text in ["postgresql://[", "no equals sign", "port=x"] {
            assert!(matches!(PostgresServer::new(text, None), Err(StoreError::Connection { .. })), "{text}");
        }
        for authority in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let server = PostgresServer::new("host=localhost", Some(authority.as_bytes()));
            assert!(matches!(server, Err(StoreError::Connection { .. })), "{authority}");
        }
    }
}
