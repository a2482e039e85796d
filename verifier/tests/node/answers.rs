//! An answer counts when it is complete and its receipt accounts for it, and not before.

use std::sync::Arc;

use attestation::{Event, Hex32, Role, Sha256Digest, Transcript, UnsignedReceipt};
use verifier::exchange::ExchangeError;
use verifier::{Answer, ReceiptBundle, Reply, Session, Tab};

use crate::fake::{COST, FakeNode, Faults, REQUEST, RESERVE, Script, ask, credits, trust};

struct Talk {
    node: FakeNode,
    session: Session,
    tab: Arc<Tab>,
}

impl Talk {
    async fn start() -> Self {
        Self::start_with(Faults::default()).await
    }

    async fn start_with(faults: Faults) -> Self {
        let node = FakeNode::start_with(faults).await;
        let session = node.session().await;
        let tab = node.tab(&session).await;
        Self { node, session, tab }
    }

    /// Sends the request; returns what was shown and how it ended.
    async fn ask(&self, script: Script) -> (Vec<u8>, Result<Answer, ExchangeError>) {
        self.node.play(script);
        let mut shown = Vec::new();
        let answer = self
            .session
            .chat(&self.tab, ask(), &mut Transcript::default(), |bytes| shown.extend_from_slice(bytes))
            .await;
        (shown, answer)
    }
}

fn code(answer: Result<Answer, ExchangeError>) -> String {
    answer.map(|_| "accepted".to_owned()).unwrap_or_else(|error| error.code().to_owned())
}

#[tokio::test]
async fn a_complete_stream_is_shown_and_accounted_for() {
    let talk = Talk::start().await;
    let script = Script::stream();
    let (shown, answer) = talk.ask(script.clone()).await;
    let answer = answer.unwrap();
    assert_eq!(shown, script.pieces.concat());
    assert_eq!(answer.tail, b"data: [DONE]\n\n".as_slice());
    assert_eq!(answer.receipt.usage.cost, credits(COST));
    assert_eq!(talk.tab.charges().receipted, credits(COST));
    let (_, second) = talk.ask(Script::whole()).await;
    assert_eq!(second.unwrap().receipt.usage.running_total, credits(2 * COST));
    let settlement = talk.session.close_tab(&talk.tab).await.unwrap().statement;
    assert_eq!((settlement.charge, settlement.refund), (credits(2 * COST), credits(RESERVE - 2 * COST)));
}

#[tokio::test]
async fn a_whole_body_is_withheld_until_its_receipt_is_verified() {
    let talk = Talk::start().await;
    talk.node.play(Script::whole());
    let Reply::Answer(mut exchange) = talk.session.infer(&talk.tab, ask()).await.unwrap() else { panic!("refused") };
    assert!(!exchange.is_stream());
    assert!(exchange.next().await.unwrap().is_none(), "nothing is shown");
    let answer = exchange.finish(&mut Transcript::default()).await.unwrap();
    assert_eq!(answer.tail, b"{\"choices\":[]}".as_slice());
}

#[tokio::test]
async fn a_receipt_without_trailer_is_fetched_by_its_id() {
    let talk = Talk::start().await;
    let (_, answer) = talk.ask(Script { trailer: false, ..Script::stream() }).await;
    assert_eq!(code(answer), "accepted");
    let (shown, answer) = talk.ask(Script { trailer: false, kept: false, ..Script::stream() }).await;
    assert_eq!(code(answer), "receipt.missing");
    assert!(!shown.ends_with(b"[DONE]\n\n"), "the end marker is withheld");
    assert_eq!(talk.tab.charges().unreceipted, 1);
}

#[tokio::test]
async fn a_stream_without_its_end_marker_is_incomplete_even_with_a_receipt() {
    let talk = Talk::start().await;
    let mut script = Script::stream();
    script.pieces.truncate(3);
    let (_, answer) = talk.ask(script).await;
    let Err(ExchangeError::Incomplete { charged: Some(usage) }) = answer else { panic!("not incomplete") };
    assert_eq!(usage.cost, credits(COST), "the charge is known all the same");
    assert_eq!(talk.tab.charges().unreceipted, 0);
}

