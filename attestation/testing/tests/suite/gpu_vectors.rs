//! Every NVIDIA vector: captured devices, production manifests, really signed synthetic cases and OCSP responses. Two
//! tables give each its verdict: under the policy for captures (with what the entry itself asks for), and under the strict
//! one.

use std::collections::BTreeMap;
use std::fs;

use attestation::gpu::{self, Architecture, GpuCache, GpuClaims, GpuEndorsements, GpuEvidence, OcspAnswer, RimSummary};
use attestation::{AppraisalPolicy, Rejection, STRICT_POLICY, Transcript, TrustRoots, UnixTime};
use serde::Deserialize;

use crate::gpu_support::Case;
use crate::support::{CAPTURED_POLICY, code, parse_policy, unix_time, vectors, with_item};

/// The vectors' words for a reason, and ours.
const CODES: &[(&str, &str)] = &[
    ("OK", "ok"),
    ("GOOD", "ok"),
    ("CHAIN_LENGTH", "chain.length"),
    ("CHAIN_ROOT_NOT_PINNED", "chain.root_unknown"),
    ("RIM_CHAIN", "chain.length"),
    ("RIM_CERT_EXPIRED", "chain.expired"),
    ("RIM_ALGORITHM", "gpu.rim.algorithm"),
    ("RIM_DIGEST", "gpu.rim.digest"),
    ("RIM_SCHEMA", "gpu.rim.schema"),
    ("RIM_INDEX_CONFLICT", "gpu.rim.index_conflict"),
    ("DRIVER_RIM_VERSION_MISMATCH", "gpu.rim.version"),
    ("VBIOS_RIM_VERSION_MISMATCH", "gpu.rim.version"),
    ("FEATURE_MODE", "gpu.mode_not_allowed"),
    ("FWID_MISMATCH", "gpu.fwid_mismatch"),
    ("FWID_ABSENT", "gpu.fwid_absent"),
    ("MEASUREMENT_MISSING", "gpu.measurement_missing"),
    ("MEASUREMENT_MISMATCH", "gpu.measurement_mismatch"),
    ("NONCE_MISMATCH", "gpu.nonce_mismatch"),
    ("PARSE_LENGTH", "gpu.length"),
    ("PARSE_NO_BLOCKS", "gpu.no_blocks"),
    ("REPORT_SIGNATURE", "gpu.signature"),
];

/// OCSP words; a nonce means something else there.
const OCSP_CODES: &[(&str, &str)] = &[
    ("GOOD", "ok"),
    ("RESPONDER_UNAUTHORISED", "gpu.ocsp.responder"),
    ("NONCE_MISMATCH", "gpu.ocsp.nonce"),
    ("REVOKED_HOLD", "gpu.ocsp.hold"),
    ("REVOKED", "gpu.ocsp.revoked"),
    ("SIGNATURE", "gpu.ocsp.signature"),
    ("STALE", "gpu.ocsp.expired"),
    ("CERT_ID_MISMATCH", "gpu.ocsp.cert_id"),
];

/// One entry of the index.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: String,
    files: Vec<String>,
    #[serde(default)]
    shared: Vec<String>,
    expected: serde_json::Value,
    fields: Option<serde_json::Value>,
    #[serde(default)]
    rims: Vec<serde_json::Value>,
}

impl Entry {
    pub(crate) fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> Option<Vec<u8>> {
        if self.shared.iter().any(|file| file == name) {
            return Some(fs::read(vectors().join("nvidia/synthetic/ok").join(name)).unwrap());
        }
        let listed = self.files.iter().any(|file| file == name);
        listed.then(|| fs::read(vectors().join(&self.id).join(name)).unwrap())
    }

    fn evidence(&self) -> Vec<GpuEvidence> {
        match self.file("evidence.json") {
            Some(json) => GpuEvidence::list_from_json(&json).unwrap(),
            None => vec![GpuEvidence {
                report: self.file("report.bin").unwrap(),
                certificate_chain: self.file("chain.pem").unwrap(),
            }],
        }
    }

