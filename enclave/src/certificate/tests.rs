use std::path::Path;

use rcgen::{CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;

use super::*;
use crate::config::ServiceAddress;
use crate::keys::tls_identity;

const NAME: &str = "node.example.com";

/// An authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: Vec<u8>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), root }
    }

    fn chain(&self, of: &Node, name: &str) -> Vec<Vec<u8>> {
        let key = KeyPair::try_from(&of.identity.key).unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, NAME);
        vec![params.signed_by(&key, &self.issuer).unwrap().der().to_vec(), self.root.clone()]
    }
}

struct Node {
    identity: TlsIdentity,
    certificates: Certificates,
}

impl Node {
    fn asking(socket: &Path) -> Self {
        let identity = tls_identity(crate::clock::system().now()).unwrap();
        let config = CertificateConfig { name: NAME.to_owned(), service: ServiceAddress::Socket(socket.to_owned()) };
        let certificates = Certificates::new(&identity, Some(&config)).unwrap();
        Self { identity, certificates }
    }

    fn new() -> Self {
        Self::asking(Path::new("/nowhere"))
    }

    fn public(&self) -> &Public {
        self.certificates.public.as_ref().unwrap()
    }

    fn show(&self, chain: Vec<Vec<u8>>) -> Result<(), ChainFault> {
        self.certificates.show(self.public(), chain)
    }

    fn own(&self) -> &[CertificateDer<'static>] {
        std::slice::from_ref(&self.identity.certificate)
    }

    fn shown(&self, name: Option<&str>) -> Vec<CertificateDer<'static>> {
        self.certificates.of_name(name).cert.clone()
    }
}

#[test]
fn a_chain_of_this_key_and_name_is_shown_to_who_asks_for_the_name() {
    let (authority, node) = (Authority::new(), Node::new());
    let chain = authority.chain(&node, NAME);
    assert_eq!(node.shown(Some(NAME)), node.own(), "there is none yet");
    node.show(chain.clone()).unwrap();
    for name in [NAME, "NODE.example.com"] {
        assert_eq!(node.shown(Some(name))[0].as_ref(), &chain[0][..]);
    }
    for name in [None, Some("example.com"), Some("x.node.example.com"), Some("cloister.invalid")] {
        assert_eq!(node.shown(name), node.own(), "{name:?}");
    }
    assert_eq!(node.certificates.shown_pem().matches("-----BEGIN CERTIFICATE-----").count(), 2);
    // Both are of one key: who verifies evidence is told the same.
    for shown in [node.shown(None), node.shown(Some(NAME))] {
        assert_eq!(crate::keys::spki_sha256(&shown[0]).unwrap(), node.identity.spki_sha256);
    }
}

#[test]
fn other_chains_are_refused_and_what_was_shown_stays() {
    let (authority, node) = (Authority::new(), Node::new());
    let good = authority.chain(&node, NAME);
    node.show(good.clone()).unwrap();
    let (mut followed, mut cut) = (good[0].clone(), good[0].clone());
    followed.push(0);
    cut.pop();
    for (chain, fault) in [
        (Vec::new(), ChainFault::Length),
        (vec![good[0].clone(); CERTIFICATES_MAX + 1], ChainFault::Length),
        (authority.chain(&Node::new(), NAME), ChainFault::Key),
        (vec![authority.root.clone(), good[0].clone()], ChainFault::Key),
        // Its common name is the node's, which no client looks at.
        (authority.chain(&node, "other.example.com"), ChainFault::Name),
        (authority.chain(&node, "*.example.com"), ChainFault::Name),
        (vec![followed], ChainFault::Certificate),
        (vec![cut], ChainFault::Certificate),
        (vec![good[0].clone(), b"no certificate".to_vec()], ChainFault::Certificate),
        (vec![good[0].clone(), vec![0x30; CERTIFICATE_BYTES_MAX + 1]], ChainFault::Certificate),
    ] {
        assert_eq!(node.show(chain), Err(fault));
        assert_eq!(node.shown(Some(NAME))[0].as_ref(), &good[0][..]);
    }
}

#[tokio::test]
async fn what_the_service_says_is_a_chain_or_a_reason() {
    let socket = std::env::temp_dir().join(format!("cloister-certify-{}", std::process::id()));
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let (authority, node) = (Authority::new(), Node::asking(&socket));
    let chain = |of: &Node| Answer::Certificate(authority.chain(of, NAME).into_iter().map(Base64).collect());
    let told = "x".repeat(400);
    for (answer, outcome) in [
        (Answer::Error { message: told.clone() }, format!("the service says: {}", &told[..300])),
        (Answer::CertificatePending(told.clone()), format!("there is none yet: {}", &told[..300])),
        (Answer::GpusReady(true), "the service says: the answer to another question".to_owned()),
        (chain(&Node::new()), ChainFault::Key.to_string()),
        (chain(&node), String::new()),
    ] {
        let serve = async {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let question: Question = serde_json::from_str(&line).unwrap();
            assert!(matches!(question, Question::Certify(asked) if asked == node.public().request));
            let answer = serde_json::to_string(&answer).unwrap() + "\n";
            stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
        };
        let (said, ()) = tokio::join!(node.certificates.renew(node.public()), serve);
        assert_eq!(said.err().map(|failure| failure.to_string()).unwrap_or_default(), outcome);
    }
    assert_eq!(node.shown(Some(NAME)).len(), 2);
    std::fs::remove_file(&socket).unwrap();
}
