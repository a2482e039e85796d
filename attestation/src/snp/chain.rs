//! Trusted root → intermediate → endorsement key, and what ties that key to one report (57230 §3).
//!
//! Decides: whether the endorsement key is vouched for at the time of evaluation, and whether it is the key of the
//! chip and TCB the report names. Trusts the roots it is given; the chain arrives from anyone.
//!
//! 1. names and roles; 2. algorithms and signatures; 3. AMD's extensions; 4. dates; 5. agreement with the report.

use x509_parser::certificate::X509Certificate;

use crate::rejection::Rejection;
use crate::roots::{SIMULATED, TrustRoots};
use crate::snp::extensions::{self, VekFacts, VekOwner};
use crate::snp::{Product, SigningKey, SnpReport, Tcb};
use crate::time::UnixTime;
use crate::x509::crl::{CrlDates, RevocationList};
use crate::x509::{self, ChainFault, Link, Place, Scheme, Validity};

/// Every signature of an AMD chain.
const SCHEME: Scheme = Scheme::Rsa4096PssSha384;

/// The DER a chain is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChainDer<'a> {
    pub(crate) vek: &'a [u8],
    pub(crate) intermediate: &'a [u8],
    /// A hint: names one of the trusted roots by its bytes.
    pub(crate) root_hint: &'a [u8],
    pub(crate) crl: Option<&'a [u8]>,
}

/// An endorsement key vouched for by a trusted root, at the times `validities` allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndorsedKey {
    /// The product of the chain and of the key.
    pub(crate) product: Product,
    /// VCEK or VLEK.
    pub(crate) kind: SigningKey,
    /// The key, an uncompressed P-384 point.
    pub(crate) point: Vec<u8>,
    /// What it is for.
    pub(crate) facts: VekFacts,
    /// When each certificate of the chain is valid.
    validities: [Validity; 3],
}

impl EndorsedKey {
    /// 4. Dates, at the time the caller names.
    pub(crate) fn require_valid_at(&self, now: UnixTime) -> Result<(), ChainFault> {
        self.validities.iter().try_for_each(|validity| validity.require(now))
    }
}

/// Verify everything about the chain that does not depend on time.
pub(crate) fn verify_chain(chain: ChainDer<'_>, roots: &TrustRoots) -> Result<EndorsedKey, Rejection> {
    let vek = x509::parse(Link::Vek, chain.vek)?;
    let intermediate = x509::parse(Link::Intermediate, chain.intermediate)?;

    // 1. Names and roles.
    let kind = vek_kind(&vek)?;
    let product = intermediate_product(&intermediate, kind)?;
    let root_der = trusted_root(roots, product, chain.root_hint)?;
    let root = x509::parse(Link::Ark, root_der)?;
    x509::require_issued_by(Link::Vek, &vek, &intermediate)?;
    x509::require_issued_by(Link::Intermediate, &intermediate, &root)?;
    x509::require_role(Link::Vek, &vek, Place::Leaf)?;
    x509::require_role(Link::Intermediate, &intermediate, Place::Issuer { below: 0 })?;
    x509::require_role(Link::Ark, &root, Place::Issuer { below: 1 })?;

    // 2. Algorithms and signatures. The root is trusted by its bytes, not by its own signature.
    let (ark, ask) = (root.public_key(), intermediate.public_key());
    x509::verify_certificate(Link::Intermediate, chain.intermediate, &intermediate, ark, Link::Ark, SCHEME)?;
    x509::verify_certificate(Link::Vek, chain.vek, &vek, ask, Link::Intermediate, SCHEME)?;
    let point = x509::p384_point(Link::Vek, vek.public_key())?.to_vec();

    // 3. AMD's extensions.
    let facts = extensions::read(&vek, kind)?;
    if facts.product != product {
        return Err(Rejection::ProductMismatch { report: facts.product, chain: product });
    }
    let validities = [(Link::Ark, &root), (Link::Intermediate, &intermediate), (Link::Vek, &vek)]
        .map(|(link, certificate)| Validity::of(link, certificate));
    Ok(EndorsedKey { product, kind, point, facts, validities })
}

