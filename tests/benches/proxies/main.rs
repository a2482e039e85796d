//! The same event stream behind nginx, haproxy and the guardian, in one run: what attested TLS, signatures of tabs, receipts and running
//! totals cost beside a plain TLS proxy. Ratios are medians over rounds in which all take turns; absolute numbers say more about the
//! machine than about the code. The clients, the upstream and the ledger share the machine's processors with what is measured, so
//! processor time per request is the figure to trust.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    reason = "a bench is a program for a terminal"
)]

mod cost;
mod goals;
mod load;
mod node;
mod peers;
mod upstream;

use std::time::Duration;

use acceptance::processes::Process;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::goals::Goals;
use crate::load::Sample;
use crate::node::Node;

/// Rounds, each of so long for each proxy.
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);
/// Streams at once, when the upstream says everything at once …
const STREAMS: usize = 16;
/// … and when it says an event each 5 ms.
const PACED_STREAMS: usize = 64;
const PACE: Duration = Duration::from_millis(5);
/// Requests one after the other, to each proxy in turn.
const ALONE: usize = 300;
const IDLE_CONNECTIONS: usize = 10_000;
const MANY_STREAMS: usize = 1000;
/// As many requests may be in flight under one tab.
const STREAMS_PER_TAB: usize = 8;

/// A proxy under load.
#[derive(Clone, Copy)]
struct Target {
    name: &'static str,
    port: u16,
    pid: u32,
}

