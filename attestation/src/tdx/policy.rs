//! The policy items of TDX evidence: the tables `[tdx.*]`.
//!
//! Decides: the form of each item.

use serde::Deserialize;

/// Everything a policy says about TDX evidence.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TdxItems {}
