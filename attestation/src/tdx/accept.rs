//! Is a genuine quote acceptable? Every policy item against the quote, each with its own transcript line.
//!
//! Decides: acceptance, after `verify` has established that the quote is genuine. All items are held against the policy
//! even after one fails, so that the transcript tells the whole story; the first failure is the verdict. Bits: TDX
//! Module ABI, tables "ATTRIBUTES" and "XFAM".

use std::fmt;

use crate::findings::Findings;
use crate::policy::{Allowed, BitRule, HexBytes, Rule};
use crate::tdx::policy::{AttributeItems, CollateralItems, PlatformItems, QuoteItems, TcbItems, TdxItems};
use crate::tdx::verify::Genuine;
use crate::tdx::{TdReport, TdxRejection};
use crate::time::UnixTime;

/// XFAM bits every TD has: x87 and SSE state.
pub(crate) const XFAM_FIXED: u64 = 0b11;

const DEBUG: u64 = 1 << 0;
const SEPT_VE_DISABLE: u64 = 1 << 28;
const MIGRATABLE: u64 = 1 << 29;
const PROTECTION_KEYS: u64 = 1 << 30;
const KEY_LOCKER: u64 = 1 << 31;
const PERFMON: u64 = 1 << 63;
const KNOWN: u64 = DEBUG | SEPT_VE_DISABLE | MIGRATABLE | PROTECTION_KEYS | KEY_LOCKER | PERFMON;

/// Hold a genuine quote against the policy.
pub(crate) fn hold_against(findings: &mut Findings<'_>, items: &TdxItems, genuine: &Genuine, now: UnixTime) {
    let report = &genuine.quote.body;
    let version = genuine.quote.version;
    findings.always(
        "tdx.quote.version",
        member(&items.quote.versions, version, |got| TdxRejection::VersionNotAllowed { got }),
    );
    hold_attributes(findings, &items.attributes, report);
    hold_tcb(findings, &items.tcb, genuine, now);
    hold_collateral(findings, &items.collateral, genuine, now);
    hold_platform(findings, &items.platform, genuine);
    hold_identity(findings, &items.quote, report);
}

fn hold_attributes(findings: &mut Findings<'_>, items: &AttributeItems, report: &TdReport) {
    let attributes = report.td_attributes;
    findings.item("tdx.attributes.debug", &items.debug, |_| {
        if attributes & DEBUG == 0 { Ok("clear".to_owned()) } else { Err(TdxRejection::Debug) }
    });
    findings.item("tdx.attributes.reserved", &items.reserved, |_| match attributes & !KNOWN {
        0 => Ok("clear".to_owned()),
        got => Err(TdxRejection::AttributesReserved { got }),
    });
    let mut bit = |id, rule: &Rule<BitRule>, mask: u64, refuse: fn(&'static str) -> TdxRejection| {
        let set = attributes & mask != 0;
        let got = if set { "set" } else { "clear" };
        findings.item(id, rule, |rule| if rule.allows(set) { Ok(got.to_owned()) } else { Err(refuse(got)) });
    };
    bit("tdx.attributes.sept_ve_disable", &items.sept_ve_disable, SEPT_VE_DISABLE, |got| TdxRejection::SeptVeDisable {
        got,
    });
    bit("tdx.attributes.migratable", &items.migratable, MIGRATABLE, |got| TdxRejection::Migratable { got });
    bit("tdx.attributes.protection_keys", &items.protection_keys, PROTECTION_KEYS, |got| {
        TdxRejection::ProtectionKeys { got }
    });
    bit("tdx.attributes.key_locker", &items.key_locker, KEY_LOCKER, |got| TdxRejection::KeyLocker { got });
    bit("tdx.attributes.perfmon", &items.perfmon, PERFMON, |got| TdxRejection::Perfmon { got });

    let xfam = report.xfam;
    let fixed = if xfam & XFAM_FIXED == XFAM_FIXED {
        Ok(format!("{xfam:#x}"))
    } else {
        Err(TdxRejection::XfamFixed { got: xfam })
    };
    findings.always("tdx.xfam.fixed", fixed);
    findings.item("tdx.xfam.allowed", &items.xfam_allowed, |allowed| match xfam & !allowed {
        0 => Ok(format!("{xfam:#x}")),
        got => Err(TdxRejection::XfamNotAllowed { got }),
    });
}

fn hold_tcb(findings: &mut Findings<'_>, items: &TcbItems, genuine: &Genuine, now: UnixTime) {
    let verdict = &genuine.tcb;
    // Grace counts from the date of the oldest level that applies: nothing was known against that level until then.
    let in_grace = verdict.status.is_out_of_date()
        && items.out_of_date_grace_secs > 0
        && now <= verdict.date.saturating_add(items.out_of_date_grace_secs);
    let status = if items.statuses.contains(&verdict.status) {
        Ok(verdict.status.to_string())
    } else if in_grace {
        Ok(format!("{} within grace, level of {}", verdict.status, verdict.date))
    } else {
        Err(TdxRejection::TcbStatusNotAllowed { got: verdict.status, tcb_date: verdict.date })
    };
    findings.always("tdx.tcb.status", status);
    findings.item("tdx.tcb.advisories", &items.advisories_allowed, |allowed| {
        match verdict.advisories.iter().find(|advisory| !allowed.contains(advisory)) {
            Some(got) => Err(TdxRejection::AdvisoryNotAllowed { got: got.clone() }),
            None => Ok(format!("{} apply", verdict.advisories.len())),
        }
    });
    let got = genuine.evaluation_number;
    findings.item("tdx.tcb.evaluation_number", &items.evaluation_number_min, |minimum| {
        let minimum = *minimum;
        if got >= minimum { Ok(got.to_string()) } else { Err(TdxRejection::EvaluationNumberTooLow { got, minimum }) }
    });
}

