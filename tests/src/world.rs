//! The whole appliance as processes: engine, simulated TEE, ledger, guardian. Only the doubles that stand where hardware would are
//! not what production runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::engine::{Engine, EngineKind};
pub use crate::hardware::Hardware;
use crate::nvml_double::NvmlDouble;
use crate::processes::{Process, bin_dir, free_port};
use crate::sev_guest_double::SevGuestDouble;
use crate::tsm_double::TsmDouble;

mod another;
mod config;
mod gpu;
mod ledger;
mod log;
mod payee;
mod witnesses;

const READY: Duration = Duration::from_secs(60);

/// What a [`World`] is made with.
#[derive(Debug, Clone)]
pub struct WorldBuilder {
    engine: EngineKind,
    grace_secs: u64,
    tab_secs_max: u64,
    dir: Option<PathBuf>,
    guardian_port: Option<u16>,
    hardware: Hardware,
    by_kernel: bool,
    by_device: bool,
    nvml: bool,
    tinfoil: bool,
    with_log: bool,
    /// How many, and how many of them are needed.
    witnesses: (usize, usize),
    watched_ledger: bool,
    postgres_url: Option<String>,
    with_merges: bool,
    configured: String,
}

/// Running processes and the files they share.
#[derive(Debug)]
pub struct World {
    guardian: Option<Process>,
    ledger: Option<Process>,
    sim_tee: Option<Process>,
    engine: Option<Engine>,
    engine_kind: EngineKind,
    bins: PathBuf,
    dir: PathBuf,
    guardian_port: u16,
    ledger_port: u16,
    tinfoil_port: Option<u16>,
    hardware: Hardware,
    /// Unmounted before its directory goes.
    kernel: Option<TsmDouble>,
    sev_guest: Option<SevGuestDouble>,
    nvml: Option<NvmlDouble>,
    nvml_service: Option<Process>,
    log: Option<log::ReceiptLog>,
    witnesses: witnesses::Witnesses,
    _temp: Option<TempDir>,
}

impl Default for WorldBuilder {
    fn default() -> Self {
        Self {
            engine: EngineKind::Light,
            grace_secs: 60,
            tab_secs_max: 3600,
            dir: None,
            guardian_port: None,
            hardware: Hardware::default(),
            by_kernel: false,
            by_device: false,
            nvml: false,
            tinfoil: false,
            with_log: false,
            witnesses: (0, 0),
            watched_ledger: false,
            postgres_url: None,
            with_merges: false,
            configured: String::new(),
        }
    }
}

impl WorldBuilder {
    /// Which engine answers.
    #[must_use]
    pub fn engine(self, engine: EngineKind) -> Self {
        Self { engine, ..self }
    }

    /// What the platform is.
    #[must_use]
    pub fn hardware(self, hardware: Hardware) -> Self {
        Self { hardware, ..self }
    }

    /// The guardian asks the kernel for reports, as on hardware, and the platform's socket for endorsements only.
    #[must_use]
    pub fn by_kernel(self) -> Self {
        Self { by_kernel: true, ..self }
    }

    /// The same, of a kernel that has a device for SEV-SNP alone.
    #[must_use]
    pub fn by_device(self) -> Self {
        Self { by_device: true, ..self }
    }

    /// The guardian asks NVIDIA's driver about the GPU, as on hardware, and the platform's socket for endorsements only.
    #[must_use]
    pub fn by_nvml(self) -> Self {
        Self { nvml: true, hardware: Hardware::SnpWithGpu, ..self }
    }

    /// The guardian has an entrance for clients of Tinfoil.
    #[must_use]
    pub fn tinfoil(self) -> Self {
        Self { tinfoil: true, ..self }
    }

    /// The guardian keeps a log of receipts that so many of so many witnesses must cosign.
    #[must_use]
    pub fn logged(self, witnesses: usize, needed: usize) -> Self {
        Self { with_log: true, witnesses: (witnesses, needed), ..self }
    }

