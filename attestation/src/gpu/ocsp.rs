//! OCSP: does the issuer still stand by a certificate (RFC 6960)?
//!
//! Decides: which certificate a response is about, whether its issuer (or a responder the issuer authorised) signed it,
//! whether it is fresh, and what it says. Device certificates never expire, so this is the only way to take one back.
//! Trusts only certificates of verified chains; the response arrives from anyone. Whether a certificate *needs* a response
//! is the policy's business; one that was given must be good.
//!
//! 1. form; 2. which certificate; 3. signer; 4. signature; 5. nonce; 6. dates; 7. status.

mod request;
mod response;

pub use request::{OcspRequest, requests};

use x509_parser::certificate::X509Certificate;

use crate::crypto;
use crate::gpu::{GpuRejection, OcspAnswer};
use crate::rejection::Rejection;
use crate::time::UnixTime;
use crate::x509::{self, ChainFault, Link, Place, Scheme, Validity};
use response::{ResponderId, Response, Status};

/// Every signature on NVIDIA's responses and responders.
const SCHEME: Scheme = Scheme::EcdsaP384Sha384;
/// ecdsa-with-SHA384, the whole AlgorithmIdentifier.
const ECDSA_SHA384: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// extKeyUsage.
const OID_EXTENDED_KEY_USAGE: &str = "2.5.29.37";

/// A certificate of a verified chain, as OCSP names it, with its issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) link: Link,
    /// Serial number, DER content.
    serial: Vec<u8>,
    issuer_link: Link,
    /// Subject of the issuer, DER.
    issuer_name: Vec<u8>,
    /// Public key of the issuer, an uncompressed P-384 point.
    issuer_point: Vec<u8>,
    /// The issuer's certificate, DER.
    issuer: Vec<u8>,
}

impl Subject {
    /// `certificate`, which `issuer` was verified to have issued.
    pub(crate) fn new(
        link: Link,
        certificate: &X509Certificate<'_>,
        issuer_link: Link,
        issuer: &X509Certificate<'_>,
        issuer_der: &[u8],
    ) -> Result<Self, ChainFault> {
        Ok(Self {
            link,
            serial: certificate.raw_serial().to_vec(),
            issuer_link,
            issuer_name: issuer.subject().as_raw().to_vec(),
            issuer_point: x509::p384_point(issuer_link, issuer.public_key())?.to_vec(),
            issuer: issuer_der.to_vec(),
        })
    }

    /// Whether OCSP cannot tell the two apart: one answer is about both.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same_issuer = self.issuer_name == other.issuer_name && self.issuer_point == other.issuer_point;
        same_issuer && self.link == other.link && self.serial == other.serial
    }

    /// Whether the responder calls itself this issuer.
    fn is_issuer(&self, responder: ResponderId<'_>) -> bool {
        names(responder, &self.issuer_name, &self.issuer_point)
    }
}

fn names(responder: ResponderId<'_>, name: &[u8], key: &[u8]) -> bool {
    match responder {
        ResponderId::Name(got) => got == name,
        ResponderId::KeyHash(got) => got == crypto::sha1(key),
    }
}

/// A response whose signer the certificate's issuer vouches for, whatever the time.
#[derive(Debug)]
pub(crate) struct VerifiedAnswer {
    link: Link,
    status: Status,
    this_update: UnixTime,
    next_update: UnixTime,
    produced_at: UnixTime,
    nonce: Option<Vec<u8>>,
    /// Dates of the responder's certificate, when it is not the issuer.
    delegate: Option<Validity>,
}

/// What a policy asks of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Oldest acceptable; `None` leaves it to the response's own dates.
    pub(crate) max_age_secs: Option<u64>,
    /// Whether a certificate on hold is acceptable.
    pub(crate) allow_hold: bool,
}

/// The position, among `subjects`, of the certificate this response is about.
pub(crate) fn find_subject(bytes: &[u8], subjects: &[&Subject]) -> Result<usize, GpuRejection> {
    let response = Response::parse(bytes)?;
    let is_about = |subject: &&Subject| response.is_about(&subject.serial, &subject.issuer_name, &subject.issuer_point);
    subjects.iter().position(is_about).ok_or(GpuRejection::OcspCertId)
}

/// What a verified answer depends on: the response, the certificate and its issuer.
pub(crate) fn cache_parts<'a>(bytes: &'a [u8], subject: &'a Subject) -> [&'a [u8]; 3] {
    [bytes, &subject.serial, &subject.issuer]
}

