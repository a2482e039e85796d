//! A node with real TLS, really signed simulated evidence and real receipts, that can misbehave in one way at a time.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::fs::{self, File};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};

use attestation::snp::Product;
use attestation::{
    AppraisalPolicy, AttestationDocument, ChannelView, Clock, DEMO_POLICY, EXPORTER_LABEL, Event, Exporter, Hex32,
    Keyset, Nonce, Receipt, ReceiptKey, Role, Sha256Digest, Signed, TlsKeyEntry, Transcript, TrustRoots, UnixTime,
    UnsignedReceipt,
};
use attestation_testing::{
    AcceptedCase, CrlSpec, FixedClock, NAME_PREFIX, TestPki, accepted_document, simulated_launch_digest,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use credits::keys::SigningKey;
use credits::offer::{ModelOffer, OFFER_VERSION, Offer};
use credits::settlement::{SETTLEMENT_VERSION, Settlement};
use credits::tab::{OpenTabRequest, OpenTabResponse, TAB_VERSION};
use credits::{Bytes32, Credits, Fe, Inner, Leaf, Nullifier, Root, SpendProof};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use verifier::{InferenceRequest, NodeUrl, Session, Tab, Trust, open_session};

pub(crate) const RESERVE: u64 = 4096;
pub(crate) const PROMPT_TOKENS: u64 = 7;
pub(crate) const COMPLETION_TOKENS: u64 = 3;
/// 10 + 7·1 + 3·2 under the offer below.
pub(crate) const COST: u64 = 23;
pub(crate) const REQUEST: &[u8] = br#"{"model":"tiny","messages":[],"max_tokens":5,"stream":true}"#;
pub(crate) const WEIGHTS: [u8; 32] = [0xab; 32];

type ReceiptFault = Arc<dyn Fn(&mut UnsignedReceipt) + Send + Sync>;

/// How the node answers a request for inference.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) stream: bool,
    /// The body breaks off instead of ending.
    pub(crate) cut: bool,
    pub(crate) trailer: bool,
    /// The receipt can be fetched by its id.
    pub(crate) kept: bool,
    pub(crate) fault: ReceiptFault,
    /// Done to the signed receipt.
    pub(crate) forgery: fn(&mut Receipt),
    pub(crate) refusal: Option<(u16, &'static str)>,
}

impl Script {
    pub(crate) fn stream() -> Self {
        let pieces = [
            "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"con",
            "tent\":\"lo\"}}]}\n\n",
            "data: [DO",
            "NE]\n\n",
        ];
        Self {
            pieces: pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect(),
            stream: true,
            cut: false,
            trailer: true,
            kept: true,
            fault: Arc::new(|_| {}),
            forgery: |_| {},
            refusal: None,
        }
    }

    pub(crate) fn whole() -> Self {
        Self { pieces: vec![b"{\"choices\":".to_vec(), b"[]}".to_vec()], stream: false, ..Self::stream() }
    }

    pub(crate) fn with_fault(fault: impl Fn(&mut UnsignedReceipt) + Send + Sync + 'static) -> Self {
        Self { fault: Arc::new(fault), ..Self::stream() }
    }
}

/// A running node and what is needed to talk to it.
pub(crate) struct FakeNode {
    pub(crate) url: NodeUrl,
    pub(crate) trust: Trust,
    pub(crate) clock: Arc<dyn Clock>,
    state: Arc<State>,
}

struct State {
    keyset: Keyset,
    receipt_key: ReceiptKey,
    offer_key: ReceiptKey,
    spki: [u8; 32],
    now: UnixTime,
    script: Mutex<Script>,
    receipts: Mutex<HashMap<String, Receipt>>,
    charged: Mutex<u64>,
    overcharge: u64,
    launch_digest: Option<[u8; 48]>,
}

/// What is wrong with the node as a whole.
#[derive(Default, Clone, Copy)]
pub(crate) struct Faults {
    pub(crate) foreign_offer_key: bool,
    pub(crate) overcharge: u64,
    /// The time of its evidence, for clients that use the real clock.
    pub(crate) now: Option<UnixTime>,
    /// What it says it was launched from, instead of what the demo policy expects.
    pub(crate) launch_digest: Option<[u8; 48]>,
}

/// The Genoa test chain, generated once per build directory: every test is a process of its own.
pub(crate) fn pki() -> &'static TestPki {
    static PKI: OnceLock<TestPki> = OnceLock::new();
    PKI.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let lock = File::create(directory.join("verifier-test-pki.lock")).unwrap();
        lock.lock().unwrap();
        let cache = directory.join("verifier-test-pki.json");
        if let Some(pki) = fs::read(&cache).ok().and_then(|bytes| TestPki::from_json(&bytes).ok()) {
            return pki;
        }
        let pki = TestPki::generate(Product::Genoa, NAME_PREFIX).unwrap();
        fs::write(&cache, pki.to_json().unwrap()).unwrap();
        pki
    })
}

