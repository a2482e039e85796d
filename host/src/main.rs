//! `cloister-host`: what the operator runs. Untrusted by design: it never holds a client's secret.

mod ceremony;
mod certificate;
mod cli;
mod clock;
mod collateral;
mod doctor;
mod flash;
mod key_file;
mod launch;
mod ledger_cmd;
mod ledger_witnesses;
mod measure;
mod output;
mod payee;
mod receipt_log;
mod relay;
mod sim_tee;
mod stop;
mod witness;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    let outcome = match args.command {
        cli::Command::Ceremony(command) => ceremony::run(command),
        cli::Command::Ledger(command) => ledger_cmd::run(command),
        cli::Command::Payee(command) => payee::run(command),
        cli::Command::ReceiptLog(command) => receipt_log::run(command),
        cli::Command::Witness(command) => witness::run(command),
        cli::Command::SimTee(command) => sim_tee::run(command),
        cli::Command::Certificate(command) => certificate::run(command),
        cli::Command::Collateral(args) => collateral::run(&args),
        cli::Command::Measure(args) => measure::run(&args),
        cli::Command::Launch(args) => launch::run(&args),
        cli::Command::Flash(args) => flash::run(&args),
        cli::Command::Doctor(args) => doctor::run(&args),
        cli::Command::Completions { shell } => {
            cli::completions(shell);
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::failure(&error);
            ExitCode::FAILURE
        }
    }
}
