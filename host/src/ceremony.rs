//! `cloister-host ceremony …`: phase 2 of the ceremony that makes a ledger's parameters (docs/decisions/0030).
//!
//! Nothing is trusted but the circuit, which is this program's own: every command reads its files anew, and `finish` writes
//! parameters only of a transcript that it verified from the powers of tau on.

mod files;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use ceremony::{Beacon, CeremonyError, PTAU_BYTES_MAX, Ptau, Verified, ZKEY_BYTES_MAX, Zkey};
use clap::Subcommand;
use credits::circuit::{Relation, Statement};
use credits::hash::sha256;
use ledger::Parameters;
use rand_core::OsRng;
use serde_json::json;

use crate::output;

/// Longest file of entropy.
const ENTROPY_BYTES_MAX: u64 = 1 << 20;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make the first key, of a circuit and prepared powers of tau.
    #[command(
        after_help = "The powers: a published .ptau file, prepared for phase 2, for degree 2^14 or more, or 2^15 for merges; compare its hash with the \
        one its publisher names.\n\
        Example:\n  cloister-host ceremony start --ptau pot14_final.ptau --out circuit_0000.zkey --r1cs circuit.r1cs"
    )]
    Start {
        /// Prepared powers of tau.
        #[arg(long, value_name = "FILE")]
        ptau: PathBuf,
        /// The key to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Write the circuit as well, for snarkjs.
        #[arg(long, value_name = "FILE")]
        r1cs: Option<PathBuf>,
        /// What the parameters are for.
        #[arg(long, value_enum, default_value_t)]
        circuit: CircuitName,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Contribute randomness to a key. One honest contributor is enough.
    #[command(
        after_help = "Verify the key first. Write the printed hash down, and publish it: it proves that you took part.\n\
        Example:\n  cloister-host ceremony contribute --in circuit_0000.zkey --out circuit_0001.zkey --name 'Ada L.'"
    )]
    Contribute {
        /// The key so far.
        #[arg(long = "in", value_name = "FILE")]
        input: PathBuf,
        /// The key to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Your name, as the transcript will show it: up to 64 ASCII characters.
        #[arg(long)]
        name: String,
        /// Mix this file into the randomness of the operating system: dice, a photograph. Destroy it afterwards.
        #[arg(long, value_name = "FILE")]
        entropy_file: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Verify a key's whole transcript, from the powers of tau to its last contribution.
    #[command(
        after_help = "Another program does the same: snarkjs zkey verify circuit.r1cs pot14_final.ptau circuit_0002.zkey\n\
        Example:\n  cloister-host ceremony verify --ptau pot14_final.ptau --zkey circuit_0002.zkey"
    )]
    Verify {
        /// Prepared powers of tau.
        #[arg(long, value_name = "FILE")]
        ptau: PathBuf,
        /// The key.
        #[arg(long, value_name = "FILE")]
        zkey: PathBuf,
        /// What the parameters are for.
        #[arg(long, value_enum, default_value_t)]
        circuit: CircuitName,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Verify a key's whole transcript, and write the parameters that `ledger init --parameters` takes.
    #[command(
        after_help = "Example:\n  cloister-host ceremony finish --ptau pot14_final.ptau --zkey circuit_0002.zkey --out-dir parameters \
        --beacon 5f1e…"
    )]
    Finish {
        /// Prepared powers of tau.
        #[arg(long, value_name = "FILE")]
        ptau: PathBuf,
        /// The key.
        #[arg(long, value_name = "FILE")]
        zkey: PathBuf,
        /// The directory to make.
        #[arg(long, value_name = "DIR")]
        out_dir: PathBuf,
        /// A public value that nobody could foresee when the last contribution was made, in hex: it is contributed last.
        #[arg(long, value_name = "HEX", value_parser = beacon_value)]
        beacon: Option<BeaconValue>,
        /// Logarithm of how often the beacon is hashed.
        #[arg(long, default_value_t = 20, requires = "beacon", value_parser = clap::value_parser!(u8).range(10..=24))]
        beacon_iterations: u8,
        /// What the parameters are for.
        #[arg(long, value_enum, default_value_t)]
        circuit: CircuitName,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// The circuit that a ceremony is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CircuitName {
    /// Spends.
    #[default]
    Spend,
    /// Merges of two notes into one.
    Merge,
}

