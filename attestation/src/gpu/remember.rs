//! What was verified once about GPUs: device chains, manifests and OCSP signatures.
//!
//! Decides: nothing. Every key covers every byte the result depends on, trusted roots included; dates, nonces and policy
//! are asked at every use. What remains of a repeated appraisal is one signature and the comparison.

use std::sync::Arc;

use crate::cache::Store;
use crate::crypto::Sha256Context;
use crate::gpu::chain::{self, VerifiedDevice};
use crate::gpu::ocsp::{self, Subject, VerifiedAnswer};
use crate::gpu::rim::{self, VerifiedRim};
use crate::rejection::Rejection;
use crate::roots::{RootKind, TrustRoots};

/// Remembers genuine device chains, manifests and OCSP responses. Share one between appraisals; an empty one changes
/// nothing but the time an appraisal takes.
#[derive(Debug, Default)]
pub struct GpuCache {
    chains: Store<VerifiedDevice>,
    rims: Store<VerifiedRim>,
    answers: Store<VerifiedAnswer>,
}

impl GpuCache {
    /// A verified device chain.
    pub(crate) fn chain(&self, pem: &[u8], roots: &TrustRoots) -> Result<Arc<VerifiedDevice>, Rejection> {
        let key = key("device chain", roots.of_kind(RootKind::NvidiaDevice).chain([pem]));
        self.chains.get_or_verify(key, || chain::verify_chain(pem, roots))
    }

    /// A verified manifest.
    pub(crate) fn rim(&self, bytes: &[u8], roots: &TrustRoots) -> Result<Arc<VerifiedRim>, Rejection> {
        let key = key("manifest", roots.of_kind(RootKind::NvidiaRim).chain([bytes]));
        self.rims.get_or_verify(key, || rim::verify(bytes, roots))
    }

    /// A verified OCSP response about `subject`.
    pub(crate) fn answer(&self, bytes: &[u8], subject: &Subject) -> Result<Arc<VerifiedAnswer>, Rejection> {
        let key = key("OCSP response", ocsp::cache_parts(bytes, subject).into_iter());
        self.answers.get_or_verify(key, || ocsp::verify(bytes, subject))
    }
}

/// A digest of all parts, each behind its length.
fn key<'a>(kind: &str, parts: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut context = Sha256Context::new();
    context.update(kind.as_bytes());
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    context.finish()
}
