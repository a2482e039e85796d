//! Every bit of one real report, and every length of it.

use attestation::snp::{self, SnpCache};
use attestation::{Base64, RejectionClass, SnpEndorsements, Transcript, TrustRoots, UnixTime, vendor_certificates};

use crate::support::{CAPTURED_POLICY, entries, parse_policy, unix_time};

/// A version 5 report of a Turin machine, with AMD's certificates and a time at which they are valid.
fn capture() -> (Vec<u8>, SnpEndorsements, UnixTime) {
    let entry = entries("snp/real/").into_iter().find(|entry| entry.name() == "turin-v5-vcek-aci").unwrap();
    let published = vendor_certificates(snp::Product::Turin, snp::SigningKey::Vcek);
    let endorsements = SnpEndorsements {
        vek: Base64(entry.vek().unwrap().0),
        intermediate: Base64(published.intermediate.to_vec()),
        root: Base64(published.root.to_vec()),
        crl: None,
    };
    let from = unix_time(&entry.chain_valid.as_ref().unwrap()[0]);
    (entry.report(), endorsements, from.saturating_add(24 * 3600))
}

#[test]
fn exhaustive_no_bit_of_a_real_report_can_change() {
    let (report, endorsements, at) = capture();
    let (roots, policy, cache) = (TrustRoots::vendor(), parse_policy(CAPTURED_POLICY), SnpCache::default());
    let run = |report: &[u8]| {
        snp::appraise(report, &endorsements, &roots, &policy, at, &cache, &mut Transcript::new()).map(|_| ())
    };
    run(&report).unwrap();
    let mut accepted = Vec::new();
    for bit in 0..report.len() * 8 {
        let mut spoiled = report.clone();
        spoiled[bit / 8] ^= 1 << (bit % 8);
        if run(&spoiled).is_ok() {
            accepted.push(bit);
        }
    }
    assert!(accepted.is_empty(), "accepted with one bit turned: {accepted:?}");
}

#[test]
fn every_other_length_of_a_report_is_malformed() {
    let (report, endorsements, at) = capture();
    let (roots, policy, cache) = (TrustRoots::vendor(), parse_policy(CAPTURED_POLICY), SnpCache::default());
    let mut longer = report.clone();
    longer.push(0);
    let truncated = (0..report.len()).map(|length| &report[..length]);
    for bytes in truncated.chain([longer.as_slice()]) {
        let result = snp::appraise(bytes, &endorsements, &roots, &policy, at, &cache, &mut Transcript::new());
        assert_eq!(result.unwrap_err().class(), RejectionClass::Malformed, "{} bytes", bytes.len());
    }
}

/// A remembered chain answers for the bytes it was verified from, under a root that is still trusted, inside its dates.
#[test]
fn a_warm_cache_decides_as_a_cold_one() {
    let (report, endorsements, at) = capture();
    let (policy, cache) = (parse_policy(CAPTURED_POLICY), SnpCache::default());
    let run = |endorsements: &SnpEndorsements, roots: &TrustRoots, at: UnixTime, cache: &SnpCache| {
        let result = snp::appraise(&report, endorsements, roots, &policy, at, cache, &mut Transcript::new());
        result.map(|claims| claims.claims()).map_err(|rejection| rejection.code())
    };
    let vendor = TrustRoots::vendor();
    let first = run(&endorsements, &vendor, at, &cache).unwrap();
    assert_eq!(run(&endorsements, &vendor, at, &cache).unwrap(), first);
    let milan = vendor_certificates(snp::Product::Milan, snp::SigningKey::Vcek).root;
    let other_root = TrustRoots::named(milan).unwrap();
    let mut other_key = endorsements.clone();
    *other_key.vek.0.last_mut().unwrap() ^= 1;
    for cache in [&cache, &SnpCache::default()] {
        assert_eq!(run(&endorsements, &other_root, at, cache).unwrap_err(), "chain.root_unknown");
        assert_eq!(run(&endorsements, &vendor, UnixTime(0), cache).unwrap_err(), "chain.not_yet_valid");
        assert_eq!(run(&endorsements, &vendor, UnixTime(1 << 40), cache).unwrap_err(), "chain.expired");
        assert_eq!(run(&other_key, &vendor, at, cache).unwrap_err(), "chain.signature");
    }
}
