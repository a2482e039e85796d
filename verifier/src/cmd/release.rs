//! `cloister release`: is this release the signer's, in the log, and not older than what was seen here.

use std::path::Path;

use attestation::{ReceiptPublicKey, Transcript};
use serde_json::json;
use verifier::config::{FILE_BYTES_MAX, default_reference_values};
use verifier::files::{read_capped, write_private};
use verifier::release::bundle::BUNDLE_BYTES_MAX;
use verifier::release::seen::default_path;
use verifier::release::{LogKey, ReleaseBundle, ReleaseError, ReleaseTrust, SeenReleases, VerifiedRelease};
use verifier::{Error, Exit};

use crate::cli::ReleaseVerify;
use crate::output::Output;
use crate::report::Report;

pub(crate) fn verify(args: &ReleaseVerify, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let trust = ReleaseTrust { log: log_key(&args.log_key)?, signer: signer(&args.signer)? };
    let bundle = ReleaseBundle::from_json(&read_capped(&args.bundle, BUNDLE_BYTES_MAX)?)?;
    let outcome = judge(args, &bundle, &trust, &mut report.transcript);
    out.transcript(&report.transcript);
    let release = outcome?;
    if args.install {
        let place = default_reference_values()?;
        write_private(&place, &bundle.reference_values.0)?;
        out.say(&format!("policies that ask for reference values now take those of this release: {}", place.display()));
        report.put("installed", json!(place));
    }
    let (entry, head) = (release.entry(), release.head());
    report.put("release", json!(entry));
    report.put(
        "log",
        json!({"key": trust.log.to_string(), "size": head.size, "root": head.root, "index": release.index()}),
    );
    report.put("signer", json!(trust.signer));
    report.verified("VERIFIED", None);
    let files = if args.artifacts.is_some() { "" } else { ", no files were compared" };
    out.verdict(
        "VERIFIED",
        &format!("{} {}, entry {} of {}{files}", entry.kind(), entry.version, release.index(), head.size),
    );
    Ok(Exit::Ok)
}

/// What was seen is looked at last and written last: nothing is remembered of a release that failed any check.
fn judge(
    args: &ReleaseVerify,
    bundle: &ReleaseBundle,
    trust: &ReleaseTrust,
    transcript: &mut Transcript,
) -> Result<VerifiedRelease, Error> {
    let release = verifier::release::verify(bundle, trust, transcript)?;
    match &args.artifacts {
        Some(directory) => release.check_artifacts(directory, transcript)?,
        None => transcript.skip("release.artifact", "no directory was named with --artifacts"),
    }
    let state = args.state.clone().map_or_else(default_path, Ok)?;
    SeenReleases::open(&state)?.admit(&release, transcript)?;
    Ok(release)
}

fn log_key(text: &str) -> Result<LogKey, Error> {
    let key = text.parse().or_else(|error| match read_capped(Path::new(text), FILE_BYTES_MAX) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim_end_matches('\n').parse(),
        Err(_) => Err(error),
    });
    Ok(key.map_err(ReleaseError::Log)?)
}

fn signer(text: &str) -> Result<ReceiptPublicKey, Error> {
    let bad = || ReleaseError::Signer { text: text.to_owned() };
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let bytes = read_capped(Path::new(text), FILE_BYTES_MAX).map_err(|_| bad())?;
    let key = String::from_utf8_lossy(&bytes).trim_end_matches('\n').parse();
    Ok(key.map_err(|_| bad())?)
}
