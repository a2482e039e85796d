//! The manifest of a built image: what was built from what, and what its launches measure as.
//!
//! Decides: the form. Canonical JSON (RFC 8785) with one spelling per value: a text that is not its own canonical form is
//! refused, so two builds agree exactly when their manifests are the same bytes. A manifest proves nothing: it is what a
//! build says of itself, to be compared with another build, or signed as [`super::ReferenceValues`].

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::{Hex32, hex_newtype};
use crate::jcs::{JcsError, to_jcs};
use crate::measure::snp::VCPUS_MAX;
use crate::measure::{CpuModel, snp::Vmm};

/// Value of [`ImageManifest::schema`].
pub const MANIFEST_SCHEMA: &str = "cloister/image-manifest/v1";

/// Longest manifest that is read.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;

/// Most entries of any one list or table.
const ENTRIES_MAX: usize = 4096;

/// Longest name, version or other short text.
const TEXT_BYTES_MAX: usize = 256;

/// Longest command line: what the kernel reads (COMMAND_LINE_SIZE of x86).
const CMDLINE_BYTES_MAX: usize = 2048;

hex_newtype! {
    /// Forty-eight bytes written as 96 lowercase hex characters: a launch digest, MRTD or RTMR.
    Hex48, 48
}

/// Why a manifest was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Longer than [`MANIFEST_BYTES_MAX`].
    #[error("the manifest has {got} bytes, more than {MANIFEST_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        got: usize,
    },
    /// Not JSON of this form.
    #[error("the manifest does not have the required form")]
    Form(#[source] serde_json::Error),
    /// Another schema.
    #[error("the manifest's schema {got:?} is not {MANIFEST_SCHEMA}")]
    Schema {
        /// What it names.
        got: String,
    },
    /// A value without sense.
    #[error("manifest item {item}: {problem}")]
    Item {
        /// Which item.
        item: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The text is not the canonical form of what it says.
    #[error("the manifest is not canonical JSON")]
    NotCanonical,
    /// A number is too large for canonical JSON.
    #[error("the manifest has no canonical form")]
    Canonical(#[from] JcsError),
}

impl ManifestError {
    /// Stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "manifest.too_large",
            Self::Form(_) => "manifest.malformed",
            Self::Schema { .. } => "manifest.schema",
            Self::Item { .. } => "manifest.item",
            Self::NotCanonical | Self::Canonical(_) => "manifest.not_canonical",
        }
    }
}

/// Everything a build says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageManifest {
    /// [`MANIFEST_SCHEMA`].
    pub schema: String,
    /// Flavour of the image.
    pub flavour: String,
    /// Version of the image.
    pub version: String,
    /// What may be seen from outside.
    pub mode: ImageMode,
    /// Files of the output directory, by name.
    pub artifacts: BTreeMap<String, Artifact>,
    /// Volumes under dm-verity, `root` first.
    pub volumes: Vec<ManifestVolume>,
    /// Kernel command line of the split boot, without terminator.
    pub cmdline: String,
    /// Firmware images.
    pub firmware: ManifestFirmware,
    /// The kernel.
    pub kernel: ManifestKernel,
    /// SHA-256 of the guardian's configuration in the initial ramdisk.
    pub guardian_config_sha256: Hex32,
    /// SHA-256 of the image's configuration in the initial ramdisk.
    pub image_config_sha256: Hex32,
    /// The model; `null` for an image without one.
    #[serde(deserialize_with = "Option::deserialize")]
    pub model: Option<ManifestModel>,
    /// SEV-SNP launch digests, one per way to launch.
    pub snp: Vec<SnpLaunch>,
    /// TDX registers; `null` when none were computed.
    #[serde(deserialize_with = "Option::deserialize")]
    pub tdx: Option<TdxMeasurements>,
    /// PCRs of a measured boot; `null` when none were computed.
    #[serde(deserialize_with = "Option::deserialize")]
    pub vtpm: Option<VtpmMeasurements>,
    /// How far each kind of value was verified, by `snp`, `tdx`, `vtpm` and the like.
    pub status: BTreeMap<String, VerificationStatus>,
    /// Where it was built from, and with what.
    pub source: ManifestSource,
    /// SHA-256 of the lock files, by name.
    pub locks: BTreeMap<String, Hex32>,
}

/// How much a guest shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageMode {
    /// Nothing: no console, no log.
    Production,
    /// Kernel log and errors on the serial console.
    Debug,
    /// As `Debug`, with probes inside.
    Test,
}

