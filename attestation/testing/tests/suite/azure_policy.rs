//! Azure evidence as a whole: the vTPM's statements against `[azure]`, and the hardware report under them against its own
//! platform's tables.

use std::fs;

use attestation::azure::VtpmEvidence;
use attestation::tdx::TdxCollateral;
use attestation::{
    AttestationResult, Base64, CpuEvidenceSet, DEMO_POLICY, EvidenceSet, NonceHex, Rejection, SnpEndorsements,
    Transcript, TrustRoots, VerificationCache, appraise_evidence, vendor_certificates,
};

use attestation_testing::AcceptedCase;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::azure_chain::made_here;
use crate::support::{CAPTURED_POLICY, code, parse_policy, pki, roots_of, snp_of, unix_time, vectors, with_item};

/// Where the hardware report stands in an HCL report.
const REPORT_AT: usize = 32;
const SNP_NONCE: &str = "6174746573746174696f6e2d746573742d66697874757265";

/// The captured SNP machine, with what it carries as endorsement.
fn snp() -> EvidenceSet {
    let bytes = fs::read(vectors().join("azure-vtpm/snp-milan-live/evidence.json")).unwrap();
    let vcek = VtpmEvidence::from_json(&bytes).unwrap().vcek.unwrap();
    let published = vendor_certificates(attestation::Product::Milan, attestation::snp::SigningKey::Vcek);
    let endorsements = SnpEndorsements {
        vek: Base64(vcek),
        intermediate: Base64(published.intermediate.to_vec()),
        root: Base64(published.root.to_vec()),
        crl: None,
    };
    let cpu = CpuEvidenceSet::AzureVtpm {
        evidence: Base64(bytes),
        nonce: Some(SNP_NONCE.parse::<NonceHex>().unwrap()),
        intermediates: Vec::new(),
        snp: Some(endorsements),
        tdx: None,
    };
    EvidenceSet { cpu: Some(cpu), ..EvidenceSet::default() }
}

/// The captured TDX machine, whose attestation key the provider certified.
fn tdx() -> EvidenceSet {
    let bytes = fs::read(vectors().join("azure-vtpm/tdx-flashbots-1764662251/evidence.json")).unwrap();
    let collateral =
        fs::read(vectors().join("tdx/collateral/90c06f000000-2025-11-17-eval18-5cc73c.coll.json")).unwrap();
    let cpu = CpuEvidenceSet::AzureVtpm {
        evidence: Base64(bytes),
        nonce: Some(NonceHex(vec![0; 32])),
        intermediates: azure_cas(),
        snp: None,
        tdx: Some(Box::new(TdxCollateral::from_json(&collateral).unwrap())),
    };
    EvidenceSet { cpu: Some(cpu), ..EvidenceSet::default() }
}

fn azure_cas() -> Vec<Base64> {
    let folder = fs::read_dir(vectors().join("trust/azure")).unwrap();
    folder.map(|entry| Base64(fs::read(entry.unwrap().path()).unwrap())).collect()
}

fn judge(set: &EvidenceSet, policy: &str, at: &str) -> Result<AttestationResult, Rejection> {
    let (roots, cache) = (TrustRoots::vendor(), VerificationCache::default());
    appraise_evidence(set, &roots, &parse_policy(policy), unix_time(at), &cache, &mut Transcript::new())
}

const SNP_AT: &str = "2026-07-01T00:00:00Z";
const TDX_AT: &str = "2025-12-02T08:00:00Z";

#[test]
fn both_captures_are_accepted_down_to_their_hardware() {
    let result = judge(&snp(), CAPTURED_POLICY, SNP_AT).unwrap();
    assert!(result.claim("snp.launch_digest").is_some() && result.claim("azure.pcrs").is_some());
    let result = judge(&tdx(), CAPTURED_POLICY, TDX_AT).unwrap();
    assert!(result.claim("tdx.mr_td").is_some() && result.claim("azure.pcrs").is_some());
}

#[test]
fn each_item_of_the_azure_table_can_fail() {
    let pcrs = judge(&snp(), CAPTURED_POLICY, SNP_AT).unwrap().claim("azure.pcrs").unwrap().value.clone();
    let pcr0 = pcrs[0].as_str().unwrap().strip_prefix("0:").unwrap().to_owned();
    let table = |value: &str| format!("{{ \"0\" = [\"{value}\"] }}");
    let rows = [
        ("azure.pcrs", table(&pcr0), "ok"),
        ("azure.pcrs", table(&"00".repeat(32)), "azure.pcr_not_allowed"),
        ("azure.console", "\"forbidden\"".to_owned(), "azure.console_enabled"),
        ("azure.secure_boot", "\"required\"".to_owned(), "ok"),
        ("azure.ak_certificate", "\"required\"".to_owned(), "azure.ak_certificate_missing"),
    ];
    for (item, value, expected) in rows {
        let policy = with_item(CAPTURED_POLICY, item, &value);
        assert_eq!(code(&judge(&snp(), &policy, SNP_AT)), expected, "{item} = {value}");
    }
    for senseless in ["{ }", "{ \"24\" = [] }", "{ \"00\" = [] }"] {
        let text = with_item(CAPTURED_POLICY, "azure.pcrs", senseless);
        assert!(attestation::AppraisalPolicy::from_toml(&text).is_err(), "{senseless}");
    }
}

