//! `cloister-host doctor`: what this machine can run, and what to do about the rest.
//!
//! Decides nothing: it reads what the kernel shows under `/dev`, `/proc` and `/sys` and asks QEMU what it can do. FAIL is
//! something that does not work and could; SKIP is hardware that is not here, or that cannot be asked from here. A guest's
//! evidence, not this list, says whether it is protected.

mod checks;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;
use serde::Serialize;

use crate::output;

/// What is looked at.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// An image directory whose firmware is looked for.
    #[arg(long, value_name = "DIR")]
    image: Option<PathBuf>,
    /// The emulator.
    #[arg(long, value_name = "PROGRAM", default_value = "qemu-system-x86_64")]
    qemu: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Outcome {
    Pass,
    Fail,
    Skip,
}

/// One line.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    outcome: Outcome,
    found: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'static str>,
}

impl Check {
    fn pass(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Pass, found: found.into(), next: None }
    }

    fn fail(name: &'static str, found: impl Into<String>, next: &'static str) -> Self {
        Self { name, outcome: Outcome::Fail, found: found.into(), next: Some(next) }
    }

    fn skip(name: &'static str, found: impl Into<String>, next: &'static str) -> Self {
        Self { name, outcome: Outcome::Skip, found: found.into(), next: Some(next) }
    }
}

/// What a program prints when it is run with these arguments; `None` when it does not run.
type Answers = dyn Fn(&[&str]) -> Option<String>;

/// Where things are looked up, so that tests can show another machine.
struct Machine {
    /// What `/` is.
    root: PathBuf,
    image: Option<PathBuf>,
    /// The emulator.
    qemu: Box<Answers>,
    /// Bytes free in a directory.
    free: fn(&Path) -> Option<u64>,
}

impl Machine {
    fn here(args: &Args) -> Self {
        let program = args.qemu.clone();
        let qemu = move |arguments: &[&str]| {
            let output = Command::new(&program).args(arguments).output().ok()?;
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        Self { root: PathBuf::from("/"), image: args.image.clone(), qemu: Box::new(qemu), free: free_bytes }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text without the line end.
    fn text(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.path(path)).ok().map(|text| text.trim().to_owned())
    }

    /// Whether a module parameter is on.
    fn is_on(&self, parameter: &str) -> Option<bool> {
        self.text(parameter).map(|value| value == "Y" || value == "1")
    }
}

fn free_bytes(directory: &Path) -> Option<u64> {
    let space = rustix::fs::statvfs(directory).ok()?;
    space.f_bavail.checked_mul(space.f_frsize)
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let checks = checks::all(&Machine::here(args));
    let failed = checks.iter().filter(|check| check.outcome == Outcome::Fail).count();
    if args.json {
        output::line(&serde_json::json!({"failed": failed, "checks": checks}).to_string())?;
    } else {
        for check in &checks {
            output::line(&text(check))?;
        }
    }
    match failed {
        0 => Ok(()),
        1 => bail!("one check failed"),
        more => bail!("{more} checks failed"),
    }
}

fn text(check: &Check) -> String {
    let outcome = match check.outcome {
        Outcome::Pass => "PASS",
        Outcome::Fail => "FAIL",
        Outcome::Skip => "SKIP",
    };
    let next = check.next.map(|next| format!("\n      next: {next}")).unwrap_or_default();
    format!("{outcome}  {:<18} {}{next}", check.name, check.found)
}
