//! Fixed-size byte strings of the protocol, their text form, and the length-prefixed strings that are hashed and signed.
//!
//! Text is lowercase hex of the exact length; anything else is refused. `docs/protocol.md` §1.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// Why a text is not a byte string of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HexError {
    /// The number of characters is wrong.
    #[error("expected {expected} hex characters, got {got}")]
    Length {
        /// Characters required.
        expected: usize,
        /// Characters found.
        got: usize,
    },
    /// A character is not one of `0-9a-f`.
    #[error("expected lowercase hex characters only")]
    Character,
}

/// Decodes lowercase hex of exactly `2 * N` characters.
pub fn decode_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let expected = N.saturating_mul(2);
    if text.len() != expected {
        return Err(HexError::Length { expected, got: text.len() });
    }
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    let mut out = [0; N];
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Ok(out)
}

/// One text form per value keeps equality of texts equality of values: no upper case.
fn digit(character: u8) -> Result<u8, HexError> {
    match character {
        b'0'..=b'9' => Ok(character - b'0'),
        b'a'..=b'f' => Ok(character - b'a' + 10),
        _ => Err(HexError::Character),
    }
}

/// The longest of our byte strings that has a text form: a proof.
const TEXT_BYTES_MAX: usize = 128;

/// Calls with the lowercase hex of at most [`TEXT_BYTES_MAX`] bytes, which costs no allocation: a ledger writes a dozen such texts for
/// each operation.
pub(crate) fn with_hex<T>(bytes: &[u8], call: impl FnOnce(&str) -> T) -> T {
    let mut buffer = [0; 2 * TEXT_BYTES_MAX];
    let text =
        buffer.get_mut(..bytes.len().saturating_mul(2)).expect("invariant: no byte string is longer than a proof");
    hex::encode_to_slice(bytes, text).expect("invariant: the buffer is twice as long as the bytes");
    call(std::str::from_utf8(text).expect("invariant: hex is ASCII"))
}

/// Reads a text form without a copy of it.
pub(crate) struct TextVisitor<T>(pub(crate) PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> serde::de::Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Text, serde and debug forms of a type that is a fixed number of bytes.
macro_rules! hex_text {
    ($type:ty, $from:expr, $error:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $crate::bytes::with_hex(self.as_bytes(), |text| f.write_str(text))
            }
        }

        impl FromStr for $type {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                let make: fn(_) -> Result<Self, $error> = $from;
                make($crate::bytes::decode_hex(text)?)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::bytes::with_hex(self.as_bytes(), |text| serializer.serialize_str(text))
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::bytes::TextVisitor(std::marker::PhantomData))
            }
        }
    };
}
pub(crate) use hex_text;

/// A 32-byte value: a digest, a public key or an identifier.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes32(pub [u8; 32]);

impl Bytes32 {
    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Bytes32 {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Bytes32 {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Bytes32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes32({self})")
    }
}

hex_text!(Bytes32, |bytes| Ok(Self(bytes)), HexError);

/// An Ed25519 signature (RFC 8032), not yet verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignatureBytes(pub [u8; 64]);

impl SignatureBytes {
    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl From<[u8; 64]> for SignatureBytes {
    fn from(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for SignatureBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SignatureBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignatureBytes({self})")
    }
}

hex_text!(SignatureBytes, |bytes| Ok(Self(bytes)), HexError);

/// Builds `lp(tag) ‖ lp(field) ‖ …`, the only shape of string that is hashed or signed here (protocol §1).
#[derive(Clone, Debug)]
pub struct LengthPrefixed(Vec<u8>);

impl LengthPrefixed {
    /// Starts a string with its tag.
    pub fn new(tag: &str) -> Self {
        Self(Vec::new()).bytes(tag.as_bytes())
    }

    /// Appends `lp(field)`: the length as four big-endian bytes, then the field.
    #[must_use]
    pub fn bytes(mut self, field: impl AsRef<[u8]>) -> Self {
        let field = field.as_ref();
        let length = u32::try_from(field.len()).expect("invariant: hashed and signed fields are far below 4 GiB");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }

    /// Appends `lp(number)` with the number as eight big-endian bytes.
    #[must_use]
    pub fn number(self, number: u64) -> Self {
        self.bytes(number.to_be_bytes())
    }

    /// The string.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_lowercase_and_exact() {
        let value = Bytes32([0xab; 32]);
        let text = value.to_string();
        assert_eq!(text, "ab".repeat(32));
        assert_eq!(text.parse(), Ok(value));
        assert_eq!(text.to_uppercase().parse::<Bytes32>(), Err(HexError::Character));
        assert_eq!("ab".parse::<Bytes32>(), Err(HexError::Length { expected: 64, got: 2 }));
        assert_eq!("é".repeat(32).parse::<Bytes32>(), Err(HexError::Character));
        assert_eq!(serde_json::to_string(&value).unwrap(), format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Bytes32>(&format!("\"{text}\"")).unwrap(), value);
        let escaped = format!("\"\\u0061b{}\"", "ab".repeat(31));
        assert_eq!(serde_json::from_str::<Bytes32>(&escaped).unwrap(), value);
    }

    #[test]
    fn length_prefixed_strings_have_one_reading() {
        let string = LengthPrefixed::new("t").bytes([1, 2]).number(3).finish();
        assert_eq!(string, [0, 0, 0, 1, b't', 0, 0, 0, 2, 1, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 3]);
        let joined = LengthPrefixed::new("t").bytes("ab").bytes("c").finish();
        let split = LengthPrefixed::new("t").bytes("a").bytes("bc").finish();
        assert_ne!(joined, split);
    }
}
