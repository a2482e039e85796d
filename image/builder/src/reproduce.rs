//! A second build under other circumstances: another folder, umask, locale, time zone, clock, user and number of jobs.
//!
//! Decides: what is shared between the builds. Fetched packages are (they are checked by hash at each use), and the kernel unless asked
//! otherwise; the tool root is unpacked anew, the programs are compiled anew, and everything after that is made anew.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::build::Options;

/// The user of the second build, when root may choose one. It has no entry in any password file.
const OTHER_USER: &str = "24680";

/// What makes the circumstances. Arguments: user (0 for the same), toolchain, cargo home, work folder, command.
/// The toolchain may lie in a home folder that the other user cannot enter: it is mounted elsewhere, in a mount namespace of its own.
const CIRCUMSTANCES: &str = r#"
set -e
user=$1 toolchain=$2 cargo=$3 work=$4; shift 4
umask 077
export LC_ALL=tr_TR.UTF-8 LANG=tr_TR.UTF-8 TZ=Pacific/Kiritimati
if [ "$user" != 0 ]; then
    mkdir -p "$work/toolchain" "$work/cargo" "$work/home"
    mount --bind "$toolchain" "$work/toolchain"
    mount --bind "$cargo" "$work/cargo"
    chown "$user:$user" "$work/home"
    export CARGO_HOME="$work/cargo" HOME="$work/home" USER=other LOGNAME=other
    export PATH="$work/toolchain/bin:/usr/local/bin:/usr/bin:/bin"
    set -- setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
fi
if command -v faketime >/dev/null; then
    # rustc hangs under faketime. What it compiles, it compiles in the tool root, where no clock is faked.
    mkdir -p "$work/bin"
    for program in rustc cargo; do
        printf '#!/bin/sh\nunset LD_PRELOAD\nexec "%s" "$@"\n' "$(command -v $program)" > "$work/bin/$program"
        chmod 755 "$work/bin/$program"
    done
    chmod 755 "$work/bin"
    export PATH="$work/bin:$PATH"
    set -- faketime -f +400d "$@"
fi
exec "$@"
"#;

/// Builds again below `work`; the folder with the result.
///
/// # Errors
/// When the second build fails.
pub fn build_again(options: &Options, work: &Path, kernel_too: bool) -> anyhow::Result<PathBuf> {
    if work.exists() {
        fs::remove_dir_all(work).with_context(|| format!("remove {}", work.display()))?;
    }
    let checkout = work.join("elsewhere/checkout");
    copy_checkout(&options.repo, &checkout)?;
    fs::copy(&options.guardian, work.join("guardian.toml")).context("copy the guardian's configuration")?;
    let cache = work.join("cache");
    copy_tree(&options.cache.join("store"), &cache.join("store"))?;
    if !kernel_too {
        for entry in fs::read_dir(&options.cache)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("kernel-") && entry.file_type()?.is_dir() {
                copy_tree(&entry.path(), &cache.join(name))?;
            }
        }
    }
    let out = work.join("out");
    fs::create_dir_all(&out)?;
    run(options, work, &checkout, &cache, &out)?;
    Ok(out.join(&options.flavour))
}

fn run(options: &Options, work: &Path, checkout: &Path, cache: &Path, out: &Path) -> anyhow::Result<()> {
    let root = rustix::process::geteuid().is_root();
    let user = if root { OTHER_USER } else { "0" };
    if root {
        for path in [work, checkout] {
            require(Command::new("chown").args(["-R", &format!("{OTHER_USER}:{OTHER_USER}")]).arg(path))?;
        }
    } else {
        crate::output::note("reproduce: another user needs root; the second build runs as the same user");
    }
    let toolchain = toolchain(&options.repo)?;
    let mut command = Command::new("unshare");
    if !root {
        command.args(["--user", "--map-current-user"]);
    }
    command
        .args(["--mount", "sh", "-c", CIRCUMSTANCES, "again", user])
        .arg(toolchain)
        .arg(&options.cargo_home)
        .arg(work);
    command.arg(std::env::current_exe()?).args(["build", "--flavour", &options.flavour]);
    command.arg("--repo").arg(checkout).arg("--guardian").arg(work.join("guardian.toml"));
    command.arg("--cache").arg(cache).arg("--out").arg(out);
    command.args(["--jobs", &options.jobs.saturating_add(1).to_string()]);
    require(command.current_dir(work).stdin(Stdio::null()))
}

/// The compiler's own folder, links followed: their targets may be where the other user cannot go.
fn toolchain(checkout: &Path) -> anyhow::Result<PathBuf> {
    let mut rustc = Command::new("rustc");
    let output = rustc.args(["--print", "sysroot"]).current_dir(checkout).output().context("start rustc")?;
    let sysroot = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    sysroot.canonicalize().with_context(|| format!("find the toolchain in {}", sysroot.display()))
}

fn require(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{} ended with {status}", command.get_program().display());
    }
    Ok(())
}

/// Every file that git tracks or would, and the repository itself, so that the second build names the same commit.
fn copy_checkout(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    let listed = Command::new("git")
        .arg("-C")
        .arg(from)
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .output()
        .context("start git")?;
    let mut pack = Command::new("tar")
        .arg("-C")
        .arg(to)
        .args(["-x", "-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("start tar")?;
    let mut list = tempfile::NamedTempFile::new()?;
    let present = listed.stdout.split(|byte| *byte == 0).filter(|name| {
        let path = from.join(String::from_utf8_lossy(name).as_ref());
        !name.is_empty() && path.symlink_metadata().is_ok()
    });
    for name in present {
        list.write_all(name)?;
        list.write_all(&[0])?;
    }
    list.write_all(b".git\0")?;
    list.flush()?;
    let packed = pack.stdin.take().context("tar has a standard input")?;
    require(
        Command::new("tar")
            .arg("-C")
            .arg(from)
            .args(["-c", "--null", "-T"])
            .arg(list.path())
            .args(["-f", "-"])
            .stdout(packed),
    )?;
    if !pack.wait()?.success() {
        bail!("copy the checkout to {}: the disk may be full", to.display());
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    require(Command::new("cp").args(["-R", "--reflink=auto"]).arg(from.join(".")).arg(to))
}
