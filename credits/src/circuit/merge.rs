//! The merge statement: two notes of one key become one. `docs/protocol.md` §3.6; the numbers below are that section's.
//!
//! Public inputs, in order: `root, nf, nf2, inner', ctx`, as many as a spend has, so that both have keys of one format.

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};
use ark_relations::gr1cs::{ConstraintSynthesizer, ConstraintSystemRef, Result as SynthesisResult};

use super::gadgets::{Circuit, Wire};
use super::{NoteWires, PathCells, VALUE_BITS, domain};
use crate::hash::Domain;

/// Values for the cells of one of the two notes.
#[derive(Clone)]
pub(crate) struct MergedNote {
    pub(crate) lane: Fr,
    pub(crate) value: Fr,
    pub(crate) refund: Fr,
    pub(crate) rho: Fr,
    pub(crate) blind: Fr,
    pub(crate) path: PathCells,
}

impl MergedNote {
    pub(crate) const BLANK: Self = Self {
        lane: Fr::ZERO,
        value: Fr::ZERO,
        refund: Fr::ZERO,
        rho: Fr::ZERO,
        blind: Fr::ZERO,
        path: PathCells::BLANK,
    };

    fn wires(&self, circuit: &mut Circuit) -> SynthesisResult<NoteWires> {
        Ok(NoteWires {
            lane: circuit.witness(self.lane)?,
            value: circuit.witness(self.value)?,
            refund: circuit.witness(self.refund)?,
            rho: circuit.witness(self.rho)?,
            blind: circuit.witness(self.blind)?,
        })
    }
}

/// Values for every input and every free witness cell; the rest of the witness follows from them.
///
/// Nothing here is checked: tests assign what a cheating prover would.
#[derive(Clone)]
pub(crate) struct MergeAssignment {
    pub(crate) root: Fr,
    pub(crate) nullifiers: [Fr; 2],
    pub(crate) inner_next: Fr,
    pub(crate) ctx: Fr,
    pub(crate) spend_key: Fr,
    pub(crate) notes: [MergedNote; 2],
    pub(crate) blind_next: Fr,
    /// `v'`, low bit first.
    pub(crate) value_next_bits: [Fr; VALUE_BITS],
    /// `1 / (nf − nf2)`.
    pub(crate) apart: Fr,
}

impl MergeAssignment {
    /// All zero, which satisfies nothing: the shape of the circuit does not depend on values.
    pub(crate) const fn blank() -> Self {
        let zero = Fr::ZERO;
        Self {
            root: zero,
            nullifiers: [zero; 2],
            inner_next: zero,
            ctx: zero,
            spend_key: zero,
            notes: [MergedNote::BLANK; 2],
            blind_next: zero,
            value_next_bits: [zero; VALUE_BITS],
            apart: zero,
        }
    }
}

impl ConstraintSynthesizer<Fr> for MergeAssignment {
    fn generate_constraints(self, system: ConstraintSystemRef<Fr>) -> SynthesisResult<()> {
        let mut circuit = Circuit::new(system);
        let root = circuit.input(self.root)?;
        let [nullifier, nullifier2] = self.nullifiers;
        let (nullifier, nullifier2) = (circuit.input(nullifier)?, circuit.input(nullifier2)?);
        let inner_next = circuit.input(self.inner_next)?;
        let ctx = circuit.input(self.ctx)?;

        let spend_key = circuit.witness(self.spend_key)?;
        let blind_next = circuit.witness(self.blind_next)?;
        let [first, second] = self.notes;
        let (note, note2) = (first.wires(&mut circuit)?, second.wires(&mut circuit)?);

        // 1 Both leaves are under the root, both notes are of one key, 2 and the nullifiers are theirs, in this order.
        let pk = note.spent(&mut circuit, spend_key, first.path, root, nullifier)?;
        note2.spent(&mut circuit, spend_key, second.path, root, nullifier2)?;

        // 3 They are two: one note twice would be worth twice itself.
        let one = Fr::ONE;
        let difference = circuit.linear(&[(one, nullifier), (-one, nullifier2)])?;
        let apart = circuit.witness(self.apart)?;
        circuit.enforce(difference, apart, Wire::constant(one))?;

        // 4 v' is the sum of both. 5 v' < 2^64: the four parts are 64-bit numbers by what the ledger accepts, so their sum does
        //   not wrap, and one that is no amount has no 64-bit representation.
        let value_next =
            circuit.linear(&[(one, note.value), (one, note.refund), (one, note2.value), (one, note2.refund)])?;
        circuit.range(value_next, self.value_next_bits)?;

        // 6 The successor is held by the first note's pk and its rho is the first nullifier.
        let successor = circuit.hash([domain(Domain::Inner), pk, value_next, nullifier, blind_next])?;
        circuit.equal(successor, inner_next)?;

        // 7 ctx takes part in a constraint, as in a spend.
        circuit.product(ctx, ctx)?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
