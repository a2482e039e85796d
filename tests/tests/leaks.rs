//! Prompts and answers carry marks; then every place that a process of the node can write to is searched for them (threats I3, K14).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use acceptance::payer::{CHAT, Payer};
use acceptance::scripted_engine::{ScriptedEngine, Step, answer, finish_chunk, text_chunk, usage_chunk};
use acceptance::{World, raw};
use credits::TabKey;
use serde_json::{Value, json};

/// Requests of one tab; its reserve lasts for more.
const REQUESTS_PER_TAB: usize = 400;

/// What happens is the same every so many requests: each kind of failure is one in twenty of them.
const ROUND: usize = 20;

/// Largest file that is searched. Nothing the node writes is near it.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// Beside the node's own folder.
const PLACES: [&str; 6] = ["/dev/shm", "/tmp", "/var/tmp", "/var/crash", "/var/log", "/run"];

/// What the engine does with a marked prompt: mostly it answers with the mark, and in each round it fails in every way once.
fn speak(body: &Value) -> Vec<Step> {
    let prompt = body["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
    let (mark, kind) = prompt.split_once(' ').unwrap_or((&prompt, ""));
    let said = Step::event(&text_chunk(mark));
    let raw = |text: String| Step::Say(text.into_bytes());
    match kind {
        "dies" => vec![Step::stream_head(), said, raw(format!("data: {{\"choices\": \"{mark}"))],
        "errs" => vec![Step::stream_head(), said, Step::event(&json!({"error": {"message": mark, "code": mark}}))],
        "babbles" => vec![Step::stream_head(), raw(format!("data: {mark}\n\n"))],
        "refuses" => {
            let error = json!({"error": {"message": mark, "type": mark, "param": mark}}).to_string();
            let length = error.len();
            vec![raw(format!("HTTP/1.1 400 Bad\r\ncontent-length: {length}\r\n\r\n{error}"))]
        }
        "garbles" => vec![raw(format!("{mark} {mark}\r\n\r\n"))],
        "stalls" => vec![Step::stream_head(), said, Step::Pause(Duration::from_secs(5)), Step::done()],
        "whole" => {
            let message = json!({"role": "assistant", "content": mark});
            let usage = json!({"prompt_tokens": 10, "completion_tokens": 4});
            let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage});
            let (body, length) = (body.to_string(), body.to_string().len());
            vec![raw(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"))]
        }
        "odd" => {
            let odd = json!({"choices": [{"index": 0, "delta": {mark: mark}, mark: mark}], mark: mark});
            let rest = [Step::event(&finish_chunk()), Step::event(&usage_chunk(10, 4)), Step::done()];
            [Step::stream_head(), Step::event(&odd)].into_iter().chain(rest).collect()
        }
        _ => answer(&[mark.to_owned()]),
    }
}

/// Files below `place` that were changed since `since` and hold `mark`, and how many were read.
fn search(place: &Path, mark: &str, since: SystemTime, found: &mut Vec<PathBuf>) -> usize {
    let Ok(entries) = fs::read_dir(place) else { return 0 };
    let mut read = 0;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.to_string_lossy().contains(mark) {
            found.push(path.clone());
        }
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        if about.is_dir() {
            read += search(&path, mark, since, found);
        } else if about.is_file()
            && about.len() <= FILE_BYTES_MAX
            && about.modified().is_ok_and(|changed| changed >= since)
            && let Ok(bytes) = fs::read(&path)
        {
            read += 1;
            if holds(&bytes, mark) {
                found.push(path);
            }
        }
    }
    read
}

