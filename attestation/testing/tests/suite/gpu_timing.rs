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

/// One bare P-384 verification of a certificate-sized message.
fn one_signature() -> Duration {
    let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let message = [7_u8; 600];
    let signature = key.sign(&SystemRandom::new(), &message).unwrap();
    let public = UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, key.public_key().as_ref().to_vec());
    median(|| public.verify(&message, signature.as_ref()).unwrap())
}

fn report(name: &str, signatures: u32, mut case: Case) {
    assert_eq!(code(&case.appraise()), "ok");
    let remembered = median(|| drop(case.appraise().unwrap()));
    let fresh = median(|| {
        case.cache = GpuCache::default();
        case.appraise().unwrap();
    });
    let one = one_signature();
    let ratio = |time: Duration, count: u32| time.as_secs_f64() / (one * count).as_secs_f64();
    println!(
        "{name}: one signature {one:?}; fresh {fresh:?} = {:.3} x {signatures}; remembered {remembered:?} = {:.3} x 1",
        ratio(fresh, signatures),
        ratio(remembered, 1),
    );
}

#[test]
#[ignore = "prints times; run it optimised"]
fn measure_gpu_appraisals() {
    let captured = || entries("nvidia/real/h100-pcie-545.00-FULL").remove(0).case(parse_policy(CAPTURED_POLICY));
    // Four of the device chain, the report, and for each manifest three of its chain and its own.
    report("captured H100, two manifests", 4 + 1 + 2 * 4, captured());
    report("strict, with OCSP", 4 + 1 + 2 * 4 + 6, Case::of(&accepted()));
    let mut waived = Case::of(&accepted());
    waived.endorsements.ocsp.clear();
    let policy = with_item(STRICT_POLICY, "gpu.revocation.device_ocsp", "\"unchecked\"");
    waived.policy = parse_policy(&with_item(&policy, "gpu.revocation.rim_ocsp", "\"unchecked\""));
    report("strict, OCSP waived", 4 + 1 + 2 * 4, waived);
}
