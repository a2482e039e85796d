//! The tool root: a Debian system of locked packages in which everything is compiled, so that the machine's own tools do not matter.
//!
//! Decides: what a compiler sees. Inside there are the tools, the directories that a job mounts at fixed paths, a fixed environment,
//! and no network. Trusts the locked packages, whose maintainer scripts never run, and the kernel of the building machine.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use attestation::Sha256Digest;

use crate::deb::{self, DebError};
use crate::fetch::{FetchError, Store};
use crate::lock::{Lock, LockedDeb};

/// Role of its packages in the lock.
pub const ROLE: &str = "tool";

/// Counted up when what is done to the unpacked packages changes.
const LAYOUT: &str = "1";

/// Mount points of jobs.
const MOUNT_POINTS: [&str; 9] = ["proc", "dev", "sys", "tmp", "etc", "src", "build", "rust", "vendor"];

/// Links that maintainer scripts would make (`update-alternatives`), and the unsuffixed names of the one compiler.
const LINKS: [(&str, &str); 4] = [("awk", "mawk"), ("gcc", "gcc-14"), ("cc", "gcc-14"), ("cpp", "cpp-14")];

/// Lines of a failed job that its error shows.
const TAIL_LINES: usize = 15;

/// Sets the mounts up inside the new namespaces and enters. Arguments: root, then `ro|rw FROM AT` for each mount, `--`, command.
/// What cannot be made read-only in a user namespace (flags that the machine locked) is only less protected from the job itself.
const ENTER: &str = r#"
set -e
root=$1; shift
umask 022
# Users' paths often lack where mount and chroot lie.
PATH=$PATH:/usr/sbin:/sbin
mount --make-rprivate /
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
    mount --bind "$2" "$root/$3"
    [ "$1" = rw ] || mount -o remount,bind,ro "$root/$3" 2>/dev/null || [ -n "$IN_USER_NAMESPACE" ]
    shift 3
done
shift
mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
for device in null zero full random urandom; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount -o remount,bind,ro "$root" 2>/dev/null || [ -n "$IN_USER_NAMESPACE" ]
exec chroot "$root" /usr/bin/env -i "$@"
"#;

/// Namespaces of every job: its own mounts, processes, and a network without interfaces.
const NAMESPACES: [&str; 7] = ["--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc", "--uts"];

/// The environment of every job.
const ENVIRONMENT: [&str; 6] =
    ["PATH=/rust/bin:/usr/bin:/usr/sbin", "HOME=/tmp", "LC_ALL=C", "TZ=UTC", "SOURCE_DATE_EPOCH=0", "TERM=dumb"];

/// A tool root on disk, and how it is entered.
#[derive(Debug, Clone)]
pub struct ToolRoot {
    dir: PathBuf,
    key: String,
    privileges: Privileges,
}

/// What lets this process make namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privileges {
    Root,
    UserNamespace,
}

impl Privileges {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Root => &[],
            Self::UserNamespace => &["--user", "--map-root-user"],
        }
    }
}

/// A directory that a job sees.
#[derive(Debug, Clone, Copy)]
pub struct Mount<'a> {
    /// Where it is on this machine.
    pub from: &'a Path,
    /// Which mount point: `src`, `build`, `rust` or `vendor`.
    pub at: &'a str,
    /// Whether the job may write to it.
    pub writable: bool,
}

/// One command inside the tool root.
#[derive(Debug)]
pub struct Job<'a> {
    /// What it does, for errors.
    pub what: &'a str,
    /// What it sees beside the tools.
    pub mounts: &'a [Mount<'a>],
    /// Environment beside the fixed one, as `NAME=value`.
    pub env: &'a [String],
    /// A script for `sh`; its first argument is `$1`.
    pub script: &'a str,
    /// Arguments of the script.
    pub args: &'a [&'a str],
    /// Where everything it prints is kept.
    pub log: &'a Path,
}

