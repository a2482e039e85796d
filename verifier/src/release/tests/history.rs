//! What was seen before decides what is accepted now.

use std::path::Path;

use attestation::reference::ImageMode;
use attestation::{Outcome, Transcript};

use super::draft::{Draft, Log, trust};
use crate::release::bundle::ReleaseBundle;
use crate::release::verify;
use crate::release::{ReleaseError, SeenReleases};

/// Codes that have their row here.
pub(super) const CODES: &[&str] = &[
    "release.older_than_seen",
    "release.differs_from_seen",
    "release.log_smaller_than_seen",
    "release.log_forked",
    "release.consistency_missing",
    "release.seen_damaged",
];

fn admit(state: &Path, bundle: &ReleaseBundle) -> Result<Transcript, &'static str> {
    let mut transcript = Transcript::new();
    let code = |error: ReleaseError| error.code();
    let release = verify(bundle, &trust(), &mut Transcript::new()).map_err(code)?;
    SeenReleases::open(state).map_err(code)?.admit(&release, &mut transcript).map_err(code)?;
    Ok(transcript)
}

#[test]
fn releases_in_order_are_admitted_and_the_first_is_said_to_be_compared_with_nothing() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("data/seen.json");
    let mut log = Log::new();
    let first = admit(&state, &Draft::new("1.0.0").log(&mut log)).unwrap();
    assert!(first.checks.iter().all(|check| check.outcome == Outcome::Skip));
    // 1.10.0 is newer than 1.9.0: numbers, not text. Several entries may lie between two that are shown.
    for version in ["1.9.0", "1.10.0", "2.0.0"] {
        log.append(b"another release");
        let bundle = Draft::new(version).log(&mut log);
        let seen = admit(&state, &bundle).unwrap();
        assert!(seen.checks.iter().all(|check| check.outcome == Outcome::Pass), "{seen}");
        let again = std::fs::read(&state).unwrap();
        assert!(admit(&state, &bundle).is_ok(), "the same release twice");
        assert_eq!(std::fs::read(&state).unwrap(), again);
    }
}

#[test]
fn an_older_release_is_refused_and_nothing_is_remembered_of_it() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("seen.json");
    let mut log = Log::new();
    let mut old = Draft::new("1.0.0").log(&mut log);
    let new = Draft::new("1.1.0").log(&mut log);
    admit(&state, &new).unwrap();
    let before = std::fs::read(&state).unwrap();
    assert_eq!(admit(&state, &old).unwrap_err(), "release.older_than_seen");
    // Under the newest checkpoint it is as old.
    log.prove(0, &mut old);
    assert_eq!(admit(&state, &old).unwrap_err(), "release.older_than_seen");
    log.append(b"more");
    log.prove(0, &mut old);
    assert_eq!(admit(&state, &old).unwrap_err(), "release.older_than_seen");
    assert_eq!(std::fs::read(&state).unwrap(), before);
    // Another flavour and another mode have their own order.
    let mut other = Draft::new("1.0.0");
    other.entry.mode = ImageMode::Debug;
    let mut manifest = super::draft::manifest("1.0.0");
    manifest.mode = ImageMode::Debug;
    other.replace("manifest.json", manifest.to_json().unwrap());
    other.revalue(super::draft::SIGNER_SEED, |values| values.mode = ImageMode::Debug);
    other.statement["predicate"]["buildDefinition"]["externalParameters"]["mode"] = "debug".into();
    admit(&state, &other.log(&mut log)).unwrap();
    admit(&state, &Draft::new("1.2.0").log(&mut log)).unwrap();
}

#[test]
fn one_version_has_one_content() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("seen.json");
    let mut log = Log::new();
    admit(&state, &Draft::new("1.0.0").log(&mut log)).unwrap();
    let mut other = Draft::new("1.0.0");
    other.entry.released_at.0 += 1;
    other.statement["predicate"]["buildDefinition"]["externalParameters"]["released_at"] =
        other.entry.released_at.0.into();
    assert_eq!(admit(&state, &other.log(&mut log)).unwrap_err(), "release.differs_from_seen");
}

#[test]
fn a_log_only_grows() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("seen.json");
    let mut log = Log::new();
    log.append(b"one");
    let small = Draft::new("1.1.0").log(&mut log);
    log.append(b"three");
    let mut newest = small.clone();
    log.prove(1, &mut newest);
    admit(&state, &newest).unwrap();
    let before = std::fs::read(&state).unwrap();
    assert_eq!(admit(&state, &small).unwrap_err(), "release.log_smaller_than_seen");
    // The same size, other entries.
    let mut fork = Log::new();
    fork.append(b"eins");
    fork.append(b"zwei");
    assert_eq!(admit(&state, &Draft::new("1.2.0").log(&mut fork)).unwrap_err(), "release.log_forked");
    // Longer, other entries: its own proof does not begin at what was seen.
    let forked = Draft::new("1.3.0").log(&mut fork);
    assert_eq!(admit(&state, &forked).unwrap_err(), "release.log_forked");
    // Longer, without a proof of how.
    let mut grown = Draft::new("1.4.0").log(&mut log);
    let proofs = std::mem::take(&mut grown.consistency);
    assert_eq!(admit(&state, &grown).unwrap_err(), "release.consistency_missing");
    grown.consistency = proofs.iter().filter(|growth| growth.from != 3).cloned().collect();
    assert_eq!(admit(&state, &grown).unwrap_err(), "release.consistency_missing");
    grown.consistency.clone_from(&proofs);
    grown.consistency[2].hashes.pop();
    assert_eq!(admit(&state, &grown).unwrap_err(), "release.log_forked");
    assert_eq!(std::fs::read(&state).unwrap(), before, "nothing is remembered of what was refused");
    grown.consistency = proofs;
    admit(&state, &grown).unwrap();
}

#[test]
fn a_record_that_cannot_be_read_is_not_an_empty_one() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("seen.json");
    let mut log = Log::new();
    let bundle = Draft::new("1.0.0").log(&mut log);
    admit(&state, &bundle).unwrap();
    let good = std::fs::read_to_string(&state).unwrap();
    for bad in
        ["", "{}", &good[..good.len() / 2], &good.replace("releases/v1", "releases/v2"), &good.replace("size", "Size")]
    {
        std::fs::write(&state, bad).unwrap();
        assert_eq!(admit(&state, &bundle).unwrap_err(), "release.seen_damaged", "{bad}");
        assert_eq!(std::fs::read_to_string(&state).unwrap(), bad, "it is not written over");
    }
    std::fs::remove_file(&state).unwrap();
    std::fs::create_dir(&state).unwrap();
    assert_eq!(admit(&state, &bundle).unwrap_err(), "file.unusable");
}

/// Two processes at once: the record ends with the newer of both.
#[test]
fn the_record_is_used_by_one_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("seen.json");
    let mut log = Log::new();
    let bundles: Vec<_> = ["1.0.0", "1.1.0", "1.2.0"].map(|version| Draft::new(version).log(&mut log)).into();
    std::thread::scope(|scope| {
        for bundle in &bundles {
            scope.spawn(|| admit(&state, bundle));
        }
    });
    assert_eq!(admit(&state, &bundles[0]).unwrap_err(), "release.older_than_seen");
    assert!(admit(&state, &bundles[2]).is_ok());
}
