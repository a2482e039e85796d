//! The transcript: one line per check, in order, stable names, and a FAIL line for every refusal.

use attestation::{Outcome, Transcript};
use attestation_testing::AcceptedCase;

use crate::support::{demo_policy, pki, roots_of};

fn accepted() -> Transcript {
    let case = AcceptedCase::new(pki());
    let mut transcript = Transcript::new();
    let document = case.document();
    attestation::appraise(&document, &roots_of(pki()), &demo_policy(), case.now, &mut transcript)
        .unwrap()
        .bind_channel(&case.view, &mut transcript)
        .unwrap();
    transcript
}

#[test]
fn checks_are_made_in_the_specified_order() {
    let ids: Vec<&str> = accepted().checks.iter().map(|check| check.id).collect();
    let milestones = [
        "snp.report.decode",
        "snp.chain.verify",
        "snp.chain.endorses_report",
        "snp.chain.revocation",
        "snp.report.signature",
        "snp.report.product",
        "snp.guest.debug",
        "snp.tcb.order",
        "snp.platform.alias_check",
        "snp.report.launch_digest",
        "keyset.digest",
        "keyset.lifetime",
        "channel.role",
        "channel.nonce",
        "channel.batch_path",
        "channel.report_data",
        "channel.spki",
    ];
    let positions: Vec<usize> = milestones
        .iter()
        .map(|id| ids.iter().position(|found| found == id).unwrap_or_else(|| panic!("{id}")))
        .collect();
    assert!(positions.is_sorted(), "{ids:?}");
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "every check is made once");
}

#[test]
fn an_accepted_case_has_no_fail_line() {
    assert!(accepted().checks.iter().all(|check| check.outcome != Outcome::Fail));
    let text = accepted().to_string();
    assert!(text.lines().all(|line| line.starts_with("PASS ") || line.starts_with("SKIP ")), "{text}");
    let json = serde_json::to_value(accepted()).unwrap();
    assert_eq!(json[0]["outcome"], "PASS");
    assert_eq!(json[0]["id"], "snp.report.decode");
}

#[test]
fn a_refusal_names_what_was_found_and_what_was_wanted() {
    let mut case = AcceptedCase::new(pki());
    case.report.policy |= 1 << 19;
    case.report.launch_tcb.snp -= 1;
    let mut transcript = Transcript::new();
    let document = case.document();
    let refused = attestation::appraise(&document, &roots_of(pki()), &demo_policy(), case.now, &mut transcript);
    assert_eq!(refused.unwrap_err().code(), "snp.debug_allowed", "the first failure is the verdict");
    let failed: Vec<_> = transcript.checks.iter().filter(|check| check.outcome == Outcome::Fail).collect();
    assert_eq!(failed.len(), 2, "later policy checks are still made");
    assert_eq!(failed[1].id, "snp.tcb.launch");
    let found = "launch TCB bl 10 tee 0 snp 27 ucode 86 is below the policy minimum bl 10 tee 0 snp 28 ucode 86";
    assert!(failed[1].detail.starts_with(found), "{}", failed[1].detail);
    assert!(failed[0].detail.ends_with("; the policy says Forbidden"), "{}", failed[0].detail);
    assert!(!transcript.checks.iter().any(|check| check.id.starts_with("keyset.")), "and nothing after the policy");
}

#[test]
fn exit_codes_tell_three_situations_apart() {
    use attestation::Rejection;
    for (rejection, exit) in [
        (Rejection::DebugAllowed, 10),
        (Rejection::ReportVersion { got: 6 }, 20),
        (Rejection::ReportLength { got: 1, expected: 1184 }, 30),
    ] {
        assert_eq!(rejection.exit_code(), exit);
    }
}
