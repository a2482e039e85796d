//! Oblivious HTTP (RFC 9458, and draft-ietf-ohai-chunked-ohttp for answers that stream): the gateway, which is its own target.
//!
//! A relay that the client chose forwards envelopes: it knows who asks and not what; this node knows what is asked and not who. On entry:
//! an envelope from anybody. On exit: the answer of the same routes that serve TLS clients, sealed to whoever sealed the envelope.
//!
//! The key is in the keyset, so every report covers it; a client that cannot see this node's TLS channel asks for a report *inside* an
//! envelope, whose role (`ohttp`) says that it is bound to the key and to no channel (protocol.md §2.10).
//!
//! An envelope that somebody sends again gives an answer that only its first sender can open. What it does, it does once: tabs and
//! calls know their repeats.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use attestation::OHTTP_KEY_NUMBER;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body::Frame;
use http_body_util::BodyExt;
use tower_service::Service;

use super::bhttp::{self, put_varint, take_varint};
use super::hpke::{Aead, KDF_SHA256, KEM_X25519, Received, X25519_BYTES};
use super::response::ResponseSealer;
use super::{key_config, not_sealed_to_us};
use crate::attestation_api::Channel;
use crate::limits::{OHTTP_ANSWER_BYTES_MAX, OHTTP_ENVELOPE_BYTES_MAX, SEALED_PARTS_MAX};
use crate::payload::AnsweredAtOnce;
use crate::problem::Problem;
use crate::routes::{method_not_allowed, read_body_within};
use crate::state::Guardian;

/// Names of the two forms, in HPKE's `info` and in the export for the answer.
struct Form {
    request: &'static str,
    request_type: &'static str,
    response: &'static str,
    response_type: HeaderValue,
    chunked: bool,
}

const WHOLE: Form = Form {
    request: "message/bhttp request",
    request_type: "message/ohttp-req",
    response: "message/bhttp response",
    response_type: HeaderValue::from_static("message/ohttp-res"),
    chunked: false,
};

const CHUNKED: Form = Form {
    request: "message/bhttp chunked request",
    request_type: "message/ohttp-chunked-req",
    response: "message/bhttp chunked response",
    response_type: HeaderValue::from_static("message/ohttp-chunked-res"),
    chunked: true,
};

/// What is said with the last chunk of either direction.
const FINAL: &[u8] = b"final";

/// Key number, KEM, KDF and AEAD.
const HEADER_BYTES: usize = 7;

#[derive(Clone)]
struct Gateway {
    guardian: Arc<Guardian>,
    /// What is behind it: the routes without the gateway.
    api: Router,
}

/// The gateway's routes before `api`.
pub fn routes(guardian: Arc<Guardian>, api: &Router) -> Router {
    Router::new()
        .route("/.well-known/ohttp-gateway", get(keys))
        .route("/ohttp", post(serve))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Gateway { guardian, api: api.clone() })
}

/// The key configurations, each behind its length (RFC 9458 §3.2).
async fn keys(State(gateway): State<Gateway>) -> Response {
    let config = key_config(OHTTP_KEY_NUMBER, &gateway.guardian.keys.ohttp, &Aead::ALL);
    let length = u16::try_from(config.len()).unwrap_or(0).to_be_bytes();
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/ohttp-keys"))];
    (content_type, [&length[..], &config].concat()).into_response()
}

/// Why an envelope has no sealed answer.
enum Unsealed {
    /// It is none, or not for this key; which of the two is told to nobody.
    NotOurs,
    Problem(Problem),
}

impl IntoResponse for Unsealed {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            // RFC 9458 §5.3: the client takes it as a reason to fetch the keys again.
            Self::NotOurs => {
                not_sealed_to_us(StatusCode::BAD_REQUEST, "https://iana.org/assignments/http-problem-types#ohttp-key")
            }
        }
    }
}

async fn serve(State(gateway): State<Gateway>, headers: HeaderMap, body: Body) -> Result<Response, Unsealed> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let form = [WHOLE, CHUNKED].into_iter().find(|form| content_type == Some(form.request_type)).ok_or_else(|| {
        let text = "an envelope is message/ohttp-req or message/ohttp-chunked-req";
        Unsealed::Problem(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "ohttp.media_type", text))
    })?;
    let limits = gateway.guardian.config.limits;
    let envelope = read_body_within(body, OHTTP_ENVELOPE_BYTES_MAX, limits.body()).await.map_err(Unsealed::Problem)?;
    let Opened { message, sealer, nonce } = open(&gateway.guardian, &form, &envelope).ok_or(Unsealed::NotOurs)?;
    let answer = match bhttp::read_request(&message) {
        Ok(request) => answer(gateway.api, request, form.chunked, Channel::sealed(limits)).await,
        Err(error) => Problem::invalid("ohttp.malformed", "body", error.to_string()).into_response(),
    };
    let body = if form.chunked { chunked(sealer, nonce, answer) } else { whole(sealer, nonce, answer).await? };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, form.response_type);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn answer(mut api: Router, request: Request<Bytes>, chunked: bool, channel: Channel) -> Response {
    let mut request = request.map(Body::from);
    if !chunked {
        request.extensions_mut().insert(AnsweredAtOnce);
    }
    request.extensions_mut().insert(Arc::new(channel));
    // A router is always ready, and does not fail.
    let Ok(answer) = Service::call(&mut api, request).await;
    answer
}

struct Opened {
    message: Vec<u8>,
    sealer: ResponseSealer,
    nonce: Vec<u8>,
}

