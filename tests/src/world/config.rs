//! The guardian's configuration file.

use anyhow::Context;
use attestation_testing::gpu::GpuKeys;
use attestation_testing::pem;
use serde_json::Value;

use super::World;

impl World {
    pub(super) fn write_guardian_config(&self, tab_secs_max: u64, more: &str) -> anyhow::Result<()> {
        let info = self.ledger_info()?;
        let field = |name: &str| {
            info.get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .with_context(|| format!("ledger info has no {name}"))
        };
        let engine = self.engine.as_ref().context("the engine is started first")?;
        let config = format!(
            r#"# Written for a simulated node. On a real one this file is part of the measured image.
listen = "127.0.0.1:{port}"

[tee]
{tee}

{gpu}[ledger]
url = "{ledger}"
ledger_id = "{ledger_id}"
ledger_key = "{ledger_key}"
vk_digest = "{vk_digest}"
payee = "{payee}"
{witnesses}
[engine]
dialect = "{dialect}"
makes = "{makes}"
socket = "{socket}"
model = "{model}"
weights = "sha256:{weights}"
context_tokens_max = 2048

[prices]
request_credits = 10
prompt_credits = 1
completion_credits = 4
tiers = [1024, 4096, 16384, 65536]
tab_secs_max = {tab_secs_max}
"#,
            port = self.guardian_port,
            tee = self.tee_table(),
            gpu = self.gpu_table()?,
            ledger = self.ledger_url(),
            ledger_id = field("ledger_id")?,
            ledger_key = field("ledger_key")?,
            vk_digest = field("vk_digest")?,
            payee = self.payee()?,
            witnesses = if self.ledger_is_watched() { self.witness_members() } else { String::new() },
            dialect = self.engine_kind.dialect(),
            makes = self.engine_kind.makes(),
            socket = self.engine_socket().display(),
            model = engine.ready.model,
            weights = engine.ready.model_sha256,
        );
        let tinfoil = self.tinfoil_port.map(|port| format!("\n[tinfoil]\nlisten = \"127.0.0.1:{port}\"\n"));
        let tables = tinfoil.unwrap_or_default() + &self.log_table() + more;
        Ok(std::fs::write(self.config_file(), config + &tables)?)
    }

    fn tee_table(&self) -> String {
        let collateral = format!("collateral = {{ socket = \"{}\" }}", self.collateral_socket().display());
        match (&self.kernel, &self.sev_guest) {
            (Some(kernel), _) => {
                format!("kind = \"configfs-tsm\"\nentry = \"{}\"\n{collateral}", kernel.entry().display())
            }
            (None, Some(double)) => {
                format!("kind = \"sev-guest\"\ndevice = \"{}\"\n{collateral}", double.device().display())
            }
            (None, None) => format!("kind = \"report-socket\"\npath = \"{}\"", self.tee_socket().display()),
        }
    }

    /// The simulated GPU is judged under its own roots.
    fn gpu_table(&self) -> anyhow::Result<String> {
        if !self.hardware.has_gpu() {
            return Ok(String::new());
        }
        let keys = GpuKeys::from_json(&std::fs::read(self.gpu_keys_file())?)?;
        let roots: String = keys.roots().iter().map(|root| pem(root)).collect();
        let nvml = match self.nvml {
            Some(_) => format!(
                "nvml = {{ socket = \"{}\", collateral = {{ socket = \"{}\" }} }}\n",
                self.nvml_socket().display(),
                self.collateral_socket().display()
            ),
            None => String::new(),
        };
        Ok(format!("[gpu]\n{nvml}roots = \"\"\"\n{roots}\"\"\"\n\n"))
    }
}
