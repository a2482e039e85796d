//! What the tests of both circuits share: which constraints values break, and whether any cell is held by none.

use ark_bn254::Fr;
use ark_ff::{Field, UniformRand};

use super::{Relation, row};
use crate::fixture::TestRng;
use crate::hash::Domain;

/// No constraint.
pub(super) const NONE: [usize; 0] = [];

/// The numbers of the constraints that the value of every variable does not satisfy.
pub(super) fn broken_by_values(relation: &Relation, values: &[Fr]) -> Vec<usize> {
    let [a, b, c] = relation.matrices() else { panic!("a rank-1 system has three matrices") };
    let holds = |at: usize| row(&a[at], values) * row(&b[at], values) == row(&c[at], values);
    (0..relation.constraints()).filter(|at| !holds(*at)).collect()
}

pub(super) fn tag(domain: Domain) -> Fr {
    domain.constant().to_fr()
}

pub(super) fn bits_of<const N: usize>(number: u128) -> [Fr; N] {
    std::array::from_fn(|at| Fr::from(number.checked_shr(u32::try_from(at).unwrap()).unwrap_or(0) & 1 == 1))
}

/// Whatever one cell of an honest assignment is changed to breaks a constraint.
pub(super) fn assert_no_cell_is_free(relation: &Relation, honest: &[Fr]) {
    assert_eq!(broken_by_values(relation, honest), NONE);
    let mut rows_of = vec![Vec::new(); relation.variables()];
    for matrix in relation.matrices() {
        for (at, terms) in matrix.iter().enumerate() {
            terms.iter().for_each(|(_, cell)| rows_of[*cell].push(at));
        }
    }
    let [a, b, c] = relation.matrices() else { panic!("a rank-1 system has three matrices") };
    let mut rng = TestRng::new(22);
    // Cell 0 is the constant one. Public inputs are cells too: each takes part in some constraint.
    for cell in 1..relation.variables() {
        for change in [Fr::ONE, -Fr::ONE, Fr::rand(&mut rng)] {
            let mut values = honest.to_vec();
            values[cell] += change;
            let holds = |at: &usize| row(&a[*at], &values) * row(&b[*at], &values) == row(&c[*at], &values);
            assert!(!rows_of[cell].iter().all(holds), "cell {cell} is free");
        }
    }
}
