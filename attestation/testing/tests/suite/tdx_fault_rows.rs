//! The rows of the TDX fault table.

use attestation::UnixTime;
use attestation::tdx::COLLATERAL_BYTES_MAX;
use attestation_testing::SubjectKey;
use attestation_testing::tdx::{ClaimedAlgorithm, FakePlatform, FakeTdx, Holder};
use serde_json::{Value, json};

use crate::tdx_faults::Row;
use crate::tdx_faults::Spoil::{Collateral, Fake, Policy, PolicyAndFake, Quote, Td15, Text};

/// 2024-01-01, before the accepted case; and a time after it.
const PAST: UnixTime = UnixTime(1_704_067_200);
const SOON: UnixTime = UnixTime(1_798_761_600);
/// Where REPORT_DATA, the quote signature and the attestation key are in a version 4 quote.
const REPORT_DATA: usize = 48 + 520;
const SIGNATURE: usize = 48 + 584 + 4;
const ATTESTATION_KEY: usize = SIGNATURE + 64;
const QE_REPORT: usize = ATTESTATION_KEY + 64 + 6;

pub(crate) fn quote() -> Vec<Row> {
    vec![
        ("tdx.length", Quote(Vec::clear)),
        ("tdx.length", Quote(|quote| quote.push(0))),
        ("tdx.length", Quote(|quote| quote.truncate(400))),
        ("tdx.length", Quote(|quote| quote.truncate(quote.len() - 1))),
        ("tdx.length", Quote(|quote| quote.resize(tdx_quote_limit() + 1, 0))),
        ("tdx.length", Quote(|quote| quote[SIGNATURE - 4] ^= 1)),
        ("tdx.length", Quote(|quote| quote[SIGNATURE - 1] ^= 0x80)),
        ("tdx.length", Quote(|quote| quote[QE_REPORT - 4] ^= 1)),
        ("tdx.length", Quote(|quote| quote[QE_REPORT + 448] ^= 1)),
        // The body of TD 1.0 with the type of TD 1.5, and the other way round.
        ("tdx.length", Td15(|fake| fake.body_type = Some(2))),
        (
            "tdx.length",
            Td15(|fake| {
                fake.body.td_1_5 = None;
                fake.body_type = Some(3);
            }),
        ),
        ("tdx.version", Fake(|fake| fake.version = 3)),
        ("tdx.version", Td15(|fake| fake.version = 6)),
        ("tdx.tee_type", Fake(|fake| fake.tee_type = 0)),
        ("tdx.attestation_key_type", Fake(|fake| fake.key_type = 3)),
        ("tdx.body_type", Td15(|fake| fake.body_type = Some(1))),
        ("tdx.body_type", Td15(|fake| fake.body_type = Some(4))),
        ("tdx.qe_vendor", Fake(|fake| fake.qe_vendor[15] ^= 1)),
        ("tdx.reserved_not_zero", Fake(|fake| fake.reserved = [0, 0, 0, 1])),
        ("tdx.certification_data_type", Fake(|fake| fake.certification_types.0 = 5)),
        ("tdx.certification_data_type", Fake(|fake| fake.certification_types.1 = 3)),
        ("tdx.signature", Quote(|quote| quote[REPORT_DATA] ^= 1)),
        ("tdx.signature", Quote(|quote| quote[SIGNATURE] ^= 1)),
        ("tdx.signature", Quote(|quote| quote[SIGNATURE..ATTESTATION_KEY].fill(0))),
        ("tdx.qe_report_signature", Fake(|fake| fake.qe_report_signed_by = Holder::Stranger)),
        ("tdx.qe_report_signature", Fake(|fake| fake.qe_report_signed_by = Holder::Ca)),
        ("tdx.qe_report_signature", Quote(|quote| quote[QE_REPORT + 20] ^= 1)),
        ("tdx.qe_report_signature", Quote(|quote| quote[QE_REPORT + 384] ^= 1)),
        ("tdx.qe_report_data", Fake(|fake| fake.keep_qe_report_data = true)),
        // The digest is right, but something stands behind it.
        (
            "tdx.qe_report_data",
            Fake(|fake| {
                fake.keep_qe_report_data = true;
                fake.qe_report.report_data = fake.qe_binding();
                fake.qe_report.report_data[63] = 1;
            }),
        ),
        ("tdx.qe_report_data", Quote(|quote| quote[ATTESTATION_KEY] ^= 1)),
        ("tdx.qe_report_data", Quote(|quote| quote[QE_REPORT + 450] ^= 1)),
    ]
}

