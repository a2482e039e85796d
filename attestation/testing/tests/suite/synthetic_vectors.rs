//! Every synthetic vector: really signed, one failing check each, its own root, its own time.

use attestation::{Base64, ChannelView, Exporter, Nonce, Rejection, SnpEndorsements, Transcript, TrustRoots};
use serde_json::Value;

use crate::support::{CAPTURED_POLICY, Entry, entries, foreign_document, parse_policy, unix_time, vectors, with_item};

/// The vectors' words for a reason, and ours.
const CODES: &[(&str, &str)] = &[
    ("OK", "ok"),
    ("CERT_EXPIRED", "chain.expired"),
    ("CERT_NOT_YET_VALID", "chain.not_yet_valid"),
    ("CHAIN_ROOT_NOT_PINNED", "chain.root_unknown"),
    ("CHAIN_ISSUER", "chain.name"),
    ("CHAIN_SIG_ALG", "chain.algorithm"),
    ("HWID_MISMATCH", "chain.chip_id_mismatch"),
    ("VEK_MISSING_HWID", "chain.extension_missing"),
    ("VEK_TCB_MISMATCH", "chain.tcb_mismatch"),
    ("PRODUCT_MISMATCH", "chain.product_mismatch"),
    ("SIGNING_KEY_MISMATCH", "chain.signing_key_mismatch"),
    ("SIGNING_KEY_NONE", "snp.signing_key_none"),
    ("ASK_REVOKED", "crl.revoked"),
    ("CRL_EXPIRED", "crl.expired"),
    ("CRL_MISSING", "crl.missing"),
    ("LENGTH", "snp.length"),
    ("VERSION_UNSUPPORTED", "snp.version"),
    ("SIG_ALGO", "snp.signature_algorithm"),
    ("SIGNATURE", "snp.signature"),
    ("GUEST_SVN", "snp.guest_svn"),
    ("HOST_DATA_MISMATCH", "snp.host_data"),
    ("MEASUREMENT_MISMATCH", "snp.launch_digest"),
    ("PLATFORM_ALIAS_CHECK_NOT_COMPLETE", "snp.platform"),
    ("PLATFORM_TSME_OFF", "snp.platform"),
    ("POLICY_ABI_TOO_LOW", "snp.abi_too_old"),
    ("POLICY_DEBUG", "snp.debug_allowed"),
    ("POLICY_MIGRATE_MA", "snp.migration_agent"),
    ("POLICY_RESERVED_BIT17_CLEAR", "snp.policy_reserved_bit"),
    ("POLICY_SMT", "snp.smt_allowed"),
    ("TCB_BELOW_MINIMUM", "snp.tcb_too_old"),
    ("PROVISIONAL_FIRMWARE", "snp.provisional_firmware"),
    ("TCB_ORDER", "snp.tcb_order"),
    ("VLEK_CSP_NOT_ALLOWED", "snp.csp_not_allowed"),
    ("VMPL_NOT_ALLOWED", "snp.vmpl"),
    ("VMPL_HOST_REQUESTED", "snp.host_requested"),
    ("REPORT_DATA_MISMATCH", "channel.report_data_mismatch"),
];

fn expected_code(entry: &Entry) -> &'static str {
    let word = entry.expected["code"].as_str().unwrap();
    CODES.iter().find(|(theirs, _)| *theirs == word).unwrap_or_else(|| panic!("{word} has no code")).1
}

