//! Starts engine and guardian and stays: the guest lives as long as its guardian.

use std::convert::Infallible;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use measured_init::config::{MeasuredImage, Mode};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait, waitpid};
use rustix::time::{ClockId, clock_gettime};

use crate::fatal::{Console, Fatal, OrFatal};
use crate::sandbox::Role;

/// Where this program lies on the root volume.
pub(crate) const SELF_PATH: &str = "/usr/sbin/cloister-init";
/// Where the probe lies on root and engine volume of a test image.
pub(crate) const PROBE_PATH: &str = "/usr/bin/cloister-probe";

/// How often an engine that ended is started again, and the first pause before it, which then doubles.
const ENGINE_RESTARTS_MAX: u32 = 5;
const ENGINE_PAUSE: Duration = Duration::from_secs(1);

/// How long a guardian may take to stop: 20 seconds.
const GUARDIAN_STOP_LOOKS_MAX: u32 = 200;
const GUARDIAN_STOP_PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn run(image: &MeasuredImage, console: &Console) -> Result<Infallible, Fatal> {
    match image.mode {
        Mode::Production | Mode::Debug => {}
        Mode::Test => probe(console)?,
    }
    let mut engine = start(sandboxed(Role::Engine), console)?;
    let guardian = start(sandboxed(Role::Guardian), console)?;
    let root = image.volume("root").map(|volume| volume.root_hash.as_str()).unwrap_or_default();
    let now = clock_gettime(ClockId::Boottime);
    console.say(&format!("cloister-init: READY root={root} uptime={}.{:03}", now.tv_sec, now.tv_nsec / 1_000_000));
    match image.mode {
        Mode::Production | Mode::Debug => {}
        Mode::Test => drop(start(probe_command("reread"), console)?),
    }

    let mut restarts = 0;
    let mut pause = ENGINE_PAUSE;
    loop {
        let Some((ended, status)) = wait(WaitOptions::empty()).fatal("wait", "children")? else { continue };
        if ended == guardian {
            return Err(Fatal { code: "guardian.ended", text: describe(status) });
        }
        if ended != engine {
            continue;
        }
        console.say(&format!("cloister-init: engine ended: {}", describe(status)));
        if restarts == ENGINE_RESTARTS_MAX {
            stop(guardian);
            return Err(Fatal { code: "engine.ended", text: format!("{}, for the last time", describe(status)) });
        }
        restarts += 1;
        std::thread::sleep(pause);
        pause = pause.saturating_mul(2);
        // All its processes ended with its PID namespace; what it left in the shared directory would be in the next one's way.
        empty("/run/engine")?;
        engine = start(sandboxed(Role::Engine), console)?;
    }
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
