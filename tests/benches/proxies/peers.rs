//! nginx and haproxy in front of the same upstream, set as one would for event streams: TLS 1.3 with a P-256 key, no buffering, kept
//! connections to the upstream, two workers, no access log.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use acceptance::processes::{Process, free_port};

/// A proxy that listens.
pub(crate) struct Peer {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its port.
    pub(crate) port: u16,
    /// Its process.
    pub(crate) process: Option<Process>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Killed, nginx would leave its workers behind.
        if let Some(process) = self.process.take() {
            let _ = process.terminate(Duration::from_secs(10));
        }
    }
}

/// Certificate and key in one file, as haproxy reads them; nginx takes it for both.
fn write_identity(dir: &Path) -> anyhow::Result<()> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = rcgen::CertificateParams::new(vec!["cloister.invalid".to_owned()])?.self_signed(&key)?;
    let pem = |label: &str, der: &[u8]| {
        let base64 = STANDARD.encode(der);
        let lines: Vec<String> =
            base64.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    };
    let identity = pem("CERTIFICATE", certificate.der()) + &pem("PRIVATE KEY", &key.serialize_der());
    Ok(std::fs::write(dir.join("identity.pem"), identity)?)
}

/// Starts both, with their files in `dir`, for so many connections.
pub(crate) fn start(dir: &Path, upstream: &Path, connections: usize) -> anyhow::Result<Vec<Peer>> {
    write_identity(dir)?;
    Ok(vec![nginx(dir, upstream, connections)?, haproxy(dir, upstream, connections)?])
}

fn nginx(dir: &Path, upstream: &Path, connections: usize) -> anyhow::Result<Peer> {
    let (port, dir_text) = (free_port()?, dir.display());
    let config = format!(
        "daemon off; user root; worker_processes 2; pid {dir_text}/nginx.pid; error_log {dir_text}/nginx.log;\n\
         events {{ worker_connections {connections}; }}\n\
         http {{ access_log off; tcp_nodelay on; keepalive_requests 1000000; client_body_temp_path {dir_text}/body;\n\
         proxy_temp_path {dir_text}/proxy; fastcgi_temp_path {dir_text}/f; uwsgi_temp_path {dir_text}/u; scgi_temp_path {dir_text}/s;\n\
         upstream engine {{ server unix:{}; keepalive 256; }}\n\
         server {{ listen 127.0.0.1:{port} ssl http2; ssl_protocols TLSv1.3; ssl_session_tickets off;\n\
         ssl_certificate {dir_text}/identity.pem; ssl_certificate_key {dir_text}/identity.pem;\n\
         location / {{ proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_buffering off; }} }} }}\n",
        upstream.display()
    );
    std::fs::write(dir.join("nginx.conf"), config)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(dir.join("nginx.conf")).args(["-e", "stderr"]);
    listening("nginx", port, &mut command)
}

fn haproxy(dir: &Path, upstream: &Path, connections: usize) -> anyhow::Result<Peer> {
    let port = free_port()?;
    let config = format!(
        "global\n nbthread 2\n maxconn {connections}\n tune.ssl.default-dh-param 2048\n\
         defaults\n mode http\n timeout connect 5s\n timeout client 120s\n timeout server 120s\n option http-no-delay\n http-reuse always\n\
         frontend front\n bind 127.0.0.1:{port} ssl crt {}/identity.pem ssl-min-ver TLSv1.3 no-tls-tickets alpn h2,http/1.1\n\
         default_backend engine\n\
         backend engine\n server engine unix@{}\n",
        dir.display(),
        upstream.display()
    );
    std::fs::write(dir.join("haproxy.cfg"), config)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(dir.join("haproxy.cfg"));
    listening("haproxy", port, &mut command)
}

fn listening(name: &'static str, port: u16, command: &mut Command) -> anyhow::Result<Peer> {
    let mut process = Process::start(name, command)?;
    process.wait_until(Duration::from_secs(10), |_| TcpStream::connect(("127.0.0.1", port)).is_ok())?;
    Ok(Peer { name, port, process: Some(process) })
}
