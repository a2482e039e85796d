//! Attestation results as tokens: what they claim, and that nothing but the verifier's key makes one.

use attestation::{
    Base64, CpuEvidenceSet, EAR_PROFILE, EarError, EvidenceSet, Rejection, Transcript, UnixTime, VerificationCache,
    VerifierKey, appraise_evidence, sign_ear, verify_ear,
};
use attestation_testing::AcceptedCase;
use serde_json::Value;

use crate::support::{demo_policy, parse_policy, pki, roots_of, snp_of, with_item};

fn key() -> VerifierKey {
    VerifierKey::from_seed(&[0x41; 32]).unwrap()
}

/// The submodule of an accepted report under the demo policy with one item replaced.
fn accepted_submodule(item: Option<(&str, &str)>) -> Value {
    let case = AcceptedCase::new(pki());
    let mut document = case.document();
    let cpu = CpuEvidenceSet::SevSnp {
        report: Base64(document.evidence.report.0.clone()),
        endorsements: snp_of(&mut document).clone(),
    };
    let set = EvidenceSet { cpu: Some(cpu), ..EvidenceSet::default() };
    let policy = match item {
        None => demo_policy(),
        Some((item, value)) => parse_policy(&with_item(attestation::DEMO_POLICY, item, value)),
    };
    let (roots, cache) = (roots_of(case.pki), VerificationCache::default());
    let result = appraise_evidence(&set, &roots, &policy, case.now, &cache, &mut Transcript::new()).unwrap();
    let claims = verify_ear(&sign_ear(Ok(&result), case.now, UnixTime(7), &key()), &key().public()).unwrap();
    assert_eq!((claims["eat_profile"].as_str(), claims["iat"].as_u64()), (Some(EAR_PROFILE), Some(7)));
    assert_eq!(claims["cloister_appraised_at"], case.now.0);
    assert_eq!(claims["cloister_unchecked"], serde_json::json!(["evidence.report_data", "evidence.gpu"]));
    assert_eq!(claims["ear_status"], "affirming");
    claims["submods"]["sev-snp"].clone()
}

#[test]
fn a_token_affirms_what_was_checked_and_nothing_else() {
    let submodule = accepted_submodule(None);
    let vector = &submodule["ear_trustworthiness_vector"];
    assert_eq!((vector["hardware"].as_u64(), vector["executables"].as_u64()), (Some(2), Some(3)));
    // The demo policy waives machine ids and two guest bits: nothing is claimed about identity and configuration.
    assert_eq!((vector["instance-identity"].as_u64(), vector["configuration"].as_u64()), (Some(0), Some(0)));
    assert_eq!(vector["sourced-data"], 0);
    assert_eq!(submodule["ear_verifier_claims"]["cloister_assurance"], "simulated");
    assert_eq!(submodule["ear_verifier_claims"]["cloister_unchecked"].as_array().unwrap().len(), 11);
    assert_eq!(submodule["ear_attester_claims"]["snp.vmpl"], 0);
    assert!(submodule["ear_attester_claims"].get("snp.product").is_none(), "a conclusion is the verifier's claim");
    let waived = accepted_submodule(Some(("snp.report.launch_digests", "\"unchecked\"")));
    assert_eq!(waived["ear_trustworthiness_vector"]["executables"], 0);
    let waived = accepted_submodule(Some(("snp.tcb.provisional", "\"unchecked\"")));
    assert_eq!(waived["ear_trustworthiness_vector"]["hardware"], 0);
    let named = format!("[\"{}\"]", hex::encode(pki().chip_id()));
    let pinned = accepted_submodule(Some(("snp.report.chip_ids", &named)));
    assert_eq!(pinned["ear_trustworthiness_vector"]["instance-identity"], 2);
}

#[test]
fn a_refusal_is_contraindicated_or_says_nothing() {
    let rows = [
        (Rejection::DebugAllowed, "contraindicated", 96),
        (Rejection::ReportVersion { got: 9 }, "none", 0),
        (Rejection::ReportLength { got: 1, expected: 1184 }, "none", 0),
    ];
    for (rejection, status, hardware) in rows {
        let token = sign_ear(Err(&rejection), UnixTime(1), UnixTime(1), &key());
        let claims = verify_ear(&token, &key().public()).unwrap();
        let attester = &claims["submods"]["attester"];
        assert_eq!((claims["ear_status"].as_str(), attester["ear_status"].as_str()), (Some(status), Some(status)));
        assert_eq!(attester["ear_trustworthiness_vector"]["hardware"], hardware);
        assert_eq!(attester["ear_verifier_claims"]["cloister_rejection"], rejection.code());
    }
}

#[test]
fn only_the_named_key_makes_a_token() {
    let token = sign_ear(Err(&Rejection::DebugAllowed), UnixTime(1), UnixTime(1), &key());
    let other = VerifierKey::from_seed(&[0x42; 32]).unwrap();
    assert_eq!(verify_ear(&token, &other.public()), Err(EarError::Signature));
    let parts: Vec<&str> = token.split('.').collect();
    // {"alg":"EdDSA","crit":["x"]}
    let critical = format!("eyJhbGciOiJFZERTQSIsImNyaXQiOlsieCJdfQ.{}.{}", parts[1], parts[2]);
    assert_eq!(verify_ear(&critical, &key().public()), Err(EarError::Malformed));
    // {"alg":"none"} and {"alg":"HS256"}: the header cannot choose.
    for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiJ9"] {
        let forged = format!("{header}.{}.{}", parts[1], parts[2]);
        assert_eq!(verify_ear(&forged, &key().public()), Err(EarError::Algorithm));
    }
    for malformed in ["", "a", "a.b", "a.b.c", &format!("{}.{}.", parts[0], parts[1]), &format!("{token}=")] {
        assert_eq!(verify_ear(malformed, &key().public()), Err(EarError::Malformed), "{malformed}");
    }
    assert!(!format!("{:?}", key()).contains(&hex::encode([0x41; 32])), "the seed is not shown");
}
