//! Evidence against a ledger: two checkpoints that it signed and that do not go together (docs/protocol.md §4.3).
//!
//! Whoever knows the ledger's key can judge it, years later and without the ledger. Trusts nobody for it: both signatures are verified.

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes32;
use crate::checkpoint::{Checkpoint, CheckpointError};

/// How much later than a larger checkpoint a smaller one must be signed to be a step back. Several services can answer for one ledger, each by
/// its own clock, and one can be stopped between reading the state and signing it.
pub const ROLLBACK_SLACK_SECS: u64 = 300;

/// Two checkpoints of one ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contradiction {
    /// The key that signed both.
    pub ledger_key: Bytes32,
    /// What had been seen.
    pub seen: Checkpoint,
    /// What was shown then.
    pub shown: Checkpoint,
}

/// What two checkpoints say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contradicted {
    /// No log has both: two logs were shown.
    Fork,
    /// A state was shown long after a larger one.
    Rollback,
    /// Nothing by themselves: there may be a log that has both. Its ledger owes the consistency proof, and is guilty if it cannot give it.
    ProofOwed {
        /// Entries of the smaller one.
        from: u64,
        /// Entries of the larger one.
        to: u64,
    },
}

/// Why two checkpoints are no evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContradictionError {
    /// One is not signed by the key.
    #[error("a checkpoint is not signed by the key that is accused")]
    Signature,
    /// They are of two ledgers.
    #[error("the checkpoints are of two ledgers")]
    TwoLedgers,
    /// They agree.
    #[error("the checkpoints agree")]
    Agree,
}

impl ContradictionError {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Signature => "evidence.signature",
            Self::TwoLedgers => "evidence.two_ledgers",
            Self::Agree => "evidence.agree",
        }
    }
}

impl From<CheckpointError> for ContradictionError {
    fn from(CheckpointError::Signature: CheckpointError) -> Self {
        Self::Signature
    }
}

impl Contradiction {
    /// What the two say together.
    ///
    /// # Errors
    /// [`ContradictionError`] when they say nothing against the ledger.
    pub fn judge(&self) -> Result<Contradicted, ContradictionError> {
        // 1. Both are the ledger's.
        self.seen.verify(&self.ledger_key)?;
        self.shown.verify(&self.ledger_key)?;
        if self.seen.ledger_id != self.shown.ledger_id {
            return Err(ContradictionError::TwoLedgers);
        }
        let is_back = self.shown.log_size < self.seen.log_size;
        let (old, new) = if is_back { (&self.shown, &self.seen) } else { (&self.seen, &self.shown) };
        // 2. One log of one size has one root and one note tree.
        let same_notes = old.note_count == new.note_count && old.note_root == new.note_root;
        if old.log_size == new.log_size {
            let agree = old.log_root == new.log_root && same_notes;
            return if agree { Err(ContradictionError::Agree) } else { Ok(Contradicted::Fork) };
        }
        // 3. A log only grows, and its note tree with it: fewer notes later, or as many of another root, are of another log.
        if old.note_count > new.note_count || (old.note_count == new.note_count && !same_notes) {
            return Ok(Contradicted::Fork);
        }
        // 4. The larger state is never older.
        if old.time > new.time.saturating_add(ROLLBACK_SLACK_SECS) {
            return Ok(Contradicted::Rollback);
        }
        Ok(Contradicted::ProofOwed { from: old.log_size, to: new.log_size })
    }
}

#[cfg(test)]
mod tests {
    use super::{Contradicted, Contradiction, ContradictionError, ROLLBACK_SLACK_SECS};
    use crate::bytes::Bytes32;
    use crate::checkpoint::{Checkpoint, UnsignedCheckpoint};
    use crate::field::Fe;
    use crate::keys::SigningKey;
    use crate::note::Root;

