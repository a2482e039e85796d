//! Proofs and their refusals. Numbers `nXX` are those of `design/credits.md` §7.

use ark_bn254::{Bn254, Fq, Fq2, Fr};
use ark_ec::CurveGroup;
use ark_ff::{AdditiveGroup, Field, UniformRand};
use ark_groth16::Groth16;
use ark_relations::gr1cs::{
    ConstraintSynthesizer, ConstraintSystemRef, LinearCombination, Result as SynthesisResult, Variable,
};

use super::*;
use crate::bytes::Bytes32;
use crate::context::SpendContext;
use crate::entry::SettledBy;
use crate::fixture::{Fault, TestRng, context, credits, params, proof, public, witness};
use crate::ledger::{LedgerError, ReserveRequest};
use crate::note::{Blind, Leaf};
use crate::params::setup;
use crate::state::{
    ReserveDecision, ReserveFacts, ReserveRules, ReservedSpend, SpendOutcome, SpendState, decide_reserve,
};
use crate::tree::NoteTree;

fn verify(public: &SpendPublic, proof: &SpendProof) -> Result<SpendPublic, &'static str> {
    params().verifying().verify(public, proof).map(|spend| *spend.public()).map_err(SpendRejection::code)
}

const INVALID: Result<SpendPublic, &str> = Err("spend.proof_invalid");
const MALFORMED: Result<SpendPublic, &str> = Err("spend.proof_malformed");

#[test]
fn a_proof_verifies_for_its_values() {
    assert_eq!(verify(&public(), &proof()), Ok(public()));
    assert_eq!(format!("{:?}", proof()), "SpendProof(128 bytes)");
    assert_eq!(proof().to_string().parse::<SpendProof>(), Ok(proof()));
}

#[test]
fn every_public_value_is_bound() {
    let changes: [fn(&mut SpendPublic); 6] = [
        |public| public.root = Root(Fe::from(1)),
        |public| public.nullifier = Nullifier(Fe::from(1)),
        |public| public.inner_next = Inner(Fe::from(1)),
        |public| public.c_max = credits(511),
        |public| public.c_max = Credits::ZERO,
        |public| public.ctx = Fe::from(1),
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut public = public();
        change(&mut public);
        assert_eq!(verify(&public, &proof()), INVALID, "change {at}");
    }
}

#[test]
fn n01_n02_there_are_five_public_inputs() {
    // The number of inputs is part of the type; what is left to refuse is their JSON form, and keys with another number.
    let json = serde_json::to_value(public()).unwrap();
    assert_eq!(serde_json::from_value::<SpendPublic>(json.clone()).unwrap(), public());
    let mut extra = json.clone();
    extra["expiry"] = 0.into();
    let error = serde_json::from_value::<SpendPublic>(extra).unwrap_err().to_string();
    assert!(error.starts_with("unknown field `expiry`"), "{error}");
    let mut missing = json;
    missing.as_object_mut().unwrap().remove("ctx");
    let error = serde_json::from_value::<SpendPublic>(missing).unwrap_err().to_string();
    assert_eq!(error, "missing field `ctx`");
    // An omitted trailing input counts as zero in the library's verifier: a proof for 0 is not one for anything else.
    let for_zero = witness().public(credits(512), Fe::ZERO).unwrap();
    let proof = prove(params(), &for_zero, &witness(), &mut TestRng::new(4)).unwrap();
    assert_eq!(verify(&for_zero, &proof), Ok(for_zero));
    assert_eq!(verify(&public(), &proof), INVALID);
}

#[test]
fn n03_inputs_above_the_modulus_are_refused() {
    let modulus: [u8; 32] =
        crate::bytes::decode_hex("30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001").unwrap();
    for member in ["nullifier", "root", "inner_next", "ctx"] {
        let mut json = serde_json::to_value(public()).unwrap();
        let canonical: Fe = json[member].as_str().unwrap().parse().unwrap();
        let mut sum = [0; 32];
        let mut carry = 0;
        for at in (0..32).rev() {
            let byte = u16::from(canonical.as_bytes()[at]) + u16::from(modulus[at]) + carry;
            (sum[at], carry) = (byte.to_be_bytes()[1], byte >> 8);
        }
        assert_eq!(carry, 0, "x + r fits 32 bytes");
        json[member] = hex::encode(sum).into();
        let error = serde_json::from_value::<SpendPublic>(json).unwrap_err().to_string();
        assert_eq!(error, "a field element must be below the modulus", "{member}");
    }
}

