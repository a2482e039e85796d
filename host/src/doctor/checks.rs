//! The checks, in the order of the list: the machine, its protection, the emulator, the image.

use std::fs::{self, OpenOptions};

use super::{Check, Machine};
use crate::measure::{FIRMWARE_SNP, FIRMWARE_TDX};

/// Memory a guest of the smallest flavour and its emulator take.
const MEMORY_MIB_MIN: u64 = 3072;
/// Room for one image with its disk.
const DISK_BYTES_MIN: u64 = 4 << 30;
/// First release that launches SEV-SNP guests.
const QEMU_SNP: (u32, u32) = (9, 1);
/// Oldest release the tests boot with.
const QEMU_MIN: (u32, u32) = (7, 2);
/// PCI vendor.
const NVIDIA: &str = "0x10de";

/// All checks.
pub(super) fn all(machine: &Machine) -> Vec<Check> {
    let version = qemu_version(machine);
    let mut checks = vec![kvm(machine), snp(machine), tdx(machine), vsock(machine), memory(machine), disk(machine)];
    checks.push(qemu(version));
    checks.push(qemu_snp(machine, version));
    checks.push(firmware(machine));
    checks.extend(gpus(machine));
    checks
}

fn kvm(machine: &Machine) -> Check {
    const NAME: &str = "kvm";
    let device = machine.path("/dev/kvm");
    if !device.exists() {
        let next = "turn virtualisation on in the firmware setup and run: modprobe kvm_amd (or kvm_intel); launch --accel tcg \
                    works without, slowly";
        return Check::fail(NAME, "there is no /dev/kvm", next);
    }
    match OpenOptions::new().read(true).write(true).open(device) {
        Ok(_) => Check::pass(NAME, "/dev/kvm can be opened"),
        Err(error) => Check::fail(
            NAME,
            format!("/dev/kvm cannot be opened: {error}"),
            "add yourself to the group kvm and log in again",
        ),
    }
}

/// The maker of the processor, as `/proc/cpuinfo` names it.
fn cpu_vendor(machine: &Machine) -> Option<String> {
    let text = machine.text("/proc/cpuinfo")?;
    let line = text.lines().find(|line| line.starts_with("vendor_id"))?;
    line.split(':').nth(1).map(|vendor| vendor.trim().to_owned())
}

fn snp(machine: &Machine) -> Check {
    const NAME: &str = "sev-snp";
    if cpu_vendor(machine).as_deref() != Some("AuthenticAMD") {
        return Check::skip(NAME, "not an AMD processor", "SEV-SNP needs an EPYC of the 7003 series or later");
    }
    match machine.is_on("/sys/module/kvm_amd/parameters/sev_snp") {
        None => Check::fail(
            NAME,
            "kvm_amd is not loaded or knows no sev_snp",
            "use Linux 6.11 or later and run: modprobe kvm_amd",
        ),
        Some(false) => {
            let next = "turn SEV-SNP, SNP memory coverage (RMP) and the IOMMU on in the firmware setup, and boot with \
                        kvm_amd.sev_snp=1; dmesg | grep -i sev says what is missing";
            Check::fail(NAME, "kvm_amd has sev_snp off", next)
        }
        Some(true) if !machine.path("/dev/sev").exists() => Check::fail(
            NAME,
            "there is no /dev/sev",
            "run: modprobe ccp; dmesg | grep -i ccp says why it does not start",
        ),
        Some(true) => Check::pass(NAME, "kvm_amd has sev_snp on, /dev/sev is there"),
    }
}

fn tdx(machine: &Machine) -> Check {
    const NAME: &str = "tdx";
    if cpu_vendor(machine).as_deref() != Some("GenuineIntel") {
        return Check::skip(NAME, "not an Intel processor", "TDX needs a Xeon of the 5th generation or later");
    }
    match machine.is_on("/sys/module/kvm_intel/parameters/tdx") {
        Some(true) => Check::pass(NAME, "kvm_intel has tdx on"),
        Some(false) => {
            let next = "turn TDX and its memory encryption on in the firmware setup and boot with kvm_intel.tdx=1; \
                        dmesg | grep -i tdx says what is missing";
            Check::fail(NAME, "kvm_intel has tdx off", next)
        }
        None => Check::skip(
            NAME,
            "kvm_intel is not loaded or knows no tdx",
            "a host kernel with TDX (6.16 or later) is needed",
        ),
    }
}

fn vsock(machine: &Machine) -> Check {
    const NAME: &str = "vhost-vsock";
    if machine.path("/dev/vhost-vsock").exists() {
        Check::pass(NAME, "/dev/vhost-vsock is there")
    } else {
        let next = "run: modprobe vhost_vsock; or start vhost-device-vsock and launch with --vsock-socket";
        Check::skip(NAME, "there is no /dev/vhost-vsock", next)
    }
}

