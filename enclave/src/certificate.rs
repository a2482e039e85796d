//! What a connection is shown with an attested key: the certificate that the key signed itself, or one of a public authority, for clients
//! that reach the node by its name and do not verify evidence, or not only (protocol.md §2.12, decision 36).
//!
//! Decides: which of the two. The key never leaves. A service of the host has the certificate made, from a request that the key signed;
//! what it brings back is shown if it is of this key and this name, and nothing else is believed: clients that verify evidence look at
//! the key alone, the others judge the chain by their own roots and clock.

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context as _;
use attestation::{Base64, Sha256Digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use platform_service::{ANSWER_BYTES_MAX, Answer, Question};
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::config::CertificateConfig;
use crate::keys::TlsIdentity;
use crate::limits::{
    CERTIFICATE_BYTES_MAX, CERTIFICATE_PAUSE, CERTIFICATE_RETRY_PAUSE, CERTIFICATE_TIMEOUT, CERTIFICATES_MAX,
};
use crate::line_service::{AskError, LineService, shortened};
use crate::metrics::{Failure, Metrics};

/// The certificates of one key, of which each connection is shown one.
#[derive(Debug)]
pub struct Certificates {
    own: Arc<CertifiedKey>,
    spki_sha256: [u8; 32],
    public: Option<Public>,
}

/// A name, and what an authority says of it.
#[derive(Debug)]
struct Public {
    name: String,
    request: Base64,
    service: LineService,
    shown: RwLock<Option<Arc<CertifiedKey>>>,
}

/// Why a chain is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// There are none, or more than a chain has.
    #[error("a chain has 1 to {CERTIFICATES_MAX} certificates")]
    Length,
    /// One of them is none, or longer than any.
    #[error("what is in the chain is no certificate of at most {CERTIFICATE_BYTES_MAX} bytes")]
    Certificate,
    /// The first is of another key.
    #[error("the certificate is of another key")]
    Key,
    /// The first is of other names.
    #[error("the certificate is not of the name that was asked for")]
    Name,
}

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
enum NotCertified {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the service did not answer in time")]
    Timeout,
    #[error("the service says: {0}")]
    Refused(String),
    #[error("there is none yet: {0}")]
    Pending(String),
    #[error(transparent)]
    Chain(#[from] ChainFault),
}

impl Certificates {
    /// The self-signed certificate alone, until an authority gives another, if one is asked.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn new(identity: &TlsIdentity, config: Option<&CertificateConfig>) -> anyhow::Result<Self> {
        let key = any_ecdsa_type(&identity.key).context("take the TLS key")?;
        let own = Arc::new(CertifiedKey::new(vec![identity.certificate.clone()], key));
        let public = config.map(|config| Public::new(&identity.key, config)).transpose()?;
        Ok(Self { own, spki_sha256: identity.spki_sha256, public })
    }

    /// Has the key certified, and certified again in time. Does not return.
    pub async fn keep(&self, metrics: &Metrics) {
        let Some(public) = &self.public else { return std::future::pending().await };
        let mut said = String::new();
        loop {
            let pause = match self.renew(public).await {
                Ok(()) => CERTIFICATE_PAUSE,
                Err(failure) => {
                    if !matches!(failure, NotCertified::Pending(_)) {
                        metrics.failed(Failure::Certificate);
                    }
                    let failure = failure.to_string();
                    // It may be asked for a long time.
                    if failure != said {
                        tracing::warn!(name = public.name, "no new certificate: {failure}");
                        said = failure;
                    }
                    CERTIFICATE_RETRY_PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn renew(&self, public: &Public) -> Result<(), NotCertified> {
        let question = Question::Certify(public.request.clone());
        let answer = tokio::time::timeout(CERTIFICATE_TIMEOUT, public.service.ask(&question, ANSWER_BYTES_MAX)).await;
        match answer.map_err(|_| NotCertified::Timeout)?? {
            Answer::Certificate(chain) => Ok(self.show(public, chain.into_iter().map(|der| der.0).collect())?),
            Answer::CertificatePending(why) => Err(NotCertified::Pending(shortened(&why))),
            Answer::Error { message } => Err(NotCertified::Refused(shortened(&message))),
            _ => Err(NotCertified::Refused("the answer to another question".to_owned())),
        }
    }

    /// Shows a chain to those who ask for the name, if it is of this key and that name.
    fn show(&self, public: &Public, chain: Vec<Vec<u8>>) -> Result<(), ChainFault> {
        let chain: Vec<_> = chain.into_iter().map(CertificateDer::from).collect();
        judge(&chain, &self.spki_sha256, &public.name)?;
        let mut shown = public.shown.write().unwrap_or_else(PoisonError::into_inner);
        if shown.as_ref().is_none_or(|shown| shown.cert != chain) {
            *shown = Some(Arc::new(CertifiedKey::new(chain, Arc::clone(&self.own.key))));
            tracing::info!(name = public.name, "showing a certificate of a public authority");
        }
        Ok(())
    }

    fn of_name(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let public =
            self.public.as_ref().filter(|public| name.is_some_and(|name| name.eq_ignore_ascii_case(&public.name)));
        let shown = public.and_then(|public| public.shown.read().unwrap_or_else(PoisonError::into_inner).clone());
        shown.unwrap_or_else(|| Arc::clone(&self.own))
    }

    /// What is shown to clients that ask for the name, in PEM.
    #[must_use]
    pub fn shown_pem(&self) -> String {
        let shown = self.of_name(self.public.as_ref().map(|public| public.name.as_str()));
        shown.cert.iter().map(pem).collect()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.of_name(hello.server_name()))
    }
}

impl Public {
    fn new(key: &PrivateKeyDer<'_>, config: &CertificateConfig) -> anyhow::Result<Self> {
        let key = rcgen::KeyPair::try_from(key).context("take the TLS key")?;
        let mut params = rcgen::CertificateParams::new(vec![config.name.clone()])?;
        // The name is where authorities look for it, and nothing else is said.
        params.distinguished_name = rcgen::DistinguishedName::new();
        let request = params.serialize_request(&key).context("make the request for a certificate")?;
        Ok(Self {
            name: config.name.clone(),
            request: Base64(request.der().to_vec()),
            service: LineService::from_config(&config.service),
            shown: RwLock::default(),
        })
    }
}

fn judge(chain: &[CertificateDer<'_>], spki_sha256: &[u8; 32], name: &str) -> Result<(), ChainFault> {
    let [leaf, ..] = chain else { return Err(ChainFault::Length) };
    if chain.len() > CERTIFICATES_MAX {
        return Err(ChainFault::Length);
    }
    for certificate in chain {
        parse(certificate)?;
    }
    let leaf = parse(leaf)?;
    if Sha256Digest::of(leaf.tbs_certificate.subject_pki.raw).0 != *spki_sha256 {
        return Err(ChainFault::Key);
    }
    let names = leaf.subject_alternative_name().map_err(|_| ChainFault::Certificate)?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let is_it = |of: &GeneralName<'_>| matches!(of, GeneralName::DNSName(dns) if dns.eq_ignore_ascii_case(name));
    if names.iter().any(is_it) { Ok(()) } else { Err(ChainFault::Name) }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, ChainFault> {
    let fits = certificate.len() <= CERTIFICATE_BYTES_MAX;
    let parsed = X509Certificate::from_der(certificate).ok().filter(|(rest, _)| fits && rest.is_empty());
    parsed.map(|(_, certificate)| certificate).ok_or(ChainFault::Certificate)
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests;
