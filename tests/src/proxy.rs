//! `cloister proxy` as a process, and the plainest of clients for it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;

use crate::processes::{Process, free_port};
use crate::{World, cli};

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    port: u16,
}

impl Proxy {
    /// Starts a proxy that pays from `wallet`.
    pub fn start(world: &World, wallet: &str) -> anyhow::Result<Self> {
        Self::start_on(world, wallet, free_port()?)
    }

    /// The same, on a port of the caller's choice.
    pub fn start_on(world: &World, wallet: &str, port: u16) -> anyhow::Result<Self> {
        Self::start_as(world, wallet, port, &[])
    }

    /// The same, with further arguments.
    pub fn start_as(world: &World, wallet: &str, port: u16, extra: &[&str]) -> anyhow::Result<Self> {
        let address = format!("127.0.0.1:{port}");
        let mut command = world.cloister(&["proxy", &world.guardian_url(), "--listen", &address, "--wallet", wallet]);
        command.args(cli::trust(world)).args(extra);
        let mut process = Process::start("cloister proxy", &mut command)?;
        process.wait_until(Duration::from_secs(60), |_| TcpStream::connect(&address).is_ok())?;
        Ok(Self { process, port })
    }

    /// Waits until it has said something so often.
    pub fn wait_for(&mut self, words: &str, times: usize) -> anyhow::Result<()> {
        self.process.wait_until(Duration::from_secs(60), |process| process.stderr().matches(words).count() >= times)
    }

    /// What goes into `OPENAI_BASE_URL`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// What it wrote to stderr.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// One chat request; its status.
    pub fn chat(&self, prompt: &str, max_tokens: u64) -> anyhow::Result<u16> {
        let body = serde_json::json!({
            "model": "smollm2-135m", "max_tokens": max_tokens, "messages": [{"role": "user", "content": prompt}],
        });
        let answer = self.post(&body.to_string())?;
        let status = answer.split(' ').nth(1).context("no status line")?;
        Ok(status.parse()?)
    }

    /// POSTs a chat body and returns the whole answer as text, head included.
    pub fn post(&self, body: &str) -> anyhow::Result<String> {
        self.post_watching(body, |_| {})
    }

    /// The same; `watch` sees the answer as it grows.
    pub fn post_watching(&self, body: &str, mut watch: impl FnMut(&[u8])) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = Vec::new();
        let mut buffer = [0_u8; 4096];
        // A stream that is broken off on purpose ends in an error; what came before it is the answer.
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
            watch(&answer);
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// It ends at once and closes nothing.
    pub fn kill(self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// SIGTERM: it closes its tab and ends.
    pub fn stop(self) -> anyhow::Result<bool> {
        self.process.terminate(Duration::from_secs(30))
    }
}
