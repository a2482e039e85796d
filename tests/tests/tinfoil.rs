//! The entrance for clients of Tinfoil: its attestation document, and EHBP before that protocol's own client.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use acceptance::clock::WallClock;
use acceptance::payer::{CHAT, Payer};
use acceptance::{World, channel, processes, raw};
use attestation::{AppraisalPolicy, AttestationDocument, Clock, Receipt, Sha256Digest, Transcript, TrustRoots};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credits::wallet::PreparedSpend;
use serde_json::{Value, json};

const MODEL: &str = "smollm2-135m";
const DOCUMENT: &str = "/.well-known/tinfoil-attestation";

async fn started() -> World {
    tokio::task::spawn_blocking(|| World::builder().tinfoil().start().unwrap()).await.unwrap()
}

async fn report(port: u16) -> Vec<u8> {
    let document = raw::get(port, DOCUMENT).await.unwrap().json();
    assert_eq!(document["format"], "https://tinfoil.sh/predicate/sev-snp-guest/v2");
    let body = STANDARD.decode(document["body"].as_str().unwrap()).unwrap();
    let mut report = Vec::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut report).unwrap();
    report
}

/// What REPORT_DATA says of this entrance: digest of the TLS key, HPKE key.
fn keys(report: &[u8]) -> (String, String) {
    (hex::encode(&report[0x50..0x70]), hex::encode(&report[0x70..0x90]))
}

