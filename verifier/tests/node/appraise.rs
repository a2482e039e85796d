//! `cloister appraise` as a user runs it: files in, words or one object out, and the exit codes scripts rely on.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::{Run, cloister};

const REAL: &str = "../tests/vectors/snp/real/turin-v5-vcek-aci";
const POLICY: &str = "../attestation/policies/captured.toml";
const STRICT: &str = "../attestation/policies/strict.toml";
const AT: &str = "2026-06-01T00:00:00Z";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// `cloister appraise` on the capture, with more arguments.
fn appraise(home: &Path, more: &[&str]) -> Run {
    let (evidence, directory, policy) = (text(&here(REAL).join("report.bin")), text(&here(REAL)), text(&here(POLICY)));
    let mut words = vec!["appraise", "--evidence", &evidence, "--endorsements", &directory];
    if !more.contains(&"--policy") {
        words.extend(["--policy", &policy]);
    }
    if !more.contains(&"--at") {
        words.extend(["--at", AT]);
    }
    words.extend(more);
    cloister(home, &words)
}

#[test]
fn a_real_report_is_accepted_from_files_and_says_what_was_not_checked() {
    let home = tempfile::tempdir().unwrap();
    let run = appraise(home.path(), &[]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    let last = run.stdout.lines().last().unwrap();
    assert!(last.starts_with("ACCEPTED  assurance: vendor, policy captured"), "{last}");
    assert!(last.ends_with("bound to no channel"), "{last}");
    assert!(run.stdout.lines().any(|line| line.starts_with("PASS snp.report.signature")));
    assert!(run.stdout.contains("SKIP evidence.report_data"));
    for mode in [["--json", "--quiet"].as_slice(), &["--format", "json"]] {
        let object = appraise(home.path(), mode).json();
        assert_eq!((object["verdict"].as_str(), object["assurance"].as_str()), (Some("ACCEPTED"), Some("vendor")));
        let claim = |name: &str| {
            let claims = object["result"]["claims"].as_array().unwrap();
            claims.iter().find(|claim| claim["name"] == name).unwrap().clone()
        };
        assert_eq!(
            (claim("snp.product")["value"].as_str(), claim("snp.product")["source"].as_str()),
            (Some("Turin"), Some("derived"))
        );
        assert!(object["result"]["unchecked"].as_array().unwrap().contains(&Value::from("snp.tcb.reported")));
    }
}

#[test]
fn each_way_to_fail_has_its_exit_code() {
    let home = tempfile::tempdir().unwrap();
    let strict = text(&here(STRICT));
    let file = |name: &str, bytes: &[u8]| {
        let path = home.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        text(&path)
    };
    let report = std::fs::read(here(REAL).join("report.bin")).unwrap();
    let mut newer = report.clone();
    newer[0] = 9;
    let (short, newer, junk) = (file("short", &report[..500]), file("newer", &newer), file("junk", b"GIF89a"));
    let (directory, policy) = (text(&here(REAL)), text(&here(POLICY)));
    let other = |evidence: &str, endorsements: &str| {
        cloister(
            home.path(),
            &[
                "appraise",
                "--evidence",
                evidence,
                "--endorsements",
                endorsements,
                "--policy",
                &policy,
                "--at",
                AT,
                "--json",
            ],
        )
    };
    let rows = [
        (appraise(home.path(), &["--policy", &strict, "--json"]), 10, "crl.missing"),
        (appraise(home.path(), &["--at", "2020-01-01T00:00:00Z", "--json"]), 10, "chain.not_yet_valid"),
        (appraise(home.path(), &["--report-data", &"11".repeat(64), "--json"]), 10, "channel.report_data_mismatch"),
        (other(&newer, &directory), 20, "snp.version"),
        (other(&short, &directory), 30, "snp.length"),
        (other(&junk, &directory), 30, "evidence.unrecognised"),
        (other(&text(&here(REAL).join("report.bin")), &text(home.path())), 2, "endorsements.missing"),
        (other("nowhere", &directory), 2, "file.unusable"),
        (appraise(home.path(), &["--at", "yesterday", "--json"]), 2, "choice.time"),
    ];
    for (run, code, name) in rows {
        assert_eq!((run.code, run.error_code().as_str()), (code, name), "{}{}", run.stdout, run.stderr);
    }
    // A refused report shows what was expected, on a FAIL line; the machine that cannot write is another matter.
    let run = appraise(home.path(), &["--policy", &strict]);
    assert!(run.stdout.lines().any(|line| line.starts_with("FAIL snp.chain.revocation")), "{}", run.stdout);
    assert!(run.stderr.contains("hint:"), "{}", run.stderr);
    let run = appraise(home.path(), &["--bundle", "/dev/null/bundle.json"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
}

#[test]
fn a_bundle_repeats_the_verdict_without_the_files_and_judges_by_another_time() {
    let home = tempfile::tempdir().unwrap();
    let bundle = text(&home.path().join("bundle.json"));
    assert_eq!(appraise(home.path(), &["--bundle", &bundle]).code, 0);
    let replay = |more: &[&str]| {
        let mut words = vec!["appraise", "--replay", &bundle, "--json"];
        words.extend(more);
        cloister(home.path(), &words)
    };
    let object = replay(&[]).json();
    assert_eq!(
        (object["verdict"].as_str(), object["stored_verdict"]["same"].as_bool()),
        (Some("ACCEPTED"), Some(true))
    );
    let later = replay(&["--at", "2050-01-01T00:00:00Z"]);
    assert_eq!((later.code, later.error_code().as_str()), (10, "chain.expired"));
    assert_eq!(later.json()["stored_verdict"]["same"], false);
    let strict = text(&here(STRICT));
    assert_eq!(replay(&["--policy", &strict]).error_code(), "crl.missing");
    // What the bundle says was decided counts for nothing.
    let mut object: Value = serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap();
    let report = object["evidence"]["cpu"]["sev-snp"]["report"].as_str().unwrap();
    let spoiled = format!("{}{}{}", &report[..150], if &report[150..151] == "A" { "B" } else { "A" }, &report[151..]);
    assert_ne!(spoiled, report);
    object["evidence"]["cpu"]["sev-snp"]["report"] = Value::from(spoiled);
    std::fs::write(&bundle, object.to_string()).unwrap();
    assert_eq!(replay(&[]).error_code(), "snp.signature");
    for broken in ["{}", "[1", &object.to_string().replace("appraisal-bundle/v1", "appraisal-bundle/v9")] {
        std::fs::write(&bundle, broken).unwrap();
        let run = replay(&[]);
        assert_eq!((run.code, run.error_code().as_str()), (30, "bundle.malformed"), "{broken:.40}");
    }
}

#[test]
fn a_named_root_in_a_bundle_never_becomes_a_vendor_verdict() {
    let home = tempfile::tempdir().unwrap();
    let case = attestation_testing::AcceptedCase::new(crate::fake::pki());
    let document = case.document();
    let attestation::Endorsements::SevSnp(endorsements) = &document.endorsements else { panic!("an SNP case") };
    let write = |name: &str, bytes: &[u8]| std::fs::write(home.path().join(name), bytes).unwrap();
    write("report.bin", &document.evidence.report.0);
    write("vcek.der", &endorsements.vek.0);
    write("ask.der", &endorsements.intermediate.0);
    write("ark.crl", &endorsements.crl.as_ref().unwrap().0);
    write("root.pem", case.pki.ark_pem().as_bytes());
    write("policy.toml", attestation::DEMO_POLICY.as_bytes());
    let path = |name: &str| text(&home.path().join(name));
    let at = case.now.0.to_string();
    let run = cloister(
        home.path(),
        &[
            "appraise",
            "--evidence",
            &path("report.bin"),
            "--root",
            &path("root.pem"),
            "--policy",
            &path("policy.toml"),
            "--at",
            &at,
            "--bundle",
            &path("bundle.json"),
            "--json",
        ],
    );
    assert_eq!((run.code, run.json()["assurance"].as_str()), (0, Some("simulated")), "{}", run.stderr);
    let replay = cloister(home.path(), &["appraise", "--replay", &path("bundle.json"), "--json"]);
    assert_eq!((replay.code, replay.json()["assurance"].as_str()), (0, Some("simulated")));
    // Without its roots the bundle is judged by the vendors' own.
    let mut bundle: Value = serde_json::from_slice(&std::fs::read(path("bundle.json")).unwrap()).unwrap();
    bundle["roots"] = Value::Array(Vec::new());
    write("bundle.json", bundle.to_string().as_bytes());
    let replay = cloister(home.path(), &["appraise", "--replay", &path("bundle.json"), "--json"]);
    assert_eq!(replay.error_code(), "chain.root_unknown");
}

#[test]
fn an_ear_is_signed_by_the_named_key_whatever_the_verdict() {
    let home = tempfile::tempdir().unwrap();
    let (key, strict) = (text(&home.path().join("verifier.key")), text(&here(STRICT)));
    let ear = |more: &[&str]| {
        let mut words = vec!["--format", "ear", "--ear-key", key.as_str()];
        words.extend(more);
        appraise(home.path(), &words)
    };
    let accepted = ear(&[]);
    assert_eq!(accepted.code, 0, "{}", accepted.stderr);
    let seed: [u8; 32] = hex::decode(std::fs::read_to_string(&key).unwrap()).unwrap().try_into().unwrap();
    let public = attestation::VerifierKey::from_seed(&seed).unwrap().public();
    let claims = attestation::verify_ear(accepted.stdout.trim(), &public).unwrap();
    assert_eq!(claims["ear_status"], "affirming");
    let refused = ear(&["--policy", &strict]);
    assert_eq!(refused.code, 10);
    let token = refused.stdout.lines().next().unwrap();
    let claims = attestation::verify_ear(token, &public).unwrap();
    assert_eq!(claims["submods"]["attester"]["ear_verifier_claims"]["cloister_rejection"], "crl.missing");
    assert_eq!(appraise(home.path(), &["--format", "ear"]).code, 2, "an EAR needs a key");
    std::fs::write(&key, "not a key").unwrap();
    assert_eq!(ear(&["--json"]).error_code(), "choice.ear_key");
}

/// One file of each kind, from the vectors, with what lies beside it.
#[test]
fn every_kind_of_evidence_is_read_from_files() {
    let home = tempfile::tempdir().unwrap();
    let vectors = here("../tests/vectors");
    let tdx = home.path().join("tdx");
    std::fs::create_dir(&tdx).unwrap();
    let collateral = vectors.join("tdx/collateral/00806f050000-2026-06-30-eval19-7037c6.coll.json");
    std::fs::copy(collateral, tdx.join("collateral.json")).unwrap();
    let azure_tdx = vectors.join("azure-vtpm/tdx-flashbots-1764662251/evidence.json");
    let rows: [(PathBuf, PathBuf, &str, &str, i32, &str); 6] = [
        (
            vectors.join("tdx/real/v4-spr-00806f05-gcp-2026/quote.bin"),
            tdx.clone(),
            "2026-07-01T00:00:00Z",
            "",
            0,
            "tdx.mr_td",
        ),
        (
            vectors.join("nvidia/real/h100-pcie-545.00-FULL/evidence.json"),
            vectors.join("nvidia/real/h100-pcie-545.00-FULL"),
            "2025-01-01T00:00:00Z",
            "",
            0,
            "gpu.attested",
        ),
        (
            vectors.join("nvidia/real/h100-pcie-545.00-FULL/evidence.json"),
            vectors.join("nvidia/real/h100-pcie-545.00-FULL"),
            "2025-01-01T00:00:00Z",
            "11",
            10,
            "gpu.nonce_mismatch",
        ),
        (
            vectors.join("azure-vtpm/snp-milan-v1/evidence.json"),
            home.path().to_owned(),
            AT,
            "6368616c6c656e6765",
            0,
            "azure.pcrs",
        ),
        (
            vectors.join("azure-vtpm/snp-milan-live/evidence.json"),
            home.path().to_owned(),
            AT,
            "6174746573746174696f6e2d746573742d66697874757265",
            0,
            "azure.pcrs",
        ),
        (azure_tdx, tdx, "2026-07-01T00:00:00Z", "00", 10, "azure.nonce_mismatch"),
    ];
    for (evidence, endorsements, at, nonce, code, name) in rows {
        let (evidence, endorsements, policy) = (text(&evidence), text(&endorsements), text(&here(POLICY)));
        let mut words = vec![
            "appraise",
            "--evidence",
            &evidence,
            "--endorsements",
            &endorsements,
            "--policy",
            &policy,
            "--at",
            at,
            "--json",
        ];
        let full = if nonce == "11" { "11".repeat(32) } else { nonce.to_owned() };
        if !full.is_empty() {
            words.extend(["--nonce", &full]);
        }
        let run = cloister(home.path(), &words);
        assert_eq!(run.code, code, "{evidence}: {}{}", run.stdout, run.stderr);
        if code == 0 {
            let object = run.json();
            let claims = object["result"]["claims"].as_array().unwrap();
            assert!(claims.iter().any(|claim| claim["name"] == name), "{name}");
            let unchecked = object["result"]["unchecked"].to_string();
            let freshness = ["evidence.report_data", "evidence.gpu_nonce"].iter().any(|item| unchecked.contains(item));
            assert_eq!(freshness, full.is_empty(), "a verdict says when freshness was not shown: {unchecked}");
        } else {
            assert_eq!(run.error_code(), name);
        }
    }
}

/// A bundle carries its writer's policy and time: a verdict under them says so, and nobody signs for it.
#[test]
fn a_replay_is_signed_only_under_the_readers_own_policy_and_time() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&home.path().join(name));
    assert_eq!(appraise(home.path(), &["--bundle", &path("bundle.json")]).code, 0);
    let own = cloister(home.path(), &["appraise", "--replay", &path("bundle.json")]);
    assert!(own.stdout.trim_end().ends_with("policy and time are the bundle's own"), "{}", own.stdout);
    let (key, policy) = (path("verifier.key"), text(&here(POLICY)));
    let sign = ["appraise", "--replay", &path("bundle.json"), "--format", "ear", "--ear-key", &key];
    let refused = cloister(home.path(), &[&sign[..], &["--json"]].concat());
    assert_eq!((refused.code, refused.error_code().as_str()), (2, "choice.replay_signed"));
    let signed = cloister(home.path(), &[&sign[..], &["--policy", &policy, "--at", AT]].concat());
    assert_eq!(signed.code, 0, "{}", signed.stderr);
    // What the bundle says was expected is its writer's word too.
    let mut bundle: Value = serde_json::from_slice(&std::fs::read(path("bundle.json")).unwrap()).unwrap();
    bundle["evidence"]["report_data"] = Value::from("00".repeat(64));
    std::fs::write(path("bundle.json"), bundle.to_string()).unwrap();
    let words =
        ["appraise", "--replay", &path("bundle.json"), "--ear-key", &key, "--policy", &policy, "--at", AT, "--json"];
    let object = cloister(home.path(), &words).json();
    assert!(object["result"]["unchecked"].to_string().contains("evidence.report_data"), "{object}");
    // Expectations belong to the reader and cannot be half heard.
    let ignored = cloister(home.path(), &["appraise", "--replay", &path("bundle.json"), "--nonce", "00"]);
    assert_eq!(ignored.code, 2);
    let unused = appraise(home.path(), &["--nonce", "00", "--json"]);
    assert_eq!((unused.code, unused.error_code().as_str()), (10, "evidence.expectation_unused"));
}
