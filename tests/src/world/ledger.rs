//! The ledger of a world.

use std::net::TcpStream;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::{READY, World, WorldBuilder, run};
use crate::processes::Process;

impl World {
    /// The ledger's URL.
    #[must_use]
    pub fn ledger_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ledger_port)
    }

    /// A voucher of the ledger's administrator.
    pub fn voucher(&self, value: u64) -> anyhow::Result<String> {
        let mut command = self.program("cloister-host");
        command.args(["ledger", "voucher", "--value", &value.to_string(), "--dir"]).arg(self.dir.join("ledger"));
        Ok(run(&mut command)?.trim().to_owned())
    }

    pub(super) fn init_ledger(&self, builder: &WorldBuilder) -> anyhow::Result<()> {
        let WorldBuilder { grace_secs, tab_secs_max, postgres_url, with_merges, .. } = builder;
        self.make_payee()?;
        if self.ledger_dir().exists() {
            return Ok(());
        }
        let mut command = self.program("cloister-host");
        command.args(["ledger", "init", "--grace-secs", &grace_secs.to_string()]);
        command.args(["--tab-secs-max", &tab_secs_max.to_string(), "--dir"]).arg(self.ledger_dir());
        if let Some(url) = postgres_url {
            command.args(["--postgres", url]);
        }
        if !with_merges {
            command.arg("--no-merges");
        }
        run(&mut command).map(drop)
    }

    /// The ledger's directory.
    #[must_use]
    pub fn ledger_dir(&self) -> PathBuf {
        self.dir.join("ledger")
    }

    /// What the ledger says of itself.
    pub fn ledger_info(&self) -> anyhow::Result<Value> {
        let mut command = self.program("cloister-host");
        command.args(["ledger", "info", "--json", "--dir"]).arg(self.ledger_dir());
        Ok(serde_json::from_str(&run(&mut command)?)?)
    }

    /// Starts the ledger service.
    pub fn start_ledger(&mut self) -> anyhow::Result<()> {
        self.ledger = Some(self.ledger_service(&self.ledger_dir(), self.ledger_port)?);
        Ok(())
    }

    /// A ledger service on this directory, whose log the witnesses watch if they watch the world's.
    pub fn ledger_service(&self, dir: &Path, port: u16) -> anyhow::Result<Process> {
        let address = format!("127.0.0.1:{port}");
        let mut command = self.program("cloister-host");
        command.args(["ledger", "serve", "--listen", &address, "--dir"]).arg(dir);
        if self.ledger_is_watched() {
            self.ask_witnesses(&mut command);
        }
        let mut process = Process::start("cloister-host ledger serve", &mut command)?;
        process.wait_until(READY, |_| TcpStream::connect(&address).is_ok())?;
        Ok(process)
    }

    /// Kills the ledger service.
    pub fn kill_ledger(&mut self) -> anyhow::Result<()> {
        self.ledger.take().context("no ledger runs")?.kill()
    }

    /// Whatever the ledger wrote to its log lately.
    #[must_use]
    pub fn ledger_log(&self) -> String {
        self.ledger.as_ref().map(Process::stderr).unwrap_or_default()
    }
}
