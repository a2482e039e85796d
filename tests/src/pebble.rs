//! An authority for certificates as there are on the internet: Pebble, the test server of Let's Encrypt, with a DNS in which every name
//! is this machine.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::processes::{Process, free_port};
use crate::raw;

const READY: Duration = Duration::from_secs(30);

/// A running authority.
#[derive(Debug)]
pub struct Pebble {
    authority: Option<Process>,
    _names: Process,
    dir: TempDir,
    port: u16,
    management: u16,
    http: u16,
}

impl Pebble {
    /// Starts one; without the program, says so.
    #[allow(clippy::print_stdout, reason = "what was skipped is said where tests say it")]
    pub fn start() -> anyhow::Result<Option<Self>> {
        if !["/usr/bin/pebble", "/usr/bin/pebble-challtestsrv"].iter().all(|program| Path::new(program).exists()) {
            println!("SKIP: Pebble is not installed (as root: apt-get install pebble)");
            return Ok(None);
        }
        let dir = tempfile::Builder::new().prefix("pebble").tempdir()?;
        let (port, management, http, dns, control) =
            (free_port()?, free_port()?, free_port()?, free_port()?, free_port()?);
        let key = rcgen::KeyPair::generate()?;
        let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])?.self_signed(&key)?;
        let (root, key_file) = (dir.path().join("server.pem"), dir.path().join("server.key"));
        std::fs::write(&root, certificate.pem())?;
        std::fs::write(&key_file, key.serialize_pem())?;
        let config = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": root, "privateKey": key_file, "httpPort": http, "tlsPort": free_port()?,
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
        }});
        std::fs::write(dir.path().join("config.json"), config.to_string())?;
        let mut command = Command::new("/usr/bin/pebble-challtestsrv");
        command.args([
            "-defaultIPv4",
            "127.0.0.1",
            "-defaultIPv6",
            "",
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
        ]);
        command.args(["-dns01", &format!("127.0.0.1:{dns}"), "-management", &format!("127.0.0.1:{control}")]);
        let mut names = Process::start("pebble-challtestsrv", &mut command)?;
        names.wait_until(READY, |_| TcpStream::connect(("127.0.0.1", control)).is_ok())?;
        let mut command = Command::new("/usr/bin/pebble");
        command.arg("-config").arg(dir.path().join("config.json")).args(["-dnsserver", &format!("127.0.0.1:{dns}")]);
        // It would wait up to fifteen seconds before it looks, to teach patience.
        let mut authority = Process::start("pebble", command.env("PEBBLE_VA_NOSLEEP", "1"))?;
        authority.wait_until(READY, |_| TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        authority.wait_until(READY, |_| TcpStream::connect(("127.0.0.1", management)).is_ok())?;
        Ok(Some(Self { authority: Some(authority), _names: names, dir, port, management, http }))
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// What its own server is known by.
    #[must_use]
    pub fn server_root(&self) -> PathBuf {
        self.dir.path().join("server.pem")
    }

    /// The port that it takes for port 80.
    #[must_use]
    pub fn http_port(&self) -> u16 {
        self.http
    }

    /// A file with the root of what it issues, which is another at each start.
    pub async fn issuing_root(&self) -> anyhow::Result<PathBuf> {
        let file = self.dir.path().join("root.pem");
        std::fs::write(&file, raw::get(self.management, "/roots/0").await?.body)?;
        Ok(file)
    }

    /// Nobody answers any more.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.authority.take().map_or(Ok(()), Process::kill)
    }
}
