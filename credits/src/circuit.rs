//! The spend statement as a rank-1 constraint system. `docs/protocol.md` §3.2; the numbers below are that section's.
//!
//! Public inputs, in order: `root, nf, inner', c_max, ctx`. The circuit is written directly over linear combinations; its
//! building blocks are in `circuit/gadgets.rs`. The statement that merges two notes is in `circuit/merge.rs`.

mod gadgets;
mod merge;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};
use ark_relations::gr1cs::{
    ConstraintSynthesizer, ConstraintSystem, ConstraintSystemRef, Matrix, OptimizationGoal, R1CS_PREDICATE_LABEL,
    Result as SynthesisResult, SynthesisError, SynthesisMode,
};
use zeroize::Zeroizing;

use self::gadgets::{Circuit, Wire};
pub(crate) use self::merge::{MergeAssignment, MergedNote};
use crate::hash::Domain;
use crate::tree::{ARITY, DEPTH};

/// The number of public inputs, of either statement.
pub const PUBLIC_INPUTS: usize = 5;
/// The bits of `v'` (constraint 4).
pub const VALUE_BITS: usize = 64;

/// What is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    /// A note is spent for up to an amount (protocol §3.2).
    Spend,
    /// Two notes become one (protocol §3.6).
    Merge,
}

/// The statement's circuit without a witness: its shape is what keys are made of.
impl ConstraintSynthesizer<Fr> for Statement {
    fn generate_constraints(self, system: ConstraintSystemRef<Fr>) -> SynthesisResult<()> {
        match self {
            Self::Spend => Assignment::blank().generate_constraints(system),
            Self::Merge => MergeAssignment::blank().generate_constraints(system),
        }
    }
}

/// Values for a path from a leaf to the root.
#[derive(Clone)]
pub(crate) struct PathCells {
    /// All children of each ancestor of the leaf, from the leaf's level up.
    pub(crate) children: [[Fr; ARITY]; DEPTH],
    /// Which child is the path's, low bit first.
    pub(crate) position_bits: [[Fr; 2]; DEPTH],
}

impl PathCells {
    pub(crate) const BLANK: Self = Self { children: [[Fr::ZERO; ARITY]; DEPTH], position_bits: [[Fr::ZERO; 2]; DEPTH] };
}

/// Values for every input and every free witness cell; the rest of the witness follows from them.
///
/// Nothing here is checked: tests assign what a cheating prover would.
#[derive(Clone)]
pub(crate) struct Assignment {
    pub(crate) root: Fr,
    pub(crate) nullifier: Fr,
    pub(crate) inner_next: Fr,
    pub(crate) c_max: Fr,
    pub(crate) ctx: Fr,
    pub(crate) spend_key: Fr,
    pub(crate) lane: Fr,
    pub(crate) value: Fr,
    pub(crate) refund: Fr,
    pub(crate) rho: Fr,
    pub(crate) blind: Fr,
    pub(crate) blind_next: Fr,
    pub(crate) path: PathCells,
    /// `v'`, low bit first.
    pub(crate) value_next_bits: [Fr; VALUE_BITS],
}

impl Assignment {
    /// All zero, which satisfies nothing: the shape of the circuit does not depend on values.
    pub(crate) const fn blank() -> Self {
        let zero = Fr::ZERO;
        Self {
            root: zero,
            nullifier: zero,
            inner_next: zero,
            c_max: zero,
            ctx: zero,
            spend_key: zero,
            lane: zero,
            value: zero,
            refund: zero,
            rho: zero,
            blind: zero,
            blind_next: zero,
            path: PathCells::BLANK,
            value_next_bits: [zero; VALUE_BITS],
        }
    }
}

impl ConstraintSynthesizer<Fr> for Assignment {
    fn generate_constraints(self, system: ConstraintSystemRef<Fr>) -> SynthesisResult<()> {
        let mut circuit = Circuit::new(system);
        let root = circuit.input(self.root)?;
        let nullifier = circuit.input(self.nullifier)?;
        let inner_next = circuit.input(self.inner_next)?;
        let c_max = circuit.input(self.c_max)?;
        let ctx = circuit.input(self.ctx)?;

        let spend_key = circuit.witness(self.spend_key)?;
        let lane = circuit.witness(self.lane)?;
        let value = circuit.witness(self.value)?;
        let refund = circuit.witness(self.refund)?;
        let rho = circuit.witness(self.rho)?;
        let blind = circuit.witness(self.blind)?;
        let blind_next = circuit.witness(self.blind_next)?;

        // 1 The note's leaf is under the root. 2 The nullifier is the note's.
        let note = NoteWires { lane, value, refund, rho, blind };
        let pk = note.spent(&mut circuit, spend_key, self.path, root, nullifier)?;

        // 3 v' + c_max = v + r.
        let one = Fr::ONE;
        let value_next = circuit.linear(&[(one, value), (one, refund), (-one, c_max)])?;

        // 4 v' < 2^64. v and r are 64-bit numbers by what the ledger accepts at mint and settlement, so their sum is far
        //   below the modulus and a v' that wrapped has no 64-bit representation.
        circuit.range(value_next, self.value_next_bits)?;

        // 5 The successor is held by the same pk and its rho is this spend's nullifier.
        let successor = circuit.hash([domain(Domain::Inner), pk, value_next, nullifier, blind_next])?;
        circuit.equal(successor, inner_next)?;

        // 6 ctx takes part in a constraint: an input that none mentions could be exchanged under a finished proof.
        circuit.product(ctx, ctx)?;
        Ok(())
    }
}

