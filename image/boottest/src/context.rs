//! What every case needs: the three flavours built for this run, folders, programs, and how a machine becomes a verdict.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use attestation::reference::manifest::ImageManifest;

use crate::outside::Outside;
use crate::report::Verdict;
use crate::vm::{Boot, Disk, Outcome, Vm};

/// PID 1 started the services.
pub(crate) const READY: &str = "cloister-init: READY";

/// Time for a machine to say anything at all. Emulated on a loaded machine a boot takes several times what it takes alone.
pub(crate) const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// A flavour on disk.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) dir: PathBuf,
    pub(crate) manifest: ImageManifest,
}

impl Image {
    pub(crate) fn open(dir: PathBuf) -> anyhow::Result<Self> {
        let text =
            fs::read(dir.join("manifest.json")).with_context(|| format!("read the manifest in {}", dir.display()))?;
        Ok(Self { manifest: ImageManifest::from_json(&text)?, dir })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        fs::read(self.file(name)).with_context(|| format!("read {name}"))
    }

    /// The three volumes as disks.
    pub(crate) fn disks(&self) -> Vec<Disk> {
        ["root", "engine", "model"].map(|name| self.disk(name)).to_vec()
    }

    pub(crate) fn disk(&self, name: &str) -> Disk {
        Disk { file: self.file(&format!("{name}.img")), serial: format!("cloister-{name}") }
    }

    pub(crate) fn direct(&self) -> Boot {
        Boot::Direct {
            kernel: self.file("vmlinuz"),
            initrd: Some(self.file("initrd.cpio")),
            cmdline: self.manifest.cmdline.clone(),
        }
    }
}

/// Shared by all cases.
#[derive(Debug)]
pub(crate) struct Context {
    /// No console, as shipped.
    pub(crate) production: Image,
    /// With a console.
    pub(crate) debug: Image,
    /// With the probe.
    pub(crate) test: Image,
    /// Firmware with TPM support that does not check kernel hashes.
    pub(crate) general_firmware: PathBuf,
    /// A distribution's kernel, without our patch.
    pub(crate) other_kernel: PathBuf,
    pub(crate) repo: PathBuf,
    pub(crate) scratch: PathBuf,
    pub(crate) vsock_program: PathBuf,
    pub(crate) outside: Outside,
    /// What the firmware that checks hashes needs to start a kernel, once it was measured.
    pub(crate) usual_start: Mutex<Option<Duration>>,
    machines: AtomicUsize,
}

impl Context {
    #[allow(clippy::too_many_arguments, reason = "the one place where everything comes together")]
    pub(crate) fn new(
        images: [Image; 3],
        general_firmware: PathBuf,
        other_kernel: PathBuf,
        repo: PathBuf,
        scratch: PathBuf,
        vsock_program: PathBuf,
        outside: Outside,
    ) -> Self {
        let [production, debug, test] = images;
        Self {
            production,
            debug,
            test,
            general_firmware,
            other_kernel,
            repo,
            scratch,
            vsock_program,
            outside,
            usual_start: Mutex::new(None),
            machines: AtomicUsize::new(0),
        }
    }

    /// A folder for one more machine.
    pub(crate) fn folder(&self) -> anyhow::Result<PathBuf> {
        let number = self.machines.fetch_add(1, Ordering::Relaxed);
        let dir = self.scratch.join(format!("vm{number}"));
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// A copy of `file` with one bit changed.
    pub(crate) fn flipped(&self, file: &Path, offset: u64) -> anyhow::Result<PathBuf> {
        let mut bytes = fs::read(file)?;
        let at = usize::try_from(offset)?;
        *bytes.get_mut(at).with_context(|| format!("{} is shorter than {offset} bytes", file.display()))? ^= 1;
        let copy = self.folder()?.join(file.file_name().context("a file has a name")?);
        fs::write(&copy, bytes)?;
        Ok(copy)
    }
}

/// The machine must not become ready, and must say why.
pub(crate) fn must_refuse(mut vm: Vm, reasons: &[&str]) -> Verdict {
    match vm.wait_for(READY, BOOT_LIMIT) {
        Outcome::Said(_) => Verdict::Failed("it started all the same".to_owned()),
        Outcome::Silent => Verdict::Failed(format!("neither started nor ended; console ends: {}", tail(&vm.console()))),
        Outcome::Ended(_) => because(&vm, reasons),
    }
}

/// The reason on the console, or a failure that says what is there instead.
pub(crate) fn because(vm: &Vm, reasons: &[&str]) -> Verdict {
    let console = vm.console();
    let line = console.lines().find(|line| reasons.iter().any(|reason| line.contains(reason)));
    match line {
        Some(line) => Verdict::Passed(shortened(line)),
        None => {
            let (oops, end) = (oops(&console), tail(&console));
            Verdict::Failed(format!("ended, but not for that reason: {oops}{end} {}", vm.complaints()))
        }
    }
}

/// Where a kernel failed, if it did: the first lines of its own report, which `tail` no longer has.
fn oops(console: &str) -> String {
    let report = console.lines().skip_while(|line| !line.contains("BUG: ") && !line.contains("Oops: "));
    report.take(12).map(|line| format!("{} | ", line.trim())).collect()
}

/// A line without the kernel's time stamp, cut to fit a table.
pub(crate) fn shortened(line: &str) -> String {
    let line = line.trim();
    let line = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(line, |(_, rest)| rest);
    line.chars().take(90).collect()
}

/// The last lines of a console.
pub(crate) fn tail(console: &str) -> String {
    let lines: Vec<_> = console.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.iter().rev().take(4).rev().copied().collect::<Vec<_>>().join(" | ")
}
