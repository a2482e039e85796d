//! What a cheating prover would assign, and which constraint stops it. Numbers `nXX` are those of `design/credits.md` §7.
//!
//! Every lie is made consistent in all that follows from it, so that exactly the constraints meant to stop it fail.

use std::sync::OnceLock;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};

use super::testing::{NONE, assert_no_cell_is_free, bits_of, broken_by_values, tag};
use super::*;
use crate::hash::poseidon_fr;

fn relation() -> &'static Relation {
    static RELATION: OnceLock<Relation> = OnceLock::new();
    RELATION.get_or_init(|| Relation::of(Statement::Spend).unwrap())
}

/// The numbers of the constraints that an assignment does not satisfy.
fn broken(assignment: &Assignment) -> Vec<usize> {
    broken_by_values(relation(), &relation().assign(assignment.clone()).unwrap())
}

/// The choices of a prover; [`Prover::assignment`] fills in everything that follows.
struct Prover {
    spend_key: Fr,
    value: Fr,
    refund: Fr,
    c_max: Fr,
    /// Digits of the leaf's number.
    positions: [usize; DEPTH],
    value_next_bits: [Fr; VALUE_BITS],
}

impl Prover {
    fn honest() -> Self {
        Self {
            spend_key: Fr::from(11u64),
            value: Fr::from(1_000u64),
            refund: Fr::from(24u64),
            c_max: Fr::from(512u64),
            positions: std::array::from_fn(|level| (level * 7 + 1) % 4),
            value_next_bits: bits_of(512),
        }
    }

    fn assignment(&self) -> Assignment {
        let (lane, rho, blind, blind_next) = (Fr::from(3u64), Fr::from(4u64), Fr::from(5u64), Fr::from(6u64));
        let nullifier = poseidon_fr([tag(Domain::Nf), self.spend_key, rho]);
        let mut assignment = Assignment {
            nullifier,
            c_max: self.c_max,
            ctx: Fr::from(99u64),
            spend_key: self.spend_key,
            lane,
            value: self.value,
            refund: self.refund,
            rho,
            blind,
            blind_next,
            path: PathCells {
                position_bits: self.positions.map(|position| bits_of(u128::try_from(position).unwrap())),
                ..PathCells::BLANK
            },
            value_next_bits: self.value_next_bits,
            ..Assignment::blank()
        };
        assignment.inner_next = assignment.successor(assignment.pk(), assignment.value_next(), nullifier);
        let mut node = assignment.leaf();
        for (level, position) in self.positions.into_iter().enumerate() {
            let children = &mut assignment.path.children[level];
            *children = std::array::from_fn(|child| Fr::from(u64::try_from(1000 + level * 10 + child).unwrap()));
            children[position] = node;
            node = poseidon_fr(*children);
        }
        assignment.root = node;
        assignment
    }
}

impl Assignment {
    fn pk(&self) -> Fr {
        poseidon_fr([tag(Domain::Pk), self.spend_key, self.lane])
    }

    fn leaf(&self) -> Fr {
        let inner = poseidon_fr([tag(Domain::Inner), self.pk(), self.value, self.rho, self.blind]);
        poseidon_fr([tag(Domain::Leaf), inner, self.refund])
    }

    fn value_next(&self) -> Fr {
        self.value + self.refund - self.c_max
    }

    fn successor(&self, pk: Fr, value_next: Fr, rho: Fr) -> Fr {
        poseidon_fr([tag(Domain::Inner), pk, value_next, rho, self.blind_next])
    }

    /// Recomputes the successor and the nullifier from a changed witness, but not the tree.
    fn follow(mut self) -> Self {
        self.nullifier = poseidon_fr([tag(Domain::Nf), self.spend_key, self.rho]);
        self.inner_next = self.successor(self.pk(), self.value_next(), self.nullifier);
        self
    }
}

#[test]
fn the_constraint_count_is_known() {
    // Hashes: 16 nodes of 297, three of 258, two of 318. Then 5 per level, 65 for the range, three equalities and ctx.
    assert_eq!(16 * 297 + 3 * 258 + 2 * 318 + 16 * 5 + 65 + 4, 6_311);
    assert_eq!(relation().constraints(), 6_311);
    assert_eq!(relation().inputs(), PUBLIC_INPUTS + 1);
    assert_eq!(relation().variables(), 6_368);
}

#[test]
fn the_honest_assignment_holds_at_every_position() {
    assert_eq!(broken(&Prover::honest().assignment()), NONE);
    for position in 0..4 {
        assert_eq!(broken(&Prover { positions: [position; DEPTH], ..Prover::honest() }.assignment()), NONE);
    }
    let everything = Prover { c_max: Fr::from(1_024u64), value_next_bits: bits_of(0), ..Prover::honest() };
    assert_eq!(broken(&everything.assignment()), NONE);
    let largest = Prover {
        value: Fr::from(u64::MAX),
        refund: Fr::ZERO,
        c_max: Fr::ZERO,
        value_next_bits: bits_of(u128::from(u64::MAX)),
        ..Prover::honest()
    };
    assert_eq!(broken(&largest.assignment()), NONE);
}

#[test]
fn n11_a_negative_successor_has_no_bits() {
    let overspend = |value_next_bits| {
        let prover = Prover { c_max: Fr::from(1_025u64), value_next_bits, ..Prover::honest() };
        assert_eq!(prover.assignment().value_next(), -Fr::ONE);
        broken(&prover.assignment()).len()
    };
    assert_eq!(overspend(bits_of(0)), 1);
    assert_eq!(overspend(bits_of(u128::MAX)), 1);
    // The sum can be met by a digit that is no bit.
    let mut digits = bits_of(0);
    digits[0] = -Fr::ONE;
    assert_eq!(overspend(digits), 1);
}