    fn endorsements(&self) -> GpuEndorsements {
        GpuEndorsements {
            driver_rim: self.file("driver-rim.xml"),
            vbios_rim: self.file("vbios-rim.xml").or_else(|| self.file("bios-rim.xml")),
            ocsp: Vec::new(),
        }
    }

    /// The entry's appraisal, at its time.
    pub(crate) fn case(&self, policy: AppraisalPolicy) -> Case {
        Case {
            evidence: self.evidence(),
            endorsements: self.endorsements(),
            nonce: self.nonce(),
            roots: roots_for(self),
            policy,
            now: self.at(),
            cache: GpuCache::default(),
        }
    }

    fn nonce(&self) -> [u8; 32] {
        let nonce = self.expected.get("nonce").or_else(|| self.fields.as_ref().and_then(|fields| fields.get("nonce")));
        let mut bytes = [0; 32];
        hex::decode_to_slice(nonce.unwrap().as_str().unwrap(), &mut bytes).unwrap();
        bytes
    }

    /// The stated time, or the middle of the time all signers' chains are valid; with no manifest any time will do.
    fn at(&self) -> UnixTime {
        if let Some(at) = self.expected.get("at") {
            return unix_time(at.as_str().unwrap());
        }
        let bound = |index: usize| {
            let time = |rim: &serde_json::Value| {
                unix_time(&rim["signer_chain_valid"][index].as_str().unwrap().replace(' ', "T")).0
            };
            self.rims.iter().map(time).collect::<Vec<_>>()
        };
        let (from, to) = (bound(0).into_iter().max(), bound(1).into_iter().min());
        let (Some(from), Some(to)) = (from, to) else { return UnixTime(1_780_272_000) };
        UnixTime(from.midpoint(to))
    }
}

pub(crate) fn entries(prefix: &str) -> Vec<Entry> {
    let index = fs::read(vectors().join("nvidia/index.json")).unwrap();
    let all: Vec<Entry> = serde_json::from_slice(&index).unwrap();
    let found: Vec<Entry> = all.into_iter().filter(|entry| entry.id.starts_with(prefix)).collect();
    assert!(!found.is_empty(), "{prefix}");
    found
}

fn synthetic_roots() -> TrustRoots {
    let root = |name: &str| {
        TrustRoots::named(&fs::read(vectors().join("trust/synthetic-nvidia").join(name)).unwrap()).unwrap()
    };
    root("device_root.pem").and(root("rim_root.pem"))
}

fn roots_for(entry: &Entry) -> TrustRoots {
    if entry.id.starts_with("nvidia/real/") { TrustRoots::vendor() } else { synthetic_roots() }
}

fn appraise(entry: &Entry, policy: &AppraisalPolicy) -> Result<GpuClaims, Rejection> {
    entry.case(policy.clone()).appraise()
}

/// The policy for captures, with what this entry asks for on top.
fn policy_of(entry: &Entry) -> AppraisalPolicy {
    let mut policy = CAPTURED_POLICY.to_owned();
    let asked = entry.expected.get("policy").and_then(serde_json::Value::as_object);
    for (name, value) in asked.into_iter().flatten() {
        policy = match name.as_str() {
            "require_fwid" => with_item(&policy, "gpu.devices.fwid", "\"required\""),
            "required_mode" => {
                let mode = value.as_str().unwrap().to_lowercase();
                with_item(&policy, "gpu.devices.modes", &format!("[\"{mode}\"]"))
            }
            other => panic!("unknown policy item {other}"),
        };
    }
    parse_policy(&policy)
}

