//! Boot keys: made in memory at every boot, never written, gone with the process (decision 6).

use std::time::Duration;

use attestation::{Hex32, Keyset, Nonce, ReceiptKey, Sha256Digest, TlsKeyEntry, UnixTime};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::limits::{CERTIFICATE_SKEW_SECS, CLOCK_SECS_MAX, KEYSET_LIFETIME_SECS};

/// Everything secret the guardian has, and the public keyset that evidence binds.
pub struct BootKeys {
    /// Signs receipts, offers, settlements and running totals.
    pub receipt: ReceiptKey,
    /// The self-signed certificate of the TLS key. Clients ignore all of it but the key.
    pub certificate: CertificateDer<'static>,
    /// The TLS key, taken by the listener.
    pub tls_key: PrivateKeyDer<'static>,
    /// What the salts of prefix caches are derived from.
    pub cache_salt: Zeroizing<[u8; 32]>,
    /// SHA-256 of the TLS key's SubjectPublicKeyInfo.
    pub leaf_spki_sha256: [u8; 32],
    /// The public halves.
    pub keyset: Keyset,
    /// Digest of `keyset`.
    pub keyset_digest: Sha256Digest,
}

impl std::fmt::Debug for BootKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BootKeys").field("keyset_digest", &self.keyset_digest).finish_non_exhaustive()
    }
}

/// Makes the keys of one boot.
pub fn generate(now: UnixTime) -> anyhow::Result<BootKeys> {
    anyhow::ensure!(now.0 <= CLOCK_SECS_MAX, "the clock says a year that no certificate can have");
    let receipt = ReceiptKey::generate()?;
    let tls = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    // The name is a fixed string: nothing about the operator or the machine goes into a certificate nobody trusts.
    let mut params = rcgen::CertificateParams::new(vec!["cloister.invalid".to_owned()])?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "Cloister attested key");
    // As long as the keyset. Nobody decides by these dates, which are the host's; a scanner would ask why they are others.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.0.saturating_sub(CERTIFICATE_SKEW_SECS));
    params.not_after = epoch + Duration::from_secs(now.0.saturating_add(KEYSET_LIFETIME_SECS));
    let certificate = params.self_signed(&tls)?.der().clone();
    let leaf_spki_sha256 = spki_sha256(&certificate)?;
    let keyset = Keyset {
        subject: None,
        not_after: UnixTime(now.0.saturating_add(KEYSET_LIFETIME_SECS)),
        receipt_signing_keys: vec![receipt.entry()],
        e2ee_public_keys: Vec::new(),
        tls_public_keys: vec![TlsKeyEntry { spki_sha256: Hex32(leaf_spki_sha256), domain: None }],
    };
    let keyset_digest = keyset.digest();
    let tls_key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(tls.serialize_der()));
    let cache_salt = Zeroizing::new(Nonce::random()?.0);
    Ok(BootKeys { receipt, certificate, tls_key, cache_salt, leaf_spki_sha256, keyset, keyset_digest })
}

fn spki_sha256(certificate: &CertificateDer<'_>) -> anyhow::Result<[u8; 32]> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, parsed) = X509Certificate::from_der(certificate)?;
    Ok(Sha256Digest::of(parsed.tbs_certificate.subject_pki.raw).0)
}
