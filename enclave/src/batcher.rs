//! Fresh evidence for many clients at the price of one report.
//!
//! On entry: each client's nonce and channel, hashed into a leaf. On exit: a report over the root of all leaves that came
//! meanwhile, and each client's place in that tree. A lone client waits for nothing; under load a report is started at most every
//! [`ATTESTATION_BATCH_INTERVAL`], whatever the number of clients (protocol.md §2.2).

use std::sync::Arc;

use attestation::{Batch, BatchPosition, Exporter, GpuSection, Nonce, ReportDataInputs, Role};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::attester::{Attested, Attester, AttesterError};
use crate::gpu::Gpus;
use crate::limits::{ATTESTATION_BATCH_INTERVAL, ATTESTATION_BATCH_LEAVES_MAX, ATTESTATION_QUEUE_MAX};

/// One report, as each client of its batch gets it.
#[derive(Debug, Clone)]
pub struct FreshEvidence {
    /// The report.
    pub attested: Arc<Attested>,
    /// The GPU evidence it names.
    pub gpu: Option<Arc<GpuSection>>,
    /// Where the client's leaf is under it.
    pub position: BatchPosition,
}

/// Why a client gets none.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BatchError {
    /// More clients are waiting than may.
    #[error("{ATTESTATION_QUEUE_MAX} clients are waiting for a report already")]
    Full,
    /// The platform gave no report, or the guardian is stopping.
    #[error("no report: {0}")]
    NoReport(Arc<str>),
}

/// What a report is bound to beside its batch.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// SHA-256 of the TLS key's SubjectPublicKeyInfo.
    pub leaf_spki_sha256: [u8; 32],
    /// Digest of the keyset.
    pub keyset_digest: attestation::Sha256Digest,
}

struct Waiting {
    leaf: [u8; 32],
    answer: oneshot::Sender<Result<FreshEvidence, BatchError>>,
}

/// Where clients queue. Clones share the queue.
#[derive(Debug, Clone)]
pub struct Batcher {
    queue: mpsc::Sender<Waiting>,
    role: Role,
}

/// Clients that have not been taken in yet, and those that have: together [`ATTESTATION_QUEUE_MAX`].
const HALF_QUEUE: usize = ATTESTATION_QUEUE_MAX / 2;

impl Batcher {
    /// Starts making reports of one role; ends when the last clone is gone.
    #[must_use]
    pub fn start(attester: Attester, gpus: Option<Arc<Gpus>>, binding: Binding, role: Role) -> Self {
        let (queue, waiting) = mpsc::channel(HALF_QUEUE);
        let maker = Maker { attester, gpus, binding, role };
        tokio::spawn(maker.run(waiting));
        Self { queue, role }
    }

    /// A report that covers this nonce and this channel, and where they are under it.
    ///
    /// # Errors
    /// [`BatchError`]; nothing was promised to the client.
    pub async fn attest(&self, nonce: &Nonce, exporter: Option<&Exporter>) -> Result<FreshEvidence, BatchError> {
        let leaf = attestation::batch_leaf(self.role, nonce, exporter);
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Waiting { leaf, answer }).map_err(|error| match error {
            TrySendError::Full(_) => BatchError::Full,
            TrySendError::Closed(_) => BatchError::NoReport("the guardian is stopping".into()),
        })?;
        answered.await.map_err(|_| BatchError::NoReport("the guardian is stopping".into()))?
    }
}

/// Takes clients out of the queue while `work` is done, and all that are there when it is. Those who left meanwhile are forgotten.
async fn collect(queue: &mut mpsc::Receiver<Waiting>, waiting: &mut Vec<Waiting>, work: impl Future<Output = ()>) {
    tokio::pin!(work);
    let mut open = true;
    loop {
        if waiting.len() >= HALF_QUEUE {
            forget_the_departed(waiting);
        }
        // The work first: however fast clients come and go, it goes on.
        tokio::select! {
            biased;
            () = &mut work => break,
            next = queue.recv(), if open && waiting.len() < HALF_QUEUE => match next {
                Some(next) => waiting.push(next),
                None => open = false,
            },
        }
    }
    while waiting.len() < HALF_QUEUE
        && let Ok(next) = queue.try_recv()
    {
        waiting.push(next);
    }
    forget_the_departed(waiting);
}

fn forget_the_departed(waiting: &mut Vec<Waiting>) {
    waiting.retain(|client| !client.answer.is_closed());
}

struct Maker {
    attester: Attester,
    gpus: Option<Arc<Gpus>>,
    binding: Binding,
    role: Role,
}

impl Maker {
    async fn run(self, mut queue: mpsc::Receiver<Waiting>) {
        let mut next_start = Instant::now();
        let mut waiting = Vec::new();
        loop {
            // The first client wakes this up; those that come until the interval is over share its report.
            if waiting.is_empty() {
                let Some(first) = queue.recv().await else { return };
                waiting.push(first);
            }
            collect(&mut queue, &mut waiting, tokio::time::sleep_until(next_start)).await;
            let rest = waiting.split_off(waiting.len().min(ATTESTATION_BATCH_LEAVES_MAX));
            let clients = std::mem::replace(&mut waiting, rest);
            if clients.is_empty() {
                continue;
            }
            next_start = Instant::now() + ATTESTATION_BATCH_INTERVAL;
            // Clients are taken in while the platform works, so that those who leave do not keep the queue full.
            collect(&mut queue, &mut waiting, self.answer(clients)).await;
        }
    }

    async fn answer(&self, clients: Vec<Waiting>) {
        let Some(batch) = Batch::new(clients.iter().map(|client| client.leaf).collect()) else { return };
        match self.report(&batch).await {
            Ok((attested, gpu)) => {
                let attested = Arc::new(attested);
                for (client, position) in clients.into_iter().zip(batch.positions()) {
                    let evidence = FreshEvidence { attested: Arc::clone(&attested), gpu: gpu.clone(), position };
                    // A client that left needs no answer.
                    drop(client.answer.send(Ok(evidence)));
                }
            }
            Err(error) => {
                tracing::warn!(%error, clients = clients.len(), "no report");
                let reason: Arc<str> = error.to_string().into();
                for client in clients {
                    drop(client.answer.send(Err(BatchError::NoReport(Arc::clone(&reason)))));
                }
            }
        }
    }

    async fn report(&self, batch: &Batch) -> Result<(Attested, Option<Arc<GpuSection>>), AttesterError> {
        let gpu = match &self.gpus {
            Some(gpus) => Some(gpus.fresh().await?),
            None => None,
        };
        let inputs = ReportDataInputs {
            role: self.role,
            batch_root: batch.root(),
            leaf_spki_sha256: self.binding.leaf_spki_sha256,
            keyset_digest: self.binding.keyset_digest,
            gpu: gpu.as_deref().map(GpuSection::binding),
        };
        Ok((self.attester.attest(inputs.report_data()).await?, gpu))
    }
}