fn memory(machine: &Machine) -> Check {
    const NAME: &str = "memory";
    let text = machine.text("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    match kib.map(|kib| kib / 1024) {
        Some(mib) if mib >= MEMORY_MIB_MIN => Check::pass(NAME, format!("{mib} MiB available")),
        Some(mib) => Check::fail(NAME, format!("{mib} MiB available"), "free 3 GiB; a GPU guest takes far more"),
        None => Check::skip(NAME, "/proc/meminfo says nothing", "look at it yourself: free -m"),
    }
}

fn disk(machine: &Machine) -> Check {
    const NAME: &str = "disk";
    let directory = machine.image.clone().unwrap_or_else(|| ".".into());
    match (machine.free)(&directory) {
        Some(free) if free >= DISK_BYTES_MIN => {
            Check::pass(NAME, format!("{} GiB free in {}", free >> 30, directory.display()))
        }
        Some(free) => Check::fail(
            NAME,
            format!("{} MiB free in {}", free >> 20, directory.display()),
            "free 4 GiB for an image and its disk",
        ),
        None => Check::fail(
            NAME,
            format!("{} cannot be read", directory.display()),
            "name an existing directory with --image",
        ),
    }
}

/// Major and minor number of the emulator; `None` when it does not run.
fn qemu_version(machine: &Machine) -> Option<(u32, u32)> {
    parse_version(&(machine.qemu)(&["--version"])?)
}

/// `QEMU emulator version 10.0.2 (Debian ...)`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_once("version ")?.1.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn qemu(version: Option<(u32, u32)>) -> Check {
    const NAME: &str = "qemu";
    match version {
        None => Check::fail(NAME, "it does not run", "run: apt install qemu-system-x86"),
        Some((major, minor)) if (major, minor) < QEMU_MIN => {
            Check::fail(NAME, format!("version {major}.{minor}"), "install version 7.2 or later")
        }
        Some((major, minor)) => Check::pass(NAME, format!("version {major}.{minor}")),
    }
}

fn qemu_snp(machine: &Machine, version: Option<(u32, u32)>) -> Check {
    const NAME: &str = "qemu sev-snp-guest";
    const NEXT: &str = "install version 9.1 or later";
    let Some(version) = version else {
        return Check::skip(NAME, "there is no QEMU to ask", "run: apt install qemu-system-x86");
    };
    let objects = (machine.qemu)(&["-object", "help"]).unwrap_or_default();
    let knows = |name: &str| objects.lines().any(|line| line.trim() == name);
    match (knows("sev-snp-guest"), knows("tdx-guest")) {
        (true, true) => Check::pass(NAME, "it launches SEV-SNP and TDX guests"),
        (true, false) => Check::pass(NAME, "it launches SEV-SNP guests, not TDX guests (from 10.1 on)"),
        // Without the hardware nothing is missed.
        (false, _) if cpu_vendor(machine).as_deref() != Some("AuthenticAMD") => {
            Check::skip(NAME, "it does not launch SEV-SNP guests, nor does this processor", NEXT)
        }
        (false, _) if version < QEMU_SNP => Check::fail(NAME, "it is too old for SEV-SNP guests", NEXT),
        (false, _) => Check::fail(NAME, "it was built without SEV-SNP", "install your distribution's full build"),
    }
}

fn firmware(machine: &Machine) -> Check {
    const NAME: &str = "firmware";
    let Some(image) = &machine.image else {
        return Check::skip(NAME, "no image was named", "name one: cloister-host doctor --image DIR");
    };
    match [FIRMWARE_SNP, FIRMWARE_TDX].into_iter().find(|name| !image.join(name).is_file()) {
        None => Check::pass(
            NAME,
            format!("{FIRMWARE_SNP} and {FIRMWARE_TDX} are there; cloister-host measure tells whether they are right"),
        ),
        Some(missing) => Check::fail(
            NAME,
            format!("{missing} is missing in {}", image.display()),
            "build the image again: make image",
        ),
    }
}

/// A line for each NVIDIA GPU, and one for what sysfs does not show.
fn gpus(machine: &Machine) -> Vec<Check> {
    const NAME: &str = "gpu";
    let devices = fs::read_dir(machine.path("/sys/bus/pci/devices")).into_iter().flatten().flatten();
    let text = |entry: &fs::DirEntry, file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
    // Class 0x03: display controllers, which a data centre GPU is as well (0x0302).
    let mut found: Vec<_> = devices
        .filter(|entry| text(entry, "vendor").trim() == NVIDIA && text(entry, "class").starts_with("0x03"))
        .map(|entry| (entry.file_name().display().to_string(), entry.path()))
        .collect();
    found.sort();
    if found.is_empty() {
        return vec![Check::skip(
            NAME,
            "no NVIDIA device",
            "confidential inference on a GPU needs an H100, H200 or later",
        )];
    }
    let mut checks: Vec<_> =
        found.iter().map(|(address, path)| gpu_driver(NAME, address, &path.join("driver"))).collect();
    // The mode is a register behind a memory BAR; sysfs shows no file for it, and a guest's evidence proves it anyway.
    let next = "ask with NVIDIA's gpu-admin-tools: nvidia_gpu_tools.py --query-cc-mode; set with --set-cc-mode=on --reset-after-cc-mode-switch";
    checks.push(Check::skip("gpu cc mode", "sysfs does not show the confidential computing mode", next));
    checks
}

