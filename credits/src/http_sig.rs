//! Signatures over the requests of a tab: RFC 9421 with RFC 9530 content digests, in the one shape of `docs/protocol.md` §5.
//!
//! The parser takes that shape and nothing else: one label, these components in this order, these parameters in this
//! order. A looser reader would gain nothing and could be led to cover less than the guardian believes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::bytes::{Bytes32, SignatureBytes};
use crate::hash::sha256;
use crate::keys::{TabKey, verify_ed25519};
use crate::note::Nullifier;

/// Header that names the tab.
pub const CLOISTER_TAB: &str = "cloister-tab";
/// Header that tells a repeat from a new request.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Header with the body's digest.
pub const CONTENT_DIGEST: &str = "content-digest";
/// Header with the covered components and parameters.
pub const SIGNATURE_INPUT: &str = "signature-input";
/// Header with the signature.
pub const SIGNATURE: &str = "signature";
/// Longest idempotency key.
pub const IDEMPOTENCY_KEY_LEN_MAX: usize = 64;

const COMPONENTS: &str = r#"("@method" "@path" "cloister-tab" "idempotency-key" "content-digest")"#;

/// The five headers of a signed request, as they are on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeaders {
    /// `Cloister-Tab`.
    pub cloister_tab: String,
    /// `Idempotency-Key`.
    pub idempotency_key: String,
    /// `Content-Digest`.
    pub content_digest: String,
    /// `Signature-Input`.
    pub signature_input: String,
    /// `Signature`.
    pub signature: String,
}

impl RequestHeaders {
    /// Names and values, for putting them on a request.
    pub fn pairs(&self) -> [(&'static str, &str); 5] {
        [
            (CLOISTER_TAB, &self.cloister_tab),
            (IDEMPOTENCY_KEY, &self.idempotency_key),
            (CONTENT_DIGEST, &self.content_digest),
            (SIGNATURE_INPUT, &self.signature_input),
            (SIGNATURE, &self.signature),
        ]
    }
}

/// Why a signed request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpSigRejection {
    /// The method is not a token, or the path has a query or characters outside visible ASCII.
    #[error("the request's method or path cannot be signed")]
    Target,
    /// `Cloister-Tab` is not a nullifier.
    #[error("the Cloister-Tab header is not a nullifier")]
    Tab,
    /// `Idempotency-Key` is not 1 to 64 of `[A-Za-z0-9_-]`.
    #[error("an idempotency key is 1 to {IDEMPOTENCY_KEY_LEN_MAX} characters of A-Z, a-z, 0-9, _ and -")]
    IdempotencyKey,
    /// `Content-Digest` is not one `sha-256` digest.
    #[error("the Content-Digest header is not one sha-256 digest")]
    DigestMalformed,
    /// `Content-Digest` is not the body's.
    #[error("the content digest is not the body's")]
    DigestMismatch,
    /// `Signature-Input` is not of the one accepted shape.
    #[error("the Signature-Input header is not of the accepted shape")]
    InputMalformed,
    /// `keyid` is not the tab's key.
    #[error("the request is signed with another key than the tab's")]
    KeyMismatch,
    /// `created` is too far from now.
    #[error("the signature was created at {created}, now is {now}")]
    Created {
        /// The signature's time.
        created: u64,
        /// The verifier's time.
        now: u64,
    },
    /// `Signature` is not of the one accepted shape.
    #[error("the Signature header is not of the accepted shape")]
    SignatureMalformed,
    /// The signature does not verify.
    #[error("the request's signature does not verify")]
    Signature,
}

impl HttpSigRejection {
    /// The stable code of the refusal.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Target => "tab.target",
            Self::Tab => "tab.id_malformed",
            Self::IdempotencyKey => "tab.idempotency_key",
            Self::DigestMalformed => "tab.digest_malformed",
            Self::DigestMismatch => "tab.digest_mismatch",
            Self::InputMalformed => "tab.signature_input",
            Self::KeyMismatch => "tab.key_mismatch",
            Self::Created { .. } => "tab.signature_time",
            Self::SignatureMalformed => "tab.signature_malformed",
            Self::Signature => "tab.signature",
        }
    }
}

/// Signs a request of a tab. A request without a body signs an empty one. `idempotency_key` must be one that
/// [`verify_request`] takes.
pub fn sign_request(
    key: &TabKey,
    method: &str,
    path: &str,
    tab: &Nullifier,
    idempotency_key: &str,
    body: &[u8],
    created: u64,
) -> RequestHeaders {
    let tab = tab.to_string();
    let digest = content_digest(body);
    let parameters = parameters(created, &key.public());
    let base = signature_base(method, path, &tab, idempotency_key, &digest, &parameters);
    let signature = STANDARD.encode(key.sign(base.as_bytes()));
    RequestHeaders {
        cloister_tab: tab,
        idempotency_key: idempotency_key.to_owned(),
        content_digest: digest,
        signature_input: format!("cloister={parameters}"),
        signature: format!("cloister=:{signature}:"),
    }
}

