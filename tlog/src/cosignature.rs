//! Cosignatures: what witnesses say about a log (C2SP tlog-cosignature, Ed25519).
//!
//! A witness says "at this time, this is the newest head of this log that I have seen, and it extends all that I saw before". Decides:
//! how many of the named witnesses said so of a checkpoint. Trusts on entry: the witnesses' keys, named by whoever asks. A line of
//! somebody else, or one that does not verify, counts for nothing.

use std::fmt;
use std::str::FromStr;

use attestation::{ReceiptKey, ReceiptPublicKey, UnixTime};

use crate::error::LogFault;
use crate::note::{NoteSignature, key_id, line, read_key, signature_lines, split, write_key};

/// Signature type of a cosignature.
const COSIGNATURE: u8 = 0x04;
/// Longest line of a cosignature: the longest name, and 76 bytes in base64.
const LINE_BYTES_MAX: usize = 400;

/// A witness: its name, and the key it cosigns with. Its text is `NAME+HASH+BASE64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    key: ReceiptPublicKey,
}

impl WitnessKey {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &ReceiptPublicKey {
        &self.key
    }

    /// First four bytes of `SHA-256(name ‖ 0x0A ‖ 0x04 ‖ key)`.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        key_id(COSIGNATURE, &self.name, &self.key)
    }

    /// When this witness cosigned `text`, if the line is its own and verifies.
    fn time_of(&self, text: &str, line: &NoteSignature<'_>) -> Option<UnixTime> {
        if line.name != self.name || line.id != self.id() {
            return None;
        }
        let (time, signature) = line.signature.split_first_chunk::<8>()?;
        let time = UnixTime(u64::from_be_bytes(*time));
        let signature = <[u8; 64]>::try_from(signature).ok()?;
        self.key.verify(&message(time, text), &signature).ok().map(|()| time)
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, COSIGNATURE, &self.name, &self.key)
    }
}

impl FromStr for WitnessKey {
    type Err = LogFault;

    fn from_str(text: &str) -> Result<Self, LogFault> {
        let (name, key) = read_key(COSIGNATURE, text)?;
        Ok(Self { name, key })
    }
}

/// Cosigns checkpoints.
#[derive(Debug)]
pub struct Cosigner {
    public: WitnessKey,
    key: ReceiptKey,
}

impl Cosigner {
    /// Cosigns with `key` under `name`.
    ///
    /// # Errors
    /// [`LogFault::Key`] when a note's key cannot have that name.
    pub fn new(name: &str, key: ReceiptKey) -> Result<Self, LogFault> {
        let public = WitnessKey { name: name.to_owned(), key: key.public() };
        // By its text, so that what cannot be named cannot sign.
        Ok(Self { public: public.to_string().parse()?, key })
    }

    /// What cosignatures verify under.
    #[must_use]
    pub fn public(&self) -> &WitnessKey {
        &self.public
    }

    /// The line that says that `text`, of a checkpoint, was the newest head at `time`.
    #[must_use]
    pub fn cosign(&self, text: &str, time: UnixTime) -> String {
        let signature = [time.0.to_be_bytes().as_slice(), &self.key.sign(&message(time, text))].concat();
        line(&self.public.name, self.public.id(), &signature)
    }
}

fn message(time: UnixTime, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {}\n{text}", time.0).into_bytes()
}

/// Who cosigned a checkpoint, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// The time each of the witnesses says, in the order in which they are named; each key counts once.
    pub times: Vec<(String, UnixTime)>,
    /// Their signature lines.
    pub lines: String,
}

impl Witnessed {
    /// The latest time that so many of them had reached.
    #[must_use]
    pub fn time_of(&self, witnesses: usize) -> Option<UnixTime> {
        let mut times: Vec<_> = self.times.iter().map(|(_, time)| *time).collect();
        times.sort_unstable_by(|one, other| other.cmp(one));
        times.get(witnesses.checked_sub(1)?).copied()
    }
}

/// Which of `witnesses` cosigned `note`, once at least `needed` did. That the log signed it is not looked at.
///
/// # Errors
/// [`LogFault::Malformed`] for what is no note, [`LogFault::Unwitnessed`].
pub fn witnessed(note: &str, witnesses: &[WitnessKey], needed: usize) -> Result<Witnessed, LogFault> {
    let (text, lines) = split(note)?;
    count(text, &lines, witnesses, needed)
}

/// The same of lines that came from elsewhere than `text`, of a checkpoint. What is no signature line is passed over: one witness that
/// says nonsense does not take the word from the others.
///
/// # Errors
/// [`LogFault::Unwitnessed`].
pub fn cosigned_by(text: &str, lines: &str, witnesses: &[WitnessKey], needed: usize) -> Result<Witnessed, LogFault> {
    let lines: Vec<_> = lines.split_inclusive('\n').filter_map(|line| signature_lines(line).ok()).flatten().collect();
    count(text, &lines, witnesses, needed)
}

/// The lines among `lines` that may be cosignatures of the log with this name, at most so many of them. Nothing is verified. What is
/// signed by the log's own name is none: a note is refused for a signature under its key that does not verify.
#[must_use]
pub fn signatures_of(lines: &str, log: &str, most: usize) -> String {
    let by_others = |line: &str| {
        // A control character takes six bytes where lines are passed on.
        let plain = line.len() <= LINE_BYTES_MAX && !line.bytes().any(|byte| byte < 0x20 && byte != b'\n');
        let read = signature_lines(line).unwrap_or_default();
        plain && !read.is_empty() && read.iter().all(|signature| signature.name != log)
    };
    lines.split_inclusive('\n').filter(|line| by_others(line)).take(most).collect()
}

fn count(
    text: &str,
    lines: &[NoteSignature<'_>],
    witnesses: &[WitnessKey],
    needed: usize,
) -> Result<Witnessed, LogFault> {
    let mut seen = Witnessed { times: Vec::new(), lines: String::new() };
    let mut counted: Vec<&ReceiptPublicKey> = Vec::new();
    for witness in witnesses {
        let timed = lines.iter().filter_map(|line| Some((witness.time_of(text, line)?, line)));
        let newest = timed.max_by_key(|(time, _)| *time);
        // A name is not signed: one key under two names is one witness.
        if let Some((time, newest)) = newest
            && !counted.contains(&&witness.key)
        {
            counted.push(&witness.key);
            seen.times.push((witness.name.clone(), time));
            seen.lines.push_str(&line(newest.name, newest.id, &newest.signature));
        }
    }
    if seen.times.len() < needed {
        return Err(LogFault::Unwitnessed { got: seen.times.len(), needed });
    }
    Ok(seen)
}
