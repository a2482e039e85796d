//! `cloister release verify` as a user runs it: words or one object, exit codes, and what is remembered.

use std::path::Path;

use attestation::reference::{ImageManifest, ReferenceValues};
use attestation::{Base64, ReceiptKey, UnixTime};
use credits::merkle::{LogTree, consistency_proof, inclusion_proof, leaf_hash};
use serde_json::json;
use verifier::release::bundle::BUNDLE_SCHEMA;
use verifier::release::checkpoint::Checkpoint;
use verifier::release::entry::{ENTRY_SCHEMA, ReleaseEntry};
use verifier::release::proof::{Growth, LogProof};
use verifier::release::provenance::{PAYLOAD_TYPE, sha256, statement, subjects};
use verifier::release::{NoteSigner, ReleaseBundle, dsse};

use crate::program::{Run, cloister};

fn key(seed: u8) -> ReceiptKey {
    ReceiptKey::from_seed(&[seed; 32]).unwrap()
}

fn manifest(version: &str) -> ImageManifest {
    let pin = json!({"package": "ovmf", "version": "1", "sha256": "00".repeat(32), "enforces_kernel_hashes": true});
    serde_json::from_value(json!({
        "schema": "cloister/image-manifest/v1", "flavour": "cpu", "version": version, "mode": "production",
        "artifacts": {"vmlinuz": {"sha256": sha256(b"kernel"), "size": 6}}, "volumes": [], "cmdline": "panic=-1",
        "firmware": {"amdsev": pin, "tdx": pin},
        "kernel": {"version": "6.12", "config_sha256": "11".repeat(32), "patches": {}},
        "guardian_config_sha256": "22".repeat(32), "image_config_sha256": "33".repeat(32), "model": null, "snp": [],
        "tdx": null, "vtpm": null, "status": {}, "locks": {},
        "source": {"git_commit": "unknown", "rustc": "rustc 1.95.0", "source_date_epoch": 1, "tools": {}},
    }))
    .unwrap()
}

/// Writes a directory with keys, artifacts, and a bundle for each version, logged in this order.
fn releases(home: &Path, versions: &[&str]) {
    let signer = NoteSigner::new("example.com/log", key(7)).unwrap();
    let mut tree = LogTree::new();
    for version in versions {
        let (manifest, released_at) = (manifest(version), UnixTime(1_800_000_000));
        let values = ReferenceValues::from_manifest(&manifest, released_at, released_at).sign(&key(8)).unwrap();
        let (bytes, sbom) = (manifest.to_json().unwrap(), b"{}".to_vec());
        let subjects = subjects(&manifest, &bytes, &values, &sbom).unwrap();
        let provenance = dsse::sign(PAYLOAD_TYPE, statement(&manifest, &subjects, released_at, &[]), &key(8));
        let entry = ReleaseEntry {
            schema: ENTRY_SCHEMA.to_owned(),
            version: version.parse().unwrap(),
            flavour: "cpu".to_owned(),
            mode: manifest.mode,
            manifest_sha256: sha256(&bytes),
            reference_values_sha256: sha256(&values),
            sbom_sha256: sha256(&sbom),
            provenance_sha256: sha256(&provenance),
            released_at,
        };
        let entry = entry.to_bytes().unwrap();
        tree.append(leaf_hash(&entry));
        let (size, node) = (tree.size(), |level, at| tree.node(level, at).ok_or(()));
        let checkpoint = Checkpoint { size, root: tree.root() }.sign(&signer);
        let hashes = inclusion_proof(size - 1, size, node).unwrap();
        let growth = |from| Growth { from, hashes: consistency_proof(from, size, node).unwrap() };
        let bundle = ReleaseBundle {
            schema: BUNDLE_SCHEMA.to_owned(),
            entry: Base64(entry),
            manifest: Base64(bytes),
            reference_values: Base64(values),
            sbom: Base64(sbom),
            provenance: Base64(provenance),
            log_proof: LogProof { index: size - 1, hashes, checkpoint }.to_text(),
            consistency: (1..size).map(growth).collect(),
        };
        std::fs::write(home.join(format!("{version}.json")), bundle.to_json()).unwrap();
    }
    std::fs::create_dir(home.join("image")).unwrap();
    std::fs::write(home.join("image/vmlinuz"), "kernel").unwrap();
    std::fs::write(home.join("log.vkey"), format!("{}\n", signer.public())).unwrap();
    std::fs::write(home.join("release.pub"), format!("{}\n", key(8).public())).unwrap();
}

fn verify(home: &Path, bundle: &str, more: &[&str]) -> Run {
    let path = |name: &str| home.join(name).display().to_string();
    let (bundle, log, signer) = (path(bundle), path("log.vkey"), path("release.pub"));
    let mut words = vec!["release", "verify", &bundle];
    if !more.contains(&"--log-key") {
        words.extend(["--log-key", &log]);
    }
    if !more.contains(&"--signer") {
        words.extend(["--signer", &signer]);
    }
    words.extend(more);
    cloister(home, &words)
}

