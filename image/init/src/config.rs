//! The measured configuration: `/measured/image.json` in the initial ramdisk.
//!
//! Decides: which volumes are mounted, under which root hash, and what runs on them. It lies in the initial ramdisk, so every
//! launch measurement covers it. Trusts nothing else: sizes, offsets and hashes come from here, never from a disk.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Version of this format.
pub const SCHEMA: &str = "cloister/measured-image/v1";

/// Where it lies in the initial ramdisk.
pub const IMAGE_PATH: &str = "/measured/image.json";

/// Where the guardian's configuration lies in the initial ramdisk.
pub const GUARDIAN_PATH: &str = "/measured/guardian.toml";

/// Block size of data and tree of every volume.
pub const BLOCK_LEN: u64 = 4096;

/// Greatest length of either file.
pub const FILE_BYTES_MAX: usize = 64 * 1024;

/// Most data blocks of a volume: 16 TiB.
pub const DATA_BLOCKS_MAX: u64 = 1 << 32;

/// The volumes there are; `root` and `engine` must be present.
pub const VOLUME_NAMES: [&str; 3] = ["root", "engine", "model"];

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredImage {
    /// [`SCHEMA`].
    pub schema: String,
    /// Flavour of the image.
    pub flavour: String,
    /// Version of the image.
    pub version: String,
    /// What may be seen from outside.
    pub mode: Mode,
    /// The volumes, `root` first.
    pub volumes: Vec<Volume>,
    /// The engine, which runs in a sandbox on the `engine` volume.
    pub engine: EngineCommand,
    /// Which TCP ports the guardian may use.
    pub network: Network,
    /// Bytes of memory for temporary files of the guardian and of the engine each.
    pub scratch_bytes_max: u64,
}

/// How much the guest shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing: no console, no log.
    Production,
    /// Kernel log and the programs' errors on the serial console.
    Debug,
    /// As `Debug`, and `cloister-probe` runs before the services, once in each of their places.
    Test,
}

/// One read-only EROFS volume under dm-verity (version 1, SHA-256, no superblock; the tree follows the data).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// `root`, `engine` or `model`. The disk's serial (`cloister-<name>`) or partition name is the same, as a hint.
    pub name: String,
    /// Root hash of the tree, lowercase hex of 32 bytes.
    pub root_hash: String,
    /// Salt, lowercase hex of 32 bytes.
    pub salt: String,
    /// Data blocks; the tree starts at this block.
    pub data_blocks: u64,
}

/// What runs as the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineCommand {
    /// Program and arguments, as paths inside the sandbox: the engine volume is `/`, the model volume `/model`, the socket
    /// directory shared with the guardian `/run/engine`.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// Most processes and threads.
    pub pids_max: u32,
}

/// The TCP ports that the guardian's sandbox leaves it, all others being refused by the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Ports it may bind.
    pub listen_ports: Vec<u16>,
    /// Ports it may connect to, on any address.
    pub connect_ports: Vec<u16>,
}

/// Why a measured configuration was refused. It is the builder's fault: nobody else can write it.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Longer than [`FILE_BYTES_MAX`].
    #[error("the file has {got} bytes, more than {FILE_BYTES_MAX}")]
    TooLong {
        /// Its length.
        got: usize,
    },
    /// Not the JSON of this type.
    #[error("not a measured configuration: {reason}")]
    Parse {
        /// What the parser said, with the line.
        reason: String,
    },
    /// Another version of the format.
    #[error("schema is {got:?}, not {SCHEMA:?}")]
    Schema {
        /// The schema it names.
        got: String,
    },
    /// Volumes missing, twice, unknown or out of order.
    #[error("volumes {got:?} are not root, engine and at most model, in this order")]
    Volumes {
        /// Their names.
        got: Vec<String>,
    },
    /// A hash or salt that is not 32 bytes of lowercase hex.
    #[error("{field} of volume {volume:?} is not 32 bytes of lowercase hex")]
    Hash {
        /// The volume.
        volume: String,
        /// `root_hash` or `salt`.
        field: &'static str,
    },
    /// No data, or more than [`DATA_BLOCKS_MAX`].
    #[error("volume {volume:?} has {got} data blocks, not 1 to {DATA_BLOCKS_MAX}")]
    DataBlocks {
        /// The volume.
        volume: String,
        /// Its count.
        got: u64,
    },
    /// The engine's command, environment or limits make no sense.
    #[error("engine: {problem}")]
    Engine {
        /// What is wrong.
        problem: &'static str,
    },
    /// No scratch memory, or no port to listen on.
    #[error("{field} is empty or zero")]
    Zero {
        /// The field.
        field: &'static str,
    },
}