#[test]
fn n12_a_successor_of_two_to_the_64_has_no_bits() {
    let two_to_the_64 = Fr::from(1u128 << 64);
    let beyond = |value_next_bits| {
        let prover = Prover { value: two_to_the_64, c_max: Fr::from(24u64), value_next_bits, ..Prover::honest() };
        assert_eq!(prover.assignment().value_next(), two_to_the_64);
        broken(&prover.assignment()).len()
    };
    assert_eq!(beyond(bits_of(0)), 1);
    let mut digits = bits_of(0);
    digits[63] = Fr::from(2u64);
    assert_eq!(beyond(digits), 1);
}

#[test]
fn n13_more_than_the_balance_cannot_be_reserved() {
    for excess in [1u64, 1_000, u64::MAX - 1_024] {
        let c_max = Fr::from(1_024u64) + Fr::from(excess);
        // The bits of the amount by which the note falls short, as if it were what remains.
        let prover = Prover { c_max, value_next_bits: bits_of(u128::from(excess)), ..Prover::honest() };
        assert_eq!(broken(&prover.assignment()).len(), 1, "{excess}");
    }
}

#[test]
fn n16_the_refund_is_the_leafs() {
    let mut assignment = Prover::honest().assignment();
    assignment.refund += Fr::ONE;
    assignment.value_next_bits = bits_of(513);
    // The leaf is no longer the selected child.
    assert_eq!(broken(&assignment.follow()).len(), 1);
}

#[test]
fn n17_key_rho_and_nullifier_are_the_notes() {
    let lies: [fn(&mut Assignment); 5] = [
        |assignment| assignment.spend_key += Fr::ONE,
        |assignment| assignment.rho += Fr::ONE,
        |assignment| assignment.lane += Fr::ONE,
        |assignment| assignment.blind += Fr::ONE,
        |assignment| {
            assignment.value += Fr::ONE;
            assignment.value_next_bits = bits_of(513);
        },
    ];
    for (at, lie) in lies.iter().enumerate() {
        let mut assignment = Prover::honest().assignment();
        lie(&mut assignment);
        assert_eq!(broken(&assignment.follow()).len(), 1, "lie {at}");
    }
    // A fresh nullifier for a spent note, with a successor that continues it.
    let mut assignment = Prover::honest().assignment();
    assignment.nullifier += Fr::ONE;
    assignment.inner_next = assignment.successor(assignment.pk(), assignment.value_next(), assignment.nullifier);
    assert_eq!(broken(&assignment).len(), 1);
}

#[test]
fn n18_path_digits_are_bits() {
    // With `low = 2` the selected child is `2·c1 − c0`: any node can be "selected" from siblings chosen for it.
    for (low, high) in [(Fr::from(2u64), Fr::ZERO), (Fr::ZERO, Fr::from(2u64)), (-Fr::ONE, Fr::ZERO)] {
        let mut assignment = Prover::honest().assignment();
        let half = Fr::from(2u64).inverse().unwrap();
        let (leaf, c0) = (assignment.leaf(), Fr::from(7u64));
        let chosen = if high == Fr::ZERO { c0 + (leaf - c0) * low.inverse().unwrap() } else { c0 + (leaf - c0) * half };
        assignment.path.children[0] = [c0, chosen, chosen, chosen];
        assignment.path.position_bits[0] = [low, high];
        let mut node = poseidon_fr(assignment.path.children[0]);
        for level in 1..DEPTH {
            let position = Prover::honest().positions[level];
            assignment.path.children[level][position] = node;
            node = poseidon_fr(assignment.path.children[level]);
        }
        assignment.root = node;
        assert_eq!(broken(&assignment).len(), 1, "{low} {high}");
    }
}

#[test]
fn n19_nothing_empty_is_a_note() {
    // The tree of empty leaves; the prover's leaf is a hash, so it is not the empty leaf 0.
    let mut assignment = Prover { positions: [0; DEPTH], ..Prover::honest() }.assignment();
    let mut empty = Fr::ZERO;
    for children in &mut assignment.path.children {
        *children = [empty; ARITY];
        empty = poseidon_fr(*children);
    }
    assignment.root = empty;
    assert_eq!(broken(&assignment).len(), 1);
    // An empty subtree in the leaf's place: the depth is fixed, so the root is missed as well.
    let mut node = poseidon_fr([Fr::ZERO; ARITY]);
    for children in &mut assignment.path.children {
        *children = [node; ARITY];
        node = poseidon_fr(*children);
    }
    assert_eq!(broken(&assignment).len(), 2);
}

#[test]
fn n20_the_successor_continues_the_chain() {
    let honest = Prover::honest().assignment();
    let (pk, value_next, nullifier) = (honest.pk(), honest.value_next(), honest.nullifier);
    let other_pk = poseidon_fr([tag(Domain::Pk), Fr::from(12u64), honest.lane]);
    let other_lane = poseidon_fr([tag(Domain::Pk), honest.spend_key, honest.lane + Fr::ONE]);
    let successors = [
        honest.successor(pk, value_next, honest.rho),
        honest.successor(pk, value_next, nullifier + Fr::ONE),
        honest.successor(pk, value_next + Fr::ONE, nullifier),
        honest.successor(pk, honest.value + honest.refund, nullifier),
        // Credits cannot be given away.
        honest.successor(other_pk, value_next, nullifier),
        honest.successor(other_lane, value_next, nullifier),
    ];
    for (at, inner_next) in successors.into_iter().enumerate() {
        assert_eq!(broken(&Assignment { inner_next, ..honest.clone() }).len(), 1, "successor {at}");
    }
}

#[test]
fn n22_no_cell_is_free() {
    assert_no_cell_is_free(relation(), &relation().assign(Prover::honest().assignment()).unwrap());
}
