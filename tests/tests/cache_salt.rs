//! Prefix caches are shared within a tab and with nobody else (threat I1): the engine is told a salt of each tab, which no client chooses.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use acceptance::World;
use acceptance::payer::{CHAT, Payer};
use acceptance::scripted_engine::{ScriptedEngine, plain};
use serde_json::{Value, json};

/// A world whose guardian speaks vLLM's dialect, with no engine yet.
fn salted() -> World {
    let mut world = World::builder().start().unwrap();
    world.stop_guardian().unwrap();
    world.kill_engine().unwrap();
    let config = std::fs::read_to_string(world.config_file()).unwrap();
    let other = config.replace("dialect = \"llama\"", "dialect = \"vllm\"");
    assert_ne!(config, other);
    std::fs::write(world.config_file(), other).unwrap();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tab_has_a_cache_salt_of_its_own_and_no_client_chooses_one() {
    const SALT_OF_THE_CLIENT: &str = "salt-of-the-client";
    let mut world = tokio::task::spawn_blocking(salted).await.unwrap();
    let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
    let notes = Arc::clone(&heard);
    let script = move |body: &Value| {
        notes.lock().unwrap().push(body.clone());
        let usage = json!({"prompt_tokens": 10, "completion_tokens": 1});
        let message = json!({"role": "assistant", "content": "hi"});
        // Both kinds of answers in one: the guardian takes what belongs to the endpoint.
        let choice = json!({"index": 0, "message": message, "text": "hi", "finish_reason": "stop"});
        plain(&json!({"choices": [choice], "usage": usage}))
    };
    let _engine = ScriptedEngine::start(&world.engine_socket(), Arc::new(script)).unwrap();
    tokio::task::block_in_place(|| world.start_guardian()).unwrap();
    let mut payer = Payer::new(&world, 8 * 4096).await.unwrap();
    let bodies = [
        (CHAT, json!({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4})),
        ("/v1/completions", json!({"prompt": "hello", "max_tokens": 4})),
        ("/v1/responses", json!({"input": "hello", "max_output_tokens": 16})),
        ("/v1/messages", json!({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4})),
    ];
    let mut salts = Vec::new();
    for tab in ["one", "two"] {
        let spend = payer.opened(4096, 600).await.unwrap();
        let mut of_tab = BTreeSet::new();
        for (path, body) in &bodies {
            let mut body = body.clone();
            body["model"] = json!("smollm2-135m");
            let key = format!("{tab}{}", path.replace('/', "-"));
            let (id, tab_key) = (&spend.public.nullifier, &spend.tab_key);
            let answer = payer.signed(path, id, tab_key, &key, &body).await.unwrap();
            assert_eq!(answer.status.as_u16(), 200, "{path}: {}", answer.json());
            let salt = heard.lock().unwrap().last().unwrap()["cache_salt"].as_str().unwrap().to_owned();
            assert!(salt.len() == 64 && salt.bytes().all(|byte| byte.is_ascii_hexdigit()), "{path}: {salt}");
            // Its id stands in the ledger's log, for everybody.
            assert_ne!(salt, id.to_string());
            of_tab.insert(salt);

            let before = heard.lock().unwrap().len();
            body["cache_salt"] = json!(SALT_OF_THE_CLIENT);
            let refused = payer.signed(path, id, tab_key, &format!("{key}-salted"), &body).await.unwrap();
            assert_eq!(
                (refused.status.as_u16(), refused.code().as_str()),
                (400, "request.unknown_parameter"),
                "{path}"
            );
            assert_eq!(heard.lock().unwrap().len(), before, "{path}: the engine was asked all the same");
        }
        assert_eq!(of_tab.len(), 1, "one salt in one tab: {of_tab:?}");
        salts.extend(of_tab);
    }
    assert_ne!(salts[0], salts[1], "tabs share no cache");
    assert!(!heard.lock().unwrap().iter().any(|body| body.to_string().contains(SALT_OF_THE_CLIENT)));
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}