/// Verify that neither the chain's intermediate nor its root is revoked, and say when the list that shows it is
/// good. `verify_chain` has succeeded on the same bytes.
pub(crate) fn verify_not_revoked(
    chain: ChainDer<'_>,
    roots: &TrustRoots,
    product: Product,
) -> Result<CrlDates, Rejection> {
    let der = chain.crl.ok_or(ChainFault::CrlMissing { link: Link::Crl })?;
    let root_der = trusted_root(roots, product, chain.root_hint)?;
    let root = x509::parse(Link::Ark, root_der)?;
    let intermediate = x509::parse(Link::Intermediate, chain.intermediate)?;
    let list = RevocationList::verified(Link::Crl, der, &root, Link::Ark, SCHEME)?;
    for (link, certificate) in [(Link::Intermediate, &intermediate), (Link::Ark, &root)] {
        list.require_absent(link, certificate)?;
    }
    Ok(list.dates()?)
}

/// Whether the chain's root is one of `roots`.
pub(crate) fn require_trusted(chain: ChainDer<'_>, roots: &TrustRoots, product: Product) -> Result<(), ChainFault> {
    trusted_root(roots, product, chain.root_hint).map(|_| ())
}

fn trusted_root<'a>(roots: &'a TrustRoots, product: Product, hint: &[u8]) -> Result<&'a [u8], ChainFault> {
    roots.amd(product, hint).ok_or_else(|| ChainFault::RootUnknown { place: product.to_string() })
}

/// 5. Verify that `key` is the key of the chip and TCB `report` names; the reported TCB on success.
pub(crate) fn verify_endorses(key: &EndorsedKey, report: &SnpReport) -> Result<Tcb, Rejection> {
    if report.signing_key() != key.kind {
        return Err(Rejection::SigningKeyMismatch { report: report.signing_key(), certificate: key.kind });
    }
    // Version 2 does not identify the CPU: there the endorsement key's own product, already equal to the chain's, stands.
    if let Some(reported) = report.product()?
        && reported != key.product
    {
        return Err(Rejection::ProductMismatch { report: reported, chain: key.product });
    }
    let reported_tcb = report.reported_tcb.decode(key.product)?;
    if reported_tcb != key.facts.tcb {
        return Err(Rejection::EndorsedTcbMismatch { certificate: key.facts.tcb, report: reported_tcb });
    }
    match &key.facts.owner {
        VekOwner::Chip(hwid) => require_chip(key.product, hwid, &report.chip_id)?,
        // A VLEK belongs to a provider, not to a chip: which provider is accepted is the policy's business.
        VekOwner::CloudProvider(_) => {}
    }
    Ok(reported_tcb)
}

/// CHIP_ID is the key's hardware id, zero-extended. An all-zero CHIP_ID is a masked one and names no chip.
fn require_chip(product: Product, hwid: &[u8], chip_id: &[u8; 64]) -> Result<(), Rejection> {
    let length = product.chip_id_len();
    let (id, rest) = chip_id.split_at_checked(length).ok_or(Rejection::ChipIdMismatch)?;
    let named = id.iter().any(|byte| *byte != 0);
    if named && id == hwid && rest.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(Rejection::ChipIdMismatch) }
}

fn vek_kind(vek: &X509Certificate<'_>) -> Result<SigningKey, ChainFault> {
    let name = amd_name(vek);
    match name {
        "SEV-VCEK" => Ok(SigningKey::Vcek),
        "SEV-VLEK" => Ok(SigningKey::Vlek),
        got => {
            Err(ChainFault::Name { link: Link::Vek, expected: "SEV-VCEK or SEV-VLEK".to_owned(), got: got.to_owned() })
        }
    }
}

/// ASKs are called `SEV-<product>`, ASVKs `SEV-VLEK-<product>`.
fn intermediate_product(intermediate: &X509Certificate<'_>, kind: SigningKey) -> Result<Product, ChainFault> {
    let prefix = match kind {
        SigningKey::Vcek => "SEV-",
        SigningKey::Vlek => "SEV-VLEK-",
    };
    let name = amd_name(intermediate);
    name.strip_prefix(prefix).and_then(|product| product.parse().ok()).ok_or_else(|| ChainFault::Name {
        link: Link::Intermediate,
        expected: format!("{prefix}<product>"),
        got: name.to_owned(),
    })
}

/// The product of a root called `ARK-<product>`.
pub(crate) fn root_product(root: &X509Certificate<'_>) -> Option<Product> {
    amd_name(root).strip_prefix("ARK-").and_then(|product| product.parse().ok())
}

/// The subject's common name without the mark of a simulated chain; empty when there is not exactly one.
fn amd_name<'a>(certificate: &'a X509Certificate<'_>) -> &'a str {
    let name = x509::common_name(certificate.subject()).unwrap_or_default();
    name.strip_prefix(SIMULATED).map_or(name, str::trim_start)
}
