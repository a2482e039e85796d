//! What the tests of proofs share: randomness from a seed, one setup per process, and a note that can be spent.

use std::sync::OnceLock;

use proptest::test_runner::{Config as ProptestConfig, RngSeed};
use rand_core::{CryptoRng, Error, RngCore};

use crate::bytes::Bytes32;
use crate::context::SpendContext;
use crate::field::Fe;
use crate::hash::sha256;
use crate::note::{Blind, Leaf, Note, SpendKey};
use crate::params::{ProvingParams, setup};
use crate::spend::{SpendProof, SpendPublic, SpendWitness, prove};
use crate::tree::NoteTree;
use crate::value::Credits;

/// Predictable bytes: SHA-256 of a seed and a counter. For tests only.
pub(crate) struct TestRng {
    seed: u64,
    counter: u64,
    block: Vec<u8>,
}

impl TestRng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, counter: 0, block: Vec::new() }
    }
}

impl RngCore for TestRng {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_be_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.block.is_empty() {
                self.counter += 1;
                self.block = sha256(&[self.seed.to_be_bytes(), self.counter.to_be_bytes()].concat()).0.to_vec();
            }
            *byte = self.block.pop().expect("invariant: the block was filled");
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for TestRng {}

/// Properties run on the same cases every time; a larger run changes the number here.
pub(crate) fn seeded(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(0x00c1_0157),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A row of a table of refusals: what is wrong, how to make it so, the code it must be refused with.
pub(crate) type Fault<T> = (&'static str, fn(&mut T), &'static str);

pub(crate) fn credits(value: u64) -> Credits {
    Credits::new(value).expect("invariant: tests use small amounts")
}

/// Parameters from a fixed seed, made once per process.
pub(crate) fn params() -> &'static ProvingParams {
    static PARAMS: OnceLock<ProvingParams> = OnceLock::new();
    PARAMS.get_or_init(|| setup(&mut TestRng::new(1)).expect("invariant: the circuit can be set up").0)
}

pub(crate) fn context() -> SpendContext {
    SpendContext {
        ledger_id: Bytes32([1; 32]),
        vk_digest: params().verifying().digest(),
        keyset_digest: Bytes32([3; 32]),
        settle_key: Bytes32([4; 32]),
        payee: Bytes32([5; 32]),
        price_sheet_digest: Bytes32([6; 32]),
        not_after: 7,
        tab_key: Bytes32([8; 32]),
    }
}

/// A note of 1,000 + 24 credits, sixth of seven leaves.
pub(crate) fn witness() -> SpendWitness {
    let spend_key = SpendKey::from_secret(Fe::from(0x5eed));
    let note =
        Note { lane: 3, value: credits(1_000), rho: Fe::from(33), blind: Blind(Fe::from(44)), refund: credits(24) };
    let mut tree = NoteTree::new();
    for number in 0..5 {
        tree.append(Leaf(Fe::from(number))).unwrap();
    }
    let index = tree.append(note.leaf(&spend_key)).unwrap();
    tree.append(Leaf(Fe::from(6))).unwrap();
    let path = tree.path(index).unwrap();
    SpendWitness { spend_key, note, path, blind_next: Blind(Fe::from(55)) }
}

/// The public values of spending [`witness`] for up to 512 credits in [`context`].
pub(crate) fn public() -> SpendPublic {
    let c_max = credits(512);
    witness().public(c_max, context().digest(c_max)).unwrap()
}

/// A proof of [`public`], made once per process.
pub(crate) fn proof() -> SpendProof {
    static PROOF: OnceLock<SpendProof> = OnceLock::new();
    *PROOF.get_or_init(|| prove(params(), &public(), &witness(), &mut TestRng::new(2)).unwrap())
}
