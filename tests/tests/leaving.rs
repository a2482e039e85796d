//! A client that leaves: the engine is told at once, since what it makes from then on is for nobody, and who left pays for what was sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use acceptance::payer::{CHAT, Payer};
use acceptance::scripted_engine::{ScriptedEngine, Step, text_chunk};
use acceptance::{World, raw};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

/// In which the engine must know.
const SOON: Duration = Duration::from_secs(1);

/// What the engine does before it waits: each kind of answer is left in each state it can be in.
fn before(prompt: &str) -> Vec<Step> {
    match prompt {
        "plain, begun" => {
            vec![Step::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"choices\": ".to_vec())]
        }
        "stream, begun" => vec![Step::stream_head(), Step::event(&text_chunk("x"))],
        _ => Vec::new(),
    }
}

/// How a client leaves.
#[derive(Debug, Clone, Copy)]
enum By {
    /// HTTP/1.1: it hangs up.
    HangingUp,
    /// HTTP/2: it resets the stream, and keeps the connection.
    Reset,
}

/// Asks, waits until the engine was asked and, of a stream, for its first event; leaves; when that was.
async fn ask_and_leave(
    port: u16,
    headers: &[(&str, &str)],
    body: String,
    by: By,
    asked: &mut mpsc::UnboundedReceiver<()>,
) -> Instant {
    let begun = body.contains("stream, begun");
    match by {
        By::HangingUp => {
            let mut stream = raw::connect(port, b"http/1.1").await.unwrap();
            let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let length = body.len();
            let request = format!("POST {CHAT} HTTP/1.1\r\nhost: n\r\n{headers}content-length: {length}\r\n\r\n{body}");
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            asked.recv().await.unwrap();
            let mut seen = Vec::new();
            while begun && !String::from_utf8_lossy(&seen).contains("\"content\":\"x\"") {
                assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
            }
            tokio::time::sleep(SOON / 5).await;
            let left = Instant::now();
            drop(stream);
            left
        }
        By::Reset => {
            let stream = TokioIo::new(raw::connect(port, b"h2").await.unwrap());
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
            tokio::spawn(connection);
            let mut request = http::Request::post(format!("https://cloister.invalid{CHAT}"));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answer = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap());
            // Before it does: whoever is told may be faster than whoever tells the time.
            let left;
            if begun {
                let mut answer = answer.await.unwrap().into_body();
                asked.recv().await.unwrap();
                let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
                assert!(String::from_utf8_lossy(&first).contains("\"content\":\"x\""), "{first:?}");
                tokio::time::sleep(SOON / 5).await;
                left = Instant::now();
                drop(answer);
            } else {
                let mut answer = Box::pin(answer);
                let unanswered = tokio::time::timeout(SOON / 5, &mut answer).await;
                assert!(unanswered.is_err(), "{unanswered:?}");
                asked.recv().await.unwrap();
                left = Instant::now();
                drop(answer);
            }
            // The connection is there as long as its client may ask for more.
            tokio::spawn(async move {
                tokio::time::sleep(2 * SOON).await;
                drop(sender);
            });
            left
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_is_told_within_a_second_that_its_client_left() {
    let mut world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
    tokio::task::block_in_place(|| world.kill_engine()).unwrap();
    let (said_left, mut engine_left) = mpsc::unbounded_channel();
    let (said_asked, mut asked) = mpsc::unbounded_channel();
    let script = move |body: &Value| {
        said_asked.send(()).unwrap();
        let mut steps = before(body["messages"][0]["content"].as_str().unwrap());
        steps.push(Step::UntilLeft(said_left.clone()));
        steps
    };
    let _engine = ScriptedEngine::start(&world.engine_socket(), Arc::new(script)).unwrap();
    let mut payer = Payer::new(&world, 8 * 65_536).await.unwrap();
    let plain = payer.opened(16_384, 600).await.unwrap();
    let streams = payer.opened(16_384, 600).await.unwrap();
    for by in [By::HangingUp, By::Reset] {
        for (prompt, stream) in
            [("plain, silent", false), ("plain, begun", false), ("stream, silent", true), ("stream, begun", true)]
        {
            let name = format!("{prompt} {by:?}").replace([',', ' '], "-");
            let body = json!({"model": "smollm2-135m", "max_tokens": 64, "stream": stream,
                "messages": [{"role": "user", "content": prompt}]});
            let body = body.to_string();
            let headers = payer.chat_headers(if stream { &streams } else { &plain }, &name, body.as_bytes());
            let left = ask_and_leave(world.guardian_port(), &headers.pairs(), body, by, &mut asked).await;
            let told = tokio::time::timeout(SOON, engine_left.recv()).await;
            let told = told.unwrap_or_else(|_| panic!("{name}: the engine still works")).unwrap();
            assert!(told >= left, "{name}: the engine was told {:?} before the client left", left - told);
        }
    }
    // Nothing is held any more. What was not sent costs nothing; the two first events cost what they cost.
    for (spend, charge) in [(&plain, 0), (&streams, 2 * (10 + 4))] {
        let settled = payer.close(spend).await.unwrap();
        assert_eq!(settled.json()["statement"]["charge"], charge, "{}", settled.json());
    }
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}
