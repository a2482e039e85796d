//! What every vendor's profile needs of X.509: names, signatures, dates, roles and revocation (RFC 5280).
//!
//! Decides: single facts about one certificate or list; which facts a chain needs is the business of `snp`, `tdx`,
//! `gpu` and `azure`. AMD's endorsement keys have serial number 0 and NVIDIA's never expire, which profiles made for the
//! web refuse, so parsing is x509-parser's and every rule that matters is spelled out here.

pub(crate) mod crl;
pub(crate) mod der;
mod fault;
mod pem;
mod scheme;
mod validity;

use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::BitString;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo, X509Name};

use crate::time::UnixTime;
pub use fault::{ChainFault, Link};
pub(crate) use pem::{is_pem, pem_chain};
pub(crate) use scheme::{Scheme, p256_point, p384_point};
pub(crate) use validity::Validity;

/// Parse one DER certificate with nothing behind it.
pub(crate) fn parse(link: Link, der: &[u8]) -> Result<X509Certificate<'_>, ChainFault> {
    let malformed = ChainFault::Malformed { link };
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
    /// Verify that `issuer` signed this with `scheme`, which both places that name an algorithm must name.
    pub(crate) fn verify(
        &self,
        scheme: Scheme,
        issuer: &SubjectPublicKeyInfo<'_>,
        issuer_link: Link,
    ) -> Result<(), ChainFault> {
        let link = self.link;
        for algorithm in [self.inner_algorithm, self.outer_algorithm] {
            scheme.require_named_by(link, algorithm)?;
        }
        self.require_exact_wrapping(scheme)?;
        scheme
            .verify(issuer_link, issuer, self.signed, self.signature.data.as_ref())?
            .map_err(|_refused| ChainFault::Signature { link })
    }

    /// The signature covers neither the outer algorithm nor the tags and lengths around it. They have one right form:
    /// write it and compare, so that no byte of a certificate can change.
    fn require_exact_wrapping(&self, scheme: Scheme) -> Result<(), ChainFault> {
        const BIT_STRING: u8 = 0x03;
        let algorithm = scheme.algorithm_der(self.inner_algorithm);
        let signature = der_value(BIT_STRING, &[&[0], self.signature.data.as_ref()].concat());
        let parts = [self.signed, &algorithm, &signature].concat();
        if der_value(SEQUENCE, &parts) == self.der { Ok(()) } else { Err(ChainFault::Malformed { link: self.link }) }
    }
}

/// Tag of SEQUENCE.
const SEQUENCE: u8 = 0x30;

/// Tag, shortest length, content (X.690 §10.1).
pub(crate) fn der_value(tag: u8, content: &[u8]) -> Vec<u8> {
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
    scheme: Scheme,
) -> Result<(), ChainFault> {
    let object = SignedObject {
        link,
        der,
        signed: certificate.tbs_certificate.as_ref(),
        inner_algorithm: &certificate.tbs_certificate.signature,
        outer_algorithm: &certificate.signature_algorithm,
        signature: &certificate.signature_value,
    };
    object.verify(scheme, issuer, issuer_link)
}

/// RFC 5280 §6.3.3 (f): an issuer of revocation lists whose certificate names its key usage must name this one.
pub(crate) fn require_crl_signer(link: Link, certificate: &X509Certificate<'_>) -> Result<(), ChainFault> {
    let usage = certificate.key_usage().map_err(|_| ChainFault::Role { link })?;
    if usage.is_none_or(|extension| extension.value.crl_sign()) { Ok(()) } else { Err(ChainFault::Role { link }) }
}

/// What a certificate is in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It issues others; `below` intermediates follow it before the leaf (RFC 5280 §4.2.1.9).
    Issuer {
        /// Intermediate certificates between this one and the leaf.
        below: u32,
    },
    /// It issues nothing.
    Leaf,
}

/// Whether basic constraints, path length and key usage allow the certificate its place.
pub(crate) fn require_role(link: Link, certificate: &X509Certificate<'_>, place: Place) -> Result<(), ChainFault> {
    require_role_beside(link, certificate, place, &[])
}

/// [`require_role`], with critical extensions of these ids that the caller interprets itself.
pub(crate) fn require_role_beside(
    link: Link,
    certificate: &X509Certificate<'_>,
    place: Place,
    interpreted: &[&str],
) -> Result<(), ChainFault> {
    let wrong_role = || ChainFault::Role { link };
    let constraints = certificate.basic_constraints().map_err(|_| wrong_role())?;
    let usage = certificate.key_usage().map_err(|_| wrong_role())?;
    let is_ca = constraints.as_ref().is_some_and(|extension| extension.value.ca);
    let path_len = constraints.and_then(|extension| extension.value.path_len_constraint);
    let allowed = match place {
        Place::Leaf => !is_ca,
        Place::Issuer { below } => {
            let may_sign = usage.is_none_or(|extension| extension.value.key_cert_sign());
            is_ca && may_sign && path_len.is_none_or(|limit| below <= limit)
        }
    };
    if !allowed {
        return Err(wrong_role());
    }
    require_known_critical_extensions(link, certificate, interpreted)
}

/// Whether key usage is present and allows the key to sign what is no certificate (RFC 5280 §4.2.1.3).
pub(crate) fn require_digital_signature(link: Link, certificate: &X509Certificate<'_>) -> Result<(), ChainFault> {
    match certificate.key_usage() {
        Ok(Some(usage)) if usage.value.digital_signature() => Ok(()),
        _ => Err(ChainFault::Role { link }),
    }
}

/// Refuse critical extensions other than the two interpreted above and the caller's (RFC 5280 §4.2).
fn require_known_critical_extensions(
    link: Link,
    certificate: &X509Certificate<'_>,
    interpreted: &[&str],
) -> Result<(), ChainFault> {
    const INTERPRETED: [&str; 2] = ["2.5.29.19", "2.5.29.15"];
    for extension in certificate.extensions() {
        // Most extensions are not critical, and an identifier's text is costly.
        if !extension.critical {
            continue;
        }
        let oid = extension.oid.to_id_string();
        if !INTERPRETED.contains(&oid.as_str()) && !interpreted.contains(&oid.as_str()) {
            return Err(ChainFault::CriticalExtension { link, oid });
        }
    }
    Ok(())
}

/// RFC 5280 §6.1.3 (a)(4): the issuer name is the issuer's subject name, byte for byte.
pub(crate) fn require_issued_by(
    link: Link,
    certificate: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
) -> Result<(), ChainFault> {
    if certificate.issuer().as_raw() == issuer.subject().as_raw() {
        return Ok(());
    }
    Err(ChainFault::Name {
        link,
        expected: format!("issuer {}", issuer.subject()),
        got: format!("issuer {}", certificate.issuer()),
    })
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
