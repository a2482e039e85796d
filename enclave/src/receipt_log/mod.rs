//! The log of receipts: append-only, kept by a service of the host, and held to that by witnesses (protocol.md §6).
//!
//! Decides: whether this node may take work. It may while the newest head of its log, signed by this boot, is cosigned by as many of
//! the witnesses as the measured configuration asks for, and not long ago. Trusts on entry: the witnesses' keys. The service, its disk
//! and everybody between are not trusted: a log that was put back to an older state, changed, or that goes on elsewhere gets no
//! cosignatures, since this boot's own entry stands in it and an honest witness has seen more. Holds on exit: what the head covers is
//! acknowledged as being on disk, and what it says is what was appended here.
//!
//! Nothing of a request waits for any of this; a receipt is in the log a moment after it was signed.

mod books;
mod nodes;
mod round;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use attestation::{Clock, ReceiptKey, Sha256Digest};
use credits::Bytes32;
use tlog::service::{ANSWER_BYTES_MAX, LogAnswer, LogQuestion};
use tlog::{Checkpoint, LogFault, LogProof, ReceiptLogEntry, WitnessKey};
use tokio::sync::{Notify, watch};

use crate::config::ReceiptLogConfig;
use crate::limits::{
    LOG_ANSWER_TIMEOUT, LOG_CLOCK_SKEW_SECS_MAX, LOG_ENTRIES_MAX, LOG_HEARTBEAT, LOG_OPEN_TIMEOUT, LOG_PAUSE,
    LOG_PENDING_MAX, LOG_RETRY_PAUSE, LOG_UNWITNESSED_MAX, LOG_WAIT_TIMEOUT, LOG_WITNESSES_MAX,
};
use crate::line_service::{AskError, LineService, shortened};
use books::Books;

/// A head that was signed and cosigned.
#[derive(Debug, Clone)]
pub struct WitnessedHead {
    /// Its note, with the cosignatures that were counted.
    pub note: String,
    checkpoint: Checkpoint,
}

impl WitnessedHead {
    /// Size and root.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }
}

/// Why the log does not go on.
#[derive(Debug, thiserror::Error)]
pub enum LogFailure {
    /// Who keeps it does not answer.
    #[error("the keeper of the receipt log does not answer: {0}")]
    Keeper(#[from] AskError),
    /// Who keeps it takes too long.
    #[error("the keeper of the receipt log did not answer in time")]
    Timeout,
    /// Who keeps it refuses.
    #[error("the keeper of the receipt log says: {0}")]
    Refused(String),
    /// Who keeps it answers what cannot be.
    #[error("the keeper of the receipt log answered wrongly: {0}")]
    Wrong(&'static str),
    /// Too few witnesses cosigned.
    #[error("{fault}{}", said(.refusals))]
    Unwitnessed {
        /// How many did.
        #[source]
        fault: LogFault,
        /// What the others said, as who keeps the log tells it.
        refusals: Vec<String>,
    },
    /// This node's clock is behind the witnesses'.
    #[error("the clock of this node is more than {LOG_CLOCK_SKEW_SECS_MAX} s behind those of the witnesses")]
    Clock,
    /// The operating system gives no randomness.
    #[error("there is no randomness for a round")]
    Random,
    /// The log's name is none that a note can have.
    #[error("the log cannot be signed: {0}")]
    Sign(LogFault),
}

fn said(refusals: &[String]) -> String {
    refusals.iter().take(LOG_WITNESSES_MAX).map(|refusal| format!("; {}", shortened(refusal))).collect()
}

/// Why something is not shown to be in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotShown {
    /// It never was put there, or long ago.
    Unknown,
    /// It will be.
    Pending,
    /// Who keeps the log gives no proof that holds.
    Keeper,
}

/// The log of this node.
#[derive(Debug)]
pub struct ReceiptLog {
    origin: String,
    witnesses: Vec<WitnessKey>,
    needed: usize,
    service: LineService,
    books: Mutex<Books>,
    head: watch::Sender<Option<WitnessedHead>>,
    more: Notify,
}

impl ReceiptLog {
    fn new(config: &ReceiptLogConfig) -> Self {
        Self {
            origin: config.origin.clone(),
            witnesses: config.witnesses.iter().map(|witness| witness.0.clone()).collect(),
            needed: config.witnesses_needed,
            service: LineService::from_config(&config.service),
            books: Mutex::default(),
            head: watch::channel(None).0,
            more: Notify::new(),
        }
    }

    /// Takes the log up where it ends, with an entry that a guardian of this keyset begins, and has that witnessed.
    ///
    /// # Errors
    /// The last failure, when it cannot be done within [`LOG_OPEN_TIMEOUT`].
    pub async fn open(
        config: &ReceiptLogConfig,
        keyset: Sha256Digest,
        key: &ReceiptKey,
        clock: &dyn Clock,
    ) -> Result<Self, LogFailure> {
        let log = Self::new(config);
        let until = Instant::now() + LOG_OPEN_TIMEOUT;
        let mut told = String::new();
        loop {
            let failure = match log.begin(keyset, key, clock).await {
                Ok(()) => return Ok(log),
                Err(failure) => failure,
            };
            if Instant::now() >= until {
                return Err(failure);
            }
            let text = failure.to_string();
            if told != text {
                tracing::warn!("the receipt log is not there yet: {text}");
                told = text;
            }
            tokio::time::sleep(LOG_RETRY_PAUSE).await;
        }
    }

