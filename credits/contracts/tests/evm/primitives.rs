//! Poseidon, the note tree and the verifier of proofs, each equal to the `credits` crate's.

use ark_bn254::{Fq, Fq2, G1Affine, G2Affine};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{AdditiveGroup, Field, UniformRand};
use credits::hash::poseidon;
use credits::note::{Leaf, leaf};
use credits::params::{VerifyingParams, setup};
use credits::spend::SpendWitness;
use credits::spend::prove;
use credits::{Blind, Credits, Fe, Inner, Note, NoteFrontier, NoteTree, SpendKey, SpendProof, SpendPublic};
use revm::primitives::U256;

use crate::chain::{Chain, Contract, Word, account, number, runtime_len, word};
use crate::fixture::{TestRng, base_modulus, g1_words, g2_words, input_words, key_words, modulus, params, proof_words};

const HASHES: usize = 40;
const LEAVES: u64 = 150;
const MUTATIONS: usize = 200;
/// What a caller gives who expects a proof to be good: the pairing gets half of what is left at that point.
const VERIFY_GAS: u64 = 450_000;
/// EIP-170.
const CODE_BYTES_MAX: usize = 24_576;

#[test]
fn the_generated_files_are_the_generators() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/solidity"));
    let files = contracts::poseidon::solidity_files().unwrap();
    assert_eq!(files.len(), 4);
    for (name, text) in files {
        assert_eq!(std::fs::read_to_string(folder.join(&name)).unwrap(), text, "{name}");
    }
}

#[test]
fn every_contract_fits_its_limit() {
    for contract in ["NoteTree", "HiddenPart", "SpendVerifier", "Cloister", "Stake"] {
        let len = runtime_len(contract);
        println!("{contract}: {len} bytes of code");
        assert!(len <= CODE_BYTES_MAX, "{contract}");
    }
}

#[test]
fn the_hashes_are_those_of_credits() {
    let mut chain = Chain::new();
    let [three, four, five] = ["HashOfThree", "HashOfFour", "HashOfFive"].map(|name| chain.deploy(name, &[]).unwrap());
    let mut rng = TestRng::new(3);
    let edge = Fe::from_bytes({
        let mut largest = modulus();
        largest[31] -= 1;
        largest
    });
    let edge = edge.unwrap();
    for round in 0..HASHES {
        let mut values: [Fe; 5] = std::array::from_fn(|_| rng.fe());
        match round {
            0 => values = [Fe::ZERO; 5],
            1 => values = [edge; 5],
            _ => {}
        }
        let words = values.map(|value| *value.as_bytes());
        let [a, b, c, d, e] = values;
        assert_eq!(chain.read(three, "hash", &words[..3]), *poseidon([a, b, c]).as_bytes());
        assert_eq!(chain.read(four, "hash", &words[..4]), *poseidon([a, b, c, d]).as_bytes());
        assert_eq!(chain.read(five, "hash", &words), *poseidon([a, b, c, d, e]).as_bytes());
    }
}

pub(crate) fn tree(chain: &mut Chain, window: u64) -> Contract {
    chain.deploy("NoteTree", &[word(window)]).unwrap()
}

#[test]
fn the_tree_is_that_of_credits() {
    let mut chain = Chain::new();
    let contract = tree(&mut chain, 8);
    let mut ours = NoteFrontier::new();
    assert_eq!(chain.read(contract, "root", &[]), *ours.root().as_bytes());
    let mut rng = TestRng::new(4);
    for index in 0..LEAVES {
        let (inner, refund) = (Inner(rng.fe()), Credits::new(index * 7).unwrap());
        let leaf = leaf(inner, refund);
        assert_eq!(ours.append(leaf), Ok(index));
        let done = chain.call(account(1), contract, "append", &[*inner.as_bytes(), word(refund.get())]).unwrap();
        assert_eq!(done.output, [word(index), *leaf.as_bytes()].concat());
        let root = *ours.root().as_bytes();
        assert!(done.logs.is_empty());
        if index < 24 || index % 16 == 15 {
            assert_eq!(chain.read(contract, "root", &[]), root, "{index}");
        }
    }
    chain.call(account(2), contract, "append", &[word(1), word(0)]).unwrap_err().is("NotOwner()");
}

