//! The GPUs' evidence of this boot: obtained under a nonce of our own, renewed before it is ten minutes old, and named by
//! REPORT_DATA (protocol.md §2.5).
//!
//! On entry: nothing. On exit: evidence that answers the nonce of this keyset, these random bytes and this epoch. Clients
//! appraise it; the guardian does not judge its own hardware here.

use std::sync::Arc;
use std::time::Instant;

use attestation::{GpuSection, Hex32, Nonce, Sha256Digest};
use tokio::sync::Mutex;

use crate::attester::{Attester, AttesterError};
use crate::limits::GPU_EVIDENCE_AGE_MAX;

/// The current round of evidence.
#[derive(Debug)]
pub struct Gpus {
    keyset_digest: Sha256Digest,
    current: Mutex<Round>,
}

#[derive(Debug)]
struct Round {
    section: Arc<GpuSection>,
    obtained: Instant,
}

impl Gpus {
    /// The first round, when this node has GPUs.
    pub async fn attest(attester: &Attester, keyset_digest: Sha256Digest) -> Result<Option<Self>, AttesterError> {
        if !attester.has_gpus() {
            return Ok(None);
        }
        let section = round(attester, &keyset_digest, 0).await?;
        let current = Mutex::new(Round { section: Arc::new(section), obtained: Instant::now() });
        Ok(Some(Self { keyset_digest, current }))
    }

    /// Evidence young enough to hand out. Callers that come while a new round is made wait for it.
    pub async fn fresh(&self, attester: &Attester) -> Result<Arc<GpuSection>, AttesterError> {
        let mut current = self.current.lock().await;
        if current.obtained.elapsed() >= GPU_EVIDENCE_AGE_MAX {
            let epoch = current.section.epoch.saturating_add(1);
            let section = round(attester, &self.keyset_digest, epoch).await?;
            *current = Round { section: Arc::new(section), obtained: Instant::now() };
        }
        Ok(Arc::clone(&current.section))
    }
}

async fn round(attester: &Attester, keyset_digest: &Sha256Digest, epoch: u64) -> Result<GpuSection, AttesterError> {
    let random = Nonce::random().map_err(|error| AttesterError::Refused(error.to_string()))?;
    let random = Hex32(random.0);
    let nonce = GpuSection::nonce(keyset_digest, &random, epoch);
    let (evidence, endorsements) = attester.attest_gpus(nonce).await?;
    Ok(GpuSection { random, epoch, evidence, endorsements })
}
