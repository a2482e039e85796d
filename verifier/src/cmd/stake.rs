//! `cloister stake` and `cloister wallet rate`.

use attestation::UnixTime;
use credits::stake::StakeAct;
use credits::{Bond, Bytes32, Nullifier};
use serde_json::json;
use verifier::clock::format_time;
use verifier::files::read_capped;
use verifier::standing::{EVIDENCE_BYTES_MAX, KeptEvidence, kept_evidence};
use verifier::{Error, Exit, NodeUrl, Payer, WalletStore, open_session};

use super::withdraw::{credits, read_payee_key};
use super::{assurance_words, clock, connect_payer, trust};
use crate::cli::{StakeAccuse, StakeBack, StakePut, StakeShow, StakeTake, WalletRate};
use crate::output::Output;
use crate::report::Report;

const DAY_SECS: u64 = 24 * 3600;

pub(crate) async fn put(args: StakePut, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let (key, amount) = (read_payee_key(&args.by.payee_key)?, credits(args.amount)?);
    let mut payer = connect_payer(&args.by.wallet).await?;
    payer.stake(&key, StakeAct::Put { amount }).await?;
    out.say(&format!("{amount} credits put at stake; back a node with them: cloister stake back"));
    show_bond(&mut payer, &key.public(), out, report).await
}

pub(crate) async fn back(args: StakeBack, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let key = read_payee_key(&args.by.payee_key)?;
    let target: NodeUrl = args.url.parse()?;
    let trust = trust(&args.trust)?;
    let mut payer = connect_payer(&args.by.wallet).await?;
    let session = open_session(&target, &trust, &clock(), &mut report.transcript).await?;
    report.put_appraisal(session.appraisal());
    report.verified("VERIFIED", Some(session.appraisal().assurance().to_string()));
    out.say(&format!("VERIFIED  {}, {}", assurance_words(session.appraisal(), &args.trust), report.summary()));
    let until = clock().now().0.saturating_add(args.days.saturating_mul(DAY_SECS));
    let context = session.spend_context(until);
    if context.payee != key.public() {
        let message = format!("the node's earnings are for payee {}; only that one can answer for it", context.payee);
        return Err(Error::Choice { code: "stake.payee", message });
    }
    payer.stake(&key, StakeAct::Back { settle_key: context.settle_key, until }).await?;
    out.say(&format!("the stake answers for {target} until {}", format_time(UnixTime(until))));
    show_bond(&mut payer, &key.public(), out, report).await
}

pub(crate) async fn take(args: StakeTake, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let key = read_payee_key(&args.by.payee_key)?;
    let mut payer = connect_payer(&args.by.wallet).await?;
    payer.stake(&key, StakeAct::Take {}).await?;
    out.say("taken back; it can be claimed: cloister wallet claim");
    show_bond(&mut payer, &key.public(), out, report).await
}

pub(crate) async fn show(args: StakeShow, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let mut payer = connect_payer(&args.wallet).await?;
    show_bond(&mut payer, &args.payee, out, report).await
}

/// Says what the log says of a stake.
async fn show_bond(payer: &mut Payer, payee: &Bytes32, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let spinner = out.spinner("reading the ledger");
    let synced = payer.sync().await;
    spinner.finish_and_clear();
    synced?;
    let Bond { amount, backed, acts, slashed, .. } = payer.store().wallet().bond(payee);
    let slashed = slashed.map(|(_, entry_index)| entry_index);
    report.put("payee", json!(payee));
    report.put("staked", json!(amount));
    report.put("acts", json!(acts));
    report.put("backed", json!(backed));
    report.put("slashed_at_entry", json!(slashed));
    out.line(&format!("staked  {amount}"));
    let now = clock().now().0;
    for backing in backed {
        let ended = if backing.until < now { " (past)" } else { "" };
        out.line(&format!("key {}  until {}{ended}", backing.settle_key, format_time(UnixTime(backing.until))));
    }
    if let Some(entry) = slashed {
        out.line(&format!("a stake was lost: log entry {entry}"));
    }
    Ok(Exit::Ok)
}

pub(crate) async fn accuse(args: StakeAccuse, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let reporter = read_payee_key(&args.payee_key)?.public();
    let bytes = read_capped(&args.evidence, EVIDENCE_BYTES_MAX)?;
    let kept: KeptEvidence = serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("{} is no evidence: {error}", args.evidence.display());
        Error::Choice { code: "stake.evidence", message }
    })?;
    let payer = connect_payer(&args.wallet).await?;
    let (fault, entry) = payer.accuse(kept, reporter).await?;
    report.put("fault", json!(fault));
    report.put("lost", json!(entry.amount));
    report.put("reward", json!(entry.reward));
    out.say(&format!("{} credits at stake are lost; the reward can be claimed: cloister wallet claim", entry.amount));
    out.line(&format!("reward  {}", entry.reward));
    out.say("the ledger's log has the evidence now; nobody needs the file any more");
    Ok(Exit::Ok)
}

/// Tells of the nodes that charged more than they billed, as long as the wallet holds the evidence.
pub(super) fn tell_evidence(store: &WalletStore, out: Output, report: &mut Report) {
    let files = kept_evidence(store);
    for file in &files {
        let file = file.display();
        out.say(&format!(
            "a node charged more than it billed; the evidence is in {file}: cloister stake accuse {file}"
        ));
    }
    report.put("evidence", json!(files));
}

pub(crate) async fn rate(args: WalletRate, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let tab: Nullifier = args.tab.parse().map_err(|_| Error::Choice {
        code: "choice.tab",
        message: format!("{:?} is no tab; cloister wallet history lists them", args.tab),
    })?;
    let mut payer = connect_payer(&args.wallet).await?;
    payer.rate(tab, args.score).await?;
    report.put("tab", json!(tab));
    report.put("score", json!(args.score));
    out.say(&format!("rated {}", args.score));
    Ok(Exit::Ok)
}
