//! The build, stage by stage: fetch, kernel and programs, volumes, ramdisk, unified image, disk, measurements, manifest.
//!
//! Decides: the order, and that a build that was cut leaves nothing that looks finished: everything is written into a folder of its
//! own, which takes its place in one step at the end. Only the fetch stage uses the network.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, anyhow, bail};
use measured_init::config::{EngineCommand, MeasuredImage, Mode, Network, SCHEMA};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::compile::{self, Programs};
use crate::exclusive::{Exclusive, unfinished_image};
use crate::fetch::{Sources, Store};
use crate::flavour::Flavour;
use crate::guardian::GuardianConfig;
use crate::inputs::{self, Gathered};
use crate::kernel::{self, Kernel};
use crate::lock::Lock;
use crate::progress::Progress;
use crate::stage::{self, Staged};
use crate::toolroot::ToolRoot;
use crate::tree::FileTree;
use crate::volume::{self, Made};
use crate::{cpio, describe, disk, modules, stand_ins, uki};

/// What to build, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// Top of the checkout.
    pub repo: PathBuf,
    /// Flavour.
    pub flavour: String,
    /// The guardian's configuration, which becomes part of the measurement.
    pub guardian: PathBuf,
    /// Folder that gets the flavour's folder.
    pub out: PathBuf,
    /// Folder of what outlives a build: packages, tool root, kernel, programs.
    pub cache: PathBuf,
    /// Where cargo keeps what it fetched.
    pub cargo_home: PathBuf,
    /// Where packages may come from.
    pub sources: Sources,
    /// Parallel jobs.
    pub jobs: usize,
}

/// Everything one build has in hand when it describes itself.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) options: &'a Options,
    pub(crate) flavour: &'a Flavour,
    pub(crate) version: &'a str,
    pub(crate) locks: &'a BTreeMap<String, Lock>,
    pub(crate) gathered: &'a Gathered,
    pub(crate) kernel: &'a Kernel,
    pub(crate) programs: &'a Programs,
    pub(crate) staged: &'a Staged,
    pub(crate) volumes: &'a [Made],
    pub(crate) guardian: &'a GuardianConfig,
    pub(crate) image_config: &'a [u8],
    pub(crate) cmdline: &'a str,
    pub(crate) dir: &'a Path,
}

/// Version of the image: that of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds; the folder with the result.
///
/// # Errors
/// The first thing that went wrong, with what to do about it. What was there before stays.
pub fn build(options: &Options, progress: &mut Progress) -> anyhow::Result<PathBuf> {
    let _exclusive = exclusive(options, progress)?;
    let image = options.repo.join("image");
    let flavour = Flavour::load(&image.join("flavours"), &options.flavour)?;
    let locks = locks(&image.join("lock"), &flavour)?;
    let (tools, lock) = (lock_named(&locks, "tools")?, lock_named(&locks, &flavour.lock)?);
    let store = Store::new(options.cache.join("store"), vendored(options));
    if let Some(reason) = &flavour.incomplete {
        // What the missing inputs have no part in is built all the same.
        if !flavour.root.modules.is_empty() {
            build_modules(options, tools, lock, &store, progress)?;
        }
        bail!("the {} flavour cannot be completed from here: {reason}", options.flavour);
    }
    let guardian = GuardianConfig::load(&options.guardian, &flavour)?;

    let gathered = inputs::gather(options, &flavour, lock, &store, progress)?;
    progress.step("tool root");
    let toolroot = ToolRoot::prepare(tools, &store, &options.cache, &mut |bytes| progress.advance(bytes))?;
    let (kernel, modules, programs) = compile_all(options, &toolroot, progress, |progress| {
        Ok(match flavour.root.modules.is_empty() {
            true => (build_kernel(options, tools, &store, &toolroot, progress)?, BTreeMap::new()),
            false => {
                build_modules(options, tools, lock, &store, progress).map(|built| (built.kernel, built.modules))?
            }
        })
    })?;

    progress.step("volumes");
    fs::create_dir_all(&options.out).with_context(|| format!("write {}", options.out.display()))?;
    let building = tempfile::Builder::new().prefix(&unfinished_image(&options.flavour)).tempdir_in(&options.out)?;
    let dir = building.path();
    let rootfs = image.join("rootfs");
    let mut staging = gathered.inputs(&rootfs, &programs.paths);
    staging.modules = modules;
    staging.made = made(options, &flavour, &gathered, &store, &toolroot)?;
    let staged = stage::stage(&flavour, &staging)?;
    let volumes = volumes(&flavour, &gathered, &staged, dir)?;

    progress.step("ramdisk, unified image, disk");
    let config = measured_image(options, &flavour, &guardian, &volumes);
    let image_config = serde_json::to_vec_pretty(&config)?;
    let cmdline = cmdline(&flavour, &volumes)?;
    fs::copy(&kernel.bz_image, dir.join("vmlinuz")).context("copy the kernel")?;
    fs::write(dir.join("cmdline"), &cmdline)?;
    fs::write(dir.join("image.json"), &image_config)?;
    fs::write(dir.join("guardian.toml"), &guardian.text)?;
    ramdisk(&programs, &image_config, &guardian, &dir.join("initrd.cpio"))?;
    inputs::firmware(&gathered, dir)?;
    unified(&gathered, &cmdline, VERSION, dir)?;
    disk::write(dir, &volumes)?;

    progress.step("measurements, manifest");
    let parts = Parts {
        options,
        flavour: &flavour,
        version: VERSION,
        locks: &locks,
        gathered: &gathered,
        kernel: &kernel,
        programs: &programs,
        staged: &staged,
        volumes: &volumes,
        guardian: &guardian,
        image_config: &image_config,
        cmdline: &cmdline,
        dir,
    };
    describe::write(&parts)?;
    put_in_place(building, &options.out.join(&options.flavour))
}

