//! `cloister ledger`.

use std::path::{Path, PathBuf};

use credits::audit::LogAudit;
use credits::ledger::{LOG_PAGE_ENTRIES_MAX, Ledger, LedgerError};
use credits::wallet::WalletSeed;
use credits::{Checkpoint, Contradicted, LedgerInfo};
use ledger_client::{LedgerClient, Pins};
use rand_core::{OsRng, RngCore};
use serde_json::json;
use verifier::files::{read_capped, write_private};
use verifier::payment::PaymentError;
use verifier::wallet_store::StoreError;
use verifier::{Error, Exit, ledger_evidence};

use super::witnesses;
use crate::cli::{LedgerAudit, LedgerEvidence};
use crate::output::Output;
use crate::report::Report;

/// Longest stored checkpoint.
const SEEN_BYTES_MAX: u64 = 4096;

pub(crate) async fn audit(args: LedgerAudit, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let info = LedgerClient::discover(&args.url).await.map_err(PaymentError::Connect)?;
    if args.ledger_id.is_some_and(|pinned| pinned != info.ledger_id) {
        return Err(PaymentError::Ledger(LedgerError::IdentityMismatch).into());
    }
    report.put("ledger", json!(info));
    let watched_by = witnesses::named(&args.witnesses)?;
    let seen = args.seen.as_deref().map(read_seen).transpose()?.flatten();
    let evidence = args.seen.as_deref().map(evidence_dir);
    let client = witnesses::connect(&args.url, Pins::from(&info), seen, watched_by.as_ref(), evidence).await?;
    report.put("witnesses", json!(watched_by));
    let audit = replay(&client, &info, out).await?;
    // All of it was seen by witnesses, and not only what it began with.
    client.look_at_witnesses().await.map_err(PaymentError::Ledger)?;
    let newest = client.newest();
    if let (Some(path), Some(newest)) = (&args.seen, &newest) {
        let text = serde_json::to_vec_pretty(newest).map_err(|_| unreadable(path))?;
        write_private(path, &text)?;
    }
    report.put("totals", json!(audit.totals()));
    report.put("checkpoint", json!(newest));
    tell(&audit, &info, out);
    out.verdict("PASSED", "every entry follows from those before it");
    report.verified("PASSED", None);
    Ok(Exit::Ok)
}

async fn replay(client: &LedgerClient, info: &LedgerInfo, out: Output) -> Result<LogAudit, Error> {
    let verifying = client.verifying_key().await.map_err(PaymentError::Ledger)?;
    let merging = client.merge_verifying_key().await.map_err(PaymentError::Ledger)?;
    let mut seed = [0; 32];
    OsRng.try_fill_bytes(&mut seed).map_err(|_| StoreError::Random)?;
    let mut audit = LogAudit::new(info, verifying, merging, WalletSeed::from_bytes(seed));
    let spinner = out.spinner("replaying the log");
    let replayed = loop {
        let page = match client.log(audit.next_entry(), LOG_PAGE_ENTRIES_MAX).await {
            Ok(page) => page,
            Err(error) => break Err(PaymentError::Ledger(error).into()),
        };
        match audit.apply_page(&page, &mut OsRng) {
            Ok(progress) if progress.remaining == 0 => break Ok(audit),
            Ok(progress) => {
                spinner.set_message(format!(
                    "replaying the log: {} entries, {} left",
                    progress.next_entry, progress.remaining
                ));
            }
            Err(fault) => break Err(fault.into()),
        }
    };
    spinner.finish_and_clear();
    replayed
}

fn tell(audit: &LogAudit, info: &LedgerInfo, out: Output) {
    let totals = audit.totals();
    out.line(&format!("ledger    {}", info.ledger_id));
    out.line(&format!("entries   {}, notes {}, vouchers {}", totals.entries, totals.notes, totals.vouchers));
    let (settled, own, void) = (totals.settled, totals.settled_by_ledger, totals.voided);
    out.line(&format!(
        "spends    {}: settled {settled}, by the ledger {own}, void {void}, open {}",
        totals.spends, totals.open
    ));
    out.line(&format!("merges    {}", totals.merges));
    out.line(&format!("minted    {}", totals.minted));
    out.line(&format!("charged   {}", totals.charged));
    out.line(&format!("claimed   {}", totals.claimed));
    out.line(&format!("staked    {}, lost {} times, burnt {}", totals.staked, totals.slashes, totals.burnt));
    out.line(&format!("ratings   {}", totals.ratings));
    for (payee, sums) in &totals.payees {
        out.line(&format!("  {payee}  charged {}, claimed {}, owed {}", sums.charged, sums.claimed, sums.owed));
        if !sums.staked.is_zero() || sums.slashes > 0 {
            out.line(&format!("    staked {}, lost {} times", sums.staked, sums.slashes));
        }
        if let Some(score) = sums.score_hundredths() {
            out.line(&format!("    rated {}.{:02} of 5 by {} tabs", score / 100, score % 100, sums.ratings));
        }
    }
    out.line(&format!("reserved  {}", totals.reserved));
}

/// Where what the ledger signed against itself is kept: beside the file that has what was seen.
fn evidence_dir(seen: &Path) -> PathBuf {
    let mut name = seen.as_os_str().to_owned();
    name.push(".evidence");
    name.into()
}

pub(crate) fn evidence(args: &LedgerEvidence, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let Some(evidence) = ledger_evidence::read(&args.evidence)? else {
        let message = format!("{} is no evidence against a ledger", args.evidence.display());
        return Err(Error::Choice { code: "evidence.malformed", message });
    };
    if args.ledger_key != evidence.ledger_key {
        let message = format!("it accuses the ledger whose key is {}", evidence.ledger_key);
        return Err(Error::Choice { code: "evidence.other_ledger", message });
    }
    report.put("ledger_key", json!(evidence.ledger_key));
    report.put("ledger_id", json!(evidence.seen.ledger_id));
    report.put("seen", json!(evidence.seen));
    report.put("shown", json!(evidence.shown));
    let judged = evidence.judge()?;
    let (kind, what, exit) = match judged {
        Contradicted::Fork => ("fork", "the ledger signed two logs".to_owned(), Exit::Ok),
        Contradicted::Rollback => {
            ("rollback", "the ledger showed a state long after a larger one".to_owned(), Exit::Ok)
        }
        Contradicted::ProofOwed { from, to } => (
            "proof_owed",
            format!(
                "both are the ledger's; it is guilty if it cannot prove that its log of {to} entries continues that of {from}"
            ),
            Exit::Unsupported,
        ),
    };
    report.put("contradiction", json!(kind));
    out.line(&format!("ledger    {}, key {}", evidence.seen.ledger_id, evidence.ledger_key));
    for (name, checkpoint) in [("seen", &evidence.seen), ("shown", &evidence.shown)] {
        let (size, notes, time) = (checkpoint.log_size, checkpoint.note_count, checkpoint.time);
        out.line(&format!("{name:<9} {size} entries, root {}, {notes} notes, signed at {time}", checkpoint.log_root));
    }
    let verdict = if exit == Exit::Ok { "PROVEN" } else { "UNDECIDED" };
    out.verdict(verdict, &what);
    report.verified(verdict, None);
    Ok(exit)
}

/// The checkpoint in a file, if there is one yet.
fn read_seen(path: &Path) -> Result<Option<Checkpoint>, Error> {
    let bytes = match read_capped(path, SEEN_BYTES_MAX) {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other?,
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| unreadable(path))
}

fn unreadable(path: &Path) -> Error {
    Error::Choice { code: "ledger.seen", message: format!("{} holds no checkpoint", path.display()) }
}
