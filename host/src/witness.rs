//! A witness of logs: it remembers how far each log it knows has grown, and cosigns heads that extend that, and no others.
//!
//! Guardians whose configuration names it take no work from a log that it does not cosign. So it is run by somebody else than the
//! operator of the node, on a disk that is not the node's. C2SP tlog-witness and tlog-cosignature; other witnesses of that kind serve too.

mod memory;
mod server;
mod service;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use attestation::ReceiptKey;
use clap::Subcommand;
use tlog::{Cosigner, LogKey};

use crate::{key_file, output, stop};
use memory::Memory;

/// File of the witness's key: its name, and the seed in hex.
const KEY_FILE: &str = "witness.key";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a witness's key in an empty directory.
    #[command(
        after_help = "Example:\n  cloister-host witness init --dir /var/lib/cloister/witness --name witness.example/w1"
    )]
    Init {
        /// The witness's directory. It also holds what was seen: losing that is losing the witness, and so is starting from an older copy.
        #[arg(long)]
        dir: PathBuf,
        /// Its name: a domain of yours and a path, without a scheme.
        #[arg(long)]
        name: String,
    },
    /// Cosign checkpoints of the named logs, over HTTP, until SIGTERM.
    #[command(
        after_help = "Example:\n  cloister-host witness serve --dir /var/lib/cloister/witness --listen 0.0.0.0:7500 \
        --log node1.example/receipts+1f2e3d4c+AS…"
    )]
    Serve {
        /// The witness's directory.
        #[arg(long)]
        dir: PathBuf,
        /// Address to listen on: plain HTTP. Let only the keepers of its logs reach it.
        #[arg(long)]
        listen: SocketAddr,
        /// Key of a log, as `cloister-host receipt-log info` prints it; may be repeated. One that was named once is remembered.
        #[arg(long, required = true)]
        log: Vec<LogKey>,
    },
    /// Print the witness's key, for guardians' configurations, and what it has seen.
    #[command(after_help = "Example:\n  cloister-host witness info --dir /var/lib/cloister/witness --json")]
    Info {
        /// The witness's directory.
        #[arg(long)]
        dir: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init { dir, name } => init(&dir, &name),
        Command::Serve { dir, listen, log } => serve(&dir, listen, log),
        Command::Info { dir, json } => info(&dir, json),
    }
}

fn init(dir: &Path, name: &str) -> anyhow::Result<()> {
    key_file::make_directory(dir)?;
    let seed = key_file::seed()?;
    let cosigner = Cosigner::new(name, ReceiptKey::from_seed(&seed)?).context("a witness cannot have this name")?;
    Memory::begin(dir)?;
    key_file::write(&dir.join(KEY_FILE), &format!("{name}\n{}", hex::encode(seed)))?;
    output::note(&format!("made the witness {name}; guardians name it by the key below"));
    output::line(&cosigner.public().to_string())
}

fn cosigner(dir: &Path) -> anyhow::Result<Cosigner> {
    let text = key_file::read(&dir.join(KEY_FILE))?;
    let bad = || anyhow::anyhow!("{} is damaged", dir.join(KEY_FILE).display());
    let (name, seed) = text.trim_end().split_once('\n').ok_or_else(bad)?;
    let seed: [u8; 32] = hex::decode(seed).ok().and_then(|seed| seed.try_into().ok()).ok_or_else(bad)?;
    Ok(Cosigner::new(name, ReceiptKey::from_seed(&seed)?)?)
}

fn info(dir: &Path, json: bool) -> anyhow::Result<()> {
    let (cosigner, seen) = (cosigner(dir)?, Memory::seen(dir)?);
    let key = cosigner.public().to_string();
    if json {
        let logs: Vec<_> =
            seen.iter().map(|(origin, size)| serde_json::json!({"origin": origin, "size": size})).collect();
        return output::line(&serde_json::json!({"key": key, "logs": logs}).to_string());
    }
    output::line(&format!("key  {key}"))?;
    seen.iter().try_for_each(|(origin, size)| output::line(&format!("saw  {size} entries of {origin}")))
}

fn serve(dir: &Path, listen: SocketAddr, logs: Vec<LogKey>) -> anyhow::Result<()> {
    let mut names: Vec<_> = logs.iter().map(LogKey::name).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair.first() == pair.last()) {
        bail!("two keys are given for one log");
    }
    let memory = Memory::open(dir, logs.iter().map(LogKey::name))?;
    let witness = Arc::new(service::Witness::new(cosigner(dir)?, logs, memory));
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
        output::note(&format!("witness ready on http://{}", listener.local_addr()?));
        server::serve(listener, service::router(witness), stop::asked()?).await
    })
}
