//! One fault, one code.

use std::collections::BTreeSet;

use attestation::Transcript;
use attestation::reference::ImageMode;
use serde_json::{Value, json};

use super::draft::{Draft, FILES, Log, SIGNER_SEED, key, manifest, trust};
use crate::release::bundle::ReleaseBundle;
use crate::release::note::NoteSigner;
use crate::release::verify;

/// A log that holds two other releases, so that proofs have hashes.
fn log() -> Log {
    let mut log = Log::new();
    log.append(b"one");
    log.append(b"two");
    log
}

fn code_of(bundle: &ReleaseBundle) -> String {
    let mut transcript = Transcript::new();
    let error = verify(bundle, &trust(), &mut transcript).expect_err("a fault");
    let last = transcript.checks.last().unwrap();
    assert_eq!(last.outcome, attestation::Outcome::Fail, "the transcript ends with the fault");
    error.code().to_owned()
}

type BundleFault = (&'static str, fn(&mut ReleaseBundle));

fn replace(bundle: &mut ReleaseBundle, from: &str, to: &str) {
    assert!(bundle.log_proof.contains(from), "{from:?} is in {}", bundle.log_proof);
    bundle.log_proof = bundle.log_proof.replacen(from, to, 1);
}

/// Swaps two different base64 characters in a line, so that it stays base64.
fn spoil_line(bundle: &mut ReleaseBundle, at: usize) {
    let mut lines: Vec<String> = bundle.log_proof.split('\n').map(str::to_owned).collect();
    let line = &mut lines[at];
    let middle = line.len() / 2;
    let other = if &line[middle..=middle] == "A" { "B" } else { "A" };
    line.replace_range(middle..=middle, other);
    bundle.log_proof = lines.join("\n");
}

/// Lines of the proof: header, index, hashes from 2, an empty line, origin, size, root, an empty line, the signature.
const BUNDLE_FAULTS: &[BundleFault] = &[
    ("release.malformed", |b| b.log_proof.clear()),
    ("release.malformed", |b| replace(b, "@v1", "@v2")),
    ("release.malformed", |b| replace(b, "index 2", "index 02")),
    ("release.malformed", |b| replace(b, "index 2", "index -1")),
    ("release.malformed", |b| replace(b, "index 2", "extra AAAA\nindex 2")),
    ("release.malformed", |b| replace(b, "index 2\n", "index 2\nAAAA\n")),
    ("release.malformed", |b| {
        replace(b, "index 2\n", &format!("index 2\n{}", format!("{}=\n", "A".repeat(43)).repeat(65)))
    }),
    ("release.malformed", |b| replace(b, "example.com/log\n3", "example.com/log\r\n3")),
    ("release.malformed", |b| b.log_proof.truncate(b.log_proof.len() - 1)),
    ("release.malformed", |b| b.log_proof.push_str("more\n")),
    ("release.malformed", |b| b.log_proof.push_str(&"x".repeat(200_000))),
    ("release.not_in_log", |b| replace(b, "index 2", "index 1")),
    ("release.not_in_log", |b| replace(b, "index 2", "index 3")),
    ("release.not_in_log", |b| spoil_line(b, 2)),
    ("release.not_in_log", |b| replace(b, "index 2\n", &format!("index 2\n{}=\n", "A".repeat(43)))),
    ("release.not_in_log", |b| b.entry.0[10] ^= 1),
    ("release.not_in_log", |b| b.entry.0.push(b'\n')),
    ("release.checkpoint_signature", |b| spoil_line(b, 6)),
    ("release.checkpoint_signature", |b| spoil_line(b, 8)),
    ("release.checkpoint_signature", |b| replace(b, "example.com/log\n3\n", "example.com/log\n4\n")),
    ("release.checkpoint_unsigned", |b| replace(b, "\u{2014} example.com/log ", "\u{2014} example.com/other ")),
    ("release.manifest_digest", |b| b.manifest.0[10] ^= 1),
    ("release.manifest_digest", |b| b.manifest.0.clear()),
    ("release.reference_values_digest", |b| b.reference_values.0[0] ^= 1),
    ("release.sbom_digest", |b| b.sbom.0.push(b' ')),
    ("release.provenance_digest", |b| b.provenance.0[20] ^= 1),
];

type DraftFault = (&'static str, fn(&mut Draft));

fn external(draft: &mut Draft) -> &mut Value {
    &mut draft.statement["predicate"]["buildDefinition"]["externalParameters"]
}

/// What a log can be made to hold: only the signer's key and the comparison of parts stop these.
const LOGGED_FAULTS: &[DraftFault] = &[
    ("release.malformed", |d| d.entry_bytes = Some(|e| [e.to_bytes().unwrap().as_slice(), b"\n"].concat())),
    ("release.malformed", |d| d.entry_bytes = Some(|e| serde_json::to_vec_pretty(e).unwrap())),
    ("release.malformed", |d| d.entry_bytes = Some(|_| b"{}".to_vec())),
    ("release.malformed", |d| d.entry_bytes = Some(|_| vec![b' '; 70_000])),
    ("release.malformed", |d| {
        d.entry_bytes =
            Some(|e| String::from_utf8(e.to_bytes().unwrap()).unwrap().replace("entry/v1", "entry/v2").into());
    }),
    ("release.malformed", |d| {
        d.entry_bytes = Some(|e| String::from_utf8(e.to_bytes().unwrap()).unwrap().replace("1.0.0", "1.0.00").into());
    }),
    ("release.malformed", |d| {
        d.entry_bytes =
            Some(|e| String::from_utf8(e.to_bytes().unwrap()).unwrap().replace("\"cpu\"", "\"c/u\"").into());
    }),
    ("release.provenance_signature", |d| d.signer = key(99)),
    ("release.provenance_type", |d| d.payload_type = "application/json"),
    ("release.provenance_type", |d| d.statement["_type"] = json!("https://in-toto.io/Statement/v0.1")),
    ("release.provenance_type", |d| d.statement["predicateType"] = json!("https://slsa.dev/provenance/v0.2")),
    ("release.provenance_type", |d| d.statement["predicate"]["buildDefinition"]["buildType"] = json!("urn:other")),
    ("release.provenance_type", |d| d.statement["predicate"] = json!({})),
    ("release.malformed", |d| d.statement = json!([])),
    ("release.malformed", |d| d.statement["subject"][0]["digest"] = json!({"sha512": "00"})),
    ("release.malformed", |d| external(d)["more"] = json!(1)),
    ("release.malformed", |d| *external(d) = Value::Null),
    ("release.subjects_differ", |d| drop(d.statement["subject"].as_array_mut().unwrap().pop())),
    ("release.subjects_differ", |d| {
        let more = json!({"name": "more.img", "digest": {"sha256": "00".repeat(32)}});
        d.statement["subject"].as_array_mut().unwrap().push(more);
    }),
    ("release.subjects_differ", |d| {
        let twice = d.statement["subject"][0].clone();
        d.statement["subject"].as_array_mut().unwrap().push(twice);
    }),
    ("release.subjects_differ", |d| d.statement["subject"][1]["digest"]["sha256"] = json!("00".repeat(32))),
    // The signer's word about manifest, reference values and bill of materials: the log's key alone cannot change them.
    ("release.subjects_differ", |d| d.reference_values.push(0)),
    ("release.subjects_differ", |d| d.sbom.push(b' ')),
    ("release.subjects_differ", |d| {
        let mut other = manifest("1.0.0");
        other.cmdline.push_str(" quiet");
        d.manifest = other.to_json().unwrap();
    }),
    ("release.subjects_differ", |d| {
        // A manifest that claims another manifest as its artifact.
        let mut other = manifest("1.0.0");
        let file = other.artifacts["vmlinuz"];
        other.artifacts.insert("manifest.json".to_owned(), file);
        d.manifest = other.to_json().unwrap();
    }),
    ("release.provenance_disagrees", |d| external(d)["version"] = json!("1.0.1")),
    ("release.provenance_disagrees", |d| external(d)["flavour"] = json!("gpu")),
    ("release.provenance_disagrees", |d| external(d)["mode"] = json!("debug")),
    ("release.provenance_disagrees", |d| external(d)["released_at"] = json!(1)),
    ("release.provenance_disagrees", |d| d.entry.released_at.0 += 1),
    ("release.manifest_disagrees", |d| d.entry.version.0[2] += 1),
    ("release.manifest_disagrees", |d| d.entry.flavour = "gpu".to_owned()),
    ("release.manifest_disagrees", |d| d.entry.mode = ImageMode::Debug),
    ("reference.signer_unknown", |d| d.revalue(99, |_| ())),
    ("reference.not_yet_valid", |d| d.revalue(SIGNER_SEED, |values| values.not_before.0 += 1)),
    ("reference.expired", |d| {
        d.revalue(SIGNER_SEED, |values| (values.not_before.0, values.not_after.0) = (1, values.not_before.0 - 1));
    }),
    ("release.reference_values_differ", |d| d.revalue(SIGNER_SEED, |values| values.image_version = "1.0.1".to_owned())),
    ("release.reference_values_differ", |d| d.revalue(SIGNER_SEED, |values| values.mode = ImageMode::Debug)),
    ("reference.malformed", |d| d.replace("reference-values.corim", b"no CoRIM".to_vec())),
    ("manifest.not_canonical", |d| d.manifest.push(b'\n')),
    ("manifest.malformed", |d| d.manifest.truncate(40)),
];

#[test]
fn every_change_of_a_bundle_has_its_code() {
    for (row, (code, fault)) in BUNDLE_FAULTS.iter().enumerate() {
        let mut bundle = Draft::new("1.0.0").log(&mut log());
        fault(&mut bundle);
        assert_eq!(code_of(&bundle), *code, "row {row}");
    }
}

#[test]
fn every_wrong_release_in_the_log_has_its_code() {
    for (row, (code, fault)) in LOGGED_FAULTS.iter().enumerate() {
        let mut draft = Draft::new("1.0.0");
        fault(&mut draft);
        assert_eq!(code_of(&draft.log(&mut log())), *code, "row {row}");
    }
}

#[test]
fn a_release_under_other_keys_is_refused() {
    let bundle = Draft::new("1.0.0").log(&mut log());
    let mut trust = trust();
    trust.signer = key(1).public();
    let error = verify(&bundle, &trust, &mut Transcript::new()).unwrap_err();
    assert_eq!(error.code(), "release.provenance_signature");
    let mut trust = super::trust();
    trust.log = NoteSigner::new("example.com/log", key(1)).unwrap().public().clone();
    let error = verify(&bundle, &trust, &mut Transcript::new()).unwrap_err();
    assert_eq!(error.code(), "release.checkpoint_unsigned");
    // A checkpoint of another log by the same key.
    let mut other = log();
    let mut bundle = Draft::new("1.0.0").log(&mut other);
    let head = other.head().sign(&NoteSigner::new("example.com/other", key(7)).unwrap());
    let text = head.split_once("\n\n").unwrap().0;
    let proof = bundle.log_proof.split_once("\n\n").unwrap().0.to_owned();
    bundle.log_proof = format!("{proof}\n\n{}", other.signer.sign(&format!("{text}\n")));
    assert_eq!(code_of(&bundle), "release.checkpoint_origin");
}

#[test]
fn a_bundle_has_one_form() {
    let text = String::from_utf8(Draft::new("1.0.0").log(&mut log()).to_json()).unwrap();
    let rows = [
        String::new(),
        text[..text.len() / 2].to_owned(),
        text.replace("release-bundle/v1", "release-bundle/v2"),
        text.replacen('{', "{\"more\": 1,", 1),
        text.replacen("\"sbom\"", "\"bom\"", 1),
        text.replacen("==\"", "\"", 1),
        format!("{text}{{}}"),
    ];
    for row in rows {
        let error = ReleaseBundle::from_json(row.as_bytes()).unwrap_err();
        assert_eq!(error.code(), "release.malformed", "{row:.60}");
    }
    let mut many: Value = serde_json::from_str(&text).unwrap();
    many["consistency"] = Value::Array(vec![json!({"from": 1, "hashes": []}); 4097]);
    assert!(ReleaseBundle::from_json(many.to_string().as_bytes()).is_err());
}

#[test]
fn files_of_a_directory_are_held_against_the_release() {
    let release = verify(&Draft::new("1.0.0").log(&mut log()), &trust(), &mut Transcript::new()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let check = || {
        let mut transcript = Transcript::new();
        let checked = release.check_artifacts(directory.path(), &mut transcript);
        (checked.map_err(|error| error.code()), transcript.checks.len())
    };
    assert_eq!(check(), (Err("release.artifact_missing"), 1));
    for (name, bytes) in FILES {
        std::fs::write(path(name), bytes).unwrap();
    }
    std::fs::write(path("notes.txt"), "nobody's").unwrap();
    assert_eq!(check(), (Ok(()), 2));
    std::fs::write(path("manifest.json"), manifest("1.0.0").to_json().unwrap()).unwrap();
    assert_eq!(check(), (Ok(()), 3));
    std::fs::write(path("manifest.json"), manifest("1.0.1").to_json().unwrap()).unwrap();
    assert_eq!(check(), (Err("release.artifact_differs"), 3));
    std::fs::remove_file(path("manifest.json")).unwrap();
    for changed in [b"a kerneL".as_slice(), b"a kernel ", b""] {
        std::fs::write(path("vmlinuz"), changed).unwrap();
        assert_eq!(check().0, Err("release.artifact_differs"), "{changed:?}");
    }
    std::fs::remove_file(path("vmlinuz")).unwrap();
    std::fs::create_dir(path("vmlinuz")).unwrap();
    assert!(check().0.is_err());
}

/// Codes of the tables here and in `history`; whoever adds a reason adds a row.
#[test]
fn every_code_has_a_row() {
    let rows = BUNDLE_FAULTS.iter().map(|(code, _)| *code).chain(LOGGED_FAULTS.iter().map(|(code, _)| *code));
    let elsewhere = [
        "release.log_key",
        "release.signer",
        "release.checkpoint_origin",
        "release.artifact_missing",
        "release.artifact_differs",
    ];
    let here: BTreeSet<&str> = rows.chain(elsewhere).chain(super::history::CODES.iter().copied()).collect();
    let source = include_str!("../error.rs");
    let codes = source.split('"').filter(|text| text.starts_with("release.") && !text.contains(' '));
    for code in codes {
        assert!(here.contains(code), "{code} has no row");
    }
}
