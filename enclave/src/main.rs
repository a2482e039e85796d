//! `cloister-guardian`: the measured server. It is the only process of the appliance that listens.
//!
//! Reads one configuration file (measured with the image), makes its keys, obtains a report over them, connects to the
//! ledger, and then serves attested TLS; requests are taken once the engine is ready. Anything missing at boot ends the
//! process: it fails closed. It reads no other file, no environment variable and no name service, and writes no file.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use enclave::config::GuardianConfig;
use enclave::inference::Engine;
use enclave::{boot, canary, clock, hardening, telemetry};

/// The guardian of a Cloister node: attested TLS in front of one model engine.
#[derive(Parser)]
#[command(version, after_help = "Example:\n  cloister-guardian serve --config /etc/cloister/guardian.toml")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Boot and serve until SIGTERM or SIGINT, then settle open tabs and stop.
    Serve {
        /// The measured configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
    },
    /// Ask the engine the canary's question, and print its answer as it stands in a configuration file.
    Canary {
        /// The configuration file (TOML), with a `[canary]` whose answer may still be empty.
        #[arg(long)]
        config: PathBuf,
    },
    /// Read a configuration file, say what is wrong with it, and exit.
    CheckConfig {
        /// The configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let outcome = hardening::harden().and_then(|()| match Args::parse().command {
        Command::CheckConfig { config } => GuardianConfig::load(&config).map(|_| ()).map_err(anyhow::Error::from),
        Command::Canary { config } => ask_canary(&config),
        Command::Serve { config } => serve(&config),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::fatal(&error);
            ExitCode::FAILURE
        }
    }
}

fn serve(path: &std::path::Path) -> anyhow::Result<()> {
    telemetry::init();
    let config = GuardianConfig::load(path)?;
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is already installed"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers()).enable_all().build()?;
    runtime.block_on(boot::run(config, clock::system()))
}

/// Threads that serve: half of the processors. The engine wants the others, and threads that wake each other for an event each cost
/// more than they bring (decision 18). Proofs have threads of their own.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| (processors.get() / 2).max(1))
}

#[allow(clippy::print_stdout, reason = "the answer is what was asked for")]
fn ask_canary(path: &std::path::Path) -> anyhow::Result<()> {
    let config = GuardianConfig::load(path)?;
    let question = config.canary.as_ref().context("the configuration has no [canary]")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(canary::ask(&Engine::from_config(&config.engine), question))?;
    // JSON's strings are TOML's.
    println!("answer = {}", serde_json::Value::String(answer));
    Ok(())
}
