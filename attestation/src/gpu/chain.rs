//! Trusted root → identity → provisioner → boot ROM → the key that signs reports: always five certificates.
//!
//! Decides: whether the key belongs to a device NVIDIA (or a named root) made, and of which architecture. Trusts the roots
//! it is given; the chain arrives from anyone. Dates are kept for the caller to ask at every use: these certificates
//! never expire, so OCSP is the only revocation there is.
//!
//! 1. length and root by its bytes; 2. issuers, roles and names; 3. algorithms and signatures; 4. firmware identity.

use x509_parser::certificate::X509Certificate;

use crate::digest::Sha256Digest;
use crate::gpu::{Architecture, GpuRejection, Subject, fwid};
use crate::rejection::Rejection;
use crate::roots::{RootKind, SIMULATED, TrustRoots};
use crate::x509::{self, ChainFault, Link, Place, Scheme, Validity};

/// Every signature of a device chain.
const SCHEME: Scheme = Scheme::EcdsaP384Sha384;

/// Leaf first, as the driver returns them.
const LINKS: [Link; 5] =
    [Link::DeviceLeaf, Link::DeviceBrom, Link::DeviceProvisioner, Link::DeviceIdentity, Link::DeviceRoot];

/// Longest PEM chain; the driver's interface returns at most 5120 bytes.
const CHAIN_BYTES_MAX: usize = 16 * 1024;

/// More certificates than this are not read.
const CERTIFICATES_MAX: usize = 8;

/// A device whose key a trusted root vouches for, whatever the time.
#[derive(Debug)]
pub(crate) struct VerifiedDevice {
    pub(crate) architecture: Architecture,
    /// The key that signs reports, an uncompressed P-384 point.
    pub(crate) point: Vec<u8>,
    /// The firmware identity the boot ROM certified.
    pub(crate) fwid: Option<[u8; 48]>,
    /// SHA-256 of the leaf certificate.
    pub(crate) leaf_digest: Sha256Digest,
    /// Serial number of the leaf certificate, hex: NVIDIA's UEID.
    pub(crate) ueid: String,
    /// Serial number of the boot ROM certificate, hex: one per device.
    pub(crate) device_serial: String,
    /// Dates of all five, root first.
    pub(crate) validity: Vec<Validity>,
    /// Those that OCSP answers for: boot ROM, provisioner, identity.
    pub(crate) revocable: Vec<Subject>,
}

