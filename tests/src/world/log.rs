//! The log of receipts of a world, and its keeper.

use std::path::PathBuf;

use anyhow::Context;

use super::{READY, World, run};
use crate::processes::Process;

/// The log's name.
const ORIGIN: &str = "node.example/receipts";

/// Who keeps the log.
#[derive(Debug)]
pub(super) struct ReceiptLog {
    keeper: Option<Process>,
    /// As `receipt-log init` printed it.
    key: String,
}

impl World {
    /// Makes its key.
    pub(super) fn make_log(&mut self) -> anyhow::Result<()> {
        let mut command = self.program("cloister-host");
        command.args(["receipt-log", "init", "--origin", ORIGIN, "--dir"]).arg(self.log_dir());
        let key = run(&mut command)?.trim().to_owned();
        self.log = Some(ReceiptLog { keeper: None, key });
        Ok(())
    }

    /// The key by which witnesses know it.
    pub(super) fn receipt_log_key(&self) -> Option<String> {
        self.log.as_ref().map(|log| log.key.clone())
    }

    /// The log's directory.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.dir.join("receipt-log")
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
        let mut command = self.program("cloister-host");
        command.args(["receipt-log", "serve", "--dir"]).arg(dir).arg("--socket").arg(socket);
        self.ask_witnesses(&mut command);
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

    /// The guardian's table.
    pub(super) fn log_table(&self) -> String {
        if self.log.is_none() {
            return String::new();
        }
        format!(
            "\n[receipt_log]\norigin = \"{ORIGIN}\"\nservice = {{ socket = \"{}\" }}\n{}",
            self.keeper_socket().display(),
            self.witness_members()
        )
    }
}