impl From<CircuitName> for Statement {
    fn from(name: CircuitName) -> Self {
        match name {
            CircuitName::Spend => Self::Spend,
            CircuitName::Merge => Self::Merge,
        }
    }
}

/// A beacon's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BeaconValue(Vec<u8>);

fn beacon_value(text: &str) -> Result<BeaconValue, String> {
    let bytes = hex::decode(text).ok().filter(|bytes| (1..=255).contains(&bytes.len()));
    bytes.map(BeaconValue).ok_or_else(|| "a beacon is 1 to 255 bytes, written as hex characters".to_owned())
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Start { ptau, out, r1cs, circuit, json } => start(circuit.into(), &ptau, &out, r1cs.as_deref(), json),
        Command::Contribute { input, out, name, entropy_file, json } => {
            contribute(&input, &out, &name, entropy_file.as_deref(), json)
        }
        Command::Verify { ptau, zkey, circuit, json } => verify(circuit.into(), &ptau, &zkey, json),
        Command::Finish { ptau, zkey, out_dir, beacon, beacon_iterations, circuit, json } => {
            let beacon = beacon.map(|BeaconValue(value)| Beacon { value, iterations: beacon_iterations });
            finish(circuit.into(), &ptau, &zkey, &out_dir, beacon, json)
        }
    }
}

/// A refusal with its code.
fn coded(error: CeremonyError) -> anyhow::Error {
    match error {
        CeremonyError::Params(cause) => anyhow!("{error}: {cause} ({})", error.code()),
        _ => anyhow!("{error} ({})", error.code()),
    }
}

/// What the circuit and the powers of tau give.
struct Origin {
    statement: Statement,
    circuit: Relation,
    first: Zkey,
    ptau_digest: ceremony::Hash,
}

fn origin(statement: Statement, ptau: &Path) -> anyhow::Result<Origin> {
    output::note(&format!("checking the powers of tau in {} (some ten seconds)", ptau.display()));
    let bytes = files::read(ptau, PTAU_BYTES_MAX)?;
    let circuit = Relation::of(statement).map_err(|_| coded(CeremonyError::CircuitTooLarge))?;
    let powers = Ptau::read(&bytes, &circuit, &mut OsRng).map_err(coded);
    let powers = powers.with_context(|| format!("{} cannot be used", ptau.display()))?;
    drop(bytes);
    output::note("computing the circuit's first key (some ten seconds)");
    let first = ceremony::start(&circuit, &powers).map_err(coded)?;
    Ok(Origin { statement, circuit, first, ptau_digest: powers.digest() })
}

fn start(statement: Statement, ptau: &Path, out: &Path, r1cs: Option<&Path>, json: bool) -> anyhow::Result<()> {
    files::refuse_existing(out)?;
    r1cs.map(files::refuse_existing).transpose()?;
    let Origin { circuit, first, ptau_digest, .. } = origin(statement, ptau)?;
    if let Some(path) = r1cs {
        files::write_new(path, &ceremony::r1cs(&circuit).map_err(coded)?)?;
    }
    files::write_new(out, &first.to_bytes())?;
    if json {
        let (circuit_hash, ptau_digest) = (hex::encode(first.circuit_hash()), hex::encode(ptau_digest));
        return output::line(&json!({"circuit_hash": circuit_hash, "ptau_digest": ptau_digest}).to_string());
    }
    output::line(&format!("powers of tau  {}", ceremony::grouped(&ptau_digest)))?;
    output::line(&format!("circuit hash   {}", ceremony::grouped(&first.circuit_hash())))
}

fn read_zkey(path: &Path) -> anyhow::Result<Zkey> {
    let bytes = files::read(path, ZKEY_BYTES_MAX)?;
    Zkey::from_bytes(&bytes).map_err(coded).with_context(|| format!("{} cannot be used", path.display()))
}

