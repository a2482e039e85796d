//! The policy items of TDX evidence: the tables `[tdx.*]`.
//!
//! Decides: the form of each item. What an item means for a quote is decided in [`super::accept`].

use serde::Deserialize;

use crate::policy::{Allowed, BitRule, Forbidden, HexBytes, MAX_AGE_SECS_MAX, PolicyError, Rule};
use crate::tdx::{PckCa, TcbStatus};

/// Everything a policy says about TDX evidence.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TdxItems {
    pub(crate) quote: QuoteItems,
    pub(crate) attributes: AttributeItems,
    pub(crate) platform: PlatformItems,
    pub(crate) tcb: TcbItems,
    pub(crate) collateral: CollateralItems,
}

/// Allowed measurements.
pub(crate) type Measurements = Rule<Allowed<48>>;

/// What the quote must say about itself and what runs in the TD.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuoteItems {
    pub(crate) versions: Vec<u16>,
    pub(crate) mr_td: Measurements,
    pub(crate) rtmr0: Measurements,
    pub(crate) rtmr1: Measurements,
    pub(crate) rtmr2: Measurements,
    pub(crate) rtmr3: Measurements,
    pub(crate) mr_config_id: Measurements,
    pub(crate) mr_owner: Measurements,
    pub(crate) mr_owner_config: Measurements,
    /// Service TDs that may be bound, by MR_SERVICETD; none bound is always accepted.
    pub(crate) service_tds: Rule<Vec<HexBytes<48>>>,
}

/// Bits of ATTRIBUTES and XFAM (TDX Module ABI, TD_PARAMS).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttributeItems {
    pub(crate) debug: Rule<Forbidden>,
    /// Every bit without an item of its own.
    pub(crate) reserved: Rule<Forbidden>,
    pub(crate) sept_ve_disable: Rule<BitRule>,
    pub(crate) migratable: Rule<BitRule>,
    pub(crate) protection_keys: Rule<BitRule>,
    pub(crate) key_locker: Rule<BitRule>,
    pub(crate) perfmon: Rule<BitRule>,
    /// XFAM bits a TD may have.
    pub(crate) xfam_allowed: Rule<u64>,
}

/// Which machines, and what runs below the TD.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlatformItems {
    pub(crate) pck_cas: Vec<PckCa>,
    pub(crate) fmspcs: Rule<Vec<HexBytes<6>>>,
    /// Machines, by PPID.
    pub(crate) ppids: Rule<Vec<HexBytes<16>>>,
    pub(crate) mr_seam: Rule<Vec<HexBytes<48>>>,
    pub(crate) dynamic_platform: Rule<BitRule>,
    pub(crate) cached_keys: Rule<BitRule>,
    pub(crate) smt: Rule<BitRule>,
}

/// What the TCB must be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TcbItems {
    pub(crate) statuses: Vec<TcbStatus>,
    /// How long after the date of its level an out-of-date TCB is still accepted; 0 is not at all.
    pub(crate) out_of_date_grace_secs: u64,
    /// Advisories that may apply.
    pub(crate) advisories_allowed: Rule<Vec<String>>,
    pub(crate) evaluation_number_min: Rule<u32>,
}

/// How old collateral may be. Its own end dates are always enforced.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CollateralItems {
    pub(crate) max_age_secs: Rule<u64>,
    pub(crate) root_crl_max_age_secs: Rule<u64>,
    pub(crate) pck_crl_max_age_secs: Rule<u64>,
}

impl TdxItems {
    /// Refuse values that look like checks and are none, or that no evidence could meet by accident.
    pub(crate) fn require_sensible(&self) -> Result<(), PolicyError> {
        let bad = |item, problem| Err(PolicyError::Item { item, problem });
        let quote = &self.quote;
        let others = [&quote.rtmr0, &quote.rtmr3, &quote.mr_config_id, &quote.mr_owner, &quote.mr_owner_config];
        if others.iter().any(|rule| matches!(rule, Rule::Check(allowed) if allowed.is_from_reference_values())) {
            return bad("tdx.quote", "reference values say mr_td, rtmr1 and rtmr2, and no other register");
        }
        if matches!(self.tcb.evaluation_number_min, Rule::Check(0)) {
            return bad("tdx.tcb.evaluation_number_min", "0 requires nothing; write \"unchecked\"");
        }
        if matches!(&self.platform.ppids, Rule::Check(ids) if ids.iter().any(|id| id.0 == [0; 16])) {
            return bad("tdx.platform.ppids", "zeros name no machine");
        }
        let ages = &self.collateral;
        for rule in [&ages.max_age_secs, &ages.root_crl_max_age_secs, &ages.pck_crl_max_age_secs] {
            if matches!(rule, Rule::Check(age) if *age > MAX_AGE_SECS_MAX) {
                return bad("tdx.collateral", "an age of more than ten years requires nothing; write \"unchecked\"");
            }
        }
        if self.tcb.statuses.contains(&TcbStatus::Revoked) {
            return bad("tdx.tcb.statuses", "a revoked TCB is never accepted");
        }
        if let Rule::Check(mask) = &self.attributes.xfam_allowed
            && mask & super::accept::XFAM_FIXED != super::accept::XFAM_FIXED
        {
            return bad("tdx.attributes.xfam_allowed", "bits 0 and 1 are always set, so they must be allowed");
        }
        Ok(())
    }
}