impl ConfigError {
    /// Stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "config.too_long",
            Self::Parse { .. } => "config.parse",
            Self::Schema { .. } => "config.schema",
            Self::Volumes { .. } => "config.volumes",
            Self::Hash { .. } => "config.hash",
            Self::DataBlocks { .. } => "config.data_blocks",
            Self::Engine { .. } => "config.engine",
            Self::Zero { .. } => "config.zero",
        }
    }
}

impl MeasuredImage {
    /// Reads and checks the bytes of [`IMAGE_PATH`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(ConfigError::TooLong { got: bytes.len() });
        }
        let image: Self =
            serde_json::from_slice(bytes).map_err(|error| ConfigError::Parse { reason: error.to_string() })?;
        image.refuse_nonsense()?;
        Ok(image)
    }

    /// Checks what the types do not say; the builder calls it on what it is about to write.
    pub fn refuse_nonsense(&self) -> Result<(), ConfigError> {
        if self.schema != SCHEMA {
            return Err(ConfigError::Schema { got: self.schema.clone() });
        }
        let names: Vec<&str> = self.volumes.iter().map(|volume| volume.name.as_str()).collect();
        if names != ["root", "engine"] && names != VOLUME_NAMES {
            return Err(ConfigError::Volumes { got: names.into_iter().map(String::from).collect() });
        }
        self.volumes.iter().try_for_each(Volume::refuse_nonsense)?;
        self.engine.refuse_nonsense()?;
        if self.scratch_bytes_max == 0 {
            return Err(ConfigError::Zero { field: "scratch_bytes_max" });
        }
        if self.network.listen_ports.is_empty() || self.network.listen_ports.contains(&0) {
            return Err(ConfigError::Zero { field: "network.listen_ports" });
        }
        if self.network.connect_ports.contains(&0) {
            return Err(ConfigError::Zero { field: "network.connect_ports" });
        }
        Ok(())
    }

    /// The volume of that name.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.name == name)
    }
}

impl Volume {
    fn refuse_nonsense(&self) -> Result<(), ConfigError> {
        for (field, value) in [("root_hash", &self.root_hash), ("salt", &self.salt)] {
            if !is_lowercase_hex32(value) {
                return Err(ConfigError::Hash { volume: self.name.clone(), field });
            }
        }
        if self.data_blocks == 0 || self.data_blocks > DATA_BLOCKS_MAX {
            return Err(ConfigError::DataBlocks { volume: self.name.clone(), got: self.data_blocks });
        }
        Ok(())
    }
}

impl EngineCommand {
    fn refuse_nonsense(&self) -> Result<(), ConfigError> {
        let refuse = |problem| Err(ConfigError::Engine { problem });
        let words = self.argv.iter().chain(self.env.iter().flat_map(|(key, value)| [key, value]));
        if words.into_iter().any(|word| word.contains('\0')) {
            return refuse("a word contains NUL");
        }
        if !self.argv.first().is_some_and(|program| program.starts_with('/')) {
            return refuse("argv does not begin with an absolute path");
        }
        if self.env.iter().any(|(key, _)| key.is_empty() || key.contains('=')) {
            return refuse("a variable has no name or one with `=`");
        }
        if self.pids_max == 0 {
            return refuse("pids_max is zero");
        }
        Ok(())
    }
}

