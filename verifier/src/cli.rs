//! The command line: what can be asked for. Nothing is decided here.

mod ledger;
mod receipt;
mod stake;
mod wallet;
mod witness;

use std::net::SocketAddr;
use std::path::PathBuf;

use attestation::{ExpectedReportData, NonceHex};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
pub(crate) use ledger::{Ledger, LedgerAudit, LedgerEvidence};
pub(crate) use receipt::{Receipt, ReceiptAudit, ReceiptShow, ReceiptVerify};
pub(crate) use stake::{Stake, StakeAccuse, StakeBack, StakePut, StakeShow, StakeTake};
pub(crate) use wallet::{
    Wallet, WalletClaim, WalletDeposit, WalletMerge, WalletNew, WalletPassphrase, WalletRate, WalletRestore,
    WalletRisks, WalletShow, WalletWithdraw, WalletWithdrawals, WalletWords,
};
pub(crate) use witness::{LedgerWitnesses, WalletWitnesses};

const EXIT_CODES: &str = "\
Exit codes:
  0   accepted, done
  1   something on this machine failed (a file, the terminal, a bug)
  2   the command line is wrong, or something it names is missing
  10  rejected: the node, a receipt, a settlement or the ledger's log is not acceptable
  20  undecided: evidence of a kind this version does not know, or a receipt nobody can anchor
  30  malformed: evidence, an answer or a file is not what it should be
  40  payment: not enough credits, or the payment was refused
  50  unavailable: the node or the ledger cannot be reached, or will not answer";

/// Verify a confidential LLM node before it sees a prompt, pay it anonymously, and check what it signed.
#[derive(Debug, Parser)]
#[command(name = "cloister", version, about, after_help = EXIT_CODES, max_term_width = 120)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Print one JSON object on stdout and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print only errors on stderr
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Whether stdout is for a program: `--json`, or `--format json` where a command has formats.
    pub(crate) fn wants_json(&self) -> bool {
        self.json || matches!(&self.command, Command::Appraise(args) if args.format == VerdictFormat::Json)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Verify(Verify),
    Audit(Audit),
    Appraise(Appraise),
    Chat(Chat),
    Proxy(Proxy),
    #[command(subcommand)]
    Ledger(Ledger),
    #[command(subcommand)]
    Wallet(Wallet),
    #[command(subcommand)]
    Stake(Stake),
    #[command(subcommand)]
    Receipt(Receipt),
    #[command(subcommand)]
    Release(Release),
    Completions(Completions),
}

/// What a node is judged by.
#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    /// Trust only this root certificate (PEM or DER) instead of the embedded vendor roots
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Option<PathBuf>,
    /// Appraisal policy [default: cloister/policy.toml in the configuration directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Signed reference values for a policy that asks for them; may be repeated
    /// [default: cloister/reference-values.corim in the configuration directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) reference_values: Vec<PathBuf>,
}

