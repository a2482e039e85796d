//! Every captured report: genuine under AMD's roots inside its dates, not outside them, not with a bit turned; and
//! what the strict policy says about each.

use std::collections::BTreeSet;

use attestation::snp::{RawTcb, SigningKey, SnpReport};
use attestation::{
    Appraisal, AssuranceClass, Base64, Outcome, Product, Rejection, STRICT_POLICY, SnpEndorsements, Transcript,
    TrustRoots, UnixTime, vendor_certificates,
};

use crate::support::{
    CAPTURED_POLICY, Entry, Fields, code, entries, foreign_document, parse_policy, snp_of, unix_time, vectors,
    with_item,
};

/// Verdict under the captured policy in the middle of `chain_valid`; verdict under the strict policy with its demand
/// for a revocation list waived, and what it finds wrong beyond [`COMMON`] (nothing when the report is not genuine).
struct Row {
    name: &'static str,
    product: Product,
    captured: &'static str,
    strict: &'static str,
    beyond_common: Option<&'static [&'static str]>,
}

type Beyond = Option<&'static [&'static str]>;

const fn row(
    name: &'static str,
    product: Product,
    captured: &'static str,
    strict: &'static str,
    beyond_common: Beyond,
) -> Row {
    Row { name, product, captured, strict, beyond_common }
}

/// What every capture fails under the strict policy: none ran our image, and none was launched as strictly.
const COMMON: &[&str] = &[
    "snp.guest.smt",
    "snp.guest.rapl_disabled",
    "snp.guest.ciphertext_hiding",
    "snp.guest.page_swap_disabled",
    "snp.guest.abi",
    "snp.tcb.reported",
    "snp.tcb.committed",
    "snp.tcb.launch",
    "snp.platform.rapl_disabled",
    "snp.platform.ciphertext_hiding",
    "snp.report.launch_digest",
];

const V2: Beyond = Some(&[
    "snp.report.version",
    "snp.report.product",
    "snp.tcb.mitigations",
    "snp.platform.smt",
    "snp.platform.ecc",
    "snp.platform.alias_check",
]);
const V2_PROVISIONAL: Beyond = Some(&[
    "snp.report.version",
    "snp.report.product",
    "snp.tcb.provisional",
    "snp.tcb.mitigations",
    "snp.platform.smt",
    "snp.platform.ecc",
    "snp.platform.alias_check",
]);
const V2_DEBUG: Beyond = Some(&[
    "snp.report.version",
    "snp.report.product",
    "snp.guest.debug",
    "snp.tcb.mitigations",
    "snp.platform.smt",
    "snp.platform.ecc",
    "snp.platform.alias_check",
]);
const V3_MILAN: Beyond = Some(&["snp.report.version", "snp.report.product", "snp.tcb.mitigations", "snp.platform.smt"]);
const V3_VLEK: Beyond = Some(&[
    "snp.report.version",
    "snp.report.product",
    "snp.report.signing_key",
    "snp.report.vlek_csp_id",
    "snp.report.vmpl",
    "snp.tcb.provisional",
    "snp.tcb.mitigations",
    "snp.platform.smt",
]);
const V3_GENOA: Beyond = Some(&["snp.report.version", "snp.tcb.mitigations", "snp.platform.smt"]);
const V3_GENOA_NO_SMT: Beyond = Some(&["snp.report.version", "snp.tcb.mitigations"]);
/// Its mitigation vector 0x0b lacks bits 2 and 4.
const V5_SIENA: Beyond = Some(&["snp.tcb.mitigations", "snp.platform.smt"]);
const V5_TURIN: Beyond = Some(&["snp.platform.smt"]);

use Product::{Genoa, Milan, Turin};

const VERSION: &str = "snp.version_not_allowed";

