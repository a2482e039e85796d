//! Has witnesses cosign the ledger's log, again and again, and publishes what they cosigned (protocol §4.12).

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

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

/// Time between two heads …
const ROUND: Duration = Duration::from_secs(5);
/// … and after one that too few cosigned.
const RETRY: Duration = Duration::from_secs(1);

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
        let (stop, stopped) = channel();
        let log = LedgerLog { ledger, runtime };
        // Before the ledger is served, so that a start of it is no moment in which readers refuse it.
        let mut pause = round(&log, &relay, &published);
        let rounds = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(pause) {
                pause = round(&log, &relay, &published);
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

/// One head; the time until the next.
fn round(log: &LedgerLog, relay: &Relay, published: &WitnessedHead) -> Duration {
    let LogHead { size, note, .. } = match log.runtime.block_on(log.ledger.log_head()) {
        Ok(head) => head,
        Err(error) => {
            output::note(&format!("the ledger's log is not cosigned: {error}"));
            return RETRY;
        }
    };
    let cosigned = relay.cosign(&note, size, log);
    // A reader needs more than half of the witnesses. While they are away, what they said before is the newest that he can be shown.
    if cosigned.witnesses < Quorum::majority(relay.witnesses()) {
        return RETRY;
    }
    let origin = note.split('\n').next().unwrap_or_default();
    let lines = signatures_of(&cosigned.lines, origin, NOTE_SIGNATURES_MAX - 1);
    published.publish(note + &lines);
    ROUND
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