impl ImageMode {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Debug => "debug",
            Self::Test => "test",
        }
    }

    /// The mode of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Production, Self::Debug, Self::Test].into_iter().find(|mode| mode.name() == name)
    }
}

impl fmt::Display for ImageMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Its SHA-256.
    pub sha256: Hex32,
    /// Its bytes.
    pub size: u64,
}

/// A volume under dm-verity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestVolume {
    /// `root`, `engine` or `model`.
    pub name: String,
    /// SHA-256 of the volume's file, data and tree.
    pub sha256: Hex32,
    /// Root hash of the tree.
    pub root_hash: Hex32,
    /// Salt of the tree.
    pub salt: Hex32,
    /// Data blocks; the tree starts at this block.
    pub data_blocks: u64,
    /// UUID of the file system, lowercase with dashes.
    pub uuid: String,
}

/// Firmware images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFirmware {
    /// For SEV-SNP.
    pub amdsev: FirmwarePin,
    /// For TDX.
    pub tdx: FirmwarePin,
}

/// One firmware image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirmwarePin {
    /// Package it is from.
    pub package: String,
    /// Version of the package.
    pub version: String,
    /// SHA-256 of the file.
    pub sha256: Hex32,
    /// Whether it refuses a kernel, ramdisk or command line whose hash is not in the table.
    pub enforces_kernel_hashes: bool,
}

/// The kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestKernel {
    /// Its version.
    pub version: String,
    /// SHA-256 of its configuration.
    pub config_sha256: Hex32,
    /// SHA-256 of its patches, by name.
    pub patches: BTreeMap<String, Hex32>,
}

/// The model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestModel {
    /// Its name, as offered.
    pub name: String,
    /// SHA-256 of its weights, as the offer states it.
    pub weights_sha256: Hex32,
}

/// One way to launch on SEV-SNP and the digest it gives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpLaunch {
    /// Virtual CPUs.
    pub vcpus: u32,
    /// CPU model, a name [`CpuModel::from_name`] knows.
    pub cpu: String,
    /// SEV_FEATURES.
    pub guest_features: u64,
    /// Virtual machine monitor, a name [`Vmm::from_name`] knows.
    pub vmm: String,
    /// The launch digest.
    pub launch_digest: Hex48,
}

/// What a TD launched from the image measures as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TdxMeasurements {
    /// MRTD where each page is added and measured in turn.
    pub mrtd_single_pass: Hex48,
    /// MRTD where all pages of a section are added before any is measured.
    pub mrtd_two_pass: Hex48,
    /// RTMR1.
    pub rtmr1: Hex48,
    /// RTMR2.
    pub rtmr2: Hex48,
    /// [`RTMR0_REPLAY`]: it depends on the machine.
    pub rtmr0: String,
}

/// The only value of [`TdxMeasurements::rtmr0`].
pub const RTMR0_REPLAY: &str = "replay the log";

/// PCRs of a measured boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VtpmMeasurements {
    /// PCR 4: the programs the firmware started.
    pub pcr4: Hex32,
    /// PCR 9: command line and ramdisk, as the kernel saw them.
    pub pcr9: Hex32,
    /// PCR 11: the parts of the unified image.
    pub pcr11: Hex32,
    /// [`PCR_BANK`].
    pub bank: String,
}

/// The only value of [`VtpmMeasurements::bank`].
pub const PCR_BANK: &str = "sha256";

/// How far a kind of value was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VerificationStatus {
    /// Compared with what software measured: another implementation, or a boot on an emulator.
    #[serde(rename = "verified on software")]
    VerifiedOnSoftware,
    /// Never compared with what hardware reported.
    #[serde(rename = "unverified on hardware")]
    UnverifiedOnHardware,
}

/// Where an image was built from, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestSource {
    /// Commit of the sources.
    pub git_commit: String,
    /// Compiler, as `rustc -V` names it.
    pub rustc: String,
    /// Date every file carries, Unix seconds.
    pub source_date_epoch: u64,
    /// Versions of other tools, by name.
    pub tools: BTreeMap<String, String>,
}

