//! What tests of the ceremony need: powers of tau whose tau is known, in snarkjs's prepared form; a small circuit; witnesses as
//! files. Whoever knows tau can forge proofs, so no program links this crate.
//!
//! Everything is written anew here, not with the code under test. Formats: snarkjs 0.7.6.

use ark_bn254::{Fq, Fr, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::AffineRepr;
use ark_ec::scalar_mul::BatchMulPreprocessing;
use ark_ff::{AdditiveGroup, BigInteger, Field, PrimeField};
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use ark_relations::gr1cs::{
    ConstraintSynthesizer, ConstraintSystemRef, LinearCombination, Result as SynthesisResult, Variable,
};

/// The secrets of a phase 1.
#[derive(Clone, Copy, Debug)]
pub struct Secrets {
    /// τ.
    pub tau: Fr,
    /// α.
    pub alpha: Fr,
    /// β.
    pub beta: Fr,
}

impl Secrets {
    /// Three numbers from one.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let number = |which: u64| Fr::from(seed).pow([5]) + Fr::from(which).pow([77]);
        Self { tau: number(11), alpha: number(13), beta: number(17) }
    }
}

/// What stands at the power `2^(p+1) − 1` of the longest Lagrange form, which a file of degree `2^p` has no power for.
#[derive(Clone, Copy, Debug)]
pub enum Highest {
    /// Nothing, as snarkjs prepares files.
    Missing,
    /// The power, as in files cut from longer ones.
    Power,
    /// Anything else: an attack.
    Other(Fr),
}

/// A prepared file for degree `2^power`, without contributions.
#[must_use]
pub fn ptau(power: u32, secrets: &Secrets, highest: Highest) -> Vec<u8> {
    let Secrets { tau, alpha, beta } = *secrets;
    let size = 1_usize << power;
    let powers: Vec<Fr> = std::iter::successors(Some(Fr::ONE), |last| Some(*last * tau)).take(2 * size - 1).collect();
    let short: Vec<Fr> = powers.iter().copied().take(size).collect();
    let mut forms: Vec<Fr> = (0..=power).flat_map(|power| lagrange(1 << power, tau)).collect();
    let short_forms = forms.clone();
    forms.extend(longest(2 * size, tau, highest));

    let scaled = |values: &[Fr], factor: Fr| values.iter().map(|value| *value * factor).collect::<Vec<_>>();
    let g1 = BatchMulPreprocessing::new(G1Projective::from(G1Affine::generator()), 8 * size);
    let g2 = BatchMulPreprocessing::new(G2Projective::from(G2Affine::generator()), 4 * size);
    let on_g1 = |values: &[Fr]| g1.batch_mul(values).iter().flat_map(g1_bytes).collect::<Vec<u8>>();
    let on_g2 = |values: &[Fr]| g2.batch_mul(values).iter().flat_map(g2_bytes).collect::<Vec<u8>>();

    let mut header = 32_u32.to_le_bytes().to_vec();
    header.extend(Fq::MODULUS.to_bytes_le());
    header.extend(power.to_le_bytes());
    header.extend(power.to_le_bytes());
    container(
        b"ptau",
        1,
        &[
            (1, header),
            (2, on_g1(&powers)),
            (3, on_g2(&short)),
            (4, on_g1(&scaled(&short, alpha))),
            (5, on_g1(&scaled(&short, beta))),
            (6, on_g2(&[beta])),
            (7, 0_u32.to_le_bytes().to_vec()),
            (12, on_g1(&forms)),
            (13, on_g2(&short_forms)),
            (14, on_g1(&scaled(&short_forms, alpha))),
            (15, on_g1(&scaled(&short_forms, beta))),
        ],
    )
}

fn lagrange(size: usize, tau: Fr) -> Vec<Fr> {
    domain(size).evaluate_all_lagrange_coefficients(tau)
}

fn longest(size: usize, tau: Fr, highest: Highest) -> Vec<Fr> {
    let domain = domain(size);
    let power = tau.pow([u64::try_from(size).unwrap_or(u64::MAX) - 1]);
    let change = match highest {
        Highest::Missing => -power,
        Highest::Power => Fr::ZERO,
        Highest::Other(other) => other - power,
    };
    let forms = domain.evaluate_all_lagrange_coefficients(tau).into_iter().enumerate();
    forms.map(|(index, form)| form + change * domain.size_inv * domain.element(index)).collect()
}

/// A root of unity of this order.
#[must_use]
pub fn root_of_unity(order: usize) -> Fr {
    domain(order).group_gen
}

fn domain(size: usize) -> Radix2EvaluationDomain<Fr> {
    Radix2EvaluationDomain::new(size).expect("invariant: tests are smaller than the field's domains")
}

