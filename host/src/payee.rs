//! `cloister-host payee …`: the key that a node's earnings are claimed with. It never goes to the node.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use credits::PayeeKey;

use crate::{key_file, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a payee's key and print the payee for the node's configuration. Whoever has the key has the node's earnings.
    #[command(after_help = "Example:\n  cloister-host payee new --out payee.key")]
    New {
        /// File for the key; one that is there is never replaced.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print the payee of a key.
    #[command(after_help = "Example:\n  cloister-host payee show payee.key")]
    Show {
        /// File with the key.
        file: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::New { out, json } => new(&out, json),
        Command::Show { file, json } => show(&file, json),
    }
}

fn new(out: &Path, json: bool) -> anyhow::Result<()> {
    let key = PayeeKey::generate()?;
    key_file::write(out, &hex::encode(key.seed()))?;
    output::note("name this payee in the node's configuration; claim with: cloister wallet claim --payee-key");
    print(&key, json)
}

fn show(file: &Path, json: bool) -> anyhow::Result<()> {
    let text = key_file::read(file)?;
    let seed = hex::decode(text.trim_end()).ok().and_then(|seed| seed.try_into().ok());
    let seed: [u8; 32] = seed.with_context(|| format!("{} holds no payee's key", file.display()))?;
    print(&PayeeKey::from_seed(&seed), json)
}

fn print(key: &PayeeKey, json: bool) -> anyhow::Result<()> {
    let payee = key.public().to_string();
    output::line(&if json { serde_json::json!({ "payee": payee }).to_string() } else { payee })
}
