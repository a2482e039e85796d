//! Spends: the statement's public values, its proof, proving and verifying.
//!
//! Trusts nothing on entry. A [`VerifiedSpend`] exists only when the proof verified for exactly its public values.
//! `docs/protocol.md` §3.2, §3.4.

mod verify;

use std::fmt;
use std::str::FromStr;

use ark_bn254::{Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_relations::gr1cs::ConstraintSynthesizer;
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};

use crate::bytes::{HexError, hex_text};
use crate::circuit::{Assignment, PUBLIC_INPUTS, PathCells, VALUE_BITS};
use crate::field::Fe;
use crate::note::{Blind, Inner, Leaf, Note, Nullifier, Root, SpendKey, inner};
use crate::params::{OnCurve as _, ParamsError, ProvingParams, compressed, compressed_on_curve, put_compressed};
use crate::tree::NotePath;
use crate::value::Credits;

/// Bytes of a proof: compressed A, B and C (protocol §3.4).
pub const SPEND_PROOF_LEN: usize = 128;

/// The public inputs of the spend statement, in the order of protocol §3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpendPublic {
    /// A root of the note tree that the spent note is under.
    pub root: Root,
    /// The spent note's nullifier: the identity of the spend.
    pub nullifier: Nullifier,
    /// The hidden part of the successor note.
    pub inner_next: Inner,
    /// The most that the spend can be charged.
    pub c_max: Credits,
    /// The digest of the [`crate::SpendContext`].
    pub ctx: Fe,
}

impl SpendPublic {
    /// The inputs of the statement; every one is canonical by its type and `c_max` is a 53-bit number.
    fn inputs(&self) -> [Fr; PUBLIC_INPUTS] {
        let Self { root, nullifier, inner_next, c_max, ctx } = *self;
        [root.0, nullifier.0, inner_next.0, Fe::from(c_max), ctx].map(Fe::to_fr)
    }
}

/// What only the owner of the spent note knows.
#[derive(Clone, Debug)]
pub struct SpendWitness {
    /// `sk`.
    pub spend_key: SpendKey,
    /// The note that is spent.
    pub note: Note,
    /// Its path to the root.
    pub path: NotePath,
    /// `b'`, the blinding factor of the successor.
    pub blind_next: Blind,
}

impl SpendWitness {
    /// The successor's hidden value `v' = v + r − c_max`, if the balance suffices.
    pub fn value_next(&self, c_max: Credits) -> Option<Credits> {
        self.note.balance()?.checked_sub(c_max)
    }

    /// The public values of spending this note for up to `c_max` in the context `ctx`.
    pub fn public(&self, c_max: Credits, ctx: Fe) -> Result<SpendPublic, ProveError> {
        let balance = self.note.balance().ok_or(ProveError::NoteInvalid)?;
        let value_next =
            self.value_next(c_max).ok_or(ProveError::InsufficientBalance { needed: c_max, available: balance })?;
        let nullifier = self.note.nullifier(&self.spend_key);
        Ok(SpendPublic {
            root: self.path.root(self.note.leaf(&self.spend_key)),
            nullifier,
            inner_next: inner(self.note.public_key(&self.spend_key), value_next, nullifier.0, self.blind_next),
            c_max,
            ctx,
        })
    }

    /// The statement with this witness as a circuit, for other provers and for tools; nothing when the note is worth less than
    /// `c_max`. Its public inputs are those of [`SpendPublic`], in that order.
    pub fn circuit(&self, public: &SpendPublic) -> Option<impl ConstraintSynthesizer<Fr> + Clone + use<>> {
        self.assignment(public)
    }

    fn assignment(&self, public: &SpendPublic) -> Option<Assignment> {
        let [root, nullifier, inner_next, c_max, ctx] = public.inputs();
        let assignment = Assignment {
            root,
            nullifier,
            inner_next,
            c_max,
            ctx,
            spend_key: self.spend_key.secret().to_fr(),
            lane: Fr::from(self.note.lane),
            value: Fr::from(self.note.value.get()),
            refund: Fr::from(self.note.refund.get()),
            rho: self.note.rho.to_fr(),
            blind: self.note.blind.0.to_fr(),
            blind_next: self.blind_next.0.to_fr(),
            path: path_cells(&self.path, self.note.leaf(&self.spend_key)),
            value_next_bits: value_bits(self.value_next(public.c_max)?),
        };
        Some(assignment)
    }
}

/// What the circuit is assigned for the path of a leaf.
pub(crate) fn path_cells(path: &NotePath, leaf: Leaf) -> PathCells {
    let mut cells = PathCells::BLANK;
    let mut node = leaf.0;
    let levels = cells.children.iter_mut().zip(&mut cells.position_bits).enumerate();
    for (level, (children, bits)) in levels {
        let known = path.children(level, node);
        *children = known.map(Fe::to_fr);
        let position = path.position(level);
        *bits = [Fr::from(position % 2 == 1), Fr::from(position >= 2)];
        node = crate::hash::poseidon(known);
    }
    cells
}

/// The bits of an amount, low bit first.
pub(crate) fn value_bits(value: Credits) -> [Fr; VALUE_BITS] {
    let mut value = value.get();
    [(); VALUE_BITS].map(|()| {
        let bit = Fr::from(value & 1);
        value >>= 1;
        bit
    })
}