fn g1_bytes(point: &G1Affine) -> Vec<u8> {
    [point.x, point.y].iter().flat_map(|coordinate| coordinate.0.to_bytes_le()).collect()
}

fn g2_bytes(point: &G2Affine) -> Vec<u8> {
    let parts = [point.x.c0, point.x.c1, point.y.c0, point.y.c1];
    parts.iter().flat_map(|coordinate| coordinate.0.to_bytes_le()).collect()
}

/// The value of every variable, as snarkjs's prover wants it.
#[must_use]
pub fn wtns(values: &[Fr]) -> Vec<u8> {
    let mut header = 32_u32.to_le_bytes().to_vec();
    header.extend(Fr::MODULUS.to_bytes_le());
    header.extend(u32::try_from(values.len()).unwrap_or(u32::MAX).to_le_bytes());
    let values = values.iter().flat_map(|value| value.into_bigint().to_bytes_le()).collect();
    container(b"wtns", 2, &[(1, header), (2, values)])
}

/// A file of sections.
#[must_use]
pub fn container(magic: &[u8; 4], version: u32, sections: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = magic.to_vec();
    file.extend(version.to_le_bytes());
    file.extend(u32::try_from(sections.len()).unwrap_or(u32::MAX).to_le_bytes());
    for (number, bytes) in sections {
        file.extend(number.to_le_bytes());
        file.extend(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        file.extend(bytes);
    }
    file
}

/// Where each section of a file begins and how long it is.
#[must_use]
pub fn sections(file: &[u8]) -> Vec<(u32, std::ops::Range<usize>)> {
    let number = |at: usize, length: usize| -> usize {
        let bytes = file.get(at..at + length).unwrap_or_default();
        bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let mut at = 12;
    let mut found = Vec::new();
    for _ in 0..number(8, 4) {
        let (section, length) = (number(at, 4), number(at + 4, 8));
        found.push((u32::try_from(section).unwrap_or(u32::MAX), at + 12..at + 12 + length));
        at += 12 + length;
    }
    found
}

/// A circuit of five constraints and two public inputs: `out = x⁵ + 3x + y` and `y·y = square`, for a secret `x` and `y`.
#[derive(Clone, Copy, Debug)]
pub struct SmallCircuit {
    /// A secret number.
    pub x: Fr,
    /// Another.
    pub y: Fr,
    /// A constant of the circuit: with another it is another circuit of the same shape.
    pub constant: u64,
}

impl SmallCircuit {
    /// Values that satisfy it.
    #[must_use]
    pub fn example() -> Self {
        Self { x: Fr::from(3_u64), y: -Fr::from(5_u64), constant: 7 }
    }

    /// The public inputs: `out` and `square`.
    #[must_use]
    pub fn public(&self) -> [Fr; 2] {
        [self.x.pow([5]) + self.x * Fr::from(3_u64) + self.y, self.y.square()]
    }
}

impl ConstraintSynthesizer<Fr> for SmallCircuit {
    fn generate_constraints(self, system: ConstraintSystemRef<Fr>) -> SynthesisResult<()> {
        let [out_value, square_value] = self.public();
        let one = Fr::ONE;
        let of = |variable: Variable| LinearCombination(vec![(one, variable)]);
        let out = system.new_input_variable(|| Ok(out_value))?;
        let square = system.new_input_variable(|| Ok(square_value))?;
        let x = system.new_witness_variable(|| Ok(self.x))?;
        let y = system.new_witness_variable(|| Ok(self.y))?;
        let x2 = system.new_witness_variable(|| Ok(self.x.square()))?;
        let x4 = system.new_witness_variable(|| Ok(self.x.pow([4])))?;
        system.enforce_r1cs_constraint(|| of(x), || of(x), || of(x2))?;
        system.enforce_r1cs_constraint(|| of(x2), || of(x2), || of(x4))?;
        let rest = LinearCombination(vec![(one, out), (-Fr::from(3_u64), x), (-one, y)]);
        system.enforce_r1cs_constraint(|| of(x4), || of(x), || rest)?;
        system.enforce_r1cs_constraint(|| of(y), || of(y), || of(square))?;
        // Of rows that stand in A and B, and of a constant.
        let shifted = || LinearCombination(vec![(one, x), (Fr::from(self.constant), Variable::One)]);
        let shifted_value = self.x + Fr::from(self.constant);
        let product = system.new_witness_variable(|| Ok(shifted_value.square()))?;
        system.enforce_r1cs_constraint(shifted, shifted, || of(product))?;
        Ok(())
    }
}
