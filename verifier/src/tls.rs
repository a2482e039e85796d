//! The client's TLS stack: one provider, TLS 1.3 only, no resumption, and no opinion about who the peer is.
//!
//! Decides: that the peer holds the private key of the certificate it showed (the handshake signature is verified), and
//! nothing else. Trusts on entry: nothing. Holds on exit: [`ChannelSecrets`], this side's own view of the connection (exporter
//! and leaf key), from which the appraisal recomputes REPORT_DATA. A certificate's names, dates and issuer say nothing about
//! the machine behind it, so they are not looked at: trust is decided after the handshake (protocol.md §2.2).

use std::sync::Arc;

use attestation::{EXPORTER_LABEL, Exporter, Sha256Digest};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, PeerIncompatible, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Why this side has no usable view of a TLS connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The TLS library refused its own configuration.
    #[error("configure TLS")]
    Configure(#[source] rustls::Error),
    /// The peer finished a handshake without a certificate.
    #[error("the node showed no certificate")]
    NoCertificate,
    /// The leaf certificate's public key could not be read.
    #[error("read the public key of the node's certificate")]
    LeafKey(#[source] rustls::Error),
    /// The exporter is not available.
    #[error("derive the channel exporter")]
    Exporter(#[source] rustls::Error),
    /// The peer did not agree to HTTP/2.
    #[error("the node does not speak HTTP/2")]
    NoHttp2,
}

/// This side's own view of a finished handshake. Nothing in it was read from an HTTP answer.
#[derive(Clone)]
pub struct ChannelSecrets {
    /// RFC 9266 `tls-exporter`.
    pub exporter: Exporter,
    /// SHA-256 of the leaf certificate's SubjectPublicKeyInfo, DER.
    pub leaf_spki_sha256: [u8; 32],
    /// Name of the key exchange group, for the transcript.
    pub key_exchange: String,
}

/// The configuration every connection to a node uses.
///
/// # Errors
/// When the provider lacks TLS 1.3, which is a build mistake.
pub fn client_config() -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(provider());
    let verifier = Arc::new(HandshakeSignatureOnly { provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Configure)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would carry the trust of an older handshake (threat N4).
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

/// aws-lc-rs with the post-quantum hybrid and nothing else: every node speaks it, and prompts that are recorded today must not be read
/// when quantum computers are there (threat N5).
fn provider() -> CryptoProvider {
    CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768], ..aws_lc_rs::default_provider() }
}

/// Reads what the finished handshake fixed: exporter, leaf key, group, protocol.
///
/// # Errors
/// When any of the four is missing.
pub fn channel_secrets(connection: &ClientConnection) -> Result<ChannelSecrets, TlsError> {
    if connection.alpn_protocol() != Some(b"h2") {
        return Err(TlsError::NoHttp2);
    }
    let leaf = connection.peer_certificates().and_then(<[_]>::first).ok_or(TlsError::NoCertificate)?;
    // RFC 9266 §2: the label, an empty context, 32 bytes.
    let exporter =
        connection.export_keying_material([0u8; 32], EXPORTER_LABEL, Some(b"")).map_err(TlsError::Exporter)?;
    let group = connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
    Ok(ChannelSecrets {
        exporter: Exporter(exporter),
        leaf_spki_sha256: spki_sha256(leaf)?,
        key_exchange: group.unwrap_or_else(|| "unknown".to_owned()),
    })
}

/// The key is read by the parser that also verified the handshake signature, so the two cannot disagree about which key it is.
fn spki_sha256(leaf: &CertificateDer<'_>) -> Result<[u8; 32], TlsError> {
    let parsed = ParsedCertificate::try_from(leaf).map_err(TlsError::LeafKey)?;
    Ok(Sha256Digest::of(parsed.subject_public_key_info().as_ref()).0)
}

/// Accepts any certificate and refuses any handshake whose signature that certificate's key did not make.
#[derive(Debug)]
struct HandshakeSignatureOnly {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for HandshakeSignatureOnly {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Identity is decided after the handshake, by the appraisal of evidence bound to this channel.
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
