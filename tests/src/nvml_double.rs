//! NVIDIA's management library and the GPU behind it: `doubles/nvml.c`, compiled here, asks this end what to answer.
//!
//! The GPU signs for a test chain; what it says, and what becomes of it, the test decides by changing [`GpuPlayed`].

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use attestation::UnixTime;
use attestation::gpu::GpuEvidence;
use attestation_testing::gpu::{FakeGpu, GpuKeys, SIMULATED_DRIVER, SIMULATED_VBIOS};

use platform_service::exactly;

use crate::processes::repo_root;
use crate::world::run;

/// What the double plays. NVML's numbers are those of nvml.h.
#[derive(Debug, Clone)]
pub struct GpuPlayed {
    /// `nvmlReturn_t` of every call about a device; 15 is "the GPU is lost".
    pub code: u32,
    /// Environment, confidential feature, developers' tools, multi-GPU mode.
    pub settings: [u32; 4],
    /// Whether work is taken.
    pub ready: u32,
    /// `nvmlReturn_t` of setting that.
    pub ready_code: u32,
    /// How many devices there are.
    pub devices: u32,
    /// Number of the device that is there, part of its certificates; another number is another genuine device.
    pub number: u8,
    /// The driver's version, as NVML says it.
    pub driver: String,
    /// Its UUID, as NVML says it.
    pub uuid: String,
    /// Critical events that have not been waited for yet.
    pub events: u32,
    /// Evidence that is given whatever the nonce.
    pub replayed: Option<GpuEvidence>,
    /// A size that is said instead of the report's.
    pub report_size: Option<usize>,
    /// A size that is said instead of the chain's.
    pub chain_size: Option<usize>,
    /// The nonce is changed before it is signed.
    pub other_nonce: bool,
    /// A measurement differs from the manifest's.
    pub other_measurement: bool,
    /// Certificates of each device so far, as they were signed. Forgetting them is a reset: devices make their leaf anew.
    pub chains: BTreeMap<u8, Vec<u8>>,
    /// Calls of the report's and the ready state's functions, in order.
    pub calls: Vec<String>,
}

impl Default for GpuPlayed {
    fn default() -> Self {
        Self {
            code: 0,
            settings: [2, 1, 0, 0],
            ready: 0,
            ready_code: 0,
            devices: 1,
            number: 1,
            driver: SIMULATED_DRIVER.to_owned(),
            uuid: "GPU-11111111-2222-3333-4444-555555555555".to_owned(),
            events: 0,
            replayed: None,
            report_size: None,
            chain_size: None,
            other_nonce: false,
            other_measurement: false,
            chains: BTreeMap::new(),
            calls: Vec::new(),
        }
    }
}

/// The library's file, and the thread that answers for it.
#[derive(Debug)]
pub struct NvmlDouble {
    library: PathBuf,
    socket: PathBuf,
    played: Arc<Mutex<GpuPlayed>>,
}

impl NvmlDouble {
    /// Compiles the library into `dir` and answers for it, signing with these keys.
    pub fn start(dir: &Path, keys: GpuKeys) -> anyhow::Result<Self> {
        let (library, socket) = (dir.join("libnvidia-ml.so.1"), dir.join("nvml-double.sock"));
        let mut compile = Command::new("gcc");
        compile.args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&library);
        run(compile.arg(repo_root().join("tests/doubles/nvml.c")))?;
        let listener = UnixListener::bind(&socket).with_context(|| format!("listen on {}", socket.display()))?;
        let played = Arc::new(Mutex::new(GpuPlayed::default()));
        let answering = Arc::clone(&played);
        // Ends with the process: the test is over then.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = answer(&stream, &keys, &answering);
            }
        });
        Ok(Self { library, socket, played })
    }

    /// What is played; changes count from the next call on.
    pub fn played(&self) -> MutexGuard<'_, GpuPlayed> {
        self.played.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `cloister-nvml` with this library.
    #[must_use]
    pub fn command(&self, mut program: Command) -> Command {
        program.arg("--library").arg(&self.library).env("NVML_DOUBLE", &self.socket);
        program
    }
}

#[allow(clippy::disallowed_methods, reason = "OCSP responses are of today")]
fn now() -> UnixTime {
    UnixTime(std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs())
}

fn answer(mut stream: &UnixStream, keys: &GpuKeys, played: &Mutex<GpuPlayed>) -> anyhow::Result<()> {
    let mut call = String::new();
    BufReader::new(stream).read_line(&mut call)?;
    let words: Vec<&str> = call.split_whitespace().collect();
    let mut gpu = played.lock().unwrap_or_else(PoisonError::into_inner);
    let [environment, feature, dev_tools, multi_gpu] = gpu.settings;
    let code = gpu.code;
    let reply = match words.as_slice() {
        ["init"] => "0".to_owned(),
        ["driver"] => format!("0 {}", gpu.driver),
        ["settings"] => format!("0 {environment} {feature} {dev_tools} {multi_gpu}"),
        ["ready?"] => format!("0 {}", gpu.ready),
        ["ready!", ready] => {
            gpu.calls.push(format!("ready {ready}"));
            if gpu.ready_code == 0 {
                gpu.ready = ready.parse()?;
            }
            gpu.ready_code.to_string()
        }
        ["count"] => format!("0 {}", gpu.devices),
        ["event"] if gpu.events > 0 => {
            gpu.events -= 1;
            "0".to_owned()
        }
        ["event"] => "10".to_owned(),
        _ if code != 0 => code.to_string(),
        ["uuid", _] => format!("0 {}", gpu.uuid),
        ["vbios", _] => format!("0 {SIMULATED_VBIOS}"),
        ["report", index, nonce] => {
            gpu.calls.push("report".to_owned());
            let report = evidence(keys, &mut gpu, index, nonce)?.report;
            format!("0 {} {}", gpu.report_size.unwrap_or(report.len()), hex::encode(report))
        }
        ["chain", index] => {
            let chain = evidence(keys, &mut gpu, index, &"00".repeat(32))?.certificate_chain;
            format!("0 {} {}", gpu.chain_size.unwrap_or(chain.len()), hex::encode(chain))
        }
        _ => "999".to_owned(),
    };
    Ok(writeln!(stream, "{reply}")?)
}

fn evidence(keys: &GpuKeys, played: &mut GpuPlayed, index: &str, nonce: &str) -> anyhow::Result<GpuEvidence> {
    if let Some(replayed) = &played.replayed {
        return Ok(replayed.clone());
    }
    let mut bytes: [u8; 32] = exactly("nonce", nonce)?;
    if played.other_nonce {
        bytes = bytes.map(|byte| byte ^ 1);
    }
    // The first device is the one that endorsements of the simulated platform are about.
    let number = played.number.wrapping_add(index.parse()?);
    let mut gpu = if number == 1 { FakeGpu::accepted(keys, now()) } else { FakeGpu::numbered(keys, now(), number) };
    if played.other_measurement
        && let Some((_, value)) = gpu.report.blocks.first_mut()
    {
        value.fill(0xdd);
    }
    let mut evidence = gpu.evidence(bytes);
    evidence.certificate_chain = played.chains.entry(number).or_insert(evidence.certificate_chain).clone();
    Ok(evidence)
}
