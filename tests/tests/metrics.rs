//! What the operator can count: what happened, of nobody in particular, and no sooner than at the end of an interval.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use acceptance::World;
use acceptance::payer::Payer;
use acceptance::processes::free_port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MARK: &str = "xylophone-4711";

/// All names and values that labels may have.
const LABELS: [&str; 18] = [
    "endpoint=Chat",
    "endpoint=Completions",
    "outcome=Complete",
    "outcome=ClientAbort",
    "outcome=UpstreamError",
    "outcome=TabExpired",
    "kind=Prompt",
    "kind=Completion",
    "reason=Invalid",
    "reason=Payment",
    "reason=Forbidden",
    "reason=NotFound",
    "reason=Busy",
    "reason=Unavailable",
    "of=Handshake",
    "of=Report",
    "of=Journal",
    "of=Settlement",
];

pub(crate) async fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: node\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Samples by name and labels.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| line.starts_with("cloister_"));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.replace('"', ""), value.parse().unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_counts_with_known_labels_once_per_interval() {
    let port = free_port().unwrap();
    let world = tokio::task::spawn_blocking(move || {
        let mut world = World::builder().start().unwrap();
        world.stop_guardian().unwrap();
        let config = std::fs::read_to_string(world.config_file()).unwrap();
        let metrics = format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\ninterval_secs = 10\n");
        std::fs::write(world.config_file(), format!("{config}\n{metrics}")).unwrap();
        world.start_guardian().unwrap();
        world
    });
    let world = world.await.unwrap();
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let spend = payer.opened(4096, 600).await.unwrap();
    let mut cost = 0;
    for key in ["one", "two"] {
        let answer = payer.chat(&spend, key, MARK, 4).await.unwrap();
        assert_eq!(answer.status.as_u16(), 200);
        let id = answer.headers["x-receipt-id"].to_str().unwrap();
        let receipt = payer.receipt(&spend, id).await.unwrap().json();
        let spent = receipt["event_log"].as_array().unwrap().iter().find(|event| event["type"] == "credit.spent");
        cost += spent.unwrap()["cost"].as_u64().unwrap();
    }
    assert_eq!(payer.chat(&spend, "three", MARK, 0).await.unwrap().status.as_u16(), 400);
    // Somebody who never finishes a handshake.
    drop(TcpStream::connect(("127.0.0.1", world.guardian_port())).await.unwrap());

    let early = samples(&get(port, "/metrics").await);
    let calls = "cloister_calls_total{endpoint=Chat,outcome=Complete}";
    assert_eq!(early.get(calls), None, "the interval is not over: {early:?}");
    tokio::time::sleep(Duration::from_secs(11)).await;
    let page = get(port, "/metrics").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.ends_with("# EOF\n"), "{page}");
    let found = samples(&page);
    let count = |name: &str| found.get(name).copied().unwrap_or_else(|| panic!("no {name} in {page}"));
    assert!((count(calls) - 2.0).abs() < 0.1, "{page}");
    assert!((count("cloister_credits_charged_total") - f64::from(u32::try_from(cost).unwrap())).abs() < 0.1, "{page}");
    for (name, value) in [
        ("cloister_tabs_opened_total", 1.0),
        ("cloister_tabs_open", 1.0),
        ("cloister_calls_in_flight", 0.0),
        ("cloister_refusals_total{reason=Invalid}", 1.0),
        ("cloister_failures_total{of=Handshake}", 1.0),
    ] {
        assert!((count(name) - value).abs() < 0.1, "{name}: {page}");
    }
    assert!(count("cloister_tokens_total{kind=Completion}") >= 2.0, "{page}");

    let labels: BTreeSet<&str> = found
        .keys()
        .filter_map(|name| name.split_once('{'))
        .flat_map(|(_, labels)| labels.trim_end_matches('}').split(','))
        .collect();
    assert!(labels.iter().all(|label| LABELS.contains(label)), "{labels:?}");
    for secret in [MARK, &spend.public.nullifier.to_string(), "127.0.0.1", "smollm2"] {
        assert!(!page.contains(secret), "{secret} in {page}");
    }
    assert!(get(port, "/").await.starts_with("HTTP/1.1 404"));
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}
