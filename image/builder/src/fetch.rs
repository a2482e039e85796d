//! Fetching locked inputs into a store that is addressed by content.
//!
//! Decides: nothing by where bytes come from, everything by their size and SHA-256. The order of sources is a matter of speed: the store, a
//! mirror, a snapshot service, a release asset. What fails the check is thrown away and the next source is tried.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use attestation::Sha256Stream;

use crate::lock::{LockedDeb, LockedWheel};

/// Time for a server to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Time for one whole download; the largest package has 150 MB.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(900);

/// Newest version of the C library that a wheel may ask for (`manylinux_2_<minor>`), and the oldest that wheels name.
const WHEEL_LIBC_MINORS: std::ops::RangeInclusive<u32> = 5..=35;

/// Where inputs may come from, beside the store.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Base of an archive mirror: `scheme://host` or a directory; a package's `path` is appended.
    pub mirror: Option<String>,
    /// Template of a snapshot service with `{archive}`, `{timestamp}` and `{path}` (below the archive).
    pub snapshot: Option<String>,
    /// Moment that fills `{timestamp}`.
    pub snapshot_timestamp: String,
    /// A directory or base address that holds `<sha256>.deb`, such as an unpacked release asset.
    pub asset: Option<String>,
    /// Folder of packages that the repository itself carries, by file name.
    pub vendored: Option<PathBuf>,
}

impl Sources {
    /// The mirror that this machine's own package manager uses, if it is Debian's.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let output = Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]).output();
        let listed = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let mirror =
            listed.lines().find_map(|uri| uri.trim_end_matches('/').strip_suffix("/debian").map(str::to_owned));
        Self { mirror, ..Self::default() }
    }

    /// Where a package might be, in order.
    fn of(&self, deb: &LockedDeb) -> Vec<String> {
        let (archive, rest) = deb.path.split_once('/').unwrap_or(("", &deb.path));
        let mirror = self.mirror.iter().map(|base| format!("{base}/{}", deb.path));
        let snapshot = self.snapshot.iter().map(|template| {
            template
                .replace("{archive}", archive)
                .replace("{timestamp}", &self.snapshot_timestamp)
                .replace("{path}", rest)
        });
        let asset = self.asset.iter().map(|base| format!("{base}/{}.deb", deb.sha256));
        let file_name = rest.rsplit('/').next().unwrap_or(rest);
        let vendored = self.vendored.iter().map(|dir| dir.join(file_name)).filter(|file| file.exists());
        let vendored = vendored.map(|file| file.display().to_string());
        vendored.chain(mirror).chain(snapshot).chain(asset).collect()
    }
}

/// Verified inputs on disk.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    sources: Sources,
}

/// Why an input could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The store cannot be written.
    #[error("write {path}")]
    Store {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// No source had it.
    #[error(
        "{what} cannot be fetched: {tried}; put the file at {path}, or name a source with --mirror, --snapshot or --asset"
    )]
    Nowhere {
        /// Package and version.
        what: String,
        /// Each source with what went wrong.
        tried: String,
        /// Where it is looked for first.
        path: PathBuf,
    },
    /// The Python package installer failed.
    #[error("fetch wheels: {reason}")]
    Wheels {
        /// What it said.
        reason: String,
    },
}

/// What a source gave instead of the wanted bytes.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("size {got}, locked {expected}")]
    Size { got: String, expected: u64 },
    #[error("sha256 {got}, locked {expected}")]
    Hash { got: String, expected: String },
}