/// Whether `text` is 32 bytes in lowercase hex.
pub(crate) fn is_lowercase_hex32(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn volume(name: &str, digit: &str, data_blocks: u64) -> Volume {
        Volume { name: name.into(), root_hash: digit.repeat(64), salt: "5".repeat(64), data_blocks }
    }

    pub(crate) fn image() -> MeasuredImage {
        MeasuredImage {
            schema: SCHEMA.into(),
            flavour: "test".into(),
            version: "0.1.0".into(),
            mode: Mode::Test,
            volumes: vec![volume("root", "a", 100), volume("engine", "b", 200), volume("model", "c", 300)],
            engine: EngineCommand { argv: vec!["/usr/bin/engine".into()], env: vec![], pids_max: 64 },
            network: Network { listen_ports: vec![8443], connect_ports: vec![7000] },
            scratch_bytes_max: 1 << 20,
        }
    }

    #[test]
    fn what_the_builder_writes_is_read() {
        let bytes = serde_json::to_vec(&image()).unwrap();
        assert_eq!(MeasuredImage::parse(&bytes), Ok(image()));
        let mut small = image();
        small.volumes.pop();
        assert_eq!(small.refuse_nonsense(), Ok(()), "a model volume is optional");
    }

    #[test]
    fn every_fault_has_its_code() {
        type Fault = (&'static str, fn(&mut MeasuredImage));
        let faults: &[Fault] = &[
            ("config.schema", |image| image.schema.push('2')),
            ("config.volumes", |image| image.volumes.clear()),
            ("config.volumes", |image| image.volumes.swap(0, 1)),
            ("config.volumes", |image| image.volumes.push(volume("model", "d", 1))),
            ("config.volumes", |image| image.volumes[2].name = "data".into()),
            ("config.volumes", |image| drop(image.volumes.remove(1))),
            ("config.hash", |image| image.volumes[0].root_hash = "A".repeat(64)),
            ("config.hash", |image| image.volumes[1].salt.truncate(62)),
            ("config.hash", |image| image.volumes[1].salt.clear()),
            ("config.data_blocks", |image| image.volumes[0].data_blocks = 0),
            ("config.data_blocks", |image| image.volumes[0].data_blocks = DATA_BLOCKS_MAX + 1),
            ("config.engine", |image| image.engine.argv.clear()),
            ("config.engine", |image| image.engine.argv[0] = "engine".into()),
            ("config.engine", |image| image.engine.argv.push("a\0b".into())),
            ("config.engine", |image| image.engine.env.push(("A=B".into(), "c".into()))),
            ("config.engine", |image| image.engine.pids_max = 0),
            ("config.zero", |image| image.scratch_bytes_max = 0),
            ("config.zero", |image| image.network.listen_ports.clear()),
            ("config.zero", |image| image.network.connect_ports.push(0)),
        ];
        for (code, spoil) in faults {
            let mut spoiled = image();
            spoil(&mut spoiled);
            let bytes = serde_json::to_vec(&spoiled).unwrap();
            assert_eq!(MeasuredImage::parse(&bytes).unwrap_err().code(), *code, "{spoiled:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_configuration_are_refused() {
        let good = serde_json::to_string(&image()).unwrap();
        let long = format!("{good}{}", " ".repeat(FILE_BYTES_MAX));
        let unknown = good.replacen('{', "{\"extra\":1,", 1);
        let twice = good.replacen('{', "{\"mode\":\"debug\",", 1);
        let trailing = format!("{good}{{}}");
        assert_eq!(MeasuredImage::parse(long.as_bytes()).unwrap_err().code(), "config.too_long");
        for bytes in ["", "[]", &unknown, &twice, &trailing] {
            assert_eq!(MeasuredImage::parse(bytes.as_bytes()).unwrap_err().code(), "config.parse", "{bytes}");
        }
    }
}
