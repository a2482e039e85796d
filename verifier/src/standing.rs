//! What stands behind a node: the stake that answers for it, evidence that loses it, and ratings. `docs/protocol.md` §4.10, §4.11.
//!
//! Decides: whether enough is at stake for a node, and whether what a node billed is what it charged. Trusts on entry: the wallet's own
//! replay of the ledger, and bills whose signature was verified. Holds on exit of `Payer::compare_bills`: each file of evidence is
//! what a ledger takes a stake for.

use std::path::{Path, PathBuf};

use credits::claim::PayeeKey;
use credits::fault::{Fault, SlashRequest};
use credits::ledger::{LOG_PAGE_ENTRIES_MAX, Ledger, LedgerError};
use credits::settlement::Settlement;
use credits::stake::{StakeAct, StakeRequest};
use credits::wallet::{HistoryItem, SpendItem, SpendProgress};
use credits::{Bytes32, Credits, Evidence, LogEntry, Nullifier, Said, SlashEntry, StakeEntry};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::files::{FileError, read_capped, write_private};
use crate::payment::{Payer, PaymentError};
use crate::session::Session;
use crate::wallet_store::{StoreError, WalletStore};

/// How long after a tab's end, and the ledger's grace, what is wrong with it can be shown: what answers for a node must last as long.
pub const COMPLAINT_SECS: u64 = 24 * 3600;
/// Longest bill or evidence that is read.
pub const EVIDENCE_BYTES_MAX: u64 = 16 << 10;

/// A node's fault, as it is kept in a file until somebody shows it to the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptEvidence {
    /// Whose stake answers for it.
    pub payee: Bytes32,
    /// Who said it.
    pub settle_key: Bytes32,
    /// What was said.
    pub evidence: Evidence,
}

impl Payer {
    /// Pays only nodes for which so much is at stake until their tab is over and what is wrong with it can have been shown.
    pub fn require_stake(&mut self, least: Credits) {
        self.stake_min = least;
    }

    /// Whether the wallet holds no evidence against the node of a session.
    pub(crate) fn require_unblamed(&self, session: &Session) -> Result<(), PaymentError> {
        let settle_key = session.settle_key();
        let against = |file: &PathBuf| read::<KeptEvidence>(file).is_some_and(|kept| kept.settle_key == settle_key);
        let found = kept_evidence(self.store()).into_iter().find(against);
        found.map_or(Ok(()), |file| Err(PaymentError::Blamed { file }))
    }

    /// Whether enough is at stake for a node, as the wallet has replayed the log.
    pub(crate) fn require_staked(
        &self,
        session: &Session,
        not_after: u64,
        grace_secs: u64,
    ) -> Result<(), PaymentError> {
        let context = session.spend_context(not_after);
        let until = not_after.saturating_add(grace_secs).saturating_add(COMPLAINT_SECS);
        let at_stake = self.store().wallet().at_stake(&context.payee, &context.settle_key, until);
        if at_stake >= self.stake_min {
            return Ok(());
        }
        Err(PaymentError::Stake { needed: self.stake_min, at_stake, payee: context.payee })
    }

    /// Does something with a payee's stake.
    ///
    /// # Errors
    /// When the ledger refuses or does not answer.
    pub async fn stake(&mut self, key: &PayeeKey, act: StakeAct) -> Result<StakeEntry, PaymentError> {
        // By what the log proves: a number ahead of it would be good for somebody else to send later.
        self.sync().await?;
        let acts = self.store().wallet().bond(&key.public()).acts;
        let request = StakeRequest::sign(key, &self.store().ledger().info.ledger_id, acts, act);
        Ok(self.ledger().stake(request).await.map_err(PaymentError::Ledger)?.entry)
    }

    /// Shows a fault to the ledger. It is judged here first.
    ///
    /// # Errors
    /// When it shows none, nothing is at stake, or the ledger does not answer.
    pub async fn accuse(&self, kept: KeptEvidence, reporter: Bytes32) -> Result<(Fault, SlashEntry), PaymentError> {
        let KeptEvidence { payee, settle_key, evidence } = kept;
        let ledger_id = self.store().ledger().info.ledger_id;
        let fault = evidence.verify(&ledger_id, &settle_key).map_err(PaymentError::Ledger)?;
        let request = SlashRequest { payee, settle_key, evidence, reporter };
        Ok((fault, self.ledger().slash(request).await.map_err(PaymentError::Ledger)?.entry))
    }

    /// Rates a tab of this wallet that was charged.
    ///
    /// # Errors
    /// When there is no such tab, or the ledger refuses or does not answer.
    pub async fn rate(&mut self, tab: Nullifier, score: u8) -> Result<(), PaymentError> {
        self.sync().await?;
        let request = self.store().wallet().rate(tab, score);
        let request = request.map_err(|error| PaymentError::Store(StoreError::Wallet(error)))?;
        self.ledger().rate(request).await.map_err(PaymentError::Ledger)?;
        self.sync().await?;
        Ok(())
    }

