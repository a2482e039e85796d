//! What is a configuration, and what is not.

use std::path::Path;

use super::{GuardianConfig, ShapingConfig, TeeConfig};

const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const PAYEE: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// A whole configuration with these lines at the top and this table of the platform.
fn text(top: &str, tee: &str) -> String {
    format!(
        "listen = \"0.0.0.0:8443\"\n{top}\n[tee]\n{tee}\n\
         [ledger]\nurl = \"http://10.0.2.2:7800\"\nledger_id = \"{ZERO}\"\nledger_key = \"{ZERO}\"\n\
         vk_digest = \"{ZERO}\"\npayee = \"{PAYEE}\"\n\
         [engine]\ndialect = \"llama\"\nsocket = \"/run/engine/engine.sock\"\nmodel = \"m\"\n\
         weights = \"sha256:{ZERO}\"\ncontext_tokens_max = 2048\n\
         [prices]\nrequest_credits = 10\nprompt_credits = 1\ncompletion_credits = 4\ntiers = [1024]\n\
         tab_secs_max = 3600\n"
    )
}

fn parsed(top: &str, tee: &str) -> Result<GuardianConfig, String> {
    read(&text(top, tee))
}

fn read(text: &str) -> Result<GuardianConfig, String> {
    let config: GuardianConfig = toml::from_str(text).map_err(|error| error.to_string())?;
    config.reject_nonsense(Path::new("guardian.toml")).map_err(|error| error.to_string())?;
    Ok(config)
}

/// Zeros are a point under which anybody signs: the ledger takes no claims for it, so a node must not earn for it.
#[test]
fn a_payee_must_be_a_key_to_claim_with() {
    let text = text("", "kind = \"report-socket\"\npath = \"/run/tee.sock\"");
    assert!(read(&text).is_ok());
    let refused = read(&text.replace(PAYEE, ZERO)).unwrap_err();
    assert!(refused.contains("payee"), "{refused}");
}

const TSM: &str = "kind = \"configfs-tsm\"\nentry = \"/run/tsm\"";
const SEV_GUEST: &str = "kind = \"sev-guest\"\ndevice = \"/dev/sev-guest\"";

#[test]
fn the_kernels_interfaces_need_somebody_who_has_endorsements() {
    for kernel in [TSM, SEV_GUEST] {
        let config = parsed("", &format!("{kernel}\ncollateral = {{ vsock = {{ cid = 2, port = 9001 }} }}")).unwrap();
        assert_eq!(config.tee.vsock_peer(), Some((2, 9001)));
        let config = parsed("", &format!("{kernel}\ncollateral = {{ socket = \"/run/x.sock\" }}")).unwrap();
        assert_eq!(config.tee.vsock_peer(), None);
        for collateral in ["", "collateral = \"/run/x.sock\"", "collateral = { vsock = { cid = 2 } }"] {
            assert!(parsed("", &format!("{kernel}\n{collateral}")).is_err(), "{collateral}");
        }
    }
}

#[test]
fn vsock_is_off_unless_named() {
    let socket = "kind = \"report-socket\"\npath = \"/run/tee.sock\"";
    let config = parsed("", socket).unwrap();
    assert_eq!(config.listen_vsock, None);
    let config = parsed("listen_vsock = 8443", "kind = \"report-vsock\"\ncid = 2\nport = 7900").unwrap();
    assert_eq!(config.listen_vsock, Some(8443));
    assert!(matches!(config.tee, TeeConfig::ReportVsock { cid: 2, port: 7900 }));
}

#[test]
fn shaping_has_a_default_and_limits() {
    let tee = "kind = \"report-socket\"\npath = \"/run/tee.sock\"";
    let with = |table: &str| parsed("", &format!("{tee}\n[shaping]\n{table}"));
    assert_eq!(parsed("", tee).unwrap().shaping, ShapingConfig { frame_bytes: 512, cadence_millis: 0 });
    let config = with("cadence_millis = 40").unwrap();
    assert_eq!(config.shaping, ShapingConfig { frame_bytes: 512, cadence_millis: 40 });
    for (table, problem) in [
        ("frame_bytes = 127", "at least 128"),
        ("cadence_millis = 1001", "at most 1000"),
        ("frame_bytes = 0\ncadence_millis = 40", "hides nothing"),
        ("frame_bits = 1", "unknown field"),
    ] {
        let refused = with(table).unwrap_err();
        assert!(refused.contains(problem), "{refused}");
    }
}