/// 1. to 4. Verify that the issuer of `subject` vouches for the response, which is about it.
pub(crate) fn verify(bytes: &[u8], subject: &Subject) -> Result<VerifiedAnswer, Rejection> {
    let link = subject.link;
    let response = Response::parse(bytes)?;
    if !response.is_about(&subject.serial, &subject.issuer_name, &subject.issuer_point) {
        return Err(GpuRejection::OcspCertId.into());
    }
    let (point, delegate) = if subject.is_issuer(response.responder) {
        (subject.issuer_point.clone(), None)
    } else {
        let (point, validity) = delegate(&response, subject)?;
        (point, Some(validity))
    };
    if response.algorithm != ECDSA_SHA384 {
        return Err(GpuRejection::OcspAlgorithm { link }.into());
    }
    crypto::verify_ecdsa_p384_der(&point, response.signed, response.signature)
        .map_err(|_refused| GpuRejection::OcspSignature { link })?;
    Ok(VerifiedAnswer {
        link,
        status: response.status,
        this_update: response.this_update,
        next_update: response.next_update,
        produced_at: response.produced_at,
        nonce: response.nonce.map(<[u8]>::to_vec),
        delegate,
    })
}

/// The key of a responder other than the issuer: its certificate came with the response, the issuer itself signed it, and
/// it may sign OCSP responses (RFC 6960 §4.2.2.2).
fn delegate(response: &Response<'_>, subject: &Subject) -> Result<(Vec<u8>, Validity), Rejection> {
    const LINK: Link = Link::OcspDelegate;
    let unauthorised = || GpuRejection::OcspResponder { link: subject.link };
    let issuer = x509::parse(subject.issuer_link, &subject.issuer)?;
    for der in &response.certificates {
        let certificate = x509::parse(LINK, der)?;
        let key = certificate.public_key().subject_public_key.data.as_ref();
        if !names(response.responder, certificate.subject().as_raw(), key) {
            continue;
        }
        let usage = certificate.extended_key_usage().map_err(|_| unauthorised())?;
        if !usage.is_some_and(|usage| usage.value.ocsp_signing) {
            return Err(unauthorised().into());
        }
        x509::require_issued_by(LINK, &certificate, &issuer)?;
        x509::require_role_beside(LINK, &certificate, Place::Leaf, &[OID_EXTENDED_KEY_USAGE])?;
        x509::require_digital_signature(LINK, &certificate)?;
        x509::verify_certificate(LINK, der, &certificate, issuer.public_key(), subject.issuer_link, SCHEME)?;
        let point = x509::p384_point(LINK, certificate.public_key())?.to_vec();
        return Ok((point, Validity::of(LINK, &certificate)));
    }
    Err(unauthorised().into())
}

impl VerifiedAnswer {
    /// 5. to 7. Whether the response answers this request, now, and says that the certificate is good; what was found.
    pub(crate) fn require_good(
        &self,
        nonce: Option<&[u8; 32]>,
        demand: Demand,
        now: UnixTime,
    ) -> Result<&'static str, Rejection> {
        let link = self.link;
        let (this_update, next_update) = (self.this_update, self.next_update);
        if nonce.is_some_and(|nonce| self.nonce.as_deref() != Some(nonce.as_slice())) {
            return Err(GpuRejection::OcspNonce { link }.into());
        }
        if let Some(validity) = &self.delegate {
            validity.require(now)?;
        }
        if now < this_update {
            return Err(GpuRejection::OcspNotYetValid { link, this_update, now }.into());
        }
        if now > next_update {
            return Err(GpuRejection::OcspExpired { link, next_update, now }.into());
        }
        // A response may be signed ahead, but not before the moment it speaks about.
        if self.produced_at < this_update {
            return Err(GpuRejection::OcspProducedAt { link }.into());
        }
        let age_secs = now.secs_since(this_update);
        if let Some(maximum_secs) = demand.max_age_secs.filter(|maximum| age_secs > *maximum) {
            return Err(GpuRejection::OcspTooOld { link, age_secs, maximum_secs }.into());
        }
        match self.status {
            Status::Good => Ok("good"),
            Status::Hold if demand.allow_hold => Ok("on hold, which the policy accepts"),
            Status::Hold => Err(GpuRejection::OcspHold { link }.into()),
            Status::Revoked => Err(GpuRejection::OcspRevoked { link }.into()),
            Status::Unknown => Err(GpuRejection::OcspUnknown { link }.into()),
        }
    }
}

/// Whether an OCSP response says, now, that `certificate` (DER) is good; `issuer` (DER) is trusted and has issued it.
/// A guardian asks this before it hands a response out. Faults call the two boot ROM and provisioner certificate,
/// whichever they are.
///
/// # Errors
/// `gpu.ocsp.*`, `chain.*`.
pub fn require_good(answer: &OcspAnswer, certificate: &[u8], issuer: &[u8], now: UnixTime) -> Result<(), Rejection> {
    let link = Link::DeviceBrom;
    let issuer_link = Link::DeviceProvisioner;
    let subject_certificate = x509::parse(link, certificate)?;
    let issuer_certificate = x509::parse(issuer_link, issuer)?;
    x509::require_issued_by(link, &subject_certificate, &issuer_certificate)?;
    let subject = Subject::new(link, &subject_certificate, issuer_link, &issuer_certificate, issuer)?;
    let verified = verify(&answer.response, &subject)?;
    let demand = Demand { max_age_secs: None, allow_hold: false };
    verified.require_good(answer.nonce.as_ref(), demand, now).map(|_| ())
}
