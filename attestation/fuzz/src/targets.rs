//! The targets, in the order a verifier meets them.

use attestation::azure::{HclReport, RuntimeClaims, TpmQuote, VtpmEvidence};
use attestation::gpu::{self, GpuEndorsements, GpuEvidence, GpuReport, OcspAnswer, OpaqueData};
use attestation::measure::eventlog::{DstackEventLog, EventLog};
use attestation::measure::ovmf::OvmfImage;
use attestation::measure::pe::PeImage;
use attestation::measure::uki::{predict_pcr4_from_disk, predict_uki};
use attestation::snp::{self, SnpReport};
use attestation::tdx::{self, TdQuote, TdxCollateral};
use attestation::{
    AppraisalBundle, AppraisalPolicy, AttestationDocument, EvidenceKind, EvidenceSet, ImageManifest, Receipt,
    ReceiptPublicKey, ReferenceValues, Transcript, TrustRoots, VerificationCache, appraise_evidence, verify_ear,
};

use crate::Target;
use crate::fixed::{NOW, OCSP_ISSUER, OCSP_SUBJECT, QUOTE, SNP_REPORT, VCEK, fixed, snp_endorsements};
use crate::paying;

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "evidence_kind", run: evidence_kind },
    Target { name: "snp_report", run: snp_report },
    Target { name: "snp_certificate", run: snp_certificate },
    Target { name: "snp_crl", run: snp_crl },
    Target { name: "tdx_quote", run: tdx_quote },
    Target { name: "tdx_collateral", run: tdx_collateral },
    Target { name: "gpu_report", run: gpu_report },
    Target { name: "gpu_opaque", run: gpu_opaque },
    Target { name: "gpu_json", run: gpu_json },
    Target { name: "gpu_chain", run: gpu_chain },
    Target { name: "rim", run: rim },
    Target { name: "ocsp", run: ocsp },
    Target { name: "azure_json", run: azure_json },
    Target { name: "azure_hcl", run: azure_hcl },
    Target { name: "azure_tpm", run: azure_tpm },
    Target { name: "eventlog", run: eventlog },
    Target { name: "dstack_log", run: dstack_log },
    Target { name: "ovmf", run: ovmf },
    Target { name: "document", run: document },
    Target { name: "bundle", run: bundle },
    Target { name: "evidence_set", run: evidence_set },
    Target { name: "receipt", run: receipt },
    Target { name: "policy", run: policy },
    Target { name: "roots", run: roots },
    Target { name: "ear", run: ear },
    Target { name: "reference_values", run: reference_values },
    Target { name: "manifest", run: manifest },
    Target { name: "pe", run: pe },
    Target { name: "spend_proof", run: paying::spend_proof },
    Target { name: "verifying_params", run: paying::verifying_params },
    Target { name: "reserve_request", run: paying::reserve_request },
    Target { name: "log_page", run: paying::log_page },
    Target { name: "zkey", run: paying::zkey },
];

fn evidence_kind(data: &[u8]) {
    let _ = EvidenceKind::of(data);
}

/// The report, and when it parses the whole appraisal.
fn snp_report(data: &[u8]) {
    if SnpReport::parse(data).is_err() {
        return;
    }
    assert_eq!(data.len(), snp::REPORT_LEN, "a report has one length");
    let (fixed, endorsements) = (fixed(), snp_endorsements(VCEK, None));
    let mut transcript = Transcript::new();
    let verdict =
        snp::appraise(data, &endorsements, &fixed.roots, &fixed.policy, NOW, &fixed.cache.snp, &mut transcript);
    assert_eq!(verdict.is_ok(), data == SNP_REPORT, "nothing but the capture is genuine");
}

/// Certificate and its AMD extensions.
fn snp_certificate(data: &[u8]) {
    let (fixed, endorsements) = (fixed(), snp_endorsements(data, None));
    let mut transcript = Transcript::new();
    let cache = snp::SnpCache::default();
    let verdict = snp::appraise(SNP_REPORT, &endorsements, &fixed.roots, &fixed.policy, NOW, &cache, &mut transcript);
    assert_eq!(verdict.is_ok(), data == VCEK, "nothing but the capture is genuine");
}

fn snp_crl(data: &[u8]) {
    const WITH_CRL: &str = include_str!("../../policies/strict.toml");
    let policy = AppraisalPolicy::from_toml(WITH_CRL).expect("invariant: the shipped policy parses");
    let endorsements = snp_endorsements(VCEK, Some(data));
    let (fixed, cache) = (fixed(), snp::SnpCache::default());
    let verdict = snp::appraise(SNP_REPORT, &endorsements, &fixed.roots, &policy, NOW, &cache, &mut Transcript::new());
    assert!(verdict.is_err(), "no list of Turin's root is public");
}

/// The quote, its PEM chain, and as much of the appraisal as it carries.
fn tdx_quote(data: &[u8]) {
    if TdQuote::parse(data).is_err() {
        return;
    }
    let fixed = fixed();
    let mut transcript = Transcript::new();
    let _ = tdx::appraise(data, &fixed.collateral, &fixed.roots, &fixed.policy, NOW, &fixed.cache.tdx, &mut transcript);
}

