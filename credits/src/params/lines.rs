//! The lines of the optimal ate pairing (Vercauteren, "Optimal pairings", 2010, §IV.B), for many points of G2 at once.
//!
//! The library works out the lines of one point in projective coordinates, since an inversion costs it as much as a hundred
//! products. Many points share one (Montgomery's trick), and affine lines have a coefficient that is 1 then: less to work out, and a
//! quarter less to multiply by. What is computed is the library's pairing; tests compare the two.
//!
//! The walk to `[6x+2]Q + ψ(Q) − ψ²(Q)` also tells whether `Q` is in the subgroup of prime order: there, and only there, it ends at
//! `−ψ³(Q)`. Inside because `6x+2 + p − p² + p³` is a multiple of `r` and ψ multiplies by `p`. That no other point ends there is not
//! taken from anywhere: the cofactor is a product of four different primes, so whatever is outside has a part of one of these orders,
//! and a test asks a point of each (as in `subgroup.rs`).

use ark_bn254::{Bn254, Config, Fq, Fq2, Fq6, Fq12, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ec::bn::BnConfig;
use ark_ec::pairing::MillerLoopOutput;
use ark_ff::{AdditiveGroup, Field, Zero, batch_inversion};

use super::subgroup::frobenius_affine;

/// A point of the twist's coordinates.
type Point = (Fq2, Fq2);

/// The line with this slope through a point `(x, y)`, and `slope·x − y`.
#[derive(Clone, Copy)]
struct Line {
    slope: Fq2,
    offset: Fq2,
}

/// The lines of a point that is in the subgroup of prime order and not the identity: only [`Lines::of_many`] makes them.
pub(crate) struct Lines(Vec<Line>);

impl Lines {
    /// The lines of many points of the curve, or `None` for those outside the subgroup and for the identity. Its time depends on the
    /// points: for public ones.
    pub(crate) fn of_many(points: &[G2Affine]) -> Vec<Option<Self>> {
        let mut walks: Vec<Walk> = points.iter().map(Walk::from).collect();
        for digit in Config::ATE_LOOP_COUNT.iter().rev().skip(1) {
            step(&mut walks, |_| None);
            match digit {
                1 => step(&mut walks, |walk| Some(walk.start)),
                -1 => step(&mut walks, |walk| Some((walk.start.0, -walk.start.1))),
                _ => {}
            }
        }
        step(&mut walks, |walk| Some(frobenius_affine(walk.start)));
        step(&mut walks, |walk| {
            let (x, y) = frobenius_affine(frobenius_affine(walk.start));
            Some((x, -y))
        });
        walks.into_iter().map(Walk::end).collect()
    }
}

/// A point on its way, and the lines it went along.
struct Walk {
    start: Point,
    at: Point,
    lines: Vec<Line>,
    /// Whether no step was one that these formulas have no answer for. No point of the curve but the identity has one: the scalars of
    /// the walk meet none of the cases modulo any of the five primes of the group's order. This does not rely on it.
    regular: bool,
}

impl From<&G2Affine> for Walk {
    fn from(point: &G2Affine) -> Self {
        let start = point.xy();
        let regular = start.is_some();
        let start = start.unwrap_or_default();
        Self { start, at: start, lines: Vec::with_capacity(STEPS), regular }
    }
}

impl Walk {
    /// What has to be inverted for the slope of the line through here and `other`, or of the tangent if there is none.
    fn run(&self, other: Option<Point>) -> Fq2 {
        other.map_or_else(|| self.at.1.double(), |other| self.at.0 - other.0)
    }

    /// One step along that line, whose run's inverse is given; zero stays for a run of zero.
    fn step(&mut self, other: Option<Point>, inverse: Fq2) {
        self.regular &= !inverse.is_zero();
        let (x, y) = self.at;
        let rise = other.map_or_else(
            || {
                let square = x.square();
                square.double() + square
            },
            |other| y - other.1,
        );
        let slope = rise * inverse;
        self.lines.push(Line { slope, offset: slope * x - y });
        let next = slope.square() - x - other.map_or(x, |other| other.0);
        self.at = (next, slope * (x - next) - y);
    }

    fn end(self) -> Option<Lines> {
        let (x, y) = frobenius_affine(frobenius_affine(frobenius_affine(self.start)));
        (self.regular && self.at == (x, -y)).then_some(Lines(self.lines))
    }
}

/// Doublings, additions, and the two of the end.
const STEPS: usize = 64 + 21 + 2;

/// One step of every walk: a doubling, or an addition of what is told for each.
fn step(walks: &mut [Walk], other: impl Fn(&Walk) -> Option<Point>) {
    let mut inverses: Vec<Fq2> = walks.iter().map(|walk| walk.run(other(walk))).collect();
    batch_inversion(&mut inverses);
    for (walk, inverse) in walks.iter_mut().zip(inverses) {
        walk.step(other(walk), inverse);
    }
}

/// The product of the Miller functions of all pairs, up to a factor that the final exponentiation takes away.
pub(crate) fn miller_loop<'a>(pairs: impl IntoIterator<Item = (G1Affine, &'a Lines)>) -> MillerLoopOutput<Bn254> {
    let (points, lines): (Vec<_>, Vec<_>) =
        pairs.into_iter().filter_map(|(point, lines)| Some((point.xy()?, lines.0.iter()))).unzip();
    // A line at P is 1 − slope·(x/y)·w + offset·(1/y)·w³, after a division by y, which is not zero: the order of G1 is odd.
    let mut inverses: Vec<Fq> = points.iter().map(|(_, y)| *y).collect();
    batch_inversion(&mut inverses);
    let mut pairs: Vec<_> =
        points.into_iter().zip(inverses).map(|((x, _), inverse)| (-x * inverse, inverse)).zip(lines).collect();
    let mut product = Fq12::ONE;
    let mut along = |product: &mut Fq12| {
        for ((x, y), lines) in &mut pairs {
            if let Some(Line { slope, offset }) = lines.next() {
                let mut at = (*slope, *offset);
                at.0.mul_assign_by_fp(x);
                at.1.mul_assign_by_fp(y);
                multiply(product, at);
            }
        }
    };
    for digit in Config::ATE_LOOP_COUNT.iter().rev().skip(1) {
        product.square_in_place();
        along(&mut product);
        if *digit != 0 {
            along(&mut product);
        }
    }
    along(&mut product);
    along(&mut product);
    MillerLoopOutput(product)
}

