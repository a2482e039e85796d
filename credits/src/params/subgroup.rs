//! Which points of the curve are in the subgroup of prime order `r`.
//!
//! On G1 all are: its cofactor is 1. On G2 the library multiplies by `6x²`, a number of 127 bits; the relation here takes one
//! multiplication by `x`, of 63: `[x+1]P + ψ([x]P) + ψ²([x]P) = ψ³([2x]P)`, with ψ the untwist-Frobenius-twist endomorphism
//! (El Housni, Guillevic, Piellard, "Co-factor clearing and subgroup membership testing on pairing-friendly curves", ePrint
//! 2022/352). That no other point satisfies it is not only taken from there: the cofactor is a product of four different primes,
//! so whatever is outside the subgroup has a part of one of these orders, and a test asks a point of each.

use ark_bn254::{Config, Fq2, G2Projective, g1, g2};
use ark_ec::AffineRepr;
use ark_ec::bn::BnConfig;
use ark_ec::short_weierstrass::Affine;
use ark_ff::{AdditiveGroup, Field};

/// A point on the curve, as decoding leaves it.
pub(crate) trait OnCurve {
    /// Whether its order is `r` or 1. Its time depends on the point: for public ones.
    fn is_in_subgroup(&self) -> bool;
}

impl OnCurve for Affine<g1::Config> {
    fn is_in_subgroup(&self) -> bool {
        true
    }
}

impl OnCurve for Affine<g2::Config> {
    fn is_in_subgroup(&self) -> bool {
        let point = self.into_group();
        let multiple = self.mul_bigint(Config::X);
        let once = frobenius(multiple);
        let twice = frobenius(once);
        // ψ is an endomorphism: ψ³([2x]P) is twice ψ³([x]P).
        point + multiple + once + twice == frobenius(twice).double()
    }
}

/// ψ. Z follows, so no inversion is needed.
fn frobenius(point: G2Projective) -> G2Projective {
    let G2Projective { x, y, z } = point;
    let (x, y) = frobenius_affine((x, y));
    G2Projective { x, y, z: z.frobenius_map(1) }
}

/// ψ: both coordinates to the power of the field's characteristic, back on the twist.
pub(super) fn frobenius_affine((x, y): (Fq2, Fq2)) -> (Fq2, Fq2) {
    (x.frobenius_map(1) * Config::TWIST_MUL_BY_Q_X, y.frobenius_map(1) * Config::TWIST_MUL_BY_Q_Y)
}

#[cfg(test)]
pub(super) mod tests {
    use ark_bn254::{Fr, G1Affine, G2Affine};
    use ark_ec::{CurveConfig, CurveGroup};
    use ark_ff::{BigInteger, BigInteger256, PrimeField, UniformRand, Zero};

    use super::*;
    use crate::fixture::TestRng;

    /// The primes whose product the cofactor is.
    pub(in super::super) const PRIMES: [BigInteger256; 4] = [
        BigInteger256::new([10_069, 0, 0, 0]),
        BigInteger256::new([5_864_401, 0, 0, 0]),
        BigInteger256::new([1_875_725_156_269, 0, 0, 0]),
        BigInteger256::new([0x9b6e_0b35_8e0d_894d, 0xe9da_b924_0f0c_6ab8, 0x0002_1031_5729_f570, 0]),
    ];

    /// Any point of the curve; with a chance of less than 2^-250 in the subgroup.
    pub(in super::super) fn any(rng: &mut TestRng) -> G2Affine {
        loop {
            if let Some(point) = G2Affine::get_point_from_x_unchecked(Fq2::rand(rng), false) {
                return point;
            }
        }
    }

    /// A point whose order is one of the primes.
    pub(in super::super) fn of_order(at: usize, rng: &mut TestRng) -> G2Affine {
        loop {
            // Times everything but this prime: of this order, or nothing.
            let start = any(rng).mul_bigint(Fr::MODULUS);
            let others = PRIMES.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, prime)| *prime);
            let point = others.fold(start, |point, other| point.into_affine().mul_bigint(other));
            if !point.is_zero() {
                return point.into_affine();
            }
        }
    }

    #[test]
    fn the_cofactor_is_the_product_of_four_primes() {
        let product = PRIMES.iter().skip(1).fold(PRIMES[0], |product, prime| {
            let (low, high) = product.mul(prime);
            assert!(high.is_zero());
            low
        });
        assert_eq!(product.0.as_slice(), g2::Config::COFACTOR);
    }

    #[test]
    fn points_of_every_order_outside_the_subgroup_are_told_from_those_inside() {
        let rng = &mut TestRng::new(5);
        for (index, prime) in PRIMES.iter().enumerate() {
            let point = of_order(index, rng);
            assert!(point.mul_bigint(*prime).is_zero(), "{prime}");
            assert!(!point.is_in_subgroup(), "{prime}");
            assert!(!point.is_in_correct_subgroup_assuming_on_curve(), "{prime}");
            // Together with a part that is inside.
            let mixed = (G2Affine::rand(rng) + point).into_affine();
            assert!(!mixed.is_in_subgroup(), "{prime}");
        }
    }

    #[test]
    fn the_verdict_is_the_library_s() {
        let rng = &mut TestRng::new(6);
        for _ in 0..50 {
            let (inside, outside) = (G2Affine::rand(rng), any(rng));
            assert!(inside.is_in_subgroup() && inside.is_in_correct_subgroup_assuming_on_curve());
            assert!(!outside.is_in_subgroup() && !outside.is_in_correct_subgroup_assuming_on_curve());
            assert!((-inside).is_in_subgroup());
        }
        assert!(G2Affine::zero().is_in_subgroup());
        assert!(G2Affine::generator().is_in_subgroup());
        assert!(G1Affine::rand(rng).is_in_correct_subgroup_assuming_on_curve());
    }
}
