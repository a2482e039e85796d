//! Random powers, and products of points with them.
//!
//! G1 has an endomorphism φ that multiplies by λ, a third root of one, and costs one product of coordinates (Gallant, Lambert,
//! Vanstone, CRYPTO 2001). A power is `low + λ·high` with 64 random bits each: 128 bits of chance at half the doublings. No two pairs make
//! the same one: `a + λ·b ≡ 0` makes `r` divide `a² − a·b + b²`, which for a difference of two pairs is below 3·2^128, and 0 for none.

use ark_bn254::{Fr, G1Affine, G1Projective, g1};
use ark_ec::scalar_mul::glv::GLVConfig;
use ark_ec::{CurveGroup, VariableBaseMSM};
use ark_ff::AdditiveGroup;
use rand_core::CryptoRngCore;

/// A random power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Power {
    low: u64,
    high: u64,
}

impl Power {
    pub(super) fn random(rng: &mut dyn CryptoRngCore) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        let both = u128::from_le_bytes(bytes);
        let [low, high] = [both, both >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default());
        Self { low, high }
    }

    pub(super) fn value(self) -> Fr {
        Fr::from(self.low) + g1::Config::LAMBDA * Fr::from(self.high)
    }

    /// `power·point`. Its time depends on both: for public points and powers.
    pub(super) fn times(self, point: &G1Affine) -> G1Projective {
        let once = endomorphism(point);
        // 1 + λ + λ² = 0.
        let both = -endomorphism(&once);
        (0..u64::BITS).rev().fold(G1Projective::ZERO, |mut product, bit| {
            product.double_in_place();
            match (self.low >> bit & 1, self.high >> bit & 1) {
                (0, 0) => product,
                (_, 0) => product + point,
                (0, _) => product + once,
                _ => product + both,
            }
        })
    }

    /// `Σ powerᵢ·pointᵢ`.
    pub(super) fn sum(of: impl Iterator<Item = (Self, G1Affine)>) -> G1Projective {
        let halves = of.flat_map(|(power, point)| [(point, power.low), (endomorphism(&point), power.high)]);
        let (points, powers): (Vec<_>, Vec<_>) = halves.unzip();
        G1Projective::msm_u64(&points, &powers)
    }

    /// `powerᵢ·pointᵢ`.
    pub(super) fn products(of: impl Iterator<Item = (Self, G1Affine)>) -> Vec<G1Affine> {
        let products: Vec<_> = of.map(|(power, point)| power.times(&point)).collect();
        G1Projective::normalize_batch(&products)
    }
}

/// φ.
fn endomorphism(point: &G1Affine) -> G1Affine {
    g1::Config::endomorphism_affine(point)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ark_ff::{PrimeField, UniformRand};

    use super::*;
    use crate::fixture::TestRng;

    fn edges() -> impl Iterator<Item = Power> {
        let halves = [0, 1, 2, u64::MAX, 1 << 63, 0x5555_5555_5555_5555];
        halves.into_iter().flat_map(move |low| halves.map(|high| Power { low, high }))
    }

    #[test]
    fn powers_have_128_bits() {
        let seen: BTreeSet<_> = (0..20).map(|seed| Power::random(&mut TestRng::new(seed))).collect();
        assert_eq!(seen.len(), 20, "each is drawn anew");
        assert!(seen.iter().all(|power| power.low >> 32 != 0 && power.high >> 32 != 0), "both halves are drawn");
    }

    #[test]
    fn products_and_sums_are_the_library_s() {
        let rng = &mut TestRng::new(61);
        let powers: Vec<_> = edges().chain((0..8).map(|_| Power::random(rng))).collect();
        let points: Vec<_> = powers.iter().map(|_| G1Affine::rand(rng)).collect();
        let expected: Vec<_> = powers.iter().zip(&points).map(|(power, point)| *point * power.value()).collect();
        let of = || powers.iter().copied().zip(points.iter().copied());
        assert_eq!(Power::products(of()), G1Projective::normalize_batch(&expected));
        assert_eq!(Power::sum(of()), expected.iter().sum::<G1Projective>());
        assert_eq!(Power::sum(powers.iter().map(|power| (*power, G1Affine::identity()))), G1Projective::ZERO);
        assert_eq!(Power::sum(std::iter::empty()), G1Projective::ZERO);
    }

    /// What the argument above rests on, and pairs that would show it wrong first.
    #[test]
    fn no_two_powers_are_the_same() {
        let lambda = g1::Config::LAMBDA;
        assert_eq!(lambda * lambda + lambda, -Fr::from(1_u64));
        const { assert!(Fr::MODULUS_BIT_SIZE > 130) };
        let values: BTreeSet<_> = edges().map(|power| power.value().into_bigint()).collect();
        assert_eq!(values.len(), edges().count());
    }
}