/// A note of 1,024 credits among others, spent for 512 in a context that is any element.
fn statement() -> (Vec<Word>, Vec<Word>) {
    let (public, proof) = proved();
    (input_words(&public), proof_words(&proof))
}

pub(crate) fn proved() -> (SpendPublic, SpendProof) {
    let credits = |value| Credits::new(value).unwrap();
    let key = SpendKey::from_secret(Fe::from(0x5eed));
    let note =
        Note { lane: 3, value: credits(1_000), rho: Fe::from(33), blind: Blind(Fe::from(44)), refund: credits(24) };
    let mut tree = NoteTree::new();
    for leaf in 0..5 {
        tree.append(Leaf(Fe::from(leaf))).unwrap();
    }
    let index = tree.append(note.leaf(&key)).unwrap();
    let path = tree.path(index).unwrap();
    let witness = SpendWitness { spend_key: key, note, path, blind_next: Blind(Fe::from(55)) };
    let public = witness.public(credits(512), Fe::from(77)).unwrap();
    let proof = prove(params(), &public, &witness, &mut TestRng::new(2)).unwrap();
    (public, proof)
}

pub(crate) fn verifier(chain: &mut Chain) -> Contract {
    chain.deploy("SpendVerifier", &key_words(params().verifying())).unwrap()
}

pub(crate) fn verdict(chain: &mut Chain, contract: Contract, inputs: &[Word], proof: &[Word]) -> bool {
    match number(&chain.read(contract, "verify", &[inputs, proof].concat())) {
        0 => false,
        1 => true,
        other => panic!("a verdict of {other}"),
    }
}

#[test]
fn the_verifier_takes_our_proofs_and_pins_our_digest() {
    let mut chain = Chain::new();
    let contract = verifier(&mut chain);
    assert_eq!(chain.read(contract, "keyDigest", &[]), params().verifying().digest().0);
    let (inputs, proof) = statement();
    assert!(verdict(&mut chain, contract, &inputs, &proof));
}

/// The top bit of a compressed point's last byte is the sign of y: each key with one sign changed is another sound key.
#[test]
fn the_digest_is_ours_whatever_the_signs() {
    let mut chain = Chain::new();
    let key = params().verifying().to_bytes();
    let mut end = b"cloister/spend-vk/v1".len();
    for len in [32, 64, 64, 64, 32, 32, 32, 32, 32, 32] {
        end += len;
        let mut other = key;
        other[end - 1] ^= 0x80;
        let other = VerifyingParams::from_bytes(&other).unwrap();
        let contract = chain.deploy("SpendVerifier", &key_words(&other)).unwrap();
        assert_eq!(chain.read(contract, "keyDigest", &[]), other.digest().0, "{end}");
        assert_ne!(other.digest(), params().verifying().digest());
    }
    assert_eq!(end, key.len());
}

#[test]
fn n06_a_proof_under_another_key_is_refused() {
    let mut chain = Chain::new();
    let (inputs, proof) = statement();
    let (other, _) = setup(&mut TestRng::new(99)).unwrap();
    let other = chain.deploy("SpendVerifier", &key_words(other.verifying())).unwrap();
    assert!(!verdict(&mut chain, other, &inputs, &proof));
}

#[test]
fn n01_n02_there_are_five_inputs_and_eight_coordinates() {
    let mut chain = Chain::new();
    let contract = verifier(&mut chain);
    let (inputs, proof) = statement();
    let whole = [inputs, proof].concat();
    let short = chain.call(account(1), contract, "verify", &whole[..12]).unwrap_err();
    assert_eq!(short, crate::chain::Failure::Reverted(Vec::new()));
    // A trailing input left out moves the proof's words by one.
    let moved = [&whole[..4], &whole[5..], &[word(0)]].concat();
    assert_eq!(number(&chain.read(contract, "verify", &moved)), 0);
    let extra = [&whole[..5], &[word(0)], &whole[5..]].concat();
    assert_eq!(number(&chain.read(contract, "verify", &extra)), 0);
}

