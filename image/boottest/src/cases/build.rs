//! Builds that cannot come to an end: whatever is there afterwards is a whole image or none.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use image_builder::compare::first_difference;

use crate::cases::Case;
use crate::context::Context;
use crate::report::Verdict;

/// Moments at which a build is cut, evenly over the time one takes.
const CUTS: u32 = 12;

/// Room for an engine volume, and for no model beside it.
const SMALL_DISK: &str = "size=64m";

/// A disk of its own in a mount namespace of its own: what is left there must be looked at before the namespace ends.
const ON_A_SMALL_DISK: &str = r#"
mount -t tmpfs -o "$1" tmpfs "$2"
out=$2; shift 2
"$@" --out "$out" && exit 3
ls -A "$out"
"#;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("a full disk: a clear error, and no image", full_disk),
        Case::new("a build killed at twelve moments leaves a whole image or the one before", killed),
    ]
}

fn build(context: &Context, program: &mut Command) -> anyhow::Result<()> {
    program.arg(acceptance::processes::bin_dir()?.join("cloister-image"));
    program.args(["build", "--flavour", "cpu", "--repo"]).arg(&context.repo);
    program.arg("--guardian").arg(context.production.file("guardian.toml"));
    program.arg("--cache").arg(context.repo.join("target/image/cache"));
    Ok(())
}

fn full_disk(context: &Context) -> anyhow::Result<Verdict> {
    let out = context.folder()?;
    let mut command = Command::new("unshare");
    // The owner of a process' own folder there is its effective user.
    if fs::metadata("/proc/self")?.uid() != 0 {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "sh", "-c", ON_A_SMALL_DISK, "small", SMALL_DISK]).arg(&out);
    build(context, &mut command)?;
    let Output { status, stdout, stderr } = command.output().context("start unshare")?;
    let (left, said) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let reason = said.lines().find(|line| line.contains("No space left on device"));
    Ok(match (status.code(), reason, left.trim()) {
        (Some(0), Some(reason), "") => Verdict::Passed(reason.chars().take(90).collect()),
        (code, ..) => Verdict::Failed(format!("exit code {code:?}, left {left:?}: {said}")),
    })
}

/// With an older image in its place, as on any second build.
fn killed(context: &Context) -> anyhow::Result<Verdict> {
    let out = context.folder()?;
    let older = out.join("cpu");
    let (mut before, mut after) = (0, 0);
    let whole = run_for(context, &out, None)?;
    for cut in 1..=CUTS {
        fs::remove_dir_all(&older)?;
        fs::create_dir(&older)?;
        fs::write(older.join("older"), "the image before")?;
        run_for(context, &out, Some(whole * cut / CUTS))?;
        if older.join("older").exists() && fs::read_dir(&older)?.count() == 1 {
            before += 1;
        } else if let Some(difference) = first_difference(&older, &context.production.dir)? {
            return Ok(Verdict::Failed(format!("cut {cut} of {CUTS}: half an image: {difference}")));
        } else {
            after += 1;
        }
    }
    run_for(context, &out, None)?;
    let left: Vec<_> = fs::read_dir(&out)?.filter_map(Result::ok).map(|entry| entry.file_name()).collect();
    Ok(match first_difference(&older, &context.production.dir)? {
        _ if before == 0 => Verdict::Failed("no build was cut before its end".to_owned()),
        None if left == ["cpu"] => {
            Verdict::Passed(format!("{before} times the older, {after} times the new, nothing else left"))
        }
        difference => Verdict::Failed(format!("the build after the cuts: {difference:?}, left {left:?}")),
    })
}

/// Builds into `out`, for so long at most; how long it took.
fn run_for(context: &Context, out: &Path, limit: Option<Duration>) -> anyhow::Result<Duration> {
    let mut command = Command::new("env");
    build(context, &mut command)?;
    let started = Instant::now();
    let mut child = command.arg("--out").arg(out).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    match limit {
        Some(limit) => {
            std::thread::sleep(limit);
            // `env` became the program: this is SIGKILL to the builder itself.
            child.kill()?;
            child.wait()?;
        }
        None if !child.wait()?.success() => bail!("cloister-image build failed"),
        None => {}
    }
    Ok(started.elapsed())
}
