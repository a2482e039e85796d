//! The DER of an OCSP response (RFC 6960 §4.2.1).
//!
//! Decides: that a successful response is a basic one with exactly one answer, dates in the only form DER allows, a
//! next update, and no critical extension. Nothing is genuine yet on exit; the signed bytes are kept as received.

use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::crypto;
use crate::gpu::GpuRejection;
use crate::gpu::der::{self, Der};
use crate::time::UnixTime;
use crate::x509::unix_time;

/// id-pkix-ocsp-basic and id-pkix-ocsp-nonce, DER content.
const OID_BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
const OID_NONCE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];
/// Hash algorithms a certificate may be named with, DER content.
const OID_SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
const OID_SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const OID_SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];

/// Longest response.
const RESPONSE_BYTES_MAX: usize = 16 * 1024;
/// Certificates a response may bring.
const CERTIFICATES_MAX: usize = 4;
/// responseStatus successful.
const SUCCESSFUL: u8 = 0;
/// CRLReason certificateHold.
const CERTIFICATE_HOLD: u8 = 6;
/// `YYYYMMDDHHMMSSZ`.
const TIME_LEN: usize = 15;

/// What the responder says about the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Good,
    Hold,
    Revoked,
    Unknown,
}

/// Who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponderId<'a> {
    /// Distinguished name, DER.
    Name(&'a [u8]),
    /// SHA-1 of the public key.
    KeyHash(&'a [u8]),
}

/// A hash algorithm of a CertID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha256,
    Sha384,
}

/// A parsed response.
#[derive(Debug)]
pub(crate) struct Response<'a> {
    hash: Hash,
    issuer_name_hash: &'a [u8],
    issuer_key_hash: &'a [u8],
    serial: &'a [u8],
    pub(crate) status: Status,
    pub(crate) this_update: UnixTime,
    pub(crate) next_update: UnixTime,
    pub(crate) produced_at: UnixTime,
    pub(crate) nonce: Option<&'a [u8]>,
    pub(crate) responder: ResponderId<'a>,
    /// What is signed.
    pub(crate) signed: &'a [u8],
    /// AlgorithmIdentifier, DER.
    pub(crate) algorithm: &'a [u8],
    /// The signature, DER for ECDSA.
    pub(crate) signature: &'a [u8],
    /// Certificates that came with it, DER.
    pub(crate) certificates: Vec<&'a [u8]>,
}

impl<'a> Response<'a> {
    /// Parse a response.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, GpuRejection> {
        let malformed = GpuRejection::OcspMalformed;
        if bytes.len() > RESPONSE_BYTES_MAX {
            return Err(malformed);
        }
        let (status, body) = outer(bytes).ok_or_else(|| malformed.clone())?;
        if status != SUCCESSFUL {
            return Err(GpuRejection::OcspStatus { got: status });
        }
        body.and_then(basic).ok_or(malformed)
    }

    /// Whether the answer is about the certificate with this serial number, of this issuer.
    pub(crate) fn is_about(&self, serial: &[u8], issuer_name: &[u8], issuer_key: &[u8]) -> bool {
        let hash = |bytes: &[u8]| match self.hash {
            Hash::Sha1 => crypto::sha1(bytes).to_vec(),
            Hash::Sha256 => crypto::sha256(bytes).to_vec(),
            Hash::Sha384 => crypto::sha384(bytes).to_vec(),
        };
        self.serial == serial && self.issuer_name_hash == hash(issuer_name) && self.issuer_key_hash == hash(issuer_key)
    }
}

/// `OCSPResponse`: its status, and the BasicOCSPResponse when there is one.
fn outer(bytes: &[u8]) -> Option<(u8, Option<&[u8]>)> {
    let mut whole = Der::new(bytes);
    let mut fields = whole.inside(der::SEQUENCE)?;
    whole.end()?;
    let [status] = *fields.content(der::ENUMERATED)? else { return None };
    if fields.is_empty() {
        return Some((status, None));
    }
    let mut explicit = fields.inside(der::constructed(0))?;
    fields.end()?;
    let mut response = explicit.inside(der::SEQUENCE)?;
    explicit.end()?;
    let is_basic = response.content(der::OID)? == OID_BASIC;
    let body = response.only(der::OCTET_STRING)?;
    is_basic.then_some((status, Some(body)))
}

/// `BasicOCSPResponse`.
fn basic(bytes: &[u8]) -> Option<Response<'_>> {
    let mut whole = Der::new(bytes);
    let mut fields = whole.inside(der::SEQUENCE)?;
    whole.end()?;
    let data = fields.any().filter(|data| data.tag == der::SEQUENCE)?;
    let algorithm = fields.any().filter(|algorithm| algorithm.tag == der::SEQUENCE)?;
    let [0, signature @ ..] = fields.content(der::BIT_STRING)? else { return None };
    let mut certificates = Vec::new();
    if let Some(mut explicit) = fields.inside(der::constructed(0)) {
        let mut list = explicit.inside(der::SEQUENCE)?;
        explicit.end()?;
        while !list.is_empty() {
            if certificates.len() == CERTIFICATES_MAX {
                return None;
            }
            certificates.push(list.any()?.whole);
        }
    }
    fields.end()?;
    response_data(data.content).map(|response| Response {
        signed: data.whole,
        algorithm: algorithm.whole,
        signature,
        certificates,
        ..response
    })
}