fn hold_collateral(findings: &mut Findings<'_>, items: &CollateralItems, genuine: &Genuine, now: UnixTime) {
    findings.item("tdx.collateral.age", &items.max_age_secs, |maximum| {
        genuine.collateral.require_age(now, *maximum).map(|age_secs| format!("{age_secs} seconds"))
    });
    findings.item("tdx.collateral.root_crl_age", &items.root_crl_max_age_secs, |maximum| {
        genuine.collateral.root.crl.require_fresh(now, *maximum).map(|()| "fresh".to_owned())
    });
    findings.item("tdx.collateral.pck_crl_age", &items.pck_crl_max_age_secs, |maximum| {
        genuine.pck.crl.require_fresh(now, *maximum).map(|()| "fresh".to_owned())
    });
}

fn hold_platform(findings: &mut Findings<'_>, items: &PlatformItems, genuine: &Genuine) {
    let pck = &genuine.pck;
    findings.always("tdx.platform.pck_ca", member(&items.pck_cas, pck.ca, |got| TdxRejection::PckCaNotAllowed { got }));
    findings.item("tdx.platform.fmspc", &items.fmspcs, |allowed| {
        hex_member(allowed, &pck.facts.fmspc, |got| TdxRejection::FmspcNotAllowed { got })
    });
    findings.item("tdx.platform.ppid", &items.ppids, |allowed| {
        hex_member(allowed, &pck.facts.ppid, |got| TdxRejection::PpidNotAllowed { got })
    });
    findings.item("tdx.platform.mr_seam", &items.mr_seam, |allowed| {
        hex_member(allowed, &genuine.quote.body.mr_seam, |got| TdxRejection::MrSeam { got })
    });
    let configuration = &pck.facts.configuration;
    let flags = [
        ("tdx.platform.dynamic_platform", "dynamic platform", &items.dynamic_platform, configuration.dynamic_platform),
        ("tdx.platform.cached_keys", "cached keys", &items.cached_keys, configuration.cached_keys),
        ("tdx.platform.smt", "SMT", &items.smt, configuration.smt_enabled),
    ];
    for (id, item, rule, flag) in flags {
        let got = match flag {
            Some(true) => "on",
            Some(false) => "off",
            None => "unknown",
        };
        findings.item(id, rule, |rule| {
            // What the PCK does not say is not what the policy asks for, either way.
            let allowed = flag.is_some_and(|flag| rule.allows(flag));
            if allowed { Ok(got.to_owned()) } else { Err(TdxRejection::PlatformConfiguration { item, got }) }
        });
    }
}

/// What runs in the TD, and who configured it.
fn hold_identity(findings: &mut Findings<'_>, items: &QuoteItems, report: &TdReport) {
    findings.item("tdx.quote.service_td", &items.service_tds, |allowed| match &report.td_1_5 {
        Some(td_1_5) if td_1_5.mr_service_td != [0; 48] => {
            hex_member(allowed, &td_1_5.mr_service_td, |got| TdxRejection::ServiceTd { got })
        }
        Some(_) => Ok("none".to_owned()),
        // Reports of TD 1.0 have no such field; a TD that cannot be migrated has no service TD that could move it.
        None if report.td_attributes & MIGRATABLE == 0 => Ok("not reported; the TD cannot be migrated".to_owned()),
        None => Err(TdxRejection::ServiceTd { got: "not reported".to_owned() }),
    });
    let mut measurement = |id, rule, got: &[u8; 48], refuse: &dyn Fn(String) -> TdxRejection| {
        findings.item(id, rule, |allowed: &Allowed<48>| hex_member(allowed.values(), got, refuse));
    };
    measurement("tdx.quote.mr_td", &items.mr_td, &report.mr_td, &|got| TdxRejection::MrTd { got });
    let ids = ["tdx.quote.rtmr0", "tdx.quote.rtmr1", "tdx.quote.rtmr2", "tdx.quote.rtmr3"];
    let rules = [&items.rtmr0, &items.rtmr1, &items.rtmr2, &items.rtmr3];
    for (index, ((id, rule), rtmr)) in ids.into_iter().zip(rules).zip(&report.rtmrs).enumerate() {
        measurement(id, rule, rtmr, &|got| TdxRejection::Rtmr { index, got });
    }
    measurement("tdx.quote.mr_config_id", &items.mr_config_id, &report.mr_config_id, &|got| TdxRejection::MrConfigId {
        got,
    });
    measurement("tdx.quote.mr_owner", &items.mr_owner, &report.mr_owner, &|got| TdxRejection::MrOwner { got });
    measurement("tdx.quote.mr_owner_config", &items.mr_owner_config, &report.mr_owner_config, &|got| {
        TdxRejection::MrOwnerConfig { got }
    });
}

fn member<T: PartialEq + Copy + fmt::Display>(
    allowed: &[T],
    got: T,
    refuse: impl FnOnce(T) -> TdxRejection,
) -> Result<String, TdxRejection> {
    if allowed.contains(&got) { Ok(got.to_string()) } else { Err(refuse(got)) }
}

fn hex_member<const N: usize>(
    allowed: &[HexBytes<N>],
    got: &[u8; N],
    refuse: impl FnOnce(String) -> TdxRejection,
) -> Result<String, TdxRejection> {
    let text = hex::encode(got);
    if allowed.iter().any(|candidate| candidate.0 == *got) { Ok(text) } else { Err(refuse(text)) }
}
