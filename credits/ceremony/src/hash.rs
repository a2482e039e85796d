//! BLAKE2b-512, the ceremony's hash.

use std::fmt::Write;

use blake2::{Blake2b512, Digest};

/// A hash.
pub type Hash = [u8; 64];

pub(crate) fn hash(bytes: &[u8]) -> Hash {
    Blake2b512::digest(bytes).into()
}

/// A hash as snarkjs prints it: 16 groups of 8 hex characters, here on one line.
pub fn grouped(hash: &Hash) -> String {
    let (words, _) = hash.as_chunks::<4>();
    let mut text = String::new();
    for word in words {
        let separator = if text.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{:08x}", u32::from_be_bytes(*word));
    }
    text
}
