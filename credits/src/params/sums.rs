//! Sums of points times scalars (Pippenger's method), with affine additions that share their inversions.
//!
//! The library adds each point to its bucket in projective coordinates, ten products an addition. Here the points of all buckets of a
//! window are added in pairs, round by round, and the pairs of a round share one inversion (Montgomery's trick): six products. What comes
//! out is what the library computes; tests compare the two, and a prover verifies its proof before it hands it out.
//!
//! Its time depends on points and scalars, as the library's does: it runs where the witness is at home.

use ark_bn254::Fr;
use ark_ec::AffineRepr;
use ark_ec::short_weierstrass::{Affine, Projective, SWCurveConfig};
use ark_ff::{AdditiveGroup, BigInt, Field, Zero, batch_inversion};
#[cfg(feature = "parallel")]
use rayon::prelude::*;
use zeroize::Zeroizing;

/// Scalars are below this power of two.
const SCALAR_BITS: usize = 254;
const LIMB_BITS: usize = 64;

/// `Σ scalarᵢ·pointᵢ`, as far as there are both.
pub(super) fn sum<C: SWCurveConfig<ScalarField = Fr>>(points: &[Affine<C>], scalars: &[BigInt<4>]) -> Projective<C> {
    let width = window_width(points.len().min(scalars.len()));
    let digits = digits(scalars, width);
    let of_window = |digits: &Zeroizing<Vec<i32>>| window(points, digits, width);
    #[cfg(feature = "parallel")]
    let windows: Vec<Projective<C>> = digits.par_iter().map(of_window).collect();
    #[cfg(not(feature = "parallel"))]
    let windows: Vec<Projective<C>> = digits.iter().map(of_window).collect();
    windows.iter().rev().fold(Projective::ZERO, |mut total, window| {
        for _ in 0..width {
            total.double_in_place();
        }
        total + window
    })
}

/// Bits of a window: wider ones are fewer, and each has twice the buckets to sum up in the end.
fn window_width(points: usize) -> usize {
    let log = points.checked_ilog2().and_then(|log| usize::try_from(log).ok()).unwrap_or_default();
    log.saturating_sub(3).clamp(3, 14)
}

/// For each window, lowest first, every scalar's digit there: `−2^(width−1) < digit ≤ 2^(width−1)`.
fn digits(scalars: &[BigInt<4>], width: usize) -> Vec<Zeroizing<Vec<i32>>> {
    // One more than the bits take, for the last carry.
    let count = SCALAR_BITS / width + 1;
    let mut windows: Vec<_> = (0..count).map(|_| Zeroizing::new(Vec::with_capacity(scalars.len()))).collect();
    let (base, half) = (1_i32 << width, 1_i32 << (width - 1));
    for scalar in scalars {
        let mut carry = 0;
        for (at, window) in windows.iter_mut().enumerate() {
            let digit = bits(scalar, at * width, width) + carry;
            carry = i32::from(digit > half);
            window.push(digit - carry * base);
        }
    }
    windows
}

/// `width` bits of a scalar from bit `from` on.
fn bits(BigInt(limbs): &BigInt<4>, from: usize, width: usize) -> i32 {
    let limb = |at: usize| limbs.get(at).copied().unwrap_or_default();
    let (at, shift) = (from / LIMB_BITS, from % LIMB_BITS);
    let both = u128::from(limb(at)) | u128::from(limb(at + 1)) << LIMB_BITS;
    i32::try_from(both >> shift & ((1 << width) - 1)).unwrap_or_default()
}

/// `Σ digitᵢ·pointᵢ`.
fn window<C: SWCurveConfig>(points: &[Affine<C>], digits: &[i32], width: usize) -> Projective<C> {
    let (mut points, mut counts) = by_bucket(points, digits, 1 << (width - 1));
    while counts.iter().any(|count| *count > 1) {
        points = halved(&points, &mut counts);
    }
    // Each bucket's point as often as its digit says: from the highest on, everything so far once more for each digit.
    let mut points = points.into_iter().rev();
    let (mut running, mut total) = (Projective::ZERO, Projective::ZERO);
    for count in counts.into_iter().rev() {
        points.by_ref().take(count).for_each(|point| running += point);
        total += running;
    }
    total
}

/// The points by the absolute value of their digits, those of one bucket side by side, and how many each bucket has. Points of negative
/// digits are negated, those of 0 left out.
fn by_bucket<C: SWCurveConfig>(points: &[Affine<C>], digits: &[i32], buckets: usize) -> (Vec<Affine<C>>, Vec<usize>) {
    let bucket_of = |digit: i32| usize::try_from(digit.unsigned_abs()).ok()?.checked_sub(1);
    let used = || points.iter().zip(digits).filter_map(|(point, digit)| Some((point, *digit, bucket_of(*digit)?)));
    let mut counts = vec![0_usize; buckets];
    used().for_each(|(_, _, bucket)| counts.get_mut(bucket).into_iter().for_each(|count| *count += 1));
    let mut places: Vec<usize> = Vec::with_capacity(buckets);
    let all = counts.iter().fold(0, |start, count| {
        places.push(start);
        start + count
    });
    let mut sorted = vec![Affine::identity(); all];
    for (point, digit, bucket) in used() {
        if let Some(place) = places.get_mut(bucket)
            && let Some(slot) = sorted.get_mut(*place)
        {
            *slot = if digit < 0 { -*point } else { *point };
            *place += 1;
        }
    }
    (sorted, counts)
}

