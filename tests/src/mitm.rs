//! A man in the middle: his own TLS key towards the client, a genuine connection towards the node, and all evidence
//! forwarded unchanged. He writes down every byte the client sends him.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::tls;

/// A running man in the middle.
#[derive(Debug)]
pub struct Mitm {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Mitm {
    /// Listens on loopback and forwards to `node_port`.
    pub async fn start(node_port: u16) -> anyhow::Result<Self> {
        Self::start_as(tls::server_config(b"h2")?, node_port).await
    }

    /// The same, with a certificate of somebody's choice.
    pub async fn start_as(server: Arc<ServerConfig>, node_port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let acceptor = TlsAcceptor::from(server);
        let connector = TlsConnector::from(tls::client_config(b"h2")?);
        let notes = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, connector, notes) = (acceptor.clone(), connector.clone(), Arc::clone(&notes));
                tokio::spawn(async move {
                    // Either side may break off at any time; that ends this connection only.
                    let _ = forward(client, node_port, &acceptor, &connector, &notes).await;
                });
            }
        });
        Ok(Self { address, heard, task })
    }

    /// What a client would be told to connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Everything the client sent so far, decrypted.
    #[must_use]
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Mitm {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    client: TcpStream,
    node_port: u16,
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
    notes: &Mutex<Vec<u8>>,
) -> anyhow::Result<()> {
    let (mut from_client, mut to_client) = tokio::io::split(acceptor.accept(client).await?);
    let node = TcpStream::connect(("127.0.0.1", node_port)).await?;
    let name = rustls::pki_types::ServerName::try_from("cloister.invalid")?;
    let (mut from_node, mut to_node) = tokio::io::split(connector.connect(name, node).await?);
    let upwards = async {
        let mut buffer = vec![0_u8; 16 << 10];
        loop {
            let count = from_client.read(&mut buffer).await?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { return anyhow::Ok(()) };
            notes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            to_node.write_all(bytes).await?;
            to_node.flush().await?;
        }
    };
    tokio::select! {
        outcome = upwards => outcome,
        copied = tokio::io::copy(&mut from_node, &mut to_client) => { copied?; Ok(()) }
    }
}
