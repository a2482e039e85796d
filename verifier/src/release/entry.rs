//! What is logged about a release: its name and the digests of its parts, as canonical JSON.
//!
//! Decides: the one byte string of an entry. Those bytes are hashed into the log, so a text that is not canonical is
//! refused: two entries that say the same are the same entry.

use std::fmt;
use std::str::FromStr;

use attestation::reference::ImageMode;
use attestation::{Hex32, UnixTime, to_jcs};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::ReleaseError;

/// Value of [`ReleaseEntry::schema`].
pub const ENTRY_SCHEMA: &str = "cloister/release-entry/v1";
/// Longest entry: what a bundle of entries can hold (C2SP tlog-tiles).
pub const ENTRY_BYTES_MAX: usize = 0xffff;
/// Longest flavour.
const FLAVOUR_BYTES_MAX: usize = 64;

/// A release's version: three numbers, compared as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub [u32; 3]);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl FromStr for Version {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        let version = numbers.and_then(|numbers| numbers.try_into().ok()).map(Self);
        // One spelling each: no signs, no leading zeros.
        version.filter(|version| version.to_string() == text).ok_or("a version is three numbers with dots")
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What is logged about a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseEntry {
    /// [`ENTRY_SCHEMA`].
    pub schema: String,
    /// Version of the image.
    pub version: Version,
    /// Flavour of the image.
    pub flavour: String,
    /// Mode of the image.
    pub mode: ImageMode,
    /// SHA-256 of the manifest.
    pub manifest_sha256: Hex32,
    /// SHA-256 of the signed reference values.
    pub reference_values_sha256: Hex32,
    /// SHA-256 of the bill of materials.
    pub sbom_sha256: Hex32,
    /// SHA-256 of the provenance's envelope.
    pub provenance_sha256: Hex32,
    /// When it was released, in Unix seconds by the releaser's clock.
    pub released_at: UnixTime,
}

/// Flavour and mode, as versions are compared within.
#[must_use]
pub fn kind(flavour: &str, mode: ImageMode) -> String {
    format!("{flavour}/{}", mode.name())
}

impl ReleaseEntry {
    /// Reads an entry.
    ///
    /// # Errors
    /// [`ReleaseError::Malformed`] for anything but the canonical bytes of an entry.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReleaseError> {
        let bad = |problem: &dyn fmt::Display| ReleaseError::malformed("entry", problem);
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(bad(&"it is too long"));
        }
        let entry: Self = serde_json::from_slice(bytes).map_err(|error| bad(&error))?;
        if entry.to_bytes()? != bytes {
            return Err(bad(&"it is not canonical JSON"));
        }
        Ok(entry)
    }

    /// The bytes that are logged.
    ///
    /// # Errors
    /// [`ReleaseError::Malformed`] when no reader would take them.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ReleaseError> {
        if self.schema != ENTRY_SCHEMA {
            return Err(ReleaseError::malformed("entry", format!("its schema is not {ENTRY_SCHEMA}")));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if self.flavour.is_empty() || self.flavour.len() > FLAVOUR_BYTES_MAX || !self.flavour.bytes().all(plain) {
            return Err(ReleaseError::malformed("entry", "its flavour is not a plain name"));
        }
        to_jcs(self).map_err(|error| ReleaseError::malformed("entry", error))
    }

    /// Flavour and mode: versions are compared within one kind.
    #[must_use]
    pub fn kind(&self) -> String {
        kind(&self.flavour, self.mode)
    }
}
