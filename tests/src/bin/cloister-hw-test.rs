//! `make hw-test`: what an operator runs on the first day with hardware. Elsewhere each item says SKIP and why.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::path::Path;
use std::process::{Command, ExitCode};

use acceptance::clock::WallClock;
use acceptance::processes::bin_dir;
use acceptance::world::run;
use anyhow::{Context, ensure};
use attestation::gpu::{GpuCache, GpuEndorsements, GpuEvidence, appraise};
use attestation::{AppraisalPolicy, Clock, CpuEvidence, Nonce, STRICT_POLICY, Transcript, TrustRoots};
use enclave::attester::{AttesterError, ReportDevice, ReportEntry};
use platform_service::GpuState;

const ENTRIES: &str = "/sys/kernel/config/tsm/report";
const SEV_GUEST: &str = "/dev/sev-guest";

struct Item {
    id: &'static str,
    needs: &'static str,
    run: fn() -> anyhow::Result<String>,
}

const ITEMS: &[Item] = &[
    Item { id: "hw.tsm.report", needs: ENTRIES, run: report },
    Item { id: "hw.sev_guest.report", needs: SEV_GUEST, run: report_by_device },
    Item { id: "hw.gpu.evidence", needs: "/dev/nvidiactl", run: gpu },
];

/// A report of this machine, through the guardian's own reader, over fresh bytes.
fn report() -> anyhow::Result<String> {
    let entry = Path::new(ENTRIES).join(format!("cloister-hw-test-{}", std::process::id()));
    std::fs::create_dir(&entry).with_context(|| format!("make {} (this takes root)", entry.display()))?;
    let asked = over_fresh_bytes(|bytes| {
        let reader = ReportEntry::at(entry.clone());
        async move { reader.report(bytes).await }
    });
    std::fs::remove_dir(&entry)?;
    asked
}

/// The same through the kernel's older device.
fn report_by_device() -> anyhow::Result<String> {
    over_fresh_bytes(|bytes| async move { ReportDevice::at(SEV_GUEST.into()).report(bytes).await })
}

fn over_fresh_bytes<F>(ask: impl FnOnce([u8; 64]) -> F) -> anyhow::Result<String>
where
    F: Future<Output = Result<CpuEvidence, AttesterError>>,
{
    let (first, second) = (Nonce::random()?.0, Nonce::random()?.0);
    let mut report_data = [0; 64];
    for (slot, byte) in report_data.iter_mut().zip(first.into_iter().chain(second)) {
        *slot = byte;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let evidence = runtime.block_on(ask(report_data))?;
    ensure!(evidence.report.0.windows(64).any(|window| window == report_data), "the report is over other bytes");
    Ok(format!("{:?}, {} bytes", evidence.format, evidence.report.0.len()))
}

/// The policy for what this machine's driver gives by itself: manifests and OCSP responses are the operator's to fetch.
fn without_endorsements() -> String {
    let mut policy = STRICT_POLICY.to_owned();
    for (from, to) in [
        ("rim = \"required\"", "rim = \"unchecked\""),
        ("device_ocsp = { max_age_secs = 86400 }", "device_ocsp = \"unchecked\""),
        ("rim_ocsp = { max_age_secs = 86400, allow_hold = false }", "rim_ocsp = \"unchecked\""),
    ] {
        policy = policy.replace(from, to);
    }
    policy
}

/// The GPU's state and its answer to a fresh nonce, by the guardian's own service, under NVIDIA's root.
fn gpu() -> anyhow::Result<String> {
    let nvml = || Command::new(bin_dir().unwrap_or_default().join("cloister-nvml"));
    let state: GpuState = serde_json::from_str(&run(nvml().args(["state", "--json"]))?)?;
    ensure!(
        state.confidential && !state.dev_tools,
        "the GPU is not in confidential mode, or open to developers' tools"
    );
    let nonce = Nonce::random()?;
    let evidence = run(nvml().args(["evidence", "--nonce", &hex::encode(nonce.0)]))?;
    let evidence = GpuEvidence::list_from_json(evidence.as_bytes())?;
    judged(&evidence, &nonce.0)
}

fn judged(evidence: &[GpuEvidence], nonce: &[u8; 32]) -> anyhow::Result<String> {
    let policy = AppraisalPolicy::from_toml(&without_endorsements())?;
    let (cache, mut transcript) = (GpuCache::default(), Transcript::new());
    let roots = TrustRoots::vendor();
    let none = GpuEndorsements::default();
    let claims = appraise(evidence, &none, nonce, &roots, &policy, WallClock.now(), &cache, &mut transcript)?;
    let devices: Vec<_> = claims.devices().iter().map(|device| device.driver_rim_id().unwrap_or("unnamed")).collect();
    Ok(format!("{} devices, {}; unchecked: {}", devices.len(), devices.join(", "), claims.unchecked().join(", ")))
}

fn main() -> ExitCode {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for item in ITEMS {
        if !Path::new(item.needs).exists() {
            println!("SKIP {}  {} is absent", item.id, item.needs);
            skipped += 1;
            continue;
        }
        match (item.run)() {
            Ok(what) => {
                println!("PASS {}  {what}", item.id);
                passed += 1;
            }
            Err(error) => {
                println!("FAIL {}  {error:#}", item.id);
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use acceptance::processes::repo_root;
    use attestation::gpu::{GpuEvidence, GpuReport};

    use super::judged;

    /// What a real H100 said is judged as it would be where one is.
    #[test]
    fn a_real_gpus_answer_passes_and_one_to_another_nonce_does_not() {
        let file = repo_root().join("tests/vectors/nvidia/real/h100-580.95.05-coco/evidence.json");
        let evidence = GpuEvidence::list_from_json(&std::fs::read(file).unwrap()).unwrap();
        let nonce = GpuReport::parse(&evidence.first().unwrap().report).unwrap().nonce;
        let said = judged(&evidence, &nonce).unwrap();
        assert!(said.starts_with("1 devices, NV_GPU_DRIVER_GH100_580.95.05; unchecked: "), "{said}");
        assert!(judged(&evidence, &[0; 32]).unwrap_err().to_string().contains("nonce"));
    }
}
