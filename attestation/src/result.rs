//! The result of an appraisal, as a relying party reads it: claims, each with where it comes from (RFC 9334 §8.4).
//!
//! Decides: nothing; the appraisal did. Fields are private: only an appraisal that succeeded makes a result.

use serde::Serialize;
use serde_json::Value;

use crate::digest::Sha256Digest;
use crate::policy::AppraisalPolicy;
use crate::roots::{AssuranceClass, TrustRoots};
use crate::time::UnixTime;

/// Why a claim may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimSource {
    /// Hardware measured or set it, and signed it.
    HardwareProven,
    /// The verifier concluded it from signed evidence and endorsements.
    Derived,
    /// Hardware signed that somebody said so: the host, the launcher or the guest itself.
    Asserted,
}

/// One claim about the attester.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// Stable name, prefixed by its platform.
    pub name: &'static str,
    /// Its value: a string (hex for bytes), a number, a truth value, or a list of these.
    pub value: Value,
    /// Why it may be believed.
    pub source: ClaimSource,
}

impl Claim {
    /// A claim of the hardware's own.
    pub(crate) fn proven(name: &'static str, value: impl Into<Value>) -> Self {
        Self { name, value: value.into(), source: ClaimSource::HardwareProven }
    }

    /// A conclusion.
    pub(crate) fn derived(name: &'static str, value: impl Into<Value>) -> Self {
        Self { name, value: value.into(), source: ClaimSource::Derived }
    }

    /// A statement hardware passed on.
    pub(crate) fn asserted(name: &'static str, value: impl Into<Value>) -> Self {
        Self { name, value: value.into(), source: ClaimSource::Asserted }
    }
}

/// Evidence that was accepted: what it says, under which policy, and what was left unchecked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttestationResult {
    assurance: AssuranceClass,
    appraised_at: UnixTime,
    policy: String,
    policy_digest: Sha256Digest,
    claims: Vec<Claim>,
    unchecked: Vec<&'static str>,
}

impl AttestationResult {
    /// Nothing claimed yet, under these roots and this policy.
    pub(crate) fn new(roots: &TrustRoots, policy: &AppraisalPolicy, now: UnixTime) -> Self {
        Self {
            assurance: roots.assurance(),
            appraised_at: now,
            policy: policy.name().to_owned(),
            policy_digest: policy.digest(),
            claims: Vec::new(),
            unchecked: Vec::new(),
        }
    }

    /// Add what one platform's appraisal established.
    pub(crate) fn add(&mut self, claims: Vec<Claim>, unchecked: &[&'static str]) {
        self.claims.extend(claims);
        self.unchecked.extend_from_slice(unchecked);
    }

    /// What the verdict is worth.
    #[must_use]
    pub fn assurance(&self) -> AssuranceClass {
        self.assurance
    }

    /// The time dates were judged at.
    #[must_use]
    pub fn appraised_at(&self) -> UnixTime {
        self.appraised_at
    }

    /// Name of the policy applied.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// SHA-256 of the policy's text.
    #[must_use]
    pub fn policy_digest(&self) -> Sha256Digest {
        self.policy_digest
    }

    /// The claims, CPU first.
    #[must_use]
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// The claim called `name`.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.name == name)
    }

    /// Policy items that were not checked.
    #[must_use]
    pub fn unchecked(&self) -> &[&'static str] {
        &self.unchecked
    }
}
