//! Elements of the BN254 scalar field in their one accepted encoding: 32 bytes, big endian, below the modulus.
//!
//! `x` and `x + r` both fit 32 bytes and are the same element to a decoder that reduces: a nullifier accepted in both
//! spellings would be spendable twice. Every [`Fe`] is therefore canonical by construction. `docs/protocol.md` §1.

use std::fmt;
use std::str::FromStr;

use ark_bn254::Fr;
use ark_ff::{BigInt, PrimeField};
use zeroize::Zeroize;

use crate::bytes::{Bytes32, HexError, hex_text};
use crate::value::Credits;

/// A canonical element of the BN254 scalar field.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Zeroize)]
pub struct Fe([u8; 32]);

/// Why bytes or text are not a field element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// The number is not below the modulus.
    #[error("a field element must be below the modulus")]
    NotCanonical,
    /// The text is not 64 lowercase hex characters.
    #[error(transparent)]
    Hex(#[from] HexError),
}

impl Fe {
    /// The element 0.
    pub const ZERO: Self = Self([0; 32]);

    /// Decodes 32 big-endian bytes; refuses numbers that are not below the modulus.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, FieldError> {
        let element = Self(bytes);
        if element.number() < Fr::MODULUS { Ok(element) } else { Err(FieldError::NotCanonical) }
    }

    /// A digest with its top three bits cleared (protocol §3.1, §3.3): 253 bits are always below the modulus.
    pub fn from_digest(digest: Bytes32) -> Self {
        let Bytes32([first, rest @ ..]) = digest;
        let mut bytes = [first & 0x1f; 32];
        bytes.iter_mut().skip(1).zip(rest).for_each(|(byte, value)| *byte = value);
        Self(bytes)
    }

    /// 64 uniform bytes reduced modulo r; the bias is below 2^-250.
    pub fn from_uniform(bytes: &[u8; 64]) -> Self {
        Self::from_fr(Fr::from_be_bytes_mod_order(bytes))
    }

    /// The big-endian bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The element for arithmetic.
    pub fn to_fr(self) -> Fr {
        Fr::from_bigint(self.number()).expect("invariant: every element is below the modulus")
    }

    fn number(&self) -> BigInt<4> {
        let mut number = BigInt::zero();
        let (_, words) = self.0.as_rchunks::<8>();
        number.0.iter_mut().zip(words.iter().rev()).for_each(|(limb, word)| *limb = u64::from_be_bytes(*word));
        number
    }

    /// The canonical encoding of an element.
    pub fn from_fr(element: Fr) -> Self {
        let mut bytes = [0; 32];
        let (_, words) = bytes.as_rchunks_mut::<8>();
        let limbs = element.into_bigint().0;
        words.iter_mut().rev().zip(limbs).for_each(|(word, limb)| *word = limb.to_be_bytes());
        Self(bytes)
    }
}

impl From<u64> for Fe {
    fn from(number: u64) -> Self {
        Self::from_fr(Fr::from(number))
    }
}

impl From<Credits> for Fe {
    fn from(credits: Credits) -> Self {
        Self::from(credits.get())
    }
}

impl AsRef<[u8]> for Fe {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Fe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fe({self})")
    }
}

hex_text!(Fe, Self::from_bytes, FieldError);

#[cfg(test)]
mod tests {
    use super::*;

    /// The modulus r of the BN254 scalar field.
    const MODULUS: [u8; 32] = [
        0x30, 0x64, 0x4e, 0x72, 0xe1, 0x31, 0xa0, 0x29, 0xb8, 0x50, 0x45, 0xb6, 0x81, 0x81, 0x58, 0x5d, 0x28, 0x33,
        0xe8, 0x48, 0x79, 0xb9, 0x70, 0x91, 0x43, 0xe1, 0xf5, 0x93, 0xf0, 0x00, 0x00, 0x01,
    ];

    #[test]
    fn n03_an_element_has_one_spelling() {
        let mut largest = MODULUS;
        largest[31] = 0;
        assert_eq!(Fe::from_bytes(largest).map(|fe| fe.to_fr()), Ok(-Fr::from(1u64)));
        assert_eq!(Fe::from_bytes(MODULUS), Err(FieldError::NotCanonical));
        assert_eq!(Fe::from_bytes([0xff; 32]), Err(FieldError::NotCanonical));
        let mut five_plus_r = MODULUS;
        five_plus_r[31] += 5;
        assert_eq!(Fe::from_bytes(five_plus_r), Err(FieldError::NotCanonical));
        assert_eq!(hex::encode(five_plus_r).parse::<Fe>(), Err(FieldError::NotCanonical));
    }

    #[test]
    fn numbers_are_big_endian() {
        let five = Fe::from(5);
        assert_eq!(five.as_bytes()[31], 5);
        assert_eq!(five.to_string(), format!("{:0>64}", "5"));
        assert_eq!(five.to_string().parse(), Ok(five));
        assert_eq!(Fe::from_fr(five.to_fr()), five);
    }

    #[test]
    fn digests_lose_their_top_three_bits() {
        let fe = Fe::from_digest(Bytes32([0xff; 32]));
        assert_eq!(fe.as_bytes()[0], 0x1f);
        assert_eq!(fe.as_bytes()[1..], [0xff; 31]);
        assert_eq!(Fe::from_bytes(*fe.as_bytes()), Ok(fe));
    }
}
