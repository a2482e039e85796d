//! A ceremony's files: none is ever replaced, and none is there before it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use ceremony::{Contribution, Hash, Verified};
use credits::Bytes32;
use ledger::Parameters;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};

/// Version of a summary.
const SUMMARY_VERSION: &str = "cloister/ceremony/v1";

const SUMMARY_FILE: &str = "ceremony.json";
const PROVING_KEY_FILE: &str = "proving.key";
const VERIFYING_KEY_FILE: &str = "verifying.key";
/// The ceremony's last key.
pub(crate) const ZKEY_FILE: &str = "final.zkey";
const R1CS_FILE: &str = "circuit.r1cs";

/// What a verified transcript amounts to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Summary {
    version: String,
    /// BLAKE2b-512 of the powers' file, in hex.
    ptau_digest: String,
    /// snarkjs's hash of the circuit and the powers, in hex.
    circuit_hash: String,
    pub(crate) contributions: Vec<Entry>,
    /// SHA-256 of the circuit's hash and all contributions.
    transcript_digest: Bytes32,
    /// Of the verifying key; nothing before the first contribution.
    vk_digest: Option<Bytes32>,
}

/// A contribution.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    number: usize,
    name: String,
    /// The hash that its contributor was told, in hex.
    hash: String,
    pub(crate) beacon: Option<BeaconEntry>,
}

/// The beacon that a contribution follows from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BeaconEntry {
    value: String,
    iterations: u8,
}

impl Entry {
    fn of((contribution, number): (&Contribution, usize)) -> Self {
        let beacon = contribution.beacon();
        let beacon =
            beacon.map(|beacon| BeaconEntry { value: hex::encode(&beacon.value), iterations: beacon.iterations });
        Self { number, name: contribution.name(), hash: hex::encode(contribution.hash()), beacon }
    }
}

impl Summary {
    pub(crate) fn of(verified: &Verified, ptau_digest: &Hash, vk_digest: Option<Bytes32>) -> Self {
        Self {
            version: SUMMARY_VERSION.to_owned(),
            ptau_digest: hex::encode(ptau_digest),
            circuit_hash: hex::encode(verified.circuit_hash()),
            contributions: verified.contributions().iter().zip(1..).map(Entry::of).collect(),
            transcript_digest: verified.transcript_digest(),
            vk_digest,
        }
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines =
            vec![format!("powers of tau  {}", self.ptau_digest), format!("circuit hash   {}", self.circuit_hash)];
        for Entry { number, name, hash, beacon } in &self.contributions {
            let who = match beacon {
                Some(BeaconEntry { value, iterations }) => format!("beacon {value}, hashed 2^{iterations} times"),
                None => name.clone(),
            };
            lines.push(format!("contribution {number} by {who}"));
            lines.push(format!("               {hash}"));
        }
        lines.push(format!("transcript     {}", self.transcript_digest));
        if let Some(digest) = self.vk_digest {
            lines.push(format!("parameters     {digest}"));
        }
        lines
    }
}

/// Reads a file that is not longer than it can be.
pub(crate) fn read(path: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("read {} (ceremony.unreadable)", path.display());
    let file = File::open(path).with_context(failed)?;
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).with_context(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= bytes_max) {
        return Ok(bytes);
    }
    bail!("{} is longer than the {bytes_max} bytes that such a file can have (ceremony.too_long)", path.display())
}

/// Asked before long work; writing asks again.
pub(crate) fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    if path.try_exists().with_context(|| format!("look at {}", path.display()))? {
        bail!("{} is there already and is never replaced: name another (ceremony.exists)", path.display());
    }
    Ok(())
}

/// Writes a file that is not there yet, whole or not at all.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let partial = partial(path)?;
    write_all(&partial, bytes)?;
    publish(&partial, path)
}

/// The name that something has until it is whole.
fn partial(path: &Path) -> anyhow::Result<PathBuf> {
    let mut name = path.file_name().context("the path names no file")?.to_owned();
    name.push(".partial");
    Ok(path.with_file_name(name))
}

fn write_all(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let written = OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.with_context(|| format!("write {}; remove what an earlier run left (ceremony.unwritable)", path.display()))
}

/// Gives what is whole its name, unless something has it.
fn publish(partial: &Path, path: &Path) -> anyhow::Result<()> {
    let renamed = renameat_with(CWD, partial, CWD, path, RenameFlags::NOREPLACE);
    renamed.with_context(|| {
        format!("{} cannot be made; it is at {} (ceremony.exists)", path.display(), partial.display())
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("write {} (ceremony.unwritable)", folder.display()))
}

/// Writes the directory of a finished ceremony.
pub(crate) fn write_directory(
    directory: &Path,
    params: &Parameters,
    summary: &Summary,
    zkey: &[u8],
    r1cs: &[u8],
) -> anyhow::Result<()> {
    let partial = partial(directory)?;
    let made = fs::create_dir(&partial);
    made.with_context(|| format!("make {}; remove what an earlier run left (ceremony.unwritable)", partial.display()))?;
    write_all(&partial.join(PROVING_KEY_FILE), &params.proving_key)?;
    write_all(&partial.join(VERIFYING_KEY_FILE), &params.verifying_key)?;
    write_all(&partial.join(SUMMARY_FILE), &serde_json::to_vec_pretty(summary)?)?;
    write_all(&partial.join(ZKEY_FILE), zkey)?;
    write_all(&partial.join(R1CS_FILE), r1cs)?;
    File::open(&partial).and_then(|folder| folder.sync_all()).context("write the directory (ceremony.unwritable)")?;
    publish(&partial, directory)
}

/// Refuses a file that is not there.
pub(crate) fn refuse_missing(path: &Path) -> anyhow::Result<()> {
    let found = fs::metadata(path);
    found.map(|_| ()).with_context(|| format!("read {} (ceremony.unreadable)", path.display()))
}
