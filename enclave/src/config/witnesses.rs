//! Witnesses that a configuration names, of the log of receipts and of the ledger's.

use serde::Deserialize;
use tlog::{Quorum, QuorumFault, WitnessKey};

/// The key of a witness: `NAME+HASH+BASE64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessName(pub WitnessKey);

impl<'de> Deserialize<'de> for WitnessName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// So many of these; nothing where nobody watches.
pub(super) fn quorum(witnesses: &[WitnessName], needed: usize) -> Result<Option<Quorum>, QuorumFault> {
    if witnesses.is_empty() && needed == 0 {
        return Ok(None);
    }
    Quorum::new(witnesses.iter().map(|witness| witness.0.clone()).collect(), needed).map(Some)
}

/// The member that is wrong of a table, and why.
pub(super) const fn problem(
    fault: QuorumFault,
    [witnesses, needed]: [&'static str; 2],
) -> (&'static str, &'static str) {
    match fault {
        QuorumFault::Needed => (needed, "must be more than half of the witnesses, and not more than all"),
        _ => (witnesses, "must be at most 16, each key and each name once"),
    }
}
