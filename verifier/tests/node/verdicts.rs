//! Which nodes are accepted, and what happens before they are.

use attestation::{AppraisalPolicy, Outcome, STRICT_POLICY, Transcript, TrustRoots};
use attestation_testing::NAME_PREFIX;
use verifier::{Error, Exit, Trust, open_session, verify_node};

use crate::fake::{FakeNode, Faults, pki, trust};

async fn verdict(node: &FakeNode, trust: &Trust) -> (Result<(), Error>, Transcript) {
    let mut transcript = Transcript::default();
    let outcome = verify_node(&node.url, trust, node.clock.as_ref(), &mut transcript).await;
    (outcome.map(drop), transcript)
}

#[tokio::test]
async fn a_genuine_node_is_accepted_and_named_simulated() {
    let node = FakeNode::start().await;
    let mut transcript = Transcript::default();
    let channel = verify_node(&node.url, &node.trust, node.clock.as_ref(), &mut transcript).await.unwrap();
    assert_eq!(channel.appraisal().assurance().to_string(), "simulated");
    assert!(transcript.checks.iter().all(|check| check.outcome != Outcome::Fail));
    assert!(transcript.checks[0].detail.contains("X25519MLKEM768"), "{}", transcript.checks[0]);
}

#[tokio::test]
async fn another_root_or_policy_is_a_rejection_with_a_failing_line() {
    let node = FakeNode::start().await;
    let policy = |text| AppraisalPolicy::from_toml(text).unwrap();
    let other = pki().reissued(pki().product(), NAME_PREFIX).unwrap();
    let rows = [
        Trust { roots: TrustRoots::vendor(), ..trust() },
        Trust { roots: TrustRoots::named(other.ark_der()).unwrap(), ..trust() },
        Trust { policy: policy(STRICT_POLICY), ..trust() },
    ];
    for trust in rows {
        let (outcome, transcript) = verdict(&node, &trust).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.exit(), Exit::Rejected, "{error}");
        assert!(transcript.checks.iter().any(|check| check.outcome == Outcome::Fail), "{}", error.code());
    }
}

#[tokio::test]
async fn an_offer_by_another_key_makes_no_session() {
    let node = FakeNode::start_with(Faults { foreign_offer_key: true, ..Faults::default() }).await;
    let outcome = open_session(&node.url, &node.trust, &node.clock, &mut Transcript::default()).await;
    let error = outcome.err().unwrap();
    assert_eq!((error.exit(), error.code()), (Exit::Rejected, "signed.key_unknown"));
}

#[tokio::test]
async fn nobody_there_is_unavailable_with_a_hint() {
    let url = "https://127.0.0.1:1".parse().unwrap();
    let node = FakeNode::start().await;
    let error = verify_node(&url, &node.trust, node.clock.as_ref(), &mut Transcript::default()).await.err().unwrap();
    assert_eq!((error.exit().code(), error.code()), (50, "node.unreachable"));
    assert!(error.hint().is_some());
}
