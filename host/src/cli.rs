//! Command-line types.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};

use crate::{ceremony, certificate, collateral, doctor, flash, launch, measure, payee, receipt_log, witness};

/// The operator's tools of a Cloister node.
#[derive(Parser)]
#[command(version, after_help = "Exit codes: 0 done, 1 failed (the reason is on stderr), 2 wrong usage.")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// The ceremony that makes a ledger's parameters: begin one, contribute, verify, finish.
    #[command(subcommand)]
    Ceremony(ceremony::Command),
    /// The ledger: make one, serve it, issue vouchers.
    #[command(subcommand)]
    Ledger(Ledger),
    /// Who a node's earnings are for: the key that claims them.
    #[command(subcommand)]
    Payee(payee::Command),
    /// The log of a node's receipts, kept for its guardian: begin one, keep it.
    #[command(subcommand)]
    ReceiptLog(receipt_log::Command),
    /// A witness of other nodes' logs: it cosigns them as long as they only grow.
    #[command(subcommand)]
    Witness(witness::Command),
    /// Certificates of a public authority (ACME) for a guardian's keys.
    #[command(subcommand)]
    Certificate(certificate::Command),
    /// A simulated TEE for machines without one. What it signs verifies only under its own root.
    #[command(subcommand)]
    SimTee(SimTee),
    /// Answer a guardian that asks what the vendors say about this machine, from files that are kept or fetched.
    #[command(
        after_help = "Files of an AMD machine: vcek-PRODUCT-CHIP-TCB.der, vcek-PRODUCT-cert_chain.pem, vcek-PRODUCT.crl (of a \
        provider's key: vlek.der, vlek-…); of an Intel machine: tdx-collateral.json; of a GPU: MANIFEST.xml or MANIFEST.json by \
        NVIDIA's names, *.ocsp.der.\nWith --fetch all but vlek.der, which cloud providers have, are fetched and renewed (then \
        tdx-FMSPC-CA.json and ocsp-HASH.der). Without, fetch .crl again each day and .ocsp.der every few hours: policies refuse old \
        ones.\nExamples:\n  cloister-host collateral --fetch --dir /var/lib/cloister/collateral --socket /run/cloister/vsock.sock_9001\n  \
        cloister-host collateral --dir /var/lib/cloister/collateral --socket /run/cloister/vsock.sock_9001"
    )]
    Collateral(collateral::Args),
    /// Recompute what launches of an image directory measure as, and compare with its manifest.
    #[command(after_help = "Example:\n  cloister-host measure --image target/image/cpu --vcpus 4 --cpu EPYC-v4")]
    Measure(measure::Args),
    /// Start an image in a virtual machine: directly, with kernel, ramdisk and command line from files.
    #[command(after_help = "Examples:\n  cloister-host launch --image target/image/cpu --port 8443 --print\n  \
        cloister-host launch --image target/image/cpu --port 8443 --accel kvm --sev-snp --vcpus 4 --vsock-cid 42")]
    Launch(launch::Args),
    /// Write a disk image to a device or a file, and read it back.
    #[command(after_help = "Example:\n  cloister-host flash --image target/image/cpu/disk.img --to /dev/sdX --yes")]
    Flash(flash::Args),
    /// Say what this machine can run, and what to do about the rest.
    #[command(after_help = "Exit code 1 if a check fails; what is skipped was not tried.")]
    Doctor(doctor::Args),
    /// Print a shell completion script.
    #[command(after_help = "Example:\n  cloister-host completions bash > /etc/bash_completion.d/cloister-host")]
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: clap_complete::Shell,
    },
}

/// A month: money in a tab is out of its owner's hands until the tab ends.
const SECS_MAX: u64 = 31 * 24 * 3600;

