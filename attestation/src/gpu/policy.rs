//! The policy items of GPU evidence: the tables `[gpu.*]`.
//!
//! Decides: the form of each item.

use serde::Deserialize;

/// Everything a policy says about GPU evidence.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GpuItems {}
