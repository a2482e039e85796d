//! `cloister-guardian check-config`: what a person or a script that builds an image learns of a configuration before it is measured.

use std::process::Command;

use acceptance::World;

/// Exit code, and what was said on stderr.
fn checked(world: &World, config: &str) -> (i32, String) {
    let file = world.dir().join("checked.toml");
    std::fs::write(&file, config).unwrap();
    let mut command: Command = world.program("cloister-guardian");
    let output = command.args(["check-config", "--config"]).arg(&file).output().unwrap();
    assert!(output.stdout.is_empty(), "stdout is for what was asked for: {output:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_configuration_is_good_or_the_field_at_fault_is_named() {
    let world = World::builder().start().unwrap();
    let good = std::fs::read_to_string(world.config_file()).unwrap();
    assert_eq!(checked(&world, &good), (0, String::new()));
    let payee = world.payee().unwrap();
    let rows = [
        ("tiers = [1024, 4096, 16384, 65536]", "tiers = [1000]", "prices.tiers"),
        ("tab_secs_max = 3600", "tab_secs_max = 0", "prices.tab_secs_max"),
        ("tab_secs_max = 3600", "tab_secs_max = \"an hour\"", "tab_secs_max"),
        ("tab_secs_max = 3600\n", "", "missing field `tab_secs_max`"),
        ("request_credits", "requests_credits", "unknown field `requests_credits`"),
        ("dialect = \"llama\"", "dialect = \"ollama\"", "unknown variant `ollama`"),
        ("model = \"smollm2-135m\"", "model = \"\"", "engine needs a model name"),
        (&payee, &"0".repeat(64), "ledger.payee"),
        ("listen = ", "listen_vsock = 7\nlisten = ", "listen_vsock"),
        ("[prices]", "[metrics]\nlisten = \"127.0.0.1:1\"\ninterval_secs = 1\n[prices]", "metrics.interval_secs"),
        ("[prices]", "[shaping]\nframe_bytes = 1\n[prices]", "shaping.frame_bytes"),
        ("[prices]", "[prices", "is not valid"),
    ];
    for (from, to, field) in rows {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let (code, said) = checked(&world, &bad);
        assert_eq!(code, 1, "{from} -> {to}: {said}");
        assert!(said.contains(field), "{from} -> {to}: {said}");
        assert!(said.contains("checked.toml"), "it says of which file: {said}");
    }
    let mut command = world.program("cloister-guardian");
    let output = command.args(["check-config", "--config", "/nowhere/guardian.toml"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("read configuration /nowhere/guardian.toml"), "{said}");
}
