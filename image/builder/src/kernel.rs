//! The guest's kernel: Debian's source, our patches, `tinyconfig` and the fragment, compiled in the tool root.
//!
//! Decides: that the kernel has every option of `fragment.config` and none of `forbidden.config`, or there is no kernel. What it is made
//! of gives its name, so that it is compiled once and an unfinished one is never found. Trusts the locked source package.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use attestation::Sha256Digest;
use liblzma::read::XzDecoder;

use crate::deb::{self, DebError};
use crate::fetch::{FetchError, Store};
use crate::lock::{Lock, LockError, LockedDeb};
use crate::toolroot::{Job, Mount, ToolRoot, ToolRootError};

/// Role of the source package in the lock.
pub const ROLE: &str = "kernel-source";

/// Name of the source package; it holds `usr/src/<name>.tar.xz` with the directory `<name>`.
const SOURCE: &str = "linux-source-6.12";

/// Counted up when the scripts below change.
const RECIPE: &str = "1";

/// About how many objects are compiled, for a progress bar.
pub const OBJECTS_ABOUT: u64 = 1300;

/// Offending options that an error names.
const OFFENDERS_SHOWN: usize = 6;

/// Everything that would differ from build to build is fixed; `-ffile-prefix-map` is for `__FILE__` and assembler sources. The two
/// flags beside it took about a tenth off the time of one object; they concern where a warning points and one kind of warning, not the code.
pub(crate) const SETTINGS: [&str; 3] =
    ["KBUILD_BUILD_TIMESTAMP=1970-01-01 00:00:00", "KBUILD_BUILD_USER=cloister", "KBUILD_BUILD_HOST=cloister"];

