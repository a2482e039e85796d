//! The simulated TEE: plays the platform outside the guardian's process, as hardware would.
//!
//! It mints vendor chains of its own and signs byte-exact SNP reports or TD quotes with them, and with `--gpu` the
//! evidence of an H100. Nothing in the guardian or the client knows of it: what it signs fails under the vendors' roots,
//! and passes only where its roots are named.

mod platform;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use attestation::STRICT_POLICY;
use attestation_testing::launch_digest_of;
use attestation_testing::tdx::simulated_measurement;
use platform_service::{Access, Answer, Question, exactly};

use crate::cli::{Launched, SimTee};
use crate::output;

use platform::Platform;

pub(crate) fn run(command: SimTee) -> anyhow::Result<()> {
    match command {
        SimTee::Serve { state, socket, launched, tee, gpu } => {
            let platform = Platform::open(&state, tee, gpu, Measurements::of(&launched)?)?;
            platform_service::serve("simulated TEE", &socket, Access::Owner, &output::note, &|question| {
                answer(&platform, question)
            })
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

fn answer(platform: &Platform, question: Question) -> anyhow::Result<Answer> {
    match question {
        Question::ReportData(text) => {
            let (evidence, endorsements) = platform.report(exactly("report_data", &text)?);
            Ok(Answer::Report { evidence, endorsements })
        }
        Question::GpuNonce(text) => {
            let (evidence, endorsements) = platform.gpu(exactly("gpu_nonce", &text)?)?;
            Ok(Answer::Gpu { evidence, endorsements })
        }
        Question::Endorse(evidence) => Ok(Answer::Endorsements(platform.endorsements_of(&evidence)?)),
        Question::EndorseGpus(_) => Ok(Answer::GpuEndorsements(platform.gpu([0; 32])?.1)),
        Question::Certify(_) => anyhow::bail!("this service has no certificates"),
        Question::GpuState | Question::GpusReady(_) => anyhow::bail!("there is no driver on the simulated platform"),
    }
}
