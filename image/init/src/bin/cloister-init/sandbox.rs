//! The places where guardian, engine and probe run: a small root of their own, an unprivileged user, and what the kernel refuses
//! them. Entered as root, by a program of ours that then becomes theirs; every step must succeed.
//!
//! | | guardian | engine |
//! |---|---|---|
//! | namespaces | mount, UTS, cgroup | the same, and PID and network (no interface is up) |
//! | `/` | root volume | engine volume |
//! | besides | `/tmp`, `/run/cloister`, `/run/engine`, `/run/tsm` | `/tmp`, `/dev/shm`, `/run/engine`, `/model` |
//! | `/dev` | zeroes and random numbers; vsock | zeroes and random numbers |
//! | sockets | Unix, TCP on measured ports, vsock | Unix |
//! | both | own `/proc` with own processes only, no capabilities, `no_new_privs`, seccomp, limits | |

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use measured_init::config::{MeasuredImage, Network};
use measured_init::{filter, sys};
use rustix::fs::{Gid, Uid};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions, pivot_root, setrlimit, wait};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets, UnshareFlags};

use crate::fatal::{Fatal, OrFatal};
use crate::mounts::{self, HARMLESS_NODES, PLATFORM_NODES};
use crate::report_entry::ENTRY;
use crate::services::{PROBE_PATH, SELF_PATH};

mod landlock;

/// User and group of the guardian, and of the engine.
pub(crate) const GUARDIAN_ID: u32 = 1000;
pub(crate) const ENGINE_ID: u32 = 2000;

/// Most processes and threads of the guardian, and open files of either.
const GUARDIAN_PIDS_MAX: u64 = 512;
const FILES_MAX: u64 = 64 * 1024;

/// Who is put where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Guardian,
    Engine,
    GuardianProbe,
    EngineProbe,
}

impl Role {
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Guardian, Self::Engine, Self::GuardianProbe, Self::EngineProbe]
            .into_iter()
            .find(|role| role.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Guardian => "guardian",
            Self::Engine => "engine",
            Self::GuardianProbe => "guardian-probe",
            Self::EngineProbe => "engine-probe",
        }
    }

    fn is_engine(self) -> bool {
        match self {
            Self::Engine | Self::EngineProbe => true,
            Self::Guardian | Self::GuardianProbe => false,
        }
    }

    fn id(self) -> u32 {
        if self.is_engine() { ENGINE_ID } else { GUARDIAN_ID }
    }

    /// Where its root volume is mounted, outside.
    fn root(self) -> &'static str {
        if self.is_engine() { "/run/volumes/engine" } else { "/run/volumes/root" }
    }

    fn argv(self, image: &MeasuredImage) -> Vec<String> {
        match self {
            Self::Engine => image.engine.argv.clone(),
            Self::Guardian => ["/usr/bin/cloister-guardian", "serve", "--config", "/run/cloister/guardian.toml"]
                .map(String::from)
                .to_vec(),
            Self::GuardianProbe => {
                let list = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
                let Network { listen_ports, connect_ports } = &image.network;
                vec![PROBE_PATH.into(), "guardian".into(), list(listen_ports), list(connect_ports)]
            }
            Self::EngineProbe => vec![PROBE_PATH.into(), "engine".into(), image.engine.pids_max.to_string()],
        }
    }
}

