//! The three points of a proof (Groth, "On the size of pairing-based non-interactive arguments", 2016, §3.2), with the sums that C
//! consists of made at once.
//!
//! The library sums `B` a second time on G1, multiplies it by `r`, and adds it to sums over `H` and over `L`. Multiplied first, the
//! three are one sum of twenty thousand points, which takes fewer additions for each than three of seven thousand.

use ark_bn254::{Bn254, Fr, G1Affine};
use ark_ec::CurveGroup;
use ark_ff::PrimeField;
use ark_groth16::{Proof, ProvingKey};
use zeroize::Zeroizing;

use super::sums::sum;

type Scalar = <Fr as PrimeField>::BigInt;

/// The points that C is a sum of: `H`, `L`, and `B` on G1.
pub(super) fn of_c(key: &ProvingKey<Bn254>) -> Vec<G1Affine> {
    [&key.h_query, &key.l_query, &key.b_g1_query].into_iter().flatten().copied().collect()
}

/// The proof of `values`, inputs first, with this quotient, blinded by `r` and `s`. `of_c` is [`of_c`] of the key. There are as many
/// values as the key has points for, and `inputs` of them are public or one: whoever calls this has seen to it.
pub(super) fn prove(
    key: &ProvingKey<Bn254>,
    of_c: &[G1Affine],
    inputs: usize,
    values: &[Fr],
    quotient: &[Fr],
    [r, s]: [&Fr; 2],
) -> Proof<Bn254> {
    let scalars: Zeroizing<Vec<Scalar>> = Zeroizing::new(values.iter().map(|value| value.into_bigint()).collect());
    let a = sum(&key.a_query, &scalars) + key.delta_g1 * r + key.vk.alpha_g1;
    let b = sum(&key.b_g2_query, &scalars) + key.vk.delta_g2 * s + key.vk.beta_g2;

    // r·B on G1 is r·β + Σ r·vᵢ·Bᵢ + r·s·δ, whose last term the definition of C takes away again.
    let hidden = scalars.iter().skip(inputs).copied();
    let blinded = values.iter().map(|value| (*value * r).into_bigint());
    let of_quotient = quotient.iter().map(|value| value.into_bigint());
    let scalars: Zeroizing<Vec<Scalar>> = Zeroizing::new(of_quotient.chain(hidden).chain(blinded).collect());
    let c = sum(of_c, &scalars) + a * s + key.beta_g1 * r;
    Proof { a: a.into_affine(), b: b.into_affine(), c: c.into_affine() }
}
