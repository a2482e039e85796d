//! A policy item: a requirement, or the word that waives it.
//!
//! Decides: that absence is never a waiver. `"unchecked"` must be spelled out, so reading the file shows every gap.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use super::Platform;
use crate::digest::decode_hex;

/// The word that waives an item.
const UNCHECKED: &str = "unchecked";

/// The word that refuses a platform.
const REFUSED: &str = "refused";

/// A requirement, or an explicit waiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule<T> {
    /// The item must satisfy this.
    Check(T),
    /// The item is not checked; every verdict says so.
    Unchecked,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Rule<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        if value.as_str() == Some(UNCHECKED) {
            return Ok(Self::Unchecked);
        }
        T::deserialize(value).map(Self::Check).map_err(D::Error::custom)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Platform<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        if value.as_str() == Some(REFUSED) {
            return Ok(Self::Refused);
        }
        T::deserialize(value).map(Self::Items).map_err(D::Error::custom)
    }
}

/// Something that must not be: a bit that must be clear, a feature that must be off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Forbidden {
    /// It must not.
    Forbidden,
}

/// Something that must be: a bit that must be set, a part that must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Required {
    /// It must.
    Required,
}

/// A bit that may be wanted either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BitRule {
    /// The bit must be set.
    Required,
    /// The bit must be clear.
    Forbidden,
}

impl BitRule {
    /// Whether a bit that is `set` or not is as it must be.
    pub(crate) fn allows(self, set: bool) -> bool {
        match self {
            Self::Required => set,
            Self::Forbidden => !set,
        }
    }
}

/// Bytes of a fixed length, written in lowercase hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct HexBytes<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> std::fmt::Debug for HexBytes<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for HexBytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        decode_hex(&text).map(Self).map_err(D::Error::custom)
    }
}
