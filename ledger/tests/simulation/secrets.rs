//! All secrets of all wallets, and the proofs that are made of them.
//!
//! A proof here is the number of its witness. The verifier looks the witness up and computes the statement again, so that it
//! refuses what the circuit refuses (`docs/protocol.md` §3.2).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use credits::merge::MergeWitness;
use credits::note::inner;
use credits::spend::SpendWitness;
use credits::{Credits, Fe, Leaf, LedgerError, MergePublic, NotePublicKey, SpendProof, SpendPublic};
use ledger::SpendVerifier;

/// Clones know the same.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    proved: Vec<Proved>,
    /// Verdicts by the number of the proof: guardian, ledger and oracle ask for the same.
    opened: BTreeMap<u64, (SpendPublic, Option<Opened>)>,
    owners: BTreeMap<NotePublicKey, usize>,
}

#[derive(Clone)]
struct Proved {
    owner: usize,
    witness: Witness,
    ctx: Fe,
}

#[derive(Clone)]
enum Witness {
    Spend(Box<SpendWitness>),
    Merge(Box<MergeWitness>),
}

/// What a proof that holds says in secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) owner: usize,
    /// The note that is spent.
    pub(crate) leaf: Leaf,
    /// What the successor is worth, whatever is charged.
    pub(crate) value_next: Credits,
}

/// What the proof of a merge says in secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenedMerge {
    pub(crate) owner: usize,
    /// The notes.
    pub(crate) leaves: [Leaf; 2],
    /// What the successor is worth.
    pub(crate) value_next: Credits,
}

impl Secrets {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap()
    }

    /// Somebody may be minted a note on this key.
    pub(crate) fn owns(&self, owner: usize, pk: NotePublicKey) {
        self.known().owners.insert(pk, owner);
    }

    pub(crate) fn owner_of(&self, pk: NotePublicKey) -> Option<usize> {
        self.known().owners.get(&pk).copied()
    }

    /// A proof by this owner, of whatever the witness shows. Another proof of the same differs.
    pub(crate) fn prove(&self, owner: usize, witness: &SpendWitness, ctx: Fe) -> SpendProof {
        self.proved(Proved { owner, witness: Witness::Spend(Box::new(witness.clone())), ctx })
    }

    /// The same of a merge.
    pub(crate) fn prove_merge(&self, owner: usize, witness: &MergeWitness, ctx: Fe) -> SpendProof {
        self.proved(Proved { owner, witness: Witness::Merge(Box::new(witness.clone())), ctx })
    }

    fn proved(&self, proved: Proved) -> SpendProof {
        let mut known = self.known();
        let number = u64::try_from(known.proved.len()).unwrap();
        known.proved.push(proved);
        let mut bytes = [1; 128];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        SpendProof::from_bytes(bytes)
    }

    /// What a proof opens, if it proves these public values.
    pub(crate) fn open(&self, public: &SpendPublic, proof: &SpendProof) -> Option<Opened> {
        let number = number(proof)?;
        if let Some((known, verdict)) = self.known().opened.get(&number)
            && known == public
        {
            return *verdict;
        }
        let proved = self.known().proved.get(usize::try_from(number).ok()?).cloned()?;
        let verdict = proved.opens(public);
        self.known().opened.insert(number, (*public, verdict));
        verdict
    }

    /// What the proof of a merge opens, if it proves these public values.
    pub(crate) fn open_merge(&self, public: &MergePublic, proof: &SpendProof) -> Option<OpenedMerge> {
        let proved = self.known().proved.get(usize::try_from(number(proof)?).ok()?).cloned()?;
        proved.merges(public)
    }
}

fn number(proof: &SpendProof) -> Option<u64> {
    let (number, _) = proof.as_bytes().split_at(8);
    Some(u64::from_be_bytes(number.try_into().ok()?))
}

impl Proved {
    /// The statement of `docs/protocol.md` §3.2.
    fn opens(&self, public: &SpendPublic) -> Option<Opened> {
        let Self { owner, witness: Witness::Spend(witness), ctx } = self else { return None };
        let (note, key) = (&witness.note, &witness.spend_key);
        let (leaf, nullifier) = (note.leaf(key), note.nullifier(key));
        let value_next = note.balance()?.checked_sub(public.c_max)?;
        let holds = public.root == witness.path.root(leaf)
            && public.nullifier == nullifier
            && public.inner_next == inner(note.public_key(key), value_next, nullifier.fe(), witness.blind_next)
            && public.ctx == *ctx;
        holds.then_some(Opened { owner: *owner, leaf, value_next })
    }

    /// The statement of `docs/protocol.md` §3.6.
    fn merges(&self, public: &MergePublic) -> Option<OpenedMerge> {
        let Self { owner, witness: Witness::Merge(witness), ctx } = self else { return None };
        let (key, [(first, path), (second, other_path)]) = (&witness.spend_key, &witness.notes);
        let leaves = [first.leaf(key), second.leaf(key)];
        let nullifiers = [first.nullifier(key), second.nullifier(key)];
        let value_next = first.balance()?.checked_add(second.balance()?)?;
        let holds = [path.root(leaves[0]), other_path.root(leaves[1])] == [public.root; 2]
            && public.nullifiers == nullifiers
            && nullifiers[0] != nullifiers[1]
            && public.inner_next == inner(first.public_key(key), value_next, nullifiers[0].fe(), witness.blind_next)
            && public.ctx == *ctx;
        holds.then_some(OpenedMerge { owner: *owner, leaves, value_next })
    }
}

/// Where the ledger has proofs verified.
pub(crate) struct Verifier {
    pub(crate) secrets: Secrets,
    /// It is wrong on purpose.
    pub(crate) takes_any: bool,
    /// The same of merges.
    pub(crate) takes_any_merge: bool,
}

impl SpendVerifier for Verifier {
    fn verify_spends(&self, spends: &[(SpendPublic, SpendProof)]) -> Vec<Result<(), LedgerError>> {
        let verdict = |(public, proof): &(SpendPublic, SpendProof)| {
            let holds = self.takes_any || self.secrets.open(public, proof).is_some();
            if holds { Ok(()) } else { Err(LedgerError::ProofInvalid) }
        };
        spends.iter().map(verdict).collect()
    }

    fn verify_merge(&self, merge: &MergePublic, proof: &SpendProof) -> Result<(), LedgerError> {
        let holds = self.takes_any_merge || self.secrets.open_merge(merge, proof).is_some();
        if holds { Ok(()) } else { Err(LedgerError::ProofInvalid) }
    }
}
