//! Gathering: fetches what a flavour's lock names and unpacks it. The only stage with a network.
//!
//! Decides: nothing; what comes out is what the lock says, or an error.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::build::Options;
use crate::deb;
use crate::fetch::{Store, sha256_of};
use crate::flavour::{Flavour, ModelFile};
use crate::lock::{Lock, LockedDeb, LockedWheel};
use crate::progress::Progress;
use crate::stage::{Inputs, Unpacked};

/// Firmware for SEV-SNP: the build whose kernel-hashes check refuses what does not match.
pub const AMDSEV: (&str, &str) = ("ovmf-amdsev", "usr/share/ovmf/OVMF.amdsev.fd");

/// Firmware for TDX.
pub const INTELTDX: (&str, &str) = ("ovmf-inteltdx", "usr/share/ovmf/OVMF.inteltdx.ms.fd");

/// A blank variable store of the same layout, from the distribution's general firmware.
const BLANK_VARIABLES: (&str, &str) = ("ovmf", "usr/share/OVMF/OVMF_VARS_4M.fd");

/// The stub of unified images.
const STUB: (&str, &str) = ("systemd-boot-efi", "usr/lib/systemd/boot/efi/linuxx64.efi.stub");

/// Everything a flavour needs from outside, on disk.
#[derive(Debug)]
pub struct Gathered {
    debs: Vec<(LockedDeb, PathBuf)>,
    wheels: Vec<(LockedWheel, PathBuf)>,
    model: BTreeMap<String, PathBuf>,
    /// Version of the package that is the engine.
    pub engine_version: String,
}

/// Fetches and unpacks.
///
/// # Errors
/// When an input cannot be had or is not what the lock says.
pub fn gather(
    options: &Options,
    flavour: &Flavour,
    lock: &Lock,
    store: &Store,
    progress: &mut Progress,
) -> anyhow::Result<Gathered> {
    progress.step("inputs");
    let debs: Vec<&LockedDeb> = lock.debs.iter().collect();
    progress.bytes(debs.iter().map(|deb| deb.size).sum());
    store.ensure(&debs, &mut |bytes| progress.advance(bytes))?;
    let wheels: Vec<&LockedWheel> = lock.wheels.iter().collect();
    store.ensure_wheels(&wheels, flavour.engine.python.as_deref())?;
    let mut gathered = Gathered {
        debs: Vec::new(),
        wheels: Vec::new(),
        model: BTreeMap::new(),
        engine_version: engine_version(flavour, lock)?,
    };
    for deb in debs {
        let dir = unpacked(&options.cache, &deb.sha256, |into| Ok(deb::extract(&store.path(deb), into)?))?;
        gathered.debs.push((deb.clone(), dir));
    }
    for wheel in wheels {
        let dir = unpacked(&options.cache, &wheel.sha256, |into| unzip(&store.wheel_path(wheel), into))?;
        gathered.wheels.push((wheel.clone(), dir));
    }
    for file in &flavour.model.files {
        let path = gathered.model_file(&options.repo, file)?;
        let got = sha256_of(&path).with_context(|| match &file.prepared {
            Some(_) => format!("read {}; `make engine ENGINE=vllm` prepares it", path.display()),
            None => format!("read {} of {}", file.member, file.wheel),
        })?;
        if got != file.sha256 {
            bail!("{} has sha256 {got}, the flavour says {}", path.display(), file.sha256);
        }
        gathered.model.insert(file.path.clone(), path);
    }
    Ok(gathered)
}

/// Version of the package or wheel that is the engine.
fn engine_version(flavour: &Flavour, lock: &Lock) -> anyhow::Result<String> {
    let name = &flavour.engine.version_of;
    match lock.wheels.iter().find(|wheel| wheel.role == "engine" && wheel.name == *name) {
        Some(wheel) => Ok(wheel.version.clone()),
        None => Ok(lock.deb("engine", name)?.version.clone()),
    }
}

