//! The simulated TEE: plays the platform outside the guardian's process, as hardware would.
//!
//! It mints vendor chains of its own and signs byte-exact SNP reports or TD quotes with them, and with `--gpu` the
//! evidence of an H100. Nothing in the guardian or the client knows of it: what it signs fails under the vendors' roots,
//! and passes only where its roots are named.

mod platform;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use attestation::gpu::{GpuEndorsements, GpuEvidence};
use attestation::{CpuEvidence, Endorsements, STRICT_POLICY};
use attestation_testing::launch_digest_of;
use attestation_testing::tdx::simulated_measurement;
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use crate::cli::{Launched, SimTee};
use crate::output;
use platform::Platform;

/// Longest question: 64 bytes in hex inside a small object.
const QUESTION_BYTES_MAX: u64 = 1024;

pub(crate) fn run(command: SimTee) -> anyhow::Result<()> {
    match command {
        SimTee::Serve { state, socket, launched, tee, gpu } => {
            serve(&Platform::open(&state, tee, gpu, Measurements::of(&launched)?)?, &socket)
        }
        SimTee::Measure { launched, json } => {
            let digest = hex::encode(Measurements::of(&launched)?.launch);
            output::line(&if json { serde_json::json!({"launch_digest": digest}).to_string() } else { digest })
        }
        SimTee::Policy { launched, gpu } => output::line(policy(&Measurements::of(&launched)?, gpu)?.trim_end()),
    }
}

/// What reports say was launched.
struct Measurements {
    /// Launch digest or MRTD.
    launch: [u8; 48],
    rtmrs: [[u8; 48]; 4],
}

impl Measurements {
    fn of(launched: &Launched) -> anyhow::Result<Self> {
        let read = |path: &PathBuf| fs::read(path).with_context(|| format!("read {}", path.display()));
        let launch = match launched.launch_digest {
            Some(digest) => digest,
            None => launch_digest_of(&launched.launch.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?),
        };
        let rtmrs = [
            simulated_measurement("RTMR0"),
            launched.rtmr1.unwrap_or_else(|| simulated_measurement("RTMR1")),
            launched.rtmr2.unwrap_or_else(|| simulated_measurement("RTMR2")),
            simulated_measurement("RTMR3"),
        ];
        Ok(Self { launch, rtmrs })
    }
}

/// The strict policy with this launch filled in: the simulated platform is held to what real hardware is held to. Only a
/// platform without a GPU gets a policy without one.
fn policy(measurements: &Measurements, with_gpu: bool) -> anyhow::Result<String> {
    let launch = hex::encode(measurements.launch);
    let mut replacements = vec![
        ("name = \"strict\"".to_owned(), "name = \"simulated-launch\"".to_owned()),
        ("launch_digests = []".to_owned(), format!("launch_digests = [\"{launch}\"]")),
        ("mr_td = []".to_owned(), format!("mr_td = [\"{launch}\"]")),
    ];
    for (item, value) in ["rtmr0", "rtmr1", "rtmr2", "rtmr3"].iter().zip(measurements.rtmrs) {
        replacements.push((format!("{item} = []"), format!("{item} = [\"{}\"]", hex::encode(value))));
    }
    if !with_gpu {
        let required = "required_parts = [\"cpu\", \"gpu\"]".to_owned();
        replacements.push((required, "gpu = \"refused\"\nrequired_parts = [\"cpu\"]".to_owned()));
    }
    let mut text = STRICT_POLICY.to_owned();
    for (from, to) in replacements {
        if !text.contains(&from) {
            bail!("the strict policy has no line {from:?} to fill in");
        }
        text = text.replace(&from, &to);
    }
    if !with_gpu && let Some(tables) = text.find("[gpu.") {
        text.truncate(tables);
    }
    Ok(text)
}

/// What is asked: a report over these bytes, or the GPU's answer to this nonce.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Question {
    ReportData(String),
    GpuNonce(String),
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Report { evidence: CpuEvidence, endorsements: Endorsements },
    Gpu { evidence: Vec<GpuEvidence>, endorsements: GpuEndorsements },
    Error { message: String },
}

fn serve(platform: &Platform, sockets: &[PathBuf]) -> anyhow::Result<()> {
    // Whoever may connect gets reports of this machine: the sockets are the owner's from the moment they exist.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let listeners = sockets.iter().map(|socket| listen(socket)).collect::<anyhow::Result<Vec<_>>>()?;
    for socket in sockets {
        output::note(&format!("simulated TEE ready on {}", socket.display()));
    }
    std::thread::scope(|threads| {
        for listener in &listeners {
            threads.spawn(move || answer_all(platform, listener));
        }
    });
    Ok(())
}

fn listen(socket: &Path) -> anyhow::Result<UnixListener> {
    if socket.exists() {
        fs::remove_file(socket).with_context(|| format!("remove the stale socket {}", socket.display()))?;
    }
    let listener = UnixListener::bind(socket).with_context(|| format!("listen on {}", socket.display()))?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn answer_all(platform: &Platform, listener: &UnixListener) {
    for stream in listener.incoming() {
        // One client that breaks off must not stop the others.
        if let Ok(stream) = stream
            && let Err(error) = answer(platform, stream)
        {
            output::note(&format!("request failed: {error:#}"));
        }
    }
}

fn answer(platform: &Platform, mut stream: UnixStream) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    let mut line = String::new();
    BufReader::new((&stream).take(QUESTION_BYTES_MAX)).read_line(&mut line)?;
    let answer = signed(platform, &line).unwrap_or_else(|error| Answer::Error { message: format!("{error:#}") });
    serde_json::to_writer(&mut stream, &answer)?;
    Ok(stream.write_all(b"\n")?)
}

fn signed(platform: &Platform, line: &str) -> anyhow::Result<Answer> {
    match serde_json::from_str(line).context("not a question")? {
        Question::ReportData(text) => {
            let (evidence, endorsements) = platform.report(exactly("report_data", &text)?);
            Ok(Answer::Report { evidence, endorsements })
        }
        Question::GpuNonce(text) => {
            let (evidence, endorsements) = platform.gpu(exactly("gpu_nonce", &text)?)?;
            Ok(Answer::Gpu { evidence, endorsements })
        }
    }
}

fn exactly<const N: usize>(name: &str, text: &str) -> anyhow::Result<[u8; N]> {
    let bytes = hex::decode(text).map_err(|_| anyhow::anyhow!("{name} is not hex"))?;
    bytes.try_into().map_err(|_| anyhow::anyhow!("{name} must be {N} bytes"))
}
