//! The attestation key's certificate, up to a root of the provider (RFC 5280; TCG EK Credential Profile, AIK key purpose).
//!
//! Decides: whether the key in the runtime claims is one the provider certified as a vTPM's attestation key. Trusts the
//! roots by their bytes; everything else arrives from anyone. Revocation is not checked: the provider publishes its
//! lists on the network, and nothing here goes there.

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{AzureRejection, RuntimeClaims};
use crate::crypto;
use crate::time::UnixTime;

/// sha256WithRSAEncryption (RFC 8017).
const OID_SHA256_WITH_RSA: &str = "1.2.840.113549.1.1.11";
/// sha384WithRSAEncryption (RFC 8017).
const OID_SHA384_WITH_RSA: &str = "1.2.840.113549.1.1.12";
/// rsaEncryption (RFC 8017).
const OID_RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
/// tcg-kp-AIKCertificate: the key purpose of attestation keys.
const OID_AIK_CERTIFICATE: &str = "2.23.133.8.3";
/// Basic constraints, key usage and extended key usage: the extensions interpreted here.
const INTERPRETED: [&str; 3] = ["2.5.29.19", "2.5.29.15", "2.5.29.37"];

/// Most certificates between the attestation key's and the root.
const INTERMEDIATES_MAX: u32 = 3;

/// Verify that `leaf` certifies the attestation key of `claims` and chains to one of `roots` at `now`.
pub(super) fn verify(
    leaf: &[u8],
    intermediates: &[&[u8]],
    roots: &[&[u8]],
    now: UnixTime,
    claims: &RuntimeClaims,
) -> Result<(), AzureRejection> {
    let leaf = parse(leaf)?;
    let intermediates = intermediates.iter().map(|der| parse(der)).collect::<Result<Vec<_>, _>>()?;
    let roots = roots.iter().map(|der| parse(der)).collect::<Result<Vec<_>, _>>()?;
    require_attestation_key_role(&leaf)?;
    require_dates(&leaf, now)?;

    let mut subject = &leaf;
    for below in 0..=INTERMEDIATES_MAX {
        if let Some(root) = issuer(subject, &roots)? {
            require_issuer_role(root, below)?;
            require_dates(root, now)?;
            return require_key(&leaf, claims);
        }
        let Some(next) = issuer(subject, &intermediates)? else { return Err(AzureRejection::CertificateChain) };
        require_issuer_role(next, below)?;
        require_dates(next, now)?;
        subject = next;
    }
    Err(AzureRejection::CertificateChain)
}

/// One certificate; only zeros may follow it.
fn parse(der: &[u8]) -> Result<X509Certificate<'_>, AzureRejection> {
    match X509Certificate::from_der(der) {
        Ok((rest, certificate)) if rest.iter().all(|byte| *byte == 0) => Ok(certificate),
        _ => Err(AzureRejection::CertificateMalformed),
    }
}

/// The first of `candidates` that is named as issuer and whose key signed `subject`.
fn issuer<'c, 'der>(
    subject: &X509Certificate<'der>,
    candidates: &'c [X509Certificate<'der>],
) -> Result<Option<&'c X509Certificate<'der>>, AzureRejection> {
    for candidate in candidates.iter().filter(|candidate| candidate.subject() == subject.issuer()) {
        if is_signed_by(subject, candidate.public_key())? {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

fn is_signed_by(subject: &X509Certificate<'_>, issuer: &SubjectPublicKeyInfo<'_>) -> Result<bool, AzureRejection> {
    if subject.tbs_certificate.signature != subject.signature_algorithm {
        return Err(AzureRejection::CertificateAlgorithm);
    }
    if issuer.algorithm.algorithm.to_id_string() != OID_RSA_ENCRYPTION {
        return Err(AzureRejection::CertificateAlgorithm);
    }
    let key = issuer.subject_public_key.data.as_ref();
    let (signed, signature) = (subject.tbs_certificate.as_ref(), subject.signature_value.data.as_ref());
    match subject.signature_algorithm.algorithm.to_id_string().as_str() {
        OID_SHA256_WITH_RSA => Ok(crypto::verify_rsa_pkcs1_sha256(key, signed, signature).is_ok()),
        OID_SHA384_WITH_RSA => Ok(crypto::verify_rsa_pkcs1_sha384(key, signed, signature).is_ok()),
        _ => Err(AzureRejection::CertificateAlgorithm),
    }
}

/// An end-entity certificate for signing, of a TPM's attestation key.
fn require_attestation_key_role(leaf: &X509Certificate<'_>) -> Result<(), AzureRejection> {
    let wrong = || AzureRejection::CertificateRole;
    let constraints = leaf.basic_constraints().map_err(|_| wrong())?;
    let usage = leaf.key_usage().map_err(|_| wrong())?;
    let purposes = leaf.extended_key_usage().map_err(|_| wrong())?;
    let is_ca = constraints.is_some_and(|extension| extension.value.ca);
    let signs = usage.is_some_and(|extension| extension.value.digital_signature());
    let is_attestation_key = purposes.is_some_and(|extension| {
        extension.value.other.iter().any(|purpose| purpose.to_id_string() == OID_AIK_CERTIFICATE)
    });
    if is_ca || !signs || !is_attestation_key {
        return Err(wrong());
    }
    require_known_critical_extensions(leaf)
}

/// A certificate authority with at most `below` authorities between it and the end entity.
fn require_issuer_role(issuer: &X509Certificate<'_>, below: u32) -> Result<(), AzureRejection> {
    let wrong = || AzureRejection::CertificateRole;
    let constraints = issuer.basic_constraints().map_err(|_| wrong())?.ok_or_else(wrong)?;
    let usage = issuer.key_usage().map_err(|_| wrong())?.ok_or_else(wrong)?;
    let deep_enough = constraints.value.path_len_constraint.is_none_or(|longest| below <= longest);
    if !constraints.value.ca || !usage.value.key_cert_sign() || !deep_enough {
        return Err(wrong());
    }
    require_known_critical_extensions(issuer)
}

/// RFC 5280 §4.2.
fn require_known_critical_extensions(certificate: &X509Certificate<'_>) -> Result<(), AzureRejection> {
    let unknown = certificate
        .extensions()
        .iter()
        .any(|extension| extension.critical && !INTERPRETED.contains(&extension.oid.to_id_string().as_str()));
    if unknown { Err(AzureRejection::CertificateRole) } else { Ok(()) }
}

fn require_dates(certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), AzureRejection> {
    let validity = certificate.validity();
    let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
    let valid = (seconds(validity.not_before)..=seconds(validity.not_after)).contains(&now.0);
    if valid { Ok(()) } else { Err(AzureRejection::CertificateDates { now }) }
}

/// The certified key is the one in the claims.
fn require_key(leaf: &X509Certificate<'_>, claims: &RuntimeClaims) -> Result<(), AzureRejection> {
    let number = |bytes: &'_ [u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    match leaf.public_key().parsed() {
        Ok(PublicKey::RSA(key))
            if number(key.modulus) == claims.ak_modulus && number(key.exponent) == claims.ak_exponent =>
        {
            Ok(())
        }
        _ => Err(AzureRejection::CertificateKey),
    }
}