/// Why the tool root cannot be made or entered, or a job in it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolRootError {
    /// The lock has no packages for it.
    #[error("the lock names no packages for role {ROLE:?}: run `cloister-image lock update`")]
    NoTools,
    /// A package could not be fetched.
    #[error("fetch the build tools")]
    Fetch(#[from] FetchError),
    /// A package could not be unpacked.
    #[error("unpack the build tools")]
    Unpack(#[from] DebError),
    /// A file could not be written.
    #[error("write {path}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Neither root nor user namespaces.
    #[error(
        "the build tools run in namespaces of their own, which this user may not make ({reason}): run as root, or allow user \
         namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0; in a container \
         also a seccomp profile that allows unshare and mount)"
    )]
    Forbidden {
        /// What `unshare` said.
        reason: String,
    },
    /// A program of the machine is missing.
    #[error("start {program}; it is part of the package util-linux")]
    Program {
        /// The program.
        program: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The command failed.
    #[error("{what} failed ({status}); all of its output is in {log}, it ends with:\n{tail}")]
    Job {
        /// What was being done.
        what: String,
        /// How it ended.
        status: String,
        /// The whole output.
        log: PathBuf,
        /// The last lines.
        tail: String,
    },
}

/// Name of the tool root that `lock` describes: SHA-256 over its packages and over what is done to them.
#[must_use]
pub fn key(lock: &Lock) -> String {
    let packages: String = lock.role(ROLE).iter().map(|deb| format!("{} {}\n", deb.name, deb.sha256)).collect();
    Sha256Digest::of(format!("toolroot {LAYOUT}\n{LINKS:?}\n{ENVIRONMENT:?}\n{packages}").as_bytes()).to_hex()
}