#[test]
fn metrics_are_off_and_not_for_every_second() {
    let tee = "kind = \"report-socket\"\npath = \"/run/tee.sock\"";
    let with = |table: &str| parsed("", &format!("{tee}\n[metrics]\n{table}"));
    assert_eq!(parsed("", tee).unwrap().metrics, None);
    assert_eq!(with("listen = \"127.0.0.1:9464\"").unwrap().metrics.unwrap().interval_secs, 60);
    let refused = with("listen = \"127.0.0.1:9464\"\ninterval_secs = 9").unwrap_err();
    assert!(refused.contains("at least 10"), "{refused}");
    assert!(with("interval_secs = 60").is_err());
}

#[test]
fn a_canary_has_a_question_and_limits() {
    let tee = "kind = \"report-socket\"\npath = \"/run/tee.sock\"";
    let with = |prompt: &str, tokens: u64, secs: u64| {
        let table =
            format!("prompt = \"{prompt}\"\ncompletion_tokens = {tokens}\nanswer = \"b\"\ninterval_secs = {secs}");
        parsed("", &format!("{tee}\n[canary]\n{table}"))
    };
    assert_eq!(with("a", 256, 1).unwrap().canary.unwrap().answer, "b");
    for (prompt, tokens, secs) in [("", 8, 1), ("a", 0, 1), ("a", 257, 1), ("a", 8, 0)] {
        let refused = with(prompt, tokens, secs).unwrap_err();
        assert!(refused.contains("canary"), "{refused}");
    }
}

#[test]
fn vsock_addresses_that_name_nothing_are_refused() {
    let socket = "kind = \"report-socket\"\npath = \"/run/tee.sock\"";
    for port in ["0", "1023", "4294967295"] {
        let refused = parsed(&format!("listen_vsock = {port}"), socket).unwrap_err();
        assert!(refused.contains("listen_vsock must be a port from 1024 on"), "{refused}");
    }
    assert!(parsed("listen_vsock = -1", socket).is_err());
    for tee in ["cid = 4294967295\nport = 7900", "cid = 2\nport = 4294967295"] {
        let refused = parsed("", &format!("kind = \"report-vsock\"\n{tee}")).unwrap_err();
        assert!(refused.contains("must name one machine and one port"), "{refused}");
    }
    let refused =
        parsed("", &format!("{TSM}\ncollateral = {{ vsock = {{ cid = 2, port = 4294967295 }} }}")).unwrap_err();
    assert!(refused.contains("must name one machine and one port"), "{refused}");
    assert!(parsed("", "kind = \"report-vsock\"\nport = 7900").is_err(), "the machine is named, not guessed");
    assert!(parsed("", "kind = \"report-vsock\"\ncid = 2\nport = 7900\npath = \"x\"").is_err());
}

/// The key of a witness, quoted.
fn witness(name: &str, seed: u8) -> String {
    let key = attestation::ReceiptKey::from_seed(&[seed; 32]).unwrap();
    format!("\"{}\"", tlog::Cosigner::new(name, key).unwrap().public())
}

#[test]
fn a_ledger_is_watched_by_nobody_or_by_more_than_half_of_distinct_witnesses() {
    let [a, b] = [witness("a.example", 1), witness("b.example", 2)];
    let plain = text("", "kind = \"report-socket\"\npath = \"/tee\"");
    let with = |witnesses: &[&str], needed: usize| {
        let members = format!("witnesses = [{}]\nwitnesses_needed = {needed}\n[engine]", witnesses.join(", "));
        read(&plain.replace("[engine]", &members))
    };
    assert_eq!(read(&plain).unwrap().ledger.quorum(), Ok(None));
    assert_eq!(with(&[], 0).unwrap().ledger.quorum(), Ok(None));
    let quorum = with(&[&a, &b], 2).unwrap().ledger.quorum().unwrap().unwrap();
    assert_eq!((quorum.witnesses().len(), quorum.needed()), (2, 2));
    for (witnesses, needed, problem) in [
        (vec![&*a, &*b], 1, "ledger.witnesses_needed must be more than half"),
        (vec![&*a], 0, "ledger.witnesses_needed must be more than half"),
        (vec![], 1, "ledger.witnesses_needed must be more than half"),
        (vec![&*a, &*a], 2, "ledger.witnesses must be at most 16, each key and each name once"),
    ] {
        let refused = with(&witnesses, needed).unwrap_err();
        assert!(refused.contains(problem), "{needed} of {}: {refused}", witnesses.len());
    }
}

