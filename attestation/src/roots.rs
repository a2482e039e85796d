//! The roots an appraisal may end in, and how much their word is worth.
//!
//! Decides: which root certificates are trusted, by their exact bytes, and the [`AssuranceClass`] that follows.
//! Vendor roots are embedded (see `roots/README.md`); any other root is one the caller named.

use std::fmt;

use serde::{Deserialize, Serialize};
use x509_parser::certificate::X509Certificate;

use crate::snp::{Product, SigningKey, chain};
use crate::x509::{self, Link, Place, Scheme};

/// Simulated certificates carry this in front of their vendor's name, or in their organisation.
pub(crate) const SIMULATED: &str = "SIMULATED";

/// How much a verdict is worth (protocol.md §2.4). Printed with every verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AssuranceClass {
    /// Every root used is an embedded vendor root: real hardware.
    Vendor,
    /// A root the caller named and that does not say it is simulated.
    CustomRoot,
    /// A root that says it is simulated: software plays the hardware.
    Simulated,
}

impl fmt::Display for AssuranceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Vendor => "vendor",
            Self::CustomRoot => "custom-root",
            Self::Simulated => "simulated",
        })
    }
}

/// Why a named root was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// Neither DER nor PEM certificates.
    #[error("the file does not hold root certificates in DER or PEM")]
    Malformed,
    /// An RSA-4096 root with AMD's algorithm must be called `ARK-<product>`.
    #[error("the AMD root's common name is not ARK-<product>")]
    Name,
    /// Not a self-signed certificate authority of a kind some platform uses.
    #[error("the root is not a self-signed certificate authority of AMD's, Intel's or NVIDIA's kind")]
    NotARoot,
}

/// Whose evidence a root vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RootKind {
    /// AMD: endorsement keys of one product.
    Amd(Product),
    /// Intel: PCK certificates, TCB information and identities.
    Intel,
    /// NVIDIA: device identities.
    NvidiaDevice,
    /// NVIDIA: reference manifests.
    NvidiaRim,
    /// Azure: attestation keys of virtual TPMs. Embedded only; it cannot be named.
    AzureVtpm,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct TrustedRoot {
    kind: RootKind,
    der: Vec<u8>,
}

/// The roots one appraisal may end in.
#[derive(Debug, Clone)]
pub struct TrustRoots {
    roots: Vec<TrustedRoot>,
    assurance: AssuranceClass,
}

impl TrustRoots {
    /// The embedded vendor roots, and no other.
    #[must_use]
    pub fn vendor() -> Self {
        let roots = [
            (RootKind::Amd(Product::Milan), vendor::ARK_MILAN),
            (RootKind::Amd(Product::Genoa), vendor::ARK_GENOA),
            (RootKind::Amd(Product::Turin), vendor::ARK_TURIN),
            (RootKind::Intel, vendor::INTEL_SGX_ROOT),
            (RootKind::NvidiaDevice, vendor::NVIDIA_DEVICE_ROOT),
            (RootKind::NvidiaRim, vendor::NVIDIA_RIM_ROOT),
            (RootKind::AzureVtpm, vendor::AZURE_VTPM_ROOT),
        ];
        let roots = roots.into_iter().map(|(kind, der)| TrustedRoot { kind, der: der.to_vec() }).collect();
        Self { roots, assurance: AssuranceClass::Vendor }
    }

    /// Only these roots: one DER certificate, or PEM certificates (at most [`NAMED_ROOTS_MAX`]). A vendor root given
    /// this way is still a named one.
    ///
    /// # Errors
    /// See [`RootError`].
    pub fn named(der_or_pem: &[u8]) -> Result<Self, RootError> {
        let ders = if x509::is_pem(der_or_pem) {
            x509::pem_chain(Link::Ark, der_or_pem, NAMED_ROOTS_MAX).map_err(|_| RootError::Malformed)?
        } else {
            vec![der_or_pem.to_vec()]
        };
        let mut all = Self { roots: Vec::new(), assurance: AssuranceClass::CustomRoot };
        for der in ders {
            all.add(der)?;
        }
        Ok(all)
    }

    /// These roots and those of `other`; the verdict is worth what the weaker of the two is.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.roots.extend(other.roots);
        self.assurance = self.assurance.max(other.assurance);
        self
    }

    fn add(&mut self, der: Vec<u8>) -> Result<(), RootError> {
        let root = x509::parse(Link::Ark, &der).map_err(|_| RootError::Malformed)?;
        let kind = root_kind(&der, &root)?;
        let names = root.subject().iter_common_name().chain(root.subject().iter_organization());
        if names.filter_map(|name| name.as_str().ok()).any(|name| name.contains(SIMULATED)) {
            self.assurance = AssuranceClass::Simulated;
        }
        self.roots.push(TrustedRoot { kind, der });
        Ok(())
    }

    /// What a verdict under these roots is worth.
    #[must_use]
    pub fn assurance(&self) -> AssuranceClass {
        self.assurance
    }

    /// The trusted AMD root with exactly these bytes, for this product.
    pub(crate) fn amd(&self, product: Product, hint: &[u8]) -> Option<&[u8]> {
        self.of_kind(RootKind::Amd(product)).find(|der| *der == hint)
    }

    /// The trusted roots of this kind, DER.
    pub(crate) fn of_kind(&self, kind: RootKind) -> impl Iterator<Item = &[u8]> {
        self.roots.iter().filter(move |root| root.kind == kind).map(|root| root.der.as_slice())
    }
}