const ROWS: &[Row] = &[
    row("bergamo-siena-v5-vcek-live", Genoa, "ok", "snp.smt_allowed", V5_SIENA),
    row("genoa-v2-nocert-oak", Genoa, "chain.malformed", "chain.malformed", None),
    row("genoa-v3-vcek-aci", Genoa, "ok", VERSION, V3_GENOA),
    row("genoa-v3-vcek-azure", Genoa, "ok", VERSION, V3_GENOA_NO_SMT),
    row("milan-v2-nocert-lit", Milan, "chain.malformed", "chain.malformed", None),
    row("milan-v2-nocert-lit-badsig", Milan, "chain.malformed", "chain.malformed", None),
    row("milan-v2-vcek-automata", Milan, "ok", VERSION, V2),
    row("milan-v2-vcek-azure-a", Milan, "ok", VERSION, V2_PROVISIONAL),
    row("milan-v2-vcek-debug-allowed", Milan, "snp.debug_allowed", VERSION, V2_DEBUG),
    row("milan-v2-vcek-virtee", Milan, "ok", VERSION, V2),
    row("milan-v3-vcek-aci", Milan, "ok", VERSION, V3_MILAN),
    row("milan-v3-vcek-azure-vtpm", Milan, "ok", VERSION, V3_MILAN),
    row("milan-v3-vcek-dstack", Milan, "ok", VERSION, V3_MILAN),
    row("milan-v3-vcek-oak-cb", Milan, "ok", VERSION, V3_MILAN),
    row("milan-v3-vcek-oak-oc-release", Milan, "ok", VERSION, V3_MILAN),
    row("milan-v3-vcek-oak-rk-release", Milan, "ok", VERSION, V3_MILAN),
    row("milan-v3-vlek-aws-useast2", Milan, "ok", VERSION, V3_VLEK),
    row("neg-milan-v2-vcek-invalid-legacy", Milan, "chain.signature", "chain.signature", None),
    row("neg-milan-v2-vcek-invalid-new", Milan, "chain.signature", "chain.signature", None),
    row("turin-v5-vcek-aci", Turin, "ok", "snp.smt_allowed", V5_TURIN),
];

/// A time at which altered certificates would be valid if their signatures were.
const NEGATIVE_AT: &str = "2026-03-01T00:00:00Z";

fn find(name: &str) -> (Entry, &'static Row) {
    let entry = entries("snp/real/").into_iter().find(|entry| entry.name() == name).unwrap();
    (entry, ROWS.iter().find(|row| row.name == name).unwrap())
}

fn dates(entry: &Entry) -> Option<(UnixTime, UnixTime)> {
    entry.chain_valid.as_ref().map(|[from, to]| (unix_time(from), unix_time(to)))
}

fn middle(entry: &Entry) -> UnixTime {
    dates(entry).map_or(unix_time(NEGATIVE_AT), |(from, to)| UnixTime(from.0 + (to.0 - from.0) / 2))
}

fn endorsements(entry: &Entry, product: Product, crl: Option<Vec<u8>>) -> SnpEndorsements {
    let (vek, is_vlek) = entry.vek().unwrap_or_default();
    let kind = if is_vlek { SigningKey::Vlek } else { SigningKey::Vcek };
    let vendor = vendor_certificates(product, kind);
    SnpEndorsements {
        vek: Base64(vek),
        intermediate: Base64(vendor.intermediate.to_vec()),
        root: Base64(vendor.root.to_vec()),
        crl: crl.map(Base64),
    }
}

fn appraise(
    entry: &Entry,
    product: Product,
    report: Vec<u8>,
    policy: &str,
    at: UnixTime,
    transcript: &mut Transcript,
) -> Result<Appraisal, Rejection> {
    let document = foreign_document(report, endorsements(entry, product, None), at);
    attestation::appraise(&document, &TrustRoots::vendor(), &parse_policy(policy), at, transcript)
}

fn verdict(entry: &Entry, row: &Row, report: Vec<u8>, policy: &str, at: UnixTime) -> Result<Appraisal, Rejection> {
    appraise(entry, row.product, report, policy, at, &mut Transcript::new())
}

#[test]
fn every_capture_has_a_row() {
    let captured: BTreeSet<String> = entries("snp/real/").iter().map(|entry| entry.name().to_owned()).collect();
    let rows: BTreeSet<String> = ROWS.iter().map(|row| row.name.to_owned()).collect();
    assert_eq!(captured, rows);
}

#[test]
fn captures_are_genuine_inside_their_dates() {
    for entry in entries("snp/real/") {
        let (_, row) = find(entry.name());
        let result = verdict(&entry, row, entry.report(), CAPTURED_POLICY, middle(&entry));
        assert_eq!(code(&result), row.captured, "{}: {result:?}", row.name);
        if let Ok(appraisal) = result {
            assert_eq!(appraisal.product(), row.product.to_string(), "{}", row.name);
            assert_eq!(appraisal.assurance(), AssuranceClass::Vendor);
            assert_eq!(appraisal.launch_digest(), entry.fields.unwrap().measurement);
        }
    }
}