#[test]
fn a_log_is_watched_by_more_than_half_of_distinct_witnesses() {
    let [a, b, c] = [witness("a.example", 1), witness("b.example", 2), witness("c.example", 3)];
    let with = |origin: &str, witnesses: &[&str], needed: u32| {
        let table = format!(
            "\n[receipt_log]\norigin = \"{origin}\"\nservice = {{ vsock = {{ cid = 2, port = 9002 }} }}\nwitnesses = [{}]\n\
             witnesses_needed = {needed}\n",
            witnesses.join(", ")
        );
        parsed("", &format!("kind = \"report-socket\"\npath = \"/tee\"\n{table}"))
    };
    for (witnesses, needed) in [(vec![], 0), (vec![&*a], 1), (vec![&*a, &*b], 2), (vec![&*a, &*b, &*c], 2)] {
        with("node.example/receipts", &witnesses, needed).unwrap();
    }
    let (same_key, same_name) = (witness("d.example", 1), witness("a.example", 4));
    for (origin, witnesses, needed, problem) in [
        ("node.example/receipts", vec![&*a, &*b], 1, "witnesses_needed must be more than half"),
        ("node.example/receipts", vec![&*a], 0, "witnesses_needed must be more than half"),
        ("node.example/receipts", vec![&*a], 2, "witnesses_needed must be more than half"),
        ("node.example/receipts", vec![], 1, "witnesses_needed must be more than half"),
        ("node.example/receipts", vec![&*a, &*b, &*same_key], 2, "each key and each name once"),
        ("node.example/receipts", vec![&*a, &*b, &*same_name], 2, "each key and each name once"),
        ("node.example/receipts", vec![&*a, &*a], 2, "each key and each name once"),
        ("node.example/receipts", vec!["\"a.example+00000000+AAAA\""], 1, "is not a log key"),
        ("{\\\"", vec![], 0, "receipt_log.origin must be letters"),
        ("", vec![], 0, "receipt_log.origin must be letters"),
        ("a b", vec![], 0, "receipt_log.origin must be letters"),
    ] {
        let refused = with(origin, &witnesses, needed).unwrap_err();
        assert!(refused.contains(problem), "{origin:?} {needed} of {}: {refused}", witnesses.len());
    }
}

#[test]
fn gpus_have_a_driver_or_a_platform_that_answers_for_them() {
    let socket = "kind = \"report-socket\"\npath = \"/run/tee.sock\"";
    let nvml = "[gpu.nvml]\nsocket = \"/run/nvml.sock\"\ncollateral = { socket = \"/run/collateral.sock\" }";
    let tsm = format!("{TSM}\ncollateral = {{ socket = \"/run/x.sock\" }}");
    assert!(parsed("", socket).unwrap().gpu.is_none());
    assert!(parsed("", &format!("{socket}\n[gpu]")).unwrap().gpu.unwrap().nvml.is_none());
    assert!(parsed("", &format!("{tsm}\n{nvml}")).unwrap().gpu.unwrap().nvml.is_some());
    for (table, problem) in [
        (format!("{tsm}\n[gpu]"), "gpu.nvml is missing"),
        (format!("{socket}\n[gpu]\nroots = \"no certificate\""), "gpu.roots"),
        (format!("{socket}\n[gpu]\npolicy = \"name = 1\""), "gpu.policy"),
        (format!("{socket}\n[gpu]\nlibrary = \"/lib/x.so\""), "unknown field"),
        (
            format!(
                "{socket}\n[gpu.nvml]\nsocket = \"/run/nvml.sock\"\ncollateral = {{ vsock = {{ cid = 4294967295, port = 1 }} }}"
            ),
            "gpu.nvml.collateral",
        ),
    ] {
        let refused = parsed("", &table).unwrap_err();
        assert!(refused.contains(problem), "{refused}");
    }
}

/// What images are built with when nothing else is named.
#[test]
fn the_images_own_configurations_are_configurations() {
    for name in ["guardian.example.toml", "guardian.cpu-vllm.example.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../image").join(name);
        GuardianConfig::load(&path).unwrap();
    }
}

#[test]
fn a_public_name_is_one_that_authorities_certify() {
    let tee = "kind = \"report-socket\"\npath = \"/run/tee.sock\"";
    let named = |name: &str, service: &str| {
        read(&format!("{}[certificate]\nname = \"{name}\"\nservice = {service}\n", text("", tee)))
    };
    let socket = "{ socket = \"/run/certify.sock\" }";
    assert_eq!(named("node.example.com", socket).unwrap().certificate.unwrap().name, "node.example.com");
    assert!(named("node.example.com", "{ vsock = { cid = 2, port = 9003 } }").is_ok());
    assert!(named("*.example.com", socket).unwrap_err().contains("certificate.name"));
    assert!(
        named("node.example.com", "{ vsock = { cid = 4294967295, port = 9003 } }").unwrap_err().contains("service")
    );
}
