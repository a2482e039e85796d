//! `cloister wallet witnesses`, and witnesses of a ledger that other commands name.

use std::path::PathBuf;

use credits::Checkpoint;
use ledger_client::{Known, LedgerClient, Pins, Watch};
use serde_json::json;
use tlog::Quorum;
use verifier::payment::PaymentError;
use verifier::{Error, Exit, ledger_evidence};

use super::{clock, open_store};
use crate::cli::{LedgerWitnesses, WalletArgs, WalletWitnesses};
use crate::output::Output;
use crate::report::Report;

/// The witnesses that were named, if any.
pub(super) fn named(args: &LedgerWitnesses) -> Result<Option<Quorum>, Error> {
    if args.witness.is_empty() {
        return Ok(None);
    }
    let needed = args.witnesses_needed.unwrap_or_else(|| Quorum::majority(args.witness.len()));
    let refused = |message: String| Error::Choice { code: "choice.witnesses", message };
    Quorum::new(args.witness.clone(), needed).map(Some).map_err(|fault| refused(fault.to_string()))
}

/// A ledger whose state these witnesses say to be the newest, if any are named. What it signed against itself goes into the directory.
pub(super) async fn connect(
    url: &str,
    pins: Pins,
    seen: Option<Checkpoint>,
    witnesses: Option<&Quorum>,
    evidence: Option<PathBuf>,
) -> Result<LedgerClient, Error> {
    let watch = witnesses.map(|quorum| Watch::new(quorum.clone(), clock()));
    let known = Known { seen, watch, evidence: evidence.map(ledger_evidence::sink) };
    Ok(LedgerClient::connect_known(url, pins, known).await.map_err(PaymentError::Connect)?)
}

/// Shows or changes them.
pub(crate) async fn set(args: WalletWitnesses, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let chosen = named(&args.witnesses)?;
    // What is stored with them is the address that the wallet remembers.
    let mut store = open_store(&WalletArgs { ledger: None, ..args.wallet })?;
    if chosen.is_some() || args.none {
        let known = store.ledger();
        let url = args.wallet.ledger.as_ref().unwrap_or(&known.url);
        if chosen.is_some() {
            let seen = store.wallet().state().newest_seen().cloned();
            let evidence = Some(store.ledger_evidence_dir());
            connect(url, Pins::from(&known.info), seen, chosen.as_ref(), evidence).await?;
        }
        store.set_witnesses(chosen)?;
    }
    match &store.ledger().witnesses {
        Some(quorum) => {
            out.line(&format!("{} of these must have cosigned the ledger's log:", quorum.needed()));
            quorum.witnesses().iter().for_each(|witness| out.line(&witness.to_string()));
        }
        None => out.line("none: only what this wallet has seen shows that the ledger was not put back"),
    }
    report.put("witnesses", json!(store.ledger().witnesses));
    Ok(Exit::Ok)
}
