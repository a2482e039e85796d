//! Digests and fixed-size byte strings with one textual form each.
//!
//! Decides: how 32-byte values look in JSON (protocol.md §1: 64 lowercase hex; a digest is `sha256:<hex>`).
//! Trusts nothing on entry; on exit a parsed value has exactly one spelling, so comparing values and comparing
//! their text agree.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::crypto;

/// The prefix of a digest's textual form.
const SHA256_PREFIX: &str = "sha256:";

/// Why a hex or digest string was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HexError {
    /// The string has the wrong number of characters.
    #[error("expected {expected} hex characters, got {got}")]
    Length {
        /// Characters required.
        expected: usize,
        /// Characters found.
        got: usize,
    },
    /// A character is not one of `0-9a-f`.
    #[error("only lowercase hex characters are allowed")]
    NotLowercaseHex,
    /// A digest does not start with `sha256:`.
    #[error("a digest starts with \"sha256:\"")]
    Prefix,
}

/// Decode exactly `N` bytes of lowercase hex.
pub(crate) fn decode_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let expected = N.saturating_mul(2);
    if text.len() != expected {
        return Err(HexError::Length { expected, got: text.len() });
    }
    if !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(HexError::NotLowercaseHex);
    }
    let mut bytes = [0_u8; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| HexError::NotLowercaseHex)?;
    Ok(bytes)
}

/// Defines a fixed-size byte string whose only textual form is lowercase hex.
macro_rules! hex_newtype {
    ($(#[$meta:meta])* $name:ident, $len:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), hex::encode(self.0))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::digest::HexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::digest::decode_hex(text).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&hex::encode(self.0))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
    };
}
pub(crate) use hex_newtype;

hex_newtype! {
    /// Thirty-two bytes written as 64 lowercase hex characters.
    Hex32, 32
}

/// A SHA-256 digest, written `sha256:<64 lowercase hex>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest(pub [u8; 32]);

impl Sha256Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(crypto::sha256(bytes))
    }

    /// The bare hex, without the `sha256:` prefix.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SHA256_PREFIX}{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256Digest {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.strip_prefix(SHA256_PREFIX).ok_or(HexError::Prefix)?;
        decode_hex(bare).map(Self)
    }
}

impl Serialize for Sha256Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// SHA-256 over bytes that arrive in pieces, as a streamed body does.
#[derive(Clone)]
pub struct Sha256Stream(crypto::Sha256Context);

impl Sha256Stream {
    /// An empty stream.
    #[must_use]
    pub fn new() -> Self {
        Self(crypto::Sha256Context::new())
    }

    /// Absorb the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything absorbed.
    #[must_use]
    pub fn finish(self) -> Sha256Digest {
        Sha256Digest(self.0.finish())
    }
}

impl Default for Sha256Stream {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sha256Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256Stream")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4 example: SHA-256("abc").
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_digest_has_one_spelling() {
        assert_eq!(Sha256Digest::of(b"abc").to_string(), ABC);
        assert_eq!(ABC.parse::<Sha256Digest>().unwrap(), Sha256Digest::of(b"abc"));
        assert_eq!(ABC.to_uppercase().parse::<Sha256Digest>(), Err(HexError::Prefix));
        assert_eq!(ABC.replace('b', "B").parse::<Sha256Digest>(), Err(HexError::NotLowercaseHex));
        assert_eq!("sha256:00".parse::<Sha256Digest>(), Err(HexError::Length { expected: 64, got: 2 }));
    }

    #[test]
    fn hex32_is_strict() {
        let text = "00".repeat(31) + "ff";
        assert_eq!(text.parse::<Hex32>().unwrap().to_string(), text);
        assert_eq!("FF".repeat(32).parse::<Hex32>(), Err(HexError::NotLowercaseHex));
        assert_eq!("00".repeat(33).parse::<Hex32>(), Err(HexError::Length { expected: 64, got: 66 }));
        let multibyte = "é".repeat(32);
        assert_eq!(multibyte.parse::<Hex32>(), Err(HexError::NotLowercaseHex));
    }

    #[test]
    fn a_stream_equals_one_call() {
        let mut stream = Sha256Stream::new();
        stream.update(b"a");
        stream.update(b"");
        stream.update(b"bc");
        assert_eq!(stream.finish(), Sha256Digest::of(b"abc"));
    }
}
