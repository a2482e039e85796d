//! What stands outside the guest: ledger, simulated TEE, keeper of the receipts' log, vsock device, software TPM. Real processes all of them.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use acceptance::processes::{Process, free_port};
use acceptance::world::run;
use anyhow::Context;
use serde_json::Value;

/// vsock port on which the simulated TEE answers the guest.
const TEE_PORT: u32 = 9001;

/// vsock port on which the keeper of the receipts' log answers the guest.
const LOG_PORT: u32 = 9002;

/// That log's name.
pub(crate) const LOG_ORIGIN: &str = "guest.example/receipts";

/// Time for a process to be ready.
const READY: Duration = Duration::from_secs(60);

/// The ledger, the wallet's money, and the platform of one guest.
#[derive(Debug)]
pub(crate) struct Outside {
    dir: PathBuf,
    bins: PathBuf,
    ledger_port: u16,
    ledger: Option<Process>,
}

impl Outside {
    /// Makes and starts a ledger below `dir`.
    pub(crate) fn start(dir: &Path, bins: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut outside =
            Self { dir: dir.to_path_buf(), bins: bins.to_path_buf(), ledger_port: free_port()?, ledger: None };
        let ledger = outside.ledger_dir();
        if !ledger.exists() {
            run(outside.program("cloister-host").args(["ledger", "init", "--no-merges", "--dir"]).arg(&ledger))?;
        }
        let address = format!("127.0.0.1:{}", outside.ledger_port);
        let mut command = outside.program("cloister-host");
        command.args(["ledger", "serve", "--listen", &address, "--dir"]).arg(&ledger);
        let mut process = Process::start("cloister-host ledger serve", &mut command)?;
        process.wait_until(READY, |_| TcpStream::connect(&address).is_ok())?;
        outside.ledger = Some(process);
        Ok(outside)
    }

    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bins.join(name));
        command.env("HOME", &self.dir).env("XDG_CONFIG_HOME", &self.dir).env("XDG_DATA_HOME", &self.dir);
        command
    }

    fn ledger_dir(&self) -> PathBuf {
        self.dir.join("ledger")
    }

    /// Where wallets on this machine reach the ledger.
    pub(crate) fn ledger_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ledger_port)
    }

    /// A voucher of the ledger's administrator.
    pub(crate) fn voucher(&self, value: u64) -> anyhow::Result<String> {
        let mut command = self.program("cloister-host");
        command.args(["ledger", "voucher", "--value", &value.to_string(), "--dir"]).arg(self.ledger_dir());
        Ok(run(&mut command)?.trim().to_owned())
    }

    /// The guardian's configuration for this ledger, as a file: the example with the ledger filled in.
    pub(crate) fn guardian_config(&self, example: &Path) -> anyhow::Result<PathBuf> {
        let mut command = self.program("cloister-host");
        command.args(["ledger", "info", "--json", "--dir"]).arg(self.ledger_dir());
        let info: Value = serde_json::from_str(&run(&mut command)?)?;
        let text = std::fs::read_to_string(example).with_context(|| format!("read {}", example.display()))?;
        let mut lines = Vec::new();
        for line in text.lines() {
            let name = line.split(" = ").next().unwrap_or_default();
            let value = match name {
                "url" => Some(format!("http://10.0.2.2:{}", self.ledger_port)),
                "ledger_id" | "ledger_key" | "vk_digest" => {
                    let value = info.get(name).and_then(Value::as_str);
                    Some(value.with_context(|| format!("ledger info has no {name}"))?.to_owned())
                }
                "payee" => Some("11".repeat(32)),
                _ => None,
            };
            lines.push(value.map_or_else(|| line.to_owned(), |value| format!("{name} = \"{value}\"")));
        }
        // Several guests run at once, each with a log of its own, so nobody watches them.
        let log = format!(
            "\n[receipt_log]\norigin = \"{LOG_ORIGIN}\"\nservice = {{ vsock = {{ cid = 2, port = {LOG_PORT} }} }}\nwitnesses = []\n\
             witnesses_needed = 0\n"
        );
        let path = self.dir.join("guardian.toml");
        std::fs::write(&path, lines.join("\n") + "\n" + &log)?;
        Ok(path)
    }

    /// The state directory of the simulated vendor; `root.pem` in it is what clients name.
    pub(crate) fn vendor(&self) -> PathBuf {
        self.dir.join("vendor")
    }

    /// A platform that says `launch_digest` was launched, for the guest behind the vsock device at `vsock`.
    pub(crate) fn platform(&self, launch_digest: &str, vsock: &Path) -> anyhow::Result<Process> {
        let socket = PathBuf::from(format!("{}_{TEE_PORT}", vsock.display()));
        let _ = std::fs::remove_file(&socket);
        let mut command = self.program("cloister-host");
        command.args(["sim-tee", "serve", "--launch-digest", launch_digest, "--state"]).arg(self.vendor());
        command.arg("--socket").arg(&socket);
        let mut process = Process::start("cloister-host sim-tee serve", &mut command)?;
        process.wait_until(READY, |_| UnixStream::connect(&socket).is_ok())?;
        Ok(process)
    }
}

