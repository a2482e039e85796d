//! Who the node's earnings are for.

use std::path::PathBuf;

use super::{World, run};

impl World {
    /// File with the payee's key.
    #[must_use]
    pub fn payee_key_file(&self) -> PathBuf {
        self.dir().join("payee.key")
    }

    /// The payee, as the guardian's configuration names it.
    pub fn payee(&self) -> anyhow::Result<String> {
        let mut command = self.program("cloister-host");
        command.args(["payee", "show"]).arg(self.payee_key_file());
        Ok(run(&mut command)?.trim().to_owned())
    }

    /// Makes the payee's key, unless an earlier run in the directory did.
    pub(super) fn make_payee(&self) -> anyhow::Result<()> {
        if self.payee_key_file().exists() {
            return Ok(());
        }
        let mut command = self.program("cloister-host");
        command.args(["payee", "new", "--out"]).arg(self.payee_key_file());
        run(&mut command).map(|_| ())
    }
}
