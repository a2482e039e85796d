//! Speed as ratios to the bare primitive, measured in the same run. Absolute times are printed for orientation only: they say
//! more about the machine and its neighbours than about the code.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench is a program for a terminal"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use attestation::{Product, ReceiptKey, Transcript, TrustRoots};
use attestation_testing::{AcceptedCase, NAME_PREFIX, TestPki};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_SHA384, UnparsedPublicKey,
};

const ROUNDS: usize = 15;

/// Median time of one call.
fn median(rounds: usize, mut work: impl FnMut()) -> Duration {
    work();
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Keeps the compiler from leaving the work out.
fn forget<T>(value: T) {
    let _ = black_box(value);
}

fn report(what: &str, ours: Duration, peer: &str, bare: Duration) {
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    println!(
        "{what:<34} {:>9.3} ms   {ratio:>6.2} x {peer} ({:.3} ms)",
        ours.as_secs_f64() * 1e3,
        bare.as_secs_f64() * 1e3
    );
}

fn main() {
    // `cargo bench` passes flags of its own harness; there is nothing to choose here.
    appraisal();
    receipts();
}

fn appraisal() {
    let pki = TestPki::generate(Product::Genoa, NAME_PREFIX).unwrap();
    let case = AcceptedCase::new(&pki);
    let document = case.document();
    let roots = TrustRoots::named(pki.ark_der()).unwrap();
    let policy = attestation::AppraisalPolicy::from_toml(attestation::DEMO_POLICY).unwrap();
    let appraise = median(ROUNDS, || {
        let mut transcript = Transcript::default();
        forget(attestation::appraise(&document, &roots, &policy, case.now, &mut transcript).unwrap());
    });
    report("appraisal of an SNP document", appraise, "its bare signatures", bare_signatures());
}

/// One P-384 report, and RSA-4096 over root, intermediate, endorsement key and revocation list.
fn bare_signatures() -> Duration {
    let rng = SystemRandom::new();
    let ec = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let rsa = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa4096).unwrap();
    let message = vec![7_u8; 1024];
    let ec_signature = ec.sign(&rng, &message).unwrap();
    let mut rsa_signature = vec![0; rsa.public_modulus_len()];
    rsa.sign(&RSA_PSS_SHA384, &rng, &message, &mut rsa_signature).unwrap();
    let ec_key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, ec.public_key().as_ref().to_vec());
    let rsa_key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, rsa.public_key().as_ref().to_vec());
    median(ROUNDS, || {
        ec_key.verify(&message, ec_signature.as_ref()).unwrap();
        for _ in 0..4 {
            rsa_key.verify(&message, &rsa_signature).unwrap();
        }
    })
}

fn receipts() {
    let key = ReceiptKey::generate().unwrap();
    let digest = attestation::Sha256Digest::of(b"body");
    let unsigned = || attestation::UnsignedReceipt {
        receipt_id: "rcpt-bench".to_owned(),
        chat_id: None,
        model: Some("model".to_owned()),
        workload_keyset_digest: digest,
        endpoint: "/v1/chat/completions".to_owned(),
        method: "POST".to_owned(),
        served_at: attestation::UnixTime(1),
        event_log: vec![attestation::Event::RequestReceived { body_hash: digest }],
    };
    let bare = median(200, || forget(key.sign(&[7; 512]).to_vec()));
    let signed = median(200, || forget(unsigned().sign(&key).unwrap()));
    report("receipt: canonical form and signature", signed, "one bare Ed25519 signature", bare);
}
