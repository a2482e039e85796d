//! The measured configuration. Fields are required unless they turn something on that is off without them, and unknown ones
//! are refused: a typing error must not become a default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use attestation::{AppraisalPolicy, TrustRoots};
use credits::keys::is_small_order;
use credits::{Bytes32, Credits};
use platform_service::is_public_name;
use serde::Deserialize;
use tlog::{Quorum, QuorumFault};

use crate::endpoint::Endpoint;
use crate::limits::{CANARY_TOKENS_MAX, METRICS_INTERVAL_SECS_MIN};
use crate::vsock;

pub use limits::LimitsConfig;
pub use platform::{ServiceAddress, TeeConfig};
pub use witnesses::WitnessName;

mod limits;
mod platform;
mod witnesses;

/// What the guardian is told; part of the measured image.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardianConfig {
    /// Address the attested TLS listener binds.
    pub listen: SocketAddr,
    /// Port on which the same listener is reached by vsock; without it there is no such socket.
    #[serde(default)]
    pub listen_vsock: Option<u32>,
    /// Where attestation reports come from.
    pub tee: TeeConfig,
    /// The GPUs; without it this node has none.
    #[serde(default)]
    pub gpu: Option<GpuConfig>,
    /// The ledger this node is paid on.
    pub ledger: LedgerConfig,
    /// The engine and the one model it serves.
    pub engine: EngineConfig,
    /// What a token costs.
    pub prices: PriceConfig,
    /// The log of receipts; without it, receipts are held in memory and nothing shows that one was withheld from others.
    #[serde(default)]
    pub receipt_log: Option<ReceiptLogConfig>,
    /// A question whose answer is known; without it, whatever the engine says is served.
    #[serde(default)]
    pub canary: Option<CanaryConfig>,
    /// The node's public name; without it no public authority certifies its keys.
    #[serde(default)]
    pub certificate: Option<CertificateConfig>,
    /// Where the source of this image is, for clients that ask.
    #[serde(default)]
    pub provenance: ProvenanceConfig,
    /// An entrance for clients of Tinfoil; without it there is none.
    #[serde(default)]
    pub tinfoil: Option<TinfoilConfig>,
    /// How answers look to somebody who sees only their size and time.
    #[serde(default)]
    pub shaping: ShapingConfig,
    /// Where counts for the operator are published; without it, nowhere.
    #[serde(default)]
    pub metrics: Option<MetricsConfig>,
    /// How much clients may ask for; each has a default.
    #[serde(default)]
    pub limits: LimitsConfig,
}

/// The entrance for clients of Tinfoil: their attestation document (version 2) and EHBP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TinfoilConfig {
    /// Its own address: its keys are used on no other entrance.
    pub listen: SocketAddr,
}

/// A name that a public authority certifies this node's keys for, for clients that do not verify evidence, or not only.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateConfig {
    /// The name, lowercase. It is in the keyset, and clients that came by another name are refused.
    pub name: String,
    /// `cloister-host certificate serve`. It is not trusted.
    pub service: ServiceAddress,
}

/// The log of receipts, and who watches it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptLogConfig {
    /// The log's name, as `cloister-host receipt-log init` was told it.
    pub origin: String,
    /// `cloister-host receipt-log serve`. It is not trusted.
    pub service: ServiceAddress,
    /// Keys of witnesses, as `cloister-host witness info` prints them.
    pub witnesses: Vec<WitnessName>,
    /// How many of them must cosign. With none, a log that was put back is noticed only by those who have seen more of it.
    pub witnesses_needed: usize,
}

/// Counts for the operator, of nobody in particular. Whoever reaches the address reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    /// Address of a plain HTTP server with one page, `/metrics`.
    pub listen: SocketAddr,
    /// Seconds between two states that are published. Short ones tell more of single answers.
    #[serde(default = "metrics_interval_secs")]
    pub interval_secs: u64,
}

const fn metrics_interval_secs() -> u64 {
    60
}

/// What the engine must answer, greedily and alone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanaryConfig {
    /// The text to continue.
    pub prompt: String,
    /// How far.
    pub completion_tokens: u64,
    /// The continuation, exactly. `cloister-guardian canary` prints what an engine says now.
    pub answer: String,
    /// Seconds between two askings; busy times are passed over.
    pub interval_secs: u64,
}

