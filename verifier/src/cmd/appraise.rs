//! `cloister appraise`: evidence from files, a verdict, and what is needed to repeat it.

use std::path::Path;

use attestation::{
    APPRAISAL_BUNDLE_BYTES_MAX, APPRAISAL_BUNDLE_VERSION, AppraisalBundle, AppraisalPolicy, AttestationResult, Base64,
    Rejection, StoredVerdict, UnixTime, VerifierKey, sign_ear,
};
use serde_json::json;
use verifier::appraisal::{AppraisalError, Inputs, judge, load_evidence};
use verifier::clock::{format_time, parse_time};
use verifier::config::{ConfigError, FILE_BYTES_MAX, fill_policy, load_policy_text, named_roots, roots_of};
use verifier::files::{read_capped, write_private};
use verifier::{Error, Exit, Trust};

use super::clock;
use crate::cli::{Appraise, VerdictFormat};
use crate::output::Output;
use crate::report::Report;

/// Everything a verdict follows from.
struct Question {
    bundle: AppraisalBundle,
    trust: Trust,
    at: UnixTime,
    /// The verdict a replayed bundle carries.
    stored: Option<StoredVerdict>,
}

pub(crate) fn run(args: &Appraise, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let key = args.ear_key.as_deref().map(|path| verifier_key(path, out)).transpose()?;
    let mut question = ask(args)?;
    let outcome = judge(&question.bundle.evidence, &question.trust, question.at, &mut report.transcript);
    question.bundle.appraised_at = question.at;
    question.bundle.verdict = StoredVerdict {
        accepted: outcome.is_ok(),
        code: outcome.as_ref().err().map(|rejection| rejection.code().to_owned()),
    };
    if let Some(path) = &args.bundle {
        write_private(path, &question.bundle.to_json())?;
        out.say(&format!("bundle written to {}", path.display()));
    }
    report.put("judged_at", json!(question.at));
    if let Some(stored) = &question.stored {
        let same = *stored == question.bundle.verdict;
        report.put("stored_verdict", json!({"accepted": stored.accepted, "code": stored.code, "same": same}));
        if !same {
            out.say(
                "note: this is not the verdict the bundle carries; time, roots or policy differ, or the bundle lies",
            );
        }
    }
    tell(args, key.as_ref(), question.at, outcome, out, report)
}

/// Reads what was named: files, or a bundle with whatever replaces its parts.
fn ask(args: &Appraise) -> Result<Question, Error> {
    let roots = named_roots(&args.root)?;
    if let Some(path) = &args.replay {
        return ask_again(args, path, roots);
    }
    let (policy_text, policy) = load_policy_text(args.policy.as_deref())?;
    let at = judging_time(args.at.as_deref(), clock().now())?;
    let (reference_values, policy) = fill_policy(policy, &args.reference_values, at)?;
    let trust = Trust { roots: roots_of(&roots)?, policy };
    let inputs = Inputs {
        evidence: args.evidence.clone(),
        endorsements: args.endorsements.clone(),
        named_roots: roots.clone(),
        report_data: args.report_data,
        nonce: args.nonce.clone(),
    };
    let bundle = AppraisalBundle {
        version: APPRAISAL_BUNDLE_VERSION.to_owned(),
        evidence: load_evidence(&inputs)?,
        roots: roots.into_iter().map(Base64).collect(),
        policy: policy_text,
        reference_values: reference_values.into_iter().map(Base64).collect(),
        appraised_at: at,
        verdict: StoredVerdict { accepted: false, code: None },
    };
    Ok(Question { bundle, trust, at, stored: None })
}

