//! Poseidon over BN254 with circom's constants (`docs/protocol.md` §3.1), its partial rounds arranged so that they cost a row and a
//! column each instead of a matrix.
//!
//! A round adds constants to all lanes, raises lanes to the fifth power and multiplies all of them by one matrix. In a partial round
//! only lane 0 is raised, so the other lanes `v` stay sums of what they were and of multiples of lane 0's powers `y`: with `N` the matrix
//! among them, `u` the column that lane 0 is spread to them by and `b` their constants, a round makes `u·y + N·(v + b)` of `v`. Kept as
//! `v = N^r·z + d`, with `d` known beforehand, a round only adds `N^-(r+1)·u·y` to `z`, and lane 0 meets `z` by a row that is multiplied
//! by `N^r` beforehand. The outcome is the same element (`docs/decisions/0035`); tests compare it with `light-poseidon`'s.

use std::any::Any;
use std::iter::once;
use std::sync::OnceLock;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};
use light_poseidon::parameters::bn254_x5::get_poseidon_parameters;

use crate::hash::POSEIDON_INPUTS_MAX;

/// `P(inputs…)`: lane 0 of the permuted `(0, inputs…)`.
pub(crate) fn hash<const N: usize>(inputs: [Fr; N]) -> Fr {
    const { assert!(N >= 1 && N <= POSEIDON_INPUTS_MAX, "Poseidon takes one to five inputs") };
    // One for each number of inputs, made when it is first needed. A static cannot be generic.
    static SCHEDULES: [OnceLock<Box<dyn Any + Send + Sync>>; POSEIDON_INPUTS_MAX] =
        [const { OnceLock::new() }; POSEIDON_INPUTS_MAX];
    let slot = SCHEDULES.get(N - 1).expect("invariant: the number of inputs was checked at compile time");
    let schedule = slot.get_or_init(|| {
        let schedule = Schedule::<N>::circom();
        Box::new(schedule.expect("invariant: circom's matrices, and their parts, have inverses"))
    });
    schedule.downcast_ref::<Schedule<N>>().expect("invariant: the slot is that of N inputs").hash(inputs)
}

type Matrix<const N: usize> = [[Fr; N]; N];

/// What is added in a full round: to lane 0, and to the others.
type Constants<const N: usize> = (Fr, [Fr; N]);

struct Schedule<const N: usize> {
    first: Vec<Constants<N>>,
    partial: Vec<PartialRound<N>>,
    /// Makes of `z` the other lanes, but for what the next constants add.
    back: Matrix<N>,
    last: Vec<Constants<N>>,
    /// The matrix: what lane 0 gives to itself, what the others give to it, what it gives to them, what they give to one another.
    corner: Fr,
    row: [Fr; N],
    column: [Fr; N],
    rest: Matrix<N>,
}

struct PartialRound<const N: usize> {
    constant: Fr,
    row: [Fr; N],
    column: [Fr; N],
}

impl<const N: usize> Schedule<N> {
    fn circom() -> Option<Self> {
        let parameters = get_poseidon_parameters::<Fr>(u8::try_from(N.checked_add(1)?).ok()?).ok()?;
        let mut lines = parameters.mds.iter().map(|line| split::<N>(line));
        let (corner, row) = lines.next()??;
        let (column, rest): (Vec<_>, Vec<_>) = lines.collect::<Option<Vec<_>>>()?.into_iter().unzip();
        let (column, rest): ([Fr; N], Matrix<N>) = (column.try_into().ok()?, rest.try_into().ok()?);

        let mut constants = parameters.ark.chunks(parameters.width).map(split::<N>);
        let half = parameters.full_rounds.div_euclid(2);
        let first = constants.by_ref().take(half).collect::<Option<Vec<_>>>()?;

        let (turned, inverse) = (transposed(&rest), inverse(&rest)?);
        let mut partial = Vec::with_capacity(parameters.partial_rounds);
        let (mut row_ahead, mut column_behind) = (row, times(&inverse, &column));
        let (mut back, mut offset, mut offset_0) = (identity(), [Fr::ZERO; N], Fr::ZERO);
        for constants in constants.by_ref().take(parameters.partial_rounds) {
            let (constant, others) = constants?;
            partial.push(PartialRound { constant: constant + offset_0, row: row_ahead, column: column_behind });
            offset.iter_mut().zip(others).for_each(|(lane, constant)| *lane += constant);
            offset_0 = Fr::sum_of_products(&row, &offset);
            offset = times(&rest, &offset);
            (row_ahead, column_behind) = (times(&turned, &row_ahead), times(&inverse, &column_behind));
            back = product(&rest, &back);
        }

        let mut last = constants.collect::<Option<Vec<_>>>()?;
        let (constant, others) = last.first_mut()?;
        *constant += offset_0;
        others.iter_mut().zip(offset).for_each(|(constant, offset)| *constant += offset);
        Some(Self { first, partial, back, last, corner, row, column, rest })
    }

