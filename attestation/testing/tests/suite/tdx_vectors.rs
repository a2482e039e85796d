//! Every TDX vector: captured quotes with captured collateral, really signed synthetic ones, byte edits of a captured
//! one, and what another verifier's own generator made. The verdicts of the strict policy are in `tdx_strict`.

use attestation::tdx::TdQuote;
use attestation::{Rejection, RejectionClass, TrustRoots, UnixTime};
use serde_json::Value;

use crate::support::{CAPTURED_POLICY, code, unix_time, with_item};
use crate::tdx_support::{TdxEntry, appraise_captured, appraise_quote, roots_named, tdx_entries, tdx_entry};

/// The vectors' words for a reason, and ours.
const CODES: &[(&str, &str)] = &[
    ("OK", "ok"),
    // Protection keys are the guest's own business: the captured policy leaves them unchecked.
    ("OK_OR_POLICY", "ok"),
    // Stricter: policies list the advisories they allow, and this one is on no list.
    ("ADVISORY_DENIED", "tdx.advisory"),
    ("CERT_EXPIRED", "chain.expired"),
    ("CHAIN_ROOT_NOT_PINNED", "chain.root_unknown"),
    ("COLLATERAL_EXPIRED", "tdx.collateral_expired"),
    ("COLLATERAL_NOT_YET_VALID", "tdx.collateral_not_yet_valid"),
    ("CRL_EXPIRED", "crl.expired"),
    ("CRL_MISSING", "crl.missing"),
    ("FMSPC_MISMATCH", "tdx.fmspc_mismatch"),
    ("LENGTH", "tdx.length"),
    ("MRCONFIGID_MISMATCH", "tdx.mr_config_id"),
    ("MRTD_MISMATCH", "tdx.mr_td"),
    ("PCK_CA_REVOKED", "crl.revoked"),
    ("PCK_REVOKED", "crl.revoked"),
    ("QE_IDENTITY_SIGNATURE", "tdx.qe_identity_signature"),
    ("QE_ISVPRODID", "tdx.qe_isv_prod_id"),
    ("QE_MRSIGNER", "tdx.qe_mr_signer"),
    ("QE_REPORT_DATA_BINDING", "tdx.qe_report_data"),
    ("QE_REPORT_SIGNATURE", "tdx.qe_report_signature"),
    ("QE_TCB", "tdx.qe_no_level"),
    ("QE_VENDOR", "tdx.qe_vendor"),
    ("QUOTE_SIGNATURE", "tdx.signature"),
    ("REPORT_DATA_MISMATCH", "report_data"),
    ("RTMR_MISMATCH", "tdx.rtmr"),
    ("SEAM_ATTRIBUTES", "tdx.seam_attributes"),
    ("SEPT_VE_DISABLE_CLEAR", "tdx.sept_ve_disable"),
    ("TCB_EVAL_NUMBER", "tdx.evaluation_number_too_low"),
    ("TCB_INFO_SIGNATURE", "tdx.tcb_info_signature"),
    ("TCB_NO_LEVEL", "tdx.tcb_no_level"),
    // The platform's level ignores the module's own bytes; the module's identity has no level for them.
    ("TCB_NO_LEVEL or TDX_MODULE_TCB", "tdx.module_no_level"),
    ("TCB_REVOKED", "tdx.tcb_revoked"),
    ("TDX_MODULE_IDENTITY", "tdx.module_identity"),
    ("TDX_MODULE_SIGNER", "tdx.seam_signer"),
    ("TD_ATTR_RESERVED", "tdx.attributes_reserved"),
    ("TD_DEBUG", "tdx.debug"),
    ("TD_MIGRATABLE", "tdx.migratable"),
    ("TEE_TYPE", "tdx.tee_type"),
    ("VERSION", "tdx.version"),
    ("XFAM", "tdx.xfam_fixed"),
];