/// A connection cut at every byte of the answer: never the end marker, always an error.
#[tokio::test]
async fn a_cut_at_any_byte_is_an_error() {
    let whole = Script::stream().pieces.concat();
    let talk = Talk::start().await;
    for at in 0..=whole.len() {
        let script = Script { pieces: vec![whole[..at].to_vec()], cut: true, trailer: false, ..Script::stream() };
        let (shown, answer) = talk.ask(script).await;
        assert!(answer.is_err(), "cut at {at}");
        assert!(!shown.windows(6).any(|window| window == b"[DONE]"), "cut at {at}");
    }
}

#[tokio::test]
async fn a_broken_answer_still_tells_its_charge() {
    let talk = Talk::start().await;
    let mut script = Script { cut: true, trailer: false, ..Script::stream() };
    script.pieces.truncate(2);
    let (_, answer) = talk.ask(script).await;
    assert!(matches!(answer, Err(ExchangeError::Incomplete { charged: Some(usage) }) if usage.cost == credits(COST)));
}

#[tokio::test]
async fn a_reader_who_leaves_learns_the_charge() {
    let talk = Talk::start().await;
    talk.node.play(Script::stream());
    let Reply::Answer(mut exchange) = talk.session.infer(&talk.tab, ask()).await.unwrap() else { panic!("refused") };
    exchange.next().await.unwrap();
    assert_eq!(exchange.give_up().await.unwrap().usage.cost, credits(COST));
    assert_eq!(talk.tab.charges().unreceipted, 0);
}

#[tokio::test]
async fn bytes_after_the_end_marker_are_refused() {
    let talk = Talk::start().await;
    let mut script = Script::stream();
    script.pieces.push(b"data: {\"more\":1}\n\n".to_vec());
    assert_eq!(code(talk.ask(script).await.1), "stream.malformed");
}

#[tokio::test]
async fn a_refusal_keeps_its_code() {
    let talk = Talk::start().await;
    let (_, answer) = talk.ask(Script { refusal: Some((402, "tab.insufficient")), ..Script::stream() }).await;
    assert_eq!(code(answer), "tab.insufficient");
    assert_eq!(talk.tab.charges().unreceipted, 0, "a refusal is not charged");
}

/// A node that answers with an error, signs that this costs nothing, and charges it all the same: without the receipt the client could not
/// know that the call was not served.
#[tokio::test]
async fn what_a_receipt_of_a_refusal_says_is_held_against_the_settlement() {
    let refused = || Script { refusal: Some((503, "engine.failed")), ..Script::stream() };
    for fetched in [false, true] {
        let talk = Talk::start_with(Faults { overcharge: 1, ..Faults::default() }).await;
        talk.node.play(refused());
        let Reply::Refused(mut refusal) = talk.session.infer(&talk.tab, ask()).await.unwrap() else { panic!() };
        assert_eq!(talk.tab.charges().unreceipted, 1, "it may have been served");
        if fetched {
            for _ in 0..2 {
                let bundle =
                    refusal.receipt(&talk.session, &talk.tab, &mut Transcript::default()).await.unwrap().unwrap();
                assert!(verifier::refusals::is_refusal(&bundle.receipt));
                assert_eq!(talk.tab.charges().unreceipted, 0, "once");
            }
        }
        let closed = talk.session.close_tab(&talk.tab).await;
        assert_eq!(
            closed.err().map(|error| error.code().to_owned()),
            fetched.then(|| "settlement.mismatch".to_owned())
        );
    }
    // A receipt under another id than the one that was announced could take the place of another.
    let talk = Talk::start().await;
    let other = |receipt: &mut UnsignedReceipt| receipt.receipt_id = "rcpt-1".to_owned();
    talk.node.play(Script { fault: Arc::new(other), ..refused() });
    let Reply::Refused(mut refusal) = talk.session.infer(&talk.tab, ask()).await.unwrap() else { panic!() };
    let error = refusal.receipt(&talk.session, &talk.tab, &mut Transcript::default()).await.err().unwrap();
    assert_eq!(error.code(), "receipt.mismatch");
}

fn set(
    kind: &'static str,
    change: impl Fn(&mut Event) + Send + Sync + 'static,
) -> impl Fn(&mut UnsignedReceipt) + Send + Sync {
    move |receipt| {
        let event = receipt.event_log.iter_mut().find(|event| serde_json::to_value(&**event).unwrap()["type"] == kind);
        change(event.unwrap());
    }
}

