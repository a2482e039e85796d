//! A node that is told to stop while it answers: what ends in time ends whole, what does not is broken off and paid as far as it was sent.
//! Nobody begins anything new, every tab is settled, and the process ends with success.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use acceptance::payer::{CHAT, Payer};
use acceptance::processes::{signal, soon};
use acceptance::raw::{self, Answer};
use acceptance::scripted_engine::{ScriptedEngine, Step, finish_chunk, text_chunk, usage_chunk};
use acceptance::{World, channel};
use attestation::{Receipt, Sha256Digest, Transcript};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credits::wallet::PreparedSpend;
use enclave::limits::DRAIN_TIMEOUT;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Time between two tokens of the engine.
const PACE: Duration = Duration::from_millis(100);

/// Tokens of the answer that ends in time, and of the one that does not.
const SHORT: usize = 30;
const ENDLESS: usize = 600;

/// Prompt tokens that the engine counts, once it is asked for its counts.
const PROMPT_TOKENS: u64 = 10;

fn slow(tokens: usize) -> Vec<Step> {
    let mut steps = vec![Step::stream_head()];
    steps.extend((0..tokens).flat_map(|_| [Step::event(&text_chunk("x")), Step::Pause(PACE)]));
    let usage = usage_chunk(PROMPT_TOKENS, u64::try_from(tokens).unwrap());
    steps.extend([Step::event(&finish_chunk()), Step::event(&usage), Step::done()]);
    steps
}

fn question(prompt: &str) -> String {
    json!({"model": "smollm2-135m", "max_tokens": 2048, "stream": true,
        "messages": [{"role": "user", "content": prompt}]})
    .to_string()
}

/// The answer as far as it came, whether it came to its end, and when that was.
async fn streamed(
    payer: &Payer,
    spend: &PreparedSpend,
    port: u16,
    prompt: &'static str,
) -> tokio::task::JoinHandle<(Answer, bool, Instant)> {
    let body = question(prompt);
    let headers = payer.chat_headers(spend, prompt, body.as_bytes());
    let pairs: Vec<_> = headers.pairs().into_iter().chain([("te", "trailers")]).collect();
    let request = raw::json_post(CHAT, &pairs, body).unwrap();
    tokio::spawn(async move {
        let (answer, whole) = raw::send_and_take_what_comes(port, request).await.unwrap();
        (answer, whole, Instant::now())
    })
}

/// A request of which the node has everything but the last byte.
struct Held(TlsStream<TcpStream>);

impl Held {
    async fn begin(port: u16, path: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let mut stream = raw::connect(port, b"http/1.1").await.unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: n\r\n{headers}content-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body.as_bytes()[..length - 1]).await.unwrap();
        stream.flush().await.unwrap();
        Self(stream)
    }

    /// Sends it (every body here is a JSON object); the answer.
    async fn end(mut self) -> String {
        self.0.write_all(b"}").await.unwrap();
        let mut answer = Vec::new();
        // However the connection ends, what came before counts.
        let _ = self.0.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn events(answer: &Answer) -> u64 {
    let text = String::from_utf8_lossy(&answer.body);
    u64::try_from(text.matches(r#""content":"x""#).count()).unwrap()
}

/// What the receipt says that the answer cost; it is of these very bytes.
fn receipted(answer: &Answer, keyset: &attestation::Keyset) -> u64 {
    let receipt = Receipt::from_json(&STANDARD.decode(&answer.trailers["cloister-receipt"]).unwrap()).unwrap();
    receipt.verify(keyset, &mut Transcript::default()).unwrap();
    receipt.check_response_body(Sha256Digest::of(&answer.body)).unwrap();
    let receipt: Value = serde_json::to_value(&receipt).unwrap();
    let spent = receipt["event_log"].as_array().unwrap().iter().find(|event| event["type"] == "credit.spent").unwrap();
    spent["cost"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_told_to_stop_finishes_or_breaks_off_what_it_serves_and_settles_it() {
    let mut world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
    tokio::task::block_in_place(|| world.kill_engine()).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let script = move |body: &Value| {
        count.fetch_add(1, Ordering::SeqCst);
        slow(if body["messages"][0]["content"] == "short" { SHORT } else { ENDLESS })
    };
    let _engine = ScriptedEngine::start(&world.engine_socket(), Arc::new(script)).unwrap();
    let port = world.guardian_port();
    let keyset = channel::ask(port).await.unwrap().1.keyset;
    let mut payer = Payer::new(&world, 8 * 65_536).await.unwrap();
    let [first, second] = [payer.opened(16_384, 600).await.unwrap(), payer.opened(16_384, 600).await.unwrap()];
    // What is on its way when the node is told: a call, and a spend.
    let body = question("late");
    let headers = payer.chat_headers(&first, "late", body.as_bytes());
    let late_call = Held::begin(port, CHAT, &headers.pairs(), &body).await;
    let third = payer.prepare(16_384, 600).unwrap();
    let request = serde_json::to_string(&payer.tab_request(&third).unwrap()).unwrap();
    let late_tab = Held::begin(port, "/v1/tabs", &[], &request).await;
    let short = streamed(&payer, &first, port, "short").await;
    let endless = streamed(&payer, &second, port, "endless").await;
    while asked.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(5 * PACE).await;

    signal(world.guardian_pid().unwrap(), "TERM").unwrap();
    let told = Instant::now();
    let closed = tokio::task::block_in_place(|| soon(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_err()));
    assert!(closed, "nobody else comes in: {}", world.guardian_log());
    for late in [late_call, late_tab] {
        let answer = late.end().await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("node.draining"), "{answer}");
    }

    let (answer, whole, ended) = short.await.unwrap();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(whole && text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(ended - told < DRAIN_TIMEOUT / 2, "{:?}", ended - told);
    let tokens = u64::try_from(SHORT).unwrap();
    assert_eq!(events(&answer), tokens);
    let cost = receipted(&answer, &keyset);
    assert_eq!(cost, 10 + PROMPT_TOKENS + 4 * tokens);

    let (answer, whole, ended) = endless.await.unwrap();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!whole && text.contains("node.draining") && !text.contains("[DONE]"), "{text}");
    let took = ended - told;
    assert!((DRAIN_TIMEOUT..DRAIN_TIMEOUT + Duration::from_secs(5)).contains(&took), "{took:?}");
    let sent = events(&answer);
    assert!(sent > 100, "{sent} tokens in all this time");

    assert!(tokio::task::block_in_place(|| world.stop_guardian()).unwrap(), "it ends with success");
    assert_eq!(asked.load(Ordering::SeqCst), 2, "nothing else reached the engine");
    payer.sync().await.unwrap();
    // The engine was not asked what the prompt had, so that costs nothing. What is pending is the spend that nobody took.
    let (spendable, reserved, pending) = payer.balance();
    let spent = 8 * 65_536 - spendable - pending;
    assert_eq!((spent, reserved, pending), (cost + 10 + 4 * sent, 0, 65_536), "every tab is settled");
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}
