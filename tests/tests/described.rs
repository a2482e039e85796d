//! Requests made from the API's own description, right and wrong: each is answered as described, and none by a failure of the server.

use std::process::Command;
use std::sync::Arc;

use acceptance::proxy::Proxy;
use acceptance::scripted_engine::{self, ScriptedEngine, Step, finish_chunk, text_chunk, usage_chunk};
use acceptance::{EngineKind, World, cli, processes, raw};
use serde_json::{Value, json};

/// What an answer is held against. Of authentication and of the order of calls the tool knows nothing that holds here.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,allow_header_conformance";

/// With payment, wrong requests must be refused, too; without, everything is.
const CHECKS_PAID: &str = "negative_data_rejection";

/// What a node serves whose model makes text.
const TEXT: &str = "completions$|models|responses|messages";

/// An engine that answers at once, whatever is asked, as many choices as are wanted.
fn speak(body: &Value) -> Vec<Step> {
    if let Some(texts) = body["input"].as_array() {
        let vector = |index: usize| json!({"index": index, "embedding": "AACAPwAAAEA="});
        let data: Vec<_> = (0..texts.len()).map(vector).collect();
        return scripted_engine::plain(&json!({"data": data, "usage": {"prompt_tokens": texts.len()}}));
    }
    let choices = body["n"].as_u64().unwrap_or(1);
    if body["stream"] == json!(true) {
        let per_choice = |mut chunk: Value, index: u64| {
            chunk["choices"][0]["index"] = json!(index);
            if body.get("prompt").is_some() {
                chunk["choices"][0]["text"] = json!("word");
            }
            Step::event(&chunk)
        };
        let said =
            (0..choices).flat_map(|index| [per_choice(text_chunk("word"), index), per_choice(finish_chunk(), index)]);
        let end = [Step::event(&usage_chunk(10, choices)), Step::done()];
        return [Step::stream_head()].into_iter().chain(said).chain(end).collect();
    }
    let choice = |index: u64| json!({"index": index, "text": "word", "message": {"role": "assistant", "content": "word"}, "finish_reason": "stop"});
    let answer = json!({"choices": (0..choices).map(choice).collect::<Vec<_>>(),
        "usage": {"prompt_tokens": 10, "completion_tokens": choices, "total_tokens": 10 + choices}});
    scripted_engine::plain(&answer)
}

/// Runs the tool over the parts of the description that it is told; its report, which must be without a failure, and the number of
/// requests.
fn schemathesis(world: &World, url: &str, checks: &str, examples: u32, args: &[&str]) -> (String, u64) {
    let document = world.dir().join("openapi.json");
    let output = Command::new(processes::client_python("schemathesis").unwrap())
        .args(["-m", "schemathesis.cli", "run", "--url", url, "--checks", checks, "--tls-verify", "false"])
        .args(["--phases", "coverage,fuzzing", "--seed", "20261128", "--no-color", "--continue-on-failure"])
        .args(["--suppress-health-check", "all", "--warnings", "off", "--request-timeout", "30"])
        .args(["--max-examples", &examples.to_string()])
        .args(args)
        .arg(document)
        .current_dir(world.dir())
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    let cases = report.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "generated,")?;
        words.get(at.checked_sub(1)?)?.parse().ok()
    });
    (report.clone(), cases.unwrap_or_else(|| panic!("no count in {report}")))
}

/// A node whose engine answers at once, with its description in a file.
fn started(kind: EngineKind) -> (World, tokio::runtime::Runtime, ScriptedEngine) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut world = World::builder().engine(kind).start().unwrap();
    world.kill_engine().unwrap();
    let engine = runtime.block_on(async { ScriptedEngine::start(&world.engine_socket(), Arc::new(speak)).unwrap() });
    let description = runtime.block_on(raw::get(world.guardian_port(), "/openapi.json")).unwrap();
    std::fs::write(world.dir().join("openapi.json"), description.body).unwrap();
    (world, runtime, engine)
}

/// Envelopes are left to a client that can seal them (`oblivious.rs`).
fn without_payment(examples: u32, cases_min: u64) {
    let (world, _runtime, _engine) = started(EngineKind::Light);
    let (report, cases) = schemathesis(&world, &world.guardian_url(), CHECKS, examples, &["--exclude-path", "/ohttp"]);
    assert!(cases >= cases_min, "{cases} cases\n{report}");
}

fn paid(kind: EngineKind, paths: &str, examples: u32, cases_min: u64) {
    let (world, _runtime, _engine) = started(kind);
    let wallet = cli::funded_wallet(&world, "w", 50_000_000).unwrap();
    let proxy = Proxy::start(&world, &wallet).unwrap();
    // The proxy signs; its clients have no headers for that.
    let file = world.dir().join("openapi.json");
    let mut document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for methods in document["paths"].as_object_mut().unwrap().values_mut() {
        if methods["post"].is_object() {
            methods["post"]["parameters"] = json!([]);
        }
    }
    std::fs::write(&file, document.to_string()).unwrap();
    let url = proxy.base_url().trim_end_matches("/v1").to_owned();
    let checks = format!("{CHECKS},{CHECKS_PAID}");
    let (report, cases) = schemathesis(&world, &url, &checks, examples, &["--include-path-regex", paths]);
    assert!(cases >= cases_min, "{cases} cases\n{report}");
    assert!(proxy.stop().unwrap());
    let (spendable, _, _) = cli::balance(&world, &wallet).unwrap();
    assert!(spendable < 50_000_000, "some were right, and served");
}

#[test]
fn the_node_answers_as_it_says() {
    without_payment(20, 500);
}

#[test]
fn paid_requests_are_answered_as_the_node_says() {
    paid(EngineKind::Light, TEXT, 40, 200);
    paid(EngineKind::LightEmbeddings, "embeddings$", 40, 30);
}

#[test]
fn nightly_the_node_answers_ten_thousand_requests_as_it_says() {
    without_payment(1000, 8000);
}

#[test]
fn nightly_thousands_of_paid_requests_are_answered_as_the_node_says() {
    paid(EngineKind::Light, TEXT, 1000, 2000);
    paid(EngineKind::LightEmbeddings, "embeddings$", 1000, 500);
}