/// Verifies that `tab_public` signed this method, path, tab, idempotency key and body at most `max_skew` seconds from `now`.
///
/// `path` is the request's whole target: one with a query is refused, since a query is not covered. Whether the tab exists
/// and has that key is the caller's knowledge.
pub fn verify_request(
    tab_public: &Bytes32,
    method: &str,
    path: &str,
    headers: &RequestHeaders,
    body: &[u8],
    now: u64,
    max_skew: u64,
) -> Result<(), HttpSigRejection> {
    let method_is_token = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    let path_is_plain = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#');
    if !method_is_token || !path_is_plain {
        return Err(HttpSigRejection::Target);
    }
    let RequestHeaders { cloister_tab, idempotency_key, content_digest, signature_input, signature } = headers;
    cloister_tab.parse::<Nullifier>().map_err(|_| HttpSigRejection::Tab)?;
    if !is_idempotency_key(idempotency_key) {
        return Err(HttpSigRejection::IdempotencyKey);
    }
    verify_content_digest(content_digest, body)?;
    let (created, key) = parse_signature_input(signature_input)?;
    if key != *tab_public {
        return Err(HttpSigRejection::KeyMismatch);
    }
    if created.abs_diff(now) > max_skew {
        return Err(HttpSigRejection::Created { created, now });
    }
    let signature = parse_signature(signature)?;
    // The shape is fixed, so the parameters written anew are the received ones.
    let parameters = parameters(created, &key);
    let base = signature_base(method, path, cloister_tab, idempotency_key, content_digest, &parameters);
    verify_ed25519(tab_public, base.as_bytes(), &signature).map_err(|_| HttpSigRejection::Signature)
}

/// Whether the text is a valid idempotency key.
pub fn is_idempotency_key(text: &str) -> bool {
    (1..=IDEMPOTENCY_KEY_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// RFC 9530 `Content-Digest` of a body.
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(sha256(body)))
}

fn verify_content_digest(header: &str, body: &[u8]) -> Result<(), HttpSigRejection> {
    let encoded = header.strip_prefix("sha-256=:").and_then(|rest| rest.strip_suffix(':'));
    let digest = encoded.and_then(|text| STANDARD.decode(text).ok()).ok_or(HttpSigRejection::DigestMalformed)?;
    let digest: [u8; 32] = digest.try_into().map_err(|_| HttpSigRejection::DigestMalformed)?;
    if Bytes32(digest) == sha256(body) { Ok(()) } else { Err(HttpSigRejection::DigestMismatch) }
}

/// RFC 9421 §2.3: `@signature-params` with its parameters in our order.
fn parameters(created: u64, key: &Bytes32) -> String {
    format!(r#"{COMPONENTS};created={created};keyid="{key}";alg="ed25519""#)
}

/// RFC 9421 §2.5.
fn signature_base(
    method: &str,
    path: &str,
    tab: &str,
    idempotency_key: &str,
    digest: &str,
    parameters: &str,
) -> String {
    format!(
        "\"@method\": {method}\n\"@path\": {path}\n\"cloister-tab\": {tab}\n\"idempotency-key\": {idempotency_key}\n\
         \"content-digest\": {digest}\n\"@signature-params\": {parameters}"
    )
}

fn parse_signature_input(header: &str) -> Result<(u64, Bytes32), HttpSigRejection> {
    let parse = || {
        let rest = header.strip_prefix("cloister=")?.strip_prefix(COMPONENTS)?.strip_prefix(";created=")?;
        let (created, rest) = rest.split_once(';')?;
        let key = rest.strip_prefix("keyid=\"")?.strip_suffix("\";alg=\"ed25519\"")?.parse().ok()?;
        // One spelling per number: no sign, no leading zero.
        let number = created.parse::<u64>().ok().filter(|number| number.to_string() == created)?;
        Some((number, key))
    };
    parse().ok_or(HttpSigRejection::InputMalformed)
}

fn parse_signature(header: &str) -> Result<SignatureBytes, HttpSigRejection> {
    let encoded = header.strip_prefix("cloister=:").and_then(|rest| rest.strip_suffix(':'));
    let bytes = encoded.and_then(|text| STANDARD.decode(text).ok()).ok_or(HttpSigRejection::SignatureMalformed)?;
    Ok(SignatureBytes(bytes.try_into().map_err(|_| HttpSigRejection::SignatureMalformed)?))
}

#[cfg(test)]
#[path = "http_sig_tests.rs"]
mod tests;
