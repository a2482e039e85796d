//! Merges: two notes of one wallet become one that is worth both. `docs/protocol.md` §3.6, §4.9.
//!
//! Nobody is paid and nothing is charged, so a merge has no deadline, no tab and no second step: the ledger records both nullifiers
//! and appends the successor at once. It tells that the two notes were one wallet's, and not what they are worth.

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};

use crate::bytes::{Bytes32, LengthPrefixed};
use crate::circuit::{MergeAssignment, MergedNote, PUBLIC_INPUTS};
use crate::entry::MergeEntry;
use crate::field::Fe;
use crate::hash::sha256;
use crate::ledger::Recorded;
use crate::note::{Blind, Inner, Leaf, Note, Nullifier, Root, SpendKey, inner, leaf};
use crate::params::{Claim, MergeProvingParams, MergeVerifyingParams};
use crate::spend::{ProveError, SpendProof, SpendRejection, path_cells, value_bits};
use crate::tree::NotePath;
use crate::value::Credits;

/// The public inputs of the merge statement, in the order of protocol §3.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergePublic {
    /// A root of the note tree that both notes are under.
    pub root: Root,
    /// Their nullifiers; the successor continues the first.
    pub nullifiers: [Nullifier; 2],
    /// The hidden part of the successor.
    pub inner_next: Inner,
    /// [`merge_ctx`] of the ledger.
    pub ctx: Fe,
}

impl MergePublic {
    fn inputs(&self) -> [Fr; PUBLIC_INPUTS] {
        let Self { root, nullifiers: [first, second], inner_next, ctx } = *self;
        [root.0, first.0, second.0, inner_next.0, ctx].map(Fe::to_fr)
    }
}

/// What every merge at a ledger is bound to: the ledger, and the key that its merges verify under.
pub fn merge_ctx(ledger_id: &Bytes32, merge_vk_digest: &Bytes32) -> Fe {
    let string = LengthPrefixed::new("cloister/merge-context/v1").bytes(ledger_id).bytes(merge_vk_digest).finish();
    Fe::from_digest(sha256(&string))
}

/// What only the owner of the notes knows.
#[derive(Clone, Debug)]
pub struct MergeWitness {
    /// `sk`.
    pub spend_key: SpendKey,
    /// The notes, each with its path to the root.
    pub notes: [(Note, NotePath); 2],
    /// `b'`, the blinding factor of the successor.
    pub blind_next: Blind,
}

impl MergeWitness {
    /// The successor's hidden value: what both notes are worth, if that is an amount.
    pub fn value_next(&self) -> Option<Credits> {
        let [(first, _), (second, _)] = &self.notes;
        first.balance()?.checked_add(second.balance()?)
    }

    /// The public values of merging these notes at a ledger.
    pub fn public(&self, ctx: Fe) -> Result<MergePublic, ProveError> {
        let value_next = self.value_next().ok_or(ProveError::NoteInvalid)?;
        let [(first, path), (second, path2)] = &self.notes;
        let root = path.root(first.leaf(&self.spend_key));
        if path2.root(second.leaf(&self.spend_key)) != root {
            return Err(ProveError::RootMismatch);
        }
        let nullifiers = [first, second].map(|note| note.nullifier(&self.spend_key));
        let [nullifier, nullifier2] = nullifiers;
        if nullifier == nullifier2 {
            return Err(ProveError::NullifierMismatch);
        }
        let inner_next = inner(first.public_key(&self.spend_key), value_next, nullifier.0, self.blind_next);
        Ok(MergePublic { root, nullifiers, inner_next, ctx })
    }

    fn assignment(&self, public: &MergePublic) -> Option<MergeAssignment> {
        let [root, nullifier, nullifier2, inner_next, ctx] = public.inputs();
        let cells = |(note, path): &(Note, NotePath)| MergedNote {
            lane: Fr::from(note.lane),
            value: Fr::from(note.value.get()),
            refund: Fr::from(note.refund.get()),
            rho: note.rho.to_fr(),
            blind: note.blind.0.to_fr(),
            path: path_cells(path, note.leaf(&self.spend_key)),
        };
        let [first, second] = &self.notes;
        Some(MergeAssignment {
            root,
            nullifiers: [nullifier, nullifier2],
            inner_next,
            ctx,
            spend_key: self.spend_key.secret().to_fr(),
            notes: [cells(first), cells(second)],
            blind_next: self.blind_next.0.to_fr(),
            value_next_bits: value_bits(self.value_next()?),
            apart: (nullifier - nullifier2).inverse().unwrap_or(Fr::ZERO),
        })
    }
}

/// Proves a merge, and verifies the proof before it is handed out.
pub fn prove_merge(
    params: &MergeProvingParams,
    public: &MergePublic,
    witness: &MergeWitness,
    rng: &mut dyn CryptoRngCore,
) -> Result<SpendProof, ProveError> {
    let expected = witness.public(public.ctx)?;
    if expected.root != public.root {
        return Err(ProveError::RootMismatch);
    }
    if expected.nullifiers != public.nullifiers {
        return Err(ProveError::NullifierMismatch);
    }
    if expected.inner_next != public.inner_next {
        return Err(ProveError::InnerMismatch);
    }
    let assignment = witness.assignment(public).ok_or(ProveError::Circuit)?;
    let proof = SpendProof::make(params.params(), assignment, rng)?;
    params.verifying().verify(public, &proof).map_err(|_| ProveError::ProvingKey)?;
    Ok(proof)
}

impl MergeVerifyingParams {
    /// Verifies a proof for these public values.
    pub fn verify(&self, public: &MergePublic, proof: &SpendProof) -> Result<(), SpendRejection> {
        let (a, b, c) = proof.points().ok_or(SpendRejection::ProofMalformed)?;
        let holds = self.equation().holds(&Claim { inputs: public.inputs(), a, b, c });
        if holds { Ok(()) } else { Err(SpendRejection::ProofInvalid) }
    }
}

/// Body of `POST /v1/merges`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergeRequest {
    /// Root of the note tree the proof was made against.
    pub root: Root,
    /// The notes that are spent; the successor continues the first.
    pub nullifiers: [Nullifier; 2],
    /// Hidden part of the successor note.
    pub inner_next: Inner,
    /// The proof.
    pub proof: SpendProof,
}

impl MergeRequest {
    /// The public values the proof must verify for.
    pub fn public(&self, ctx: Fe) -> MergePublic {
        let Self { root, nullifiers, inner_next, proof: _ } = *self;
        MergePublic { root, nullifiers, inner_next, ctx }
    }

    /// The leaf of the successor.
    pub fn leaf(&self) -> Leaf {
        leaf(self.inner_next, Credits::ZERO)
    }

    /// Whether both are the same merge, whatever root and proof they came with.
    pub fn is_same_merge(&self, nullifiers: &[Nullifier; 2], inner_next: &Inner) -> bool {
        self.nullifiers == *nullifiers && self.inner_next == *inner_next
    }
}

/// Answer to [`MergeRequest`].
pub type MergeResponse = Recorded<MergeEntry>;

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
