//! The roots an appraisal may end in, and how much their word is worth.
//!
//! Decides: which root certificates are trusted, by their exact bytes, and the [`AssuranceClass`] that follows.
//! Vendor roots are embedded (see `roots/README.md`); any other root is one the caller named.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::rejection::Link;
use crate::snp::{Product, SigningKey, chain, x509};

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
    /// Neither one DER nor one PEM certificate.
    #[error("the root is not exactly one certificate in DER or PEM")]
    Malformed,
    /// Not called `ARK-<product>`.
    #[error("the root's common name is not ARK-<product>")]
    Name,
    /// Not a self-signed RSA-4096 certificate authority with AMD's algorithms.
    #[error("the root is not a self-signed RSA-4096 certificate authority with RSASSA-PSS SHA-384")]
    NotARoot,
}

#[derive(Debug, Clone)]
struct TrustedRoot {
    product: Product,
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
            (Product::Milan, vendor::ARK_MILAN),
            (Product::Genoa, vendor::ARK_GENOA),
            (Product::Turin, vendor::ARK_TURIN),
        ];
        let roots = roots.into_iter().map(|(product, der)| TrustedRoot { product, der: der.to_vec() }).collect();
        Self { roots, assurance: AssuranceClass::Vendor }
    }

    /// Only this root, DER or PEM. A vendor root given this way is still a named one.
    ///
    /// # Errors
    /// See [`RootError`].
    pub fn named(der_or_pem: &[u8]) -> Result<Self, RootError> {
        let der = single_der(der_or_pem)?;
        let root = x509::parse(Link::Ark, &der).map_err(|_| RootError::Malformed)?;
        let product = chain::root_product(&root).ok_or(RootError::Name)?;
        let self_issued = root.issuer().as_raw() == root.subject().as_raw();
        let genuine = x509::require_role(Link::Ark, &root, true)
            .and_then(|()| x509::verify_certificate(Link::Ark, &der, &root, root.public_key(), Link::Ark));
        if !self_issued || genuine.is_err() {
            return Err(RootError::NotARoot);
        }
        let names = root.subject().iter_common_name().chain(root.subject().iter_organization());
        let simulated = names.filter_map(|name| name.as_str().ok()).any(|name| name.contains(chain::SIMULATED));
        let assurance = if simulated { AssuranceClass::Simulated } else { AssuranceClass::CustomRoot };
        Ok(Self { roots: vec![TrustedRoot { product, der }], assurance })
    }

    /// What a verdict under these roots is worth.
    #[must_use]
    pub fn assurance(&self) -> AssuranceClass {
        self.assurance
    }

    /// The trusted root with exactly these bytes, for this product.
    pub(crate) fn find(&self, product: Product, hint: &[u8]) -> Option<&[u8]> {
        self.roots.iter().find(|root| root.product == product && root.der == hint).map(|root| root.der.as_slice())
    }
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

/// One certificate, whichever of the two encodings it came in.
fn single_der(der_or_pem: &[u8]) -> Result<Vec<u8>, RootError> {
    const PEM_START: &[u8] = b"-----BEGIN";
    if !der_or_pem.trim_ascii_start().starts_with(PEM_START) {
        return Ok(der_or_pem.to_vec());
    }
    match x509_parser::pem::parse_x509_pem(der_or_pem) {
        Ok((rest, pem)) if rest.trim_ascii().is_empty() && pem.label == "CERTIFICATE" => Ok(pem.contents),
        _ => Err(RootError::Malformed),
    }
}

/// AMD's published certificates; `roots/README.md` says where each came from.
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
}
