//! Proving a spend: with a key in memory, which is what a wallet that runs does, and from a key's file, which is its first proof.

use ark_bn254::{Bn254, Fr, G1Projective, G2Projective};
use ark_ec::VariableBaseMSM;
use ark_ff::PrimeField;
use ark_groth16::r1cs_to_qap::R1CSToQAP;
use ark_groth16::{Groth16, ProvingKey};
use ark_poly::GeneralEvaluationDomain;
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use credits::circuit::{Relation, Statement};
use credits::params::{CircomQap, ProvingParams};
use credits::spend::prove;
use rand_core::OsRng;

use crate::parameters::{Spending, threads};
use crate::report::{Goal, Report, in_turns, work};

const ROUNDS: usize = 9;
const THREADS: [usize; 2] = [1, 2];
const GOAL: Option<Goal> = Some(Goal::AtMost(0.8));

pub(crate) fn run(report: &mut Report, spending: &Spending) {
    report.begin("prove a spend (ours also verifies what it proved)");
    for count in THREADS {
        threads(count).install(|| with_threads(report, spending, count));
    }
    threads(1).install(|| parts(report, spending));
}

fn with_threads(report: &mut Report, spending: &Spending, count: usize) {
    let Spending { params, public, witness, bare_key, .. } = spending;
    let circuit = || witness.circuit(public).unwrap();
    let bare_prove = |key: &ProvingKey<Bn254>| {
        Groth16::<Bn254>::create_random_proof_with_reduction(circuit(), key, &mut OsRng).unwrap()
    };
    let [ours, bare] =
        in_turns(ROUNDS, [work(|| prove(params, public, witness, &mut OsRng).unwrap()), work(|| bare_prove(bare_key))]);
    let what = format!("key in memory, {}", told(count));
    report.compare(&what, &ours, "bare ark-groth16 prove", &bare, GOAL);

    let (file, digest) = (params.to_bytes(), params.verifying().digest());
    let mut bare_file = Vec::new();
    bare_key.serialize_uncompressed(&mut bare_file).unwrap();
    let cold = || {
        let params = ProvingParams::from_bytes(&file, digest).unwrap();
        prove(&params, public, witness, &mut OsRng).unwrap()
    };
    let bare_cold = || {
        let key = ProvingKey::<Bn254>::deserialize_uncompressed_unchecked(bare_file.as_slice()).unwrap();
        bare_prove(&key)
    };
    let [ours, bare] = in_turns(ROUNDS, [work(cold), work(bare_cold)]);
    let what = format!("first proof, key from its file, {}", told(count));
    report.compare(&what, &ours, "bare, key read without checks", &bare, None);
}

fn told(threads: usize) -> String {
    if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") }
}

/// Where the time of a proof goes, on one thread: sums over the key's points, each as the library computes it, and the rest.
fn parts(report: &mut Report, spending: &Spending) {
    let (relation, key, values) =
        (Relation::of(Statement::Spend).unwrap(), spending.verified.library_key(), &spending.values);
    let quotient = || {
        let (matrices, inputs) = (relation.matrices(), relation.inputs());
        CircomQap::witness_map_from_matrices::<Fr, GeneralEvaluationDomain<Fr>>(
            matrices,
            inputs,
            relation.constraints(),
            values,
        )
        .unwrap()
    };
    let short = |values: &[Fr]| values.iter().map(|value| value.into_bigint()).collect::<Vec<_>>();
    let (h, all) = (short(&quotient()), short(values));
    let hidden = &all[relation.inputs()..];
    let rows = in_turns(
        ROUNDS,
        [
            work(|| prove(&spending.params, &spending.public, &spending.witness, &mut OsRng).unwrap()),
            work(quotient),
            work(|| G1Projective::msm_bigint(&key.a_query, &all)),
            work(|| G1Projective::msm_bigint(&key.b_g1_query, &all)),
            work(|| G2Projective::msm_bigint(&key.b_g2_query, &all)),
            work(|| G1Projective::msm_bigint(&key.h_query, &h)),
            work(|| G1Projective::msm_bigint(&key.l_query, hidden)),
        ],
    );
    let names = ["quotient", "sum A", "sum B on G1", "sum B on G2", "sum H", "sum L"];
    for (name, row) in names.into_iter().zip(&rows[1..]) {
        report.compare(&format!("the library's {name}"), row, "our proof", &rows[0], None);
    }
}