/// The cells of a note that is spent.
struct NoteWires {
    lane: Wire,
    value: Wire,
    refund: Wire,
    rho: Wire,
    blind: Wire,
}

impl NoteWires {
    /// The note is `spend_key`'s, its leaf is under the root, and the nullifier is its own. Answers the note's `pk`.
    fn spent(
        &self,
        circuit: &mut Circuit,
        spend_key: Wire,
        path: PathCells,
        root: Wire,
        nullifier: Wire,
    ) -> SynthesisResult<Wire> {
        let Self { lane, value, refund, rho, blind } = *self;
        let pk = circuit.hash([domain(Domain::Pk), spend_key, lane])?;
        let inner = circuit.hash([domain(Domain::Inner), pk, value, rho, blind])?;
        let leaf = circuit.hash([domain(Domain::Leaf), inner, refund])?;
        let mut node = leaf;
        for (children, bits) in path.children.into_iter().zip(path.position_bits) {
            node = circuit.parent(node, children, bits)?;
        }
        circuit.equal(node, root)?;

        let own_nullifier = circuit.hash([domain(Domain::Nf), spend_key, rho])?;
        circuit.equal(own_nullifier, nullifier)?;
        Ok(pk)
    }
}

/// What every proof of a circuit shares: the constraint matrices and their shape. Row `i` of each matrix belongs to constraint
/// `i`; variable 0 is the constant one, then come the public inputs, then the witness cells.
pub struct Relation {
    matrices: Vec<Matrix<Fr>>,
    constraints: usize,
    inputs: usize,
    variables: usize,
}

impl std::fmt::Debug for Relation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { constraints, inputs, variables, .. } = self;
        write!(f, "Relation({constraints} constraints, {inputs} inputs, {variables} variables)")
    }
}

impl Relation {
    /// Synthesises a circuit once, such as a [`Statement`]'s; its values are not asked for.
    pub fn of(circuit: impl ConstraintSynthesizer<Fr>) -> SynthesisResult<Self> {
        let system = ConstraintSystem::new_ref();
        // As the key generator does; it orders and inlines linear combinations, so both must agree.
        system.set_optimization_goal(OptimizationGoal::Constraints);
        system.set_mode(SynthesisMode::Setup);
        circuit.generate_constraints(system.clone())?;
        system.finalize();
        let matrices = system.to_matrices()?.remove(R1CS_PREDICATE_LABEL).ok_or(SynthesisError::PredicateNotFound)?;
        Ok(Self {
            matrices,
            constraints: system.num_constraints(),
            inputs: system.num_instance_variables(),
            variables: system.num_variables(),
        })
    }

    /// The constraint matrices A, B and C.
    pub fn matrices(&self) -> &[Matrix<Fr>] {
        &self.matrices
    }

    /// The number of constraints.
    pub const fn constraints(&self) -> usize {
        self.constraints
    }

    /// The number of public inputs and the constant one.
    pub const fn inputs(&self) -> usize {
        self.inputs
    }

    /// The number of variables: inputs and witness cells.
    pub const fn variables(&self) -> usize {
        self.variables
    }

    /// The value of every variable, inputs first. Most of it is secret.
    pub(crate) fn assign(&self, assignment: impl ConstraintSynthesizer<Fr>) -> SynthesisResult<Zeroizing<Vec<Fr>>> {
        let system = ConstraintSystem::new_ref();
        system.set_optimization_goal(OptimizationGoal::Constraints);
        system.set_mode(SynthesisMode::Prove { construct_matrices: false, generate_lc_assignments: false });
        assignment.generate_constraints(system.clone())?;
        let mut values = Zeroizing::new(system.instance_assignment()?);
        values.append(&mut system.witness_assignment()?);
        Ok(values)
    }

    /// The values of the rows of A and B.
    pub(crate) fn factors(&self, values: &[Fr]) -> [Zeroizing<Vec<Fr>>; 2] {
        let [a, b, ..] = self.matrices.as_slice() else { return Default::default() };
        [a, b].map(|matrix| rows(matrix, values))
    }

    /// Whether the values, whose [`Relation::factors`] these are, satisfy every constraint.
    pub(crate) fn is_satisfied(&self, values: &[Fr], [a, b]: &[Zeroizing<Vec<Fr>>; 2]) -> bool {
        let [_, _, c] = self.matrices.as_slice() else { return false };
        let are_all = [a.len(), b.len(), c.len()] == [self.constraints; 3];
        are_all && c.iter().zip(a.iter().zip(b.iter())).all(|(terms, (a, b))| *a * b == row(terms, values))
    }
}

/// The values of a matrix's rows.
pub(crate) fn rows<F: Field>(matrix: &Matrix<F>, values: &[F]) -> Zeroizing<Vec<F>> {
    Zeroizing::new(matrix.iter().map(|terms| row(terms, values)).collect())
}

fn row<F: Field>(terms: &[(F, usize)], values: &[F]) -> F {
    terms.iter().map(|(factor, index)| values.get(*index).copied().unwrap_or_default() * factor).sum()
}

fn domain(domain: Domain) -> Wire {
    Wire::constant(domain.constant().to_fr())
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
