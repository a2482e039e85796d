//! Merging a wallet's notes into fewer. `docs/protocol.md` §4.9.
//!
//! Decides: when notes are merged (only when asked to: a merge tells everybody who reads the log that two notes are one wallet's).
//! Trusts on entry: the wallet's own replay of the ledger. Holds on exit: every merge was on disk before it was sent. One that is
//! cut off or refused is sent again by the next merge: given up instead, its notes would be spent apart, which tells a ledger that
//! saw it which two spends are one wallet's.

use std::sync::Arc;

use credits::ledger::{Ledger, LedgerError};
use credits::merge::prove_merge;
use credits::params::MergeProvingParams;
use credits::wallet::{PreparedMerge, WalletError};
use credits::{Credits, SpendProof};
use rand_core::OsRng;

use crate::payment::{Payer, PaymentError, Stage};
use crate::proving_keys;
use crate::wallet_store::StoreError;

impl Payer {
    /// Finishes merges that were cut off, then merges notes until one is worth `needed`, or without an amount until there is one
    /// note. Answers how many merges that took.
    ///
    /// # Errors
    /// When all notes together are worth less, the ledger makes no merges, or it refuses or does not answer: what was merged until
    /// then stays merged.
    pub async fn merge(
        &mut self,
        needed: Option<Credits>,
        on_stage: &(dyn Fn(Stage, u32) + Sync),
    ) -> Result<u32, PaymentError> {
        on_stage(Stage::Sync, 0);
        let info = self.ledger_info().await?;
        self.sync().await?;
        let vk_digest = info.merge_vk_digest().ok_or(StoreError::Wallet(WalletError::MergeNotOffered));
        let vk_digest = vk_digest.map_err(PaymentError::Store)?;
        let mut params = None;
        let mut merges = 0;
        while let Some((prepared, is_new)) = self.next_merge(needed)? {
            let params = match &params {
                Some(params) => Arc::clone(params),
                None => {
                    on_stage(Stage::ProvingKey, merges);
                    let key = proving_keys::load(self.store(), vk_digest, self.ledger().merge_proving_key()).await;
                    Arc::clone(params.insert(self.or_give_up(&prepared, is_new, key)?))
                }
            };
            on_stage(Stage::Prove, merges);
            let proof = prove(params, &prepared).await;
            let proof = self.or_give_up(&prepared, is_new, proof)?;
            on_stage(Stage::Open, merges);
            self.send_merge(&prepared, proof).await?;
            merges = merges.saturating_add(1);
        }
        Ok(merges)
    }

    async fn send_merge(&mut self, prepared: &PreparedMerge, proof: SpendProof) -> Result<(), PaymentError> {
        let [first, _] = prepared.public.nullifiers;
        let merged = self.ledger().merge(prepared.request(proof)).await;
        // After a conflict the log tells what another device did with the notes. Whatever else is refused was read: it stays as it is,
        // to be sent again under a newer root.
        let synced = self.sync().await;
        merged.map_err(PaymentError::Ledger)?;
        synced?;
        if self.store().wallet().merging().any(|merging| merging == first) {
            // The log was replayed past the merge: the ledger acknowledged what it does not show.
            return Err(PaymentError::Ledger(LedgerError::AnswerMismatch));
        }
        Ok(())
    }

    /// A merge that was cut off, or a new one, and whether it is new.
    fn next_merge(&mut self, needed: Option<Credits>) -> Result<Option<(PreparedMerge, bool)>, PaymentError> {
        let cut_off = self.store().wallet().merging().next();
        let (next, is_new) = match cut_off {
            Some(first) => (self.store().wallet().prepared_merge(first).map(Some).map_err(StoreError::Wallet), false),
            None => (self.store_mut().update(|wallet| wallet.prepare_merge(needed)), true),
        };
        Ok(next.map_err(PaymentError::Store)?.map(|prepared| (prepared, is_new)))
    }

    /// Frees the notes of merges that were cut off. Answers how many there were.
    ///
    /// # Errors
    /// When the wallet cannot be stored.
    pub fn give_up_merges(&mut self) -> Result<u32, PaymentError> {
        let cut_off: Vec<_> = self.store().wallet().merging().collect();
        let count = u32::try_from(cut_off.len()).unwrap_or(u32::MAX);
        let abandoned = self.store_mut().update(|wallet| {
            cut_off.into_iter().for_each(|first| wallet.abandon_merge(first));
            Ok(())
        });
        abandoned.map_err(PaymentError::Store)?;
        Ok(count)
    }

    /// A new merge that could not be sent has told nobody anything; one that was cut off may have.
    fn or_give_up<T>(
        &mut self,
        prepared: &PreparedMerge,
        is_new: bool,
        result: Result<T, PaymentError>,
    ) -> Result<T, PaymentError> {
        if result.is_err() && is_new {
            let [first, _] = prepared.public.nullifiers;
            let abandoned = self.store_mut().update(|wallet| {
                wallet.abandon_merge(first);
                Ok(())
            });
            abandoned.map_err(PaymentError::Store)?;
        }
        result
    }
}

/// Proves a merge on a thread that may block.
async fn prove(params: Arc<MergeProvingParams>, prepared: &PreparedMerge) -> Result<SpendProof, PaymentError> {
    let (public, witness) = (prepared.public, prepared.witness.clone());
    let failed = |detail: String| PaymentError::Prove { detail };
    tokio::task::spawn_blocking(move || prove_merge(&params, &public, &witness, &mut OsRng))
        .await
        .map_err(|error| failed(error.to_string()))?
        .map_err(|error| failed(error.to_string()))
}
