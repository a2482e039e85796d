//! The handshake: a peer without the certificate's key, or with an older protocol, gets no connection.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{HandshakeKind, ServerConfig};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use verifier::connect::{Channel, ConnectError};
use verifier::tls::{channel_secrets, client_config};
use verifier::{Error, Exit};

fn key_and_certificate() -> (rcgen::KeyPair, rcgen::Certificate) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["whoever.invalid".to_owned()]).unwrap().self_signed(&key).unwrap();
    (key, certificate)
}

/// A server that shows `certificate` and signs with `key`, whether or not they belong together.
fn server(key: &rcgen::KeyPair, certificate: &rcgen::Certificate, alpn: &[u8]) -> TlsAcceptor {
    server_by(aws_lc_rs::default_provider(), key, certificate, alpn)
}

fn server_by(
    provider: CryptoProvider,
    key: &rcgen::KeyPair,
    certificate: &rcgen::Certificate,
    alpn: &[u8],
) -> TlsAcceptor {
    let signer =
        aws_lc_rs::sign::any_supported_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
            .unwrap();
    let resolver = SingleCertAndKey::from(CertifiedKey::new(vec![certificate.der().clone()], signer));
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn both_ends_see_one_channel_and_nothing_is_resumed() {
    let (key, certificate) = key_and_certificate();
    let acceptor = server(&key, &certificate, b"h2");
    let config = client_config().unwrap();
    let mut exporters = Vec::new();
    for _ in 0..2 {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let connector = TlsConnector::from(Arc::clone(&config));
        let name = ServerName::try_from("node.example").unwrap();
        let (client, server) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
        let (client, server) = (client.unwrap(), server.unwrap());
        let secrets = channel_secrets(client.get_ref().1).unwrap();
        let theirs =
            server.get_ref().1.export_keying_material([0; 32], attestation::EXPORTER_LABEL, Some(b"")).unwrap();
        assert_eq!(secrets.exporter.0, theirs);
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        assert_eq!(secrets.leaf_spki_sha256, attestation::Sha256Digest::of(&spki).0);
        assert_eq!(secrets.key_exchange, "X25519MLKEM768");
        assert_eq!(client.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        exporters.push(theirs);
    }
    assert_ne!(exporters[0], exporters[1]);
}

async fn dial(acceptor: TlsAcceptor) -> Result<Channel, ConnectError> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        // The client ends the handshake with an alert, or the connection stays until the test ends.
        let accepted = acceptor.accept(socket).await;
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        drop(accepted);
    });
    Channel::open(&url).await
}

#[tokio::test]
async fn a_handshake_signed_with_another_key_is_rejected() {
    let (_, certificate) = key_and_certificate();
    let (other_key, _) = key_and_certificate();
    let error = Error::from(dial(server(&other_key, &certificate, b"h2")).await.err().unwrap());
    assert_eq!((error.exit(), error.code()), (Exit::Rejected, "tls.handshake_signature"));
}

/// What is recorded on the way must stay unreadable, so nothing less is agreed to (N5).
#[tokio::test]
async fn a_peer_without_the_hybrid_key_exchange_is_refused() {
    let (key, certificate) = key_and_certificate();
    let classical = vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::SECP384R1];
    let provider = CryptoProvider { kx_groups: classical, ..aws_lc_rs::default_provider() };
    let acceptor = server_by(provider, &key, &certificate, b"h2");
    let error = Error::from(dial(acceptor).await.err().unwrap());
    assert_eq!((error.exit(), error.code()), (Exit::Rejected, "tls.key_exchange"));
}

#[tokio::test]
async fn a_peer_without_http2_is_no_node() {
    let (key, certificate) = key_and_certificate();
    let error = dial(server(&key, &certificate, b"http/1.1")).await.err().unwrap();
    assert!(matches!(error, ConnectError::Handshake { .. } | ConnectError::Tls(_)), "{error}");
}
