//! What tests of ledgers that die need: patience, and a PostgreSQL server of a test's own, from the programs that the distribution
//! installs. It is started in a new directory, reached through a socket there, killed and started again as the test likes.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use credits::LedgerError;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Where Debian puts the programs, a directory for each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The server refuses to run as root: then it runs as `nobody`.
const NOBODY: u32 = 65_534;
const DEFAULT_PORT: u16 = 5432;
const START_TIME_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// Small enough to be copied for every test.
const INITDB: [&str; 7] =
    ["--auth=trust", "--username=ledger", "--encoding=UTF8", "--locale=C", "--no-sync", "--wal-segsize=1", "-D"];
/// Everything that makes what was acknowledged durable stays as it is by default.
const SETTINGS: [&str; 6] = ["-c", "shared_buffers=16MB", "-c", "max_connections=60", "-c", "min_wal_size=2MB"];

/// How long a call may be repeated while what answers it is away.
const REPEAT_TIME_MAX: Duration = Duration::from_secs(60);
const REPEAT_PAUSE: Duration = Duration::from_millis(20);

/// Asks again for as long as nothing is known.
///
/// # Errors
/// What the ledger refused with, or that it stayed away.
pub async fn until_known<T, F: Future<Output = Result<T, LedgerError>>>(
    mut ask: impl FnMut() -> F,
) -> Result<T, LedgerError> {
    let began = Instant::now();
    loop {
        match ask().await {
            Err(LedgerError::Unavailable) if began.elapsed() < REPEAT_TIME_MAX => {
                tokio::time::sleep(REPEAT_PAUSE).await
            }
            known => return known,
        }
    }
}

/// A running server, or one that was killed.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    directory: TempDir,
    extra: Vec<String>,
    port: Option<u16>,
    server: Option<Child>,
}

impl Postgres {
    /// Starts a server on a new, empty database cluster. Nothing, and a line that says SKIP, where it is not installed.
    ///
    /// # Errors
    /// What the system or the server's programs reported.
    pub fn start() -> io::Result<Option<Self>> {
        Self::start_with(&[])
    }

    /// The same with settings for its command line.
    ///
    /// # Errors
    /// The same.
    #[allow(clippy::print_stdout, reason = "what was skipped is said where tests say it")]
    pub fn start_with(settings: &[&str]) -> io::Result<Option<Self>> {
        let Some(programs) = programs() else {
            println!("SKIP: PostgreSQL is not installed (as root: apt-get install postgresql)");
            return Ok(None);
        };
        let directory = tempfile::Builder::new().prefix("postgres").tempdir()?;
        own(directory.path())?;
        run(as_server(&programs.join("initdb")).args(INITDB).arg(directory.path().join("data")))?;
        let extra = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut postgres = Self { programs, directory, extra, port: None, server: None };
        postgres.restart()?;
        Ok(Some(postgres))
    }

    /// Where its socket and its files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A connection URL whose tables are in a schema of that name, which is made.
    ///
    /// # Errors
    /// What the server reported.
    pub fn url(&self, schema: &str) -> io::Result<String> {
        self.sql(&format!("CREATE SCHEMA IF NOT EXISTS {schema}"))?;
        let host = self.directory.path().display();
        Ok(format!("postgresql:///postgres?host={host}&user=ledger&options=-csearch_path%3D{schema}"))
    }

