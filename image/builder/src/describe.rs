//! What a build says of itself: bill of materials and manifest.
//!
//! Decides: nothing about the image; every value here is computed from the finished files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use attestation::reference::manifest::{
    Artifact, FirmwarePin, ImageManifest, ImageMode, MANIFEST_SCHEMA, ManifestFirmware, ManifestKernel, ManifestModel,
    ManifestSource, ManifestVolume, VerificationStatus,
};
use attestation::{Hex32, Sha256Digest};
use measured_init::config::Mode;

use crate::build::Parts;
use crate::fetch::sha256_of;
use crate::inputs::{AMDSEV, INTELTDX};
use crate::measure::{self, Files};
use crate::sbom::{self, Crate, Model, OwnedFile, Package, Program, SbomInput};
use crate::stage::Origin;
use crate::tree::{FileTree, Node, Source};

/// SHA-256 of firmware that was seen to start nothing but what its table of kernel hashes names: `make boot-test` tries it on the
/// image it is in. A build with other firmware says so in its manifest, and audits refuse it.
const ENFORCING_FIRMWARE: [&str; 1] = ["3e4fd0b3fe3b2dbe481c3d9e99418a034174f26cbe1f55aa212b0f18c12d2d6f"];

/// Name of the manifest in an image's folder.
pub const MANIFEST_FILE: &str = "manifest.json";

/// Name of the bill of materials in an image's folder.
pub const SBOM_FILE: &str = "sbom.cdx.json";

/// The date that every file carries.
const SOURCE_DATE_EPOCH: u64 = 0;

/// Writes both.
///
/// # Errors
/// When a file cannot be read, or is in no package.
pub(crate) fn write(parts: &Parts<'_>) -> anyhow::Result<()> {
    let input = materials(parts)?;
    let volumes = [("root", &parts.staged.root), ("engine", &parts.staged.engine), ("model", &parts.staged.model)];
    sbom::check(&input, &volumes)?;
    fs::write(parts.dir.join(SBOM_FILE), input.to_json()?)?;
    let manifest = manifest(parts)?;
    fs::write(parts.dir.join(MANIFEST_FILE), manifest.to_json()?)?;
    Ok(())
}

fn manifest(parts: &Parts<'_>) -> anyhow::Result<ImageManifest> {
    let read = |name: &str| fs::read(parts.dir.join(name)).with_context(|| format!("read {name}"));
    let (amdsev, inteltdx, vmlinuz) = (read("OVMF.amdsev.fd")?, read("OVMF.inteltdx.fd")?, read("vmlinuz")?);
    let (initrd, uki) = (read("initrd.cpio")?, read("uki.efi")?);
    let files = Files {
        amdsev: &amdsev,
        inteltdx: &inteltdx,
        vmlinuz: &vmlinuz,
        initrd: &initrd,
        cmdline: parts.cmdline,
        uki: &uki,
    };
    let (tdx, vtpm) = measure::measured_boot(&files)?;
    let pin = |(package, _): (&str, &str), file: &[u8]| -> anyhow::Result<FirmwarePin> {
        let deb = parts.gathered.deb(package)?;
        let sha256 = hash(file);
        let enforces_kernel_hashes = ENFORCING_FIRMWARE.contains(&sha256.to_string().as_str());
        Ok(FirmwarePin { package: deb.name.clone(), version: deb.version.clone(), sha256, enforces_kernel_hashes })
    };
    let locks = parts.locks.iter().map(|(name, lock)| Ok((name.clone(), hex32(&lock.digest())?)));
    Ok(ImageManifest {
        schema: MANIFEST_SCHEMA.to_owned(),
        flavour: parts.options.flavour.clone(),
        version: parts.version.to_owned(),
        mode: match parts.flavour.mode {
            Mode::Production => ImageMode::Production,
            Mode::Debug => ImageMode::Debug,
            Mode::Test => ImageMode::Test,
        },
        artifacts: artifacts(parts.dir)?,
        volumes: volumes(parts)?,
        cmdline: parts.cmdline.to_owned(),
        firmware: ManifestFirmware { amdsev: pin(AMDSEV, &amdsev)?, tdx: pin(INTELTDX, &inteltdx)? },
        kernel: kernel(parts)?,
        guardian_config_sha256: hash(parts.guardian.text.as_bytes()),
        image_config_sha256: hash(parts.image_config),
        model: match parts.flavour.weights() {
            Some(file) => {
                Some(ManifestModel { name: parts.flavour.model.name.clone(), weights_sha256: hex32(&file.sha256)? })
            }
            None => None,
        },
        snp: measure::snp(&files)?,
        tdx: Some(tdx),
        vtpm: Some(vtpm),
        status: status(),
        source: ManifestSource {
            git_commit: git_commit(&parts.options.repo),
            rustc: parts.programs.rustc.lines().next().unwrap_or("unknown").to_owned(),
            source_date_epoch: SOURCE_DATE_EPOCH,
            tools: BTreeMap::new(),
        },
        locks: locks.collect::<anyhow::Result<_>>()?,
    })
}

