//! Processes die at bad moments; money and proofs do not.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use acceptance::payer::Payer;
use acceptance::proxy::Proxy;
use acceptance::{World, cli};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const GRACE_SECS: u64 = 2;
const TAB_SECS: u64 = 12;
const DEPOSIT: u64 = 64 * 16_384;

fn spawn_chat(world: &World, wallet: &str) -> Child {
    let mut command =
        world.cloister(&["chat", &world.guardian_url(), "Tell me a long story about the sea.", "--max-tokens", "120"]);
    command.args(["--reserve", "1024", "--quiet", "--wallet", wallet]).args(cli::trust(world));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The running total that the wallet's receipts prove, over all tabs.
fn receipted(world: &World, wallet: &str) -> u64 {
    let mut totals: BTreeMap<String, u64> = BTreeMap::new();
    let dir = std::path::Path::new(wallet).join("receipts");
    let files = std::fs::read_dir(&dir).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    for file in files {
        let bundle: Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
        let events = bundle.pointer("/receipt/event_log").and_then(Value::as_array).unwrap();
        let spent = events.iter().find(|event| event["type"] == "credit.spent").unwrap();
        let total = totals.entry(spent["nullifier"].as_str().unwrap().to_owned()).or_default();
        *total = (*total).max(spent["running_total"].as_u64().unwrap());
    }
    let _ = world;
    totals.values().sum()
}

/// `kill -9` of the guardian at varying moments of a paid request, then a restart with new keys. In the end the wallet has its
/// money back, or a receipt for what it got.
fn kills(cycles: u32) {
    let mut world = World::builder().grace_secs(GRACE_SECS).tab_secs_max(TAB_SECS).start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", DEPOSIT).unwrap();
    cli::json(&world, &["wallet", "deposit", "--notes", "8", "--wallet", &wallet, &world.voucher(DEPOSIT).unwrap()])
        .unwrap()
        .success()
        .unwrap();
    let (mut interrupted, mut answered) = (0, 0);
    for cycle in 0..cycles {
        let mut chat = spawn_chat(&world, &wallet);
        // Moments spread over proving, opening, answering and settling, in an order that repeats with the cycle's number.
        let moment = Duration::from_millis(400 + u64::from(cycle * 37 % 50) * 60);
        let began = Instant::now();
        while began.elapsed() < moment && chat.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        world.kill_guardian().unwrap();
        match chat.wait().unwrap().success() {
            true => answered += 1,
            false => interrupted += 1,
        }
        world.start_guardian().unwrap();
    }
    assert!(
        interrupted > cycles / 4,
        "{interrupted} of {cycles} requests were interrupted: the moments are well chosen"
    );
    std::thread::sleep(Duration::from_secs(TAB_SECS + GRACE_SECS + 3));
    let (spendable, reserved, pending) = cli::balance(&world, &wallet).unwrap();
    assert_eq!((reserved, pending), (0, 0), "nothing is stuck");
    let spent = 2 * DEPOSIT - spendable;
    let receipted = receipted(&world, &wallet);
    assert!(
        spent <= receipted,
        "spent {spent}, but only {receipted} is receipted ({answered} answered, {interrupted} interrupted)"
    );
}

#[test]
fn fifty_kills_between_reservation_and_answer_lose_nothing() {
    kills(50);
}

#[test]
fn nightly_a_thousand_kills_lose_nothing() {
    kills(1000);
}

/// What a dying node wrote last may never be read: its charge waits a moment, and what comes due meanwhile is one running total.
#[tokio::test(flavor = "multi_thread")]
async fn charges_are_journalled_a_moment_after_their_receipts_and_together() {
    const CALLS: usize = 8;
    let world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let spend = payer.opened(4096, 600).await.unwrap();
    let calls: Vec<_> = (0..CALLS).map(|call| format!("call-{call}")).collect();
    let asked = calls.iter().map(|call| payer.chat(&spend, call, "hello", 1));
    let mut charged = 0;
    for answer in futures::future::join_all(asked).await {
        let usage = &answer.unwrap().json()["usage"];
        charged += 10 + usage["prompt_tokens"].as_u64().unwrap() + 4 * usage["completion_tokens"].as_u64().unwrap();
    }
    let until = Instant::now() + Duration::from_secs(20);
    let mut totals = Vec::new();
    while totals.last() != Some(&charged) {
        assert!(Instant::now() < until, "{charged} was charged, and {totals:?} journalled");
        tokio::time::sleep(Duration::from_millis(100)).await;
        totals = payer.journalled(&spend).await.unwrap();
    }
    assert!(totals.len() < CALLS, "{totals:?}");
    tokio::task::spawn_blocking(|| world.stop().unwrap()).await.unwrap();
}

/// A way to the ledger on which answers take as long as it is told.
async fn slow_way(to: String, delay: Arc<Mutex<Duration>>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            let (mut asks, mut hears) = near.into_split();
            let (mut answers, mut takes) = tokio::net::TcpStream::connect(&to).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut asks, &mut takes).await });
            let delay = Arc::clone(&delay);
            tokio::spawn(async move {
                let mut part = vec![0; 65_536];
                while let Ok(length @ 1..) = answers.read(&mut part).await {
                    let pause = *delay.lock().unwrap();
                    tokio::time::sleep(pause).await;
                    if hears.write_all(&part[..length]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// A world whose guardian reaches its ledger on such a way.
async fn slowed() -> (World, Arc<Mutex<Duration>>) {
    let mut world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
    let delay = Arc::new(Mutex::new(Duration::ZERO));
    let ledger = world.ledger_url();
    let way = slow_way(ledger.trim_start_matches("http://").to_owned(), Arc::clone(&delay)).await;
    let config = std::fs::read_to_string(world.config_file()).unwrap();
    assert!(config.contains(&ledger));
    std::fs::write(world.config_file(), config.replace(&ledger, &format!("http://127.0.0.1:{way}"))).unwrap();
    tokio::task::block_in_place(|| {
        world.kill_guardian().unwrap();
        world.start_guardian().unwrap();
    });
    (world, delay)
}

/// A client that is cut off while its tab is being opened finds it later, and can close it. Its note was left reserved until the tab's end.
#[tokio::test(flavor = "multi_thread")]
async fn a_tab_whose_client_left_while_it_was_being_opened_is_there() {
    let (world, delay) = slowed().await;
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let spend = payer.prepare(4096, 600).unwrap();
    let request = payer.tab_request(&spend).unwrap();
    *delay.lock().unwrap() = Duration::from_secs(2);
    // The proof is verified, the note reserved, and the guardian does not know of it yet.
    assert!(tokio::time::timeout(Duration::from_secs(1), payer.open(&request)).await.is_err(), "it hears nothing");
    tokio::time::sleep(Duration::from_secs(2)).await;
    *delay.lock().unwrap() = Duration::ZERO;
    let closed = payer.close(&spend).await.unwrap();
    assert_eq!(closed.status, 200, "{}", closed.json());
    payer.sync().await.unwrap();
    assert_eq!(payer.balance(), (100_000, 0, 0), "settled at no charge");
    tokio::task::spawn_blocking(|| world.stop().unwrap()).await.unwrap();
}

/// A reservation that is under way when the node stops is one of the tabs that it settles. Left to the ledger, the note would be
/// reserved until the tab's end.
#[tokio::test(flavor = "multi_thread")]
async fn a_tab_that_is_being_opened_when_the_node_stops_is_settled() {
    let (mut world, delay) = slowed().await;
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let spend = payer.prepare(4096, 600).unwrap();
    let request = payer.tab_request(&spend).unwrap();
    *delay.lock().unwrap() = Duration::from_secs(2);
    let stopped = tokio::task::spawn_blocking(move || {
        // The proof is verified, the note reserved, and the guardian does not know of it yet.
        std::thread::sleep(Duration::from_secs(1));
        assert!(world.stop_guardian().unwrap());
        world
    });
    // Whether the client still hears of it is another question.
    let _ = payer.open(&request).await;
    let world = stopped.await.unwrap();
    payer.sync().await.unwrap();
    let (spendable, reserved, pending) = payer.balance();
    assert_eq!((spendable + pending, reserved), (100_000, 0), "settled at no charge");
    tokio::task::spawn_blocking(|| world.stop().unwrap()).await.unwrap();
}

#[test]
fn an_engine_that_dies_mid_stream_breaks_the_stream_and_costs_nothing() {
    assert_eq!(spent_when_the_engine_dies_after(3), 0, "nothing was charged");
}

/// Past the first running total the charge cannot fall below it, and the tab still settles.
#[test]
fn an_engine_that_dies_late_costs_no_more_than_the_last_running_total() {
    let spent = spent_when_the_engine_dies_after(300);
    assert!(spent > 0 && spent < 4 * 300 + 400, "spent {spent}");
}

/// Streams through the proxy, kills the engine once `events` have come, closes the tab; what the wallet spent.
fn spent_when_the_engine_dies_after(events: usize) -> u64 {
    let mut world = World::builder().start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
    let proxy = Proxy::start(&world, &wallet).unwrap();
    let body = json!({"model": "smollm2-135m", "stream": true, "max_tokens": 900, "temperature": 0,
        "messages": [{"role": "user", "content": "Write a very long story about the sea, with many chapters."}]});
    let (streaming, first_tokens) = std::sync::mpsc::channel();
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            proxy.post_watching(&body.to_string(), |answer| {
                if answer.windows(6).filter(|window| window == b"data: ").count() >= events {
                    let _ = streaming.send(());
                }
            })
        });
        first_tokens.recv().unwrap();
        world.kill_engine().unwrap();
        asked.join().unwrap().unwrap()
    });
    assert!(answer.contains("data: {"), "something was streamed: {answer}");
    assert!(!answer.contains("[DONE]"), "no clean end: {answer}");
    assert!(
        answer.contains("\"error\""),
        "an error event says what happened: {}",
        &answer[answer.len().saturating_sub(600)..]
    );
    assert!(proxy.stop().unwrap());
    let (spendable, reserved, pending) = cli::balance(&world, &wallet).unwrap();
    assert_eq!((reserved, pending), (0, 0), "the tab is settled");
    100_000 - spendable
}

#[test]
fn n39_a_ledger_that_dies_and_returns_loses_nothing() {
    let mut world = World::builder().start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
    world.kill_ledger().unwrap();
    let run = cli::chat(&world, &wallet, "hello", &["--max-tokens", "4"]).unwrap();
    assert_eq!(run.code, 50, "unavailable, and said so: {}", run.json);
    world.start_ledger().unwrap();
    let run = cli::chat(&world, &wallet, "hello", &["--max-tokens", "4"]).unwrap().success().unwrap();
    let charge = run.number("/settlement/charge").unwrap();
    assert_eq!(cli::balance(&world, &wallet).unwrap(), (100_000 - charge, 0, 0));
}