/// Which wallet, and where its ledger is.
#[derive(Debug, Args)]
pub(crate) struct WalletArgs {
    /// Wallet directory [default: cloister in the data directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) wallet: Option<PathBuf>,
    /// Ledger to use instead of the one the wallet remembers
    #[arg(long, value_name = "URL")]
    pub(crate) ledger: Option<String>,
    /// File with the wallet's passphrase [default: ask on the terminal]
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// Verify a node and print every check.
///
/// Opens a TLS connection, asks for evidence bound to it, and appraises that under the roots and the policy. Nothing else is sent.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloister verify https://node.example:8443 --policy policy.toml --root simulated-root.pem"
)]
pub(crate) struct Verify {
    /// Address of the node, as https://host:port
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

/// Compare a node with an image rebuilt from source.
///
/// Verifies the node as `cloister verify` does, then compares, line by line, what its report and its offer say with the manifest of
/// the image, and the image's files with the manifest. Ends with 10 when anything differs.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloister audit https://node.example:8443 --image target/image/cpu --policy policy.toml"
)]
pub(crate) struct Audit {
    /// Address of the node, as https://host:port
    pub(crate) url: String,
    /// Directory of the image, or its manifest.json alone
    #[arg(long, value_name = "PATH")]
    pub(crate) image: PathBuf,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

/// Appraise evidence from files, without any network.
///
/// Reads a SEV-SNP report, a TDX quote, GPU evidence or Azure vTPM evidence, and endorsements from a directory: vcek.der or vlek.der,
/// ask.der, ark.der and ark.crl (AMD's published intermediates and roots are built in); collateral.json (TDX); chain.pem, driver-rim.xml,
/// vbios-rim.xml and *.ocsp.der (GPU); *.vtpm-ca.der (Azure). Prints every check. An accepted verdict is about a machine, not about a
/// connection: only `cloister verify` binds evidence to a channel.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cloister appraise --evidence report.bin --endorsements certs --policy policy.toml --at 2026-06-01T00:00:00Z\n  \
    cloister appraise --evidence report.bin --endorsements certs --policy policy.toml --bundle verdict.json\n  \
    cloister appraise --replay verdict.json --at 2027-01-01T00:00:00Z --json\n  \
    cloister appraise --evidence report.bin --endorsements certs --policy policy.toml --format ear --ear-key verifier.key"
)]
pub(crate) struct Appraise {
    /// File of evidence; repeat it for a GPU beside a CPU
    #[arg(long, value_name = "FILE", required_unless_present = "replay")]
    pub(crate) evidence: Vec<PathBuf>,
    /// Directory of endorsements [default: where the evidence is]
    #[arg(long, value_name = "DIR")]
    pub(crate) endorsements: Option<PathBuf>,
    /// Appraisal policy [default: cloister/policy.toml in the configuration directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Signed reference values for a policy that asks for them; may be repeated
    /// [default: cloister/reference-values.corim in the configuration directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) reference_values: Vec<PathBuf>,
    /// Judge dates at this time: Unix seconds, YYYY-MM-DDTHH:MM:SSZ, or now [default: now, or the bundle's own time]
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Trust only this root certificate (PEM or DER) instead of the embedded vendor roots; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Vec<PathBuf>,
    /// Require this REPORT_DATA, 128 hex characters
    #[arg(long, value_name = "HEX")]
    pub(crate) report_data: Option<ExpectedReportData>,
    /// Require that GPUs or a vTPM answered this nonce, in hex
    #[arg(long, value_name = "HEX")]
    pub(crate) nonce: Option<NonceHex>,
    /// What to print: words, the JSON object of --json, or a signed attestation result (EAR)
    #[arg(long, value_enum, default_value_t = VerdictFormat::Text)]
    pub(crate) format: VerdictFormat,
    /// Key that signs the EAR, 64 hex characters in a file; made when it is not there
    #[arg(long, value_name = "FILE", required_if_eq("format", "ear"))]
    pub(crate) ear_key: Option<PathBuf>,
    /// Also write everything the verdict follows from to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
    /// Repeat the verdict of a bundle; --root, --policy and --at replace what it carries
    #[arg(long, value_name = "FILE", conflicts_with_all = ["evidence", "endorsements", "report_data", "nonce"])]
    pub(crate) replay: Option<PathBuf>,
}

/// How a verdict is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerdictFormat {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// A signed attestation result: draft-ietf-rats-ear as a JSON web token
    Ear,
}

/// Verify a node, pay it, send one prompt and print the answer.
///
/// The answer is streamed to stdout; checks, receipt, settlement and refund are told on stderr.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cloister chat https://node.example:8443 \"Why is the sky blue?\" --policy policy.toml\n  \
    cat question.txt | cloister chat https://node.example:8443 --model tiny --max-tokens 200 --policy policy.toml"
)]
pub(crate) struct Chat {
    /// Address of the node, as https://host:port
    pub(crate) url: String,
    /// The prompt [default: read from stdin]
    pub(crate) prompt: Option<String>,
    /// Model to ask [default: the only one offered]
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Most tokens of the answer
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_tokens: u64,
    /// Sampling temperature [default: the node's]
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub(crate) temperature: Option<f64>,
    /// System message
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Credits to reserve, rounded up to a tier of the offer [default: what the request can cost at most]
    #[arg(long, visible_alias = "tier", value_name = "CREDITS")]
    pub(crate) reserve: Option<u64>,
    /// Pay only a node for which so many credits are at stake until its tab is over and a day more
    #[arg(long, value_name = "CREDITS", default_value_t = 0)]
    pub(crate) min_stake: u64,
    /// Also store the receipt in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) keep_receipt: Option<PathBuf>,
    /// Also write the JSON object of --json to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

/// Offer an OpenAI endpoint on this machine that verifies and pays a node.
///
/// Any API key is accepted and none is passed on. Keep one tab open, replace it when it runs low, close it when idle.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cloister proxy https://node.example:8443 --listen 127.0.0.1:8787 --policy policy.toml\n  \
    OPENAI_BASE_URL=http://127.0.0.1:8787/v1 OPENAI_API_KEY=none python my_program.py"
)]
pub(crate) struct Proxy {
    /// Address of the node, as https://host:port
    pub(crate) url: String,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    pub(crate) listen: SocketAddr,
    /// Credits to reserve per tab, rounded up to a tier of the offer [default: enough for several requests]
    #[arg(long, visible_alias = "tier", value_name = "CREDITS")]
    pub(crate) reserve: Option<u64>,
    /// Close the tab after this many seconds without a request
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    pub(crate) idle_secs: u64,
    /// Pay only a node for which so many credits are at stake until its tab is over and a day more
    #[arg(long, value_name = "CREDITS", default_value_t = 0)]
    pub(crate) min_stake: u64,
    /// Also store receipts in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) keep_receipt: Option<PathBuf>,
    /// Listen on an address others can reach: whoever reaches it spends your credits and sends prompts in the clear
    #[arg(long)]
    pub(crate) danger_listen_anywhere: bool,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

/// Check releases of the VM image.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  cloister release verify release-bundle.json --log-key log.vkey --signer release.pub"
)]
pub(crate) enum Release {
    Verify(ReleaseVerify),
}

