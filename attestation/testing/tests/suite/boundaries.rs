//! The last value that is still accepted, and the first that is not.

use attestation::snp::SnpReport;
use attestation::{DEMO_POLICY, UnixTime};
use attestation_testing::{AcceptedCase, CrlSpec};

use crate::support::{appraise_case, appraise_document, code, parse_policy, pki, with_item};

const DAY_SECS: u64 = 24 * 3600;

fn verdict(change: impl Fn(&mut AcceptedCase<'_>)) -> &'static str {
    let mut case = AcceptedCase::new(pki());
    change(&mut case);
    code(&appraise_case(&case))
}

fn crl(case: &mut AcceptedCase<'_>, change: impl Fn(&mut CrlSpec)) {
    change(case.crl.as_mut().unwrap());
}

#[test]
fn keyset_lifetime() {
    assert_eq!(verdict(|case| case.keyset.not_after = UnixTime(case.now.0 + 1)), "ok");
    assert_eq!(verdict(|case| case.keyset.not_after = case.now), "keyset.expired");
    assert_eq!(verdict(|case| case.keyset.not_after = UnixTime(case.now.0 + 7 * DAY_SECS)), "ok");
    assert_eq!(verdict(|case| case.keyset.not_after = UnixTime(case.now.0 + 7 * DAY_SECS + 1)), "keyset.lifetime");
}

#[test]
fn revocation_list_dates() {
    let (now, max_age) = (AcceptedCase::new(pki()).now.0, 400 * DAY_SECS);
    let at = |this_update: u64, next_update: u64| {
        verdict(|case| {
            crl(case, |crl| {
                crl.this_update = UnixTime(this_update);
                crl.next_update = Some(UnixTime(next_update));
            });
        })
    };
    assert_eq!(at(now, now), "ok");
    assert_eq!(at(now + 1, now + 1), "crl.not_yet_valid");
    assert_eq!(at(now - 1, now - 1), "crl.expired");
    assert_eq!(at(now - max_age, now), "ok");
    assert_eq!(at(now - max_age - 1, now), "crl.too_old");
}

#[test]
fn a_revocation_list_about_others_revokes_nobody_here() {
    assert_eq!(verdict(|case| crl(case, |crl| crl.revoked_serials = vec![1, 0x50_ffff, 0x51_0002])), "ok");
    assert_eq!(verdict(|case| crl(case, |crl| crl.revoked_serials = vec![1, 0x51_0001, 0x51_0002])), "crl.revoked");
}

#[test]
fn minimum_versions_are_inclusive() {
    let case = AcceptedCase::new(pki());
    let verdict = |item: &str, value: &str| {
        code(&appraise_document(&case, &case.document(), &parse_policy(&with_item(DEMO_POLICY, item, value))))
    };
    assert_eq!(verdict("snp.report.guest_svn_min", "1"), "snp.guest_svn");
    assert_eq!(verdict("snp.guest.abi_min", "{ major = 1, minor = 55 }"), "ok");
    assert_eq!(verdict("snp.guest.abi_min", "{ major = 1, minor = 56 }"), "snp.abi_too_old");
    assert_eq!(verdict("snp.guest.abi_min", "{ major = 0, minor = 255 }"), "ok");
    assert_eq!(verdict("snp.guest.abi_min", "{ major = 2, minor = 0 }"), "snp.abi_too_old");
    assert_eq!(verdict("snp.tcb.mitigations", "0x3f"), "ok");
    assert_eq!(verdict("snp.tcb.mitigations", "0x7f"), "snp.mitigation_missing");
}

#[test]
fn lists_accept_what_they_name() {
    let case = AcceptedCase::new(pki());
    let document = case.document();
    let zeros = |length: usize| format!("[\"{}\"]", "00".repeat(length));
    let ones = |length: usize| format!("[\"{}\"]", "11".repeat(length));
    let chip = format!("[\"{}\"]", hex::encode(case.pki.chip_id()));
    let rows = [
        ("snp.report.host_data", zeros(32), ones(32), "snp.host_data"),
        ("snp.report.family_ids", zeros(16), ones(16), "snp.family_id"),
        ("snp.report.image_ids", zeros(16), ones(16), "snp.image_id"),
        ("snp.report.id_key_digests", zeros(48), ones(48), "snp.id_key"),
        ("snp.report.author_key_digests", zeros(48), ones(48), "snp.author_key"),
        ("snp.report.chip_ids", chip, ones(64), "snp.chip_not_allowed"),
        ("snp.report.vmpl", "[1, 0]".to_owned(), "[1]".to_owned(), "snp.vmpl"),
        ("snp.report.versions", "[2, 5]".to_owned(), "[2, 3]".to_owned(), "snp.version_not_allowed"),
        ("snp.platform.tsme", "\"forbidden\"".to_owned(), "\"required\"".to_owned(), "snp.platform"),
        ("snp.platform.tio", "\"forbidden\"".to_owned(), "\"required\"".to_owned(), "snp.platform"),
    ];
    for (item, accepting, refusing, expected) in rows {
        let with = |value: &str| {
            code(&appraise_document(&case, &document, &parse_policy(&with_item(DEMO_POLICY, item, value))))
        };
        assert_eq!(with(&accepting), "ok", "{item}");
        assert_eq!(with(&refusing), expected, "{item}");
    }
}

/// A floor may name one stepping, one model, or any processor of a product; every row that matches must hold.
#[test]
fn floors_match_by_processor() {
    let case = AcceptedCase::new(pki());
    let document = case.document();
    let row = |cpu: &str, snp: u8| {
        format!("{{ product = \"Genoa\", cpu = \"{cpu}\", boot_loader = 10, tee = 0, snp = {snp}, microcode = 86 }}")
    };
    let at_floor = 28;
    let rows = [
        (vec![row("any", at_floor)], "ok"),
        (vec![row("any", at_floor + 1)], "snp.tcb_too_old"),
        (vec![row("19-11", at_floor)], "ok"),
        (vec![row("19-11", at_floor + 1)], "snp.tcb_too_old"),
        (vec![row("19-11-01", at_floor)], "ok"),
        (vec![row("19-11-01", at_floor + 1)], "snp.tcb_too_old"),
        (vec![row("any", at_floor), row("19-11-01", at_floor + 1)], "snp.tcb_too_old"),
        (vec![row("any", at_floor), row("19-11-02", at_floor + 1)], "ok"),
        (vec![row("19-11-02", at_floor)], "snp.tcb_floor_missing"),
        (vec![row("19-10", at_floor)], "snp.tcb_floor_missing"),
        (vec![row("1a-11", at_floor)], "snp.tcb_floor_missing"),
        (vec![row("any", at_floor).replace("Genoa", "Milan")], "snp.tcb_floor_missing"),
        (vec![], "snp.tcb_floor_missing"),
    ];
    let start = DEMO_POLICY.find("# Strictest").unwrap();
    let end = DEMO_POLICY.find("[snp.revocation]").unwrap();
    for (rows, expected) in rows {
        let mut text = DEMO_POLICY.to_owned();
        text.replace_range(start..end, &format!("floors = [{}]\n", rows.join(", ")));
        assert_eq!(code(&appraise_document(&case, &document, &parse_policy(&text))), expected, "{rows:?}");
    }
}

#[test]
fn every_field_of_a_fake_is_read_back() {
    let mut fake = AcceptedCase::new(pki()).report;
    fake.author_key_en = true;
    fake.current_mit_vector = 0x1234;
    fake.committed_version.build = 64;
    let report = SnpReport::parse(&fake.sign(pki())).unwrap();
    assert!(report.key_information.author_key_en);
    assert_eq!(report.signature_algo, 1);
    assert_eq!((report.launch_mit_vector, report.current_mit_vector), (Some(0x3f), Some(0x1234)));
    assert_eq!((report.current_version, report.committed_version), (fake.current_version, fake.committed_version));
    assert_eq!((report.report_id, report.report_id_ma), (fake.report_id, fake.report_id_ma));
    fake.author_key_en = false;
    assert!(!SnpReport::parse(&fake.sign(pki())).unwrap().key_information.author_key_en);
}
