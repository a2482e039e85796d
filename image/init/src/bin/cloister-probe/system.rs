//! As root in the namespaces of PID 1: what even root cannot do. Programs and file systems here, the kernel in `kernel.rs`, what
//! surrounds it in `platform.rs`.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use measured_init::config::{MeasuredImage, Volume};
use measured_init::{sys, verity};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use crate::calls;
use crate::files::{errno, magic, mounts, read, walk};
use crate::kernel;
use crate::platform;
use crate::report::Report;

/// The programs of a test image's root volume.
const PROGRAMS: [&str; 3] = ["/usr/bin/cloister-guardian", "/usr/bin/cloister-probe", "/usr/sbin/cloister-init"];

/// What no volume may have: a way to type commands, to log in, or to install.
const UNWANTED: [&str; 24] = [
    "sh", "bash", "dash", "ash", "zsh", "ksh", "csh", "busybox", "toybox", "perl", "lua", "ruby", "gdb", "strace",
    "ssh", "sshd", "dropbear", "getty", "agetty", "login", "su", "sudo", "dpkg", "systemd",
];

pub(crate) fn run() -> Report {
    let mut report = Report::new("system");
    programs(&mut report);
    mounted(&mut report);
    let image = MeasuredImage::parse(read("/run/cloister/image.json").as_bytes());
    let Ok(image) = image else {
        report.check("02-image", false, format_args!("{image:?}"));
        return report;
    };
    match Devices::mount("/run/probe-system") {
        Ok(devices) => {
            image.volumes.iter().for_each(|volume| mapped(&mut report, &devices, volume));
            kernel::run(&mut report, &devices, &image);
        }
        Err(error) => report.check("02-devices", false, error),
    }
    platform::run(&mut report);
    report.not_here("06-sandbox", "see the places guardian and engine");
    report
}

