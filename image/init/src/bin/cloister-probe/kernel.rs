//! What the kernel does not do even for root, and what it was told.

use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use measured_init::config::MeasuredImage;
use measured_init::{cmdline, sysctl};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Resource, getrlimit};

use crate::calls::{self, NOT_BUILT};
use crate::files::{errno, read};
use crate::report::Report;
use crate::system::Devices;

pub(crate) fn run(report: &mut Report, devices: &Devices, image: &MeasuredImage) {
    lockdown(report);
    calls::refused(report, "03", &NOT_BUILT, &[libc::ENOSYS]);
    absent(report, devices);
    settings(report);
    memory(report, devices);
    command_line(report, image);
    time_and_entropy(report, devices);
}

fn lockdown(report: &mut Report) {
    let at = "/run/probe-securityfs";
    let state = fs::create_dir_all(at)
        .and_then(|()| Ok(mount("securityfs", at, "securityfs", MountFlags::RDONLY, None)?))
        .and_then(|()| fs::read_to_string(format!("{at}/lockdown")))
        .unwrap_or_else(|error| error.to_string());
    report.check("03-lockdown", state.contains("[confidentiality]"), state.trim_end());
    let modules = read(format!("{at}/lsm"));
    report.check("03-lsm", modules.contains("landlock") && modules.contains("yama"), &modules);
    let _ = unmount(at, UnmountFlags::DETACH);
    let _ = fs::remove_dir(at);
}

fn absent(report: &mut Report, devices: &Devices) {
    let files = [
        ("03", "/proc/kcore"),
        ("03", "/proc/kpagecount"),
        ("03", "/proc/modules"),
        ("03", "/proc/sysrq-trigger"),
        ("03", "/sys/kernel/kexec_loaded"),
        ("03", "/sys/power/disk"),
        ("03", "/dev/kmsg"),
        ("04", "/proc/swaps"),
        ("04", "/proc/sys/kernel/core_pattern"),
        ("11", "/sys/class/dmi/id"),
        ("11", "/sys/firmware/dmi"),
        ("13", "/sys/class/misc/hw_random"),
        ("15", "/sys/devices/system/memory/auto_online_blocks"),
        ("15", "/sys/devices/system/memory/probe"),
        ("15", "/sys/devices/system/cpu/probe"),
    ];
    for (line, path) in files {
        let error = errno(fs::metadata(path));
        let item = format!("{line}-absent-{}", path.trim_start_matches('/').replace('/', "-"));
        report.check(&item, error == libc::ENOENT, calls::named(error));
    }
    // Not even in the kernel's own device directory.
    for name in ["mem", "kmem", "port", "hwrng", "kvm", "fuse", "loop-control", "snapshot", "uinput"] {
        let error = errno(fs::metadata(devices.path(name)));
        report.check(&format!("03-absent-device-{name}"), error == libc::ENOENT, calls::named(error));
    }
    let known = read("/proc/filesystems");
    for name in ["debugfs", "tracefs", "overlay", "fuse", "bpf", "vfat", "ext4", "squashfs", "hugetlbfs"] {
        let there = known.lines().any(|line| line.split('\t').next_back() == Some(name));
        report.check(
            &format!("03-absent-filesystem-{name}"),
            !there,
            if there { "known" } else { "unknown to the kernel" },
        );
    }
    let symbols = read("/proc/kallsyms");
    let hidden = symbols.lines().all(|line| line.starts_with("0000000000000000"));
    report.check("03-kallsyms", hidden, format_args!("{} lines, no address", symbols.lines().count()));
    let user = Path::new("/proc/self/ns/user").exists();
    report.check("03-no-user-namespaces", !user, if user { "the kernel has them" } else { "not built" });
}

fn settings(report: &mut Report) {
    let mut faults = Vec::new();
    let mut there = 0;
    for (file, value) in sysctl::SETTINGS {
        let path = format!("/proc/sys/{file}");
        if !Path::new(&path).exists() {
            continue;
        }
        there += 1;
        if !sysctl::holds(value, &read(&path)) {
            faults.push(format!("{file} is {}, not {value}", read(&path).trim_end()));
        }
    }
    for interface in crate::files::names("/proc/sys/net/ipv4/conf") {
        for (file, value) in sysctl::INTERFACE_SETTINGS {
            let path = format!("/proc/sys/net/ipv4/conf/{interface}/{file}");
            there += 1;
            if !sysctl::holds(value, &read(&path)) {
                faults.push(format!("{interface}/{file} is {}, not {value}", read(&path).trim_end()));
            }
        }
    }
    report.none("03-sysctl", &faults, format_args!("{there} settings hold"));
}

fn memory(report: &mut Report, devices: &Devices) {
    let core = getrlimit(Resource::Core);
    report.check("04-core-limit", core.maximum == Some(0), format_args!("{core:?}"));
    let log = kernel_log(devices);
    let wiped = log.lines().find(|line| line.contains("heap alloc:on, heap free:on")).unwrap_or_default();
    report.check("04-memory-wiped", !wiped.is_empty(), wiped.rsplit(';').next().unwrap_or_default());
    report.not_here("04-console", "a test image has a console; that production has none is the command line's check");
}

/// What the kernel has logged so far.
fn kernel_log(devices: &Devices) -> String {
    let mut log = Vec::new();
    let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(devices.path("kmsg"));
    if let Ok(mut file) = file {
        let mut record = vec![0; 8192];
        while let Ok(length) = file.read(&mut record) {
            log.extend(record.iter().take(length));
        }
    }
    String::from_utf8_lossy(&log).into_owned()
}

fn command_line(report: &mut Report, image: &MeasuredImage) {
    let root = image.volume("root").map(|volume| volume.root_hash.as_str()).unwrap_or_default();
    let outcome = cmdline::check(read("/proc/cmdline").as_bytes(), image.mode, root);
    report.check("12-command-line", outcome.is_ok(), format_args!("{outcome:?}"));
    report.not_here("12-refusals", "unit tests of the parser, and boots with a changed command line");
}

fn time_and_entropy(report: &mut Report, devices: &Devices) {
    let mut bytes = [0_u8; 32];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    report.check("13-random", got == Ok(32), format_args!("{got:?} bytes without waiting"));
    let line = read("/proc/cmdline");
    let told = line.contains("random.trust_cpu=on") && line.contains("random.trust_bootloader=off");
    report.check("13-entropy", told, "from the processor, not from the boot loader");
    let hypervisor = fs::metadata(devices.path("hwrng")).is_ok();
    report.check("13-no-virtio-rng", !hypervisor, "no random numbers from the host");
    let clocks = read("/sys/devices/system/clocksource/clocksource0/available_clocksource");
    let own = clocks.contains("tsc") && !clocks.contains("kvm-clock");
    report.check("13-clock", own, clocks.trim_end());
}
