//! A hostile engine in the real one's place says whatever it likes: the client learns that the answer is not one, pays nothing for
//! it, and the node goes on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use acceptance::payer::{CHAT, Payer};
use acceptance::scripted_engine::{ScriptedEngine, Step, answer, finish_chunk, text_chunk, usage_chunk};
use acceptance::{World, clock::WallClock, raw};
use attestation::Clock;
use bytes::Bytes;
use credits::wallet::PreparedSpend;
use serde_json::{Value, json};

/// What a client must make of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// A refusal before any answer, with this code, at no charge.
    Refused(&'static str),
    /// A stream that breaks off with an error event, at no charge.
    Broken,
    /// The same after so many events that a running total was journalled, which is at most this and stands.
    BrokenLate(u64),
    /// A whole answer that costs at most this.
    Whole(u64),
}

/// Completion tokens that the client allows.
const TOKENS: u64 = 64;

/// What a short answer costs at most: the request, the prompt as the engine counts it, and tokens for its few events and bytes of
/// text, which are far fewer than the client allows.
const FEW_CREDITS: u64 = 10 + 10 + 4 * 28;

fn say(text: &str) -> Step {
    Step::Say(text.as_bytes().to_vec())
}

fn many(count: usize, piece: &str) -> Step {
    Step::Say(piece.repeat(count).into_bytes())
}

fn stream(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    [Step::stream_head()].into_iter().chain(steps).collect()
}

fn ending(last: impl IntoIterator<Item = Step>) -> Vec<Step> {
    stream([Step::event(&text_chunk("hi"))].into_iter().chain(last))
}

fn finished() -> [Step; 2] {
    [Step::event(&finish_chunk()), Step::event(&usage_chunk(10, 1))]
}

fn cases() -> Vec<(&'static str, Vec<Step>, Expect)> {
    let endless = format!("data: {}\n\n", text_chunk("x"));
    let all = answer(&["hi".to_owned()]);
    let claims = |prompt: Value, completion: Value| {
        let usage = json!({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}});
        ending([Step::event(&finish_chunk()), Step::event(&usage), Step::done()])
    };
    vec![
        ("events without end", stream([many(200_000, &endless)]), Expect::BrokenLate(10 + 4 * TOKENS)),
        ("comments without end", stream([many(4_000_000, ": x\n")]), Expect::Broken),
        ("a line without end", stream([many(2_000_000, "x")]), Expect::Broken),
        ("an event without end", stream([many(400_000, "data: x\n")]), Expect::Broken),
        ("no JSON", ending([say("data: {\"choices\":\n\n")]), Expect::Broken),
        ("JSON without bottom", stream([say("data: "), many(200_000, "["), say("\n\n")]), Expect::Broken),
        ("no UTF-8", ending([Step::Say(b"data: \"\xff\xfe\"\n\n".to_vec())]), Expect::Broken),
        ("a mark without an end", ending([Step::done()]), Expect::Broken),
        ("an end without counts", ending([Step::event(&finish_chunk()), Step::done()]), Expect::Broken),
        ("counts without an end", ending([Step::event(&usage_chunk(10, 1)), Step::done()]), Expect::Broken),
        ("no mark", ending(finished()), Expect::Broken),
        ("death within an event", ending([say("data: {\"choices\": [{\"ind")]), Expect::Broken),
        ("choices that are none", stream([Step::event(&json!({"choices": 5})), Step::done()]), Expect::Broken),
        ("an error", ending([Step::event(&json!({"error": {"message": "secret-of-the-engine"}}))]), Expect::Broken),
        ("counts below zero", claims(json!(-1), json!(-5)), Expect::Broken),
        ("counts that are text", claims(json!("10"), json!("1")), Expect::Broken),
        (
            "text that nobody gets",
            {
                let hidden = json!({"choices": [{"index": 0, "delta": {}, "x": "y".repeat(500), "message": {"x": "y".repeat(500)}}]});
                ending([
                    Step::event(&hidden),
                    Step::event(&finish_chunk()),
                    Step::event(&usage_chunk(10, TOKENS)),
                    Step::done(),
                ])
            },
            Expect::Whole(FEW_CREDITS),
        ),
        (
            "events that nobody gets",
            {
                let empty = format!("data: {}\n\n", json!({"choices": []}));
                let rest = [Step::event(&finish_chunk()), Step::event(&usage_chunk(10, TOKENS)), Step::done()];
                ending([many(60, &empty)].into_iter().chain(rest))
            },
            Expect::Whole(FEW_CREDITS),
        ),
        // Two bytes of text in three events.
        ("far too many tokens", claims(json!(10), json!(u64::MAX)), Expect::Whole(FEW_CREDITS)),
        ("more after the mark", all.into_iter().chain([many(200_000, &endless)]).collect(), Expect::Whole(FEW_CREDITS)),
        ("a mark within the text", answer(&["\n\ndata: [DONE]\n\n".to_owned()]), Expect::Whole(FEW_CREDITS + 4 * 16)),
        ("no HTTP", vec![say("220 mail.example ESMTP\r\n")], Expect::Refused("engine.unavailable")),
        (
            "a head without end",
            vec![say("HTTP/1.1 200 OK\r\nx: "), many(2_000_000, "y")],
            Expect::Refused("engine.unavailable"),
        ),
        ("silence", vec![], Expect::Refused("engine.unavailable")),
        (
            "status 500",
            vec![say("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")],
            Expect::Refused("engine.unavailable"),
        ),
        (
            "status 302",
            vec![say("HTTP/1.1 302 No\r\nlocation: http://x/\r\n\r\n")],
            Expect::Refused("engine.unavailable"),
        ),
    ]
}