impl ImageManifest {
    /// Read a manifest.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge { got: bytes.len() });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(ManifestError::Form)?;
        if manifest.to_json()? != bytes {
            return Err(ManifestError::NotCanonical);
        }
        Ok(manifest)
    }

    /// The manifest's canonical text.
    ///
    /// # Errors
    /// When an item has no sense, so that no reader would take it.
    pub fn to_json(&self) -> Result<Vec<u8>, ManifestError> {
        self.require_sensible()?;
        Ok(to_jcs(self)?)
    }

    fn require_sensible(&self) -> Result<(), ManifestError> {
        let bad = |item, problem| Err(ManifestError::Item { item, problem });
        if self.schema != MANIFEST_SCHEMA {
            return Err(ManifestError::Schema { got: self.schema.clone() });
        }
        for (item, text) in self.texts() {
            if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
                return bad(item, "is not a short printable text");
            }
        }
        if !is_version(&self.version) {
            return bad("version", "is not three numbers with dots");
        }
        if self.cmdline.len() > CMDLINE_BYTES_MAX || !self.cmdline.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return bad("cmdline", "is not printable ASCII of at most 2048 bytes");
        }
        let counts = [self.artifacts.len(), self.volumes.len(), self.snp.len(), self.locks.len(), self.status.len()];
        if counts.iter().any(|count| *count > ENTRIES_MAX) {
            return bad("lists", "have too many entries");
        }
        // A file name that reads as a path could name a file outside the directory.
        if self.artifacts.keys().any(|name| !is_file_name(name)) {
            return bad("artifacts", "hold a name that is not a plain file name");
        }
        if let Some(tdx) = &self.tdx
            && tdx.rtmr0 != RTMR0_REPLAY
        {
            return bad("tdx.rtmr0", "can only be found by replaying the log");
        }
        if let Some(vtpm) = &self.vtpm
            && vtpm.bank != PCR_BANK
        {
            return bad("vtpm.bank", "is not sha256");
        }
        self.require_distinct()
    }

    fn require_distinct(&self) -> Result<(), ManifestError> {
        let bad = |item, problem| Err(ManifestError::Item { item, problem });
        let mut names: Vec<_> = self.volumes.iter().map(|volume| volume.name.as_str()).collect();
        names.sort_unstable();
        if !names.is_sorted_by(|one, next| one < next) {
            return bad("volumes", "hold a name twice");
        }
        require_launches(&self.snp).or_else(|problem| bad("snp", problem))
    }

    /// Every short text with the item it belongs to.
    fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let firmware = [&self.firmware.amdsev, &self.firmware.tdx];
        let fixed = [
            ("flavour", &self.flavour),
            ("version", &self.version),
            ("kernel.version", &self.kernel.version),
            ("source.git_commit", &self.source.git_commit),
            ("source.rustc", &self.source.rustc),
        ];
        let tools = self.source.tools.iter().flat_map(|(name, version)| [name, version]).map(|text| ("source", text));
        let volumes = self.volumes.iter().flat_map(|volume| [&volume.name, &volume.uuid]).map(|text| ("volumes", text));
        let keys = self.locks.keys().chain(self.status.keys()).chain(self.kernel.patches.keys());
        let model = self.model.iter().map(|model| ("model.name", &model.name));
        fixed
            .into_iter()
            .chain(firmware.into_iter().flat_map(|pin| [("firmware", &pin.package), ("firmware", &pin.version)]))
            .chain(tools)
            .chain(volumes)
            .chain(keys.map(|text| ("locks, status or patches", text)))
            .chain(model)
            .map(|(item, text)| (item, text.as_str()))
    }
}

/// Refuse ways to launch that no digest is computed for, or that are listed twice.
pub(crate) fn require_launches(launches: &[SnpLaunch]) -> Result<(), &'static str> {
    let known = |launch: &SnpLaunch| {
        let vmm = Vmm::names().any(|name| name == launch.vmm);
        vmm && CpuModel::from_name(&launch.cpu).is_ok() && (1..=VCPUS_MAX).contains(&launch.vcpus)
    };
    if launches.len() > ENTRIES_MAX || !launches.iter().all(known) {
        return Err("a launch is listed that no digest is computed for, or too many are");
    }
    let mut ways: Vec<_> =
        launches.iter().map(|launch| (launch.vcpus, &launch.cpu, launch.guest_features, &launch.vmm)).collect();
    ways.sort_unstable();
    if ways.is_sorted_by(|one, next| one < next) { Ok(()) } else { Err("a launch is listed twice") }
}

/// `major.minor.patch`, each without leading zeros.
pub(crate) fn parse_version(text: &str) -> Option<[u32; 3]> {
    let mut numbers = [0; 3];
    let mut parts = text.split('.');
    for number in &mut numbers {
        let part = parts.next()?;
        let plain = part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
        *number = part.parse().ok().filter(|_| plain)?;
    }
    parts.next().is_none().then_some(numbers)
}

fn is_version(text: &str) -> bool {
    parse_version(text).is_some()
}

fn is_file_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !name.is_empty() && name.len() <= TEXT_BYTES_MAX && !name.starts_with('.') && name.bytes().all(plain)
}
