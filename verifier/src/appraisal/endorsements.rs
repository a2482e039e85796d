//! Endorsements from a directory, by the names vendors and tools give such files.
//!
//! Decides: which file is which certificate. What is not there but published and embedded (AMD's intermediates and roots)
//! is filled in by name; whether anything verifies is decided later, from the bytes.

use std::path::{Path, PathBuf};

use attestation::snp::SigningKey;
use attestation::{Base64, Product, SnpEndorsements, vendor_certificates};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::files::{FileError, read_capped};

/// Largest endorsement file that is read.
const ENDORSEMENT_BYTES_MAX: u64 = 1024 * 1024;

/// Why endorsements could not be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndorsementsError {
    /// None of the names such a file has is there.
    #[error("no {what} in {} (looked for {})", directory.display(), names.join(", "))]
    Missing {
        /// What is needed.
        what: &'static str,
        /// Where it was looked for.
        directory: PathBuf,
        /// Under which names.
        names: &'static [&'static str],
    },
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl EndorsementsError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "endorsements.missing",
            Self::File(_) => "file.unusable",
        }
    }
}

const VCEK: &[&str] = &["vcek.der", "vcek.pem", "vcek.crt"];
const VLEK: &[&str] = &["vlek.der", "vlek.pem", "vlek.crt"];
const VEK: &[&str] = &["vcek.der", "vcek.pem", "vcek.crt", "vlek.der", "vlek.pem", "vlek.crt"];
const INTERMEDIATE: &[&str] = &["ask.der", "ask.pem", "asvk.der", "asvk.pem"];
const ROOT: &[&str] = &["ark.der", "ark.pem"];
const CRL: &[&str] = &["ark.crl", "crl.der", "crl"];

/// AMD's endorsements for a report.
pub(super) fn snp(directory: &Path, named_roots: &[Vec<u8>]) -> Result<SnpEndorsements, EndorsementsError> {
    let (vek, kind) = match (first_of(directory, VCEK)?, first_of(directory, VLEK)?) {
        (Some(vek), _) => (vek, SigningKey::Vcek),
        (None, Some(vek)) => (vek, SigningKey::Vlek),
        (None, None) => {
            let what = "AMD endorsement key certificate";
            return Err(EndorsementsError::Missing { what, directory: directory.to_owned(), names: VEK });
        }
    };
    let vek = der_of(vek);
    let issued_by = |der: &[u8], issuer: &[u8]| issuer_of(der).is_some_and(|name| subject_of(issuer) == Some(name));
    let published = [Product::Milan, Product::Genoa, Product::Turin].map(|product| vendor_certificates(product, kind));
    let intermediate = match first_of(directory, INTERMEDIATE)? {
        Some(bytes) => der_of(bytes),
        None => {
            let found = published.iter().map(|chain| chain.intermediate).find(|issuer| issued_by(&vek, issuer));
            found.unwrap_or_default().to_vec()
        }
    };
    let root = match first_of(directory, ROOT)? {
        Some(bytes) => der_of(bytes),
        None => {
            let named = named_roots.iter().map(|bytes| der_of(bytes.clone()));
            let vendors = published.iter().map(|chain| chain.root.to_vec());
            named.chain(vendors).find(|issuer| issued_by(&intermediate, issuer)).unwrap_or_default()
        }
    };
    let crl = first_of(directory, CRL)?.map(Base64);
    Ok(SnpEndorsements { vek: Base64(vek), intermediate: Base64(intermediate), root: Base64(root), crl })
}

/// The first file of these names that is there.
fn first_of(directory: &Path, names: &[&str]) -> Result<Option<Vec<u8>>, EndorsementsError> {
    for name in names {
        match read_capped(&directory.join(name), ENDORSEMENT_BYTES_MAX) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// The DER inside PEM, or the bytes as they are: what they are is decided by whoever parses them.
fn der_of(bytes: Vec<u8>) -> Vec<u8> {
    match x509_parser::pem::parse_x509_pem(&bytes) {
        Ok((_, pem)) => pem.contents,
        Err(_) => bytes,
    }
}

fn issuer_of(der: &[u8]) -> Option<Vec<u8>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate.issuer().as_raw().to_vec())
}

fn subject_of(der: &[u8]) -> Option<Vec<u8>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate.subject().as_raw().to_vec())
}