/// Sends these through the protocol's client.
fn ehbp(port: u16, (spki, key): &(String, String), requests: &Value) -> Vec<Value> {
    let root = processes::repo_root();
    let mut install = Command::new(root.join("tests/clients/node_env.sh"));
    let program = processes::installed(install.arg(root.join("target/clients")).arg("ehbp.mjs")).unwrap();
    let mut client = Command::new("node");
    client.arg(program).args([&port.to_string(), spki, key]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = client.spawn().unwrap();
    client.stdin.take().unwrap().write_all(requests.to_string().as_bytes()).unwrap();
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "the client failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn signed(spend: &PreparedSpend, idempotency: &str, body: &str) -> Value {
    let sign =
        json!({"seed": hex::encode(spend.tab_key.seed()), "tab": spend.public.nullifier, "idempotency": idempotency});
    json!({"path": CHAT, "body": body, "sign": sign})
}

/// A question that names the tab it is to be paid from.
fn question(stream: bool, spend: &PreparedSpend) -> String {
    let messages = json!([{"role": "user", "content": "Say hello."}]);
    let tab = spend.public.nullifier;
    json!({"model": MODEL, "max_tokens": 12, "stream": stream, "temperature": 0, "messages": messages, "cloister_tab": tab}).to_string()
}

fn code(answer: &Value) -> String {
    let body: Value = serde_json::from_str(answer["text"].as_str().unwrap()).unwrap_or_default();
    body["error"]["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_protocols_own_client_verifies_pays_and_is_answered() {
    let world = started().await;
    let port = world.tinfoil_port().unwrap();
    let report = report(port).await;
    let keys = keys(&report);

    // The report is this machine's and this image's: in place of another in a document of ours, all but its REPORT_DATA is accepted.
    let (view, native) = channel::ask(world.guardian_port()).await.unwrap();
    let roots = TrustRoots::named(&std::fs::read(world.root_file()).unwrap()).unwrap();
    let policy = AppraisalPolicy::from_toml(&std::fs::read_to_string(world.policy_file()).unwrap()).unwrap();
    let appraised = |document: &AttestationDocument| {
        attestation::appraise(document, &roots, &policy, WallClock.now(), &mut Transcript::default()).unwrap()
    };
    let mut spliced = native.clone();
    spliced.evidence.report.0.clone_from(&report);
    let refused = appraised(&spliced).bind_channel(&view, &mut Transcript::default()).unwrap_err();
    assert_eq!(refused.code(), "channel.report_data_mismatch", "it is no report for the native entrance");
    // Nor do the entrances share a key.
    assert!(!native.keyset.lists_spki(&hex::decode(&keys.0).unwrap().try_into().unwrap()));
    assert_ne!(hex::encode(native.keyset.envelope_key().unwrap()), keys.1);
    // What its clients fetch beside it is of the same keys.
    let config = raw::get(port, "/.well-known/hpke-keys").await.unwrap();
    assert_eq!(config.headers["content-type"], "application/ohttp-keys");
    assert_eq!(hex::encode(&config.body), format!("000020{}000400010002", keys.1));
    let pem = raw::get(port, "/.well-known/tinfoil-certificate").await.unwrap().json();
    let pem = pem["certificate"].as_str().unwrap();
    let certificate = STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
    assert!(certificate.windows(91).any(|window| hex::encode(Sha256Digest::of(window).0) == keys.0));

    let mut payer = Payer::new(&world, 1_000_000).await.unwrap();
    let spend = payer.prepare(16_384, 600).unwrap();
    let open = serde_json::to_string(&payer.tab_request(&spend).unwrap()).unwrap();
    let (plain, stream) = (question(false, &spend), question(true, &spend));
    let close = format!("/v1/tabs/{}/close", spend.public.nullifier);
    let requests = json!([
        {"path": "/v1/tabs", "body": open},
        signed(&spend, "plain", &plain),
        signed(&spend, "stream", &stream),
        {"path": CHAT, "body": plain},
    ]);
    let answers = tokio::task::block_in_place(|| ehbp(port, &keys, &requests));
    let statuses: Vec<_> = answers.iter().map(|answer| answer["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 200, 200, 402], "{answers:?}");
    assert!(answers.iter().all(|answer| answer["sealed"] == true), "refusals are sealed too");
    assert_eq!(code(&answers[3]), "payment.required");
    assert!(answers[2]["text"].as_str().unwrap().ends_with("data: [DONE]\n\n"));
    for (answer, asked) in answers[1..3].iter().zip([&plain, &stream]) {
        let receipt = STANDARD.decode(answer["receipt"].as_str().unwrap()).unwrap();
        let receipt = Receipt::from_json(&receipt).unwrap();
        receipt.verify(&native.keyset, &mut Transcript::default()).unwrap();
        // Of what was said, not of how it was sealed.
        receipt.check_request_body(Sha256Digest::of(asked.as_bytes())).unwrap();
        receipt.check_response_body(Sha256Digest::of(answer["text"].as_str().unwrap().as_bytes())).unwrap();
    }
    // Settling says nothing that must be sealed; and the tab is the same at every entrance.
    let closed = payer.signed(&close, &spend.public.nullifier, &spend.tab_key, "close", &Value::Null).await.unwrap();
    assert_eq!(closed.status.as_u16(), 200, "{}", closed.json());
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

/// Whoever could choose bytes of this entrance's report could have bodies sealed to himself; and reports of ours, asked for here, would
/// be over a key that they do not name.
#[tokio::test(flavor = "multi_thread")]
async fn this_entrance_attests_its_own_keys_and_nothing_that_a_client_chose() {
    let world = started().await;
    let port = world.tinfoil_port().unwrap();
    let first = raw::get(port, DOCUMENT).await.unwrap().body;
    for query in ["?nonce=", "?nonce=0909090909090909090909090909090909090909090909090909090909090909", "?key=09"] {
        assert_eq!(raw::get(port, &format!("{DOCUMENT}{query}")).await.unwrap().body, first, "{query}");
    }
    let nonce = "09".repeat(32);
    for path in [
        &format!("/v1/attestation?nonce={nonce}"),
        "/v1/attestation/boot",
        &format!("/v1/aci/attestation?nonce={nonce}"),
        "/v1/aci/receipts/rcpt-1",
        "/ohttp",
        "/.well-known/ohttp-gateway",
    ] {
        let answer = raw::get(port, path).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "not_found"), "{path}");
    }
    for path in [DOCUMENT, "/.well-known/tinfoil-certificate", "/.well-known/hpke-keys"] {
        let answer = raw::get(world.guardian_port(), path).await.unwrap();
        assert_eq!(answer.status.as_u16(), 404, "{path} at the native entrance");
        let posted = raw::post(port, path, &[], "").await.unwrap();
        assert_eq!((posted.status.as_u16(), posted.code().as_str()), (405, "method_not_allowed"), "{path}");
    }
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_whole_or_not_for_this_node_reach_no_route() {
    let world = started().await;
    let port = world.tinfoil_port().unwrap();
    let keys = keys(&report(port).await);
    let mut payer = Payer::new(&world, 1_000_000).await.unwrap();
    let spend = payer.prepare(16_384, 600).unwrap();
    let thief = payer.opened(16_384, 600).await.unwrap();
    let open = serde_json::to_string(&payer.tab_request(&spend).unwrap()).unwrap();
    let spoilt = |spoil: Value| json!({"path": "/v1/tabs", "body": open, "spoil": spoil});
    let (not_ours, malformed) = ((422, ""), (400, "ehbp.malformed"));
    let rows = [
        (spoilt(json!({"flip": 4})), not_ours),
        (spoilt(json!({"flip": 100})), not_ours),
        (spoilt(json!({"key": "00".repeat(32)})), not_ours),
        (spoilt(json!({"key": "09".repeat(32)})), not_ours),
        (spoilt(json!({"append": "0000001000000000000000000000000000000000"})), not_ours),
        (spoilt(json!({"cut": 100})), malformed),
        (spoilt(json!({"cut": 3})), malformed),
        (spoilt(json!({"cut": 0})), malformed),
        (spoilt(json!({"append": "ffffffff"})), malformed),
        (spoilt(json!({"append": "00"})), malformed),
        (spoilt(json!({"key": "09".repeat(31)})), malformed),
        (spoilt(json!({"key": "AB".repeat(32)})), malformed),
        (spoilt(json!({"repeat": true})), malformed),
    ];
    let requests: Vec<&Value> = rows.iter().map(|(request, _)| request).collect();
    let answers = tokio::task::block_in_place(|| ehbp(port, &keys, &json!(requests)));
    for (answer, (request, (status, expected))) in answers.iter().zip(&rows) {
        let spoil = &request["spoil"];
        assert_eq!((answer["status"].as_u64(), answer["sealed"].as_bool()), (Some(*status), Some(false)), "{spoil}");
        assert_eq!(code(answer), *expected, "{spoil}");
        if *status == 422 {
            let text = answer["text"].as_str().unwrap();
            assert_eq!(answers[0]["text"], text, "why is told to nobody");
            assert!(text.contains("urn:ietf:params:ehbp:error:key-config"));
        }
    }
    // What only changes nothing is served. What is sealed names who pays: whoever sees it can sign it with a tab of his own, and gets
    // neither an answer nor a receipt with its digests. Nor does it help to sign in another's name.
    let padded = spoilt(json!({"append": "0000000000000000"}));
    let body = question(false, &spend);
    let unsigned = json!({"path": CHAT, "body": body, "spoil": {"append": "00000000"}});
    let stolen = signed(&thief, "stolen", &body);
    let nameless = signed(
        &thief,
        "nameless",
        &json!({"model": MODEL, "messages": [{"role": "user", "content": "x"}]}).to_string(),
    );
    let no_json = signed(&thief, "no-json", "no json");
    let mut forged = signed(&spend, "forged", &body);
    forged["sign"]["seed"] = json!("07".repeat(32));
    let requests = json!([padded, unsigned, stolen, nameless, no_json, forged, signed(&spend, "own", &body)]);
    let answers = tokio::task::block_in_place(|| ehbp(port, &keys, &requests));
    let said: Vec<_> = answers
        .iter()
        .map(|answer| (answer["status"].as_u64().unwrap(), code(answer), answer["receiptId"].is_string()))
        .collect();
    let expected = [
        (200, "", false),
        (402, "payment.required", false),
        (403, "tab.not_named", false),
        (403, "tab.not_named", false),
        (403, "tab.not_named", false),
        (403, "tab.key_mismatch", false),
        (200, "", true),
    ];
    assert_eq!(said, expected.map(|(status, code, receipt)| (status, code.to_owned(), receipt)));
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}
