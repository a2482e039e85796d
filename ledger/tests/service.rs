//! The service seen as bytes: what is refused before the ledger is asked, and in which words.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use credits::{
    Bytes32, Evidence, Fe, Ledger, LedgerError, Nullifier, RatingRequest, SlashRequest, StakeAct, StakeRequest,
};
use serde_json::{Value, json};
use support::stakes::bill;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Service {
    address: String,
    world: World<ledger::DurableLedger>,
}

impl Service {
    async fn start() -> Self {
        let world = redb().await;
        let url = serve(ledger::DurableLedger::clone(&world.ledger)).await;
        Self { address: url.trim_start_matches("http://").to_owned(), world }
    }

    async fn call(&self, method: &str, target: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: ledger\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The service may answer, and close, before it has read a body that is too long.
        let _sent = stream.write_all(body).await;
        let mut answer = Vec::new();
        let _received = stream.read_to_end(&mut answer).await;
        let split = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head");
        let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
        (status, answer.split_off(split + 4))
    }

    async fn json(&self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        let (status, answer) = self.call(method, target, &serde_json::to_vec(body).unwrap()).await;
        (status, serde_json::from_slice(&answer).unwrap())
    }

    async fn code(&self, method: &str, target: &str, body: &Value) -> (u16, String) {
        let (status, answer) = self.json(method, target, body).await;
        let error = answer["error"].as_object().expect("a refusal has an error");
        assert_eq!(error.keys().collect::<Vec<_>>(), ["code", "message"]);
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
        (status, error["code"].as_str().unwrap().to_owned())
    }
}

