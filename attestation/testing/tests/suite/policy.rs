//! Policy files: every item spelled out, waivers listed, shipped files as promised.

use std::collections::BTreeSet;

use attestation::{AppraisalPolicy, DEMO_POLICY, Outcome, PolicyError, STRICT_POLICY, Transcript};
use attestation_testing::{AcceptedCase, simulated_launch_digest};

use crate::support::{CAPTURED_POLICY, demo_policy, parse_policy, pki, roots_of, with_item};

#[test]
fn shipped_policies_parse_under_their_names() {
    for (text, name) in [(STRICT_POLICY, "strict"), (DEMO_POLICY, "demo"), (CAPTURED_POLICY, "captured")] {
        assert_eq!(parse_policy(text).name(), name);
    }
    assert_ne!(parse_policy(STRICT_POLICY).digest(), parse_policy(DEMO_POLICY).digest());
}

/// The demonstration's machine differs from production's in what it measures as, and in having no GPU; in nothing else.
#[test]
fn the_demo_policy_is_the_strict_one_with_the_simulated_measurements_and_no_gpu() {
    const OWN: [&str; 9] =
        ["name", "required_parts", "azure", "gpu", "launch_digests", "mr_td", "rtmr0", "rtmr1", "rtmr2"];
    let key = |line: &str| line.split_once(" = ").map(|(key, _)| key.to_owned());
    let items = |text: &str| -> Vec<String> {
        let without_gpu = text.split("[gpu.devices]").next().unwrap();
        let lines = without_gpu.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines
            .filter(|line| !key(line).is_some_and(|key| OWN.contains(&key.as_str()) || key == "rtmr3"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(items(STRICT_POLICY), items(DEMO_POLICY));
    assert!(DEMO_POLICY.contains(&hex::encode(simulated_launch_digest())));
    assert!(DEMO_POLICY.contains("gpu = \"refused\""));
}

/// Deleting any one line that holds an item makes the file unreadable: nothing has a default.
#[test]
fn every_item_is_required() {
    for text in [STRICT_POLICY, CAPTURED_POLICY] {
        for (number, line) in text.lines().enumerate() {
            if !line.contains(" = ") || line.starts_with('#') {
                continue;
            }
            let without: Vec<&str> =
                text.lines().enumerate().filter(|(index, _)| *index != number).map(|(_, line)| line).collect();
            let refused = AppraisalPolicy::from_toml(&without.join("\n"));
            let missing_fmc = line.starts_with("fmc");
            match refused {
                Err(PolicyError::Form(_)) => assert!(!missing_fmc, "{line}"),
                Err(PolicyError::Item { item, .. }) => assert!(missing_fmc && item == "snp.tcb.floors", "{line}"),
                other => panic!("without {line:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn senseless_files_are_refused() {
    let form = [
        format!("{STRICT_POLICY}\nextra = 1"),
        with_item(STRICT_POLICY, "snp.guest.debug", "\"allowed\""),
        with_item(STRICT_POLICY, "snp.guest.debug", "true"),
        with_item(STRICT_POLICY, "snp.guest.debug", "\"Unchecked\""),
        with_item(STRICT_POLICY, "snp.report.launch_digests", "[\"00\"]"),
        with_item(STRICT_POLICY, "snp.report.products", "[\"Rome\"]"),
        with_item(STRICT_POLICY, "snp.report.products", "\"unchecked\""),
        with_item(STRICT_POLICY, "snp.report.vmpl", "[-1]"),
        with_item(STRICT_POLICY, "snp.revocation.crl", "{}"),
        with_item(
            CAPTURED_POLICY,
            "snp.tcb.floors",
            "[{ product = \"Genoa\", cpu = \"19\", boot_loader = 0, tee = 0, snp = 0, microcode = 0 }]",
        ),
        with_item(
            CAPTURED_POLICY,
            "snp.tcb.floors",
            "[{ product = \"Genoa\", cpu = \"19-11-01-00\", boot_loader = 0, tee = 0, snp = 0, microcode = 0 }]",
        ),
    ];
    for text in form {
        assert!(matches!(AppraisalPolicy::from_toml(&text), Err(PolicyError::Form(_))), "{text}");
    }
    let turin_without_fmc =
        "[{ product = \"Turin\", cpu = \"any\", boot_loader = 0, tee = 0, snp = 0, microcode = 0 }]";
    let genoa_with_fmc =
        "[{ product = \"Genoa\", cpu = \"any\", fmc = 0, boot_loader = 0, tee = 0, snp = 0, microcode = 0 }]";
    let items = [
        ("name", with_item(STRICT_POLICY, "name", "\"\"")),
        ("name", with_item(STRICT_POLICY, "name", "\"a\\nb\"")),
        ("keyset_lifetime_secs_max", with_item(STRICT_POLICY, "keyset_lifetime_secs_max", "604801")),
        ("snp.tcb.floors", with_item(CAPTURED_POLICY, "snp.tcb.floors", turin_without_fmc)),
        ("snp.tcb.floors", with_item(CAPTURED_POLICY, "snp.tcb.floors", genoa_with_fmc)),
        ("snp.tcb.floors", with_item(CAPTURED_POLICY, "snp.tcb.launch", "\"floor\"")),
    ];
    for (expected, text) in items {
        match AppraisalPolicy::from_toml(&text) {
            Err(PolicyError::Item { item, .. }) => assert_eq!(item, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn a_waived_item_is_listed_and_skipped() {
    let case = AcceptedCase::new(pki());
    let mut transcript = Transcript::new();
    let document = case.document();
    let appraisal =
        attestation::appraise(&document, &roots_of(pki()), &demo_policy(), case.now, &mut transcript).unwrap();
    let skipped: BTreeSet<&str> =
        transcript.checks.iter().filter(|check| check.outcome == Outcome::Skip).map(|check| check.id).collect();
    let listed: BTreeSet<&str> = appraisal.unchecked().iter().copied().collect();
    assert_eq!(skipped, listed);
    let expected = [
        "evidence.gpu",
        "snp.guest.aes_256_xts",
        "snp.guest.single_socket",
        "snp.platform.tio",
        "snp.platform.tsme",
        "snp.report.author_key",
        "snp.report.chip_id",
        "snp.report.family_id",
        "snp.report.guest_svn",
        "snp.report.host_data",
        "snp.report.id_key",
        "snp.report.image_id",
    ];
    assert_eq!(listed.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(appraisal.policy_name(), "demo");
}

/// Every waivable item, waived: nothing of the report's content can fail any more, and each is listed.
#[test]
fn waiving_everything_lists_everything() {
    let case = AcceptedCase::new(pki());
    let mut text = with_item(DEMO_POLICY, "snp.revocation.crl", "\"unchecked\"");
    let rows = text.find("# Strictest").unwrap()..text.find("[snp.revocation]").unwrap();
    text.replace_range(rows, "floors = \"unchecked\"\n");
    for item in [
        "snp.tcb.launch",
        "snp.tcb.committed",
        "snp.tcb.provisional",
        "snp.tcb.mitigations",
        "snp.report.launch_digests",
        "snp.report.vmpl",
    ] {
        text = with_item(&text, item, "\"unchecked\"");
    }
    for section in ["snp.guest", "snp.platform"] {
        let items: Vec<String> = section_items(&text, section);
        for item in items {
            text = with_item(&text, &item, "\"unchecked\"");
        }
    }
    let policy = parse_policy(&text);
    let document = case.document();
    let roots = roots_of(pki());
    let appraisal = attestation::appraise(&document, &roots, &policy, case.now, &mut Transcript::new()).unwrap();
    // 7 platform, 10 guest, 5 firmware, 9 report (its provider rule is about VLEKs only), 1 revocation, and the GPU.
    assert_eq!(appraisal.unchecked().len(), 33, "{:?}", appraisal.unchecked());
}

fn section_items(text: &str, section: &str) -> Vec<String> {
    let start = text.lines().position(|line| line == format!("[{section}]")).unwrap();
    let lines = text.lines().skip(start + 1).take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split_once(" = ")).map(|(key, _)| format!("{section}.{key}")).collect()
}

/// A check that nothing can fail would count as made: the only waiver is the word.
#[test]
fn checks_that_nothing_can_fail_are_refused() {
    let zeros = |bytes: usize| format!("[\"{}\"]", "00".repeat(bytes));
    let (chip, ppid) = (zeros(64), zeros(16));
    let rows = [
        ("snp.tcb.mitigations", "0"),
        ("snp.report.guest_svn_min", "0"),
        ("snp.report.chip_ids", chip.as_str()),
        ("snp.revocation.crl", "{ max_age_secs = 400000000 }"),
        ("tdx.tcb.evaluation_number_min", "0"),
        ("tdx.platform.ppids", ppid.as_str()),
        ("tdx.collateral.max_age_secs", "400000000"),
        ("gpu.revocation.device_ocsp", "{ max_age_secs = 400000000 }"),
        ("gpu.revocation.rim_ocsp", "{ max_age_secs = 400000000, allow_hold = false }"),
    ];
    for (item, value) in rows {
        let text = with_item(STRICT_POLICY, item, value);
        assert!(matches!(AppraisalPolicy::from_toml(&text), Err(PolicyError::Item { .. })), "{item} = {value}");
    }
}
