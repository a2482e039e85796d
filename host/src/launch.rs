//! `cloister-host launch`: starts an image in a virtual machine.
//!
//! Decides: QEMU's command line, whole. Every option is named here and `-nodefaults -no-user-config` forbids the rest, since
//! what QEMU adds by itself (devices, ROMs, a configuration of the user) is a way into the guest. The operator's machine is
//! outside the trust boundary: a wrong command line gives a launch no client accepts, never one with other secrets.

use std::ffi::OsString;
use std::fs;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::measure::{self, FIRMWARE_SNP};
use crate::output;

/// Port of the guardian's listener inside the guest.
const GUEST_PORT: u16 = 8443;

/// Where AMD's encryption bit is in a page table entry: the same on Milan, Genoa and Turin (CPUID Fn8000_001F_EBX).
const SNP_C_BIT: u32 = 51;

/// SNP guest policy: bit 17 is always one, bit 16 permits simultaneous multithreading; debugging and migration are not permitted.
const SNP_POLICY: u32 = 0x3_0000;

/// Volumes by the name the guest finds them under.
const VOLUMES: [&str; 3] = ["root", "engine", "model"];

/// What is launched, and how.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The image directory.
    #[arg(long, value_name = "DIR")]
    image: PathBuf,
    /// Guest memory.
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(256..))]
    memory: u32,
    /// Virtual CPUs. The launch digest depends on the number.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=512))]
    vcpus: u32,
    /// Virtual CPU model with --sev-snp. The launch digest depends on it.
    #[arg(long, value_name = "TYPE", default_value = "EPYC-v4")]
    cpu: String,
    /// Port of this machine that leads to the guardian.
    #[arg(long, value_name = "HOSTPORT", default_value_t = GUEST_PORT)]
    port: u16,
    /// Address of this machine on which that port is open.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    listen: IpAddr,
    /// Emulate (slow, protects nothing), or use this machine's CPU.
    #[arg(long, value_enum, default_value_t = Accel::Tcg)]
    accel: Accel,
    /// Launch as a confidential guest of an AMD machine.
    #[arg(long)]
    sev_snp: bool,
    /// Give the guest a vsock with this context id (the kernel's vhost-vsock).
    #[arg(long, value_name = "CID", conflicts_with = "vsock_socket", value_parser = clap::value_parser!(u32).range(3..))]
    vsock_cid: Option<u32>,
    /// Give the guest a vsock through this socket of vhost-device-vsock.
    #[arg(long, value_name = "PATH")]
    vsock_socket: Option<PathBuf>,
    /// Show the guest's serial console; only test and debug flavours write to it.
    #[arg(long)]
    console: bool,
    /// The emulator.
    #[arg(long, value_name = "PROGRAM", default_value = "qemu-system-x86_64")]
    qemu: PathBuf,
    /// Print the command line and start nothing.
    #[arg(long)]
    print: bool,
}

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Accel {
    Tcg,
    Kvm,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let files = Files::of(&args.image)?;
    let line = command_line(args, &files)?;
    if args.print {
        return output::line(&shell(&args.qemu, &line));
    }
    // The emulator takes this process's place: its exit code, its signals, its terminal.
    let error = Command::new(&args.qemu).args(&line).exec();
    Err(error).with_context(|| format!("start {}; install it with: apt install qemu-system-x86", args.qemu.display()))
}

/// Files of an image directory.
struct Files {
    kernel: PathBuf,
    initrd: PathBuf,
    cmdline: String,
    firmware_snp: PathBuf,
    volumes: Vec<(&'static str, PathBuf)>,
}

impl Files {
    fn of(image: &Path) -> anyhow::Result<Self> {
        // QEMU resolves names against its own working directory, and says little when a file is missing.
        let image = fs::canonicalize(image).with_context(|| format!("open {}", image.display()))?;
        let volume = |name: &&'static str| {
            let path = image.join(format!("{name}.img"));
            (*name == "root" || path.is_file()).then_some((*name, path))
        };
        let files = Self {
            kernel: image.join("vmlinuz"),
            initrd: image.join("initrd.cpio"),
            cmdline: measure::cmdline(&image)?,
            firmware_snp: image.join(FIRMWARE_SNP),
            volumes: VOLUMES.iter().filter_map(volume).collect(),
        };
        let volumes = files.volumes.iter().map(|(_, path)| path);
        if let Some(missing) = [&files.kernel, &files.initrd].into_iter().chain(volumes).find(|path| !path.is_file()) {
            bail!("{} is missing: this is not an image directory", missing.display());
        }
        Ok(files)
    }
}

