//! The image's own programs: compiled statically in the tool root, from this checkout and the crates that `Cargo.lock` names.
//!
//! Decides: that no source enters which `Cargo.lock` does not name by hash; the crates are unpacked here from archives whose SHA-256 is
//! compared. Paths inside the tool root are fixed, so that the place of the checkout does not show in the programs. Trusts the Rust
//! compiler of the building machine, which is recorded in the manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use attestation::Sha256Digest;
use serde::Deserialize;

use crate::fetch::sha256_of;
use crate::toolroot::{Job, Mount, ToolRoot, ToolRootError};

/// Counted up when what is below changes.
const RECIPE: &str = "1";

/// The programs: package and binary.
pub const PROGRAMS: [(&str, &str); 3] =
    [("enclave", "cloister-guardian"), ("measured-init", "cloister-init"), ("measured-init", "cloister-probe")];

/// The only target.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Profile of the workspace that they are built with.
const PROFILE: &str = "image";

/// Static, position-independent programs: no loader in the image, and their addresses are random all the same.
const RUSTFLAGS: &str = "-C target-feature=+crt-static";

const COMPILE: &str = r#"
mkdir -p "$CARGO_HOME"
cat > "$CARGO_HOME/config.toml" <<END
[source.crates-io]
replace-with = "vendor"
[source.vendor]
directory = "/vendor"
END
cd /src
rustc --version --verbose > /build/rustc
jobs=$1; shift
exec cargo build --offline --locked "--jobs=$jobs" "$@"
"#;

/// What the programs are built from.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// Top of the checkout.
    pub checkout: &'a Path,
    /// Where cargo keeps what it fetched: `$CARGO_HOME`, or `~/.cargo`.
    pub cargo_home: &'a Path,
    /// What links them.
    pub tools: &'a ToolRoot,
    /// Where they are built and kept.
    pub cache: &'a Path,
    /// Parallel jobs.
    pub jobs: usize,
}

/// The finished programs.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Where they lie, by name.
    pub paths: BTreeMap<String, PathBuf>,
    /// What `rustc --version --verbose` said.
    pub rustc: String,
    /// Crates that are linked or used while building, as `name version`, from `Cargo.lock`.
    pub crates: Vec<String>,
    /// SHA-256 over what they were made from.
    pub key: String,
}

