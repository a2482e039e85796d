//! Connections to the server: how they are described, protected and set up, and what their errors mean.

use std::net::IpAddr;
use std::sync::Arc;
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

/// What every connection asks for. A commit is acknowledged once it is on disk, here and on standbys that the server waits for.
/// No limit on how long a statement takes: one that cut a commit off while it waits for a standby would count as done. Waiting
/// for the other services' turn is limited, and so is a turn of a service that went silent.
const SESSION: &str = "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '10s'; \
    SELECT set_config('synchronous_commit', 'on', false) \
    WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')";

/// Classes of server errors that pass: the server was stopped, is starting, overloaded, full, or someone else's turn did not
/// end. Appendix A of PostgreSQL's manual.
const PASSING_CLASSES: [&str; 7] = ["08", "28", "40", "53", "55", "57", "58"];
/// A server that became a standby.
const READ_ONLY: &str = "25006";

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
        config.connect_timeout(CONNECT_TIME_MAX).tcp_user_timeout(SILENCE_MAX).keepalives_idle(SILENCE_MAX);
        config.keepalives_interval(KEEPALIVE_INTERVAL).keepalives_retries(KEEPALIVE_RETRIES);
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
        schema::create(&mut self.connect().map_err(serving("connect"))?, identity)
    }

    pub(super) fn connect(&self) -> Result<Client, postgres::Error> {
        let mut client = match &self.tls {
            Some(tls) => self.config.connect(tls.clone()),
            None => self.config.connect(NoTls),
        }?;
        client.batch_execute(SESSION)?;
        Ok(client)
    }
}

impl r2d2::ManageConnection for PostgresServer {
    type Connection = Client;
    type Error = postgres::Error;

    fn connect(&self) -> Result<Client, postgres::Error> {
        Self::connect(self)
    }

    fn is_valid(&self, client: &mut Client) -> Result<(), postgres::Error> {
        client.check_connection()
    }

    fn has_broken(&self, client: &mut Client) -> bool {
        client.is_closed()
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
        // What is not the server's own word is about the connection to it.
        let passes = error.code().is_none_or(|code| {
            code.code() == READ_ONLY || PASSING_CLASSES.iter().any(|class| code.code().starts_with(class))
        });
        let source = Box::new(error);
        if passes { StoreError::Server { doing, source } } else { StoreError::Database { doing, source } }
    }
}

pub(super) fn no_reader(error: r2d2::Error) -> StoreError {
    StoreError::Server { doing: "connect", source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_the_machine_in_the_clear() {
        for local in ["", "postgresql:///ledger", "host=/run/pg user=x", "postgresql://u@127.0.0.1/l", "host=localhost"] {
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
