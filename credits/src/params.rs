//! The parameters of the proof system: a verifying key that boot can trust, and the proving key that belongs to it.
//!
//! A verifying key is judged before it is used, because keys that a careless or hostile setup left forgeable are real: with
//! `γ = ±δ` (and likewise any two of β, γ, δ) anyone proves anything. Every point is in its subgroup and not the identity,
//! β, γ and δ differ pairwise even up to sign, and none of α, β, δ is a generator, which is what a ceremony without
//! contributions leaves (γ may be one: ceremony tools fix it so). `design/credits.md` §1.8.
//!
//! A proving key is only checked to consist of group elements and to carry the expected verifying key. That is enough: a
//! prover verifies what it made, and a proof that verifies has uniform A and B and the one C that fits them. What a hostile proving
//! key can do is prevent proofs, of some notes and not of others, which tells whoever made it a little when one is missing.

mod equation;
mod lines;
mod merge;
mod points;
mod power;
mod proving;
mod qap;
mod subgroup;
mod sums;

use std::fmt;
use std::sync::Arc;

use ark_bn254::{Bn254, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_groth16::VerifyingKey;
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};

pub(crate) use self::equation::{Claim, Equation};
pub(crate) use self::lines::Lines;
pub use self::merge::{MergeProvingParams, MergeVerifyingParams, setup_merge};
pub use self::proving::{ProvingParams, setup};
pub use self::qap::CircomQap;
pub(crate) use self::subgroup::OnCurve;
use crate::bytes::Bytes32;
use crate::circuit::{PUBLIC_INPUTS, Statement};
use crate::hash::sha256;

/// One point per public input and one for the constant.
const IC_LEN: usize = PUBLIC_INPUTS + 1;
const G1_LEN: usize = 32;
const G2_LEN: usize = 64;

const MAGIC_LEN: usize = 20;

/// What the encoded verifying key of a statement begins with.
const fn vk_magic(statement: Statement) -> &'static [u8; MAGIC_LEN] {
    match statement {
        Statement::Spend => b"cloister/spend-vk/v1",
        Statement::Merge => b"cloister/merge-vk/v1",
    }
}

/// Bytes of an encoded verifying key: the magic, then α, β, γ, δ and the IC, compressed. Both statements have as many inputs.
pub const VERIFYING_PARAMS_LEN: usize = MAGIC_LEN + G1_LEN + 3 * G2_LEN + IC_LEN * G1_LEN;

/// Why parameters are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// The length is not the format's.
    #[error("expected {expected} bytes of parameters, got {got}")]
    Length {
        /// The format's length.
        expected: usize,
        /// The length found.
        got: usize,
    },
    /// The bytes are of another format or version.
    #[error("the parameters have another format or version")]
    Magic,
    /// A point is not canonical, not on the curve or not in its subgroup.
    #[error("a point of the parameters is not a canonical group element")]
    Point,
    /// A point of the verifying key is the identity.
    #[error("a point of the verifying key is the identity")]
    Identity,
    /// Two of β, γ and δ are equal up to sign: proofs could be forged.
    #[error("two of beta, gamma and delta of the verifying key coincide")]
    Coincident,
    /// α, β or δ is a generator: nobody contributed to the setup.
    #[error("alpha, beta or delta of the verifying key is a generator")]
    Generator,
    /// The proving key belongs to another verifying key.
    #[error("the proving key belongs to verifying key {got}, expected {expected}")]
    VerifyingKey {
        /// The pinned digest.
        expected: Bytes32,
        /// The digest found.
        got: Bytes32,
    },
    /// The key has another number of points than the circuit needs.
    #[error("the key is not of this circuit")]
    Circuit,
    /// The circuit cannot be built; a fault of this program.
    #[error("the circuit cannot be synthesised")]
    Synthesis,
}

impl ParamsError {
    /// The stable code of the refusal.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Length { .. } => "params.length",
            Self::Magic => "params.magic",
            Self::Point => "params.point",
            Self::Identity => "params.identity",
            Self::Coincident => "params.coincident",
            Self::Generator => "params.generator",
            Self::VerifyingKey { .. } => "params.verifying_key",
            Self::Circuit => "params.circuit",
            Self::Synthesis => "params.synthesis",
        }
    }
}

/// A verifying key that passed the boot checks, prepared for use.
#[derive(Clone)]
pub struct VerifyingParams {
    bytes: [u8; VERIFYING_PARAMS_LEN],
    digest: Bytes32,
    equation: Arc<Equation>,
}

