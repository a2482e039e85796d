//! `cloister-image`: from locked inputs to an image, and the proof that it is the same everywhere.

mod cli;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser as _;
use image_builder::build::{self, Options};
use image_builder::describe::MANIFEST_FILE;
use image_builder::fetch::{Sources, Store};
use image_builder::lock::Lock;
use image_builder::progress::Progress;
use image_builder::release::ReleaseKeys;
use image_builder::{compare, flavour, output, publish, release, reproduce, update};

use cli::{Cli, Command};

/// Two builds differ.
const EXIT_DIFFERENT: u8 = 10;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            output::note(&format!("cloister-image: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Build { build, json } => return build_image(&options(build)?, json),
        Command::Reproduce { build, kernel } => return reproduce_image(&options(build)?, kernel),
        Command::Diff { first, second } => return diff(&first, &second),
        Command::Flavours { repo } => {
            for name in flavour::names(&repo.repo.join("image/flavours"))? {
                output::line(&name)?;
            }
        }
        Command::Lock(cli::Lock::Update { name, repo, mirror }) => lock_update(&name, &repo.repo, mirror)?,
        Command::Lock(cli::Lock::Unavailable { name, repo }) => {
            let lock = Lock::load(&repo.repo.join(format!("image/lock/{name}.lock.json")))?;
            for input in lock.unavailable {
                output::line(&format!("{}: {} ({})", input.role, input.what, input.why))?;
            }
        }
        Command::Modules { build } => build_modules(&options(build)?)?,
        Command::Keygen { key, log_key, name } => release::keygen(&key, &log_key, &name)?,
        Command::Sign { image, key, valid_days } => {
            let keys = ReleaseKeys::load(&key, None)?;
            output::line(&publish::sign(&image, &keys.release, now(), valid_days)?.display().to_string())?;
        }
        Command::Release { image, key, log_key, log, valid_days } => {
            let keys = ReleaseKeys::load(&key, log_key.as_deref())?;
            output::line(&publish::publish(&image, &log, keys, now(), valid_days)?.display().to_string())?;
        }
        Command::Completions { shell } => cli::completions(shell),
    }
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::disallowed_methods, reason = "a program reads the clock once, here, to date a release")]
fn now() -> attestation::UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    attestation::UnixTime(since.as_secs())
}

#[allow(clippy::disallowed_methods, reason = "where cargo keeps its downloads is said by the environment alone")]
fn cargo_home() -> anyhow::Result<PathBuf> {
    if let Ok(home) = std::env::var("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = std::env::var("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cargo"))
}

fn options(build: cli::Build) -> anyhow::Result<Options> {
    let repo = build.repo.repo.canonicalize().with_context(|| format!("find {}", build.repo.repo.display()))?;
    if !repo.join("image/flavours").is_dir() {
        bail!("{} is not a checkout of Cloister; name it with --repo", repo.display());
    }
    let absolute = |path: PathBuf| std::path::absolute(&path).with_context(|| format!("find {}", path.display()));
    let own = Sources::of_this_machine();
    Ok(Options {
        guardian: build.guardian.unwrap_or_else(|| example_guardian(&repo, &build.flavour)),
        flavour: build.flavour,
        out: absolute(build.out.unwrap_or_else(|| repo.join("target/image")))?,
        cache: absolute(build.cache.unwrap_or_else(|| repo.join("target/image/cache")))?,
        cargo_home: cargo_home()?,
        sources: Sources {
            mirror: build.mirror.or(own.mirror),
            snapshot: build.snapshot,
            snapshot_timestamp: build.snapshot_timestamp,
            asset: build.asset,
            vendored: None,
        },
        jobs: build.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
        repo,
    })
}

fn build_image(options: &Options, json: bool) -> anyhow::Result<ExitCode> {
    let mut progress = Progress::default();
    let dir = build::build(options, &mut progress)?;
    let took = progress.finish();
    let manifest = std::fs::read(dir.join(MANIFEST_FILE))?;
    if json {
        output::line(&String::from_utf8(manifest)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let manifest = attestation::reference::manifest::ImageManifest::from_json(&manifest)?;
    for (name, artifact) in &manifest.artifacts {
        output::line(&format!("{name:<20} {:>12} {}", artifact.size, artifact.sha256))?;
    }
    for volume in &manifest.volumes {
        output::line(&format!("root hash of {:<7} {:>12} {}", volume.name, "", volume.root_hash))?;
    }
    output::line(&format!("{} in {:.1} s", dir.display(), took.as_secs_f64()))?;
    Ok(ExitCode::SUCCESS)
}

/// The flavour's own example, where it has one.
fn example_guardian(repo: &Path, flavour: &str) -> PathBuf {
    let own = repo.join(format!("image/guardian.{flavour}.example.toml"));
    if own.exists() { own } else { repo.join("image/guardian.example.toml") }
}

fn reproduce_image(options: &Options, kernel: bool) -> anyhow::Result<ExitCode> {
    let first = options.out.join(&options.flavour);
    output::note("reproduce: first build");
    build::build(options, &mut Progress::default())?;
    output::note(
        "reproduce: second build, in another folder with other umask, locale, time zone, clock, user and jobs",
    );
    let work = options.out.join("reproduce");
    let second = reproduce::build_again(options, &work, kernel)?;
    let code = diff(&first, &second)?;
    if code == ExitCode::SUCCESS {
        std::fs::remove_dir_all(&work).with_context(|| format!("remove {}", work.display()))?;
    }
    Ok(code)
}

/// What of the GPU flavour can be built anywhere: its kernel, and the driver's open modules for it.
fn build_modules(options: &Options) -> anyhow::Result<()> {
    let lock = |name: &str| Lock::load(&options.repo.join(format!("image/lock/{name}.lock.json")));
    let store = Store::new(options.cache.join("store"), options.sources.clone());
    let mut progress = Progress::default();
    let _exclusive = build::exclusive(options, &mut progress)?;
    let built = build::build_modules(options, &lock("tools")?, &lock("gpu")?, &store, &mut progress)?;
    progress.finish();
    for (name, path) in built.modules {
        let size = std::fs::metadata(&path)?.len();
        output::line(&format!("{name:<20} {size:>12} {}", image_builder::fetch::sha256_of(&path)?))?;
    }
    Ok(())
}

fn diff(first: &Path, second: &Path) -> anyhow::Result<ExitCode> {
    if let Some(difference) = compare::first_difference(first, second).context("compare the images")? {
        output::line(&format!("DIFFERENT: {difference}"))?;
        return Ok(ExitCode::from(EXIT_DIFFERENT));
    }
    let mut names: Vec<_> =
        std::fs::read_dir(first)?.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    names.sort();
    for file in &names {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        output::line(&format!("equal {name:<20} {}", image_builder::fetch::sha256_of(file)?))?;
    }
    output::line(&format!("EQUAL: {} files, byte for byte", names.len()))?;
    Ok(ExitCode::SUCCESS)
}

fn lock_update(name: &str, repo: &Path, mirror: Option<String>) -> anyhow::Result<()> {
    let mirror = mirror.or(Sources::of_this_machine().mirror).context("no mirror is known; name one with --mirror")?;
    let dir = repo.join("image/lock");
    let path = dir.join(format!("{name}.packages.json"));
    let list = update::PackageList::load(&path)?;
    let lock = update::resolve(&list, &mirror, &mut |step| output::note(step))?;
    let place = dir.join(format!("{name}.lock.json"));
    update::write(&lock, &place)?;
    output::line(&format!("{}: {} packages, {} wheels", place.display(), lock.debs.len(), lock.wheels.len()))?;
    Ok(())
}