pub(crate) fn trust() -> Trust {
    Trust {
        roots: TrustRoots::named(pki().ark_der()).unwrap(),
        policy: AppraisalPolicy::from_toml(DEMO_POLICY).unwrap(),
    }
}

pub(crate) fn credits(value: u64) -> Credits {
    Credits::new(value).unwrap()
}

pub(crate) fn offer() -> Offer {
    Offer {
        version: OFFER_VERSION.to_owned(),
        ledger_id: Bytes32([1; 32]),
        vk_digest: Bytes32([2; 32]),
        payee: Bytes32([3; 32]),
        models: vec![ModelOffer {
            id: "tiny".to_owned(),
            weights_digest: Sha256Digest(WEIGHTS).to_string(),
            prompt_credits: credits(1),
            completion_credits: credits(2),
            request_credits: credits(10),
            context_tokens_max: 2048,
        }],
        tiers: vec![credits(RESERVE)],
        tab_secs_max: 600,
    }
}

impl FakeNode {
    pub(crate) async fn start() -> Self {
        Self::start_with(Faults::default()).await
    }

    pub(crate) async fn start_with(faults: Faults) -> Self {
        let now = faults.now.unwrap_or_else(|| AcceptedCase::new(pki()).now);
        let tls_key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["odd.invalid".to_owned()]).unwrap().self_signed(&tls_key).unwrap();
        let spki = Sha256Digest::of(&rcgen::PublicKeyData::subject_public_key_info(&tls_key)).0;
        let seed = Nonce::random().unwrap().0;
        let receipt_key = ReceiptKey::from_seed(&seed).unwrap();
        let keyset = Keyset {
            subject: None,
            not_after: now.saturating_add(24 * 3600),
            receipt_signing_keys: vec![receipt_key.entry()],
            e2ee_public_keys: Vec::new(),
            tls_public_keys: vec![TlsKeyEntry { spki_sha256: Hex32(spki), domain: None }],
        };
        let foreign = faults.foreign_offer_key;
        let state = State {
            keyset,
            offer_key: if foreign { ReceiptKey::generate().unwrap() } else { ReceiptKey::from_seed(&seed).unwrap() },
            receipt_key,
            spki,
            now,
            script: Mutex::new(Script::stream()),
            receipts: Mutex::default(),
            charged: Mutex::new(0),
            overcharge: faults.overcharge,
            launch_digest: faults.launch_digest,
        };
        let state = Arc::new(state);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(tls_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let served = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, acceptor.clone(), Arc::clone(&served)));
            }
        });
        Self { url, trust: trust(), clock: Arc::new(FixedClock::at(now)), state }
    }

    pub(crate) fn play(&self, script: Script) {
        *self.state.script.lock().unwrap() = script;
    }

    pub(crate) async fn session(&self) -> Session {
        open_session(&self.url, &self.trust, &self.clock, &mut Transcript::default()).await.unwrap()
    }

    /// Opens a tab; the fake takes any proof.
    pub(crate) async fn tab(&self, session: &Session) -> Arc<Tab> {
        let key = SigningKey::generate().unwrap();
        let fe = Fe::from_bytes([7; 32]).unwrap();
        let open = OpenTabRequest {
            version: TAB_VERSION.to_owned(),
            root: Root(fe),
            nullifier: Nullifier(fe),
            inner_next: Inner(fe),
            c_max: credits(RESERVE),
            not_after: self.state.now.0 + 600,
            tab_key: key.public(),
            proof: SpendProof::from_bytes([0; 128]),
        };
        Arc::new(session.open_tab(&open, key).await.unwrap())
    }
}