/// The vectors' base policy, with what this entry asks for on top.
fn policy_of(entry: &Entry) -> String {
    let mut policy = with_item(CAPTURED_POLICY, "snp.report.vmpl", "[0]");
    policy = with_item(&policy, "snp.report.vlek_csp_ids", "\"unchecked\"");
    let hex_list = |value: &Value| match value {
        Value::String(one) => format!("[\"{one}\"]"),
        list => list.to_string(),
    };
    for (name, value) in entry.expected["policy"].as_object().unwrap() {
        policy = match name.as_str() {
            "require_crl" => with_item(&policy, "snp.revocation.crl", "{ max_age_secs = 34560000 }"),
            "min_guest_svn" => with_item(&policy, "snp.report.guest_svn_min", &value.to_string()),
            "expected_host_data" => with_item(&policy, "snp.report.host_data", &hex_list(value)),
            "allowed_measurements" => with_item(&policy, "snp.report.launch_digests", &hex_list(value)),
            "allowed_csp" => with_item(&policy, "snp.report.vlek_csp_ids", &hex_list(value)),
            "require_alias_check" => with_item(&policy, "snp.platform.alias_check", "\"required\""),
            "require_tsme" => with_item(&policy, "snp.platform.tsme", "\"required\""),
            "min_policy_abi" => {
                let minimum = format!("{{ major = {}, minor = {} }}", value[0], value[1]);
                with_item(&policy, "snp.guest.abi_min", &minimum)
            }
            "allow_smt" => with_item(&policy, "snp.guest.smt", "\"forbidden\""),
            "allow_provisional" => with_item(&policy, "snp.tcb.provisional", "\"forbidden\""),
            "min_tcb" => {
                let (bl, tee, snp, ucode) = (&value["bl"], &value["tee"], &value["snp"], &value["ucode"]);
                let row = format!(
                    "[{{ product = \"Milan\", cpu = \"any\", boot_loader = {bl}, tee = {tee}, snp = {snp}, microcode = {ucode} }}]"
                );
                with_item(&policy, "snp.tcb.floors", &row)
            }
            // Not a policy item: the channel decides what REPORT_DATA must be.
            "expected_report_data" => policy,
            other => panic!("unknown policy item {other}"),
        };
    }
    policy
}

fn run(entry: &Entry) -> Result<(), Rejection> {
    let at = unix_time(entry.expected["at"].as_str().unwrap());
    let pki = vectors().join(entry.expected["pki"].as_str().unwrap());
    let (vek, is_vlek) = entry.vek().unwrap();
    let trusted_root = std::fs::read(pki.join("ark.der")).unwrap();
    let intermediate = std::fs::read(pki.join(if is_vlek { "asvk.der" } else { "ask.der" })).unwrap();
    let endorsements = SnpEndorsements {
        vek: Base64(vek),
        intermediate: Base64(entry.file("ask.der").unwrap_or(intermediate)),
        root: Base64(entry.file("ark.der").unwrap_or_else(|| trusted_root.clone())),
        crl: entry.file("ark.crl").map(Base64),
    };
    let document = foreign_document(entry.report(), endorsements, at);
    let roots = TrustRoots::named(&trusted_root).unwrap();
    let policy = parse_policy(&policy_of(entry));
    let mut transcript = Transcript::new();
    let appraisal = attestation::appraise(&document, &roots, &policy, at, &mut transcript)?;
    if entry.expected["policy"].get("expected_report_data").is_some() {
        let view = ChannelView { nonce: Nonce([0; 32]), exporter: Exporter([0; 32]), leaf_spki_sha256: [0x33; 32] };
        appraisal.bind_channel(&view, &mut transcript)?;
    }
    Ok(())
}

#[test]
fn every_synthetic_vector_gives_its_code() {
    let entries = entries("snp/synthetic/");
    assert_eq!(entries.len(), 51);
    let mut wrong = Vec::new();
    for entry in &entries {
        let (result, expected) = (run(entry), expected_code(entry));
        if crate::support::code(&result) != expected {
            wrong.push(format!("{}: expected {expected}, got {result:?}", entry.id));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The twin of every accepted vector: one bit of the signed part turned.
#[test]
fn accepted_synthetic_vectors_do_not_survive_a_bit_flip() {
    let accepted: Vec<Entry> =
        entries("snp/synthetic/").into_iter().filter(|entry| expected_code(entry) == "ok").collect();
    assert_eq!(accepted.len(), 8);
    for entry in accepted {
        let at = unix_time(entry.expected["at"].as_str().unwrap());
        let pki = vectors().join(entry.expected["pki"].as_str().unwrap());
        let (vek, is_vlek) = entry.vek().unwrap();
        let root = std::fs::read(pki.join("ark.der")).unwrap();
        let intermediate = std::fs::read(pki.join(if is_vlek { "asvk.der" } else { "ask.der" })).unwrap();
        let mut report = entry.report();
        report[0x60] ^= 0x10;
        let endorsements = SnpEndorsements {
            vek: Base64(vek),
            intermediate: Base64(intermediate),
            root: Base64(root.clone()),
            crl: entry.file("ark.crl").map(Base64),
        };
        let roots = TrustRoots::named(&root).unwrap();
        let document = foreign_document(report, endorsements, at);
        let policy = parse_policy(&policy_of(&entry));
        let result = attestation::appraise(&document, &roots, &policy, at, &mut Transcript::new());
        assert_eq!(crate::support::code(&result), "snp.signature", "{}", entry.id);
    }
}