/// A signed request of the tab; the answer as far as it came.
async fn call(
    world: &World,
    spend: &PreparedSpend,
    method: &str,
    path: &str,
    key: &str,
    body: &str,
) -> (raw::Answer, bool) {
    let (tab, now) = (&spend.public.nullifier, WallClock.now().0);
    let headers = credits::sign_request(&spend.tab_key, method, path, tab, key, body.as_bytes(), now);
    let mut request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
    for (name, value) in headers.pairs() {
        request = request.header(name, value);
    }
    let request = request.body(Bytes::from(body.to_owned())).unwrap();
    raw::send_and_take_what_comes(world.guardian_port(), request).await.unwrap()
}

/// What the tab was charged so far.
async fn charged(world: &World, spend: &PreparedSpend) -> u64 {
    let path = format!("/v1/tabs/{}", spend.public.nullifier);
    let (status, _) = call(world, spend, "GET", &path, "status", "").await;
    status.json()["charged"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_engine_says_the_client_is_not_deceived_and_the_node_goes_on() {
    let mut world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
    tokio::task::block_in_place(|| world.kill_engine()).unwrap();
    let next: Arc<Mutex<Vec<Step>>> = Arc::default();
    let script = Arc::clone(&next);
    let _engine =
        ScriptedEngine::start(&world.engine_socket(), Arc::new(move |_| script.lock().unwrap().clone())).unwrap();
    let mut payer = Payer::new(&world, 8 * 65_536).await.unwrap();
    let spend = payer.opened(65_536, 3600).await.unwrap();
    let body = json!({"model": "smollm2-135m", "max_tokens": TOKENS, "stream": true,
        "messages": [{"role": "user", "content": "hello"}]});
    let body = body.to_string();
    let mut failures = Vec::new();
    for (number, (name, steps, expect)) in cases().into_iter().enumerate() {
        *next.lock().unwrap() = steps;
        let before = charged(&world, &spend).await;
        let (got, whole) = call(&world, &spend, "POST", CHAT, &format!("case-{number}"), &body).await;
        let cost = charged(&world, &spend).await - before;
        let text = String::from_utf8_lossy(&got.body).into_owned();
        let marks = text.lines().filter(|line| *line == "data: [DONE]").count();
        let as_expected = match expect {
            Expect::Refused(code) => got.status.as_u16() == 503 && got.code() == code && cost == 0,
            Expect::Broken | Expect::BrokenLate(_) => {
                let most = if let Expect::BrokenLate(most) = expect { most } else { 0 };
                got.status.as_u16() == 200 && !whole && marks == 0 && text.contains("engine.failed") && cost <= most
            }
            Expect::Whole(most) => got.status.as_u16() == 200 && whole && marks == 1 && cost > 0 && cost <= most,
        };
        if !as_expected || text.contains("secret-of-the-engine") {
            let end: String = text.chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
            failures
                .push(format!("{name}: {expect:?}, got {} whole={whole} marks={marks} cost={cost} …{end}", got.status));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));

    // The node is none the worse for it.
    *next.lock().unwrap() = answer(&["fine".to_owned()]);
    let (got, whole) = call(&world, &spend, "POST", CHAT, "at-the-end", &body).await;
    assert!(whole && got.status.as_u16() == 200 && String::from_utf8_lossy(&got.body).contains("fine"));
    assert!(!world.guardian_log().contains("secret-of-the-engine"));
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

/// The engine says a great deal at once; the client reads some of it and leaves while the guardian still has the rest to send. What
/// it was sent is paid: reading slowly and leaving early buys nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_a_burst_pays_for_what_it_took() {
    const TAKEN: usize = 100;
    let mut world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
    tokio::task::block_in_place(|| world.kill_engine()).unwrap();
    let event = format!("data: {}\n\n", text_chunk("x"));
    let burst = stream([many(8_000, &event), Step::Pause(Duration::from_secs(30))]);
    let _engine = ScriptedEngine::start(&world.engine_socket(), Arc::new(move |_| burst.clone())).unwrap();
    let mut payer = Payer::new(&world, 8 * 65_536).await.unwrap();
    let spend = payer.opened(65_536, 3600).await.unwrap();
    let body = json!({"model": "smollm2-135m", "max_tokens": 2048, "stream": true,
        "messages": [{"role": "user", "content": "hello"}]});
    let body = body.to_string();
    let headers = payer.chat_headers(&spend, "burst", body.as_bytes());
    let enough = |text: &str| text.matches("data: ").count() >= TAKEN;
    raw::take_until(world.guardian_port(), CHAT, &headers.pairs(), body, enough).await.unwrap();
    let mut cost = 0;
    for _ in 0..100 {
        cost = charged(&world, &spend).await;
        if cost > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(cost >= 10 + 4 * u64::try_from(TAKEN).unwrap(), "{cost} for at least {TAKEN} tokens");
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}
