//! The guardian's configuration, as far as the image depends on it.
//!
//! Decides: that what the configuration says about model and ports is what the image has. A node whose receipts name other weights than
//! the ones on its model volume is refused here, not by its clients.

use std::path::Path;

use anyhow::{Context, bail};
use measured_init::supervision::ENGINE_SOCKET;

use crate::flavour::Flavour;

/// A configuration that fits the image.
#[derive(Debug, Clone)]
pub struct GuardianConfig {
    /// Its bytes, as they are measured.
    pub text: String,
    /// Port it listens on.
    pub listen_port: u16,
    /// Port of the ledger.
    pub ledger_port: u16,
}

impl GuardianConfig {
    /// Reads the file at `path` and holds it against `flavour`.
    ///
    /// # Errors
    /// When it contradicts the flavour; the text says what to write instead.
    pub fn load(path: &Path, flavour: &Flavour) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(text, flavour).with_context(|| format!("{} does not fit the image", path.display()))
    }

    fn parse(text: String, flavour: &Flavour) -> anyhow::Result<Self> {
        let table: toml::Table = text.parse()?;
        let value = |part: &str, name: &str| -> anyhow::Result<&str> {
            let value = table.get(part).and_then(|part| part.get(name)).and_then(toml::Value::as_str);
            value.with_context(|| format!("{part}.{name} is missing"))
        };
        let require = |part: &str, name: &str, expected: &str| -> anyhow::Result<()> {
            let got = value(part, name)?;
            if got != expected {
                bail!("{part}.{name} is {got:?}; this image needs {expected:?}");
            }
            Ok(())
        };
        require("engine", "socket", ENGINE_SOCKET)?;
        require("engine", "model", &flavour.model.name)?;
        if let Some(weights) = flavour.weights() {
            require("engine", "weights", &format!("sha256:{}", weights.sha256))?;
        }
        let listen = table.get("listen").and_then(toml::Value::as_str).context("listen is missing")?;
        let listen: std::net::SocketAddr = listen.parse().context("listen is not an address with port")?;
        let url = value("ledger", "url")?;
        let authority = url.strip_prefix("http://").context("ledger.url must start with http://")?;
        let authority = authority.split('/').next().unwrap_or_default();
        let ledger: std::net::SocketAddr = authority
            .parse()
            .context("ledger.url must name a numeric address and a port: the image has no resolver")?;
        Ok(Self { text, listen_port: listen.port(), ledger_port: ledger.port() })
    }
}
