//! From the initial ramdisk to the services, in the order of the crate's documentation.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use measured_init::config::{FILE_BYTES_MAX, GUARDIAN_PATH, IMAGE_PATH, MeasuredImage, Mode};
use measured_init::{cmdline, disks, sys, sysctl, verity};
use rustix::fs::{Gid, Uid, chown};
use rustix::mount::MountFlags;
use rustix::process::{DumpableBehavior, Resource, Rlimit, chroot, set_dumpable_behavior, setrlimit};

use crate::fatal::{self, Console, Fatal, OrFatal};
use crate::mounts::{self, HARMLESS_NODES, PLATFORM_NODES};
use crate::sandbox::{ENGINE_ID, GUARDIAN_ID};
use crate::{report_entry, services};

/// How often and how long disks are waited for: 5 seconds.
const DISK_LOOKS_MAX: u32 = 250;
const DISK_LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Bytes of files under `/run`, of sockets under `/run/engine`, and under init's own `/tmp` and `/dev/shm`, which nobody uses.
const RUN_BYTES_MAX: u64 = 1 << 20;
const SMALL_BYTES_MAX: u64 = 64 << 10;

/// PID 1; there is no way out but power-off.
pub(crate) fn run() -> ! {
    let mut console = Console::silent();
    let Err(fatal) = stages(&mut console);
    fatal::power_off(&fatal, &console)
}

fn stages(console: &mut Console) -> Result<std::convert::Infallible, Fatal> {
    // 1. what is measured, and what is to be compared with it
    let image = MeasuredImage::parse(&read_measured(IMAGE_PATH)?)
        .map_err(|error| Fatal { code: error.code(), text: error.to_string() })?;
    let guardian = read_measured(GUARDIAN_PATH)?;
    mount_kernel_views()?;
    *console = Console::open(image.mode);
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, no_core).fatal("limits", "no core files")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).fatal("limits", "not dumpable")?;
    check_kernel(&image)?;

    // 2. and 3. volumes
    let devices = find_disks(&image)?;
    map_volumes(&image, &devices)?;
    enter_root(&image, console)?;

    // 4. the running kernel
    harden()?;
    write_run(&image, &guardian)?;
    report_entry::make()?;
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)
        .fatal("loopback", "socket")?;
    sys::interface_up(&socket, "lo").fatal("loopback", "lo up")?;
    drop(socket);

    // 5. and 6. services
    services::run(&image, console)
}

/// A file of the ramdisk. What cannot be read is no image of ours.
fn read_measured(path: &str) -> Result<Vec<u8>, Fatal> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(FILE_BYTES_MAX).fatal("measured", path)?.saturating_add(1);
    File::open(path).fatal("measured", path)?.take(limit).read_to_end(&mut bytes).fatal("measured", path)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Fatal { code: "measured", text: format!("{path} is too long") });
    }
    Ok(bytes)
}