    /// So many of so many witnesses must cosign the ledger's log: the guardian and wallets of this world go by them.
    #[must_use]
    pub fn ledger_watched(self, witnesses: usize, needed: usize) -> Self {
        Self { watched_ledger: true, witnesses: (witnesses, needed), ..self }
    }

    /// The ledger keeps its state in this PostgreSQL database.
    #[must_use]
    pub fn ledger_in(self, postgres_url: String) -> Self {
        Self { postgres_url: Some(postgres_url), ..self }
    }

    /// The ledger makes merges, whose parameters take some seconds more to make.
    #[must_use]
    pub fn with_merges(self) -> Self {
        Self { with_merges: true, ..self }
    }

    /// Lines at the end of the guardian's configuration.
    #[must_use]
    pub fn configured(self, configured: String) -> Self {
        Self { configured, ..self }
    }

    /// Seconds after a tab's end before the ledger finalises it.
    #[must_use]
    pub fn grace_secs(self, grace_secs: u64) -> Self {
        Self { grace_secs, ..self }
    }

    /// Longest tab.
    #[must_use]
    pub fn tab_secs_max(self, tab_secs_max: u64) -> Self {
        Self { tab_secs_max, ..self }
    }

    /// Keeps the files in `dir` instead of a temporary directory.
    #[must_use]
    pub fn dir(self, dir: PathBuf) -> Self {
        Self { dir: Some(dir), ..self }
    }

    /// Starts everything, saying each step to `say`.
    pub fn start_saying(self, mut say: impl FnMut(&str)) -> anyhow::Result<World> {
        let temp = if self.dir.is_none() { Some(tempfile::Builder::new().prefix("cloister").tempdir()?) } else { None };
        let dir = match (&self.dir, &temp) {
            (Some(dir), _) => dir.clone(),
            (None, Some(temp)) => temp.path().to_path_buf(),
            (None, None) => bail!("a world needs a directory"),
        };
        for part in ["sim", "logs", "sockets"] {
            std::fs::create_dir_all(dir.join(part))?;
        }
        let mut world = World {
            guardian: None,
            ledger: None,
            sim_tee: None,
            engine: None,
            engine_kind: self.engine,
            bins: bin_dir()?,
            dir,
            guardian_port: self.guardian_port.map_or_else(free_port, Ok)?,
            ledger_port: free_port()?,
            tinfoil_port: if self.tinfoil { Some(free_port()?) } else { None },
            hardware: self.hardware,
            kernel: None,
            sev_guest: None,
            nvml: None,
            nvml_service: None,
            log: None,
            witnesses: witnesses::Witnesses::default(),
            _temp: temp,
        };
        if self.by_kernel {
            let (entry, signer) = (world.dir.join("tsm"), world.tee_socket());
            world.kernel = Some(TsmDouble::mount(&entry, &signer, self.hardware.provider())?);
        }
        if self.by_device {
            world.sev_guest = Some(SevGuestDouble::mount(&world.dir.join("dev"), &world.tee_socket())?);
        }
        if self.hardware.has_gpu() {
            world.make_gpu(self.nvml)?;
        }
        say("engine");
        world.start_engine()?;
        say("ledger (spend circuit parameters at first use)");
        world.init_ledger(&self)?;
        if self.with_log {
            world.make_log()?;
        }
        let (witnesses, needed) = self.witnesses;
        if witnesses > 0 {
            say("witnesses");
        }
        world.make_witnesses(witnesses, needed, self.watched_ledger)?;
        if self.with_log {
            say("receipt log");
            world.start_keeper()?;
        }
        world.start_ledger()?;
        world.write_guardian_config(self.tab_secs_max, &self.configured)?;
        say("simulated TEE");
        world.start_sim_tee()?;
        world.write_policy()?;
        say("guardian");
        world.start_guardian()?;
        Ok(world)
    }

