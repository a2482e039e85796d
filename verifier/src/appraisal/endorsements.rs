//! Endorsements from a directory, by the names vendors and tools give such files.
//!
//! Decides: which file is which certificate. What is not there but published and embedded (AMD's intermediates and roots)
//! is filled in by name; whether anything verifies is decided later, from the bytes.

use std::path::{Path, PathBuf};

use attestation::gpu::{GpuEndorsements, OcspAnswer};
use attestation::snp::SigningKey;
use attestation::tdx::TdxCollateral;
use attestation::{Base64, Product, Rejection, SnpEndorsements, vendor_certificates};
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
    /// A directory could not be read.
    #[error("read {}", directory.display())]
    Directory {
        /// Which.
        directory: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not what its name says.
    #[error(transparent)]
    Rejected(Box<Rejection>),
}

impl EndorsementsError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "endorsements.missing",
            Self::Directory { .. } | Self::File(_) => "file.unusable",
            Self::Rejected(rejection) => rejection.code(),
        }
    }
}

const VCEK: &[&str] = &["vcek.der", "vcek.pem", "vcek.crt"];
const VLEK: &[&str] = &["vlek.der", "vlek.pem", "vlek.crt"];
const VEK: &[&str] = &["vcek.der", "vcek.pem", "vcek.crt", "vlek.der", "vlek.pem", "vlek.crt"];
const INTERMEDIATE: &[&str] = &["ask.der", "ask.pem", "asvk.der", "asvk.pem"];
const ROOT: &[&str] = &["ark.der", "ark.pem"];
const CRL: &[&str] = &["ark.crl", "crl.der", "crl"];
const COLLATERAL: &[&str] = &["collateral.json", "tdx-collateral.json"];
const GPU_CHAIN: &[&str] = &["chain.pem", "gpu-chain.pem"];
const DRIVER_RIM: &[&str] = &["driver-rim.xml", "driver-rim.swidtag"];
const VBIOS_RIM: &[&str] = &["vbios-rim.xml", "vbios-rim.swidtag", "bios-rim.xml"];

/// AMD's endorsements for a report. `carried` is a VCEK that came with the evidence.
pub(super) fn snp(
    directory: &Path,
    named_roots: &[Vec<u8>],
    carried: Option<Vec<u8>>,
) -> Result<SnpEndorsements, EndorsementsError> {
    let (vek, kind) = match (first_of(directory, VCEK)?.or(carried), first_of(directory, VLEK)?) {
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

/// Intel's collateral for a quote.
pub(super) fn tdx(directory: &Path) -> Result<TdxCollateral, EndorsementsError> {
    let bytes = required(directory, "TDX collateral", COLLATERAL)?;
    TdxCollateral::from_json(&bytes).map_err(|rejection| EndorsementsError::Rejected(Box::new(rejection)))
}

/// A device's certificates.
pub(super) fn gpu_chain(directory: &Path) -> Result<Vec<u8>, EndorsementsError> {
    required(directory, "GPU certificate chain", GPU_CHAIN)
}

/// NVIDIA's endorsements: whatever is there. What is missing the policy decides.
pub(super) fn gpu(directory: &Path) -> Result<GpuEndorsements, EndorsementsError> {
    let mut ocsp = Vec::new();
    for path in files_ending(directory, ".ocsp.der")? {
        let response = read_capped(&path, ENDORSEMENT_BYTES_MAX)?;
        ocsp.push(OcspAnswer { response, nonce: None });
    }
    Ok(GpuEndorsements {
        driver_rim: first_of(directory, DRIVER_RIM)?,
        vbios_rim: first_of(directory, VBIOS_RIM)?,
        ocsp,
    })
}

/// Certificates between a vTPM's attestation key and its root: whatever is there.
pub(super) fn azure_intermediates(directory: &Path) -> Result<Vec<Vec<u8>>, EndorsementsError> {
    let paths = files_ending(directory, ".vtpm-ca.der")?;
    paths.iter().map(|path| Ok(read_capped(path, ENDORSEMENT_BYTES_MAX)?)).collect()
}

/// The files of a directory whose names end so, in the order of their names; none when there is no such directory.
fn files_ending(directory: &Path, ending: &str) -> Result<Vec<PathBuf>, EndorsementsError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            let directory = directory.to_owned();
            return Err(EndorsementsError::Directory { directory, source });
        }
    };
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ending));
    let failed = |source| EndorsementsError::Directory { directory: directory.to_owned(), source };
    // An entry that cannot be read could be the one that revokes.
    let entries = entries.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(named).collect();
    paths.sort();
    Ok(paths)
}

/// The first file of these names, which must be there.
fn required(
    directory: &Path,
    what: &'static str,
    names: &'static [&'static str],
) -> Result<Vec<u8>, EndorsementsError> {
    first_of(directory, names)?.ok_or_else(|| EndorsementsError::Missing {
        what,
        directory: directory.to_owned(),
        names,
    })
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
