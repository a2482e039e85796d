//! `cloister receipt`.

use std::collections::HashSet;
use std::path::Path;

use attestation::{Receipt, Transcript, UnixTime};
use serde_json::json;
use verifier::bundle::{BUNDLE_BYTES_MAX, BundleVerdict, Judged};
use verifier::clock::{format_time, parse_time};
use verifier::config::ConfigError;
use verifier::files::read_capped;
use verifier::receipts::CheckedReceipt;
use verifier::{Error, Exit, Logged, NodeUrl, ReceiptBundle, Trust, WitnessTrust, open_session};

use super::{clock, trust_at};
use crate::cli::{ReceiptAudit, ReceiptShow, ReceiptVerify};
use crate::output::Output;
use crate::report::Report;

/// Largest body file compared with a receipt.
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

pub(crate) fn verify(args: &ReceiptVerify, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let bundle = read_bundle(&args.file)?;
    let at = judging_time(args.at.as_deref(), &bundle)?;
    let trust = match trust_at(&args.trust, at) {
        Ok(trust) => Some(trust),
        // Without a policy the rest is still worth checking; the verdict says what is missing.
        Err(Error::Config(ConfigError::NoPolicy { .. } | ConfigError::NoHome { .. })) => None,
        Err(error) => return Err(error),
    };
    let outcome = judge(args, &bundle, trust.as_ref(), at, report);
    out.transcript(&report.transcript);
    let verdict = outcome?;
    match &verdict.judged {
        Judged::Served(checked) => put_receipt(checked, Some(&args.file), report),
        Judged::Refused(receipt) => put_refusal(receipt, Some(&args.file), report),
    }
    report.put("judged_at", json!(at.0));
    // Another word: nobody who looks for the receipt of an answer must take this for one.
    let word = if matches!(verdict.judged, Judged::Refused(_)) { "REFUSAL" } else { "VERIFIED" };
    let receipt = &verdict.judged.receipt().receipt_id;
    match verdict.assurance {
        Some(assurance) => {
            report.verified(word, Some(assurance.to_string()));
            out.verdict(word, &format!("assurance: {assurance}, receipt {receipt}, judged at {}", format_time(at)));
            Ok(Exit::Ok)
        }
        None => {
            report.verified("UNANCHORED", None);
            out.verdict(
                "UNANCHORED",
                &format!("receipt {receipt} is consistent, but nothing ties its key to a machine"),
            );
            out.say("hint: name a policy with --policy FILE, and a root with --root FILE if the machine is simulated");
            Ok(Exit::Unsupported)
        }
    }
}

fn judge(
    args: &ReceiptVerify,
    bundle: &ReceiptBundle,
    trust: Option<&Trust>,
    at: UnixTime,
    report: &mut Report,
) -> Result<BundleVerdict, Error> {
    let body =
        |path: &Option<std::path::PathBuf>| path.as_deref().map(|path| read_capped(path, BODY_BYTES_MAX)).transpose();
    let (request, response) = (body(&args.request_body)?, body(&args.response_body)?);
    let verdict = bundle.verify(trust.map(|trust| (trust, at)), &mut report.transcript)?;
    bundle.check_bodies(request.as_deref(), response.as_deref(), &mut report.transcript)?;
    let keys = args.witnesses.witness.clone();
    let needed = args.witnesses.witnesses_needed.unwrap_or(keys.len());
    let distinct: HashSet<_> = keys.iter().map(|witness| witness.key().0).collect();
    if needed > keys.len() || distinct.len() < keys.len() || (needed == 0 && !keys.is_empty()) {
        let message = "name each witness once, and as many as are needed".to_owned();
        return Err(Error::Choice { code: "choice.witnesses", message });
    }
    if let Some(logged) = bundle.check_log(&WitnessTrust { keys, needed }, &mut report.transcript)? {
        put_logged(&logged, report);
    }
    Ok(verdict)
}

