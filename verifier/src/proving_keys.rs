//! Proving keys: fetched from the ledger, judged, and kept beside the wallet.
//!
//! Trusts on entry: nothing. A key is good if its verifying key has the pinned digest; only a good one is kept, and one that was kept
//! and is no good any more, such as one of an older version, is fetched again.

use std::future::Future;
use std::sync::Arc;

use credits::params::{MergeProvingParams, ParamsError, ProvingParams};
use credits::{Bytes32, LedgerError};

use crate::payment::PaymentError;
use crate::wallet_store::{CachedKey, WalletStore};

/// A proving key of some statement.
pub(crate) trait ProvingKey: Sized + Send + 'static {
    /// Where it is kept.
    const CACHED: CachedKey;

    /// Judges its bytes.
    fn judge(bytes: &[u8], vk_digest: Bytes32) -> Result<Self, ParamsError>;
}

impl ProvingKey for ProvingParams {
    const CACHED: CachedKey = CachedKey::Spend;

    fn judge(bytes: &[u8], vk_digest: Bytes32) -> Result<Self, ParamsError> {
        Self::from_bytes(bytes, vk_digest)
    }
}

impl ProvingKey for MergeProvingParams {
    const CACHED: CachedKey = CachedKey::Merge;

    fn judge(bytes: &[u8], vk_digest: Bytes32) -> Result<Self, ParamsError> {
        Self::from_bytes(bytes, vk_digest)
    }
}

/// The key that was kept, or what `fetch` gets.
pub(crate) async fn load<K: ProvingKey>(
    store: &WalletStore,
    vk_digest: Bytes32,
    fetch: impl Future<Output = Result<Vec<u8>, LedgerError>>,
) -> Result<Arc<K>, PaymentError> {
    if let Some(bytes) = store.cached_key(K::CACHED)
        && let Ok((key, _)) = judge::<K>(bytes, vk_digest).await
    {
        return Ok(Arc::new(key));
    }
    let bytes = fetch.await.map_err(PaymentError::Ledger)?;
    let (key, bytes) = judge(bytes, vk_digest).await?;
    store.cache_key(K::CACHED, &bytes).map_err(PaymentError::Store)?;
    Ok(Arc::new(key))
}

/// Judges a key on a thread that may block, and gives its bytes back.
async fn judge<K: ProvingKey>(bytes: Vec<u8>, vk_digest: Bytes32) -> Result<(K, Vec<u8>), PaymentError> {
    let failed = |detail: String| PaymentError::ProvingKey { detail };
    let judged = tokio::task::spawn_blocking(move || (K::judge(&bytes, vk_digest), bytes)).await;
    let (key, bytes) = judged.map_err(|error| failed(error.to_string()))?;
    Ok((key.map_err(|error| failed(error.to_string()))?, bytes))
}
