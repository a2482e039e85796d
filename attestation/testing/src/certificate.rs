//! AMD-shaped certificates and revocation lists, right by default and wrong where a test asks for it.

use attestation::UnixTime;
use attestation::snp::{SigningKey, Tcb};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{RSA_PKCS1_SHA384, RSA_PSS_SHA256, RSA_PSS_SHA384};

use crate::der;

/// 2024-01-01T00:00:00Z: simulated certificates are valid from here...
pub(crate) const NOT_BEFORE: UnixTime = UnixTime(1_704_067_200);
/// ...to 2049-01-01T00:00:00Z.
pub(crate) const NOT_AFTER: UnixTime = UnixTime(2_493_072_000);

const OID_PRODUCT_NAME: &[u64] = &[1, 3, 6, 1, 4, 1, 3704, 1, 2];
const OID_STRUCT_VERSION: &[u64] = &[1, 3, 6, 1, 4, 1, 3704, 1, 1];
const OID_SPL_ARC: &[u64] = &[1, 3, 6, 1, 4, 1, 3704, 1, 3];
const OID_HWID: &[u64] = &[1, 3, 6, 1, 4, 1, 3704, 1, 4];
const OID_CSP_ID: &[u64] = &[1, 3, 6, 1, 4, 1, 3704, 1, 5];
const OID_BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const OID_KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const OID_ISSUING_DISTRIBUTION_POINT: &[u64] = &[2, 5, 29, 28];
const OID_RSASSA_PSS: &[u64] = &[1, 2, 840, 113_549, 1, 1, 10];
const OID_PKCS1_SHA384: &[u64] = &[1, 2, 840, 113_549, 1, 1, 12];
const OID_RSA_ENCRYPTION: &[u64] = &[1, 2, 840, 113_549, 1, 1, 1];
const OID_MGF1: &[u64] = &[1, 2, 840, 113_549, 1, 1, 8];
const OID_SHA256: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 1];
const OID_SHA384: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 2];
const OID_EC_PUBLIC_KEY: &[u64] = &[1, 2, 840, 10_045, 2, 1];
const OID_SECP384R1: &[u64] = &[1, 3, 132, 0, 34];
const OID_SECP256R1: &[u64] = &[1, 2, 840, 10_045, 3, 1, 7];

/// A certificate of the test chain that issues others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issuer {
    /// The root.
    Ark,
    /// The intermediate of VCEKs.
    Ask,
    /// The intermediate of VLEKs. It shares the ASK's key; only its name differs.
    Asvk,
}

/// How a certificate is signed, and what it says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureScheme {
    /// AMD's: RSASSA-PSS, SHA-384, salt 48.
    PssSha384,
    /// RSASSA-PSS with SHA-256 and salt 32.
    PssSha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Pkcs1Sha384,
}

/// The type an endorsement key claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectKey {
    /// AMD's.
    P384,
    /// The same bytes under another curve's name.
    LabelledP256,
}

/// An endorsement key certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VekSpec {
    /// Common name: `SEV-VCEK` or `SEV-VLEK`.
    pub common_name: String,
    /// Content of the product-name extension.
    pub product_name: Option<String>,
    /// TCB in the security-patch-level extensions.
    pub tcb: Option<Tcb>,
    /// Chip id; VCEK only.
    pub hwid: Option<Vec<u8>>,
    /// Cloud provider; VLEK only.
    pub csp_id: Option<String>,
    /// Start of validity.
    pub not_before: UnixTime,
    /// End of validity.
    pub not_after: UnixTime,
    /// Whose name stands as issuer.
    pub issuer_name: Issuer,
    /// Whose key signs.
    pub signed_by: Issuer,
    /// How it is signed.
    pub scheme: SignatureScheme,
    /// What the key claims to be.
    pub key: SubjectKey,
    /// Whether it claims to be a certificate authority.
    pub is_ca: bool,
    /// Whether it has a critical extension nobody knows.
    pub unknown_critical_extension: bool,
}

