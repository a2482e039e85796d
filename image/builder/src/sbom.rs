//! The bill of materials: every file of every volume, with the package it is from (CycloneDX 1.6, JSON).
//!
//! Decides: that nothing is in the image that is not listed, and nothing is listed that is not in the image ([`check`]). The
//! document is a function of its input: canonical JSON, sorted, no date, and a serial number made from the content, so that two
//! builds agree on its bytes.
//!
//! A path is `<volume>/<path in it>`. Packages are components; their files are components of type `file` inside them. Debian
//! packages, wheels and crates carry the SHA-256 of the archive they came in, which is what the lock files pin.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::PathBuf;

use attestation::{Hex32, JcsError, Sha256Digest, Sha256Stream, to_jcs};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::tree::{FileTree, Node, Source};

/// Everything an image is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SbomInput {
    /// Name of the image: its flavour.
    pub name: String,
    /// Version of the image.
    pub version: String,
    /// Debian packages.
    pub debs: Vec<Package>,
    /// Python wheels; `arch` is left empty.
    pub wheels: Vec<Package>,
    /// Programs of this repository.
    pub programs: Vec<Program>,
    /// The kernel; nothing for an image that boots another.
    pub kernel: Option<Kernel>,
    /// Models.
    pub models: Vec<Model>,
    /// Files this repository holds, or its builder wrote.
    pub own: Vec<OwnedFile>,
}

/// A file of a volume.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnedFile {
    /// `<volume>/<path in it>`.
    pub path: String,
    /// Its content; nothing for a symbolic link.
    pub sha256: Option<Hex32>,
}

/// A package and which of its files are in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub arch: String,
    /// SHA-256 of the archive.
    pub sha256: Hex32,
    /// Bytes of the archive.
    pub size: u64,
    /// Files of it that are in the image. May be empty: an input of the build that leaves no file.
    pub paths: Vec<OwnedFile>,
}

/// A program of this repository, statically linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The crate that makes it.
    pub name: String,
    /// Where it is. A program may be in several places.
    pub paths: Vec<OwnedFile>,
    /// Crates it may contain, itself among them: see [`crates_of`].
    pub crates: Vec<Crate>,
}

/// A crate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the archive; nothing for a crate of this repository.
    pub checksum: Option<Hex32>,
}

/// The kernel that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The package that holds its source.
    pub source: Package,
    /// SHA-256 of its configuration.
    pub config_sha256: Hex32,
    /// SHA-256 of its patches, by name.
    pub patches: BTreeMap<String, Hex32>,
    /// SHA-256 of the kernel itself.
    pub sha256: Hex32,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its revision.
    pub revision: String,
    /// Its files.
    pub paths: Vec<OwnedFile>,
}

/// Why there is no bill of materials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SbomError {
    /// A path has two owners, or one twice.
    #[error("{path} belongs to {one} and to {other}")]
    TwoOwners {
        /// The path.
        path: String,
        /// A package.
        one: String,
        /// Another, or the same.
        other: String,
    },
    /// A package is listed twice.
    #[error("{reference} is listed twice")]
    Twice {
        /// The package.
        reference: String,
    },
    /// The document has no canonical form.
    #[error("the bill of materials has no canonical form")]
    Canonical(#[from] JcsError),
    /// What is in the volumes is not what is listed.
    #[error("the bill of materials is not that of the image: {0}")]
    Coverage(Coverage),
    /// A file of a volume could not be read.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The lock file of the crates is not one.
    #[error("read the lock file of the crates")]
    CargoLock(#[from] toml::de::Error),
    /// The lock file has no such crate.
    #[error("the lock file has no crate {name}")]
    NoCrate {
        /// Its name.
        name: String,
    },
}

/// How volumes and bill of materials differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// In a volume, but nobody's.
    pub uncovered: Vec<String>,
    /// Listed, but in no volume.
    pub absent: Vec<String>,
    /// Listed with another content.
    pub different: Vec<String>,
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// More names than this help nobody.
        const SHOWN_MAX: usize = 20;
        let lists = [("nobody's", &self.uncovered), ("not there", &self.absent), ("different", &self.different)];
        let parts = lists.iter().filter(|(_, paths)| !paths.is_empty()).map(|(word, paths)| {
            let shown: Vec<&str> = paths.iter().take(SHOWN_MAX).map(String::as_str).collect();
            format!("{} {word} ({}{})", paths.len(), shown.join(", "), if paths.len() > SHOWN_MAX { ", …" } else { "" })
        });
        f.write_str(&parts.collect::<Vec<_>>().join("; "))
    }
}