    /// Runs SQL and returns what `psql` prints.
    ///
    /// # Errors
    /// What the server reported.
    pub fn sql(&self, sql: &str) -> io::Result<String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "ledger", "-d", "postgres", "-c", sql]);
        run(psql.args(["-p", &self.socket_port()]).arg("-h").arg(self.directory.path()))
    }

    /// `kill -9` of the server and of every process that serves a connection.
    ///
    /// # Errors
    /// What the system reported.
    pub fn kill(&mut self) -> io::Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let id = server.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        server.kill()?;
        server.wait()?;
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            let began = Instant::now();
            // One that saw its parent end has ended by itself.
            while is_server(child) && began.elapsed() < START_TIME_MAX {
                let _killed = Pid::from_raw(child).map(|pid| kill_process(pid, Signal::KILL));
                std::thread::sleep(POLL);
            }
        }
        Ok(())
    }

    /// Kills the server, keeps a copy of its disk aside, and starts it again.
    ///
    /// # Errors
    /// What the system reported.
    pub fn keep_aside(&mut self) -> io::Result<()> {
        self.kill()?;
        self.copy("data", "aside")?;
        self.restart()
    }

    /// Kills the server, puts the copy that was kept aside in place of its disk, and starts it again.
    ///
    /// # Errors
    /// What the system reported.
    pub fn put_back(&mut self) -> io::Result<()> {
        self.kill()?;
        fs::remove_dir_all(self.directory.path().join("data"))?;
        self.copy("aside", "data")?;
        self.restart()
    }

    fn copy(&self, from: &str, to: &str) -> io::Result<()> {
        let path = self.directory.path();
        run(Command::new("cp").arg("-a").arg(path.join(from)).arg(path.join(to))).map(drop)
    }

    /// Starts the server on what it left on disk.
    ///
    /// # Errors
    /// What the system reported, or that it was not ready in time.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill()?;
        let log = File::options().create(true).append(true).open(self.directory.path().join("log"))?;
        let mut server = as_server(&self.programs.join("postgres"));
        server.arg("-D").arg(self.directory.path().join("data")).arg("-k").arg(self.directory.path());
        // No port on any network unless a test asks for one.
        server.args(["-h", ""]).args(SETTINGS).args(&self.extra);
        self.server = Some(server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?);
        let began = Instant::now();
        while !self.is_ready()? {
            if began.elapsed() > START_TIME_MAX {
                let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                return Err(io::Error::other(format!("the server is not ready: {log}")));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Starts it again on a loopback port too, where it speaks TLS only.
    ///
    /// # Errors
    /// What the system reported, or that it was not ready in time.
    pub fn listen_with_tls(&mut self, certificate: &str, key: &str) -> io::Result<()> {
        let data = self.directory.path().join("data");
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            fs::write(data.join(name), text)?;
            own(&data.join(name))?;
            fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o600))?;
        }
        fs::write(data.join("pg_hba.conf"), "local all all trust\nhostssl all all 127.0.0.1/32 trust\n")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        self.port = Some(port);
        self.extra.extend(["-h", "127.0.0.1", "-c", "ssl=on", "-p", &port.to_string()].map(str::to_owned));
        self.restart()
    }

    /// The loopback port of [`Postgres::listen_with_tls`].
    pub const fn tcp_port(&self) -> Option<u16> {
        self.port
    }

    /// Sockets are named after the port.
    fn socket_port(&self) -> String {
        self.port.unwrap_or(DEFAULT_PORT).to_string()
    }

    fn is_ready(&self) -> io::Result<bool> {
        let mut ask = Command::new(self.programs.join("pg_isready"));
        Ok(ask.args(["-q", "-p", &self.socket_port()]).arg("-h").arg(self.directory.path()).status()?.success())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A test that is over needs nothing of it.
        let _killed = self.kill();
    }
}

/// Whether a process is one of the server's and runs.
fn is_server(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.contains("(postgres) ") && !stat.contains("(postgres) Z")
}

/// The newest installed version's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).ok()?.flatten().filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let programs = entry.path().join("bin");
        ["initdb", "postgres", "psql", "pg_isready"]
            .iter()
            .all(|name| programs.join(name).exists())
            .then_some((version, programs))
    });
    versions.max().map(|(_, programs)| programs)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn own(path: &Path) -> io::Result<()> {
    if is_root() { chown(path, Some(NOBODY), Some(NOBODY)) } else { Ok(()) }
}

fn as_server(program: &Path) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    // Not a directory that only root may enter.
    command.current_dir("/");
    command
}

fn run(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
