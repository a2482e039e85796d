//! The guardian's own listener: every handshake is a whole one, of TLS 1.3, and nothing is read before its end (threat N4).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use acceptance::{World, tls};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ServerConfig, ServerConnection, StreamOwned};

/// Remembers tickets, and how many there were.
#[derive(Debug)]
struct Tickets {
    kept: ClientSessionMemoryCache,
    came: AtomicUsize,
}

impl Tickets {
    fn new() -> Arc<Self> {
        Arc::new(Self { kept: ClientSessionMemoryCache::new(8), came: AtomicUsize::new(0) })
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.kept.set_kx_hint(name, group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept.kx_hint(name)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.came.fetch_add(1, Ordering::SeqCst);
        self.kept.set_tls12_session(name, value);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept.tls12_session(name)
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.kept.remove_tls12_session(name);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.came.fetch_add(1, Ordering::SeqCst);
        self.kept.insert_tls13_ticket(name, value);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept.take_tls13_ticket(name)
    }
}

/// A client that takes every ticket, and sends early data whenever it has one that allows it.
fn client(tickets: &Arc<Tickets>) -> Arc<ClientConfig> {
    let mut config = (*tls::client_config(b"http/1.1").unwrap()).clone();
    config.resumption = Resumption::store(Arc::<Tickets>::clone(tickets));
    config.enable_early_data = true;
    Arc::new(config)
}

/// What became of one connection.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// The client offered a ticket, with early data.
    offered: bool,
    kind: Option<HandshakeKind>,
    early_data_taken: bool,
    /// Statuses that came back.
    statuses: Vec<String>,
}

fn asked(config: &Arc<ClientConfig>, port: u16) -> Outcome {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let name = ServerName::try_from("cloister.invalid").unwrap();
    let mut tls = ClientConnection::new(Arc::clone(config), name).unwrap();
    let early = b"GET /v1/models HTTP/1.1\r\nhost: n\r\n\r\n";
    let offered = tls.early_data().map(|mut early_data| early_data.write(early).unwrap()) == Some(early.len());
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).unwrap();
    }
    let (kind, early_data_taken) = (tls.handshake_kind(), tls.is_early_data_accepted());
    let mut stream = StreamOwned::new(tls, socket);
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let statuses = answer.lines().filter(|line| line.starts_with("HTTP/1.1 ")).map(str::to_owned).collect();
    Outcome { offered, kind, early_data_taken, statuses }
}

/// A server of the test's that gives tickets and takes early data: with it, the client does all that the guardian must refuse.
fn generous() -> u16 {
    let mut config: ServerConfig = (*tls::server_config(b"http/1.1").unwrap()).clone();
    config.max_early_data_size = 4096;
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), socket);
            // Early data first, if there is any.
            while stream.conn.is_handshaking() {
                if stream.conn.complete_io(&mut stream.sock).is_err() {
                    break;
                }
            }
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            stream.conn.send_close_notify();
            let _ = stream.conn.complete_io(&mut stream.sock);
        }
    });
    port
}

/// The ClientHello of a client that knows no newer version than TLS 1.2.
fn hello_of_tls_1_2() -> Vec<u8> {
    let extensions: &[u8] = &[
        0, 10, 0, 6, 0, 4, 0, 29, 0, 23, // groups: X25519, P-256
        0, 11, 0, 2, 1, 0, // uncompressed points
        0, 13, 0, 6, 0, 4, 4, 3, 8, 4, // signatures: ECDSA with P-256, RSA-PSS
    ];
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    // No session; ECDHE with ECDSA or RSA and AES-128-GCM; no compression.
    body.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let length = u16::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1];
    record.extend((length + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend(length.to_be_bytes());
    record.extend(body);
    record
}

#[test]
fn the_guardian_resumes_nothing_takes_no_early_data_and_speaks_no_older_tls() {
    let world = World::builder().start().unwrap();
    let port = world.guardian_port();
    let ok = || vec!["HTTP/1.1 200 OK".to_owned()];
    let whole = |offered| Outcome { offered, kind: Some(HandshakeKind::Full), early_data_taken: false, statuses: ok() };

    // Twice with one memory: there is nothing to remember.
    let tickets = Tickets::new();
    let config = client(&tickets);
    for _ in 0..2 {
        assert_eq!(asked(&config, port), whole(false));
        assert_eq!(tickets.came(), 0, "the guardian gave a ticket");
    }

    // The same client resumes, with early data, where it may …
    let elsewhere = generous();
    let first = asked(&config, elsewhere);
    assert_eq!((first.offered, first.kind), (false, Some(HandshakeKind::Full)));
    assert!(tickets.came() > 0);
    let again = asked(&config, elsewhere);
    assert_eq!((again.offered, again.kind, again.early_data_taken), (true, Some(HandshakeKind::Resumed), true));
    // … and the guardian, offered a ticket and early data, takes neither: what was sent early is read by nobody.
    assert_eq!(asked(&config, port), whole(true));
    assert_eq!(asked(&client(&Tickets::new()), port), whole(false));

    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(&hello_of_tls_1_2()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    // One record, a fatal alert: protocol_version (RFC 8446 §6.2).
    assert!(matches!(answer[..], [21, 3, _, 0, 2, 2, 70]), "{answer:?}");
}
