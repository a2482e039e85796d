//! Dependencies point one way, and cryptography stays where it is reviewed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    acceptance::processes::repo_root()
}

/// Which of our crates each crate may use. `attestation` and `credits` use none of ours.
const ALLOWED: &[(&str, &[&str])] = &[
    ("attestation", &[]),
    ("attestation/testing", &["attestation"]),
    ("attestation/peers", &["attestation"]),
    ("credits", &[]),
    ("credits/ceremony", &["credits"]),
    ("credits/ceremony/testing", &[]),
    ("credits/contracts", &[]),
    ("tlog", &["attestation", "credits"]),
    ("ledger", &["credits", "tlog"]),
    ("ledger/client", &["attestation", "credits", "tlog"]),
    ("ledger/testing", &["credits"]),
    ("enclave", &["attestation", "credits", "ledger-client", "platform-service", "tlog"]),
    ("enclave/nvml", &["attestation", "platform-service"]),
    ("enclave/platform", &["attestation"]),
    ("host", &["attestation", "attestation-testing", "ceremony", "credits", "ledger", "platform-service", "tlog"]),
    ("verifier", &["attestation", "credits", "ledger-client", "tlog"]),
    ("image/init", &[]),
    ("image/builder", &["attestation", "credits", "measured-init", "verifier"]),
    ("image/boottest", &["acceptance", "attestation", "image-builder", "measured-init"]),
];

const OURS: &[&str] = &[
    "attestation",
    "attestation-testing",
    "attestation-peers",
    "credits",
    "ceremony",
    "ceremony-testing",
    "contracts",
    "tlog",
    "ledger",
    "ledger-client",
    "ledger-testing",
    "enclave",
    "platform-service",
    "nvml-service",
    "host",
    "verifier",
    "acceptance",
    "measured-init",
    "image-builder",
];

fn dependencies(folder: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&text).unwrap();
    let table = manifest.get("dependencies").and_then(toml::Value::as_table).unwrap();
    table.keys().filter(|name| OURS.contains(&name.as_str())).cloned().collect()
}

#[test]
fn crates_depend_one_way() {
    for (folder, allowed) in ALLOWED {
        for dependency in dependencies(folder) {
            assert!(allowed.contains(&dependency.as_str()), "{folder} must not depend on {dependency}");
        }
    }
}

/// docs/decisions/0016-names-are-ascii.md
#[test]
fn names_bring_no_unicode_tables() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let tables: Vec<_> = lock.lines().filter(|line| line.starts_with("name = \"icu_")).collect();
    assert!(tables.is_empty(), "{tables:?}: cargo update -p idna_adapter --precise 1.0.0");
}

#[test]
fn production_binaries_never_link_test_roots() {
    for folder in [
        "tlog",
        "enclave",
        "enclave/nvml",
        "enclave/platform",
        "verifier",
        "ledger",
        "ledger/client",
        "credits",
        "credits/ceremony",
        "attestation",
        "image/init",
        "image/builder",
    ] {
        assert!(!dependencies(folder).contains("attestation-testing"), "{folder} links the signing fakes");
        assert!(!dependencies(folder).contains("attestation-peers"), "{folder} links other verifiers");
    }
}

#[test]
fn no_program_links_powers_of_tau_whose_tau_is_known() {
    let linking: Vec<_> =
        ALLOWED.iter().filter(|(folder, _)| dependencies(folder).contains("ceremony-testing")).collect();
    assert!(linking.is_empty(), "{linking:?}");
}

/// docs/decisions/0002-dependencies.md: wallets prove on all cores; guardians and ledgers only verify, and are built without a thread pool.
/// Asked of each by itself, as their programs are built for use: together in one build, they would share features.
#[test]
fn only_wallets_link_a_thread_pool_for_proofs() {
    let links_pool = |package: &str| {
        let mut tree = std::process::Command::new(env!("CARGO"));
        tree.args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none", "--package", package]);
        let output = tree.current_dir(root()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tree = String::from_utf8(output.stdout).unwrap();
        assert!(tree.lines().any(|line| line.starts_with("ark-groth16 ")), "{package} has no proofs");
        tree.lines().any(|line| line.starts_with("rayon "))
    };
    assert!(links_pool("verifier"));
    for package in ["credits", "ledger", "enclave", "host"] {
        assert!(!links_pool(package), "{package} links a thread pool");
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Signature, hash and proof primitives are used in `attestation` and `credits` alone; everything else goes through their types.
/// `enclave/src/sealed` opens envelopes with the same provider (docs/decisions/0020), and nothing else there signs or hashes.
/// Benches are the exception: a bare primitive is what they hold our code against (`attestation/peers/benches`, `tests/benches`).
#[test]
fn primitives_stay_in_two_libraries() {
    let primitives = [
        "use aws_lc_rs",
        "aws_lc_rs::signature",
        "aws_lc_rs::digest",
        "use ring::",
        "ark_bn254",
        "ark_ec",
        "ark_ff",
        "ark_groth16",
        "light_poseidon",
        "ed25519_dalek",
    ];
    for folder in [
        "enclave/src",
        "host/src",
        "verifier/src",
        "tlog/src",
        "ledger/src",
        "ledger/client/src",
        "attestation/peers/src",
        "image",
    ] {
        let mut files = Vec::new();
        rust_files(&root().join(folder), &mut files);
        assert!(!files.is_empty(), "{folder} has no source: the test would check nothing");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            if file.starts_with(root().join("enclave/src/sealed")) {
                let others = primitives.iter().filter(|name| **name != "use aws_lc_rs");
                assert!(!others.clone().any(|name| text.contains(name)), "{}", file.display());
                continue;
            }
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                let used = primitives.iter().find(|name| {
                    line.contains(**name) && !line.contains("rustls::crypto") && !line.contains("string::")
                });
                assert!(used.is_none(), "{}: `{}` uses a primitive directly", file.display(), line.trim());
            }
        }
    }
}