    /// Starts everything.
    pub fn start(self) -> anyhow::Result<World> {
        self.start_saying(|_| {})
    }
}

impl World {
    /// A builder with the defaults.
    #[must_use]
    pub fn builder() -> WorldBuilder {
        WorldBuilder::default()
    }

    /// The world's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The guardian's URL.
    #[must_use]
    pub fn guardian_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.guardian_port)
    }

    /// The guardian's port.
    #[must_use]
    pub fn guardian_port(&self) -> u16 {
        self.guardian_port
    }

    /// Port of the entrance for clients of Tinfoil, in a world that has one.
    #[must_use]
    pub fn tinfoil_port(&self) -> Option<u16> {
        self.tinfoil_port
    }

    /// The simulated root, which a client must name.
    #[must_use]
    pub fn root_file(&self) -> PathBuf {
        self.dir.join("sim/root.pem")
    }

    /// The policy that accepts this launch.
    #[must_use]
    pub fn policy_file(&self) -> PathBuf {
        self.dir.join("policy.toml")
    }

    /// The engine's socket.
    #[must_use]
    pub fn engine_socket(&self) -> PathBuf {
        self.dir.join("sockets/engine.sock")
    }

    /// A wallet directory by name.
    #[must_use]
    pub fn wallet_dir(&self, name: &str) -> PathBuf {
        self.dir.join("wallets").join(name)
    }

    /// One of the project's programs.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.bins.join(name))
    }

    /// `cloister` with arguments, away from the caller's own configuration.
    #[must_use]
    pub fn cloister(&self, args: &[&str]) -> Command {
        let mut command = self.program("cloister");
        command.args(args).env("HOME", &self.dir).env("XDG_CONFIG_HOME", &self.dir).env("XDG_DATA_HOME", &self.dir);
        command
    }

    /// Starts the engine.
    pub fn start_engine(&mut self) -> anyhow::Result<()> {
        let log = self.dir.join("logs/engine.log");
        self.engine = Some(Engine::start(self.engine_kind, &self.engine_socket(), &log)?);
        Ok(())
    }

    /// Kills the engine.
    pub fn kill_engine(&mut self) -> anyhow::Result<()> {
        self.engine.take().context("no engine runs")?.kill()
    }

    /// The engine's own process.
    #[must_use]
    pub fn engine_pid(&self) -> Option<u32> {
        self.engine.as_ref().map(|engine| engine.ready.pid)
    }

    /// The kernel's report interface, in a world that has one.
    #[must_use]
    pub fn kernel(&self) -> Option<&TsmDouble> {
        self.kernel.as_ref()
    }

    /// The kernel's device for SEV-SNP, in a world that has one.
    #[must_use]
    pub fn sev_guest(&self) -> Option<&SevGuestDouble> {
        self.sev_guest.as_ref()
    }

    /// Where endorsements come from, when reports come from the kernel.
    #[must_use]
    pub fn collateral_socket(&self) -> PathBuf {
        self.dir.join("sockets/collateral.sock")
    }

    /// The guardian's configuration.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("guardian.toml")
    }

    fn tee_socket(&self) -> PathBuf {
        self.dir.join("sockets/tee.sock")
    }

    fn launch_args(&self) -> Vec<std::ffi::OsString> {
        let guardian = self.bins.join("cloister-guardian");
        vec!["--launch".into(), guardian.into(), "--launch".into(), self.config_file().into()]
    }

    fn start_sim_tee(&mut self) -> anyhow::Result<()> {
        self.sim_tee = Some(self.sim_tee_with(&self.dir.join("sim"))?);
        Ok(())
    }

    fn sim_tee_with(&self, state: &Path) -> anyhow::Result<Process> {
        let socket = self.tee_socket();
        let _ = std::fs::remove_file(&socket);
        let mut command = self.program("cloister-host");
        command
            .args(["sim-tee", "serve", "--socket"])
            .arg(&socket)
            .arg("--socket")
            .arg(self.collateral_socket())
            .arg("--state")
            .arg(state)
            .args(self.launch_args());
        command.args(self.hardware.serve_args());
        let mut process = Process::start("cloister-host sim-tee serve", &mut command)?;
        process.wait_until(READY, |_| std::os::unix::net::UnixStream::connect(&socket).is_ok())?;
        Ok(process)
    }

    /// Replaces the platform by one with another vendor chain. The guardian must be restarted to use it.
    pub fn use_other_vendor_chain(&mut self) -> anyhow::Result<()> {
        self.sim_tee = None;
        self.sim_tee = Some(self.sim_tee_with(&self.dir.join("sim-other"))?);
        Ok(())
    }

    fn write_policy(&self) -> anyhow::Result<()> {
        let mut command = self.program("cloister-host");
        command.args(["sim-tee", "policy"]).args(self.launch_args());
        if self.hardware.has_gpu() {
            command.arg("--gpu");
        }
        Ok(std::fs::write(self.policy_file(), run(&mut command)?)?)
    }

    /// Starts the guardian: new boot, new keys. It is ready when this returns.
    pub fn start_guardian(&mut self) -> anyhow::Result<()> {
        self.start_guardian_until("\"ready\"")
    }

    /// Starts the guardian and waits for words in its log.
    pub fn start_guardian_until(&mut self, words: &str) -> anyhow::Result<()> {
        let mut command = self.program("cloister-guardian");
        // Whatever a dying process leaves is in its working directory.
        command.args(["serve", "--config"]).arg(self.config_file()).current_dir(&self.dir);
        self.guardian = Some(Process::start("cloister-guardian", &mut command)?);
        self.wait_for_guardian(words)
    }

    /// Starts another program in the guardian's place, with one more argument.
    pub fn start_guardian_as(&mut self, program: &'static str, argument: &str) -> anyhow::Result<()> {
        let mut command = self.program(program);
        command.args(["serve", "--config"]).arg(self.config_file()).arg(argument).current_dir(&self.dir);
        self.guardian = Some(Process::start(program, &mut command)?);
        self.wait_for_guardian("\"ready\"")
    }

    /// Waits for words in the guardian's log.
    pub fn wait_for_guardian(&mut self, words: &str) -> anyhow::Result<()> {
        let process = self.guardian.as_mut().context("no guardian runs")?;
        process.wait_until(READY, |process| process.stderr().contains(words))
    }

    /// The guardian's process.
    #[must_use]
    pub fn guardian_pid(&self) -> Option<u32> {
        self.guardian.as_ref().map(Process::id)
    }

    /// SIGKILL to the guardian.
    pub fn kill_guardian(&mut self) -> anyhow::Result<()> {
        self.guardian.take().context("no guardian runs")?.kill()
    }

    /// SIGABRT to the guardian, as a failed assertion would; the kernel decides about a core.
    pub fn abort_guardian(&mut self) -> anyhow::Result<()> {
        self.guardian.take().context("no guardian runs")?.abort(Duration::from_secs(10))
    }

    /// Whatever the guardian wrote to its log lately.
    #[must_use]
    pub fn guardian_log(&self) -> String {
        self.guardian.as_ref().map(Process::stderr).unwrap_or_default()
    }

    /// SIGTERM to the guardian; true if it ended with success.
    pub fn stop_guardian(&mut self) -> anyhow::Result<bool> {
        self.guardian.take().context("no guardian runs")?.terminate(Duration::from_secs(40))
    }

    /// Stops everything in order.
    pub fn stop(mut self) -> anyhow::Result<()> {
        if self.guardian.is_some() {
            self.stop_guardian()?;
        }
        if let Some(ledger) = self.ledger.take() {
            ledger.terminate(Duration::from_secs(20))?;
        }
        Ok(())
    }
}

/// Runs a command to its end; its stdout, or an error with its stderr.
pub fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("run {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{:?} ended with {}:\n{}", command, output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
