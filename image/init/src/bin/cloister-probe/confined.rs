//! What holds in both sandboxes alike.

use std::fs;

use rustix::process::{Resource, getrlimit};

use crate::calls::{self, ABSENT, REFUSED, SOCKETS};
use crate::files::{self, errno, mounts, names, read};
use crate::report::Report;

/// The guardian's user.
const GUARDIAN: u32 = 1000;

/// User, capabilities, calls, files and processes of the place of user `id`.
pub(crate) fn check(report: &mut Report, id: u32, devices: &[&str]) {
    identity(report, id);
    calls::refused(report, "06", &REFUSED, &[libc::EPERM]);
    calls::refused(report, "06", &ABSENT, &[libc::ENOSYS]);
    calls::refused(report, "07", &SOCKETS, &[libc::EPERM]);
    own_files(report, id, devices);
    own_processes(report);
    descriptors(report);
}

fn identity(report: &mut Report, id: u32) {
    let status = read("/proc/self/status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or("absent").split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    };
    let four = [id.to_string(), id.to_string(), id.to_string(), id.to_string()].join(" ");
    for name in ["Uid", "Gid"] {
        report.check(&format!("06-{name}"), field(name) == four, field(name));
    }
    report.check("06-Groups", field("Groups").is_empty(), format_args!("[{}]", field("Groups")));
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        report.check(&format!("06-{name}"), field(name) == "0".repeat(16), field(name));
    }
    report.check("06-NoNewPrivs", field("NoNewPrivs") == "1", field("NoNewPrivs"));
    report.check("06-Seccomp", field("Seccomp") == "2", field("Seccomp"));
    let core = getrlimit(Resource::Core);
    report.check("04-core-limit", core.maximum == Some(0), format_args!("{core:?}"));
}

fn own_files(report: &mut Report, id: u32, devices: &[&str]) {
    for path in ["/probe", "/usr/probe", "/etc/probe", "/run/probe", "/dev/probe"] {
        let error = errno(fs::write(path, b"x"));
        let refused = [libc::EROFS, libc::EACCES, libc::ENOENT].contains(&error);
        report.check(&format!("02-write-{}", path.trim_start_matches('/')), refused, calls::named(error));
    }
    let unknown: Vec<String> = names("/dev").into_iter().filter(|name| !devices.contains(&name.as_str())).collect();
    report.none("06-devices", &unknown, format_args!("only {:?}", names("/dev")));
    let loose: Vec<String> = mounts()
        .iter()
        .filter(|mount| !(mount.has("nosuid") && (mount.has("nodev") || mount.at == "/dev")))
        .chain(mounts().iter().filter(|mount| mount.has("rw") && !(mount.kind == "tmpfs" && mount.has("noexec"))))
        .filter(|mount| !(id == GUARDIAN && mount.is_report_entry()))
        .map(|mount| format!("{} {} {}", mount.at, mount.kind, mount.options.join(",")))
        .collect();
    report.none("02-mounts", &loose, "all nosuid, nodev; what is writable is tmpfs and noexec");
    let uncapped: Vec<String> = mounts()
        .iter()
        .filter(|mount| mount.kind == "tmpfs" && !mount.options.iter().any(|option| option.starts_with("size=")))
        .map(|mount| mount.at.clone())
        .collect();
    report.none("02-tmpfs-size", &uncapped, "every tmpfs has a size");
    report.check("06-no-sysfs", names("/sys").is_empty(), "/sys has no entries");
    for path in ["/proc/sys", "/proc/kallsyms", "/proc/cmdline", "/proc/1/root", "/dev/mapper", "/dev/mem", "/dev/kmsg"]
    {
        let error = errno(fs::metadata(path));
        let item = format!("06-unseen-{}", path.trim_start_matches('/').replace('/', "-"));
        // In a PID namespace of its own the first process is a neighbour, which no_new_privs and its dumpable flag protect.
        report.check(&item, [libc::ENOENT, libc::EACCES].contains(&error), calls::named(error));
    }
    executable_scratch(report);
}

/// What is written cannot be run.
fn executable_scratch(report: &mut Report) {
    use std::os::unix::fs::PermissionsExt;
    let file = "/tmp/probe";
    let made = fs::copy("/proc/self/exe", file).or_else(|_| fs::write(file, b"\x7fELF").map(|()| 4));
    report.check("05-scratch-write", made.is_ok(), format_args!("{made:?}"));
    let _ = fs::set_permissions(file, fs::Permissions::from_mode(0o700));
    let error = errno(std::process::Command::new(file).spawn());
    report.check("02-scratch-exec", error == libc::EACCES, calls::named(error));
    let _ = fs::remove_file(file);
}

/// Nothing that root opened came along; the fourth is the directory being read.
fn descriptors(report: &mut Report) {
    let open = names("/proc/self/fd");
    report.check("06-descriptors", open == ["0", "1", "2", "3"], format_args!("{open:?}"));
}

fn own_processes(report: &mut Report) {
    let seen: Vec<String> = files::names("/proc").into_iter().filter(|name| name.parse::<u32>().is_ok()).collect();
    let strangers: Vec<String> = seen
        .iter()
        .filter(|pid| !read(format!("/proc/{pid}/comm")).starts_with("cloister-"))
        .map(|pid| format!("{pid} {}", read(format!("/proc/{pid}/comm")).trim_end()))
        .collect();
    report.none("06-processes", &strangers, format_args!("only own processes {seen:?}"));
}