type Row = (&'static str, Script, &'static str);

/// What the receipt is about.
fn faults_of_subject() -> Vec<Row> {
    let wrong = Sha256Digest([9; 32]);
    vec![
        (
            "request",
            Script::with_fault(set("request.received", move |event| {
                *event = Event::RequestReceived { body_hash: wrong }
            })),
            "receipt.request_mismatch",
        ),
        (
            "response",
            Script::with_fault(set("response.returned", move |event| {
                *event = Event::ResponseReturned { body_hash: wrong }
            })),
            "receipt.response_mismatch",
        ),
        ("endpoint", Script::with_fault(|receipt| receipt.endpoint = "/v1/completions".to_owned()), "receipt.mismatch"),
        ("method", Script::with_fault(|receipt| receipt.method = "GET".to_owned()), "receipt.mismatch"),
        ("id", Script::with_fault(|receipt| receipt.receipt_id = "../../etc/x".to_owned()), "receipt.malformed"),
        (
            "keyset",
            Script::with_fault(move |receipt| receipt.workload_keyset_digest = wrong),
            "receipt.keyset_mismatch",
        ),
        ("model", Script::with_fault(|receipt| receipt.model = Some("large".to_owned())), "receipt.mismatch"),
        (
            "weights",
            Script::with_fault(set("model.weights", move |event| {
                *event = Event::ModelWeights { model: "tiny".to_owned(), weights: wrong }
            })),
            "receipt.mismatch",
        ),
        (
            "unoffered model",
            Script::with_fault(set("model.weights", move |event| {
                *event = Event::ModelWeights { model: "x".to_owned(), weights: wrong }
            })),
            "receipt.mismatch",
        ),
        (
            "machine",
            Script::with_fault(set("attestation.bound", move |event| {
                *event =
                    Event::AttestationBound { report_digest: wrong, launch_digest: "00".to_owned(), role: Role::Keyset }
            })),
            "receipt.mismatch",
        ),
        (
            "no machine",
            Script::with_fault(|receipt| {
                receipt.event_log.retain(|event| !matches!(event, Event::AttestationBound { .. }))
            }),
            "receipt.malformed",
        ),
    ]
}

/// What it costs, and who signed it.
fn faults_of_money_and_signature() -> Vec<Row> {
    vec![
        (
            "no price",
            Script::with_fault(|receipt| receipt.event_log.retain(|event| !matches!(event, Event::CreditSpent { .. }))),
            "receipt.malformed",
        ),
        (
            "price",
            Script::with_fault(set("credit.spent", |event| spent(event, |cost, _, _| *cost += 1))),
            "receipt.cost",
        ),
        (
            "total below cost",
            Script::with_fault(set("credit.spent", |event| spent(event, |cost, total, _| *total = *cost - 1))),
            "receipt.running_total",
        ),
        (
            "total above reserve",
            Script::with_fault(set("credit.spent", |event| spent(event, |_, total, _| *total = RESERVE + 1))),
            "receipt.running_total",
        ),
        (
            "tab",
            Script::with_fault(set("credit.spent", |event| spent(event, |_, _, tab| *tab = Hex32([6; 32])))),
            "receipt.mismatch",
        ),
        ("tokens", Script::with_fault(set("tokens.metered", |event| metered(event, 6, "complete"))), "receipt.tokens"),
        (
            "outcome",
            Script::with_fault(set("tokens.metered", |event| metered(event, 3, "upstream_error"))),
            "stream.incomplete",
        ),
        (
            "signature",
            Script { forgery: |receipt| receipt.signature = "0".repeat(128), ..Script::stream() },
            "receipt.signature",
        ),
        (
            "key",
            Script { forgery: |receipt| receipt.key_id = "other".to_owned(), ..Script::stream() },
            "receipt.key_unknown",
        ),
        ("served_at", Script { forgery: |receipt| receipt.served_at.0 += 1, ..Script::stream() }, "receipt.signature"),
    ]
}

/// One fault per row, each really signed by the node, each with its own code.
#[tokio::test]
async fn one_fault_in_a_receipt_withholds_the_answer() {
    for (name, script, expected) in faults_of_subject().into_iter().chain(faults_of_money_and_signature()) {
        // A tab of its own for each row: one lie must not shadow the next.
        let talk = Talk::start().await;
        let (shown, answer) = talk.ask(script).await;
        assert_eq!(code(answer), expected, "{name}");
        assert!(!shown.ends_with(b"[DONE]\n\n"), "{name}: the end marker is withheld");
    }
}