fn gpu_driver(name: &'static str, address: &str, driver: &std::path::Path) -> Check {
    let driver = fs::read_link(driver).ok().and_then(|link| Some(link.file_name()?.display().to_string()));
    match driver.as_deref() {
        Some("vfio-pci") => Check::pass(name, format!("{address} is kept for a guest (vfio-pci)")),
        Some(other) => {
            Check::fail(name, format!("{address} is used by {other} on this machine"), "bind it to vfio-pci")
        }
        None => Check::fail(name, format!("{address} has no driver"), "bind it to vfio-pci"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::path::Path;

    use super::super::Outcome;
    use super::*;

    /// A machine made of these files.
    fn machine(
        files: &[(&str, &str)],
        qemu: Option<&'static str>,
        objects: &'static str,
    ) -> (tempfile::TempDir, Machine) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let answers = move |arguments: &[&str]| match arguments {
            ["--version"] => qemu.map(str::to_owned),
            _ => Some(objects.to_owned()),
        };
        let machine = Machine {
            root: dir.path().to_owned(),
            image: Some(dir.path().join("image")),
            qemu: Box::new(answers),
            free: |path: &Path| path.exists().then_some(64 << 30),
        };
        (dir, machine)
    }

    fn outcomes(machine: &Machine) -> Vec<(&'static str, Outcome)> {
        all(machine).iter().map(|check| (check.name, check.outcome)).collect()
    }

    const AMD: (&str, &str) = ("proc/cpuinfo", "processor\t: 0\nvendor_id\t: AuthenticAMD\n");
    const MEMORY: (&str, &str) = ("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:   65536000 kB\n");

    #[test]
    fn a_ready_snp_machine_passes() {
        let gpu = "sys/bus/pci/devices/0000:21:00.0";
        let (dir, machine) = machine(
            &[
                AMD,
                MEMORY,
                ("dev/kvm", ""),
                ("dev/sev", ""),
                ("dev/vhost-vsock", ""),
                ("sys/module/kvm_amd/parameters/sev_snp", "Y\n"),
                ("image/OVMF.amdsev.fd", ""),
                ("image/OVMF.inteltdx.fd", ""),
                ("sys/bus/pci/devices/0000:21:00.0/vendor", "0x10de\n"),
                ("sys/bus/pci/devices/0000:21:00.0/class", "0x030200\n"),
            ],
            Some("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\n"),
            "List of user creatable objects:\n  sev-guest\n  sev-snp-guest\n",
        );
        std::os::unix::fs::symlink("../../../bus/pci/drivers/vfio-pci", dir.path().join(gpu).join("driver")).unwrap();
        let found = outcomes(&machine);
        assert!(found.iter().all(|(_, outcome)| *outcome != Outcome::Fail), "{found:?}");
        let skipped: Vec<_> =
            found.iter().filter(|(_, outcome)| *outcome == Outcome::Skip).map(|(name, _)| *name).collect();
        assert_eq!(skipped, ["tdx", "gpu cc mode"], "hardware that is not here, and what cannot be seen");
    }

    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        let (_dir, machine) = machine(
            &[
                AMD,
                ("proc/meminfo", "MemAvailable: 1024 kB\n"),
                ("sys/module/kvm_amd/parameters/sev_snp", "N\n"),
                ("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n"),
                ("sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n"),
                ("sys/bus/pci/devices/0000:02:00.0/vendor", "0x8086\n"),
                ("sys/bus/pci/devices/0000:02:00.0/class", "0x030000\n"),
            ],
            None,
            "",
        );
        let found = all(&machine);
        let failed: Vec<_> =
            found.iter().filter(|check| check.outcome == Outcome::Fail).map(|check| check.name).collect();
        assert_eq!(failed, ["kvm", "sev-snp", "memory", "disk", "qemu", "firmware", "gpu"]);
        assert!(found.iter().all(|check| check.outcome == Outcome::Pass || check.next.is_some()));
    }

    #[test]
    fn an_old_emulator_fails_where_it_is_missed() {
        let old = Some("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\n");
        let of = |cpu: &'static str| {
            let (_dir, machine) = machine(&[("proc/cpuinfo", cpu)], old, "sev-guest\n");
            qemu_snp(&machine, qemu_version(&machine)).outcome
        };
        assert_eq!(of("vendor_id : AuthenticAMD\n"), Outcome::Fail);
        assert_eq!(of("vendor_id : GenuineIntel\n"), Outcome::Skip);
    }

    #[test]
    fn versions_are_read_as_they_are_printed() {
        assert_eq!(parse_version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg)\nCopyright"), Some((7, 2)));
        assert_eq!(parse_version("QEMU emulator version 10.1\n"), Some((10, 1)));
        assert_eq!(parse_version("something else"), None);
    }
}
