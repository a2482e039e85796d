//! What a cheating prover would assign to the merge statement, and which constraint stops it. Numbers `nXX` are those of
//! `design/credits.md` §7.
//!
//! Every lie is made consistent in all that follows from it, so that exactly the constraints meant to stop it fail.

use std::sync::OnceLock;

use super::super::testing::{NONE, assert_no_cell_is_free, bits_of, broken_by_values, tag};
use super::super::{PUBLIC_INPUTS, Relation, Statement};
use super::*;
use crate::hash::poseidon_fr;
use crate::tree::DEPTH;

fn relation() -> &'static Relation {
    static RELATION: OnceLock<Relation> = OnceLock::new();
    RELATION.get_or_init(|| Relation::of(Statement::Merge).unwrap())
}

/// The numbers of the constraints that an assignment does not satisfy.
fn broken(assignment: &MergeAssignment) -> Vec<usize> {
    broken_by_values(relation(), &relation().assign(assignment.clone()).unwrap())
}

impl MergedNote {
    fn pk(&self, spend_key: Fr) -> Fr {
        poseidon_fr([tag(Domain::Pk), spend_key, self.lane])
    }

    fn leaf(&self, spend_key: Fr) -> Fr {
        let inner = poseidon_fr([tag(Domain::Inner), self.pk(spend_key), self.value, self.rho, self.blind]);
        poseidon_fr([tag(Domain::Leaf), inner, self.refund])
    }
}

impl MergeAssignment {
    fn sum(&self) -> Fr {
        self.notes.iter().map(|note| note.value + note.refund).sum()
    }

    fn successor(&self, pk: Fr, value: Fr, rho: Fr) -> Fr {
        poseidon_fr([tag(Domain::Inner), pk, value, rho, self.blind_next])
    }

    /// Recomputes everything public that follows from the witness, but not the tree.
    fn follow(mut self) -> Self {
        self.nullifiers = [0, 1].map(|at: usize| poseidon_fr([tag(Domain::Nf), self.spend_key, self.notes[at].rho]));
        self.apart = (self.nullifiers[0] - self.nullifiers[1]).inverse().unwrap_or(Fr::ZERO);
        self.inner_next = self.successor(self.notes[0].pk(self.spend_key), self.sum(), self.nullifiers[0]);
        self
    }

    /// Puts both leaves into a tree: they are siblings.
    fn planted(mut self) -> Self {
        let leaves = [0, 1].map(|at: usize| self.notes[at].leaf(self.spend_key));
        let mut node = Fr::ZERO;
        for level in 0..DEPTH {
            let other = Fr::from(u64::try_from(100 + level).unwrap());
            let children = if level == 0 { [other, leaves[0], other, leaves[1]] } else { [other, other, node, other] };
            for (at, note) in self.notes.iter_mut().enumerate() {
                note.path.children[level] = children;
                let position: u128 = if level > 0 {
                    2
                } else if at == 0 {
                    1
                } else {
                    3
                };
                note.path.position_bits[level] = bits_of(position);
            }
            node = poseidon_fr(children);
        }
        self.root = node;
        self
    }
}

/// Notes of 1,000 + 24 and 500 + 0 of one key.
fn unplanted() -> MergeAssignment {
    let note = |lane: u64, value: u64, refund: u64, rho: u64, blind: u64| MergedNote {
        lane: Fr::from(lane),
        value: Fr::from(value),
        refund: Fr::from(refund),
        rho: Fr::from(rho),
        blind: Fr::from(blind),
        path: PathCells::BLANK,
    };
    MergeAssignment {
        ctx: Fr::from(99u64),
        spend_key: Fr::from(11u64),
        notes: [note(3, 1_000, 24, 4, 5), note(7, 500, 0, 8, 9)],
        blind_next: Fr::from(6u64),
        value_next_bits: bits_of(1_524),
        ..MergeAssignment::blank()
    }
}

fn honest() -> MergeAssignment {
    unplanted().planted().follow()
}

#[test]
fn the_constraint_count_is_known() {
    // For each note 16 nodes of 297, three hashes of 258 and one of 318, 5 per level, and two equalities. Then the inequality,
    // 65 for the range, the successor's hash and equality, and ctx.
    assert_eq!(2 * (16 * 297 + 3 * 258 + 318 + 16 * 5 + 2) + 1 + 65 + 318 + 1 + 1, 12_238);
    assert_eq!(relation().constraints(), 12_238);
    assert_eq!(relation().inputs(), PUBLIC_INPUTS + 1);
}

#[test]
fn the_honest_assignment_holds() {
    assert_eq!(broken(&honest()), NONE);
}

#[test]
fn n21_one_note_twice_is_no_merge() {
    let mut twice = unplanted();
    twice.notes[1] = twice.notes[0].clone();
    twice.value_next_bits = bits_of(2_048);
    let mut twice = twice.planted().follow();
    // One leaf, seen from its own position twice.
    twice.notes[1].path = twice.notes[0].path.clone();
    assert_eq!(twice.nullifiers[0], twice.nullifiers[1]);
    for apart in [Fr::ZERO, Fr::ONE, -Fr::ONE, Fr::from(77u64)] {
        assert_eq!(broken(&MergeAssignment { apart, ..twice.clone() }).len(), 1);
    }
    // Another nullifier for the second use of it is not the note's.
    let mut renamed = twice;
    renamed.nullifiers[1] += Fr::ONE;
    renamed.apart = (renamed.nullifiers[0] - renamed.nullifiers[1]).inverse().unwrap();
    assert_eq!(broken(&renamed).len(), 1);
}

