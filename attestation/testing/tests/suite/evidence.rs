//! Sets of evidence: what a file is told by, what an accepted set claims, and REPORT_DATA from the caller.

use attestation::gpu::{GpuEndorsements, GpuEvidence};
use attestation::{
    Base64, ClaimSource, CpuEvidenceSet, EVIDENCE_BYTES_MAX, EvidenceKind, EvidenceSet, ExpectedReportData,
    GpuEvidenceSet, Hex32, Outcome, RejectionClass, STRICT_POLICY, Transcript, TrustRoots, VerificationCache,
    appraise_evidence,
};
use attestation_testing::AcceptedCase;
use attestation_testing::gpu::{FakeGpu, GpuKeys, simulated_gpu_roots};

use crate::support::{
    CAPTURED_POLICY, code, demo_policy, parse_policy, pki, roots_of, snp_of, unix_time, vectors, with_item,
};

fn accepted_set() -> (EvidenceSet, AcceptedCase<'static>) {
    let case = AcceptedCase::new(pki());
    let mut document = case.document();
    let cpu = CpuEvidenceSet::SevSnp {
        report: Base64(document.evidence.report.0.clone()),
        endorsements: snp_of(&mut document).clone(),
    };
    (EvidenceSet { cpu: Some(cpu), ..EvidenceSet::default() }, case)
}

#[test]
fn a_file_is_told_by_its_first_bytes() {
    let (set, _) = accepted_set();
    let Some(CpuEvidenceSet::SevSnp { report, .. }) = set.cpu else { panic!("an SNP set") };
    let rows: [(&[u8], Option<EvidenceKind>); 9] = [
        (&report.0, Some(EvidenceKind::SnpReport)),
        (&[4, 0, 2, 0, 0x81, 0, 0, 0], Some(EvidenceKind::Quote)),
        (&[5, 0, 2, 0], Some(EvidenceKind::Quote)),
        (&[0x11, 0xe0, 1, 0xff], Some(EvidenceKind::SpdmMeasurements)),
        (b" {}", Some(EvidenceKind::Json)),
        (b"[", Some(EvidenceKind::Json)),
        (b"", None),
        (&[2, 0, 0], None),
        (b"GIF89a", None),
    ];
    for (bytes, kind) in rows {
        let found = EvidenceKind::of(bytes);
        assert_eq!(found.as_ref().ok().copied(), kind, "{:?}", bytes.first_chunk::<4>());
        if let Err(rejection) = found {
            assert_eq!((rejection.code(), rejection.class()), ("evidence.unrecognised", RejectionClass::Malformed));
        }
    }
    let long = vec![b'{'; EVIDENCE_BYTES_MAX + 1];
    assert_eq!(code(&EvidenceKind::of(&long)), "document.too_large");
}

#[test]
fn an_accepted_set_claims_what_its_parts_prove() {
    let (set, case) = accepted_set();
    let mut transcript = Transcript::new();
    let cache = VerificationCache::default();
    let (roots, policy) = (roots_of(case.pki), demo_policy());
    let result = appraise_evidence(&set, &roots, &policy, case.now, &cache, &mut transcript).unwrap();
    let source = |name: &str| result.claim(name).unwrap_or_else(|| panic!("{name} is claimed")).source;
    assert_eq!(source("snp.launch_digest"), ClaimSource::HardwareProven);
    assert_eq!(source("snp.product"), ClaimSource::Derived);
    assert_eq!(source("snp.host_data"), ClaimSource::Asserted);
    assert_eq!(source("snp.report_data"), ClaimSource::Asserted);
    assert!(result.claim("snp.csp_id").is_none(), "a VCEK names no provider");
    assert_eq!(result.unchecked().len(), 13, "{:?}", result.unchecked());
    let skipped = transcript.checks.iter().filter(|check| check.outcome == Outcome::Skip).count();
    assert_eq!(skipped, 13, "the unchecked items, and REPORT_DATA");
}

