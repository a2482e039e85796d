//! Why a TDX quote or its collateral was refused.
//!
//! Decides: the vocabulary; a code never changes its meaning.

use crate::rejection::codes;

/// Why a TDX quote or its collateral was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TdxRejection {
    /// Not well formed.
    #[error("malformed")]
    Malformed,
}

codes! { TdxRejection {
    Malformed => "tdx.malformed", Malformed;
} }
