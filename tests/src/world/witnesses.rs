//! Witnesses of a world's logs, each a process with a directory of its own.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use super::{READY, World, run};
use crate::processes::{Process, free_port};

/// Whoever remembers how far the logs had grown.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    all: Vec<Witness>,
    /// How many of them must cosign.
    needed: usize,
    /// They watch the ledger's log too, and the guardian and wallets go by them.
    watch_ledger: bool,
}

#[derive(Debug)]
struct Witness {
    process: Option<Process>,
    port: u16,
    key: String,
}

impl World {
    /// Makes their keys, and starts them: they must know the logs that there are to be.
    pub(super) fn make_witnesses(&mut self, count: usize, needed: usize, watch_ledger: bool) -> anyhow::Result<()> {
        let mut all = Vec::new();
        for number in 0..count {
            let mut command = self.program("cloister-host");
            command.args(["witness", "init", "--name", &format!("w{number}.example"), "--dir"]);
            let key = run(command.arg(self.witness_dir(number)))?.trim().to_owned();
            all.push(Witness { process: None, port: free_port()?, key });
        }
        self.witnesses = Witnesses { all, needed, watch_ledger };
        (0..count).try_for_each(|number| self.start_witness(number))
    }

    pub(super) fn ledger_is_watched(&self) -> bool {
        self.witnesses.watch_ledger
    }

    /// A witness's directory.
    #[must_use]
    pub fn witness_dir(&self, number: usize) -> PathBuf {
        self.dir.join(format!("witness-{number}"))
    }

    /// A witness's key.
    #[must_use]
    pub fn witness_key(&self, number: usize) -> &str {
        self.witnesses.all.get(number).map_or("", |witness| &witness.key)
    }

    /// Starts a witness.
    pub fn start_witness(&mut self, number: usize) -> anyhow::Result<()> {
        let mut logs: Vec<String> = self.receipt_log_key().into_iter().collect();
        if self.witnesses.watch_ledger {
            let key = self.ledger_info()?.get("log_key").and_then(|key| key.as_str().map(str::to_owned));
            logs.push(key.context("the ledger's log has no key")?);
        }
        let dir = self.witness_dir(number);
        let mut command = self.program("cloister-host");
        let witness = self.witnesses.all.get_mut(number).context("there is no such witness")?;
        let address = format!("127.0.0.1:{}", witness.port);
        command.args(["witness", "serve", "--listen", &address, "--dir"]).arg(dir);
        for log in &logs {
            command.args(["--log", log]);
        }
        let mut process = Process::start("cloister-host witness serve", &mut command)?;
        process.wait_until(READY, |_| TcpStream::connect(&address).is_ok())?;
        witness.process = Some(process);
        Ok(())
    }

    /// SIGKILL to a witness.
    pub fn kill_witness(&mut self, number: usize) -> anyhow::Result<()> {
        let witness = self.witnesses.all.get_mut(number);
        witness.and_then(|witness| witness.process.take()).context("no such witness runs")?.kill()
    }

    /// Has a command ask all of them.
    pub(super) fn ask_witnesses(&self, command: &mut Command) {
        for witness in &self.witnesses.all {
            command.args(["--witness", &format!("http://127.0.0.1:{}", witness.port)]);
        }
    }

    /// What makes `cloister` go by the ledger's witnesses, if they watch it.
    #[must_use]
    pub fn ledger_witness_args(&self) -> Vec<String> {
        if !self.witnesses.watch_ledger {
            return Vec::new();
        }
        let named = self.witnesses.all.iter().flat_map(|witness| ["--witness".to_owned(), witness.key.clone()]);
        named.chain(["--witnesses-needed".to_owned(), self.witnesses.needed.to_string()]).collect()
    }

    /// The guardian's two members that name them.
    pub(super) fn witness_members(&self) -> String {
        let keys: Vec<_> = self.witnesses.all.iter().map(|witness| format!("\"{}\"", witness.key)).collect();
        format!("witnesses = [{}]\nwitnesses_needed = {}\n", keys.join(", "), self.witnesses.needed)
    }
}
