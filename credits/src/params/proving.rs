//! The proving key: the setup that makes it and the file that carries it.
//!
//! The circuit fixes how many points of each kind there are, so the file has one length and no counts:
//! magic ‖ verifying key ‖ β₁ ‖ δ₁ ‖ A ‖ B₁ ‖ B₂ ‖ H ‖ L, points uncompressed (decompression would cost a square root each).

use std::fmt;

use ark_bn254::{Bn254, Fr, G1Affine};
use ark_ec::AffineRepr;
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ff::UniformRand;
use ark_groth16::{Groth16, Proof, ProvingKey};
use ark_poly::GeneralEvaluationDomain;
use ark_relations::gr1cs::ConstraintSynthesizer;
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use super::points;
use super::qap::{CircomQap, quotient};
use super::{MAGIC_LEN, ParamsError, VERIFYING_PARAMS_LEN, VerifyingParams, decode, encode};
use crate::bytes::Bytes32;
use crate::circuit::{Relation, Statement};

/// What the encoded proving key of a statement begins with.
const fn pk_magic(statement: Statement) -> &'static [u8; MAGIC_LEN] {
    match statement {
        Statement::Spend => b"cloister/spend-pk/v2",
        Statement::Merge => b"cloister/merge-pk/v2",
    }
}

const G1_UNCOMPRESSED_LEN: usize = 64;
const G2_UNCOMPRESSED_LEN: usize = 128;

/// The curve's proof system with circom's reduction.
type Prover = Groth16<Bn254, CircomQap>;
type Domain = GeneralEvaluationDomain<Fr>;

/// A proving key with the circuit it is for and its verifying key.
pub struct ProvingParams {
    statement: Statement,
    key: ProvingKey<Bn254>,
    /// Points of the key once more, in the order in which a proof sums them.
    of_c: Vec<G1Affine>,
    relation: Relation,
    verifying: VerifyingParams,
}

/// Runs a single-party setup: whoever knows `rng`'s output can forge proofs.
///
/// That robs only the ledger's operator (`design/credits.md` §1.8); privacy does not depend on it.
pub fn setup(rng: &mut dyn CryptoRngCore) -> Result<(ProvingParams, VerifyingParams), ParamsError> {
    let params = ProvingParams::made_alone(Statement::Spend, rng)?;
    let verifying = params.verifying.clone();
    Ok((params, verifying))
}

impl ProvingParams {
    pub(super) fn made_alone(statement: Statement, mut rng: &mut dyn CryptoRngCore) -> Result<Self, ParamsError> {
        let relation = Relation::of(statement).map_err(|_| ParamsError::Synthesis)?;
        let key = Prover::generate_random_parameters_with_reduction(statement, &mut rng)
            .map_err(|_| ParamsError::Synthesis)?;
        let verifying = VerifyingParams::of_statement(statement, &encode(statement, &key.vk))?;
        Ok(Self { statement, of_c: points::of_c(&key), key, relation, verifying })
    }

    /// A key of the spend statement that a ceremony made (docs/decisions/0030), with the checks of [`ProvingParams::from_bytes`].
    ///
    /// # Errors
    ///
    /// `params.circuit` for a key of another circuit, and what [`VerifyingParams::from_bytes`] refuses.
    pub fn from_key(key: ProvingKey<Bn254>) -> Result<Self, ParamsError> {
        Self::key_of_statement(Statement::Spend, key)
    }

    pub(super) fn key_of_statement(statement: Statement, key: ProvingKey<Bn254>) -> Result<Self, ParamsError> {
        let relation = Relation::of(statement).map_err(|_| ParamsError::Synthesis)?;
        let counts = Counts::of(&relation);
        let verifying = VerifyingParams::of_statement(statement, &encode(statement, &key.vk))?;
        let queries = [(&key.a_query, counts.variables), (&key.b_g1_query, counts.variables)];
        let others = [(&key.h_query, counts.quotient), (&key.l_query, counts.witness)];
        if queries.into_iter().chain(others).any(|(query, count)| query.len() != count)
            || key.b_g2_query.len() != counts.variables
        {
            return Err(ParamsError::Circuit);
        }
        if key.delta_g1.is_zero() || key.beta_g1.is_zero() {
            return Err(ParamsError::Identity);
        }
        Ok(Self { statement, of_c: points::of_c(&key), key, relation, verifying })
    }

    /// Decodes a proving key of the spend statement and checks that it belongs to the verifying key with this digest.
    pub fn from_bytes(bytes: &[u8], expected_vk_digest: Bytes32) -> Result<Self, ParamsError> {
        Self::of_statement(Statement::Spend, bytes, expected_vk_digest)
    }

    pub(super) fn of_statement(
        statement: Statement,
        bytes: &[u8],
        expected_vk_digest: Bytes32,
    ) -> Result<Self, ParamsError> {
        let relation = Relation::of(statement).map_err(|_| ParamsError::Synthesis)?;
        let counts = Counts::of(&relation);
        if bytes.len() != counts.file_len() {
            return Err(ParamsError::Length { expected: counts.file_len(), got: bytes.len() });
        }
        let rest = bytes.strip_prefix(pk_magic(statement)).ok_or(ParamsError::Magic)?;
        let (vk_bytes, mut rest) = rest.split_first_chunk::<VERIFYING_PARAMS_LEN>().ok_or(ParamsError::Point)?;
        let verifying = VerifyingParams::of_statement(statement, vk_bytes)?;
        if verifying.digest() != expected_vk_digest {
            return Err(ParamsError::VerifyingKey { expected: expected_vk_digest, got: verifying.digest() });
        }
        let rest = &mut rest;
        let key = ProvingKey {
            vk: decode(statement, vk_bytes)?,
            beta_g1: one(rest)?,
            delta_g1: one(rest)?,
            a_query: many(rest, counts.variables)?,
            b_g1_query: many(rest, counts.variables)?,
            b_g2_query: many(rest, counts.variables)?,
            h_query: many(rest, counts.quotient)?,
            l_query: many(rest, counts.witness)?,
        };
        // With either as the identity a proof would not be blinded.
        if key.delta_g1.is_zero() || key.beta_g1.is_zero() {
            return Err(ParamsError::Identity);
        }
        Ok(Self { statement, of_c: points::of_c(&key), key, relation, verifying })
    }

