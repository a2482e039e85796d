//! A release in one file: what was logged, what it is about, and the proofs.
//!
//! Every part whose digest counts is carried in base64, as the bytes that were hashed. Nothing in a bundle is trusted; see
//! [`mod@super::verify`].

use attestation::Base64;
use serde::{Deserialize, Serialize};

use super::error::ReleaseError;
use tlog::Growth;

/// Value of [`ReleaseBundle::schema`].
pub const BUNDLE_SCHEMA: &str = "cloister/release-bundle/v1";
/// Longest bundle that is read: a bill of materials lists every file of an image, and an image may hold a Python environment.
pub const BUNDLE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Most proofs of growth: one per earlier size of the log, the latest if the log is longer.
pub const GROWTH_MAX: usize = 4096;

/// A release bundle, as read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseBundle {
    /// [`BUNDLE_SCHEMA`].
    pub schema: String,
    /// The logged bytes: see [`super::entry`].
    pub entry: Base64,
    /// The image's manifest.
    pub manifest: Base64,
    /// The signed CoRIM.
    pub reference_values: Base64,
    /// The bill of materials, CycloneDX.
    pub sbom: Base64,
    /// The DSSE envelope.
    pub provenance: Base64,
    /// C2SP tlog-proof, with the checkpoint.
    pub log_proof: String,
    /// How the log grew from each earlier size.
    pub consistency: Vec<Growth>,
}

impl ReleaseBundle {
    /// Reads a bundle.
    ///
    /// # Errors
    /// [`ReleaseError::Malformed`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReleaseError> {
        let bundle: Self = serde_json::from_slice(bytes).map_err(|error| ReleaseError::malformed("bundle", error))?;
        if bundle.schema != BUNDLE_SCHEMA {
            return Err(ReleaseError::malformed("bundle", format!("its schema is not {BUNDLE_SCHEMA}")));
        }
        if bundle.consistency.len() > GROWTH_MAX {
            return Err(ReleaseError::malformed("bundle", "it has too many consistency proofs"));
        }
        Ok(bundle)
    }

    /// The file's content.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("invariant: texts are JSON");
        bytes.push(b'\n');
        bytes
    }
}