fn tdx_quote_limit() -> usize {
    attestation::tdx::QUOTE_BYTES_MAX
}

/// Change the text of a signed statement without signing it again.
fn edit(json: &mut Value, member: &str, from: &str, to: &str) {
    let text = json[member].as_str().unwrap();
    assert!(text.contains(from));
    json[member] = text.replacen(from, to, 1).into();
}

fn remove(value: &mut Value, member: &str) {
    value.as_object_mut().unwrap().remove(member).unwrap();
}

pub(crate) fn collateral() -> Vec<Row> {
    let mut rows: Vec<Row> = vec![
        ("tdx.collateral_too_large", Text(|text| text + &" ".repeat(COLLATERAL_BYTES_MAX))),
        ("tdx.collateral_malformed", Text(|text| text + "{}")),
        ("tdx.collateral_malformed", Text(|text| text.replacen('{', "{\"pck_crl\":\"\",", 1))),
        ("tdx.collateral_malformed", Collateral(|json| json["extra"] = json!(""))),
        ("tdx.collateral_malformed", Collateral(|json| remove(json, "pck_crl_issuer_chain"))),
        ("tdx.collateral_malformed", Collateral(|json| json["pck_crl"] = json!("0"))),
        ("tdx.collateral_malformed", Collateral(|json| json["tcb_info_signature"] = json!("00"))),
        ("tdx.collateral_malformed", Collateral(|json| json["qe_identity"] = json!({}))),
        ("tdx.tcb_info_signature", Collateral(|json| edit(json, "tcb_info", "OutOfDate", "UpToDate"))),
        // White space means nothing in JSON, but the signature is over the text.
        ("tdx.tcb_info_signature", Collateral(|json| edit(json, "tcb_info", "{", "{ "))),
        ("tdx.tcb_info_signature", Fake(|fake| fake.statements_signed_by = Holder::Stranger)),
        ("tdx.tcb_info_signature", Fake(|fake| fake.statements_signed_by = Holder::Pck)),
        ("tdx.qe_identity_signature", Collateral(|json| edit(json, "qe_identity", "OutOfDate", "UpToDate"))),
        ("tdx.collateral_not_yet_valid", Fake(|fake| fake.tcb_info["issueDate"] = json!("2026-06-01T00:00:01Z"))),
        ("tdx.collateral_not_yet_valid", Fake(|fake| fake.qe_identity["issueDate"] = json!("2026-06-01T00:00:01Z"))),
        ("tdx.collateral_expired", Fake(|fake| fake.tcb_info["nextUpdate"] = json!("2026-05-31T23:59:59Z"))),
        ("tdx.collateral_expired", Fake(|fake| fake.qe_identity["nextUpdate"] = json!("2026-05-31T23:59:59Z"))),
        ("tdx.collateral_too_old", Policy("tdx.collateral.max_age_secs", "86399")),
        ("tdx.collateral_too_old", Fake(|fake| fake.qe_identity["issueDate"] = json!("2026-04-01T00:00:00Z"))),
        ("tdx.evaluation_number_mixed", Fake(|fake| fake.qe_identity["tcbEvaluationDataNumber"] = json!(20))),
        ("tdx.evaluation_number_mixed", Fake(|fake| fake.tcb_info["tcbEvaluationDataNumber"] = json!(22))),
        ("tdx.evaluation_number_too_low", Policy("tdx.tcb.evaluation_number_min", "22")),
        ("tdx.fmspc_mismatch", Fake(|fake| fake.tcb_info["fmspc"] = json!("90C06F000001"))),
        ("tdx.pce_id_mismatch", Fake(|fake| fake.tcb_info["pceId"] = json!("0001"))),
    ];
    rows.extend(statements());
    rows
}

