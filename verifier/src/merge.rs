//! Merging a wallet's notes into fewer. `docs/protocol.md` §4.9.
//!
//! Decides: when notes are merged (only when asked to: a merge tells the ledger that two notes are one wallet's). Trusts on entry: the
//! wallet's own replay of the ledger. Holds on exit: every merge was on disk before it was sent. One that is cut off is given up
//! by the next command; whether it was recorded all the same, the log tells.

use std::sync::Arc;

use credits::ledger::{Ledger, LedgerError};
use credits::merge::prove_merge;
use credits::params::MergeProvingParams;
use credits::wallet::{PreparedMerge, WalletError};
use credits::{Bytes32, Credits, SpendProof};
use rand_core::OsRng;

use crate::payment::{Payer, PaymentError, Stage};
use crate::wallet_store::{CachedKey, StoreError};

impl Payer {
    /// Merges notes until one is worth `needed`, or without an amount until there is one note. Answers how many merges it took.
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
        while let Some(prepared) = self.prepare_merge(needed)? {
            let params = match &params {
                Some(params) => Arc::clone(params),
                None => {
                    on_stage(Stage::ProvingKey, merges);
                    let key = self.merge_params(vk_digest).await;
                    let key = self.or_give_up(&prepared, key)?;
                    Arc::clone(params.insert(key))
                }
            };
            on_stage(Stage::Prove, merges);
            let proof = prove(params, &prepared).await;
            let proof = self.or_give_up(&prepared, proof)?;
            on_stage(Stage::Open, merges);
            let merged = self.ledger().merge(prepared.request(proof)).await;
            if merged.as_ref().is_err_and(|error| matches!(error.http_status(), 400 | 403)) {
                self.give_up(&prepared)?;
            }
            // After a conflict, the log tells what another device did with the notes.
            self.sync().await?;
            merged.map_err(PaymentError::Ledger)?;
            if self.store().wallet().merging().next().is_some() {
                // The log was replayed past the merge: the ledger acknowledged what it does not show.
                return Err(PaymentError::Ledger(LedgerError::AnswerMismatch));
            }
            merges = merges.saturating_add(1);
        }
        Ok(merges)
    }

    /// Gives up what another process, which is gone, was merging.
    pub(crate) fn give_up_merges(&mut self) -> Result<(), PaymentError> {
        let cut_off: Vec<_> = self.store().wallet().merging().collect();
        if cut_off.is_empty() {
            return Ok(());
        }
        let abandoned = self.store_mut().update(|wallet| {
            cut_off.into_iter().for_each(|first| wallet.abandon_merge(first));
            Ok(())
        });
        abandoned.map_err(PaymentError::Store)
    }

    fn prepare_merge(&mut self, needed: Option<Credits>) -> Result<Option<PreparedMerge>, PaymentError> {
        self.store_mut().update(|wallet| wallet.prepare_merge(needed)).map_err(PaymentError::Store)
    }

    fn or_give_up<T>(&mut self, prepared: &PreparedMerge, result: Result<T, PaymentError>) -> Result<T, PaymentError> {
        if result.is_err() {
            self.give_up(prepared)?;
        }
        result
    }

    fn give_up(&mut self, prepared: &PreparedMerge) -> Result<(), PaymentError> {
        let [first, _] = prepared.public.nullifiers;
        let abandoned = self.store_mut().update(|wallet| {
            wallet.abandon_merge(first);
            Ok(())
        });
        abandoned.map_err(PaymentError::Store)
    }

    async fn merge_params(&mut self, vk_digest: Bytes32) -> Result<Arc<MergeProvingParams>, PaymentError> {
        if let Some(bytes) = self.store().cached_key(CachedKey::Merge)
            && let Ok((params, _)) = judge(bytes, vk_digest).await
        {
            return Ok(Arc::new(params));
        }
        let bytes = self.ledger().merge_proving_key().await.map_err(PaymentError::Ledger)?;
        let (params, bytes) = judge(bytes, vk_digest).await?;
        // Only what is good is kept.
        self.store().cache_key(CachedKey::Merge, &bytes).map_err(PaymentError::Store)?;
        Ok(Arc::new(params))
    }
}

/// Judges a proving key, on a thread that may block, and gives its bytes back.
async fn judge(bytes: Vec<u8>, vk_digest: Bytes32) -> Result<(MergeProvingParams, Vec<u8>), PaymentError> {
    let failed = |detail: String| PaymentError::ProvingKey { detail };
    let judged = tokio::task::spawn_blocking(move || (MergeProvingParams::from_bytes(&bytes, vk_digest), bytes)).await;
    let (params, bytes) = judged.map_err(|error| failed(error.to_string()))?;
    Ok((params.map_err(|error| failed(error.to_string()))?, bytes))
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
