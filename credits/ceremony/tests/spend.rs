//! The whole way of the spend circuit: powers, two contributors, verification, parameters, a proof.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "each step says how long it took")]

mod support;

use std::time::Instant;

use ark_bn254::{Fq, Fq2, Fr, G1Affine, G2Affine};
use ark_relations::gr1cs::{ConstraintSynthesizer, ConstraintSystem, SynthesisMode};
use ceremony::{Ptau, Zkey, contribute, r1cs, start, verify};
use ceremony_testing::{Highest, Secrets, ptau, wtns};
use credits::circuit::{Relation, Statement};
use credits::params::{ProvingParams, VerifyingParams};
use credits::spend::{SpendWitness, prove};
use credits::{Blind, Credits, Fe, Note, NoteTree, SpendKey, SpendProof, SpendPublic};
use rand_core::OsRng;
use support::{Snarkjs, contributed};

/// The spend circuit has 6,311 constraints.
const SPEND_POWER: u32 = 13;

fn witness() -> (SpendWitness, SpendPublic) {
    let spend_key = SpendKey::from_secret(Fe::from(0x5eed));
    let credits = |value| Credits::new(value).unwrap();
    let note =
        Note { lane: 3, value: credits(1_000), rho: Fe::from(33), blind: Blind(Fe::from(44)), refund: credits(24) };
    let mut tree = NoteTree::new();
    let index = tree.append(note.leaf(&spend_key)).unwrap();
    let path = tree.path(index).unwrap();
    let witness = SpendWitness { spend_key, note, path, blind_next: Blind(Fe::from(55)) };
    let public = witness.public(credits(512), Fe::from(99)).unwrap();
    (witness, public)
}

/// Runs a step and says how long it took.
fn step<T>(name: &str, run: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let outcome = run();
    println!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
    outcome
}

#[test]
fn a_ceremony_makes_parameters_that_spend() {
    let circuit = Relation::of(Statement::Spend).unwrap();
    let file = step("make powers of a known tau", || ptau(SPEND_POWER, &Secrets::from_seed(3), Highest::Missing));
    let powers = step("read and check powers", || Ptau::read(&file, &circuit, &mut OsRng)).unwrap();
    let first = step("first key", || start(&circuit, &powers)).unwrap();
    let mut zkey = first.clone();
    step("contribute", || contribute(&mut zkey, "one", b"dice", &mut OsRng)).unwrap();
    contribute(&mut zkey, "two", b"", &mut OsRng).unwrap();
    let bytes = zkey.to_bytes();
    println!("powers {} bytes, zkey {} bytes", file.len(), bytes.len());
    let zkey = step("decode", || Zkey::from_bytes(&bytes)).unwrap();
    let verified = step("verify", || verify(&first, zkey, &mut OsRng)).unwrap();
    assert_eq!(verified.contributions().len(), 2);
    let proving = verified.proving_params().unwrap();

    // As files, as a wallet and a ledger get them.
    let digest = proving.verifying().digest();
    let proving = ProvingParams::from_bytes(&proving.to_bytes(), digest).unwrap();
    let verifying = VerifyingParams::from_bytes(&proving.verifying().to_bytes()).unwrap();
    let (witness, public) = witness();
    let proof = step("prove", || prove(&proving, &public, &witness, &mut OsRng)).unwrap();
    assert_eq!(verifying.verify(&public, &proof).map(|spend| *spend.public()), Ok(public));
    let mut other = public;
    other.ctx = Fe::from(100);
    assert!(verifying.verify(&other, &proof).is_err());

    // A key of a ceremony over the same powers without its contributions is refused by the boot checks too.
    let nobody = verify(&first, first.clone(), &mut OsRng).unwrap();
    assert_eq!(nobody.proving_params().unwrap_err().code(), "ceremony.no_contribution");
}

/// snarkjs takes minutes for a circuit of this size.
#[test]
fn nightly_snarkjs_verifies_the_spend_circuits_ceremony() {
    let circuit = Relation::of(Statement::Spend).unwrap();
    let file = ptau(SPEND_POWER, &Secrets::from_seed(3), Highest::Missing);
    let powers = Ptau::read(&file, &circuit, &mut OsRng).unwrap();
    let first = start(&circuit, &powers).unwrap();
    let snarkjs = Snarkjs::new();
    snarkjs.write("circuit.r1cs", &r1cs(&circuit).unwrap());
    snarkjs.write("pot.ptau", &file);
    step("snarkjs setup", || snarkjs.succeed("groth16 setup circuit.r1cs pot.ptau 0.zkey"));
    assert_eq!(snarkjs.read("0.zkey"), first.to_bytes());

    snarkjs.write("1.zkey", &contributed(&first, "ours").to_bytes());
    step("snarkjs contribute", || snarkjs.succeed("zkey contribute 1.zkey 2.zkey --name=theirs -e=anything"));
    let third = contributed(&Zkey::from_bytes(&snarkjs.read("2.zkey")).unwrap(), "ours again");
    snarkjs.write("3.zkey", &third.to_bytes());
    let printed = step("snarkjs verify", || snarkjs.succeed("zkey verify circuit.r1cs pot.ptau 3.zkey"));
    assert!(printed.contains("ZKey Ok!"), "{printed}");

    let proving = verify(&first, third, &mut OsRng).unwrap().proving_params().unwrap();
    let (witness, public) = witness();
    let system = ConstraintSystem::new_ref();
    system.set_mode(SynthesisMode::Prove { construct_matrices: false, generate_lc_assignments: false });
    witness.circuit(&public).unwrap().generate_constraints(system.clone()).unwrap();
    let mut values: Vec<Fr> = system.instance_assignment().unwrap();
    values.extend(system.witness_assignment().unwrap());
    snarkjs.write("spend.wtns", &wtns(&values));
    step("snarkjs prove", || snarkjs.succeed("groth16 prove 3.zkey spend.wtns proof.json public.json"));
    let proof = spend_proof(&serde_json::from_slice(&snarkjs.read("proof.json")).unwrap());
    assert_eq!(proving.verifying().verify(&public, &proof).map(|spend| *spend.public()), Ok(public));
}

fn spend_proof(json: &serde_json::Value) -> SpendProof {
    let number = |pointer: &str| -> Fq { json.pointer(pointer).unwrap().as_str().unwrap().parse().unwrap() };
    let pair = |pointer: &str| Fq2::new(number(&format!("{pointer}/0")), number(&format!("{pointer}/1")));
    let mut bytes = Vec::new();
    compressed(&G1Affine::new(number("/pi_a/0"), number("/pi_a/1")), &mut bytes);
    compressed(&G2Affine::new(pair("/pi_b/0"), pair("/pi_b/1")), &mut bytes);
    compressed(&G1Affine::new(number("/pi_c/0"), number("/pi_c/1")), &mut bytes);
    SpendProof::from_bytes(bytes.try_into().unwrap())
}

fn compressed(point: &impl ark_serialize::CanonicalSerialize, bytes: &mut Vec<u8>) {
    point.serialize_compressed(bytes).unwrap();
}
