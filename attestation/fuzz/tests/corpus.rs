//! The committed corpus, replayed without the fuzzer: every input that once reached new code, or crashed, still returns.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::Path;

use attestation_fuzz::{TARGETS, target};

#[test]
fn every_committed_input_is_answered() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut seen = BTreeSet::new();
    let mut inputs = 0;
    for folder in std::fs::read_dir(&corpus).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        let target = target(&name).unwrap_or_else(|| panic!("{name} is no target"));
        for input in std::fs::read_dir(folder.path()).unwrap() {
            (target.run)(&std::fs::read(input.unwrap().path()).unwrap());
            inputs += 1;
        }
        seen.insert(name);
    }
    let missing: Vec<&str> = TARGETS.iter().map(|target| target.name).filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "targets without a corpus: {missing:?}");
    assert!(inputs > 300, "{inputs} inputs");
}

/// The corpus holds what the fuzzer made; the captures themselves are its seeds and are answered here too.
#[test]
fn every_target_answers_the_empty_input_and_a_page_of_each_byte() {
    for target in TARGETS {
        (target.run)(&[]);
        for byte in 0..=u8::MAX {
            (target.run)(&[byte; 4096]);
        }
    }
}
