//! The log's head for witnesses, and what they cosigned of it (protocol §4.12). Who has it cosigned stands outside: this crate asks nobody.

use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Bytes;
use credits::{Bytes32, LedgerError};
use tlog::{Checkpoint, LogFault, LogKey};

use crate::engine::StoredLedger;
use crate::identity::LedgerIdentity;
use crate::storage::{Backend, Heads};

/// The newest head that witnesses cosigned, for whoever asks.
#[derive(Clone, Debug, Default)]
pub struct WitnessedHead(Arc<RwLock<Option<Bytes>>>);

impl WitnessedHead {
    /// From now on this note is answered.
    pub fn publish(&self, note: String) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(note.into());
    }

    pub(crate) fn note(&self) -> Option<Bytes> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A head of the log as a note that the ledger signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// Number of entries.
    pub size: u64,
    /// RFC 9162 root over them.
    pub root: Bytes32,
    /// The signed note (C2SP tlog-checkpoint).
    pub note: String,
}

impl LedgerIdentity {
    /// Name and key by which witnesses know the log.
    ///
    /// # Errors
    /// None for any ledger; the signature is that of [`tlog::ledger_log::ledger_log_key`].
    pub fn log_key(&self) -> Result<LogKey, LogFault> {
        tlog::ledger_log::ledger_log_key(&self.info().ledger_id, &self.info().ledger_key)
    }

    fn log_head(&self, heads: &Heads) -> Result<LogHead, LogFault> {
        let Heads { log_size: size, log_root: root, .. } = *heads;
        let head = Checkpoint { size, root };
        let note = tlog::ledger_log::ledger_head_note(&head, &self.log_key()?, |text| self.sign_note_text(text).0);
        Ok(LogHead { size, root, note })
    }
}

impl<B: Backend> StoredLedger<B> {
    /// The log as it stands on disk, for witnesses.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when the store fails.
    pub async fn log_head(&self) -> Result<LogHead, LedgerError> {
        let heads = self.heads().await?;
        self.identity().log_head(&heads).map_err(|_| LedgerError::Unavailable)
    }
}