#[test]
fn report_data_is_compared_when_it_is_known() {
    let (mut set, case) = accepted_set();
    let Some(CpuEvidenceSet::SevSnp { report, .. }) = &set.cpu else { panic!("an SNP set") };
    let got: [u8; 64] = report.0[0x50..0x90].try_into().unwrap();
    let run = |set: &EvidenceSet| {
        let (roots, cache) = (roots_of(case.pki), VerificationCache::default());
        appraise_evidence(set, &roots, &demo_policy(), case.now, &cache, &mut Transcript::new())
    };
    set.report_data = Some(ExpectedReportData(got));
    run(&set).unwrap();
    let mut other = got;
    other[63] ^= 1;
    set.report_data = Some(ExpectedReportData(other));
    assert_eq!(code(&run(&set)), "channel.report_data_mismatch");
    set.cpu = None;
    assert_eq!(code(&run(&set)), "evidence.empty");
    // An expectation that nothing answers is no formality.
    let keys = GpuKeys::generate().unwrap();
    let gpu = FakeGpu::accepted(&keys, case.now);
    set.gpu = Some(GpuEvidenceSet {
        evidence: vec![gpu.evidence([5; 32])],
        endorsements: gpu.endorsements(),
        nonce: Some(Hex32([5; 32])),
    });
    let lenient = parse_policy(&with_item(STRICT_POLICY, "required_parts", "[]"));
    let roots = simulated_gpu_roots(&keys).unwrap();
    let judge = |set: &EvidenceSet, transcript: &mut Transcript| {
        appraise_evidence(set, &roots, &lenient, case.now, &VerificationCache::default(), transcript)
    };
    assert_eq!(code(&judge(&set, &mut Transcript::new())), "evidence.expectation_unused");
    set.report_data = None;
    let result = judge(&set, &mut Transcript::new()).unwrap();
    assert_eq!(result.unchecked().iter().filter(|item| item.starts_with("evidence.")).count(), 1, "only the CPU");
    // A nonce taken from the evidence itself proves nothing, and no line says PASS about it.
    set.gpu.as_mut().unwrap().nonce = None;
    let mut transcript = Transcript::new();
    let result = judge(&set, &mut transcript).unwrap();
    assert!(result.unchecked().contains(&"evidence.gpu_nonce"));
    let nonce = transcript.checks.iter().find(|check| check.id == "gpu.report.nonce").unwrap();
    assert_eq!(nonce.outcome, Outcome::Skip);
    assert!("00".parse::<ExpectedReportData>().is_err());
}

#[test]
fn a_set_survives_being_written_and_read_and_knows_no_other_member() {
    let (mut set, _) = accepted_set();
    set.report_data = Some(ExpectedReportData([7; 64]));
    let text = serde_json::to_string(&set).unwrap();
    assert_eq!(serde_json::from_str::<EvidenceSet>(&text).unwrap(), set);
    for spoiled in [
        text.replacen('{', "{\"more\":1,", 1),
        text.replace("\"cpu\"", "\"cpus\""),
        text.replace("sev-snp", "sev-es"),
        text.replace("\"crl\":", "\"crl\":0,\"crl\":"),
    ] {
        assert!(serde_json::from_str::<EvidenceSet>(&spoiled).is_err(), "{spoiled:.80}");
    }
}

/// Switches report in the same form as GPUs: a set of them is genuine, and still no GPU.
#[test]
fn a_switch_alone_is_no_gpu() {
    let folder = vectors().join("nvidia/real/ls10-switch-FULL");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let gpu = GpuEvidenceSet {
        evidence: GpuEvidence::list_from_json(&read("evidence.json")).unwrap(),
        endorsements: GpuEndorsements { vbios_rim: Some(read("bios-rim.xml")), ..GpuEndorsements::default() },
        nonce: None,
    };
    let set = EvidenceSet { gpu: Some(gpu), ..EvidenceSet::default() };
    let judge = |parts: &str| {
        let policy = parse_policy(&with_item(CAPTURED_POLICY, "required_parts", parts));
        let (roots, cache, at) =
            (TrustRoots::vendor(), VerificationCache::default(), unix_time("2026-07-01T00:00:00Z"));
        appraise_evidence(&set, &roots, &policy, at, &cache, &mut Transcript::new())
    };
    assert_eq!(code(&judge("[]")), "ok");
    assert_eq!(code(&judge("[\"gpu\"]")), "evidence.part_missing");
    assert_eq!(code(&judge("[\"cpu\"]")), "evidence.part_missing");
}
