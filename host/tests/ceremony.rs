//! The ceremony as its people run it: the program, its files, its refusals.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use ceremony_testing::{Highest, Secrets, ptau};
use serde_json::Value;

fn host(directory: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloister-host"));
    command.args(line.split(' ')).current_dir(directory);
    command
}

fn run(directory: &Path, line: &str) -> Output {
    host(directory, line).output().unwrap()
}

fn succeed(directory: &Path, line: &str) -> Value {
    let output = run(directory, line);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A command must fail with exit code 1, and say why.
fn refuse(directory: &Path, line: &str, code: &str) {
    let output = run(directory, line);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{line}: {stderr}");
    assert!(stderr.contains(&format!("({code})")), "{line}: {stderr}");
}

#[test]
fn two_contributors_and_a_beacon_make_a_ledger_that_holds_value() {
    ceremony_and_ledger(false);
}

/// Of the larger circuit, which takes larger powers: those of spends do not do.
#[test]
fn nightly_parameters_of_merges_are_made_by_a_ceremony_too() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    fs::write(dir.join("pot.ptau"), ptau(14, &Secrets::from_seed(5), Highest::Missing)).unwrap();
    for circuit in ["spend", "merge"] {
        succeed(dir, &format!("ceremony start --circuit {circuit} --ptau pot.ptau --out {circuit}0.zkey --json"));
        let contribute = format!("ceremony contribute --in {circuit}0.zkey --out {circuit}1.zkey --name Ada --json");
        succeed(dir, &contribute);
        let finish = format!("ceremony finish --circuit {circuit} --ptau pot.ptau --zkey {circuit}1.zkey");
        succeed(dir, &format!("{finish} --out-dir {circuit} --json"));
    }
    // A key of one circuit is none of the other.
    let crossed = run(dir, "ceremony verify --circuit merge --ptau pot.ptau --zkey spend1.zkey");
    assert_eq!(crossed.status.code(), Some(1), "{}", String::from_utf8_lossy(&crossed.stderr));
    let init = "ledger init --dir ledger --parameters spend --merge-parameters merge --ptau pot.ptau --holds-value";
    let made = run(dir, init);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let info = succeed(dir, "ledger info --dir ledger --json");
    assert!(info["merge"]["setup"].as_str().unwrap().starts_with("ceremony:"), "{info}");
}

/// `verify` computes the first key once more.
#[test]
fn nightly_verify_and_finish_report_the_same_transcript() {
    ceremony_and_ledger(true);
}

