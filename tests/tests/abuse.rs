//! What a paying client may try: each attempt gets its own code, and nobody's credits are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use acceptance::World;
use acceptance::payer::{CHAT, Payer};
use acceptance::raw::Answer;
use acceptance::scripted_engine::{self, ScriptedEngine, Step};
use credits::{Bytes32, SpendProof, TabKey};
use serde_json::json;

async fn started(world: acceptance::WorldBuilder) -> World {
    tokio::task::spawn_blocking(|| world.start().unwrap()).await.unwrap()
}

async fn stopped(world: World) {
    tokio::task::spawn_blocking(move || drop(world)).await.unwrap();
}

fn verdict(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn n28_bad_spends_are_refused_and_reserve_nothing() {
    let world = started(World::builder()).await;
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let spend = payer.prepare(1024, 600).unwrap();
    let good = payer.tab_request(&spend).unwrap();
    let mut bytes = *good.proof.as_bytes();
    bytes[5] ^= 1;
    let altered = |change: &dyn Fn(&mut credits::OpenTabRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let invalid = refused(403, "spend.proof_invalid");
    let malformed = refused(403, "spend.proof_malformed");
    let key = Bytes32([7; 32]);
    let table = [
        (altered(&|request| request.proof = SpendProof::from_bytes([0xff; 128])), malformed.clone(), "garbage"),
        (altered(&|request| request.proof = SpendProof::from_bytes([0; 128])), malformed, "zeros"),
        (altered(&|request| request.tab_key = key), invalid.clone(), "another tab key"),
        (altered(&|request| request.not_after += 1), invalid.clone(), "another end"),
        (altered(&|request| request.c_max = credits::Credits::new(4096).unwrap()), invalid, "another amount"),
        (altered(&|request| request.c_max = credits::Credits::new(1000).unwrap()), refused(400, "tab.tier"), "no tier"),
        (altered(&|request| request.not_after = 1), refused(400, "tab.expired"), "in the past"),
        (altered(&|request| request.not_after += 100_000), refused(400, "tab.too_long"), "too long"),
        (altered(&|request| request.version = "cloister/tab/v2".to_owned()), refused(400, "tab.malformed"), "version"),
    ];
    for (request, expected, what) in table {
        assert_eq!(verdict(&payer.open(&request).await.unwrap()), expected, "{what}");
    }
    let flipped =
        verdict(&payer.open(&altered(&|request| request.proof = SpendProof::from_bytes(bytes))).await.unwrap());
    assert!(flipped.0 == 403 && flipped.1.starts_with("spend.proof_"), "one flipped bit: {flipped:?}");
    assert_eq!(verdict(&payer.open(&good).await.unwrap()), (200, String::new()), "the honest twin opens");
    payer.sync().await.unwrap();
    assert_eq!(payer.balance().1, 1024, "one reservation");
    stopped(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_is_spent_once() {
    let world = started(World::builder()).await;
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let spend = payer.prepare(1024, 600).unwrap();
    let request = payer.tab_request(&spend).unwrap();
    let first = payer.open(&request).await.unwrap();
    assert_eq!(verdict(&first), (200, String::new()));
    let again = payer.open(&request).await.unwrap();
    assert_eq!(again.json(), first.json(), "the same spend again is the same tab");
    // The same note under another context: a genuine proof, for another end.
    let mut other = spend.clone();
    other.context.not_after -= 5;
    other.public.ctx = other.context.digest(other.public.c_max);
    let conflict = payer.tab_request(&other).unwrap();
    assert_eq!(verdict(&payer.open(&conflict).await.unwrap()), refused(403, "credits.spend_conflict"));
    let closed = payer.close(&spend).await.unwrap().json();
    assert_eq!(closed["statement"]["refund"], 1024, "nothing was used");
    assert_eq!(
        verdict(&payer.open(&conflict).await.unwrap()),
        refused(403, "credits.spend_conflict"),
        "after settlement too"
    );
    payer.sync().await.unwrap();
    assert_eq!(payer.balance(), (100_000, 0, 0));
    stopped(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_is_charged_once_however_often_it_arrives() {
    let world = started(World::builder()).await;
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let spend = payer.opened(1024, 600).await.unwrap();
    let first = payer.chat(&spend, "call-1", "hello", 6).await.unwrap();
    assert_eq!(first.status, 200, "{}", first.json());
    let second = payer.chat(&spend, "call-1", "hello", 6).await.unwrap();
    assert_eq!((second.status.as_u16(), &second.body), (200, &first.body), "the same bytes");
    assert_eq!(second.headers["x-receipt-id"], first.headers["x-receipt-id"]);
    let other = payer.chat(&spend, "call-1", "goodbye", 6).await.unwrap();
    assert_eq!(verdict(&other), refused(403, "tab.idempotency_conflict"));
    assert_eq!(other.headers["x-should-retry"], "false");
    let usage = &first.json()["usage"];
    let cost = 10 + usage["prompt_tokens"].as_u64().unwrap() + 4 * usage["completion_tokens"].as_u64().unwrap();
    let settlement = payer.close(&spend).await.unwrap().json();
    assert_eq!(settlement["statement"]["charge"], cost, "charged once");
    assert_eq!(payer.close(&spend).await.unwrap().json(), settlement, "closing again gives the same settlement");
    assert_eq!(verdict(&payer.chat(&spend, "call-2", "hello", 6).await.unwrap()), refused(403, "tab.closed"));
    payer.sync().await.unwrap();
    assert_eq!(payer.balance(), (100_000 - cost, 0, 0));
    stopped(world).await;
}

/// A client that was cut off sends its call again, and again, while the first is still being answered.
#[tokio::test(flavor = "multi_thread")]
async fn one_call_is_charged_once_when_it_arrives_three_times_at_once() {
    let mut world = started(World::builder()).await;
    tokio::task::block_in_place(|| world.kill_engine()).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let script = move |body: &serde_json::Value| {
        count.fetch_add(1, Ordering::SeqCst);
        let steps = if body["stream"] == true {
            scripted_engine::answer(&["hi".to_owned()])
        } else {
            let usage = json!({"prompt_tokens": 10, "completion_tokens": 1});
            let message = json!({"role": "assistant", "content": "hi"});
            scripted_engine::plain(
                &json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}),
            )
        };
        [Step::Pause(Duration::from_millis(400))].into_iter().chain(steps).collect()
    };
    let _engine = ScriptedEngine::start(&world.engine_socket(), Arc::new(script)).unwrap();
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let spend = payer.opened(4096, 600).await.unwrap();
    for (number, stream) in [(1, false), (2, true)] {
        let key = format!("call-{number}");
        let body = json!({"model": "smollm2-135m", "max_tokens": 6, "stream": stream,
            "messages": [{"role": "user", "content": "hello"}]});
        let in_flight = AtomicUsize::new(0);
        let ask = async || loop {
            let tab = &spend.public.nullifier;
            let answer = payer.signed(CHAT, tab, &spend.tab_key, &key, &body).await.unwrap();
            if answer.status == 200 {
                return answer;
            }
            assert_eq!(verdict(&answer), refused(503, "tab.request_in_flight"));
            in_flight.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let (first, second, third) = tokio::join!(ask(), ask(), ask());
        assert!(in_flight.load(Ordering::SeqCst) >= 2, "they were there at once");
        for repeat in [&second, &third] {
            assert_eq!(repeat.body, first.body, "the same bytes");
            assert_eq!(repeat.headers["x-receipt-id"], first.headers["x-receipt-id"]);
        }
        assert_eq!(asked.load(Ordering::SeqCst), number, "the engine was asked once for each call");
    }
    let settlement = payer.close(&spend).await.unwrap().json();
    let statement = &settlement["statement"];
    assert_eq!((&statement["charge"], &statement["requests"]), (&json!(2 * (10 + 10 + 4)), &json!(2)), "{settlement}");
    stopped(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_a_tab_need_its_key_and_stay_within_its_reserve() {
    let world = started(World::builder()).await;
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let spend = payer.opened(1024, 600).await.unwrap();
    let tab = spend.public.nullifier;
    let body = json!({"model": "smollm2-135m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4});
    let stranger = TabKey::generate().unwrap();
    let forged = payer.signed(CHAT, &tab, &stranger, "k", &body).await.unwrap();
    assert_eq!(forged.status, 403);
    assert!(forged.code().starts_with("tab."), "{}", forged.code());
    let large = json!({"model": "smollm2-135m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2000});
    assert_eq!(
        verdict(&payer.signed(CHAT, &tab, &spend.tab_key, "k", &large).await.unwrap()),
        refused(402, "tab.insufficient")
    );
    let other_model = json!({"model": "gpt-9", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(
        verdict(&payer.signed(CHAT, &tab, &spend.tab_key, "k", &other_model).await.unwrap()),
        refused(404, "model_not_found")
    );
    let salted =
        json!({"model": "smollm2-135m", "messages": [{"role": "user", "content": "hi"}], "cache_salt": "mine"});
    assert_eq!(
        verdict(&payer.signed(CHAT, &tab, &spend.tab_key, "k", &salted).await.unwrap()),
        refused(400, "request.unknown_parameter")
    );
    let settlement = payer.close(&spend).await.unwrap().json();
    assert_eq!(settlement["statement"]["charge"], 0, "refused requests cost nothing");
    stopped(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_tab_serves_nothing_and_is_refunded_and_its_receipts_can_be_fetched() {
    let world = started(World::builder().grace_secs(2).tab_secs_max(60)).await;
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let spend = payer.opened(1024, 5).await.unwrap();
    let served = payer.chat(&spend, "early", "hello", 4).await.unwrap();
    assert_eq!(served.status.as_u16(), 200, "{}", served.json());
    tokio::time::sleep(Duration::from_millis(5500)).await;
    let late = payer.chat(&spend, "late", "hello", 4).await.unwrap();
    let (status, code) = verdict(&late);
    assert!(
        ["tab.expired", "tab.closed", "tab.unknown"].contains(&code.as_str()) && [402, 403].contains(&status),
        "{status} {code}"
    );
    tokio::time::sleep(Duration::from_secs(4)).await;
    payer.sync().await.unwrap();
    let receipt_id = served.headers["x-receipt-id"].to_str().unwrap().to_owned();
    let receipt = payer.receipt(&spend, &receipt_id).await.unwrap();
    assert_eq!(receipt.status.as_u16(), 200, "{}", receipt.json());
    let receipt = receipt.json();
    let spent = receipt["event_log"].as_array().unwrap().iter().find(|event| event["type"] == "credit.spent").unwrap();
    let cost = spent["cost"].as_u64().unwrap();
    assert!(cost > 0);
    assert_eq!(payer.balance(), (100_000 - cost, 0, 0), "everything else came back");
    // Its key opens its receipts and nothing else; nobody else's opens them.
    let other = payer.opened(1024, 60).await.unwrap();
    assert_eq!(verdict(&payer.receipt(&other, &receipt_id).await.unwrap()), refused(404, "receipt.not_found"));
    assert_eq!(verdict(&payer.chat(&spend, "again", "hello", 4).await.unwrap()), refused(402, "tab.unknown"));
    stopped(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_holds_a_prompt_or_an_answer() {
    const CANARY: &str = "xylophone-canary-4711";
    let world = started(World::builder()).await;
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let spend = payer.opened(4096, 600).await.unwrap();
    let answer = payer.chat(&spend, "c", CANARY, 8).await.unwrap();
    assert_eq!(answer.status, 200);
    let odd = json!({"model": CANARY, "messages": [{"role": "user", "content": CANARY}], "surprise": CANARY});
    payer.signed(CHAT, &spend.public.nullifier, &spend.tab_key, "d", &odd).await.unwrap();
    payer.close(&spend).await.unwrap();
    let text = answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    let log = world.guardian_log();
    assert!(log.contains("\"ready\""), "the log was read");
    assert!(!log.contains(CANARY) && (text.len() < 8 || !log.contains(&text)));
    let ledger = String::from_utf8_lossy(&std::fs::read(world.dir().join("ledger/ledger.redb")).unwrap()).into_owned();
    assert!(!ledger.contains(CANARY), "nor does the ledger's store");
    stopped(world).await;
}
