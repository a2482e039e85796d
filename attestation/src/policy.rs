//! The appraisal policy: what is acceptable, beyond being genuine.
//!
//! Decides: nothing by default. Every item must be present in the file; an item that shall not be checked says
//! `"unchecked"`, and every verdict then lists it. REPORT_DATA is not a policy item: only the live channel can say
//! what it must be ([`crate::appraise::Appraisal::bind_channel`]).

mod reference;
mod rule;

use serde::Deserialize;

pub(crate) use reference::{Allowed, ReferenceItems};
pub(crate) use rule::{BitRule, Forbidden, HexBytes, Required, Rule};

use crate::azure::AzureItems;
use crate::digest::Sha256Digest;
use crate::gpu::GpuItems;
use crate::keyset::KEYSET_LIFETIME_SECS_MAX;
use crate::lp::Lp;
use crate::reference::{ReferenceRejection, ReferenceValues, VerifiedReferenceValues};
use crate::snp::policy::SnpItems;
use crate::tdx::TdxItems;
use crate::time::UnixTime;
use crate::transcript::Transcript;

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

/// [`STRICT_POLICY`] with measurements taken from signed reference values. As shipped it trusts no signer: name the key of
/// whose releases you accept.
pub const RELEASE_POLICY: &str = include_str!("../policies/release.toml");

/// The longest age a policy may allow, ten years: more than that no list or statement reaches.
pub(crate) const MAX_AGE_SECS_MAX: u64 = 10 * 366 * 24 * 3600;

/// What evidence must be like to be accepted.
#[derive(Debug, Clone)]
pub struct AppraisalPolicy {
    items: PolicyItems,
    digest: Sha256Digest,
    reference_values: Vec<VerifiedReferenceValues>,
}

impl AppraisalPolicy {
    /// Read a policy.
    ///
    /// # Errors
    /// [`PolicyError`] when an item is missing, unknown or senseless.
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        let items: PolicyItems = toml::from_str(text).map_err(PolicyError::Form)?;
        items.require_sensible()?;
        Ok(Self { items, digest: Sha256Digest::of(text.as_bytes()), reference_values: Vec::new() })
    }

    /// The policy, with the items it leaves to reference values filled from these. Several may be given, one after the
    /// other: what any of them says is allowed.
    ///
    /// # Errors
    /// See [`ReferenceRejection`].
    pub fn with_reference_values(mut self, corim: &[u8], now: UnixTime) -> Result<Self, ReferenceRejection> {
        let rules = self.items.reference_values.as_ref().ok_or(ReferenceRejection::Unused)?;
        let verified = ReferenceValues::verify(corim, &rules.signers, now)?;
        rules.accept(verified.values())?;
        self.items.fill(verified.values());
        self.reference_values.push(verified);
        let both = Lp::new(FILLED_DIGEST_LABEL).bytes(&self.digest.0).bytes(&Sha256Digest::of(corim).0);
        self.digest = Sha256Digest::of(&both.finish());
        Ok(self)
    }

    /// The reference values given.
    #[must_use]
    pub fn reference_values(&self) -> &[VerifiedReferenceValues] {
        &self.reference_values
    }

    /// Whether some item is left to reference values.
    #[must_use]
    pub fn needs_reference_values(&self) -> bool {
        self.items.left_to_reference_values().is_some()
    }

    /// Whether the policy has the reference values it needs, and they hold.
    ///
    /// # Errors
    /// `reference.missing`, `reference.not_yet_valid`, `reference.expired`.
    pub fn require_reference_values(&self, now: UnixTime) -> Result<(), ReferenceRejection> {
        match self.items.left_to_reference_values() {
            Some(item) if self.reference_values.is_empty() => Err(ReferenceRejection::Missing { item }),
            _ => self.reference_values.iter().try_for_each(|verified| verified.values().require_valid(now)),
        }
    }

    /// The first lines of every verdict: whose word the measurements are.
    pub(crate) fn check_reference_values(
        &self,
        now: UnixTime,
        transcript: &mut Transcript,
    ) -> Result<(), ReferenceRejection> {
        const CHECK: &str = "policy.reference_values";
        if let Err(refused) = self.require_reference_values(now) {
            return transcript.check(CHECK, Err(refused), |()| String::new());
        }
        self.reference_values.iter().for_each(|verified| transcript.pass(CHECK, verified.to_string()));
        Ok(())
    }

    /// The policy's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.items.name
    }

    /// SHA-256 of the policy's text; with reference values, of that digest and theirs.
    #[must_use]
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// The items.
    pub(crate) fn items(&self) -> &PolicyItems {
        &self.items
    }
}

/// What the digest of a policy with reference values begins with.
const FILLED_DIGEST_LABEL: &str = "cloister/policy-with-reference-values/v1";

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
    /// There exactly when some item is left to reference values.
    pub(crate) reference_values: Option<ReferenceItems>,
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
        match (self.left_to_reference_values(), &self.reference_values) {
            (Some(_), None) => bad("reference_values", "an item is left to reference values, so say whose"),
            (None, Some(_)) => bad("reference_values", "no item is left to reference values"),
            _ => Ok(()),
        }
    }

    /// The first item left to reference values.
    fn left_to_reference_values(&self) -> Option<&'static str> {
        let mut items = Vec::new();
        if let Platform::Items(snp) = &self.snp {
            items.push(("snp.report.launch_digests", &snp.report.launch_digests));
        }
        if let Platform::Items(tdx) = &self.tdx {
            let quote = &tdx.quote;
            items.push(("tdx.quote.mr_td", &quote.mr_td));
            items.push(("tdx.quote.rtmr1", &quote.rtmr1));
            items.push(("tdx.quote.rtmr2", &quote.rtmr2));
        }
        let left =
            |rule: &Rule<Allowed<48>>| matches!(rule, Rule::Check(allowed) if allowed.is_from_reference_values());
        items.into_iter().find(|(_, rule)| left(rule)).map(|(item, _)| item)
    }

    fn fill(&mut self, values: &ReferenceValues) {
        let fill = |rule: &mut Rule<Allowed<48>>, values: &[[u8; 48]]| {
            if let Rule::Check(allowed) = rule {
                allowed.fill(values.iter().copied());
            }
        };
        if let Platform::Items(snp) = &mut self.snp {
            let digests: Vec<_> = values.snp.iter().map(|launch| launch.launch_digest.0).collect();
            fill(&mut snp.report.launch_digests, &digests);
        }
        if let (Platform::Items(tdx), Some(registers)) = (&mut self.tdx, &values.tdx) {
            fill(&mut tdx.quote.mr_td, &[registers.mrtd_single_pass.0, registers.mrtd_two_pass.0]);
            fill(&mut tdx.quote.rtmr1, &[registers.rtmr1.0]);
            fill(&mut tdx.quote.rtmr2, &[registers.rtmr2.0]);
        }
    }
}
