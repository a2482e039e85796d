//! Random linear combinations: many equations in one pairing check.
//!
//! Each equation is raised to a random power of 128 bits. One that does not hold goes unnoticed with a chance of 2^-128, because
//! the powers are drawn after the points are there and every point is in the subgroup of prime order.

use ark_bn254::{Bn254, Fr, G1Affine, G2Affine};
use ark_ec::pairing::Pairing;
use ark_ec::{CurveGroup, VariableBaseMSM};
use ark_ff::Zero;
use rand_core::CryptoRngCore;

use crate::error::CeremonyError;

/// `count` random powers of 128 bits.
pub(crate) fn random_powers(count: usize, rng: &mut dyn CryptoRngCore) -> Result<Vec<Fr>, CeremonyError> {
    let mut bytes = vec![0; count.saturating_mul(16)];
    rng.try_fill_bytes(&mut bytes).map_err(|_| CeremonyError::Random)?;
    let (powers, _) = bytes.as_chunks::<16>();
    Ok(powers.iter().map(|bytes| Fr::from(u128::from_le_bytes(*bytes))).collect())
}

/// `Σ scalarᵢ·pointᵢ` over as many as the shorter list has.
pub(crate) fn sum<G: CurveGroup + VariableBaseMSM<MulBase = G::Affine>>(
    points: &[G::Affine],
    scalars: &[G::ScalarField],
) -> G::Affine {
    G::msm_unchecked(points, scalars).into_affine()
}

/// `e(left, right_after) = e(left_after, right)`: what multiplied `left` multiplied `right` too.
pub(crate) fn same_factor(left: G1Affine, left_after: G1Affine, right: G2Affine, right_after: G2Affine) -> bool {
    let product = Bn254::multi_miller_loop([left, -left_after], [right_after, right]);
    Bn254::final_exponentiation(product).is_some_and(|product| product.is_zero())
}