#[test]
fn n04_garbage_is_malformed() {
    let good = *proof().as_bytes();
    // The length is part of the type and of the text form.
    assert_eq!(hex::encode(&good[..127]).parse::<SpendProof>(), Err(HexError::Length { expected: 256, got: 254 }));
    let infinity = 0x40;
    let cases: [Fault<[u8; 128]>; 9] = [
        ("zeros", |bytes| *bytes = [0; 128], "spend.proof_malformed"),
        ("ones", |bytes| *bytes = [0xff; 128], "spend.proof_malformed"),
        ("A at infinity", |bytes| bytes[..32].copy_from_slice(&at_infinity::<32>()), "spend.proof_malformed"),
        ("B at infinity", |bytes| bytes[32..96].copy_from_slice(&at_infinity::<64>()), "spend.proof_malformed"),
        ("C at infinity", |bytes| bytes[96..].copy_from_slice(&at_infinity::<32>()), "spend.proof_malformed"),
        ("infinity beside a coordinate", |bytes| bytes[31] |= 0x40, "spend.proof_malformed"),
        ("both flags", |bytes| bytes[31] |= 0xc0, "spend.proof_malformed"),
        ("B infinity beside a coordinate", |bytes| bytes[95] |= 0x40, "spend.proof_malformed"),
        ("coordinate above q", |bytes| bytes[..32].copy_from_slice(&above_q()), "spend.proof_malformed"),
    ];
    assert_eq!(at_infinity::<32>()[31], infinity);
    for (name, change, code) in cases {
        let mut bytes = good;
        change(&mut bytes);
        assert_eq!(verify(&public(), &SpendProof::from_bytes(bytes)), Err(code), "{name}");
    }
    // −A alone is a point, so well formed, and proves nothing.
    let mut negated = good;
    negated[31] ^= 0x80;
    assert_eq!(verify(&public(), &SpendProof::from_bytes(negated)), INVALID);
}

fn at_infinity<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[LEN - 1] = 0x40;
    bytes
}

/// The base field's modulus, which is 0 to a decoder that reduces.
fn above_q() -> [u8; 32] {
    let mut bytes: [u8; 32] =
        crate::bytes::decode_hex("30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47").unwrap();
    bytes.reverse();
    bytes
}

proptest::proptest! {
    #![proptest_config(crate::fixture::seeded(200))]
    #[test]
    fn n10_the_decoder_answers_every_input(at in 0usize..128, mask in 1u8..=255, noise: [u8; 32], part in 0usize..5) {
        let mut bytes = *proof().as_bytes();
        bytes[at] ^= mask;
        if part < 4 {
            bytes[part * 32..][..32].copy_from_slice(&noise);
        }
        let refused = verify(&public(), &SpendProof::from_bytes(bytes));
        proptest::prop_assert!(refused == MALFORMED || refused == INVALID);
    }
}

#[test]
fn n05_points_off_the_curve_or_subgroup_are_malformed() {
    let good = *proof().as_bytes();
    // About half of all x have no y.
    let off_curve = (1u64..).map(Fq::from).find(|x| G1Affine::get_ys_from_x_unchecked(*x).is_none()).unwrap();
    for at in [0, 96] {
        let mut bytes = good;
        bytes[at..at + 32].copy_from_slice(&little_endian(off_curve));
        assert_eq!(verify(&public(), &SpendProof::from_bytes(bytes)), MALFORMED, "A or C at {at}");
    }
    // On the twist, but outside the subgroup of order r, as almost every point is.
    let outside = (1u64..)
        .filter_map(|x| G2Affine::get_point_from_x_unchecked(Fq2::new(Fq::from(x), Fq::ZERO), false))
        .find(|point| !point.is_in_correct_subgroup_assuming_on_curve())
        .unwrap();
    assert!(outside.is_on_curve());
    let (a, _, c) = proof().points().unwrap();
    let forged = SpendProof::from_points(&a, &outside, &c).unwrap();
    assert_eq!(verify(&public(), &forged), MALFORMED);
}

fn little_endian(x: Fq) -> [u8; 32] {
    let mut bytes = Vec::new();
    ark_serialize::CanonicalSerialize::serialize_compressed(&x, &mut bytes).unwrap();
    bytes.try_into().unwrap()
}

/// Five public inputs and one constraint.
#[derive(Clone)]
struct OtherCircuit([Fr; PUBLIC_INPUTS]);

impl ConstraintSynthesizer<Fr> for OtherCircuit {
    fn generate_constraints(self, system: ConstraintSystemRef<Fr>) -> SynthesisResult<()> {
        let inputs: Vec<Variable> =
            self.0.iter().map(|value| system.new_input_variable(|| Ok(*value))).collect::<Result<_, _>>()?;
        let square = system.new_witness_variable(|| Ok(self.0[0].square()))?;
        let first = inputs[0];
        system.enforce_r1cs_constraint(
            || LinearCombination::from(first),
            || LinearCombination::from(first),
            || LinearCombination::from(square),
        )
    }
}

