//! `make hw-test`: what an operator runs on the first day with hardware. Elsewhere each item says SKIP and why.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use attestation::{CpuEvidence, Nonce};
use enclave::attester::ReportEntry;

const ENTRIES: &str = "/sys/kernel/config/tsm/report";

struct Item {
    id: &'static str,
    needs: &'static str,
    run: fn() -> anyhow::Result<String>,
}

const ITEMS: &[Item] = &[
    Item { id: "hw.tsm.report", needs: ENTRIES, run: report },
    Item { id: "hw.gpu.evidence", needs: "/dev/nvidiactl", run: no_gpu_yet },
];

/// A report of this machine, through the guardian's own reader, over fresh bytes.
fn report() -> anyhow::Result<String> {
    let entry = Path::new(ENTRIES).join(format!("cloister-hw-test-{}", std::process::id()));
    std::fs::create_dir(&entry).with_context(|| format!("make {} (this takes root)", entry.display()))?;
    let asked = ask(&entry);
    std::fs::remove_dir(&entry)?;
    let evidence = asked?;
    Ok(format!("{:?}, {} bytes", evidence.format, evidence.report.0.len()))
}

fn ask(entry: &Path) -> anyhow::Result<CpuEvidence> {
    let (first, second) = (Nonce::random()?.0, Nonce::random()?.0);
    let mut report_data = [0; 64];
    for (slot, byte) in report_data.iter_mut().zip(first.into_iter().chain(second)) {
        *slot = byte;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let evidence = runtime.block_on(ReportEntry::at(entry.to_path_buf()).report(report_data))?;
    ensure!(evidence.report.0.windows(64).any(|window| window == report_data), "the report is over other bytes");
    Ok(evidence)
}

/// Honest until the code exists: hardware that cannot be used is a failure, not a pass.
fn no_gpu_yet() -> anyhow::Result<String> {
    anyhow::bail!("this version cannot read evidence from it yet")
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
