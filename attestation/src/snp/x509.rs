//! What the AMD profile needs of X.509: names, RSASSA-PSS signatures, dates and roles (57230 §3; RFC 5280).
//!
//! Decides: single facts about one certificate. AMD's endorsement keys have serial number 0, which profiles made
//! for the web refuse, so parsing is x509-parser's and every rule that matters is spelled out here.

use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::BitString;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo, X509Name};

use crate::crypto;
use crate::rejection::{Link, Rejection};
use crate::time::UnixTime;

/// id-RSASSA-PSS (RFC 8017).
const OID_RSASSA_PSS: &str = "1.2.840.113549.1.1.10";
/// The same, as it is encoded.
const OID_RSASSA_PSS_DER: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
/// rsaEncryption (RFC 8017).
const OID_RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
/// id-ecPublicKey (RFC 5480).
const OID_EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
/// secp384r1 (RFC 5480).
const OID_SECP384R1: &str = "1.3.132.0.34";

/// Bits of AMD's root and intermediate keys.
const RSA_BITS: usize = 4096;
/// Length of an uncompressed P-384 point.
const P384_POINT_LEN: usize = 97;

/// RSASSA-PSS-params of every AMD signature: SHA-384, MGF1-SHA-384, salt 48 (RFC 4055 §3.1), without its header.
const PSS_SHA384_PARAMS: &[u8] = &[
    0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, // hash
    0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, // MGF1
    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, // with SHA-384
    0xa2, 0x03, 0x02, 0x01, 0x30, // salt length 48
];
/// AMD's roots and intermediates spell out the default trailer field, its endorsement keys leave it out.
const PSS_TRAILER_PARAM: &[u8] = &[0xa3, 0x03, 0x02, 0x01, 0x01];

/// Parse one DER certificate with nothing behind it.
pub(crate) fn parse(link: Link, der: &[u8]) -> Result<X509Certificate<'_>, Rejection> {
    let malformed = Rejection::CertificateMalformed { link };
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(malformed),
    }
}

/// The only common name of `name`.
pub(crate) fn common_name<'a>(name: &'a X509Name<'_>) -> Option<&'a str> {
    let mut names = name.iter_common_name();
    match (names.next(), names.next()) {
        (Some(only), None) => only.as_str().ok(),
        _ => None,
    }
}

/// Whether an algorithm identifier is RSASSA-PSS with AMD's parameters.
pub(crate) fn require_pss_sha384(link: Link, algorithm: &AlgorithmIdentifier<'_>) -> Result<(), Rejection> {
    let parameters = algorithm.parameters.as_ref().map(|any| any.data);
    let accepted = algorithm.algorithm.to_id_string() == OID_RSASSA_PSS
        && parameters
            .and_then(|data| data.strip_prefix(PSS_SHA384_PARAMS))
            .is_some_and(|rest| rest.is_empty() || rest == PSS_TRAILER_PARAM);
    if accepted { Ok(()) } else { Err(Rejection::CertificateAlgorithm { link }) }
}

/// The PKCS#1 form of an RSA-4096 key.
pub(crate) fn rsa_4096_key<'a>(link: Link, spki: &'a SubjectPublicKeyInfo<'_>) -> Result<&'a [u8], Rejection> {
    let wrong_key = Rejection::CertificateKey { link };
    if spki.algorithm.algorithm.to_id_string() != OID_RSA_ENCRYPTION {
        return Err(wrong_key);
    }
    match spki.parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() == RSA_BITS => Ok(spki.subject_public_key.data.as_ref()),
        _ => Err(wrong_key),
    }
}

/// The uncompressed point of a P-384 key.
pub(crate) fn p384_point<'a>(link: Link, spki: &'a SubjectPublicKeyInfo<'_>) -> Result<&'a [u8], Rejection> {
    let curve = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()).map(|oid| oid.to_id_string());
    let point = spki.subject_public_key.data.as_ref();
    let accepted = spki.algorithm.algorithm.to_id_string() == OID_EC_PUBLIC_KEY
        && curve.as_deref() == Some(OID_SECP384R1)
        && point.len() == P384_POINT_LEN
        && point.first() == Some(&0x04);
    if accepted { Ok(point) } else { Err(Rejection::CertificateKey { link }) }
}

/// The three parts of a certificate or revocation list (RFC 5280 §4.1 and §5.1), and the bytes they came in.
pub(crate) struct SignedObject<'a> {
    pub(crate) link: Link,
    pub(crate) der: &'a [u8],
    /// The signed part, as received.
    pub(crate) signed: &'a [u8],
    /// The algorithm named inside the signed part.
    pub(crate) inner_algorithm: &'a AlgorithmIdentifier<'a>,
    /// The algorithm named beside it.
    pub(crate) outer_algorithm: &'a AlgorithmIdentifier<'a>,
    pub(crate) signature: &'a BitString<'a>,
}