#[test]
fn n03_n04_n05_what_is_not_canonical_is_refused() {
    let mut chain = Chain::new();
    let contract = verifier(&mut chain);
    let (inputs, proof) = statement();
    let plus = |word: Word, modulus: Word| -> Word {
        (U256::from_be_bytes(word) + U256::from_be_bytes(modulus)).to_be_bytes()
    };
    for at in 0..inputs.len() {
        let mut spoilt = inputs.clone();
        spoilt[at] = plus(inputs[at], modulus());
        assert!(!verdict(&mut chain, contract, &spoilt, &proof), "input {at}");
    }
    for at in 0..proof.len() {
        let mut spoilt = proof.clone();
        spoilt[at] = plus(proof[at], base_modulus());
        assert!(!verdict(&mut chain, contract, &inputs, &spoilt), "coordinate {at}");
        spoilt[at] = [0xff; 32];
        assert!(!verdict(&mut chain, contract, &inputs, &spoilt), "coordinate {at}");
    }
    // Identities, each alone and all at once.
    for (from, to) in [(0, 2), (2, 6), (6, 8), (0, 8)] {
        let mut spoilt = proof.clone();
        spoilt[from..to].fill([0; 32]);
        assert!(!verdict(&mut chain, contract, &inputs, &spoilt), "{from}");
    }
    // On the twist and outside the subgroup.
    let outside = g2_words(&outside_the_subgroup());
    let mut spoilt = proof.clone();
    spoilt[2..6].copy_from_slice(&outside);
    // A precompile keeps the gas that it was given with such a point; enough is left to say no.
    for (proof, good) in [(&spoilt, 0), (&proof, 1)] {
        let words = [&inputs[..], proof].concat();
        let answer = chain.call_with_gas(account(1), contract, "verify", &words, VERIFY_GAS).unwrap();
        assert_eq!(number(&answer.output), good);
    }
    // Points that others can make of a valid proof are valid: the nullifier identifies a spend (n08).
    let negate =
        |word: Word| -> Word { (U256::from_be_bytes(base_modulus()) - U256::from_be_bytes(word)).to_be_bytes() };
    let mut negated = proof.clone();
    [1, 4, 5].into_iter().for_each(|at| negated[at] = negate(proof[at]));
    assert!(verdict(&mut chain, contract, &inputs, &negated));
    negated[1] = proof[1];
    assert!(!verdict(&mut chain, contract, &inputs, &negated));
}

fn outside_the_subgroup() -> G2Affine {
    let mut x = Fq2::new(Fq::from(1u64), Fq::ZERO);
    loop {
        if let Some(point) = G2Affine::get_point_from_x_unchecked(x, true)
            && !point.is_in_correct_subgroup_assuming_on_curve()
        {
            return point;
        }
        x.c0 += Fq::ONE;
    }
}

