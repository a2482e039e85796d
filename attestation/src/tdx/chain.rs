//! Intel's chains: root → TCB signer, and root → PCK CA → PCK (PCK Certificate and CRL Specification).
//!
//! Decides: whether a trusted root vouches for a TCB signer or a PCK, and has not taken that back. Trusts the roots it
//! is given; chains and lists arrive from anyone, and a root inside a chain only says which trusted root is meant.
//!
//! 1. length and root; 2. names and roles; 3. signatures; 4. revocation; 5. dates, which callers check at every use.

use x509_parser::certificate::X509Certificate;

use crate::rejection::Rejection;
use crate::roots::{RootKind, TrustRoots};
use crate::tdx::{PckCa, PckFacts, TdQuote};
use crate::time::UnixTime;
use crate::x509::crl::{CrlDates, RevocationList, serial_of};
use crate::x509::{self, ChainFault, Link, Place, Scheme, Validity};

/// Every signature of an Intel chain.
const SCHEME: Scheme = Scheme::EcdsaP256Sha256;
/// Certificates of the two chains, root included.
const SIGNER_CHAIN_LEN: usize = 2;
const PCK_CHAIN_LEN: usize = 3;
/// The most certificates that are decoded before the number is judged.
const CHAIN_LEN_MAX: usize = 4;
/// How the common names end; Intel's begin with `Intel`, those of other roots with another word.
const NAME_TCB_SIGNING: &str = " SGX TCB Signing";
const NAME_PLATFORM_CA: &str = " SGX PCK Platform CA";
const NAME_PROCESSOR_CA: &str = " SGX PCK Processor CA";
const NAME_PCK: &str = " SGX PCK Certificate";

/// A trusted root and what its revocation list says.
#[derive(Debug)]
pub(crate) struct IntelRoot {
    der: Vec<u8>,
    validity: Validity,
    revoked: Vec<Vec<u8>>,
    pub(crate) crl: CrlDates,
}

impl IntelRoot {
    /// The trusted root `der`, and itself parsed, with its own revocation list.
    pub(crate) fn with_crl<'a>(der: &'a [u8], crl: &[u8]) -> Result<(Self, X509Certificate<'a>), ChainFault> {
        let certificate = x509::parse(Link::IntelRoot, der)?;
        x509::require_role(Link::IntelRoot, &certificate, Place::Issuer { below: 1 })?;
        let list = revocations(Link::IntelRootCrl, crl, Link::IntelRoot, &certificate)?;
        list.require_absent(Link::IntelRoot, &certificate)?;
        let validity = Validity::of(Link::IntelRoot, &certificate);
        let (revoked, crl) = (list.revoked_serials(), list.dates()?);
        Ok((Self { der: der.to_vec(), validity, revoked, crl }, certificate))
    }

    /// Whether `now` is inside the validity of the root and of its revocation list.
    pub(crate) fn require_valid_at(&self, now: UnixTime) -> Result<(), ChainFault> {
        self.validity.require(now)?;
        self.crl.require_fresh(now, u64::MAX)
    }
}

/// The chain of a TCB signer, not verified.
pub(crate) struct SignerChain<'a> {
    signer: Vec<u8>,
    /// The trusted root it names.
    pub(crate) root: &'a [u8],
}

/// A TCB signer that a trusted root vouches for.
#[derive(Debug, Clone)]
pub(crate) struct TcbSigner {
    /// Its key, an uncompressed P-256 point.
    pub(crate) point: Vec<u8>,
    pub(crate) validity: Validity,
}

/// Read the chain of a TCB signer and find the trusted root it names.
pub(crate) fn signer_chain<'a>(pem: &str, roots: &'a TrustRoots) -> Result<SignerChain<'a>, ChainFault> {
    let ders = x509::pem_chain(Link::TcbSigning, pem.as_bytes(), CHAIN_LEN_MAX)?;
    let [signer, root_hint] = <[Vec<u8>; SIGNER_CHAIN_LEN]>::try_from(ders).map_err(|ders| ChainFault::Length {
        link: Link::TcbSigning,
        got: ders.len(),
        expected: SIGNER_CHAIN_LEN,
    })?;
    let root = roots.of_kind(RootKind::Intel).find(|der| *der == root_hint).ok_or_else(root_unknown)?;
    Ok(SignerChain { signer, root })
}

fn root_unknown() -> ChainFault {
    ChainFault::RootUnknown { place: "Intel".to_owned() }
}

/// Verify that `root` itself issued the signer and has not revoked it. A PCK also chains to the root, but not directly.
/// `issuer` is `root`, parsed.
pub(crate) fn verify_signer(
    chain: &SignerChain<'_>,
    root: &IntelRoot,
    issuer: &X509Certificate<'_>,
) -> Result<TcbSigner, ChainFault> {
    let link = Link::TcbSigning;
    if chain.root != root.der {
        return Err(root_unknown());
    }
    let signer = x509::parse(link, &chain.signer)?;
    require_name_ending(link, &signer, NAME_TCB_SIGNING)?;
    x509::require_issued_by(link, &signer, issuer)?;
    x509::require_role(link, &signer, Place::Leaf)?;
    x509::verify_certificate(link, &chain.signer, &signer, issuer.public_key(), Link::IntelRoot, SCHEME)?;
    require_absent(link, &signer, &root.revoked)?;
    Ok(TcbSigner {
        point: x509::p256_point(link, signer.public_key())?.to_vec(),
        validity: Validity::of(link, &signer),
    })
}

