//! `cloister-host collateral --fetch`, a real process, and AMD's service over TLS: what a machine without files comes to have, and that
//! the name in a certificate is looked at.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use acceptance::processes::{self, Process};
use acceptance::tls;
use attestation::snp::SigningKey;
use attestation::{
    Base64, CpuEvidence, Endorsements, EvidenceFormat, Product, VendorCertificates, vendor_certificates,
};
use platform_service::{Answer, Question};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

const READY: Duration = Duration::from_secs(30);

fn vector(path: &str) -> Vec<u8> {
    std::fs::read(processes::repo_root().join("tests/vectors").join(path)).unwrap()
}

/// The documents of one machine, as AMD's service answers them.
fn document(path: &str) -> Option<Vec<u8>> {
    let pem = |der: &[u8]| attestation_testing::pem(der);
    match path {
        "/vcek/v1/Genoa/cert_chain" => {
            let VendorCertificates { intermediate, root } = vendor_certificates(Product::Genoa, SigningKey::Vcek);
            Some(format!("{}{}", pem(intermediate), pem(root)).into_bytes())
        }
        "/vcek/v1/Genoa/crl" => Some(vector("trust/amd/ARK-Milan.crl")),
        chip if chip.contains("?blSPL=10&teeSPL=0&snpSPL=23&ucodeSPL=84") => {
            Some(vector("snp/real/genoa-v3-vcek-azure/vcek.der"))
        }
        _ => None,
    }
}

/// Serves them over TLS under a certificate for `name`; its address, and the certificate's file.
async fn service(name: &str, dir: &Path) -> (String, PathBuf) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let file = dir.join(format!("{name}.pem"));
    std::fs::write(&file, certificate.pem()).unwrap();
    let acceptor =
        TlsAcceptor::from(tls::server_config_as(vec![certificate.der().clone()], &key, b"http/1.1").unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let body = document(head.split(' ').nth(1).unwrap());
            let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
            let body = body.unwrap_or_default();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (address, file)
}

/// Asks a new service about the machine; what it answers, and what it says to its operator.
fn asked(dir: &TempDir, address: &str, root: Option<&Path>) -> (Answer, String) {
    let socket = dir.path().join("collateral.sock");
    let mut command = Command::new(processes::bin_dir().unwrap().join("cloister-host"));
    command.arg("collateral").arg("--dir").arg(dir.path()).arg("--socket").arg(&socket);
    command.args(["--fetch", "--amd", address]).args(root.iter().flat_map(|root| [Path::new("--root"), root]));
    let mut process = Process::start("cloister-host collateral", &mut command).unwrap();
    process.wait_until(READY, |process| process.stderr().contains("collateral ready on")).unwrap();
    let evidence = CpuEvidence {
        format: EvidenceFormat::SevSnpReportV1,
        report: Base64(vector("snp/real/genoa-v3-vcek-azure/report.bin")),
    };
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(&serde_json::to_vec(&Question::Endorse(evidence)).unwrap()).unwrap();
    stream.write_all(b"\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    // What it says arrives a moment after what it did.
    processes::soon(|| {
        let said = process.stderr();
        said.matches("fetched ").count() >= 3 || said.contains("ertificate")
    });
    (serde_json::from_str(&line).unwrap(), process.stderr())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_files_comes_to_have_them_from_whom_it_can_name() {
    let roots = tempfile::tempdir().unwrap();
    let (address, root) = service("127.0.0.1", roots.path()).await;
    let (elsewhere, other_root) = service("elsewhere.example", roots.path()).await;
    tokio::task::spawn_blocking(move || {
        let refused = |address: &str, root: Option<&Path>| {
            let dir = tempfile::tempdir().unwrap();
            let (answer, said) = asked(&dir, address, root);
            assert!(matches!(&answer, Answer::Error { message } if message.contains("fetch https://")), "{answer:?}");
            assert!(said.contains("ertificate"), "{said}");
            assert!(!dir.path().join("vcek-Genoa.crl").exists());
        };
        refused(&address, None);
        refused(&elsewhere, Some(&other_root));

        let dir = tempfile::tempdir().unwrap();
        let (answer, said) = asked(&dir, &address, Some(&root));
        let Answer::Endorsements(Endorsements::SevSnp(found)) = answer else { panic!("{answer:?} {said}") };
        assert_eq!(found.vek.0, vector("snp/real/genoa-v3-vcek-azure/vcek.der"));
        assert_eq!(found.crl.unwrap().0, vector("trust/amd/ARK-Milan.crl"));
        assert_eq!(said.matches("fetched ").count(), 3, "{said}");
    })
    .await
    .unwrap();
}