/// Signed statements that are not what they should be.
fn statements() -> Vec<Row> {
    vec![
        ("tdx.tcb_info_kind", Fake(|fake| fake.tcb_info["id"] = json!("SGX"))),
        ("tdx.tcb_info_kind", Fake(|fake| fake.tcb_info["version"] = json!(2))),
        ("tdx.tcb_info_kind", Fake(|fake| fake.tcb_info["tcbType"] = json!(1))),
        ("tdx.qe_identity_kind", Fake(|fake| fake.qe_identity["id"] = json!("QE"))),
        ("tdx.qe_identity_kind", Fake(|fake| fake.qe_identity["version"] = json!(3))),
        ("tdx.tcb_info_malformed", Fake(|fake| fake.tcb_info = json!("TDX"))),
        ("tdx.tcb_info_malformed", Fake(|fake| remove(&mut fake.tcb_info, "tdxModule"))),
        ("tdx.tcb_info_malformed", Fake(|fake| remove(&mut fake.tcb_info["tcbLevels"][0]["tcb"], "tdxtcbcomponents"))),
        (
            "tdx.tcb_info_malformed",
            Fake(|fake| {
                fake.tcb_info["tcbLevels"][2]["tcb"]["sgxtcbcomponents"].as_array_mut().unwrap().pop();
            }),
        ),
        (
            "tdx.tcb_info_malformed",
            Fake(|fake| fake.tcb_info["tcbLevels"][0]["tcb"]["sgxtcbcomponents"][0]["svn"] = json!("3")),
        ),
        (
            "tdx.tcb_info_malformed",
            Fake(|fake| fake.tcb_info["tcbLevels"][0]["tcb"]["sgxtcbcomponents"][0]["svn"] = json!(256)),
        ),
        ("tdx.tcb_info_malformed", Fake(|fake| fake.tcb_info["fmspc"] = json!("90C06F0000"))),
        ("tdx.tcb_info_malformed", Fake(|fake| fake.tcb_info["issueDate"] = json!("2026-05-31"))),
        ("tdx.tcb_info_malformed", Fake(|fake| fake.tcb_info["nextUpdate"] = json!("2026-06-31T00:00:00Z"))),
        ("tdx.tcb_info_malformed", Fake(|fake| fake.tcb_info["tcbLevels"][0]["tcbStatus"] = json!("Fine"))),
        // A conclusion, never a statement.
        (
            "tdx.tcb_info_malformed",
            Fake(|fake| fake.tcb_info["tcbLevels"][0]["tcbStatus"] = json!("TDRelaunchAdvised")),
        ),
        ("tdx.qe_identity_malformed", Fake(|fake| fake.qe_identity = json!([]))),
        ("tdx.qe_identity_malformed", Fake(|fake| remove(&mut fake.qe_identity, "attributesMask"))),
        ("tdx.qe_identity_malformed", Fake(|fake| fake.qe_identity["isvprodid"] = json!(-2))),
        ("tdx.qe_identity_malformed", Fake(|fake| fake.qe_identity["mrsigner"] = json!("6".repeat(63)))),
    ]
}

fn as_processor(fake: &mut FakeTdx) {
    fake.ca.common_name = "SIMULATED SGX PCK Processor CA".to_owned();
    platform_of(fake).instance = None;
}

fn platform_of(fake: &mut FakeTdx) -> &mut FakePlatform {
    fake.platform.as_mut().unwrap()
}

