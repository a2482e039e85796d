//! Looks, all the time, whether the ledger is the one that its witnesses watch (protocol §4.12).
//!
//! Opening a tab asks that too. But a ledger can be put back, or a copy put in its place, while tabs are open: what is served under them
//! would be paid on what is nobody's ledger. Fails towards taking no work: nothing that was served is withdrawn, totals and settlements go
//! on being sent, and work is taken again once the ledger is found to be what it was.

use std::sync::Arc;

use credits::LedgerError;
use tokio::time::Instant;

use crate::limits::{LEDGER_LOOK_PAUSE, LEDGER_UNWITNESSED_MAX};
use crate::metrics::Failure;
use crate::state::Guardian;

/// Does not return.
pub async fn run(guardian: Arc<Guardian>) {
    if guardian.config.ledger.quorum().is_none() {
        return std::future::pending().await;
    }
    let mut doubt = Doubt::default();
    loop {
        let looked = guardian.ledger.check_witnesses().await;
        if let Err(error) = &looked {
            guardian.work.metrics.failed(Failure::LedgerWitnesses);
            tracing::warn!(code = error.code(), "the ledger's state is not shown to be witnessed");
        }
        guardian.doubt_ledger(doubt.after(&looked, Instant::now()));
        tokio::time::sleep(LEDGER_LOOK_PAUSE).await;
    }
}

/// Since when it has not been shown.
#[derive(Default)]
struct Doubt(Option<Instant>);

impl Doubt {
    /// Whether work is refused after this look. A ledger that cannot be reached is no other ledger; one that shows another log is at once.
    fn after(&mut self, looked: &Result<(), LedgerError>, now: Instant) -> bool {
        match looked {
            Ok(()) => {
                self.0 = None;
                false
            }
            Err(LedgerError::Unwitnessed) => now.duration_since(*self.0.get_or_insert(now)) >= LEDGER_UNWITNESSED_MAX,
            Err(LedgerError::Unavailable) => {
                self.0.is_some_and(|since| now.duration_since(since) >= LEDGER_UNWITNESSED_MAX)
            }
            Err(_) => {
                self.0 = Some(now.checked_sub(LEDGER_UNWITNESSED_MAX).unwrap_or(now));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn doubt_begins_after_a_while_or_at_once_and_ends_when_the_ledger_is_found() {
        let begun = Instant::now();
        let mut doubt = Doubt::default();
        let mut after = |looked, secs| doubt.after(&looked, begun + Duration::from_secs(secs));
        let unwitnessed = || Err(LedgerError::Unwitnessed);
        assert!(!after(Ok(()), 0));
        assert!(!after(Err(LedgerError::Unavailable), 1000), "who does not answer is nobody else");
        assert!(!after(unwitnessed(), 2000));
        assert!(!after(unwitnessed(), 2014));
        assert!(after(unwitnessed(), 2015));
        assert!(after(Err(LedgerError::Unavailable), 2016), "not answering takes no doubt away");
        assert!(!after(Ok(()), 2040));
        assert!(!after(unwitnessed(), 2050), "it begins anew");
        for other in [LedgerError::Fork, LedgerError::Rollback, LedgerError::CheckpointSignature] {
            assert!(!after(Ok(()), 3000));
            assert!(after(Err(other), 3001));
            assert!(after(unwitnessed(), 3002), "what was found is not forgotten");
        }
    }
}
