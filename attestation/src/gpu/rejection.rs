//! Why GPU evidence, a manifest or an OCSP response was refused.
//!
//! Decides: the vocabulary; a code never changes its meaning.

use crate::rejection::codes;

/// Why GPU evidence, a manifest or an OCSP response was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuRejection {
    /// Not well formed.
    #[error("malformed")]
    Malformed,
}

codes! { GpuRejection {
    Malformed => "gpu.malformed", Malformed;
} }