/// What one proxy did in one round.
struct Round {
    requests_per_second: f64,
    processor_micros: f64,
    samples: Vec<Sample>,
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if args.get(1).is_some_and(|arg| arg == "upstream") {
        let pace = Duration::from_micros(args[3].parse()?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(upstream::serve(args[2].as_ref(), pace));
    }
    let connections = connections_max();
    // `cargo bench … -- short`: the first comparisons only, which is what one wants while changing the code.
    let short = args.iter().skip(1).any(|arg| arg == "short");
    runtime.block_on(async {
        against_peers(connections, short).await?;
        if short { Ok(()) } else { shaping().await }
    })
}

/// As many connections as every proxy can have, which needs two files for each.
fn connections_max() -> usize {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let places = usize::try_from(maximum.unwrap_or(u64::MAX)).unwrap_or(usize::MAX).saturating_sub(512) / 2;
    places.min(IDLE_CONNECTIONS)
}

async fn against_peers(connections: usize, short: bool) -> anyhow::Result<()> {
    let tabs = if short { STREAMS } else { MANY_STREAMS.div_ceil(STREAMS_PER_TAB) };
    println!("== starting ({tabs} tabs are proved and opened)");
    let mut node = Node::start("frame_bytes = 0", tabs).await?;
    let dir = tempfile::tempdir()?;
    let peers = peers::start(dir.path(), &node.world.engine_socket(), connections + 64)?;
    let pid = |process: &Option<Process>| process.as_ref().unwrap().id();
    let mut targets: Vec<Target> =
        peers.iter().map(|peer| Target { name: peer.name, port: peer.port, pid: pid(&peer.process) }).collect();
    targets.push(guardian(&node));
    let goals = &mut Goals::default();
    println!("== {STREAMS} streams of {} events at once, the upstream does not wait", upstream::TOKENS);
    let (rate, micros) = compare(&node, &targets, STREAMS).await?;
    goals.at_most("processor time of a short answer, x nginx", micros, 1.5);
    goals.at_least("short answers per second, x nginx", rate, 0.8);
    println!("== one request after the other: time to the first byte of the answer");
    let added = first_byte(&node, &targets).await?;
    goals.at_most("first byte over nginx, ms (p50)", added, 1.0);
    println!("== {PACED_STREAMS} streams at once, an event each {} ms", PACE.as_millis());
    node.pace(PACE)?;
    let (rate, micros) = compare(&node, &targets, PACED_STREAMS).await?;
    goals.at_most("processor time of a paced stream, x nginx", micros, 1.5);
    goals.at_least("paced streams per second, x nginx", rate, 0.8);
    if short {
        goals.tell();
        return Ok(());
    }
    println!("== new connections, 8 at once (the guardian: X25519MLKEM768)");
    handshakes(&node, &targets).await?;
    println!("== {connections} idle connections ({IDLE_CONNECTIONS}, if the machine's limit on files allows)");
    let mut held = f64::NAN;
    for target in &targets {
        held = idle(&node, target, connections).await?;
    }
    // The guardian's, which is the last one; of as many as there may be.
    goals.at_most("MiB for 10,000 idle connections", held * 10_000.0 / 1024.0, 256.0);
    println!("== {MANY_STREAMS} streams at once, an event each 50 ms: every event must come");
    node.pace(Duration::from_millis(50))?;
    let samples = node.client.streams(node.world.guardian_port(), MANY_STREAMS, Duration::ZERO).await?;
    println!("{:<10} {} streams, each with all {} events", "guardian", samples.len(), upstream::TOKENS + 2);
    goals.at_least("streams at once that got every event", samples.len() as f64, MANY_STREAMS as f64);
    goals.tell();
    Ok(())
}

fn guardian(node: &Node) -> Target {
    Target { name: "guardian", port: node.world.guardian_port(), pid: node.world.guardian_pid().unwrap() }
}

async fn round(node: &Node, target: &Target, streams: usize) -> anyhow::Result<Round> {
    let (before, began) = (cost::processor_time(target.pid), std::time::Instant::now());
    let samples = node.client.streams(target.port, streams, ROUND).await?;
    let (spent, count) = (cost::processor_time(target.pid) - before, samples.len() as f64);
    let requests_per_second = count / began.elapsed().as_secs_f64();
    Ok(Round { requests_per_second, processor_micros: spent.as_secs_f64() * 1e6 / count, samples })
}

/// All take turns in every round; the first named is what the others are held against. The last one's requests and processor time, as ratios.
async fn compare(node: &Node, targets: &[Target], streams: usize) -> anyhow::Result<(f64, f64)> {
    for target in targets {
        node.client.streams(target.port, streams, Duration::from_millis(300)).await?;
    }
    let mut rounds: Vec<Vec<Round>> = targets.iter().map(|_| Vec::new()).collect();
    for turn in 0..ROUNDS {
        for place in 0..targets.len() {
            let at = if turn % 2 == 0 { place } else { targets.len() - 1 - place };
            rounds[at].push(round(node, &targets[at], streams).await?);
        }
    }
    println!(
        "{:<10} {:>8} {:>9} {:>9} {:>12} {:>9} {:>15} {:>15} {:>13}",
        "", "req/s", "x nginx", "tokens/s", "CPU us/req", "x nginx", "p50/p99 ms", "over nginx", "first p50 ms"
    );
    let whole = |rounds: &[Round], part| {
        quantile(rounds.iter().flat_map(|round| &round.samples).map(|sample| millis(sample.whole)), part)
    };
    let mut ratios = (f64::NAN, f64::NAN);
    for (target, own) in targets.iter().zip(&rounds) {
        let ratio = |of: fn(&Round) -> f64| median(own.iter().zip(&rounds[0]).map(|(own, peer)| of(own) / of(peer)));
        let samples: Vec<Sample> = own.iter().flat_map(|round| round.samples.iter().copied()).collect();
        let rate = median(own.iter().map(|round| round.requests_per_second));
        ratios = (ratio(|round| round.requests_per_second), ratio(|round| round.processor_micros));
        let (p50, p99) = (whole(own, 0.5), whole(own, 0.99));
        println!(
            "{:<10} {rate:>8.0} {:>9.2} {:>9.0} {:>12.0} {:>9.2} {p50:>7.1}/{p99:<7.1} {:>+7.1}/{:<+7.1} {:>13.2}",
            target.name,
            ratios.0,
            rate * upstream::TOKENS as f64,
            median(own.iter().map(|round| round.processor_micros)),
            ratios.1,
            p50 - whole(&rounds[0], 0.5),
            p99 - whole(&rounds[0], 0.99),
            quantile(samples.iter().map(|sample| millis(sample.first)), 0.5),
        );
    }
    Ok(ratios)
}

/// What the last target adds to the first one's time, in milliseconds.
async fn first_byte(node: &Node, targets: &[Target]) -> anyhow::Result<f64> {
    let mut open = Vec::new();
    for target in targets {
        open.push((node.client.open(target.port).await?, Vec::new()));
    }
    for call in 0..ALONE {
        for (sender, times) in &mut open {
            times.push(millis(node.client.ask(sender, call).await?.first));
        }
    }
    let peer = open[0].1.clone();
    let mut last = f64::NAN;
    for (target, (_, times)) in targets.iter().zip(&open) {
        let added: Vec<f64> = times.iter().zip(&peer).map(|(own, peer)| own - peer).collect();
        last = median(added.iter().copied());
        println!(
            "{:<10} p50 {:>6.2} ms, p99 {:>6.2} ms; over nginx p50 {last:>6.2} ms, p99 {:>6.2} ms",
            target.name,
            quantile(times.iter().copied(), 0.5),
            quantile(times.iter().copied(), 0.99),
            quantile(added.into_iter(), 0.99)
        );
    }
    Ok(last)
}

async fn handshakes(node: &Node, targets: &[Target]) -> anyhow::Result<()> {
    for target in targets {
        let before = cost::processor_time(target.pid);
        let count = node.client.handshakes(target.port, 8, ROUND).await? as f64;
        let spent = cost::processor_time(target.pid) - before;
        let (rate, each) = (count / ROUND.as_secs_f64(), spent.as_secs_f64() * 1e6 / count);
        println!("{:<10} {rate:>6.0} per second, {each:>5.0} us of processor time each", target.name);
    }
    Ok(())
}

/// KiB for each connection.
async fn idle(node: &Node, target: &Target, connections: usize) -> anyhow::Result<f64> {
    let before = cost::memory(target.pid);
    let mut open = Vec::new();
    while open.len() < connections {
        match tokio::time::timeout(Duration::from_secs(5), node.client.connect(target.port)).await {
            Ok(Ok(connection)) => open.push(connection),
            _ => break,
        }
    }
    let used = cost::memory(target.pid).saturating_sub(before) as f64;
    println!(
        "{:<10} {} connections: {:.0} MiB, {:.1} KiB each",
        target.name,
        open.len(),
        used / 1048576.0,
        used / 1024.0 / open.len() as f64
    );
    Ok(used / 1024.0 / open.len() as f64)
}

/// What filling up and pacing cost, apart from the rest.
async fn shaping() -> anyhow::Result<()> {
    println!("== the guardian alone: filling up and pacing, {STREAMS} streams, an event each {} ms", PACE.as_millis());
    let mut plain = None;
    for (name, table) in [
        ("plain", "frame_bytes = 0"),
        ("filled up to 512 bytes", "frame_bytes = 512"),
        ("and a frame each 40 ms", "frame_bytes = 512\ncadence_millis = 40"),
    ] {
        let mut node = Node::start(table, STREAMS).await?;
        node.pace(PACE)?;
        let target = guardian(&node);
        node.client.streams(target.port, STREAMS, Duration::ZERO).await?;
        let mut rounds = Vec::new();
        for _ in 0..3 {
            rounds.push(round(&node, &target, STREAMS).await?);
        }
        let micros = median(rounds.iter().map(|round| round.processor_micros));
        let samples: Vec<Sample> = rounds.iter().flat_map(|round| round.samples.iter().copied()).collect();
        let bytes = quantile(samples.iter().map(|sample| sample.bytes as f64), 0.5);
        let (base_micros, base_bytes) = *plain.get_or_insert((micros, bytes));
        println!(
            "{name:<24} {micros:>6.0} us of processor time ({:.2} x plain), {bytes:>6.0} bytes ({:.2} x), first {:>5.1} ms, whole {:>6.1} ms",
            micros / base_micros,
            bytes / base_bytes,
            quantile(samples.iter().map(|sample| millis(sample.first)), 0.5),
            quantile(samples.iter().map(|sample| millis(sample.whole)), 0.5),
        );
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

fn quantile(values: impl Iterator<Item = f64>, part: f64) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1) as f64;
    values.get((last * part).round() as usize).copied().unwrap_or(f64::NAN)
}
