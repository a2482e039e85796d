//! The Groth16 equation, for one proof and for many at once.
//!
//! `ark_groth16`'s own verifier is not called: it takes a slice of inputs whose length nothing checks, and unwraps the final
//! exponentiation. Here the number of inputs is part of the type.

use ark_bn254::{Bn254, Fr, G1Affine, G1Projective, G2Affine};
use ark_ec::pairing::{Pairing, PairingOutput};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{BigInteger, PrimeField, Zero};
use rand_core::CryptoRngCore;

use super::IC_LEN;
use super::lines::{Lines, miller_loop};
use super::power::Power;
use crate::circuit::PUBLIC_INPUTS;

/// Windows of a byte each in a scalar.
const WINDOWS: usize = 32;
/// Multiples of a window's point, without the zeroth.
const MULTIPLES: usize = 255;

/// A proof's points, which are in their subgroups, and the inputs it is for.
#[derive(Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) inputs: [Fr; PUBLIC_INPUTS],
    pub(crate) a: G1Affine,
    pub(crate) b: G2Affine,
    pub(crate) c: G1Affine,
}

/// A verifying key that passed the boot checks, prepared for use.
pub(crate) struct Equation {
    alpha: G1Affine,
    constant: G1Affine,
    of_inputs: [FixedBase; PUBLIC_INPUTS],
    alpha_beta: PairingOutput<Bn254>,
    gamma_negated: <Bn254 as Pairing>::G2Prepared,
    delta_negated: <Bn254 as Pairing>::G2Prepared,
    /// −γ, −δ and −β, for many proofs at once.
    negated: [Lines; 3],
}

impl Equation {
    /// `None` if one of β, γ and δ is not in the subgroup or the identity.
    pub(super) fn new(
        alpha: G1Affine,
        beta: G2Affine,
        gamma: G2Affine,
        delta: G2Affine,
        ic: [G1Affine; IC_LEN],
    ) -> Option<Self> {
        let [constant, of_inputs @ ..] = ic;
        let negated: Vec<_> = Lines::of_many(&[-gamma, -delta, -beta]).into_iter().collect::<Option<_>>()?;
        Some(Self {
            alpha,
            constant,
            of_inputs: of_inputs.map(FixedBase::new),
            alpha_beta: Bn254::pairing(alpha, beta),
            gamma_negated: (-gamma).into(),
            delta_negated: (-delta).into(),
            negated: negated.try_into().ok()?,
        })
    }

    /// `e(A,B) = e(α,β)·e(IC(x),γ)·e(C,δ)`.
    pub(crate) fn holds(&self, claim: &Claim) -> bool {
        let statement = self.statement(claim.inputs, self.constant.into_group());
        let product = Bn254::multi_miller_loop(
            [claim.a, statement, claim.c],
            [claim.b.into(), self.gamma_negated.clone(), self.delta_negated.clone()],
        );
        Bn254::final_exponentiation(product).is_some_and(|product| product == self.alpha_beta)
    }

    /// Whether the equation holds for all claims, beside the lines of each B: each raised to a random power, all multiplied. One that
    /// does not hold goes unnoticed with a chance of 2^-128, whatever the others are, if `rng` could not be foreseen when the proofs
    /// were made. It is sound because every point is in the subgroup of prime order.
    pub(crate) fn all_hold(&self, claims: &[(&Claim, &Lines)], rng: &mut dyn CryptoRngCore) -> bool {
        let powers: Vec<Power> = claims.iter().map(|_| Power::random(rng)).collect();
        let weighed = || powers.iter().copied().zip(claims.iter().copied());
        let mut inputs = [Fr::from(0_u64); PUBLIC_INPUTS];
        let mut total = Fr::from(0_u64);
        for (power, (claim, _)) in weighed() {
            let power = power.value();
            total += power;
            inputs.iter_mut().zip(claim.inputs).for_each(|(sum, input)| *sum += input * power);
        }
        let a = Power::products(weighed().map(|(power, (claim, _))| (power, claim.a)));
        let own = a.into_iter().zip(claims.iter().map(|(_, lines)| *lines));
        let statement = self.statement(inputs, self.constant * total);
        let c = Power::sum(weighed().map(|(power, (claim, _))| (power, claim.c))).into_affine();
        // A fourth pairing costs less than raising e(α,β) to a power.
        let [gamma, delta, beta] = &self.negated;
        let shared = [(statement, gamma), (c, delta), ((self.alpha * total).into_affine(), beta)];
        let product = Bn254::final_exponentiation(miller_loop(own.chain(shared)));
        product.is_some_and(|product| product.is_zero())
    }

    /// `start + Σ xᵢ·ICᵢ`.
    fn statement(&self, inputs: [Fr; PUBLIC_INPUTS], start: G1Projective) -> G1Affine {
        let weighted = self.of_inputs.iter().zip(inputs);
        weighted.fold(start, |sum, (base, input)| base.add_multiple(sum, input)).into_affine()
    }
}

/// Multiples of a point, so that a multiplication is one addition for each byte of the scalar. Public points and scalars only:
/// its time depends on both.
struct FixedBase(Vec<G1Affine>);

impl FixedBase {
    fn new(point: G1Affine) -> Self {
        let mut multiples = Vec::with_capacity(WINDOWS * MULTIPLES);
        let mut window = point.into_group();
        for _ in 0..WINDOWS {
            let mut multiple = window;
            for _ in 0..MULTIPLES {
                multiples.push(multiple);
                multiple += window;
            }
            window = multiple;
        }
        Self(G1Projective::normalize_batch(&multiples))
    }

    /// `sum + scalar·point`.
    fn add_multiple(&self, sum: G1Projective, scalar: Fr) -> G1Projective {
        let digits = scalar.into_bigint().to_bytes_le();
        let windows = self.0.chunks_exact(MULTIPLES).zip(digits);
        let chosen = windows.filter_map(|(multiples, digit)| multiples.get(usize::from(digit).checked_sub(1)?));
        chosen.fold(sum, |sum, multiple| sum + multiple)
    }
}

#[cfg(test)]
mod tests {
    use ark_ff::UniformRand;

    use super::*;
    use crate::fixture::TestRng;

    #[test]
    fn multiples_are_what_the_library_computes() {
        let rng = &mut TestRng::new(31);
        let point = G1Affine::rand(rng);
        let base = FixedBase::new(point);
        let edge = [0_u64, 1, 255, 256, 257, u64::MAX].map(Fr::from);
        let others = [-Fr::from(1_u64), Fr::rand(rng), Fr::rand(rng)];
        for scalar in edge.into_iter().chain(others) {
            let start = G1Projective::rand(rng);
            assert_eq!(base.add_multiple(start, scalar), start + point * scalar, "{scalar}");
        }
    }
}