/// Our code, and the status where the vector is accepted.
fn expected(entry: &TdxEntry) -> (&'static str, Option<&str>) {
    let word = entry.expected["code"].as_str().unwrap();
    let (word, status) = match word.split_once(' ') {
        Some(("OK", status)) => ("OK", Some(status)),
        _ => (word, None),
    };
    let row = CODES.iter().find(|(theirs, _)| *theirs == word).unwrap_or_else(|| panic!("{word} has no code"));
    (row.1, status)
}

/// The captured policy with SEPT_VE_DISABLE required, as the vectors assume, and what this entry asks for on top.
fn policy_of(entry: &TdxEntry) -> String {
    let mut policy = with_item(CAPTURED_POLICY, "tdx.attributes.sept_ve_disable", "\"required\"");
    for (name, value) in entry.expected["policy"].as_object().into_iter().flatten() {
        let one = format!("[{value}]");
        policy = match name.as_str() {
            "allowed_status" => with_item(&policy, "tdx.tcb.statuses", &value.to_string()),
            "deny_advisories" => with_item(&policy, "tdx.tcb.advisories_allowed", "[]"),
            "min_tcb_eval" => with_item(&policy, "tdx.tcb.evaluation_number_min", &value.to_string()),
            "expected_mrtd" => with_item(&policy, "tdx.quote.mr_td", &one),
            "expected_mrconfigid" => with_item(&policy, "tdx.quote.mr_config_id", &one),
            "expected_rtmr2" => with_item(&policy, "tdx.quote.rtmr2", &one),
            // Not a policy item: the channel decides what REPORT_DATA must be.
            "expected_report_data" => policy,
            other => panic!("unknown policy item {other}"),
        };
    }
    policy
}

fn at(entry: &TdxEntry) -> UnixTime {
    unix_time(entry.expected["at"].as_str().unwrap())
}

fn roots(entry: &TdxEntry) -> TrustRoots {
    roots_named(entry.expected["root"].as_str().unwrap())
}

/// Our code, and the status of an accepted quote.
fn verdict(entry: &TdxEntry) -> (&'static str, Option<String>) {
    let result = appraise_quote(&entry.quote(), &entry.collateral(), &roots(entry), &policy_of(entry), at(entry));
    match (&result, entry.expected["policy"]["expected_report_data"].as_str()) {
        (Ok(claims), Some(wanted)) if hex::encode(claims.report_data()) != wanted => ("report_data", None),
        (Ok(claims), _) => ("ok", Some(claims.status().to_string())),
        (Err(rejection), _) => (rejection.code(), None),
    }
}

