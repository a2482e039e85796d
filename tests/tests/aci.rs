//! The ACI face, before a client that was written from its specification in another language, and before one of ours that is handed
//! its reports for ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance::payer::{CHAT, Payer};
use acceptance::raw::{self, Answer};
use acceptance::{World, channel, processes};
use attestation::{AppraisalPolicy, AttestationDocument, Clock, Transcript, TrustRoots};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credits::wallet::PreparedSpend;
use serde_json::{Value, json};

const MODEL: &str = "smollm2-135m";

async fn started() -> World {
    tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap()
}

/// Runs the client on these exchanges; whether it is content, and its lines.
fn aci_client(world: &World, exchanges: &[PathBuf]) -> (bool, String) {
    let mut command = Command::new(processes::peers_python().unwrap());
    command.arg(processes::repo_root().join("tests/clients/aci_client.py"));
    command.args(["--port", &world.guardian_port().to_string(), "--root"]).arg(world.root_file());
    for exchange in exchanges {
        command.arg("--exchange").arg(exchange);
    }
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), said.concat())
}

fn receipt_id(answer: &Answer) -> String {
    answer.headers.get("x-receipt-id").unwrap().to_str().unwrap().to_owned()
}

/// Sends a body under a tab; the exchange as a file, with the receipt fetched by `id` (or by the header's).
async fn exchange(payer: &Payer, spend: &PreparedSpend, path: &Path, body: &Value) -> Answer {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let answer = payer.signed(CHAT, &spend.public.nullifier, &spend.tab_key, name, body).await.unwrap();
    let receipt = payer.receipt(spend, &receipt_id(&answer)).await.unwrap();
    assert_eq!(receipt.status.as_u16(), 200, "{}", receipt.json());
    let whole = json!({
        "receipt": receipt.json(),
        "request": STANDARD.encode(body.to_string()),
        "response": STANDARD.encode(&answer.body),
    });
    std::fs::write(path, whole.to_string()).unwrap();
    answer
}

fn events(path: &Path) -> Vec<String> {
    let exchange: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let events = exchange["receipt"]["event_log"].as_array().unwrap();
    events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_made_from_the_specification_accepts_report_receipt_and_refusals() {
    let world = started().await;
    let mut payer = Payer::new(&world, 1_000_000).await.unwrap();
    let spend = payer.opened(65_536, 600).await.unwrap();
    let small = payer.opened(1024, 600).await.unwrap();
    let question = json!({"model": MODEL, "max_tokens": 4, "messages": [{"role": "user", "content": "Say hello."}]});
    let with = |name: &str, value: Value| {
        let mut body = question.clone();
        body.as_object_mut().unwrap().insert(name.to_owned(), value);
        body
    };
    let file = |name: &str| world.dir().join(name);
    let session = json!({"aci_session_ids": ["0a".repeat(32)]});
    let cases = [
        ("served.json", with("provider", json!({"aci_verified": true})), 200, ""),
        ("stream.json", with("stream", json!(true)), 200, ""),
        ("session.json", with("provider", session), 412, "session_not_accepted"),
        ("unknown.json", with("model", json!("another")), 404, "model_not_found"),
        ("invalid.json", with("n", json!(1000)), 400, "request.invalid"),
        (
            "long.json",
            with("messages", json!([{"role": "user", "content": "a b ".repeat(4000)}])),
            400,
            "request.engine_refused",
        ),
        ("dear.json", with("max_tokens", json!(1_000_000)), 402, "tab.insufficient"),
    ];
    for (name, body, status, code) in &cases {
        let spend = if *code == "tab.insufficient" { &small } else { &spend };
        let answer = exchange(&payer, spend, &file(name), body).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (*status, *code), "{name}");
        let forwarded = events(&file(name)).contains(&"request.forwarded".to_owned());
        // What the engine refused, it has seen.
        assert_eq!(forwarded, *status == 200 || *code == "request.engine_refused", "{name}");
        if *status != 200 {
            assert!(!events(&file(name)).contains(&"credit.spent".to_owned()), "{name}: and cost nothing");
        }
    }
    let files: Vec<PathBuf> = cases.iter().map(|(name, ..)| file(name)).collect();
    let (content, client) = tokio::task::block_in_place(|| aci_client(&world, &files));
    let passed = client.lines().filter(|line| line.starts_with("PASS ")).count();
    assert!(content && passed == 17 + 5 * files.len(), "{client}");

    // It is not content with whatever it is given.
    let text = std::fs::read_to_string(file("served.json")).unwrap();
    let exchange: Value = serde_json::from_str(&text).unwrap();
    let other_cost = text.replacen("\"cost\":", "\"cost\":1", 1);
    let other_answer = text.replacen(exchange["response"].as_str().unwrap(), "e30=", 1);
    for (spoiled, words) in [(other_cost, "InvalidSignature"), (other_answer, "FAIL receipt.response")] {
        assert_ne!(spoiled, text);
        std::fs::write(file("spoiled.json"), spoiled).unwrap();
        let (content, client) = tokio::task::block_in_place(|| aci_client(&world, &[file("spoiled.json")]));
        assert!(!content && client.contains(words), "{client}");
    }

    // A receipt is found by the answer's own id as well, by its own tab only.
    let served: Value = serde_json::from_slice(&std::fs::read(file("served.json")).unwrap()).unwrap();
    let answer_id = served["receipt"]["chat_id"].as_str().unwrap();
    assert_eq!(payer.receipt(&spend, answer_id).await.unwrap().json(), served["receipt"]);
    let stranger = payer.opened(1024, 600).await.unwrap();
    for id in [answer_id, served["receipt"]["receipt_id"].as_str().unwrap(), "rcpt-none"] {
        let refused = payer.receipt(&stranger, id).await.unwrap();
        assert_eq!((refused.status.as_u16(), refused.json()["error"]["type"].as_str()), (404, Some("not_found")));
    }
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

/// Cross-protocol forgery: a report that was made for the one face is no report for the other, whatever nonce was chosen.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_one_face_is_none_for_the_other() {
    let world = started().await;
    let port = world.guardian_port();
    let (view, native) = channel::ask(port).await.unwrap();
    let aci = raw::get(port, &format!("/v1/aci/attestation?nonce={}", view.nonce)).await.unwrap().json();
    let aci_report = STANDARD.decode(aci["attestation"]["evidence"]["report"].as_str().unwrap()).unwrap();
    let native_report = native.evidence.report.0.clone();

    let roots = TrustRoots::named(&std::fs::read(world.root_file()).unwrap()).unwrap();
    let policy = AppraisalPolicy::from_toml(&std::fs::read_to_string(world.policy_file()).unwrap()).unwrap();
    let now = acceptance::clock::WallClock.now();
    let bound = |document: &AttestationDocument| {
        // The hardware is genuine in both cases; whom the report speaks of is what differs.
        let appraised = attestation::appraise(document, &roots, &policy, now, &mut Transcript::default()).unwrap();
        appraised.bind_channel(&view, &mut Transcript::default()).map(drop)
    };
    bound(&native).unwrap();
    let mut forged = native.clone();
    forged.evidence.report.0.clone_from(&aci_report);
    assert_eq!(bound(&forged).unwrap_err().code(), "channel.report_data_mismatch");
    // And the other way: REPORT_DATA of ours never ends in the zeros that an ACI client requires.
    let upper = |report: &[u8]| report[0x70..0x90].to_vec();
    assert_eq!(upper(&aci_report), [0; 32]);
    assert_ne!(upper(&native_report), [0; 32]);
    assert_ne!(native_report[0x50..0x70], aci_report[0x50..0x70]);
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}