/// The guardian stays in the PID namespace; an engine gets one, which only a child of the process that asks for it is in.
pub(crate) fn enter(role: Role) -> Result<ExitCode, Fatal> {
    if !role.is_engine() {
        return enter_inner(role);
    }
    sys::unshare(UnshareFlags::NEWPID).fatal("sandbox", "PID namespace")?;
    let status =
        Command::new(SELF_PATH).args(["sandbox", role.name(), "inner"]).status().fatal("sandbox", "PID namespace")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Everything else; in the engine's case as the first process of its PID namespace.
pub(crate) fn enter_inner(role: Role) -> Result<ExitCode, Fatal> {
    let image = read_image()?;
    // Where memory is short, the engine goes first.
    let score = if role.is_engine() { "500" } else { "-500" };
    std::fs::write("/proc/self/oom_score_adj", score).fatal("sandbox", "oom_score_adj")?;
    let mut namespaces = UnshareFlags::NEWNS | UnshareFlags::NEWUTS | UnshareFlags::NEWCGROUP;
    if role.is_engine() {
        namespaces |= UnshareFlags::NEWNET;
    }
    // Our kernel is built without System V IPC and has no such namespace.
    if Path::new("/proc/self/ns/ipc").exists() {
        namespaces |= UnshareFlags::NEWIPC;
    }
    sys::unshare(namespaces).fatal("sandbox", "namespaces")?;
    build_root(role, &image)?;
    become_unprivileged(role, &image)?;
    let argv = role.argv(&image);
    let (program, arguments) =
        argv.split_first().ok_or(Fatal { code: "sandbox", text: "no program to start".into() })?;
    if !role.is_engine() {
        landlock::restrict(&image.network, program)?;
    }
    let confined = if role.is_engine() { filter::Confined::Engine } else { filter::Confined::Guardian };
    for filter in filter::programs(confined).fatal("sandbox", "seccomp")? {
        seccompiler::apply_filter(&filter).fatal("sandbox", "seccomp")?;
    }
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    if role.is_engine() {
        command.envs(image.engine.env.iter().map(|(key, value)| (OsString::from(key), OsString::from(value))));
        return first_process(command);
    }
    Err(command.exec()).fatal("sandbox", program)
}

fn read_image() -> Result<MeasuredImage, Fatal> {
    let path = "/run/cloister/image.json";
    let bytes = std::fs::read(path).fatal("sandbox", path)?;
    MeasuredImage::parse(&bytes).fatal("sandbox", path)
}

/// Mounts the root of `role` and makes it `/`; the old one is gone afterwards.
fn build_root(role: Role, image: &MeasuredImage) -> Result<(), Fatal> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).fatal("sandbox", "private")?;
    let root = role.root();
    if !role.is_engine() {
        mounts::directory(root, 0o755)?;
        mount_bind("/", root).fatal("sandbox", root)?;
    }
    let at = |path: &str| format!("{root}{path}");
    let mut nodes = HARMLESS_NODES.to_vec();
    if !role.is_engine() {
        nodes.extend(PLATFORM_NODES);
    }
    mounts::devices("/dev", &at("/dev"), &nodes)?;
    if role.is_engine() {
        mounts::directory(&at("/dev/shm"), 0o1777)?;
        mounts::tmpfs(&at("/dev/shm"), image.scratch_bytes_max, "1777")?;
    }
    mounts::seal_devices(&at("/dev"))?;
    mounts::pseudo_read_only("proc", &at("/proc"), "hidepid=invisible,subset=pid")?;
    mounts::tmpfs(&at("/tmp"), image.scratch_bytes_max, "1777")?;

    let run = at("/run");
    mounts::tmpfs(&run, 4096, "755")?;
    mounts::directory(&at("/run/engine"), 0o755)?;
    mounts::bind("/run/engine", &at("/run/engine"), MountFlags::empty())?;
    if role.is_engine() {
        if image.volume("model").is_some() {
            mounts::bind("/run/volumes/model", &at("/model"), MountFlags::RDONLY)?;
        }
    } else {
        mounts::directory(&at("/run/cloister"), 0o755)?;
        mounts::bind("/run/cloister", &at("/run/cloister"), MountFlags::RDONLY)?;
        if Path::new(ENTRY).exists() {
            mounts::directory(&at(ENTRY), 0o755)?;
            mounts::bind(ENTRY, &at(ENTRY), MountFlags::empty())?;
        }
    }
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount_remount(&run, flags, "").fatal("sandbox", "/run read-only")?;

    std::env::set_current_dir(root).fatal("sandbox", root)?;
    // Both names may be the same directory: the old root then lies on top of the new one and is taken off (pivot_root(2)).
    pivot_root(".", ".").fatal("sandbox", "pivot_root")?;
    unmount(".", UnmountFlags::DETACH).fatal("sandbox", "old root")?;
    std::env::set_current_dir("/").fatal("sandbox", "/")
}

/// Limits, user, and no capability, now or ever.
fn become_unprivileged(role: Role, image: &MeasuredImage) -> Result<(), Fatal> {
    let pids = if role.is_engine() { u64::from(image.engine.pids_max) } else { GUARDIAN_PIDS_MAX };
    let limits = [
        (Resource::Core, 0),
        (Resource::Nproc, pids),
        (Resource::Nofile, FILES_MAX),
        (Resource::Fsize, image.scratch_bytes_max),
        (Resource::Msgqueue, 0),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) }).fatal("sandbox", "limits")?;
    }
    // The engine's socket is for its group, which is the guardian's, and its other files for nobody else.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(if role.is_engine() { 0o007 } else { 0o077 }));

    let secure = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    rustix::thread::set_capabilities_secure_bits(secure).fatal("sandbox", "secure bits")?;
    // By number, until the kernel knows no more: it may have capabilities that no crate names.
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if rustix::thread::capability_is_in_bounding_set(capability).is_err() {
            break;
        }
        rustix::thread::remove_capability_from_bounding_set(capability).fatal("sandbox", "bounding set")?;
    }
    rustix::thread::clear_ambient_capability_set().fatal("sandbox", "ambient set")?;
    let (user, group) = (Uid::from_raw(role.id()), Gid::from_raw(role.id()));
    rustix::thread::set_thread_groups(&[]).fatal("sandbox", "groups")?;
    rustix::thread::set_thread_res_gid(group, group, group).fatal("sandbox", "group")?;
    rustix::thread::set_thread_res_uid(user, user, user).fatal("sandbox", "user")?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).fatal("sandbox", "capabilities")?;
    // After the change of user, which clears it: nothing of a sandbox outlives the process that waits for it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).fatal("sandbox", "parent")?;
    rustix::thread::set_no_new_privs(true).fatal("sandbox", "no_new_privs")
}

/// The first process of a PID namespace adopts orphans and must reap them. It is as confined as the program it starts.
fn first_process(mut command: Command) -> Result<ExitCode, Fatal> {
    let program = command.get_program().to_string_lossy().into_owned();
    let main = Pid::from_child(&command.spawn().fatal("sandbox", program)?);
    loop {
        let ended = wait(WaitOptions::empty()).fatal("sandbox", "wait")?;
        if let Some((pid, status)) = ended
            && pid == main
        {
            let code = status.exit_status().or(status.terminating_signal().map(|signal| signal.saturating_add(128)));
            let code = code.and_then(|code| u8::try_from(code).ok());
            return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
        }
    }
}
