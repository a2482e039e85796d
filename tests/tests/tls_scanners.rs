//! What others' scanners say of the guardian's TLS. The test installs them, which takes root once.

use std::process::Command;

use acceptance::{World, processes};
use serde_json::Value;

/// Findings of testssl.sh above "info" that are meant to be, and why.
const MEANT: [(&str, &str); 8] = [
    ("cert_trust", "the key is attested; the certificate is only its envelope"),
    ("cert_chain_of_trust", "the same"),
    ("cert_revocation", "a keyset ends with its boot, and within a week"),
    ("cert_expirationStatus", "it lives as long as the keyset, six days"),
    ("cert_notAfter", "the same"),
    ("DNS_CAArecord", "no certification authority is asked"),
    ("HSTS", "there is no plain HTTP"),
    ("engine_problem", "about the scanner's own OpenSSL"),
];

fn report(world: &World, name: &str, command: &mut Command) -> Value {
    let file = world.dir().join(name);
    let output = command.output().unwrap();
    let text = std::fs::read(&file)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", name, String::from_utf8_lossy(&output.stderr)));
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn nightly_scanners_find_tls_1_3_and_nothing_else() {
    let root = processes::repo_root();
    let mut install = Command::new(root.join("tests/clients/tls_scanners.sh"));
    let python = processes::installed(install.arg(root.join("target/clients"))).unwrap();
    let world = World::builder().start().unwrap();
    let address = format!("127.0.0.1:{}", world.guardian_port());

    let mut sslyze = Command::new(python);
    sslyze.args([
        "-m",
        "sslyze",
        "--early_data",
        "--resum",
        "--reneg",
        "--compression",
        "--heartbleed",
        "--elliptic_curves",
    ]);
    sslyze.args(["--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--json_out"]);
    let report_of_sslyze = report(&world, "sslyze.json", sslyze.arg(world.dir().join("sslyze.json")).arg(&address));
    let result = &report_of_sslyze["server_scan_results"][0]["scan_result"];
    let of = |scan: &str| {
        assert_eq!(result[scan]["status"], "COMPLETED", "{scan}");
        &result[scan]["result"]
    };
    for version in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2"] {
        let suites = of(&format!("{version}_cipher_suites"));
        assert_eq!(suites["is_tls_version_supported"], false, "{version}");
    }
    let accepted = of("tls_1_3_cipher_suites")["accepted_cipher_suites"].as_array().unwrap();
    let mut names: Vec<&str> = accepted.iter().map(|suite| suite["cipher_suite"]["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]);
    assert_eq!(of("tls_1_3_early_data")["supports_early_data"], false);
    assert_eq!(of("tls_compression")["supports_compression"], false);
    assert_eq!(of("heartbleed")["is_vulnerable_to_heartbleed"], false);
    assert_eq!(of("session_renegotiation")["is_vulnerable_to_client_renegotiation_dos"], false);
    let resumed = of("session_resumption");
    assert_eq!(resumed["session_id_resumption_result"], "SERVER_IS_TLS_1_3_ONLY");
    assert_eq!(resumed["tls_ticket_resumption_result"], "SERVER_IS_TLS_1_3_ONLY");

    let mut testssl = Command::new("testssl");
    testssl.args(["--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--jsonfile"]);
    let findings = report(&world, "testssl.json", testssl.arg(world.dir().join("testssl.json")).arg(&address));
    let findings = findings.as_array().unwrap();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let bad: Vec<String> = findings
        .iter()
        .filter(|finding| !["OK", "INFO"].contains(&text(finding, "severity").as_str()))
        .filter(|finding| !MEANT.iter().any(|(id, _)| *id == text(finding, "id")))
        .map(|finding| format!("{}: {} {}", text(finding, "id"), text(finding, "severity"), text(finding, "finding")))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    let said =
        |id: &str| findings.iter().find(|finding| text(finding, "id") == id).map(|finding| text(finding, "finding"));
    assert!(findings.len() > 80, "{} findings", findings.len());
    assert!(said("TLS1_3").unwrap().starts_with("offered"));
    assert!(said("sessionresumption_ticket").unwrap().starts_with("not supported"));
}