/// `product · (1 + a·w + b·w³)`.
fn multiply(product: &mut Fq12, (a, b): (Fq2, Fq2)) {
    let Fq12 { c0, c1, .. } = *product;
    let mut high = c1;
    high.mul_by_01(&a, &b);
    let mut sum = c0 + c1;
    sum.mul_by_01(&(Fq2::ONE + a), &b);
    product.c1 = sum - c0 - high;
    product.c0 = c0 + times_v(high);
}

/// `v·element`, where `v³ = ξ`.
fn times_v(element: Fq6) -> Fq6 {
    use ark_ff::fields::fp6_3over2::Fp6Config;
    let mut last = element.c2;
    ark_bn254::Fq6Config::mul_fp2_by_nonresidue_in_place(&mut last);
    Fq6::new(last, element.c0, element.c1)
}

#[cfg(test)]
mod tests {
    use ark_ec::CurveGroup;
    use ark_ec::pairing::Pairing;
    use ark_ff::UniformRand;

    use super::super::subgroup::tests::{PRIMES, any, of_order};
    use super::*;
    use crate::fixture::TestRng;

    fn of(point: G2Affine) -> Option<Lines> {
        Lines::of_many(&[point]).pop().unwrap()
    }

    #[test]
    fn products_of_pairings_are_the_library_s() {
        let rng = &mut TestRng::new(51);
        for count in [0, 1, 2, 3, 5, 17] {
            let left: Vec<_> = (0..count).map(|_| G1Affine::rand(rng)).collect();
            let right: Vec<_> = (0..count).map(|_| G2Affine::rand(rng)).collect();
            let lines: Vec<_> = Lines::of_many(&right).into_iter().map(Option::unwrap).collect();
            assert!(lines.iter().all(|lines| lines.0.len() == STEPS));
            let product = Bn254::final_exponentiation(miller_loop(left.iter().copied().zip(&lines)));
            assert_eq!(product.unwrap(), Bn254::multi_pairing(left, right), "{count} pairs");
        }
    }

    #[test]
    fn the_pairing_is_bilinear_and_not_degenerate() {
        let rng = &mut TestRng::new(52);
        let (p, q, factor) = (G1Affine::rand(rng), G2Affine::rand(rng), ark_bn254::Fr::rand(rng));
        let (of_q, of_multiple) = (of(q).unwrap(), of((q * factor).into_affine()).unwrap());
        let is_one = |pairs: [(G1Affine, &Lines); 2]| {
            Bn254::final_exponentiation(miller_loop(pairs)).is_some_and(|product| product.is_zero())
        };
        assert!(is_one([((p * factor).into_affine(), &of_q), (-p, &of_multiple)]));
        assert!(!is_one([((p * factor).into_affine(), &of_q), (p, &of_multiple)]));
        assert!(!is_one([(p, &of_q), (p, &of_multiple)]));
    }

    #[test]
    fn a_pair_with_an_identity_counts_for_nothing() {
        let rng = &mut TestRng::new(53);
        let (p, q) = (G1Affine::rand(rng), of(G2Affine::rand(rng)).unwrap());
        let product = |pairs: &[(G1Affine, &Lines)]| Bn254::final_exponentiation(miller_loop(pairs.iter().copied()));
        assert_eq!(product(&[(G1Affine::identity(), &q), (p, &q)]), product(&[(p, &q)]));
        assert!(product(&[]).is_some_and(|product| product.is_zero()));
        assert!(of(G2Affine::identity()).is_none());
    }

    /// The four primes of the cofactor: alone, together, and beside a part that is inside.
    #[test]
    fn points_outside_the_subgroup_have_no_lines() {
        let rng = &mut TestRng::new(54);
        let of_orders: Vec<_> = (0..PRIMES.len()).map(|at| of_order(at, rng)).collect();
        let inside = G2Affine::rand(rng);
        let all = of_orders.iter().fold(inside.into_group(), |sum, point| sum + point).into_affine();
        let mixed: Vec<_> = of_orders.iter().map(|point| (inside + point).into_affine()).collect();
        for outside in of_orders.iter().chain(&mixed).chain([&all]) {
            assert!(of(*outside).is_none());
            // Beside others it is still the only one without.
            let verdicts = Lines::of_many(&[inside, *outside, -inside, G2Affine::identity(), inside]);
            let verdicts: Vec<_> = verdicts.iter().map(Option::is_some).collect();
            assert_eq!(verdicts, [true, false, true, false, true]);
        }
    }

    #[test]
    fn the_verdict_is_the_library_s() {
        let rng = &mut TestRng::new(55);
        let points: Vec<_> = (0..50).flat_map(|_| [G2Affine::rand(rng), any(rng)]).collect();
        for (point, lines) in points.iter().zip(Lines::of_many(&points)) {
            assert_eq!(lines.is_some(), point.is_in_correct_subgroup_assuming_on_curve());
        }
        assert!(of(G2Affine::generator()).is_some());
    }
}