fn malformed() -> (u16, String) {
    (400, "ledger.malformed".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_calls_answer_as_the_protocol_says() {
    let service = Service::start().await;
    let (status, info) = service.json("GET", "/v1/ledger", &json!({})).await;
    assert_eq!(status, 200);
    assert_eq!(info, serde_json::to_value(&service.world.info).unwrap());
    assert_eq!(service.call("GET", "/v1/params/proving-key", b"").await, (200, b"pk".to_vec()));
    assert_eq!(service.call("GET", "/v1/params/verifying-key", b"").await, (200, b"vk".to_vec()));
    service.world.mint(1, 100).await;
    let (_, answer) = service.json("GET", "/v1/checkpoint?from=1", &json!({})).await;
    assert_eq!((&answer["checkpoint"]["log_size"], &answer["consistency"]), (&json!(1), &json!([])));
    let (_, page) = service.json("GET", "/v1/log?from=0&limit=5", &json!({})).await;
    assert_eq!(page["entries"][0]["type"], "mint");
    assert_eq!(page["entries"][0]["value"], 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_strict() {
    let service = Service::start().await;
    for target in [
        "/v1/log?from=-1",
        "/v1/log?from=x",
        "/v1/log?from=0&limit=0",
        "/v1/log?from=0&limit=1001",
        "/v1/log?from=0&surprise=1",
        "/v1/log?from=0&from=1",
        "/v1/checkpoint?from=18446744073709551616",
        "/v1/checkpoint?size=0",
    ] {
        assert_eq!(service.code("GET", target, &json!({})).await, malformed(), "{target}");
    }
    let not_found = (404, "ledger.not_found".to_owned());
    for target in
        ["/v1/checkpoint?from=1", "/v1/checkpoint?from=0&to=1", "/v1/log?from=1", "/v1/spends", "/v2/ledger", "/"]
    {
        let method = if target == "/v1/spends" { "POST" } else { "GET" };
        let expected = if method == "POST" { malformed() } else { not_found.clone() };
        assert_eq!(service.code(method, target, &json!({})).await, expected, "{target}");
    }
    assert_eq!(service.code("DELETE", "/v1/ledger", &json!({})).await.0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_strict_and_bounded() {
    let service = Service::start().await;
    service.world.mint(1, 100).await;
    let spend = service.world.spend(1, 10).await;
    let good = serde_json::to_value(&spend).unwrap();
    type Fault = fn(&mut Value);
    let faults: [(&str, Fault); 9] = [
        ("unknown member", |v| v["surprise"] = json!(1)),
        ("unknown member of the context", |v| v["context"]["surprise"] = json!(1)),
        ("missing member", |v| drop(v.as_object_mut().unwrap().remove("proof"))),
        ("nullifier not canonical", |v| v["nullifier"] = json!("f".repeat(64))),
        ("nullifier in upper case", |v| v["nullifier"] = json!("0A".repeat(32))),
        ("short proof", |v| v["proof"] = json!("01".repeat(127))),
        ("c_max too large", |v| v["c_max"] = json!(1u64 << 53)),
        ("c_max a string", |v| v["c_max"] = json!("10")),
        ("c_max a fraction", |v| v["c_max"] = json!(1.5)),
    ];
    for (name, fault) in faults {
        let mut bad = good.clone();
        fault(&mut bad);
        assert_eq!(service.code("POST", "/v1/spends", &bad).await, malformed(), "{name}");
    }
    let mut padded = good.clone();
    padded["nullifier"] = json!("0".repeat(ledger::service::RESERVE_BODY_BYTES_MAX));
    assert_eq!(service.code("POST", "/v1/spends", &padded).await, malformed());
    let trailing = [serde_json::to_vec(&good).unwrap(), b"{}".to_vec()].concat();
    assert_eq!(service.call("POST", "/v1/spends", &trailing).await.0, 400);
    assert_eq!(service.json("POST", "/v1/spends", &good).await.0, 200);

    let journal = serde_json::to_value(service.world.journal(&spend, 5)).unwrap();
    let other = format!("/v1/spends/{}/journal", Nullifier(Fe::from(9)));
    assert_eq!(service.code("POST", &other, &journal).await, malformed());
    let own = format!("/v1/spends/{}/journal", spend.nullifier);
    assert_eq!(service.json("POST", &own, &journal).await, (200, json!({})));
    let mut settle = serde_json::to_value(service.world.settle(&spend, 4)).unwrap();
    let own = format!("/v1/spends/{}/settle", spend.nullifier);
    assert_eq!(service.code("POST", &own, &settle).await, (403, "settle.below_journal".to_owned()));
    settle["signature"] = json!("00".repeat(64));
    assert_eq!(service.code("POST", &own, &settle).await, (403, "settle.signature".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_about_stakes_and_ratings_are_strict_and_bounded() {
    let service = Service::start().await;
    let info = &service.world.info;
    let nullifier = Nullifier(Fe::from(5));
    let stake = StakeRequest::sign(&payee_key(), &info.ledger_id, 0, StakeAct::Put { amount: credits(1) });
    let (payee, settle_key) = (payee_key().public(), settle_key().public());
    // The longest there is: two bills.
    let [first, second] = [3, 4].map(|charge| bill(info, &support::settle_key(), nullifier, charge));
    let slash = SlashRequest { payee, settle_key, evidence: Evidence { first, second }, reporter: payee };
    let rating = RatingRequest::sign(&payee_key(), &info.ledger_id, nullifier, 5);
    for (path, body, code) in [
        ("/v1/stakes", serde_json::to_value(&stake).unwrap(), (403, "stake.above_owed")),
        ("/v1/slashes", serde_json::to_value(&slash).unwrap(), (403, "slash.not_backed")),
        ("/v1/ratings", serde_json::to_value(rating).unwrap(), (404, "ledger.not_found")),
    ] {
        assert_eq!(service.code("POST", path, &body).await, (code.0, code.1.to_owned()), "{path}");
        let mut surprising = body.clone();
        surprising["surprise"] = json!(1);
        assert_eq!(service.code("POST", path, &surprising).await, malformed(), "{path}");
        let mut long = body;
        long["signature"] = json!("0".repeat(ledger::service::SLASH_BODY_BYTES_MAX));
        assert_eq!(service.code("POST", path, &long).await, malformed(), "{path}");
    }
    let mut inside = serde_json::to_value(&stake).unwrap();
    inside["act"]["surprise"] = json!(1);
    assert_eq!(service.code("POST", "/v1/stakes", &inside).await, malformed());
    let mut inside = serde_json::to_value(&slash).unwrap();
    inside["evidence"]["first"]["settlement"]["surprise"] = json!(1);
    assert_eq!(service.code("POST", "/v1/slashes", &inside).await, malformed());
    assert_eq!(service.code("GET", "/v1/stakes/00", &json!({})).await, malformed());
    let (status, bond) = service.json("GET", &format!("/v1/stakes/{payee}"), &json!({})).await;
    assert_eq!((status, &bond["amount"]), (200, &json!(0)));
}

/// The message may say more than the code; the code and the status always come from the one table.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_carry_the_status_of_their_code() {
    let service = Service::start().await;
    service.world.mint(1, 100).await;
    let mut spend = service.world.spend(1, 10).await;
    spend.context.ledger_id = Bytes32([0; 32]);
    let (status, code) = service.code("POST", "/v1/spends", &serde_json::to_value(&spend).unwrap()).await;
    assert_eq!((status, code.as_str()), (403, "spend.ledger_mismatch"));
    assert_eq!(LedgerError::from_code(&code, "").http_status(), status);
}

/// The finaliser needs no call to end what is overdue.
#[tokio::test(flavor = "multi_thread")]
async fn overdue_spends_are_ended_without_being_asked_about() {
    let world = redb().await;
    world.mint(1, 100_000).await;
    let root = world.root().await;
    for number in 0..300 {
        world.ledger.reserve(world.spend_under(root, number, 10)).await.unwrap();
    }
    assert_eq!(world.ledger.finalise_overdue().await, Ok(0));
    world.clock.advance(TAB_SECS_MAX + GRACE_SECS);
    assert_eq!(world.ledger.finalise_overdue().await, Ok(0));
    world.clock.advance(1);
    assert_eq!(world.ledger.finalise_overdue().await, Ok(300));
    assert_eq!(world.ledger.finalise_overdue().await, Ok(0));
    assert_eq!(world.log_size().await, 1 + 300 + 300);
}
