//! Speed as ratios to the bare primitive, measured in the same run. Absolute times are printed for orientation only: they say
//! more about the machine and its neighbours than about the code.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench is a program for a terminal"
)]

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use ark_bn254::Bn254;
use ark_groth16::Groth16;
use attestation::{Product, ReceiptKey, Transcript, TrustRoots};
use attestation_testing::{AcceptedCase, NAME_PREFIX, TestPki};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_SHA384, UnparsedPublicKey,
};
use credits::params::setup;
use credits::spend::prove;
use credits::wallet::{Wallet, WalletSeed};
use credits::{Credits, Fe, Ledger, RedeemRequest};
use ledger_testing::Postgres;
use rand_core::OsRng;

const ROUNDS: usize = 15;
const REDEMPTIONS: usize = 512;
const BATCH: usize = 64;

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
    spends();
    appraisal();
    receipts();
    spend_path();
}

/// Ours beside the library's own entries, on the same circuit: proving with a key that is in memory, verifying with a prepared
/// one. What is ours does more: it verifies what it proved, and decodes points and checks their subgroups before it verifies.
fn spends() {
    let (params, verifying) = setup(&mut OsRng).unwrap();
    let (spend, _) = one_spend(verifying.digest());
    let circuit = spend.witness.circuit(&spend.public).unwrap();
    let key = Groth16::<Bn254>::generate_random_parameters_with_reduction(circuit.clone(), &mut OsRng).unwrap();
    let bare_prove =
        || Groth16::<Bn254>::create_random_proof_with_reduction(circuit.clone(), &key, &mut OsRng).unwrap();
    let proving_bare = median(7, || forget(bare_prove()));
    let proving = median(7, || forget(prove(&params, &spend.public, &spend.witness, &mut OsRng).unwrap()));
    report("spend proof: prove, verified", proving, "bare ark-groth16 prove", proving_bare);

    let proof = prove(&params, &spend.public, &spend.witness, &mut OsRng).unwrap();
    let (prepared, bare) = (ark_groth16::prepare_verifying_key(&key.vk), bare_prove());
    let public = spend.public;
    let inputs =
        [public.root.0, public.nullifier.0, public.inner_next.0, public.c_max.into(), public.ctx].map(Fe::to_fr);
    let bare_verify = || assert!(Groth16::<Bn254>::verify_proof(&prepared, &bare, &inputs).unwrap());
    let verify_bare = median(ROUNDS, bare_verify);
    let verify = median(ROUNDS, || forget(verifying.verify(&spend.public, &proof).unwrap()));
    report("spend proof: decode and verify", verify, "bare prepared ark-groth16 verify", verify_bare);
    batches(&verifying, (spend.public, proof), verify);
}

/// Many proofs at once, and what a sender of bad ones can make it cost at worst. Re-proving for each would only take longer:
/// verification does not look at whether proofs repeat.
fn batches(
    verifying: &credits::params::VerifyingParams,
    good: (credits::SpendPublic, credits::SpendProof),
    alone: Duration,
) {
    let bad = (credits::SpendPublic { c_max: Credits::ZERO, ..good.0 }, good.1);
    let batch = |what: &str, proofs: &[(credits::SpendPublic, credits::SpendProof)]| {
        let all = median(ROUNDS, || forget(verifying.verify_batch(proofs, &mut OsRng)));
        report(what, all / u32::try_from(proofs.len()).unwrap(), "one verification", alone);
    };
    for count in [4, 16, BATCH] {
        batch(&format!("spend proof: each of {count} good"), &vec![good; count]);
    }
    let mut one_bad = vec![good; BATCH];
    one_bad[BATCH / 3] = bad;
    batch("spend proof: each of 64, one bad", &one_bad);
    batch("spend proof: each of 64, all bad", &vec![bad; BATCH]);
}