impl ToolRoot {
    /// The tool root of `lock` below `cache`; made there if it is not there yet. `progress` is told the bytes that are fetched.
    ///
    /// # Errors
    /// [`ToolRootError`]; what is half made is removed.
    pub fn prepare(
        lock: &Lock,
        store: &Store,
        cache: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, ToolRootError> {
        let packages = lock.role(ROLE);
        if packages.is_empty() {
            return Err(ToolRootError::NoTools);
        }
        let privileges = privileges()?;
        let key = key(lock);
        let dir = cache.join(format!("toolroot-{key}"));
        if !dir.exists() {
            store.ensure(&packages, progress)?;
            unpack(&packages, store, cache, &dir)?;
        }
        Ok(Self { dir, key, privileges })
    }

    /// SHA-256 of what it is made of, lowercase hex.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Runs a job; `line` is told every line it prints.
    ///
    /// # Errors
    /// [`ToolRootError::Job`] when the command fails.
    pub fn run(&self, job: &Job<'_>, line: &mut dyn FnMut(&str)) -> Result<(), ToolRootError> {
        let log_failed = |source| ToolRootError::Write { path: job.log.into(), source };
        let (output, stdout) = io::pipe().map_err(log_failed)?;
        let stderr = stdout.try_clone().map_err(log_failed)?;
        // The command is dropped here and its ends of the pipe with it, so that the output ends when the job does.
        let mut child = self
            .command(job)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .map_err(|source| ToolRootError::Program { program: "setpriv", source })?;
        let copied = copy_lines(output, job.log, line).map_err(log_failed);
        if copied.is_err() {
            // Its error is what counts; a process that ended already cannot be ended again.
            drop(child.kill());
        }
        let status = child.wait().map_err(log_failed)?;
        let tail = copied?;
        if status.success() {
            return Ok(());
        }
        let (what, log) = (job.what.to_owned(), job.log.to_path_buf());
        Err(ToolRootError::Job { what, status: status.to_string(), log, tail: tail.join("\n") })
    }

    /// `setpriv` ends the job when this process dies, however it dies.
    fn command(&self, job: &Job<'_>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare"]).args(NAMESPACES).args(self.privileges.arguments());
        command.args(["--", "sh", "-c", ENTER, "enter"]).arg(&self.dir);
        for mount in job.mounts {
            command.arg(if mount.writable { "rw" } else { "ro" }).arg(mount.from).arg(mount.at);
        }
        command.arg("--").args(ENVIRONMENT).args(job.env);
        command.args(["/usr/bin/sh", "-e", "-c", job.script, "job"]).args(job.args);
        if self.privileges == Privileges::UserNamespace {
            command.env("IN_USER_NAMESPACE", "1");
        }
        command
    }
}

/// Copies lines to the log and to `line`, and returns the last ones.
fn copy_lines(output: impl io::Read, log: &Path, line: &mut dyn FnMut(&str)) -> io::Result<Vec<String>> {
    let mut log = io::LineWriter::new(fs::File::create(log)?);
    let mut tail = std::collections::VecDeque::new();
    for bytes in BufReader::new(output).split(b'\n') {
        let text = String::from_utf8_lossy(&bytes?).into_owned();
        writeln!(log, "{text}")?;
        line(&text);
        tail.push_back(text);
        if tail.len() > TAIL_LINES {
            tail.pop_front();
        }
    }
    log.flush()?;
    Ok(tail.into())
}

/// Finds out by trying. Without a machine's `unshare` nothing can be built at all.
fn privileges() -> Result<Privileges, ToolRootError> {
    let mut reason = String::new();
    for privileges in [Privileges::Root, Privileges::UserNamespace] {
        let output = Command::new("unshare")
            .args(NAMESPACES)
            .args(privileges.arguments())
            .args(["--", "sh", "-c", "mount --make-rprivate / && mount -t tmpfs tmpfs /tmp"])
            .output()
            .map_err(|source| ToolRootError::Program { program: "unshare", source })?;
        if output.status.success() {
            return Ok(privileges);
        }
        reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    }
    Err(ToolRootError::Forbidden { reason })
}

/// Unpacks into a directory beside `dir` and renames it only when it is complete.
fn unpack(packages: &[&LockedDeb], store: &Store, cache: &Path, dir: &Path) -> Result<(), ToolRootError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ToolRootError::Write { path, source }
    };
    fs::create_dir_all(cache).map_err(failed(cache))?;
    let work = tempfile::Builder::new().prefix(".toolroot-").tempdir_in(cache).map_err(failed(cache))?;
    let root = work.path();
    for name in MOUNT_POINTS.iter().chain(&["usr/bin", "usr/sbin", "usr/lib", "usr/lib64"]) {
        fs::create_dir_all(root.join(name)).map_err(failed(root))?;
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), root.join(name)).map_err(failed(root))?;
    }
    for package in packages {
        deb::extract(&store.path(package), root)?;
    }
    for (link, target) in LINKS {
        let path = root.join("usr/bin").join(link);
        if !path.exists() {
            symlink(target, &path).map_err(failed(&path))?;
        }
    }
    match fs::rename(root, dir) {
        // Another build was faster; its tool root has the same content.
        Err(_) if dir.exists() => Ok(()),
        renamed => renamed.map_err(failed(dir)),
    }
}

#[cfg(test)]
mod tests {
    use super::{TAIL_LINES, copy_lines, key};
    use crate::lock::{Lock, LockedDeb};

    fn deb(role: &str, sha256: &str) -> LockedDeb {
        LockedDeb {
            role: role.to_owned(),
            name: "a".to_owned(),
            version: "1".to_owned(),
            arch: "amd64".to_owned(),
            suite: "trixie".to_owned(),
            path: "debian/a.deb".to_owned(),
            size: 1,
            sha256: sha256.to_owned(),
        }
    }

    #[test]
    fn the_key_is_over_the_tools_and_nothing_else() {
        let lock = |debs| key(&Lock { debs, ..Lock::default() });
        let first = lock(vec![deb("tool", "aa")]);
        assert_eq!(first, lock(vec![deb("kernel-source", "bb"), deb("tool", "aa")]));
        assert_ne!(first, lock(vec![deb("tool", "bb")]));
    }

    #[test]
    fn the_log_has_every_line_and_an_error_the_last_ones() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let output: String = (0..40).map(|number| format!("line {number}\n")).collect();
        let mut seen = 0;
        let tail = copy_lines(output.as_bytes(), &log, &mut |_| seen += 1).unwrap();
        assert_eq!((seen, tail.len()), (40, TAIL_LINES));
        assert_eq!(tail.last().unwrap(), "line 39");
        assert_eq!(std::fs::read_to_string(log).unwrap(), output);
    }
}