pub(crate) fn ask() -> InferenceRequest {
    InferenceRequest {
        path: "/v1/chat/completions",
        body: Bytes::from_static(REQUEST),
        idempotency_key: verifier::session::fresh_idempotency_key().unwrap(),
        request_id: None,
        completion_tokens_max: Some(5),
    }
}

async fn serve(socket: TcpStream, acceptor: TlsAcceptor, state: Arc<State>) {
    let Ok(tls) = acceptor.accept(socket).await else { return };
    let exporter = tls.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, Some(b"")).unwrap();
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(&state, Exporter(exporter), request).await) }
    });
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(tls), service)
        .await;
}

fn document(state: &State, view: ChannelView) -> AttestationDocument {
    let Some(measurement) = state.launch_digest else {
        return accepted_document(pki(), &state.keyset, &view, state.now);
    };
    let mut case = AcceptedCase {
        now: state.now,
        keyset: state.keyset.clone(),
        view,
        crl: Some(CrlSpec::empty(state.now)),
        ..AcceptedCase::new(pki())
    };
    case.report.measurement = measurement;
    case.document()
}

async fn answer(state: &State, exporter: Exporter, request: Request<Incoming>) -> Response<Frames> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    match path.as_str() {
        "/v1/attestation" => {
            let nonce: Nonce = query.strip_prefix("nonce=").unwrap().parse().unwrap();
            let view = ChannelView { nonce, exporter, leaf_spki_sha256: state.spki };
            json(document(state, view).to_json())
        }
        "/v1/offer" => {
            json(serde_json::to_vec(&Signed::sign(OFFER_VERSION, offer(), &state.offer_key).unwrap()).unwrap())
        }
        "/v1/tabs" => {
            let open: OpenTabRequest = serde_json::from_slice(&body).unwrap();
            let opened = OpenTabResponse {
                tab_id: open.nullifier,
                reserve: open.c_max,
                not_after: open.not_after,
                entry_index: 0,
            };
            json(serde_json::to_vec(&opened).unwrap())
        }
        "/v1/chat/completions" => infer(state, &body),
        _ if path.ends_with("/close") => json(serde_json::to_vec(&settle(state)).unwrap()),
        _ => {
            match path.strip_prefix("/v1/aci/receipts/").and_then(|id| state.receipts.lock().unwrap().get(id).cloned())
            {
                Some(receipt) => json(receipt.to_json()),
                None => refuse(404, "receipt.not_found"),
            }
        }
    }
}

fn infer(state: &State, body: &[u8]) -> Response<Frames> {
    let script = state.script.lock().unwrap().clone();
    if let Some((status, code)) = script.refusal {
        return refuse_receipted(state, &script, (status, code), body);
    }
    let receipt = sign_receipt(state, &script, body);
    let mut frames: VecDeque<_> =
        script.pieces.iter().map(|piece| Ok(Frame::data(Bytes::from(piece.clone())))).collect();
    if script.trailer {
        let value = STANDARD.encode(receipt.to_json()).parse().unwrap();
        frames.push_back(Ok(Frame::trailers(HeaderMap::from_iter([("cloister-receipt".parse().unwrap(), value)]))));
    }
    if script.cut {
        frames.push_back(Err(Cut));
    }
    let kind = if script.stream { "text/event-stream; charset=utf-8" } else { "application/json" };
    let response = Response::builder().header("content-type", kind).header("x-receipt-id", &receipt.receipt_id);
    if script.kept {
        state.receipts.lock().unwrap().insert(receipt.receipt_id.clone(), receipt);
    }
    response.body(Frames(frames)).unwrap()
}

/// A refusal, and a receipt that says so at no charge.
fn refuse_receipted(state: &State, script: &Script, (status, code): (u16, &str), body: &[u8]) -> Response<Frames> {
    let mut refused = refuse(status, code);
    let error: Vec<u8> = refused.body().0.iter().flatten().filter_map(Frame::data_ref).flatten().copied().collect();
    let mut served = unsigned_receipt(state, script, body);
    served.receipt_id = "rcpt-refused".to_owned();
    served.model = None;
    served.event_log.truncate(4);
    served.event_log[2] = Event::ResponseReturned { body_hash: Sha256Digest::of(&error) };
    (script.fault)(&mut served);
    let receipt = served.sign(&state.receipt_key).unwrap();
    refused.headers_mut().insert("x-receipt-id", "rcpt-refused".parse().unwrap());
    state.receipts.lock().unwrap().insert("rcpt-refused".to_owned(), receipt);
    refused
}

