//! The second attestation document of Tinfoil (`tinfoil-attestation`, version 2), so that its clients can verify this node.
//!
//! Its report has SHA-256 of a TLS key and, unhashed, an HPKE key: whoever could choose the second half of REPORT_DATA could have bodies
//! sealed to himself. So it is an entrance of its own, on a port of its own, with both keys of its own, and one report that is made at
//! boot from nothing but them. No other entrance uses these keys, and on this one there is no other attestation to ask for.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use attestation::{EvidenceFormat, UnixTime};
use axum::Router;
use axum::extract::State;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderValue, header};
use serde_json::{Value, json};

use super::hpke::RecipientKey;
use super::{ehbp, key_config};
use crate::attester::Attester;
use crate::certificate::Certificates;
use crate::config::CertificateConfig;
use crate::keys::{self, TlsIdentity};
use crate::routes::method_not_allowed;

/// The number of the one key.
const KEY_NUMBER: u8 = 0;

/// The entrance's keys, and the report over them.
#[derive(Debug)]
pub struct TinfoilFace {
    /// What the entrance serves TLS with.
    pub certificates: Arc<Certificates>,
    key: Arc<RecipientKey>,
    document: Value,
}

/// REPORT_DATA: SHA-256 of the TLS key's SubjectPublicKeyInfo, then the HPKE key.
fn report_data(tls: &TlsIdentity, key: &RecipientKey) -> [u8; 64] {
    let mut data = [0; 64];
    for (slot, byte) in data.iter_mut().zip(tls.spki_sha256.iter().chain(key.public())) {
        *slot = *byte;
    }
    data
}

impl TinfoilFace {
    /// Makes the keys and has them reported. With a name, both entrances have certificates for it.
    pub async fn new(attester: &Attester, now: UnixTime, name: Option<&CertificateConfig>) -> anyhow::Result<Self> {
        let tls = keys::tls_identity(now)?;
        let key = RecipientKey::generate().context("make the HPKE key")?;
        let evidence = attester.attest(report_data(&tls, &key)).await?.evidence;
        let platform = match evidence.format {
            EvidenceFormat::SevSnpReportV1 => "sev-snp-guest",
            EvidenceFormat::TdxQuoteV1 => "tdx-guest",
        };
        let mut body = GzEncoder::new(Vec::new(), Compression::default());
        body.write_all(&evidence.report.0)?;
        let document = json!({
            "format": format!("https://tinfoil.sh/predicate/{platform}/v2"),
            "body": STANDARD.encode(body.finish()?),
        });
        Ok(Self { certificates: Arc::new(Certificates::new(&tls, name)?), key: Arc::new(key), document })
    }
}

/// The entrance's routes: `api`, with sealed bodies, and what its clients fetch first.
pub fn routes(face: &Arc<TinfoilFace>, api: Router) -> Router {
    let sealed = api.layer(middleware::from_fn_with_state(Arc::clone(&face.key), ehbp::layer));
    let known = Router::new()
        .route("/.well-known/tinfoil-attestation", get(document))
        .route("/.well-known/tinfoil-certificate", get(certificate))
        .route("/.well-known/hpke-keys", get(keys))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Arc::clone(face));
    known.fallback_service(sealed)
}

async fn document(State(face): State<Arc<TinfoilFace>>) -> Response {
    axum::Json(&face.document).into_response()
}

async fn certificate(State(face): State<Arc<TinfoilFace>>) -> Response {
    axum::Json(json!({"certificate": face.certificates.shown_pem()})).into_response()
}

async fn keys(State(face): State<Arc<TinfoilFace>>) -> Response {
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/ohttp-keys"))];
    (content_type, key_config(KEY_NUMBER, &face.key, &[ehbp::AEAD])).into_response()
}