/// Why there are no programs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// A file could not be read or written.
    #[error("{path}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A program of the machine could not be run.
    #[error("{command} failed: {reason}")]
    Tool {
        /// The command line.
        command: String,
        /// What it said.
        reason: String,
    },
    /// `Cargo.lock` or the answer of `cargo metadata` is not of the expected form.
    #[error("{what} is not understood: {reason}")]
    Form {
        /// Which of them.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A crate's archive is not the one that was locked.
    #[error("{path} has sha256 {got}, Cargo.lock says {expected}; remove the file and build again")]
    Crate {
        /// The archive.
        path: PathBuf,
        /// Its SHA-256.
        got: String,
        /// The locked one.
        expected: String,
    },
    /// A crate comes from somewhere else than the registry.
    #[error("crate {0} has no checksum in Cargo.lock: only crates of the registry can enter the image")]
    NoChecksum(String),
    /// The build failed.
    #[error("compile the image's programs")]
    Job(#[from] ToolRootError),
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> CompileError {
    let path = path.to_path_buf();
    move |source| CompileError::File { path, source }
}

/// The programs of `recipe`, from the cache if they are there; `line` is told what cargo prints.
///
/// # Errors
/// [`CompileError`]; what is half made is removed, except for the log.
pub fn build(recipe: &Recipe<'_>, line: &mut dyn FnMut(&str)) -> Result<Programs, CompileError> {
    let lock_path = recipe.checkout.join("Cargo.lock");
    let lock_text = fs::read_to_string(&lock_path).map_err(failed(&lock_path))?;
    let lock: CargoLock = toml::from_str(&lock_text).map_err(|error| form("Cargo.lock", &error))?;
    let sysroot = PathBuf::from(run(recipe.checkout, "rustc", &["--print", "sysroot"])?.trim());
    let rustc = run(recipe.checkout, "rustc", &["--version", "--verbose"])?;
    let crates = local_crates(recipe.checkout)?;
    let key = key(recipe, &crates, &lock_text, &rustc)?;
    let dir = recipe.cache.join(format!("programs-{key}"));
    let paths = PROGRAMS.iter().map(|(_, name)| ((*name).to_owned(), dir.join(name))).collect();
    let programs = Programs { paths, rustc, crates: lock.reachable(PROGRAMS.map(|(package, _)| package)), key };
    if programs.paths.values().all(|path| path.exists()) {
        return Ok(programs);
    }
    fs::create_dir_all(recipe.cache).map_err(failed(recipe.cache))?;
    let vendor = vendor(recipe, &lock, &lock_text)?;
    let work = tempfile::Builder::new().prefix(".programs-").tempdir_in(recipe.cache).map_err(failed(recipe.cache))?;
    compile(recipe, &sysroot, &vendor, work.path(), line)?;
    let finished = work.path().join("finished");
    fs::create_dir(&finished).map_err(failed(&finished))?;
    for (_, name) in PROGRAMS {
        let built = work.path().join("target").join(TARGET).join(PROFILE).join(name);
        fs::copy(&built, finished.join(name)).map_err(failed(&built))?;
    }
    match fs::rename(&finished, &dir) {
        Err(_) if dir.exists() => Ok(programs),
        renamed => renamed.map(|()| programs).map_err(failed(&dir)),
    }
}

fn compile(
    recipe: &Recipe<'_>,
    sysroot: &Path,
    vendor: &Path,
    work: &Path,
    line: &mut dyn FnMut(&str),
) -> Result<(), CompileError> {
    let mounts = [
        Mount { from: recipe.checkout, at: "src", writable: false },
        Mount { from: sysroot, at: "rust", writable: false },
        Mount { from: vendor, at: "vendor", writable: false },
        Mount { from: work, at: "build", writable: true },
    ];
    let env = [
        "CARGO_HOME=/build/cargo".to_owned(),
        "CARGO_TARGET_DIR=/build/target".to_owned(),
        "CARGO_INCREMENTAL=0".to_owned(),
        format!("RUSTFLAGS={RUSTFLAGS}"),
    ];
    let jobs = recipe.jobs.max(1).to_string();
    let mut args = vec![jobs.as_str(), "--profile", PROFILE, "--target", TARGET];
    for (package, binary) in &PROGRAMS {
        args.extend(["--package", package, "--bin", binary]);
    }
    let log = recipe.cache.join("programs.log");
    let job = Job {
        what: "compile the image's programs",
        mounts: &mounts,
        env: &env,
        script: COMPILE,
        args: &args,
        log: &log,
    };
    Ok(recipe.tools.run(&job, line)?)
}

fn run(dir: &Path, program: &str, args: &[&str]) -> Result<String, CompileError> {
    let problem = |reason: String| CompileError::Tool { command: format!("{program} {}", args.join(" ")), reason };
    let output =
        Command::new(program).args(args).current_dir(dir).output().map_err(|error| problem(error.to_string()))?;
    if !output.status.success() {
        return Err(problem(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    String::from_utf8(output.stdout).map_err(|error| problem(error.to_string()))
}

fn form(what: &'static str, reason: &dyn std::fmt::Display) -> CompileError {
    CompileError::Form { what, reason: reason.to_string() }
}

/// `Cargo.lock`.
#[derive(Debug, Deserialize)]
struct CargoLock {
    package: Vec<LockedCrate>,
}

#[derive(Debug, Deserialize)]
struct LockedCrate {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

impl CargoLock {
    /// Names and versions of everything `roots` can reach, themselves included. It may be more than is linked: the lock does not tell
    /// features and targets apart.
    fn reachable(&self, roots: [&str; PROGRAMS.len()]) -> Vec<String> {
        let mut waiting: Vec<String> = roots.map(str::to_owned).into();
        let mut seen = BTreeSet::new();
        while let Some(dependency) = waiting.pop() {
            let mut parts = dependency.split(' ');
            let (name, version) = (parts.next().unwrap_or_default(), parts.next());
            for found in self.package.iter().filter(|found| found.name == name) {
                let wanted = version.is_none_or(|version| version == found.version);
                if wanted && seen.insert(format!("{} {}", found.name, found.version)) {
                    waiting.extend(found.dependencies.iter().cloned());
                }
            }
        }
        seen.into_iter().collect()
    }
}

/// A directory source with every crate of the lock; cargo wants to see them all, whatever it builds.
fn vendor(recipe: &Recipe<'_>, lock: &CargoLock, lock_text: &str) -> Result<PathBuf, CompileError> {
    let dir = recipe.cache.join(format!("crates-{}", Sha256Digest::of(lock_text.as_bytes()).to_hex()));
    if dir.exists() {
        return Ok(dir);
    }
    run(recipe.checkout, "cargo", &["fetch", "--locked"])?;
    let work = tempfile::Builder::new().prefix(".crates-").tempdir_in(recipe.cache).map_err(failed(recipe.cache))?;
    for locked in lock.package.iter().filter(|locked| locked.source.is_some()) {
        let checksum = locked.checksum.as_deref().ok_or_else(|| CompileError::NoChecksum(locked.name.clone()))?;
        let archive = archive_of(recipe.cargo_home, locked)?;
        let got = sha256_of(&archive).map_err(failed(&archive))?;
        if got != checksum {
            return Err(CompileError::Crate { path: archive, got, expected: checksum.to_owned() });
        }
        let packed = fs::File::open(&archive).map_err(failed(&archive))?;
        let mut unpacked = tar::Archive::new(flate2::read::GzDecoder::new(io::BufReader::new(packed)));
        unpacked.set_preserve_mtime(false);
        unpacked.unpack(work.path()).map_err(failed(&archive))?;
        let sums = work.path().join(format!("{}-{}", locked.name, locked.version)).join(".cargo-checksum.json");
        let text = format!("{{\"files\":{{}},\"package\":\"{checksum}\"}}");
        fs::write(&sums, text).map_err(failed(&sums))?;
    }
    match fs::rename(work.path(), &dir) {
        Err(_) if dir.exists() => Ok(dir),
        renamed => renamed.map(|()| dir.clone()).map_err(failed(&dir)),
    }
}

/// The archive that cargo fetched. There is one directory for each registry index that was ever used.
fn archive_of(cargo_home: &Path, locked: &LockedCrate) -> Result<PathBuf, CompileError> {
    let cache = cargo_home.join("registry/cache");
    let name = format!("{}-{}.crate", locked.name, locked.version);
    for entry in fs::read_dir(&cache).map_err(failed(&cache))? {
        let path = entry.map_err(failed(&cache))?.path().join(&name);
        if path.exists() {
            return Ok(path);
        }
    }
    Err(failed(&cache.join(name))(io::ErrorKind::NotFound.into()))
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<LocalCrate>,
}

#[derive(Debug, Deserialize)]
struct LocalCrate {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    path: Option<PathBuf>,
    kind: Option<String>,
}

/// Directories of the workspace's crates that the programs are made of.
fn local_crates(checkout: &Path) -> Result<BTreeSet<PathBuf>, CompileError> {
    let answer = run(checkout, "cargo", &["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"])?;
    let metadata: Metadata = serde_json::from_str(&answer).map_err(|error| form("cargo metadata", &error))?;
    let dir = |found: &LocalCrate| found.manifest_path.parent().map(Path::to_path_buf).unwrap_or_default();
    let wanted = |found: &&LocalCrate| PROGRAMS.iter().any(|(package, _)| *package == found.name);
    let mut waiting: Vec<_> = metadata.packages.iter().filter(wanted).map(dir).collect();
    let mut dirs = BTreeSet::new();
    while let Some(next) = waiting.pop() {
        let found = metadata.packages.iter().find(|found| dir(found) == next);
        let dependencies = found.map(|found| found.dependencies.as_slice()).unwrap_or_default();
        waiting.extend(
            dependencies.iter().filter(|one| one.kind.as_deref() != Some("dev")).filter_map(|one| one.path.clone()),
        );
        if !dirs.insert(next) {
            waiting.retain(|path| !dirs.contains(path));
        }
    }
    Ok(dirs)
}

fn key(recipe: &Recipe<'_>, crates: &BTreeSet<PathBuf>, lock: &str, rustc: &str) -> Result<String, CompileError> {
    let mut files = BTreeSet::new();
    for dir in crates {
        files_below(dir, crates, &mut files)?;
    }
    for name in ["Cargo.toml", "rust-toolchain.toml"] {
        files.insert(recipe.checkout.join(name));
    }
    let fixed = [RECIPE, COMPILE, RUSTFLAGS, PROFILE, TARGET, lock, rustc, recipe.tools.key()];
    let mut text: String = fixed.iter().map(|part| Sha256Digest::of(part.as_bytes()).to_hex()).collect();
    for file in files {
        let name = file.strip_prefix(recipe.checkout).unwrap_or(&file);
        let digest = sha256_of(&file).map_err(failed(&file))?;
        text.push_str(&format!("\n{digest} {}", name.display()));
    }
    Ok(Sha256Digest::of(text.as_bytes()).to_hex())
}

/// Files of one crate. A crate that lies inside another one counts only if it is wanted itself.
fn files_below(dir: &Path, crates: &BTreeSet<PathBuf>, files: &mut BTreeSet<PathBuf>) -> Result<(), CompileError> {
    for entry in fs::read_dir(dir).map_err(failed(dir))? {
        let path = entry.map_err(failed(dir))?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.') || name == "target");
        if hidden {
            continue;
        }
        if !path.is_dir() {
            files.insert(path);
        } else if !path.join("Cargo.toml").exists() || crates.contains(&path) {
            files_below(&path, crates, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::{CargoLock, files_below};

    #[test]
    fn what_a_root_reaches_is_followed_by_version() {
        let lock: CargoLock = toml::from_str(
            r#"
            [[package]]
            name = "enclave"
            version = "1.0.0"
            dependencies = ["a 2.0.0", "b"]
            [[package]]
            name = "a"
            version = "1.0.0"
            [[package]]
            name = "a"
            version = "2.0.0"
            dependencies = ["c"]
            [[package]]
            name = "b"
            version = "1.0.0"
            [[package]]
            name = "c"
            version = "1.0.0"
            dependencies = ["a 2.0.0"]
            [[package]]
            name = "d"
            version = "1.0.0"
            "#,
        )
        .unwrap();
        let reached = lock.reachable(["enclave", "enclave", "absent"]);
        assert_eq!(reached, ["a 2.0.0", "b 1.0.0", "c 1.0.0", "enclave 1.0.0"]);
    }

    #[test]
    fn a_crate_inside_another_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        for file in ["Cargo.toml", "src/lib.rs", "inner/Cargo.toml", "inner/src/lib.rs", "target/junk", ".hidden"] {
            fs::create_dir_all(root.path().join(file).parent().unwrap()).unwrap();
            fs::write(root.path().join(file), "").unwrap();
        }
        let mut files = BTreeSet::new();
        files_below(root.path(), &BTreeSet::new(), &mut files).unwrap();
        let names: Vec<_> =
            files.iter().map(|file| file.strip_prefix(root.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["Cargo.toml", "src/lib.rs"]);
    }
}