#[test]
fn captures_are_not_genuine_outside_their_dates_or_with_a_bit_turned() {
    let mut twins = 0;
    for entry in entries("snp/real/") {
        let (_, row) = find(entry.name());
        let Some((from, to)) = dates(&entry) else { continue };
        let at = |time| verdict(&entry, row, entry.report(), CAPTURED_POLICY, time);
        assert_eq!(code(&at(UnixTime(from.0 - 1))), "chain.not_yet_valid", "{}", row.name);
        assert_eq!(code(&at(UnixTime(to.0 + 1))), "chain.expired", "{}", row.name);
        for offset in [0x04, 0x50, 0x90, 0xc0, 0x140] {
            let mut report = entry.report();
            report[offset] ^= 0x01;
            let result = verdict(&entry, row, report, CAPTURED_POLICY, middle(&entry));
            assert_eq!(code(&result), "snp.signature", "{} at {offset:#x}", row.name);
        }
        twins += 1;
    }
    assert_eq!(twins, 15);
}

#[test]
fn reissued_endorsement_keys_serve_as_well() {
    for name in ["bergamo-siena-v5-vcek-live", "milan-v3-vcek-aci"] {
        let (entry, row) = find(name);
        let reissued = entry.file("vcek-reissued.der").unwrap();
        assert_ne!(Some(&reissued), entry.vek().map(|(der, _)| der).as_ref());
        let at = middle(&entry);
        let mut document = foreign_document(entry.report(), endorsements(&entry, row.product, None), at);
        snp_of(&mut document).vek = Base64(reissued);
        let policy = parse_policy(CAPTURED_POLICY);
        attestation::appraise(&document, &TrustRoots::vendor(), &policy, at, &mut Transcript::new()).unwrap();
    }
}

/// Another chip's key, another product's chain: genuine parts that do not belong together.
#[test]
fn captures_do_not_mix() {
    let (report, _) = find("milan-v3-vcek-oak-cb");
    let (other_chip, _) = find("milan-v3-vcek-oak-oc-release");
    let at = middle(&report);
    let mixed = |report: &Entry, key: &Entry, product| {
        appraise(key, product, report.report(), CAPTURED_POLICY, at, &mut Transcript::new())
    };
    assert_eq!(code(&mixed(&report, &other_chip, Milan)), "chain.chip_id_mismatch");
    let (genoa, _) = find("genoa-v3-vcek-azure");
    assert_eq!(code(&mixed(&report, &genoa, Genoa)), "chain.product_mismatch");
    assert_eq!(code(&mixed(&genoa, &genoa, Milan)), "chain.name");
    // The report whose own key was not captured, with the key of another chip at another TCB.
    let (bad_signature, _) = find("milan-v2-nocert-lit-badsig");
    let (virtee, _) = find("milan-v2-vcek-virtee");
    assert_eq!(code(&mixed(&bad_signature, &virtee, Milan)), "chain.tcb_mismatch");
}

#[test]
fn the_strict_policy_refuses_every_capture() {
    let without_crl = with_item(STRICT_POLICY, "snp.revocation.crl", "\"unchecked\"");
    for entry in entries("snp/real/") {
        let (_, row) = find(entry.name());
        let at = middle(&entry);
        let as_shipped = if row.beyond_common.is_some() { "crl.missing" } else { row.strict };
        assert_eq!(code(&verdict(&entry, row, entry.report(), STRICT_POLICY, at)), as_shipped, "{}", row.name);

        let mut transcript = Transcript::new();
        let waived = appraise(&entry, row.product, entry.report(), &without_crl, at, &mut transcript);
        assert_eq!(code(&waived), row.strict, "{}", row.name);
        let Some(beyond) = row.beyond_common else { continue };
        let failed = transcript.checks.iter().filter(|check| check.outcome == Outcome::Fail);
        let failed: BTreeSet<&str> = failed.map(|check| check.id).collect();
        let expected: BTreeSet<&str> = COMMON.iter().chain(beyond).copied().collect();
        assert_eq!(failed, expected, "{}", row.name);
    }
}

