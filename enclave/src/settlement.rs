//! Running totals and settlements.
//!
//! A moment after each request the tab's running total is journalled, signed, at the ledger. Closing a tab, or its end, settles it: the
//! ledger appends the successor note with the refund, and the client gets a signed [`Settlement`]. If this process dies,
//! the ledger finalises the tab by itself at the last journalled total (decision 7).

use std::sync::Arc;
use std::time::Duration;

use attestation::Signed;
use credits::settlement::SETTLEMENT_VERSION;
use credits::{Bytes32, Credits, JournalRequest, Ledger, LedgerError, SettleRequest, Settlement, SignatureBytes};
use http::StatusCode;

use crate::limits::JOURNAL_PAUSE;
use crate::metrics::Failure;
use crate::problem::Problem;
use crate::state::Guardian;
use crate::tabs::{Closing, Tab};

/// Has a total journalled once whoever took its receipt has had time to read it: what a dying node wrote last may never be read, and
/// then nothing must be charged for it. What becomes due meanwhile waits as long, and is journalled together.
pub fn journal_soon(guardian: &Arc<Guardian>, tab: &Arc<Tab>, total: Credits) {
    if !tab.is_due(total) {
        return;
    }
    let (guardian, tab) = (Arc::clone(guardian), Arc::clone(tab));
    tokio::spawn(async move {
        let mut journalled = Credits::ZERO;
        while let Some(total) = tab.next_due(journalled) {
            tokio::time::sleep(JOURNAL_PAUSE).await;
            journal(&guardian, &tab, total).await;
            journalled = total;
        }
    });
}

/// Journals `total`, unless a later one was journalled meanwhile. A ledger that cannot be reached costs the operator, not the
/// client: the next total or the settlement carries it. One that says the spend is finalised has ended it, by a clock that is ahead
/// of ours: what is served from here on could not be charged, so the tab ends.
pub async fn journal(guardian: &Guardian, tab: &Tab, total: Credits) {
    let mut last = tab.ledger_turn.lock().await;
    if total <= last.taken || tab.settlement().is_some() {
        return;
    }
    let message = credits::journal_message(&guardian.config.ledger.ledger_id, &tab.id, total);
    last.signed = last.signed.max(total);
    let signature = SignatureBytes(guardian.keys.receipt.sign(&message));
    match guardian.ledger.journal(JournalRequest { nullifier: tab.id, total, signature }).await {
        Ok(()) => last.taken = total,
        Err(error) => {
            guardian.work.metrics.failed(Failure::Journal);
            tracing::warn!(code = error.code(), "running total not journalled");
            if has_ended(&error) {
                tab.end();
            }
        }
    }
}

/// Whether a refusal says that nothing more can be charged. What the client makes of an answer says nothing about the spend.
const fn has_ended(error: &LedgerError) -> bool {
    matches!(error, LedgerError::JournalFinalised)
}

/// Settles a tab. Repeats return the same settlement.
pub async fn settle(guardian: &Guardian, tab: &Tab) -> Result<Signed<Settlement>, Problem> {
    match tab.begin_closing() {
        Closing::Settled(settlement) => return Ok(*settlement),
        Closing::Busy => return Err(busy()),
        Closing::Ready => {}
    }
    let turn = tab.ledger_turn.lock().await;
    if let Some(settlement) = tab.settlement() {
        return Ok(settlement);
    }
    let charge = tab.charged();
    if charge < turn.signed {
        // A fault of this program. The ledger ends the tab at the last total that it took.
        tracing::error!("a charge below a total that was signed is not signed");
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the tab could not be settled"));
    }
    let ledger_id = guardian.config.ledger.ledger_id;
    let message = credits::settle_message(&ledger_id, &tab.id, charge);
    let signature = SignatureBytes(guardian.keys.receipt.sign(&message));
    let settled = guardian.ledger.settle(SettleRequest { nullifier: tab.id, charge, signature }).await;
    let settled = settled.map_err(|error| {
        // It may have been made though nobody answered: the tab stays closed to calls, and closing it again asks for the same.
        guardian.work.metrics.failed(Failure::Settlement);
        Problem::from(error)
    })?;
    let statement = Settlement {
        version: SETTLEMENT_VERSION.to_owned(),
        ledger_id,
        nullifier: tab.id,
        reserve: tab.reserve,
        charge: settled.charge,
        refund: settled.refund,
        leaf: settled.leaf,
        leaf_index: settled.leaf_index,
        entry_index: settled.entry_index,
        requests: tab.requests(),
        keyset_digest: Bytes32(guardian.keys.keyset_digest.0),
    };
    let signed = Signed::sign(SETTLEMENT_VERSION, statement, &guardian.keys.receipt).map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the settlement could not be signed")
    })?;
    tab.closed(signed.clone());
    Ok(signed)
}

fn busy() -> Problem {
    let text = "requests are still being served under this tab";
    Problem { retry_after: Some(1), ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "tab.busy", text) }
}

/// Forgets answers that were held long enough. Apart from settling, which waits for the ledger.
pub async fn replay_loop(guardian: Arc<Guardian>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for tab in guardian.tabs() {
            tab.forget_replays(std::time::Instant::now());
        }
    }
}

/// Ends tabs at their time and forgets settled ones. Runs for the life of the process.
pub async fn expiry_loop(guardian: Arc<Guardian>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = guardian.clock.now().0;
        for tab in guardian.tabs() {
            if now < tab.not_after {
                continue;
            }
            tab.cut.send_replace(true);
            if tab.settlement().is_some() {
                guardian.remove_tab(&tab.id);
            } else if let Err(problem) = settle(&guardian, &tab).await
                && problem.code != "tab.busy"
            {
                tracing::warn!(code = problem.code, "expired tab not settled");
                // The ledger has finalised it without us; there is nothing left to do here.
                if problem.retry_after.is_none() {
                    guardian.remove_tab(&tab.id);
                }
            }
        }
    }
}

/// Settles every open tab, for a graceful stop.
pub async fn settle_all(guardian: &Guardian) {
    for tab in guardian.tabs() {
        if let Err(problem) = settle(guardian, &tab).await {
            tracing::warn!(code = problem.code, "tab not settled at stop; the ledger will finalise it");
        }
    }
}
