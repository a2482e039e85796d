//! CPU and GPU in one document: the GPU answers a nonce of this keyset, and the CPU's report names the GPU's evidence.

use attestation::gpu::GpuEvidence;
use attestation::{
    Appraisal, AppraisalPolicy, AttestationDocument, Base64, CpuEvidence, Endorsements, EvidenceFormat, GpuSection,
    Hex32, Rejection, ReportDataInputs, Role, STRICT_POLICY, Transcript, TrustRoots, batch_leaf,
};
use attestation_testing::gpu::{FakeGpu, GpuKeys, simulated_gpu_roots};
use attestation_testing::tdx::FakeTdx;
use attestation_testing::{AcceptedCase, simulated_launch_digest};

use crate::support::{code, parse_policy, pki, roots_of, with_item};

const RANDOM: Hex32 = Hex32([0x5a; 32]);
const EPOCH: u64 = 3;

/// Everything one composite document is made from.
struct Composite {
    case: AcceptedCase<'static>,
    keys: GpuKeys,
    /// Changes the GPU's part after the CPU signed.
    after: fn(&mut GpuSection, &GpuKeys),
    /// Changes the GPU's part before the CPU signs.
    before: fn(&mut GpuSection, &GpuKeys),
}

fn unchanged(_: &mut GpuSection, _: &GpuKeys) {}

impl Composite {
    fn new() -> Self {
        Self { case: AcceptedCase::new(pki()), keys: GpuKeys::generate().unwrap(), after: unchanged, before: unchanged }
    }

    fn section(&self) -> GpuSection {
        let gpu = FakeGpu::accepted(&self.keys, self.case.now);
        let nonce = GpuSection::nonce(&self.case.keyset.digest(), &RANDOM, EPOCH);
        GpuSection {
            random: RANDOM,
            epoch: EPOCH,
            evidence: vec![gpu.evidence(nonce)],
            endorsements: gpu.endorsements(),
        }
    }

    /// The document, with a report that names the GPU's evidence.
    fn document(&self, tdx: Option<&FakeTdx>) -> AttestationDocument {
        let mut section = self.section();
        (self.before)(&mut section, &self.keys);
        let view = &self.case.view;
        let inputs = ReportDataInputs {
            role: Role::Tls,
            batch_root: batch_leaf(Role::Tls, &view.nonce, Some(&view.exporter)),
            leaf_spki_sha256: view.leaf_spki_sha256,
            keyset_digest: self.case.keyset.digest(),
            gpu: Some(section.binding()),
        };
        let mut case =
            AcceptedCase { keyset: self.case.keyset.clone(), keep_report_data: true, ..AcceptedCase::new(pki()) };
        case.report.report_data = inputs.report_data();
        let mut document = case.document();
        if let Some(tdx) = tdx {
            let tdx = tdx.reporting(simulated_launch_digest(), inputs.report_data());
            document.evidence = CpuEvidence { format: EvidenceFormat::TdxQuoteV1, report: Base64(tdx.quote()) };
            document.endorsements = Endorsements::Tdx(Box::new(tdx.collateral()));
        }
        (self.after)(&mut section, &self.keys);
        document.gpu = Some(section);
        document
    }

    fn roots(&self) -> TrustRoots {
        roots_of(pki()).and(simulated_gpu_roots(&self.keys).unwrap())
    }

    /// Appraised and bound, over the wire.
    fn run(&self) -> Result<Appraisal, Rejection> {
        self.judge(&self.document(None), &self.roots(), &policy())
    }

    fn judge(
        &self,
        document: &AttestationDocument,
        roots: &TrustRoots,
        policy: &AppraisalPolicy,
    ) -> Result<Appraisal, Rejection> {
        let document = AttestationDocument::from_json(&document.to_json())?;
        let mut transcript = Transcript::new();
        let appraisal = attestation::appraise(&document, roots, policy, self.case.now, &mut transcript)?;
        appraisal.clone().bind_channel(&self.case.view, &mut transcript)?;
        Ok(appraisal)
    }
}

/// The strict policy, with the measurements of the simulated machines.
fn policy() -> AppraisalPolicy {
    let list = |digest: [u8; 48]| format!("[\"{}\"]", hex::encode(digest));
    let mut text = with_item(STRICT_POLICY, "snp.report.launch_digests", &list(simulated_launch_digest()));
    text = with_item(&text, "tdx.quote.mr_td", &list(simulated_launch_digest()));
    for name in ["RTMR0", "RTMR1", "RTMR2", "RTMR3"] {
        let measurement = attestation_testing::tdx::simulated_measurement(name);
        text = with_item(&text, &format!("tdx.quote.{}", name.to_lowercase()), &list(measurement));
    }
    parse_policy(&text)
}