impl Store {
    /// A store in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf, sources: Sources) -> Self {
        Self { dir, sources }
    }

    /// Where a package lies once it is fetched.
    #[must_use]
    pub fn path(&self, deb: &LockedDeb) -> PathBuf {
        self.dir.join(format!("{}.deb", deb.sha256))
    }

    /// Where a wheel lies once it is fetched.
    #[must_use]
    pub fn wheel_path(&self, wheel: &LockedWheel) -> PathBuf {
        self.dir.join(format!("{}.whl", wheel.sha256))
    }

    /// Fetches what is not in the store yet; `progress` is told the bytes that came in.
    ///
    /// What is in the store is hashed again: a damaged file is fetched anew, never used.
    ///
    /// # Errors
    /// [`FetchError`] naming the first package that no source has.
    pub fn ensure(&self, debs: &[&LockedDeb], progress: &mut dyn FnMut(u64)) -> Result<(), FetchError> {
        fs::create_dir_all(&self.dir).map_err(|source| FetchError::Store { path: self.dir.clone(), source })?;
        for deb in debs {
            self.ensure_one(deb, progress)?;
        }
        Ok(())
    }

    fn ensure_one(&self, deb: &LockedDeb, progress: &mut dyn FnMut(u64)) -> Result<(), FetchError> {
        let path = self.path(deb);
        if path.exists() {
            let stored = File::open(&path).map_err(Wrong::Io);
            if stored.and_then(|mut file| copy_checked(&mut file, &mut io::sink(), deb, progress)).is_ok() {
                return Ok(());
            }
            fs::remove_file(&path).map_err(|source| FetchError::Store { path: path.clone(), source })?;
        }
        let mut tried = Vec::new();
        for source in self.sources.of(deb) {
            match self.fetch(&source, deb, &path, progress) {
                Ok(()) => return Ok(()),
                Err(wrong) => tried.push(format!("{source}: {wrong}")),
            }
        }
        if tried.is_empty() {
            tried.push("no source is configured".to_owned());
        }
        let what = format!("{} {}", deb.name, deb.version);
        Err(FetchError::Nowhere { what, tried: tried.join("; "), path })
    }

    /// One download: into a file of its own, renamed only when it is what the lock says.
    fn fetch(&self, source: &str, deb: &LockedDeb, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), Wrong> {
        let mut part = tempfile::Builder::new().prefix(".part-").tempfile_in(&self.dir)?;
        if source.contains("://") {
            let mut body = http()?.get(source).send()?.error_for_status()?;
            copy_checked(&mut body, part.as_file_mut(), deb, progress)?;
        } else {
            copy_checked(&mut File::open(source)?, part.as_file_mut(), deb, progress)?;
        }
        part.as_file_mut().sync_all()?;
        part.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Fetches wheels with pip, which is told every hash and resolves nothing. `python` is the version that will run them.
    ///
    /// # Errors
    /// [`FetchError`] with pip's own words.
    pub fn ensure_wheels(&self, wheels: &[&LockedWheel], python: Option<&str>) -> Result<(), FetchError> {
        fs::create_dir_all(&self.dir).map_err(failed(&self.dir))?;
        let stored =
            |wheel: &&&LockedWheel| sha256_of(&self.wheel_path(wheel)).is_ok_and(|digest| digest == wheel.sha256);
        let missing: Vec<&LockedWheel> = wheels.iter().filter(|wheel| !stored(wheel)).copied().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let dir = tempfile::Builder::new().prefix(".wheels-").tempdir_in(&self.dir).map_err(failed(&self.dir))?;
        download(&missing, python, dir.path())?;
        for entry in fs::read_dir(dir.path()).map_err(failed(dir.path()))? {
            let file = entry.map_err(failed(dir.path()))?.path();
            let digest = sha256_of(&file).map_err(failed(&file))?;
            if let Some(wheel) = missing.iter().find(|wheel| wheel.sha256 == digest) {
                let path = self.wheel_path(wheel);
                fs::rename(&file, &path).map_err(failed(&path))?;
            }
        }
        match missing.iter().find(|wheel| !self.wheel_path(wheel).exists()) {
            Some(wheel) => {
                Err(FetchError::Wheels { reason: format!("{} {} did not arrive", wheel.name, wheel.version) })
            }
            None => Ok(()),
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_path_buf();
    move |source| FetchError::Store { path, source }
}

/// One run of pip.
fn download(wheels: &[&LockedWheel], python: Option<&str>, dir: &Path) -> Result<(), FetchError> {
    let line = |wheel: &&LockedWheel| format!("{}=={} --hash=sha256:{}\n", wheel.name, wheel.version, wheel.sha256);
    let requirements = dir.join("requirements.txt");
    fs::write(&requirements, wheels.iter().map(line).collect::<String>()).map_err(failed(&requirements))?;
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]);
    command.arg("--dest").arg(dir).arg("--requirement").arg(&requirements);
    if let Some(python) = python {
        command.args(["--implementation", "cp", "--python-version", python]);
        for minor in WHEEL_LIBC_MINORS.rev() {
            command.args(["--platform", &format!("manylinux_2_{minor}_x86_64")]);
        }
        command.args(["--platform", "manylinux2014_x86_64"]);
    }
    let output = command.output();
    let output = output.map_err(|error| FetchError::Wheels { reason: format!("start python3 -m pip: {error}") })?;
    if output.status.success() {
        return Ok(());
    }
    Err(FetchError::Wheels { reason: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

/// An HTTP client with the limits above. What it fetches is checked by hash, so plain HTTP is as good as any.
pub(crate) fn http() -> Result<reqwest::blocking::Client, reqwest::Error> {
    reqwest::blocking::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(DOWNLOAD_TIMEOUT).build()
}

/// SHA-256 of a file, lowercase hex.
///
/// # Errors
/// When the file cannot be read.
pub fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256Stream::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let got = file.read(&mut buffer)?;
        if got == 0 {
            return Ok(hash.finish().to_hex());
        }
        hash.update(buffer.get(..got).unwrap_or_default());
    }
}

/// Copies exactly the locked number of bytes and compares their hash.
fn copy_checked(
    from: &mut dyn Read,
    to: &mut dyn Write,
    deb: &LockedDeb,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Wrong> {
    let mut hash = Sha256Stream::new();
    let mut buffer = vec![0; 1 << 18];
    let mut total: u64 = 0;
    loop {
        let got = from.read(&mut buffer)?;
        if got == 0 {
            break;
        }
        let chunk = buffer.get(..got).unwrap_or_default();
        total = total.saturating_add(u64::try_from(got).unwrap_or(u64::MAX));
        if total > deb.size {
            return Err(Wrong::Size { got: "more".to_owned(), expected: deb.size });
        }
        hash.update(chunk);
        to.write_all(chunk)?;
        progress(u64::try_from(got).unwrap_or(0));
    }
    if total != deb.size {
        return Err(Wrong::Size { got: total.to_string(), expected: deb.size });
    }
    let got = hash.finish().to_hex();
    if got != deb.sha256 {
        return Err(Wrong::Hash { got, expected: deb.sha256.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Sources, Store};
    use crate::lock::LockedDeb;

    fn deb(content: &[u8]) -> LockedDeb {
        LockedDeb {
            role: "engine".to_owned(),
            name: "a".to_owned(),
            version: "1".to_owned(),
            arch: "amd64".to_owned(),
            suite: "sid".to_owned(),
            path: "debian/pool/a.deb".to_owned(),
            size: u64::try_from(content.len()).unwrap(),
            sha256: attestation::Sha256Digest::of(content).to_hex(),
        }
    }

    /// A directory that plays the mirror, and one that plays the release asset.
    fn sources(root: &std::path::Path) -> Sources {
        fs::create_dir_all(root.join("mirror/debian/pool")).unwrap();
        fs::create_dir_all(root.join("asset")).unwrap();
        Sources {
            mirror: Some(root.join("mirror").display().to_string()),
            asset: Some(root.join("asset").display().to_string()),
            ..Sources::default()
        }
    }

    #[test]
    fn sources_are_tried_in_order_and_only_the_hash_decides() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path().join("store"), sources(root.path()));
        let wanted = deb(b"wanted");
        fs::write(root.path().join("mirror/debian/pool/a.deb"), b"forged").unwrap();
        let refused = store.ensure(&[&wanted], &mut |_| {}).unwrap_err().to_string();
        assert!(refused.contains("sha256") && refused.contains("--mirror"), "{refused}");
        fs::write(root.path().join("asset").join(format!("{}.deb", wanted.sha256)), b"wanted").unwrap();
        store.ensure(&[&wanted], &mut |_| {}).unwrap();
        assert_eq!(fs::read(store.path(&wanted)).unwrap(), b"wanted");
    }

    #[test]
    fn a_cut_or_long_download_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path().join("store"), sources(root.path()));
        let wanted = deb(b"wanted");
        for (content, problem) in [(&b"wan"[..], "size 3"), (b"wanted and more", "size more")] {
            fs::write(root.path().join("mirror/debian/pool/a.deb"), content).unwrap();
            let refused = store.ensure(&[&wanted], &mut |_| {}).unwrap_err().to_string();
            assert!(refused.contains(problem), "{refused}");
            assert_eq!(fs::read_dir(root.path().join("store")).unwrap().count(), 0, "no partial file is left");
        }
    }

    #[test]
    fn a_damaged_stored_file_is_fetched_anew() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path().join("store"), sources(root.path()));
        let wanted = deb(b"wanted");
        fs::write(root.path().join("mirror/debian/pool/a.deb"), b"wanted").unwrap();
        store.ensure(&[&wanted], &mut |_| {}).unwrap();
        fs::write(store.path(&wanted), b"wanteD").unwrap();
        store.ensure(&[&wanted], &mut |_| {}).unwrap();
        assert_eq!(fs::read(store.path(&wanted)).unwrap(), b"wanted");
    }
}