/// A PCK that a trusted root vouches for.
#[derive(Debug)]
pub(crate) struct VerifiedPck {
    /// Its key, an uncompressed P-256 point.
    pub(crate) point: Vec<u8>,
    pub(crate) ca: PckCa,
    pub(crate) facts: PckFacts,
    certificates: [Validity; 2],
    pub(crate) crl: CrlDates,
}

/// Verify the quote's PCK chain up to `root`, and that neither CA nor PCK is revoked.
pub(crate) fn verify_pck(pem: &[u8], pck_crl: &[u8], root: &IntelRoot) -> Result<VerifiedPck, Rejection> {
    let ders = x509::pem_chain(Link::Pck, pem, CHAIN_LEN_MAX)?;
    let [pck_der, ca_der, root_hint] = <[Vec<u8>; PCK_CHAIN_LEN]>::try_from(ders)
        .map_err(|ders| ChainFault::Length { link: Link::Pck, got: ders.len(), expected: PCK_CHAIN_LEN })?;
    if root_hint != root.der {
        return Err(root_unknown().into());
    }
    let issuer = x509::parse(Link::IntelRoot, &root.der)?;
    let ca = x509::parse(Link::PckCa, &ca_der)?;
    let pck = x509::parse(Link::Pck, &pck_der)?;

    let kind = ca_kind(&ca)?;
    require_name_ending(Link::Pck, &pck, NAME_PCK)?;
    x509::require_issued_by(Link::PckCa, &ca, &issuer)?;
    x509::require_issued_by(Link::Pck, &pck, &ca)?;
    x509::require_role(Link::PckCa, &ca, Place::Issuer { below: 0 })?;
    x509::require_role(Link::Pck, &pck, Place::Leaf)?;

    x509::verify_certificate(Link::PckCa, &ca_der, &ca, issuer.public_key(), Link::IntelRoot, SCHEME)?;
    x509::verify_certificate(Link::Pck, &pck_der, &pck, ca.public_key(), Link::PckCa, SCHEME)?;
    let point = x509::p256_point(Link::Pck, pck.public_key())?.to_vec();

    require_absent(Link::PckCa, &ca, &root.revoked)?;
    let list = revocations(Link::PckCrl, pck_crl, Link::PckCa, &ca)?;
    list.require_absent(Link::Pck, &pck)?;
    let crl = list.dates()?;
    let facts = PckFacts::of(&pck, kind)?;
    let certificates = [Validity::of(Link::PckCa, &ca), Validity::of(Link::Pck, &pck)];
    Ok(VerifiedPck { point, ca: kind, facts, certificates, crl })
}

/// What the PCK in a quote says about its platform, and which CA it is of: for whoever looks for collateral. Nothing is verified.
///
/// # Errors
/// `chain.*`, `tdx.pck_extension_*`.
pub fn named_platform(quote: &TdQuote) -> Result<(PckCa, PckFacts), Rejection> {
    let ders = x509::pem_chain(Link::Pck, &quote.pck_chain_pem, CHAIN_LEN_MAX)?;
    let [pck, ca, _] = <[Vec<u8>; PCK_CHAIN_LEN]>::try_from(ders).map_err(|ders| ChainFault::Length {
        link: Link::Pck,
        got: ders.len(),
        expected: PCK_CHAIN_LEN,
    })?;
    let kind = ca_kind(&x509::parse(Link::PckCa, &ca)?)?;
    Ok((kind, PckFacts::of(&x509::parse(Link::Pck, &pck)?, kind)?))
}

impl VerifiedPck {
    /// Whether `now` is inside the validity of CA, PCK and revocation list.
    pub(crate) fn require_valid_at(&self, now: UnixTime) -> Result<(), ChainFault> {
        for certificate in &self.certificates {
            certificate.require(now)?;
        }
        self.crl.require_fresh(now, u64::MAX)
    }
}

/// A complete list that `issuer` signed. A missing list is not an empty one.
fn revocations<'a>(
    link: Link,
    der: &'a [u8],
    issuer_link: Link,
    issuer: &X509Certificate<'_>,
) -> Result<RevocationList<'a>, ChainFault> {
    if der.is_empty() {
        return Err(ChainFault::CrlMissing { link });
    }
    x509::require_crl_signer(issuer_link, issuer)?;
    RevocationList::verified(link, der, issuer, issuer_link, SCHEME)
}

/// Whether `certificate` is not on the root's list.
fn require_absent(link: Link, certificate: &X509Certificate<'_>, revoked: &[Vec<u8>]) -> Result<(), ChainFault> {
    let serial = serial_of(certificate);
    if revoked.iter().any(|revoked| revoked == serial) { Err(ChainFault::Revoked { link }) } else { Ok(()) }
}

fn ca_kind(ca: &X509Certificate<'_>) -> Result<PckCa, ChainFault> {
    if has_name_ending(ca, NAME_PROCESSOR_CA) {
        return Ok(PckCa::Processor);
    }
    require_name_ending(Link::PckCa, ca, NAME_PLATFORM_CA).map(|()| PckCa::Platform)
}

fn has_name_ending(certificate: &X509Certificate<'_>, ending: &str) -> bool {
    x509::common_name(certificate.subject()).is_some_and(|name| name.ends_with(ending))
}

fn require_name_ending(link: Link, certificate: &X509Certificate<'_>, ending: &str) -> Result<(), ChainFault> {
    if has_name_ending(certificate, ending) {
        return Ok(());
    }
    let got = x509::common_name(certificate.subject()).unwrap_or_default().to_owned();
    Err(ChainFault::Name { link, expected: format!("…{ending}"), got })
}