impl VerifyingParams {
    /// Decodes and judges a verifying key of the spend statement.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParamsError> {
        Self::of_statement(Statement::Spend, bytes)
    }

    fn of_statement(statement: Statement, bytes: &[u8]) -> Result<Self, ParamsError> {
        let bytes: &[u8; VERIFYING_PARAMS_LEN] =
            bytes.try_into().map_err(|_| ParamsError::Length { expected: VERIFYING_PARAMS_LEN, got: bytes.len() })?;
        Self::judge(bytes, &decode(statement, bytes)?)
    }

    /// The encoded key.
    pub const fn to_bytes(&self) -> [u8; VERIFYING_PARAMS_LEN] {
        self.bytes
    }

    /// SHA-256 of the encoded key: what guardians, wallets and ledgers pin.
    pub const fn digest(&self) -> Bytes32 {
        self.digest
    }

    /// The boot checks.
    fn judge(bytes: &[u8; VERIFYING_PARAMS_LEN], key: &VerifyingKey<Bn254>) -> Result<Self, ParamsError> {
        let VerifyingKey { alpha_g1: alpha, beta_g2: beta, gamma_g2: gamma, delta_g2: delta, gamma_abc_g1 } = key;
        let ic = <[G1Affine; IC_LEN]>::try_from(gamma_abc_g1.as_slice()).map_err(|_| ParamsError::Point)?;
        if ic.iter().chain([alpha]).any(AffineRepr::is_zero)
            || [beta, gamma, delta].into_iter().any(AffineRepr::is_zero)
        {
            return Err(ParamsError::Identity);
        }
        let coincide = |left: &G2Affine, right: &G2Affine| *left == *right || *left == -*right;
        if coincide(gamma, delta) || coincide(beta, gamma) || coincide(beta, delta) {
            return Err(ParamsError::Coincident);
        }
        let g2 = G2Affine::generator();
        if *alpha == G1Affine::generator() || *beta == g2 || *delta == g2 {
            return Err(ParamsError::Generator);
        }
        let equation = Equation::new(*alpha, *beta, *gamma, *delta, ic).ok_or(ParamsError::Point)?;
        Ok(Self { bytes: *bytes, digest: sha256(bytes), equation: Arc::new(equation) })
    }

    pub(crate) fn equation(&self) -> &Equation {
        &self.equation
    }
}

impl fmt::Debug for VerifyingParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingParams({})", self.digest)
    }
}

/// Encodes a verifying key. One with another number of IC points gets another length, which decoding refuses.
fn encode(statement: Statement, key: &VerifyingKey<Bn254>) -> Vec<u8> {
    let mut bytes = vk_magic(statement).to_vec();
    let g2 = [&key.beta_g2, &key.gamma_g2, &key.delta_g2];
    put_compressed(&key.alpha_g1, &mut bytes);
    g2.into_iter().for_each(|point| put_compressed(point, &mut bytes));
    key.gamma_abc_g1.iter().for_each(|point| put_compressed(point, &mut bytes));
    bytes
}

pub(crate) fn put_compressed(point: &impl CanonicalSerialize, bytes: &mut Vec<u8>) {
    point.serialize_compressed(bytes).expect("invariant: a vector takes any number of bytes");
}

fn decode(statement: Statement, bytes: &[u8; VERIFYING_PARAMS_LEN]) -> Result<VerifyingKey<Bn254>, ParamsError> {
    let mut rest = bytes.strip_prefix(vk_magic(statement)).ok_or(ParamsError::Magic)?;
    let key = VerifyingKey {
        alpha_g1: compressed::<G1Affine, G1_LEN>(&mut rest)?,
        beta_g2: compressed::<G2Affine, G2_LEN>(&mut rest)?,
        gamma_g2: compressed::<G2Affine, G2_LEN>(&mut rest)?,
        delta_g2: compressed::<G2Affine, G2_LEN>(&mut rest)?,
        gamma_abc_g1: (0..IC_LEN).map(|_| compressed::<G1Affine, G1_LEN>(&mut rest)).collect::<Result<_, _>>()?,
    };
    if rest.is_empty() { Ok(key) } else { Err(ParamsError::Point) }
}

/// Takes one compressed point off the front of `bytes`: on the curve, in the subgroup, and in its canonical spelling.
pub(crate) fn compressed<P: CanonicalDeserialize + CanonicalSerialize + OnCurve, const LEN: usize>(
    bytes: &mut &[u8],
) -> Result<P, ParamsError> {
    let point: P = compressed_on_curve::<P, LEN>(bytes)?;
    if point.is_in_subgroup() { Ok(point) } else { Err(ParamsError::Point) }
}

/// The same, in the subgroup or not: for whoever asks that otherwise.
///
/// The library accepts a set infinity flag beside any coordinate, so a point is accepted only if it encodes back to the same bytes.
pub(crate) fn compressed_on_curve<P: CanonicalDeserialize + CanonicalSerialize, const LEN: usize>(
    bytes: &mut &[u8],
) -> Result<P, ParamsError> {
    let (head, tail) = bytes.split_first_chunk::<LEN>().ok_or(ParamsError::Point)?;
    // On the curve it is by how it is decoded: the second coordinate is computed from the first.
    let point = P::deserialize_compressed_unchecked(head.as_slice()).map_err(|_| ParamsError::Point)?;
    let mut again = Vec::with_capacity(LEN);
    put_compressed(&point, &mut again);
    *bytes = tail;
    if again == head { Ok(point) } else { Err(ParamsError::Point) }
}

#[cfg(test)]
mod tests;
