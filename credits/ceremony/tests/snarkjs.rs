//! Two programs, one transcript: what snarkjs makes we verify, what we make snarkjs verifies.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use ark_bn254::{Bn254, Fq, Fq2, Fr, G1Affine, G2Affine};
use ark_ff::Field;
use ark_groth16::{Groth16, Proof};
use ceremony::{Beacon, Ptau, Zkey, contribute_beacon, grouped, r1cs, start, verify};
use ceremony_testing::{Highest, Secrets, SmallCircuit, ptau, wtns};
use credits::params::CircomQap;
use rand_core::OsRng;
use serde_json::Value;
use support::{SMALL_POWER, Snarkjs, contributed, small, small_ptau, small_start, small_values};

fn prepared() -> Snarkjs {
    let snarkjs = Snarkjs::new();
    snarkjs.write("circuit.r1cs", &r1cs(&small()).unwrap());
    snarkjs.write("pot.ptau", small_ptau());
    snarkjs
}

#[test]
fn the_first_key_is_snarkjs_s_to_the_byte() {
    let snarkjs = prepared();
    let printed = snarkjs.succeed("r1cs info circuit.r1cs");
    assert!(printed.contains("# of Public Inputs: 2"), "{printed}");
    snarkjs.succeed("groth16 setup circuit.r1cs pot.ptau theirs.zkey");
    let ours = small_start();
    assert_eq!(Zkey::from_bytes(&snarkjs.read("theirs.zkey")).unwrap(), ours);
    assert_eq!(snarkjs.read("theirs.zkey"), ours.to_bytes());
}

#[test]
fn a_transcript_of_both_programs_is_verified_by_both() {
    let snarkjs = prepared();
    let first = small_start();
    snarkjs.write("1.zkey", &contributed(&first, "first, ours").to_bytes());
    snarkjs.succeed("zkey contribute 1.zkey 2.zkey --name=second -e=anything");
    let second = Zkey::from_bytes(&snarkjs.read("2.zkey")).unwrap();
    assert_eq!(second.to_bytes(), snarkjs.read("2.zkey"), "theirs is spelled as ours");
    let third = contributed(&second, "third");
    let mut fourth = third.clone();
    contribute_beacon(&mut fourth, Beacon { value: vec![1, 2, 3, 0xff], iterations: 10 }).unwrap();
    snarkjs.write("3.zkey", &third.to_bytes());
    snarkjs.write("4.zkey", &fourth.to_bytes());
    snarkjs.succeed("zkey beacon 3.zkey 4theirs.zkey 010203ff 10");
    assert_eq!(snarkjs.read("4theirs.zkey"), fourth.to_bytes(), "a beacon leaves nothing to chance");
    snarkjs.succeed("zkey beacon 4.zkey 5.zkey 0badbeac 12 --name=last");
    let fifth = Zkey::from_bytes(&snarkjs.read("5.zkey")).unwrap();

    for (name, key) in [("1", contributed(&first, "other")), ("3", third), ("5", fifth.clone())] {
        let verified = verify(&first, key, &mut OsRng).unwrap();
        assert!(!verified.contributions().is_empty(), "{name}");
    }
    let verified = verify(&first, fifth, &mut OsRng).unwrap();
    let names: Vec<_> = verified.contributions().iter().map(ceremony::Contribution::name).collect();
    assert_eq!(names, ["first, ours", "second", "third", "", "last"]);

    let printed = snarkjs.succeed("zkey verify circuit.r1cs pot.ptau 5.zkey");
    assert!(printed.contains("ZKey Ok!"), "{printed}");
    // Both print the same hashes.
    let flat: String = printed.split_whitespace().collect();
    assert!(flat.contains(&grouped(&verified.circuit_hash()).replace(' ', "")), "{printed}");
    for contribution in verified.contributions() {
        assert!(flat.contains(&grouped(&contribution.hash()).replace(' ', "")), "{printed}");
    }
}

#[test]
fn a_power_more_than_the_circuit_needs_changes_nothing_in_the_protocol() {
    let snarkjs = prepared();
    let circuit = small();
    for (name, power, highest) in [("cut", SMALL_POWER, Highest::Power), ("larger", SMALL_POWER + 2, Highest::Missing)]
    {
        let file = ptau(power, &Secrets::from_seed(2), highest);
        let first = start(&circuit, &Ptau::read(&file, &circuit, &mut OsRng).unwrap()).unwrap();
        snarkjs.write("other.ptau", &file);
        snarkjs.succeed("groth16 setup circuit.r1cs other.ptau theirs.zkey");
        assert_eq!(snarkjs.read("theirs.zkey"), first.to_bytes(), "{name}");
        snarkjs.write("ours.zkey", &contributed(&first, "one").to_bytes());
        let printed = snarkjs.succeed("zkey verify circuit.r1cs other.ptau ours.zkey");
        assert!(printed.contains("ZKey Ok!"), "{name}: {printed}");
    }
}

