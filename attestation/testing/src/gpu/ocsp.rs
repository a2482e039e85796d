//! OCSP responses (RFC 6960), really signed.

use attestation::UnixTime;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, digest};

use super::certificate::{self, GpuCertificate, ORGANISATION, extension, signature_algorithm};
use super::keys::{GpuKeys, KeyName};
use crate::certificate::name;
use crate::der;

const OID_BASIC: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 1];
const OID_NONCE: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 2];
const OID_UNKNOWN: &[u64] = &[1, 3, 6, 1, 4, 1, 5703, 998];
const GENERALIZED_TIME: u8 = 0x18;
const ENUMERATED: u8 = 0x0a;

/// What the response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OcspStatus {
    /// Not revoked.
    Good,
    /// Revoked, with this reason code if any; 6 is certificateHold.
    Revoked(Option<u8>),
    /// Never heard of.
    Unknown,
}

/// Who signs the response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Responder {
    /// The certificate's issuer.
    Issuer,
    /// The holder of this certificate, which comes with the response.
    Delegate(Box<GpuCertificate>),
    /// The holder of this certificate, which does not come with the response.
    Stranger(Box<GpuCertificate>),
}

/// How the responder names itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponderName {
    /// By its distinguished name.
    Name,
    /// By the SHA-1 of its key.
    KeyHash,
}

/// How the response names the certificate's issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "names of algorithms")]
pub enum CertIdHash {
    Sha1,
    Sha256,
    Sha384,
}

/// A response, before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are RFC 6960's")]
pub struct FakeOcsp {
    pub response_status: u8,
    pub serial: Vec<u8>,
    pub issuer_name: String,
    pub issuer_key: KeyName,
    pub hash: CertIdHash,
    pub status: OcspStatus,
    pub this_update: UnixTime,
    pub next_update: Option<UnixTime>,
    pub produced_at: UnixTime,
    /// The nonce in the response.
    pub nonce: Option<[u8; 32]>,
    /// The nonce of the request.
    pub request_nonce: Option<[u8; 32]>,
    pub responder: Responder,
    pub responder_name: ResponderName,
    /// Who signs instead of the responder.
    pub signed_by: Option<KeyName>,
    /// Whether a critical extension nobody knows is in the response.
    pub unknown_critical_extension: bool,
}

impl FakeOcsp {
    /// `issuer` says that `subject` is good from `now` on.
    #[must_use]
    pub fn good(subject: &GpuCertificate, issuer: &GpuCertificate, now: UnixTime, period_secs: u64) -> Self {
        Self {
            response_status: 0,
            serial: subject.serial.clone(),
            issuer_name: issuer.common_name.clone(),
            issuer_key: issuer.key,
            hash: CertIdHash::Sha384,
            status: OcspStatus::Good,
            this_update: now,
            next_update: Some(now.saturating_add(period_secs)),
            produced_at: now,
            nonce: Some([0x0c; 32]),
            request_nonce: Some([0x0c; 32]),
            responder: Responder::Issuer,
            responder_name: ResponderName::Name,
            signed_by: None,
            unknown_critical_extension: false,
        }
    }

    /// A responder certificate of `issuer`.
    #[must_use]
    pub fn delegate_of(issuer: &GpuCertificate) -> GpuCertificate {
        certificate::delegate(issuer)
    }

    /// DER, signed.
    #[must_use]
    pub fn sign(&self, keys: &GpuKeys) -> Vec<u8> {
        let status = der::tlv(ENUMERATED, &[self.response_status]);
        if self.response_status != 0 {
            return der::sequence(&[status]);
        }
        let data = self.data(keys);
        let (key, certificates) = match &self.responder {
            Responder::Issuer => (self.issuer_key, None),
            Responder::Delegate(certificate) => (certificate.key, Some(certificate.der(keys))),
            Responder::Stranger(certificate) => (certificate.key, None),
        };
        let key = self.signed_by.unwrap_or(key);
        let signature = der::bit_string(&keys.sign_der(key, &data), 0);
        let mut basic = vec![data, signature_algorithm(key), signature];
        basic.extend(certificates.map(|certificate| der::explicit(0, &der::sequence(&[certificate]))));
        let body = der::sequence(&[der::oid(OID_BASIC), der::octet_string(&der::sequence(&basic))]);
        der::sequence(&[status, der::explicit(0, &body)])
    }

    fn data(&self, keys: &GpuKeys) -> Vec<u8> {
        let (responder, key) = match &self.responder {
            Responder::Issuer => (self.issuer_name.as_str(), self.issuer_key),
            Responder::Delegate(certificate) | Responder::Stranger(certificate) => {
                (certificate.common_name.as_str(), certificate.key)
            }
        };
        let responder = match self.responder_name {
            ResponderName::Name => der::explicit(1, &name(ORGANISATION, responder)),
            ResponderName::KeyHash => {
                let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, keys.point(key));
                der::explicit(2, &der::octet_string(hash.as_ref()))
            }
        };
        let mut parts = vec![responder, time(self.produced_at), der::sequence(&[self.answer(keys)])];
        let mut extensions = Vec::new();
        extensions.extend(self.nonce.map(|nonce| extension(OID_NONCE, false, &der::octet_string(&nonce))));
        if self.unknown_critical_extension {
            extensions.push(extension(OID_UNKNOWN, true, &der::null()));
        }
        if !extensions.is_empty() {
            parts.push(der::explicit(1, &der::sequence(&extensions)));
        }
        der::sequence(&parts)
    }

    fn answer(&self, keys: &GpuKeys) -> Vec<u8> {
        let (algorithm, oid): (_, &[u64]) = match self.hash {
            CertIdHash::Sha1 => (&SHA1_FOR_LEGACY_USE_ONLY, &[1, 3, 14, 3, 2, 26]),
            CertIdHash::Sha256 => (&SHA256, &[2, 16, 840, 1, 101, 3, 4, 2, 1]),
            CertIdHash::Sha384 => (&SHA384, &[2, 16, 840, 1, 101, 3, 4, 2, 2]),
        };
        let hash = |bytes: &[u8]| der::octet_string(digest(algorithm, bytes).as_ref());
        let id = der::sequence(&[
            der::sequence(&[der::oid(oid), der::null()]),
            hash(&name(ORGANISATION, &self.issuer_name)),
            hash(keys.point(self.issuer_key)),
            der::tlv(0x02, &self.serial),
        ]);
        let status = match self.status {
            OcspStatus::Good => der::tlv(0x80, &[]),
            OcspStatus::Unknown => der::tlv(0x82, &[]),
            OcspStatus::Revoked(reason) => {
                let mut revoked = vec![time(self.this_update)];
                revoked.extend(reason.map(|reason| der::explicit(0, &der::tlv(ENUMERATED, &[reason]))));
                der::constructed(0xa1, &revoked)
            }
        };
        let mut parts = vec![id, status, time(self.this_update)];
        parts.extend(self.next_update.map(|next| der::explicit(0, &time(next))));
        der::sequence(&parts)
    }
}

/// A GeneralizedTime, whatever the year.
fn time(at: UnixTime) -> Vec<u8> {
    let utc = der::time(at);
    let digits = utc.get(2..).unwrap_or_default();
    der::tlv(GENERALIZED_TIME, &[b"20", digits].concat())
}
