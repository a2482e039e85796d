//! An engine that answers fluently and wrongly serves nobody: not at boot, and not later.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use acceptance::payer::{CHAT, Payer};
use acceptance::scripted_engine::{ScriptedEngine, Step, finish_chunk, plain, text_chunk, usage_chunk};
use acceptance::world::run;
use acceptance::{World, cli, raw};
use serde_json::json;

const PROMPT: &str = "The planets from the sun outward are";

/// Adds the question to the guardian's configuration, with the answer it must have.
fn expect(world: &World, answer: &str) {
    expect_every(world, answer, 1);
}

fn expect_every(world: &World, answer: &str, interval_secs: u64) {
    let config = std::fs::read_to_string(world.config_file()).unwrap();
    let rest = config.split("\n[canary]").next().unwrap();
    let answer = json!(answer);
    let canary =
        format!("prompt = \"{PROMPT}\"\ncompletion_tokens = 12\nanswer = {answer}\ninterval_secs = {interval_secs}\n");
    std::fs::write(world.config_file(), format!("{rest}\n[canary]\n{canary}")).unwrap();
}

/// A text, as an engine answers a completion.
fn words(text: &str) -> serde_json::Value {
    json!({
        "choices": [{"index": 0, "text": text, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 8, "completion_tokens": 12},
    })
}

/// An engine that says this to everything.
fn says(socket: &Path, text: Arc<Mutex<String>>) -> ScriptedEngine {
    let script = move |_: &serde_json::Value| plain(&words(&text.lock().unwrap()));
    ScriptedEngine::start(socket, Arc::new(script)).unwrap()
}

fn engineless() -> World {
    let mut world = World::builder().start().unwrap();
    world.kill_guardian().unwrap();
    world.kill_engine().unwrap();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_answers_wrongly_is_never_served_from() {
    let mut world = tokio::task::spawn_blocking(engineless).await.unwrap();
    let text = Arc::new(Mutex::new("fluent nonsense".to_owned()));
    let _engine = says(&world.engine_socket(), Arc::clone(&text));
    expect(&world, " Mercury, Venus");
    let refused = tokio::task::block_in_place(|| world.start_guardian()).unwrap_err().to_string();
    assert!(refused.contains("3 times in a row"), "{refused}");
    assert!(!refused.contains("nonsense") && !refused.contains("\"ready\""), "{refused}");

    // It answers rightly, takes requests, and goes wrong while a tab is open: the tab is settled, and the node ends.
    " Mercury, Venus".clone_into(&mut text.lock().unwrap());
    tokio::task::block_in_place(|| world.start_guardian()).unwrap();
    let mut payer = Payer::new(&world, 64 * 1024).await.unwrap();
    payer.opened(1024, 600).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(payer.opened(1024, 600).await.is_ok(), "right answers change nothing");
    "fluent nonsense".clone_into(&mut text.lock().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    while payer.opened(1024, 600).await.is_ok() {
        assert!(Instant::now() < deadline, "{}", world.guardian_log());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let ended = tokio::task::block_in_place(|| world.wait_for_guardian("never said")).unwrap_err().to_string();
    assert!(ended.contains("ended with exit status: 1") && ended.contains("3 times in a row"), "{ended}");
    payer.sync().await.unwrap();
    // What is pending is the note of the tab that was not opened any more.
    let (spendable, reserved, pending) = payer.balance();
    assert_eq!((spendable + pending, reserved), (64 * 1024, 0), "every tab was settled, at no charge");
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

/// An engine that was started anew is asked before it serves: a call under an open tab is told to come again until the answer is right, and a
/// wrong one ends the node before anybody was served.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_was_started_anew_is_asked_before_it_serves() {
    let mut world = tokio::task::spawn_blocking(engineless).await.unwrap();
    let text = Arc::new(Mutex::new(" Mercury, Venus".to_owned()));
    let socket = world.engine_socket();
    let first = says(&socket, Arc::clone(&text));
    // Only what happens in between: the question comes at no interval of its own in this test.
    expect_every(&world, " Mercury, Venus", 3600);
    tokio::task::block_in_place(|| world.start_guardian()).unwrap();
    let mut payer = Payer::new(&world, 64 * 1024).await.unwrap();
    let spend = payer.opened(4096, 600).await.unwrap();
    let completion = json!({"model": "smollm2-135m", "prompt": "hello", "max_tokens": 12});
    let call = async |payer: &Payer, id: &str| {
        let id = format!("call-{id}");
        let (tab, key) = (&spend.public.nullifier, &spend.tab_key);
        payer.signed("/v1/completions", tab, key, &id, &completion).await.unwrap()
    };
    let served = call(&payer, "first").await;
    assert_eq!(served.status.as_u16(), 200, "{}", served.json());
    // As good as the first one: its first call finds out that it was not asked yet, and soon it was.
    drop(first);
    std::fs::remove_file(&socket).unwrap();
    let second = says(&socket, Arc::clone(&text));
    let early = call(&payer, "early").await;
    assert_eq!((early.status.as_u16(), early.code().as_str()), (503, "engine.starting"), "{}", early.json());
    let deadline = Instant::now() + Duration::from_secs(20);
    while call(&payer, "later").await.status != 200 {
        assert!(Instant::now() < deadline, "{}", world.guardian_log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Fluent and wrong.
    drop(second);
    std::fs::remove_file(&socket).unwrap();
    "fluent nonsense".clone_into(&mut text.lock().unwrap());
    let _third = says(&socket, Arc::clone(&text));
    let refused = call(&payer, "never").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "engine.starting"), "{}", refused.json());
    let ended = tokio::task::block_in_place(|| world.wait_for_guardian("never said")).unwrap_err().to_string();
    assert!(ended.contains("ended with exit status: 1") && ended.contains("3 times in a row"), "{ended}");
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

/// A node that is never idle: beside other requests a wrong answer proves nothing, but when none was right for some intervals it takes no new
/// ones. A right one lets it go on, whoever still reads; a wrong one ends it once nobody does.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_never_idle_is_not_served_from_for_ever() {
    const RIGHT: &str = " Mercury, Venus";
    let mut world = tokio::task::spawn_blocking(engineless).await.unwrap();
    let text = Arc::new(Mutex::new(RIGHT.to_owned()));
    let said = Arc::clone(&text);
    let script = move |asked: &serde_json::Value| match asked.get("messages") {
        Some(_) => without_haste(),
        None => plain(&words(&said.lock().unwrap())),
    };
    let _engine = ScriptedEngine::start(&world.engine_socket(), Arc::new(script)).unwrap();
    expect(&world, RIGHT);
    tokio::task::block_in_place(|| world.start_guardian()).unwrap();
    let mut payer = Payer::new(&world, 8 * 65_536).await.unwrap();
    let spend = payer.opened(65_536, 600).await.unwrap();
    let question = json!({"model": "smollm2-135m", "max_tokens": 2048, "stream": true,
        "messages": [{"role": "user", "content": "hello"}]})
    .to_string();
    let headers = payer.chat_headers(&spend, "long", question.as_bytes());
    let request = raw::json_post(CHAT, &headers.pairs(), question).unwrap();
    let (port, completion) =
        (world.guardian_port(), json!({"model": "smollm2-135m", "prompt": "hello", "max_tokens": 12}));
    let reads = tokio::spawn(async move { raw::send_and_take_what_comes(port, request).await.unwrap().0 });
    // Until a call has this status; the long answer is still being read then.
    let mut calls = 0;
    let mut until = async |status: u16| {
        let began = Instant::now();
        loop {
            calls += 1;
            let id = format!("call-{calls}");
            let answer =
                payer.signed("/v1/completions", &spend.public.nullifier, &spend.tab_key, &id, &completion).await;
            let answer = answer.unwrap();
            assert!(!reads.is_finished(), "the node was idle");
            if answer.status.as_u16() == status {
                assert!(status == 200 || answer.code() == "engine.starting", "{}", answer.json());
                return began.elapsed();
            }
            assert!(began.elapsed() < Duration::from_secs(15), "{}", world.guardian_log());
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    until(200).await;
    "fluent nonsense".clone_into(&mut text.lock().unwrap());
    assert!(until(503).await > Duration::from_secs(3), "one wrong answer beside others says nothing");
    RIGHT.clone_into(&mut text.lock().unwrap());
    until(200).await;
    "fluent nonsense".clone_into(&mut text.lock().unwrap());
    until(503).await;
    let ended = tokio::task::block_in_place(|| world.wait_for_guardian("never said")).unwrap_err().to_string();
    assert!(ended.contains("ended with exit status: 1") && ended.contains("3 times in a row"), "{ended}");
    let read = reads.await.unwrap();
    assert!(read.body.ends_with(b"data: [DONE]\n\n"), "what was begun is finished");
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

/// An answer that takes half a minute.
fn without_haste() -> Vec<Step> {
    const TOKENS: u64 = 280;
    let mut steps = vec![Step::stream_head()];
    steps.extend((0..TOKENS).flat_map(|_| [Step::event(&text_chunk("x")), Step::Pause(Duration::from_millis(100))]));
    steps.extend([Step::event(&finish_chunk()), Step::event(&usage_chunk(10, TOKENS)), Step::done()]);
    steps
}

/// The real engine's own words, found out by the command for that, are what it says at each later time.
#[test]
fn the_real_engine_keeps_to_its_answer() {
    let mut world = World::builder().start().unwrap();
    expect(&world, "");
    let mut ask: Command = world.program("cloister-guardian");
    let said = run(ask.args(["canary", "--config"]).arg(world.config_file())).unwrap();
    let answer: toml::Table = toml::from_str(&said).unwrap();
    let answer = answer["answer"].as_str().unwrap();
    assert!(answer.len() > 8, "{said}");
    world.kill_guardian().unwrap();
    expect(&world, answer);
    world.start_guardian().unwrap();
    std::thread::sleep(Duration::from_millis(3500));
    assert!(world.guardian_log().contains("the canary's answer is right"));
    let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
    cli::chat(&world, &wallet, "Say hello.", &[]).unwrap().success().unwrap();
    assert!(world.stop_guardian().unwrap());
}
