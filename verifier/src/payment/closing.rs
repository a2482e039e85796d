//! Closing tabs: what was charged is billed, kept until the log says the same, and the refund looked for.

use std::time::Duration;

use attestation::Signed;
use credits::settlement::Settlement;
use credits::wallet::{HistoryItem, SpendItem, SpendProgress};

use super::{ClosedTab, Payer, PaymentError};
use crate::fetch::NodeError;
use crate::session::{Session, SessionError};
use crate::tab::Tab;

/// How often a tab is closed again at a node that is still busy with it, and the pause between.
const CLOSE_TRIES: u32 = 10;
const CLOSE_PAUSE_MS: u64 = 500;
/// How often one that does not know it is asked.
const UNKNOWN_TRIES: u32 = 4;
/// How often, and how long, a refund is looked for after a settlement.
const REFUND_TRIES: u32 = 20;
const REFUND_PAUSE_MS: u64 = 250;

impl Payer {
    /// Closes a tab and waits a moment for the refund to show in the ledger.
    ///
    /// # Errors
    /// When the node does not close it, or its settlement disagrees with the receipts.
    pub async fn close_tab(&mut self, session: &Session, tab: &Tab) -> Result<ClosedTab, PaymentError> {
        let Signed { statement: settlement, signature, .. } =
            close_patiently(session, tab).await.map_err(PaymentError::Close)?;
        // Before anything is made of it: a bill that contradicts the receipts is half of the evidence.
        self.keep_bill(&settlement, &signature);
        let agrees = tab.check_settlement(&settlement);
        agrees.map_err(|error| PaymentError::Close(SessionError::Settlement(error)))?;
        let mut refund_visible = false;
        for attempt in 0..REFUND_TRIES {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(REFUND_PAUSE_MS)).await;
            }
            // The settlement stands whatever the ledger answers now; the refund is found by any later sync.
            if self.sync().await.is_ok() && self.store.wallet().next_entry() > settlement.entry_index {
                refund_visible = true;
                break;
            }
        }
        Ok(ClosedTab { settlement, refund_visible })
    }

    /// Closes tabs that an earlier process left open at this node boot, so that their refunds come back now and not when they end.
    /// Returns how many were closed. The wallet is locked, so no other process uses them.
    ///
    /// # Errors
    /// When the ledger cannot be read. A tab that the node does not close is left to the ledger.
    pub async fn close_leftovers(&mut self, session: &Session) -> Result<usize, PaymentError> {
        self.sync().await?;
        let of_this_boot = |item: &&SpendItem| {
            item.progress == SpendProgress::Reserved && item.context.keyset_digest.0 == session.keyset_digest().0
        };
        let wallet = self.store.wallet();
        let spends = wallet.history().iter().filter_map(|item| match item {
            HistoryItem::Spend(spend) => Some(spend),
            HistoryItem::Deposit(_) | HistoryItem::Claim(_) | HistoryItem::Merge(_) => None,
        });
        let tabs: Vec<Tab> = spends
            .filter(of_this_boot)
            .map(|item| {
                Tab::found(
                    item.nullifier,
                    wallet.tab_key(item.nullifier),
                    item.c_max,
                    item.context.not_after,
                    session.keyset_digest(),
                )
            })
            .collect();
        let mut closed = 0;
        for tab in tabs {
            closed += usize::from(self.close_tab(session, &tab).await.is_ok());
        }
        Ok(closed)
    }
}

/// A node that is still finishing a request, or waits for its ledger, says so; it is asked again. So is one that does not know the tab, a few
/// times: it may still be opening it for a process that was killed.
async fn close_patiently(session: &Session, tab: &Tab) -> Result<Signed<Settlement>, SessionError> {
    let mut attempt = 1;
    loop {
        match session.bill(tab).await {
            Err(SessionError::Node(NodeError::Refused { status, code, .. }))
                if matches!(status.as_u16(), 429 | 503) && attempt < CLOSE_TRIES
                    || code == "tab.unknown" && attempt < UNKNOWN_TRIES =>
            {
                attempt += 1;
                tokio::time::sleep(Duration::from_millis(CLOSE_PAUSE_MS)).await;
            }
            other => return other,
        }
    }
}
