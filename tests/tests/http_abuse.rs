//! What a client may do to HTTP itself: each attempt is cut short within a bound, and others are served meanwhile.

use std::time::Duration;

use acceptance::measure::{self, HONEST_FLOOR, honest_p99, resident_kib};
use acceptance::raw_h2::{self, ENDS, kind};
use acceptance::{World, raw};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Slow clients at once. With as many connections again for everybody else, far below the file limit of any machine.
const SLOW_CLIENTS: usize = 400;

/// More than the guardian's own limits for handshakes and heads (10 s each).
const CUT_WITHIN: Duration = Duration::from_secs(25);

async fn started() -> World {
    tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap()
}

async fn stopped(world: World) {
    tokio::task::spawn_blocking(move || drop(world)).await.unwrap();
}

async fn http1(port: u16) -> TlsStream<TcpStream> {
    raw::connect(port, b"http/1.1").await.unwrap()
}

/// Sends bytes as long as they are taken; what came back until the node closed, or `None` when it did not.
async fn answer_to(port: u16, bytes: &[u8]) -> Option<String> {
    let (mut reader, mut writer) = tokio::io::split(http1(port).await);
    let bytes = bytes.to_vec();
    // The node may close before it has taken all.
    let writing = tokio::spawn(async move {
        let _ = writer.write_all(&bytes).await;
        writer
    });
    let mut seen = Vec::new();
    let closed = tokio::time::timeout(CUT_WITHIN, reader.read_to_end(&mut seen)).await.is_ok();
    writing.abort();
    closed.then(|| String::from_utf8_lossy(&seen).into_owned())
}

async fn is_served(port: u16) {
    measure::is_served(port).await.unwrap();
}

/// Statuses of all answers, one after the other: a body ends without a line's end, and then the next begins.
fn statuses_of(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| answer.get(..3).unwrap_or(answer)).collect()
}