fn require_expected(prefix: &str, count: usize) {
    let entries = tdx_entries(prefix);
    assert_eq!(entries.len(), count);
    let mut wrong = Vec::new();
    for entry in &entries {
        let (code, status) = verdict(entry);
        let (expected, expected_status) = expected(entry);
        let same_status = expected_status.is_none() || expected_status == status.as_deref();
        if code != expected || !same_status {
            wrong.push(format!("{}: expected {expected} {expected_status:?}, got {code} {status:?}", entry.id));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_synthetic_tdx_vector_gives_its_code() {
    require_expected("tdx/synthetic/", 41);
}

#[test]
fn every_edited_tdx_vector_gives_its_code() {
    require_expected("tdx/negative/", 20);
}

/// The twins of every accepted vector: one bit of the signed part turned, and one bit of a signed statement.
#[test]
fn accepted_tdx_vectors_do_not_survive_a_bit_flip() {
    let entries = tdx_entries("tdx/synthetic/").into_iter().chain(tdx_entries("tdx/negative/"));
    let accepted: Vec<TdxEntry> = entries.filter(|entry| expected(entry).0 == "ok").collect();
    assert_eq!(accepted.len(), 12);
    for entry in accepted {
        let mut quote = entry.quote();
        quote[48 + 200] ^= 0x10;
        let result = appraise_quote(&quote, &entry.collateral(), &roots(&entry), &policy_of(&entry), at(&entry));
        assert_eq!(code(&result), "tdx.signature", "{}", entry.id);
    }
}

#[test]
fn an_advisory_no_one_denies_is_accepted() {
    let entry = tdx_entry("tdx/synthetic/advisory-denied");
    let policy = with_item(&policy_of(&entry), "tdx.tcb.advisories_allowed", "[\"INTEL-SA-00615\"]");
    let claims = appraise_quote(&entry.quote(), &entry.collateral(), &roots(&entry), &policy, at(&entry)).unwrap();
    assert_eq!(claims.advisories(), ["INTEL-SA-00615"]);
}

/// Quotes another verifier's generator made. Those of SGX are not ours; those of TDX put QE and PCE versions where
/// version 4 has reserved zeros, and certification data of type 5 where only type 6 stands in captured quotes: they are
/// refused before what they were made for, so our own faults (`tdx_faults`) stand in for each of them.
#[test]
fn quotes_of_another_generator_are_unsupported_or_malformed() {
    const TDX: [&str; 5] = [
        "tdx_component_svn_mismatch",
        "tdx_debug_enabled",
        "tdx_missing_components",
        "tdx_qe_identity_id_mismatch",
        "tdx_reserved_bits_set",
    ];
    let collateral = tdx_entry("tdx/negative/control-ok").collateral();
    let entries = tdx_entries("tdx/dcap-qvl-synthetic/");
    assert_eq!(entries.len(), 32);
    for entry in entries {
        let result = appraise_captured(&entry.quote(), &collateral, UnixTime(1_751_624_191));
        let (code, class) = (code(&result), result.as_ref().err().map(Rejection::class));
        if TDX.contains(&entry.name()) {
            assert_eq!(code, "tdx.reserved_not_zero", "{}", entry.id);
            let mut quote = entry.quote();
            quote[8..12].fill(0);
            let code = crate::support::code(&appraise_captured(&quote, &collateral, UnixTime(1_751_624_191)));
            assert_eq!(code, "tdx.certification_data_type", "{}", entry.id);
        } else if entry.name() == "truncated_quote" {
            assert_eq!(class, Some(RejectionClass::Malformed), "{}", entry.id);
        } else {
            assert_eq!(class, Some(RejectionClass::Unsupported), "{}", entry.id);
        }
    }
}

/// Captured quotes whose verdict under the captured policy is not the other verifier's with debug allowed.
const REAL_DIFFERENCES: &[(&str, &str, &str)] = &[
    // It was run with debug allowed; we never are.
    ("v4-spr-50806f-debug", "OK", "tdx.debug"),
    // It requires SEPT_VE_DISABLE of everyone; the captured policy leaves it to the paravisor.
    ("v4-spr-50806f-azure-openenclave", "SEPT_VE_DISABLE is not enabled", "ok"),
    ("v4-spr-azure-td-partitioning", "SEPT_VE_DISABLE is not enabled", "ok"),
];

fn real_expected(name: &str, theirs: &Value) -> &'static str {
    let said = theirs["reason"].as_str().unwrap_or("OK");
    let different = REAL_DIFFERENCES.iter().find(|(other, reason, _)| *other == name && *reason == said);
    match (different, said) {
        (Some((_, _, ours)), _) => ours,
        (None, "OK") => "ok",
        (None, "No matching TCB level found") => "tdx.tcb_no_level",
        (None, other) => panic!("{name}: {other}"),
    }
}

#[test]
fn every_captured_quote_has_the_status_and_advisories_another_verifier_found() {
    let mut points = 0;
    for entry in tdx_entries("tdx/real/") {
        for row in entry.rows() {
            points += 1;
            let (quote, collateral, at) = (entry.quote(), row.collateral(), UnixTime(row.at));
            let result = appraise_captured(&quote, &collateral, at);
            let context = format!("{} at {}", entry.id, row.at);
            assert_eq!(code(&result), real_expected(entry.name(), &row.theirs), "{context}");
            // With debug accepted, the debug TD has a status like any other.
            let debug_policy = with_item(CAPTURED_POLICY, "tdx.attributes.debug", "\"unchecked\"");
            let claims = appraise_quote(&quote, &collateral, &TrustRoots::vendor(), &debug_policy, at);
            if let (Ok(claims), Some(status)) = (claims, row.theirs["tcb_status"].as_str()) {
                assert_eq!(claims.status().to_string(), status, "{context}");
                assert_eq!(Value::from(claims.advisories().to_vec()), row.theirs["advisories"], "{context}");
                assert_eq!(hex::encode(claims.fmspc()), entry.pck["fmspc"].as_str().unwrap(), "{context}");
                let mut svns: Vec<u16> = claims.pck().components.map(u16::from).to_vec();
                svns.push(claims.pck().pce_svn);
                assert_eq!(Value::from(svns), entry.pck["cpusvn_pcesvn"], "{context}");
            }
        }
    }
    assert_eq!(points, 62);
}

#[test]
fn a_quote_under_a_stranger_s_keys_is_refused() {
    let entry = tdx_entry("tdx/real/v4-intel-sample-debug-pki");
    let collateral = tdx_entry("tdx/negative/control-ok").collateral();
    let result = appraise_captured(&entry.quote(), &collateral, UnixTime(1_751_624_191));
    assert_eq!(code(&result), "chain.malformed");
    // The same collateral and time accept the quote they are for.
    let control = tdx_entry("tdx/negative/control-ok");
    appraise_captured(&control.quote(), &collateral, UnixTime(1_751_624_191)).unwrap();
}

#[test]
fn captured_quotes_are_genuine_inside_their_window_only() {
    const LATE: [&str; 3] = ["tdx.collateral_expired", "crl.expired", "chain.expired"];
    const EARLY: [&str; 3] = ["tdx.collateral_not_yet_valid", "crl.not_yet_valid", "chain.not_yet_valid"];
    for entry in tdx_entries("tdx/real/") {
        for row in entry.rows() {
            let verdict = |at| code(&appraise_captured(&entry.quote(), &row.collateral(), at));
            let inside = verdict(UnixTime(row.at));
            let [from, to] = row.window.each_ref().map(|text| unix_time(text));
            assert_eq!(verdict(to), inside, "{} {}", entry.id, row.at);
            assert!(LATE.contains(&verdict(UnixTime(to.0 + 1))), "{} {}", entry.id, row.at);
            // Windows that begin at midnight are rounded to the day.
            if from.0 % 86_400 != 0 {
                assert_eq!(verdict(from), inside, "{} {}", entry.id, row.at);
                assert!(EARLY.contains(&verdict(UnixTime(from.0 - 1))), "{} {}", entry.id, row.at);
            }
        }
    }
}

#[test]
fn captured_quotes_parse_to_the_fields_an_independent_parser_read() {
    for entry in tdx_entries("tdx/real/") {
        let (quote, fields) = (TdQuote::parse(&entry.quote()).unwrap(), &entry.fields);
        let text = |name: &str| fields[name].as_str().unwrap().to_owned();
        let body = &quote.body;
        assert_eq!(Value::from(quote.version), fields["version"], "{}", entry.id);
        assert_eq!(fields["body_type"] == 3, body.td_1_5.is_some(), "{}", entry.id);
        for (name, got) in [
            ("tee_tcb_svn", hex::encode(body.tee_tcb_svn)),
            ("mr_seam", hex::encode(body.mr_seam)),
            ("td_attributes", hex::encode(body.td_attributes.to_le_bytes())),
            ("xfam", hex::encode(body.xfam.to_le_bytes())),
            ("mr_td", hex::encode(body.mr_td)),
            ("mr_config_id", hex::encode(body.mr_config_id)),
            ("mr_owner", hex::encode(body.mr_owner)),
            ("mr_owner_config", hex::encode(body.mr_owner_config)),
            ("report_data", hex::encode(body.report_data)),
        ] {
            assert_eq!(got, text(name), "{} {name}", entry.id);
        }
        let rtmrs: Vec<String> = body.rtmrs.iter().map(hex::encode).collect();
        assert_eq!(Value::from(rtmrs), fields["rtmr"], "{}", entry.id);
    }
}
