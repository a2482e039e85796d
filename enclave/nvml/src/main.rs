//! `cloister-nvml`: speaks to NVIDIA's driver for the guardian, which is linked statically and loads no library.
//!
//! Decides: nothing. It asks the GPUs for evidence under the nonce that it is given, says what the driver says of them, and sets
//! whether they take work when it is told to. Evidence is signed by the devices; the guardian and every client verify it.

mod nvml;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use attestation::gpu::{GpuEvidence, GpuReport};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Parser, Subcommand};
use platform_service::{Access, Answer, GpuState, Question, exactly};

use nvml::Nvml;

/// Ask NVIDIA's driver about confidential GPUs, for a guardian or for you.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done, 1 failed (the reason is on stderr), 2 wrong usage.\nExamples:\n  cloister-nvml state\n  \
        cloister-nvml evidence --nonce $(openssl rand -hex 32) > gpu.json\n  cloister-nvml serve --socket /run/nvml/nvml.sock"
)]
struct Args {
    /// NVIDIA's management library.
    #[arg(long, global = true, default_value = "libnvidia-ml.so.1")]
    library: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer a guardian on a Unix socket until the process is ended.
    Serve {
        /// The socket; it is the owner's alone, unless a group is named.
        #[arg(long)]
        socket: PathBuf,
        /// Number of the guardian's group, which may ask too: setting the ready state takes root, and the guardian has none.
        #[arg(long)]
        group: Option<u32>,
    },
    /// Print what the driver says of the GPUs.
    State {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the GPUs' evidence, in NVIDIA's form, for `cloister appraise --evidence`.
    Evidence {
        /// 32 bytes in hex that the devices must repeat.
        #[arg(long)]
        nonce: String,
    },
    /// Let the GPUs take work, or no longer: for maintenance, since a guardian does this by itself. Takes root.
    SetReady {
        /// Whether they take work.
        #[arg(action = clap::ArgAction::Set)]
        ready: bool,
    },
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let nvml = Nvml::load(&args.library)?;
    match args.command {
        Command::Serve { socket, group } => serve(nvml, socket, group.map_or(Access::Owner, Access::Group)),
        Command::State { json } => {
            let state = nvml.state()?;
            print(&if json { serde_json::to_string(&state)? } else { describe(&state) });
            Ok(())
        }
        Command::Evidence { nonce } => {
            let nonce = exactly("--nonce", &nonce)?;
            let list = nvml
                .evidence(nonce)?
                .iter()
                .map(|one| in_nvidias_form(one, nonce))
                .collect::<anyhow::Result<Vec<_>>>()?;
            print(&serde_json::to_string(&list)?);
            Ok(())
        }
        Command::SetReady { ready } => Ok(nvml.set_ready(ready)?),
    }
}

fn serve(nvml: Nvml, socket: PathBuf, access: Access) -> anyhow::Result<()> {
    let nvml = Arc::new(nvml);
    // Before the first question: what happens from then on is counted.
    match nvml.register_events() {
        Ok(events) => {
            let nvml = Arc::clone(&nvml);
            std::thread::spawn(move || say(&format!("no more events of devices: {}", nvml.count_events(events))));
        }
        Err(error) => say(&format!("no events of devices, their state alone is watched: {error}")),
    }
    platform_service::serve("GPU service", &[socket], access, &say, &|question| answer(&nvml, question))
}

fn answer(nvml: &Nvml, question: Question) -> anyhow::Result<Answer> {
    match question {
        Question::GpuNonce(nonce) => Ok(Answer::GpuEvidence(nvml.evidence(exactly("gpu_nonce", &nonce)?)?)),
        Question::GpuState => Ok(Answer::GpuState(nvml.state()?)),
        Question::GpusReady(ready) => {
            nvml.set_ready(ready)?;
            Ok(Answer::GpusReady(ready))
        }
        Question::ReportData(_) | Question::Endorse(_) | Question::EndorseGpus(_) | Question::Certify(_) => {
            anyhow::bail!("this service knows the GPUs only")
        }
    }
}

/// What NVIDIA's own tools write. The architecture is a label: verifiers read it from the certificate.
fn in_nvidias_form(evidence: &GpuEvidence, nonce: [u8; 32]) -> anyhow::Result<serde_json::Value> {
    GpuReport::parse(&evidence.report)?;
    Ok(serde_json::json!({
        "arch": "HOPPER",
        "nonce": hex::encode(nonce),
        "evidence": STANDARD.encode(&evidence.report),
        "certificate": STANDARD.encode(&evidence.certificate_chain),
    }))
}

fn describe(state: &GpuState) -> String {
    let yes = |flag| if flag { "yes" } else { "no" };
    let devices: String =
        state.devices.iter().map(|device| format!("\n  {}  VBIOS {}", device.uuid, device.vbios_version)).collect();
    format!(
        "driver            {}\nconfidential      {}\ndevelopers' mode  {}\nenvironment       {:?}\njoined            {:?}\n\
         takes work        {}\ndevices           {}{devices}",
        state.driver_version,
        yes(state.confidential),
        yes(state.dev_tools),
        state.environment,
        state.multi_gpu_mode,
        yes(state.ready),
        state.devices.len(),
    )
}

#[allow(clippy::print_stdout, reason = "a program for a terminal")]
fn print(text: &str) {
    println!("{text}");
}

#[allow(clippy::print_stderr, reason = "its log")]
fn say(text: &str) {
    eprintln!("cloister-nvml: {text}");
}