#[test]
fn a_real_revocation_list_is_read_and_expires() {
    let (entry, row) = find("milan-v3-vcek-aci");
    let crl = std::fs::read(vectors().join("trust/amd/ARK-Milan.crl")).unwrap();
    let verdict = |crl: Vec<u8>, product, at: &str, max_age_secs: u64| {
        let at = unix_time(at);
        let policy = with_item(CAPTURED_POLICY, "snp.revocation.crl", &format!("{{ max_age_secs = {max_age_secs} }}"));
        let document = foreign_document(entry.report(), endorsements(&entry, product, Some(crl)), at);
        let result =
            attestation::appraise(&document, &TrustRoots::vendor(), &parse_policy(&policy), at, &mut Transcript::new());
        code(&result)
    };
    let year = 400 * 24 * 3600;
    assert_eq!(verdict(crl.clone(), row.product, "2026-03-01T00:00:00Z", year), "ok");
    assert_eq!(verdict(crl.clone(), row.product, "2026-03-01T00:00:00Z", 7 * 24 * 3600), "crl.too_old");
    assert_eq!(verdict(crl.clone(), row.product, "2026-05-13T00:00:00Z", year), "crl.expired");
    let mut altered = crl;
    *altered.last_mut().unwrap() ^= 1;
    assert_eq!(verdict(altered, row.product, "2026-03-01T00:00:00Z", year), "chain.signature");
}

#[test]
fn fields_are_read_as_an_independent_parser_read_them() {
    let mut read = 0;
    for entry in entries("snp/real/") {
        let report = SnpReport::parse(&entry.report()).unwrap();
        let Some(fields) = &entry.fields else { continue };
        compare_fields(entry.name(), &report, fields);
        read += 1;
    }
    assert_eq!(read, 18);
}

fn compare_fields(name: &str, report: &SnpReport, fields: &Fields) {
    let (_, row) = find(name);
    assert_eq!(report.version, fields.version, "{name}");
    assert_eq!(report.guest_svn, fields.guest_svn, "{name}");
    assert_eq!(format!("{:#x}", report.policy), fields.policy, "{name}");
    assert_eq!(hex::encode(report.family_id), fields.family_id, "{name}");
    assert_eq!(hex::encode(report.image_id), fields.image_id, "{name}");
    assert_eq!(report.vmpl, fields.vmpl, "{name}");
    assert_eq!(report.signing_key().to_string(), fields.signing_key, "{name}");
    assert_eq!(format!("{:#x}", report.platform_info), fields.platform_info, "{name}");
    assert_eq!(hex::encode(report.report_data), fields.report_data, "{name}");
    assert_eq!(hex::encode(report.measurement), fields.measurement, "{name}");
    assert_eq!(hex::encode(report.host_data), fields.host_data, "{name}");
    assert_eq!(hex::encode(report.chip_id), fields.chip_id, "{name}");
    let firmware = report.current_version;
    assert_eq!(format!("{}.{}.{}", firmware.major, firmware.minor, firmware.build), fields.fw_current, "{name}");
    let cpuid = report.cpu.map(|cpu| format!("fam{:02x}h-mod{:02x}h-step{}", cpu.family, cpu.model, cpu.stepping));
    assert_eq!(cpuid, fields.cpuid, "{name}");
    for (ours, theirs) in [
        (&report.current_tcb, &fields.tcb_current),
        (&report.reported_tcb, &fields.tcb_reported),
        (&report.committed_tcb, &fields.tcb_committed),
        (&report.launch_tcb, &fields.tcb_launch),
    ] {
        compare_tcb(name, ours, row.product, theirs);
    }
}

fn compare_tcb(name: &str, ours: &RawTcb, product: Product, theirs: &serde_json::Value) {
    let tcb = ours.decode(product).unwrap();
    let number = |key: &str| theirs.get(key).and_then(serde_json::Value::as_u64);
    assert_eq!(tcb.fmc.map(u64::from), number("fmc"), "{name}");
    assert_eq!(Some(u64::from(tcb.boot_loader)), number("bl"), "{name}");
    assert_eq!(Some(u64::from(tcb.tee)), number("tee"), "{name}");
    assert_eq!(Some(u64::from(tcb.snp)), number("snp"), "{name}");
    assert_eq!(Some(u64::from(tcb.microcode)), number("ucode"), "{name}");
}