fn mount_kernel_views() -> Result<(), Fatal> {
    for at in ["/proc", "/sys", "/dev", "/newroot"] {
        mounts::directory(at, 0o700)?;
    }
    mounts::pseudo("proc", "/proc", "")?;
    mounts::pseudo("sysfs", "/sys", "")?;
    mounts::pseudo("securityfs", "/sys/kernel/security", "")?;
    rustix::mount::mount("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID | MountFlags::NOEXEC, c"mode=755")
        .fatal("mount", "devtmpfs on /dev")
}

fn check_kernel(image: &MeasuredImage) -> Result<(), Fatal> {
    let root_hash = image.volume("root").map(|volume| volume.root_hash.as_str()).unwrap_or_default();
    let line = fs::read("/proc/cmdline").fatal("cmdline", "/proc/cmdline")?;
    cmdline::check(&line, image.mode, root_hash)
        .map_err(|error| Fatal { code: error.code(), text: error.to_string() })?;
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").fatal("lockdown", "state")?;
    if !lockdown.contains("[confidentiality]") {
        return Err(Fatal { code: "lockdown", text: format!("the state is {}", lockdown.trim_end()) });
    }
    Ok(())
}

/// `major:minor` of each volume's disk, waiting for disks that the kernel has not found yet.
fn find_disks(image: &MeasuredImage) -> Result<Vec<String>, Fatal> {
    let mut looks = 0;
    loop {
        let refusal = match sysfs_devices().map(|devices| disks::assign(&image.volumes, &devices)) {
            Ok(Ok(devices)) => return Ok(devices),
            Ok(Err(error)) if error.may_pass() => Fatal { code: error.code(), text: error.to_string() },
            Ok(Err(error)) => return Err(Fatal { code: error.code(), text: error.to_string() }),
            Err(fatal) => fatal,
        };
        looks += 1;
        if looks == DISK_LOOKS_MAX {
            return Err(refusal);
        }
        std::thread::sleep(DISK_LOOK_PAUSE);
    }
}

fn sysfs_devices() -> Result<Vec<disks::BlockDevice>, Fatal> {
    crate::sysfs::block_devices().fatal("disk-sysfs", "/sys/block")
}

/// Puts each volume under dm-verity and mounts it: `root` on `/newroot`, the others below its `/run/volumes`.
fn map_volumes(image: &MeasuredImage, devices: &[String]) -> Result<(), Fatal> {
    let control = File::options().read(true).write(true).open("/dev/mapper/control").fatal("verity", "control")?;
    for (volume, device) in image.volumes.iter().zip(devices) {
        let table = verity::table(volume, device);
        let minor = sys::dm_create_verity(&control, &volume.name, verity::data_sectors(volume), &table)
            .fatal("verity", &volume.name)?;
        let mapped = format!("/dev/dm-{minor}");
        if volume.name == "root" {
            mounts::volume(&mapped, "/newroot", MountFlags::empty())?;
            mounts::tmpfs("/newroot/run", RUN_BYTES_MAX, "755")?;
            mounts::directory("/newroot/run/volumes", 0o700)?;
            continue;
        }
        let at = format!("/newroot/run/volumes/{}", volume.name);
        mounts::directory(&at, 0o700)?;
        // A model is data: nothing in it is ever run.
        let flags = if volume.name == "model" { MountFlags::NOEXEC } else { MountFlags::empty() };
        mounts::volume(&mapped, &at, flags)?;
    }
    Ok(())
}

/// Makes the root volume `/`, with its own views of the kernel, and forgets the ramdisk.
fn enter_root(image: &MeasuredImage, console: &mut Console) -> Result<(), Fatal> {
    let mut nodes = [&HARMLESS_NODES[..], &PLATFORM_NODES[..]].concat();
    match image.mode {
        Mode::Production => {}
        Mode::Debug | Mode::Test => nodes.push("console"),
    }
    mounts::devices("/dev", "/newroot/dev", &nodes)?;
    mounts::directory("/newroot/dev/shm", 0o1777)?;
    mounts::tmpfs("/newroot/dev/shm", SMALL_BYTES_MAX, "1777")?;
    mounts::seal_devices("/newroot/dev")?;
    mounts::tmpfs("/newroot/tmp", SMALL_BYTES_MAX, "1777")?;
    mounts::pseudo("proc", "/newroot/proc", "hidepid=invisible")?;
    mounts::pseudo_read_only("sysfs", "/newroot/sys", "")?;
    for at in ["/dev", "/proc", "/sys/kernel/security", "/sys"] {
        mounts::detach(at)?;
    }
    let ramdisk = fs::metadata("/").fatal("root", "/")?.dev();
    delete_all(Path::new("/"), ramdisk).fatal("root", "delete the ramdisk")?;
    std::env::set_current_dir("/newroot").fatal("root", "/newroot")?;
    rustix::mount::mount_move(".", "/").fatal("root", "move")?;
    chroot(".").fatal("root", "chroot")?;
    std::env::set_current_dir("/").fatal("root", "/")?;
    *console = Console::open(image.mode);
    Ok(())
}

/// Deletes what lies on the file system `device` below `directory`; mount points stay.
fn delete_all(directory: &Path, device: u64) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let kind = fs::symlink_metadata(&path)?;
        if kind.dev() != device {
            continue;
        }
        if kind.is_dir() {
            delete_all(&path, device)?;
            fs::remove_dir(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Writes every setting that the kernel has, and reads it back.
fn harden() -> Result<(), Fatal> {
    for (file, value) in sysctl::SETTINGS {
        set(&format!("/proc/sys/{file}"), value)?;
    }
    for entry in fs::read_dir("/proc/sys/net/ipv4/conf").fatal("sysctl", "interfaces")? {
        let interface = entry.fatal("sysctl", "interfaces")?.path();
        for (file, value) in sysctl::INTERFACE_SETTINGS {
            set(&interface.join(file).to_string_lossy(), value)?;
        }
    }
    Ok(())
}

fn set(path: &str, value: &str) -> Result<(), Fatal> {
    if !Path::new(path).exists() {
        return Ok(());
    }
    fs::write(path, value).fatal("sysctl", path)?;
    let got = fs::read_to_string(path).fatal("sysctl", path)?;
    if sysctl::holds(value, &got) {
        return Ok(());
    }
    Err(Fatal { code: "sysctl", text: format!("{path} is {}, not {value}", got.trim_end()) })
}

/// `/run`: the measured files for those who read them, and the directory of the engine's socket.
fn write_run(image: &MeasuredImage, guardian: &[u8]) -> Result<(), Fatal> {
    let (guardian_group, engine) = (Gid::from_raw(GUARDIAN_ID), Uid::from_raw(ENGINE_ID));
    mounts::directory("/run/cloister", 0o750)?;
    chown("/run/cloister", None, Some(guardian_group)).fatal("run", "/run/cloister")?;
    let bytes = serde_json::to_vec(image).fatal("run", "image.json")?;
    for (name, bytes, mode) in [("image.json", &bytes[..], 0o400), ("guardian.toml", guardian, 0o440)] {
        let path = format!("/run/cloister/{name}");
        fs::write(&path, bytes).fatal("run", &path)?;
        rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(mode)).fatal("run", &path)?;
        chown(&path, None, Some(guardian_group)).fatal("run", &path)?;
    }
    // Sockets made here take the directory's group, and the engine's umask leaves the group its rights.
    mounts::directory("/run/engine", 0o700)?;
    mounts::tmpfs("/run/engine", SMALL_BYTES_MAX, "700")?;
    chown("/run/engine", Some(engine), Some(guardian_group)).fatal("run", "/run/engine")?;
    rustix::fs::chmod("/run/engine", rustix::fs::Mode::from_raw_mode(0o2750)).fatal("run", "/run/engine")
}
