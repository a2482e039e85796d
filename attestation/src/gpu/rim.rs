//! Reference integrity manifests: NVIDIA's signed statement of what a driver or VBIOS version measures.
//!
//! Decides: whether a manifest is genuine, that is, signed by a signer a trusted root vouches for. Whether it is about the
//! device at hand is decided in [`super::compare`]. Trusts the roots it is given; the manifest arrives from anyone.
//!
//! 1. text to tree; 2. signature's parts and digest; 3. signer → L3 → CA → root by its bytes; 4. signature; 5. content.

mod canonical;
mod manifest;
mod signature;
mod xml;

pub(crate) use manifest::{Expected, Manifest};

use crate::gpu::Subject;
use crate::rejection::Rejection;
use crate::roots::{RootKind, TrustRoots};
use crate::time::UnixTime;
use crate::x509::{self, ChainFault, Link, Place, Scheme, Validity};

/// Every signature of a manifest's chain.
const SCHEME: Scheme = Scheme::EcdsaP384Sha384;

/// Signer, L3, CA and root.
const CHAIN_LEN: usize = 4;

/// A manifest whose signer a trusted root vouches for, whatever the time.
#[derive(Debug)]
pub(crate) struct VerifiedRim {
    pub(crate) manifest: Manifest,
    /// Dates of all four certificates, root first.
    pub(crate) validity: Vec<Validity>,
    /// Those that OCSP answers for: signer, L3, CA.
    pub(crate) revocable: Vec<Subject>,
}

/// Verify a manifest.
pub(crate) fn verify(bytes: &[u8], roots: &TrustRoots) -> Result<VerifiedRim, Rejection> {
    // 1. and 2.
    let root = xml::parse(bytes)?;
    manifest::require_root(&root)?;
    let signature = signature::read(&root)?;
    signature.require_digest(&root)?;
    // 3. Who signed.
    let chain = verify_chain(&signature.certificates, roots)?;
    // 4. What was signed.
    signature.verify(&root, &chain.point)?;
    // 5. From the very tree whose canonical form was signed.
    let manifest = manifest::read(&root)?;
    Ok(VerifiedRim { manifest, validity: chain.validity, revocable: chain.revocable })
}

struct SignerChain {
    point: Vec<u8>,
    validity: Vec<Validity>,
    revocable: Vec<Subject>,
}

fn verify_chain(ders: &[Vec<u8>], roots: &TrustRoots) -> Result<SignerChain, Rejection> {
    let [signer_der, l3_der, ca_der, root_der] = ders else {
        return Err(ChainFault::Length { link: Link::RimSigner, got: ders.len(), expected: CHAIN_LEN }.into());
    };
    if !roots.of_kind(RootKind::NvidiaRim).any(|trusted| trusted == root_der.as_slice()) {
        return Err(ChainFault::RootUnknown { place: "NVIDIA manifests".to_owned() }.into());
    }
    let signer = x509::parse(Link::RimSigner, signer_der)?;
    let l3 = x509::parse(Link::RimCa, l3_der)?;
    let ca = x509::parse(Link::RimCa, ca_der)?;
    let root = x509::parse(Link::RimRoot, root_der)?;
    let issued = [
        (Link::RimSigner, &signer, signer_der, Link::RimCa, &l3, l3_der),
        (Link::RimCa, &l3, l3_der, Link::RimCa, &ca, ca_der),
        (Link::RimCa, &ca, ca_der, Link::RimRoot, &root, root_der),
    ];
    x509::require_role(Link::RimSigner, &signer, Place::Leaf)?;
    x509::require_digital_signature(Link::RimSigner, &signer)?;
    for (below, (link, certificate, _, issuer_link, issuer, _)) in (0..).zip(issued) {
        x509::require_issued_by(link, certificate, issuer)?;
        x509::require_role(issuer_link, issuer, Place::Issuer { below })?;
    }
    for (link, certificate, der, issuer_link, issuer, _) in issued {
        x509::verify_certificate(link, der, certificate, issuer.public_key(), issuer_link, SCHEME)?;
    }
    let all = [(Link::RimRoot, &root), (Link::RimCa, &ca), (Link::RimCa, &l3), (Link::RimSigner, &signer)];
    Ok(SignerChain {
        point: x509::p384_point(Link::RimSigner, signer.public_key())?.to_vec(),
        validity: all.map(|(link, certificate)| Validity::of(link, certificate)).to_vec(),
        revocable: issued
            .into_iter()
            .map(|(link, certificate, _, issuer_link, issuer, issuer_der)| {
                Subject::new(link, certificate, issuer_link, issuer, issuer_der)
            })
            .collect::<Result<_, _>>()?,
    })
}

/// What a genuine manifest is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RimSummary {
    /// Chip.
    pub product: String,
    /// Driver or VBIOS version.
    pub version: String,
    /// How many measurements it expects.
    pub active: usize,
}

/// Whether a manifest is genuine and its signer's certificates are valid now. A guardian asks this before it hands a
/// manifest out; [`super::appraise`] asks it again.
///
/// # Errors
/// `gpu.rim.*`, `chain.*`.
pub fn summarise(bytes: &[u8], roots: &TrustRoots, now: UnixTime) -> Result<RimSummary, Rejection> {
    let rim = verify(bytes, roots)?;
    rim.validity.iter().try_for_each(|validity| validity.require(now))?;
    let Manifest { product, version, active } = rim.manifest;
    Ok(RimSummary { product, version, active: active.len() })
}
