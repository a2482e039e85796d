//! Server-sent events as OpenAI's clients read them, without changing a byte.
//!
//! Decides: how much of a stream may be shown before its receipt is verified, and whether the stream said that it is complete.
//! Trusts on entry: nothing; chunks split anywhere. Holds on exit: bytes from the `data: [DONE]` line on are held back, so that
//! nobody sees a finished stream whose receipt was not verified (threat N9).

/// Longest line that could be a `data: [DONE]` line; a longer one is not held back.
const DONE_LINE_BYTES_MAX: usize = 64;
/// Longest single event payload kept for reading.
pub const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most bytes that may follow the `[DONE]` line.
const TAIL_BYTES_MAX: usize = 1024;

/// Why a stream cannot be relayed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SseError {
    /// Data came after the end marker.
    #[error("the stream goes on after its end marker")]
    AfterDone,
}

/// Splits a stream into what may be shown now and what waits for the receipt.
#[derive(Debug, Default)]
pub struct DoneGate {
    /// Start of a line that may turn out to be the end marker, or, once `done`, everything from that marker on.
    held: Vec<u8>,
    /// The current line is already known not to be the end marker.
    passing: bool,
    done: bool,
}

impl DoneGate {
    /// Takes the next bytes; returns those that may be shown.
    ///
    /// # Errors
    /// When anything but blank lines and comments follows the end marker.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, SseError> {
        let mut shown = Vec::with_capacity(chunk.len());
        let mut rest = chunk;
        while !rest.is_empty() {
            if self.done {
                self.hold_tail(rest)?;
                break;
            }
            let (line, after, complete) = split_line(rest);
            rest = after;
            self.push_line_part(line, complete, &mut shown);
        }
        Ok(shown)
    }

    /// Whether `data: [DONE]` was seen as a whole line.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The bytes held back. Show them only after the receipt was verified.
    #[must_use]
    pub fn into_held(self) -> Vec<u8> {
        self.held
    }

    fn push_line_part(&mut self, part: &[u8], complete: bool, shown: &mut Vec<u8>) {
        if self.passing {
            shown.extend_from_slice(part);
        } else {
            self.held.extend_from_slice(part);
            if complete && is_done_line(&self.held) {
                self.done = true;
                return;
            }
            if complete || !may_become_done(&self.held) {
                shown.append(&mut self.held);
                self.passing = true;
            }
        }
        if complete {
            self.passing = false;
        }
    }

    fn hold_tail(&mut self, tail: &[u8]) -> Result<(), SseError> {
        self.held.extend_from_slice(tail);
        let mut lines = self.held.split(|byte| matches!(byte, b'\n' | b'\r'));
        let marker_first = lines.next().is_some_and(is_done_line);
        let only_blank = lines.all(|line| line.is_empty() || line.starts_with(b":"));
        if marker_first && only_blank && self.held.len() <= TAIL_BYTES_MAX { Ok(()) } else { Err(SseError::AfterDone) }
    }
}

/// One line with its terminator, what follows, and whether the line is complete. A lone CR ends a line too.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8], bool) {
    match bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        Some(at) => {
            let (line, after) = bytes.split_at((at + 1).min(bytes.len()));
            (line, after, true)
        }
        None => (bytes, &[], false),
    }
}

fn is_done_line(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    line.strip_prefix(b"data:").is_some_and(|value| value.trim_ascii_start() == b"[DONE]")
}

fn may_become_done(line: &[u8]) -> bool {
    const PREFIX: &[u8] = b"data:";
    if line.len() > DONE_LINE_BYTES_MAX {
        return false;
    }
    match line.strip_prefix(PREFIX) {
        None => PREFIX.starts_with(line),
        Some(value) => {
            let value = value.trim_ascii_start();
            b"[DONE]".starts_with(value)
                || value.strip_prefix(b"[DONE]").is_some_and(|rest| rest.trim_ascii().is_empty())
        }
    }
}

/// Collects `data:` payloads of events for a reader. Comments, names and ids are skipped.
#[derive(Debug, Default)]
pub struct EventReader {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    truncated: bool,
}

impl EventReader {
    /// Takes the next bytes and calls `on_event` for each complete event's data.
    pub fn push(&mut self, chunk: &[u8], mut on_event: impl FnMut(&[u8])) {
        for &byte in chunk {
            let crlf = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            match byte {
                b'\n' if crlf => {}
                b'\n' | b'\r' => self.end_line(&mut on_event),
                _ if self.line.len() < EVENT_BYTES_MAX => self.line.push(byte),
                _ => self.truncated = true,
            }
        }
    }

