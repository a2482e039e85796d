//! Releases made here, one fault at a time: each fault has its code, and each code has a fault.

mod draft;
mod faults;
mod history;

use attestation::Transcript;

use super::{dsse, verify};
use draft::{Draft, Log, trust};

#[test]
fn a_release_is_accepted_and_says_what_was_checked() {
    let mut log = Log::new();
    for version in ["0.9.0", "1.0.0", "1.0.1"] {
        let bundle = Draft::new(version).log(&mut log);
        let mut transcript = Transcript::new();
        let release = verify(&bundle, &trust(), &mut transcript).unwrap();
        assert_eq!((release.entry().version.to_string().as_str(), release.head().size), (version, log.size()));
        let ids: Vec<_> = transcript.checks.iter().map(|check| check.id).collect();
        assert_eq!(ids[..3], ["release.checkpoint", "release.inclusion", "release.entry"]);
        assert_eq!(ids.len(), 11);
        assert!(transcript.checks.iter().all(|check| check.outcome == attestation::Outcome::Pass));
        let text = bundle.to_json();
        assert_eq!(super::ReleaseBundle::from_json(&text).unwrap(), bundle);
    }
}

/// The example of the DSSE specification (protocol.md, "PAE definition").
#[test]
fn the_preauthentication_encoding_is_that_of_the_specification() {
    let encoded = dsse::pae("http://example.com/HelloWorld", b"hello world");
    assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    assert_eq!(dsse::pae("", b""), b"DSSEv1 0  0 ");
}
