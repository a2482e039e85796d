//! Messages that are sealed to a key of this node, beside or instead of its TLS channel: what stands between sees neither prompts nor
//! answers.
//!
//! [`ohttp`] hides from the node who asks, and from a relay what is asked. [`ehbp`] and [`tinfoil`] are for clients of another system.
//! Each has a key of its own, and none of them lets a client choose bytes of a report.

pub mod bhttp;
pub mod ehbp;
pub mod hpke;
pub mod ohttp;
pub mod response;
pub mod tinfoil;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use hpke::{Aead, KDF_SHA256, KEM_X25519, RecipientKey};

/// What a client is told whose message cannot be opened, whatever the cause (RFC 9457).
fn not_sealed_to_us(status: StatusCode, kind: &'static str) -> Response {
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
    let title = "this is not sealed to this node's key; the node may have restarted: verify it again";
    (status, content_type, json!({"type": kind, "title": title}).to_string()).into_response()
}

/// The key and the suites that senders may choose from (RFC 9458 §3).
#[must_use]
fn key_config(id: u8, key: &RecipientKey, aeads: &[Aead]) -> Vec<u8> {
    let mut config = vec![id];
    config.extend_from_slice(&KEM_X25519.to_be_bytes());
    config.extend_from_slice(key.public());
    let suites: Vec<u8> =
        aeads.iter().flat_map(|aead| [KDF_SHA256.to_be_bytes(), aead.id().to_be_bytes()].concat()).collect();
    config.extend_from_slice(&u16::try_from(suites.len()).unwrap_or(0).to_be_bytes());
    config.extend_from_slice(&suites);
    config
}
