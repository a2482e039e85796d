//! NVIDIA-shaped certificates: ECDSA P-384, DICE extensions, no expiry to speak of.

use attestation::{Base64, UnixTime};

use super::keys::{GpuKeys, KeyName};
use crate::certificate::{NOT_AFTER, NOT_BEFORE, name};
use crate::der;

const OID_BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const OID_KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const OID_EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const OID_OCSP_SIGNING: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 9];
const OID_COMPOSITE_DEVICE_ID: &[u64] = &[2, 23, 133, 5, 4, 1];
const OID_TCB_INFO: &[u64] = &[2, 23, 133, 5, 4, 1, 1];
const OID_UNKNOWN: &[u64] = &[1, 3, 6, 1, 4, 1, 5703, 999];
const OID_ECDSA_SHA256: &[u64] = &[1, 2, 840, 10_045, 4, 3, 2];
const OID_ECDSA_SHA384: &[u64] = &[1, 2, 840, 10_045, 4, 3, 3];
const OID_EC_PUBLIC_KEY: &[u64] = &[1, 2, 840, 10_045, 2, 1];
const OID_SECP256R1: &[u64] = &[1, 2, 840, 10_045, 3, 1, 7];
const OID_SECP384R1: &[u64] = &[1, 3, 132, 0, 34];
const OID_SHA384: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 2];

/// Organisation of every simulated name.
pub(crate) const ORGANISATION: &str = "SIMULATED GPU, not hardware";

/// The curve a certificate says its key is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EcCurve {
    /// NVIDIA's.
    P384,
    /// Not NVIDIA's.
    P256,
}

/// How a leaf certificate names the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FwidForm {
    /// Not at all.
    Absent,
    /// Hopper's CompositeDeviceID.
    Composite([u8; 48]),
    /// Blackwell's TcbInfo.
    TcbInfo([u8; 48]),
    /// Hopper's extension with bytes that are none.
    Garbage,
}

/// A certificate before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are X.509's")]
pub struct GpuCertificate {
    pub common_name: String,
    pub issuer_name: String,
    pub serial: Vec<u8>,
    pub not_before: UnixTime,
    pub not_after: UnixTime,
    pub key: KeyName,
    pub curve: EcCurve,
    pub signed_by: KeyName,
    pub is_ca: bool,
    pub path_len: Option<u64>,
    /// Bits of key usage: 0x80 digitalSignature, 0x04 keyCertSign.
    pub key_usage: u8,
    pub fwid: FwidForm,
    pub ocsp_signing: bool,
    pub unknown_critical_extension: bool,
}

impl GpuCertificate {
    /// DER.
    #[must_use]
    pub fn der(&self, keys: &GpuKeys) -> Vec<u8> {
        if let Some(der) = keys.root_der(self) {
            return der.clone();
        }
        let tbs = der::sequence(&[
            der::explicit(0, &der::integer(2)),
            der::tlv(0x02, &self.serial),
            signature_algorithm(self.signed_by),
            name(ORGANISATION, &self.issuer_name),
            der::sequence(&[der::time(self.not_before), der::time(self.not_after)]),
            name(ORGANISATION, &self.common_name),
            self.spki(keys),
            der::explicit(3, &der::sequence(&self.extensions(keys))),
        ]);
        let signature = der::bit_string(&keys.sign_der(self.signed_by, &tbs), 0);
        der::sequence(&[tbs, signature_algorithm(self.signed_by), signature])
    }

    /// PEM.
    #[must_use]
    pub fn pem(&self, keys: &GpuKeys) -> String {
        let text = lines(&base64(&self.der(keys)), 64);
        format!("-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n")
    }

    fn spki(&self, keys: &GpuKeys) -> Vec<u8> {
        let curve = match self.curve {
            EcCurve::P384 => OID_SECP384R1,
            EcCurve::P256 => OID_SECP256R1,
        };
        let algorithm = der::sequence(&[der::oid(OID_EC_PUBLIC_KEY), der::oid(curve)]);
        der::sequence(&[algorithm, der::bit_string(keys.point(self.key), 0)])
    }

