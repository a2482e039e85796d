//! The commands: arguments in, library calls, words out.

pub(crate) mod appraise;
pub(crate) mod audit;
pub(crate) mod chat;
pub(crate) mod ledger;
pub(crate) mod merge;
mod passphrase;
pub(crate) mod proxy;
pub(crate) mod receipt;
pub(crate) mod release;
pub(crate) mod stake;
pub(crate) mod verify;
pub(crate) mod wallet;
pub(crate) mod withdraw;
pub(crate) mod witnesses;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestation::{Appraisal, AssuranceClass, Clock, UnixTime};
use clap::CommandFactory;
use serde_json::json;
use verifier::config::{data_dir, load_trust, root_common_name};
use verifier::{Error, Exit, Payer, SystemClock, Trust, WalletStore};

use crate::cli::{Cli, Completions, TrustArgs, WalletArgs};
use crate::output::Output;
use crate::report::Report;

/// Longest text read from stdin.
const STDIN_BYTES_MAX: u64 = 4 * 1024 * 1024;

pub(crate) fn completions(args: &Completions, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cloister", &mut script);
    report.put("script", json!(String::from_utf8_lossy(&script)));
    out.data(&script).map_err(|source| Error::Io { action: "write the script".to_owned(), source })?;
    Ok(Exit::Ok)
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// What a node is judged by now.
fn trust(args: &TrustArgs) -> Result<Trust, Error> {
    trust_at(args, clock().now())
}

fn trust_at(args: &TrustArgs, now: UnixTime) -> Result<Trust, Error> {
    Ok(load_trust(args.root.as_deref(), args.policy.as_deref(), &args.reference_values, now)?)
}

/// `assurance: simulated (root: SIMULATED ARK-Milan)`.
fn assurance_words(appraisal: &Appraisal, args: &TrustArgs) -> String {
    let root = match (&args.root, appraisal.assurance()) {
        (Some(path), _) => root_common_name(path).unwrap_or_else(|| path.display().to_string()),
        (None, AssuranceClass::Vendor) => format!("vendor, {}", appraisal.product()),
        (None, _) => "unknown".to_owned(),
    };
    format!("assurance: {} (root: {root})", appraisal.assurance())
}

fn bad_time(text: &str) -> Error {
    Error::Choice {
        code: "choice.time",
        message: format!("{text:?} is not a time; write Unix seconds, YYYY-MM-DDTHH:MM:SSZ, or now"),
    }
}

fn wallet_dir(args: &WalletArgs) -> Result<PathBuf, Error> {
    match &args.wallet {
        Some(directory) => Ok(directory.clone()),
        None => Ok(data_dir()?),
    }
}

fn open_store(args: &WalletArgs) -> Result<WalletStore, Error> {
    let directory = wallet_dir(args)?;
    let passphrase = passphrase::of_wallet(&directory, args.passphrase_file.as_deref())?;
    let mut store = WalletStore::open(&directory, passphrase.as_ref())?;
    if let Some(url) = &args.ledger {
        store.use_ledger_url(url);
    }
    Ok(store)
}

async fn connect_payer(args: &WalletArgs) -> Result<Payer, Error> {
    Ok(Payer::connect(open_store(args)?, clock()).await?)
}

/// All of a file, or of stdin when none is named.
fn read_text(file: Option<&Path>, what: &str) -> Result<String, Error> {
    let failed = |source| Error::Io { action: format!("read {what}"), source };
    let mut text = String::new();
    match file {
        Some(path) => std::fs::File::open(path).and_then(|file| file.take(STDIN_BYTES_MAX).read_to_string(&mut text)),
        None => std::io::stdin().lock().take(STDIN_BYTES_MAX).read_to_string(&mut text),
    }
    .map_err(failed)?;
    Ok(text)
}
