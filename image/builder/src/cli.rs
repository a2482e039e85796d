//! Command-line types.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use image_builder::release::DEFAULT_LOG_NAME;

/// Builds the measured VM image, says what it will measure as, and shows that anybody gets the same.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done, 1 failed (the reason is on stderr), 2 wrong usage, 10 two builds differ."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Build an image.
    #[command(after_help = "Example:\n  cloister-image build --flavour cpu --guardian /etc/cloister/guardian.toml")]
    Build {
        #[command(flatten)]
        build: Build,
        /// Print the manifest.
        #[arg(long)]
        json: bool,
    },
    /// Build again under other circumstances and compare every byte.
    #[command(
        after_help = "Example:\n  cloister-image reproduce --flavour cpu\n  cloister-image reproduce --flavour cpu --kernel"
    )]
    Reproduce {
        #[command(flatten)]
        build: Build,
        /// Build the kernel again, too (minutes).
        #[arg(long)]
        kernel: bool,
    },
    /// Compare two images; name the first file and byte that differ.
    #[command(after_help = "Example:\n  cloister-image diff target/image/cpu /mnt/other/cpu")]
    Diff {
        /// An image's folder.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// The flavours there are.
    Flavours {
        #[command(flatten)]
        repo: Repo,
    },
    /// Lock files.
    #[command(subcommand)]
    Lock(Lock),
    /// Build the GPU flavour's kernel and driver modules, as far as its inputs reach (many minutes).
    #[command(after_help = "Example:\n  cloister-image modules")]
    Modules {
        #[command(flatten)]
        build: Build,
    },
    /// Make the keys that sign releases and the release log.
    #[command(
        after_help = "Example:\n  cloister-image keygen --key release.key --log-key log.key --name example.org/cloister"
    )]
    Keygen {
        /// Key that signs reference values and provenance.
        #[arg(long)]
        key: PathBuf,
        /// Key that signs the log's checkpoints.
        #[arg(long)]
        log_key: PathBuf,
        /// Name of the log.
        #[arg(long, default_value = DEFAULT_LOG_NAME)]
        name: String,
    },
    /// Sign an image's reference values, which is what an appraisal policy reads.
    #[command(after_help = "Example:\n  cloister-image sign --image target/image/cpu --key release.key")]
    Sign {
        /// The image's folder.
        #[arg(long)]
        image: PathBuf,
        /// Key that signs.
        #[arg(long)]
        key: PathBuf,
        /// Days for which they are valid.
        #[arg(long, default_value_t = 365)]
        valid_days: u64,
    },
    /// Sign an image, log it, and write its release bundle.
    #[command(
        after_help = "Example:\n  cloister-image release --image target/image/cpu --key release.key --log-key log.key --log release-log"
    )]
    Release {
        /// The image's folder.
        #[arg(long)]
        image: PathBuf,
        /// Key that signs reference values and provenance.
        #[arg(long)]
        key: PathBuf,
        /// Key that signs the log's checkpoints; without it, the other key does.
        #[arg(long)]
        log_key: Option<PathBuf>,
        /// The log's folder.
        #[arg(long)]
        log: PathBuf,
        /// Days for which the reference values are valid.
        #[arg(long, default_value_t = 365)]
        valid_days: u64,
    },
    /// Print a shell completion script.
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: clap_complete::Shell,
    },
}

#[derive(Subcommand)]
pub(crate) enum Lock {
    /// Ask the archive for the newest versions and write the lock file. The only command that reads an index.
    #[command(after_help = "Example:\n  cloister-image lock update cpu\n  git diff image/lock")]
    Update {
        /// Which lock: `image/lock/NAME.packages.json` gives `image/lock/NAME.lock.json`.
        name: String,
        #[command(flatten)]
        repo: Repo,
        /// Base address of an archive mirror; without it, the one this machine's package manager uses.
        #[arg(long)]
        mirror: Option<String>,
    },
    /// Print what a lock could not have.
    Unavailable {
        /// Which lock.
        name: String,
        #[command(flatten)]
        repo: Repo,
    },
}

#[derive(Args)]
#[group(id = "repo_options")]
pub(crate) struct Repo {
    /// Top of the checkout.
    #[arg(long, default_value = ".")]
    pub(crate) repo: PathBuf,
}

#[derive(Args)]
#[group(id = "build_options")]
pub(crate) struct Build {
    /// Which flavour; `cloister-image flavours` lists them.
    #[arg(long, default_value = "cpu")]
    pub(crate) flavour: String,
    /// The guardian's configuration, which is measured with the image; without it, the example, which pays a ledger that does not exist.
    #[arg(long)]
    pub(crate) guardian: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) repo: Repo,
    /// Folder that gets the image's folder; `target/image` of the checkout without it.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Folder of what outlives a build; `target/image/cache` of the checkout without it.
    #[arg(long)]
    pub(crate) cache: Option<PathBuf>,
    /// Base address or folder of an archive mirror; without it, the one this machine's package manager uses.
    #[arg(long)]
    pub(crate) mirror: Option<String>,
    /// Address of a snapshot service, with {archive}, {timestamp} and {path}.
    #[arg(long)]
    pub(crate) snapshot: Option<String>,
    /// Moment for the snapshot service, as it spells moments.
    #[arg(long, default_value = "")]
    pub(crate) snapshot_timestamp: String,
    /// Folder or base address that has packages as `<sha256>.deb`, such as an unpacked release asset.
    #[arg(long)]
    pub(crate) asset: Option<String>,
    /// Parallel jobs; as many as there are processors without it.
    #[arg(long)]
    pub(crate) jobs: Option<usize>,
}

pub(crate) fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "cloister-image", &mut std::io::stdout());
}