    /// The encoded key.
    pub fn to_bytes(&self) -> Vec<u8> {
        let key = &self.key;
        let mut bytes = Vec::with_capacity(Counts::of(&self.relation).file_len());
        bytes.extend_from_slice(pk_magic(self.statement));
        bytes.extend_from_slice(&self.verifying.to_bytes());
        let g1 = [&key.beta_g1, &key.delta_g1].into_iter().chain(&key.a_query).chain(&key.b_g1_query);
        g1.for_each(|point| put(point, &mut bytes));
        key.b_g2_query.iter().for_each(|point| put(point, &mut bytes));
        key.h_query.iter().chain(&key.l_query).for_each(|point| put(point, &mut bytes));
        bytes
    }

    /// The verifying key.
    pub const fn verifying(&self) -> &VerifyingParams {
        &self.verifying
    }

    /// The constraints of the circuit.
    pub const fn constraints(&self) -> usize {
        self.relation.constraints()
    }

    #[cfg(test)]
    pub(crate) const fn relation(&self) -> &Relation {
        &self.relation
    }

    #[cfg(test)]
    pub(crate) const fn delta_g2(&self) -> ark_bn254::G2Affine {
        self.key.vk.delta_g2
    }

    /// A proof for an assignment, or nothing when the assignment does not satisfy the circuit.
    pub(crate) fn prove(
        &self,
        assignment: impl ConstraintSynthesizer<Fr>,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Option<Proof<Bn254>>, ParamsError> {
        let values = self.relation.assign(assignment).map_err(|_| ParamsError::Synthesis)?;
        let factors = self.relation.factors(&values);
        // An unsatisfied assignment gives an invalid proof, not an error: ask first.
        if !self.relation.is_satisfied(&values, &factors) {
            return Ok(None);
        }
        self.prove_values(&values, &factors, rng).map(Some)
    }

    /// A proof from the value of every variable and their [`Relation::factors`]; it verifies if they satisfy the circuit.
    pub(crate) fn prove_values(
        &self,
        values: &[Fr],
        factors: &[Zeroizing<Vec<Fr>>; 2],
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Proof<Bn254>, ParamsError> {
        let inputs = self.relation.inputs();
        let public = values.get(..inputs).filter(|_| values.len() == self.relation.variables());
        // The matrices are cached: the library's usual entry inlines every linear combination again for each proof.
        let quotient = quotient::<Fr, Domain>(factors, public.ok_or(ParamsError::Synthesis)?);
        let quotient = quotient.map_err(|_| ParamsError::Synthesis)?;
        let (r, s) = (Zeroizing::new(Fr::rand(rng)), Zeroizing::new(Fr::rand(rng)));
        Ok(points::prove(&self.key, &self.of_c, inputs, values, &quotient, [&r, &s]))
    }
}

impl fmt::Debug for ProvingParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProvingParams({})", self.verifying.digest())
    }
}

/// How many points of each kind the circuit's key has.
struct Counts {
    variables: usize,
    witness: usize,
    quotient: usize,
}

impl Counts {
    fn of(relation: &Relation) -> Self {
        // The evaluation domain is the power of two that holds a row per constraint and per input; the quotient has a value
        // for each of its points.
        let domain = relation.constraints().saturating_add(relation.inputs()).next_power_of_two();
        Self {
            variables: relation.variables(),
            witness: relation.variables().saturating_sub(relation.inputs()),
            quotient: domain,
        }
    }

    fn file_len(&self) -> usize {
        let g1 = 2 * self.variables + self.witness + self.quotient + 2;
        MAGIC_LEN + VERIFYING_PARAMS_LEN + g1 * G1_UNCOMPRESSED_LEN + self.variables * G2_UNCOMPRESSED_LEN
    }
}

fn put(point: &impl CanonicalSerialize, bytes: &mut Vec<u8>) {
    point.serialize_uncompressed(bytes).expect("invariant: a vector takes any number of bytes");
}

fn many<C: SWCurveConfig>(bytes: &mut &[u8], count: usize) -> Result<Vec<Affine<C>>, ParamsError> {
    (0..count).map(|_| one(bytes)).collect()
}

/// A point on the curve.
///
/// Whether it is in the prime-order subgroup is not asked here, which would triple the time to load a key: on G1 every
/// point is, and a point of G2 that is not either leaves the proof's B in the subgroup, where the blinding hides it, or
/// makes the prover's own verification refuse the proof.
fn one<C: SWCurveConfig>(bytes: &mut &[u8]) -> Result<Affine<C>, ParamsError> {
    let point = Affine::<C>::deserialize_uncompressed_unchecked(bytes).map_err(|_| ParamsError::Point)?;
    if point.is_on_curve() { Ok(point) } else { Err(ParamsError::Point) }
}
