//! Witnesses of the ledger's log: that the state which is shown continues the newest one that they saw (protocol §4.12).
//!
//! Who remembers nothing, such as a guardian that has just started, would take an old copy of the ledger for the ledger. Witnesses remember.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attestation::Clock;
use credits::merkle::verify_consistency;
use credits::{Bytes32, CheckpointAnswer, LedgerError};
use tlog::ledger_log::{ledger_log_key, witnessed_ledger_head};
use tlog::note::NOTE_BYTES_MAX;
use tlog::{Checkpoint, Quorum};
use tokio::time::Instant;

use crate::Pins;
use crate::transport::{ANSWER_BYTES_MAX, Transport};

/// How long what witnesses said is gone by before they are asked about again.
pub const WITNESSED_FOR: Duration = Duration::from_secs(15);

/// Whose word is taken that a state of the ledger is its newest.
#[derive(Clone)]
pub struct Watch {
    /// The witnesses.
    pub quorum: Quorum,
    /// Their cosignatures are old or new by this clock.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("quorum", &self.quorum).finish_non_exhaustive()
    }
}

/// A watch that is kept.
#[derive(Debug)]
pub(crate) struct Watching {
    watch: Watch,
    /// When it was last begun to find out whether the ledger's state is the one that witnesses saw, and what came of it.
    last: Mutex<Option<(Instant, Result<(), LedgerError>)>>,
    /// Held while that is found out.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Watching {
    pub(crate) fn new(watch: Watch) -> Self {
        Self { watch, last: Mutex::new(None), turn: tokio::sync::Mutex::new(()) }
    }

    /// What was found out and holds for who asks since then; nothing if he has to find out. Those who waited while another found out that
    /// it does not hold are told so, and do not wait each for himself.
    pub(crate) fn known(&self, since: Instant) -> Option<Result<(), LedgerError>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((begun, Ok(()))) if begun.elapsed() < WITNESSED_FOR => Some(Ok(())),
            Some((begun, Err(error))) if *begun >= since => Some(Err(error.clone())),
            _ => None,
        }
    }

    pub(crate) fn found(&self, begun: Instant, outcome: Result<(), LedgerError>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((begun, outcome));
    }

    /// The ledger's present checkpoint, of which only this is verified: that its log begins with the head that witnesses saw last.
    pub(crate) async fn ask(&self, transport: &Transport, pins: &Pins) -> Result<CheckpointAnswer, LedgerError> {
        let note = transport.get_bytes("/v1/witnessed", NOTE_BYTES_MAX).await.map_err(|error| match error {
            LedgerError::NotFound => LedgerError::Unwitnessed,
            other => other,
        })?;
        let head = self.head(&note, &pins.ledger_id, &pins.ledger_key)?;
        let path = format!("/v1/checkpoint?from={}", head.size);
        let answer: CheckpointAnswer = transport.get(&path, ANSWER_BYTES_MAX).await.map_err(|error| match error {
            // The ledger signed that head.
            LedgerError::NotFound => LedgerError::Rollback,
            other => other,
        })?;
        let (size, root) = (answer.checkpoint.log_size, &answer.checkpoint.log_root);
        verify_consistency(head.size, size, &answer.consistency, &head.root, root).map_err(|_| LedgerError::Fork)?;
        Ok(answer)
    }

    fn head(&self, note: &[u8], ledger_id: &Bytes32, ledger_key: &Bytes32) -> Result<Checkpoint, LedgerError> {
        let note = std::str::from_utf8(note).map_err(|_| LedgerError::AnswerMalformed)?;
        let key = ledger_log_key(ledger_id, ledger_key).map_err(|_| LedgerError::IdentityMismatch)?;
        witnessed_ledger_head(note, &key, &self.watch.quorum, self.watch.clock.now())
            .map_err(|_| LedgerError::Unwitnessed)
    }
}
