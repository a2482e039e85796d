//! Prompts and answers carry marks; then every place that a process of the node can write to is searched for them (threats I3, K14).

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use acceptance::payer::{CHAT, Payer};
use acceptance::processes::free_port;
use acceptance::scripted_engine::ScriptedEngine;
use acceptance::{World, raw};
use credits::wallet::PreparedSpend;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;

use crate::{metrics, oblivious};
use asking::{Asker, Seen, speak};
use searching::{Traces, traces, works_in};

mod asking;
mod searching;

/// Requests of one tab; its reserve lasts for more.
const REQUESTS_PER_TAB: usize = 400;

/// Seconds between two states of the counts that are published: the fewest that there may be.
const PUBLISHED_SECS: u64 = enclave::limits::METRICS_INTERVAL_SECS_MIN;

/// Panics in a log of which only the last lines are kept.
#[derive(Default)]
struct Panics {
    seen: usize,
    kept: usize,
}

impl Panics {
    fn count(&mut self, log: &str) {
        let now = log.matches("panic at tests/src/bin/cloister-panicking-guardian.rs").count();
        self.seen += now.saturating_sub(self.kept);
        self.kept = now;
    }
}

/// What the guardian's log must not have.
struct Secrets {
    mark: String,
    /// Of the tabs so far: their ids, which everybody reads in the ledger's log beside amounts and times, and their keys.
    of_tabs: Vec<String>,
    /// Ports of the node's own services. Whatever else has one is a client.
    ports: Vec<String>,
}

impl Secrets {
    fn add(&mut self, spend: &PreparedSpend) {
        let key = &spend.tab_key;
        self.of_tabs.extend([spend.public.nullifier.to_string(), key.public().to_string(), hex::encode(key.seed())]);
    }

    fn check(&self, log: &str, seen: &Seen, after: &str) {
        assert!(!log.contains(&self.mark), "in the log after {after}: {log}");
        // Ids as they begin, whatever follows: of receipts, answers and requests.
        for beginning in ["rcpt-", "chatcmpl-", "cmpl-", "resp_", "msg_", "req-"] {
            assert!(!log.contains(beginning), "{beginning} in the log after {after}: {log}");
        }
        for secret in self.of_tabs.iter().chain(&seen.ids) {
            assert!(!log.contains(secret), "{secret} in the log after {after}: {log}");
        }
        for (at, _) in log.match_indices("127.0.0.1:") {
            let port: String = log[at + 10..].chars().take_while(char::is_ascii_digit).collect();
            assert!(self.ports.contains(&port), "a client's address in the log after {after}: {log}");
        }
    }
}

async fn opened(payer: &mut Payer) -> PreparedSpend {
    let spend = payer.prepare(65_536, 3600).unwrap();
    let request = payer.tab_request(&spend).unwrap();
    for _ in 0..4 {
        if payer.open(&request).await.is_ok_and(|answer| answer.status.is_success()) {
            return spend;
        }
    }
    panic!("no tab opens");
}

