//! Oblivious HTTP, before the client that the protocol's author wrote.

use std::io::Cursor;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use acceptance::clock::WallClock;
use acceptance::payer::{CHAT, Payer};
use acceptance::raw::{self, Answer};
use acceptance::{World, channel};
use attestation::{
    Appraisal, AppraisalPolicy, AttestationDocument, Clock, Nonce, Receipt, Rejection, Sha256Digest, Transcript,
    TrustRoots,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bhttp::{Message, Mode};
use bytes::Bytes;
use credits::sign_request;
use futures::executor::block_on;
use futures::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use http::Request;
use serde_json::{Value, json};

const MODEL: &str = "smollm2-135m";
pub(crate) const WHOLE: &str = "message/ohttp-req";
const CHUNKED: &str = "message/ohttp-chunked-req";

async fn started() -> World {
    tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap()
}

pub(crate) async fn keys(port: u16) -> Vec<u8> {
    let answer = raw::get(port, "/.well-known/ohttp-gateway").await.unwrap();
    assert_eq!(answer.headers["content-type"], "application/ohttp-keys");
    answer.body.to_vec()
}

/// What a chunked envelope is written to while its client lives.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl AsyncWrite for Written {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

pub(crate) fn message(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8], mode: Mode) -> Vec<u8> {
    let control = [method, "https", "cloister.invalid", path].map(|part| part.as_bytes().to_vec());
    let [method, scheme, authority, path] = control;
    let mut message = Message::request(method, scheme, authority, path);
    for (name, value) in headers {
        message.put_header(*name, *value);
    }
    message.write_content(body);
    let mut bytes = Vec::new();
    message.write_bhttp(mode, &mut bytes).unwrap();
    bytes
}

async fn post(port: u16, content_type: &str, envelope: Vec<u8>) -> Answer {
    let request = Request::post("/ohttp").header("content-type", content_type).body(Bytes::from(envelope)).unwrap();
    raw::send(port, request).await.unwrap()
}

/// A message in one envelope; the answer's.
async fn whole(port: u16, keys: &[u8], inner: &[u8]) -> Message {
    let (envelope, client) = ohttp::ClientRequest::from_encoded_config_list(keys).unwrap().encapsulate(inner).unwrap();
    let answer = post(port, WHOLE, envelope).await;
    assert_eq!((answer.status.as_u16(), &answer.headers["content-type"]), (200, &"message/ohttp-res".parse().unwrap()));
    let inner = client.decapsulate(&answer.body).unwrap();
    Message::read_bhttp(&mut Cursor::new(inner)).unwrap()
}

/// Opens an answer as far as it goes; whether that was all.
type Opener = dyn Fn(&[u8]) -> (Vec<u8>, bool);

/// An envelope in chunks, and how its answer is opened.
struct Chunked {
    envelope: Vec<u8>,
    open: Box<Opener>,
}

impl Chunked {
    fn new(keys: &[u8], inner: &[u8]) -> Self {
        let written = Written::default();
        let client = ohttp::ClientRequest::from_encoded_config_list(keys).unwrap();
        let mut client = client.encapsulate_stream(written.clone()).unwrap();
        block_on(async {
            for part in inner.chunks(50) {
                client.write_all(part).await.unwrap();
                client.flush().await.unwrap();
            }
            client.close().await.unwrap();
        });
        let envelope = written.0.lock().unwrap().clone();
        let open = move |sealed: &[u8]| {
            let mut opened = Vec::new();
            let whole = block_on(client.response(sealed).unwrap().read_to_end(&mut opened)).is_ok();
            (opened, whole)
        };
        Self { envelope, open: Box::new(open) }
    }
}

pub(crate) fn status(message: &Message) -> u16 {
    message.control().status().unwrap().code()
}

fn code(message: &Message) -> String {
    let body: Value = serde_json::from_slice(message.content()).unwrap_or_default();
    body["error"]["code"].as_str().unwrap_or_default().to_owned()
}

fn appraised(world: &World, document: &AttestationDocument) -> Appraisal {
    let roots = TrustRoots::named(&std::fs::read(world.root_file()).unwrap()).unwrap();
    let policy = AppraisalPolicy::from_toml(&std::fs::read_to_string(world.policy_file()).unwrap()).unwrap();
    attestation::appraise(document, &roots, &policy, WallClock.now(), &mut Transcript::default()).unwrap()
}

async fn report_inside(port: u16, keys: &[u8], nonce: &Nonce) -> AttestationDocument {
    let inner = message("GET", &format!("/v1/attestation?nonce={nonce}"), &[], b"", Mode::KnownLength);
    AttestationDocument::from_json(whole(port, keys, &inner).await.content()).unwrap()
}

fn bound(appraisal: Appraisal, nonce: &Nonce) -> Result<[u8; 32], Rejection> {
    Ok(*appraisal.bind_envelopes(nonce, &mut Transcript::default())?.key())
}

