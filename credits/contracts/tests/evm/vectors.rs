//! The verifier of the contracts and the one of the `credits` crate say the same of a thousand proofs, good and bad.

use ark_bn254::{Fr, G1Affine, G2Affine};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{Field, UniformRand};
use credits::{Fe, SpendProof, SpendPublic};

use crate::chain::Chain;
use crate::fixture::{TestRng, delta, input_words, params, points, proof_of, proof_words};
use crate::primitives::{proved, verdict, verifier};
use crate::world::credits;

const VECTORS: usize = 1_000;
/// Of each ten vectors, how many are good.
const GOOD_OF_TEN: usize = 4;

/// The same spend in other points: `(rA, B/r + sδ, C + srA)` satisfies the equation that `(A, B, C)` does.
fn again(proof: &SpendProof, rng: &mut TestRng) -> SpendProof {
    let (a, b, c) = points(proof);
    let (r, s) = (Fr::rand(rng), Fr::rand(rng));
    let a = (a * r).into_affine();
    let b = b * r.inverse().unwrap() + delta() * s;
    proof_of(&a, &b.into_affine(), &(a * s + c).into_affine())
}

fn spoil(public: &mut SpendPublic, proof: &SpendProof, rng: &mut TestRng) -> SpendProof {
    let (mut a, mut b, mut c) = points(proof);
    match rng.below(9) {
        0 => public.root.0 = rng.fe(),
        1 => public.nullifier.0 = rng.fe(),
        2 => public.inner_next.0 = rng.fe(),
        3 => public.c_max = credits(public.c_max.get() ^ (1 << rng.below(10))),
        4 => public.ctx = Fe::from(rng.below(77)),
        5 => a = (G1Affine::generator() * Fr::rand(rng)).into_affine(),
        6 => b = (G2Affine::generator() * Fr::rand(rng)).into_affine(),
        7 => c = (c * Fr::rand(rng)).into_affine(),
        _ => a = -a,
    }
    proof_of(&a, &b, &c)
}

#[test]
fn both_verifiers_say_the_same_of_a_thousand_proofs() {
    let mut chain = Chain::new();
    let contract = verifier(&mut chain);
    let (public, proof) = proved();
    let mut rng = TestRng::new(60);
    let mut accepted = 0;
    for number in 0..VECTORS {
        let (mut public, mut proof) = (public, again(&proof, &mut rng));
        let good = number % 10 < GOOD_OF_TEN;
        if !good {
            proof = spoil(&mut public, &proof, &mut rng);
        }
        let ours = params().verifying().verify(&public, &proof).is_ok();
        let theirs = verdict(&mut chain, contract, &input_words(&public), &proof_words(&proof));
        assert_eq!((ours, theirs), (good, good), "{number}");
        accepted += usize::from(theirs);
    }
    assert_eq!(accepted, VECTORS / 10 * GOOD_OF_TEN);
}
