//! Processor products: which root, which TCB layout and which chip-id length a report belongs to.
//!
//! Decides: the product behind a CPU family and model, a certificate name or AMD's product-name extension. Anything
//! unknown is refused; a product is never guessed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rejection::Rejection;

/// A product line with its own AMD root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Product {
    /// EPYC 7003. Its root seed is public knowledge (arXiv 2605.12990): no shipped policy accepts it.
    Milan,
    /// EPYC 9004, 97x4 (Bergamo) and 8004 (Siena), which share one root.
    Genoa,
    /// EPYC 9005.
    Turin,
}

impl Product {
    /// The name AMD uses in certificates.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// The product of a CPU, from its combined family and model (PPR of each family).
    ///
    /// # Errors
    /// [`Rejection::CpuUnknown`] for anything not listed.
    pub fn from_cpuid(family: u8, model: u8) -> Result<Self, Rejection> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Ok(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Ok(Self::Genoa),
            (0x1a, 0x00..=0x11) => Ok(Self::Turin),
            _ => Err(Rejection::CpuUnknown { family, model }),
        }
    }

    /// Bytes of CHIP_ID that identify the chip; the rest is zero (57230 §3.1: 64, on Turin 8).
    #[must_use]
    pub fn chip_id_len(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is not a product's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a known product")]
pub struct UnknownProduct;

impl FromStr for Product {
    type Err = UnknownProduct;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "Milan" => Ok(Self::Milan),
            "Genoa" => Ok(Self::Genoa),
            "Turin" => Ok(Self::Turin),
            _ => Err(UnknownProduct),
        }
    }
}