fn sign_receipt(state: &State, script: &Script, body: &[u8]) -> Receipt {
    *state.charged.lock().unwrap() += COST;
    let mut unsigned = unsigned_receipt(state, script, body);
    (script.fault)(&mut unsigned);
    let mut receipt = unsigned.sign(&state.receipt_key).unwrap();
    (script.forgery)(&mut receipt);
    receipt
}

/// What a receipt of a served call says.
fn unsigned_receipt(state: &State, script: &Script, body: &[u8]) -> UnsignedReceipt {
    let charged = *state.charged.lock().unwrap();
    let digest = state.keyset.digest();
    UnsignedReceipt {
        receipt_id: format!("rcpt-{charged}"),
        chat_id: None,
        model: Some("tiny".to_owned()),
        workload_keyset_digest: digest,
        endpoint: "/v1/chat/completions".to_owned(),
        method: "POST".to_owned(),
        served_at: state.now,
        event_log: vec![
            Event::RequestReceived { body_hash: Sha256Digest::of(body) },
            Event::RequestForwarded { body_hash: Sha256Digest::of(body) },
            Event::ResponseReturned { body_hash: Sha256Digest::of(&script.pieces.concat()) },
            Event::AttestationBound {
                report_digest: digest,
                launch_digest: simulated_launch_digest().iter().map(|byte| format!("{byte:02x}")).collect(),
                role: Role::Keyset,
            },
            Event::ModelWeights { model: "tiny".to_owned(), weights: Sha256Digest(WEIGHTS) },
            Event::TokensMetered {
                prompt_tokens: PROMPT_TOKENS,
                completion_tokens: COMPLETION_TOKENS,
                outcome: "complete".to_owned(),
            },
            Event::CreditSpent {
                ledger_id: Hex32([1; 32]),
                nullifier: Hex32([7; 32]),
                cost: COST,
                running_total: charged,
                reserve: RESERVE,
                price_sheet_digest: Hex32(offer().price_sheet_digest().unwrap().0),
            },
        ],
    }
}

fn settle(state: &State) -> Signed<Settlement> {
    let charge = *state.charged.lock().unwrap() + state.overcharge;
    let fe = Fe::from_bytes([7; 32]).unwrap();
    let settlement = Settlement {
        version: SETTLEMENT_VERSION.to_owned(),
        ledger_id: Bytes32([1; 32]),
        nullifier: Nullifier(fe),
        reserve: credits(RESERVE),
        charge: credits(charge),
        refund: credits(RESERVE - charge),
        leaf: Leaf(fe),
        leaf_index: 1,
        entry_index: 1,
        requests: 1,
        keyset_digest: Bytes32(state.keyset.digest().0),
    };
    Signed::sign(SETTLEMENT_VERSION, settlement, &state.receipt_key).unwrap()
}

fn json(bytes: Vec<u8>) -> Response<Frames> {
    Response::new(Frames(VecDeque::from([Ok(Frame::data(Bytes::from(bytes)))])))
}

fn refuse(status: u16, code: &str) -> Response<Frames> {
    let body = serde_json::json!({"error": {"message": "no", "type": "t", "param": null, "code": code}}).to_string();
    let mut response = json(body.into_bytes());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// A body of prepared frames.
struct Frames(VecDeque<Result<Frame<Bytes>, Cut>>);

#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut")
    }
}

impl std::error::Error for Cut {}

impl Body for Frames {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        // Everything before a cut must reach the peer, or the reset would overtake it.
        if matches!(self.0.front(), Some(Err(_))) && self.0.len() == 1 {
            self.0.push_back(Err(Cut));
            let waker = context.waker().clone();
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                waker.wake();
            });
            return Poll::Pending;
        }
        Poll::Ready(self.0.pop_front())
    }
}
