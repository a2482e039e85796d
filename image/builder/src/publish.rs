//! Publishing an image: reference values under the release key, then the log entry and the bundle.
//!
//! Decides: that the same image is published once. Values that are signed already, by this key and for this manifest, stay as they are,
//! and an image that is in the log has the date of its first release, so that repeating a release changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use attestation::reference::ReferenceValues;
use attestation::reference::manifest::ImageManifest;
use attestation::{ReceiptKey, UnixTime};
use verifier::release::REFERENCE_VALUES_FILE;
use verifier::release::entry::kind;

use crate::describe::MANIFEST_FILE;
use crate::release::log::ReleaseLog;
use crate::release::{self, ReleaseKeys};

const DAY_SECS: u64 = 24 * 3600;

/// Signs the image's reference values; the file they are in.
///
/// # Errors
/// When the manifest cannot be read or the file not be written.
pub fn sign(image: &Path, key: &ReceiptKey, now: UnixTime, valid_days: u64) -> anyhow::Result<PathBuf> {
    let manifest = manifest(image)?;
    let place = image.join(REFERENCE_VALUES_FILE);
    if let Ok(signed) = fs::read(&place)
        && let Ok(known) = ReferenceValues::verify(&signed, &[key.public()], now)
    {
        let held = known.values();
        if *held == ReferenceValues::from_manifest(&manifest, held.not_before, held.not_after) {
            return Ok(place);
        }
    }
    let until = UnixTime(now.0.saturating_add(valid_days.saturating_mul(DAY_SECS)));
    let signed =
        ReferenceValues::from_manifest(&manifest, now, until).sign(key).context("sign the reference values")?;
    let file = tempfile::NamedTempFile::new_in(image)?;
    fs::write(file.path(), signed)?;
    file.persist(&place).with_context(|| format!("write {}", place.display()))?;
    Ok(place)
}

/// Signs, logs, and writes the bundle; its path.
///
/// # Errors
/// As [`sign`] and [`release::release`].
pub fn publish(image: &Path, log: &Path, keys: ReleaseKeys, now: UnixTime, valid_days: u64) -> anyhow::Result<PathBuf> {
    let log = ReleaseLog::open(log, keys.log).context("open the release log")?;
    let manifest = manifest(image)?;
    let version = manifest.version.parse().map_err(anyhow::Error::msg)?;
    let before = log.find_release(version, &kind(&manifest.flavour, manifest.mode));
    let date = before.map_or(now, |entry| entry.released_at);
    sign(image, &keys.release, date, valid_days)?;
    release::release_into(log, image, &keys.release, now)
}

fn manifest(image: &Path) -> anyhow::Result<ImageManifest> {
    let path = image.join(MANIFEST_FILE);
    let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    ImageManifest::from_json(&bytes).with_context(|| format!("{} is no manifest", path.display()))
}
