//! The newest checkpoint seen, and the rule that every other one lies on its log.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use credits::merkle::verify_consistency;
use credits::{Bytes32, Checkpoint, Contradiction, LedgerError};

use crate::EvidenceSink;

#[derive(Debug)]
pub(crate) struct History {
    ledger_key: Bytes32,
    evidence: Option<EvidenceSink>,
    newest: Mutex<Option<Checkpoint>>,
    /// Held while a checkpoint is compared with the newest, which may take a request; answers are compared one by one.
    turn: tokio::sync::Mutex<()>,
}

impl History {
    pub(crate) fn new(ledger_key: Bytes32, evidence: Option<EvidenceSink>) -> Self {
        Self { ledger_key, evidence, newest: Mutex::new(None), turn: tokio::sync::Mutex::new(()) }
    }

    pub(crate) fn newest(&self) -> Option<Checkpoint> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Size of the newest checkpoint's log.
    pub(crate) fn size(&self) -> u64 {
        self.newest().map_or(0, |newest| newest.log_size)
    }

    /// Accepts a checkpoint whose signature was verified, when it and the newest lie on one log; keeps the larger.
    ///
    /// It may be smaller than the newest: answers to requests sent side by side arrive in any order.
    pub(crate) async fn extend<F, P>(&self, checkpoint: &Checkpoint, consistency: F) -> Result<(), LedgerError>
    where
        F: FnOnce(u64, u64) -> P,
        P: Future<Output = Result<Vec<Bytes32>, LedgerError>>,
    {
        let _turn = self.turn.lock().await;
        let Some(newest) = self.newest() else {
            self.set(checkpoint);
            return Ok(());
        };
        let compared = self.compare(&newest, checkpoint, consistency).await;
        if let Err(LedgerError::Fork | LedgerError::Rollback) = compared {
            self.contradicts(checkpoint);
        }
        compared
    }

    /// A checkpoint whose signature was verified is not what the newest one lets expect.
    pub(crate) fn contradicts(&self, shown: &Checkpoint) {
        if let (Some(EvidenceSink(sink)), Some(seen)) = (&self.evidence, self.newest()) {
            sink(&Contradiction { ledger_key: self.ledger_key, seen, shown: shown.clone() });
        }
    }

    async fn compare<F, P>(
        &self,
        newest: &Checkpoint,
        checkpoint: &Checkpoint,
        consistency: F,
    ) -> Result<(), LedgerError>
    where
        F: FnOnce(u64, u64) -> P,
        P: Future<Output = Result<Vec<Bytes32>, LedgerError>>,
    {
        let is_newer = checkpoint.log_size > newest.log_size;
        let (old, new) = if is_newer { (newest, checkpoint) } else { (checkpoint, newest) };
        let needs_proof = old.log_size != 0 && old.log_size != new.log_size;
        let proof = if needs_proof { consistency(old.log_size, new.log_size).await? } else { Vec::new() };
        verify_consistency(old.log_size, new.log_size, &proof, &old.log_root, &new.log_root)
            .map_err(|_| LedgerError::Fork)?;
        verify_notes(old, new)?;
        if is_newer {
            self.set(checkpoint);
        }
        Ok(())
    }

    fn set(&self, checkpoint: &Checkpoint) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint.clone());
    }
}

/// The log fixes the notes: one log has one note tree, and it only grows. That its root is right, wallets see when they
/// replay the log.
fn verify_notes(old: &Checkpoint, new: &Checkpoint) -> Result<(), LedgerError> {
    let notes_agree = if old.note_count == new.note_count {
        old.note_root == new.note_root
    } else {
        old.log_size < new.log_size && old.note_count < new.note_count
    };
    if notes_agree { Ok(()) } else { Err(LedgerError::Fork) }
}