fn open(guardian: &Guardian, form: &Form, envelope: &[u8]) -> Option<Opened> {
    let (header, rest) = envelope.split_at_checked(HEADER_BYTES)?;
    let [key, kem @ .., kdf_high, kdf_low, aead_high, aead_low] = header else { return None };
    let aead = Aead::from_id(u16::from_be_bytes([*aead_high, *aead_low]))?;
    let ours = *key == OHTTP_KEY_NUMBER
        && kem == KEM_X25519.to_be_bytes()
        && [*kdf_high, *kdf_low] == KDF_SHA256.to_be_bytes();
    if !ours {
        return None;
    }
    let (encapsulated, sealed) = rest.split_at_checked(X25519_BYTES)?;
    let info = [form.request.as_bytes(), &[0], header].concat();
    let mut received = guardian.keys.ohttp.receive(encapsulated, &info, aead)?;
    let message = if form.chunked { open_chunks(&mut received, sealed)? } else { received.open(sealed, b"")? };
    let (sealer, nonce) = ResponseSealer::new(&received, form.response.as_bytes(), encapsulated, aead)?;
    Some(Opened { message, sealer, nonce })
}

/// Opens the chunks of a message. All of them, or nothing: one that was cut off has no last chunk.
fn open_chunks(received: &mut Received, mut sealed: &[u8]) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    for _ in 0..SEALED_PARTS_MAX {
        let length = usize::try_from(take_varint(&mut sealed)?).ok()?;
        if length == 0 {
            message.extend_from_slice(&received.open(sealed, FINAL)?);
            return Some(message);
        }
        let (chunk, rest) = sealed.split_at_checked(length)?;
        message.extend_from_slice(&received.open(chunk, b"")?);
        sealed = rest;
    }
    None
}

/// The whole answer in one envelope. One that breaks off has none.
async fn whole(mut sealer: ResponseSealer, nonce: Vec<u8>, answer: Response) -> Result<Body, Unsealed> {
    let (head, body) = answer.into_parts();
    // What was taken counts as sent, although it leaves only when it is whole: a client that is gone by then asks again, under the same
    // idempotency key, and is not charged twice.
    let mut message = bhttp::response_head(head.status, &head.headers);
    let sealed = match collected(body).await {
        Some((content, trailers)) => {
            message.extend_from_slice(&bhttp::content(&content));
            message.extend_from_slice(&bhttp::end(&trailers));
            sealer.seal(&message, b"")
        }
        None => None,
    };
    let broken = || Problem::unavailable("ohttp.answer", 1, "the answer broke off, or is too long for one envelope");
    let sealed = sealed.ok_or_else(|| Unsealed::Problem(broken()))?;
    Ok(Body::from([nonce, sealed].concat()))
}

/// Content and trailers. Trailers are the end: whoever sent them waits until they were taken.
async fn collected(mut body: Body) -> Option<(Vec<u8>, HeaderMap)> {
    let mut content = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame.ok()?.into_data() {
            Ok(data) if content.len().saturating_add(data.len()) > OHTTP_ANSWER_BYTES_MAX => return None,
            Ok(data) => content.extend_from_slice(&data),
            Err(frame) => return Some((content, frame.into_trailers().unwrap_or_default())),
        }
    }
    Some((content, HeaderMap::new()))
}

fn chunked(mut sealer: ResponseSealer, nonce: Vec<u8>, answer: Response) -> Body {
    let (head, body) = answer.into_parts();
    let first = chunk(&mut sealer, &bhttp::response_head(head.status, &head.headers));
    let first = Some(first.map(|chunk| [nonce, chunk].concat().into()).ok_or(BrokeOff));
    Body::new(ChunkedAnswer { body: Some(body), sealer, first })
}

fn chunk(sealer: &mut ResponseSealer, message: &[u8]) -> Option<Vec<u8>> {
    let sealed = sealer.seal(message, b"")?;
    let mut out = Vec::with_capacity(sealed.len().saturating_add(8));
    put_varint(sealed.len(), &mut out);
    out.extend_from_slice(&sealed);
    Some(out)
}

/// An answer, sealed as it comes: each of its frames is one chunk. It is read only when the connection takes more, so what counts as
/// sent is the same as without an envelope.
struct ChunkedAnswer {
    /// Until its end.
    body: Option<Body>,
    sealer: ResponseSealer,
    first: Option<Result<Bytes, BrokeOff>>,
}

/// The answer broke off; there will be no last chunk.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
struct BrokeOff;

impl ChunkedAnswer {
    fn content(&mut self, data: &Bytes) -> Option<Bytes> {
        chunk(&mut self.sealer, &bhttp::content(data)).map(Bytes::from)
    }

    fn end(&mut self, trailers: &HeaderMap) -> Option<Bytes> {
        let mut out = Vec::new();
        put_varint(0, &mut out);
        out.extend_from_slice(&self.sealer.seal(&bhttp::end(trailers), FINAL)?);
        Some(out.into())
    }
}

impl http_body::Body for ChunkedAnswer {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(first.map(Frame::data)));
        }
        loop {
            let Some(body) = &mut this.body else { return Poll::Ready(None) };
            let sealed = match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => this.content(&data),
                    // Trailers are the end: whoever sent them waits until they were taken.
                    Err(frame) => {
                        this.body = None;
                        this.end(&frame.into_trailers().unwrap_or_default())
                    }
                },
                Some(Err(_)) => None,
                None => {
                    this.body = None;
                    this.end(&HeaderMap::new())
                }
            };
            if sealed.is_none() {
                this.body = None;
            }
            return Poll::Ready(Some(sealed.map(Frame::data).ok_or(BrokeOff)));
        }
    }
}
