//! The appraisal policy: what is acceptable, beyond being genuine.
//!
//! Decides: nothing by default. Every item must be present in the file; an item that shall not be checked says
//! `"unchecked"`, and every verdict then lists it. REPORT_DATA is not a policy item: only the live channel can say
//! what it must be ([`crate::appraise::Appraisal::bind_channel`]).

mod rule;

use serde::Deserialize;

pub(crate) use rule::{BitRule, Forbidden, HexBytes, Required, Rule};

use crate::azure::AzureItems;
use crate::digest::Sha256Digest;
use crate::gpu::GpuItems;
use crate::keyset::KEYSET_LIFETIME_SECS_MAX;
use crate::snp::policy::SnpItems;
use crate::tdx::TdxItems;

/// Why a policy file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Not TOML, or an item is missing, unknown or of the wrong type.
    #[error("the policy does not have the required form")]
    Form(#[source] toml::de::Error),
    /// An item has a value without sense.
    #[error("policy item {item}: {problem}")]
    Item {
        /// Which item.
        item: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// The policy production should use, with no launch digest filled in: as shipped it accepts nothing.
pub const STRICT_POLICY: &str = include_str!("../policies/strict.toml");

/// [`STRICT_POLICY`] with the measurements the simulated platforms report by default.
pub const DEMO_POLICY: &str = include_str!("../policies/demo.toml");

/// The longest age a policy may allow, ten years: more than that no list or statement reaches.
pub(crate) const MAX_AGE_SECS_MAX: u64 = 10 * 366 * 24 * 3600;

/// What evidence must be like to be accepted.
#[derive(Debug, Clone)]
pub struct AppraisalPolicy {
    items: PolicyItems,
    digest: Sha256Digest,
}

impl AppraisalPolicy {
    /// Read a policy.
    ///
    /// # Errors
    /// [`PolicyError`] when an item is missing, unknown or senseless.
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        let items: PolicyItems = toml::from_str(text).map_err(PolicyError::Form)?;
        items.require_sensible()?;
        Ok(Self { items, digest: Sha256Digest::of(text.as_bytes()) })
    }

    /// The policy's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.items.name
    }

    /// SHA-256 of the policy's text.
    #[must_use]
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// The items.
    pub(crate) fn items(&self) -> &PolicyItems {
        &self.items
    }
}

/// The items of a policy, as they stand in the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyItems {
    pub(crate) name: String,
    pub(crate) keyset_lifetime_secs_max: u64,
    pub(crate) snp: Platform<SnpItems>,
    /// Parts a set of evidence must have; what is given is always appraised.
    pub(crate) required_parts: Vec<Part>,
    pub(crate) tdx: Platform<TdxItems>,
    pub(crate) azure: Platform<AzureItems>,
    pub(crate) gpu: Platform<GpuItems>,
}

/// A part of a set of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// Evidence of a CPU.
    Cpu,
    /// Evidence of GPUs.
    Gpu,
}

/// What a policy says about one platform: its items, or that its evidence is refused.
#[derive(Debug, Clone)]
pub(crate) enum Platform<T> {
    /// Evidence of this platform is held against these items.
    Items(T),
    /// Evidence of this platform is refused.
    Refused,
}

impl PolicyItems {
    /// Refuse values that look like checks and are none, or that no evidence could meet by accident.
    fn require_sensible(&self) -> Result<(), PolicyError> {
        let bad = |item, problem| Err(PolicyError::Item { item, problem });
        if self.name.is_empty() || self.name.chars().any(char::is_control) {
            return bad("name", "must be a printable, non-empty name");
        }
        if self.keyset_lifetime_secs_max > KEYSET_LIFETIME_SECS_MAX {
            return bad("keyset_lifetime_secs_max", "must be at most 7 days");
        }
        if let Platform::Items(snp) = &self.snp {
            snp.require_sensible()?;
        }
        if let Platform::Items(azure) = &self.azure {
            azure.require_sensible()?;
        }
        if let Platform::Items(tdx) = &self.tdx {
            tdx.require_sensible()?;
        }
        if let Platform::Items(gpu) = &self.gpu {
            gpu.require_sensible()?;
        }
        Ok(())
    }
}
