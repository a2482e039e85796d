//! The official clients of OpenAI for Python and JavaScript, and of Anthropic for Python, unchanged, against the verifying proxy.

use std::process::Command;

use acceptance::proxy::Proxy;
use acceptance::{EngineKind, World, cli, processes};

/// Runs the whole matrix of both clients. What is left is the world, and the wallet that paid.
fn client_matrix(kind: EngineKind) -> (World, String) {
    let world = World::builder().engine(kind).start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", 1_000_000).unwrap();
    let proxy = Proxy::start(&world, &wallet).unwrap();
    let root = processes::repo_root();
    let mut matrix = Command::new(processes::client_python("openai").unwrap());
    matrix.arg(root.join("tests/clients/openai_matrix.py"));
    passes(matrix.args(["--base-url", &proxy.base_url(), "--model", "smollm2-135m"]), 8, &proxy);
    let mut install = Command::new(root.join("tests/clients/node_env.sh"));
    let program = processes::installed(install.arg(root.join("target/clients"))).unwrap();
    let mut matrix = Command::new("node");
    passes(matrix.arg(program).args([&proxy.base_url(), "smollm2-135m"]), 8, &proxy);
    let mut matrix = Command::new(processes::client_python("anthropic").unwrap());
    matrix.arg(root.join("tests/clients/anthropic_matrix.py"));
    let base = proxy.base_url();
    matrix.args(["--base-url", base.trim_end_matches("/v1"), "--model", "smollm2-135m"]);
    if kind == EngineKind::Vllm {
        matrix.arg("--calls-tools");
    }
    passes(&mut matrix, 6, &proxy);
    assert!(proxy.stop().unwrap());
    let (spendable, reserved, pending) = cli::balance(&world, &wallet).unwrap();
    assert_eq!((reserved, pending), (0, 0), "every tab is settled");
    assert!(spendable < 1_000_000 && spendable > 900_000, "charged something, not much: {spendable}");
    (world, wallet)
}

fn passes(matrix: &mut Command, checks_min: usize, proxy: &Proxy) {
    let output = matrix.output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{report}\n{}\n{}", String::from_utf8_lossy(&output.stderr), proxy.log());
    assert!(report.lines().filter(|line| line.starts_with("PASS ")).count() >= checks_min, "{report}");
}

#[test]
fn the_openai_client_works_unchanged() {
    client_matrix(EngineKind::Light);
}

#[test]
fn vllm_the_openai_client_works_unchanged_and_an_answer_is_receipted_and_settled() {
    let (world, wallet) = client_matrix(EngineKind::Vllm);
    let run = cli::chat(
        &world,
        &wallet,
        "Write one short sentence about the sea.",
        &["--max-tokens", "12", "--temperature", "0"],
    );
    let run = run.unwrap().success().unwrap();
    assert!(!run.text("/answer").unwrap().is_empty());
    let (charge, refund) = (run.number("/settlement/charge").unwrap(), run.number("/settlement/refund").unwrap());
    assert_eq!(charge + refund, run.number("/settlement/reserve").unwrap());
}