/// What was compared with something independent, and what only hardware could confirm. `make boot-test` and the tests of
/// `attestation/peers` are what the words rest on.
fn status() -> BTreeMap<String, VerificationStatus> {
    let software = VerificationStatus::VerifiedOnSoftware;
    let never = VerificationStatus::UnverifiedOnHardware;
    let rows = [("vtpm", software), ("verity", software), ("snp", never), ("tdx", never)];
    rows.into_iter().map(|(name, status)| (name.to_owned(), status)).collect()
}

fn artifacts(dir: &Path) -> anyhow::Result<BTreeMap<String, Artifact>> {
    let mut artifacts = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let artifact = Artifact { sha256: hex32(&sha256_of(&entry.path())?)?, size: entry.metadata()?.len() };
        artifacts.insert(name, artifact);
    }
    Ok(artifacts)
}

fn volumes(parts: &Parts<'_>) -> anyhow::Result<Vec<ManifestVolume>> {
    let row = |made: &crate::volume::Made| -> anyhow::Result<ManifestVolume> {
        let volume = &made.volume;
        Ok(ManifestVolume {
            name: volume.name.clone(),
            sha256: hex32(&sha256_of(&parts.dir.join(format!("{}.img", volume.name)))?)?,
            root_hash: hex32(&volume.root_hash)?,
            salt: hex32(&volume.salt)?,
            data_blocks: volume.data_blocks,
            uuid: made.uuid.clone(),
        })
    };
    parts.volumes.iter().map(row).collect()
}

fn kernel(parts: &Parts<'_>) -> anyhow::Result<ManifestKernel> {
    let source = kernel_source(parts)?;
    Ok(ManifestKernel {
        version: source.version.clone(),
        config_sha256: hex32(&sha256_of(&parts.kernel.config)?)?,
        patches: patches(&parts.options.repo)?,
    })
}

fn kernel_source<'a>(parts: &'a Parts<'_>) -> anyhow::Result<&'a crate::lock::LockedDeb> {
    let found = parts.locks.values().flat_map(|lock| lock.role(crate::kernel::ROLE)).next();
    found.context("no lock names the kernel's source")
}

fn patches(repo: &Path) -> anyhow::Result<BTreeMap<String, Hex32>> {
    let mut patches = BTreeMap::new();
    for entry in fs::read_dir(repo.join("image/kernel/patches"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        patches.insert(name, hex32(&sha256_of(&path)?)?);
    }
    Ok(patches)
}

/// The commit, with a mark when the tree differs from it; `unknown` outside a repository.
fn git_commit(repo: &Path) -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(repo).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match (git(&["rev-parse", "HEAD"]), git(&["status", "--porcelain"])) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit}-changed"),
        _ => "unknown".to_owned(),
    }
}

