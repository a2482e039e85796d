//! Proofs that wait are verified together: what one processor takes from the queue is one batch. Nothing waits for a batch to
//! fill, so a lone proof is verified at once, and each gets the verdict that it would get alone.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use credits::{Fe, LedgerError, MergeRequest, ReserveRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::error::StoreError;
use crate::merging::ProvedMerge;
use crate::spend_verifier::SpendVerifier;
use crate::transitions::ProvedReserve;

/// Proofs that may be waiting for, or under, verification; beyond them reservations and merges are turned away. Alone, at the 1.2 ms that
/// one takes on one core, this is about 0.15 s of work.
pub const PROOFS_PENDING_MAX: usize = 128;
/// Most proofs in one batch: beyond, a batch only delays its members.
const BATCH_PROOFS_MAX: usize = 64;

/// Leave for one request to come as far as its proof; given back once the proof is verified.
pub(crate) type Admitted = OwnedSemaphorePermit;

struct Job {
    request: ReserveRequest,
    admitted: Admitted,
    answer: oneshot::Sender<Result<ProvedReserve, LedgerError>>,
}

/// Threads that verify, one for each processor.
pub(crate) struct ProofQueue {
    jobs: mpsc::Sender<Job>,
    pending: Arc<Semaphore>,
    /// Merges that may be under verification: as many as there are processors.
    merges: Arc<Semaphore>,
    verifier: Arc<dyn SpendVerifier>,
}

impl ProofQueue {
    pub(crate) fn start(verifier: impl SpendVerifier) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(PROOFS_PENDING_MAX);
        let queue = Arc::new(Mutex::new(queue));
        let verifier: Arc<dyn SpendVerifier> = Arc::new(verifier);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..processors {
            let (queue, verifier) = (Arc::clone(&queue), Arc::clone(&verifier));
            let thread = std::thread::Builder::new().name("ledger-proofs".to_owned());
            thread.spawn(move || serve(&queue, &*verifier)).map_err(StoreError::Spawn)?;
        }
        let (pending, merges) = (Semaphore::new(PROOFS_PENDING_MAX), Semaphore::new(processors));
        Ok(Self { jobs, pending: Arc::new(pending), merges: Arc::new(merges), verifier })
    }

    /// Turns away what is too much.
    pub(crate) fn admit(&self) -> Result<Admitted, LedgerError> {
        Arc::clone(&self.pending).try_acquire_owned().map_err(|_| LedgerError::Unavailable)
    }

    pub(crate) async fn verify(
        &self,
        request: ReserveRequest,
        admitted: Admitted,
    ) -> Result<ProvedReserve, LedgerError> {
        let (answer, verdict) = oneshot::channel();
        self.jobs.send(Job { request, admitted, answer }).await.map_err(|_| LedgerError::Unavailable)?;
        verdict.await.map_err(|_| LedgerError::Unavailable)?
    }

    /// Verifies the proof of a merge, alone: they are rare beside spends. No more are under way than there are processors.
    /// `ctx` is [`crate::merging::context`].
    pub(crate) async fn verify_merge(
        &self,
        request: MergeRequest,
        ctx: Fe,
        admitted: Admitted,
    ) -> Result<ProvedMerge, LedgerError> {
        let turn = Arc::clone(&self.merges).acquire_owned().await.map_err(|_| LedgerError::Unavailable)?;
        let verifier = Arc::clone(&self.verifier);
        let verified = tokio::task::spawn_blocking(move || {
            let verdict = verifier.verify_merge(&request.public(ctx), &request.proof);
            drop((turn, admitted));
            verdict.map(|()| ProvedMerge(request))
        });
        verified.await.map_err(|_panicked| LedgerError::Unavailable)?
    }
}

fn serve(queue: &Mutex<mpsc::Receiver<Job>>, verifier: &dyn SpendVerifier) {
    let mut jobs = Vec::with_capacity(BATCH_PROOFS_MAX);
    loop {
        let waiting =
            queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv_many(&mut jobs, BATCH_PROOFS_MAX);
        if waiting == 0 {
            return;
        }
        // Who no longer listens costs nothing; the leave of the others is held until they are verified.
        let (mut requests, mut answers, mut leaves) = (Vec::new(), Vec::new(), Vec::new());
        for Job { request, admitted, answer } in jobs.drain(..).filter(|job| !job.answer.is_closed()) {
            requests.push(request);
            answers.push(answer);
            leaves.push(admitted);
        }
        let verdicts = std::panic::catch_unwind(AssertUnwindSafe(|| ProvedReserve::verify_all(requests, verifier)));
        match verdicts {
            // Nobody listens any more when the caller gave up.
            Ok(verdicts) => answers.into_iter().zip(verdicts).for_each(|(answer, verdict)| drop(answer.send(verdict))),
            // Their callers see it: the answers are dropped.
            Err(_panic) => tracing::error!("verifying a batch of proofs panicked; nothing in it was recorded"),
        }
        drop(leaves);
    }
}