fn contribute(input: &Path, out: &Path, name: &str, entropy: Option<&Path>, json: bool) -> anyhow::Result<()> {
    files::refuse_existing(out)?;
    let entropy = entropy.map(|path| files::read(path, ENTROPY_BYTES_MAX)).transpose()?.unwrap_or_default();
    let entropy = zeroize::Zeroizing::new(entropy);
    let mut zkey = read_zkey(input)?;
    output::note("contributing (a few seconds)");
    let hash = ceremony::contribute(&mut zkey, name, &entropy, &mut OsRng).map_err(coded)?;
    files::write_new(out, &zkey.to_bytes())?;
    let number = zkey.contributions().len();
    if json {
        let report = json!({"number": number, "contribution_hash": hex::encode(hash)});
        return output::line(&report.to_string());
    }
    output::line(&format!("contribution {number}  {}", ceremony::grouped(&hash)))
}

/// Verifies a key against its origin.
fn verified(origin: &Origin, path: &Path, beacon: Option<Beacon>) -> anyhow::Result<Verified> {
    output::note(&format!("verifying the transcript of {} (some seconds)", path.display()));
    let zkey = read_zkey(path)?;
    let refused = || format!("{} is not what the circuit and its contributions give", path.display());
    let verified = ceremony::verify(&origin.first, zkey, &mut OsRng).map_err(coded).with_context(refused)?;
    let Some(beacon) = beacon else { return Ok(verified) };
    output::note("contributing the beacon");
    let mut zkey = verified.zkey().clone();
    ceremony::contribute_beacon(&mut zkey, beacon).map_err(coded)?;
    ceremony::verify(&origin.first, zkey, &mut OsRng).map_err(coded).with_context(refused)
}

fn verify(statement: Statement, ptau: &Path, zkey: &Path, json: bool) -> anyhow::Result<()> {
    let origin = origin(statement, ptau)?;
    let verified = verified(&origin, zkey, None)?;
    report(&summary(&origin, &verified), json)
}

/// The parameters that a transcript made.
fn made(statement: Statement, verified: &Verified) -> Result<Parameters, CeremonyError> {
    let (proving_key, verifying_key) = match statement {
        Statement::Spend => {
            let params = verified.proving_params()?;
            (params.to_bytes(), params.verifying().to_bytes())
        }
        Statement::Merge => {
            let params = verified.merge_params()?;
            (params.to_bytes(), params.verifying().to_bytes())
        }
    };
    let (verifying_key, transcript_digest) = (verifying_key.to_vec(), verified.transcript_digest());
    Ok(Parameters { proving_key, verifying_key, transcript_digest })
}

fn summary(origin: &Origin, verified: &Verified) -> files::Summary {
    let vk_digest = made(origin.statement, verified).ok().map(|params| sha256(&params.verifying_key));
    files::Summary::of(verified, &origin.ptau_digest, vk_digest)
}

fn finish(
    statement: Statement,
    ptau: &Path,
    zkey: &Path,
    out_dir: &Path,
    beacon: Option<Beacon>,
    json: bool,
) -> anyhow::Result<()> {
    files::refuse_existing(out_dir)?;
    let origin = origin(statement, ptau)?;
    let verified = verified(&origin, zkey, beacon)?;
    let params = made(statement, &verified).map_err(coded)?;
    let summary = summary(&origin, &verified);
    let circuit = ceremony::r1cs(&origin.circuit).map_err(coded)?;
    files::write_directory(out_dir, &params, &summary, &verified.zkey().to_bytes(), &circuit)?;
    report(&summary, json)
}

/// The parameters of a finished ceremony, from nothing but its last zkey, which is verified like by `finish`: what else is in the
/// directory is for people.
pub(crate) fn parameters(statement: Statement, directory: &Path, ptau: &Path) -> anyhow::Result<Parameters> {
    let zkey = directory.join(files::ZKEY_FILE);
    // Before the powers, which take longer.
    files::refuse_missing(&zkey)?;
    let verified = verified(&origin(statement, ptau)?, &zkey, None)?;
    made(statement, &verified).map_err(coded)
}

fn report(summary: &files::Summary, json: bool) -> anyhow::Result<()> {
    if json {
        return output::line(&serde_json::to_string(summary)?);
    }
    for line in summary.lines() {
        output::line(&line)?;
    }
    if summary.contributions.iter().all(|entry| entry.beacon.is_some()) {
        output::note("nobody contributed yet, or none but beacons: parameters of this key would let everybody forge");
    }
    Ok(())
}
