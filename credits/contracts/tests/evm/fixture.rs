//! Parameters and proofs of the `credits` crate, in the words that the contracts take.

use std::sync::OnceLock;

use ark_bn254::{Fq, Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{BigInteger, PrimeField};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use credits::hash::sha256;
use credits::params::{ProvingParams, VerifyingParams, setup};
use credits::{Fe, SpendProof, SpendPublic};
use rand_core::{CryptoRng, Error, RngCore};

use crate::chain::Word;

/// Predictable bytes: SHA-256 of a seed and a counter.
pub(crate) struct TestRng {
    seed: u64,
    counter: u64,
}

impl TestRng {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, counter: 0 }
    }

    /// A number below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }

    pub(crate) fn fe(&mut self) -> Fe {
        let mut bytes = [0; 64];
        self.fill_bytes(&mut bytes);
        Fe::from_uniform(&bytes)
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
        for chunk in out.chunks_mut(32) {
            self.counter += 1;
            let block = sha256(&[self.seed.to_be_bytes(), self.counter.to_be_bytes()].concat());
            chunk.copy_from_slice(&block.0[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for TestRng {}

/// Parameters from a fixed seed, made once per process.
pub(crate) fn params() -> &'static ProvingParams {
    static PARAMS: OnceLock<ProvingParams> = OnceLock::new();
    PARAMS.get_or_init(|| setup(&mut TestRng::new(1)).unwrap().0)
}

fn fq(element: Fq) -> Word {
    element.into_bigint().to_bytes_be().try_into().unwrap()
}

pub(crate) fn g1_words(point: &G1Affine) -> [Word; 2] {
    let (x, y) = point.xy().unwrap();
    [fq(x), fq(y)]
}

pub(crate) fn g2_words(point: &G2Affine) -> [Word; 4] {
    let (x, y) = point.xy().unwrap();
    [fq(x.c1), fq(x.c0), fq(y.c1), fq(y.c0)]
}

/// The points of an encoding: a magic of some length, then compressed points, `1` for G1 and `2` for G2.
fn words(mut bytes: &[u8], groups: &[u8]) -> Vec<Word> {
    let mut words = Vec::new();
    for group in groups {
        if *group == 1 {
            words.extend(g1_words(&G1Affine::deserialize_compressed(&mut bytes).unwrap()));
        } else {
            words.extend(g2_words(&G2Affine::deserialize_compressed(&mut bytes).unwrap()));
        }
    }
    assert!(bytes.is_empty());
    words
}

/// The point δ of the verifying key.
pub(crate) fn delta() -> G2Affine {
    let key = params().verifying().to_bytes();
    // Behind the magic, α, β and γ.
    let from = b"cloister/spend-vk/v1".len() + 32 + 2 * 64;
    G2Affine::deserialize_compressed(&key[from..from + 64]).unwrap()
}

/// The points of a proof.
pub(crate) fn points(proof: &SpendProof) -> (G1Affine, G2Affine, G1Affine) {
    let bytes = proof.as_bytes();
    let g1 = |bytes: &[u8]| G1Affine::deserialize_compressed(bytes).unwrap();
    (g1(&bytes[..32]), G2Affine::deserialize_compressed(&bytes[32..96]).unwrap(), g1(&bytes[96..]))
}

/// The proof of three points.
pub(crate) fn proof_of(a: &G1Affine, b: &G2Affine, c: &G1Affine) -> SpendProof {
    let mut bytes = Vec::new();
    a.serialize_compressed(&mut bytes).unwrap();
    b.serialize_compressed(&mut bytes).unwrap();
    c.serialize_compressed(&mut bytes).unwrap();
    SpendProof::from_bytes(bytes.try_into().unwrap())
}

/// The verifying key as the constructor takes it.
pub(crate) fn key_words(key: &VerifyingParams) -> Vec<Word> {
    words(&key.to_bytes()[b"cloister/spend-vk/v1".len()..], &[1, 2, 2, 2, 1, 1, 1, 1, 1, 1])
}

/// A proof as the contracts take it.
pub(crate) fn proof_words(proof: &SpendProof) -> Vec<Word> {
    words(proof.as_bytes(), &[1, 2, 1])
}

/// The public inputs of the statement, in their order.
pub(crate) fn input_words(public: &SpendPublic) -> Vec<Word> {
    let SpendPublic { root, nullifier, inner_next, c_max, ctx } = *public;
    [root.fe(), nullifier.fe(), inner_next.fe(), Fe::from(c_max), ctx].map(|fe| *fe.as_bytes()).to_vec()
}

/// The modulus of the scalar field.
pub(crate) fn modulus() -> Word {
    Fr::MODULUS.to_bytes_be().try_into().unwrap()
}

/// The modulus of the base field.
pub(crate) fn base_modulus() -> Word {
    Fq::MODULUS.to_bytes_be().try_into().unwrap()
}
