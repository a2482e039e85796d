//! `cloister verify`.

use serde_json::json;
use verifier::{Error, Exit, NodeUrl, verify_node};

use super::{assurance_words, clock, trust};
use crate::cli::Verify;
use crate::output::Output;
use crate::report::Report;

pub(crate) async fn run(args: Verify, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let target: NodeUrl = args.url.parse()?;
    let trust = trust(&args.trust)?;
    report.put("url", json!(target.to_string()));
    let outcome = verify_node(&target, &trust, clock().as_ref(), &mut report.transcript).await;
    // The transcript is the data of this command, whatever the verdict.
    out.transcript(&report.transcript);
    let channel = outcome?;
    let appraisal = channel.appraisal();
    report.put_appraisal(appraisal);
    report.verified("VERIFIED", Some(appraisal.assurance().to_string()));
    out.verdict("VERIFIED", &assurance_words(appraisal, &args.trust));
    Ok(Exit::Ok)
}
