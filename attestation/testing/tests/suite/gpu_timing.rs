//! What an appraisal costs, against the signatures in it. Prints; run it optimised.

use std::time::{Duration, Instant};

use attestation::STRICT_POLICY;
use attestation::gpu::GpuCache;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};

use crate::gpu_support::{Case, accepted};
use crate::gpu_vectors::entries;
use crate::support::{CAPTURED_POLICY, code, parse_policy, with_item};

const ROUNDS: usize = 300;

fn median(mut once: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            once();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

/// `count` bare P-384 verifications of certificate-sized messages, each under another key as in an appraisal.
fn bare(count: u32) -> Duration {
    let signed = |number: u32| {
        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let message = [&number.to_be_bytes()[..], &[7; 596]].concat();
        let signature = key.sign(&SystemRandom::new(), &message).unwrap();
        (UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, key.public_key().as_ref().to_vec()), message, signature)
    };
    let signed: Vec<_> = (0..count).map(signed).collect();
    median(|| signed.iter().for_each(|(key, message, signature)| key.verify(message, signature.as_ref()).unwrap()))
}

fn report(name: &str, signatures: u32, mut case: Case) -> String {
    assert_eq!(code(&case.appraise()), "ok");
    let remembered = median(|| drop(case.appraise().unwrap()));
    let fresh = median(|| {
        case.cache = GpuCache::default();
        case.appraise().unwrap();
    });
    let (all, one) = (bare(signatures), bare(1));
    let ratio = |time: Duration, of: Duration| time.as_secs_f64() / of.as_secs_f64();
    format!(
        "{name}: {signatures} signatures {all:?}, fresh {fresh:?}, ratio {:.3}; 1 signature {one:?}, remembered \
         {remembered:?}, ratio {:.3}",
        ratio(fresh, all),
        ratio(remembered, one),
    )
}

/// Where the rest of the time goes.
fn parts() -> String {
    let case = entries("nvidia/real/h100-pcie-545.00-FULL").remove(0).case(parse_policy(CAPTURED_POLICY));
    let report = &case.evidence[0].report;
    let rim = case.endorsements.driver_rim.as_ref().unwrap();
    let parse = median(|| drop(attestation::gpu::GpuReport::parse(report).unwrap()));
    let manifest = median(|| drop(attestation::gpu::verify_rim(rim, &case.roots, case.now).unwrap()));
    let mut broken = rim.clone();
    let at = broken.iter().position(|byte| *byte == b'f').unwrap();
    broken[at] = b'g';
    let digest = median(|| drop(attestation::gpu::verify_rim(&broken, &case.roots, case.now).unwrap_err()));
    format!("report parsed {parse:?}; manifest verified {manifest:?}, of that up to its digest {digest:?}")
}

#[test]
#[ignore = "prints times; run it optimised"]
fn measure_gpu_appraisals() {
    let captured = || entries("nvidia/real/h100-pcie-545.00-FULL").remove(0).case(parse_policy(CAPTURED_POLICY));
    println!("{}", parts());
    // Four of the device chain, the report, and for each manifest three of its chain and its own.
    println!("{}", report("captured H100, two manifests", 4 + 1 + 2 * 4, captured()));
    println!("{}", report("strict, with OCSP", 4 + 1 + 2 * 4 + 6, Case::of(&accepted())));
    let mut waived = Case::of(&accepted());
    waived.endorsements.ocsp.clear();
    let policy = with_item(STRICT_POLICY, "gpu.revocation.device_ocsp", "\"unchecked\"");
    waived.policy = parse_policy(&with_item(&policy, "gpu.revocation.rim_ocsp", "\"unchecked\""));
    println!("{}", report("strict, OCSP waived", 4 + 1 + 2 * 4, waived));
}
