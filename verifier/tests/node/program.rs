//! `cloister` as a program: one JSON object, exit codes, hints.

use std::path::Path;
use std::process::Command;

use attestation::{Clock, DEMO_POLICY};
use attestation_testing::TestPki;
use serde_json::Value;
use verifier::SystemClock;

use crate::fake::{FakeNode, Faults, pki};

pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn error_code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

pub(crate) fn cloister(home: &Path, args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloister"));
    command.args(args).env_clear().env("HOME", home).stdin(std::process::Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn write_trust(home: &Path, pki: &TestPki) -> (String, String) {
    let (root, policy) = (home.join("root.pem"), home.join("policy.toml"));
    std::fs::write(&root, pki.ark_pem()).unwrap();
    std::fs::write(&policy, DEMO_POLICY).unwrap();
    (root.display().to_string(), policy.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_prints_a_transcript_and_a_verdict() {
    let node = FakeNode::start_with(Faults { now: Some(SystemClock.now()), ..Faults::default() }).await;
    let home = tempfile::tempdir().unwrap();
    let (root, policy) = write_trust(home.path(), pki());
    let url = node.url.to_string();
    let run = cloister(home.path(), &["verify", &url, "--root", &root, "--policy", &policy]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    let last = run.stdout.lines().last().unwrap();
    assert!(last.starts_with("VERIFIED  assurance: simulated (root: SIMULATED"), "{last}");
    assert!(run.stdout.lines().any(|line| line.starts_with("PASS snp.report.signature")), "{}", run.stdout);
    assert!(!run.stdout.contains('\u{1b}'), "no colour without a terminal");
    let run = cloister(home.path(), &["verify", &url, "--json", "--root", &root, "--policy", &policy]);
    let object = run.json();
    assert_eq!((object["verdict"].as_str(), object["assurance"].as_str()), (Some("VERIFIED"), Some("simulated")));
    assert!(object["checks"].as_array().unwrap().len() >= 10 && object["error"].is_null());
    // The vendor's roots do not know this node.
    let run = cloister(home.path(), &["verify", &url, "--json", "--policy", &policy]);
    let object = run.json();
    assert_eq!((run.code, object["verdict"].as_str()), (10, Some("REJECTED")));
    assert_eq!(object["error"]["code"], "chain.root_unknown");
    assert!(object["error"]["hint"].as_str().unwrap().contains("--root"));
    // Without a policy the answer is what to do, and nothing was sent.
    let run = cloister(home.path(), &["verify", &url, "--root", &root]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("hint: name a policy with --policy FILE"), "{}", run.stderr);
}

#[test]
fn mistakes_have_exit_codes_and_hints() {
    let home = tempfile::tempdir().unwrap();
    let (root, policy) = write_trust(home.path(), pki());
    let trust = ["--root", root.as_str(), "--policy", policy.as_str()];
    let rows: [(&[&str], i32, &str); 7] = [
        (&["verify", "http://127.0.0.1:1"], 2, "target.invalid"),
        (&["verify", "https://127.0.0.1:1"], 50, "node.unreachable"),
        (&["chat", "https://127.0.0.1:1", "hi"], 2, "wallet.missing"),
        (&["wallet", "balance"], 2, "wallet.missing"),
        (&["wallet", "new"], 2, "wallet.ledger_missing"),
        (&["wallet", "new", "--ledger", "http://127.0.0.1:1"], 50, "ledger.unavailable"),
        (&["wallet", "new", "--ledger", "ftp://x"], 2, "ledger_client.url"),
    ];
    for (args, code, name) in rows {
        let mut all = vec!["--json"];
        all.extend(args);
        if matches!(args[0], "verify" | "chat") {
            all.extend(trust);
        }
        let run = cloister(home.path(), &all);
        let object = run.json();
        assert_eq!((run.code, object["error"]["code"].as_str()), (code, Some(name)), "{args:?}");
        assert!(object["error"]["hint"].is_string(), "{args:?} has no hint");
        assert!(run.stderr.contains("error: "), "{args:?}");
    }
}

#[test]
fn help_has_examples_and_exit_codes_and_completions_print() {
    let home = tempfile::tempdir().unwrap();
    let run = cloister(home.path(), &["--help"]);
    assert!(run.code == 0 && run.stdout.contains("Exit codes:"));
    for command in ["verify", "chat", "proxy", "wallet", "receipt", "completions"] {
        let run = cloister(home.path(), &[command, "--help"]);
        assert!(run.code == 0 && run.stdout.contains("Example"), "{command}");
    }
    let run = cloister(home.path(), &["completions", "bash"]);
    assert!(run.code == 0 && run.stdout.contains("_cloister"));
    assert_eq!(cloister(home.path(), &["frobnicate"]).code, 2);
}

#[test]
fn a_proxy_beyond_loopback_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let (root, policy) = write_trust(home.path(), pki());
    let run = cloister(
        home.path(),
        &["proxy", "https://127.0.0.1:1", "--listen", "0.0.0.0:0", "--root", &root, "--policy", &policy, "--json"],
    );
    assert_eq!(run.json()["error"]["code"], "proxy.listen_refused");
    assert_eq!(run.code, 2);
}
