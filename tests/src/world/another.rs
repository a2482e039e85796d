//! More than one guardian on a machine, an engine and a ledger.

use anyhow::Context;

use super::{READY, World};
use crate::processes::{Process, free_port};

impl World {
    /// One more guardian, which serves as soon as this returns; it ends with what is returned. Its keys are its own, all else is the first one's.
    pub fn another_guardian(&self) -> anyhow::Result<(Process, String)> {
        let (port, config) = (free_port()?, std::fs::read_to_string(self.config_file())?);
        let listen = format!("listen = \"127.0.0.1:{}\"", self.guardian_port);
        anyhow::ensure!(config.contains(&listen), "the configuration names the first one's address");
        let file = self.dir.join(format!("guardian-{port}.toml"));
        std::fs::write(&file, config.replace(&listen, &format!("listen = \"127.0.0.1:{port}\"")))?;
        let mut command = self.program("cloister-guardian");
        command.args(["serve", "--config"]).arg(file);
        let mut process = Process::start("cloister-guardian", &mut command)?;
        process.wait_until(READY, |process| process.stderr().contains("\"ready\"")).context("another guardian")?;
        Ok((process, format!("https://127.0.0.1:{port}")))
    }
}
