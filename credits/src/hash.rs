//! The two hashes: SHA-2 for bytes, Poseidon for field elements.
//!
//! Poseidon is circom's over BN254 (x^5, 8 full rounds, circom's constants and output lane), natively by
//! `crate::poseidon`; the circuit uses the same constant tables (see [`crate::circuit`]). `docs/protocol.md` §3.1.

use std::sync::LazyLock;

use ark_bn254::Fr;
#[cfg(not(target_arch = "wasm32"))]
use aws_lc_rs::digest;
#[cfg(target_arch = "wasm32")]
use ring::digest;

use crate::bytes::Bytes32;
use crate::field::Fe;

/// The most inputs a hash of ours takes.
pub const POSEIDON_INPUTS_MAX: usize = 5;

/// Domain constants (protocol §3.1): one per shape of hashed tuple, so that no two kinds of value share a preimage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// `DOM_PK`: a note's public key.
    Pk,
    /// `DOM_INNER`: the hidden part of a leaf.
    Inner,
    /// `DOM_LEAF`: a leaf.
    Leaf,
    /// `DOM_NF`: a nullifier.
    Nf,
}

impl Domain {
    /// SHA-256 of the domain's name with the top three bits cleared.
    pub fn constant(self) -> Fe {
        static CONSTANTS: LazyLock<[Fe; 4]> = LazyLock::new(|| {
            [
                &b"cloister/credits/v1/pk"[..],
                b"cloister/credits/v1/inner",
                b"cloister/credits/v1/leaf",
                b"cloister/credits/v1/nf",
            ]
            .map(|name| Fe::from_digest(sha256(name)))
        });
        let [pk, inner, leaf, nf] = *CONSTANTS;
        match self {
            Self::Pk => pk,
            Self::Inner => inner,
            Self::Leaf => leaf,
            Self::Nf => nf,
        }
    }
}

/// `P(inputs…)` for one to [`POSEIDON_INPUTS_MAX`] inputs; the number is checked at compile time.
pub fn poseidon<const N: usize>(inputs: [Fe; N]) -> Fe {
    Fe::from_fr(poseidon_fr(inputs.map(Fe::to_fr)))
}

/// [`poseidon`] over elements in arithmetic form.
pub(crate) fn poseidon_fr<const N: usize>(inputs: [Fr; N]) -> Fr {
    crate::poseidon::hash(inputs)
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> Bytes32 {
    let mut out = Bytes32::default();
    out.0.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// SHA-512 (FIPS 180-4).
pub fn sha512(bytes: &[u8]) -> [u8; 64] {
    let mut out = [0; 64];
    out.copy_from_slice(digest::digest(&digest::SHA512, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use ark_ff::PrimeField;

    use super::*;

    fn decimal(text: &str) -> Fe {
        let ten = Fr::from(10u64);
        Fe::from_fr(text.bytes().fold(Fr::from(0u64), |value, digit| value * ten + Fr::from(digit - b'0')))
    }

    /// circomlib's own test vectors (test/poseidoncircuit.js) and circomlibjs's (test/poseidon.js).
    #[test]
    fn poseidon_is_circoms() {
        let fes = |numbers: [u64; 4]| numbers.map(Fe::from);
        assert_eq!(
            poseidon([Fe::from(1)]),
            decimal("18586133768512220936620570745912940619677854269274689475585506675881198879027")
        );
        assert_eq!(
            poseidon([Fe::from(1), Fe::from(2)]),
            decimal("7853200120776062878684798364095072458815029376092732009249414926327459813530")
        );
        assert_eq!(
            poseidon(fes([1, 2, 3, 4])),
            decimal("18821383157269793795438455681495246036402687001665670618754263018637548127333")
        );
        assert_eq!(
            poseidon([1, 2, 0, 0, 0].map(Fe::from)),
            decimal("1018317224307729531995786483840663576608797660851238720571059489595066344487")
        );
        assert_eq!(
            poseidon([3, 4, 0, 0, 0].map(Fe::from)),
            decimal("5811595552068139067952687508729883632420015185677766880877743348592482390548")
        );
    }

    #[test]
    fn domains_differ_and_are_canonical() {
        let all = [Domain::Pk, Domain::Inner, Domain::Leaf, Domain::Nf].map(Domain::constant);
        for (index, domain) in all.iter().enumerate() {
            assert!(domain.to_fr().into_bigint() < Fr::MODULUS);
            assert!(all.iter().skip(index + 1).all(|other| other != domain));
        }
        // printf 'cloister/credits/v1/pk' | sha256sum, top three bits cleared.
        assert_eq!(Domain::Pk.constant(), Fe::from_digest(sha256(b"cloister/credits/v1/pk")));
    }
}