/// All that a client needs goes through a relay: verify, pay, ask, have a receipt, close.
#[tokio::test(flavor = "multi_thread")]
async fn all_that_tls_clients_do_can_be_done_in_envelopes() {
    let world = started().await;
    let port = world.guardian_port();
    let keys = keys(port).await;
    let nonce = Nonce::random().unwrap();
    let document = report_inside(port, &keys, &nonce).await;
    let key = bound(appraised(&world, &document), &nonce).unwrap();
    // Length, number, KEM, then the key: what envelopes are sealed to is what was appraised.
    assert_eq!(keys[5..37], key);

    let mut payer = Payer::new(&world, 1_000_000).await.unwrap();
    let spend = payer.prepare(16_384, 600).unwrap();
    let open = serde_json::to_vec(&payer.tab_request(&spend).unwrap()).unwrap();
    let opened = whole(port, &keys, &message("POST", "/v1/tabs", &[], &open, Mode::IndeterminateLength)).await;
    assert_eq!(status(&opened), 200, "{}", code(&opened));

    for (name, stream, chunked, mode) in [
        ("plain", false, false, Mode::KnownLength),
        ("plain-chunked", false, true, Mode::IndeterminateLength),
        ("stream", true, true, Mode::KnownLength),
    ] {
        let body = json!({"model": MODEL, "max_tokens": 12, "stream": stream, "temperature": 0,
            "messages": [{"role": "user", "content": "Say hello."}]})
        .to_string();
        let now = WallClock.now().0;
        let headers = sign_request(&spend.tab_key, "POST", CHAT, &spend.public.nullifier, name, body.as_bytes(), now);
        let inner = message("POST", CHAT, &headers.pairs(), body.as_bytes(), mode);
        let answer = if chunked {
            let client = Chunked::new(&keys, &inner);
            let answer = post(port, CHUNKED, client.envelope.clone()).await;
            assert_eq!(answer.headers["content-type"], "message/ohttp-chunked-res");
            let (opened, whole) = (client.open)(&answer.body);
            assert!(whole, "{name}");
            Message::read_bhttp(&mut Cursor::new(opened)).unwrap()
        } else {
            whole(port, &keys, &inner).await
        };
        assert_eq!(status(&answer), 200, "{name}: {}", code(&answer));
        let text = String::from_utf8(answer.content().to_vec()).unwrap();
        assert_eq!(text.contains("data: [DONE]"), stream, "{name}");
        let trailer = answer.trailer().get(b"cloister-receipt").unwrap();
        let receipt = Receipt::from_json(&STANDARD.decode(trailer).unwrap()).unwrap();
        receipt.verify(&document.keyset, &mut Transcript::default()).unwrap();
        receipt.check_request_body(Sha256Digest::of(body.as_bytes())).unwrap();
        receipt.check_response_body(Sha256Digest::of(answer.content())).unwrap();
    }
    // A stream in one envelope would be paid for before any of it leaves.
    let body = json!({"model": MODEL, "stream": true, "messages": [{"role": "user", "content": "x"}]}).to_string();
    let now = WallClock.now().0;
    let headers = sign_request(&spend.tab_key, "POST", CHAT, &spend.public.nullifier, "whole", body.as_bytes(), now);
    let refused =
        whole(port, &keys, &message("POST", CHAT, &headers.pairs(), body.as_bytes(), Mode::KnownLength)).await;
    assert_eq!((status(&refused), code(&refused).as_str()), (400, "ohttp.stream"));
    let path = format!("/v1/tabs/{}/close", spend.public.nullifier);
    let headers = sign_request(&spend.tab_key, "POST", &path, &spend.public.nullifier, "close", b"", WallClock.now().0);
    let closed = whole(port, &keys, &message("POST", &path, &headers.pairs(), b"", Mode::KnownLength)).await;
    assert_eq!(status(&closed), 200, "{}", code(&closed));
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

/// Cross-protocol forgery: reports of envelopes, channels and boots are three things, whatever nonce was chosen.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_for_envelopes_is_none_for_a_channel_nor_the_other_way_round() {
    let world = started().await;
    let port = world.guardian_port();
    let keys = keys(port).await;
    let (view, native) = channel::ask(port).await.unwrap();
    let inside = report_inside(port, &keys, &view.nonce).await;
    let boot = raw::get(port, "/v1/attestation/boot").await.unwrap();
    let boot = AttestationDocument::from_json(&boot.body).unwrap();
    bound(appraised(&world, &inside), &view.nonce).unwrap();

    let channel_of = |document: &AttestationDocument| {
        let rejection =
            appraised(&world, document).bind_channel(&view, &mut Transcript::default()).map(drop).unwrap_err();
        rejection.code()
    };
    let envelopes_of =
        |document: &AttestationDocument| bound(appraised(&world, document), &view.nonce).unwrap_err().code();
    assert_eq!(channel_of(&inside), "channel.role");
    assert_eq!((envelopes_of(&native), envelopes_of(&boot)), ("channel.role", "channel.role"));
    // The role is not only a word beside the report.
    let renamed = |of: &AttestationDocument, like: &AttestationDocument| {
        let mut forged = of.clone();
        (forged.role, forged.nonce) = (like.role, like.nonce);
        forged
    };
    assert_eq!(channel_of(&renamed(&inside, &native)), "channel.report_data_mismatch");
    for other in [&native, &boot] {
        assert_eq!(envelopes_of(&renamed(other, &inside)), "channel.report_data_mismatch");
    }
    // An old answer, and one whose key was exchanged.
    let stale = bound(appraised(&world, &inside), &Nonce::random().unwrap()).unwrap_err();
    assert_eq!(stale.code(), "channel.nonce_mismatch");
    let mut other_key = inside.clone();
    other_key.keyset.e2ee_public_keys[0].public_key = "09".repeat(32);
    other_key.keyset_digest = other_key.keyset.digest();
    assert_eq!(envelopes_of(&other_key), "channel.report_data_mismatch");

    // The ACI report names TLS keys; inside an envelope there is none to compare.
    let aci = whole(port, &keys, &message("GET", "/v1/aci/attestation", &[], b"", Mode::KnownLength)).await;
    assert_eq!((status(&aci), code(&aci).as_str()), (403, "attestation.channel"));
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

/// Wherever an envelope or its answer is cut, nothing is served, and nothing is taken for an answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_off_is_neither_served_nor_believed() {
    let world = started().await;
    let port = world.guardian_port();
    let keys = keys(port).await;
    let client = Chunked::new(&keys, &message("GET", "/v1/offer", &[], b"", Mode::IndeterminateLength));
    let envelope = client.envelope.clone();
    let answer = post(port, CHUNKED, envelope.clone()).await;
    assert_eq!(answer.status.as_u16(), 200);
    assert!((client.open)(&answer.body).1);
    for length in 0..answer.body.len() {
        assert!(!(client.open)(&answer.body[..length]).1, "{length} of {} bytes were an answer", answer.body.len());
    }
    for length in (0..envelope.len()).step_by(7) {
        let cut = post(port, CHUNKED, envelope[..length].to_vec()).await;
        assert_eq!(
            (cut.status.as_u16(), &cut.headers["content-type"]),
            (400, &"application/problem+json".parse().unwrap())
        );
    }
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_envelope_for_this_node_is_refused_in_one_way() {
    let world = started().await;
    let port = world.guardian_port();
    let keys = keys(port).await;
    let sealed =
        |inner: &[u8]| ohttp::ClientRequest::from_encoded_config_list(&keys).unwrap().encapsulate(inner).unwrap().0;
    let health = message("GET", "/health", &[], b"", Mode::KnownLength);
    let good = sealed(&health);
    assert_eq!(post(port, WHOLE, good.clone()).await.status.as_u16(), 200);

    let mut refusals = Vec::new();
    // Key number, KEM, KDF, AEAD, encapsulated secret, sealed text.
    for index in [0, 1, 2, 3, 4, 5, 6, 7, 38, 39, good.len() - 1] {
        let mut changed = good.clone();
        changed[index] ^= 1;
        refusals.push(post(port, WHOLE, changed).await);
    }
    refusals.push(post(port, WHOLE, [&good[..7], &[0; 32], &good[39..]].concat()).await);
    refusals.push(post(port, CHUNKED, good.clone()).await);
    refusals.push(post(port, WHOLE, Chunked::new(&keys, &health).envelope).await);
    let mut other_node = keys.clone();
    other_node[10] ^= 1;
    let other = ohttp::ClientRequest::from_encoded_config_list(&other_node).unwrap().encapsulate(&health).unwrap().0;
    refusals.push(post(port, WHOLE, other).await);
    for refusal in &refusals {
        assert_eq!(refusal.status.as_u16(), 400);
        assert_eq!(refusal.body, refusals[0].body, "why is told to nobody");
        assert!(refusal.headers["x-aci-version"] == "aci/1" && refusal.headers["cache-control"] == "no-store");
    }
    assert_eq!(refusals[0].json()["type"], "https://iana.org/assignments/http-problem-types#ohttp-key");

    for (content_type, envelope, status, code) in [
        ("application/json", good.clone(), 415, "ohttp.media_type"),
        (WHOLE, vec![0; (1 << 20) + (129 << 10)], 413, "request.too_large"),
    ] {
        let refused = post(port, content_type, envelope).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (status, code));
    }
    let got = raw::get(port, "/ohttp").await.unwrap();
    assert_eq!((got.status.as_u16(), got.code().as_str()), (405, "method_not_allowed"));

    // Inside, the same as outside; and there is no envelope in an envelope.
    for (inner, expected, code_) in [
        (message("POST", "/ohttp", &[], &good, Mode::KnownLength), 404, "not_found"),
        (message("GET", "/v1/nothing", &[], b"", Mode::KnownLength), 404, "not_found"),
        (message("POST", CHAT, &[], b"{}", Mode::KnownLength), 402, "payment.required"),
        (b"no message".to_vec(), 400, "ohttp.malformed"),
        (message("GET", "/health", &[("x\r\ny", "1")], b"", Mode::KnownLength), 400, "ohttp.malformed"),
        (message("POST", CHAT, &[], &vec![b' '; (1 << 20) + 1], Mode::KnownLength), 413, "request.too_large"),
    ] {
        let answer = whole(port, &keys, &inner).await;
        assert_eq!((status(&answer), code(&answer).as_str()), (expected, code_));
    }
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}
