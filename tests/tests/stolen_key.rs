//! Somebody has the TLS key of a genuine node (threat N1), and so shows its certificate and finishes its handshakes. Evidence that was
//! made for any other handshake than the client's own is worth nothing to him, and he hears no prompt.

use std::sync::Arc;
use std::time::Duration;

use acceptance::clock::WallClock;
use acceptance::mitm::Mitm;
use acceptance::reflector::Reflector;
use acceptance::tap::Tap;
use acceptance::{World, channel, cli, raw, stolen, tls};
use attestation::{
    AppraisalPolicy, AttestationDocument, ChannelView, Clock, Nonce, Sha256Digest, Transcript, TrustRoots,
};
use enclave::boot;
use enclave::config::GuardianConfig;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use serde_json::Value;

const MARKER: &str = "canary-prompt-5d1e";

/// A world whose guardian runs in this process, from whose memory its key can be stolen.
struct Robbed {
    world: World,
    node: tokio::task::JoinHandle<anyhow::Result<()>>,
    certificate: CertificateDer<'static>,
}

impl Robbed {
    async fn start() -> Self {
        let mut world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
        tokio::task::block_in_place(|| world.kill_guardian()).unwrap();
        let config = GuardianConfig::load(&world.config_file()).unwrap();
        let node = tokio::spawn(boot::run(config, Arc::new(WallClock)));
        for _ in 0..100 {
            if raw::get(world.guardian_port(), "/health").await.is_ok_and(|health| health.status.is_success()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let shown = raw::connect(world.guardian_port(), b"h2").await.unwrap();
        let certificate = shown.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
        Self { world, node, certificate }
    }

    /// What the thief serves with: the node's own certificate and its key.
    async fn server(&self) -> Arc<ServerConfig> {
        let (_, document) = channel::ask(self.world.guardian_port()).await.unwrap();
        let spki_sha256 = document.keyset.tls_public_keys[0].spki_sha256.0;
        assert!(self.certificate.windows(91).any(|window| Sha256Digest::of(window).0 == spki_sha256));
        let key = stolen::tls_key(&spki_sha256).unwrap();
        tls::server_config_with(vec![self.certificate.clone()], key, b"h2").unwrap()
    }

    async fn stop(self) {
        self.node.abort();
        drop(tokio::task::spawn_blocking(move || drop(self.world)).await);
    }
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

fn chat(world: &World, url: &str, wallet: &str) -> cli::Run {
    let trust = cli::trust(world);
    let mut args = vec!["chat", url, MARKER, "--max-tokens", "4", "--wallet", wallet];
    args.extend(trust.iter().map(String::as_str));
    tokio::task::block_in_place(|| cli::json(world, &args)).unwrap()
}

fn verify(world: &World, url: &str) -> cli::Run {
    tokio::task::block_in_place(|| cli::verify(world, url)).unwrap()
}

fn refused(run: &cli::Run) -> (i32, &str) {
    (run.code, run.error_code())
}

/// He forwards everything, the question for evidence and its answer too: the answer is over his handshake with the node.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_with_the_nodes_own_tls_key_is_refused_and_hears_no_prompt() {
    let robbed = Robbed::start().await;
    let world = &robbed.world;
    let wallet = tokio::task::block_in_place(|| cli::funded_wallet(world, "w", 100_000)).unwrap();
    let thief = Mitm::start_as(robbed.server().await, world.guardian_port()).await.unwrap();
    let port = thief.url().rsplit_once(':').unwrap().1.parse().unwrap();
    // He is taken for the node by all that TLS can show: a client checks that whoever shows the certificate has its key.
    let shown = raw::connect(port, b"h2").await.unwrap();
    assert_eq!(shown.get_ref().1.peer_certificates().unwrap()[0], robbed.certificate);
    drop(shown);

    assert_eq!(refused(&verify(world, &thief.url())), (10, "channel.report_data_mismatch"));
    assert_eq!(refused(&chat(world, &thief.url(), &wallet)), (10, "channel.report_data_mismatch"));
    let heard = thief.heard();
    assert!(holds(&heard, "PRI * HTTP/2.0"), "he did read what the client sent");
    assert!(!holds(&heard, MARKER), "no prompt byte");
    let balance = tokio::task::block_in_place(|| cli::balance(world, &wallet)).unwrap();
    assert_eq!(balance, (100_000, 0, 0), "nothing was spent");

    // Somebody without the key, who forwards the same bytes unread, is no hindrance.
    let wire = Tap::start(world.guardian_port()).await.unwrap();
    let url = format!("https://127.0.0.1:{}", wire.port());
    assert_eq!(verify(world, &url).success().unwrap().text("/verdict").unwrap(), "VERIFIED");
    chat(world, &url, &wallet).success().unwrap();
    drop((thief, wire));
    robbed.stop().await;
}

/// He answers the question with evidence that the node gave the client before, as it stands in a receipt that the client showed somebody:
/// as it is, and with the nonce that the client asks with now.
#[tokio::test(flavor = "multi_thread")]
async fn a_clients_own_evidence_is_refused_when_it_comes_back() {
    let robbed = Robbed::start().await;
    let world = &robbed.world;
    let wallet = tokio::task::block_in_place(|| cli::funded_wallet(world, "w", 100_000)).unwrap();
    let served = chat(world, &world.guardian_url(), &wallet).success().unwrap();
    let bundle = std::fs::read(served.text("/receipt/file").unwrap()).unwrap();
    let bundle: Value = serde_json::from_slice(&bundle).unwrap();
    let earlier = bundle["attestation"].clone();
    assert!(earlier["nonce"].as_str().unwrap().len() == 64, "{earlier}");

    let as_it_is = earlier.to_string();
    let renamed = move |nonce: &str| {
        let mut document = earlier.clone();
        document["nonce"] = nonce.into();
        document.to_string().into_bytes()
    };
    let server = robbed.server().await;
    let thief = Reflector::start(Arc::clone(&server), Arc::new(move |_| as_it_is.clone().into_bytes())).await.unwrap();
    assert_eq!(refused(&verify(world, &thief.url())), (10, "channel.nonce_mismatch"));
    assert_eq!(refused(&chat(world, &thief.url(), &wallet)), (10, "channel.nonce_mismatch"));
    let thief = Reflector::start(server, Arc::new(renamed)).await.unwrap();
    assert_eq!(refused(&verify(world, &thief.url())), (10, "channel.report_data_mismatch"));
    assert_eq!(refused(&chat(world, &thief.url(), &wallet)), (10, "channel.report_data_mismatch"));

    // Two connections of one client at the same time: the evidence of each is of that one alone, even if both asked with one nonce.
    let nonce = Nonce::random().unwrap();
    let port = world.guardian_port();
    let (first, second) = tokio::join!(channel::ask_with(port, nonce), channel::ask_with(port, nonce));
    let (mine, theirs) = (first.unwrap(), second.unwrap());
    let other = channel::ask(port).await.unwrap();
    let roots = TrustRoots::named(&std::fs::read(world.root_file()).unwrap()).unwrap();
    let policy = AppraisalPolicy::from_toml(&std::fs::read_to_string(world.policy_file()).unwrap()).unwrap();
    let bind = |document: &AttestationDocument, view: &ChannelView| {
        let mut transcript = Transcript::default();
        let appraisal = attestation::appraise(document, &roots, &policy, WallClock.now(), &mut transcript).unwrap();
        appraisal.bind_channel(view, &mut transcript).map(drop).map_err(|rejection| rejection.code())
    };
    assert_eq!((bind(&mine.1, &mine.0), bind(&theirs.1, &theirs.0)), (Ok(()), Ok(())));
    assert_eq!(bind(&theirs.1, &mine.0), Err("channel.report_data_mismatch"), "the same nonce, another handshake");
    assert_eq!(bind(&mine.1, &theirs.0), Err("channel.report_data_mismatch"));
    assert_eq!(bind(&other.1, &mine.0), Err("channel.nonce_mismatch"), "another nonce, too");
    drop(thief);
    robbed.stop().await;
}
