//! EHBP, the Encrypted HTTP Body Protocol of Tinfoil: bodies sealed to a key of this node, headers in the clear.
//!
//! On entry: a request whose body is a row of sealed frames. On exit: the same request with the body opened, and an answer whose frames are
//! sealed under keys of that request. Nothing of a body reaches a route before all of it was opened. Where the protocol is silent:
//!
//! - A body that is cut off between two frames looks whole to the protocol. Requests say their end themselves (they are JSON), and answers
//!   with `[DONE]` and the receipt.
//! - The receipt has digests of what was said, from which a reader could tell a guess from a wrong one. Its trailer is sealed like one more
//!   frame, with the trailer's name as associated data.
//! - Payment signs the content as it is sent, which is sealed: a digest of the open text would tell the same. And what is sealed names the
//!   tab that pays: else whoever sees a sealed body could put it under a tab of his own, and have its receipt.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use attestation::Hex32;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::Frame;

use super::hpke::{Aead, Received, RecipientKey, X25519_BYTES};
use super::not_sealed_to_us;
use super::response::ResponseSealer;
use crate::config::LimitsConfig;
use crate::limits::{EHBP_BODY_BYTES_MAX, SEALED_PARTS_MAX};
use crate::payload::ContentAsSent;
use crate::problem::Problem;
use crate::routes::read_body_within;
use crate::stream::RECEIPT_TRAILER;

/// The one suite of the protocol.
pub const AEAD: Aead = Aead::Aes256Gcm;

const ENCAPSULATED_KEY: HeaderName = HeaderName::from_static("ehbp-encapsulated-key");
const RESPONSE_NONCE: HeaderName = HeaderName::from_static("ehbp-response-nonce");
const REQUEST_INFO: &[u8] = b"ehbp request";
const RESPONSE_LABEL: &[u8] = b"ehbp response";

/// Why a body was not opened.
enum Unopened {
    /// It is not for this key, or was changed; which of the two is told to nobody.
    NotOurs,
    Problem(Problem),
}

impl IntoResponse for Unopened {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::NotOurs => {
                not_sealed_to_us(StatusCode::UNPROCESSABLE_ENTITY, "urn:ietf:params:ehbp:error:key-config")
            }
        }
    }
}

fn malformed(text: &'static str) -> Unopened {
    Unopened::Problem(Problem::invalid("ehbp.malformed", "body", text))
}

/// Opens sealed bodies and seals their answers; passes on what is not sealed.
pub async fn layer(State(key): State<Arc<RecipientKey>>, request: Request, next: Next) -> Response {
    if !request.headers().contains_key(ENCAPSULATED_KEY) {
        return next.run(request).await;
    }
    match open(&key, request).await {
        Ok((request, sealer, nonce)) => seal(next.run(request).await, sealer, &nonce),
        Err(unopened) => unopened.into_response(),
    }
}

async fn open(key: &RecipientKey, request: Request) -> Result<(Request, ResponseSealer, Vec<u8>), Unopened> {
    let (mut head, body) = request.into_parts();
    let encapsulated = encapsulated_key(&head.headers)
        .ok_or_else(|| malformed("ehbp-encapsulated-key must be there once, as 64 lowercase hex characters"))?;
    let limits = LimitsConfig::of(&head.extensions);
    let sent = read_body_within(body, EHBP_BODY_BYTES_MAX, limits.body()).await.map_err(Unopened::Problem)?;
    let mut received = key.receive(&encapsulated, REQUEST_INFO, AEAD).ok_or(Unopened::NotOurs)?;
    let text = open_frames(&mut received, &sent)?;
    let (sealer, nonce) =
        ResponseSealer::new(&received, RESPONSE_LABEL, &encapsulated, AEAD).ok_or(Unopened::NotOurs)?;
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.remove(ENCAPSULATED_KEY);
    head.extensions.insert(ContentAsSent(sent));
    Ok((Request::from_parts(head, Body::from(text)), sealer, nonce))
}

fn encapsulated_key(headers: &HeaderMap) -> Option<[u8; X25519_BYTES]> {
    let mut values = headers.get_all(ENCAPSULATED_KEY).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let key: Hex32 = value.to_str().ok()?.parse().ok()?;
    Some(key.0)
}

fn open_frames(received: &mut Received, mut sent: &[u8]) -> Result<Vec<u8>, Unopened> {
    let (mut text, mut frames) = (Vec::new(), 0);
    while !sent.is_empty() {
        frames += 1;
        if frames > SEALED_PARTS_MAX {
            return Err(malformed("too many frames"));
        }
        let (length, rest) = sent.split_first_chunk().ok_or_else(|| malformed("a frame is cut off"))?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (frame, rest) = rest.split_at_checked(length).ok_or_else(|| malformed("a frame is cut off"))?;
        sent = rest;
        // The protocol lets a sender write nothing.
        if !frame.is_empty() {
            text.extend_from_slice(&received.open(frame, b"").ok_or(Unopened::NotOurs)?);
        }
    }
    // Without a sealed text anybody could have put the key there, and would be sent the answer.
    if text.is_empty() { Err(malformed("a request without a body is sent without a key")) } else { Ok(text) }
}

fn seal(answer: Response, sealer: ResponseSealer, nonce: &[u8]) -> Response {
    let (mut head, body) = answer.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    if let Ok(nonce) = HeaderValue::from_str(&hex::encode(nonce)) {
        head.headers.insert(RESPONSE_NONCE, nonce);
    }
    Response::from_parts(head, Body::new(SealedAnswer { body, sealer }))
}

/// An answer, sealed frame by frame as it comes. It is read only when the connection takes more, so what counts as sent is the same as
/// without a seal.
struct SealedAnswer {
    body: Body,
    sealer: ResponseSealer,
}

/// The answer broke off.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
struct BrokeOff;

impl SealedAnswer {
    fn data(&mut self, text: &[u8]) -> Option<Frame<Bytes>> {
        let sealed = self.sealer.seal(text, b"")?;
        let length = u32::try_from(sealed.len()).ok()?.to_be_bytes();
        Some(Frame::data([&length[..], &sealed].concat().into()))
    }

    fn trailers(&mut self, trailers: &HeaderMap) -> Option<Frame<Bytes>> {
        let receipt = trailers.get(RECEIPT_TRAILER)?;
        let sealed = self.sealer.seal(receipt.as_bytes(), RECEIPT_TRAILER.as_str().as_bytes())?;
        let value = HeaderValue::from_str(&STANDARD.encode(sealed)).ok()?;
        Some(Frame::trailers(HeaderMap::from_iter([(RECEIPT_TRAILER, value)])))
    }
}

impl http_body::Body for SealedAnswer {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        let this = &mut *self;
        loop {
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(_)) => None,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(text) if text.is_empty() => continue,
                    Ok(text) => this.data(&text),
                    Err(frame) => frame.trailers_ref().and_then(|trailers| this.trailers(trailers)),
                },
            };
            return Poll::Ready(Some(frame.ok_or(BrokeOff)));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
