//! Streams whose last events say that they are complete (`/v1/responses`, `/v1/messages`), shown event by event up to those.
//!
//! Decides: which events may be shown before the receipt is verified. Trusts on entry: nothing; chunks split anywhere. Holds on exit: an
//! event is shown only when it is whole and neither its name nor the type in its data says that the answer has ended, since clients go
//! by either; from that event on all is held back (threat N9).

use serde::Deserialize;

use crate::sse::SseError;

/// Most bytes of one event. The last one repeats the whole answer.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The events that end a stream.
#[derive(Debug)]
struct Ends {
    /// What clients may take for the end, or for a part of it.
    any: &'static [&'static str],
    /// The types of the last events of a whole answer.
    whole: &'static [&'static str],
}

const RESPONSE: Ends =
    Ends { any: &["response.completed", "response.incomplete", "response.failed"], whole: &["response.completed"] };

/// Why a message stopped is said before that it did.
const MESSAGE: Ends = Ends { any: &["message_delta", "message_stop"], whole: &["message_delta", "message_stop"] };

/// What is read of an event; the rest is for clients.
#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Unreadable;

/// Splits a stream into what may be shown now and what waits for the receipt.
#[derive(Debug)]
pub struct EventGate {
    ends: &'static Ends,
    /// The event that is not whole yet or, once `ended`, everything from the last event on.
    held: Vec<u8>,
    /// Bytes of the current line.
    line: usize,
    after_cr: bool,
    ended: bool,
}

impl EventGate {
    /// For the stream of a response.
    #[must_use]
    pub fn response() -> Self {
        Self::of(&RESPONSE)
    }

    /// For the stream of a message.
    #[must_use]
    pub fn message() -> Self {
        Self::of(&MESSAGE)
    }

    fn of(ends: &'static Ends) -> Self {
        Self { ends, held: Vec::new(), line: 0, after_cr: false, ended: false }
    }

    /// Takes the next bytes; returns those that may be shown.
    ///
    /// # Errors
    /// When an event is too long. What follows the last one is held with it, and [`EventGate::is_done`] then says no.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, SseError> {
        let mut shown = Vec::with_capacity(chunk.len());
        for &byte in chunk {
            self.held.push(byte);
            let second_half = byte == b'\n' && self.after_cr;
            match byte {
                // It belongs to the line before, which may have ended an event that is shown.
                b'\n' if second_half && self.held.len() == 1 => shown.append(&mut self.held),
                b'\n' if second_half => {}
                b'\n' | b'\r' if self.line == 0 => self.end_event(&mut shown),
                b'\n' | b'\r' => self.line = 0,
                _ => self.line = self.line.saturating_add(1),
            }
            self.after_cr = byte == b'\r';
        }
        if self.held.len() > EVENT_BYTES_MAX { Err(SseError::AfterDone) } else { Ok(shown) }
    }

    /// Whether the stream ended as a whole answer does, and with nothing after it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let end_in = |data: &Vec<u8>| self.ends.end_in(data).ok().flatten();
        let types: Option<Vec<_>> = data_of_events(&self.held).iter().map(end_in).collect();
        let whole = self.line == 0 && (self.held.ends_with(b"\n") || self.held.ends_with(b"\r"));
        self.ended && whole && types.is_some_and(|types| types == self.ends.whole)
    }

    /// The bytes held back. Show them only after the receipt was verified.
    #[must_use]
    pub fn into_held(self) -> Vec<u8> {
        self.held
    }

    fn end_event(&mut self, shown: &mut Vec<u8>) {
        if !self.ended && !self.ends.are_said_in(&self.held) {
            shown.append(&mut self.held);
        } else {
            self.ended = true;
        }
    }
}

impl Ends {
    /// The end that an event's data tells of, if it does.
    ///
    /// # Errors
    /// When that cannot be read, for example since a member is there twice: clients read more than this does, each in its own way.
    fn end_in(&self, data: &[u8]) -> Result<Option<&'static str>, Unreadable> {
        let Typed { kind } = serde_json::from_slice(data).map_err(|_| Unreadable)?;
        Ok(self.any.iter().copied().find(|end| *end == kind))
    }

    /// Whether a whole event may be taken for the end, by its name or its data.
    fn are_said_in(&self, event: &[u8]) -> bool {
        let event = event.strip_prefix(b"\xef\xbb\xbf").unwrap_or(event);
        let named = event.split(|byte| matches!(byte, b'\n' | b'\r')).any(|line| {
            let name = line.strip_prefix(b"event:").map(<[u8]>::trim_ascii);
            name.is_some_and(|name| self.any.iter().any(|end| end.as_bytes() == name))
        });
        // What cannot be read may be an end to somebody.
        named || data_of_events(event).iter().any(|data| self.end_in(data) != Ok(None))
    }
}