/// `ResponseData`, version 1; what is outside of it is filled in by the caller.
fn response_data(bytes: &[u8]) -> Option<Response<'_>> {
    let mut fields = Der::new(bytes);
    let responder = fields.any()?;
    let responder = match responder.tag {
        tag if tag == der::constructed(1) => ResponderId::Name(responder.content),
        tag if tag == der::constructed(2) => ResponderId::KeyHash(Der::new(responder.content).only(der::OCTET_STRING)?),
        _ => return None,
    };
    let produced_at = time(&mut fields)?;
    let mut answers = fields.inside(der::SEQUENCE)?;
    let mut answer = answers.inside(der::SEQUENCE)?;
    answers.end()?;

    let mut id = answer.inside(der::SEQUENCE)?;
    let hash = hash_algorithm(id.inside(der::SEQUENCE)?)?;
    let issuer_name_hash = id.content(der::OCTET_STRING)?;
    let issuer_key_hash = id.content(der::OCTET_STRING)?;
    let serial = id.only(der::INTEGER)?;

    let status = status(&mut answer)?;
    let this_update = time(&mut answer)?;
    let mut next_update = answer.inside(der::constructed(0))?;
    let next_update = time(&mut next_update).filter(|_| next_update.is_empty())?;
    extensions(&mut answer)?;
    answer.end()?;
    let nonce = extensions(&mut fields)?;
    fields.end()?;
    Some(Response {
        hash,
        issuer_name_hash,
        issuer_key_hash,
        serial,
        status,
        this_update,
        next_update,
        produced_at,
        nonce,
        responder,
        signed: &[],
        algorithm: &[],
        signature: &[],
        certificates: Vec::new(),
    })
}

/// Parameters are absent or NULL (RFC 5754 §2).
fn hash_algorithm(mut algorithm: Der<'_>) -> Option<Hash> {
    let hash = match algorithm.content(der::OID)? {
        OID_SHA1 => Hash::Sha1,
        OID_SHA256 => Hash::Sha256,
        OID_SHA384 => Hash::Sha384,
        _ => return None,
    };
    if !algorithm.is_empty() && !algorithm.only(der::NULL)?.is_empty() {
        return None;
    }
    Some(hash)
}

/// `CertStatus`.
fn status(answer: &mut Der<'_>) -> Option<Status> {
    let value = answer.any()?;
    match value.tag {
        tag if tag == der::primitive(0) && value.content.is_empty() => Some(Status::Good),
        tag if tag == der::primitive(2) && value.content.is_empty() => Some(Status::Unknown),
        tag if tag == der::constructed(1) => {
            let mut revoked = Der::new(value.content);
            time(&mut revoked)?;
            if revoked.is_empty() {
                return Some(Status::Revoked);
            }
            let mut explicit = revoked.inside(der::constructed(0))?;
            revoked.end()?;
            match explicit.only(der::ENUMERATED)? {
                [CERTIFICATE_HOLD] => Some(Status::Hold),
                [_] => Some(Status::Revoked),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Optional `[1] Extensions`: the nonce in it, if any. A critical extension would change the answer's meaning.
fn extensions<'a>(fields: &mut Der<'a>) -> Option<Option<&'a [u8]>> {
    let Some(mut explicit) = fields.inside(der::constructed(1)) else { return Some(None) };
    let mut list = explicit.inside(der::SEQUENCE)?;
    explicit.end()?;
    let mut nonce = None;
    while !list.is_empty() {
        let mut extension = list.inside(der::SEQUENCE)?;
        let oid = extension.content(der::OID)?;
        let critical = extension.content(der::BOOLEAN).is_some();
        let value = extension.only(der::OCTET_STRING)?;
        if critical && oid != OID_NONCE {
            return None;
        }
        if oid == OID_NONCE && nonce.replace(Der::new(value).only(der::OCTET_STRING)?).is_some() {
            return None;
        }
    }
    Some(nonce)
}

fn time(fields: &mut Der<'_>) -> Option<UnixTime> {
    let value = fields.any().filter(|value| value.tag == der::GENERALIZED_TIME)?;
    let text = value.content;
    let (zone, digits) = text.split_last()?;
    if text.len() != TIME_LEN || *zone != b'Z' || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (rest, time) = ASN1Time::from_der(value.whole).ok()?;
    rest.is_empty().then(|| unix_time(time))
}
