//! The Python verifiers: an environment pinned by hashes in `target/peers-venv`, and scripts run in it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::vectors::repository;

/// The interpreter of the pinned environment, made first if it is not there (`make peers` does the same).
#[must_use]
pub fn interpreter() -> PathBuf {
    let root = repository();
    let output = Command::new("python3")
        .arg(root.join("attestation/peers/python/peers_env.py"))
        .arg("--dir")
        .arg(root.join("target/peers-venv"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the environment of the Python peers could not be made");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}

/// Run a script of `attestation/peers/python` on `input`; the lines it prints.
#[must_use]
pub fn run(script: &str, arguments: &[&str], input: &str) -> Vec<String> {
    let mut child = Command::new(interpreter())
        .arg(repository().join("attestation/peers/python").join(script))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script} failed");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