impl SbomInput {
    /// The document.
    ///
    /// # Errors
    /// [`SbomError::TwoOwners`], [`SbomError::Twice`] or [`SbomError::Canonical`].
    pub fn to_json(&self) -> Result<Vec<u8>, SbomError> {
        self.owners()?;
        let mut components: BTreeMap<String, Value> = BTreeMap::new();
        let mut add = |reference: String, value: Value| match components.insert(reference.clone(), value) {
            Some(_) => Err(SbomError::Twice { reference }),
            None => Ok(()),
        };
        for deb in self.debs.iter().chain(self.kernel.iter().map(|kernel| &kernel.source)) {
            add(deb_purl(deb), package(deb, &deb_purl(deb)))?;
        }
        for wheel in &self.wheels {
            let purl = format!(
                "pkg:pypi/{}@{}",
                encoded(&wheel.name.to_lowercase().replace('_', "-")),
                encoded(&wheel.version)
            );
            add(purl.clone(), package(wheel, &purl))?;
        }
        let crates: BTreeSet<&Crate> = self.programs.iter().flat_map(|program| &program.crates).collect();
        for one in crates {
            add(crate_reference(one), crate_component(one))?;
        }
        for program in &self.programs {
            let reference = format!("program:{}", program.name);
            let value = json!({"type": "application", "bom-ref": reference, "name": program.name, "components": files(&program.paths)});
            add(reference, value)?;
        }
        if let Some(kernel) = &self.kernel {
            add("kernel".to_owned(), kernel_component(kernel))?;
        }
        for model in &self.models {
            let reference = format!("model:{}@{}", model.name, model.revision);
            let value = json!({"type": "machine-learning-model", "bom-ref": reference, "name": model.name,
                "version": model.revision, "components": files(&model.paths)});
            add(reference, value)?;
        }
        if !self.own.is_empty() {
            let value = json!({"type": "data", "bom-ref": "own", "name": "files of this repository and its builder",
                "components": files(&self.own)});
            add("own".to_owned(), value)?;
        }
        self.document(components)
    }