    fn hash(&self, inputs: [Fr; N]) -> Fr {
        let (mut head, mut lanes) = (Fr::ZERO, inputs);
        for constants in &self.first {
            (head, lanes) = self.full_round(constants, head, lanes);
        }
        for PartialRound { constant, row, column } in &self.partial {
            let power = fifth_power(head + constant);
            head = self.corner * power + Fr::sum_of_products(row, &lanes);
            lanes.iter_mut().zip(column).for_each(|(lane, factor)| *lane += *factor * power);
        }
        lanes = times(&self.back, &lanes);
        for constants in &self.last {
            (head, lanes) = self.full_round(constants, head, lanes);
        }
        head
    }

    fn full_round(&self, (constant, constants): &Constants<N>, head: Fr, mut lanes: [Fr; N]) -> (Fr, [Fr; N]) {
        let head = fifth_power(head + constant);
        lanes.iter_mut().zip(constants).for_each(|(lane, constant)| *lane = fifth_power(*lane + constant));
        let mut mixed = times(&self.rest, &lanes);
        mixed.iter_mut().zip(self.column).for_each(|(lane, factor)| *lane += factor * head);
        (self.corner * head + Fr::sum_of_products(&self.row, &lanes), mixed)
    }
}

fn fifth_power(lane: Fr) -> Fr {
    lane.square().square() * lane
}

/// Lane 0 and the others.
fn split<const N: usize>(lanes: &[Fr]) -> Option<(Fr, [Fr; N])> {
    let (head, others) = lanes.split_first()?;
    Some((*head, others.try_into().ok()?))
}

fn times<const N: usize>(matrix: &Matrix<N>, vector: &[Fr; N]) -> [Fr; N] {
    matrix.each_ref().map(|row| Fr::sum_of_products(row, vector))
}

fn product<const N: usize>(left: &Matrix<N>, right: &Matrix<N>) -> Matrix<N> {
    let columns = transposed(right);
    left.each_ref().map(|row| times(&columns, row))
}

fn transposed<const N: usize>(matrix: &Matrix<N>) -> Matrix<N> {
    std::array::from_fn(|at| matrix.map(|row| row.get(at).copied().unwrap_or_default()))
}

fn identity<const N: usize>() -> Matrix<N> {
    std::array::from_fn(|row| std::array::from_fn(|column| Fr::from(row == column)))
}

/// By Faddeev and LeVerrier: products and traces alone.
fn inverse<const N: usize>(matrix: &Matrix<N>) -> Option<Matrix<N>> {
    let mut step = identity();
    let mut count = Fr::ZERO;
    for is_last in std::iter::repeat_n(false, N.checked_sub(1)?).chain(once(true)) {
        count += Fr::ONE;
        let mut next = product(matrix, &step);
        let trace: Fr = next.iter().enumerate().filter_map(|(at, row)| row.get(at)).sum();
        let coefficient = -trace * count.inverse()?;
        if is_last {
            let factor = -coefficient.inverse()?;
            return Some(step.map(|row| row.map(|cell| cell * factor)));
        }
        let diagonal = next.iter_mut().enumerate().filter_map(|(at, row)| row.get_mut(at));
        diagonal.for_each(|cell| *cell += coefficient);
        step = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use ark_ff::PrimeField;
    use light_poseidon::{Poseidon, PoseidonHasher};

    use super::*;
    use crate::hash::sha512;

    fn element(seed: u64) -> Fr {
        Fr::from_be_bytes_mod_order(&sha512(&seed.to_be_bytes()))
    }

    fn agrees<const N: usize>() {
        let mut peer = Poseidon::<Fr>::new_circom(N).unwrap();
        let mut check = |inputs: [Fr; N]| assert_eq!(hash(inputs), peer.hash(&inputs).unwrap(), "{inputs:?}");
        let size = u64::try_from(N).unwrap();
        for seed in 0..500 {
            check(std::array::from_fn(|at| element(seed * size + u64::try_from(at).unwrap())));
        }
        // The ends of the field, in every lane and alone.
        for end in [Fr::ZERO, Fr::ONE, -Fr::ONE, -Fr::from(2u64), Fr::from(u64::MAX)] {
            check([end; N]);
            (0..N).for_each(|lane| check(std::array::from_fn(|at| if at == lane { end } else { element(size) })));
            (0..N).for_each(|lane| check(std::array::from_fn(|at| if at == lane { end } else { Fr::ZERO })));
        }
    }

    #[test]
    fn it_is_the_audited_librarys_hash() {
        agrees::<1>();
        agrees::<2>();
        agrees::<3>();
        agrees::<4>();
        agrees::<5>();
    }

    #[test]
    fn an_inverse_undoes_its_matrix() {
        let matrix = std::array::from_fn(|row| std::array::from_fn(|at| element(u64::try_from(row * 4 + at).unwrap())));
        assert_eq!(product(&matrix, &inverse::<4>(&matrix).unwrap()), identity());
        assert_eq!(inverse(&[[Fr::ONE; 3]; 3]), None);
    }
}