#[test]
fn proofs_of_either_are_verified_by_the_other() {
    let snarkjs = prepared();
    let circuit = small();
    let key = contributed(&contributed(&small_start(), "one"), "two");
    let verified = verify(&small_start(), key, &mut OsRng).unwrap();
    let (values, public) = (small_values(), SmallCircuit::example().public());
    snarkjs.write("final.zkey", &verified.zkey().to_bytes());
    snarkjs.succeed("zkey export verificationkey final.zkey vk.json");

    snarkjs.write("values.wtns", &wtns(&values));
    snarkjs.succeed("groth16 prove final.zkey values.wtns proof.json public.json");
    let theirs = proof_of(&serde_json::from_slice(&snarkjs.read("proof.json")).unwrap());
    let expected: Vec<_> = public.iter().map(ToString::to_string).collect();
    assert_eq!(serde_json::from_slice::<Vec<String>>(&snarkjs.read("public.json")).unwrap(), expected);
    let proving = verified.library_key();
    let prepared_key = ark_groth16::prepare_verifying_key(&proving.vk);
    let holds = |proof: &Proof<Bn254>, public: &[Fr]| {
        Groth16::<Bn254, CircomQap>::verify_proof(&prepared_key, proof, public).unwrap()
    };
    assert!(holds(&theirs, &public));
    assert!(!holds(&theirs, &[public[0], public[0]]));

    let ours = Groth16::<Bn254, CircomQap>::create_proof_with_reduction_and_matrices(
        &proving,
        Fr::from(5_u64),
        Fr::from(7_u64),
        circuit.matrices(),
        circuit.inputs(),
        circuit.constraints(),
        &values,
    )
    .unwrap();
    assert!(holds(&ours, &public));
    snarkjs.write("ours.json", json_of(&ours).to_string().as_bytes());
    let printed = snarkjs.succeed("groth16 verify vk.json public.json ours.json");
    assert!(printed.contains("OK!"), "{printed}");
    let mut other = ours;
    other.c = other.a;
    snarkjs.write("other.json", json_of(&other).to_string().as_bytes());
    assert!(!snarkjs.run("groth16 verify vk.json public.json other.json").succeeded);
}

/// The one point of the longest Lagrange form that no power in the file binds is the power's, or there is none.
#[test]
fn no_other_point_stands_where_the_powers_bind_none() {
    let circuit = small();
    let secrets = Secrets::from_seed(1);
    let file = ptau(SMALL_POWER, &secrets, Highest::Other(secrets.tau.pow([7]) + Fr::from(1_u64)));
    let refused = Ptau::read(&file, &circuit, &mut OsRng).unwrap_err();
    assert_eq!(refused.code(), "ceremony.ptau_lagrange");
}

#[test]
fn snarkjs_refuses_what_we_refuse() {
    let snarkjs = prepared();
    let first = small_start();
    let good = contributed(&contributed(&first, "one"), "two").to_bytes();
    for section in [3, 5, 8, 9] {
        // Two points of the section change places.
        let mut bad = good.clone();
        let (_, range) = ceremony_testing::sections(&bad).into_iter().find(|(number, _)| *number == section).unwrap();
        let (left, right) = (range.start, range.start + 64);
        assert_ne!(bad[left..right], bad[right..right + 64], "section {section}");
        for offset in 0..64 {
            bad.swap(left + offset, right + offset);
        }
        snarkjs.write("bad.zkey", &bad);
        assert!(verify(&first, Zkey::from_bytes(&bad).unwrap(), &mut OsRng).is_err(), "section {section}");
        let run = snarkjs.run("zkey verify circuit.r1cs pot.ptau bad.zkey");
        assert!(!run.succeeded && !run.output.contains("ZKey Ok!"), "section {section}: {}", run.output);
    }
}

fn proof_of(json: &Value) -> Proof<Bn254> {
    let number = |pointer: &str| -> Fq { json.pointer(pointer).unwrap().as_str().unwrap().parse().unwrap() };
    let pair = |pointer: &str| Fq2::new(number(&format!("{pointer}/0")), number(&format!("{pointer}/1")));
    Proof {
        a: G1Affine::new(number("/pi_a/0"), number("/pi_a/1")),
        b: G2Affine::new(pair("/pi_b/0"), pair("/pi_b/1")),
        c: G1Affine::new(number("/pi_c/0"), number("/pi_c/1")),
    }
}

fn json_of(proof: &Proof<Bn254>) -> Value {
    let text = |number: Fq| number.to_string();
    let g1 = |point: G1Affine| serde_json::json!([text(point.x), text(point.y), "1"]);
    let pair = |number: Fq2| serde_json::json!([text(number.c0), text(number.c1)]);
    serde_json::json!({
        "protocol": "groth16",
        "curve": "bn128",
        "pi_a": g1(proof.a),
        "pi_b": [pair(proof.b.x), pair(proof.b.y), ["1", "0"]],
        "pi_c": g1(proof.c),
    })
}