/// Waits until nobody else works in the cache.
///
/// # Errors
/// When cache or output folder cannot be written.
pub fn exclusive(options: &Options, progress: &mut Progress) -> anyhow::Result<Exclusive> {
    let waiting = &mut || progress.note("another build uses this cache; this one goes on when it is done");
    Exclusive::take(&options.cache, &options.out, &options.flavour, waiting)
        .with_context(|| format!("write {} and {}", options.cache.display(), options.out.display()))
}

fn lock_named<'a>(locks: &'a BTreeMap<String, Lock>, name: &str) -> anyhow::Result<&'a Lock> {
    locks.get(name).with_context(|| format!("there is no lock {name:?}"))
}

fn locks(dir: &Path, flavour: &Flavour) -> anyhow::Result<BTreeMap<String, Lock>> {
    let mut locks = BTreeMap::new();
    for name in ["tools", flavour.lock.as_str()] {
        locks.insert(name.to_owned(), Lock::load(&dir.join(format!("{name}.lock.json")))?);
    }
    Ok(locks)
}

/// Sources with the packages that the repository itself carries.
fn vendored(options: &Options) -> Sources {
    Sources { vendored: Some(options.repo.join("image/firmware")), ..options.sources.clone() }
}

fn build_kernel(
    options: &Options,
    lock: &Lock,
    store: &Store,
    tools: &ToolRoot,
    progress: &mut Progress,
) -> anyhow::Result<Kernel> {
    progress.step("kernel (minutes, the first time)");
    let dir = options.repo.join("image/kernel");
    let recipe = kernel::Recipe { dir: &dir, lock, store, tools, cache: &options.cache, jobs: options.jobs };
    Ok(kernel::build(&recipe, &mut |event| show(progress, event))?)
}

/// The kernel with modules, and the modules.
///
/// # Errors
/// When a source is missing or does not compile.
pub fn build_modules(
    options: &Options,
    tools: &Lock,
    lock: &Lock,
    store: &Store,
    progress: &mut Progress,
) -> anyhow::Result<modules::Built> {
    progress.step("kernel and modules (minutes, the first time)");
    let (kernel, gpu) = (options.repo.join("image/kernel"), options.repo.join("image/gpu"));
    let (cache, jobs) = (&options.cache, options.jobs);
    let recipe = modules::Recipe { kernel: &kernel, gpu: &gpu, tools, lock, store, cache, jobs };
    modules::build(&recipe, &mut |event| show(progress, event))
}

fn show(progress: &mut Progress, event: kernel::Progress<'_>) {
    match event {
        kernel::Progress::Step(name) => progress.note(&format!("kernel: {name}")),
        kernel::Progress::Fetched(_) => {}
        kernel::Progress::Objects(done) => {
            if done == 1 {
                progress.things(kernel::OBJECTS_ABOUT);
            }
            progress.reach(done);
        }
    }
}

/// Files of the engine volume that are made here.
fn made(
    options: &Options,
    flavour: &Flavour,
    gathered: &Gathered,
    store: &Store,
    tools: &ToolRoot,
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    if !flavour.engine.cuda_stand_ins {
        return Ok(BTreeMap::new());
    }
    let engine = options.repo.join("engine");
    stand_ins::build(&stand_ins::Recipe { engine: &engine, gathered, store, tools, cache: &options.cache })
}

/// The kernel and its modules by `kernel`, and beside it the programs: each alone leaves processors idle at its ends.
fn compile_all(
    options: &Options,
    tools: &ToolRoot,
    progress: &mut Progress,
    kernel: impl FnOnce(&mut Progress) -> anyhow::Result<(Kernel, BTreeMap<String, PathBuf>)>,
) -> anyhow::Result<(Kernel, BTreeMap<String, PathBuf>, Programs)> {
    let recipe = compile::Recipe {
        checkout: &options.repo,
        cargo_home: &options.cargo_home,
        tools,
        cache: &options.cache,
        jobs: options.jobs,
    };
    thread::scope(|scope| {
        let (said, heard) = mpsc::channel();
        // Nobody listens any more when the kernel failed: what cargo says is in the log all the same.
        let programs =
            scope.spawn(move || compile::build(&recipe, &mut |line| drop(said.send(line.trim().to_owned()))));
        let (kernel, modules) = kernel(progress).inspect_err(|error| {
            progress.line(&format!("  {error:#}"));
            progress.line("  (the programs are compiled to their end and kept)");
        })?;
        progress.step("programs (minutes, the first time)");
        heard.iter().for_each(|line: String| progress.note(&line));
        let programs = programs.join().map_err(|_| anyhow!("the compilation of the programs panicked"))??;
        Ok((kernel, modules, programs))
    })
}

