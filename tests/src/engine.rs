//! The real engine of a test or a demo, started through `engine/engine.py`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::processes::repo_root;

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// llama.cpp's server: starts in seconds.
    Light,
    /// vLLM on the CPU.
    Vllm,
    /// llama.cpp's server, for embeddings.
    LightEmbeddings,
    /// vLLM on the CPU, with a model that embeds.
    VllmEmbeddings,
}

impl EngineKind {
    /// The name that `engine.py` takes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Vllm => "vllm",
            Self::LightEmbeddings => "light-embeddings",
            Self::VllmEmbeddings => "vllm-embeddings",
        }
    }

    /// What the guardian's configuration says that its model makes.
    #[must_use]
    pub fn makes(self) -> &'static str {
        match self {
            Self::Light | Self::Vllm => "text",
            Self::LightEmbeddings | Self::VllmEmbeddings => "embeddings",
        }
    }

    /// The dialect that the guardian's configuration names.
    #[must_use]
    pub fn dialect(self) -> &'static str {
        match self {
            Self::Light | Self::LightEmbeddings => "llama",
            Self::Vllm | Self::VllmEmbeddings => "vllm",
        }
    }
}

/// A running engine. Dropping it stops it.
#[derive(Debug)]
pub struct Engine {
    child: Child,
    /// Its kind.
    pub kind: EngineKind,
    /// What it said when it was ready.
    pub ready: Ready,
}

/// `engine.py`'s ready line.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    /// Model name.
    pub model: String,
    /// The engine's own process.
    pub pid: u32,
    /// SHA-256 of the weights, bare hex.
    pub model_sha256: String,
}

/// Where engines are installed: a cache that survives `World`s.
#[must_use]
pub fn cache_dir() -> PathBuf {
    repo_root().join("target/engine")
}

impl Engine {
    /// Starts an installed engine on `socket` and waits until it answers. With `log`, its output goes there.
    pub fn start(kind: EngineKind, socket: &Path, log: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new("python3")
            .arg(repo_root().join("engine/engine.py"))
            .args(["run", "--engine", kind.as_str(), "--parent-death"])
            .arg("--dir")
            .arg(cache_dir())
            .arg("--socket")
            .arg(socket)
            .arg("--log")
            .arg(log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start python3 engine/engine.py")?;
        let stdout = child.stdout.take().context("the engine's stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(ready) => Ok(Self { child, kind, ready }),
            Err(_) => {
                let _ = child.wait();
                let tail = std::fs::read_to_string(log).unwrap_or_default();
                bail!("the {} engine did not start; run `make engine`. It said:\n{line}{tail}", kind.as_str())
            }
        }
    }

    /// SIGKILL to the engine itself, as an out-of-memory kill would.
    pub fn kill(mut self) -> anyhow::Result<()> {
        crate::processes::signal(self.ready.pid, "KILL")?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // engine.py stops the engine when its stdin closes.
        if let Some(mut stdin) = self.child.stdin.take() {
            let _ = stdin.flush();
        }
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while std::time::Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
