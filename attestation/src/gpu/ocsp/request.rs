//! What to ask an OCSP responder about the certificates of a set of GPUs (RFC 6960 §4.1.1).
//!
//! Decides: which certificates somebody answers for, by the same rules by which an appraisal looks for answers, and how each is named.
//! For whoever fetches answers; an appraisal trusts none of it.

use super::{Subject, verify};
use crate::crypto;
use crate::gpu::der;
use crate::gpu::{GpuCache, GpuEvidence};
use crate::rejection::Rejection;
use crate::roots::TrustRoots;

/// AlgorithmIdentifier of SHA-384 with its NULL, the hash that NVIDIA's responder names certificates with.
const SHA384: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00];

/// A question about one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspRequest(Subject);

impl OcspRequest {
    /// The request, DER, without a nonce: its answer may be handed on.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let Self(subject) = self;
        let hash = |bytes: &[u8]| value(der::OCTET_STRING, &[&crypto::sha384(bytes)]);
        let (name, key) = (hash(&subject.issuer_name), hash(&subject.issuer_point));
        let id = value(der::SEQUENCE, &[SHA384, &name, &key, &value(der::INTEGER, &[&subject.serial])]);
        // Request, requestList, TBSRequest, OCSPRequest: one member each.
        (0..4).fold(id, |inner, _| value(der::SEQUENCE, &[&inner]))
    }

    /// Whether a response is about this certificate and its issuer vouches for it, whatever it says and whenever.
    ///
    /// # Errors
    /// `gpu.ocsp.*`, `chain.*`.
    pub fn require_answered_by(&self, response: &[u8]) -> Result<(), Rejection> {
        verify(response, &self.0).map(|_| ())
    }
}

/// What to ask for this evidence with these reference manifests: every certificate that has an issuer who answers for it, once.
///
/// # Errors
/// What is wrong with a chain or a manifest: `chain.*`, `gpu.rim.*`.
pub fn requests(evidence: &[GpuEvidence], rims: &[&[u8]], roots: &TrustRoots) -> Result<Vec<OcspRequest>, Rejection> {
    let cache = GpuCache::default();
    let mut subjects: Vec<Subject> = Vec::new();
    let mut add = |found: &[Subject]| {
        for subject in found {
            if !subjects.iter().any(|other| other.is_same(subject)) {
                subjects.push(subject.clone());
            }
        }
    };
    for one in evidence {
        add(&cache.chain(&one.certificate_chain, roots)?.revocable);
    }
    for rim in rims {
        add(&cache.rim(rim, roots)?.revocable);
    }
    Ok(subjects.into_iter().map(OcspRequest).collect())
}

/// A DER value.
fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    const LONG: u8 = 0x80;
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut bytes = vec![tag];
    match significant.as_slice() {
        [] => bytes.push(0),
        [short] if *short < LONG => bytes.push(*short),
        long => {
            bytes.push(LONG | u8::try_from(long.len()).unwrap_or_default());
            bytes.extend(long);
        }
    }
    bytes.extend(content);
    bytes
}