/// The data of each whole event that has some, as clients put its lines together.
fn data_of_events(events: &[u8]) -> Vec<Vec<u8>> {
    let (mut whole, mut current): (Vec<Vec<u8>>, Option<Vec<u8>>) = (Vec::new(), None);
    // The two halves of a line's end look like an empty line, which ends nothing that has not begun.
    for line in events.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        for line in line.split(|byte| *byte == b'\r') {
            if line.is_empty() {
                whole.extend(current.take());
            } else if let Some(value) = line.strip_prefix(b"data:") {
                let value = value.strip_prefix(b" ").unwrap_or(value);
                match &mut current {
                    Some(data) => data.extend([b"\n", value].concat()),
                    None => current = Some(value.to_vec()),
                }
            }
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "event: response.created\ndata: {\"type\":\"response.created\"}\n\n: .\n\n\
        event: response.output_text.delta\r\ndata: {\"delta\":\"response.completed\",\"type\":\"x\"}\r\n\r\n";
    const LAST: &str = "event: response.completed\ndata: {\"type\":\"response.completed\"}\n\n";

    fn gated(stream: &str, size: usize) -> (Vec<u8>, EventGate) {
        let mut gate = EventGate::response();
        let shown = stream.as_bytes().chunks(size).flat_map(|chunk| gate.push(chunk).unwrap()).collect();
        (shown, gate)
    }

    #[test]
    fn every_split_shows_the_same_bytes_and_holds_the_last_event() {
        let stream = format!("{SHOWN}{LAST}: ...\n\n");
        for size in 1..=stream.len() {
            let (shown, gate) = gated(&stream, size);
            assert!(gate.is_done(), "size {size}");
            assert_eq!(String::from_utf8(shown).unwrap(), SHOWN, "size {size}");
            assert_eq!(gate.into_held(), format!("{LAST}: ...\n\n").as_bytes());
        }
    }

    #[test]
    fn every_truncation_is_incomplete_and_shows_no_half_event() {
        let stream = format!("{SHOWN}{LAST}");
        for cut in 0..stream.len() {
            let (shown, gate) = gated(stream.get(..cut).unwrap(), 7);
            assert!(!gate.is_done(), "cut {cut}");
            assert!(
                shown.is_empty()
                    || shown.ends_with(b"\n\n")
                    || shown.ends_with(b"\r\n\r")
                    || shown.ends_with(b"\n\r\n")
            );
        }
    }

    #[test]
    fn an_end_is_held_back_however_it_is_told() {
        for end in [
            "data: {\"type\":\"response.completed\"}\n\n",
            "data: {\"type\":\"response.completed\"}\nevent: other\n\n",
            "event: other\ndata: {\"type\":\ndata: \"response.incomplete\"}\n\n",
            "data: {\"type\":\"x\",\"type\":\"response.completed\"}\n\n",
            "event:response.failed\ndata: {}\n\n",
            "event: x\ndata: {\"type\":\"response.completed\",\"x\":NaN}\n\n",
            "event: x\ndata: {\"type\":\"response.completed\",\"x\":1e999}\n\n",
            "event: x\ndata: {\"x\":\"\\ud800\",\"type\":\"response.completed\"}\n\n",
            "event: x\ndata: {\"x\":1}\n\n",
            "data: [DONE]\n\n",
            &format!("data: {{\"type\":\"response.completed\",\"x\":{}1{}}}\n\n", "[".repeat(200), "]".repeat(200)),
            "\u{feff}event: response.completed\rdata: {}\r\r",
        ] {
            let (shown, _) = gated(end, 3);
            assert!(shown.is_empty(), "{end:?}");
        }
    }

    #[test]
    fn an_end_that_is_not_a_completed_response_is_no_end() {
        for end in [
            "event: response.completed\ndata: {}\n\n",
            "event: response.failed\ndata: {\"type\":\"response.failed\"}\n\n",
            &format!("{LAST}data: {{}}\n\n"),
            &format!("{LAST}{LAST}"),
            &format!("{LAST}data: unfinished"),
            "data: [DONE]\n\n",
        ] {
            assert!(!gated(end, 5).1.is_done(), "{end:?}");
        }
        // A long one is one all the same.
        let text = "x".repeat(6 << 20);
        let last =
            format!("event: response.completed\ndata: {{\"type\":\"response.completed\",\"text\":\"{text}\"}}\n\n");
        assert!(gated(&last, 1 << 16).1.is_done());
        let long = vec![b'x'; EVENT_BYTES_MAX + 1];
        assert_eq!(EventGate::response().push(&long), Err(SseError::AfterDone));
    }

    #[test]
    fn a_message_is_held_back_from_the_reason_it_stopped_for() {
        let shown = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n";
        let delta = "event: message_delta\ndata: {\"type\":\"message_delta\"}\n\n";
        let stop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
        let gated = |stream: &str| {
            let mut gate = EventGate::message();
            let shown: Vec<u8> = stream.as_bytes().chunks(5).flat_map(|chunk| gate.push(chunk).unwrap()).collect();
            (String::from_utf8(shown).unwrap(), gate.is_done())
        };
        assert_eq!(gated(&format!("{shown}{delta}{stop}")), (shown.to_owned(), true));
        for cut in [
            format!("{shown}{delta}"),
            format!("{shown}{stop}"),
            format!("{shown}{delta}{stop}{stop}"),
            shown.to_owned(),
        ] {
            assert_eq!(gated(&cut), (shown.to_owned(), false), "{cut}");
        }
    }
}
