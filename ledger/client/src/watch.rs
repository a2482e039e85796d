//! Witnesses of the ledger's log: that the state which is shown continues the newest one that they saw (protocol §4.12).
//!
//! Who remembers nothing, such as a guardian that has just started, would take an old copy of the ledger for the ledger. Witnesses remember.
//! That they cosigned a head lately does not say that it is the newest: they cosign the same one again as often as they are asked. So it must
//! cover what this client has accepted, too: a ledger that goes on has its growth witnessed, and then no copy of it that went another
//! way can have its own.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attestation::{Clock, UnixTime};
use credits::merkle::verify_consistency;
use credits::{CheckpointAnswer, LedgerError};
use tlog::ledger_log::{HEAD_AGE_SECS_MAX, WitnessedHead, ledger_log_key, witnessed_ledger_head};
use tlog::note::NOTE_BYTES_MAX;
use tlog::{Checkpoint, LogKey, Quorum};
use tokio::time::Instant;

use crate::Pins;
use crate::transport::{ANSWER_BYTES_MAX, Transport};

/// How long what witnesses said is gone by before they are asked about again.
pub const WITNESSED_FOR: Duration = Duration::from_secs(15);
/// How long a client waits for a head that is as good as it must be; a ledger that goes on has one each second or so.
pub const WITNESSED_PATIENCE: Duration = Duration::from_secs(8);
/// Time between two looks for one.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// Longest look, whatever the ledger answers and how slowly.
pub(crate) const LOOK_TIMEOUT: Duration = Duration::from_secs(20);
/// After so long without a good look, the time of the last one says nothing about clocks any more.
const CLOCK_KNOWN_FOR: Duration = Duration::from_secs(600);

/// Whose word is taken that a state of the ledger is its newest.
#[derive(Clone)]
pub struct Watch {
    /// The witnesses.
    pub quorum: Quorum,
    /// Their cosignatures are old or new by this clock.
    pub clock: Arc<dyn Clock>,
    /// How long to wait for what they must have said: [`WITNESSED_PATIENCE`].
    pub patience: Duration,
}

impl Watch {
    /// With the usual patience.
    pub fn new(quorum: Quorum, clock: Arc<dyn Clock>) -> Self {
        Self { quorum, clock, patience: WITNESSED_PATIENCE }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("quorum", &self.quorum).finish_non_exhaustive()
    }
}

/// What a look at the witnesses found.
#[derive(Clone, Debug)]
struct Found {
    /// When it was begun.
    begun: Instant,
    /// What came of it.
    outcome: Result<(), LedgerError>,
}

/// What held at the last look that was good.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// When it was.
    at: Instant,
    /// When the witnesses said so.
    cosigned: UnixTime,
}

/// A watch that is kept.
#[derive(Debug)]
pub(crate) struct Watching {
    watch: Watch,
    last: Mutex<Option<Found>>,
    held: Mutex<Option<Held>>,
    /// Held while it is found out.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watching {
    pub(crate) fn new(watch: Watch) -> Self {
        Self { watch, last: Mutex::new(None), held: Mutex::new(None), turn: tokio::sync::Mutex::new(()) }
    }

    /// What was found out and holds for who asks since then; nothing if he has to find out. Those who waited while another found out are
    /// told what he found.
    pub(crate) fn known(&self, since: Instant) -> Option<Result<(), LedgerError>> {
        let lately = |last: &Found| last.outcome.is_ok() && last.begun.elapsed() < WITNESSED_FOR;
        self.found_since(since).or_else(|| lock(&self.last).as_ref().is_some_and(lately).then_some(Ok(())))
    }

    /// What a look found that was begun since then.
    pub(crate) fn found_since(&self, since: Instant) -> Option<Result<(), LedgerError>> {
        lock(&self.last).as_ref().filter(|last| last.begun >= since).map(|last| last.outcome.clone())
    }

    /// Whether no look was good yet.
    pub(crate) fn is_first(&self) -> bool {
        lock(&self.held).is_none()
    }

    pub(crate) fn found(&self, begun: Instant, outcome: &Result<(), LedgerError>) {
        *lock(&self.last) = Some(Found { begun, outcome: outcome.clone() });
    }

    /// A look was good.
    pub(crate) fn holds(&self, cosigned: UnixTime) {
        *lock(&self.held) = Some(Held { at: Instant::now(), cosigned });
    }

    /// The ledger's present checkpoint, of which only this is verified: that its log begins with a head that witnesses saw lately, and that
    /// has at least `covers` entries. And when they saw it.
    pub(crate) async fn ask(
        &self,
        transport: &Transport,
        pins: &Pins,
        covers: u64,
    ) -> Result<(CheckpointAnswer, UnixTime), LedgerError> {
        let until = Instant::now() + self.watch.patience;
        let key = ledger_log_key(&pins.ledger_id, &pins.ledger_key).map_err(|_| LedgerError::IdentityMismatch)?;
        let held = *lock(&self.held);
        let head = loop {
            match self.head(transport, &key, held).await {
                Ok(head) if head.checkpoint.size >= covers => break head,
                Ok(_) | Err(LedgerError::Unwitnessed) if Instant::now() >= until => {
                    return Err(LedgerError::Unwitnessed);
                }
                Ok(_) | Err(LedgerError::Unwitnessed) => tokio::time::sleep(LOOK_PAUSE).await,
                Err(error) => return Err(error),
            }
        };
        let Checkpoint { size: from, root } = head.checkpoint;
        let path = format!("/v1/checkpoint?from={from}");
        let answer: CheckpointAnswer = transport.get(&path, ANSWER_BYTES_MAX).await.map_err(|error| match error {
            // The ledger signed that head.
            LedgerError::NotFound => LedgerError::Rollback,
            other => other,
        })?;
        let shown = &answer.checkpoint;
        verify_consistency(from, shown.log_size, &answer.consistency, &root, &shown.log_root)
            .map_err(|_| LedgerError::Fork)?;
        Ok((answer, head.cosigned))
    }

    /// The newest witnessed head that the ledger shows.
    async fn head(
        &self,
        transport: &Transport,
        key: &LogKey,
        held: Option<Held>,
    ) -> Result<WitnessedHead, LedgerError> {
        let note = transport.get_bytes("/v1/witnessed", NOTE_BYTES_MAX).await.map_err(|error| match error {
            LedgerError::NotFound => LedgerError::Unwitnessed,
            other => other,
        })?;
        let note = std::str::from_utf8(&note).map_err(|_| LedgerError::AnswerMalformed)?;
        let head = witnessed_ledger_head(note, key, &self.watch.quorum, self.watch.clock.now());
        let head = head.map_err(|_| LedgerError::Unwitnessed)?;
        // A clock that is set back meanwhile makes no old cosignature a new one.
        let held = held.filter(|held| held.at.elapsed() < CLOCK_KNOWN_FOR);
        let gone = held.map_or(0, |held| held.cosigned.0.saturating_add(held.at.elapsed().as_secs()));
        let is_old = head.cosigned.0.saturating_add(HEAD_AGE_SECS_MAX.saturating_mul(2)) < gone;
        if is_old { Err(LedgerError::Unwitnessed) } else { Ok(head) }
    }
}