/// Where the source of the image is. Measured like the rest: an image that says so of itself is no other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenanceConfig {
    /// URL of the repository.
    pub repo_url: Option<String>,
    /// Commit the image was built from.
    pub repo_commit: Option<String>,
}

/// Sizes and times of what is sent. Without this table the frames of a stream are filled up, and leave when they are there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShapingConfig {
    /// Every frame of a stream, and every plain answer, is a multiple of this many bytes; 0 leaves them as they are.
    pub frame_bytes: u16,
    /// Milliseconds between two frames of a stream; 0 lets each event leave at once.
    pub cadence_millis: u16,
}

impl Default for ShapingConfig {
    fn default() -> Self {
        Self { frame_bytes: 512, cadence_millis: 0 }
    }
}

/// Smallest size to which frames are filled up: less hides little.
const FRAME_BYTES_MIN: u16 = 128;

/// Longest time between two frames: more is no longer a stream to its reader.
const CADENCE_MILLIS_MAX: u16 = 1000;

/// The GPUs, and what the guardian judges them by before they take work. Clients judge them again, by their own lights.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuConfig {
    /// NVIDIA's driver; without it the service of `[tee]` answers for the GPU too.
    #[serde(default)]
    pub nvml: Option<NvmlConfig>,
    /// The roots that devices and manifests must end in, PEM; without them, NVIDIA's.
    #[serde(default)]
    pub roots: Option<String>,
    /// The appraisal policy, TOML, of which the tables `[gpu.*]` count; without it, the strict one.
    #[serde(default)]
    pub policy: Option<String>,
}

/// The way to NVIDIA's driver.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NvmlConfig {
    /// Socket of `cloister-nvml`.
    pub socket: PathBuf,
    /// The service that has NVIDIA's manifests and OCSP responses. It is not trusted for them.
    pub collateral: ServiceAddress,
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
    /// The key that charges are for (protocol.md §4.7); its owner keeps it elsewhere.
    pub payee: Bytes32,
    /// Keys of witnesses of the ledger's log, as `cloister-host witness info` prints them. With none, an old copy of the ledger is noticed
    /// only if this boot has seen a newer one.
    #[serde(default)]
    pub witnesses: Vec<WitnessName>,
    /// How many of them must have cosigned a state of the ledger before it is gone by.
    #[serde(default)]
    pub witnesses_needed: usize,
}

impl LedgerConfig {
    /// Who must have cosigned the ledger's log; nobody where none are named.
    ///
    /// # Errors
    /// When so many of these show nothing.
    pub fn quorum(&self) -> Result<Option<Quorum>, QuorumFault> {
        witnesses::quorum(&self.witnesses, self.witnesses_needed)
    }
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

/// What the engine's model makes. One model does one of both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Makes {
    /// Text: chats, completions, responses, messages.
    #[default]
    Text,
    /// Vectors of texts.
    Embeddings,
}

impl Makes {
    /// Whether a node of such a model serves this endpoint.
    #[must_use]
    pub fn serves(self, endpoint: Endpoint) -> bool {
        match endpoint {
            Endpoint::Chat | Endpoint::Completions | Endpoint::Responses | Endpoint::Messages => self == Self::Text,
            Endpoint::Embeddings => self == Self::Embeddings,
        }
    }
}