    fn document(&self, components: BTreeMap<String, Value>) -> Result<Vec<u8>, SbomError> {
        let image = format!("image:{}@{}", self.name, self.version);
        let depends = |reference: &str, on: Vec<&String>| json!({"ref": reference, "dependsOn": on});
        let is_crate = |reference: &&String| reference.starts_with("pkg:cargo/") || reference.starts_with("crate:");
        let mut dependencies = vec![depends(&image, components.keys().filter(|key| !is_crate(key)).collect())];
        for program in &self.programs {
            let crates: BTreeSet<String> = program.crates.iter().map(crate_reference).collect();
            dependencies.push(depends(&format!("program:{}", program.name), crates.iter().collect()));
        }
        if let Some(kernel) = &self.kernel {
            dependencies.push(depends("kernel", vec![&deb_purl(&kernel.source)]));
        }
        let mut document = json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "component": {"type": "operating-system", "bom-ref": image, "name": self.name, "version": self.version},
                "tools": {"components": [{"type": "application", "name": "cloister-image", "version": env!("CARGO_PKG_VERSION")}]},
            },
            "components": components.into_values().collect::<Vec<_>>(),
            "dependencies": dependencies,
        });
        let serial = serial_number(&to_jcs(&document)?);
        if let Some(members) = document.as_object_mut() {
            members.insert("serialNumber".to_owned(), serial.into());
        }
        Ok(to_jcs(&document)?)
    }

    /// Every path with its owner.
    fn owners(&self) -> Result<BTreeMap<&str, (String, Option<Hex32>)>, SbomError> {
        let named = |name: &str, version: &str| format!("{name} {version}");
        let packages = self.debs.iter().chain(&self.wheels).map(|one| (named(&one.name, &one.version), &one.paths));
        let programs = self.programs.iter().map(|one| (one.name.clone(), &one.paths));
        let models = self.models.iter().map(|one| (named(&one.name, &one.revision), &one.paths));
        let own = std::iter::once(("this repository".to_owned(), &self.own));
        let mut owners = BTreeMap::new();
        for (owner, paths) in packages.chain(programs).chain(models).chain(own) {
            for OwnedFile { path, sha256 } in paths {
                if let Some((one, _)) = owners.insert(path.as_str(), (owner.clone(), *sha256)) {
                    return Err(SbomError::TwoOwners { path: path.clone(), one, other: owner });
                }
            }
        }
        Ok(owners)
    }
}

/// That the volumes hold exactly the files that are listed, with the content that is listed. Directories are nobody's.
///
/// # Errors
/// [`SbomError::Coverage`] with every path that differs, [`SbomError::TwoOwners`], or [`SbomError::Read`].
pub fn check(input: &SbomInput, volumes: &[(&str, &FileTree)]) -> Result<(), SbomError> {
    let mut listed = input.owners()?;
    let mut found = Coverage::default();
    for (volume, tree) in volumes {
        for (path, node) in tree.entries() {
            let sha256 = match node {
                Node::Directory { .. } => continue,
                Node::Symlink { .. } => None,
                Node::File { source, .. } => Some(digest(source)?),
            };
            let path = format!("{volume}/{path}");
            match listed.remove(path.as_str()) {
                None => found.uncovered.push(path),
                Some((_, expected)) if expected != sha256 => found.different.push(path),
                Some(_) => {}
            }
        }
    }
    found.absent = listed.into_keys().map(str::to_owned).collect();
    if found == Coverage::default() { Ok(()) } else { Err(SbomError::Coverage(found)) }
}

