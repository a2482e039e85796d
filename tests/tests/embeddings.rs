//! A node whose model makes vectors of texts: real engines through official clients, and engines that lie.

use std::process::Command;
use std::sync::{Arc, Mutex};

use acceptance::payer::Payer;
use acceptance::proxy::Proxy;
use acceptance::scripted_engine::{ScriptedEngine, plain};
use acceptance::{EngineKind, World, cli, processes, raw};
use serde_json::{Value, json};

const PATH: &str = "/v1/embeddings";

/// Both clients' checks; every tab is settled at what vectors cost.
fn official_clients(kind: EngineKind, model: &str) {
    let world = World::builder().engine(kind).start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", 1_000_000).unwrap();
    let proxy = Proxy::start(&world, &wallet).unwrap();
    let root = processes::repo_root();
    let mut python = Command::new(processes::client_python("openai").unwrap());
    python.arg(root.join("tests/clients/openai_embeddings.py"));
    passes(python.args(["--base-url", &proxy.base_url(), "--model", model]), 5, &proxy);
    let mut install = Command::new(root.join("tests/clients/node_env.sh"));
    let program = install.arg(root.join("target/clients")).arg("openai_embeddings.mjs");
    let program = processes::installed(program).unwrap();
    passes(Command::new("node").arg(program).args([&proxy.base_url(), model]), 3, &proxy);
    assert!(proxy.stop().unwrap());
    let (spendable, reserved, pending) = cli::balance(&world, &wallet).unwrap();
    assert_eq!((reserved, pending), (0, 0), "every tab is settled");
    // Five answers at ten credits and one for each token.
    let spent = 1_000_000 - spendable;
    assert!((90..400).contains(&spent), "{spent}");
}

fn passes(checks: &mut Command, count: usize, proxy: &Proxy) {
    let output = checks.output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{report}\n{}\n{}", String::from_utf8_lossy(&output.stderr), proxy.log());
    assert_eq!(report.lines().filter(|line| line.starts_with("PASS ")).count(), count, "{report}");
}

#[test]
fn official_clients_get_vectors_that_are_paid() {
    official_clients(EngineKind::LightEmbeddings, "smollm2-135m");
}

#[test]
fn vllm_official_clients_get_vectors_that_are_paid() {
    official_clients(EngineKind::VllmEmbeddings, "minilm");
}

const TWO: [&str; 2] = ["AACAPwAAAEA=", "AABAQAAAgEA="];

fn vectors(vectors: &[(u64, &str)], prompt_tokens: u64) -> Value {
    let data = vectors.iter().map(|(index, embedding)| json!({"index": index, "embedding": embedding}));
    json!({"data": data.collect::<Vec<_>>(), "usage": {"prompt_tokens": prompt_tokens}})
}

/// What an engine says that is not an answer costs nothing; what it counts that cannot be is not charged.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_lies_about_vectors_is_not_believed() {
    let mut world =
        tokio::task::spawn_blocking(|| World::builder().engine(EngineKind::LightEmbeddings).start().unwrap())
            .await
            .unwrap();
    tokio::task::block_in_place(|| world.kill_engine()).unwrap();
    let says = Arc::new(Mutex::new(Value::Null));
    let (heard, said) = (Arc::new(Mutex::new(Value::Null)), Arc::clone(&says));
    let asked = Arc::clone(&heard);
    let script = move |request: &Value| {
        *asked.lock().unwrap() = request.clone();
        plain(&said.lock().unwrap())
    };
    let _engine = ScriptedEngine::start(&world.engine_socket(), Arc::new(script)).unwrap();
    let mut payer = Payer::new(&world, 64 * 1024).await.unwrap();
    let spend = payer.opened(1024, 600).await.unwrap();
    let body = json!({"model": "smollm2-135m", "input": ["a", "b"], "user": "someone"});
    let ask = async |key: &str, says_now: Value| {
        *says.lock().unwrap() = says_now;
        payer.signed(PATH, &spend.public.nullifier, &spend.tab_key, key, &body).await.unwrap()
    };
    let lies = [
        vectors(&[(0, TWO[0])], 2),
        vectors(&[(0, TWO[0]), (0, TWO[1])], 2),
        vectors(&[(0, TWO[0]), (1, "AACAPw==")], 2),
        vectors(&[(0, TWO[0]), (1, "AACAfwAAAEA=")], 2),
        json!({"choices": [{"index": 0, "text": "vectors"}], "usage": {"prompt_tokens": 2, "completion_tokens": 2}}),
        Value::Null,
    ];
    for (at, lie) in lies.into_iter().enumerate() {
        let answer = ask(&format!("lie-{at}"), lie.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "engine.unavailable"), "{lie}");
    }
    // The right answer, and tokens that two letters cannot have: 2 bytes, 3 for each text and 64 for all.
    let answer = ask("right", vectors(&[(1, TWO[1]), (0, TWO[0])], 1_000_000)).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.json());
    assert_eq!(answer.json().pointer("/data/1/embedding").unwrap(), &json!([3.0, 4.0]));
    assert_eq!(answer.json().pointer("/usage/prompt_tokens").unwrap(), 2 + 6 + 64);
    // Only what is allowed reached the engine, and it was asked for bytes.
    let heard = heard.lock().unwrap().clone();
    assert_eq!(
        heard,
        json!({"model": "smollm2-135m", "input": ["a", "b"], "encoding_format": "base64", "cache_prompt": false})
    );
    assert!(payer.close(&spend).await.unwrap().status.is_success());
    payer.sync().await.unwrap();
    assert_eq!(payer.balance().0, 64 * 1024 - 10 - 72, "one answer was paid, within what its texts can cost");

    // A node of one kind has nothing at the other's paths, before anybody pays.
    let refused = raw::post(world.guardian_port(), "/v1/chat/completions", &[], "{}").await.unwrap();
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (404, "endpoint.not_served"));
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}
