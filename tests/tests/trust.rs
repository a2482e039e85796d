//! A node that is not what it should be is refused with its own code, and hears no byte of the prompt.

use acceptance::mitm::Mitm;
use acceptance::world::Hardware;
use acceptance::{World, cli};

const MARKER: &str = "canary-prompt-7f3a";

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn a_genuine_node_is_verified_and_named_simulated() {
    let world = World::builder().start().unwrap();
    let run = cli::verify(&world, &world.guardian_url()).unwrap().success().unwrap();
    assert_eq!(run.text("/verdict").unwrap(), "VERIFIED");
    assert_eq!(run.text("/assurance").unwrap(), "simulated");
    let checks = run.json["checks"].as_array().unwrap();
    assert!(checks.len() >= 10, "the transcript lists its checks: {checks:?}");
    // The same evidence against the vendor's roots is nothing.
    let (url, policy) = (world.guardian_url(), world.policy_file().display().to_string());
    let run = cli::json(&world, &["verify", &url, "--policy", &policy]).unwrap();
    assert_eq!((run.code, run.error_code()), (10, "chain.root_unknown"));
}

#[test]
fn another_root_is_refused_and_hears_no_prompt() {
    let mut world = World::builder().start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
    world.kill_guardian().unwrap();
    world.use_other_vendor_chain().unwrap();
    world.start_guardian().unwrap();
    let run = cli::chat(&world, &wallet, MARKER, &[]).unwrap();
    assert_eq!((run.code, run.error_code()), (10, "chain.root_unknown"));
    assert!(!world.guardian_log().contains(MARKER));
    assert_eq!(cli::balance(&world, &wallet).unwrap(), (100_000, 0, 0), "nothing was spent");
}

/// A machine of either vendor with a GPU, under the strict policy with its measurements: verified, paid, answered.
#[test]
fn a_machine_with_a_gpu_is_verified_whole_and_answers() {
    for (hardware, product) in [(Hardware::SnpWithGpu, "Genoa"), (Hardware::TdxWithGpu, "TDX 90c06f000000")] {
        let world = World::builder().hardware(hardware).start().unwrap();
        let run = cli::verify(&world, &world.guardian_url()).unwrap().success().unwrap();
        assert_eq!((run.text("/assurance").unwrap(), run.text("/node/product").unwrap()), ("simulated", product));
        let claims = run.json["node"]["claims"].as_array().unwrap();
        assert!(claims.iter().any(|claim| claim["name"] == "gpu.attested" && claim["value"] == true), "{claims:?}");
        let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
        cli::chat(&world, &wallet, "Say hello.", &[]).unwrap().success().unwrap();
    }
}

#[test]
fn a_node_without_the_gpu_the_policy_requires_is_refused() {
    let world = World::builder().start().unwrap();
    let policy = std::fs::read_to_string(world.policy_file()).unwrap();
    let demanding = policy.replace("required_parts = [\"cpu\"]", "required_parts = [\"cpu\", \"gpu\"]");
    assert_ne!(demanding, policy);
    std::fs::write(world.policy_file(), demanding).unwrap();
    let run = cli::verify(&world, &world.guardian_url()).unwrap();
    assert_eq!((run.code, run.error_code()), (10, "evidence.part_missing"));
}

#[test]
fn a_wrong_measurement_is_refused() {
    let world = World::builder().start().unwrap();
    let policy = std::fs::read_to_string(world.policy_file()).unwrap();
    let start = policy.find("launch_digests = [").unwrap();
    let digit = policy[start..].find(|c: char| c.is_ascii_hexdigit() && c.is_ascii_digit()).unwrap() + start;
    let flipped = if &policy[digit..=digit] == "0" { "1" } else { "0" };
    let mut other = policy;
    other.replace_range(digit..=digit, flipped);
    std::fs::write(world.policy_file(), other).unwrap();
    let run = cli::verify(&world, &world.guardian_url()).unwrap();
    assert_eq!((run.code, run.error_code()), (10, "snp.launch_digest"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_man_in_the_middle_with_genuine_evidence_is_refused_and_hears_no_prompt() {
    let world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
    let mitm = Mitm::start(world.guardian_port()).await.unwrap();
    let url = mitm.url();
    let (run, world) = tokio::task::spawn_blocking(move || {
        let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
        let mut args = vec!["chat".to_owned(), url, MARKER.to_owned(), "--wallet".to_owned(), wallet];
        args.extend(cli::trust(&world));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        (cli::json(&world, &args).unwrap(), world)
    })
    .await
    .unwrap();
    assert_eq!(run.code, 10);
    assert!(
        ["channel.report_data_mismatch", "channel.spki_not_in_keyset"].contains(&run.error_code()),
        "got {}",
        run.error_code()
    );
    let heard = mitm.heard();
    assert!(holds(&heard, "PRI * HTTP/2.0"), "he did read what the client sent");
    assert!(!holds(&heard, MARKER), "no prompt byte");
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_for_another_nonce_is_refused() {
    use attestation::{AppraisalPolicy, ChannelView, Clock, Exporter, Nonce, Transcript, TrustRoots};
    let world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
    let asked = Nonce::random().unwrap();
    let answer = acceptance::raw::get(world.guardian_port(), &format!("/v1/attestation?nonce={asked}")).await.unwrap();
    let document = attestation::AttestationDocument::from_json(&answer.body).unwrap();
    let roots = TrustRoots::named(&std::fs::read(world.root_file()).unwrap()).unwrap();
    let policy = AppraisalPolicy::from_toml(&std::fs::read_to_string(world.policy_file()).unwrap()).unwrap();
    let now = acceptance::clock::WallClock.now();
    let spki = document.keyset.tls_public_keys[0].spki_sha256.0;
    let view = |nonce| ChannelView { nonce, exporter: Exporter([0; 32]), leaf_spki_sha256: spki };
    let bind = |nonce| {
        let appraisal = attestation::appraise(&document, &roots, &policy, now, &mut Transcript::default()).unwrap();
        appraisal.bind_channel(&view(nonce), &mut Transcript::default()).map(drop).unwrap_err().code()
    };
    assert_eq!(bind(Nonce::random().unwrap()), "channel.nonce_mismatch", "a replayed document");
    assert_eq!(bind(asked), "channel.report_data_mismatch", "the right nonce on another connection");
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}