    fn extensions(&self, keys: &GpuKeys) -> Vec<Vec<u8>> {
        let mut constraints = Vec::new();
        if self.is_ca {
            constraints.push(der::boolean(true));
            constraints.extend(self.path_len.map(der::integer));
        }
        let usage =
            der::bit_string(&[self.key_usage], u8::try_from(self.key_usage.trailing_zeros().min(7)).unwrap_or(0));
        let mut extensions = vec![
            extension(OID_BASIC_CONSTRAINTS, true, &der::sequence(&constraints)),
            extension(OID_KEY_USAGE, true, &usage),
        ];
        if self.ocsp_signing {
            extensions.push(extension(OID_EXTENDED_KEY_USAGE, false, &der::sequence(&[der::oid(OID_OCSP_SIGNING)])));
        }
        let fwid = |digest: &[u8; 48]| der::sequence(&[der::oid(OID_SHA384), der::octet_string(digest)]);
        match &self.fwid {
            FwidForm::Absent => {}
            FwidForm::Composite(digest) => {
                let content = der::sequence(&[der::integer(1), self.spki(keys), fwid(digest)]);
                extensions.push(extension(OID_COMPOSITE_DEVICE_ID, false, &content));
            }
            FwidForm::TcbInfo(digest) => {
                let content = der::sequence(&[der::explicit(6, &fwid(digest))]);
                extensions.push(extension(OID_TCB_INFO, false, &content));
            }
            FwidForm::Garbage => extensions.push(extension(OID_COMPOSITE_DEVICE_ID, false, &der::null())),
        }
        if self.unknown_critical_extension {
            extensions.push(extension(OID_UNKNOWN, true, &der::null()));
        }
        extensions
    }
}

/// A chain of these keys and names, leaf first, each issued by the next and the last by itself.
pub(crate) fn chain(names: &[(KeyName, &str)], (not_before, not_after): (UnixTime, UnixTime)) -> Vec<GpuCertificate> {
    let issuers = names.iter().skip(1).chain(names.last());
    let mut chain: Vec<GpuCertificate> = Vec::new();
    for ((key, common_name), (signed_by, issuer_name)) in names.iter().zip(issuers) {
        let place = u8::try_from(chain.len()).unwrap_or(u8::MAX);
        let is_ca = place > 0;
        chain.push(GpuCertificate {
            common_name: (*common_name).to_owned(),
            issuer_name: (*issuer_name).to_owned(),
            serial: vec![0x41, u8::try_from(names.len()).unwrap_or(u8::MAX) & 0x7f, place],
            not_before,
            not_after,
            key: *key,
            curve: EcCurve::P384,
            signed_by: *signed_by,
            is_ca,
            path_len: None,
            key_usage: if is_ca { 0x04 } else { 0x80 },
            fwid: FwidForm::Absent,
            ocsp_signing: false,
            unknown_critical_extension: false,
        });
    }
    chain
}

/// A responder certificate the issuer of `common_name` gives out.
pub(crate) fn delegate(issuer: &GpuCertificate) -> GpuCertificate {
    let mut chain = chain(&[(KeyName::OcspDelegate, "SIMULATED OCSP responder")], (NOT_BEFORE, NOT_AFTER));
    let mut delegate = chain.remove(0);
    delegate.issuer_name.clone_from(&issuer.common_name);
    delegate.signed_by = issuer.key;
    delegate.ocsp_signing = true;
    delegate
}

/// ecdsa-with-SHA384, or with SHA256 for the key on P-256.
pub(crate) fn signature_algorithm(key: KeyName) -> Vec<u8> {
    let oid = if key == KeyName::P256 { OID_ECDSA_SHA256 } else { OID_ECDSA_SHA384 };
    der::sequence(&[der::oid(oid)])
}

pub(crate) fn extension(oid: &[u64], critical: bool, content: &[u8]) -> Vec<u8> {
    let mut parts = vec![der::oid(oid)];
    if critical {
        parts.push(der::boolean(true));
    }
    parts.push(der::octet_string(content));
    der::sequence(&parts)
}

/// Standard base64 without line ends.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let text = serde_json::to_string(&Base64(bytes.to_vec())).unwrap_or_default();
    text.trim_matches('"').to_owned()
}

/// Lines of `width` characters.
pub(crate) fn lines(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, tail) = rest.split_at_checked(width).unwrap_or((rest, ""));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out
}
