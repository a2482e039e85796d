//! One QEMU machine without hardware virtualisation: how it is started, watched and ended.
//!
//! Nothing here trusts the guest. What a case concludes, it concludes from the serial console, from how QEMU ended, from the guest's
//! memory read through the monitor, or from what answers on a port.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Memory of every machine, in MiB.
pub(crate) const MEMORY_MIB: u64 = 1024;

/// Everything that the emulator can do but wide vectors: it computes them lane by lane, and an engine that finds them becomes more than
/// ten times slower.
const CPU: &str = "max,-avx,-avx2,-fma,-f16c";

/// A disk as the guest sees it.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    pub(crate) file: PathBuf,
    pub(crate) serial: String,
}

/// What starts first.
#[derive(Debug, Clone)]
pub(crate) enum Boot {
    /// QEMU places kernel, ramdisk and command line itself.
    Direct { kernel: PathBuf, initrd: Option<PathBuf>, cmdline: String },
    /// The same through firmware that checks them against a table of hashes, which is put where QEMU puts it on SEV-SNP.
    Checked { firmware: PathBuf, kernel: PathBuf, initrd: PathBuf, cmdline: String, table: PathBuf, address: u64 },
    /// Firmware starts a unified image, handed over as a kernel.
    Unified { firmware: PathBuf, uki: PathBuf },
    /// Firmware finds the unified image on the first disk.
    Disk { firmware: PathBuf },
}

/// A machine to be.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) boot: Boot,
    pub(crate) disks: Vec<Disk>,
    /// Loopback port that leads to the guest's port 8443.
    pub(crate) port: Option<u16>,
    /// Socket of a vsock device that runs as a process of its own.
    pub(crate) vsock: Option<PathBuf>,
    /// Control socket of a software TPM.
    pub(crate) tpm: Option<PathBuf>,
    /// Whatever else QEMU shall be told.
    pub(crate) extra: Vec<String>,
    /// Processors; two where speed is what is shown. An emulated guest with several may run into the breakpoint by which one processor
    /// just replaces an instruction (a static key) for all, and its kernel then stops: reported of QEMU 8.0 on the kernel's list in
    /// July 2023, once in hundreds of boots.
    pub(crate) cpus: u32,
}

impl Machine {
    pub(crate) fn new(boot: Boot, disks: Vec<Disk>) -> Self {
        Self { boot, disks, port: None, vsock: None, tpm: None, extra: Vec::new(), cpus: 1 }
    }

