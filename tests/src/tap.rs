//! Somebody on the network between client and node, who forwards everything and writes down the sizes of the TLS records that
//! come back. It is all that encryption leaves him.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Type of a TLS record that carries ciphertext (RFC 8446 §5.1).
const APPLICATION_DATA: u8 = 23;

/// A running tap. Dropping it stops it.
#[derive(Debug)]
pub struct Tap {
    port: u16,
    records: Arc<Mutex<Vec<usize>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Tap {
    /// Listens on loopback, in front of `node_port`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(node_port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let records = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&records);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Either side may break off; that ends this connection only.
                tokio::spawn({
                    let notes = Arc::clone(&notes);
                    async move { drop(forward(client, node_port, notes).await) }
                });
            }
        });
        Ok(Self { port, records, task })
    }

    /// Where a client connects.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sizes of the records that came back since the last call, without those of handshakes.
    #[must_use]
    pub fn take_records(&self) -> Vec<usize> {
        std::mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(client: TcpStream, node_port: u16, records: Arc<Mutex<Vec<usize>>>) -> std::io::Result<()> {
    let node = TcpStream::connect(("127.0.0.1", node_port)).await?;
    for stream in [&client, &node] {
        stream.set_nodelay(true)?;
    }
    let (from_client, to_client) = client.into_split();
    let (from_node, to_node) = node.into_split();
    // The node's handshake is over before the client encrypts anything (its Finished), and there are no tickets after it.
    let client_spoke = Arc::new(AtomicBool::new(false));
    let spoke = Arc::clone(&client_spoke);
    let up = relay(from_client, to_node, move |_| spoke.store(true, Ordering::Release));
    let down = relay(from_node, to_client, move |length| {
        if client_spoke.load(Ordering::Acquire) {
            records.lock().unwrap_or_else(PoisonError::into_inner).push(length);
        }
    });
    tokio::select! {
        ended = up => ended,
        ended = down => ended,
    }
}

/// Forwards records until one side is gone; `encrypted` learns the length of each that carries ciphertext, before it is forwarded.
async fn relay(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut encrypted: impl FnMut(usize),
) -> std::io::Result<()> {
    loop {
        let mut head = [0; 5];
        from.read_exact(&mut head).await?;
        let [kind, _, _, high, low] = head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let mut record = head.to_vec();
        record.resize(head.len() + length, 0);
        from.read_exact(record.get_mut(head.len()..).unwrap_or_default()).await?;
        if kind == APPLICATION_DATA {
            encrypted(length);
        }
        to.write_all(&record).await?;
    }
}