#[test]
fn a_cpu_and_its_gpu_pass_the_strict_policy_together() {
    let composite = Composite::new();
    let appraisal = composite.run().unwrap();
    let result = appraisal.result();
    assert_eq!(result.claim("gpu.attested").unwrap().value, true);
    assert!(result.claims().iter().all(|claim| !claim.name.contains("bound")), "nothing is called bound");
    assert!(!result.unchecked().contains(&"evidence.gpu"));
    assert_eq!(result.assurance().to_string(), "simulated");
}

#[test]
fn a_td_and_its_gpu_pass_the_strict_policy_together() {
    let composite = Composite::new();
    let tdx = FakeTdx::accepted().dated(composite.case.now);
    let roots = TrustRoots::named(tdx.root_der()).unwrap().and(simulated_gpu_roots(&composite.keys).unwrap());
    let document = composite.document(Some(&tdx));
    let appraisal = composite.judge(&document, &roots, &policy()).unwrap();
    assert_eq!(appraisal.launch_digest(), hex::encode(simulated_launch_digest()));
    assert!(appraisal.product().starts_with("TDX "), "{}", appraisal.product());
    // The same document under the other CPU vendor's roots, and with the other format's name.
    assert_eq!(code(&composite.judge(&document, &composite.roots(), &policy())), "chain.root_unknown");
    let mut mixed = document.clone();
    mixed.evidence.format = EvidenceFormat::SevSnpReportV1;
    assert_eq!(code(&composite.judge(&mixed, &roots, &policy())), "document.malformed");
}

/// One thing changed each: where it is caught says what holds the two together.
#[test]
fn another_gpus_evidence_does_not_pass() {
    type Change = fn(&mut GpuSection, &GpuKeys);
    let replay: Change = |section, keys| {
        let other = FakeGpu::accepted(keys, AcceptedCase::new(pki()).now).evidence([9; 32]);
        section.evidence = vec![other];
    };
    let fresh_elsewhere: Change = |section, keys| {
        // A genuine GPU that answered the right nonce, relayed after the CPU's report was made.
        let keyset = AcceptedCase::new(pki()).keyset.digest();
        let nonce = GpuSection::nonce(&keyset, &section.random, section.epoch);
        section.evidence = vec![FakeGpu::numbered(keys, AcceptedCase::new(pki()).now, 7).evidence(nonce)];
    };
    let rows: [(&str, Change, Change); 7] = [
        ("ok", unchanged, unchanged),
        ("gpu.nonce_mismatch", replay, unchanged),
        ("gpu.nonce_mismatch", unchanged, |section, _| section.epoch += 1),
        ("gpu.nonce_mismatch", unchanged, |section, _| section.random.0[0] ^= 1),
        ("gpu.ocsp.cert_id", unchanged, fresh_elsewhere),
        ("gpu.count", unchanged, |section, _| section.evidence.clear()),
        ("gpu.count", unchanged, |section, _| {
            let again: Vec<GpuEvidence> = section.evidence.clone();
            section.evidence.extend(again);
        }),
    ];
    for (expected, before, after) in rows {
        let composite = Composite { before, after, ..Composite::new() };
        assert_eq!(code(&composite.run()), expected);
    }
    // With its own OCSP answers the relayed GPU is as genuine as the first: only REPORT_DATA tells them apart.
    let relayed = Composite {
        after: |section, keys| {
            let now = AcceptedCase::new(pki()).now;
            let nonce = GpuSection::nonce(&AcceptedCase::new(pki()).keyset.digest(), &section.random, section.epoch);
            let other = FakeGpu::numbered(keys, now, 7);
            section.evidence = vec![other.evidence(nonce)];
            section.endorsements = other.endorsements();
        },
        ..Composite::new()
    };
    assert_eq!(code(&relayed.run()), "channel.report_data_mismatch");
}

#[test]
fn a_missing_gpu_is_refused_where_one_is_required_and_named_where_not() {
    let composite = Composite::new();
    let mut document = composite.document(None);
    document.gpu = None;
    assert_eq!(code(&composite.judge(&document, &composite.roots(), &policy())), "evidence.part_missing");
    // A report that names GPU evidence is not a report about a machine without one.
    let lenient = parse_policy(&with_item(attestation::DEMO_POLICY, "required_parts", "[\"cpu\"]"));
    assert_eq!(code(&composite.judge(&document, &composite.roots(), &lenient)), "channel.report_data_mismatch");
}
