//! How constraints become polynomials: the reduction of circom and snarkjs (docs/decisions/0030).
//!
//! Rows of A and B are interpolated over the `n` roots of unity, as everywhere. What differs from the library's own reduction
//! is the quotient: `A·B − C` has degree below `2n` and vanishes on the `n` roots, so its values on the other half of the
//! `2n`-th roots determine it. The prover computes those `n` values, and the key has the Lagrange basis of the `2n`-th roots at
//! the odd ones, `L₂ᵢ₊₁(τ)/δ`. A ceremony can compute these points from powers of τ that others published.

use ark_ff::PrimeField;
use ark_groth16::r1cs_to_qap::{LibsnarkReduction, R1CSToQAP};
use ark_poly::EvaluationDomain;
use ark_relations::gr1cs::{ConstraintSystemRef, Matrix, Result as SynthesisResult, SynthesisError};
use zeroize::Zeroizing;

use crate::circuit::rows;

/// Circom's reduction. Every key of this crate is made for it.
#[derive(Debug)]
pub struct CircomQap;

/// What [`R1CSToQAP::instance_map_with_evaluation`] returns.
type Instance<F> = (Vec<F>, Vec<F>, Vec<F>, F, usize, usize);

impl R1CSToQAP for CircomQap {
    fn instance_map_with_evaluation<F: PrimeField, D: EvaluationDomain<F>>(
        system: ConstraintSystemRef<F>,
        tau: &F,
    ) -> SynthesisResult<Instance<F>> {
        // The polynomials of the variables are the same: one row per constraint, then one of A per input.
        LibsnarkReduction::instance_map_with_evaluation::<F, D>(system, tau)
    }

    fn witness_map_from_matrices<F: PrimeField, D: EvaluationDomain<F>>(
        matrices: &[Matrix<F>],
        inputs: usize,
        _: usize,
        values: &[F],
    ) -> SynthesisResult<Vec<F>> {
        let [a, b, ..] = matrices else { return Err(SynthesisError::AssignmentMissing) };
        let inputs = values.get(..inputs).ok_or(SynthesisError::AssignmentMissing)?;
        quotient::<F, D>(&[a, b].map(|matrix| rows(matrix, values)), inputs)
            .map(|mut quotient| std::mem::take(&mut *quotient))
    }

    fn h_query_scalars<F: PrimeField, D: EvaluationDomain<F>>(
        max_power: usize,
        tau: F,
        _: F,
        delta_inverse: F,
    ) -> SynthesisResult<Vec<F>> {
        // The library asks for one less than there are rows: its quotient is a polynomial, ours is a list of values.
        let size = max_power.checked_add(1).and_then(|size| size.checked_mul(2));
        let domain = size.and_then(D::new).ok_or(SynthesisError::PolynomialDegreeTooLarge)?;
        let basis = domain.evaluate_all_lagrange_coefficients(tau);
        Ok(basis.into_iter().skip(1).step_by(2).map(|value| value * delta_inverse).collect())
    }
}

/// The values of the quotient, from those of the rows of A and B: the third matrix is not asked, since they satisfy the constraints, or
/// the proof does not verify.
pub(super) fn quotient<F: PrimeField, D: EvaluationDomain<F>>(
    [a, b]: &[Zeroizing<Vec<F>>; 2],
    inputs: &[F],
) -> SynthesisResult<Zeroizing<Vec<F>>> {
    let rows = a.len().checked_add(inputs.len()).ok_or(SynthesisError::PolynomialDegreeTooLarge)?;
    let domain = D::new(rows).ok_or(SynthesisError::PolynomialDegreeTooLarge)?;
    let odd = odd_roots::<F, D>(domain)?;
    let padded = |rows: &[F], inputs: &[F]| {
        let mut padded = Zeroizing::new(Vec::with_capacity(domain.size()));
        padded.extend_from_slice(rows);
        padded.extend_from_slice(inputs);
        padded.resize(domain.size(), F::zero());
        padded
    };
    let (mut a, mut b) = (padded(a, inputs), padded(b, &[]));
    let mut c = Zeroizing::new(a.iter().zip(b.iter()).map(|(a, b)| *a * b).collect::<Vec<_>>());
    for values in [&mut a, &mut b, &mut c] {
        domain.ifft_in_place(values);
        odd.fft_in_place(values);
    }
    a.iter_mut().zip(b.iter().zip(c.iter())).for_each(|(a, (b, c))| *a = *a * b - c);
    Ok(a)
}

/// The `2n`-th roots of unity that are not in `domain`, the `n`-th ones.
fn odd_roots<F: PrimeField, D: EvaluationDomain<F>>(domain: D) -> SynthesisResult<D> {
    let double = domain.size().checked_mul(2).and_then(D::new).ok_or(SynthesisError::PolynomialDegreeTooLarge)?;
    domain.get_coset(double.group_gen()).ok_or(SynthesisError::PolynomialDegreeTooLarge)
}