#[test]
fn n12_a_merge_into_two_to_the_64_has_no_bits() {
    let mut notes = unplanted();
    notes.notes[0].value = Fr::from(u64::MAX);
    notes.notes[0].refund = Fr::ONE;
    notes.notes[1].value = Fr::ZERO;
    let notes = notes.planted().follow();
    assert_eq!(notes.sum(), Fr::from(1u128 << 64));
    assert_eq!(broken(&MergeAssignment { value_next_bits: bits_of(0), ..notes.clone() }).len(), 1);
    let mut digits = bits_of(0);
    digits[63] = Fr::from(2u64);
    assert_eq!(broken(&MergeAssignment { value_next_bits: digits, ..notes }).len(), 1);
}

#[test]
fn n11_a_worth_below_nothing_has_no_bits() {
    // A note that is worth less than nothing cannot be made smaller debt by one that is worth more.
    let mut notes = unplanted();
    notes.notes[1].value = -Fr::from(1_025u64);
    let notes = MergeAssignment { value_next_bits: bits_of(0), ..notes }.planted().follow();
    assert_eq!(notes.sum(), -Fr::ONE);
    assert_eq!(broken(&notes).len(), 1);
}

#[test]
fn n16_n17_both_notes_are_what_they_say() {
    type Lie = fn(&mut MergedNote);
    let lies: [(Lie, u128); 5] = [
        (|note| note.value += Fr::ONE, 1_525),
        (|note| note.refund += Fr::ONE, 1_525),
        (|note| note.lane += Fr::ONE, 1_524),
        (|note| note.rho += Fr::ONE, 1_524),
        (|note| note.blind += Fr::ONE, 1_524),
    ];
    for at in 0..2 {
        for (number, (lie, sum)) in lies.iter().enumerate() {
            let mut assignment = honest();
            lie(&mut assignment.notes[at]);
            assignment.value_next_bits = bits_of(*sum);
            assert_eq!(broken(&assignment.follow()).len(), 1, "note {at}, lie {number}");
        }
        // A fresh nullifier for a spent note, with a successor that continues it.
        let mut assignment = honest();
        assignment.nullifiers[at] += Fr::ONE;
        assignment.apart = (assignment.nullifiers[0] - assignment.nullifiers[1]).inverse().unwrap();
        let pk = assignment.notes[0].pk(assignment.spend_key);
        assignment.inner_next = assignment.successor(pk, assignment.sum(), assignment.nullifiers[0]);
        assert_eq!(broken(&assignment).len(), 1, "nullifier {at}");
    }
}

#[test]
fn n17_both_notes_are_of_one_key() {
    // The second leaf is another key's; everything else is as it should be.
    let mut assignment = honest();
    let own = assignment.notes[1].leaf(assignment.spend_key);
    let foreign = assignment.notes[1].leaf(Fr::from(12u64));
    let mut node = Fr::ZERO;
    for level in 0..DEPTH {
        let mut children = assignment.notes[0].path.children[level];
        if level == 0 {
            assert_eq!(children[3], own);
            children[3] = foreign;
        } else {
            children[2] = node;
        }
        assignment.notes.iter_mut().for_each(|note| note.path.children[level] = children);
        node = poseidon_fr(children);
    }
    assignment.root = node;
    assert_eq!(broken(&assignment).len(), 1);
}

#[test]
fn n18_path_digits_are_bits_on_both_paths() {
    for at in 0..2 {
        for (digit, high) in [(Fr::from(2u64), Fr::ZERO), (-Fr::ONE, Fr::ONE)] {
            let mut assignment = honest();
            assignment.notes[at].path.position_bits[5] = [digit, high];
            assert!(!broken(&assignment).is_empty(), "path {at}");
        }
    }
}

#[test]
fn n20_the_successor_is_the_first_notes_and_worth_both() {
    let honest = honest();
    let [first, second] = honest.nullifiers;
    let pk = honest.notes[0].pk(honest.spend_key);
    let successors = [
        honest.successor(honest.notes[1].pk(honest.spend_key), honest.sum(), first),
        honest.successor(honest.notes[0].pk(Fr::from(12u64)), honest.sum(), first),
        honest.successor(pk, honest.sum(), second),
        honest.successor(pk, honest.sum() + Fr::ONE, first),
        honest.successor(pk, honest.sum() + honest.sum(), first),
        honest.successor(pk, honest.sum(), honest.notes[0].rho),
    ];
    for (at, inner_next) in successors.into_iter().enumerate() {
        assert_eq!(broken(&MergeAssignment { inner_next, ..honest.clone() }).len(), 1, "successor {at}");
    }
}

#[test]
fn n22_no_cell_of_a_merge_is_free() {
    assert_no_cell_is_free(relation(), &relation().assign(honest()).unwrap());
}
