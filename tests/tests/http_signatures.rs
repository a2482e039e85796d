//! The signatures of tabs (RFC 9421) before another program's, both ways.

use std::io::Write;
use std::process::{Command, Stdio};

use acceptance::payer::{CHAT, Payer};
use acceptance::{World, processes, raw};
use credits::wallet::PreparedSpend;
use credits::{RequestHeaders, http_sig};
use serde_json::{Value, json};

/// Runs the other program on a request.
fn other(action: &str, request: &Value) -> Value {
    let mut command = Command::new(processes::peers_python().unwrap());
    command.arg(processes::repo_root().join("tests/clients/httpsig_client.py")).arg(action);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{request}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn request(spend: &PreparedSpend, headers: &RequestHeaders) -> Value {
    let headers: serde_json::Map<String, Value> =
        headers.pairs().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    json!({"method": "POST", "url": format!("https://node.example{CHAT}"), "headers": headers,
        "key": spend.tab_key.public().to_string(), "seed": hex::encode(spend.tab_key.seed())})
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_those_of_another_program() {
    let world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let spend = payer.opened(1024, 600).await.unwrap();
    let body = json!({"model": "smollm2-135m", "max_tokens": 4, "temperature": 0,
        "messages": [{"role": "user", "content": "hello"}]});
    let body = body.to_string().into_bytes();

    // Ours before theirs: accepted, and all that a request is stands under it.
    let ours = request(&spend, &payer.chat_headers(&spend, "call-1", &body));
    let covered = ["@method", "@path", "cloister-tab", "idempotency-key", "content-digest"];
    assert_eq!(other("verify", &ours), json!({"covered": covered}));
    let changes: [(&str, Value); 6] = [
        ("/method", "PUT".into()),
        ("/url", "https://node.example/v1/completions".into()),
        ("/headers/cloister-tab", "00".repeat(32).into()),
        ("/headers/idempotency-key", "call-2".into()),
        ("/headers/content-digest", http_sig::content_digest(b"another").into()),
        ("/key", "11".repeat(32).into()),
    ];
    for (pointer, value) in changes {
        let mut changed = ours.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        let verdict = other("verify", &changed);
        assert!(verdict.get("refused").is_some(), "{pointer}: {verdict}");
    }

    // Theirs before ours: the node answers and charges, and refuses what was changed afterwards.
    let mut headers = payer.chat_headers(&spend, "call-1", &body);
    (headers.signature_input, headers.signature) = (String::new(), String::new());
    let mut unsigned = request(&spend, &headers);
    let members = unsigned["headers"].as_object_mut().unwrap();
    members.remove("signature");
    members.remove("signature-input");
    let signed = other("sign", &unsigned);
    headers.signature_input = signed["Signature-Input"].as_str().unwrap().to_owned();
    headers.signature = signed["Signature"].as_str().unwrap().to_owned();
    let port = world.guardian_port();
    let mut changed = headers.clone();
    changed.idempotency_key = "call-2".to_owned();
    let refused = raw::post(port, CHAT, &changed.pairs(), body.clone()).await.unwrap();
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (403, "tab.signature"), "{}", refused.json());
    let answer = raw::post(port, CHAT, &headers.pairs(), body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    let settled = payer.close(&spend).await.unwrap().json();
    assert!(settled["statement"]["charge"].as_u64().unwrap() > 0, "{settled}");
    tokio::task::spawn_blocking(move || drop(world)).await.unwrap();
}
