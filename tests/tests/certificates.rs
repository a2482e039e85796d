//! Certificates of a public authority (ACME) for attested keys: who verifies nothing else is served, and who verifies evidence is not
//! deceived by a certificate that somebody else had made.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use acceptance::mitm::Mitm;
use acceptance::pebble::Pebble;
use acceptance::processes::{self, Process};
use acceptance::{World, cli, raw, tls};
use attestation::Base64;
use platform_service::{Answer, Question};
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use tempfile::TempDir;

const NAME: &str = "node.example.com";
const OTHER: &str = "other.example.com";
const SOON: Duration = Duration::from_secs(60);

/// Who has certificates made, with its directory and socket.
struct Service {
    process: Option<Process>,
    dir: TempDir,
}

impl Service {
    fn new() -> Self {
        Self { process: None, dir: tempfile::tempdir().unwrap() }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("certify.sock")
    }

    fn account(&self) -> PathBuf {
        self.dir.path().join("kept/account.json")
    }

    fn command(&self, directory: &str, pebble: &Pebble, port: u16) -> Command {
        let mut command = Command::new(processes::bin_dir().unwrap().join("cloister-host"));
        command.args(["certificate", "serve", "--name", NAME, "--directory", directory]);
        command.arg("--root").arg(pebble.server_root()).args(["--listen", &format!("127.0.0.1:{port}")]);
        command.arg("--dir").arg(self.dir.path().join("kept")).arg("--socket").arg(self.socket());
        command
    }

    fn start(&mut self, pebble: &Pebble, more: &[&str]) {
        self.start_at(pebble, pebble.http_port(), more);
    }

    fn start_at(&mut self, pebble: &Pebble, port: u16, more: &[&str]) {
        self.process = None;
        let mut command = self.command(&pebble.directory(), pebble, port);
        let mut process = Process::start("cloister-host certificate serve", command.args(more)).unwrap();
        process.wait_until(SOON, |process| process.stderr().contains("certificates ready on")).unwrap();
        self.process = Some(process);
    }

    fn said(&self) -> String {
        self.process.as_ref().map(Process::stderr).unwrap_or_default()
    }

