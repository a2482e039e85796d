//! The log of receipts of a world: its keeper, and witnesses, each a process with a directory of its own.

use std::net::TcpStream;
use std::path::PathBuf;

use anyhow::Context;

use super::{READY, World, run};
use crate::processes::{Process, free_port};

/// The log's name.
const ORIGIN: &str = "node.example/receipts";

/// Who keeps the log, and who watches it.
#[derive(Debug)]
pub(super) struct ReceiptLog {
    keeper: Option<Process>,
    /// As `receipt-log init` printed it.
    key: String,
    witnesses: Vec<Witness>,
    needed: usize,
}

#[derive(Debug)]
struct Witness {
    process: Option<Process>,
    port: u16,
    key: String,
}

impl World {
    /// Makes keys, and starts all of it: the guardian's configuration names them.
    pub(super) fn make_log(&mut self, witnesses: usize, needed: usize) -> anyhow::Result<()> {
        let mut command = self.program("cloister-host");
        command.args(["receipt-log", "init", "--origin", ORIGIN, "--dir"]).arg(self.log_dir());
        let key = run(&mut command)?.trim().to_owned();
        let mut made = Vec::new();
        for number in 0..witnesses {
            let mut command = self.program("cloister-host");
            command.args(["witness", "init", "--name", &format!("w{number}.example"), "--dir"]);
            let key = run(command.arg(self.witness_dir(number)))?.trim().to_owned();
            made.push(Witness { process: None, port: free_port()?, key });
        }
        self.log = Some(ReceiptLog { keeper: None, key, witnesses: made, needed });
        for number in 0..witnesses {
            self.start_witness(number)?;
        }
        self.start_keeper()
    }

    /// The log's directory.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.dir.join("receipt-log")
    }

    /// A witness's directory.
    #[must_use]
    pub fn witness_dir(&self, number: usize) -> PathBuf {
        self.dir.join(format!("witness-{number}"))
    }

    /// A witness's key.
    #[must_use]
    pub fn witness_key(&self, number: usize) -> &str {
        self.log.as_ref().and_then(|log| log.witnesses.get(number)).map_or("", |witness| &witness.key)
    }

    fn keeper_socket(&self) -> PathBuf {
        self.dir.join("sockets/receipt-log.sock")
    }

    /// Starts the log's keeper.
    pub fn start_keeper(&mut self) -> anyhow::Result<()> {
        let process = self.keeper_of(self.log_dir(), self.keeper_socket())?;
        self.log.as_mut().context("there is no log")?.keeper = Some(process);
        Ok(())
    }

    /// A keeper of this directory, with the witnesses of this world.
    pub fn keeper_of(&self, dir: PathBuf, socket: PathBuf) -> anyhow::Result<Process> {
        let log = self.log.as_ref().context("there is no log")?;
        let mut command = self.program("cloister-host");
        command.args(["receipt-log", "serve", "--dir"]).arg(dir).arg("--socket").arg(socket);
        for witness in &log.witnesses {
            command.args(["--witness", &format!("http://127.0.0.1:{}", witness.port)]);
        }
        let mut process = Process::start("cloister-host receipt-log serve", &mut command)?;
        process.wait_until(READY, |process| process.stderr().contains("receipt log ready on"))?;
        Ok(process)
    }

    /// SIGKILL to the keeper.
    pub fn kill_keeper(&mut self) -> anyhow::Result<()> {
        self.log.as_mut().and_then(|log| log.keeper.take()).context("no keeper runs")?.kill()
    }

    /// Whatever the keeper wrote to its log lately.
    #[must_use]
    pub fn keeper_log(&self) -> String {
        self.log.as_ref().and_then(|log| log.keeper.as_ref()).map(Process::stderr).unwrap_or_default()
    }

    /// Starts a witness.
    pub fn start_witness(&mut self, number: usize) -> anyhow::Result<()> {
        let dir = self.witness_dir(number);
        let mut command = self.program("cloister-host");
        let log = self.log.as_mut().context("there is no log")?;
        let witness = log.witnesses.get_mut(number).context("there is no such witness")?;
        let address = format!("127.0.0.1:{}", witness.port);
        command.args(["witness", "serve", "--listen", &address, "--log", &log.key, "--dir"]).arg(dir);
        let mut process = Process::start("cloister-host witness serve", &mut command)?;
        process.wait_until(READY, |_| TcpStream::connect(&address).is_ok())?;
        witness.process = Some(process);
        Ok(())
    }

    /// SIGKILL to a witness.
    pub fn kill_witness(&mut self, number: usize) -> anyhow::Result<()> {
        let witness = self.log.as_mut().and_then(|log| log.witnesses.get_mut(number));
        witness.and_then(|witness| witness.process.take()).context("no such witness runs")?.kill()
    }

    /// The guardian's table.
    pub(super) fn log_table(&self) -> String {
        let Some(log) = &self.log else { return String::new() };
        let keys: Vec<_> = log.witnesses.iter().map(|witness| format!("\"{}\"", witness.key)).collect();
        format!(
            "\n[receipt_log]\norigin = \"{ORIGIN}\"\nservice = {{ socket = \"{}\" }}\nwitnesses = [{}]\nwitnesses_needed = {}\n",
            self.keeper_socket().display(),
            keys.join(", "),
            log.needed
        )
    }
}
