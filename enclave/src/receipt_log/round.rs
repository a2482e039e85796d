//! One round: what waits is appended, the head is signed, and witnesses say that it extends all they saw.

use std::time::Instant;

use attestation::{Clock, Nonce, ReceiptKey};
use tlog::cosignature::cosigned_by;
use tlog::note::sign_note;
use tlog::service::{LogAnswer, LogQuestion};

use super::{LogFailure, ReceiptLog, WitnessedHead, refused};
use crate::limits::{LOG_CLOCK_SKEW_SECS_MAX, LOG_COSIGN_TIMEOUT};

impl ReceiptLog {
    pub(super) async fn round(&self, key: &ReceiptKey, clock: &dyn Clock) -> Result<(), LogFailure> {
        let began = Instant::now();
        // Entries that come meanwhile are the next round's, except in a batch that has room.
        let mut left = self.books().waiting();
        while left > 0 {
            let Some((from, entries)) = self.books().next() else { break };
            let count = entries.len();
            let whole = from.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            match self.ask(&LogQuestion::Append { from, entries }).await? {
                // More than these are none of ours.
                LogAnswer::Appended { size } if size == whole => self.books().appended(count),
                LogAnswer::Appended { .. } => {
                    return Err(LogFailure::Wrong("another number of entries than there can be"));
                }
                other => return Err(refused(other)),
            }
            left = left.saturating_sub(count);
        }
        let checkpoint = self.books().checkpoint();
        // Nobody knew this text before, so a cosignature of it is newer than the round's beginning. The host, which can have any head
        // cosigned, cannot have those of an idle log made in advance, or say old ones again.
        let round = Nonce::random().map_err(|_| LogFailure::Random)?;
        let text = format!("{}round {round}\n", checkpoint.text(&self.origin));
        let note = sign_note(&self.origin, key, &text).map_err(LogFailure::Sign)?;
        let head = WitnessedHead { note: self.cosigned(note, &text, clock).await?, checkpoint };
        self.books().kept = Some(began);
        self.head.send_replace(Some(head));
        Ok(())
    }

    /// The note with the cosignatures of witnesses that count, if they are enough.
    async fn cosigned(&self, note: String, text: &str, clock: &dyn Clock) -> Result<String, LogFailure> {
        if self.needed == 0 {
            return Ok(note);
        }
        let question = LogQuestion::Cosign { checkpoint: note.clone() };
        let (lines, refusals) = match self.ask_within(LOG_COSIGN_TIMEOUT, &question).await? {
            LogAnswer::Cosigned { lines, refusals } => (lines, refusals),
            other => return Err(refused(other)),
        };
        let seen = cosigned_by(text, &lines, &self.witnesses, self.needed);
        let seen = seen.map_err(|fault| LogFailure::Unwitnessed { fault, refusals })?;
        let theirs = seen.time_of(self.needed).map_or(0, |time| time.0);
        if clock.now().0.saturating_add(LOG_CLOCK_SKEW_SECS_MAX) < theirs {
            return Err(LogFailure::Clock);
        }
        // What else was among the lines is nobody's that counts.
        Ok(note + &seen.lines)
    }
}
