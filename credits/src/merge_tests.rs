//! Merges: proofs and their refusals. Numbers `nXX` are those of `design/credits.md` §7.

use std::sync::OnceLock;

use super::*;
use crate::fixture::{TestRng, credits, params, proof, public};
use crate::params::{ParamsError, ProvingParams, VerifyingParams, setup_merge};
use crate::tree::NoteTree;

const LEDGER: Bytes32 = Bytes32([1; 32]);

fn keys() -> &'static MergeProvingParams {
    static KEYS: OnceLock<MergeProvingParams> = OnceLock::new();
    KEYS.get_or_init(|| setup_merge(&mut TestRng::new(61)).unwrap())
}

/// Notes of 1,000 + 24 and 500 + 0, in one tree.
fn witness() -> MergeWitness {
    let spend_key = SpendKey::from_secret(Fe::from(0x5eed));
    let note = |lane: u64, value, rho: u64, refund| {
        let (value, refund) = (credits(value), credits(refund));
        Note { lane, value, rho: Fe::from(rho), blind: Blind(Fe::from(44)), refund }
    };
    let notes = [note(3, 1_000, 33, 24), note(9, 500, 34, 0)];
    let mut tree = NoteTree::new();
    let indexes = notes.clone().map(|note| {
        tree.append(Leaf(Fe::from(5))).unwrap();
        tree.append(note.leaf(&spend_key)).unwrap()
    });
    let [first, second] = notes;
    let [path, path2] = indexes.map(|index| tree.path(index).unwrap());
    MergeWitness { spend_key, notes: [(first, path), (second, path2)], blind_next: Blind(Fe::from(55)) }
}

fn statement() -> MergePublic {
    witness().public(merge_ctx(&LEDGER, &keys().verifying().digest())).unwrap()
}

fn proved() -> SpendProof {
    static PROOF: OnceLock<SpendProof> = OnceLock::new();
    *PROOF.get_or_init(|| prove_merge(keys(), &statement(), &witness(), &mut TestRng::new(62)).unwrap())
}

fn verify(public: &MergePublic, proof: &SpendProof) -> Result<(), &'static str> {
    keys().verifying().verify(public, proof).map_err(SpendRejection::code)
}

#[test]
fn a_merge_is_proved_and_every_value_is_bound() {
    assert_eq!(verify(&statement(), &proved()), Ok(()));
    let changes: [fn(&mut MergePublic); 6] = [
        |public| public.root = Root(Fe::from(1)),
        |public| public.nullifiers[0] = Nullifier(Fe::from(1)),
        |public| public.nullifiers[1] = Nullifier(Fe::from(1)),
        |public| public.nullifiers.swap(0, 1),
        |public| public.inner_next = Inner(Fe::from(1)),
        |public| public.ctx = merge_ctx(&Bytes32([2; 32]), &keys().verifying().digest()),
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut public = statement();
        change(&mut public);
        assert_eq!(verify(&public, &proved()), Err("spend.proof_invalid"), "change {at}");
    }
}

#[test]
fn n06_proofs_of_a_spend_are_none_of_a_merge() {
    assert_eq!(verify(&statement(), &proof()), Err("spend.proof_invalid"));
    assert_eq!(
        params().verifying().verify(&public(), &proved()).map_err(SpendRejection::code),
        Err("spend.proof_invalid")
    );
    // A key is of the statement that it says.
    let (spend, merge) = (params().verifying().to_bytes(), keys().verifying().to_bytes());
    assert_eq!(MergeVerifyingParams::from_bytes(&spend).err(), Some(ParamsError::Magic));
    assert_eq!(VerifyingParams::from_bytes(&merge).err(), Some(ParamsError::Magic));
    let digest = keys().verifying().digest();
    let bytes = keys().to_bytes();
    assert!(ProvingParams::from_bytes(&bytes, digest).is_err());
    assert!(MergeProvingParams::from_bytes(&params().to_bytes(), params().verifying().digest()).is_err());
    let again = MergeProvingParams::from_bytes(&bytes, digest).unwrap();
    assert_eq!(again.verifying().to_bytes(), merge);
}

#[test]
fn n21_one_note_twice_cannot_be_merged() {
    let mut twice = witness();
    twice.notes[1] = twice.notes[0].clone();
    assert_eq!(twice.public(Fe::from(1)).unwrap_err().code(), "prove.nullifier_mismatch");
}

#[test]
fn what_cannot_be_merged_is_said_before_proving() {
    let mut elsewhere = witness();
    elsewhere.notes[1].0.blind = Blind(Fe::from(1));
    assert_eq!(elsewhere.public(Fe::from(1)).unwrap_err().code(), "prove.root_mismatch");
    let mut rich = witness();
    rich.notes[0].0.value = Credits::MAX;
    assert_eq!(rich.public(Fe::from(1)).unwrap_err().code(), "prove.note_invalid");
    type Lie = fn(&mut MergePublic);
    let lies: [(Lie, &str); 3] = [
        (|public| public.root = Root(Fe::from(1)), "prove.root_mismatch"),
        (|public| public.nullifiers.swap(0, 1), "prove.nullifier_mismatch"),
        (|public| public.inner_next = Inner(Fe::from(1)), "prove.inner_mismatch"),
    ];
    for (lie, code) in lies {
        let mut public = statement();
        lie(&mut public);
        let refused = prove_merge(keys(), &public, &witness(), &mut TestRng::new(63)).unwrap_err();
        assert_eq!(refused.code(), code);
    }
}

#[test]
fn the_context_is_the_ledgers() {
    // Made with Python's hashlib from the protocol: SHA-256 with the top three bits cleared.
    let expected = "1635152bce08929b16abf2cdb0ffca323ab4b16136df62c3d1c05e9012118c88";
    assert_eq!(merge_ctx(&Bytes32([1; 32]), &Bytes32([2; 32])).to_string(), expected);
}