/// Why a spend cannot be proved. The wallet is at fault, except for [`ProveError::ProvingKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The note is worth less than `c_max`.
    #[error("the note is worth {available} credits, {needed} are needed")]
    InsufficientBalance {
        /// `c_max`.
        needed: Credits,
        /// `v + r`.
        available: Credits,
    },
    /// The note's parts do not add up to an amount.
    #[error("the note's value and refund are not an amount")]
    NoteInvalid,
    /// The note is not under the root.
    #[error("the note is not under the root")]
    RootMismatch,
    /// The nullifier is another note's.
    #[error("the nullifier is not the note's")]
    NullifierMismatch,
    /// The successor is not what this spend produces.
    #[error("the successor is not this spend's")]
    InnerMismatch,
    /// The proving key makes proofs that do not verify.
    #[error("the proving key does not work")]
    ProvingKey,
    /// The circuit refuses what the checks above accepted; a fault of this program.
    #[error("the circuit refuses the witness")]
    Circuit,
}

impl ProveError {
    /// The stable code of the error.
    pub const fn code(self) -> &'static str {
        match self {
            Self::InsufficientBalance { .. } => "prove.insufficient_balance",
            Self::NoteInvalid => "prove.note_invalid",
            Self::RootMismatch => "prove.root_mismatch",
            Self::NullifierMismatch => "prove.nullifier_mismatch",
            Self::InnerMismatch => "prove.inner_mismatch",
            Self::ProvingKey => "prove.proving_key",
            Self::Circuit => "prove.circuit",
        }
    }
}

impl From<ParamsError> for ProveError {
    fn from(_: ParamsError) -> Self {
        Self::Circuit
    }
}

/// Proves a spend, and verifies the proof before it is handed out.
pub fn prove(
    params: &ProvingParams,
    public: &SpendPublic,
    witness: &SpendWitness,
    rng: &mut dyn CryptoRngCore,
) -> Result<SpendProof, ProveError> {
    let expected = witness.public(public.c_max, public.ctx)?;
    if expected.root != public.root {
        return Err(ProveError::RootMismatch);
    }
    if expected.nullifier != public.nullifier {
        return Err(ProveError::NullifierMismatch);
    }
    if expected.inner_next != public.inner_next {
        return Err(ProveError::InnerMismatch);
    }
    let assignment = witness.assignment(public).ok_or(ProveError::Circuit)?;
    let proof = SpendProof::make(params, assignment, rng)?;
    // What does not verify never leaves: see the module of the parameters on hostile proving keys.
    params.verifying().verify(public, &proof).map_err(|_| ProveError::ProvingKey)?;
    Ok(proof)
}

/// A proof, not yet verified. Groth16 proofs can be re-randomised by anyone: they identify nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpendProof([u8; SPEND_PROOF_LEN]);

impl SpendProof {
    /// Wraps the bytes of a proof; verification decodes them.
    pub const fn from_bytes(bytes: [u8; SPEND_PROOF_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; SPEND_PROOF_LEN] {
        &self.0
    }

    /// A proof for an assignment, which its maker must verify before it leaves.
    pub(crate) fn make(
        params: &ProvingParams,
        assignment: impl ConstraintSynthesizer<Fr>,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Self, ProveError> {
        let points = params.prove(assignment, rng)?.ok_or(ProveError::Circuit)?;
        Self::from_points(&points.a, &points.b, &points.c).ok_or(ProveError::ProvingKey)
    }

    pub(crate) fn from_points(a: &G1Affine, b: &G2Affine, c: &G1Affine) -> Option<Self> {
        let mut bytes = Vec::with_capacity(SPEND_PROOF_LEN);
        put_compressed(a, &mut bytes);
        put_compressed(b, &mut bytes);
        put_compressed(c, &mut bytes);
        bytes.try_into().ok().map(Self)
    }

    /// The points: canonical, in their subgroups and not the identity.
    pub(crate) fn points(&self) -> Option<(G1Affine, G2Affine, G1Affine)> {
        self.points_on_curve().filter(|(_, b, _)| b.is_in_subgroup())
    }

    /// The points: canonical and not the identity, but B may be outside its subgroup.
    pub(crate) fn points_on_curve(&self) -> Option<(G1Affine, G2Affine, G1Affine)> {
        let mut rest = self.0.as_slice();
        // All of the curve of A and C is the subgroup.
        let a: G1Affine = compressed::<_, 32>(&mut rest).ok()?;
        let b: G2Affine = compressed_on_curve::<_, 64>(&mut rest).ok()?;
        let c: G1Affine = compressed::<_, 32>(&mut rest).ok()?;
        // No honest proof has an identity; refusing them keeps degenerate pairings out of the equation.
        let whole = rest.is_empty() && !a.is_zero() && !b.is_zero() && !c.is_zero();
        whole.then_some((a, b, c))
    }
}

impl AsRef<[u8]> for SpendProof {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SpendProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpendProof({SPEND_PROOF_LEN} bytes)")
    }
}

hex_text!(SpendProof, |bytes| Ok(Self(bytes)), HexError);

/// Public values whose proof verified. Only [`crate::params::VerifyingParams`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedSpend(SpendPublic);

impl VerifiedSpend {
    /// The proved public values.
    pub const fn public(&self) -> &SpendPublic {
        &self.0
    }
}

/// Why a proof is refused. The prover is at fault, and a repeat of the same bytes is refused again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpendRejection {
    /// The bytes are not three canonical, non-identity points of the right subgroups.
    #[error("the proof's bytes are not three points of the curve")]
    ProofMalformed,
    /// The proof does not prove the statement for these public values under this verifying key.
    #[error("the proof does not verify")]
    ProofInvalid,
}

impl SpendRejection {
    /// The stable code of the refusal.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ProofMalformed => "spend.proof_malformed",
            Self::ProofInvalid => "spend.proof_invalid",
        }
    }
}

#[cfg(test)]
mod tests;
