//! The client in front of ledgers that lie. Each lie is told by a real service over a state or key that an honest ledger
//! would not have, so every signature in it is genuine where the lie needs it to be.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::{Router, serve as serve_router};
use credits::contradiction::ROLLBACK_SLACK_SECS;
use credits::{
    Bytes32, Checkpoint, ClaimRequest, Contradicted, Contradiction, Ledger, LedgerError, LogEntry, MergeRequest,
    RatingRequest, Root, SigningKey, SlashRequest, StakeAct, StakeRequest, UnsignedCheckpoint,
};
use ledger::WitnessedHead;
use ledger_client::{ConnectError, EvidenceSink, Known, LedgerClient, Pins};
use serde_json::{Value, json};
use support::stakes::two_charges;
use support::*;
use tokio::net::TcpListener;

type Edit = fn(&mut Value);
/// What is changed in an answer, and what the client makes of it.
type Lie = (Edit, LedgerError);

/// Evidence against a ledger, in the order in which it was found.
type Kept = Arc<Mutex<Vec<Contradiction>>>;

/// Serves a ledger, with a hand on every answer.
struct Liar {
    url: String,
    /// End of the paths whose answers are edited, and how.
    lie: Arc<Mutex<(&'static str, Edit)>>,
    world: World<ledger::DurableLedger>,
}

impl Liar {
    async fn start() -> Self {
        let world = redb().await;
        let nothing: Edit = |_| ();
        let lie = Arc::new(Mutex::new(("", nothing)));
        let lies = Arc::clone(&lie);
        let answer = move |request: Request, next: Next| {
            let (path_end, edit) = *lies.lock().unwrap();
            let is_edited = request.uri().path().ends_with(path_end);
            async move {
                let (parts, body) = next.run(request).await.into_parts();
                let bytes = to_bytes(body, usize::MAX).await.unwrap();
                let body = match serde_json::from_slice::<Value>(&bytes) {
                    Ok(mut value) if is_edited => {
                        edit(&mut value);
                        Body::from(value.to_string())
                    }
                    _ => Body::from(bytes),
                };
                (parts.status, body)
            }
        };
        let params = published();
        let router = ledger::router(ledger::DurableLedger::clone(&world.ledger), params, WitnessedHead::default());
        let url = serve_on_loopback(router.layer(from_fn(answer))).await;
        Self { url, lie, world }
    }

    fn lie(&self, path_end: &'static str, edit: Edit) {
        *self.lie.lock().unwrap() = (path_end, edit);
    }

    async fn client(&self) -> LedgerClient {
        LedgerClient::connect(&self.url, Pins::from(&self.world.info)).await.unwrap()
    }

    /// A client of this ledger that saw a checkpoint of another with the same key.
    async fn client_that_saw(&self, checkpoint: &Checkpoint) -> LedgerClient {
        let client = self.client().await;
        client.remember(checkpoint).await.unwrap();
        client
    }