fn tdx_collateral(data: &[u8]) {
    let Ok(collateral) = TdxCollateral::from_json(data) else { return };
    let fixed = fixed();
    let cache = tdx::TdxCache::default();
    let _ = tdx::appraise(QUOTE, &collateral, &fixed.roots, &fixed.policy, NOW, &cache, &mut Transcript::new());
}

fn gpu_report(data: &[u8]) {
    let _ = GpuReport::parse(data);
}

fn gpu_opaque(data: &[u8]) {
    let _ = OpaqueData::parse(data);
}

fn gpu_json(data: &[u8]) {
    let _ = GpuEvidence::list_from_json(data);
}

fn gpu_chain(data: &[u8]) {
    let fixed = fixed();
    let Ok(report) = GpuReport::parse(&fixed.gpu_report) else { return };
    let evidence = [GpuEvidence { report: fixed.gpu_report.clone(), certificate_chain: data.to_vec() }];
    let (endorsements, cache) = (GpuEndorsements::default(), gpu::GpuCache::default());
    let mut transcript = Transcript::new();
    let (roots, policy) = (&fixed.roots, &fixed.policy);
    let _ = gpu::appraise(&evidence, &endorsements, &report.nonce, roots, policy, NOW, &cache, &mut transcript);
}

fn rim(data: &[u8]) {
    let _ = gpu::verify_rim(data, &fixed().roots, NOW);
}

fn ocsp(data: &[u8]) {
    let answer = OcspAnswer { response: data.to_vec(), nonce: None };
    let _ = gpu::ocsp_is_good(&answer, OCSP_SUBJECT, OCSP_ISSUER, NOW);
}

fn azure_json(data: &[u8]) {
    let _ = VtpmEvidence::from_json(data);
}

fn azure_hcl(data: &[u8]) {
    if let Ok(report) = HclReport::parse(data) {
        let _ = RuntimeClaims::parse(&report.runtime_claims);
    }
    let _ = RuntimeClaims::parse(data);
}

fn azure_tpm(data: &[u8]) {
    let _ = TpmQuote::parse(data);
}

fn eventlog(data: &[u8]) {
    if let Ok(log) = EventLog::parse(data) {
        let _ = (log.replay_rtmrs(), log.replay_pcrs_sha256(), log.replay_pcrs_sha384(), log.verify_data());
    }
}

fn dstack_log(data: &[u8]) {
    if let Ok(log) = DstackEventLog::from_json(data) {
        let _ = (log.replay_rtmrs(), log.verify_data());
    }
}

fn ovmf(data: &[u8]) {
    if let Ok(image) = OvmfImage::parse(data) {
        let _ = (image.sev_sections(), image.tdvf_sections(), image.hash_table_area(), image.sev_es_reset_eip());
    }
}

fn document(data: &[u8]) {
    if let Ok(document) = AttestationDocument::from_json(data) {
        let again = AttestationDocument::from_json(&document.to_json());
        assert_eq!(again.as_ref(), Ok(&document), "a document survives being written and read");
    }
}

/// A bundle with its own policy and roots, replayed.
fn bundle(data: &[u8]) {
    let Ok(bundle) = AppraisalBundle::from_json(data) else { return };
    let Ok((roots, policy)) = bundle.trust() else { return };
    let cache = VerificationCache::default();
    let at = bundle.appraised_at;
    let _ = appraise_evidence(&bundle.evidence, &roots, &policy, at, &cache, &mut Transcript::new());
}

fn evidence_set(data: &[u8]) {
    let Ok(set) = serde_json::from_slice::<EvidenceSet>(data) else { return };
    let (fixed, cache) = (fixed(), VerificationCache::default());
    let _ = appraise_evidence(&set, &fixed.roots, &fixed.policy, NOW, &cache, &mut Transcript::new());
}

fn receipt(data: &[u8]) {
    let _ = Receipt::from_json(data);
}

fn policy(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = AppraisalPolicy::from_toml(text);
    }
}

fn roots(data: &[u8]) {
    let _ = TrustRoots::named(data);
}

fn ear(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(verify_ear(text, &[7; 32]).is_err(), "nobody has this key");
    }
}

/// The envelope, which no key here opens, and the statement inside it, which has one spelling.
fn reference_values(data: &[u8]) {
    assert!(ReferenceValues::verify(data, &[ReceiptPublicKey([7; 32])], NOW).is_err(), "nobody has this key");
    if let Ok(values) = ReferenceValues::from_corim(data) {
        assert_eq!(values.to_corim().as_deref(), Ok(data), "a statement has one spelling");
    }
}

fn manifest(data: &[u8]) {
    if let Ok(manifest) = ImageManifest::from_json(data) {
        let text = manifest.to_json().expect("invariant: what was read is canonical");
        assert_eq!(text, data, "a manifest has one spelling");
    }
}

/// The image, its digests, and as much of a boot as it carries.
fn pe(data: &[u8]) {
    if let Ok(image) = PeImage::parse(data) {
        let _ = (image.authenticode_sha256(), image.authenticode_sha384());
        assert_eq!(predict_uki(data).is_ok(), predict_pcr4_from_disk(data).is_ok(), "one parser under both");
    }
}