/// The kernel's own device directory, which services do not have. Goes away with the value.
pub(crate) struct Devices(&'static str);

impl Devices {
    pub(crate) fn mount(at: &'static str) -> std::io::Result<Self> {
        fs::create_dir_all(at)?;
        mount("devtmpfs", at, "devtmpfs", MountFlags::NOSUID | MountFlags::NOEXEC, None)?;
        Ok(Self(at))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::new(self.0).join(name)
    }

    /// The node of the mapped device `name`.
    pub(crate) fn mapped(&self, name: &str) -> Option<PathBuf> {
        let disks = crate::files::names("/sys/block");
        let disk = disks.iter().find(|disk| read(format!("/sys/block/{disk}/dm/name")).trim_end() == name)?;
        Some(self.path(disk))
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        let _ = unmount(self.0, UnmountFlags::DETACH);
        let _ = fs::remove_dir(self.0);
    }
}

fn programs(report: &mut Report) {
    let root = walk("/");
    let runnable = |path: &Path| {
        let executable = fs::symlink_metadata(path).is_ok_and(|data| data.mode() & 0o111 != 0);
        executable || magic(path).starts_with(b"\x7fELF") || magic(path).starts_with(b"#!")
    };
    let unknown: Vec<String> = root
        .iter()
        .filter(|path| runnable(path) && !PROGRAMS.iter().any(|program| Path::new(program) == path.as_path()))
        .map(|path| path.display().to_string())
        .collect();
    report.none("01-programs", &unknown, format_args!("{} files, of which {PROGRAMS:?} are programs", root.len()));
    for volume in ["/", "/run/volumes/engine", "/run/volumes/model"] {
        let files = walk(volume);
        if files.is_empty() {
            // An image may do without a model volume, not without the others.
            report.check("01-files", volume.ends_with("model"), format_args!("{volume} has none"));
            continue;
        }
        let item = volume.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("root");
        let unwanted: Vec<String> = files
            .iter()
            .filter(|path| path.file_name().is_some_and(|name| UNWANTED.iter().any(|unwanted| name == *unwanted)))
            .map(|path| path.display().to_string())
            .collect();
        report.none(&format!("01-no-shell-{item}"), &unwanted, format_args!("{} files", files.len()));
        let setuid: Vec<String> = files
            .iter()
            .filter(|path| fs::symlink_metadata(path).is_ok_and(|data| data.mode() & 0o6000 != 0))
            .map(|path| path.display().to_string())
            .collect();
        report.none(&format!("01-no-setuid-{item}"), &setuid, format_args!("{} files", files.len()));
    }
    let strangers: Vec<String> = crate::files::names("/proc")
        .into_iter()
        .filter(|pid| pid.parse::<u32>().is_ok_and(|pid| pid != 1) && fs::read_link(format!("/proc/{pid}/exe")).is_ok())
        .map(|pid| read(format!("/proc/{pid}/comm")).trim_end().to_owned())
        .filter(|name| name != "cloister-probe")
        .collect();
    report.none("01-processes", &strangers, "init and this probe");
}

fn mounted(report: &mut Report) {
    let error = errno(fs::write("/probe", b"x"));
    report.check("02-write-root", error == libc::EROFS, calls::named(error));
    let error = errno(mount_remount("/", MountFlags::empty(), "").map_err(std::io::Error::from));
    report.check("02-remount-root", error != 0, calls::named(error));
    let mounts = mounts();
    for mount in mounts.iter().filter(|mount| mount.kind == "erofs") {
        let fixed = mount.has("ro") && mount.has("nosuid") && mount.has("nodev");
        report.check("02-volume-mount", fixed, format_args!("{} {}", mount.at, mount.options.join(",")));
    }
    let scratch: Vec<_> = mounts.iter().filter(|mount| mount.kind == "tmpfs").collect();
    for mount in &scratch {
        let capped = mount.options.iter().any(|option| option.starts_with("size="));
        let held = mount.has("nosuid") && mount.has("noexec") && (mount.has("nodev") || mount.has("ro"));
        report.check("02-tmpfs", capped && held, format_args!("{} {}", mount.at, mount.options.join(",")));
    }
    let others: Vec<String> = mounts
        .iter()
        // The ramdisk's own mount stays below everything; nothing is left in it and nothing leads to it.
        .filter(|mount| !["erofs", "tmpfs", "proc", "sysfs", "rootfs"].contains(&mount.kind.as_str()))
        .filter(|mount| !mount.is_report_entry())
        .map(|mount| format!("{} {}", mount.at, mount.kind))
        .collect();
    report.none("02-no-other-mounts", &others, format_args!("{} mounts, no overlay", mounts.len()));
    report.check("05-scratch", !scratch.is_empty() && others.is_empty(), "whatever can be written is memory");
    let seen = crate::files::names("/dev");
    let expected = ["console", "full", "null", "random", "shm", "urandom", "vsock", "zero"];
    let unknown: Vec<String> = seen.iter().filter(|name| !expected.contains(&name.as_str())).cloned().collect();
    report.none("02-devices", &unknown, format_args!("{seen:?}"));
}

/// The volume is what was measured, under verity with the right parameters, and cannot be written.
fn mapped(report: &mut Report, devices: &Devices, volume: &Volume) {
    let name = &volume.name;
    let control = File::options().read(true).write(true).open(devices.path("mapper/control"));
    let table = control.and_then(|control| sys::dm_table(&control, name)).unwrap_or_default();
    let device = table.split(' ').nth(2).unwrap_or_default();
    let expected = format!("verity {}", verity::table(volume, device));
    let safe = table.contains("panic_on_corruption") && !table.contains("check_at_most_once");
    report.check(&format!("02-table-{name}"), table == expected && safe, &table);
    let at = format!("/sys/dev/block/{device}");
    let hints = [read(format!("{at}/serial")), read(format!("{at}/uevent"))].join("\n");
    let known = hints.lines().any(|line| line == format!("cloister-{name}") || line == format!("PARTNAME={name}"));
    report.check(
        &format!("09-disk-{name}"),
        known,
        format_args!("{device} {}", hints.lines().next().unwrap_or_default()),
    );
    let node = devices.mapped(name).unwrap_or_default();
    // The zeroes would be refused at the latest as a write to a verity target, which has none.
    let error = errno(File::options().write(true).open(&node).and_then(|file| file.write_at(&[0; 4096], 0)));
    // Busy: our kernel lets nobody open a mounted device for writing.
    let refused = [libc::EPERM, libc::EACCES, libc::EROFS, libc::EBUSY].contains(&error);
    report.check(
        &format!("02-write-mapper-{name}"),
        refused,
        format_args!("{}: {}", node.display(), calls::named(error)),
    );
}
