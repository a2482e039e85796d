//! The policy items of GPU evidence: what they accept, and which values have no sense.

use attestation::{AppraisalPolicy, PolicyError, STRICT_POLICY};
use attestation_testing::gpu::FakeGpu;

use crate::gpu_support::{Case, accepted};
use crate::support::{code, parse_policy, with_item};

#[test]
fn senseless_gpu_items_are_refused() {
    let form = [
        ("gpu.devices.gpus", "{ min = 1 }"),
        ("gpu.devices.gpus", "\"unchecked\""),
        ("gpu.devices.architectures", "[\"volta\"]"),
        ("gpu.devices.modes", "\"devtools\""),
        ("gpu.devices.fwid", "\"forbidden\""),
        ("gpu.driver.rim", "\"forbidden\""),
        ("gpu.driver.versions", "{ minimum = \"1\", allowed = [] }"),
        ("gpu.driver.versions", "{}"),
        ("gpu.revocation.device_ocsp", "{ max_age_secs = 1, allow_hold = true }"),
        ("gpu.revocation.rim_ocsp", "{ max_age_secs = 1 }"),
    ];
    for (item, value) in form {
        let refused = AppraisalPolicy::from_toml(&with_item(STRICT_POLICY, item, value));
        assert!(matches!(refused, Err(PolicyError::Form(_))), "{item} = {value}: {refused:?}");
    }
    let items = [
        ("gpu.devices.gpus", "{ min = 0, max = 1 }"),
        ("gpu.devices.gpus", "{ min = 2, max = 1 }"),
        ("gpu.devices.gpus", "{ min = 1, max = 25 }"),
        ("gpu.devices.serials", "[\"41FF\"]"),
        ("gpu.devices.serials", "[\"\"]"),
        ("gpu.driver.versions", "{ minimum = \"\" }"),
        ("gpu.driver.versions", "{ minimum = \"580..1\" }"),
        ("gpu.vbios.versions", "{ allowed = [\"96.00-x\"] }"),
    ];
    for (item, value) in items {
        match AppraisalPolicy::from_toml(&with_item(STRICT_POLICY, item, value)) {
            Err(PolicyError::Item { item: named, .. }) => assert_eq!(named, item),
            other => panic!("{item} = {value}: {other:?}"),
        }
    }
}

#[test]
fn lists_accept_what_they_name() {
    let rows = [
        ("gpu.devices.serials", "[\"410501\"]", "[\"410500\"]", "gpu.device_not_allowed"),
        ("gpu.devices.modes", "[\"mpt\", \"spt\"]", "[\"ppcie\"]", "gpu.mode_not_allowed"),
        ("gpu.driver.versions", "{ allowed = [\"580.95.05\"] }", "{ allowed = [] }", "gpu.version_not_allowed"),
        (
            "gpu.vbios.versions",
            "{ minimum = \"96.00.9F.00.01\" }",
            "{ minimum = \"97.00.00.00.00\" }",
            "gpu.version_not_allowed",
        ),
    ];
    for (item, accepting, refusing, expected) in rows {
        let with = |value: &str| {
            let mut case = Case::of(&accepted());
            case.policy = parse_policy(&with_item(STRICT_POLICY, item, value));
            code(&case.appraise())
        };
        assert_eq!(with(accepting), "ok", "{item}");
        assert_eq!(with(refusing), expected, "{item}");
    }
}

/// Every waivable item, waived: what is left is that the device is genuine and asked freshly. Each gap is listed.
#[test]
fn waiving_every_gpu_item_lists_every_one() {
    let items = [
        "gpu.devices.modes",
        "gpu.devices.protected_pcie",
        "gpu.devices.fwid",
        "gpu.devices.serials",
        "gpu.driver.rim",
        "gpu.driver.versions",
        "gpu.vbios.rim",
        "gpu.vbios.versions",
        "gpu.revocation.device_ocsp",
        "gpu.revocation.rim_ocsp",
    ];
    let policy = items.iter().fold(STRICT_POLICY.to_owned(), |text, item| with_item(&text, item, "\"unchecked\""));
    let mut gpu: FakeGpu<'_> = accepted();
    gpu.driver_rim = None;
    gpu.vbios_rim = None;
    gpu.ocsp.clear();
    for kind in [3, 6, 20, 21, 34, 36] {
        gpu.report.set_opaque(kind, None);
    }
    let mut case = Case::of(&gpu);
    case.policy = parse_policy(&policy);
    let claims = case.appraise().unwrap();
    // No manifest was given, so there is no signer anybody could have been asked about.
    assert_eq!(claims.unchecked().len(), items.len() - 1, "{:?}", claims.unchecked());
    // A mode nobody knows is refused all the same.
    gpu.report.set_opaque(34, Some(&[1, 0]));
    gpu.report.set_opaque(36, Some(&[9, 0]));
    let mut case = Case::of(&gpu);
    case.policy = parse_policy(&policy);
    assert_eq!(code(&case.appraise()), "gpu.mode_unknown");
}