    async fn begin(&self, keyset: Sha256Digest, key: &ReceiptKey, clock: &dyn Clock) -> Result<(), LogFailure> {
        // Also while the entry waits: another guardian may have made its last entries meanwhile.
        if !self.books().is_begun() {
            match self.ask(&LogQuestion::Frontier { origin: self.origin.clone() }).await? {
                LogAnswer::Frontier(frontier) if frontier.size() > LOG_ENTRIES_MAX => {
                    return Err(LogFailure::Wrong("more entries than a log can have"));
                }
                LogAnswer::Frontier(frontier) => {
                    *self.books() = Books::new(frontier);
                    self.books().put(ReceiptLogEntry::Boot(keyset));
                }
                other => return Err(refused(other)),
            }
        }
        self.round(key, clock).await
    }

    /// Puts a receipt into the log. It is there a moment later.
    pub fn append(&self, receipt: Sha256Digest) {
        self.books().put(ReceiptLogEntry::Receipt(receipt));
        self.more.notify_one();
    }

    /// Whether work may be taken: the log was witnessed a short while ago, and is not far behind.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        let books = self.books();
        books.waiting() < LOG_PENDING_MAX && books.kept.is_some_and(|kept| kept.elapsed() < LOG_UNWITNESSED_MAX)
    }

    /// Appends, signs and has cosigned what there is, for ever. Tells of every time that it could not.
    pub async fn keep(&self, key: &ReceiptKey, clock: &dyn Clock, failed: &(dyn Fn() + Sync)) {
        let mut told = None;
        let mut began = Instant::now();
        loop {
            let rest = LOG_HEARTBEAT.saturating_sub(began.elapsed());
            let _ = tokio::time::timeout(rest, self.more.notified()).await;
            began = Instant::now();
            let pause = match self.round(key, clock).await {
                Ok(()) => {
                    if told.take().is_some() {
                        tracing::info!("the receipt log goes on");
                    }
                    LOG_PAUSE
                }
                Err(failure) => {
                    failed();
                    let text = failure.to_string();
                    if told.as_ref() != Some(&text) {
                        tracing::error!(
                            "{text}; no work is taken {} s after the last time",
                            LOG_UNWITNESSED_MAX.as_secs()
                        );
                        told = Some(text);
                    }
                    // What it was for is still there.
                    self.more.notify_one();
                    LOG_RETRY_PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// What is waiting, before the process ends.
    pub async fn finish(&self, key: &ReceiptKey, clock: &dyn Clock) {
        if let Err(failure) = self.round(key, clock).await {
            tracing::error!("receipts that were not logged: {}; {failure}", self.books().waiting());
        }
    }

    /// Where a receipt is in the log, under a head that was witnessed. Waits for one for a while. Nobody else is asked: who keeps the log
    /// does not learn whose receipt is asked for.
    ///
    /// # Errors
    /// See [`NotShown`].
    pub async fn inclusion(&self, receipt: Sha256Digest) -> Result<LogProof, NotShown> {
        let entry = ReceiptLogEntry::Receipt(receipt);
        let mut heads = self.head.subscribe();
        let covered = async {
            loop {
                let head = heads.borrow_and_update().clone();
                let index = self.books().index_of(&entry).ok_or(NotShown::Unknown)?;
                if let (Some(index), Some(head)) = (index, head)
                    && index < head.checkpoint.size
                {
                    return Ok((index, head));
                }
                heads.changed().await.map_err(|_| NotShown::Keeper)?;
            }
        };
        let covered = tokio::time::timeout(LOG_WAIT_TIMEOUT, covered).await;
        let (index, WitnessedHead { note, checkpoint }) = covered.map_err(|_| NotShown::Pending)??;
        let hashes = self.books().inclusion(index, checkpoint.size).ok_or(NotShown::Unknown)?;
        Ok(LogProof { index, hashes, checkpoint: note })
    }

    /// The newest head that was witnessed.
    #[must_use]
    pub fn head(&self) -> Option<WitnessedHead> {
        self.head.borrow().clone()
    }

    /// How the log grew from `from` entries to that head. Nothing, if it is not that long.
    ///
    /// # Errors
    /// [`NotShown::Keeper`].
    pub async fn growth(&self, from: u64, to: &WitnessedHead) -> Result<Option<Vec<Bytes32>>, NotShown> {
        let size = to.checkpoint.size;
        if from > size {
            return Ok(None);
        }
        if from == 0 || from == size {
            return Ok(Some(Vec::new()));
        }
        match self.ask(&LogQuestion::Consistency { from, to: size }).await {
            Ok(LogAnswer::Proof(hashes)) => Ok(Some(hashes)),
            _ => Err(NotShown::Keeper),
        }
    }

    async fn ask(&self, question: &LogQuestion) -> Result<LogAnswer, LogFailure> {
        self.ask_within(LOG_ANSWER_TIMEOUT, question).await
    }

    async fn ask_within(&self, time: Duration, question: &LogQuestion) -> Result<LogAnswer, LogFailure> {
        let answer = tokio::time::timeout(time, self.service.ask(question, ANSWER_BYTES_MAX)).await;
        Ok(answer.map_err(|_| LogFailure::Timeout)??)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Each update is complete before the next can panic.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why an answer is none to what was asked.
fn refused(answer: LogAnswer) -> LogFailure {
    match answer {
        LogAnswer::Error { message } => LogFailure::Refused(shortened(&message)),
        _ => LogFailure::Wrong("the answer to another question"),
    }
}
