//! `cloister-guardian`: the measured server. It is the only process of the appliance that listens.
//!
//! Reads one configuration file (measured with the image), makes its keys, obtains a report over them, connects to the
//! ledger, and then serves attested TLS; requests are taken once the engine is ready. Anything missing at boot ends the
//! process: it fails closed. It reads no other file, no environment variable and no name service, and writes no file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use enclave::config::GuardianConfig;
use enclave::{boot, clock, hardening, telemetry};

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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(boot::run(config, clock::system()))
}