#[derive(Subcommand)]
pub(crate) enum Ledger {
    /// Make a new ledger in an empty directory: keys, spend circuit parameters, store.
    #[command(after_help = "Examples:\n  cloister-host ledger init --dir /var/lib/cloister/ledger\n  \
        cloister-host ledger init --dir /var/lib/cloister/ledger --postgres postgresql:///cloister\n  \
        cloister-host ledger init --dir /var/lib/cloister/ledger --postgres @db.url --postgres-ca db-ca.pem\n  \
        cloister-host ledger init --dir /var/lib/cloister/ledger --parameters parameters --ptau pot14_final.ptau --holds-value\n  \
        cloister-host ledger init --dir /var/lib/cloister/ledger --parameters parameters --merge-parameters merge-parameters --ptau \
        pot15_final.ptau")]
    Init {
        /// The ledger's directory.
        #[arg(long)]
        dir: PathBuf,
        /// Seconds after a tab's end before the ledger settles it by itself.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=SECS_MAX))]
        grace_secs: u64,
        /// Longest tab, in seconds.
        #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=SECS_MAX))]
        tab_secs_max: u64,
        /// Keep the ledger in this PostgreSQL database instead of a file: a connection URL, or @FILE with one in it (needed when
        /// it has a password).
        #[arg(long, value_name = "URL|@FILE")]
        postgres: Option<String>,
        /// Certificates (PEM) of the authority that vouches for the server; needed when it is on another machine.
        #[arg(long, value_name = "FILE", requires = "postgres")]
        postgres_ca: Option<PathBuf>,
        /// Use the parameters of a finished ceremony: the directory that `ceremony finish` made. Otherwise they are made here, by one
        /// party.
        #[arg(long, value_name = "DIR", requires = "ptau")]
        parameters: Option<PathBuf>,
        /// Use the parameters of a finished ceremony for merges of two notes into one. Without them a ledger with `--parameters` makes
        /// no merges.
        #[arg(long, value_name = "DIR", requires = "parameters")]
        merge_parameters: Option<PathBuf>,
        /// Make no merges: a wallet then pays a tab only from a note that is large enough.
        #[arg(long, conflicts_with = "merge_parameters")]
        no_merges: bool,
        /// The powers of tau that the ceremonies began with: their transcripts are verified against them (half a minute each).
        #[arg(long, value_name = "FILE", requires = "parameters")]
        ptau: Option<PathBuf>,
        /// The ledger's credits are worth money. It must then have parameters of a ceremony.
        #[arg(long)]
        holds_value: bool,
        /// Let a ledger whose credits are worth money have parameters that one party made, who can forge spends.
        #[arg(long, requires = "holds_value", conflicts_with = "parameters")]
        accept_single_party: bool,
    },
    /// Serve a ledger over HTTP until SIGTERM.
    #[command(
        after_help = "Examples:\n  cloister-host ledger serve --dir /var/lib/cloister/ledger --listen 127.0.0.1:7800\n  \
        cloister-host ledger serve --dir /var/lib/cloister/ledger --listen 127.0.0.1:7800 --witness http://w1.example:7500"
    )]
    Serve {
        /// The ledger's directory.
        #[arg(long)]
        dir: PathBuf,
        /// Address to listen on.
        #[arg(long)]
        listen: SocketAddr,
        /// URL of a witness that cosigns the ledger's log (http only: what it says is signed); may be repeated. Wallets and guardians that
        /// name it notice an old copy of this ledger even if they have never seen a newer one.
        #[arg(long, value_name = "URL")]
        witness: Vec<String>,
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
    /// Sign reports or quotes, and GPU evidence, on Unix sockets. Makes its own vendor chains in the state directory.
    #[command(
        after_help = "Examples:\n  cloister-host sim-tee serve --state sim --socket sim/tee.sock --launch ./cloister-guardian --launch guardian.toml\n  \
        cloister-host sim-tee serve --state sim --socket run/vm.vsock_7900 --launch-digest HEX"
    )]
    Serve {
        /// Directory of the simulated vendor chain (`root.pem` is what clients must name).
        #[arg(long)]
        state: PathBuf,
        /// Socket to listen on, once or several times. A guest that connects to port P of its host by vhost-device-vsock
        /// arrives at that program's socket path with `_P` appended.
        #[arg(long, required = true)]
        socket: Vec<PathBuf>,
        #[command(flatten)]
        launched: Launched,
        /// Which CPU to play.
        #[arg(long, value_enum, default_value_t = Tee::Snp)]
        tee: Tee,
        /// Play a GPU as well.
        #[arg(long)]
        gpu: bool,
    },
    /// Print the measurement that `serve` puts into its reports.
    #[command(
        after_help = "Example:\n  cloister-host sim-tee measure --launch ./cloister-guardian --launch guardian.toml"
    )]
    Measure {
        #[command(flatten)]
        launched: Launched,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print an appraisal policy that accepts the simulated TEE with this launch, and nothing else.
    #[command(
        after_help = "Example:\n  cloister-host sim-tee policy --launch ./cloister-guardian --launch guardian.toml > policy.toml"
    )]
    Policy {
        #[command(flatten)]
        launched: Launched,
        /// Require the simulated GPU as well.
        #[arg(long)]
        gpu: bool,
    },
}

/// What the simulated platform says was launched: files that stand for an image, or the measurements of a real one.
#[derive(clap::Args)]
pub(crate) struct Launched {
    /// What is launched: the measurement is a digest of these files, in order.
    #[arg(long, required_unless_present = "launch_digest")]
    pub(crate) launch: Vec<PathBuf>,
    /// The launch digest itself (SEV-SNP) or MRTD (TDX), as computed from an image: 96 hex characters.
    #[arg(long, visible_alias = "mrtd", conflicts_with = "launch", value_name = "HEX", value_parser = measurement)]
    pub(crate) launch_digest: Option<[u8; 48]>,
    /// RTMR1 of a simulated TDX machine.
    #[arg(long, value_name = "HEX", value_parser = measurement)]
    pub(crate) rtmr1: Option<[u8; 48]>,
    /// RTMR2 of a simulated TDX machine.
    #[arg(long, value_name = "HEX", value_parser = measurement)]
    pub(crate) rtmr2: Option<[u8; 48]>,
}

fn measurement(text: &str) -> Result<[u8; 48], String> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| "a measurement is 48 bytes, written as 96 hex characters".to_owned())
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Args, Command, SimTee};

    fn parsed(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("cloister-host").chain(line.split_whitespace()))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_simulated_launch_is_named_in_exactly_one_way() {
        let digest = "ab".repeat(48);
        let Command::SimTee(SimTee::Serve { socket, launched, .. }) =
            parsed(&format!("sim-tee serve --state s --socket a --socket b_7900 --launch-digest {digest}"))
                .unwrap()
                .command
        else {
            panic!("another command");
        };
        assert_eq!(socket.len(), 2);
        assert_eq!((launched.launch_digest, launched.launch.len()), (Some([0xab; 48]), 0));
        parsed(&format!("sim-tee policy --mrtd {digest} --rtmr1 {digest} --rtmr2 {digest}")).unwrap();
        parsed("sim-tee policy --launch one --launch two").unwrap();
        for refused in [
            "sim-tee policy".to_owned(),
            "sim-tee policy --launch-digest abcd".to_owned(),
            format!("sim-tee policy --launch-digest {}", "zz".repeat(48)),
            format!("sim-tee policy --launch-digest {digest} --launch one"),
            format!("sim-tee serve --state s --launch-digest {digest}"),
        ] {
            assert!(parsed(&refused).is_err(), "{refused}");
        }
    }
}