/// Verify a PEM chain.
pub(crate) fn verify_chain(pem: &[u8], roots: &TrustRoots) -> Result<VerifiedDevice, Rejection> {
    // 1. Length and root.
    if pem.len() > CHAIN_BYTES_MAX {
        return Err(ChainFault::Malformed { link: Link::DeviceLeaf }.into());
    }
    let ders = x509::pem_chain(Link::DeviceLeaf, pem, CERTIFICATES_MAX)?;
    let [leaf_der, brom_der, provisioner_der, identity_der, root_der] = ders.as_slice() else {
        return Err(ChainFault::Length { link: Link::DeviceLeaf, got: ders.len(), expected: LINKS.len() }.into());
    };
    if !roots.of_kind(RootKind::NvidiaDevice).any(|trusted| trusted == root_der.as_slice()) {
        return Err(ChainFault::RootUnknown { place: "NVIDIA devices".to_owned() }.into());
    }
    let [leaf_link, brom_link, provisioner_link, identity_link, root_link] = LINKS;
    let leaf = x509::parse(leaf_link, leaf_der)?;
    let brom = x509::parse(brom_link, brom_der)?;
    let provisioner = x509::parse(provisioner_link, provisioner_der)?;
    let identity = x509::parse(identity_link, identity_der)?;
    let root = x509::parse(root_link, root_der)?;

    // 2. Issuers, roles and names.
    let issued = [
        (leaf_link, &leaf, leaf_der, brom_link, &brom, brom_der),
        (brom_link, &brom, brom_der, provisioner_link, &provisioner, provisioner_der),
        (provisioner_link, &provisioner, provisioner_der, identity_link, &identity, identity_der),
        (identity_link, &identity, identity_der, root_link, &root, root_der),
    ];
    x509::require_role(leaf_link, &leaf, Place::Leaf)?;
    x509::require_digital_signature(leaf_link, &leaf)?;
    for (below, (link, certificate, _, issuer_link, issuer, _)) in (0..).zip(issued) {
        x509::require_issued_by(link, certificate, issuer)?;
        x509::require_role(issuer_link, issuer, Place::Issuer { below })?;
    }
    let chip = chip_of(&leaf, &brom, &provisioner, &identity)?;

    // 3. Algorithms and signatures. The root is trusted by its bytes, not by its own signature.
    for (link, certificate, der, issuer_link, issuer, _) in issued {
        x509::verify_certificate(link, der, certificate, issuer.public_key(), issuer_link, SCHEME)?;
    }
    let point = x509::p384_point(leaf_link, leaf.public_key())?.to_vec();
    let architecture =
        Architecture::of_chip(chip).ok_or_else(|| GpuRejection::ArchitectureUnknown { got: chip.to_owned() })?;

    // 4. Firmware identity.
    let fwid = fwid::certified(&leaf)?;
    // The leaf is the device's own, made at each boot: nobody answers for it.
    let [_, revocable @ ..] = issued;
    let revocable = revocable
        .into_iter()
        .map(|(link, certificate, _, issuer_link, issuer, issuer_der)| {
            Subject::new(link, certificate, issuer_link, issuer, issuer_der)
        })
        .collect::<Result<_, _>>()?;
    let all = [(root_link, &root), (identity_link, &identity), (provisioner_link, &provisioner)];
    let all = all.into_iter().chain([(brom_link, &brom), (leaf_link, &leaf)]);
    Ok(VerifiedDevice {
        architecture,
        point,
        fwid,
        leaf_digest: Sha256Digest::of(leaf_der),
        ueid: hex::encode(leaf.raw_serial()),
        device_serial: hex::encode(brom.raw_serial()),
        validity: all.map(|(link, certificate)| Validity::of(link, certificate)).collect(),
        revocable,
    })
}

/// The chip all four names agree on: `<chip> <stepping> <engine> FMC LF` under `<chip> <stepping> <engine> BROM` under
/// `... <chip> Provisioner ICA <number>` under `... Identity` (one identity serves several chips).
fn chip_of<'a>(
    leaf: &'a X509Certificate<'_>,
    brom: &X509Certificate<'_>,
    provisioner: &X509Certificate<'_>,
    identity: &X509Certificate<'_>,
) -> Result<&'a str, ChainFault> {
    let wrong =
        |link, expected: &str, got: &str| ChainFault::Name { link, expected: expected.to_owned(), got: got.to_owned() };
    let name = device_name(leaf);
    let part = name.strip_suffix(" FMC LF").ok_or_else(|| wrong(Link::DeviceLeaf, "<chip> ... FMC LF", name))?;
    let (chip, _) = part.split_once(' ').ok_or_else(|| wrong(Link::DeviceLeaf, "<chip> ... FMC LF", name))?;
    let expected = format!("{part} BROM");
    if device_name(brom) != expected {
        return Err(wrong(Link::DeviceBrom, &expected, device_name(brom)));
    }
    let expected = format!(" {chip} Provisioner ICA ");
    let name = x509::common_name(provisioner.subject()).unwrap_or_default();
    if !name.contains(&expected) {
        return Err(wrong(Link::DeviceProvisioner, &expected, name));
    }
    let name = x509::common_name(identity.subject()).unwrap_or_default();
    if !name.ends_with(" Identity") {
        return Err(wrong(Link::DeviceIdentity, "... Identity", name));
    }
    Ok(chip)
}

/// The subject's common name without the mark of a simulated chain; empty when there is not exactly one.
fn device_name<'a>(certificate: &'a X509Certificate<'_>) -> &'a str {
    let name = x509::common_name(certificate.subject()).unwrap_or_default();
    name.strip_prefix(SIMULATED).map_or(name, str::trim_start)
}