/// Whether a node's log holds what these receipts saw of it.
pub(crate) async fn audit(args: ReceiptAudit, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let target: NodeUrl = args.url.parse()?;
    let now = clock();
    let trust = trust_at(&args.trust, now.now())?;
    let session = open_session(&target, &trust, &now, &mut report.transcript).await?;
    report.put_appraisal(session.appraisal());
    let mut checked = 0_u32;
    let mut entries = 0;
    for file in &args.files {
        let bundle = read_bundle(file)?;
        let at = bundle.receipt.served_at;
        bundle.verify(Some((&trust_at(&args.trust, at)?, at)), &mut Transcript::default())?;
        let Some(logged) = bundle.check_log(&WitnessTrust::default(), &mut Transcript::default())? else {
            report.transcript.skip("log.growth", format!("{}: no proof is stored with it", file.display()));
            continue;
        };
        let grown = session.check_log_grew(&logged, &mut report.transcript).await;
        if grown.is_err() {
            out.transcript(&report.transcript);
        }
        entries = grown?.size;
        checked = checked.saturating_add(1);
    }
    out.transcript(&report.transcript);
    report.put("checked", json!(checked));
    report.put("entries", json!(entries));
    if checked == 0 {
        let message = "none of these receipts has a proof of the log; the node kept none, or was not asked".to_owned();
        return Err(Error::Choice { code: "choice.no_log_proof", message });
    }
    report.verified("VERIFIED", Some(session.appraisal().assurance().to_string()));
    out.verdict("VERIFIED", &format!("the log holds what {checked} receipts saw of it, and has {entries} entries now"));
    Ok(Exit::Ok)
}

/// Where a receipt is in its node's log.
pub(crate) fn put_logged(logged: &Logged, report: &mut Report) {
    let witnesses: Vec<_> = logged.witnesses.iter().map(|(name, time)| json!({"name": name, "time": time})).collect();
    report.put(
        "log",
        json!({"origin": logged.origin, "index": logged.index, "size": logged.head.size, "witnesses": witnesses}),
    );
}

/// The default is the time the receipt itself states: certificates and keysets have ended when a receipt is old, and what is asked
/// is whether they were good then. The statement is the signer's own; `--at` judges by another.
fn judging_time(at: Option<&str>, bundle: &ReceiptBundle) -> Result<UnixTime, Error> {
    match at {
        None => Ok(bundle.receipt.served_at),
        Some("now") => Ok(clock().now()),
        Some(text) => parse_time(text).ok_or_else(|| super::bad_time(text)),
    }
}

pub(crate) fn show(args: &ReceiptShow, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let bundle = read_bundle(&args.file)?;
    report.verified("NOT_VERIFIED", None);
    report.put("receipt", json!(bundle.receipt));
    out.line(&format!("receipt   {}  (not verified: cloister receipt verify FILE)", bundle.receipt.receipt_id));
    out.line(&format!(
        "served    {}  {} {}",
        format_time(bundle.receipt.served_at),
        bundle.receipt.method,
        bundle.receipt.endpoint
    ));
    out.line(&format!("model     {}", bundle.receipt.model.as_deref().unwrap_or("-")));
    out.line(&format!("keyset    {}", bundle.receipt.workload_keyset_digest));
    out.line(&format!("tab       {}  reserve {}", bundle.tab.id, bundle.tab.reserve));
    for event in &bundle.receipt.event_log {
        out.line(&format!("event     {}", json!(event)));
    }
    Ok(Exit::Ok)
}

/// What a verified receipt says, and where it is kept.
pub(crate) fn put_receipt(checked: &CheckedReceipt, file: Option<&Path>, report: &mut Report) {
    let (receipt, usage) = (&checked.receipt, &checked.usage);
    let file = file.map(|file| file.display().to_string());
    report.put("receipt", json!({"id": receipt.receipt_id, "served_at": receipt.served_at, "file": file}));
    report.put(
        "usage",
        json!({
            "model": usage.model,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "outcome": usage.outcome,
            "cost": usage.cost,
            "running_total": usage.running_total,
        }),
    );
}

/// That a call was refused, and where the receipt that says so is kept.
pub(crate) fn put_refusal(receipt: &Receipt, file: Option<&Path>, report: &mut Report) {
    let file = file.map(|file| file.display().to_string());
    report.put("receipt", json!({"id": receipt.receipt_id, "served_at": receipt.served_at, "file": file}));
    report.put("refused", json!(true));
}

fn read_bundle(path: &Path) -> Result<ReceiptBundle, Error> {
    let limit = u64::try_from(BUNDLE_BYTES_MAX).unwrap_or(u64::MAX);
    Ok(ReceiptBundle::from_json(&read_capped(path, limit)?)?)
}
