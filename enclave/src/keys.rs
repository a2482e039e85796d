//! Boot keys: made in memory at every boot, never written, gone with the process (decision 6).

use std::time::Duration;

use anyhow::Context as _;
use attestation::{ALGO_OHTTP, Hex32, KeyEntry, Keyset, Nonce, ReceiptKey, Sha256Digest, TlsKeyEntry, UnixTime};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::limits::{CERTIFICATE_SKEW_SECS, CLOCK_SECS_MAX, KEYSET_LIFETIME_SECS};
use crate::sealed::hpke::RecipientKey;

/// Everything secret the guardian has, and the public keyset that evidence binds.
pub struct BootKeys {
    /// Signs receipts, offers, settlements and running totals.
    pub receipt: ReceiptKey,
    /// What the attested channel is served with.
    pub tls: TlsIdentity,
    /// What Oblivious HTTP envelopes are sealed to.
    pub ohttp: RecipientKey,
    /// What the salts of prefix caches are derived from.
    pub cache_salt: Zeroizing<[u8; 32]>,
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

/// A TLS key of one entrance.
pub struct TlsIdentity {
    /// Its self-signed certificate. Clients ignore all of it but the key.
    pub certificate: CertificateDer<'static>,
    /// The key, taken by the listener.
    pub key: PrivateKeyDer<'static>,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
}

impl std::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TlsIdentity({})", hex::encode(self.spki_sha256))
    }
}

/// Makes a TLS key.
pub fn tls_identity(now: UnixTime) -> anyhow::Result<TlsIdentity> {
    anyhow::ensure!(now.0 <= CLOCK_SECS_MAX, "the clock says a year that no certificate can have");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    // The name is a fixed string: nothing about the operator or the machine goes into a certificate nobody trusts.
    let mut params = rcgen::CertificateParams::new(vec!["cloister.invalid".to_owned()])?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "Cloister attested key");
    // As long as the keyset. Nobody decides by these dates, which are the host's; a scanner would ask why they are others.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.0.saturating_sub(CERTIFICATE_SKEW_SECS));
    params.not_after = epoch + Duration::from_secs(now.0.saturating_add(KEYSET_LIFETIME_SECS));
    let certificate = params.self_signed(&key)?.der().clone();
    let spki_sha256 = spki_sha256(&certificate)?;
    Ok(TlsIdentity {
        certificate,
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        spki_sha256,
    })
}

/// Makes the keys of one boot; the TLS key is limited to `name`, if the node has one.
pub fn generate(now: UnixTime, name: Option<&str>) -> anyhow::Result<BootKeys> {
    let tls = tls_identity(now)?;
    let receipt = ReceiptKey::generate()?;
    let ohttp = RecipientKey::generate().context("make the HPKE key")?;
    let public_key = hex::encode(ohttp.public());
    let keyset = Keyset {
        subject: None,
        not_after: UnixTime(now.0.saturating_add(KEYSET_LIFETIME_SECS)),
        receipt_signing_keys: vec![receipt.entry()],
        e2ee_public_keys: vec![KeyEntry { key_id: "ohttp".to_owned(), algo: ALGO_OHTTP.to_owned(), public_key }],
        tls_public_keys: vec![TlsKeyEntry { spki_sha256: Hex32(tls.spki_sha256), domain: name.map(str::to_owned) }],
    };
    let keyset_digest = keyset.digest();
    let cache_salt = Zeroizing::new(Nonce::random()?.0);
    Ok(BootKeys { receipt, tls, ohttp, cache_salt, keyset, keyset_digest })
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo.
pub(crate) fn spki_sha256(certificate: &CertificateDer<'_>) -> anyhow::Result<[u8; 32]> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, parsed) = X509Certificate::from_der(certificate)?;
    Ok(Sha256Digest::of(parsed.tbs_certificate.subject_pki.raw).0)
}