// Every script runs under `sh -e`: the first command that fails ends it, so a patch that does not apply is never passed over.
const PATCH: &str = r#"
cd "/build/$1"
for patch in /src/patches/*.patch; do
    patch --strip=1 --fuzz=0 --batch < "$patch"
done
"#;

const CONFIGURE: &str = r#"
cd "/build/$1"
make tinyconfig
cat /src/fragment.config >> .config
make olddefconfig
"#;

const COMPILE: &str = r#"
cd "/build/$1"
make "--jobs=$2" "KCFLAGS=-ffile-prefix-map=/build/$1/= -ftrack-macro-expansion=0 -Wno-misleading-indentation" bzImage
"#;

/// What a kernel is made from.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// `image/kernel/`: `fragment.config`, `forbidden.config`, `patches/`.
    pub dir: &'a Path,
    /// The lock with the source package.
    pub lock: &'a Lock,
    /// Where the source package is fetched to.
    pub store: &'a Store,
    /// What compiles it.
    pub tools: &'a ToolRoot,
    /// Where it is built and kept.
    pub cache: &'a Path,
    /// Parallel jobs.
    pub jobs: usize,
}

/// A finished kernel.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The compressed image.
    pub bz_image: PathBuf,
    /// Its whole configuration.
    pub config: PathBuf,
    /// SHA-256 over what it was made from.
    pub key: String,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A step began.
    Step(&'a str),
    /// Bytes were fetched.
    Fetched(u64),
    /// So many objects are compiled; there are about [`OBJECTS_ABOUT`].
    Objects(u64),
}

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The lock lacks the source.
    #[error("find the kernel's source in the lock")]
    Lock(#[from] LockError),
    /// The source could not be fetched.
    #[error("fetch the kernel's source")]
    Fetch(#[from] FetchError),
    /// The package could not be unpacked.
    #[error("unpack the kernel's source package")]
    Unpack(#[from] DebError),
    /// A file could not be read or written.
    #[error("{path}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A job failed.
    #[error("build the kernel")]
    Job(#[from] ToolRootError),
    /// The resulting configuration is not the one that was asked for.
    #[error("the kernel's configuration is not what image/kernel asks for: {}", .0.join("; "))]
    Config(Vec<String>),
    /// A line of the lists is not of their form.
    #[error("{file} line {line}: {text:?} is neither an option nor a comment")]
    List {
        /// Which list.
        file: &'static str,
        /// Line number.
        line: usize,
        /// The line.
        text: String,
    },
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> KernelError {
    let path = path.to_path_buf();
    move |source| KernelError::File { path, source }
}

/// The kernel of `recipe`, from the cache if it is there.
///
/// # Errors
/// [`KernelError`]; what is half made is removed, except for the logs.
pub fn build(recipe: &Recipe<'_>, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Kernel, KernelError> {
    let source = recipe.lock.deb(ROLE, SOURCE)?;
    let inputs = Inputs::read(recipe.dir)?;
    let key = inputs.key(source, recipe.tools);
    let dir = recipe.cache.join(format!("kernel-{key}"));
    let kernel = Kernel { bz_image: dir.join("bzImage"), config: dir.join("config"), key };
    if kernel.bz_image.exists() && kernel.config.exists() {
        return Ok(kernel);
    }
    progress(Progress::Step("fetch the kernel's source"));
    recipe.store.ensure(&[source], &mut |bytes| progress(Progress::Fetched(bytes)))?;
    fs::create_dir_all(recipe.cache).map_err(failed(recipe.cache))?;
    let work = tempfile::Builder::new().prefix(".kernel-").tempdir_in(recipe.cache).map_err(failed(recipe.cache))?;
    let work = work.path();
    progress(Progress::Step("unpack the kernel's source"));
    unpack(&recipe.store.path(source), work)?;
    compile(recipe, &inputs, work, progress)?;
    // Both files move together: the directory appears whole or not at all.
    let finished = work.join("finished");
    fs::create_dir(&finished).map_err(failed(&finished))?;
    let tree = work.join(SOURCE);
    for (from, to) in [("arch/x86/boot/bzImage", "bzImage"), (".config", "config")] {
        fs::copy(tree.join(from), finished.join(to)).map_err(failed(&tree.join(from)))?;
    }
    match fs::rename(&finished, &dir) {
        Err(_) if kernel.bz_image.exists() => Ok(kernel),
        renamed => renamed.map(|()| kernel).map_err(failed(&dir)),
    }
}

/// The package holds one archive, which is unpacked in turn. Times do not matter to the build: every object is new.
fn unpack(package: &Path, work: &Path) -> Result<(), KernelError> {
    let outer = work.join("package");
    fs::create_dir(&outer).map_err(failed(&outer))?;
    deb::extract(package, &outer)?;
    let path = outer.join("usr/src").join(format!("{SOURCE}.tar.xz"));
    let packed = fs::File::open(&path).map_err(failed(&path))?;
    let mut archive = tar::Archive::new(XzDecoder::new(io::BufReader::with_capacity(1 << 20, packed)));
    archive.set_preserve_mtime(false);
    archive.unpack(work).map_err(failed(&path))?;
    fs::remove_dir_all(&outer).map_err(failed(&outer))
}

fn compile(
    recipe: &Recipe<'_>,
    inputs: &Inputs,
    work: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), KernelError> {
    let mounts =
        [Mount { from: work, at: "build", writable: true }, Mount { from: recipe.dir, at: "src", writable: false }];
    let env = SETTINGS.map(str::to_owned);
    let jobs = recipe.jobs.max(1).to_string();
    let mut objects = 0;
    for (step, script) in [("patch", PATCH), ("configure", CONFIGURE), ("compile", COMPILE)] {
        let what = format!("{step} the kernel");
        progress(Progress::Step(&what));
        let log = recipe.cache.join(format!("kernel-{step}.log"));
        let args = [SOURCE, jobs.as_str()];
        let job = Job { what: &what, mounts: &mounts, env: &env, script, args: &args, log: &log };
        recipe.tools.run(&job, &mut |line| {
            if is_object(line) {
                objects += 1;
                progress(Progress::Objects(objects));
            }
        })?;
        if step == "configure" {
            let config = work.join(SOURCE).join(".config");
            let text = fs::read_to_string(&config).map_err(failed(&config))?;
            require_config(&inputs.fragment, &inputs.forbidden, &text)?;
        }
    }
    Ok(())
}

/// Whether a line of `make` says that one object is being compiled or assembled.
fn is_object(line: &str) -> bool {
    matches!(line.split_whitespace().next(), Some("CC" | "AS")) && line.starts_with("  ")
}

/// The files of `image/kernel/`, whose bytes name the kernel.
#[derive(Debug)]
struct Inputs {
    fragment: String,
    forbidden: String,
    patches: BTreeMap<String, Vec<u8>>,
}

impl Inputs {
    fn read(dir: &Path) -> Result<Self, KernelError> {
        let text = |name: &str| fs::read_to_string(dir.join(name)).map_err(failed(&dir.join(name)));
        let mut patches = BTreeMap::new();
        let patch_dir = dir.join("patches");
        for entry in fs::read_dir(&patch_dir).map_err(failed(&patch_dir))? {
            let path = entry.map_err(failed(&patch_dir))?.path();
            if path.extension().is_some_and(|extension| extension == "patch") {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                patches.insert(name, fs::read(&path).map_err(failed(&path))?);
            }
        }
        Ok(Self { fragment: text("fragment.config")?, forbidden: text("forbidden.config")?, patches })
    }

    fn key(&self, source: &LockedDeb, tools: &ToolRoot) -> String {
        let mut parts = vec![
            RECIPE.as_bytes(),
            PATCH.as_bytes(),
            CONFIGURE.as_bytes(),
            COMPILE.as_bytes(),
            source.sha256.as_bytes(),
            tools.key().as_bytes(),
            self.fragment.as_bytes(),
            self.forbidden.as_bytes(),
        ];
        parts.extend(SETTINGS.map(str::as_bytes));
        for (name, patch) in &self.patches {
            parts.extend([name.as_bytes(), patch.as_slice()]);
        }
        // Digests are of one length, so that the list of parts has one meaning.
        let digests: String = parts.into_iter().map(|part| Sha256Digest::of(part).to_hex()).collect();
        Sha256Digest::of(digests.as_bytes()).to_hex()
    }
}

/// Compares a finished configuration with the two lists.
///
/// # Errors
/// [`KernelError::Config`] naming the first options that differ, [`KernelError::List`] for a list that cannot be read.
pub fn require_config(fragment: &str, forbidden: &str, config: &str) -> Result<(), KernelError> {
    let has: BTreeMap<&str, &str> =
        config.lines().filter(|line| line.starts_with("CONFIG_")).filter_map(|line| line.split_once('=')).collect();
    let mut offenders = Vec::new();
    for (name, wanted) in options("fragment.config", fragment)? {
        match (wanted, has.get(name)) {
            (Some(wanted), Some(got)) if wanted == *got => {}
            (Some(wanted), Some(got)) => offenders.push(format!("{name} is {got}, not {wanted}")),
            (Some(wanted), None) => offenders.push(format!("{name}={wanted} did not stick")),
            (None, Some(got)) => offenders.push(format!("{name}={got} came back")),
            (None, None) => {}
        }
    }
    for (name, _) in options("forbidden.config", forbidden)? {
        if let Some(got) = has.get(name) {
            offenders.push(format!("{name}={got} is forbidden"));
        }
    }
    if offenders.is_empty() {
        return Ok(());
    }
    let more = offenders.len().saturating_sub(OFFENDERS_SHOWN);
    offenders.truncate(OFFENDERS_SHOWN);
    if more > 0 {
        offenders.push(format!("and {more} more"));
    }
    Err(KernelError::Config(offenders))
}

/// Options of a list, with their value or `None` for what must not be set: `X=value`, `# X is not set`, and a bare `X`, which only
/// `forbidden.config` has.
fn options<'a>(file: &'static str, text: &'a str) -> Result<Vec<(&'a str, Option<&'a str>)>, KernelError> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let unset = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set"));
        let option = match (unset, line.split_once('=')) {
            (Some(name), _) => (name, None),
            (None, _) if line.is_empty() || line.starts_with('#') => continue,
            (None, Some((name, value))) => (name, Some(value)),
            (None, None) => (line, None),
        };
        let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if !option.0.starts_with("CONFIG_") || !option.0.bytes().all(plain) {
            return Err(KernelError::List { file, line: index + 1, text: line.to_owned() });
        }
        found.push(option);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{is_object, require_config};

    const FRAGMENT: &str = "# Why\n\nCONFIG_A=y\nCONFIG_S=\"x=y\"\n# CONFIG_B is not set\n";

    fn outcome(forbidden: &str, config: &str) -> String {
        require_config(FRAGMENT, forbidden, config).map_or_else(|error| error.to_string(), |()| "ok".to_owned())
    }

    #[test]
    fn a_configuration_that_has_everything_passes() {
        assert_eq!(
            outcome("# Why\nCONFIG_C\n", "CONFIG_A=y\nCONFIG_S=\"x=y\"\n# CONFIG_C is not set\nCONFIG_D=y\n"),
            "ok"
        );
    }

    #[test]
    fn each_offender_is_named() {
        let rows = [
            ("CONFIG_C", "CONFIG_S=\"x=y\"\n", "CONFIG_A=y did not stick"),
            ("CONFIG_C", "CONFIG_A=m\nCONFIG_S=\"x=y\"\n", "CONFIG_A is m, not y"),
            ("CONFIG_C", "CONFIG_A=y\nCONFIG_S=\"x\"\n", "CONFIG_S is \"x\""),
            ("CONFIG_C", "CONFIG_A=y\nCONFIG_S=\"x=y\"\nCONFIG_B=y\n", "CONFIG_B=y came back"),
            ("CONFIG_C", "CONFIG_A=y\nCONFIG_S=\"x=y\"\nCONFIG_C=m\n", "CONFIG_C=m is forbidden"),
            ("kexec", "CONFIG_A=y\nCONFIG_S=\"x=y\"\n", "forbidden.config line 1"),
        ];
        for (forbidden, config, expected) in rows {
            let got = outcome(forbidden, config);
            assert!(got.contains(expected), "{got}");
        }
    }

    #[test]
    fn many_offenders_are_counted() {
        let forbidden: String = (0..9).map(|number| format!("CONFIG_F{number}\n")).collect();
        let config: String = (0..9).map(|number| format!("CONFIG_F{number}=y\n")).collect();
        let got = outcome(&forbidden, &config);
        assert!(got.contains("and 5 more"), "{got}");
    }

    #[test]
    fn objects_are_told_from_other_lines() {
        assert!(is_object("  CC      init/main.o") && is_object("  AS      arch/x86/lib/putuser.o"));
        assert!(!is_object("  CALL    scripts/checksyscalls.sh") && !is_object("CC init/main.c") && !is_object(""));
    }

    #[test]
    fn the_shipped_lists_do_not_contradict_each_other() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel");
        let fragment = std::fs::read_to_string(dir.join("fragment.config")).unwrap();
        let forbidden = std::fs::read_to_string(dir.join("forbidden.config")).unwrap();
        // As a finished configuration the fragment satisfies itself, and has nothing that is forbidden.
        require_config(&fragment, &forbidden, &fragment).unwrap();
    }
}
