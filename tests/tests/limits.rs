//! `[limits]` of the configuration: what is written there is kept to.

use acceptance::World;
use acceptance::payer::Payer;
use acceptance::tls;
use attestation::Nonce;
use bytes::Bytes;
use credits::SpendProof;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const CONFIGURED: &str = "\n[limits]\nattestations_per_connection = 2\nbody_bytes = 4096\nproofs_per_connection = 1\n\
    requests_per_tab = 1\nstreams_per_connection = 32\ntabs = 1\n";

async fn connection(world: &World) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(("127.0.0.1", world.guardian_port())).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("cloister.invalid").unwrap();
    let tls = TlsConnector::from(tls::client_config(b"h2").unwrap()).connect(name, stream).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Status, code, and whether it says when to come again.
async fn asked(sender: &SendRequest<Full<Bytes>>, method: &str, path: &str, body: Vec<u8>) -> (u16, String, bool) {
    let mut sender = sender.clone();
    sender.ready().await.unwrap();
    let request = http::Request::builder().method(method).uri(format!("https://cloister.invalid{path}"));
    let request = request.header("content-type", "application/json").body(Full::from(body)).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let (status, again) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    (status, body["error"]["code"].as_str().unwrap_or_default().to_owned(), again)
}

fn is(status: u16, code: &str, again: bool) -> (u16, String, bool) {
    (status, code.to_owned(), again)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_configured_is_kept_to() {
    let world = World::builder().configured(CONFIGURED.to_owned());
    let world = tokio::task::spawn_blocking(|| world.start().unwrap()).await.unwrap();
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let sender = connection(&world).await;
    // 1. Reports.
    let mut reports = Vec::new();
    for _ in 0..3 {
        let path = format!("/v1/attestation?nonce={}", Nonce::random().unwrap());
        reports.push(asked(&sender, "GET", &path, Vec::new()).await);
    }
    assert_eq!(reports, [is(200, "", false), is(200, "", false), is(429, "attestation.rate", true)]);
    // 2. Bodies.
    assert_eq!(asked(&sender, "POST", "/v1/tabs", vec![b' '; 4097]).await, is(413, "request.too_large", false));
    assert_eq!(asked(&sender, "POST", "/v1/tabs", vec![b' '; 4096]).await, is(400, "tab.malformed", false));
    // 3. Proofs that do not hold: one at a time of one connection, and another connection does not wait for them.
    let (first, second) = (payer.prepare(1024, 600).unwrap(), payer.prepare(1024, 600).unwrap());
    let (first, second) = (payer.tab_request(&first).unwrap(), payer.tab_request(&second).unwrap());
    let mut junk = first.clone();
    junk.tab_key = credits::Bytes32([7; 32]);
    let junk = serde_json::to_vec(&junk).unwrap();
    let at_once = (0..32).map(|_| {
        let (sender, junk) = (sender.clone(), junk.clone());
        tokio::spawn(async move { asked(&sender, "POST", "/v1/tabs", junk).await })
    });
    let (mut judged, mut refused) = (0, 0);
    for answer in at_once.collect::<Vec<_>>() {
        match answer.await.unwrap() {
            (403, code, false) if code == "spend.proof_invalid" => judged += 1,
            (429, code, true) if code == "tab.rate" => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(judged >= 1 && refused >= 1, "{judged} judged, {refused} refused");
    // 4. Tabs: the node has room for one, whoever asks.
    let opened = payer.open(&first).await.unwrap();
    assert_eq!(opened.status.as_u16(), 200, "{}", opened.json());
    let full = payer.open(&second).await.unwrap();
    assert_eq!((full.status.as_u16(), full.code()), (503, "tab.too_many".to_owned()));
    // What was refused before the ledger was asked is still the payer's.
    let mut malformed = second;
    malformed.proof = SpendProof::from_bytes([0; 128]);
    assert_eq!(payer.open(&malformed).await.unwrap().code(), "tab.too_many");
    tokio::task::spawn_blocking(move || drop(world)).await.unwrap();
}