#[test]
fn n06_proofs_of_other_keys_and_circuits_are_invalid() {
    let (other_params, other_verifying) = setup(&mut TestRng::new(6)).unwrap();
    let other = prove(&other_params, &public(), &witness(), &mut TestRng::new(7)).unwrap();
    assert_eq!(other_verifying.verify(&public(), &other).map(|spend| *spend.public()), Ok(public()));
    assert_eq!(verify(&public(), &other), INVALID);
    assert_eq!(other_verifying.verify(&public(), &proof()), Err(SpendRejection::ProofInvalid));

    let circuit = OtherCircuit(public().inputs());
    let rng = &mut TestRng::new(8);
    let key = Groth16::<Bn254>::generate_random_parameters_with_reduction(circuit.clone(), rng).unwrap();
    let points = Groth16::<Bn254>::create_random_proof_with_reduction(circuit, &key, rng).unwrap();
    let prepared = ark_groth16::prepare_verifying_key(&key.vk);
    assert_eq!(Groth16::<Bn254>::verify_proof(&prepared, &points, &public().inputs()), Ok(true));
    let proof = SpendProof::from_points(&points.a, &points.b, &points.c).unwrap();
    assert_eq!(verify(&public(), &proof), INVALID);
}

#[test]
fn n08_malleated_proofs_are_the_same_spend() {
    let (a, b, c) = proof().points().unwrap();
    let delta = params().delta_g2();
    let r = Fr::rand(&mut TestRng::new(9));
    let affine = |a: G1Affine, b: G2Affine, c: G1Affine| SpendProof::from_points(&a, &b, &c).unwrap();
    let malleated = [
        affine((a * r.inverse().unwrap()).into_affine(), (b * r).into_affine(), c),
        affine(a, (b + delta * r).into_affine(), (c + a * r).into_affine()),
        affine(-a, -b, c),
    ];
    for other in malleated {
        assert_ne!(other, proof());
        // Accepted, and nothing but the nullifier says which spend it is: the same one.
        assert_eq!(verify(&public(), &other).unwrap().nullifier, public().nullifier);
    }
}

#[test]
fn n35_a_leaf_that_is_in_the_log_twice_is_spent_once() {
    // What a settlement leaves when its leaf is appended twice, which no honest ledger does.
    let mut tree = NoteTree::new();
    let leaf = witness().note.leaf(&witness().spend_key);
    for leaf in [Leaf(Fe::from(1)), leaf, Leaf(Fe::from(2)), leaf] {
        tree.append(leaf).unwrap();
    }
    let spend = |position, blind_next| {
        let witness = SpendWitness { path: tree.path(position).unwrap(), blind_next: Blind(blind_next), ..witness() };
        let c_max = credits(512);
        let public = witness.public(c_max, context().digest(c_max)).unwrap();
        let proof = prove(params(), &public, &witness, &mut TestRng::new(35)).unwrap();
        assert_eq!(verify(&public, &proof), Ok(public), "position {position}");
        let SpendPublic { root, nullifier, inner_next, c_max, .. } = public;
        ReserveRequest { root, nullifier, inner_next, c_max, context: context(), proof }
    };
    let [first, second, other] = [(1, 55), (3, 55), (3, 56)].map(|(at, blind)| spend(at, Fe::from(blind)));
    assert_ne!(tree.path(1).unwrap(), tree.path(3).unwrap());
    assert_eq!((first.nullifier, first.root), (second.nullifier, second.root));
    assert_eq!((first.nullifier, first.root), (other.nullifier, other.root));
    assert_ne!(first.inner_next, other.inner_next);
    // Both are genuine. Whichever a ledger takes first is the note's only spend.
    let SpendContext { ledger_id, vk_digest, not_after, .. } = context();
    let rules = ReserveRules { ledger_id, vk_digest, tab_secs_max: not_after };
    let decide = |request: &ReserveRequest, recorded: Option<&SpendState>| {
        decide_reserve(request, ReserveFacts { recorded, inner_used: false, root_recent: true }, &rules, 0)
    };
    for request in [&first, &second, &other] {
        assert_eq!(decide(request, None), Ok(ReserveDecision::Record));
    }
    let ReserveRequest { inner_next, c_max, ref context, .. } = first;
    let reserved = ReservedSpend { inner_next, c_max, context: context.clone(), entry_index: 9, journalled: None };
    let outcome = SpendOutcome {
        charge: c_max,
        refund: Credits::ZERO,
        leaf: crate::note::leaf(inner_next, Credits::ZERO),
        leaf_index: 4,
        entry_index: 10,
        rated: None,
    };
    let settled = SpendState::Settled { spend: reserved.clone(), outcome, by: SettledBy::Guardian };
    for recorded in [SpendState::Reserved(reserved), settled] {
        assert_eq!(decide(&second, Some(&recorded)), Ok(ReserveDecision::Repeat { entry_index: 9 }));
        assert_eq!(decide(&other, Some(&recorded)), Err(LedgerError::SpendConflict));
    }
}

