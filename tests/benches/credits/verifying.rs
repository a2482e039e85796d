//! Verifying proofs, alone and many at once, good ones and bad ones.

use ark_bn254::{Bn254, G2Affine};
use ark_groth16::{Groth16, Proof, prepare_verifying_key};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use credits::params::CircomQap;
use credits::spend::prove;
use credits::{Credits, SpendProof, SpendPublic};
use rand_core::OsRng;

use crate::parameters::{Spending, threads};
use crate::report::{Goal, Report, Times, in_turns, work};

const ROUNDS: usize = 25;
/// The most that a ledger verifies together.
const BATCH: usize = 64;

type Claimed = (SpendPublic, SpendProof);

/// On one thread: guardians and ledgers are built without a thread pool.
pub(crate) fn run(report: &mut Report, spending: &Spending) {
    report.begin("verify a spend (ours also decodes points and checks their subgroups), 1 thread");
    threads(1).install(|| {
        let proofs = proofs(spending);
        alone(report, spending, &proofs[0]);
        batches(report, spending, &proofs);
        bad(report, spending, &proofs);
    });
}

/// Different proofs of one spend.
fn proofs(spending: &Spending) -> Vec<Claimed> {
    let proof = prove(&spending.params, &spending.public, &spending.witness, &mut OsRng).unwrap();
    let decoded = decoded(&proof);
    let key = spending.verified.library_key().vk;
    let others = (1..BATCH).map(|_| encoded(&Groth16::<Bn254>::rerandomize_proof(&key, &decoded, &mut OsRng)));
    std::iter::once(proof).chain(others).map(|proof| (spending.public, proof)).collect()
}

fn decoded(proof: &SpendProof) -> Proof<Bn254> {
    Proof::deserialize_compressed(proof.as_bytes().as_slice()).unwrap()
}

fn encoded(proof: &Proof<Bn254>) -> SpendProof {
    let mut bytes = Vec::new();
    proof.serialize_compressed(&mut bytes).unwrap();
    SpendProof::from_bytes(bytes.try_into().unwrap())
}

fn alone(report: &mut Report, spending: &Spending, (public, proof): &Claimed) {
    let prepared = prepare_verifying_key(&spending.verified.library_key().vk);
    let (points, inputs) = (decoded(proof), spending.inputs());
    let verifying = spending.params.verifying();
    let [ours, bare, decoding] = in_turns(
        ROUNDS,
        [
            work(|| verifying.verify(public, proof).unwrap()),
            work(|| {
                assert!(Groth16::<Bn254, CircomQap>::verify_proof(&prepared, &points, &inputs).unwrap());
            }),
            work(|| decoded(proof)),
        ],
    );
    report.compare("alone", &ours, "bare prepared ark-groth16 verify", &bare, Some(Goal::AtMost(1.0)));
    report.compare("the library decodes and checks three points", &decoding, "one verification", &ours, None);
}

/// The time of one verification alone and of each proof of a batch, in turns.
fn beside_one(spending: &Spending, alone: &Claimed, batch: &[Claimed]) -> [Vec<Times>; 2] {
    let verifying = spending.params.verifying();
    let [each, one] = in_turns(
        ROUNDS,
        [work(|| verifying.verify_batch(batch, &mut OsRng)), work(|| verifying.verify(&alone.0, &alone.1).unwrap())],
    );
    [each.into_iter().map(|times| times.each(batch.len())).collect(), one]
}

fn batches(report: &mut Report, spending: &Spending, proofs: &[Claimed]) {
    for count in [4, 16, BATCH] {
        let [each, one] = beside_one(spending, &proofs[0], &proofs[..count]);
        let goal = (count == BATCH).then_some(Goal::AtMost(0.25));
        report.compare(&format!("each of {count} good"), &each, "one verification", &one, goal);
    }
}

/// What a sender of bad proofs can make verification cost: bad in the equation, which takes all the work there is; no point at
/// all; and a point outside its subgroup.
fn bad(report: &mut Report, spending: &Spending, proofs: &[Claimed]) {
    let wrong = |(public, proof): &Claimed| (SpendPublic { c_max: Credits::ZERO, ..*public }, *proof);
    for bad in [1, 8, BATCH / 2, BATCH] {
        let mut batch = proofs.to_vec();
        // Spread, which leaves the fewest groups without one.
        for claim in batch.iter_mut().step_by(BATCH / bad) {
            *claim = wrong(claim);
        }
        let [each, one] = beside_one(spending, &proofs[0], &batch);
        report.compare(&format!("each of {BATCH}, {bad} bad"), &each, "one verification", &one, None);
    }
    let verifying = spending.params.verifying();
    let (public, good) = proofs[0];
    let refused = |proof: SpendProof, public: SpendPublic| {
        let verifying = verifying.clone();
        move || assert!(verifying.verify(&public, &proof).is_err())
    };
    let mut no_points = *good.as_bytes();
    no_points[..32].fill(0xff);
    let outside = encoded(&Proof { b: outside_the_subgroup(), ..decoded(&good) });
    let [equation, points, subgroup, one] = in_turns(
        ROUNDS,
        [
            work(refused(good, wrong(&proofs[0]).0)),
            work(refused(SpendProof::from_bytes(no_points), public)),
            work(refused(outside, public)),
            work(|| verifying.verify(&public, &good).unwrap()),
        ],
    );
    for (what, row) in [("the equation", equation), ("no points", points), ("the subgroup", subgroup)] {
        report.compare(&format!("one bad alone: {what}"), &row, "one good", &one, None);
    }
}

fn outside_the_subgroup() -> G2Affine {
    let points = (1_u64..).filter_map(|x| G2Affine::get_point_from_x_unchecked(x.into(), false));
    points.into_iter().find(|point| !point.is_in_correct_subgroup_assuming_on_curve()).unwrap()
}
