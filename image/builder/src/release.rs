//! Releases an image: signs what was built, logs it, and makes the bundle that `cloister release verify` checks.
//!
//! Decides: that the files in the directory are the manifest's, that the release is new in the log, and that the bundle passes the
//! client's own checks before anyone gets it. Trusts on entry: the two secret keys; the build is `make reproduce`'s business.
//!
//! 1. the log is opened and verified;
//! 2. the files are held against the manifest;
//! 3. the reference values must be signed with the same key and be the manifest's; the provenance is signed over every file;
//! 4. the entry is appended, and the checkpoint signed;
//! 5. the bundle is made, verified, and written.
//!
//! All of it is deterministic but for the date, and the date of a release is the one it was first logged with: releasing the same
//! image again makes the same entry, and a bundle under the log's newest checkpoint.

mod files;
mod keys;
pub mod log;
mod tiles;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use attestation::reference::manifest::MANIFEST_BYTES_MAX;
use attestation::reference::{ImageManifest, REFERENCE_VALUES_BYTES_MAX};
use attestation::{Base64, ReceiptKey, Transcript, UnixTime};
use serde_json::Value;
use verifier::release::bundle::{BUNDLE_BYTES_MAX, BUNDLE_SCHEMA};
use verifier::release::entry::{ENTRY_SCHEMA, ReleaseEntry};
use verifier::release::provenance::{Material, PAYLOAD_TYPE, sha256, statement, subjects};
use verifier::release::verify::{self, check_file};
use verifier::release::{
    BUNDLE_FILE, MANIFEST_FILE, PROVENANCE_FILE, REFERENCE_VALUES_FILE, ReleaseBundle, ReleaseTrust, SBOM_FILE, dsse,
};

pub use files::FileError;
use files::{read_capped, write_whole};
pub use keys::{DEFAULT_LOG_NAME, ReleaseKeys, keygen};
use log::ReleaseLog;

/// Longest bill of materials: with everything in base64, the bundle must stay readable.
const SBOM_BYTES_MAX: u64 = BUNDLE_BYTES_MAX / 2;

/// Releases the image in `image` into the log in `log`, and returns the path of the bundle, which is written beside the image.
///
/// # Errors
/// When a file is missing or not the manifest's, the log was altered or holds another release of this version, or a file cannot be
/// written. The log is then as it was, or holds the release and the same call makes the bundle.
pub fn release(image: &Path, log: &Path, keys: ReleaseKeys, now: UnixTime) -> anyhow::Result<PathBuf> {
    // 1: the log.
    let log = ReleaseLog::open(log, keys.log).context("open the release log")?;
    release_into(log, image, &keys.release, now)
}

/// The rest of it, into a log that is open.
pub(crate) fn release_into(log: ReleaseLog, image: &Path, key: &ReceiptKey, now: UnixTime) -> anyhow::Result<PathBuf> {
    // 2: the files.
    let read = |name: &str, limit| read_capped(&image.join(name), limit);
    let manifest_bytes = read(MANIFEST_FILE, u64::try_from(MANIFEST_BYTES_MAX)?)?;
    let manifest = ImageManifest::from_json(&manifest_bytes).context("read the manifest")?;
    let sbom = read(SBOM_FILE, SBOM_BYTES_MAX)?;
    let reference_values = read(REFERENCE_VALUES_FILE, u64::try_from(REFERENCE_VALUES_BYTES_MAX)?)?;
    for (name, artifact) in &manifest.artifacts {
        check_file(&image.join(name), artifact.sha256, artifact.size).context("hold the image against its manifest")?;
    }
    let subjects = subjects(&manifest, &manifest_bytes, &reference_values, &sbom)?;
    let trust = ReleaseTrust { log: log.key().clone(), signer: key.public() };
    let version = manifest.version.parse().map_err(anyhow::Error::msg)?;
    let mut entry = ReleaseEntry {
        schema: ENTRY_SCHEMA.to_owned(),
        version,
        flavour: manifest.flavour.clone(),
        mode: manifest.mode,
        manifest_sha256: sha256(&manifest_bytes),
        reference_values_sha256: sha256(&reference_values),
        sbom_sha256: sha256(&sbom),
        provenance_sha256: sha256(&[]),
        released_at: now,
    };
    if let Some(before) = log.find_release(version, &entry.kind()) {
        entry.released_at = before.released_at;
    }
    // 3: the signatures. What cannot be verified must not be logged: nothing is ever taken out of a log.
    verify::reference_values(&reference_values, &manifest, entry.released_at, &trust.signer)
        .context("hold the reference values against the manifest")?;
    let payload = statement(&manifest, &subjects, entry.released_at, &materials(&sbom)?);
    let provenance = dsse::sign(PAYLOAD_TYPE, payload, key);
    entry.provenance_sha256 = sha256(&provenance);
    // 4: the entry.
    let entry = entry.to_bytes()?;
    let (log, index) = log.append(&entry).context("log the release")?;
    let proof = log.proof(index).context("the log has no proof for what was just logged")?;
    // 5: the bundle.
    let bundle = ReleaseBundle {
        schema: BUNDLE_SCHEMA.to_owned(),
        entry: Base64(entry),
        manifest: Base64(manifest_bytes),
        reference_values: Base64(reference_values),
        sbom: Base64(sbom),
        provenance: Base64(provenance),
        log_proof: proof.to_text(),
        consistency: log.growth(),
    };
    write_bundle(image, &bundle, &trust)
}

/// Writes a bundle that passes a client's checks, and the provenance for those who read it alone.
fn write_bundle(image: &Path, bundle: &ReleaseBundle, trust: &ReleaseTrust) -> anyhow::Result<PathBuf> {
    let bytes = bundle.to_json();
    if u64::try_from(bytes.len())? > BUNDLE_BYTES_MAX {
        bail!("the bundle would have {} bytes, more than clients read", bytes.len());
    }
    verify::verify(&ReleaseBundle::from_json(&bytes)?, trust, &mut Transcript::new()).context("verify the bundle")?;
    write_whole(&image.join(PROVENANCE_FILE), &bundle.provenance.0)?;
    let path = image.join(BUNDLE_FILE);
    write_whole(&path, &bytes)?;
    Ok(path)
}

/// The packages of a CycloneDX bill of materials: whatever has a package URL and a SHA-256.
fn materials(sbom: &[u8]) -> anyhow::Result<Vec<Material>> {
    let sbom: Value = serde_json::from_slice(sbom).context("read the bill of materials")?;
    if sbom.get("bomFormat").and_then(Value::as_str) != Some("CycloneDX") {
        bail!("the bill of materials is not CycloneDX");
    }
    let list = |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut materials = Vec::new();
    for component in list(&sbom, "components") {
        let hashes = list(&component, "hashes");
        let hash = hashes.iter().find(|hash| hash.get("alg").and_then(Value::as_str) == Some("SHA-256"));
        let hash = hash.and_then(|hash| hash.get("content")).and_then(Value::as_str);
        if let (Some(uri), Some(hash)) = (component.get("purl").and_then(Value::as_str), hash) {
            let sha256 = hash.parse().with_context(|| format!("the bill of materials has no SHA-256 for {uri}"))?;
            materials.push(Material { uri: uri.to_owned(), sha256 });
        }
    }
    materials.sort();
    materials.dedup();
    Ok(materials)
}
