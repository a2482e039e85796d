//! The log of a ledger, as witnesses and their readers know it (protocol §4.12).
//!
//! Decides: that the ledger signed a head of its log, and that enough witnesses cosigned it lately. Trusts on entry: the ledger's id and
//! key, which the reader pins, the witnesses that the reader names, and the reader's clock.

use attestation::{ReceiptPublicKey, UnixTime};
use credits::Bytes32;

use crate::checkpoint::Checkpoint;
use crate::cosignature::witnessed;
use crate::error::LogFault;
use crate::note::{LogKey, line};
use crate::quorum::Quorum;

/// How old the cosignatures of a head may be, and how far ahead of the reader's clock, in seconds.
pub const HEAD_AGE_SECS_MAX: u64 = 60;

/// What the name of a ledger's log begins with. Nothing else that a ledger's key signs begins so: those strings begin with a length.
const ORIGIN_PREFIX: &str = "cloister-ledger/";

/// The name and key by which witnesses know the log of a ledger.
///
/// # Errors
/// None for any id; the signature is that of [`LogKey::new`].
pub fn ledger_log_key(ledger_id: &Bytes32, ledger_key: &Bytes32) -> Result<LogKey, LogFault> {
    LogKey::new(&format!("{ORIGIN_PREFIX}{ledger_id}"), ReceiptPublicKey(ledger_key.0))
}

/// The note of a head, signed by whoever holds the key.
#[must_use]
pub fn ledger_head_note(head: &Checkpoint, key: &LogKey, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> String {
    let text = head.text(key.name());
    let signature = sign(text.as_bytes());
    format!("{text}\n{}", line(key.name(), key.id(), &signature))
}

/// A head that witnesses saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WitnessedHead {
    /// The head.
    pub checkpoint: Checkpoint,
    /// The latest time that as many witnesses as are needed had reached when they cosigned it.
    pub cosigned: UnixTime,
}

/// The head that a note says, once the ledger signed it and enough witnesses cosigned it lately.
///
/// # Errors
/// Those of [`Checkpoint::open`] and [`witnessed`]; [`LogFault::NotLately`].
pub fn witnessed_ledger_head(
    note: &str,
    key: &LogKey,
    quorum: &Quorum,
    now: UnixTime,
) -> Result<WitnessedHead, LogFault> {
    let checkpoint = Checkpoint::open(note, key)?;
    let cosigned = witnessed(note, quorum.witnesses(), quorum.needed())?;
    // A witness whose clock is ahead makes no head newer: as many as are needed must have reached the time.
    let cosigned = cosigned.time_of(quorum.needed()).unwrap_or(UnixTime(0));
    if now.0.abs_diff(cosigned.0) > HEAD_AGE_SECS_MAX {
        return Err(LogFault::NotLately { cosigned: cosigned.0, now: now.0 });
    }
    Ok(WitnessedHead { checkpoint, cosigned })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cosigner;
    use attestation::ReceiptKey;
    use credits::LedgerKey;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    struct Made {
        ledger: LedgerKey,
        key: LogKey,
        cosigners: Vec<Cosigner>,
        quorum: Quorum,
        head: Checkpoint,
    }

    fn made() -> Made {
        let ledger = LedgerKey::from_seed(&[9; 32]);
        let key = ledger_log_key(&Bytes32([7; 32]), &ledger.public()).unwrap();
        let cosigner = |seed| Cosigner::new(&format!("w{seed}"), ReceiptKey::from_seed(&[seed; 32]).unwrap()).unwrap();
        let cosigners: Vec<_> = [1, 2, 3].map(cosigner).into();
        let quorum = Quorum::new(cosigners.iter().map(|cosigner| cosigner.public().clone()).collect(), 2).unwrap();
        Made { ledger, key, cosigners, quorum, head: Checkpoint { size: 5, root: Bytes32([4; 32]) } }
    }

    impl Made {
        fn note(&self) -> String {
            ledger_head_note(&self.head, &self.key, |text| self.ledger.sign(text).0)
        }

        fn cosigned(&self, times: &[u64]) -> String {
            let text = self.head.text(self.key.name());
            let lines =
                self.cosigners.iter().zip(times).map(|(cosigner, time)| cosigner.cosign(&text, UnixTime(*time)));
            self.note() + &lines.collect::<String>()
        }

        fn judge(&self, note: &str) -> Result<Checkpoint, LogFault> {
            witnessed_ledger_head(note, &self.key, &self.quorum, NOW).map(|head| head.checkpoint)
        }
    }

    #[test]
    fn a_head_that_enough_witnesses_cosigned_lately_is_taken() {
        let made = made();
        let now = NOW.0;
        assert_eq!(made.judge(&made.cosigned(&[now, now])), Ok(made.head));
        assert_eq!(made.judge(&made.cosigned(&[now - 60, now + 60])), Ok(made.head));
        // The third was asked long ago and does not count against the others.
        assert_eq!(made.judge(&made.cosigned(&[now, now, 0])), Ok(made.head));
    }

    #[test]
    fn what_too_few_say_or_said_long_ago_is_refused() {
        let made = made();
        let now = NOW.0;
        for (times, code) in [
            (vec![], "log.not_cosigned"),
            (vec![now], "log.not_cosigned"),
            (vec![now - 61, now - 61], "log.not_lately"),
            (vec![now, now - 61], "log.not_lately"),
            // One that is far ahead does not make up for one that is behind.
            (vec![now + 1000, now - 61, now - 61], "log.not_lately"),
            // A reader whose clock was set back reads no old head as a new one.
            (vec![now + 61, now + 61], "log.not_lately"),
        ] {
            assert_eq!(made.judge(&made.cosigned(&times)).unwrap_err().code(), code, "{times:?}");
        }
    }

    #[test]
    fn a_head_of_another_ledger_or_key_is_refused() {
        let made = made();
        let now = NOW.0;
        let note = made.cosigned(&[now, now]);
        let judge = |id, key: &Bytes32| {
            let key = ledger_log_key(&Bytes32([id; 32]), key).unwrap();
            witnessed_ledger_head(&note, &key, &made.quorum, NOW).unwrap_err().code()
        };
        assert_eq!(judge(8, &made.ledger.public()), "log.unsigned");
        assert_eq!(judge(7, &LedgerKey::from_seed(&[1; 32]).public()), "log.unsigned");
        assert_eq!(made.judge(&note.replace("\n5\n", "\n6\n")).unwrap_err().code(), "log.signature");
    }

    #[test]
    fn nothing_else_that_a_ledger_signs_begins_like_its_heads() {
        use credits::{UnsignedCheckpoint, note::Root};
        let made = made();
        let unsigned = UnsignedCheckpoint {
            ledger_id: Bytes32([7; 32]),
            log_size: 5,
            log_root: Bytes32([4; 32]),
            note_count: 0,
            note_root: Root(credits::field::Fe::from(0)),
            time: 1,
        };
        let checkpoint = credits::Checkpoint::sign(unsigned, &made.ledger);
        let text = made.head.text(made.key.name());
        let note = format!("{text}\n{}", line(made.key.name(), made.key.id(), &checkpoint.signature.0));
        assert_eq!(Checkpoint::open(&note, &made.key), Err(LogFault::Signature));
    }
}
