//! The log of a node's receipts, kept for its guardian: entries on disk, proofs, and the way to witnesses.
//!
//! Nobody trusts this program or its disk. The guardian signs each head of the log and takes work only while witnesses, whose keys
//! are in its measured configuration, cosign that the log only grew; they were told by another way, and remember.

mod store;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, bail};
use clap::Subcommand;
use credits::Bytes32;
use platform_service::{Access, serve_lines};
use tlog::service::{LogAnswer, LogQuestion};
use tlog::{Checkpoint, NoteSigner};

use crate::key_file;
use crate::output;
use crate::relay::{Cosigned, Grown, Relay};
use store::Store;

/// File of the operator's key.
const KEY_FILE: &str = "log.key";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Begin a log in an empty directory, and make the key by which witnesses know it.
    #[command(
        after_help = "Example:\n  cloister-host receipt-log init --dir /var/lib/cloister/receipts --origin node1.example/receipts"
    )]
    Init {
        /// The log's directory. Keep a copy of its `log.key`: without it the log cannot go on.
        #[arg(long)]
        dir: PathBuf,
        /// The log's name, for ever: a domain of yours and a path, without a scheme, of letters, digits, dots, dashes and slashes. It is in
        /// the guardian's configuration too.
        #[arg(long, value_parser = origin)]
        origin: String,
    },
    /// Keep the log for a guardian that asks on a Unix socket.
    #[command(after_help = "Example:\n  cloister-host receipt-log serve --dir /var/lib/cloister/receipts \
        --socket /run/cloister/vsock.sock_9002 --witness http://witness.example:7500")]
    Serve {
        /// The log's directory.
        #[arg(long)]
        dir: PathBuf,
        /// Unix socket to answer on; may be repeated. A guest that connects to port P of its host by vhost-device-vsock arrives at that
        /// program's socket path with `_P` appended. Only this user may connect.
        #[arg(long, required = true)]
        socket: Vec<PathBuf>,
        /// URL of a witness (http only: what it says is signed); may be repeated. Without one, nobody watches the log.
        #[arg(long)]
        witness: Vec<String>,
    },
    /// Print the log's key, for witnesses, and how long it is.
    #[command(after_help = "Example:\n  cloister-host receipt-log info --dir /var/lib/cloister/receipts --json")]
    Info {
        /// The log's directory.
        #[arg(long)]
        dir: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// The same rule as the guardian's.
fn origin(text: &str) -> Result<String, String> {
    tlog::check_origin(text).map(|()| text.to_owned())
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init { dir, origin } => init(&dir, &origin),
        Command::Serve { dir, socket, witness } => serve(&dir, &socket, &witness),
        Command::Info { dir, json } => info(&dir, json),
    }
}

fn init(dir: &Path, origin: &str) -> anyhow::Result<()> {
    key_file::make_directory(dir)?;
    let seed = key_file::seed()?;
    let text = tlog::note::secret_text(origin, &seed).context("the log cannot have this name")?;
    let signer = NoteSigner::from_secret_text(&text)?;
    Store::begin(dir)?;
    key_file::write(&dir.join(KEY_FILE), &text)?;
    output::note(&format!("began the log {origin}; witnesses know it by the key below"));
    output::line(&signer.public().to_string())
}

fn info(dir: &Path, json: bool) -> anyhow::Result<()> {
    let signer = signer(dir)?;
    let entries = store::entries_in(dir)?;
    let (key, origin) = (signer.public().to_string(), signer.public().name());
    if json {
        return output::line(&serde_json::json!({"origin": origin, "key": key, "entries": entries}).to_string());
    }
    output::line(&format!("origin   {origin}"))?;
    output::line(&format!("key      {key}"))?;
    output::line(&format!("entries  {entries}"))
}

fn signer(dir: &Path) -> anyhow::Result<NoteSigner> {
    Ok(NoteSigner::from_secret_text(key_file::read(&dir.join(KEY_FILE))?.trim_end())?)
}

fn serve(dir: &Path, sockets: &[PathBuf], witnesses: &[String]) -> anyhow::Result<()> {
    let signer = signer(dir)?;
    let store = Mutex::new(Store::open(dir)?);
    let relay = Relay::new(witnesses, "cloister-host receipt-log info")?;
    serve_lines("receipt log", sockets, Access::Owner, &output::note, &|asked| {
        let answered = asked.and_then(|question| answer(&signer, &store, &relay, question));
        answered.unwrap_or_else(|error| {
            // The operator reads this; whoever asked is told the same.
            output::note(&format!("{error:#}"));
            LogAnswer::Error { message: format!("{error:#}") }
        })
    })
}

fn locked(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    // After a panic the file may be longer than is known here: the next start looks.
    store.lock().unwrap_or_else(|_| store::end("the store is in an unknown state"))
}

/// The entries that are kept.
struct Kept<'a>(&'a Mutex<Store>);

impl Grown for Kept<'_> {
    fn consistency(&self, from: u64, to: u64) -> anyhow::Result<Vec<Bytes32>> {
        locked(self.0).consistency(from, to)
    }

    fn size(&self) -> anyhow::Result<u64> {
        Ok(locked(self.0).head().size)
    }
}

fn answer(
    signer: &NoteSigner,
    store: &Mutex<Store>,
    relay: &Relay,
    question: LogQuestion,
) -> anyhow::Result<LogAnswer> {
    let lock = || locked(store);
    Ok(match question {
        LogQuestion::Frontier { origin } => {
            let ours = signer.public().name();
            if origin != ours {
                bail!("this log is {ours:?}, the guardian asks for {origin:?}");
            }
            LogAnswer::Frontier(lock().frontier().clone())
        }
        LogQuestion::Append { from, entries } => LogAnswer::Appended { size: lock().append(from, &entries)? },
        LogQuestion::Cosign { checkpoint } => {
            let signed = signer.add_to(&checkpoint)?;
            let head = Checkpoint::open(&signed, signer.public())?;
            let ours = lock().head();
            if head != ours {
                bail!("the guardian signed {} entries, and not these {} as they stand here", head.size, ours.size);
            }
            let Cosigned { lines, refusals, .. } = relay.cosign(&signed, head.size, &Kept(store));
            LogAnswer::Cosigned { lines, refusals }
        }
        LogQuestion::Consistency { from, to } => LogAnswer::Proof(lock().consistency(from, to)?),
    })
}