/// A bundle, with whatever replaces its parts.
fn ask_again(args: &Appraise, path: &Path, roots: Vec<Vec<u8>>) -> Result<Question, Error> {
    let mut bundle =
        AppraisalBundle::from_json(&read_capped(path, APPRAISAL_BUNDLE_BYTES_MAX)?).map_err(AppraisalError::from)?;
    let (roots_then, policy_then) = bundle.trust().map_err(AppraisalError::from)?;
    let mut trust = Trust { roots: roots_then, policy: policy_then };
    // What a bundle says about its own policy and time is the writer's word: nobody signs for that.
    let own_words = args.policy.is_none() || args.at.is_none();
    if own_words && args.ear_key.is_some() {
        let message = "a replayed bundle is signed for only under your own --policy and --at".to_owned();
        return Err(Error::Choice { code: "choice.replay_signed", message });
    }
    if args.ear_key.is_some() {
        // So are the nonce and the REPORT_DATA it says were expected: what is signed lists them as not shown.
        bundle.evidence.forget_expectations();
    }
    if !roots.is_empty() {
        trust.roots = roots_of(&roots)?;
        bundle.roots = roots.into_iter().map(Base64).collect();
    }
    let at = judging_time(args.at.as_deref(), bundle.appraised_at)?;
    if args.policy.is_some() || !args.reference_values.is_empty() {
        // A policy and its reference values go together: those a bundle carries were chosen by its writer.
        let policy = match args.policy.as_deref() {
            Some(path) => {
                let (text, policy) = load_policy_text(Some(path))?;
                bundle.policy = text;
                policy
            }
            None => AppraisalPolicy::from_toml(&bundle.policy)
                .map_err(|source| ConfigError::Policy { path: path.to_owned(), source })?,
        };
        let (reference_values, policy) = fill_policy(policy, &args.reference_values, at)?;
        bundle.reference_values = reference_values.into_iter().map(Base64).collect();
        trust.policy = policy;
    }
    let stored = Some(bundle.verdict.clone());
    Ok(Question { bundle, trust, at, stored })
}

fn tell(
    args: &Appraise,
    key: Option<&VerifierKey>,
    at: UnixTime,
    outcome: Result<AttestationResult, Rejection>,
    out: Output,
    report: &mut Report,
) -> Result<Exit, Error> {
    if let Some(key) = key {
        let token = sign_ear(outcome.as_ref(), at, clock().now(), key);
        report.put("ear", json!(token));
        if args.format == VerdictFormat::Ear {
            out.line(&token);
        }
    }
    let words = args.format == VerdictFormat::Text;
    if words {
        out.transcript(&report.transcript);
    }
    let result = outcome.map_err(AppraisalError::Rejected)?;
    report.put("result", json!(result));
    report.verified("ACCEPTED", Some(result.assurance().to_string()));
    if words {
        for claim in result.claims() {
            let value = claim.value.as_str().map_or_else(|| claim.value.to_string(), str::to_owned);
            out.line(&format!(
                "claim {:<33} {value}  ({})",
                claim.name,
                json!(claim.source).as_str().unwrap_or_default()
            ));
        }
        let unchecked = result.unchecked().len();
        let whose = match (args.replay.is_some(), args.policy.is_some(), args.at.is_some()) {
            (false, ..) | (true, true, true) => "",
            (true, false, true) => "; the policy is the bundle's own",
            (true, true, false) => "; the time is the bundle's own",
            (true, false, false) => "; policy and time are the bundle's own",
        };
        out.verdict(
            "ACCEPTED",
            &format!(
                "assurance: {}, policy {}, judged at {}, {unchecked} items unchecked, bound to no channel{whose}",
                result.assurance(),
                result.policy(),
                format_time(at)
            ),
        );
    }
    Ok(Exit::Ok)
}

/// The verifier's signing key: 64 hex characters in a file of the owner's, made when it is not there.
fn verifier_key(path: &Path, out: Output) -> Result<VerifierKey, Error> {
    let bad = |detail: &str| Error::Choice {
        code: "choice.ear_key",
        message: format!("{} is not a verifier key: {detail}", path.display()),
    };
    let seed = match read_capped(path, FILE_BYTES_MAX) {
        Ok(bytes) => {
            let mut seed = zeroize::Zeroizing::new([0_u8; 32]);
            hex::decode_to_slice(bytes.trim_ascii(), seed.as_mut()).map_err(|_| bad("not 64 hex characters"))?;
            seed
        }
        Err(error) if error.is_not_found() => {
            let seed = VerifierKey::fresh_seed().map_err(|_| bad("no randomness to make one"))?;
            write_private(path, zeroize::Zeroizing::new(hex::encode(seed.as_slice())).as_bytes())?;
            out.say(&format!("made a verifier key at {}", path.display()));
            seed
        }
        Err(error) => return Err(error.into()),
    };
    let key = VerifierKey::from_seed(&seed).map_err(|_| bad("refused"))?;
    out.say(&format!("verifier key: {}", key.public_jwk()));
    Ok(key)
}

fn judging_time(at: Option<&str>, otherwise: UnixTime) -> Result<UnixTime, Error> {
    match at {
        None => Ok(otherwise),
        Some("now") => Ok(clock().now()),
        Some(text) => parse_time(text).ok_or_else(|| super::bad_time(text)),
    }
}