#[test]
fn a_certified_attestation_key_is_accepted_and_needs_its_chain() {
    let policy = with_item(CAPTURED_POLICY, "azure.ak_certificate", "\"required\"");
    let result = judge(&tdx(), &policy, TDX_AT).unwrap();
    assert_eq!(result.claim("azure.ak_certified").unwrap().value, true);
    assert!(result.unchecked().contains(&"azure.ak_revocation"), "nobody asks whether the key was taken back");
    let with_intermediates = |list: Vec<Base64>| {
        let mut set = tdx();
        if let Some(CpuEvidenceSet::AzureVtpm { intermediates, .. }) = &mut set.cpu {
            *intermediates = list;
        }
        set
    };
    assert_eq!(code(&judge(&with_intermediates(Vec::new()), &policy, TDX_AT)), "azure.ak_certificate_chain");
    let many = vec![azure_cas()[0].clone(); 9];
    assert_eq!(code(&judge(&with_intermediates(many), &policy, TDX_AT)), "azure.evidence_malformed");
}

/// The vTPM's word is worth what the hardware report under it is worth.
#[test]
fn nothing_is_accepted_without_its_hardware() {
    let mut without = snp();
    if let Some(CpuEvidenceSet::AzureVtpm { snp, .. }) = &mut without.cpu {
        *snp = None;
    }
    assert_eq!(code(&judge(&without, CAPTURED_POLICY, SNP_AT)), "evidence.part_missing");
    let no_milan = with_item(CAPTURED_POLICY, "snp.report.products", "[\"Genoa\"]");
    assert_eq!(code(&judge(&snp(), &no_milan, SNP_AT)), "snp.product_not_allowed");
    let mut other_nonce = snp();
    if let Some(CpuEvidenceSet::AzureVtpm { nonce, .. }) = &mut other_nonce.cpu {
        *nonce = Some(NonceHex(vec![1]));
    }
    assert_eq!(code(&judge(&other_nonce, CAPTURED_POLICY, SNP_AT)), "azure.nonce_mismatch");
    let mut unnamed = snp();
    if let Some(CpuEvidenceSet::AzureVtpm { nonce, .. }) = &mut unnamed.cpu {
        *nonce = None;
    }
    let result = judge(&unnamed, CAPTURED_POLICY, SNP_AT).unwrap();
    assert!(result.unchecked().contains(&"evidence.vtpm_nonce"));
    assert_eq!(code(&judge(&snp(), attestation::DEMO_POLICY, SNP_AT)), "policy.platform_refused");
}

/// A machine made here: our hardware report names our vTPM's claims. Only the level that asked for the report differs.
#[test]
fn only_the_most_privileged_level_speaks_for_the_paravisor() {
    let vtpm = made_here();
    let claims_hash: [u8; 64] = vtpm.hcl_report[REPORT_AT + 0x50..REPORT_AT + 0x90].try_into().unwrap();
    let policy = DEMO_POLICY.replace(
        "azure = \"refused\"",
        "azure = { ak_certificate = \"unchecked\", pcrs = \"unchecked\", secure_boot = \"unchecked\", console = \"unchecked\" }",
    );
    let policy = with_item(&policy, "snp.report.vmpl", "[0, 1]");
    for (vmpl, expected) in [(0, "ok"), (1, "azure.vmpl")] {
        let case = AcceptedCase::new(pki());
        let mut report = case.report.clone();
        (report.vmpl, report.report_data) = (vmpl, claims_hash);
        let mut hcl = vtpm.hcl_report.clone();
        hcl[REPORT_AT..REPORT_AT + 1184].copy_from_slice(&report.sign(pki()));
        let quote = &vtpm.tpm_quote;
        let evidence = serde_json::json!({
            "version": 1,
            "hcl_report": URL_SAFE_NO_PAD.encode(hcl),
            "tpm_quote": {
                "message": hex::encode(&quote.message),
                "signature": hex::encode(&quote.signature),
                "pcrs": quote.pcrs.iter().map(hex::encode).collect::<Vec<_>>(),
            },
        });
        let mut document = case.document();
        let cpu = CpuEvidenceSet::AzureVtpm {
            evidence: Base64(evidence.to_string().into_bytes()),
            nonce: None,
            intermediates: Vec::new(),
            snp: Some(snp_of(&mut document).clone()),
            tdx: None,
        };
        let set = EvidenceSet { cpu: Some(cpu), ..EvidenceSet::default() };
        let (roots, cache) = (roots_of(pki()), VerificationCache::default());
        let verdict = appraise_evidence(&set, &roots, &parse_policy(&policy), case.now, &cache, &mut Transcript::new());
        assert_eq!(code(&verdict), expected, "level {vmpl}");
    }
}