#[test]
fn two_hundred_changed_proofs_are_refused_and_none_stops_the_verifier() {
    let mut chain = Chain::new();
    let contract = verifier(&mut chain);
    let (inputs, proof) = statement();
    let whole = [inputs, proof].concat();
    let mut rng = TestRng::new(5);
    for number in 0..MUTATIONS {
        let mut spoilt = whole.clone();
        let at = usize::try_from(rng.below(13)).unwrap();
        match number % 5 {
            // A bit.
            0 => {
                let bit = rng.below(256);
                spoilt[at][usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
            }
            // A word.
            1 => spoilt[at] = *rng.fe().as_bytes(),
            // Two words exchanged.
            2 => spoilt.swap(at, (at + 1) % 13),
            // A point of its group in place of another.
            3 => {
                let point = (G1Affine::generator() * ark_bn254::Fr::rand(&mut rng)).into_affine();
                let from = if at % 2 == 0 { 5 } else { 11 };
                spoilt[from..from + 2].copy_from_slice(&g1_words(&point));
            }
            _ => {
                let point = (G2Affine::generator() * ark_bn254::Fr::rand(&mut rng)).into_affine();
                spoilt[7..11].copy_from_slice(&g2_words(&point));
            }
        }
        assert_ne!(spoilt, whole, "{number}");
        let answer = chain.call(account(1), contract, "verify", &spoilt).unwrap();
        assert!(U256::from_be_slice(&answer.output).is_zero(), "{number}");
    }
    assert!(verdict(&mut chain, contract, &whole[..5], &whole[5..]));
}

#[test]
fn n07_keys_that_anyone_can_forge_under_make_no_contract() {
    let mut chain = Chain::new();
    let key = key_words(params().verifying());
    let spoilt = |change: &dyn Fn(&mut Vec<Word>)| {
        let mut key = key.clone();
        change(&mut key);
        key
    };
    let copy = |to: usize, from: usize| spoilt(&|key: &mut Vec<Word>| key.copy_within(from..from + 4, to));
    let negated = |at: usize| {
        spoilt(&|key: &mut Vec<Word>| {
            key.copy_within(6..10, at);
            for y in &mut key[at + 2..at + 4] {
                *y = (U256::from_be_bytes(base_modulus()) - U256::from_be_bytes(*y)).to_be_bytes();
            }
        })
    };
    for (what, key, error) in [
        ("gamma is beta", copy(6, 2), "KeyCoincident()"),
        ("delta is beta", copy(10, 2), "KeyCoincident()"),
        ("delta is gamma", copy(10, 6), "KeyCoincident()"),
        ("delta is minus gamma", negated(10), "KeyCoincident()"),
        ("beta is minus gamma", negated(2), "KeyCoincident()"),
        ("alpha is the identity", spoilt(&|key| key[..2].fill([0; 32])), "KeyIdentity()"),
        ("an input's point is the identity", spoilt(&|key| key[18..20].fill([0; 32])), "KeyIdentity()"),
        ("gamma is the identity", spoilt(&|key| key[6..10].fill([0; 32])), "KeyIdentity()"),
        (
            "alpha is a generator",
            spoilt(&|key| key[..2].copy_from_slice(&g1_words(&G1Affine::generator()))),
            "KeyGenerator()",
        ),
        (
            "beta is a generator",
            spoilt(&|key| key[2..6].copy_from_slice(&g2_words(&G2Affine::generator()))),
            "KeyGenerator()",
        ),
        (
            "delta is a generator",
            spoilt(&|key| key[10..14].copy_from_slice(&g2_words(&G2Affine::generator()))),
            "KeyGenerator()",
        ),
        ("a point off the curve", spoilt(&|key| key[25][31] ^= 1), "KeyPoint()"),
        (
            "a point outside the subgroup",
            spoilt(&|key| key[6..10].copy_from_slice(&g2_words(&outside_the_subgroup()))),
            "KeyPoint()",
        ),
        ("a coordinate that is not below p", spoilt(&|key| key[0] = base_modulus()), "KeyPoint()"),
    ] {
        match chain.deploy("SpendVerifier", &key) {
            Err(failure) => failure.is(error),
            Ok(_) => panic!("{what}: accepted"),
        }
    }
}

#[test]
fn gas_of_the_parts() {
    let mut chain = Chain::new();
    let mut rng = TestRng::new(6);
    for (name, inputs) in [("HashOfThree", 3), ("HashOfFour", 4), ("HashOfFive", 5)] {
        let contract = chain.deploy(name, &[]).unwrap();
        let words: Vec<Word> = (0..inputs).map(|_| *rng.fe().as_bytes()).collect();
        chain.read(contract, "hash", &words);
    }
    let contract = tree(&mut chain, 8);
    for _ in 0..LEAVES {
        chain.call(account(1), contract, "append", &[*rng.fe().as_bytes(), word(7)]).unwrap();
    }
    chain.call(account(1), contract, "recordRoot", &[]).unwrap();
    let contract = verifier(&mut chain);
    let (inputs, proof) = statement();
    assert!(verdict(&mut chain, contract, &inputs, &proof));
    let methods = [
        "HashOfThree: hash",
        "HashOfFour: hash",
        "HashOfFive: hash",
        "NoteTree: creation",
        "NoteTree: append",
        "NoteTree: recordRoot",
        "SpendVerifier: creation",
        "SpendVerifier: verify",
    ];
    println!("{}", chain.gas_table("the parts alone, a transaction each", &methods));
}