impl Outside {
    /// The keeper of a new log, for the guest behind the vsock device at `vsock`.
    pub(crate) fn keeper(&self, folder: &Path, vsock: &Path) -> anyhow::Result<Process> {
        let (dir, socket) = (folder.join("receipt-log"), PathBuf::from(format!("{}_{LOG_PORT}", vsock.display())));
        let mut init = self.program("cloister-host");
        run(init.args(["receipt-log", "init", "--origin", LOG_ORIGIN, "--dir"]).arg(&dir))?;
        let mut command = self.program("cloister-host");
        command.args(["receipt-log", "serve", "--dir"]).arg(&dir).arg("--socket").arg(&socket);
        let mut process = Process::start("cloister-host receipt-log serve", &mut command)?;
        process.wait_until(READY, |process| process.stderr().contains("receipt log ready on"))?;
        Ok(process)
    }
}

/// A vsock device as a process of its own. The guest's connections to port P of the host arrive at the Unix socket `<uds>_P`.
#[derive(Debug)]
pub(crate) struct VsockDevice {
    _process: Process,
    /// What QEMU connects to.
    pub(crate) vhost_user: PathBuf,
    /// What host programs connect to.
    pub(crate) uds: PathBuf,
}

impl VsockDevice {
    pub(crate) fn start(program: &Path, dir: &Path, cid: u32) -> anyhow::Result<Self> {
        let (vhost_user, uds) = (dir.join("vhost-user"), dir.join("vsock"));
        for socket in [&vhost_user, &uds] {
            let _ = std::fs::remove_file(socket);
        }
        let mut command = Command::new(program);
        command.arg("--vm").arg(format!(
            "guest-cid={cid},uds-path={},socket={},tx-buffer-size=65536,queue-size=1024",
            uds.display(),
            vhost_user.display()
        ));
        let mut process = Process::start("vhost-device-vsock", &mut command)?;
        process.wait_until(READY, |_| vhost_user.exists())?;
        Ok(Self { _process: process, vhost_user, uds })
    }
}

/// A software TPM 2.0.
#[derive(Debug)]
pub(crate) struct SoftwareTpm {
    _process: Process,
    /// Its control socket.
    pub(crate) control: PathBuf,
}

impl SoftwareTpm {
    pub(crate) fn start(dir: &Path) -> anyhow::Result<Self> {
        let state = dir.join("tpm");
        std::fs::create_dir_all(&state)?;
        let control = dir.join("tpm.sock");
        let mut command = Command::new("swtpm");
        command.args(["socket", "--tpm2", "--tpmstate"]).arg(format!("dir={}", state.display()));
        command.arg("--ctrl").arg(format!("type=unixio,path={}", control.display()));
        let mut process = Process::start("swtpm", &mut command)?;
        process.wait_until(READY, |_| control.exists())?;
        Ok(Self { _process: process, control })
    }
}

/// A loopback port whose connections go to port 8443 of the guest, over vsock: the first line names the port, as the device asks.
pub(crate) fn bridge(uds: &Path) -> anyhow::Result<u16> {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let uds = uds.to_path_buf();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(mut guest) = UnixStream::connect(&uds) else { continue };
            let mut answer = String::new();
            let asked = guest.write_all(b"CONNECT 8443\n").and_then(|()| guest.try_clone());
            let Ok(reader) = asked else { continue };
            // One byte at a time, so that nothing after the line is swallowed.
            let mut reader = BufReader::with_capacity(1, reader);
            if reader.read_line(&mut answer).is_err() || !answer.starts_with("OK") {
                continue;
            }
            let (Ok(mut to_guest), Ok(mut from_client)) = (guest.try_clone(), client.try_clone()) else { continue };
            let mut client = client;
            std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_guest));
            std::thread::spawn(move || std::io::copy(&mut guest, &mut client));
        }
    });
    Ok(port)
}

/// Whether `program` can be started.
pub(crate) fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