/// Looks for the first byte and then for the rest: the files are many.
fn holds(bytes: &[u8], mark: &str) -> bool {
    let (mark, mut rest) = (mark.as_bytes(), bytes);
    while let Some(at) = rest.iter().position(|byte| *byte == mark[0]) {
        rest = &rest[at..];
        if rest.starts_with(mark) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// Everything that holds a mark, in all places. Proves first that it finds what is there.
fn traces(world: &Path, mark: &str, since: SystemTime) -> Vec<PathBuf> {
    let planted = [world.join("logs/planted"), PathBuf::from(format!("/dev/shm/planted-{}", std::process::id()))];
    for path in &planted {
        fs::write(path, format!("before {mark}17 after")).unwrap();
    }
    let all = |found: &mut Vec<PathBuf>| {
        let read = search(world, mark, since, found);
        read + PLACES.iter().map(|place| search(Path::new(place), mark, since, found)).sum::<usize>()
    };
    let mut found = Vec::new();
    assert!(all(&mut found) >= 4, "ledger, configuration and what was planted");
    for path in &planted {
        assert!(found.contains(path), "the search finds {}", path.display());
        fs::remove_file(path).unwrap();
    }
    let mut found = Vec::new();
    all(&mut found);
    found
}

/// One request of the kind that `number` is of.
///
/// A plain one must be answered, with its mark: the marks do go through.
async fn ask(
    payer: &Payer,
    spend: &credits::wallet::PreparedSpend,
    number: usize,
    mark: &str,
    port: u16,
    broken: &mut usize,
) {
    const KINDS: [&str; 8] = ["dies", "errs", "babbles", "refuses", "garbles", "odd", "whole", "stalls"];
    let kind = KINDS.get(number % ROUND).copied().unwrap_or("");
    let mut body = json!({"model": "smollm2-135m", "max_tokens": 16, "stream": kind != "whole",
        "messages": [{"role": "user", "content": format!("{mark} {kind}")}]});
    let key = TabKey::from_seed(&[9; 32]);
    let id = format!("{mark}id");
    match number % ROUND {
        8 => body[mark] = json!(mark),
        9 => body["model"] = json!(mark),
        10 => body["messages"] = json!(mark),
        11 => body["stop"] = json!({mark: mark}),
        _ => {}
    }
    let tab = &spend.public.nullifier;
    let call = match number % ROUND {
        // A stranger's key, a path and headers that are marked, and no JSON.
        12 => payer.signed(CHAT, tab, &key, &id, &body).await.map(drop),
        13 => {
            raw::post(port, &format!("/{mark}"), &[("x-mark", mark), ("cookie", mark)], mark.to_owned()).await.map(drop)
        }
        // Marked outside of an envelope that is none.
        15 if number % (2 * ROUND) == 15 => {
            raw::post(port, "/ohttp", &[("x-mark", mark)], mark.to_owned()).await.map(drop)
        }
        14 => raw::post(port, "/v1/tabs", &[("cloister-tab", mark)], format!("{{\"version\": \"{mark}\"}}"))
            .await
            .map(drop),
        15 => raw::get(port, &format!("/v1/attestation?nonce={mark}")).await.map(drop),
        7 => {
            // The client leaves in the middle.
            let left = payer.signed(CHAT, tab, &spend.tab_key, &id, &body);
            tokio::time::timeout(Duration::from_millis(150), left).await.map_or(Ok(()), |answer| answer.map(drop))
        }
        6 | 16.. => {
            // A panic breaks the answer off. Asked again, as clients do, the same request is answered, once.
            let answer = 'asked: {
                for _ in 0..4 {
                    match payer.signed(CHAT, tab, &spend.tab_key, &id, &body).await {
                        Ok(answer) if answer.status.as_u16() == 200 => break 'asked answer,
                        // The guardian may be busy with what it has not noticed to be over.
                        Ok(answer) => assert_eq!(answer.code(), "tab.request_in_flight", "request {number}"),
                        Err(_) => *broken += 1,
                    }
                }
                panic!("request {number} is not answered");
            };
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(text.contains(mark), "request {number}: {text}");
            Ok(())
        }
        _ => payer.signed(CHAT, tab, &spend.tab_key, &id, &body).await.map(drop),
    };
    // An answer that breaks off is what half of these are about.
    drop(call);
}

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

async fn opened(payer: &mut Payer) -> credits::wallet::PreparedSpend {
    let spend = payer.prepare(65_536, 3600).unwrap();
    let request = payer.tab_request(&spend).unwrap();
    for _ in 0..4 {
        if payer.open(&request).await.is_ok_and(|answer| answer.status.is_success()) {
            return spend;
        }
    }
    panic!("no tab opens");
}

async fn closed(payer: &Payer, spend: &credits::wallet::PreparedSpend) -> raw::Answer {
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

async fn marks_leave_no_trace(count: usize) {
    // Not in this program's own file.
    let mark = format!("mark{}x", std::process::id().wrapping_mul(2_654_435_761));
    let mut world = tokio::task::spawn_blocking(|| World::builder().logged(1, 1).start().unwrap()).await.unwrap();
    // Older files hold no mark.
    let since = fs::metadata(world.config_file()).unwrap().modified().unwrap();
    tokio::task::block_in_place(|| world.kill_engine()).unwrap();
    let _engine = ScriptedEngine::start(&world.engine_socket(), Arc::new(speak)).unwrap();
    // It panics in about one of twenty requests, in words that are marked.
    tokio::task::block_in_place(|| world.kill_guardian()).unwrap();
    let panicking = || world.start_guardian_as("cloister-panicking-guardian", &mark);
    tokio::task::block_in_place(panicking).unwrap();
    let (mut panics, mut broken) = (Panics::default(), 0);
    let mut payer = Payer::new(&world, 8 * 65_536).await.unwrap();
    let mut spend = opened(&mut payer).await;
    let mut answered = 0;
    for number in 0..count {
        if number % REQUESTS_PER_TAB == REQUESTS_PER_TAB - 1 {
            closed(&payer, &spend).await;
            spend = opened(&mut payer).await;
        }
        ask(&payer, &spend, number, &format!("{mark}{number}"), world.guardian_port(), &mut broken).await;
        let log = world.guardian_log();
        assert!(!log.contains(&mark), "in the log after request {number}: {log}");
        panics.count(&log);
        answered += 1;
    }
    assert!(panics.seen * 40 >= count && broken > 0, "{} panics, {broken} answers broken off", panics.seen);
    let status = closed(&payer, &spend).await;
    let served = status.json()["statement"]["requests"].as_u64().unwrap();
    assert!(served > 0 && answered == count, "{}", status.json());
    assert!(!world.ledger_log().contains(&mark));

    // A crash with all of it in memory leaves no core.
    tokio::task::block_in_place(|| world.abort_guardian()).unwrap();
    let folder = world.dir().to_path_buf();
    let found = tokio::task::block_in_place(|| traces(&folder, &mark, since));
    assert!(found.is_empty(), "marks in {found:?}");
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn marked_prompts_and_answers_leave_no_trace() {
    marks_leave_no_trace(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nightly_marked_prompts_and_answers_leave_no_trace() {
    marks_leave_no_trace(2_000).await;
}
