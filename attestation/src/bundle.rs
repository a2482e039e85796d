//! An appraisal bundle: everything one verdict followed from, in one file.
//!
//! Decides: nothing new. A bundle carries evidence, endorsements, policy and roots, and what was decided then; replaying it
//! decides again. It vouches for nothing: a bundle with its own roots gives a `custom-root` or `simulated` verdict, never a
//! `vendor` one, and the reader can name other roots, another policy and another time.

use serde::{Deserialize, Serialize};

use crate::document::Base64;
use crate::evidence::EvidenceSet;
use crate::policy::AppraisalPolicy;
use crate::roots::TrustRoots;
use crate::time::UnixTime;

/// The bytes are not a bundle, or what it carries is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the file is not an appraisal bundle: {detail}")]
pub struct BundleError {
    /// What is wrong.
    pub detail: String,
}

/// Value of [`AppraisalBundle::version`].
pub const APPRAISAL_BUNDLE_VERSION: &str = "cloister/appraisal-bundle/v1";
/// Longest bundle that is read.
pub const APPRAISAL_BUNDLE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// One appraisal, repeatable.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppraisalBundle {
    /// [`APPRAISAL_BUNDLE_VERSION`].
    pub version: String,
    /// Evidence and endorsements.
    pub evidence: EvidenceSet,
    /// The roots that were named, as read; empty means the vendors' own, which are not carried.
    pub roots: Vec<Base64>,
    /// The policy's text.
    pub policy: String,
    /// The signed reference values the policy was given, as read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_values: Vec<Base64>,
    /// The time dates were judged at.
    pub appraised_at: UnixTime,
    /// What was decided then. Information only.
    pub verdict: StoredVerdict,
}

/// What was decided when a bundle was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredVerdict {
    /// Whether the evidence was accepted.
    pub accepted: bool,
    /// The rejection's code.
    #[serde(deserialize_with = "Option::deserialize")]
    pub code: Option<String>,
}

impl AppraisalBundle {
    /// Reads a bundle.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BundleError> {
        let malformed = |detail: String| BundleError { detail };
        let bundle: Self = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if bundle.version != APPRAISAL_BUNDLE_VERSION {
            return Err(malformed(format!("version {:?} is not {APPRAISAL_BUNDLE_VERSION}", bundle.version)));
        }
        Ok(bundle)
    }

    /// The bundle as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// The roots and the policy the bundle carries, with its reference values at its own time.
    ///
    /// # Errors
    /// When they are not usable.
    pub fn trust(&self) -> Result<(TrustRoots, AppraisalPolicy), BundleError> {
        let malformed = |detail: String| BundleError { detail };
        let mut named = self.roots.iter().map(|root| TrustRoots::named(&root.0));
        let first = named.next().unwrap_or_else(|| Ok(TrustRoots::vendor()));
        let roots = named
            .try_fold(first.map_err(|error| malformed(error.to_string()))?, |all, next| next.map(|next| all.and(next)))
            .map_err(|error| malformed(error.to_string()))?;
        let policy = AppraisalPolicy::from_toml(&self.policy).map_err(|error| malformed(error.to_string()))?;
        let policy = self.reference_values.iter().try_fold(policy, |policy, corim| {
            policy.with_reference_values(&corim.0, self.appraised_at).map_err(|error| malformed(error.to_string()))
        })?;
        Ok((roots, policy))
    }
}
