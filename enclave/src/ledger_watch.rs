//! Looks, all the time, whether the ledger is the one that its witnesses watch (protocol §4.12).
//!
//! Opening a tab asks that too. But a ledger can be put back, or a copy put in its place, while tabs are open: what is served under them
//! would be paid on what is nobody's ledger. Fails towards taking no work: nothing that was served is withdrawn, totals and settlements go
//! on being sent, and work is taken again once the ledger is found to be what it was.

use std::sync::{Arc, Mutex, PoisonError};

use credits::LedgerError;
use ledger_client::EvidenceSink;
use tokio::time::Instant;

use crate::limits::{LEDGER_LOOK_PAUSE, LEDGER_UNWITNESSED_MAX};
use crate::metrics::Failure;
use crate::state::Guardian;

/// Does not return.
pub async fn run(guardian: Arc<Guardian>) {
    if !guardian.ledger.is_watched() {
        return std::future::pending().await;
    }
    loop {
        let begun = Instant::now();
        guardian.work.ledger_trust.begin(begun);
        let looked = guardian.ledger.look_at_witnesses().await;
        if let Err(error) = &looked {
            guardian.work.metrics.failed(Failure::LedgerWitnesses);
            tracing::warn!(code = error.code(), "the ledger's state is not shown to be witnessed");
        }
        guardian.work.ledger_trust.found(begun, &looked);
        tokio::time::sleep(LEDGER_LOOK_PAUSE).await;
    }
}

/// Where evidence against the ledger goes: into the log, whole, so that the operator can show it (`cloister ledger evidence`).
#[must_use]
pub fn evidence() -> EvidenceSink {
    EvidenceSink(Arc::new(|contradiction| {
        // Both are public, and of nobody in particular.
        let evidence = serde_json::to_string(contradiction).unwrap_or_default();
        tracing::error!(%evidence, "the ledger contradicts what it signed before");
    }))
}

/// Whether what is shown as the ledger is taken for it. Without anybody who looks it always is.
#[derive(Debug, Default)]
pub struct LedgerTrust(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When the last good look was begun, or the first one.
    good: Option<Instant>,
    /// The last one found another ledger.
    other: bool,
}

impl LedgerTrust {
    /// A look begins; the first counts as good until it is known.
    fn begin(&self, now: Instant) {
        self.lock().good.get_or_insert(now);
    }

    /// A look found this. A time without good ones is no time to work, whatever keeps them from being good: who shows a copy can also show
    /// nothing.
    fn found(&self, begun: Instant, looked: &Result<(), LedgerError>) {
        let mut state = self.lock();
        match looked {
            Ok(()) => *state = State { good: Some(begun), other: false },
            Err(
                LedgerError::Fork
                | LedgerError::Rollback
                | LedgerError::CheckpointSignature
                | LedgerError::IdentityMismatch,
            ) => state.other = true,
            Err(_) => {}
        }
    }

    /// Whether work is taken.
    #[must_use]
    pub fn holds(&self, now: Instant) -> bool {
        let state = self.lock();
        !state.other && state.good.is_none_or(|good| now.saturating_duration_since(good) < LEDGER_UNWITNESSED_MAX)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_work_is_taken_for_a_ledger_that_is_not_shown_to_be_the_one() {
        let begun = Instant::now();
        let at = |secs| begun + Duration::from_secs(secs);
        let max = LEDGER_UNWITNESSED_MAX.as_secs();
        let trust = LedgerTrust::default();
        assert!(trust.holds(at(1000)), "nobody looks");
        trust.begin(at(0));
        trust.found(at(0), &Ok(()));
        trust.begin(at(5));
        // Whether it says nothing, says something else, or does not answer: also a look that does not end counts.
        for error in [LedgerError::Unwitnessed, LedgerError::Unavailable, LedgerError::AnswerMalformed] {
            trust.found(at(5), &Err(error));
            assert!(trust.holds(at(max - 1)) && !trust.holds(at(max)));
        }
        trust.found(at(max), &Ok(()));
        assert!(trust.holds(at(2 * max - 1)) && !trust.holds(at(2 * max)));
        for other in [LedgerError::Fork, LedgerError::Rollback, LedgerError::CheckpointSignature] {
            trust.found(at(max), &Ok(()));
            trust.found(at(max + 5), &Err(other));
            assert!(!trust.holds(at(max + 5)), "at once");
            trust.found(at(max + 10), &Err(LedgerError::Unavailable));
            assert!(!trust.holds(at(max + 10)), "what was found is not forgotten");
        }
        trust.found(at(max + 15), &Ok(()));
        assert!(trust.holds(at(max + 15)));
    }
}