    fn arguments(&self, dir: &Path) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut put = |words: &[&str]| all.extend(words.iter().map(|word| (*word).to_owned()));
        // 7.1 is the last machine type without a random seed in the kernel's setup data, which would change the measured kernel.
        put(&["-machine", "pc-q35-7.1,memory-backend=memory", "-accel", "tcg", "-cpu", CPU]);
        put(&["-m", &MEMORY_MIB.to_string(), "-smp", &self.cpus.to_string()]);
        put(&["-object", &format!("memory-backend-memfd,id=memory,size={MEMORY_MIB}M,share=on")]);
        put(&["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        put(&["-serial", &format!("file:{}", dir.join("serial.log").display())]);
        put(&["-monitor", &format!("unix:{},server=on,wait=off", dir.join("monitor").display())]);
        match &self.boot {
            Boot::Direct { kernel, initrd, cmdline } => {
                put(&["-kernel", &kernel.display().to_string(), "-append", cmdline]);
                if let Some(initrd) = initrd {
                    put(&["-initrd", &initrd.display().to_string()]);
                }
            }
            Boot::Checked { firmware, kernel, initrd, cmdline, table, address } => {
                put(&["-bios", &firmware.display().to_string(), "-kernel", &kernel.display().to_string()]);
                put(&["-initrd", &initrd.display().to_string(), "-append", cmdline]);
                put(&["-device", &format!("loader,file={},addr={address:#x},force-raw=on", table.display())]);
            }
            Boot::Unified { firmware, uki } => {
                put(&["-bios", &firmware.display().to_string(), "-kernel", &uki.display().to_string()]);
            }
            Boot::Disk { firmware } => put(&["-bios", &firmware.display().to_string()]),
        }
        for (index, disk) in self.disks.iter().enumerate() {
            let file = disk.file.display();
            put(&["-drive", &format!("if=none,id=disk{index},file={file},format=raw,readonly=on,file.locking=off")]);
            let serial = &disk.serial;
            put(&["-device", &format!("virtio-blk-pci,drive=disk{index},serial={serial},disable-legacy=on")]);
        }
        // Always a network: the kernel waits for one to give its address to.
        let forward = self.port.map(|port| format!(",hostfwd=tcp:127.0.0.1:{port}-:8443")).unwrap_or_default();
        put(&["-netdev", &format!("user,id=net{forward}")]);
        put(&["-device", "virtio-net-pci,netdev=net,romfile=,disable-legacy=on"]);
        if let Some(socket) = &self.vsock {
            put(&["-chardev", &format!("socket,id=vsock,reconnect=0,path={}", socket.display())]);
            put(&["-device", "vhost-user-vsock-pci,chardev=vsock"]);
        }
        if let Some(socket) = &self.tpm {
            put(&["-chardev", &format!("socket,id=tpm,path={}", socket.display())]);
            put(&["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm0"]);
        }
        all.extend(self.extra.iter().cloned());
        all
    }

    /// Starts it; its files are below `dir`.
    pub(crate) fn start(&self, dir: &Path) -> anyhow::Result<Vm> {
        fs::create_dir_all(dir)?;
        let serial = dir.join("serial.log");
        fs::write(&serial, [])?;
        let errors = fs::File::create(dir.join("qemu.log"))?;
        let child = Command::new("qemu-system-x86_64")
            .args(self.arguments(dir))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .context("start qemu-system-x86_64 (package qemu-system-x86)")?;
        Ok(Vm { child, dir: dir.to_path_buf(), serial, started: Instant::now() })
    }
}

/// A running machine. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Vm {
    child: Child,
    dir: PathBuf,
    serial: PathBuf,
    started: Instant,
}

/// How waiting for a machine came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The words came.
    Said(Duration),
    /// QEMU ended first.
    Ended(Duration),
    /// Neither, in the time there was.
    Silent,
}

impl Vm {
    /// Everything on the serial console so far.
    pub(crate) fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.serial).unwrap_or_default()).into_owned()
    }

    /// What QEMU itself said.
    pub(crate) fn complaints(&self) -> String {
        fs::read_to_string(self.dir.join("qemu.log")).unwrap_or_default()
    }

    /// Time since the start.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether QEMU runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for `words` on the console, at most until the machine is `limit` old.
    pub(crate) fn wait_for(&mut self, words: &str, limit: Duration) -> Outcome {
        loop {
            let over = !self.runs();
            if self.console().contains(words) {
                return Outcome::Said(self.age());
            }
            if over {
                return Outcome::Ended(self.age());
            }
            if self.age() >= limit {
                return Outcome::Silent;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for QEMU to end.
    pub(crate) fn wait_for_end(&mut self, limit: Duration) -> Outcome {
        while self.runs() {
            if self.age() >= limit {
                return Outcome::Silent;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Outcome::Ended(self.age())
    }

    /// A command to QEMU's monitor; its answer.
    pub(crate) fn monitor(&self, command: &str) -> anyhow::Result<String> {
        let mut stream = UnixStream::connect(self.dir.join("monitor")).context("connect to QEMU's monitor")?;
        stream.set_read_timeout(Some(Duration::from_millis(700)))?;
        stream.write_all(format!("{command}\n").as_bytes())?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        // The monitor never closes: what came in before it fell silent is the answer.
        while let Ok(got) = stream.read(&mut buffer) {
            if got == 0 {
                break;
            }
            answer.extend_from_slice(buffer.get(..got).unwrap_or_default());
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// The 32-bit word of guest memory at `address`.
    pub(crate) fn memory_word(&self, address: u64) -> anyhow::Result<u32> {
        let answer = self.monitor(&format!("xp /1xw {address:#x}"))?;
        let word = answer.split_whitespace().rev().find_map(|word| word.strip_prefix("0x"));
        let Some(word) = word else { bail!("QEMU's monitor said {answer:?}") };
        Ok(u32::from_str_radix(word, 16)?)
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