/// QEMU's arguments for a direct boot:
///
/// - machine: q35, memory shared so that a vhost-user device can reach it; no default devices, no option ROMs, no display, and
///   a guest that resets ends (an attacker gets no second try at a panicked guest's memory);
/// - with `--sev-snp`: the guest's memory is encrypted, `kernel-hashes=on` measures kernel, ramdisk and command line, and the
///   firmware is the one that enforces those hashes;
/// - disks: one read-only virtio disk per volume, found by serial;
/// - network: user-mode, one forwarded port; the guest reaches this machine as 10.0.2.2.
fn command_line(args: &Args, files: &Files) -> anyhow::Result<Vec<OsString>> {
    if args.sev_snp && args.accel != Accel::Kvm {
        bail!("--sev-snp needs --accel kvm: an emulator cannot protect a guest");
    }
    if args.sev_snp && !files.firmware_snp.is_file() {
        bail!("{} is missing: no other firmware checks what it boots", files.firmware_snp.display());
    }
    let mut line = Line(Vec::new());
    line.words(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-monitor", "none"]);
    line.words(["-serial", if args.console { "stdio" } else { "none" }]);
    line.machine(args, files);
    line.option("-m", format!("{}M", args.memory));
    line.option("-smp", args.vcpus.to_string());
    line.path("-kernel", &files.kernel);
    line.path("-initrd", &files.initrd);
    line.option("-append", files.cmdline.clone());
    for (name, path) in &files.volumes {
        line.option("-drive", glue(format!("if=none,id={name},format=raw,readonly=on,file="), path));
        line.option("-device", format!("virtio-blk-pci,disable-legacy=on,drive={name},serial=cloister-{name}"));
    }
    let (listen, port) = (args.listen, args.port);
    if listen.is_ipv6() {
        bail!("user-mode networking forwards IPv4 addresses only");
    }
    line.option("-netdev", format!("user,id=net,hostfwd=tcp:{listen}:{port}-:{GUEST_PORT}"));
    line.option("-device", "virtio-net-pci,disable-legacy=on,netdev=net,romfile=");
    if let Some(cid) = args.vsock_cid {
        line.option("-device", format!("vhost-vsock-pci,disable-legacy=on,guest-cid={cid}"));
    }
    if let Some(socket) = &args.vsock_socket {
        line.option("-chardev", glue("socket,id=vsock,path=", socket));
        line.option("-device", "vhost-user-vsock-pci,chardev=vsock");
    }
    Ok(line.0)
}

struct Line(Vec<OsString>);

impl Line {
    fn words<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.map(OsString::from));
    }

    fn option(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.extend([name.into(), value.into()]);
    }

    fn path(&mut self, name: &str, path: &Path) {
        self.option(name, path);
    }

    fn machine(&mut self, args: &Args, files: &Files) {
        self.option("-object", format!("memory-backend-memfd,id=ram,share=on,size={}M", args.memory));
        if args.sev_snp {
            let guest = format!(
                "sev-snp-guest,id=snp,cbitpos={SNP_C_BIT},reduced-phys-bits=1,policy={SNP_POLICY:#x},kernel-hashes=on"
            );
            self.option("-object", guest);
            self.option("-machine", "q35,memory-backend=ram,confidential-guest-support=snp,vmport=off");
            self.option("-cpu", args.cpu.clone());
            self.path("-bios", &files.firmware_snp);
        } else {
            self.option("-machine", "q35,memory-backend=ram");
            self.option("-cpu", "max");
        }
        self.words(["-accel", if args.accel == Accel::Kvm { "kvm" } else { "tcg" }]);
    }
}

/// An option whose last part is a path. QEMU ends a value at a comma, and reads two as one.
fn glue(option: impl Into<OsString>, path: &Path) -> OsString {
    let mut option = option.into();
    match path.to_str() {
        Some(path) => option.push(path.replace(',', ",,")),
        None => option.push(path),
    }
    option
}