impl VekSpec {
    /// What AMD would issue for this kind of key.
    #[must_use]
    pub fn genuine(kind: SigningKey, product_name: &str, tcb: Tcb) -> Self {
        let (common_name, issuer) = match kind {
            SigningKey::Vcek => ("SEV-VCEK", Issuer::Ask),
            SigningKey::Vlek => ("SEV-VLEK", Issuer::Asvk),
        };
        Self {
            common_name: common_name.to_owned(),
            product_name: Some(product_name.to_owned()),
            tcb: Some(tcb),
            hwid: None,
            csp_id: None,
            not_before: NOT_BEFORE,
            not_after: NOT_AFTER,
            issuer_name: issuer,
            signed_by: issuer,
            scheme: SignatureScheme::PssSha384,
            key: SubjectKey::P384,
            is_ca: false,
            unknown_critical_extension: false,
        }
    }

    /// The extensions, in AMD's order.
    pub(crate) fn extensions(&self) -> Vec<Vec<u8>> {
        let mut extensions = vec![extension(OID_STRUCT_VERSION, false, &der::integer(1))];
        if let Some(name) = &self.product_name {
            extensions.push(extension(OID_PRODUCT_NAME, false, &der::ia5_string(name)));
        }
        if let Some(tcb) = &self.tcb {
            let fmc = tcb.fmc.map(|fmc| (9, fmc));
            let levels = [(1, tcb.boot_loader), (2, tcb.tee), (3, tcb.snp), (8, tcb.microcode)];
            for (arc, level) in levels.into_iter().chain(fmc) {
                let oid = [OID_SPL_ARC, &[arc]].concat();
                extensions.push(extension(&oid, false, &der::integer(u64::from(level))));
            }
        }
        if let Some(hwid) = &self.hwid {
            extensions.push(extension(OID_HWID, false, hwid));
        }
        if let Some(csp_id) = &self.csp_id {
            extensions.push(extension(OID_CSP_ID, false, &der::ia5_string(csp_id)));
        }
        if self.is_ca {
            extensions.push(basic_constraints(true));
        }
        if self.unknown_critical_extension {
            extensions.push(extension(&[1, 3, 6, 1, 4, 1, 3704, 999], true, &der::null()));
        }
        extensions
    }
}

/// Everything a certificate consists of before it is signed.
pub(crate) struct CertificateBody<'a> {
    pub(crate) serial: u64,
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    pub(crate) spki: Vec<u8>,
    pub(crate) extensions: Vec<Vec<u8>>,
}

/// Sign a certificate.
pub(crate) fn issue(body: &CertificateBody<'_>, key: &rsa::KeyPair, scheme: SignatureScheme) -> Vec<u8> {
    let tbs = der::sequence(&[
        der::explicit(0, &der::integer(2)),
        der::integer(body.serial),
        algorithm(scheme),
        body.issuer.to_vec(),
        der::sequence(&[der::time(body.not_before), der::time(body.not_after)]),
        body.subject.to_vec(),
        body.spki.clone(),
        der::explicit(3, &der::sequence(&body.extensions)),
    ]);
    signed(tbs, key, scheme)
}

/// Sign a revocation list.
pub(crate) fn issue_crl(spec: &crate::CrlSpec, issuer: &[u8], key: &rsa::KeyPair) -> Vec<u8> {
    let entries: Vec<Vec<u8>> = spec
        .revoked_serials
        .iter()
        .map(|serial| der::sequence(&[der::integer(*serial), der::time(spec.this_update)]))
        .collect();
    let mut parts = vec![der::integer(1), algorithm(spec.scheme), issuer.to_vec(), der::time(spec.this_update)];
    parts.extend(spec.next_update.map(der::time));
    if !entries.is_empty() {
        parts.push(der::sequence(&entries));
    }
    if spec.partitioned {
        let extension = extension(OID_ISSUING_DISTRIBUTION_POINT, true, &der::sequence(&[]));
        parts.push(der::explicit(0, &der::sequence(&[extension])));
    }
    signed(der::sequence(&parts), key, spec.scheme)
}

