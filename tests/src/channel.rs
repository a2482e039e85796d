//! A client of the native attestation, with its own view of the channel.

use anyhow::{Context, ensure};
use attestation::{AttestationDocument, ChannelView, EXPORTER_LABEL, Exporter, Nonce, Sha256Digest};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls;

/// A client's own view of its connection, and the document it was answered with.
///
/// # Errors
/// When there is no such answer, or the keyset does not name the key of this connection.
pub async fn ask(port: u16) -> anyhow::Result<(ChannelView, AttestationDocument)> {
    ask_with(port, Nonce::random()?).await
}

/// The same with this nonce.
///
/// # Errors
/// As [`ask`].
pub async fn ask_with(port: u16, nonce: Nonce) -> anyhow::Result<(ChannelView, AttestationDocument)> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = rustls::pki_types::ServerName::try_from("cloister.invalid")?;
    let tls = TlsConnector::from(tls::client_config(b"http/1.1")?).connect(name, stream).await?;
    let session = tls.get_ref().1;
    let exporter = session.export_keying_material([0_u8; 32], EXPORTER_LABEL, Some(b""))?;
    let certificate = session.peer_certificates().and_then(|chain| chain.first()).context("a certificate")?.clone();
    let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
    tokio::spawn(connection);
    let request = http::Request::get(format!("/v1/attestation?nonce={nonce}")).header("host", "cloister.invalid");
    let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    ensure!(answer.status().as_u16() == 200, "status {}", answer.status());
    let body = answer.into_body().collect().await?.to_bytes();
    let document = AttestationDocument::from_json(&body)?;
    let leaf_spki_sha256 = document.keyset.tls_public_keys.first().context("a TLS key")?.spki_sha256.0;
    ensure!(spki_is_in(&certificate, &leaf_spki_sha256), "the keyset does not name the key of this connection");
    Ok((ChannelView { nonce, exporter: Exporter(exporter), leaf_spki_sha256 }, document))
}

/// Whether the certificate holds a P-256 key whose SubjectPublicKeyInfo (91 bytes) has this digest.
fn spki_is_in(certificate: &[u8], digest: &[u8; 32]) -> bool {
    certificate.windows(91).any(|window| Sha256Digest::of(window).0 == *digest)
}
