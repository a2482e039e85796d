//! What credits cost: proofs, ledgers, restarts, wallets; beside the bare primitive, the bare disk and snarkjs, in the same run.
//!
//! Each line is a median over rounds in which ours and its peer take turns, with the ratio of the two and the goal it has. Absolute
//! times say more about the machine and its neighbours than about the code; where neighbours disturb, the ratio of processor time is the
//! one to trust. A missed goal fails nothing: the last line counts them.
//!
//! ```text
//! cargo bench --workspace --bench credits -- [--only SUBJECT]... [--nullifiers N] [--json FILE]
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench is a program for a terminal"
)]

mod fill;
mod ledgers;
mod parameters;
mod proving;
mod report;
mod restart;
mod scan;
mod snarkjs;
mod verifying;
mod world;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::parameters::Spending;
use crate::report::Report;

#[derive(Parser)]
struct Args {
    /// Only these; all without it.
    #[arg(long, value_enum)]
    only: Vec<Subject>,
    /// How many spends the ledger has that is restarted.
    #[arg(long, default_value_t = 1_000_000)]
    nullifiers: u64,
    /// Also write all numbers to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Fill the empty ledger in this file and end without closing it, as a killed process does.
    #[arg(long, hide = true)]
    fill: Option<PathBuf>,
    /// What `cargo bench` says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    Prove,
    Verify,
    Snarkjs,
    Ledger,
    Restart,
    Scan,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(file) = &args.fill {
        fill::fill_file(file, args.nullifiers)?;
        // Without running what closes the database.
        std::process::exit(0);
    }
    let wanted = |subject| args.only.is_empty() || args.only.contains(&subject);
    let report = &mut Report::default();
    if [Subject::Prove, Subject::Verify, Subject::Snarkjs].into_iter().any(wanted) {
        let spending = Spending::new();
        if wanted(Subject::Prove) {
            proving::run(report, &spending);
        }
        if wanted(Subject::Verify) {
            verifying::run(report, &spending);
        }
        if wanted(Subject::Snarkjs) {
            snarkjs::run(report, &spending)?;
        }
    }
    if wanted(Subject::Ledger) {
        ledgers::run(report)?;
    }
    if wanted(Subject::Scan) {
        scan::run(report)?;
    }
    if wanted(Subject::Restart) {
        restart::run(report, args.nullifiers)?;
    }
    report.end();
    if let Some(path) = &args.json {
        report.write(path)?;
    }
    Ok(())
}
