//! Child processes that end with their owner, and the places where the project's binaries are.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rand_core::{OsRng, RngCore};

/// Lines of a child's stderr kept for error messages.
const STDERR_LINES_KEPT: usize = 200;

/// A child process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    stderr: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts `command`, keeping the last lines of its stderr.
    pub fn start(name: &'static str, command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let stderr = Arc::new(Mutex::new(Vec::new()));
        if let Some(pipe) = child.stderr.take() {
            let lines = Arc::clone(&stderr);
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                    if lines.len() >= STDERR_LINES_KEPT {
                        lines.remove(0);
                    }
                    lines.push(line);
                }
            });
        }
        Ok(Self { name, child, stderr })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to stderr lately.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Waits until `ready` says so. Fails with the child's own words when it ends or takes too long.
    pub fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut(&Self) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        while !ready(self) {
            if let Some(status) = self.child.try_wait()? {
                std::thread::sleep(Duration::from_millis(100));
                bail!("{} ended with {status}:\n{}", self.name, self.stderr());
            }
            if Instant::now() >= deadline {
                bail!("{} was not ready within {} s:\n{}", self.name, limit.as_secs(), self.stderr());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// SIGTERM, then waits for it to end by itself. Returns whether it ended with success.
    pub fn terminate(self, limit: Duration) -> anyhow::Result<bool> {
        signal(self.child.id(), "TERM")?;
        self.ended_within(limit)
    }

    /// Whether it ended with success.
    fn ended_within(mut self, limit: Duration) -> anyhow::Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            if Instant::now() >= deadline {
                bail!("{} did not stop within {} s:\n{}", self.name, limit.as_secs(), self.stderr());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGABRT, then waits for its end.
    pub fn abort(self, limit: Duration) -> anyhow::Result<()> {
        signal(self.child.id(), "ABRT")?;
        self.ended_within(limit).map(drop)
    }

    /// SIGKILL, as a power cut would.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether this becomes true within five seconds: what a process writes to its log arrives a moment after what it did.
pub fn soon(mut is_true: impl FnMut() -> bool) -> bool {
    (0..100).any(|_| {
        is_true() || {
            std::thread::sleep(Duration::from_millis(50));
            false
        }
    })
}

/// Sends a signal by name.
pub fn signal(pid: u32, name: &str) -> anyhow::Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status()?;
    if status.success() { Ok(()) } else { bail!("kill -{name} {pid} failed") }
}

/// The directory that holds `cloister`, `cloister-host` and `cloister-guardian`: beside the running executable.
pub fn bin_dir() -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    // Test executables live one level deeper, in deps/.
    let found = exe.ancestors().skip(1).take(2).find(|dir| dir.join("cloister-guardian").is_file());
    found.map(Path::to_path_buf).with_context(|| {
        format!("no cloister-guardian near {}: run `cargo build --workspace --bins` first", exe.display())
    })
}

/// What a script of the checkout that installs a tool prints: the tool's path.
pub fn installed(command: &mut Command) -> anyhow::Result<PathBuf> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// The interpreter of one of the clients' Python environments (`client_env.py`).
pub fn client_python(name: &str) -> anyhow::Result<PathBuf> {
    let (script, dir) = (repo_root().join("tests/clients/client_env.py"), repo_root().join("target/clients"));
    installed(Command::new("python3").arg(script).arg(name).arg("--dir").arg(dir))
}

/// An interpreter with the packages of the other verifiers, `cryptography` among them (`peers_env.py`).
pub fn peers_python() -> anyhow::Result<PathBuf> {
    let (script, dir) =
        (repo_root().join("attestation/peers/python/peers_env.py"), repo_root().join("target/peers-venv"));
    installed(Command::new("python3").arg(script).arg("--dir").arg(dir))
}

/// The checkout's root.
#[must_use]
pub fn repo_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

/// A loopback port that was free a moment ago. Below those that the system gives to connections, and drawn at random: tests
/// run side by side, and a port that is asked for by number must not have been taken by another's client meanwhile.
pub fn free_port() -> anyhow::Result<u16> {
    for _ in 0..1000 {
        let mut drawn = [0; 2];
        OsRng.fill_bytes(&mut drawn);
        let port = 10_000 + u16::from_le_bytes(drawn) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no loopback port is free")
}
