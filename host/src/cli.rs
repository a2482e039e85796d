//! Command-line types.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};

/// The operator's tools of a Cloister node.
#[derive(Parser)]
#[command(version, after_help = "Exit codes: 0 done, 1 failed (the reason is on stderr), 2 wrong usage.")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// The ledger: make one, serve it, issue vouchers.
    #[command(subcommand)]
    Ledger(Ledger),
    /// A simulated TEE for machines without one. What it signs verifies only under its own root.
    #[command(subcommand)]
    SimTee(SimTee),
    /// Print a shell completion script.
    #[command(after_help = "Example:\n  cloister-host completions bash > /etc/bash_completion.d/cloister-host")]
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: clap_complete::Shell,
    },
}

#[derive(Subcommand)]
pub(crate) enum Ledger {
    /// Make a new ledger in an empty directory: keys, spend circuit parameters, store.
    #[command(after_help = "Example:\n  cloister-host ledger init --dir /var/lib/cloister/ledger")]
    Init {
        /// The ledger's directory.
        #[arg(long)]
        dir: PathBuf,
        /// Seconds after a tab's end before the ledger settles it by itself.
        #[arg(long, default_value_t = 60)]
        grace_secs: u64,
        /// Longest tab, in seconds.
        #[arg(long, default_value_t = 3600)]
        tab_secs_max: u64,
    },
    /// Serve a ledger over HTTP until SIGTERM.
    #[command(
        after_help = "Example:\n  cloister-host ledger serve --dir /var/lib/cloister/ledger --listen 127.0.0.1:7800"
    )]
    Serve {
        /// The ledger's directory.
        #[arg(long)]
        dir: PathBuf,
        /// Address to listen on.
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Issue a one-time voucher that a wallet can deposit.
    #[command(after_help = "Example:\n  cloister-host ledger voucher --dir /var/lib/cloister/ledger --value 1000000")]
    Voucher {
        /// The ledger's directory.
        #[arg(long)]
        dir: PathBuf,
        /// Credits.
        #[arg(long)]
        value: u64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print what guardians and wallets pin: ledger id, keys, parameters digest.
    #[command(after_help = "Example:\n  cloister-host ledger info --dir /var/lib/cloister/ledger --json")]
    Info {
        /// The ledger's directory.
        #[arg(long)]
        dir: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum SimTee {
    /// Sign reports or quotes, and GPU evidence, on a Unix socket. Makes its own vendor chains in the state directory.
    #[command(
        after_help = "Example:\n  cloister-host sim-tee serve --state sim --socket sim/tee.sock --launch ./cloister-guardian --launch guardian.toml"
    )]
    Serve {
        /// Directory of the simulated vendor chain (`root.pem` is what clients must name).
        #[arg(long)]
        state: PathBuf,
        /// Socket to listen on.
        #[arg(long)]
        socket: PathBuf,
        /// What is launched: the report's measurement is a digest of these files, in order.
        #[arg(long, required = true)]
        launch: Vec<PathBuf>,
        /// Which CPU to play.
        #[arg(long, value_enum, default_value_t = Tee::Snp)]
        tee: Tee,
        /// Play a GPU as well.
        #[arg(long)]
        gpu: bool,
    },
    /// Print the measurement that `serve` puts into its reports for these files.
    #[command(
        after_help = "Example:\n  cloister-host sim-tee measure --launch ./cloister-guardian --launch guardian.toml"
    )]
    Measure {
        /// The files, in order.
        #[arg(long, required = true)]
        launch: Vec<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print an appraisal policy that accepts the simulated TEE with this launch, and nothing else.
    #[command(
        after_help = "Example:\n  cloister-host sim-tee policy --launch ./cloister-guardian --launch guardian.toml > policy.toml"
    )]
    Policy {
        /// The files, in order.
        #[arg(long, required = true)]
        launch: Vec<PathBuf>,
        /// Require the simulated GPU as well.
        #[arg(long)]
        gpu: bool,
    },
}

/// A CPU that can be simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tee {
    /// AMD SEV-SNP: version 5 reports of a Genoa chip.
    Snp,
    /// Intel TDX: version 4 quotes. Its vendor chain is made anew at each start.
    Tdx,
}

pub(crate) fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Args::command(), "cloister-host", &mut std::io::stdout());
}