fn digest(source: &Source) -> Result<Hex32, SbomError> {
    let path = match source {
        Source::Bytes(bytes) => return Ok(Hex32(Sha256Digest::of(bytes).0)),
        Source::File(path) => path,
    };
    let failed = |source| SbomError::Read { path: path.clone(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut stream = Sha256Stream::new();
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(Hex32(stream.finish().0)),
            read => stream.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

#[derive(Deserialize)]
struct CargoLock {
    package: Vec<LockedCrate>,
}

#[derive(Deserialize)]
struct LockedCrate {
    name: String,
    version: String,
    checksum: Option<Hex32>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// The crates a crate may contain: the closure of its dependencies in `Cargo.lock`. It holds those of tests, of build scripts and of
/// other systems too, which the lock file does not tell apart: more than is linked, never less.
///
/// # Errors
/// [`SbomError::CargoLock`] or [`SbomError::NoCrate`].
pub fn crates_of(cargo_lock: &str, root: &str) -> Result<Vec<Crate>, SbomError> {
    let lock: CargoLock = toml::from_str(cargo_lock)?;
    let mut open = vec![root.to_owned()];
    let mut found: BTreeMap<(&str, &str), &LockedCrate> = BTreeMap::new();
    while let Some(wanted) = open.pop() {
        // `name`, or `name version` where there are several, or `name version (source)`.
        let mut words = wanted.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        let is_wanted = |one: &&LockedCrate| one.name == name && version.is_none_or(|version| one.version == version);
        let locked = lock.package.iter().find(is_wanted).ok_or_else(|| SbomError::NoCrate { name: wanted.clone() })?;
        if found.insert((&locked.name, &locked.version), locked).is_none() {
            open.extend(locked.dependencies.iter().cloned());
        }
    }
    let crates = found.into_values();
    Ok(crates
        .map(|one| Crate { name: one.name.clone(), version: one.version.clone(), checksum: one.checksum })
        .collect())
}

fn sha256_hash(sha256: Hex32) -> Value {
    json!([{"alg": "SHA-256", "content": sha256}])
}

fn files(paths: &[OwnedFile]) -> Vec<Value> {
    let sorted: BTreeSet<&OwnedFile> = paths.iter().collect();
    let component = |file: &OwnedFile| match file.sha256 {
        Some(sha256) => {
            json!({"type": "file", "bom-ref": format!("file:{}", file.path), "name": file.path, "hashes": sha256_hash(sha256)})
        }
        None => json!({"type": "file", "bom-ref": format!("file:{}", file.path), "name": file.path,
            "properties": [property("cloister:kind", "symbolic link")]}),
    };
    sorted.into_iter().map(component).collect()
}

fn property(name: &str, value: impl Into<String>) -> Value {
    json!({"name": name, "value": value.into()})
}

fn package(package: &Package, purl: &str) -> Value {
    json!({"type": "library", "bom-ref": purl, "purl": purl, "name": package.name, "version": package.version,
        "hashes": sha256_hash(package.sha256), "properties": [property("cloister:archive-size", package.size.to_string())],
        "components": files(&package.paths)})
}

fn deb_purl(deb: &Package) -> String {
    format!("pkg:deb/debian/{}@{}?arch={}", encoded(&deb.name), encoded(&deb.version), encoded(&deb.arch))
}

/// A crate of this repository is in no registry, so it gets no package URL.
fn crate_reference(one: &Crate) -> String {
    let kind = if one.checksum.is_some() { "pkg:cargo/" } else { "crate:" };
    format!("{kind}{}@{}", encoded(&one.name), encoded(&one.version))
}

fn crate_component(one: &Crate) -> Value {
    let reference = crate_reference(one);
    let mut component = Map::from_iter([
        ("type".to_owned(), json!("library")),
        ("bom-ref".to_owned(), json!(reference)),
        ("name".to_owned(), json!(one.name)),
        ("version".to_owned(), json!(one.version)),
    ]);
    if let Some(checksum) = one.checksum {
        component.insert("purl".to_owned(), json!(reference));
        component.insert("hashes".to_owned(), sha256_hash(checksum));
    }
    Value::Object(component)
}

fn kernel_component(kernel: &Kernel) -> Value {
    let config = property("cloister:kernel-config-sha256", kernel.config_sha256.to_string());
    let patch =
        |(name, sha256): (&String, &Hex32)| property("cloister:kernel-patch", format!("{name} sha256:{sha256}"));
    let properties: Vec<Value> = std::iter::once(config).chain(kernel.patches.iter().map(patch)).collect();
    json!({"type": "operating-system", "bom-ref": "kernel", "name": "linux", "version": kernel.source.version,
        "hashes": sha256_hash(kernel.sha256), "properties": properties})
}

/// Percent-encoding of package URLs: everything but letters, digits, `.`, `-`, `_`, `~` and `:`.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// A version 8 UUID (RFC 9562 §5.8) made from the content.
fn serial_number(content: &[u8]) -> String {
    let mut uuid = [0_u8; 16];
    uuid.iter_mut().zip(Sha256Digest::of(content).0).for_each(|(byte, value)| *byte = value);
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut uuid;
    *version = *version & 0x0f | 0x80;
    *variant = *variant & 0x3f | 0x80;
    let hex = hex::encode(uuid);
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    format!("urn:uuid:{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

#[cfg(test)]
#[path = "sbom_tests.rs"]
mod tests;