    const TIME: u64 = 1_000_000;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[1; 32])
    }

    /// Entries, their root, notes, their root, time.
    fn checkpoint(size: u64, log: u8, notes: u64, tree: u64, time: u64) -> Checkpoint {
        signed_by(&key(), Bytes32([9; 32]), (size, log, notes, tree, time))
    }

    fn signed_by(key: &SigningKey, ledger_id: Bytes32, of: (u64, u8, u64, u64, u64)) -> Checkpoint {
        let (log_size, log, note_count, tree, time) = of;
        let (log_root, note_root) = (Bytes32([log; 32]), Root(Fe::from(tree)));
        Checkpoint::sign(UnsignedCheckpoint { ledger_id, log_size, log_root, note_count, note_root, time }, key)
    }

    fn judged(seen: Checkpoint, shown: Checkpoint) -> Result<Contradicted, ContradictionError> {
        Contradiction { ledger_key: key().public(), seen, shown }.judge()
    }

    #[test]
    fn two_states_of_one_size_are_a_fork() {
        let seen = || checkpoint(8, 1, 3, 1, TIME);
        for other in [checkpoint(8, 2, 3, 1, TIME), checkpoint(8, 1, 4, 1, TIME), checkpoint(8, 1, 3, 2, TIME)] {
            assert_eq!(judged(seen(), other.clone()), Ok(Contradicted::Fork));
            assert_eq!(judged(other, seen()), Ok(Contradicted::Fork));
        }
        assert_eq!(judged(seen(), checkpoint(8, 1, 3, 1, TIME + 9)), Err(ContradictionError::Agree));
    }

    #[test]
    fn a_note_tree_that_shrinks_or_changes_alone_is_a_fork() {
        let seen = || checkpoint(8, 1, 3, 1, TIME);
        assert_eq!(judged(seen(), checkpoint(9, 2, 2, 2, TIME)), Ok(Contradicted::Fork));
        assert_eq!(judged(seen(), checkpoint(9, 2, 3, 2, TIME)), Ok(Contradicted::Fork));
        assert_eq!(judged(checkpoint(9, 2, 3, 2, TIME), seen()), Ok(Contradicted::Fork));
    }

    #[test]
    fn a_smaller_state_that_was_signed_long_after_a_larger_one_is_a_rollback() {
        let seen = || checkpoint(8, 1, 3, 1, TIME);
        let shown = |time| checkpoint(7, 2, 3, 1, time);
        assert_eq!(judged(seen(), shown(TIME + ROLLBACK_SLACK_SECS + 1)), Ok(Contradicted::Rollback));
        // An old answer that arrives late says nothing; nor do the clocks of two services.
        for time in [0, TIME, TIME + ROLLBACK_SLACK_SECS] {
            assert_eq!(judged(seen(), shown(time)), Ok(Contradicted::ProofOwed { from: 7, to: 8 }));
        }
    }

    #[test]
    fn states_that_may_be_of_one_log_are_the_ledgers_to_connect() {
        let owed = Ok(Contradicted::ProofOwed { from: 8, to: 9 });
        assert_eq!(judged(checkpoint(8, 1, 3, 1, TIME), checkpoint(9, 2, 4, 2, TIME)), owed);
        assert_eq!(judged(checkpoint(8, 1, 3, 1, TIME), checkpoint(9, 2, 3, 1, TIME)), owed);
    }

    #[test]
    fn what_the_ledger_did_not_sign_accuses_nobody() {
        let (of, other) = ((8, 2, 3, 1, TIME), SigningKey::from_seed(&[2; 32]));
        let seen = || checkpoint(8, 1, 3, 1, TIME);
        let forged = signed_by(&other, Bytes32([9; 32]), of);
        assert_eq!(judged(seen(), forged.clone()), Err(ContradictionError::Signature));
        assert_eq!(judged(forged, seen()), Err(ContradictionError::Signature));
        let changed = Checkpoint { log_root: Bytes32([3; 32]), ..seen() };
        assert_eq!(judged(seen(), changed), Err(ContradictionError::Signature));
        let elsewhere = signed_by(&key(), Bytes32([8; 32]), of);
        assert_eq!(judged(seen(), elsewhere), Err(ContradictionError::TwoLedgers));
    }
}