fn volumes(flavour: &Flavour, gathered: &Gathered, staged: &Staged, dir: &Path) -> anyhow::Result<Vec<Made>> {
    let engine = format!("{}@{}", flavour.engine.name, gathered.engine_version);
    let model = format!("{}@{}", flavour.model.name, flavour.model.revision);
    let root = volume::make("root", &format!("cloister@{VERSION}"), &staged.root, &dir.join("root.img"))?;
    let engine = volume::make("engine", &engine, &staged.engine, &dir.join("engine.img"))?;
    let model = volume::make("model", &model, &staged.model, &dir.join("model.img"))?;
    Ok(vec![root, engine, model])
}

fn measured_image(options: &Options, flavour: &Flavour, guardian: &GuardianConfig, volumes: &[Made]) -> MeasuredImage {
    MeasuredImage {
        schema: SCHEMA.to_owned(),
        flavour: options.flavour.clone(),
        version: VERSION.to_owned(),
        mode: flavour.mode,
        volumes: volumes.iter().map(|made| made.volume.clone()).collect(),
        engine: EngineCommand {
            argv: flavour.engine.argv.clone(),
            env: flavour.engine.env.clone().into_iter().collect(),
            pids_max: flavour.engine.pids_max,
        },
        network: Network { listen_ports: vec![guardian.listen_port], connect_ports: vec![guardian.ledger_port] },
        scratch_bytes_max: flavour.scratch_bytes_max,
    }
}

fn cmdline(flavour: &Flavour, volumes: &[Made]) -> anyhow::Result<String> {
    let root = volumes.first().context("the root volume is first")?;
    let quiet = flavour.cmdline.iter().any(|parameter| parameter == "console=ttynull");
    if flavour.mode == Mode::Production && !quiet {
        bail!("a production flavour must have console=ttynull");
    }
    Ok(format!("{} cloister.roothash={}", flavour.cmdline.join(" "), root.volume.root_hash))
}

fn ramdisk(programs: &Programs, image: &[u8], guardian: &GuardianConfig, path: &Path) -> anyhow::Result<()> {
    let init = programs.paths.get("cloister-init").context("no program \"cloister-init\" is built")?;
    let mut tree = FileTree::default();
    for folder in ["dev", "proc", "sys", "newroot"] {
        tree.directory(folder, 0o755)?;
    }
    tree.file("init", 0o555, init.clone())?;
    tree.bytes("measured/image.json", 0o444, image.to_vec())?;
    tree.bytes("measured/guardian.toml", 0o444, guardian.text.clone().into_bytes())?;
    let mut out = BufWriter::new(File::create(path)?);
    let console = cpio::Extra { path: "dev/console".to_owned(), mode: 0o600, major: 5, minor: 1 };
    cpio::write_with(&tree, &[console], &mut out)?;
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(())
}

fn unified(gathered: &Gathered, cmdline: &str, version: &str, dir: &Path) -> anyhow::Result<()> {
    let stub = gathered.stub()?;
    let (linux, initrd) = (fs::read(dir.join("vmlinuz"))?, fs::read(dir.join("initrd.cpio"))?);
    let osrel = format!("ID=cloister\nNAME=Cloister\nPRETTY_NAME=\"Cloister {version}\"\nVERSION_ID={version}\n");
    let parts = uki::UkiParts { stub: &stub, linux: &linux, initrd: &initrd, cmdline, osrel: &osrel, uname: version };
    fs::write(dir.join("uki.efi"), uki::build(parts)?)?;
    Ok(())
}

/// The finished folder takes the place of an older one, in one step, and only once it is on the disk.
fn put_in_place(building: tempfile::TempDir, place: &Path) -> anyhow::Result<PathBuf> {
    for entry in fs::read_dir(building.path())? {
        let path = entry?.path();
        File::open(&path).and_then(|file| file.sync_all()).with_context(|| format!("write {}", path.display()))?;
    }
    if place.exists() {
        // Afterwards the older one has the temporary name, and goes with it.
        renameat_with(CWD, building.path(), CWD, place, RenameFlags::EXCHANGE)
            .with_context(|| format!("exchange {} for the older image", place.display()))?;
        building.close().context("remove the older image")?;
    } else {
        fs::rename(building.keep(), place).with_context(|| format!("put {} in place", place.display()))?;
    }
    Ok(place.to_path_buf())
}
