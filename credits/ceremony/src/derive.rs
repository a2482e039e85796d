//! Scalars and points from a seed, exactly as snarkjs derives them, so that both verify the same transcript.
//!
//! The generator is ChaCha20 with the seed's first 32 bytes as key, read as eight big-endian words, and a zero nonce
//! (ffjavascript 0.3.1). An element is drawn as 64-bit words, the lowest first, each from two 32-bit words with the higher first;
//! bits above the modulus's are cleared, numbers not below it are drawn again, and what remains is the element's *Montgomery*
//! form. A point is the first x with a y, and a bit chooses between the two.

use ark_bn254::{Fq, Fq2, Fr};
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{BigInt, Field, PrimeField};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use crate::points::Coordinate;

/// snarkjs's generator.
pub(crate) struct Generator(ChaCha20Rng);

impl Generator {
    /// Seeds it with the first 32 bytes of a hash.
    pub(crate) fn new(hash: &[u8]) -> Self {
        let mut key = [0; 32];
        let (words, _) = hash.as_chunks::<4>();
        let (key_words, _) = key.as_chunks_mut::<4>();
        for (to, from) in key_words.iter_mut().zip(words) {
            *to = u32::from_be_bytes(*from).to_le_bytes();
        }
        Self(ChaCha20Rng::from_seed(key))
    }

    fn word(&mut self) -> u64 {
        let high = u64::from(self.0.next_u32());
        high << 32 | u64::from(self.0.next_u32())
    }

    /// A number below `modulus`, which has 254 bits.
    fn below(&mut self, modulus: BigInt<4>) -> BigInt<4> {
        // Of 256 bits.
        const MASK: u64 = u64::MAX >> 2;
        loop {
            let [mut w0, mut w1, mut w2, mut w3] = [0; 4];
            for word in [&mut w0, &mut w1, &mut w2, &mut w3] {
                *word = self.word();
            }
            let number = BigInt::new([w0, w1, w2, w3 & MASK]);
            if number < modulus {
                return number;
            }
        }
    }

    /// A scalar.
    pub(crate) fn scalar(&mut self) -> Fr {
        Fr::new_unchecked(self.below(Fr::MODULUS))
    }

    /// A point of the subgroup.
    pub(crate) fn point<C: SWCurveConfig<BaseField: Derived>>(&mut self) -> Affine<C> {
        loop {
            let x = C::BaseField::draw(self);
            let negative = self.0.next_u32() & 1 == 1;
            let Some(y) = (x.square() * x + C::COEFF_B).sqrt() else { continue };
            let y = if y.is_negative() == negative { y } else { -y };
            // Without the curve's endomorphism, which is only for points of the subgroup.
            return Affine::<C>::new_unchecked(x, y).mul_by_cofactor_to_group().into_affine();
        }
    }
}

/// A coordinate that can be drawn.
pub(crate) trait Derived: Coordinate {
    fn draw(generator: &mut Generator) -> Self;
}

impl Derived for Fq {
    fn draw(generator: &mut Generator) -> Self {
        Self::new_unchecked(generator.below(Self::MODULUS))
    }
}

impl Derived for Fq2 {
    fn draw(generator: &mut Generator) -> Self {
        let c0 = Fq::draw(generator);
        Self::new(c0, Fq::draw(generator))
    }
}