#[test]
fn n22_a_proof_of_perturbed_cells_is_invalid() {
    let assignment = witness().assignment(&public()).unwrap();
    let honest = params().relation().assign(assignment).unwrap();
    let inputs = params().relation().inputs();
    // The circuit's tests perturb every cell; here a cell of each kind goes through the prover.
    for cell in [inputs, inputs + 6, inputs + 7, 1_000, 3_000, 6_000, honest.len() - 1] {
        let mut values = honest.clone();
        values[cell] += Fr::ONE;
        let factors = params().relation().factors(&values);
        let points = params().prove_values(&values, &factors, &mut TestRng::new(22)).unwrap();
        let proof = SpendProof::from_points(&points.a, &points.b, &points.c).unwrap();
        assert_eq!(verify(&public(), &proof), INVALID, "cell {cell}");
    }
}

#[test]
fn n23_n24_n26_n27_n29_the_context_is_bound() {
    const OTHER: Bytes32 = Bytes32([0xee; 32]);
    let changes: [Fault<SpendContext>; 8] = [
        ("n29 another ledger", |context| context.ledger_id = OTHER, "spend.proof_invalid"),
        ("another verifying key", |context| context.vk_digest = OTHER, "spend.proof_invalid"),
        ("n23 another boot", |context| context.keyset_digest = OTHER, "spend.proof_invalid"),
        ("n23 another settle key", |context| context.settle_key = OTHER, "spend.proof_invalid"),
        ("n24 another payee", |context| context.payee = OTHER, "spend.proof_invalid"),
        ("n24 another price list", |context| context.price_sheet_digest = OTHER, "spend.proof_invalid"),
        ("n27 another deadline", |context| context.not_after += 1, "spend.proof_invalid"),
        ("n26 another tab key", |context| context.tab_key = OTHER, "spend.proof_invalid"),
    ];
    for (name, change, code) in changes {
        let mut changed = context();
        change(&mut changed);
        // n28: a verifier recomputes ctx, so this is what it sees.
        let seen = SpendPublic { ctx: changed.digest(public().c_max), ..public() };
        assert_eq!(verify(&seen, &proof()), Err(code), "{name}");
    }
    let seen = SpendPublic { ctx: context().digest(credits(511)), ..public() };
    assert_eq!(verify(&seen, &proof()), INVALID, "another amount");
    let seen = SpendPublic { ctx: context().digest(credits(512)), ..public() };
    assert_eq!(verify(&seen, &proof()), Ok(public()));
}

#[test]
fn n13_what_cannot_be_proved_is_said_before_proving() {
    let faults: [Fault<(SpendPublic, SpendWitness)>; 8] = [
        ("more than the balance", |(public, _)| public.c_max = credits(1_025), "prove.insufficient_balance"),
        ("no amount", |(_, witness)| witness.note.refund = Credits::MAX, "prove.note_invalid"),
        ("another root", |(public, _)| public.root = Root(Fe::from(1)), "prove.root_mismatch"),
        ("another value", |(_, witness)| witness.note.value = credits(1_001), "prove.root_mismatch"),
        ("another key", |(_, witness)| witness.spend_key = SpendKey::from_secret(Fe::from(1)), "prove.root_mismatch"),
        ("another nullifier", |(public, _)| public.nullifier = Nullifier(Fe::from(1)), "prove.nullifier_mismatch"),
        ("another successor", |(public, _)| public.inner_next = Inner(Fe::from(1)), "prove.inner_mismatch"),
        ("another blind", |(_, witness)| witness.blind_next = Blind(Fe::from(1)), "prove.inner_mismatch"),
    ];
    for (name, fault, code) in faults {
        let mut values = (public(), witness());
        fault(&mut values);
        let (public, witness) = values;
        let refused = prove(params(), &public, &witness, &mut TestRng::new(13)).map_err(ProveError::code);
        assert_eq!(refused, Err(code), "{name}");
    }
}
