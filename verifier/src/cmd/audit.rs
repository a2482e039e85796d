//! `cloister audit`.

use attestation::Rejection;
use serde_json::json;
use verifier::audit::{
    Audit as Comparison, Image, compare_node, compare_offer, measured_of_claims, measured_of_rejection,
};
use verifier::verify::VerifyError;
use verifier::{Error, Exit, NodeUrl, Session, verify_node};

use super::{assurance_words, clock, trust};
use crate::cli::Audit;
use crate::output::Output;
use crate::report::Report;

pub(crate) async fn run(args: Audit, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let target: NodeUrl = args.url.parse()?;
    let image = Image::load(&args.image)?;
    let trust = trust(&args.trust)?;
    report.put("url", json!(target.to_string()));
    let outcome = verify_node(&target, &trust, clock().as_ref(), &mut report.transcript).await;
    out.transcript(&report.transcript);
    let channel = match outcome {
        Ok(channel) => channel,
        Err(error) => return refused(error, &image, out, report),
    };

    let mut audit = Comparison::default();
    compare_node(&image.manifest, &measured_of_claims(channel.appraisal().result().claims()), &mut audit);
    let session = Session::open(channel, clock()).await?;
    let appraisal = session.appraisal();
    let reference_values = trust.policy.reference_values().iter().map(attestation::VerifiedReferenceValues::values);
    compare_offer(&image.manifest, session.offer(), reference_values, &mut audit);
    image.compare_files(&mut audit);
    tell(&audit, out, report);

    report.put_appraisal(appraisal);
    // That the report names this keyset is part of the verdict above: there is nothing to compare it with.
    out.line(&format!("keyset    {}  (named by the report)", appraisal.keyset_digest()));
    let (word, exit) = match audit.differences() {
        0 => ("EQUAL", Exit::Ok),
        _ => ("DIFFERS", Exit::Rejected),
    };
    report.verified(word, Some(appraisal.assurance().to_string()));
    let detail = format!(
        "{} of {} comparisons differ; {}",
        audit.differences(),
        audit.lines.len(),
        assurance_words(appraisal, &args.trust)
    );
    out.verdict(word, &detail);
    Ok(exit)
}

/// A node whose genuine report names another launch still says what it was launched from.
fn refused(error: Error, image: &Image, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let rejection: Option<&Rejection> = match &error {
        Error::Verify(VerifyError::Rejected(rejection)) => Some(rejection),
        _ => None,
    };
    if let Some(measured) = rejection.and_then(measured_of_rejection) {
        let mut audit = Comparison::default();
        compare_node(&image.manifest, &measured, &mut audit);
        image.compare_files(&mut audit);
        tell(&audit, out, report);
    }
    Err(error)
}

fn tell(audit: &Comparison, out: Output, report: &mut Report) {
    for line in &audit.lines {
        out.line(&line.to_string());
    }
    report.put("audit", json!(audit));
}