fn ceremony_and_ledger(with_verify: bool) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    fs::write(dir.join("pot.ptau"), ptau(13, &Secrets::from_seed(5), Highest::Missing)).unwrap();
    let begun = succeed(dir, "ceremony start --ptau pot.ptau --out 0.zkey --r1cs circuit.r1cs --json");
    fs::write(dir.join("dice"), "1 6 3 3 2").unwrap();
    let one = succeed(dir, "ceremony contribute --in 0.zkey --out 1.zkey --name Ada --entropy-file dice --json");
    let two = succeed(dir, "ceremony contribute --in 1.zkey --out 2.zkey --name Grace --json");
    refuse(dir, "ceremony contribute --in 0.zkey --out 1.zkey --name Mallory --json", "ceremony.exists");

    let finished =
        succeed(dir, "ceremony finish --ptau pot.ptau --zkey 2.zkey --out-dir parameters --beacon 0badbeac --json");
    let verified = with_verify.then(|| succeed(dir, "ceremony verify --ptau pot.ptau --zkey 2.zkey --json"));
    for summary in verified.iter().chain([&finished]) {
        assert_eq!(summary["circuit_hash"], begun["circuit_hash"]);
        assert_eq!(summary["ptau_digest"], begun["ptau_digest"]);
        for (index, (name, contribution)) in [("Ada", &one), ("Grace", &two)].into_iter().enumerate() {
            assert_eq!(summary["contributions"][index]["name"], name);
            assert_eq!(summary["contributions"][index]["hash"], contribution["contribution_hash"]);
        }
    }
    if let Some(verified) = verified {
        assert_eq!(verified["contributions"].as_array().unwrap().len(), 2);
        assert_ne!(verified["vk_digest"], finished["vk_digest"], "the beacon came after it");
    }
    assert_eq!(finished["contributions"][2]["beacon"]["value"], "0badbeac");
    let files: std::collections::BTreeSet<_> =
        fs::read_dir(dir.join("parameters")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let expected = ["ceremony.json", "circuit.r1cs", "final.zkey", "proving.key", "verifying.key"];
    assert_eq!(files, expected.map(Into::into).into());
    assert_eq!(fs::read(dir.join("circuit.r1cs")).unwrap(), fs::read(dir.join("parameters/circuit.r1cs")).unwrap());
    let left: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".partial"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    let made = run(dir, "ledger init --dir ledger --parameters parameters --ptau pot.ptau --holds-value");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(!String::from_utf8_lossy(&made.stderr).contains("single-party"));
    let info = succeed(dir, "ledger info --dir ledger --json");
    assert_eq!(info["vk_digest"], finished["vk_digest"]);
    assert_eq!(info["holds_value"], true);
    assert_eq!(info["setup"], format!("ceremony:{}", finished["transcript_digest"].as_str().unwrap()));

    // What the directory says of itself does not count: a transcript that is another's is refused before anything is made.
    fs::copy(dir.join("0.zkey"), dir.join("parameters/final.zkey")).unwrap();
    let refused = run(dir, "ledger init --dir other --parameters parameters --ptau pot.ptau");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("ceremony.no_contribution"), "{said}");
    assert!(!dir.join("other").exists(), "nothing is left of what was refused");
}

#[test]
fn files_that_cannot_be_used_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    fs::write(dir.join("small.ptau"), ptau(4, &Secrets::from_seed(5), Highest::Missing)).unwrap();
    fs::write(dir.join("text"), "no key").unwrap();
    refuse(dir, "ceremony start --ptau small.ptau --out 0.zkey", "ceremony.ptau_power");
    refuse(dir, "ceremony start --circuit merge --ptau small.ptau --out 0.zkey", "ceremony.ptau_power");
    refuse(dir, "ceremony start --ptau text --out 0.zkey", "ceremony.magic");
    refuse(dir, "ceremony start --ptau absent --out 0.zkey", "ceremony.unreadable");
    refuse(dir, "ceremony start --ptau text --out text", "ceremony.exists");
    refuse(dir, "ceremony contribute --in text --out 1.zkey --name Ada", "ceremony.magic");
    refuse(dir, "ceremony finish --ptau text --zkey text --out-dir text", "ceremony.exists");
    refuse(dir, "ceremony verify --ptau text --zkey text", "ceremony.magic");
    refuse(dir, "ledger init --dir ledger --parameters absent --ptau text", "ceremony.unreadable");
    assert!(!dir.join("0.zkey").exists() && !dir.join("1.zkey").exists());
    // A file whose length nobody would read to its end.
    let endless = fs::File::create(dir.join("endless")).unwrap();
    endless.set_len(1 << 40).unwrap();
    refuse(dir, "ceremony contribute --in endless --out 1.zkey --name Ada", "ceremony.too_long");
}

#[test]
fn a_ledger_that_holds_value_wants_parameters_of_a_ceremony() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    refuse(dir, "ledger init --dir ledger --holds-value", "ledger.single_party");
    assert!(!dir.join("ledger").exists());
    let made = run(dir, "ledger init --dir ledger --holds-value --accept-single-party");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let info = succeed(dir, "ledger info --dir ledger --json");
    assert_eq!((&info["holds_value"], &info["setup"]), (&Value::from(true), &Value::from("single-party")));
    assert_eq!(run(dir, "ledger init --dir other --accept-single-party").status.code(), Some(2), "wrong usage");
}