pub(crate) fn chains() -> Vec<Row> {
    let mut rows: Vec<Row> = vec![
        ("chain.malformed", Fake(|fake| fake.pck_chain.clear())),
        ("chain.malformed", Collateral(|json| json["tcb_info_issuer_chain"] = json!("certificates"))),
        ("chain.malformed", Collateral(|json| json["qe_identity_issuer_chain"] = json!(""))),
        ("chain.malformed", Collateral(|json| json["root_ca_crl"] = json!("3000"))),
        ("chain.malformed", Collateral(|json| json["pck_crl"] = json!("00"))),
        // What stands behind an entry that cannot be read must not be lost.
        (
            "chain.malformed",
            Fake(|fake| {
                revoke(fake, Holder::Pck);
                fake.pck_crl.as_mut().unwrap().unreadable_entry = true;
            }),
        ),
        ("chain.length", Fake(|fake| fake.pck_chain = vec![Holder::Pck, Holder::Ca])),
        ("chain.length", Fake(|fake| fake.pck_chain.push(Holder::Root))),
        ("chain.length", Fake(|fake| fake.signer_chain = vec![Holder::TcbSigner])),
        // A PCK chains to the root too, but nothing the root did not issue itself may sign statements.
        ("chain.length", Fake(|fake| fake.signer_chain = vec![Holder::Pck, Holder::Ca, Holder::Root])),
        ("chain.root_unknown", Fake(|fake| fake.pck_chain[2] = Holder::Stranger)),
        ("chain.root_unknown", Fake(|fake| fake.signer_chain[1] = Holder::Stranger)),
        ("chain.name", Fake(|fake| fake.signer_chain[0] = Holder::Pck)),
        ("chain.name", Fake(|fake| fake.signer_chain[0] = Holder::Ca)),
        ("chain.name", Fake(|fake| fake.pck_chain[0] = Holder::TcbSigner)),
        ("chain.name", Fake(|fake| fake.ca.common_name = "SIMULATED SGX PCK Package CA".to_owned())),
        ("chain.name", Fake(|fake| fake.pck.issuer_name = Holder::Root)),
        ("chain.name", Fake(|fake| fake.ca.issuer_name = Holder::Pck)),
        ("chain.name", Fake(|fake| fake.pck_crl.as_mut().unwrap().issuer_name = Holder::Root)),
        ("chain.algorithm", Fake(|fake| fake.pck.algorithm = ClaimedAlgorithm::EcdsaSha384)),
        ("chain.algorithm", Fake(|fake| fake.tcb_signer.algorithm = ClaimedAlgorithm::EcdsaSha384)),
        ("chain.key", Fake(|fake| fake.pck.key = SubjectKey::P384)),
        ("chain.key", Fake(|fake| fake.tcb_signer.key = SubjectKey::P384)),
        ("chain.signature", Fake(|fake| fake.ca.signed_by = Holder::Stranger)),
        ("chain.signature", Fake(|fake| fake.pck.signed_by = Holder::Stranger)),
        ("chain.signature", Fake(|fake| fake.tcb_signer.signed_by = Holder::Stranger)),
        ("chain.signature", Fake(|fake| fake.root_crl.as_mut().unwrap().signed_by = Holder::Ca)),
        // The right name on it, the wrong CA behind it.
        ("chain.signature", Fake(|fake| fake.pck_crl.as_mut().unwrap().signed_by = Holder::Root)),
        ("chain.role", Fake(|fake| fake.ca.is_ca = false)),
        ("chain.role", Fake(|fake| fake.ca.no_crl_sign = true)),
        ("chain.role", Fake(|fake| fake.root.no_crl_sign = true)),
        ("chain.role", Fake(|fake| fake.pck.is_ca = true)),
        ("chain.role", Fake(|fake| fake.tcb_signer.is_ca = true)),
        ("chain.critical_extension", Fake(|fake| fake.pck.unknown_critical_extension = true)),
        ("chain.critical_extension", Fake(|fake| fake.ca.unknown_critical_extension = true)),
        ("chain.critical_extension", Fake(|fake| fake.tcb_signer.unknown_critical_extension = true)),
    ];
    rows.extend(dates_and_revocation());
    rows
}

