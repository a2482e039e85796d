//! Building blocks of the circuit: wires, bits, ranges, selection and Poseidon.
//!
//! A [`Wire`] is a value, which only the prover has, with the linear combination that stands for it. Poseidon uses the
//! constant tables of the native hash and circom's output lane, which is lane 0 of the final state; a sponge that squeezes
//! lane 1 computes another function.

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};
use ark_relations::gr1cs::{
    ConstraintSystemRef, LinearCombination, Result as SynthesisResult, SynthesisError, Variable,
};
use light_poseidon::PoseidonParameters;
use light_poseidon::parameters::bn254_x5::get_poseidon_parameters;

use crate::tree::ARITY;

/// A value in the circuit and the variable that stands for it; a constant has none.
#[derive(Clone, Copy)]
pub(super) struct Wire {
    value: Fr,
    variable: Option<Variable>,
}

impl Wire {
    pub(super) const fn constant(value: Fr) -> Self {
        Self { value, variable: None }
    }

    fn term(self, factor: Fr) -> (Fr, Variable) {
        match self.variable {
            Some(variable) => (factor, variable),
            None => (factor * self.value, Variable::One),
        }
    }
}

/// A constraint system under construction.
pub(super) struct Circuit {
    system: ConstraintSystemRef<Fr>,
    /// The parameters of each number of inputs that has been hashed.
    parameters: Vec<PoseidonParameters<Fr>>,
}

impl Circuit {
    pub(super) const fn new(system: ConstraintSystemRef<Fr>) -> Self {
        Self { system, parameters: Vec::new() }
    }

    pub(super) fn input(&mut self, value: Fr) -> SynthesisResult<Wire> {
        Ok(Wire { value, variable: Some(self.system.new_input_variable(|| Ok(value))?) })
    }

    pub(super) fn witness(&mut self, value: Fr) -> SynthesisResult<Wire> {
        Ok(Wire { value, variable: Some(self.system.new_witness_variable(|| Ok(value))?) })
    }

    /// A linear combination; it costs no constraint.
    pub(super) fn linear(&mut self, terms: &[(Fr, Wire)]) -> SynthesisResult<Wire> {
        let value = terms.iter().map(|(factor, wire)| *factor * wire.value).sum();
        if terms.iter().all(|(_, wire)| wire.variable.is_none()) {
            return Ok(Wire::constant(value));
        }
        Ok(Wire { value, variable: Some(self.system.new_lc(|| combination(terms))?) })
    }

    /// A new witness cell that is the product of two wires: one constraint.
    pub(super) fn product(&mut self, left: Wire, right: Wire) -> SynthesisResult<Wire> {
        let product = self.witness(left.value * right.value)?;
        self.enforce(left, right, product)?;
        Ok(product)
    }

    /// One constraint.
    pub(super) fn equal(&mut self, left: Wire, right: Wire) -> SynthesisResult<()> {
        self.enforce(left, Wire::constant(Fr::ONE), right)
    }

    /// `wire` is the number that the bits spell, low bit first: one constraint per bit and one for the sum.
    pub(super) fn range<const BITS: usize>(&mut self, wire: Wire, bits: [Fr; BITS]) -> SynthesisResult<()> {
        let mut terms = Vec::with_capacity(BITS);
        let mut weight = Fr::ONE;
        for bit in bits {
            terms.push((weight, self.bit(bit)?));
            weight.double_in_place();
        }
        let sum = self.linear(&terms)?;
        self.equal(sum, wire)
    }

    /// The parent of `children`, given that `node` is the child that the bits select: five constraints and a hash.
    pub(super) fn parent(&mut self, node: Wire, children: [Fr; ARITY], bits: [Fr; 2]) -> SynthesisResult<Wire> {
        let one = Fr::ONE;
        let [low, high] = bits;
        let (low, high) = (self.bit(low)?, self.bit(high)?);
        let [c0, c1, c2, c3] = children;
        let (c0, c1, c2, c3) = (self.witness(c0)?, self.witness(c1)?, self.witness(c2)?, self.witness(c3)?);

        // `lower` is c0 or c1 and `upper` is c2 or c3, by the low bit; then `high · (upper − lower) = node − lower`.
        let difference = self.linear(&[(one, c1), (-one, c0)])?;
        let step = self.product(low, difference)?;
        let lower = self.linear(&[(one, c0), (one, step)])?;
        let difference = self.linear(&[(one, c3), (-one, c2)])?;
        let step = self.product(low, difference)?;
        let upper = self.linear(&[(one, c2), (one, step)])?;
        let difference = self.linear(&[(one, upper), (-one, lower)])?;
        let rest = self.linear(&[(one, node), (-one, lower)])?;
        self.enforce(high, difference, rest)?;

        self.hash([c0, c1, c2, c3])
    }

    /// Poseidon of N inputs.
    pub(super) fn hash<const N: usize>(&mut self, inputs: [Wire; N]) -> SynthesisResult<Wire> {
        let width = N.saturating_add(1);
        let known = self.parameters.iter().position(|parameters| parameters.width == width);
        let parameters = match known {
            Some(index) => self.parameters.swap_remove(index),
            None => poseidon_parameters(width)?,
        };
        let zero = Wire::constant(Fr::ZERO);
        let state = std::iter::once(zero).chain(inputs).collect();
        let output = self.permute(&parameters, state);
        self.parameters.push(parameters);
        output
    }

