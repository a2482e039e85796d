//! Signed reference values and manifests: one accepted case, one fault per row, the exact code; and a policy that takes its
//! measurements from them.

use std::collections::{BTreeMap, BTreeSet};

use attestation::reference::manifest::{
    Artifact, FirmwarePin, Hex48, MANIFEST_BYTES_MAX, MANIFEST_SCHEMA, ManifestFirmware, ManifestKernel, ManifestModel,
    ManifestSource, ManifestVolume, SnpLaunch, TdxMeasurements, VerificationStatus, VtpmMeasurements,
};
use attestation::{
    AppraisalPolicy, DEMO_POLICY, Hex32, ImageManifest, ImageMode, Outcome, PolicyError, REFERENCE_VALUES_BYTES_MAX,
    RELEASE_POLICY, ReceiptKey, ReferenceRejection, ReferenceValues, Rejection, STRICT_POLICY, Transcript, UnixTime,
};
use attestation_testing::{AcceptedCase, simulated_launch_digest};
use proptest::prelude::*;

use crate::support::{parse_policy, pki, roots_of, with_item};

/// One thing made different.
type Change = fn(&mut ReferenceValues);

const BEGIN: UnixTime = UnixTime(1_700_000_000);
const END: UnixTime = UnixTime(2_000_000_000);
const NOW: UnixTime = UnixTime(1_800_000_000);

pub(crate) fn manifest() -> ImageManifest {
    let pin = |name: &str, enforces_kernel_hashes| FirmwarePin {
        package: name.to_owned(),
        version: "2026.08-2".to_owned(),
        sha256: Hex32([7; 32]),
        enforces_kernel_hashes,
    };
    let launch = |vcpus, digest: u8| SnpLaunch {
        vcpus,
        cpu: "EPYC-v4".to_owned(),
        guest_features: 1,
        vmm: "qemu".to_owned(),
        launch_digest: Hex48([digest; 48]),
    };
    ImageManifest {
        schema: MANIFEST_SCHEMA.to_owned(),
        flavour: "cpu".to_owned(),
        version: "0.1.0".to_owned(),
        mode: ImageMode::Production,
        artifacts: BTreeMap::from([("vmlinuz".to_owned(), Artifact { sha256: Hex32([1; 32]), size: 4 })]),
        volumes: vec![ManifestVolume {
            name: "root".to_owned(),
            sha256: Hex32([2; 32]),
            root_hash: Hex32([3; 32]),
            salt: Hex32([4; 32]),
            data_blocks: 100,
            uuid: "00000000-0000-4000-8000-000000000000".to_owned(),
        }],
        cmdline: "console=ttynull panic=-1".to_owned(),
        firmware: ManifestFirmware { amdsev: pin("ovmf-amdsev", true), tdx: pin("ovmf-inteltdx", false) },
        kernel: ManifestKernel {
            version: "6.12.117".to_owned(),
            config_sha256: Hex32([5; 32]),
            patches: BTreeMap::from([("0001-acpi.patch".to_owned(), Hex32([6; 32]))]),
        },
        guardian_config_sha256: Hex32([8; 32]),
        image_config_sha256: Hex32([9; 32]),
        model: Some(ManifestModel { name: "tiny".to_owned(), weights_sha256: Hex32([10; 32]) }),
        snp: vec![launch(1, 0x11), launch(2, 0x12)],
        tdx: Some(TdxMeasurements {
            mrtd_single_pass: Hex48([0x21; 48]),
            mrtd_two_pass: Hex48([0x22; 48]),
            rtmr1: Hex48([0x23; 48]),
            rtmr2: Hex48([0x24; 48]),
            rtmr0: "replay the log".to_owned(),
        }),
        vtpm: Some(VtpmMeasurements {
            pcr4: Hex32([0x31; 32]),
            pcr9: Hex32([0x32; 32]),
            pcr11: Hex32([0x33; 32]),
            bank: "sha256".to_owned(),
        }),
        status: BTreeMap::from([("tdx".to_owned(), VerificationStatus::UnverifiedOnHardware)]),
        source: ManifestSource {
            git_commit: "0".repeat(40),
            rustc: "rustc 1.95.0".to_owned(),
            source_date_epoch: 0,
            tools: BTreeMap::new(),
        },
        locks: BTreeMap::from([("cpu.lock.json".to_owned(), Hex32([11; 32]))]),
    }
}

fn values() -> ReferenceValues {
    ReferenceValues::from_manifest(&manifest(), BEGIN, END)
}

