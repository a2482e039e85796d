//! Has witnesses cosign the ledger's log, again and again, and publishes what they cosigned (protocol §4.12).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use credits::Bytes32;
use ledger::{DurableLedger, LogHead, WitnessedHead};
use tlog::Quorum;
use tlog::cosignature::signatures_of;
use tlog::note::NOTE_SIGNATURES_MAX;
use tlog::quorum::WITNESSES_MAX;
use tokio::runtime::Handle;

use crate::output;
use crate::relay::{Grown, Relay};

/// Time between two looks whether the log has grown. Readers wait for a head that covers what they were shown.
const LOOK: Duration = Duration::from_millis(500);
/// Time after which the same head is cosigned again: readers want a new time.
const AGAIN: Duration = Duration::from_secs(5);
/// And after one that not all cosigned.
const RETRY: Duration = Duration::from_secs(1);
/// How long a head that more witnesses cosigned is shown rather than a newer one.
const BETTER_FOR: Duration = Duration::from_secs(2);

/// Rounds that go on until this is dropped, which waits for the one that is under way.
pub(crate) struct Rounds {
    /// Dropped to end them.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Rounds {
    /// Starts them on a thread of their own, after the first; none without witnesses. Blocks; not for threads that drive a runtime.
    pub(crate) fn start(
        ledger: DurableLedger,
        published: WitnessedHead,
        witnesses: &[String],
        runtime: Handle,
    ) -> anyhow::Result<Option<Self>> {
        if witnesses.is_empty() {
            return Ok(None);
        }
        if witnesses.len() > WITNESSES_MAX {
            bail!("a reader can name {WITNESSES_MAX} witnesses, not {}", witnesses.len());
        }
        let relay = Relay::new(witnesses, "cloister-host ledger info")?;
        let mut keeper =
            Keeper { log: LedgerLog { ledger, runtime }, relay, published, asked: None, shown: None, failed: false };
        let (stop, stopped) = channel();
        // Before the ledger is served, so that a start of it is no moment in which readers refuse it.
        keeper.look();
        let rounds = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK) {
                // It said what was wrong. The next look may fare better, and without looks every reader would refuse the ledger.
                let _ = catch_unwind(AssertUnwindSafe(|| keeper.look()));
            }
        };
        let thread = std::thread::Builder::new().name("witnesses".to_owned()).spawn(rounds);
        let thread = thread.context("start a thread for the witnesses")?;
        Ok(Some(Self { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It said what went wrong, if it panicked.
            let _ = thread.join();
        }
    }
}

/// Has heads cosigned.
struct Keeper {
    log: LedgerLog,
    relay: Relay,
    published: WitnessedHead,
    /// When witnesses were asked last, about how many entries, and whether all cosigned.
    asked: Option<(Instant, u64, bool)>,
    /// When the head that is shown was cosigned, and by how many.
    shown: Option<(Instant, usize)>,
    /// The log could not be read the last time.
    failed: bool,
}

impl Keeper {
    /// Asks witnesses if the log has grown, or it is time again.
    fn look(&mut self) {
        let head = self.log.runtime.block_on(self.log.ledger.log_head());
        let LogHead { size, note, .. } = match head {
            Ok(head) => head,
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    output::note(&format!("the ledger's log is not cosigned for now: {error}"));
                }
                return;
            }
        };
        self.failed = false;
        if let Some((when, before, all)) = self.asked {
            let pause = if all { AGAIN } else { RETRY };
            let grown = size != before && (all || when.elapsed() >= RETRY);
            if !grown && when.elapsed() < pause {
                return;
            }
        }
        let cosigned = self.relay.cosign(&note, size, &self.log);
        let all = self.relay.witnesses();
        self.asked = Some((Instant::now(), size, cosigned.witnesses == all));
        let better = self.shown.is_some_and(|(when, by)| by > cosigned.witnesses && when.elapsed() < BETTER_FOR);
        // A reader needs more than half of the witnesses.
        if better || cosigned.witnesses < Quorum::majority(all) {
            return;
        }
        let origin = note.split('\n').next().unwrap_or_default();
        let lines = signatures_of(&cosigned.lines, origin, NOTE_SIGNATURES_MAX - 1);
        self.published.publish(note + &lines);
        self.shown = Some((Instant::now(), cosigned.witnesses));
    }
}

struct LedgerLog {
    ledger: DurableLedger,
    runtime: Handle,
}

impl Grown for LedgerLog {
    fn consistency(&self, from: u64, to: u64) -> anyhow::Result<Vec<Bytes32>> {
        Ok(self.runtime.block_on(self.ledger.checkpoint_between(from, to))?.consistency)
    }

    fn size(&self) -> anyhow::Result<u64> {
        Ok(self.runtime.block_on(self.ledger.heads())?.log_size)
    }
}