/// What is not one request, whole and within the limits, is refused, and nothing after it is read as another one.
#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_large_or_ambiguous_end_their_connection() {
    let world = started().await;
    let port = world.guardian_port();
    let smuggled = "GET /v1/models HTTP/1.1\r\nhost: n\r\n\r\n";
    let post = "POST /v1/tabs HTTP/1.1\r\nhost: n\r\n";
    let many: String = (0..100).map(|number| format!("x-{number}: y\r\n")).collect();
    let rows: Vec<(&str, String, &[&str])> = vec![
        (
            "a header of 1 MiB",
            format!("GET /health HTTP/1.1\r\nhost: n\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)),
            &["431"],
        ),
        ("a path of 1 MiB", format!("GET /{} HTTP/1.1\r\nhost: n\r\n\r\n", "y".repeat(1 << 20)), &["431", "414"]),
        ("100 headers", format!("GET /health HTTP/1.1\r\nhost: n\r\n{many}\r\n"), &["431"]),
        ("two lengths", format!("{post}content-length: 5\r\ncontent-length: 50\r\n\r\nhello{smuggled}"), &["400"]),
        (
            "a length and chunks",
            format!("{post}transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n{smuggled}"),
            &["400"],
        ),
        ("chunks in disguise", format!("{post}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}"), &["400"]),
        (
            "chunks named twice",
            format!("{post}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}"),
            &["400"],
        ),
        ("a length with a sign", format!("{post}content-length: +5\r\n\r\nhello{smuggled}"), &["400"]),
        ("a length below zero", format!("{post}content-length: -1\r\n\r\n{smuggled}"), &["400"]),
        ("a chunk size that is none", format!("{post}transfer-encoding: chunked\r\n\r\nz\r\n{smuggled}"), &["400"]),
        (
            "a chunk size beyond 64 bits",
            format!("{post}transfer-encoding: chunked\r\n\r\n{}\r\n{smuggled}", "f".repeat(17)),
            &["400"],
        ),
        ("a space before the colon", format!("GET /health HTTP/1.1\r\nhost : n\r\n\r\n{smuggled}"), &["400"]),
        ("a folded header", format!("GET /health HTTP/1.1\r\nhost: n\r\nx: a\r\n b\r\n\r\n{smuggled}"), &["400"]),
        ("a NUL in a header", format!("GET /health HTTP/1.1\r\nhost: n\r\nx: a\0b\r\n\r\n{smuggled}"), &["400"]),
        // Read differently by two programs, each of these is a way to smuggle.
        ("bare CR", format!("GET /health HTTP/1.1\rhost: n\r\r{smuggled}"), &["400"]),
        ("bare CR in a header", format!("GET /health HTTP/1.1\r\nhost: n\r\nx: a\rb: c\r\n\r\n{smuggled}"), &["400"]),
        (
            "bare LF in chunk sizes",
            format!("{post}transfer-encoding: chunked\r\n\r\n5\nhello\n0\n\n{smuggled}"),
            &["400"],
        ),
        (
            "bare LF in a chunk extension",
            format!("{post}transfer-encoding: chunked\r\n\r\n5;x\nhello\r\n0\r\n\r\n{smuggled}"),
            &["400"],
        ),
        (
            "a chunk extension of 64 KiB",
            format!(
                "{post}transfer-encoding: chunked\r\n\r\n5;{}\r\nhello\r\n0\r\n\r\n{smuggled}",
                "x".repeat(1 << 16)
            ),
            &["400"],
        ),
        (
            "chunks, and then another encoding",
            format!("{post}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n{smuggled}"),
            &["400"],
        ),
        ("no HTTP", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), &["400"]),
        ("HTTP/0.9", "GET /health\r\n\r\n".to_owned(), &["400"]),
    ];
    let mut failures = Vec::new();
    for (name, bytes, statuses) in rows {
        let answer = answer_to(port, bytes.as_bytes()).await;
        let heads = statuses_of(answer.as_deref().unwrap_or_default());
        // At most one answer, and it is a refusal. A connection that is closed without any is refused, too.
        let refused = heads.iter().all(|status| statuses.contains(status));
        if answer.is_none() || heads.len() > 1 || !refused {
            failures.push(format!("{name}: {heads:?} {}", answer.as_ref().map_or("still open", |_| "closed")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    is_served(port).await;
    stopped(world).await;
}

/// What some programs refuse and others take, as RFC 9112 lets them: taken, it ends where it says, and the next request is the next.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_leniently_ends_where_it_says() {
    let world = started().await;
    let port = world.guardian_port();
    let next = "GET /v1/models HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n";
    let post = "POST /v1/tabs HTTP/1.1\r\nhost: n\r\n";
    let chunks = "\r\n5\r\nhello\r\n0\r\n\r\n";
    let rows = [
        ("bare LF", "GET /openapi.json HTTP/1.1\nhost: n\n\n".to_owned(), "200"),
        ("a chunk extension", format!("{post}transfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n"), "400"),
        (
            "another encoding, and then chunks",
            format!("{post}transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n{chunks}"),
            "400",
        ),
        ("chunks twice", format!("{post}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n{chunks}"), "400"),
    ];
    for (name, bytes, status) in rows {
        let answer = answer_to(port, format!("{bytes}{next}").as_bytes()).await.expect("it is asked to close");
        assert_eq!(statuses_of(&answer), [status, "200"], "{name}: {answer}");
        assert!(answer.ends_with("\"object\":\"list\"}") || answer.contains("\"data\":[{"), "{name}: {answer}");
    }
    stopped(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_cut_at_its_limit() {
    let world = started().await;
    let port = world.guardian_port();
    let (mut reader, mut writer) = tokio::io::split(http1(port).await);
    let head = "POST /v1/tabs HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n";
    writer.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let writing = tokio::spawn(async move {
        let mut sent = 0_usize;
        while sent < (64 << 20) && writer.write_all(chunk.as_bytes()).await.is_ok() {
            sent += chunk.len();
        }
        sent
    });
    let mut seen = vec![0; 4096];
    let count = tokio::time::timeout(CUT_WITHIN, reader.read(&mut seen)).await.unwrap().unwrap();
    let seen = String::from_utf8_lossy(&seen[..count]).into_owned();
    assert!(seen.starts_with("HTTP/1.1 413") && seen.contains("request.too_large"), "{seen}");
    let sent = tokio::time::timeout(CUT_WITHIN, writing).await.unwrap().unwrap();
    assert!(sent < 16 << 20, "{sent} bytes were taken before the connection was closed");
    stopped(world).await;
}

/// A client that sends its body after its head, as official ones do, gets the answer of a node that did not wait for the body; the
/// connection is as good as before.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_before_its_body_came_is_answered_and_keeps_its_connection() {
    const BODY: usize = 300_000;
    let world = started().await;
    let (mut reader, mut writer) = tokio::io::split(http1(world.guardian_port()).await);
    for (path, status) in [("/health", 405), ("/nothing", 404), ("/ohttp", 415), ("/v1/models", 405)] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: n\r\ncontent-length: {BODY}\r\n\r\n");
        writer.write_all(head.as_bytes()).await.unwrap();
        writer.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        for part in vec![b'x'; BODY].chunks(10_000) {
            writer.write_all(part).await.unwrap_or_else(|error| panic!("{path}: {error}"));
            writer.flush().await.unwrap();
        }
        let answer = one_answer(&mut reader).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        assert!(!answer.contains("connection: close"), "{path}: {answer}");
    }
    stopped(world).await;
}

/// Whoever waits to be told to go on sends no body after a refusal: what comes next is not taken for one, nor for a request.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_after_a_refusal_of_what_waited_to_be_told() {
    let world = started().await;
    for path in ["/nothing", "/health", "/ohttp"] {
        let requests = format!(
            "POST {path} HTTP/1.1\r\nhost: n\r\nexpect: 100-continue\r\ncontent-length: 300\r\n\r\n\
             GET /health HTTP/1.1\r\nhost: n\r\n\r\n"
        );
        let seen = answer_to(world.guardian_port(), requests.as_bytes()).await.expect("the node closes");
        assert!(seen.starts_with("HTTP/1.1 4"), "{path}: {seen}");
        assert_eq!(seen.matches("HTTP/1.1").count(), 1, "{path}: {seen}");
    }
    stopped(world).await;
}

/// An answer whose length is told.
async fn one_answer(reader: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut seen = Vec::new();
    let whole = async {
        loop {
            seen.push(reader.read_u8().await.unwrap());
            let text = String::from_utf8_lossy(&seen);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return text.into_owned();
            }
        }
    };
    tokio::time::timeout(CUT_WITHIN, whole).await.unwrap()
}

