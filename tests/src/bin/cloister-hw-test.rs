//! `make hw-test`: what an operator runs on the first day with hardware. Elsewhere each item says SKIP and why.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::path::Path;
use std::process::ExitCode;

struct Item {
    id: &'static str,
    needs: &'static str,
    why: &'static str,
}

const ITEMS: &[Item] = &[
    Item { id: "hw.snp.report", needs: "/dev/sev-guest", why: "no SEV-SNP guest device" },
    Item { id: "hw.tsm.report", needs: "/sys/kernel/config/tsm/report", why: "no configfs-tsm" },
    Item { id: "hw.tdx.quote", needs: "/dev/tdx_guest", why: "no TDX guest device" },
    Item { id: "hw.gpu.evidence", needs: "/dev/nvidiactl", why: "no NVIDIA device" },
];

fn main() -> ExitCode {
    let (mut failed, mut skipped) = (0, 0);
    for item in ITEMS {
        if Path::new(item.needs).exists() {
            // Honest until the code exists: hardware that cannot be used is a failure, not a pass.
            println!("FAIL {}  {} is here, but this version cannot read reports from it yet", item.id, item.needs);
            failed += 1;
        } else {
            println!("SKIP {}  {} ({} is absent)", item.id, item.why, item.needs);
            skipped += 1;
        }
    }
    println!("0 passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