impl SignedObject<'_> {
    /// Verify that `issuer` signed this, with AMD's algorithm in both places that name one.
    pub(crate) fn verify(&self, issuer: &SubjectPublicKeyInfo<'_>, issuer_link: Link) -> Result<(), Rejection> {
        let link = self.link;
        require_pss_sha384(link, self.inner_algorithm)?;
        require_pss_sha384(link, self.outer_algorithm)?;
        self.require_exact_wrapping()?;
        let key = rsa_4096_key(issuer_link, issuer)?;
        crypto::verify_rsa_pss_sha384(key, self.signed, self.signature.data.as_ref())
            .map_err(|_| Rejection::CertificateSignature { link })
    }

    /// The signature covers neither the outer algorithm nor the tags and lengths around it. They have one right form:
    /// write it and compare, so that no byte of a certificate can change.
    fn require_exact_wrapping(&self) -> Result<(), Rejection> {
        const SEQUENCE: u8 = 0x30;
        const BIT_STRING: u8 = 0x03;
        let malformed = Rejection::CertificateMalformed { link: self.link };
        let inner_parameters = self.inner_algorithm.parameters.as_ref().map_or(&[][..], |any| any.data);
        let algorithm = [OID_RSASSA_PSS_DER, &der_value(SEQUENCE, inner_parameters)].concat();
        let signature = der_value(BIT_STRING, &[&[0], self.signature.data.as_ref()].concat());
        let parts = [self.signed, &der_value(SEQUENCE, &algorithm), &signature].concat();
        if der_value(SEQUENCE, &parts) == self.der { Ok(()) } else { Err(malformed) }
    }
}

/// Tag, shortest length, content (X.690 §10.1).
fn der_value(tag: u8, content: &[u8]) -> Vec<u8> {
    let length: Vec<u8> = content.len().to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    match length.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        bytes => {
            out.push(0x80 | u8::try_from(bytes.len()).expect("invariant: a usize has at most 8 bytes"));
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

/// Verify that `issuer` signed the certificate, and that `der` is exactly it.
pub(crate) fn verify_certificate(
    link: Link,
    der: &[u8],
    certificate: &X509Certificate<'_>,
    issuer: &SubjectPublicKeyInfo<'_>,
    issuer_link: Link,
) -> Result<(), Rejection> {
    let object = SignedObject {
        link,
        der,
        signed: certificate.tbs_certificate.as_ref(),
        inner_algorithm: &certificate.tbs_certificate.signature,
        outer_algorithm: &certificate.signature_algorithm,
        signature: &certificate.signature_value,
    };
    object.verify(issuer, issuer_link)
}

/// Whether `now` is inside the certificate's validity.
pub(crate) fn require_valid_at(link: Link, certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), Rejection> {
    let validity = certificate.validity();
    let (not_before, not_after) = (unix_time(validity.not_before), unix_time(validity.not_after));
    if now < not_before {
        return Err(Rejection::CertificateNotYetValid { link, not_before, now });
    }
    if now > not_after {
        return Err(Rejection::CertificateExpired { link, not_after, now });
    }
    Ok(())
}

/// Whether the certificate may sign others, or (for an endorsement key) may not.
pub(crate) fn require_role(link: Link, certificate: &X509Certificate<'_>, is_issuer: bool) -> Result<(), Rejection> {
    let wrong_role = || Rejection::CertificateRole { link };
    let constraints = certificate.basic_constraints().map_err(|_| wrong_role())?;
    let usage = certificate.key_usage().map_err(|_| wrong_role())?;
    let is_ca = constraints.is_some_and(|extension| extension.value.ca);
    let may_sign = usage.is_none_or(|extension| extension.value.key_cert_sign());
    if is_ca != is_issuer || (is_issuer && !may_sign) {
        return Err(wrong_role());
    }
    require_known_critical_extensions(link, certificate)
}

/// Refuse critical extensions other than the two interpreted above (RFC 5280 §4.2).
fn require_known_critical_extensions(link: Link, certificate: &X509Certificate<'_>) -> Result<(), Rejection> {
    const INTERPRETED: [&str; 2] = ["2.5.29.19", "2.5.29.15"];
    for extension in certificate.extensions() {
        let oid = extension.oid.to_id_string();
        if extension.critical && !INTERPRETED.contains(&oid.as_str()) {
            return Err(Rejection::CertificateCriticalExtension { link, oid });
        }
    }
    Ok(())
}

/// An ASN.1 time in Unix seconds; times before 1970 are the epoch.
pub(crate) fn unix_time(time: ASN1Time) -> UnixTime {
    UnixTime(u64::try_from(time.timestamp()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::der_value;

    #[test]
    fn lengths_take_the_fewest_bytes() {
        let header = |length: usize| {
            let value = der_value(0x04, &vec![0; length]);
            value.get(..value.len() - length).map(<[u8]>::to_vec)
        };
        assert_eq!(header(0), Some(vec![0x04, 0x00]));
        assert_eq!(header(0x7f), Some(vec![0x04, 0x7f]));
        assert_eq!(header(0x80), Some(vec![0x04, 0x81, 0x80]));
        assert_eq!(header(0xff), Some(vec![0x04, 0x81, 0xff]));
        assert_eq!(header(0x100), Some(vec![0x04, 0x82, 0x01, 0x00]));
    }
}