/// Clients that handshake, or send a head, one byte at a time or not at all. Each says whether it was cut.
fn slow_clients(port: u16, count: usize) -> Vec<tokio::task::JoinHandle<bool>> {
    let slow_client = |number: usize| {
        tokio::spawn(async move {
            if number.is_multiple_of(2) {
                // Never says hello.
                let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let mut seen = Vec::new();
                return tokio::time::timeout(CUT_WITHIN, stream.read_to_end(&mut seen)).await.is_ok();
            }
            let (mut reader, mut writer) = tokio::io::split(http1(port).await);
            let writing = tokio::spawn(async move {
                for byte in b"GET /health HTTP/1.1\r\nhost: n\r\nx: y".iter().cycle() {
                    if writer.write_all(&[*byte]).await.is_err() || writer.flush().await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            let mut seen = Vec::new();
            let cut = tokio::time::timeout(CUT_WITHIN, reader.read_to_end(&mut seen)).await.is_ok();
            writing.abort();
            cut
        })
    };
    (0..count).map(slow_client).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut_and_others_served_meanwhile() {
    let world = started().await;
    let port = world.guardian_port();
    let slow = slow_clients(port, SLOW_CLIENTS);
    for _ in 0..20 {
        is_served(port).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (number, slow) in slow.into_iter().enumerate() {
        assert!(slow.await.unwrap(), "slow client {number} kept its connection");
    }
    stopped(world).await;
}

/// Five thousand slow clients hold little memory, and others wait at most twice as long as without them once they are there.
#[tokio::test(flavor = "multi_thread")]
async fn nightly_five_thousand_slow_clients_take_little_from_others() {
    const MANY: usize = 5_000;
    // Connecting so many costs this machine, which is also the clients', a second or two.
    const ALL_THERE: Duration = Duration::from_secs(4);
    let world = started().await;
    let port = world.guardian_port();
    let (alone, memory) = (honest_p99(port, 300).await.unwrap(), resident_kib(&world).unwrap());
    let slow = slow_clients(port, MANY);
    tokio::time::sleep(ALL_THERE).await;
    let (beside, grown) = (honest_p99(port, 150).await.unwrap(), resident_kib(&world).unwrap() - memory);
    assert!(grown < 48 * u64::try_from(MANY).unwrap(), "{grown} KiB for {MANY} connections");
    assert!(beside <= 2 * alone.max(HONEST_FLOOR), "{beside:?} beside slow clients, {alone:?} alone");
    for (number, slow) in slow.into_iter().enumerate() {
        assert!(slow.await.unwrap(), "slow client {number} kept its connection");
    }
    println!("p99 {alone:?} alone, {beside:?} beside {MANY} slow clients, which take {grown} KiB");
    stopped(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_http2_frames_end_their_connection() {
    let world = started().await;
    let port = world.guardian_port();
    // "Rapid reset" (CVE-2023-44487): streams that are opened and reset at once.
    let resets: Vec<u8> = (0..20_000_u32)
        .flat_map(|number| {
            let stream = 2 * number + 1;
            let mut frames = raw_h2::frame(kind::HEADERS, ENDS, stream, &raw_h2::get_health());
            frames.extend(raw_h2::frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            frames
        })
        .collect();
    // "CONTINUATION flood" (CVE-2024-27316): a header block without end.
    let mut block = raw_h2::frame(kind::HEADERS, 0, 1, &raw_h2::get_health());
    for _ in 0..5_000 {
        block.extend(raw_h2::frame(kind::CONTINUATION, 0, 1, &raw_h2::field("x", 8_000)));
    }
    // Settings without end: each must be acknowledged.
    let settings = raw_h2::frame(kind::SETTINGS, 0, 0, &[]).repeat(2_000_000);
    for (name, bytes, must_close) in
        [("resets", resets, true), ("continuations", block, true), ("settings", settings, false)]
    {
        let (mut reader, mut writer) = tokio::io::split(raw_h2::connect(port).await.unwrap());
        let length = bytes.len();
        let writing = tokio::spawn(async move { writer.write_all(&bytes).await.is_ok() });
        is_served(port).await;
        let closed = raw_h2::until_closed(&mut reader, Duration::from_secs(10)).await;
        assert!(closed.is_some() || !must_close, "{name}: open after {length} bytes");
        writing.abort();
        is_served(port).await;
    }
    stopped(world).await;
}

/// What the node announces, and what it does with a head beyond it.
#[tokio::test(flavor = "multi_thread")]
async fn one_connection_has_a_limited_number_of_streams_and_a_limited_head() {
    let world = started().await;
    let port = world.guardian_port();
    let (mut reader, mut writer) = tokio::io::split(raw_h2::connect(port).await.unwrap());
    let mut head = raw_h2::get_health();
    head.extend(raw_h2::field("x", 15_000));
    head.extend(raw_h2::field("y", 15_000));
    let (first, second) = head.split_at(16_000);
    let mut bytes = raw_h2::frame(kind::HEADERS, 0x1, 1, first);
    bytes.extend(raw_h2::frame(kind::CONTINUATION, 0x4, 1, second));
    writer.write_all(&bytes).await.unwrap();
    let mut seen = vec![0; 4096];
    let mut answer = Vec::new();
    // SETTINGS and their acknowledgement come first.
    while !answer.windows(3).any(|window| window == b"431") && answer.len() < 3000 {
        let read = tokio::time::timeout(Duration::from_secs(5), reader.read(&mut seen)).await;
        let Ok(Ok(count @ 1..)) = read else { break };
        answer.extend_from_slice(&seen[..count]);
    }
    let frames = frames(&answer);
    // 64 streams at once (SETTINGS_MAX_CONCURRENT_STREAMS), 16 KiB of head (SETTINGS_MAX_HEADER_LIST_SIZE).
    let settings = &frames.iter().find(|(kind, payload)| *kind == kind::SETTINGS && !payload.is_empty()).unwrap().1;
    for entry in [[0, 3, 0, 0, 0, 64], [0, 6, 0, 0, 0x40, 0]] {
        assert!(settings.chunks(6).any(|announced| announced == entry), "{settings:?}");
    }
    // A status that is not 200 (0x88, the static table's entry), or the stream's reset.
    let answers = |kind: u8| frames.iter().filter(move |frame| frame.0 == kind);
    assert!(answers(kind::HEADERS).all(|(_, block)| !block.starts_with(&[0x88])), "{frames:?}");
    assert!(answers(kind::HEADERS).chain(answers(kind::RST_STREAM)).count() > 0, "{frames:?}");
    is_served(port).await;
    stopped(world).await;
}

fn frames(mut bytes: &[u8]) -> Vec<(u8, Bytes)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = (usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])).min(rest.len());
        frames.push((head[3], Bytes::copy_from_slice(&rest[..length])));
        bytes = &rest[length..];
    }
    frames
}
