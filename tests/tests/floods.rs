//! Somebody who does one thing that costs without end, on a few connections at once and on new ones soon after those are cut: what the
//! node keeps of it is bounded, and others hardly notice.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use acceptance::measure::{Attackers, at_most_twice, honest_percentile, resident_kib};
use acceptance::raw_h2::{self, ENDS, kind};
use acceptance::{World, raw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Connections of the flood at one time.
const ATTACKERS: usize = 2;

/// Time until whoever was cut off comes again. Without it they would take all computing time of a small machine for handshakes alone, and
/// what others wait for would be the machine.
const PAUSE: Duration = Duration::from_millis(100);

/// What the guardian may grow by during a flood, in KiB: some buffers for each connection, and not what was sent.
const GROWN_KIB_MAX: u64 = 16 << 10;

/// Time in which a connection that is refused must end.
const CUT_WITHIN: Duration = Duration::from_secs(25);

type Flood = fn(u16) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// One connection over HTTP/1.1 that sends this for as long as it is taken.
async fn http1(port: u16, head: &str, more: &str, times: usize) {
    let Ok(stream) = raw::connect(port, b"http/1.1").await else { return };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = async {
        writer.write_all(head.as_bytes()).await?;
        for _ in 0..times {
            writer.write_all(more.as_bytes()).await?;
        }
        writer.flush().await
    };
    let mut seen = Vec::new();
    let reading = tokio::time::timeout(CUT_WITHIN, reader.read_to_end(&mut seen));
    // The node may close before it has taken all.
    let _ = tokio::join!(writing, reading);
}

/// One connection over HTTP/2 that sends these frames.
async fn http2(port: u16, frames: &'static [u8]) {
    let Ok(stream) = raw_h2::connect(port).await else { return };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = async {
        let _ = writer.write_all(frames).await;
        let _ = writer.flush().await;
    };
    let reading = raw_h2::until_closed(&mut reader, Duration::from_secs(2));
    let _ = tokio::join!(writing, reading);
}

/// A header of 1 MiB.
static HEADER: LazyLock<String> = LazyLock::new(|| format!("x: {}\r\n", "y".repeat(1 << 20)));

/// A chunk of 64 KiB.
static CHUNK: LazyLock<String> = LazyLock::new(|| format!("10000\r\n{}\r\n", "x".repeat(0x10000)));

/// "Rapid reset" (CVE-2023-44487): streams that are opened and reset at once.
static RESETS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let one = |number: u32| {
        let stream = 2 * number + 1;
        let mut frames = raw_h2::frame(kind::HEADERS, ENDS, stream, &raw_h2::get_health());
        frames.extend(raw_h2::frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        frames
    };
    (0..20_000).flat_map(one).collect()
});

/// "CONTINUATION flood" (CVE-2024-27316): a header block without end.
static CONTINUATIONS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut block = raw_h2::frame(kind::HEADERS, 0, 1, &raw_h2::get_health());
    for _ in 0..5_000 {
        block.extend(raw_h2::frame(kind::CONTINUATION, 0, 1, &raw_h2::field("x", 8_000)));
    }
    block
});

/// Settings without end: each must be acknowledged.
static SETTINGS: LazyLock<Vec<u8>> = LazyLock::new(|| raw_h2::frame(kind::SETTINGS, 0, 0, &[]).repeat(2_000_000));

/// What is done, and whether the node cuts it off so that others hardly notice.
const FLOODS: [(&str, Flood, bool); 5] = [
    ("headers of 1 MiB", |port| Box::pin(http1(port, "GET /health HTTP/1.1\r\nhost: n\r\n", &HEADER, 1)), true),
    (
        "bodies without end",
        |port| {
            let head = "POST /v1/tabs HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n";
            Box::pin(http1(port, head, &CHUNK, 1024))
        },
        true,
    ),
    ("streams that are reset", |port| Box::pin(http2(port, &RESETS)), true),
    ("header blocks without end", |port| Box::pin(http2(port, &CONTINUATIONS)), true),
    // Within every limit: others are served, if more slowly ("Boundaries" in SECURITY.md).
    ("settings without end", |port| Box::pin(http2(port, &SETTINGS)), false),
];

/// Honest requests, and which percentile of them is compared; what was found.
async fn floods_are_bounded(honest: usize, percent: usize) -> String {
    let world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
    let port = world.guardian_port();
    let (mut report, mut failures) = (String::new(), Vec::new());
    for (name, flood, is_cut) in FLOODS {
        let (memory, mut grown) = (resident_kib(&world).unwrap(), 0);
        let times = Arc::new(AtomicUsize::new(0));
        let mut beside = async || {
            let times = Arc::clone(&times);
            let attackers = Attackers::start(ATTACKERS, move || {
                times.fetch_add(1, Ordering::Relaxed);
                async move {
                    flood(port).await;
                    tokio::time::sleep(PAUSE).await;
                }
            });
            tokio::time::sleep(Duration::from_millis(300)).await;
            let beside = honest_percentile(port, honest, percent).await;
            grown = resident_kib(&world)?.saturating_sub(memory).max(grown);
            drop(attackers);
            beside
        };
        let found = if is_cut {
            at_most_twice(async || honest_percentile(port, honest, percent).await, &mut beside).await
        } else {
            beside().await.map(|beside| format!("{beside:?} beside; "))
        };
        match found {
            Ok(found) => report += &format!("{name}: {found}{grown} KiB more, after {times:?} connections\n"),
            Err(found) => failures.push(format!("{name}: {found}")),
        }
        if grown > GROWN_KIB_MAX {
            failures.push(format!("{name}: {grown} KiB more"));
        }
        assert!(times.load(Ordering::Relaxed) >= ATTACKERS, "{name}: nobody attacked");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_take_little_memory_and_little_time_from_others() {
    println!("{}", floods_are_bounded(100, 90).await);
}

/// The slowest one in a hundred says something of the node only on a machine that does nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn nightly_floods_take_little_memory_and_little_time_from_others() {
    println!("{}", floods_are_bounded(300, 99).await);
}