/// A spendable note in a ledger of its own.
fn one_spend(vk_digest: credits::Bytes32) -> (credits::wallet::PreparedSpend, Wallet) {
    use credits::{
        Checkpoint, LedgerInfo, LogEntry, LogFrontier, LogPage, MintEntry, NoteFrontier, SigningKey, UnsignedCheckpoint,
    };
    let key = SigningKey::generate().unwrap();
    let ledger_id = credits::checkpoint::ledger_id(key.public(), vk_digest, None);
    let info = LedgerInfo {
        version: credits::ledger::LEDGER_VERSION.to_owned(),
        ledger_id,
        ledger_key: key.public(),
        admin_key: key.public(),
        vk_digest,
        holds_value: false,
        setup: "single-party".to_owned(),
        merge: None,
        grace_secs: 60,
        root_window: 16,
        tab_secs_max: 3600,
    };
    let mut wallet = Wallet::new(WalletSeed::from_bytes([7; 32]), &info);
    let output = wallet.deposit_outputs(Credits::new(4096).unwrap(), 1).unwrap().remove(0);
    let rho = credits::note::mint_rho(ledger_id, 0);
    let inner = credits::note::inner(output.pk, output.value, rho, credits::Blind(output.b));
    let leaf = credits::note::leaf(inner, Credits::ZERO);
    let mint = MintEntry {
        mint_seq: 0,
        value: output.value,
        pk: output.pk,
        rho,
        b: output.b,
        leaf_index: 0,
        leaf,
        voucher_id: credits::Bytes32([1; 32]),
    };
    let entry = LogEntry::Mint(mint);
    let (mut notes, mut log) = (NoteFrontier::new(), LogFrontier::new());
    notes.append(leaf).unwrap();
    log.append(entry.leaf_hash());
    let unsigned = UnsignedCheckpoint {
        ledger_id,
        log_size: 1,
        log_root: log.root(),
        note_count: 1,
        note_root: notes.root(),
        time: 1,
    };
    let page = LogPage { entries: vec![entry], checkpoint: Checkpoint::sign(unsigned, &key) };
    wallet.apply_page(&page).unwrap();
    let inputs = credits::SpendContextInputs {
        ledger_id,
        vk_digest,
        keyset_digest: credits::Bytes32([2; 32]),
        settle_key: key.public(),
        payee: credits::Bytes32([3; 32]),
        price_sheet_digest: credits::Bytes32([4; 32]),
        not_after: 600,
    };
    (wallet.prepare_spend(Credits::new(1024).unwrap(), inputs).unwrap(), wallet)
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

struct WallClock;

impl ledger::Clock for WallClock {
    fn now(&self) -> u64 {
        attestation::Clock::now(&acceptance::clock::WallClock).0
    }
}

/// Durable deposits, many at once, on a file and in PostgreSQL where it is installed, against an append-only file that is synced
/// once per batch. All are on one disk.
fn spend_path() {
    let raw = raw_log();
    let what = format!("a raw log synced per {BATCH}");
    report(&format!("ledger on a file: deposit, {BATCH} at once"), deposits(None), &what, raw);
    match Postgres::start().unwrap() {
        None => println!("SKIP ledger in PostgreSQL: it is not installed"),
        Some(postgres) => {
            let url = Some(postgres.url("ledger").unwrap());
            report(&format!("ledger in PostgreSQL: deposit, {BATCH} at once"), deposits(url), &what, raw);
        }
    }
}

/// Time of one deposit.
fn deposits(postgres_url: Option<String>) -> Duration {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("ledger");
    let postgres = postgres_url.map(|url| ledger::PostgresOptions { url, authority: None });
    let info = ledger::init(&store, ledger::InitOptions { postgres, ..ledger::InitOptions::default() }).unwrap();
    let open = ledger::open(&store, std::sync::Arc::new(WallClock)).unwrap();
    let mut wallet = Wallet::new(WalletSeed::from_bytes([9; 32]), &info);
    let requests: Vec<RedeemRequest> = (0..REDEMPTIONS)
        .map(|_| RedeemRequest {
            voucher: ledger::issue_voucher(&store, Credits::new(8).unwrap()).unwrap().to_text(),
            outputs: wallet.deposit_outputs(Credits::new(8).unwrap(), 1).unwrap(),
        })
        .collect();
    let began = Instant::now();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        for batch in requests.chunks(BATCH) {
            let mut tasks = tokio::task::JoinSet::new();
            for request in batch {
                let (ledger, request) = (open.ledger.clone(), request.clone());
                tasks.spawn(async move { ledger.redeem(request).await.unwrap() });
            }
            while tasks.join_next().await.is_some() {}
        }
    });
    began.elapsed() / u32::try_from(REDEMPTIONS).unwrap()
}

fn raw_log() -> Duration {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let began = Instant::now();
    for _ in 0..REDEMPTIONS / BATCH {
        for _ in 0..BATCH {
            file.write_all(&[7; 128]).unwrap();
        }
        file.as_file().sync_data().unwrap();
    }
    began.elapsed() / u32::try_from(REDEMPTIONS).unwrap()
}