    /// Keeps what a node signed that it charged for a tab, until the log says what was. A bill that cannot be kept costs evidence and no
    /// credits. If there is another of the same tab, the two are evidence.
    pub(crate) fn keep_bill(&mut self, settlement: &Settlement, signature: &str) {
        let Ok(signature) = signature.parse() else { return };
        let file = self.store().bills_dir().join(format!("{}.json", settlement.nullifier));
        let bill = Said::Bill { settlement: Box::new(settlement.clone()), signature };
        match read::<Said>(&file) {
            Some(first) if first == bill => {}
            Some(first) => drop(self.keep_evidence(&settlement.nullifier, Evidence { first, second: bill })),
            None => drop(write(&file, &bill)),
        }
    }

    /// Compares the bills that are kept with what the log says of tabs that have ended. A tab that was charged more than billed becomes
    /// evidence; the bill of any other is forgotten. What cannot be found out now is tried again after the next replay.
    pub(crate) async fn compare_bills(&mut self) {
        // No directory, no bills.
        let Ok(bills) = std::fs::read_dir(self.store().bills_dir()) else { return };
        for file in bills.flatten().map(|entry| entry.path()) {
            let Some(bill @ Said::Bill { .. }) = read(&file) else { continue };
            let Said::Bill { settlement, .. } = &bill else { continue };
            let nullifier = settlement.nullifier;
            let done = match self.item(&nullifier).map(ended) {
                // The history has forgotten it: nothing can be said about it any more.
                None => true,
                Some(None) => false,
                Some(Some(charge)) if charge <= settlement.charge => true,
                Some(Some(_)) => match self.claimed(&nullifier, settlement.charge).await {
                    Ok(Some(claimed)) => self.keep_evidence(&nullifier, Evidence { first: bill, second: claimed }),
                    Ok(None) | Err(_) => false,
                },
            };
            if done {
                // If it stays it is compared again.
                let _gone_already = std::fs::remove_file(&file);
            }
        }
    }

    /// Writes evidence of a tab's guardian into a file, if it is any; whether it is there.
    fn keep_evidence(&self, nullifier: &Nullifier, evidence: Evidence) -> bool {
        let Some(item) = self.item(nullifier) else { return false };
        let (payee, settle_key) = (item.context.payee, item.context.settle_key);
        // The ledger that the log came from may have changed what the guardian signed.
        if evidence.verify(&self.store().ledger().info.ledger_id, &settle_key).is_err() {
            return false;
        }
        let file = self.store().evidence_dir().join(format!("{nullifier}.json"));
        write(&file, &KeptEvidence { payee, settle_key, evidence }).is_ok()
    }

    /// What the guardian signed for a spend in the log that is above an amount.
    async fn claimed(&self, nullifier: &Nullifier, above: Credits) -> Result<Option<Said>, PaymentError> {
        let mut from = 0;
        // The wallet's replay told of it, so it is no further on.
        while from < self.store().wallet().next_entry() {
            let page = self.ledger().log(from, LOG_PAGE_ENTRIES_MAX).await.map_err(PaymentError::Ledger)?;
            if let Some(said) = page.entries.iter().find_map(|entry| said_above(entry, nullifier, above)) {
                return Ok(Some(said));
            }
            let read =
                u64::try_from(page.entries.len()).map_err(|_| PaymentError::Ledger(LedgerError::AnswerMismatch))?;
            from = from.saturating_add(read);
            if read == 0 {
                break;
            }
        }
        Ok(None)
    }

    fn item(&self, nullifier: &Nullifier) -> Option<&SpendItem> {
        self.store().wallet().history().iter().rev().find_map(|item| match item {
            HistoryItem::Spend(item) if item.nullifier == *nullifier => Some(item),
            _ => None,
        })
    }
}

/// What a spend that has ended was charged.
fn ended(item: &SpendItem) -> Option<Credits> {
    match item.progress {
        SpendProgress::Settled | SpendProgress::Voided => item.charge,
        SpendProgress::Pending | SpendProgress::Reserved | SpendProgress::Abandoned => None,
    }
}

/// What the guardian signed in this entry, if it is of the spend and above the amount.
fn said_above(entry: &LogEntry, nullifier: &Nullifier, above: Credits) -> Option<Said> {
    match entry {
        LogEntry::Settle(entry) if entry.nullifier == *nullifier && entry.charge > above => {
            let (nullifier, charge, signature) = (entry.nullifier, entry.charge, entry.signature?);
            Some(Said::Charge { nullifier, charge, signature })
        }
        LogEntry::Journal(entry) if entry.nullifier == *nullifier && entry.total > above => {
            Some(Said::Total { nullifier: entry.nullifier, total: entry.total, signature: entry.signature })
        }
        _ => None,
    }
}

/// The files of evidence that a wallet holds, until somebody takes them away.
#[must_use]
pub fn kept_evidence(store: &WalletStore) -> Vec<PathBuf> {
    // No directory, no evidence.
    let files = std::fs::read_dir(store.evidence_dir()).into_iter().flatten().flatten();
    let mut files: Vec<_> =
        files.map(|entry| entry.path()).filter(|file| read::<KeptEvidence>(file).is_some()).collect();
    files.sort();
    files
}

/// What is kept in a file, if it is what is asked for.
fn read<T: DeserializeOwned>(file: &Path) -> Option<T> {
    serde_json::from_slice(&read_capped(file, EVIDENCE_BYTES_MAX).ok()?).ok()
}

fn write<T: Serialize>(file: &Path, value: &T) -> Result<(), FileError> {
    // These have no maps and no floats, which are all that JSON cannot write.
    write_private(file, &serde_json::to_vec_pretty(value).unwrap_or_default())
}