    fn ask(&self, question: &str) -> Answer {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(format!("{question}\n").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn certify(&self, request: &[u8]) -> Answer {
        self.ask(&serde_json::to_string(&Question::Certify(Base64(request.to_vec()))).unwrap())
    }

    /// Asks until there is a chain.
    fn certified(&self, request: &[u8]) -> Vec<CertificateDer<'static>> {
        let until = std::time::Instant::now() + SOON;
        loop {
            match self.certify(request) {
                Answer::Certificate(chain) => {
                    return chain.into_iter().map(|der| CertificateDer::from(der.0)).collect();
                }
                Answer::CertificatePending(_) => std::thread::sleep(Duration::from_millis(200)),
                other => panic!("{other:?}"),
            }
            assert!(std::time::Instant::now() < until, "{}", self.said());
        }
    }

    /// Asks until an order failed; what is said of it.
    fn failed(&self, request: &[u8]) -> String {
        let until = std::time::Instant::now() + SOON;
        loop {
            let Answer::CertificatePending(why) = self.certify(request) else { panic!("it cannot be had") };
            if why.contains("the next order is in") {
                return why;
            }
            assert!(std::time::Instant::now() < until, "{why} {}", self.said());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn refused(&self, question: &str, words: &str) {
        let answer = self.ask(question);
        assert!(matches!(&answer, Answer::Error { message } if message.contains(words)), "{words}: {answer:?}");
    }
}

fn request(key: &rcgen::KeyPair, names: &[&str]) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    rcgen::CertificateParams::new(names).unwrap().serialize_request(key).unwrap().der().to_vec()
}

/// A client that believes in certificates and knows nothing of evidence.
fn believer(port: u16, name: &str, root: &Path) -> Value {
    let mut client = Command::new(processes::peers_python().unwrap());
    client.arg(processes::repo_root().join("tests/clients/webpki_client.py")).args([&port.to_string(), name]);
    let output = client.arg(root).arg("/v1/models").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn attested_key(port: u16) -> String {
    let nonce = "00".repeat(32);
    let document = raw::get(port, &format!("/v1/attestation?nonce={nonce}")).await.unwrap().json();
    let keyset = &document["keyset"]["tls_public_keys"][0];
    assert_eq!(keyset["domain"], NAME, "{document}");
    keyset["spki_sha256"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_certifies_attested_keys_and_a_stolen_name_deceives_no_verifier() {
    let Some(pebble) = Pebble::start().unwrap() else { return };
    let mut service = Service::new();
    service.start(&pebble, &["--agree-to-terms", "--contact", "ops@example.com"]);
    let table =
        format!("\n[certificate]\nname = \"{NAME}\"\nservice = {{ socket = \"{}\" }}\n", service.socket().display());
    let mut world = World::builder().tinfoil().configured(table).start().unwrap();
    // Each entrance has a key of its own.
    let shown = |world: &World| world.guardian_log().matches("showing a certificate of a public authority").count();
    let until = std::time::Instant::now() + SOON;
    while shown(&world) < 2 {
        assert!(std::time::Instant::now() < until, "{} {}", world.guardian_log(), service.said());
        std::thread::sleep(Duration::from_millis(200));
    }
    let root = pebble.issuing_root().await.unwrap();
    let port = world.guardian_port();
    let served = believer(port, NAME, &root);
    assert_eq!((&served["status"], &served["version"]), (&200.into(), &"TLSv1.3".into()), "{served}");
    assert_eq!(served["spki_sha256"], attested_key(port).await, "the certificate is of the attested key");
    assert_eq!(served["names"], serde_json::json!([NAME]));
    let tinfoil = believer(world.tinfoil_port().unwrap(), NAME, &root);
    assert!(tinfoil["spki_sha256"].is_string() && tinfoil["spki_sha256"] != served["spki_sha256"], "{tinfoil}");
    let certificate = raw::get(world.tinfoil_port().unwrap(), "/.well-known/tinfoil-certificate").await.unwrap().json();
    assert!(certificate["certificate"].as_str().unwrap().matches("BEGIN CERTIFICATE").count() >= 2, "{certificate}");
    // By another name there is the certificate that nobody vouches for.
    assert!(believer(port, OTHER, &root)["refused"].is_string());

    // Who verifies evidence sees the same key under either certificate.
    cli::verify(&world, &world.guardian_url()).unwrap().success().unwrap();
    let by_other_name = cli::verify(&world, &format!("https://localhost:{port}")).unwrap();
    assert_eq!((by_other_name.code, by_other_name.error_code()), (10, "channel.other_name"), "{}", by_other_name.json);

    // Somebody else has the name certified for his key, as one who can change DNS can: only verifiers notice.
    let stolen = rcgen::KeyPair::generate().unwrap();
    let chain = service.certified(&request(&stolen, &[NAME]));
    let thief =
        Mitm::start_as(tls::server_config_as(chain.clone(), &stolen, b"http/1.1").unwrap(), port).await.unwrap();
    let thief_port: u16 = thief.url().rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(believer(thief_port, NAME, &root)["names"], serde_json::json!([NAME]), "he is believed");
    let thief = Mitm::start_as(tls::server_config_as(chain, &stolen, b"h2").unwrap(), port).await.unwrap();
    let run = cli::verify(&world, &thief.url()).unwrap();
    assert_eq!((run.code, run.error_code()), (10, "channel.report_data_mismatch"), "{}", run.json);

    // New keys at the next boot, so a new certificate.
    assert!(world.stop_guardian().unwrap());
    world.start_guardian_until("showing a certificate of a public authority").unwrap();
    assert!(processes::soon(|| believer(port, NAME, &root)["status"] == 200));
    let again = believer(port, NAME, &root);
    assert_eq!(again["spki_sha256"], attested_key(port).await);
    assert_ne!(again["spki_sha256"], served["spki_sha256"]);
    world.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_kept_and_what_is_not_to_be_had_is_said() {
    let Some(mut pebble) = Pebble::start().unwrap() else { return };
    let mut service = Service::new();
    // Nobody agrees to anything by accident.
    let refused = service.command(&pebble.directory(), &pebble, pebble.http_port()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("--agree-to-terms"), "{said}");
    service.start(&pebble, &["--agree-to-terms"]);
    let key = rcgen::KeyPair::generate().unwrap();
    let wanted = request(&key, &[NAME]);
    let chain = service.certified(&wanted);
    assert!(chain.len() >= 2);

    // What is asked for must be a request for this name and nothing else.
    let ask = |bytes: Vec<u8>| serde_json::to_string(&Question::Certify(Base64(bytes))).unwrap();
    let (mut followed, mut cut) = (wanted.clone(), wanted.clone());
    followed.push(0);
    cut.pop();
    for (question, words) in [
        (ask(request(&key, &[OTHER])), "is not a --name of this service"),
        (ask(request(&key, &[NAME, OTHER])), "is not a --name of this service"),
        (ask(request(&key, &["127.0.0.1"])), "is not a --name of this service"),
        (ask(request(&key, &[])), "the request has no name"),
        (ask(followed), "bytes follow the request"),
        (ask(cut), "is no request"),
        (ask(vec![0x30; 5000]), "at most 4096 bytes"),
        (serde_json::to_string(&Question::GpuState).unwrap(), "has certificates only"),
        ("nonsense".to_owned(), "not a question"),
    ] {
        service.refused(&question, words);
    }

    // Account and certificate outlive the program; the authority is not asked for what is held.
    let account = std::fs::read_to_string(service.account()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(service.account()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    pebble.kill().unwrap();
    service.start(&pebble, &[]);
    assert_eq!(service.certified(&wanted), chain);
    assert_eq!(std::fs::read_to_string(service.account()).unwrap(), account);
    // What a crash left of a chain is said to be none, and another is ordered.
    let mut kept = std::fs::read_dir(service.dir.path().join("kept")).unwrap().flatten().map(|entry| entry.path());
    let kept = kept.find(|path| path.extension().is_some_and(|extension| extension == "pem")).unwrap();
    let whole = std::fs::read(&kept).unwrap();
    std::fs::write(&kept, &whole[..100]).unwrap();
    assert!(matches!(service.certify(&wanted), Answer::CertificatePending(_)), "{}", service.said());
    assert!(processes::soon(|| service.said().contains("is not a chain")), "{}", service.said());
    std::fs::write(&kept, whole).unwrap();
    assert_eq!(service.certified(&wanted), chain);
    let other_key = request(&rcgen::KeyPair::generate().unwrap(), &[NAME]);
    let why = service.failed(&other_key);
    assert!(why.contains("reach the authority"), "{why}");

    let mut info = Command::new(processes::bin_dir().unwrap().join("cloister-host"));
    info.args(["certificate", "info", "--json", "--dir"]).arg(service.dir.path().join("kept"));
    let info: Value = serde_json::from_str(&acceptance::world::run(&mut info).unwrap()).unwrap();
    assert_eq!(info["certificates"][0]["names"], serde_json::json!([NAME]));
    let (record, account) = (info["caa"].as_str().unwrap(), info["account"].as_str().unwrap());
    assert!(record.contains(&format!("accounturi={account}; validationmethods=http-01")), "{record}");
    // One directory, one authority.
    let other = service.command("https://acme.example/dir", &pebble, pebble.http_port()).output().unwrap();
    assert!(String::from_utf8_lossy(&other.stderr).contains("use another --dir"), "{other:?}");
}

#[test]
fn an_order_that_fails_says_what_the_authority_found() {
    let Some(pebble) = Pebble::start().unwrap() else { return };
    let mut service = Service::new();
    // Nobody answers where the name leads.
    service.start_at(&pebble, processes::free_port().unwrap(), &["--agree-to-terms"]);
    let wanted = request(&rcgen::KeyPair::generate().unwrap(), &[NAME]);
    let why = service.failed(&wanted);
    assert!(why.contains("find this machine at the name") && why.contains("connection refused"), "{why}");
}
