//! The signature schemes vendors use, each with fixed parameters, and the keys they need.
//!
//! Decides: whether an algorithm identifier names exactly the scheme its place requires, and whether a key is of the
//! one type that scheme uses. A certificate cannot talk a verifier into another algorithm.

use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use super::{ChainFault, Link, SEQUENCE, der_value};
use crate::crypto::{self, Refused};

/// id-RSASSA-PSS (RFC 8017), with tag and length like the two below.
const OID_RSASSA_PSS_DER: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
/// ecdsa-with-SHA256 and ecdsa-with-SHA384 (RFC 5758 §3.2): parameters are absent.
const OID_ECDSA_SHA256_DER: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const OID_ECDSA_SHA384_DER: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// rsaEncryption (RFC 8017).
const OID_RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
/// id-ecPublicKey, secp256r1 and secp384r1 (RFC 5480), without tag and length.
const OID_EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_SECP256R1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_SECP384R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];

/// Bits of AMD's root and intermediate keys.
const RSA_BITS: usize = 4096;
/// Lengths of uncompressed points.
const P256_POINT_LEN: usize = 65;
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

/// A signature scheme of a certificate or revocation list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    /// AMD: RSA-4096, RSASSA-PSS with SHA-384, MGF1-SHA-384 and a 48-byte salt.
    Rsa4096PssSha384,
    /// Intel: ECDSA P-256 with SHA-256.
    EcdsaP256Sha256,
    /// NVIDIA: ECDSA P-384 with SHA-384.
    EcdsaP384Sha384,
}

impl Scheme {
    /// Whether `algorithm` is this scheme, with its only parameters.
    pub(super) fn require_named_by(self, link: Link, algorithm: &AlgorithmIdentifier<'_>) -> Result<(), ChainFault> {
        let parameters = algorithm.parameters.as_ref().map(|any| any.data);
        let oid = algorithm.algorithm.as_bytes();
        let named = match self {
            Self::Rsa4096PssSha384 => {
                named_by(OID_RSASSA_PSS_DER, oid)
                    && parameters
                        .and_then(|data| data.strip_prefix(PSS_SHA384_PARAMS))
                        .is_some_and(|rest| rest.is_empty() || rest == PSS_TRAILER_PARAM)
            }
            Self::EcdsaP256Sha256 => named_by(OID_ECDSA_SHA256_DER, oid) && parameters.is_none(),
            Self::EcdsaP384Sha384 => named_by(OID_ECDSA_SHA384_DER, oid) && parameters.is_none(),
        };
        if named { Ok(()) } else { Err(ChainFault::Algorithm { link }) }
    }

    /// The DER of the algorithm identifier that the signed part names.
    pub(super) fn algorithm_der(self, inner: &AlgorithmIdentifier<'_>) -> Vec<u8> {
        let content = match self {
            Self::Rsa4096PssSha384 => {
                let parameters = inner.parameters.as_ref().map_or(&[][..], |any| any.data);
                [OID_RSASSA_PSS_DER, &der_value(SEQUENCE, parameters)].concat()
            }
            Self::EcdsaP256Sha256 => OID_ECDSA_SHA256_DER.to_vec(),
            Self::EcdsaP384Sha384 => OID_ECDSA_SHA384_DER.to_vec(),
        };
        der_value(SEQUENCE, &content)
    }

    /// Verify `signature` over `message` under `key`; the outer error is a key of the wrong type.
    pub(super) fn verify(
        self,
        key_link: Link,
        key: &SubjectPublicKeyInfo<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<Result<(), Refused>, ChainFault> {
        Ok(match self {
            Self::Rsa4096PssSha384 => crypto::verify_rsa_pss_sha384(rsa_4096_key(key_link, key)?, message, signature),
            Self::EcdsaP256Sha256 => crypto::verify_ecdsa_p256_der(p256_point(key_link, key)?, message, signature),
            Self::EcdsaP384Sha384 => crypto::verify_ecdsa_p384_der(p384_point(key_link, key)?, message, signature),
        })
    }
}

/// Whether the content `oid` is the whole of `der`, an OBJECT IDENTIFIER with tag and one-byte length.
fn named_by(der: &[u8], oid: &[u8]) -> bool {
    der.split_first_chunk::<2>().is_some_and(|(_, content)| content == oid)
}

/// The PKCS#1 form of an RSA-4096 key.
fn rsa_4096_key<'a>(link: Link, spki: &'a SubjectPublicKeyInfo<'_>) -> Result<&'a [u8], ChainFault> {
    let wrong_key = ChainFault::Key { link };
    if spki.algorithm.algorithm.to_id_string() != OID_RSA_ENCRYPTION {
        return Err(wrong_key);
    }
    match spki.parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() == RSA_BITS => Ok(spki.subject_public_key.data.as_ref()),
        _ => Err(wrong_key),
    }
}

/// The uncompressed point of a P-384 key, 97 bytes.
pub(crate) fn p384_point<'a>(link: Link, spki: &'a SubjectPublicKeyInfo<'_>) -> Result<&'a [u8], ChainFault> {
    ec_point(link, spki, OID_SECP384R1, P384_POINT_LEN)
}

/// The uncompressed point of a P-256 key, 65 bytes.
pub(crate) fn p256_point<'a>(link: Link, spki: &'a SubjectPublicKeyInfo<'_>) -> Result<&'a [u8], ChainFault> {
    ec_point(link, spki, OID_SECP256R1, P256_POINT_LEN)
}

fn ec_point<'a>(
    link: Link,
    spki: &'a SubjectPublicKeyInfo<'_>,
    wanted_curve: &[u8],
    length: usize,
) -> Result<&'a [u8], ChainFault> {
    const UNCOMPRESSED: u8 = 0x04;
    let curve = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
    let point = spki.subject_public_key.data.as_ref();
    let accepted = spki.algorithm.algorithm.as_bytes() == OID_EC_PUBLIC_KEY
        && curve.is_some_and(|curve| curve.as_bytes() == wanted_curve)
        && point.len() == length
        && point.first() == Some(&UNCOMPRESSED);
    if accepted { Ok(point) } else { Err(ChainFault::Key { link }) }
}