fn mapped(word: &str, codes: &[(&str, &'static str)]) -> &'static str {
    codes.iter().find(|(theirs, _)| *theirs == word).unwrap_or_else(|| panic!("{word} has no code")).1
}

#[test]
fn every_synthetic_gpu_vector_gives_its_code() {
    let entries = entries("nvidia/synthetic/");
    assert_eq!(entries.len(), 24);
    let mut wrong = Vec::new();
    for entry in &entries {
        let expected = mapped(entry.expected["code"].as_str().unwrap(), CODES);
        let result = appraise(entry, &policy_of(entry));
        if code(&result) != expected {
            wrong.push(format!("{}: expected {expected}, got {result:?}", entry.id));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Captures under both policies. The strict policy needs newer firmware, both manifests and OCSP responses, none of which
/// any capture has.
const REAL: &[(&str, &str, &str)] = &[
    ("h100-570.86.10-cert-hold", "ok", "gpu.ocsp.missing"),
    ("h100-580.95.05-coco", "gpu.measurement_mismatch", "gpu.ocsp.missing"),
    ("h100-pcie-535.86.09-vbios-only", "gpu.rim.digest", "gpu.rim.digest"),
    ("h100-pcie-545.00-FULL", "ok", "gpu.ocsp.missing"),
    ("h100-pcie-545.00-prod-vbios-rim-mismatch", "gpu.measurement_mismatch", "gpu.ocsp.missing"),
    ("h100-pcie-550.90.07-norim", "gpu.rim.version", "gpu.ocsp.missing"),
    ("hgx-4gpu-590.12-gpu0", "ok", "gpu.ocsp.missing"),
    ("hgx-h100-590.12-ppcie", "ok", "gpu.ocsp.missing"),
    ("ls10-switch-FULL", "ok", "gpu.ocsp.missing"),
    ("neg-h100-invalid-chain", "chain.length", "chain.length"),
    ("neg-h100-invalid-signature", "gpu.signature", "gpu.signature"),
];

#[test]
fn every_captured_device_gives_its_verdict_under_both_policies() {
    let entries = entries("nvidia/real/");
    assert_eq!(entries.len(), REAL.len());
    let strict = parse_policy(STRICT_POLICY);
    let mut wrong = Vec::new();
    for entry in &entries {
        let (_, captured, strictly) = REAL.iter().find(|(name, ..)| *name == entry.name()).unwrap();
        for (policy, expected) in [(&policy_of(entry), captured), (&strict, strictly)] {
            let result = appraise(entry, policy);
            if code(&result) != *expected {
                wrong.push(format!("{} under {}: expected {expected}, got {result:?}", entry.id, policy.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Synthetic cases under the strict policy: those refused for what they are keep their code, the others lack responses.
#[test]
fn every_synthetic_gpu_vector_is_refused_by_the_strict_policy() {
    let strict = parse_policy(STRICT_POLICY);
    let early = [
        "chain.length",
        "chain.root_unknown",
        "chain.expired",
        "gpu.rim.algorithm",
        "gpu.rim.digest",
        "gpu.rim.schema",
        "gpu.fwid_mismatch",
        "gpu.nonce_mismatch",
        "gpu.length",
        "gpu.no_blocks",
        "gpu.signature",
    ];
    for entry in entries("nvidia/synthetic/") {
        let captured = mapped(entry.expected["code"].as_str().unwrap(), CODES);
        let expected = if early.contains(&captured) { captured } else { "gpu.ocsp.missing" };
        assert_eq!(code(&appraise(&entry, &strict)), expected, "{}", entry.id);
    }
}

/// With OCSP waived, the strict policy's other items decide.
#[test]
fn captures_without_responses_fail_the_strict_items_they_should() {
    let policy = with_item(STRICT_POLICY, "gpu.revocation.device_ocsp", "\"unchecked\"");
    let policy = parse_policy(&with_item(&policy, "gpu.revocation.rim_ocsp", "\"unchecked\""));
    let expected = [
        ("h100-570.86.10-cert-hold", "gpu.mode_absent"),
        ("h100-580.95.05-coco", "gpu.rim.missing"),
        ("h100-pcie-545.00-FULL", "gpu.fwid_absent"),
        ("h100-pcie-550.90.07-norim", "gpu.mode_absent"),
        ("hgx-4gpu-590.12-gpu0", "gpu.mode_not_allowed"),
        ("hgx-h100-590.12-ppcie", "gpu.mode_not_allowed"),
        ("ls10-switch-FULL", "gpu.architecture_not_allowed"),
    ];
    for (name, expected) in expected {
        let entry = entries("nvidia/real/").into_iter().find(|entry| entry.name() == name).unwrap();
        assert_eq!(code(&appraise(&entry, &policy)), expected, "{name}");
    }
    let ok = entries("nvidia/synthetic/ok").remove(0);
    assert_eq!(code(&appraise(&ok, &policy)), "gpu.version_not_allowed");
}

#[test]
fn what_a_report_says_is_what_another_parser_read() {
    for entry in entries("nvidia/real/") {
        let fields = entry.fields.as_ref().unwrap();
        let report = gpu::GpuReport::parse(&entry.evidence()[0].report).unwrap();
        let opaque = &report.opaque;
        assert_eq!(report.blocks.len(), usize::try_from(fields["measurement_blocks"].as_u64().unwrap()).unwrap());
        assert_eq!(opaque.driver_version.as_deref(), fields["driver"].as_str(), "{}", entry.id);
        assert_eq!(opaque.vbios_version.as_deref(), fields["vbios"].as_str(), "{}", entry.id);
        let board: Vec<&str> =
            [&opaque.project, &opaque.project_sku, &opaque.chip_sku].map(|part| part.as_deref().unwrap_or("")).to_vec();
        assert_eq!(board.join("_"), fields["board"].as_str().unwrap(), "{}", entry.id);
        assert_eq!(hex::encode(report.nonce), fields["nonce"].as_str().unwrap(), "{}", entry.id);
        let status = |status: Option<bool>| status.map_or("", |on| if on { "aa" } else { "55" });
        assert_eq!(status(opaque.nvdec0), fields["nvdec0"].as_str().unwrap(), "{}", entry.id);
        assert_eq!(status(opaque.protected_pcie), fields["protected_pcie"].as_str().unwrap(), "{}", entry.id);
        let flag = opaque.feature_flag.map_or("absent", |flag| ["SPT", "MPT", "PPCIE"][usize::from(flag)]);
        assert_eq!(flag, fields["feature_flag"].as_str().unwrap(), "{}", entry.id);
    }
}

#[test]
fn claims_say_what_was_attested_and_what_was_not_checked() {
    let entry = entries("nvidia/real/h100-pcie-545.00-FULL").remove(0);
    let claims = appraise(&entry, &policy_of(&entry)).unwrap();
    assert!(claims.gpu_attested());
    let device = &claims.devices()[0];
    assert_eq!(device.architecture(), Architecture::Hopper);
    assert_eq!(device.driver_rim_id(), Some("NV_GPU_DRIVER_GH100_545.00"));
    assert_eq!(device.vbios_rim_id(), Some("NV_GPU_VBIOS_1010_0200_882_96005E0001"));
    assert_eq!(device.device_serial(), "41ffeeb20009e0be49");
    assert_eq!(device.ueid(), "50948c723fc935c7bd14b7c22833dfbe1dfd1145");
    assert_eq!(device.leaf_sha256().to_hex(), "5e80fd2ff7aa8e52cd6d70e2cf35283639d9034877084822987cbf88e4a2cef2");
    assert_eq!((device.fwid(), device.mode(), device.protected_pcie()), (None, None, None));
    assert_eq!(
        claims.unchecked(),
        [
            "gpu.devices.fwid",
            "gpu.devices.mode",
            "gpu.devices.protected_pcie",
            "gpu.devices.serial",
            "gpu.driver.version",
            "gpu.revocation.device_ocsp",
            "gpu.revocation.rim_ocsp",
            "gpu.vbios.version"
        ]
    );
    let entry = entries("nvidia/real/ls10-switch-FULL").remove(0);
    let claims = appraise(&entry, &policy_of(&entry)).unwrap();
    let device = &claims.devices()[0];
    assert_eq!(device.vbios_rim_id(), Some("NV_SWITCH_BIOS_5612_0002_890_9610550001"));
    // A switch's own identifier ends the serial number of its boot ROM certificate.
    assert_eq!(device.switch_pdis(), ["203eb31ad9ed0008"]);
    assert!(device.device_serial().ends_with(&device.switch_pdis()[0]));
}

#[test]
fn one_device_cannot_stand_for_two() {
    let [one, again] = ["hgx-4gpu-590.12-gpu0", "hgx-h100-590.12-ppcie"]
        .map(|name| entries("nvidia/real/").into_iter().find(|entry| entry.name() == name).unwrap());
    let evidence = [one.evidence(), again.evidence()].concat();
    let appraise = |evidence: &[GpuEvidence]| {
        let (nonce, roots, policy) = (one.nonce(), TrustRoots::vendor(), parse_policy(CAPTURED_POLICY));
        let endorsements = GpuEndorsements::default();
        let (cache, mut transcript) = (GpuCache::default(), Transcript::new());
        gpu::appraise(evidence, &endorsements, &nonce, &roots, &policy, one.at(), &cache, &mut transcript)
    };
    assert_eq!(code(&appraise(&evidence)), "gpu.device_repeated");
    assert_eq!(code(&appraise(&evidence[..1])), "ok");
}

/// Production manifests, inside and outside of their signers' validity.
#[test]
fn every_manifest_gives_its_verdict() {
    let roots = TrustRoots::vendor();
    let entries = entries("nvidia/rims/");
    assert_eq!(entries.len(), 17);
    for entry in entries {
        let bytes = fs::read(vectors().join(&entry.id)).unwrap();
        let fields = entry.fields.unwrap();
        let [from, to] = [0, 1].map(|at| unix_time(&fields["valid"][at].as_str().unwrap().replace(' ', "T")));
        let summary = gpu::verify_rim(&bytes, &roots, from).unwrap();
        let (product, version) = (fields["product"].as_str().unwrap(), fields["version"].as_str().unwrap());
        assert_eq!((summary.product.as_str(), summary.version.as_str()), (product, version), "{}", entry.id);
        assert_eq!(gpu::verify_rim(&bytes, &roots, to).unwrap().active, 12, "{}", entry.id);
        let verdict = |now| code(&gpu::verify_rim(&bytes, &roots, UnixTime(now)));
        assert_eq!(verdict(from.0 - 1), "chain.not_yet_valid", "{}", entry.id);
        assert_eq!(verdict(to.0 + 1), "chain.expired", "{}", entry.id);
        // Genuine under NVIDIA's root only.
        assert_eq!(code(&gpu::verify_rim(&bytes, &synthetic_roots(), from)), "chain.root_unknown", "{}", entry.id);
    }
}

#[test]
fn manifests_made_to_fail_fail() {
    let expected: BTreeMap<&str, &str> = [
        ("incorrect_cert_chain_driver_rim.xml", "chain.length"),
        ("incorrect_signature_driver_rim.xml", "gpu.rim.signature"),
    ]
    .into();
    let entries = entries("nvidia/rims-negative/");
    assert_eq!(entries.len(), expected.len());
    for entry in entries {
        let bytes = fs::read(vectors().join(&entry.id)).unwrap();
        let result: Result<RimSummary, _> = gpu::verify_rim(&bytes, &TrustRoots::vendor(), UnixTime(1_750_000_000));
        assert_eq!(code(&result), expected[entry.name()], "{}", entry.id);
    }
}

#[test]
fn every_ocsp_vector_gives_its_code() {
    let entries = entries("nvidia/ocsp/");
    assert_eq!(entries.len(), 9);
    for entry in entries {
        let mut nonce = [0; 32];
        hex::decode_to_slice(entry.expected["request_nonce"].as_str().unwrap(), &mut nonce).unwrap();
        let answer = OcspAnswer { response: entry.file("response.der").unwrap(), nonce: Some(nonce) };
        let (subject, issuer) = (entry.file("subject.der").unwrap(), entry.file("issuer.der").unwrap());
        let expected = mapped(entry.expected["code"].as_str().unwrap(), OCSP_CODES);
        assert_eq!(code(&gpu::ocsp_is_good(&answer, &subject, &issuer, entry.at())), expected, "{}", entry.id);
    }
}

/// The published form has a byte behind the signature; it is a report only without.
#[test]
fn a_byte_behind_the_signature_is_refused() {
    let entry = entries("nvidia/real/h100-580.95.05-coco").remove(0);
    let mut report = entry.evidence().remove(0).report;
    assert!(gpu::GpuReport::parse(&report).is_ok());
    report.push(0);
    assert_eq!(gpu::GpuReport::parse(&report).unwrap_err().code(), "gpu.length");
}
