//! Amounts of credits.
//!
//! [`Credits`] never exceeds [`CREDITS_MAX`] and has no operator that could wrap: arithmetic is checked and the caller
//! says what an overflow means. `docs/protocol.md` §1.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The largest amount: the largest integer every JSON implementation keeps exact (RFC 8785, protocol §1).
pub const CREDITS_MAX: u64 = (1 << 53) - 1;

/// An amount of credits, at most [`CREDITS_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Credits(u64);

/// Why a number is not an amount of credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CreditsError {
    /// The number is above [`CREDITS_MAX`].
    #[error("{got} is above the largest amount of credits, {CREDITS_MAX}")]
    TooLarge {
        /// The refused number.
        got: u64,
    },
    /// The text is not a decimal number.
    #[error("an amount of credits is a decimal number")]
    NotANumber,
}

impl Credits {
    /// No credits.
    pub const ZERO: Self = Self(0);
    /// The largest amount.
    pub const MAX: Self = Self(CREDITS_MAX);

    /// Refuses numbers above [`CREDITS_MAX`].
    pub const fn new(value: u64) -> Result<Self, CreditsError> {
        if value > CREDITS_MAX { Err(CreditsError::TooLarge { got: value }) } else { Ok(Self(value)) }
    }

    /// The amount as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether the amount is zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or nothing when it is above [`CREDITS_MAX`].
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(|sum| Self::new(sum).ok())
    }

    /// The difference, or nothing when `other` is larger.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The product, or nothing when it is above [`CREDITS_MAX`].
    pub fn checked_mul(self, factor: u64) -> Option<Self> {
        self.0.checked_mul(factor).and_then(|product| Self::new(product).ok())
    }

    /// The sum of many amounts, or nothing when it is above [`CREDITS_MAX`].
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

impl TryFrom<u64> for Credits {
    type Error = CreditsError;

    fn try_from(value: u64) -> Result<Self, CreditsError> {
        Self::new(value)
    }
}

impl From<Credits> for u64 {
    fn from(credits: Credits) -> Self {
        credits.0
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Credits {
    type Err = CreditsError;

    fn from_str(text: &str) -> Result<Self, CreditsError> {
        // `u64::from_str` takes a leading plus sign, which no serialiser of ours writes.
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(CreditsError::NotANumber);
        }
        Self::new(text.parse().map_err(|_| CreditsError::NotANumber)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_largest_exact_json_integer() {
        assert_eq!(CREDITS_MAX, 9_007_199_254_740_991);
        assert_eq!(Credits::new(CREDITS_MAX), Ok(Credits::MAX));
        assert_eq!(Credits::new(CREDITS_MAX + 1), Err(CreditsError::TooLarge { got: CREDITS_MAX + 1 }));
        assert_eq!(serde_json::from_str::<Credits>("9007199254740991").unwrap(), Credits::MAX);
        assert!(serde_json::from_str::<Credits>("9007199254740992").is_err());
        assert!(serde_json::from_str::<Credits>("1.0").is_err());
        assert!(serde_json::from_str::<Credits>("-1").is_err());
    }

    #[test]
    fn arithmetic_never_wraps() {
        let one = Credits::new(1).unwrap();
        assert_eq!(Credits::MAX.checked_add(one), None);
        assert_eq!(Credits::ZERO.checked_sub(one), None);
        assert_eq!(Credits::MAX.checked_mul(2), None);
        assert_eq!(Credits::MAX.checked_mul(u64::MAX), None);
        assert_eq!(one.checked_add(one).map(Credits::get), Some(2));
        assert_eq!(Credits::checked_sum([one, Credits::MAX]), None);
        assert_eq!(Credits::checked_sum([one, one, one]).map(Credits::get), Some(3));
    }

    #[test]
    fn text_is_plain_decimal() {
        assert_eq!("42".parse::<Credits>().map(Credits::get), Ok(42));
        for text in ["", "+1", "-1", " 1", "1_000", "0x1", "99999999999999999999"] {
            assert_eq!(text.parse::<Credits>(), Err(CreditsError::NotANumber), "{text:?}");
        }
    }
}