    fn end_line(&mut self, on_event: &mut impl FnMut(&[u8])) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            if self.has_data && !self.truncated {
                on_event(&self.data);
            }
            self.data.clear();
            self.has_data = false;
            self.truncated = false;
        } else if let Some(value) = line.strip_prefix(b"data:") {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            if self.data.len() + value.len() > EVENT_BYTES_MAX {
                self.truncated = true;
                return;
            }
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value);
            self.has_data = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b": hi\r\n\r\ndata: {\"a\":\"[DONE]\"}\n\ndata: {\"b\":1}\r\n\r\ndata:x\n\ndata: [DONE]\n\n";

    fn split_everywhere(stream: &[u8], size: usize) -> (Vec<u8>, DoneGate) {
        let mut gate = DoneGate::default();
        let mut shown = Vec::new();
        for chunk in stream.chunks(size) {
            shown.extend(gate.push(chunk).unwrap());
        }
        (shown, gate)
    }

    #[test]
    fn every_split_shows_the_same_bytes_and_holds_the_marker() {
        for size in 1..=STREAM.len() {
            let (shown, gate) = split_everywhere(STREAM, size);
            assert!(gate.is_done(), "size {size}");
            assert_eq!(shown, STREAM.strip_suffix(b"data: [DONE]\n\n").unwrap(), "size {size}");
            assert_eq!(gate.into_held(), b"data: [DONE]\n\n");
        }
    }

    #[test]
    fn every_truncation_is_incomplete() {
        let whole = STREAM.len() - 1; // without the last blank line the marker line is still whole
        for cut in 0..whole {
            let (shown, gate) = split_everywhere(&STREAM[..cut], 7);
            assert!(!gate.is_done(), "cut {cut}");
            let mut all = shown;
            all.extend(gate.into_held());
            assert_eq!(all, &STREAM[..cut]);
        }
    }

    #[test]
    fn marker_variants() {
        for marker in ["data: [DONE]\n", "data:[DONE]\n", "data: [DONE]\r\n\r\n", "data:  [DONE] \n"] {
            let (shown, gate) = split_everywhere(marker.as_bytes(), 1);
            assert!(gate.is_done() && shown.is_empty(), "{marker:?}");
        }
        for not in [
            "data: [done]\n",
            "xdata: [DONE]\n",
            "data: [DONE]x\n",
            "event: [DONE]\n",
            "data: \"[DONE]\"\n",
            " data: [DONE]\n",
        ] {
            let (shown, gate) = split_everywhere(not.as_bytes(), 1);
            assert!(!gate.is_done(), "{not:?}");
            assert_eq!(shown, not.as_bytes());
        }
    }

    #[test]
    fn nothing_may_follow_the_marker() {
        for size in 1..40 {
            let mut gate = DoneGate::default();
            let outcome: Result<Vec<_>, _> =
                b"data: [DONE]\n\ndata: {\"more\":1}\n\n".chunks(size).map(|chunk| gate.push(chunk)).collect();
            assert_eq!(outcome, Err(SseError::AfterDone), "size {size}");
        }
        let mut gate = DoneGate::default();
        assert!(gate.push(b"data: [DONE]\n\n: bye\n\n").is_ok());
        assert!(gate.push(&[b'\n'; 2000]).is_err());
    }

    #[test]
    fn a_long_line_is_not_held() {
        let mut gate = DoneGate::default();
        let mut line = b"data: ".to_vec();
        line.extend(vec![b' '; 100]);
        assert_eq!(gate.push(&line).unwrap(), line);
        assert_eq!(gate.push(b"[DONE]\n").unwrap(), b"[DONE]\n");
        assert!(!gate.is_done());
    }

    #[test]
    fn events_are_read_across_splits() {
        for size in 1..20 {
            let mut reader = EventReader::default();
            let mut events = Vec::new();
            for chunk in STREAM.chunks(size) {
                reader.push(chunk, |data| events.push(String::from_utf8(data.to_vec()).unwrap()));
            }
            assert_eq!(events, ["{\"a\":\"[DONE]\"}", "{\"b\":1}", "x", "[DONE]"]);
        }
    }
}
