//! `lock update`: the only step that asks an archive what there is. Its result is a lock file to be read by a person and committed.
//!
//! Decides: which versions are locked. Trusts an archive's index only as far as Debian's own signature on the release file reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use attestation::Sha256Digest;
use serde::Deserialize;

use crate::fetch;
use crate::lock::{Lock, LockedDeb, LockedWheel, SCHEMA, SuiteIndex, Unavailable, is_sha256};
use crate::packages::{Index, Package};

/// Largest index read.
const INDEX_BYTES_MAX: u64 = 256 << 20;

/// Keyring of the archive's signing keys (package `debian-archive-keyring`).
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A list of what shall be locked (`image/lock/*.packages.json`).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageList {
    /// Debian packages.
    pub debs: Vec<Group>,
    /// Wheels, already by hash.
    #[serde(default)]
    pub wheels: Vec<LockedWheel>,
    /// Files that name more wheels; [`PackageList::load`] reads them.
    #[serde(default)]
    pub requirements: Vec<Requirements>,
    /// What is declared and cannot be had.
    #[serde(default)]
    pub unavailable: Vec<Unavailable>,
}

/// A requirements file of pip, with hashes: nothing is written twice.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirements {
    /// What its wheels are for.
    pub role: String,
    /// Its path, from the folder of the list.
    pub file: PathBuf,
}

impl PackageList {
    /// Reads the list at `path` and the requirements files that it names.
    ///
    /// # Errors
    /// When a file cannot be read or is not of its form.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let is_no_list = || format!("{} is not a package list", path.display());
        let mut list: Self = serde_json::from_slice(&text).with_context(is_no_list)?;
        for requirements in std::mem::take(&mut list.requirements) {
            let file = path.with_file_name("").join(&requirements.file);
            let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            let is_no_lock = || format!("{} is not a lock", file.display());
            list.wheels.extend(wheels(&requirements.role, &text).with_context(is_no_lock)?);
        }
        Ok(list)
    }
}

/// Wheels of a requirements file: `name==version`, a line that goes on, and exactly one `--hash`.
fn wheels(role: &str, text: &str) -> anyhow::Result<Vec<LockedWheel>> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let wheel = |line: &str| {
        let mut parts = line.split_whitespace();
        let (name, version) = parts.next()?.split_once("==")?;
        let sha256 = parts.next()?.strip_prefix("--hash=sha256:")?.to_owned();
        let whole = parts.next().is_none() && is_sha256(&sha256);
        whole.then(|| LockedWheel { role: role.to_owned(), name: name.to_owned(), version: version.to_owned(), sha256 })
    };
    lines.map(|line| wheel(line).with_context(|| format!("{line:?} is not one version with one SHA-256"))).collect()
}

/// Names from one suite for one role.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What they are for.
    pub role: String,
    /// Archive directory: `debian` or `debian-security`.
    pub archive: String,
    /// Suite.
    pub suite: String,
    /// Component.
    pub component: String,
    /// Package names.
    pub names: Vec<String>,
    /// Whether their dependencies are locked as well.
    pub closure: bool,
    /// Dependencies that are not wanted.
    #[serde(default)]
    pub leave_out: BTreeSet<String>,
}

/// Resolves `list` against the archive at `mirror`; says each step to `say`.
///
/// # Errors
/// When the archive cannot be reached, its signature does not verify, or it lacks a package.
pub fn resolve(list: &PackageList, mirror: &str, say: &mut dyn FnMut(&str)) -> anyhow::Result<Lock> {
    if !list.requirements.is_empty() {
        bail!("the list was not read with PackageList::load, and its requirements files are missing");
    }
    let mut lock = Lock { schema: SCHEMA.to_owned(), ..Lock::default() };
    let mut indexes = BTreeMap::new();
    for group in &list.debs {
        let key = (group.archive.clone(), group.suite.clone(), group.component.clone());
        if !indexes.contains_key(&key) {
            say(&format!("index of {} {}", group.suite, group.component));
            let (suite, index) = index(mirror, group)?;
            lock.suites.insert(group.suite.clone(), suite);
            indexes.insert(key.clone(), index);
        }
        let index = indexes.get(&key).context("the index was just read")?;
        let chosen = if group.closure {
            index.closure(&group.names, &group.leave_out).map_err(|name| missing(group, &name))?
        } else {
            let find = |name: &String| index.get(name).ok_or_else(|| missing(group, name));
            group.names.iter().map(find).collect::<anyhow::Result<Vec<_>>>()?
        };
        lock.debs.extend(chosen.into_iter().map(|package| locked(group, package)));
    }
    lock.debs.sort();
    lock.wheels = list.wheels.clone();
    lock.wheels.sort();
    lock.unavailable = list.unavailable.clone();
    Ok(lock)
}

fn missing(group: &Group, name: &str) -> anyhow::Error {
    anyhow::anyhow!("{} has no package {name:?} (for {})", group.suite, group.role)
}

fn locked(group: &Group, package: &Package) -> LockedDeb {
    LockedDeb {
        role: group.role.clone(),
        name: package.name.clone(),
        version: package.version.clone(),
        arch: package.arch.clone(),
        suite: group.suite.clone(),
        path: format!("{}/{}", group.archive, package.filename),
        size: package.size,
        sha256: package.sha256.clone(),
    }
}