/// Verify a release of the VM image without any network.
///
/// The checkpoint must be signed by the log's key, the release must stand in that log, and its provenance must be signed by the signer
/// for exactly the manifest's files. What was seen is remembered: an older release, or a log that shrank or was rewritten, is refused.
/// A newer checkpoint needs the bundle's proof that the log only grew. The first release of a log has nothing to be compared with.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cloister release verify release-bundle.json --log-key log.vkey --signer release.pub --artifacts image --install\n  \
    cloister release verify release-bundle.json --log-key log.vkey --signer release.pub --state seen.json --json"
)]
pub(crate) struct ReleaseVerify {
    /// The release bundle
    pub(crate) bundle: PathBuf,
    /// The log's key as NAME+HASH+BASE64 (C2SP signed-note), or a file with it
    #[arg(long, value_name = "KEY")]
    pub(crate) log_key: String,
    /// The signer's Ed25519 public key in hex, or a file with it
    #[arg(long, value_name = "KEY")]
    pub(crate) signer: String,
    /// Hold the image's files in this directory against the release
    #[arg(long, value_name = "DIR")]
    pub(crate) artifacts: Option<PathBuf>,
    /// What was seen before [default: seen-releases.json in the data directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Put the release's reference values where policies read them, once everything is verified
    #[arg(long)]
    pub(crate) install: bool,
}

/// Print a completion script.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloister completions bash > ~/.local/share/bash-completion/completions/cloister")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

fn temperature(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=2.0).contains(&value) { Ok(value) } else { Err("not between 0 and 2".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Every example line of every help text must parse, and every command must have one.
    #[test]
    fn every_help_has_an_example_that_parses() {
        let mut seen = 0;
        visit(&Cli::command(), &mut |command| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            if command.get_name() == "cloister" {
                assert!(help.contains("Exit codes"));
                return;
            }
            assert!(help.starts_with("Example"), "{} has no example", command.get_name());
            for line in help.lines().filter_map(|line| line.find("cloister ").map(|at| &line[at..])) {
                for part in line.split("&&") {
                    let words = shell_words(part.trim());
                    Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
                    seen += 1;
                }
            }
        });
        assert!(seen >= 14, "{seen} examples");
    }

    fn visit(command: &clap::Command, see: &mut impl FnMut(&clap::Command)) {
        see(command);
        command.get_subcommands().for_each(|sub| visit(sub, see));
    }

    /// Words of an example: quotes are honoured, redirections end the command.
    fn shell_words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (at, piece) in line.split('"').enumerate() {
            if at % 2 == 1 {
                words.push(piece.to_owned());
            } else {
                words.extend(piece.split_whitespace().map(str::to_owned));
            }
        }
        let end = words.iter().position(|word| word.starts_with(['<', '>'])).unwrap_or(words.len());
        words.truncate(end);
        words
    }

    #[test]
    fn mistakes_are_usage_errors() {
        for line in [
            "cloister",
            "cloister verify",
            "cloister chat u p --temperature 3",
            "cloister chat u --max-tokens 0",
            "cloister proxy u --listen nowhere",
            "cloister wallet deposit v --notes 9",
            "cloister nonsense",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn global_flags_go_anywhere_and_tier_is_reserve() {
        let cli = Cli::try_parse_from(["cloister", "chat", "u", "p", "--tier", "64", "--json"]).unwrap();
        assert!(cli.json);
        let Command::Chat(chat) = cli.command else { panic!("not chat") };
        assert_eq!(chat.reserve, Some(64));
    }
}