impl Gathered {
    /// What staging reads.
    #[must_use]
    pub fn inputs<'a>(&'a self, rootfs: &'a Path, programs: &'a BTreeMap<String, PathBuf>) -> Inputs<'a> {
        let debs = self.debs.iter().filter(|(deb, _)| deb.role == "engine");
        let wheels = self.wheels.iter().filter(|(wheel, _)| wheel.role == "engine");
        let root = self.debs.iter().filter(|(deb, _)| deb.role == "root");
        Inputs {
            rootfs,
            programs,
            debs: debs.map(|(locked, dir)| Unpacked { locked, dir }).collect(),
            wheels: wheels.map(|(locked, dir)| Unpacked { locked, dir }).collect(),
            root_debs: root.map(|(locked, dir)| Unpacked { locked, dir }).collect(),
            modules: BTreeMap::new(),
            made: BTreeMap::new(),
            model: self.model.clone(),
        }
    }

    fn model_file(&self, repo: &Path, file: &ModelFile) -> anyhow::Result<PathBuf> {
        if let Some(prepared) = &file.prepared {
            return Ok(repo.join(prepared));
        }
        let found = self.wheels.iter().find(|(wheel, _)| wheel.role == "model" && wheel.name == file.wheel);
        let (_, dir) = found.with_context(|| format!("the lock has no model wheel {:?}", file.wheel))?;
        Ok(dir.join(&file.member))
    }

    /// The engine's wheel `name`, and where it is unpacked.
    pub(crate) fn wheel(&self, name: &str) -> anyhow::Result<(&LockedWheel, &Path)> {
        let found = self.wheels.iter().find(|(wheel, _)| wheel.role == "engine" && wheel.name == name);
        found.map(|(wheel, dir)| (wheel, dir.as_path())).with_context(|| format!("the lock has no wheel {name:?}"))
    }

    /// Every package.
    pub(crate) fn debs(&self) -> impl Iterator<Item = &LockedDeb> {
        self.debs.iter().map(|(deb, _)| deb)
    }

    /// Every wheel.
    pub(crate) fn wheels(&self) -> impl Iterator<Item = &LockedWheel> {
        self.wheels.iter().map(|(wheel, _)| wheel)
    }

    /// The package `name`, whatever its role.
    pub(crate) fn deb(&self, name: &str) -> anyhow::Result<&LockedDeb> {
        self.debs().find(|deb| deb.name == name).with_context(|| format!("the lock names no package {name:?}"))
    }

    fn read(&self, (package, path): (&str, &str)) -> anyhow::Result<Vec<u8>> {
        let found = self.debs.iter().find(|(deb, _)| deb.name == package);
        let (_, dir) = found.with_context(|| format!("the lock names no package {package:?}"))?;
        fs::read(dir.join(path)).with_context(|| format!("{package} has no {path}"))
    }

    /// The stub of unified images.
    ///
    /// # Errors
    /// When the package lacks it.
    pub fn stub(&self) -> anyhow::Result<Vec<u8>> {
        self.read(STUB)
    }
}

/// Writes both firmware images. The TDX one comes with the vendor's keys enrolled, which would refuse our kernel: its variable store is
/// replaced by a blank one. MRTD does not cover it; RTMR0 does.
///
/// # Errors
/// When a package lacks its firmware or the disk is full.
pub fn firmware(gathered: &Gathered, dir: &Path) -> anyhow::Result<()> {
    fs::write(dir.join("OVMF.amdsev.fd"), gathered.read(AMDSEV)?)?;
    let mut tdx = gathered.read(INTELTDX)?;
    let blank = gathered.read(BLANK_VARIABLES)?;
    let store = tdx.get_mut(..blank.len()).context("the variable store is larger than the firmware")?;
    store.copy_from_slice(&blank);
    fs::write(dir.join("OVMF.inteltdx.fd"), tdx)?;
    Ok(())
}

/// `<cache>/unpacked/<sha256>`, made by `unpack` if it is not there yet; whole or absent.
///
/// # Errors
/// When `unpack` fails or the disk is full.
pub fn unpacked(
    cache: &Path,
    sha256: &str,
    unpack: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let parent = cache.join("unpacked");
    let place = parent.join(sha256);
    if place.exists() {
        return Ok(place);
    }
    fs::create_dir_all(&parent).with_context(|| format!("write {}", parent.display()))?;
    let dir = tempfile::Builder::new().prefix(".unpacking-").tempdir_in(&parent)?;
    unpack(dir.path())?;
    match fs::rename(dir.keep(), &place) {
        // Somebody else was faster, with the same content.
        Err(_) if place.exists() => {}
        other => other.with_context(|| format!("write {}", place.display()))?,
    }
    Ok(place)
}

/// Unpacks a wheel. Names that would leave the folder are refused.
fn unzip(wheel: &Path, into: &Path) -> anyhow::Result<()> {
    let mut archive =
        zip::ZipArchive::new(File::open(wheel)?).with_context(|| format!("{} is no wheel", wheel.display()))?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let name = entry.enclosed_name().with_context(|| format!("{:?} points outside the wheel", entry.name()))?;
        let path = into.join(name);
        if entry.is_dir() {
            fs::create_dir_all(&path)?;
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = File::create(&path).with_context(|| format!("write {}", path.display()))?;
        io::copy(&mut entry, &mut file).with_context(|| format!("write {}", path.display()))?;
        if entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0) {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}
