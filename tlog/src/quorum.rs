//! How many of which witnesses must cosign a log before somebody goes by it.

use serde::{Deserialize, Serialize};

use crate::cosignature::WitnessKey;

/// Most witnesses of one log that anybody names.
pub const WITNESSES_MAX: usize = 16;

/// Witnesses, and how many of them are needed: more than half. Two halves that know nothing of each other would cosign two logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Named", into = "Named")]
pub struct Quorum {
    witnesses: Vec<WitnessKey>,
    needed: usize,
}

/// Why these witnesses, or that many, show nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuorumFault {
    /// Too many, or one twice.
    #[error("witnesses must be at most {WITNESSES_MAX}, each key and each name once")]
    Witnesses,
    /// Half of them or fewer, or more than there are.
    #[error("more than half of the witnesses are needed, and not more than all")]
    Needed,
}

impl Quorum {
    /// So many of these.
    ///
    /// # Errors
    /// [`QuorumFault`]; for no witnesses too.
    pub fn new(witnesses: Vec<WitnessKey>, needed: usize) -> Result<Self, QuorumFault> {
        let repeated = |(at, one): (usize, &WitnessKey)| {
            witnesses.iter().take(at).any(|other| one.key() == other.key() || one.name() == other.name())
        };
        if witnesses.len() > WITNESSES_MAX || witnesses.iter().enumerate().any(repeated) {
            return Err(QuorumFault::Witnesses);
        }
        if needed > witnesses.len() || needed < Self::majority(witnesses.len()) {
            return Err(QuorumFault::Needed);
        }
        Ok(Self { witnesses, needed })
    }

    /// The fewest of so many that are more than half.
    #[must_use]
    pub const fn majority(witnesses: usize) -> usize {
        (witnesses / 2).saturating_add(1)
    }

    /// The witnesses.
    #[must_use]
    pub fn witnesses(&self) -> &[WitnessKey] {
        &self.witnesses
    }

    /// How many of them must cosign.
    #[must_use]
    pub const fn needed(&self) -> usize {
        self.needed
    }
}

/// As it stands in files.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    /// `NAME+HASH+BASE64` each.
    witnesses: Vec<String>,
    needed: usize,
}

impl TryFrom<Named> for Quorum {
    type Error = String;

    fn try_from(named: Named) -> Result<Self, String> {
        let read = |text: &String| text.parse::<WitnessKey>().map_err(|fault| fault.to_string());
        let witnesses = named.witnesses.iter().map(read).collect::<Result<_, _>>()?;
        Self::new(witnesses, named.needed).map_err(|fault| fault.to_string())
    }
}

impl From<Quorum> for Named {
    fn from(quorum: Quorum) -> Self {
        let witnesses = quorum.witnesses.iter().map(ToString::to_string).collect();
        Self { witnesses, needed: quorum.needed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cosigner;
    use attestation::ReceiptKey;

    fn witness(seed: u8, name: &str) -> WitnessKey {
        Cosigner::new(name, ReceiptKey::from_seed(&[seed; 32]).unwrap()).unwrap().public().clone()
    }

    #[test]
    fn more_than_half_of_different_witnesses_are_a_quorum() {
        let some = |count: u8| (0..count).map(|seed| witness(seed, &format!("w{seed}"))).collect::<Vec<_>>();
        for (count, fewest) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (16, 9)] {
            assert_eq!(Quorum::majority(usize::from(count)), fewest);
            assert!(Quorum::new(some(count), fewest).is_ok());
            assert!(Quorum::new(some(count), count.into()).is_ok());
            assert_eq!(Quorum::new(some(count), fewest - 1), Err(QuorumFault::Needed));
            assert_eq!(Quorum::new(some(count), usize::from(count) + 1), Err(QuorumFault::Needed));
        }
        assert_eq!(Quorum::new(Vec::new(), 0), Err(QuorumFault::Needed));
        assert_eq!(Quorum::new(some(17), 9), Err(QuorumFault::Witnesses));
        assert_eq!(Quorum::new(vec![witness(1, "a"), witness(1, "b")], 2), Err(QuorumFault::Witnesses));
        assert_eq!(Quorum::new(vec![witness(1, "a"), witness(2, "a")], 2), Err(QuorumFault::Witnesses));
    }

    #[test]
    fn what_is_stored_is_judged_again() {
        let quorum = Quorum::new(vec![witness(1, "a"), witness(2, "b")], 2).unwrap();
        let text = serde_json::to_string(&quorum).unwrap();
        assert_eq!(serde_json::from_str::<Quorum>(&text).unwrap(), quorum);
        assert!(serde_json::from_str::<Quorum>(&text.replace(":2}", ":1}")).is_err());
    }
}