/// A line for a shell, one option per line.
fn shell(program: &Path, line: &[OsString]) -> String {
    let mut text = quoted(&program.display().to_string());
    for word in line {
        let word = word.to_string_lossy();
        text.push_str(if word.starts_with('-') { " \\\n  " } else { " " });
        text.push_str(&quoted(&word));
    }
    text
}

fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=.,:/+@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Args {
        Program::parse_from(std::iter::once("launch").chain(line.split_whitespace())).args
    }

    fn image(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::Builder::new().prefix("an,image").tempdir().unwrap();
        for name in names {
            fs::write(dir.path().join(name), "console=ttyS0 cloister.roothash=ab\n").unwrap();
        }
        dir
    }

    fn line(dir: &Path, options: &str) -> String {
        let args = args(&format!("--image {} {options}", dir.display()));
        shell(&args.qemu, &command_line(&args, &Files::of(dir).unwrap()).unwrap())
    }

    #[test]
    fn a_direct_boot_names_every_part() {
        let dir = image(&["vmlinuz", "initrd.cpio", "cmdline", "root.img", "model.img"]);
        let text = line(dir.path(), "--port 18443 --memory 1024 --vcpus 2 --vsock-socket run/vm.sock");
        let at = fs::canonicalize(dir.path()).unwrap().display().to_string();
        let doubled = at.replace(',', ",,");
        for part in [
            "qemu-system-x86_64 \\\n  -nodefaults \\\n  -no-user-config \\\n  -display none \\\n  -no-reboot"
                .to_owned(),
            "-serial none".to_owned(),
            "-machine q35,memory-backend=ram".to_owned(),
            "-object memory-backend-memfd,id=ram,share=on,size=1024M".to_owned(),
            "-accel tcg".to_owned(),
            "-m 1024M".to_owned(),
            "-smp 2".to_owned(),
            format!("-kernel {at}/vmlinuz"),
            format!("-initrd {at}/initrd.cpio"),
            "-append 'console=ttyS0 cloister.roothash=ab'".to_owned(),
            format!("-drive if=none,id=root,format=raw,readonly=on,file={doubled}/root.img"),
            "serial=cloister-root".to_owned(),
            "serial=cloister-model".to_owned(),
            "hostfwd=tcp:127.0.0.1:18443-:8443".to_owned(),
            "-chardev socket,id=vsock,path=run/vm.sock".to_owned(),
        ] {
            assert!(text.contains(&part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("cloister-engine") && !text.contains("sev") && !text.contains("-bios"), "{text}");
    }

    #[test]
    fn a_confidential_guest_measures_its_kernel() {
        let dir = image(&["vmlinuz", "initrd.cpio", "cmdline", "root.img", FIRMWARE_SNP]);
        let text = line(dir.path(), "--accel kvm --sev-snp --cpu EPYC-Genoa --vsock-cid 42 --listen 0.0.0.0");
        for part in [
            "sev-snp-guest,id=snp,cbitpos=51,reduced-phys-bits=1,policy=0x30000,kernel-hashes=on",
            "confidential-guest-support=snp",
            "-cpu EPYC-Genoa",
            "/OVMF.amdsev.fd",
            "-accel kvm",
            "vhost-vsock-pci,disable-legacy=on,guest-cid=42",
            "hostfwd=tcp:0.0.0.0:8443-:8443",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let dir = image(&["vmlinuz", "initrd.cpio", "cmdline", "root.img"]);
        let files = Files::of(dir.path()).unwrap();
        let refused = |options: &str| {
            let args = args(&format!("--image {} {options}", dir.path().display()));
            command_line(&args, &files).unwrap_err().to_string()
        };
        assert!(refused("--sev-snp").contains("--accel kvm"));
        assert!(refused("--sev-snp --accel kvm").contains("OVMF.amdsev.fd is missing"));
        assert!(refused("--listen ::1").contains("IPv4"));
        let incomplete = image(&["vmlinuz", "initrd.cpio", "cmdline"]);
        let missing = Files::of(incomplete.path()).map(drop).unwrap_err().to_string();
        assert!(missing.contains("root.img is missing"), "{missing}");
        for wrong in ["--vcpus 0", "--memory 1", "--vsock-cid 2", "--vsock-cid 3 --vsock-socket s", "--accel xen"] {
            let words = ["launch", "--image", "d"].into_iter().chain(wrong.split_whitespace());
            assert!(Program::try_parse_from(words).is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("q35,memory-backend=ram"), "q35,memory-backend=ram");
    }
}
