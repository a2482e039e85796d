//! `cloister-boot-test`: boots the image under QEMU without hardware virtualisation and tries to break it.
//!
//! No TEE is needed and none is pretended: what only hardware can do is played outside the guest, or shown by what the measurement would
//! be. Every case prints a line; the last line counts them.

mod cases;
mod context;
mod outside;
mod report;
mod setup_header;
mod vm;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser;
use image_builder::fetch::{Sources, Store};
use image_builder::lock::Lock;
use image_builder::{deb, inputs, verity};

use context::{Context, Image};
use outside::{Outside, installed};
use report::{Report, Verdict};

/// Programs this test starts, and the packages they are in.
const PROGRAMS: [(&str, &str); 3] =
    [("qemu-system-x86_64", "qemu-system-x86"), ("swtpm", "swtpm"), ("veritysetup", "cryptsetup-bin")];

/// Boots the measured image under emulation: tampering, firmware, measurements, an attested and paid answer.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example:\n  cloister-boot-test --only end-to-end\n\nExit codes: 0 all passed, 1 a case failed, 2 wrong usage."
)]
struct Args {
    /// Top of the checkout.
    #[arg(long, default_value = ".")]
    repo: PathBuf,
    /// Only these groups.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// Keep consoles and disks of every machine in this folder.
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// Groups of cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Group {
    Volumes,
    Build,
    EndToEnd,
    Direct,
    Probes,
    Firmware,
    Measured,
    Disks,
    Acpi,
    Tamper,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            image_builder::output::note(&format!("cloister-boot-test: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The clock, for signing values that are used at once.
#[allow(clippy::disallowed_methods, reason = "a program reads the clock once")]
pub(crate) fn now() -> attestation::UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    attestation::UnixTime(since.as_secs())
}

fn run(args: &Args) -> anyhow::Result<bool> {
    let missing: Vec<_> =
        PROGRAMS.iter().filter(|(program, _)| !installed(program)).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        bail!("missing: as root, apt-get install {}", missing.join(" "));
    }
    let repo = args.repo.canonicalize().context("find the checkout")?;
    let temporary = tempfile::Builder::new().prefix("cloister-boot-").tempdir()?;
    let scratch = args.keep.clone().unwrap_or_else(|| temporary.path().to_path_buf());
    let context = prepare(&repo, scratch)?;
    let mut report = Report::default();
    let wanted = |group: Group| args.only.is_empty() || args.only.contains(&group);
    if wanted(Group::Volumes) {
        volumes(&context, &mut report);
    }
    // Alone and first: its times are measured.
    if wanted(Group::EndToEnd) {
        cases::end_to_end::run_all(&context, &mut report);
    }
    if wanted(Group::Probes) {
        cases::direct::probes(&context, &mut report);
    }
    let groups = [
        (Group::Build, "builds that cannot come to an end", cases::build::cases()),
        (Group::Direct, "direct boot", cases::direct::cases()),
        (Group::Firmware, "firmware that checks kernel, ramdisk and command line", cases::firmware::cases()),
        (Group::Measured, "measured boot with a software TPM", cases::measured::cases()),
        (Group::Disks, "disks", cases::disks::cases()),
        (Group::Acpi, "hostile ACPI tables", cases::acpi::cases()),
        (Group::Tamper, "tamper matrix: one changed bit", cases::tamper::cases()),
    ];
    for (group, heading, cases) in groups {
        if wanted(group) {
            // Builds share a cache and wait for each other; machines do not.
            let at_once = if group == Group::Build { 1 } else { 2 };
            cases::run(&context, &mut report, heading, at_once, &cases);
        }
    }
    Ok(report.close())
}

/// Ledger, three flavours built for it, firmware and another kernel.
fn prepare(repo: &Path, scratch: PathBuf) -> anyhow::Result<Context> {
    let vsock = repo.join("target/tools/bin/vhost-device-vsock");
    if !vsock.exists() {
        bail!("{} is missing; `make boot-test` installs it", vsock.display());
    }
    let bins = acceptance::processes::bin_dir()?;
    let outside = Outside::start(&scratch.join("outside"), &bins)?;
    let guardian = outside.guardian_config(&repo.join("image/guardian.example.toml"))?;
    let out = repo.join("target/image/boot-test");
    let build = |flavour: &str| -> anyhow::Result<Image> {
        let mut command = Command::new(bins.join("cloister-image"));
        command.args(["build", "--flavour", flavour, "--repo"]).arg(repo).arg("--guardian").arg(&guardian);
        acceptance::world::run(command.arg("--out").arg(&out).arg("--cache").arg(repo.join("target/image/cache")))?;
        Image::open(out.join(flavour))
    };
    let images = [build("cpu")?, build("debug")?, build("test")?];
    let cache = repo.join("target/image/cache");
    let store = Store::new(cache.join("store"), Sources::of_this_machine());
    let unpacked = |lock: &Lock, role: &str, name: Option<&str>| -> anyhow::Result<PathBuf> {
        let found = lock.role(role).into_iter().find(|deb| name.is_none_or(|name| deb.name == name));
        let deb = found.with_context(|| format!("the lock has nothing for {role}"))?;
        store.ensure(&[deb], &mut |_| {})?;
        inputs::unpacked(&cache, &deb.sha256, |into| Ok(deb::extract(&store.path(deb), into)?))
    };
    let lock = |name: &str| Lock::load(&repo.join(format!("image/lock/{name}.lock.json")));
    let general = unpacked(&lock("cpu")?, "firmware", Some("ovmf"))?.join("usr/share/ovmf/OVMF.fd");
    let kernel = unpacked(&lock("test")?, "other-kernel", None)?.join("boot");
    let kernel = std::fs::read_dir(kernel)?.filter_map(Result::ok).map(|entry| entry.path());
    let kernel = kernel.into_iter().find(|path| path.to_string_lossy().contains("vmlinuz"));
    let kernel = kernel.context("the package of another kernel holds none")?;
    Ok(Context::new(images, general, kernel, repo.to_path_buf(), scratch, vsock, outside))
}

/// The roots of the three volumes, computed again by another program.
fn volumes(context: &Context, report: &mut Report) {
    report.heading("volumes, by veritysetup");
    for volume in &context.production.manifest.volumes {
        let started = Instant::now();
        let verdict =
            volume_by_veritysetup(context, volume).unwrap_or_else(|error| Verdict::Failed(format!("{error:#}")));
        report.case(&format!("root hash of the {} volume", volume.name), started.elapsed(), &verdict);
    }
    let size = std::fs::metadata(context.production.file("root.img")).map_or(u64::MAX, |file| file.len());
    let text = format!("{:.1} MB, goal 60 MB", f64::from(u32::try_from(size / 1000).unwrap_or(u32::MAX)) / 1000.0);
    let verdict = if size <= 60_000_000 { Verdict::Passed(text) } else { Verdict::Failed(text) };
    report.case("size of the root volume", Duration::ZERO, &verdict);
}

fn volume_by_veritysetup(
    context: &Context,
    volume: &attestation::reference::manifest::ManifestVolume,
) -> anyhow::Result<Verdict> {
    let folder = context.folder()?;
    let tree = folder.join("tree");
    let data = context.production.file(&format!("{}.img", volume.name));
    let mut command = Command::new("veritysetup");
    command.args(["format", "--no-superblock", "--salt", &volume.salt.to_string()]);
    command.args(["--data-blocks", &volume.data_blocks.to_string()]).arg(&data).arg(&tree);
    let said = acceptance::world::run(&mut command)?;
    let root = said.lines().find_map(|line| line.strip_prefix("Root hash:")).map(str::trim).unwrap_or_default();
    if root != volume.root_hash.to_string() {
        return Ok(Verdict::Failed(format!("veritysetup says {root}, the manifest {}", volume.root_hash)));
    }
    let ours = std::fs::read(&data)?;
    let from = usize::try_from(volume.data_blocks * verity::BLOCK_BYTES)?;
    let equal = ours.get(from..) == Some(std::fs::read(&tree)?.as_slice());
    Ok(if equal {
        Verdict::Passed(format!("{root:.16}…, and its tree byte for byte"))
    } else {
        Verdict::Failed("same root, but the tree differs".to_owned())
    })
}