fn dates_and_revocation() -> Vec<Row> {
    vec![
        ("chain.not_yet_valid", Fake(|fake| fake.root.not_before = SOON)),
        ("chain.not_yet_valid", Fake(|fake| fake.ca.not_before = SOON)),
        ("chain.not_yet_valid", Fake(|fake| fake.pck.not_before = SOON)),
        ("chain.not_yet_valid", Fake(|fake| fake.tcb_signer.not_before = SOON)),
        ("chain.expired", Fake(|fake| fake.root.not_after = UnixTime(fake.now.0 - 1))),
        ("chain.expired", Fake(|fake| fake.ca.not_after = UnixTime(fake.now.0 - 1))),
        ("chain.expired", Fake(|fake| fake.pck.not_after = UnixTime(fake.now.0 - 1))),
        ("chain.expired", Fake(|fake| fake.tcb_signer.not_after = UnixTime(fake.now.0 - 1))),
        ("crl.missing", Fake(|fake| fake.root_crl = None)),
        ("crl.missing", Fake(|fake| fake.pck_crl = None)),
        ("crl.not_yet_valid", Fake(|fake| fake.root_crl.as_mut().unwrap().this_update = SOON)),
        ("crl.not_yet_valid", Fake(|fake| fake.pck_crl.as_mut().unwrap().this_update = SOON)),
        ("crl.expired", Fake(|fake| fake.root_crl.as_mut().unwrap().next_update = UnixTime(fake.now.0 - 1))),
        ("crl.expired", Fake(|fake| fake.pck_crl.as_mut().unwrap().next_update = UnixTime(fake.now.0 - 1))),
        ("crl.too_old", Fake(|fake| fake.root_crl.as_mut().unwrap().this_update = PAST)),
        ("crl.too_old", Fake(|fake| fake.pck_crl.as_mut().unwrap().this_update = PAST)),
        ("crl.too_old", Policy("tdx.collateral.pck_crl_max_age_secs", "86399")),
        ("crl.revoked", Fake(|fake| revoke(fake, Holder::Ca))),
        ("crl.revoked", Fake(|fake| revoke(fake, Holder::TcbSigner))),
        ("crl.revoked", Fake(|fake| revoke(fake, Holder::Root))),
        ("crl.revoked", Fake(|fake| revoke(fake, Holder::Pck))),
    ]
}

fn revoke(fake: &mut FakeTdx, holder: Holder) {
    let (serial, list) = match holder {
        Holder::Pck => (fake.pck.serial, fake.pck_crl.as_mut()),
        Holder::Ca => (fake.ca.serial, fake.root_crl.as_mut()),
        Holder::TcbSigner => (fake.tcb_signer.serial, fake.root_crl.as_mut()),
        Holder::Root | Holder::Stranger => (fake.root.serial, fake.root_crl.as_mut()),
    };
    list.unwrap().revoked_serials = vec![1, serial];
}

/// The PCK's extension with one byte of it changed.
fn extension_with(fake: &mut FakeTdx, change: fn(&mut Vec<u8>)) {
    let mut extension = platform_of(fake).extension();
    change(&mut extension);
    fake.pck.sgx_extension = Some(extension);
}