#[test]
fn a_release_is_verified_and_an_older_one_refused_afterwards() {
    let home = tempfile::tempdir().unwrap();
    releases(home.path(), &["1.0.0", "1.1.0"]);
    let image = home.path().join("image").display().to_string();
    let run = verify(home.path(), "1.0.0.json", &["--artifacts", &image]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert_eq!(run.stdout.lines().last().unwrap(), "VERIFIED  cpu/production 1.0.0, entry 0 of 1");
    assert!(run.stdout.lines().any(|line| line.starts_with("PASS release.artifact")), "{}", run.stdout);
    assert!(run.stdout.lines().any(|line| line.starts_with("SKIP release.not_older")), "{}", run.stdout);
    // Keys may be given as text too.
    let (log, signer) = (NoteSigner::new("example.com/log", key(7)).unwrap().public().to_string(), key(8).public());
    let signer = signer.to_string();
    let object = verify(home.path(), "1.1.0.json", &["--log-key", &log, "--signer", &signer, "--json"]).json();
    assert_eq!((object["verdict"].as_str(), object["log"]["size"].as_u64()), (Some("VERIFIED"), Some(2)));
    assert_eq!(object["release"]["version"], "1.1.0");
    assert!(home.path().join(".local/share/cloister/seen-releases.json").exists());
    let run = verify(home.path(), "1.0.0.json", &[]);
    assert_eq!(run.code, 10);
    assert!(run.stdout.ends_with("REJECTED  release.older_than_seen\n"), "{}", run.stdout);
    assert!(run.stderr.contains("hint:"), "{}", run.stderr);
    // Another record knows nothing of it.
    let state = home.path().join("other.json").display().to_string();
    assert_eq!(verify(home.path(), "1.0.0.json", &["--state", &state]).code, 0);
}

#[test]
fn each_way_to_fail_has_its_exit_code() {
    let home = tempfile::tempdir().unwrap();
    releases(home.path(), &["1.0.0"]);
    let state = home.path().join("seen.json").display().to_string();
    let empty = home.path().join("empty").display().to_string();
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(home.path().join("broken.json"), "{").unwrap();
    std::fs::write(home.path().join("damaged.json"), "{").unwrap();
    let damaged = home.path().join("damaged.json").display().to_string();
    let rows: [(&str, &[&str], i32, &str); 8] = [
        ("1.0.0.json", &["--signer", &"11".repeat(32)], 10, "release.provenance_signature"),
        ("1.0.0.json", &["--signer", "nowhere"], 2, "release.signer"),
        ("1.0.0.json", &["--log-key", "example.com/log"], 2, "release.log_key"),
        ("1.0.0.json", &["--artifacts", &empty], 10, "release.artifact_missing"),
        ("1.0.0.json", &["--state", &damaged], 30, "release.seen_damaged"),
        ("1.0.0.json", &["--state", "/dev/null/seen.json"], 1, "file.unusable"),
        ("broken.json", &[], 30, "release.malformed"),
        ("missing.json", &[], 2, "file.unusable"),
    ];
    for (bundle, more, code, name) in rows {
        let mut words = more.to_vec();
        words.push("--json");
        if !more.contains(&"--state") {
            words.extend(["--state", &state]);
        }
        let run = verify(home.path(), bundle, &words);
        assert_eq!((run.code, run.error_code().as_str()), (code, name), "{}{}", run.stdout, run.stderr);
        assert!(!Path::new(&state).exists(), "nothing is remembered of a release that failed: {name}");
    }
}

/// What policies read by default is replaced by a verified release, and by nothing else.
#[test]
fn reference_values_are_installed_from_a_verified_release_only() {
    let home = tempfile::tempdir().unwrap();
    releases(home.path(), &["1.0.0", "1.1.0"]);
    let place = home.path().join(".config/cloister/reference-values.corim");
    let installed = || std::fs::read(&place).ok();
    let values = |name: &str| {
        let bytes = std::fs::read(home.path().join(name)).unwrap();
        Some(ReleaseBundle::from_json(&bytes).unwrap().reference_values.0)
    };
    assert_eq!(verify(home.path(), "1.0.0.json", &[]).code, 0);
    assert_eq!(installed(), None, "nobody asked for it");
    let run = verify(home.path(), "1.1.0.json", &["--install"]);
    assert_eq!((run.code, installed()), (0, values("1.1.0.json")), "{}", run.stderr);
    let run = verify(home.path(), "1.0.0.json", &["--install"]);
    assert_ne!(run.code, 0);
    assert_eq!(installed(), values("1.1.0.json"), "an older release replaces nothing");
}