fn spent(event: &mut Event, change: impl Fn(&mut u64, &mut u64, &mut Hex32)) {
    let Event::CreditSpent { cost, running_total, nullifier, .. } = event else { panic!("not credit.spent") };
    change(cost, running_total, nullifier);
}

fn metered(event: &mut Event, tokens: u64, how: &str) {
    let Event::TokensMetered { completion_tokens, outcome, .. } = event else { panic!("not tokens.metered") };
    *completion_tokens = tokens;
    *outcome = how.to_owned();
}

#[tokio::test]
async fn two_receipts_cannot_charge_the_same_credits() {
    let talk = Talk::start().await;
    assert_eq!(code(talk.ask(Script::stream()).await.1), "accepted");
    // The running total stands still although the cost does not.
    let stuck = Script::with_fault(set("credit.spent", |event| spent(event, |_, total, _| *total = COST)));
    assert_eq!(code(talk.ask(stuck).await.1), "receipt.running_total");
}

#[tokio::test]
async fn a_settlement_that_charges_more_than_the_receipts_is_refused() {
    let talk = Talk::start_with(Faults { overcharge: 1, ..Faults::default() }).await;
    let answer = talk.ask(Script::stream()).await.1.unwrap();
    let fetched = talk.session.receipt(&talk.tab, &answer.receipt.receipt.receipt_id).await.unwrap();
    assert_eq!(fetched, answer.receipt.receipt);
    assert!(talk.session.receipt(&talk.tab, "../tabs").await.is_err());
    let error = talk.session.close_tab(&talk.tab).await.err().unwrap();
    assert_eq!(error.code(), "settlement.mismatch");
}

#[tokio::test]
async fn a_stored_receipt_verifies_offline_and_every_change_shows() {
    let talk = Talk::start().await;
    let answer = talk.ask(Script::stream()).await.1.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = answer.bundle.store(dir.path()).unwrap();
    let bytes = std::fs::read(file).unwrap();
    let bundle = ReceiptBundle::from_json(&bytes).unwrap();
    let (trust, at) = (trust(), bundle.receipt.served_at);
    let mut transcript = Transcript::default();
    let verdict = bundle.verify(Some((&trust, at)), &mut transcript).unwrap();
    assert_eq!(verdict.assurance.unwrap().to_string(), "simulated");
    bundle.check_bodies(Some(REQUEST), Some(&Script::stream().pieces.concat()), &mut transcript).unwrap();
    assert!(bundle.check_bodies(Some(b"other"), None, &mut transcript).is_err());
    assert!(bundle.verify(None, &mut transcript).unwrap().assurance.is_none(), "without a policy nothing is anchored");
    let original: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let zeros = "0".repeat(64);
    for (pointer, value, expected) in [
        ("/receipt/signature", "0".repeat(128), "receipt.signature"),
        ("/receipt/model", "other".to_owned(), "receipt.signature"),
        ("/channel/nonce", zeros.clone(), "channel.nonce_mismatch"),
        ("/channel/exporter", zeros.clone(), "channel.report_data_mismatch"),
        ("/channel/leaf_spki_sha256", zeros.clone(), "channel.report_data_mismatch"),
        ("/exchange/request_digest", format!("sha256:{zeros}"), "receipt.request_mismatch"),
        ("/exchange/response_digest", format!("sha256:{zeros}"), "receipt.response_mismatch"),
        ("/exchange/endpoint", "/v1/other".to_owned(), "receipt.mismatch"),
        ("/tab/id", zeros.clone(), "receipt.mismatch"),
        ("/offer/statement/payee", zeros.clone(), "signed.signature"),
        ("/attestation/keyset/tls_public_keys/0/spki_sha256", zeros.clone(), "keyset.digest_mismatch"),
    ] {
        let mut changed = original.clone();
        *changed.pointer_mut(pointer).unwrap() = value.into();
        let bundle = ReceiptBundle::from_json(changed.to_string().as_bytes()).unwrap();
        let error = bundle.verify(Some((&trust, at)), &mut Transcript::default()).unwrap_err();
        assert_eq!(error.code(), expected, "{pointer}");
    }
}