fn signed(tbs: Vec<u8>, key: &rsa::KeyPair, scheme: SignatureScheme) -> Vec<u8> {
    let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match scheme {
        SignatureScheme::PssSha384 => &RSA_PSS_SHA384,
        SignatureScheme::PssSha256 => &RSA_PSS_SHA256,
        SignatureScheme::Pkcs1Sha384 => &RSA_PKCS1_SHA384,
    };
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(padding, &SystemRandom::new(), &tbs, &mut signature)
        .expect("invariant: an RSA-4096 key signs any message");
    der::sequence(&[tbs, algorithm(scheme), der::bit_string(&signature, 0)])
}

/// The AlgorithmIdentifier of a signature.
fn algorithm(scheme: SignatureScheme) -> Vec<u8> {
    let (hash, salt_length) = match scheme {
        SignatureScheme::PssSha384 => (OID_SHA384, 48),
        SignatureScheme::PssSha256 => (OID_SHA256, 32),
        SignatureScheme::Pkcs1Sha384 => return der::sequence(&[der::oid(OID_PKCS1_SHA384), der::null()]),
    };
    let hash = der::sequence(&[der::oid(hash), der::null()]);
    let mask = der::sequence(&[der::oid(OID_MGF1), hash.clone()]);
    let parameters = [der::explicit(0, &hash), der::explicit(1, &mask), der::explicit(2, &der::integer(salt_length))];
    der::sequence(&[der::oid(OID_RSASSA_PSS), der::sequence(&parameters)])
}

/// A name in AMD's shape: organisation and common name.
pub(crate) fn name(organisation: &str, common_name: &str) -> Vec<u8> {
    let attribute = |arc, text: &str| der::set(&[der::sequence(&[der::oid(&[2, 5, 4, arc]), der::utf8_string(text)])]);
    der::sequence(&[attribute(10, organisation), attribute(3, common_name)])
}

/// SubjectPublicKeyInfo of an RSA key; `pkcs1` is its `RSAPublicKey`.
pub(crate) fn rsa_spki(pkcs1: &[u8]) -> Vec<u8> {
    der::sequence(&[der::sequence(&[der::oid(OID_RSA_ENCRYPTION), der::null()]), der::bit_string(pkcs1, 0)])
}

/// SubjectPublicKeyInfo of an uncompressed point.
pub(crate) fn ec_spki(point: &[u8], key: SubjectKey) -> Vec<u8> {
    let curve = match key {
        SubjectKey::P384 => OID_SECP384R1,
        SubjectKey::LabelledP256 => OID_SECP256R1,
    };
    let algorithm = der::sequence(&[der::oid(OID_EC_PUBLIC_KEY), der::oid(curve)]);
    der::sequence(&[algorithm, der::bit_string(point, 0)])
}

/// The extensions of an issuing certificate.
pub(crate) fn ca_extensions(is_ca: bool) -> Vec<Vec<u8>> {
    // keyCertSign and cRLSign are bits 5 and 6; the last bit of the byte is unused.
    let usage = der::bit_string(&[0b0000_0110], 1);
    vec![basic_constraints(is_ca), extension(OID_KEY_USAGE, true, &usage)]
}

pub(crate) fn basic_constraints(is_ca: bool) -> Vec<u8> {
    // DER leaves out a BOOLEAN that has its default, FALSE.
    let content = if is_ca { der::sequence(&[der::boolean(true)]) } else { der::sequence(&[]) };
    extension(OID_BASIC_CONSTRAINTS, true, &content)
}

pub(crate) fn extension(oid: &[u64], critical: bool, content: &[u8]) -> Vec<u8> {
    let mut parts = vec![der::oid(oid)];
    if critical {
        parts.push(der::boolean(true));
    }
    parts.push(der::octet_string(content));
    der::sequence(&parts)
}