/// The most certificates a file of named roots may hold.
pub const NAMED_ROOTS_MAX: usize = 16;

/// Whose root a self-signed certificate authority is, told by the algorithm its vendor uses and, where one vendor has
/// two roots, by its name.
fn root_kind(der: &[u8], root: &X509Certificate<'_>) -> Result<RootKind, RootError> {
    let self_issued = root.issuer().as_raw() == root.subject().as_raw();
    let may_issue = x509::require_role(Link::Ark, root, Place::Issuer { below: 1 }).is_ok();
    let signed_by_itself =
        |scheme| x509::verify_certificate(Link::Ark, der, root, root.public_key(), Link::Ark, scheme).is_ok();
    if !self_issued || !may_issue {
        return Err(RootError::NotARoot);
    }
    if signed_by_itself(Scheme::Rsa4096PssSha384) {
        return chain::root_product(root).map(RootKind::Amd).ok_or(RootError::Name);
    }
    if signed_by_itself(Scheme::EcdsaP256Sha256) {
        return Ok(RootKind::Intel);
    }
    if signed_by_itself(Scheme::EcdsaP384Sha384) {
        let of_manifests = x509::common_name(root.subject()).is_some_and(|name| name.contains("CoRIM"));
        return Ok(if of_manifests { RootKind::NvidiaRim } else { RootKind::NvidiaDevice });
    }
    Err(RootError::NotARoot)
}

/// AMD's certificates for `product`, as a node hands them out beside its endorsement key.
#[must_use]
pub fn vendor_certificates(product: Product, kind: SigningKey) -> VendorCertificates {
    let (root, ask, asvk) = match product {
        Product::Milan => (vendor::ARK_MILAN, vendor::ASK_MILAN, vendor::ASVK_MILAN),
        Product::Genoa => (vendor::ARK_GENOA, vendor::ASK_GENOA, vendor::ASVK_GENOA),
        Product::Turin => (vendor::ARK_TURIN, vendor::ASK_TURIN, vendor::ASVK_TURIN),
    };
    let intermediate = match kind {
        SigningKey::Vcek => ask,
        SigningKey::Vlek => asvk,
    };
    VendorCertificates { root, intermediate }
}

/// An embedded root and intermediate, DER.
#[derive(Debug, Clone, Copy)]
pub struct VendorCertificates {
    /// The ARK.
    pub root: &'static [u8],
    /// The ASK or ASVK. Not trusted by itself: the root's signature and revocation list decide.
    pub intermediate: &'static [u8],
}

/// The vendors' published certificates; `roots/README.md` says where each came from.
mod vendor {
    pub(super) const ARK_MILAN: &[u8] = include_bytes!("../roots/amd/ARK-Milan.der");
    pub(super) const ARK_GENOA: &[u8] = include_bytes!("../roots/amd/ARK-Genoa.der");
    pub(super) const ARK_TURIN: &[u8] = include_bytes!("../roots/amd/ARK-Turin.der");
    pub(super) const ASK_MILAN: &[u8] = include_bytes!("../roots/amd/SEV-Milan.der");
    pub(super) const ASK_GENOA: &[u8] = include_bytes!("../roots/amd/SEV-Genoa.der");
    pub(super) const ASK_TURIN: &[u8] = include_bytes!("../roots/amd/SEV-Turin.der");
    pub(super) const ASVK_MILAN: &[u8] = include_bytes!("../roots/amd/SEV-VLEK-Milan.der");
    pub(super) const ASVK_GENOA: &[u8] = include_bytes!("../roots/amd/SEV-VLEK-Genoa.der");
    pub(super) const ASVK_TURIN: &[u8] = include_bytes!("../roots/amd/SEV-VLEK-Turin.der");
    pub(super) const INTEL_SGX_ROOT: &[u8] = include_bytes!("../roots/intel/IntelSGXRootCA.der");
    pub(super) const NVIDIA_DEVICE_ROOT: &[u8] = include_bytes!("../roots/nvidia/device-identity-ca.der");
    pub(super) const AZURE_VTPM_ROOT: &[u8] = include_bytes!("../roots/azure/azure-virtual-tpm-root-2023.der");
    pub(super) const NVIDIA_RIM_ROOT: &[u8] = include_bytes!("../roots/nvidia/corim-signing-root.der");
}
