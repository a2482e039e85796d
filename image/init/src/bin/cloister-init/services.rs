//! Starts engine and guardian and stays: the guest lives as long as its guardian.

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use measured_init::config::{MeasuredImage, Mode};
use measured_init::supervision::{ENGINE_SOCKET, Restarts, Watch};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, pidfd_open, wait, waitpid};
use rustix::time::{ClockId, clock_gettime};

use crate::fatal::{Console, Fatal, OrFatal};
use crate::sandbox::Role;

/// Where this program lies on the root volume.
pub(crate) const SELF_PATH: &str = "/usr/sbin/cloister-init";
/// Where the probe lies on root and engine volume of a test image.
pub(crate) const PROBE_PATH: &str = "/usr/bin/cloister-probe";

/// How long a guardian may take to stop: 20 seconds.
const GUARDIAN_STOP_LOOKS_MAX: u32 = 200;
const GUARDIAN_STOP_PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn run(image: &MeasuredImage, console: &Console) -> Result<Infallible, Fatal> {
    match image.mode {
        Mode::Production | Mode::Debug => {}
        Mode::Test => probe(console)?,
    }
    let mut engine = start_engine(console)?;
    let mut engine_since = Instant::now();
    let guardian = start(sandboxed(Role::Guardian), console)?;
    let root = image.volume("root").map(|volume| volume.root_hash.as_str()).unwrap_or_default();
    let now = clock_gettime(ClockId::Boottime);
    console.say(&format!("cloister-init: READY root={root} uptime={}.{:03}", now.tv_sec, now.tv_nsec / 1_000_000));
    match image.mode {
        Mode::Production | Mode::Debug => {}
        Mode::Test => drop(start(probe_command("reread"), console)?),
    }

    let mut restarts = Restarts::default();
    loop {
        let Some((ended, status)) = wait(WaitOptions::empty()).fatal("wait", "children")? else { continue };
        if ended == guardian {
            return Err(Fatal { code: "guardian.ended", text: describe(status) });
        }
        if ended != engine {
            continue;
        }
        console.say(&format!("cloister-init: engine ended: {}", describe(status)));
        let Some(pause) = restarts.ended(engine_since.elapsed()) else {
            stop(guardian);
            return Err(Fatal { code: "engine.ended", text: format!("{}, for the last time", describe(status)) });
        };
        std::thread::sleep(pause);
        // All its processes ended with its PID namespace; what it left in the shared directory would be in the next one's way.
        empty("/run/engine")?;
        engine = start_engine(console)?;
        engine_since = Instant::now();
    }
}

/// Starts the engine, and a thread that kills it if it stops answering. The thread ends with the engine.
fn start_engine(console: &Console) -> Result<Pid, Fatal> {
    let engine = start(sandboxed(Role::Engine), console)?;
    // Nobody has waited for it yet, so that the number is its own.
    let process = pidfd_open(engine, PidfdFlags::empty()).fatal("engine", "watch")?;
    let watch = Watch::of(Path::new(ENGINE_SOCKET));
    let watching = std::thread::Builder::new().name("engine-watch".into());
    let console = console.again();
    let watching = watching.spawn(move || {
        match watch.kill_when_silent(process, || console.say("cloister-init: the engine answers")) {
            Ok(true) => console.say("cloister-init: the engine answers nothing any more and is ended"),
            Ok(false) => {}
            Err(error) => console.say(&format!("cloister-init: the engine cannot be watched: {error}")),
        }
    });
    watching.fatal("engine", "watch")?;
    Ok(engine)
}

/// Lets the guardian settle its open tabs, for a while.
fn stop(guardian: Pid) {
    if kill_process(guardian, Signal::TERM).is_err() {
        return;
    }
    for _ in 0..GUARDIAN_STOP_LOOKS_MAX {
        match waitpid(Some(guardian), WaitOptions::NOHANG) {
            Ok(None) => std::thread::sleep(GUARDIAN_STOP_PAUSE),
            Ok(Some(_)) | Err(_) => return,
        }
    }
}

fn describe(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "neither exit nor signal".into(),
    }
}

/// Runs the probe in each place where the services will be, one after the other. What it finds is for the reader of the console.
fn probe(console: &Console) -> Result<(), Fatal> {
    for command in [probe_command("system"), sandboxed(Role::GuardianProbe), sandboxed(Role::EngineProbe)] {
        let status = spawn(command, console)?.wait().fatal("probe", "wait")?;
        console.say(&format!("cloister-init: probe ended: {status}"));
    }
    empty("/run/engine")
}

fn probe_command(place: &str) -> Command {
    let mut command = Command::new(PROBE_PATH);
    command.arg(place);
    command
}

fn sandboxed(role: Role) -> Command {
    let mut command = Command::new(SELF_PATH);
    command.args(["sandbox", role.name()]);
    command
}

fn start(command: Command, console: &Console) -> Result<Pid, Fatal> {
    let child = spawn(command, console)?;
    Ok(Pid::from_child(&child))
}

fn spawn(mut command: Command, console: &Console) -> Result<Child, Fatal> {
    command.env_clear().current_dir("/").stdin(Stdio::null()).stdout(console.stdio()).stderr(console.stdio());
    let program = command.get_program().to_string_lossy().into_owned();
    command.spawn().fatal("start", program)
}

fn empty(directory: &str) -> Result<(), Fatal> {
    for entry in fs::read_dir(directory).fatal("run", directory)? {
        let entry = entry.fatal("run", directory)?;
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let outcome = if is_directory { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        outcome.fatal("run", directory)?;
    }
    Ok(())
}