async fn closed(payer: &Payer, spend: &PreparedSpend) -> raw::Answer {
    for _ in 0..20 {
        if let Ok(answer) = payer.close(spend).await
            && answer.status.is_success()
        {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("the tab is not settled");
}

/// What is published once it has these words: no sooner than at the end of an interval, of which the first says nothing yet.
async fn published(port: u16, words: &[&str]) -> String {
    for _ in 0..3 * PUBLISHED_SECS {
        let page = metrics::get(port, "/metrics").await;
        if words.iter().all(|word| page.contains(word)) {
            return page;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("no {words:?} are published");
}

/// The real engine, with marks in its memory, is killed while it answers; how often an answer broke off.
async fn kill_engines(world: &mut World, payer: &Payer, spend: &PreparedSpend, mark: &str, kills: usize) -> usize {
    let mut broken = 0;
    for kill in 0..kills {
        let body = json!({"model": "smollm2-135m", "max_tokens": 512, "stream": true,
            "messages": [{"role": "user", "content": format!("Tell me a long story about {mark}{kill}.")}]});
        let body = body.to_string();
        let headers = payer.chat_headers(spend, &format!("{mark}kill{kill}"), body.as_bytes());
        let (begun, failed) = (AtomicBool::new(false), AtomicBool::new(false));
        let look = |text: &str| {
            begun.fetch_or(text.contains("\"delta\""), Ordering::Relaxed);
            failed.fetch_or(text.contains("engine.failed"), Ordering::Relaxed);
            false
        };
        let port = world.guardian_port();
        let pairs = headers.pairs();
        let asked = raw::take_until(port, CHAT, &pairs, body, look);
        let kill = async {
            for _ in 0..100 {
                if begun.load(Ordering::Relaxed) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            tokio::task::block_in_place(|| world.kill_engine()).unwrap();
        };
        let (broke_off, ()) = tokio::join!(asked, kill);
        broken += usize::from(broke_off.is_ok() && failed.load(Ordering::Relaxed));
        tokio::task::block_in_place(|| world.start_engine()).unwrap();
    }
    broken
}

/// What is to be said of a machine on which nothing was shown of cores.
async fn marks_leave_no_trace(count: usize, kills: usize) -> &'static str {
    // Whoever does nothing against it leaves a core.
    let core = getrlimit(Resource::Core);
    setrlimit(Resource::Core, rustix::process::Rlimit { current: core.maximum, ..core }).unwrap();
    // Not in this program's own file.
    let mark = format!("mark{}x", std::process::id().wrapping_mul(2_654_435_761));
    let counts = free_port().unwrap();
    let table = format!("\n[metrics]\nlisten = \"127.0.0.1:{counts}\"\ninterval_secs = {PUBLISHED_SECS}\n");
    let world = move || World::builder().logged(1, 1).configured(table).start().unwrap();
    let mut world = tokio::task::spawn_blocking(world).await.unwrap();
    // Older files hold no mark.
    let since = fs::metadata(world.config_file()).unwrap().modified().unwrap();
    let engine_works_in = works_in(world.engine_pid().unwrap());
    tokio::task::block_in_place(|| world.kill_engine()).unwrap();
    let engine = ScriptedEngine::start(&world.engine_socket(), Arc::new(speak)).unwrap();
    // It panics in about one of fifteen requests, in words that are marked.
    tokio::task::block_in_place(|| world.kill_guardian()).unwrap();
    let panicking = || world.start_guardian_as("cloister-panicking-guardian", &mark);
    tokio::task::block_in_place(panicking).unwrap();
    let folders = [works_in(world.guardian_pid().unwrap()), engine_works_in];
    let port = world.guardian_port();
    let envelopes = oblivious::keys(port).await;
    let ledger = world.ledger_url().rsplit_once(':').unwrap().1.to_owned();
    let ports = vec![port.to_string(), counts.to_string(), ledger];
    let mut secrets = Secrets { mark: mark.clone(), of_tabs: Vec::new(), ports };
    let (mut panics, mut seen) = (Panics::default(), Seen::default());
    let mut payer = Payer::new(&world, 8 * 65_536).await.unwrap();
    let mut spend = opened(&mut payer).await;
    secrets.add(&spend);
    for number in 0..count {
        if number % REQUESTS_PER_TAB == REQUESTS_PER_TAB - 1 {
            closed(&payer, &spend).await;
            spend = opened(&mut payer).await;
            secrets.add(&spend);
        }
        let asker = Asker { payer: &payer, spend: &spend, port, envelopes: &envelopes };
        asker.ask(number, &format!("{mark}{number}"), &mut seen).await;
        let log = world.guardian_log();
        secrets.check(&log, &seen, &format!("request {number}"));
        panics.count(&log);
    }
    assert!(panics.seen * 20 >= count && seen.broken > 0, "{} panics, {} broken off", panics.seen, seen.broken);
    assert!(seen.answered.iter().all(|answered| *answered > 0), "by endpoint, in envelopes: {:?}", seen.answered);

    drop(engine);
    fs::remove_file(world.engine_socket()).unwrap();
    tokio::task::block_in_place(|| world.start_engine()).unwrap();
    let broken = kill_engines(&mut world, &payer, &spend, &mark, kills).await;
    assert!(broken > 0, "{kills} engines were killed, and no answer of theirs broke off");
    secrets.check(&world.guardian_log(), &seen, "the engines' ends");
    let status = closed(&payer, &spend).await;
    let served = status.json()["statement"]["requests"].as_u64().unwrap();
    assert!(served > 0, "{}", status.json());
    assert!(!world.ledger_log().contains(&mark));
    let page = published(counts, &["outcome=\"UpstreamError\"", "endpoint=\"Messages\""]).await;
    secrets.check(&page, &seen, "all, where counts are published");

    // A crash with all of it in memory leaves no core.
    tokio::task::block_in_place(|| world.abort_guardian()).unwrap();
    let folder = world.dir().to_path_buf();
    let Traces { found, cores_are_left } = tokio::task::block_in_place(|| traces(&folder, &folders, &mark, since));
    assert!(found.is_empty(), "marks in {found:?}");
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
    if cores_are_left { "" } else { "SKIP: this machine leaves no core where its process worked" }
}

#[tokio::test(flavor = "multi_thread")]
async fn marked_prompts_and_answers_leave_no_trace() {
    println!("{}", marks_leave_no_trace(200, 2).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nightly_marked_prompts_and_answers_leave_no_trace() {
    println!("{}", marks_leave_no_trace(2_000, 20).await);
}
