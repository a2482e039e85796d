//! The measured configuration. Every field is required, unknown ones are refused: a typing error must not become a default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use credits::{Bytes32, Credits};
use serde::Deserialize;

/// What the guardian is told; part of the measured image.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardianConfig {
    /// Address the attested TLS listener binds.
    pub listen: SocketAddr,
    /// Where attestation reports come from.
    pub tee: TeeConfig,
    /// The ledger this node is paid on.
    pub ledger: LedgerConfig,
    /// The engine and the one model it serves.
    pub engine: EngineConfig,
    /// What a token costs.
    pub prices: PriceConfig,
}

/// The platform's report source. Device paths come from here only, never from a request or the environment.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TeeConfig {
    /// A report service on a Unix socket (`cloister-host sim-tee`). What it signs verifies only under its own root.
    ReportSocket {
        /// Path of the socket.
        path: PathBuf,
        /// Whether it answers for a GPU too.
        #[serde(default)]
        gpu: bool,
    },
}

/// The ledger, pinned: a node that is paid elsewhere is another node.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// Base URL of the ledger service.
    pub url: String,
    /// Its id (protocol.md §4.3).
    pub ledger_id: Bytes32,
    /// Its checkpoint key.
    pub ledger_key: Bytes32,
    /// Digest of the spend circuit's verifying key.
    pub vk_digest: Bytes32,
    /// The account that charges are credited to.
    pub payee: Bytes32,
}

/// Which dialect of the OpenAI API the engine speaks. Only `inference.rs` looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineDialect {
    /// vLLM's API server.
    Vllm,
    /// llama.cpp's server.
    Llama,
}

/// The engine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// Its dialect.
    pub dialect: EngineDialect,
    /// Its Unix socket.
    pub socket: PathBuf,
    /// The served model's name.
    pub model: String,
    /// SHA-256 of the weights, as `sha256:<hex>`.
    pub weights: attestation::Sha256Digest,
    /// Context window, in tokens.
    pub context_tokens_max: u64,
}

/// Prices in credits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceConfig {
    /// Per request.
    pub request_credits: Credits,
    /// Per prompt token.
    pub prompt_credits: Credits,
    /// Per completion token.
    pub completion_credits: Credits,
    /// Reserves a client may choose from; powers of two.
    pub tiers: Vec<Credits>,
    /// Longest life of a tab, in seconds.
    pub tab_secs_max: u64,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("read configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a configuration.
    #[error("configuration {path} is not valid: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser said, with the line.
        reason: String,
    },
    /// A value makes no sense.
    #[error("configuration {path}: {field} {problem}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl GuardianConfig {
    /// Reads and checks the file at `path`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        let config: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.into(), reason: error.to_string() })?;
        config.reject_nonsense(path)?;
        Ok(config)
    }

    fn reject_nonsense(&self, path: &Path) -> Result<(), ConfigError> {
        let refuse = |field, problem| Err(ConfigError::Value { path: path.into(), field, problem });
        let tiers = &self.prices.tiers;
        if tiers.is_empty() || tiers.iter().any(|tier| !tier.get().is_power_of_two()) {
            return refuse("prices.tiers", "must be a non-empty list of powers of two");
        }
        if self.prices.tab_secs_max == 0 {
            return refuse("prices.tab_secs_max", "must be at least 1");
        }
        if self.engine.model.is_empty() || self.engine.context_tokens_max == 0 {
            return refuse("engine", "needs a model name and a context window");
        }
        Ok(())
    }
}
