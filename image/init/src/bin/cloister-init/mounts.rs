//! Mounts and device nodes, each with the flags that it always has.

use std::ffi::CString;
use std::path::Path;

use rustix::fs::{CWD, FileType, Gid, Mode, chmod, chown, mknodat, stat};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};

use crate::fatal::{Fatal, OrFatal};

/// What memory file systems and pseudo file systems never need.
const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);
/// How every volume is mounted.
pub(crate) const VOLUME: MountFlags = MountFlags::RDONLY.union(MountFlags::NOSUID).union(MountFlags::NODEV);

/// Devices that give nothing but zeroes and random numbers.
pub(crate) const HARMLESS_NODES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Devices of the guardian. Those of the TEEs are not among them: it gets reports from its entry (`report_entry.rs`) and nothing else.
pub(crate) const PLATFORM_NODES: [&str; 1] = ["vsock"];

pub(crate) fn pseudo(fs: &str, at: &str, options: &str) -> Result<(), Fatal> {
    mounted(fs, fs, at, PLAIN, options)
}

pub(crate) fn pseudo_read_only(fs: &str, at: &str, options: &str) -> Result<(), Fatal> {
    mounted(fs, fs, at, PLAIN | MountFlags::RDONLY, options)
}

/// Memory for files: at most `bytes` of them, nothing executable, no devices.
pub(crate) fn tmpfs(at: &str, bytes: u64, mode: &str) -> Result<(), Fatal> {
    mounted("tmpfs", "tmpfs", at, PLAIN, &format!("size={bytes},nr_inodes=4096,mode={mode}"))
}

pub(crate) fn volume(device: &str, at: &str, flags: MountFlags) -> Result<(), Fatal> {
    mounted(device, "erofs", at, VOLUME | flags, "")
}

fn mounted(source: &str, fs: &str, at: &str, flags: MountFlags, options: &str) -> Result<(), Fatal> {
    let options = CString::new(options).fatal("mount", at)?;
    mount(source, at, fs, flags, options.as_c_str()).fatal("mount", format_args!("{fs} on {at}"))
}

/// Shows `from` at `to` as well, read-only and with nothing executable.
pub(crate) fn bind(from: &str, to: &str, flags: MountFlags) -> Result<(), Fatal> {
    mount_bind(from, to).fatal("bind", format_args!("{from} on {to}"))?;
    mount_remount(to, MountFlags::BIND | PLAIN | flags, "").fatal("bind", format_args!("flags of {to}"))
}

pub(crate) fn detach(at: &str) -> Result<(), Fatal> {
    unmount(at, UnmountFlags::DETACH).fatal("unmount", at)
}

/// A `/dev` at `to` with copies of those of `names` that exist in `from`, and nothing else.
pub(crate) fn devices(from: &str, to: &str, names: &[&str]) -> Result<(), Fatal> {
    let options = c"size=64k,nr_inodes=64,mode=755";
    mount("tmpfs", to, "tmpfs", MountFlags::NOSUID | MountFlags::NOEXEC, options).fatal("mount", to)?;
    for name in names {
        let Ok(original) = stat(format!("{from}/{name}")) else { continue };
        let node = format!("{to}/{name}");
        mknodat(CWD, &node, FileType::CharacterDevice, Mode::empty(), original.st_rdev).fatal("device-node", &node)?;
        let (group, mode) = if HARMLESS_NODES.contains(name) {
            (0, 0o666)
        } else if PLATFORM_NODES.contains(name) {
            (crate::sandbox::GUARDIAN_ID, 0o660)
        } else {
            (0, 0o600)
        };
        chown(&node, None, Some(Gid::from_raw(group))).fatal("device-node", &node)?;
        // Not at creation, where the umask has its say.
        chmod(&node, Mode::from_raw_mode(mode)).fatal("device-node", &node)?;
    }
    Ok(())
}

/// Makes the device directory at `at` unchangeable.
pub(crate) fn seal_devices(at: &str) -> Result<(), Fatal> {
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC;
    mount_remount(at, flags, "").fatal("mount", format_args!("{at} read-only"))
}

pub(crate) fn directory(path: &str, mode: u32) -> Result<(), Fatal> {
    if !Path::new(path).is_dir() {
        std::fs::create_dir(path).fatal("directory", path)?;
    }
    chmod(path, Mode::from_raw_mode(mode)).fatal("directory", path)
}