/// The engine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// Its dialect.
    pub dialect: EngineDialect,
    /// What its model makes.
    #[serde(default)]
    pub makes: Makes,
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
        if is_small_order(&self.ledger.payee) {
            return refuse(
                "ledger.payee",
                "is no key that anybody can claim with; make one with `cloister-host payee new`",
            );
        }
        if let Err((field, problem)) = self.limits.check() {
            return refuse(field, problem);
        }
        let fields = ["ledger.witnesses", "ledger.witnesses_needed"];
        if let Err(fault) = self.ledger.quorum() {
            let (field, problem) = witnesses::problem(fault, fields);
            return refuse(field, problem);
        }
        if self.engine.model.is_empty() || self.engine.context_tokens_max == 0 {
            return refuse("engine", "needs a model name and a context window");
        }
        if let Some(gpu) = &self.gpu {
            let roots = gpu.roots.as_ref().map(|pem| TrustRoots::named(pem.as_bytes()));
            if roots.is_some_and(|roots| roots.is_err()) {
                return refuse("gpu.roots", "must be root certificates in PEM");
            }
            if gpu.policy.as_ref().is_some_and(|policy| AppraisalPolicy::from_toml(policy).is_err()) {
                return refuse("gpu.policy", "is not an appraisal policy; `cloister appraise --policy` says why");
            }
        }
        let signs_for_gpus = !matches!(self.tee, TeeConfig::ConfigfsTsm { .. } | TeeConfig::SevGuest { .. });
        if self.gpu.as_ref().is_some_and(|gpu| gpu.nvml.is_none() && !signs_for_gpus) {
            return refuse("gpu.nvml", "is missing: the kernel has reports of the CPU only");
        }
        if self.listen_vsock.is_some_and(|port| !(vsock::PORT_MIN..=vsock::PORT_MAX).contains(&port)) {
            return refuse("listen_vsock", "must be a port from 1024 on: lower ones need a privilege");
        }
        if self.canary.is_some() && self.engine.makes == Makes::Embeddings {
            return refuse("canary", "asks for text, which this engine does not make");
        }
        if let Some(canary) = &self.canary {
            if canary.prompt.is_empty() || canary.interval_secs == 0 {
                return refuse("canary", "needs a prompt and an interval of at least a second");
            }
            if !(1..=CANARY_TOKENS_MAX).contains(&canary.completion_tokens) {
                return refuse("canary.completion_tokens", "must be 1 to 256");
            }
        }
        if self.metrics.is_some_and(|metrics| metrics.interval_secs < METRICS_INTERVAL_SECS_MIN) {
            return refuse("metrics.interval_secs", "must be at least 10: shorter ones tell of single answers");
        }
        if (1..FRAME_BYTES_MIN).contains(&self.shaping.frame_bytes) {
            return refuse("shaping.frame_bytes", "must be 0 (off) or at least 128");
        }
        if self.shaping.cadence_millis > CADENCE_MILLIS_MAX {
            return refuse("shaping.cadence_millis", "must be 0 (off) or at most 1000");
        }
        if self.shaping.cadence_millis > 0 && self.shaping.frame_bytes == 0 {
            return refuse("shaping.cadence_millis", "hides nothing without shaping.frame_bytes");
        }
        if let Some(log) = &self.receipt_log {
            log.reject_nonsense().or_else(|(field, problem)| refuse(field, problem))?;
        }
        let nobody = |(cid, port): (u32, u32)| cid == u32::MAX || port == u32::MAX;
        if self.tee.vsock_peer().is_some_and(nobody) {
            return refuse("tee", "must name one machine and one port");
        }
        let collateral = self.gpu.as_ref().and_then(|gpu| gpu.nvml.as_ref()).map(|nvml| &nvml.collateral);
        if collateral.and_then(ServiceAddress::vsock_peer).is_some_and(nobody) {
            return refuse("gpu.nvml.collateral", "must name one machine and one port");
        }
        if let Some(certificate) = &self.certificate {
            if !is_public_name(&certificate.name) {
                return refuse("certificate.name", "must be a DNS name of two labels or more, in lowercase");
            }
            if certificate.service.vsock_peer().is_some_and(nobody) {
                return refuse("certificate.service", "must name one machine and one port");
            }
        }
        let keeper = self.receipt_log.as_ref().and_then(|log| log.service.vsock_peer());
        if keeper.is_some_and(nobody) {
            return refuse("receipt_log.service", "must name one machine and one port");
        }
        Ok(())
    }
}

impl ReceiptLogConfig {
    fn reject_nonsense(&self) -> Result<(), (&'static str, &'static str)> {
        if tlog::check_origin(&self.origin).is_err() {
            return Err(("receipt_log.origin", "must be letters, digits, dots, dashes and slashes, at most 128"));
        }
        let fields = ["receipt_log.witnesses", "receipt_log.witnesses_needed"];
        witnesses::quorum(&self.witnesses, self.witnesses_needed).map_err(|fault| witnesses::problem(fault, fields))?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