fn materials(parts: &Parts<'_>) -> anyhow::Result<SbomInput> {
    let mut files: BTreeMap<&Origin, Vec<OwnedFile>> = BTreeMap::new();
    let trees = [("root", &parts.staged.root), ("engine", &parts.staged.engine), ("model", &parts.staged.model)];
    for (volume, tree) in trees {
        for file in owned(volume, tree)? {
            let origin = parts.staged.origins.get(&file.path);
            files.entry(origin.with_context(|| format!("{} is from nowhere", file.path))?).or_default().push(file);
        }
    }
    let of = |origin: &Origin| files.get(origin).cloned().unwrap_or_default();
    let cargo_lock = fs::read_to_string(parts.options.repo.join("Cargo.lock"))?;
    let debs = parts.gathered.debs().map(|deb| {
        Ok(Package {
            name: deb.name.clone(),
            version: deb.version.clone(),
            arch: deb.arch.clone(),
            sha256: hex32(&deb.sha256)?,
            size: deb.size,
            paths: of(&Origin::Deb(deb.sha256.clone())),
        })
    });
    let wheels = parts.gathered.wheels().filter(|wheel| wheel.role == "engine").map(|wheel| {
        Ok(Package {
            name: wheel.name.clone(),
            version: wheel.version.clone(),
            arch: String::new(),
            sha256: hex32(&wheel.sha256)?,
            size: 0,
            paths: of(&Origin::Wheel(wheel.sha256.clone())),
        })
    });
    let programs = crate::compile::PROGRAMS.iter().map(|(package, program)| {
        let crates: Vec<Crate> = sbom::crates_of(&cargo_lock, package)?;
        Ok(Program { name: (*program).to_owned(), paths: of(&Origin::Program((*program).to_owned())), crates })
    });
    let source = kernel_source(parts)?;
    Ok(SbomInput {
        name: parts.options.flavour.clone(),
        version: parts.version.to_owned(),
        debs: debs.collect::<anyhow::Result<_>>()?,
        wheels: wheels.collect::<anyhow::Result<_>>()?,
        programs: programs
            .filter(|program: &anyhow::Result<Program>| !matches!(program, Ok(one) if one.paths.is_empty()))
            .collect::<anyhow::Result<_>>()?,
        kernel: Some(sbom::Kernel {
            source: Package {
                name: source.name.clone(),
                version: source.version.clone(),
                arch: source.arch.clone(),
                sha256: hex32(&source.sha256)?,
                size: source.size,
                paths: Vec::new(),
            },
            config_sha256: hex32(&sha256_of(&parts.kernel.config)?)?,
            patches: patches(&parts.options.repo)?,
            sha256: hex32(&sha256_of(&parts.kernel.bz_image)?)?,
        }),
        models: vec![Model {
            name: parts.flavour.model.name.clone(),
            revision: parts.flavour.model.revision.clone(),
            paths: of(&Origin::Model),
        }],
        own: of(&Origin::Own),
    })
}

/// Files and links of a tree with their digests.
fn owned(volume: &str, tree: &FileTree) -> anyhow::Result<Vec<OwnedFile>> {
    let mut found = Vec::new();
    for (path, node) in tree.entries() {
        let sha256 = match node {
            Node::Directory { .. } => continue,
            Node::Symlink { .. } => None,
            Node::File { source: Source::Bytes(bytes), .. } => Some(hash(bytes)),
            Node::File { source: Source::File(file), .. } => Some(hex32(&sha256_of(file)?)?),
        };
        found.push(OwnedFile { path: format!("{volume}/{path}"), sha256 });
    }
    Ok(found)
}

fn hash(bytes: &[u8]) -> Hex32 {
    Hex32(Sha256Digest::of(bytes).0)
}

fn hex32(text: &str) -> anyhow::Result<Hex32> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Hex32).with_context(|| format!("{text:?} is not a SHA-256"))
}