/// Every bucket with the sums of its pairs; one that is left over stays.
fn halved<C: SWCurveConfig>(points: &[Affine<C>], counts: &mut [usize]) -> Vec<Affine<C>> {
    let mut inverses: Vec<C::BaseField> = Vec::with_capacity(points.len() / 2);
    inverses.extend(pairs(points, counts).filter_map(|pair| Some(run(pair.first()?, pair.get(1)?))));
    batch_inversion(&mut inverses);
    let mut inverses = inverses.into_iter();
    let sums = pairs(points, counts).filter_map(|pair| match pair {
        [left, right] => Some(add(left, right, inverses.next()?)),
        rest => rest.first().copied(),
    });
    let sums = sums.collect();
    counts.iter_mut().for_each(|count| *count = count.div_ceil(2));
    sums
}

fn pairs<'a, C: SWCurveConfig>(points: &'a [Affine<C>], counts: &'a [usize]) -> impl Iterator<Item = &'a [Affine<C>]> {
    let buckets = counts.iter().scan(points, |rest, count| {
        let (bucket, after) = rest.split_at_checked(*count)?;
        *rest = after;
        Some(bucket.chunks(2))
    });
    buckets.flatten()
}

/// What the slope of the line through both is divided by; 1 where there is none.
fn run<C: SWCurveConfig>(left: &Affine<C>, right: &Affine<C>) -> C::BaseField {
    match (left.xy(), right.xy()) {
        (Some((x, _)), Some((other, _))) if x != other => other - x,
        (Some((_, y)), Some((_, other))) if y == other && !y.is_zero() => y.double(),
        _ => C::BaseField::ONE,
    }
}

/// The sum of both, given the inverse of [`run`].
fn add<C: SWCurveConfig>(left: &Affine<C>, right: &Affine<C>, inverse: C::BaseField) -> Affine<C> {
    let (Some((x, y)), Some((other_x, other_y))) = (left.xy(), right.xy()) else {
        return if left.is_zero() { *right } else { *left };
    };
    let rise = if x != other_x {
        other_y - y
    } else if y == other_y && !y.is_zero() {
        let square = x.square();
        square.double() + square + C::COEFF_A
    } else {
        return Affine::identity();
    };
    let slope = rise * inverse;
    let sum_x = slope.square() - x - other_x;
    Affine::new_unchecked(sum_x, slope * (x - sum_x) - y)
}

#[cfg(test)]
mod tests {
    use ark_bn254::{G1Affine, G2Affine};
    use ark_ec::{CurveGroup, VariableBaseMSM};
    use ark_ff::{PrimeField, UniformRand};

    use super::*;
    use crate::fixture::TestRng;

    fn edges() -> Vec<Fr> {
        let small = [0_u64, 1, 2, 3, 255, 256, 1023, 1024, 1025, u64::MAX].map(Fr::from);
        let large = [Fr::from(2_u64).pow([253]), Fr::from(2_u64).pow([252]) - Fr::from(1_u64)];
        small.into_iter().chain(large).flat_map(|scalar| [scalar, -scalar]).collect()
    }

    fn is_the_library_s<C: SWCurveConfig<ScalarField = Fr>>(points: &[Affine<C>], scalars: &[Fr]) {
        let scalars: Vec<_> = scalars.iter().map(|scalar| scalar.into_bigint()).collect();
        assert_eq!(sum(points, &scalars), Projective::<C>::msm_bigint(points, &scalars), "{} points", points.len());
    }

    #[test]
    fn sums_are_the_library_s() {
        let rng = &mut TestRng::new(71);
        for count in [0, 1, 2, 3, 30, 300, 3000] {
            let points: Vec<_> = (0..count).map(|_| G1Affine::rand(rng)).collect();
            let scalars: Vec<_> = (0..count).map(|_| Fr::rand(rng)).collect();
            is_the_library_s(&points, &scalars);
        }
        let points: Vec<_> = (0..200).map(|_| G2Affine::rand(rng)).collect();
        let scalars: Vec<_> = (0..200).map(|_| Fr::rand(rng)).collect();
        is_the_library_s(&points, &scalars);
    }

    /// Digits at their limits, and many scalars that are bits, as a witness has them.
    #[test]
    fn every_digit_counts() {
        let rng = &mut TestRng::new(72);
        let scalars: Vec<_> = edges().into_iter().chain((0..2000).map(|number| Fr::from(number % 2))).collect();
        let points: Vec<_> = scalars.iter().map(|_| G1Affine::rand(rng)).collect();
        is_the_library_s(&points, &scalars);
        for scalar in edges() {
            is_the_library_s(&points[..1], &[scalar]);
        }
        for width in 3..=14 {
            let digits = digits(&scalars.iter().map(|scalar| scalar.into_bigint()).collect::<Vec<_>>(), width);
            for (at, scalar) in scalars.iter().enumerate() {
                let base = Fr::from(1_u64 << width);
                let value = digits.iter().rev().fold(Fr::ZERO, |value, window| value * base + Fr::from(window[at]));
                assert_eq!(value, *scalar);
                assert!(digits.iter().all(|window| window[at].unsigned_abs() <= 1 << (width - 1)));
            }
        }
    }

    /// A key that somebody made so: the same point in a bucket twice, opposite points, identities.
    #[test]
    fn points_that_meet_are_added_too() {
        let rng = &mut TestRng::new(73);
        let (point, other) = (G1Affine::rand(rng), G1Affine::rand(rng));
        let tripled = (point + point + point).into_affine();
        let few = [point, point, -point, G1Affine::identity(), other, tripled, -tripled, point, point];
        let points: Vec<_> = few.iter().copied().cycle().take(90).collect();
        for scalar in edges() {
            is_the_library_s(&points, &[scalar; 90]);
        }
        let scalars: Vec<_> = edges().into_iter().cycle().take(90).collect();
        is_the_library_s(&points, &scalars);
        is_the_library_s(&[G1Affine::identity(); 9], &[Fr::from(5_u64); 9]);
    }
}