fn key() -> ReceiptKey {
    ReceiptKey::from_seed(&[42; 32]).unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T, ReferenceRejection>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn signed_values_come_back() {
    for mode in [ImageMode::Production, ImageMode::Debug, ImageMode::Test] {
        let all = ReferenceValues { mode, ..values() };
        let no_tdx = ReferenceValues { tdx: None, ..all.clone() };
        let none = ReferenceValues { vtpm: None, snp: Vec::new(), ..no_tdx.clone() };
        for values in [all, no_tdx, none] {
            let signed = values.sign(&key()).unwrap();
            assert_eq!(signed, values.sign(&key()).unwrap(), "one text per statement");
            let verified = ReferenceValues::verify(
                &signed,
                &[ReceiptKey::from_seed(&[1; 32]).unwrap().public(), key().public()],
                NOW,
            );
            let verified = verified.unwrap();
            assert_eq!((verified.values(), verified.signer()), (&values, &key().public()));
        }
    }
}

/// The bytes of one statement. When they were written down, `cbor2` 5.9.0 encoded the same payload, `pycose` 1.1.0 verified the
/// signature, and `pycddl` 0.6.4 found that it fits the draft's CDDL; Python's `json` wrote the same manifest.
#[test]
fn the_encoding_does_not_change() {
    let signed = values().sign(&key()).unwrap();
    let digest = attestation::Sha256Digest::of(&signed);
    assert_eq!(digest.to_hex(), GOLDEN, "{}", hex::encode(&signed));
    let text = manifest().to_json().unwrap();
    assert_eq!(attestation::Sha256Digest::of(&text).to_hex(), GOLDEN_MANIFEST, "{}", String::from_utf8_lossy(&text));
}

const GOLDEN: &str = "27b14372b1a42e3993b5aba9fa0cce229c8b63b6a58450f7b8e766b1e4565f1f";
const GOLDEN_MANIFEST: &str = "0472cff79f5ad51242a8303d3ab3de2998f637f60e5fb5864e4d519dde3ac1bb";

#[test]
fn each_fault_has_its_code() {
    let signed = values().sign(&key()).unwrap();
    let signers = [key().public()];
    let verify = |bytes: &[u8], now| ReferenceValues::verify(bytes, &signers, now);
    assert_eq!(code(verify(&vec![0; REFERENCE_VALUES_BYTES_MAX + 1], NOW)), "reference.too_large");
    assert_eq!(code(verify(&[], NOW)), "reference.malformed");
    assert_eq!(code(verify(&[signed.clone(), vec![0]].concat(), NOW)), "reference.malformed");
    assert_eq!(code(ReferenceValues::verify(&signed, &[], NOW)), "reference.signer_unknown");
    let other = ReceiptKey::from_seed(&[1; 32]).unwrap();
    assert_eq!(code(ReferenceValues::verify(&signed, &[other.public()], NOW)), "reference.signer_unknown");
    assert_eq!(code(verify(&signed, UnixTime(BEGIN.0 - 1))), "reference.not_yet_valid");
    assert_eq!(code(verify(&signed, UnixTime(END.0 + 1))), "reference.expired");
    for now in [BEGIN, END] {
        verify(&signed, now).unwrap();
    }
}

/// Whatever bit changes, somebody notices: the parser, or the signature.
#[test]
fn no_bit_can_change() {
    let signed = values().sign(&key()).unwrap();
    let signers = [key().public()];
    let mut seen = BTreeSet::new();
    for bit in 0..signed.len() * 8 {
        let mut changed = signed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        seen.insert(code(ReferenceValues::verify(&changed, &signers, NOW)));
    }
    let expected = ["reference.malformed", "reference.signature", "reference.signer_unknown"];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn senseless_values_are_not_signed() {
    let rows: [(&str, Change); 8] = [
        ("version", |values| values.image_version = "1.0".to_owned()),
        ("version", |values| values.image_version = "01.0.0".to_owned()),
        ("flavour", |values| values.flavour = "CPU".to_owned()),
        ("flavour", |values| values.flavour = String::new()),
        ("end before", |values| values.not_after = UnixTime(1)),
        ("listed twice", |values| values.snp.push(values.snp[0].clone())),
        ("no digest", |values| values.snp[0].vcpus = 0),
        ("no digest", |values| values.snp[0].cpu = "EPYC/v4".to_owned()),
    ];
    for (word, fault) in rows {
        let mut values = values();
        fault(&mut values);
        let refused = values.sign(&key()).unwrap_err();
        assert!(refused.code() == "reference.malformed" && refused.to_string().contains(word), "{refused}");
    }
}

#[test]
fn a_manifest_has_one_text() {
    let text = manifest().to_json().unwrap();
    assert_eq!(ImageManifest::from_json(&text).unwrap(), manifest());
    let text = String::from_utf8(text).unwrap();
    let rows = [
        ("manifest.too_large", " ".repeat(MANIFEST_BYTES_MAX + 1)),
        ("manifest.malformed", text.replacen('{', "{\"extra\":1,", 1)),
        ("manifest.malformed", text.replace("\"vtpm\":", "\"vtpms\":")),
        ("manifest.malformed", text.replace(",\"version\":\"0.1.0\"", "")),
        ("manifest.malformed", text.replace("\"mode\":\"production\"", "\"mode\":\"Production\"")),
        ("manifest.malformed", format!("{text}{{}}")),
        ("manifest.schema", text.replace("image-manifest/v1", "image-manifest/v2")),
        ("manifest.not_canonical", format!("{text}\n")),
        ("manifest.not_canonical", text.replacen(':', ": ", 1)),
        ("manifest.item", text.replace("\"version\":\"0.1.0\"", "\"version\":\"0.1\"")),
        ("manifest.item", text.replace("\"vmlinuz\":", "\"../vmlinuz\":")),
        ("manifest.item", text.replace("console=ttynull", "console=\\u0001")),
        ("manifest.item", text.replace("replay the log", "unknown")),
        ("manifest.item", text.replace("\"bank\":\"sha256\"", "\"bank\":\"sha1\"")),
        ("manifest.item", text.replace("\"vcpus\":2", "\"vcpus\":1")),
        ("manifest.item", text.replace("\"flavour\":\"cpu\"", "\"flavour\":\"\"")),
    ];
    for (code, text) in rows {
        assert_eq!(ImageManifest::from_json(text.as_bytes()).unwrap_err().code(), code, "{text:.80}");
    }
}

/// A policy like the demonstration's, with the launch digest left to reference values.
fn policy_text() -> String {
    let table = format!(
        "\n[reference_values]\nsigners = [\"{}\"]\nflavours = [\"cpu\"]\nmodes = [\"production\"]\nimage_version_min = \"0.1.0\"\n",
        key().public()
    );
    with_item(DEMO_POLICY, "snp.report.launch_digests", "\"reference-values\"") + &table
}

fn live_values(now: UnixTime) -> ReferenceValues {
    let mut values = ReferenceValues { not_before: now, not_after: UnixTime(now.0 + 1000), ..values() };
    values.snp[1].launch_digest = Hex48(simulated_launch_digest());
    values
}

#[test]
fn a_policy_takes_launch_digests_from_reference_values() {
    let case = AcceptedCase::new(pki());
    let empty = parse_policy(&policy_text());
    let appraise = |policy: &AppraisalPolicy, now, transcript: &mut Transcript| {
        attestation::appraise(&case.document(), &roots_of(case.pki), policy, now, transcript)
    };
    let refusal = |policy: &AppraisalPolicy, now| {
        let mut transcript = Transcript::new();
        let refused: Rejection = appraise(policy, now, &mut transcript).unwrap_err();
        assert!(transcript.checks.iter().any(|check| check.outcome == Outcome::Fail));
        refused.code()
    };
    // None given: refused as such, in an appraisal and before one.
    assert_eq!(refusal(&empty, case.now), "reference.missing");
    assert_eq!(code(empty.require_reference_values(case.now)), "reference.missing");
    // The right ones.
    let corim = live_values(case.now).sign(&key()).unwrap();
    let filled = empty.clone().with_reference_values(&corim, case.now).unwrap();
    filled.require_reference_values(case.now).unwrap();
    let mut transcript = Transcript::new();
    let appraisal = appraise(&filled, case.now, &mut transcript).unwrap();
    let line = &transcript.checks[0];
    assert_eq!((line.id, line.outcome), ("policy.reference_values", Outcome::Pass));
    assert_eq!(line.detail, format!("cpu 0.1.0 (production), signed by {}", key().public()));
    // The verdict's digest covers both texts.
    assert_eq!(appraisal.policy_digest(), filled.digest());
    assert_ne!(filled.digest(), empty.digest());
    let other = ReferenceValues { not_after: UnixTime(case.now.0 + 1001), ..live_values(case.now) };
    let other = empty.clone().with_reference_values(&other.sign(&key()).unwrap(), case.now).unwrap();
    assert_ne!(other.digest(), filled.digest());
    // Values that ended since, as in a program that runs for long.
    assert_eq!(refusal(&filled, UnixTime(case.now.0 + 1001)), "reference.expired");
    // Another image's.
    let another = values().sign(&key()).unwrap();
    let wrong = empty.clone().with_reference_values(&another, case.now).unwrap();
    assert_eq!(refusal(&wrong, case.now), "snp.launch_digest");
    // Several: what any of them says is allowed.
    let both = wrong.with_reference_values(&corim, case.now).unwrap();
    assert_eq!(both.reference_values().len(), 2);
    appraise(&both, case.now, &mut Transcript::new()).unwrap();
}

#[test]
fn a_policy_refuses_other_images() {
    let policy = |text: &str| parse_policy(text);
    let rows: [(&str, Change); 4] = [
        ("reference.mode", |values| values.mode = ImageMode::Debug),
        ("reference.mode", |values| values.mode = ImageMode::Test),
        ("reference.flavour", |values| values.flavour = "gpu".to_owned()),
        ("reference.image_version", |values| values.image_version = "0.0.99".to_owned()),
    ];
    for (expected, fault) in rows {
        let mut values = values();
        fault(&mut values);
        let signed = values.sign(&key()).unwrap();
        assert_eq!(code(policy(&policy_text()).with_reference_values(&signed, NOW)), expected);
    }
    let newer = ReferenceValues { image_version: "0.10.0".to_owned(), ..values() };
    policy(&policy_text()).with_reference_values(&newer.sign(&key()).unwrap(), NOW).unwrap();
    let signed = values().sign(&key()).unwrap();
    assert_eq!(code(policy(DEMO_POLICY).with_reference_values(&signed, NOW)), "reference.unused");
    policy(DEMO_POLICY).require_reference_values(NOW).unwrap();
    // The shipped policy accepts production images only, and trusts nobody until a signer is named.
    assert_eq!(code(policy(RELEASE_POLICY).with_reference_values(&signed, NOW)), "reference.signer_unknown");
    let release = with_item(RELEASE_POLICY, "reference_values.signers", &format!("[\"{}\"]", key().public()));
    policy(&release).with_reference_values(&signed, NOW).unwrap();
    let debug = ReferenceValues { mode: ImageMode::Debug, ..values() }.sign(&key()).unwrap();
    assert_eq!(code(policy(&release).with_reference_values(&debug, NOW)), "reference.mode");
}

/// The release policy is the strict one, with measurements taken from reference values.
#[test]
fn the_release_policy_is_the_strict_one() {
    const OWN: [&str; 7] = ["name", "launch_digests", "mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3"];
    let items = |text: &str| -> Vec<String> {
        let text = text.split("[reference_values]").next().unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.filter(|line| !OWN.iter().any(|own| line.starts_with(&format!("{own} =")))).map(str::to_owned).collect()
    };
    assert_eq!(items(RELEASE_POLICY), items(STRICT_POLICY));
}

#[test]
fn senseless_policies_are_refused() {
    let item = |text: &str| match AppraisalPolicy::from_toml(text) {
        Err(PolicyError::Item { item, .. }) => item,
        Err(PolicyError::Form(_)) => "form",
        other => panic!("{other:?}"),
    };
    let without_table = with_item(DEMO_POLICY, "snp.report.launch_digests", "\"reference-values\"");
    assert_eq!(item(&without_table), "reference_values");
    let unused = with_item(&policy_text(), "snp.report.launch_digests", "\"unchecked\"");
    assert_eq!(item(&unused), "reference_values");
    for register in ["rtmr0", "rtmr3", "mr_config_id", "mr_owner", "mr_owner_config"] {
        let text = with_item(&policy_text(), &format!("tdx.quote.{register}"), "\"reference-values\"");
        assert_eq!(item(&text), "tdx.quote");
    }
    for (name, value) in [
        ("reference_values.image_version_min", "\"0.1\""),
        ("reference_values.modes", "[\"prod\"]"),
        ("reference_values.signers", "[\"00\"]"),
        ("snp.report.launch_digests", "\"reference values\""),
        ("snp.report.host_data", "\"reference-values\""),
    ] {
        assert_eq!(item(&with_item(&policy_text(), name, value)), "form", "{name}");
    }
}

#[test]
fn every_code_has_a_test() {
    let source = include_str!("reference.rs");
    for code in ReferenceRejection::codes() {
        assert!(source.contains(&format!("\"{code}\"")), "{code}");
    }
}

proptest! {
    #[test]
    fn verification_is_total(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(ReferenceValues::verify(&bytes, &[key().public()], NOW).is_err());
        let _ = ImageManifest::from_json(&bytes);
    }
}