fn index(mirror: &str, group: &Group) -> anyhow::Result<(SuiteIndex, Index)> {
    let base = format!("{mirror}/{}/dists/{}", group.archive, group.suite);
    let signed = get(&format!("{base}/InRelease"))?;
    let release = verified(&signed)?;
    require_suite(&release, &group.suite)?;
    let name = format!("{}/binary-amd64/Packages.xz", group.component);
    let expected = release_sha256(&release, &name).with_context(|| format!("{} has no {name}", group.suite))?;
    let packed = get(&format!("{base}/{name}"))?;
    let got = Sha256Digest::of(&packed).to_hex();
    if got != expected {
        bail!(
            "{name} of {} has sha256 {got}, its release file says {expected}; the mirror is being updated, try again",
            group.suite
        );
    }
    let mut text = String::new();
    liblzma::read::XzDecoder::new(packed.as_slice()).take(INDEX_BYTES_MAX).read_to_string(&mut text)?;
    let date = release.lines().find_map(|line| line.strip_prefix("Date: ")).unwrap_or_default().to_owned();
    Ok((SuiteIndex { date, inrelease_sha256: Sha256Digest::of(&signed).to_hex() }, Index::parse(&text)))
}

/// A mirror could hand out another suite's release file, which is signed as well.
fn require_suite(release: &str, suite: &str) -> anyhow::Result<()> {
    let named = |field: &str| release.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
    let (by_suite, by_codename) = (named("Suite"), named("Codename"));
    if [by_suite, by_codename].contains(&Some(suite)) {
        return Ok(());
    }
    bail!("the mirror's release file for {suite} is that of {}", by_codename.or(by_suite).unwrap_or("no suite"));
}

fn get(address: &str) -> anyhow::Result<Vec<u8>> {
    let response = fetch::http()?.get(address).send()?.error_for_status()?;
    let mut bytes = Vec::new();
    response.take(INDEX_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text under Debian's signature. `gpgv` of the distribution checks it: a second OpenPGP implementation would be more to trust.
/// Whether the release file has expired is not asked: a person reads the difference before it is committed.
fn verified(signed: &[u8]) -> anyhow::Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), signed)?;
    let output = Command::new("gpgv")
        .args(["--keyring", KEYRING, "--output", "-"])
        .arg(file.path())
        .output()
        .context("start gpgv; install the packages gpgv and debian-archive-keyring")?;
    if !output.status.success() {
        bail!("the release file is not signed by the archive: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// SHA-256 that a release file states for `name`.
fn release_sha256(release: &str, name: &str) -> Option<String> {
    let section = release.split_once("\nSHA256:\n")?.1;
    section.lines().take_while(|line| line.starts_with(' ')).find_map(|line| {
        let mut fields = line.split_whitespace();
        let digest = fields.next()?;
        (fields.nth(1)? == name).then(|| digest.to_owned())
    })
}

/// Writes `lock` in place of the file at `path`.
///
/// # Errors
/// When the file cannot be written.
pub fn write(lock: &Lock, path: &Path) -> anyhow::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let file = tempfile::NamedTempFile::new_in(dir)?;
    std::fs::write(file.path(), lock.to_json())?;
    std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.persist(path).with_context(|| format!("write {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{PackageList, require_suite, wheels};

    #[test]
    fn a_release_file_of_another_suite_is_refused() {
        let release =
            "Origin: Debian\nSuite: stable-security\nCodename: trixie-security\nDate: Sat, 28 Nov 2026 00:00:00 UTC\n";
        require_suite(release, "trixie-security").unwrap();
        require_suite(release, "stable-security").unwrap();
        for suite in ["trixie", "sid", "trixie-security ", ""] {
            assert!(require_suite(release, suite).is_err(), "{suite:?}");
        }
        assert!(require_suite("Origin: Debian\n", "trixie").is_err());
    }

    #[test]
    fn a_requirements_file_names_wheels() {
        let text = format!("# Why\na-b==1.0+c \\\n    --hash=sha256:{0}\nd==2 --hash=sha256:{0}\n", "ab".repeat(32));
        let found = wheels("engine", &text).unwrap();
        let names: Vec<_> = found.iter().map(|wheel| (wheel.name.as_str(), wheel.version.as_str())).collect();
        assert_eq!(names, [("a-b", "1.0+c"), ("d", "2")]);
    }

    #[test]
    fn a_requirement_without_one_hash_is_refused() {
        let hash = format!("--hash=sha256:{}", "ab".repeat(32));
        let long = [format!("a>=1 {hash}"), format!("a==1 {hash} {hash}")];
        for line in ["a==1", "a==1 --hash=sha256:00"].into_iter().chain(long.iter().map(String::as_str)) {
            assert!(wheels("engine", line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_shipped_lists_can_be_read() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../lock");
        for name in ["cpu-vllm", "gpu"] {
            let list = PackageList::load(&dir.join(format!("{name}.packages.json"))).unwrap();
            assert!(list.wheels.len() > 100 && list.requirements.is_empty(), "{name}");
        }
    }
}