pub(crate) fn platform() -> Vec<Row> {
    let mut rows: Vec<Row> = vec![
        ("tdx.pck_extension_missing", Fake(|fake| fake.platform = None)),
        ("tdx.pck_extension_malformed", Fake(|fake| fake.pck.sgx_extension_twice = true)),
        ("tdx.pck_extension_malformed", Fake(|fake| extension_with(fake, Vec::clear))),
        ("tdx.pck_extension_malformed", Fake(|fake| extension_with(fake, |der| der.push(0)))),
        ("tdx.pck_extension_malformed", Fake(|fake| extension_with(fake, |der| *der.last_mut().unwrap() = 1))),
        // The first element's number: then there are two of the second kind and none of the first.
        ("tdx.pck_extension_malformed", Fake(|fake| extension_with(fake, |der| der[17] = 2))),
        // The Platform CA certifies an instance, the Processor CA none.
        ("tdx.pck_extension_malformed", Fake(|fake| platform_of(fake).instance = None)),
        ("tdx.pck_extension_malformed", Fake(|fake| fake.ca.common_name = "SIMULATED SGX PCK Processor CA".to_owned())),
        ("tdx.qe_debug", Fake(|fake| fake.qe_report.attributes[0] |= 0x02)),
        // Whatever the identity's mask leaves out.
        (
            "tdx.qe_debug",
            Fake(|fake| {
                fake.qe_report.attributes[0] |= 0x02;
                fake.qe_identity["attributesMask"] = json!("F9FFFFFFFFFFFFFF0000000000000000");
            }),
        ),
        ("tdx.qe_mr_signer", Fake(|fake| fake.qe_report.mr_signer[0] ^= 1)),
        ("tdx.qe_isv_prod_id", Fake(|fake| fake.qe_report.isv_prod_id = 1)),
        ("tdx.qe_misc_select", Fake(|fake| fake.qe_report.misc_select[0] = 1)),
        ("tdx.qe_attributes", Fake(|fake| fake.qe_report.attributes[0] |= 0x20)),
        ("tdx.qe_attributes", Fake(|fake| fake.qe_report.attributes[0] &= !0x10)),
        ("tdx.qe_no_level", Fake(|fake| fake.qe_report.isv_svn = 5)),
        ("tdx.tcb_no_level", Fake(|fake| platform_of(fake).components[15] = 0)),
        ("tdx.tcb_no_level", Fake(|fake| platform_of(fake).pce_svn = 4)),
        ("tdx.tcb_no_level", Fake(|fake| fake.body.tee_tcb_svn[2] = 1)),
        ("tdx.tcb_no_level", Fake(|fake| fake.tcb_info["tcbLevels"] = json!([]))),
        // A module of version 0 has no identity of its own, so the platform's level judges its SVN.
        ("tdx.tcb_no_level", Fake(|fake| fake.body.tee_tcb_svn = [4, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("tdx.tcb_no_level", Td15(|fake| fake.body.td_1_5.as_mut().unwrap().tee_tcb_svn_2[2] = 1)),
        ("tdx.module_identity", Fake(|fake| fake.body.tee_tcb_svn[1] = 2)),
        ("tdx.module_identity", Fake(|fake| remove(&mut fake.tcb_info, "tdxModuleIdentities"))),
        ("tdx.module_no_level", Fake(|fake| fake.body.tee_tcb_svn[0] = 1)),
        ("tdx.tcb_revoked", Fake(|fake| fake.body.tee_tcb_svn[0] = 2)),
        ("tdx.tcb_revoked", Fake(|fake| fake.tcb_info["tcbLevels"][0]["tcbStatus"] = json!("Revoked"))),
        ("tdx.tcb_revoked", Fake(|fake| fake.qe_identity["tcbLevels"][0]["tcbStatus"] = json!("Revoked"))),
        ("tdx.tcb_revoked", Td15(|fake| fake.body.td_1_5.as_mut().unwrap().tee_tcb_svn_2[0] = 2)),
        ("tdx.seam_signer", Fake(|fake| fake.body.mr_signer_seam[0] = 1)),
        ("tdx.seam_attributes", Fake(|fake| fake.body.seam_attributes[7] = 1)),
        (
            "tdx.seam_attributes",
            Fake(|fake| {
                fake.body.seam_attributes[0] = 1;
                fake.tcb_info["tdxModuleIdentities"][0]["attributesMask"] = json!("00".repeat(8));
            }),
        ),
    ];
    rows.extend(statuses());
    rows
}

const ALL_BUT_ONE: &str = r#"["SWHardeningNeeded", "OutOfDate", "TDRelaunchAdvised"]"#;

fn statuses() -> Vec<Row> {
    vec![
        ("tdx.tcb_status", Fake(|fake| platform_of(fake).components = [2; 16])),
        ("tdx.tcb_status", Fake(|fake| platform_of(fake).components = [1; 16])),
        ("tdx.tcb_status", Fake(|fake| platform_of(fake).pce_svn = 10)),
        // The platform is up to date; one of the others is not.
        ("tdx.tcb_status", Fake(|fake| fake.body.tee_tcb_svn[0] = 4)),
        ("tdx.tcb_status", Fake(|fake| fake.qe_report.isv_svn = 6)),
        ("tdx.tcb_status", Td15(|fake| fake.body.tee_tcb_svn[0] = 4)),
        ("tdx.tcb_status", Td15(|fake| fake.body.td_1_5.as_mut().unwrap().tee_tcb_svn_2[0] = 4)),
        ("tdx.tcb_status", Policy("tdx.tcb.statuses", ALL_BUT_ONE)),
        ("tdx.advisory", PolicyAndFake("tdx.tcb.statuses", ALL_BUT_ONE, |fake| platform_of(fake).components = [2; 16])),
        ("tdx.advisory", PolicyAndFake("tdx.tcb.statuses", ALL_BUT_ONE, |fake| fake.qe_report.isv_svn = 6)),
    ]
}

pub(crate) fn policy() -> Vec<Row> {
    vec![
        ("tdx.version_not_allowed", Policy("tdx.quote.versions", "[5]")),
        ("tdx.pck_ca_not_allowed", Policy("tdx.platform.pck_cas", "[\"processor\"]")),
        ("tdx.pck_ca_not_allowed", PolicyAndFake("tdx.platform.pck_cas", "[\"platform\"]", as_processor)),
        ("tdx.fmspc_not_allowed", Policy("tdx.platform.fmspcs", "[\"90c06f000001\"]")),
        ("tdx.ppid_not_allowed", Policy("tdx.platform.ppids", "[]")),
        ("tdx.platform_configuration", Policy("tdx.platform.dynamic_platform", "\"forbidden\"")),
        ("tdx.platform_configuration", Policy("tdx.platform.cached_keys", "\"required\"")),
        ("tdx.platform_configuration", Policy("tdx.platform.smt", "\"forbidden\"")),
        // Unknown is neither on nor off.
        ("tdx.platform_configuration", PolicyAndFake("tdx.platform.smt", "\"forbidden\"", as_processor)),
        ("tdx.debug", Fake(|fake| fake.body.td_attributes |= 1)),
        ("tdx.attributes_reserved", Fake(|fake| fake.body.td_attributes |= 1 << 1)),
        ("tdx.attributes_reserved", Fake(|fake| fake.body.td_attributes |= 1 << 27)),
        ("tdx.attributes_reserved", Fake(|fake| fake.body.td_attributes |= 1 << 62)),
        ("tdx.sept_ve_disable", Fake(|fake| fake.body.td_attributes = 0)),
        ("tdx.sept_ve_disable", Policy("tdx.attributes.sept_ve_disable", "\"forbidden\"")),
        ("tdx.migratable", Fake(|fake| fake.body.td_attributes |= 1 << 29)),
        ("tdx.protection_keys", Policy("tdx.attributes.protection_keys", "\"required\"")),
        (
            "tdx.protection_keys",
            PolicyAndFake("tdx.attributes.protection_keys", "\"forbidden\"", |fake| {
                fake.body.td_attributes |= 1 << 30;
            }),
        ),
        ("tdx.key_locker", Fake(|fake| fake.body.td_attributes |= 1 << 31)),
        ("tdx.perfmon", Fake(|fake| fake.body.td_attributes |= 1 << 63)),
        ("tdx.xfam_fixed", Fake(|fake| fake.body.xfam &= !1)),
        ("tdx.xfam_fixed", Fake(|fake| fake.body.xfam &= !2)),
        ("tdx.xfam_not_allowed", Fake(|fake| fake.body.xfam |= 1 << 14)),
        ("tdx.xfam_not_allowed", Fake(|fake| fake.body.xfam |= 1 << 63)),
        ("tdx.service_td", Td15(|fake| fake.body.td_1_5.as_mut().unwrap().mr_service_td[47] = 1)),
        ("tdx.mr_td", Fake(|fake| fake.body.mr_td[0] ^= 1)),
        ("tdx.mr_td", Policy("tdx.quote.mr_td", "[]")),
        ("tdx.rtmr", Fake(|fake| fake.body.rtmrs[0][0] ^= 1)),
        ("tdx.rtmr", Fake(|fake| fake.body.rtmrs[1][0] ^= 1)),
        ("tdx.rtmr", Fake(|fake| fake.body.rtmrs[2][0] ^= 1)),
        ("tdx.rtmr", Fake(|fake| fake.body.rtmrs[3][0] ^= 1)),
        ("tdx.mr_seam", Policy("tdx.platform.mr_seam", "[]")),
        ("tdx.mr_config_id", Policy("tdx.quote.mr_config_id", "[]")),
        ("tdx.mr_owner", Policy("tdx.quote.mr_owner", "[]")),
        ("tdx.mr_owner_config", Policy("tdx.quote.mr_owner_config", "[]")),
    ]
}