    /// The Poseidon permutation; answers lane 0.
    fn permute(&mut self, parameters: &PoseidonParameters<Fr>, mut state: Vec<Wire>) -> SynthesisResult<Wire> {
        let half = parameters.full_rounds.div_euclid(2);
        let partial = half..half.saturating_add(parameters.partial_rounds);
        for (round, constants) in parameters.ark.chunks_exact(parameters.width).enumerate() {
            // Only the first lane goes through the S-box in a partial round.
            let boxed = if partial.contains(&round) { 1 } else { parameters.width };
            for (lane, (wire, constant)) in state.iter_mut().zip(constants).enumerate() {
                *wire = self.linear(&[(Fr::ONE, *wire), (*constant, Wire::constant(Fr::ONE))])?;
                if lane < boxed {
                    *wire = self.fifth_power(*wire)?;
                }
            }
            state = parameters.mds.iter().map(|row| self.mix(row, &state)).collect::<Result<_, _>>()?;
        }
        state.first().copied().ok_or(SynthesisError::Unsatisfiable)
    }

    fn mix(&mut self, row: &[Fr], state: &[Wire]) -> SynthesisResult<Wire> {
        let terms: Vec<_> = row.iter().copied().zip(state.iter().copied()).collect();
        self.linear(&terms)
    }

    /// Three constraints, or none for a constant.
    fn fifth_power(&mut self, wire: Wire) -> SynthesisResult<Wire> {
        if wire.variable.is_none() {
            return Ok(Wire::constant(wire.value.square().square() * wire.value));
        }
        let square = self.product(wire, wire)?;
        let fourth = self.product(square, square)?;
        self.product(fourth, wire)
    }

    /// A witness cell that is 0 or 1: one constraint, `bit · (1 − bit) = 0`.
    fn bit(&mut self, value: Fr) -> SynthesisResult<Wire> {
        let bit = self.witness(value)?;
        let complement = self.linear(&[(Fr::ONE, Wire::constant(Fr::ONE)), (-Fr::ONE, bit)])?;
        self.enforce(bit, complement, Wire::constant(Fr::ZERO))?;
        Ok(bit)
    }

    /// One constraint: `left · right = product`.
    pub(super) fn enforce(&mut self, left: Wire, right: Wire, product: Wire) -> SynthesisResult<()> {
        let whole = |wire| combination(&[(Fr::ONE, wire)]);
        self.system.enforce_r1cs_constraint(|| whole(left), || whole(right), || whole(product))
    }
}

fn combination(terms: &[(Fr, Wire)]) -> LinearCombination<Fr> {
    let mut combination = LinearCombination(terms.iter().map(|(factor, wire)| wire.term(*factor)).collect());
    combination.compactify();
    combination
}

fn poseidon_parameters(width: usize) -> SynthesisResult<PoseidonParameters<Fr>> {
    // circom defines widths 2 to 13; the widths used here are fixed by the statement.
    let width = u8::try_from(width).map_err(|_| SynthesisError::Unsatisfiable)?;
    get_poseidon_parameters(width).map_err(|_| SynthesisError::Unsatisfiable)
}

#[cfg(test)]
mod tests {
    use ark_relations::gr1cs::ConstraintSystem;

    use super::*;
    use crate::hash::poseidon_fr;

    fn hash_in_circuit<const N: usize>(inputs: [u64; N]) -> (Fr, usize) {
        let mut circuit = Circuit::new(ConstraintSystem::new_ref());
        let inputs = inputs.map(|input| circuit.witness(Fr::from(input)).unwrap());
        let output = circuit.hash(inputs).unwrap();
        let expected = circuit.witness(output.value).unwrap();
        circuit.equal(output, expected).unwrap();
        assert_eq!(circuit.system.is_satisfied(), Ok(true));
        (output.value, circuit.system.num_constraints() - 1)
    }

    #[test]
    fn the_gadget_computes_the_native_hash() {
        for seed in 0..20 {
            let input = |index: u64| seed * seed * 77 + index;
            assert_eq!(hash_in_circuit([input(1)]).0, poseidon_fr([Fr::from(input(1))]));
            let two = [input(1), input(2)];
            assert_eq!(hash_in_circuit(two).0, poseidon_fr(two.map(Fr::from)));
            let three = [input(1), input(2), input(3)];
            assert_eq!(hash_in_circuit(three).0, poseidon_fr(three.map(Fr::from)));
            let four = [input(1), input(2), input(3), input(4)];
            assert_eq!(hash_in_circuit(four).0, poseidon_fr(four.map(Fr::from)));
            let five = [input(1), input(2), input(3), input(4), input(5)];
            assert_eq!(hash_in_circuit(five).0, poseidon_fr(five.map(Fr::from)));
        }
    }

    #[test]
    fn a_hash_costs_three_constraints_per_variable_s_box() {
        // 8·t + partial rounds S-boxes, of which the capacity lane's first is a constant.
        assert_eq!(hash_in_circuit([1; 3]).1, 3 * (8 * 4 + 56 - 1));
        assert_eq!(hash_in_circuit([1; 4]).1, 3 * (8 * 5 + 60 - 1));
        assert_eq!(hash_in_circuit([1; 5]).1, 3 * (8 * 6 + 60 - 1));
    }
}
