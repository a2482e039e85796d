//! Notes and the values derived from them.
//!
//! A note is worth `value + refund`. Its leaf in the note tree hides everything but, for a note that came out of a spend,
//! the refund that was added in the clear at settlement. `docs/protocol.md` §3.1; `design/credits.md` §1.1.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::Bytes32;
use crate::bytes::LengthPrefixed;
use crate::field::{Fe, FieldError};
use crate::hash::{Domain, poseidon, sha256};
use crate::value::Credits;

/// A field element with one meaning.
macro_rules! element {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Fe);

        impl $name {
            /// Decodes 32 big-endian bytes; refuses numbers that are not below the modulus.
            pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, FieldError> {
                Fe::from_bytes(bytes).map(Self)
            }

            /// The element's big-endian bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                self.0.as_bytes()
            }

            /// The element.
            pub const fn fe(self) -> Fe {
                self.0
            }
        }

        impl From<Fe> for $name {
            fn from(element: Fe) -> Self {
                Self(element)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                self.0.as_ref()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = FieldError;

            fn from_str(text: &str) -> Result<Self, FieldError> {
                text.parse().map(Self)
            }
        }
    };
}

element! {
    /// `nf = P(DOM_NF, sk, rho)`: published when a note is spent; the identity of the spend.
    Nullifier
}
element! {
    /// A root of the note tree.
    Root
}
element! {
    /// `inner = P(DOM_INNER, pk, v, rho, b)`: the part of a leaf that is fixed when a spend is proved.
    Inner
}
element! {
    /// `leaf = P(DOM_LEAF, inner, r)`.
    Leaf
}
element! {
    /// `pk = P(DOM_PK, sk, lane)`: the owner of a note.
    NotePublicKey
}

/// The blinding factor `b` of an [`Inner`]. That of a minted note is public, that of a successor is a secret.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Blind(pub Fe);

impl fmt::Debug for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blind(..)")
    }
}

/// The spending key `sk` of a wallet.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SpendKey(Fe);

impl SpendKey {
    /// A key that is this element. It must be secret and uniform.
    pub const fn from_secret(secret: Fe) -> Self {
        Self(secret)
    }

    pub(crate) const fn secret(&self) -> Fe {
        self.0
    }

    /// `P(DOM_PK, sk, lane)`.
    pub fn public_key(&self, lane: u64) -> NotePublicKey {
        NotePublicKey(poseidon([Domain::Pk.constant(), self.0, Fe::from(lane)]))
    }

    /// `P(DOM_NF, sk, rho)`.
    pub fn nullifier(&self, rho: Fe) -> Nullifier {
        Nullifier(poseidon([Domain::Nf.constant(), self.0, rho]))
    }
}

impl fmt::Debug for SpendKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpendKey(..)")
    }
}

/// A note, as its owner knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Which of the owner's public keys holds it.
    pub lane: u64,
    /// `v`, the hidden part of the balance.
    pub value: Credits,
    /// `rho`, unique for ever: a mint's derives from its number in the log, a successor's is the nullifier before it.
    pub rho: Fe,
    /// `b`.
    pub blind: Blind,
    /// `r`, the refund appended in the clear; zero for a minted note.
    pub refund: Credits,
}

impl Note {
    /// The public key of the note's owner.
    pub fn public_key(&self, key: &SpendKey) -> NotePublicKey {
        key.public_key(self.lane)
    }

    /// The hidden part of the leaf.
    pub fn inner(&self, key: &SpendKey) -> Inner {
        inner(self.public_key(key), self.value, self.rho, self.blind)
    }

    /// The leaf.
    pub fn leaf(&self, key: &SpendKey) -> Leaf {
        leaf(self.inner(key), self.refund)
    }

    /// The nullifier that spending the note publishes.
    pub fn nullifier(&self, key: &SpendKey) -> Nullifier {
        key.nullifier(self.rho)
    }

    /// `v + r`, or nothing when that is no amount; honest ledgers never make such a note.
    pub fn balance(&self) -> Option<Credits> {
        self.value.checked_add(self.refund)
    }
}

/// `P(DOM_INNER, pk, v, rho, b)`. Ledgers recompute it at mint from values the depositor opened.
pub fn inner(pk: NotePublicKey, value: Credits, rho: Fe, blind: Blind) -> Inner {
    Inner(poseidon([Domain::Inner.constant(), pk.0, Fe::from(value), rho, blind.0]))
}

/// `P(DOM_LEAF, inner, r)`.
pub fn leaf(inner: Inner, refund: Credits) -> Leaf {
    Leaf(poseidon([Domain::Leaf.constant(), inner.0, Fe::from(refund)]))
}

/// `rho` of a minted note (protocol §4.2): unique because a ledger numbers its mints.
pub fn mint_rho(ledger_id: Bytes32, mint_seq: u64) -> Fe {
    Fe::from_digest(sha256(&LengthPrefixed::new("cloister/mint-rho/v1").bytes(ledger_id).number(mint_seq).finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_note_reaches_its_leaf() {
        let key = SpendKey::from_secret(Fe::from(7));
        let credits = |n| Credits::new(n).unwrap();
        let note = Note { lane: 1, value: credits(2), rho: Fe::from(3), blind: Blind(Fe::from(4)), refund: credits(5) };
        let changed = [
            Note { lane: 9, ..note.clone() },
            Note { value: credits(9), ..note.clone() },
            Note { rho: Fe::from(9), ..note.clone() },
            Note { blind: Blind(Fe::from(9)), ..note.clone() },
            Note { refund: credits(9), ..note.clone() },
        ];
        for other in changed {
            assert_ne!(other.leaf(&key), note.leaf(&key), "{other:?}");
        }
        assert_ne!(note.leaf(&SpendKey::from_secret(Fe::from(8))), note.leaf(&key));
        assert_eq!(note.balance(), Some(credits(7)));
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", SpendKey::from_secret(Fe::from(7))), "SpendKey(..)");
        assert_eq!(format!("{:?}", Blind(Fe::from(7))), "Blind(..)");
    }
}