    /// The same, and where evidence goes.
    async fn client_with_evidence(&self, seen: &Checkpoint) -> (LedgerClient, Kept) {
        let kept = Kept::default();
        let into = Arc::clone(&kept);
        let evidence = Some(EvidenceSink(Arc::new(move |found| into.lock().unwrap().push(found.clone()))));
        let known = Known { seen: Some(seen.clone()), watch: None, evidence };
        (LedgerClient::connect_known(&self.url, Pins::from(&self.world.info), known).await.unwrap(), kept)
    }
}

async fn serve_on_loopback(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { serve_router(listener, router).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_pinned_ledger_is_connected_to() {
    let liar = Liar::start().await;
    let pins = Pins::from(&liar.world.info);
    assert_eq!(LedgerClient::discover(&liar.url).await.unwrap(), liar.world.info);
    let wrong = [
        Pins { ledger_id: Bytes32([0; 32]), ..pins },
        Pins { ledger_key: Bytes32([0; 32]), ..pins },
        Pins { vk_digest: Bytes32([0; 32]), ..pins },
    ];
    for pins in wrong {
        let refused = LedgerClient::connect(&liar.url, pins).await.map(|_| ());
        assert_eq!(refused, Err(ConnectError::Ledger(LedgerError::IdentityMismatch)));
    }
    // A description whose id does not belong to its keys is not believed even on first use.
    liar.lie("/v1/ledger", |value| value["vk_digest"] = json!("00".repeat(32)));
    let refused = LedgerClient::discover(&liar.url).await;
    assert_eq!(refused, Err(ConnectError::Ledger(LedgerError::IdentityMismatch)));
    liar.lie("/v1/ledger", |value| value["version"] = json!("cloister/ledger/v2"));
    let refused = LedgerClient::discover(&liar.url).await;
    assert_eq!(refused, Err(ConnectError::Ledger(LedgerError::AnswerMalformed)));
    liar.lie("/v1/ledger", |value| value["surprise"] = json!(1));
    let refused = LedgerClient::discover(&liar.url).await;
    assert_eq!(refused, Err(ConnectError::Ledger(LedgerError::AnswerMalformed)));
    let https = liar.url.replace("http://", "https://");
    assert_eq!(LedgerClient::discover(&https).await, Err(ConnectError::HttpsUnsupported));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifying_key_must_be_the_pinned_one() {
    let liar = Liar::start().await;
    let client = liar.client().await;
    assert_eq!(client.proving_key().await.unwrap(), b"pk");
    assert_eq!(client.verifying_key().await.map(|_| ()), Err(LedgerError::AnswerMalformed));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_state_is_a_rollback() {
    let (honest, restored) = (Liar::start().await, Liar::start().await);
    for liar in [&honest, &restored] {
        liar.world.mint(1, 100).await;
    }
    let client = honest.client().await;
    let reservation = client.reserve(honest.world.spend(1, 10).await).await.unwrap();
    assert_eq!(client.newest(), Some(reservation.checkpoint.clone()));
    // The same ledger as it was before the reservation: same key, same log, one entry less.
    let (client, kept) = restored.client_with_evidence(&reservation.checkpoint).await;
    assert_eq!(client.checkpoint(0).await.map(|_| ()), Err(LedgerError::Rollback));
    assert_eq!(client.log(0, 10).await.map(|_| ()), Err(LedgerError::Rollback));
    assert_eq!(client.newest(), Some(reservation.checkpoint.clone()));
    // Both states are kept as the ledger signed them. At one time of its clock they prove nothing by themselves; later they do.
    restored.world.clock.advance(ROLLBACK_SLACK_SECS + 1);
    assert_eq!(client.checkpoint(0).await.map(|_| ()), Err(LedgerError::Rollback));
    let kept = kept.lock().unwrap();
    let judged: Vec<_> = kept.iter().map(|found| found.judge().unwrap()).collect();
    let owed = Contradicted::ProofOwed { from: 1, to: 2 };
    assert_eq!(judged, [owed, owed, Contradicted::Rollback]);
    assert!(kept.iter().all(|found| found.seen == reservation.checkpoint && found.shown.log_size == 1));
    assert!(kept.iter().all(|found| found.ledger_key == honest.world.info.ledger_key));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_must_be_the_one_that_was_asked_and_in_the_log() {
    let lies: [Lie; 6] = [
        (|value| value["entry"]["value"] = json!(9), LedgerError::AnswerMismatch),
        (|value| value["entry"]["claim_seq"] = json!(9), LedgerError::AnswerMismatch),
        (|value| value["entry"]["leaf"] = json!("00".repeat(32)), LedgerError::AnswerMismatch),
        (|value| value["entry"]["mint_seq"] = json!(9), LedgerError::AnswerMismatch),
        (|value| value["entry"]["leaf_index"] = json!(9), LedgerError::InclusionInvalid),
        (|value| value["entry_index"] = json!(0), LedgerError::InclusionInvalid),
    ];
    let liar = Liar::start().await;
    liar.world.mint(1, 100).await;
    let spend = liar.world.spend(1, 50).await;
    liar.world.ledger.reserve(spend.clone()).await.unwrap();
    liar.world.ledger.settle(liar.world.settle(&spend, 50)).await.unwrap();
    let request = ClaimRequest::sign(&payee_key(), &liar.world.info.ledger_id, 0, output(5, 10));
    for (edit, error) in lies {
        liar.lie("/v1/claims", edit);
        assert_eq!(liar.client().await.claim(request.clone()).await.map(|_| ()), Err(error));
    }
    liar.lie("/v1/claims", |_| ());
    let answer = liar.client().await.claim(request).await.unwrap();
    assert_eq!((answer.entry.value, answer.entry.payee), (credits(10), payee_key().public()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_must_be_the_one_that_was_asked_and_in_the_log() {
    let lies: [Lie; 5] = [
        (|value| value["entry"]["inner_next"] = json!("00".repeat(32)), LedgerError::AnswerMismatch),
        (|value| value["entry"]["nullifiers"].as_array_mut().unwrap().reverse(), LedgerError::AnswerMismatch),
        (|value| value["entry"]["leaf"] = json!("00".repeat(32)), LedgerError::AnswerMismatch),
        (|value| value["entry"]["leaf_index"] = json!(9), LedgerError::InclusionInvalid),
        (|value| value["entry_index"] = json!(0), LedgerError::InclusionInvalid),
    ];
    let liar = Liar::start().await;
    liar.world.mint(1, 100).await;
    let (first, second) = (liar.world.spend(1, 50).await, liar.world.spend(2, 50).await);
    let nullifiers = [first.nullifier, second.nullifier];
    let request = MergeRequest { root: first.root, nullifiers, inner_next: first.inner_next, proof: first.proof };
    for (edit, error) in lies {
        liar.lie("/v1/merges", edit);
        assert_eq!(liar.client().await.merge(request.clone()).await.map(|_| ()), Err(error));
    }
    liar.lie("/v1/merges", |_| ());
    let answer = liar.client().await.merge(request.clone()).await.unwrap();
    assert_eq!(answer.entry.nullifiers, request.nullifiers);
}

#[tokio::test(flavor = "multi_thread")]
async fn acts_faults_and_ratings_must_be_those_that_were_asked_and_in_the_log() {
    let liar = Liar::start().await;
    liar.world.mint(1, 100).await;
    let (tab, mut spend) = (SigningKey::from_seed(&[44; 32]), liar.world.spend(1, 50).await);
    spend.context.tab_key = tab.public();
    liar.world.ledger.reserve(spend.clone()).await.unwrap();
    liar.world.ledger.settle(liar.world.settle(&spend, 50)).await.unwrap();
    let id = &liar.world.info.ledger_id;
    let elsewhere: Lie = (|value| value["entry_index"] = json!(0), LedgerError::InclusionInvalid);
    let act = |seq, act| StakeRequest::sign(&payee_key(), id, seq, act);
    let put = act(0, StakeAct::Put { amount: credits(40) });
    let lies: [Lie; 4] = [
        (|value| value["entry"]["act"]["amount"] = json!(41), LedgerError::AnswerMismatch),
        (|value| value["entry"]["seq"] = json!(1), LedgerError::AnswerMismatch),
        (|value| value["entry"]["at"] = json!(1), LedgerError::InclusionInvalid),
        elsewhere.clone(),
    ];
    for (edit, error) in lies {
        liar.lie("/v1/stakes", edit);
        assert_eq!(liar.client().await.stake(put.clone()).await.map(|_| ()), Err(error));
    }
    liar.lie("/v1/stakes", |_| ());
    liar.client().await.stake(put).await.unwrap();
    let settle_key = settle_key().public();
    liar.client().await.stake(act(1, StakeAct::Back { settle_key, until: START + 60 })).await.unwrap();

    let payee = payee_key().public();
    let evidence = two_charges(&liar.world.info, &support::settle_key(), spend.nullifier, [50, 51]);
    let request = SlashRequest { payee, settle_key, evidence, reporter: payee };
    let lies: [Lie; 5] = [
        (|value| value["entry"]["reporter"] = json!("01".repeat(32)), LedgerError::AnswerMismatch),
        (|value| value["entry"]["reward"] = json!(1), LedgerError::AnswerMismatch),
        (|value| value["entry"]["evidence"]["first"]["charge"] = json!(9), LedgerError::AnswerMismatch),
        (|value| value["entry"]["amount"] = json!(41), LedgerError::InclusionInvalid),
        elsewhere.clone(),
    ];
    for (edit, error) in lies {
        liar.lie("/v1/slashes", edit);
        assert_eq!(liar.client().await.slash(request.clone()).await.map(|_| ()), Err(error));
    }
    liar.lie("/v1/slashes", |_| ());
    assert_eq!(liar.client().await.slash(request).await.unwrap().entry.reward, credits(2));

    let request = RatingRequest::sign(&tab, id, spend.nullifier, 4);
    let lies: [Lie; 3] = [
        (|value| value["entry"]["score"] = json!(5), LedgerError::AnswerMismatch),
        (|value| value["entry"]["signature"] = json!("00".repeat(64)), LedgerError::InclusionInvalid),
        elsewhere,
    ];
    for (edit, error) in lies {
        liar.lie("/v1/ratings", edit);
        assert_eq!(liar.client().await.rate(request).await.map(|_| ()), Err(error));
    }
    liar.lie("/v1/ratings", |_| ());
    liar.client().await.rate(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_is_a_fork() {
    let (honest, forked) = (Liar::start().await, Liar::start().await);
    honest.world.mint(1, 100).await;
    let seen = honest.world.ledger.checkpoint(0).await.unwrap().checkpoint;
    // The same key over a log that has another first entry; first no longer, then longer.
    forked.world.mint(2, 100).await;
    let (client, kept) = forked.client_with_evidence(&seen).await;
    assert_eq!(client.checkpoint(0).await.map(|_| ()), Err(LedgerError::Fork));
    forked.world.mint(3, 100).await;
    assert_eq!(client.checkpoint(0).await.map(|_| ()), Err(LedgerError::Fork));
    let judged: Vec<_> = kept.lock().unwrap().iter().map(|found| found.judge()).collect();
    assert_eq!(judged, [Ok(Contradicted::Fork), Ok(Contradicted::ProofOwed { from: 1, to: 2 })]);
    let spend = forked.world.spend(1, 10).await;
    assert_eq!(client.reserve(spend).await.map(|_| ()), Err(LedgerError::Fork));
    assert_eq!(client.newest(), Some(seen));
}

/// A checkpoint that a ledger signed and no longer knows: it cannot prove that it extends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_size_the_ledger_no_longer_has_is_a_rollback() {
    let (honest, empty) = (Liar::start().await, Liar::start().await);
    honest.world.mint(1, 100).await;
    let first = honest.world.ledger.checkpoint(0).await.unwrap().checkpoint;
    honest.world.mint(2, 100).await;
    let second = honest.world.ledger.checkpoint(0).await.unwrap().checkpoint;
    let client = empty.client_that_saw(&first).await;
    assert_eq!(client.remember(&second).await, Err(LedgerError::Rollback));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_tree_that_changes_under_one_log_is_a_fork() {
    let liar = Liar::start().await;
    liar.world.mint(1, 100).await;
    let client = liar.client().await;
    client.checkpoint(0).await.unwrap();
    let newest = client.newest().unwrap();
    let sign = |key: &SigningKey, note_count, note_root| {
        let Checkpoint { ledger_id, log_size, log_root, time, .. } = newest.clone();
        Checkpoint::sign(UnsignedCheckpoint { ledger_id, log_size, log_root, note_count, note_root, time }, key)
    };
    let other_root = sign(&ledger_key(), newest.note_count, Root(credits::Fe::from(7)));
    assert_eq!(client.remember(&other_root).await, Err(LedgerError::Fork));
    let fewer = sign(&ledger_key(), newest.note_count - 1, newest.note_root);
    assert_eq!(client.remember(&fewer).await, Err(LedgerError::Fork));
    let stranger = sign(&SigningKey::from_seed(&[8; 32]), newest.note_count, newest.note_root);
    assert_eq!(client.remember(&stranger).await, Err(LedgerError::CheckpointSignature));
    let elsewhere = Checkpoint { ledger_id: Bytes32([0; 32]), ..newest };
    assert_eq!(client.remember(&elsewhere).await, Err(LedgerError::IdentityMismatch));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_held_against_requests() {
    let liar = Liar::start().await;
    liar.world.mint(1, 100).await;
    let client = liar.client().await;
    let spend = liar.world.spend(1, 10).await;
    let table: [(Edit, LedgerError); 6] = [
        (|v| v["nullifier"] = json!("0".repeat(64)), LedgerError::AnswerMismatch),
        (|v| v["entry_index"] = json!(0), LedgerError::InclusionInvalid),
        (|v| v["inclusion"] = json!([]), LedgerError::InclusionInvalid),
        (|v| v["checkpoint"]["time"] = json!(1), LedgerError::CheckpointSignature),
        (|v| v["checkpoint"]["log_size"] = json!(9), LedgerError::CheckpointSignature),
        (|v| drop(v.as_object_mut().unwrap().remove("inclusion")), LedgerError::AnswerMalformed),
    ];
    for (row, (edit, error)) in table.into_iter().enumerate() {
        liar.lie("/v1/spends", edit);
        assert_eq!(client.reserve(spend.clone()).await.map(|_| ()), Err(error), "row {row}");
    }
    liar.lie("", |_| ());
    client.reserve(spend.clone()).await.unwrap();

    let settle = liar.world.settle(&spend, 4);
    let table: [(Edit, LedgerError); 5] = [
        (|v| v["charge"] = json!(5), LedgerError::AnswerMismatch),
        (|v| v["refund"] = json!(5), LedgerError::InclusionInvalid),
        (|v| v["leaf"] = json!("0".repeat(64)), LedgerError::InclusionInvalid),
        (|v| v["leaf_index"] = json!(9), LedgerError::InclusionInvalid),
        (|v| v["entry_index"] = json!(0), LedgerError::InclusionInvalid),
    ];
    for (row, (edit, error)) in table.into_iter().enumerate() {
        liar.lie("/settle", edit);
        assert_eq!(client.settle(settle.clone()).await.map(|_| ()), Err(error), "settle row {row}");
    }

    let table: [(Edit, LedgerError); 4] = [
        (|v| v["entries"] = json!([]), LedgerError::AnswerMismatch),
        (|v| v["entries"][0]["type"] = json!("gift"), LedgerError::AnswerMalformed),
        (|v| v["entries"][0]["surprise"] = json!(1), LedgerError::AnswerMalformed),
        (
            |v| {
                let entries = v["entries"].as_array_mut().unwrap();
                (0..9).for_each(|_| entries.push(entries[0].clone()));
            },
            LedgerError::AnswerMismatch,
        ),
    ];
    for (row, (edit, error)) in table.into_iter().enumerate() {
        liar.lie("/v1/log", edit);
        assert_eq!(client.log(0, 10).await.map(|_| ()), Err(error), "log row {row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn minted_notes_are_those_asked_for() {
    let liar = Liar::start().await;
    let client = liar.client().await;
    let voucher = liar.world.voucher(1, 100).to_text();
    let request = credits::RedeemRequest { voucher, outputs: vec![output(1, 60), output(2, 40)] };
    let edits: [Edit; 5] = [
        |v| v["entries"][0]["value"] = json!(59),
        |v| v["entries"][0]["mint_seq"] = json!(5),
        |v| v["entries"][1]["leaf"] = json!("0".repeat(64)),
        |v| v["entries"][1]["voucher_id"] = json!("0".repeat(64)),
        |v| drop(v["entries"].as_array_mut().unwrap().pop()),
    ];
    for (row, edit) in edits.into_iter().enumerate() {
        liar.lie("/redeem", edit);
        assert_eq!(client.redeem(request.clone()).await.map(|_| ()), Err(LedgerError::AnswerMismatch), "row {row}");
    }
}

/// The recorded entry keeps the first proof and root; a guardian that restarts may ask with others.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_with_another_proof_is_recognised_by_the_recorded_entry() {
    let liar = Liar::start().await;
    liar.world.mint(1, 100).await;
    let client = liar.client().await;
    let spend = liar.world.spend(1, 10).await;
    let first = client.reserve(spend.clone()).await.unwrap();
    liar.world.mint(2, 100).await;
    let mut again = liar.world.spend_under(liar.world.root().await, 1, 10);
    again.proof = other_good_proof();
    assert_eq!(client.reserve(again.clone()).await.unwrap().entry_index, first.entry_index);
    // An entry of another spend in its place is not believed.
    liar.lie("/v1/log", |value| value["entries"][0]["c_max"] = json!(11));
    assert_eq!(client.reserve(again).await.map(|_| ()), Err(LedgerError::InclusionInvalid));
    let recorded = liar.world.ledger.log(first.entry_index, 1).await.unwrap().entries;
    assert_eq!(recorded, [LogEntry::Reserve(spend.entry())]);
}

/// Many answers in flight arrive in any order; none of them is a rollback.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_overtake_each_other_are_no_rollback() {
    let liar = Liar::start().await;
    liar.world.mint(1, 1_000).await;
    let client = Arc::new(liar.client().await);
    let root = liar.world.root().await;
    let calls: Vec<_> = (0..40)
        .map(|number| {
            let (client, spend) = (Arc::clone(&client), liar.world.spend_under(root, number, 10));
            tokio::spawn(async move { client.reserve(spend).await.map(|_| ()) })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(()));
    }
    assert_eq!(client.newest().unwrap().log_size, 41);
}

/// Requests are repeated while the ledger is not available, and given up in the end.
#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_ledger_is_asked_again() {
    let asked = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&asked);
    let info = info(Bytes32([9; 32]));
    let body = serde_json::to_string(&info).unwrap();
    let answer = move || {
        let mut asked = counter.lock().unwrap();
        *asked += 1;
        let is_up = *asked == 3;
        let answer =
            if is_up { (StatusCode::OK, body.clone()) } else { (StatusCode::SERVICE_UNAVAILABLE, String::new()) };
        async move { answer }
    };
    let url = serve_on_loopback(Router::new().fallback(answer)).await;
    assert_eq!(LedgerClient::discover(&url).await.unwrap(), info);
    assert_eq!(*asked.lock().unwrap(), 3);

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let refused = LedgerClient::discover(&url).await;
    assert_eq!(refused, Err(ConnectError::Ledger(LedgerError::Unavailable)));
}

/// An answer longer than any honest one is not read to its end.
#[tokio::test(flavor = "multi_thread")]
async fn endless_answers_are_cut() {
    let url = serve_on_loopback(Router::new().fallback(async || "x".repeat(1 << 20))).await;
    let refused = LedgerClient::discover(&url).await;
    assert_eq!(refused, Err(ConnectError::Ledger(LedgerError::AnswerMalformed)));
}
