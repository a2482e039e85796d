//! Server-sent events of the engine: bytes in any split → whole events' data.

use std::ops::Range;

use crate::limits::ENGINE_EVENT_BYTES_MAX;

/// An event longer than the limit, or one that is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub struct BadEvent;

/// Assembles events from pieces.
#[derive(Debug, Default)]
pub struct SseReader {
    bytes: Vec<u8>,
    /// Before this, all is read.
    at: usize,
    /// Where no line ends, from `at` on.
    searched: usize,
    data: Data,
}

/// What is there of an event.
#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    /// One line, in place.
    Line(Range<usize>),
    /// Several.
    Lines(Vec<u8>),
}

impl SseReader {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        // What is read goes, unless an event began in it.
        let keep_from = if let Data::Line(line) = &self.data { line.start } else { self.at };
        self.bytes.drain(..keep_from.min(self.bytes.len()));
        self.at = self.at.saturating_sub(keep_from);
        self.searched = self.searched.saturating_sub(keep_from);
        if let Data::Line(line) = &mut self.data {
            *line = 0..line.len();
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The data of the next whole event. Lines end in LF or CRLF; comments and other fields are passed over; several `data:` lines of
    /// one event are joined by LF (HTML Living Standard §9.2.6).
    ///
    /// # Errors
    /// For an event that is too long, even before it is whole, or no text.
    pub fn next_event(&mut self) -> Result<Option<&str>, BadEvent> {
        loop {
            let unsearched = self.bytes.get(self.searched..).unwrap_or_default();
            let Some(found) = unsearched.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.bytes.len();
                let line = self.bytes.len().saturating_sub(self.at);
                return if line > ENGINE_EVENT_BYTES_MAX { Err(BadEvent) } else { Ok(None) };
            };
            let end = self.searched.saturating_add(found);
            let line = self.at..end;
            self.at = end.saturating_add(1);
            self.searched = self.at;
            if line.len() > ENGINE_EVENT_BYTES_MAX {
                return Err(BadEvent);
            }
            if self.is_end_of_event(line)? {
                return self.take_event().map(Some);
            }
        }
    }

    /// Reads a line; whether an event ends with it.
    fn is_end_of_event(&mut self, line: Range<usize>) -> Result<bool, BadEvent> {
        let bytes = self.bytes.get(line.clone()).unwrap_or_default();
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if bytes.is_empty() {
            return Ok(!matches!(self.data, Data::None));
        }
        let Some(value) = bytes.strip_prefix(b"data:") else { return Ok(false) };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let lines = match std::mem::take(&mut self.data) {
            Data::None => {
                let end = line.start.saturating_add(bytes.len());
                self.data = Data::Line(end.saturating_sub(value.len())..end);
                return Ok(false);
            }
            Data::Line(first) => [self.bytes.get(first).unwrap_or_default(), b"\n", value].concat(),
            Data::Lines(mut lines) => {
                lines.push(b'\n');
                lines.extend_from_slice(value);
                lines
            }
        };
        if lines.len() > ENGINE_EVENT_BYTES_MAX {
            return Err(BadEvent);
        }
        self.data = Data::Lines(lines);
        Ok(false)
    }

    fn take_event(&mut self) -> Result<&str, BadEvent> {
        let data = match std::mem::take(&mut self.data) {
            Data::None => &[],
            Data::Line(line) => self.bytes.get(line).unwrap_or_default(),
            Data::Lines(lines) => {
                // Goes where what is read goes with the next bytes.
                let rest = self.bytes.split_off(self.at.min(self.bytes.len()));
                self.bytes = lines;
                self.at = self.bytes.len();
                self.searched = self.at;
                self.bytes.extend_from_slice(&rest);
                self.bytes.get(..self.at).unwrap_or_default()
            }
        };
        std::str::from_utf8(data).map_err(|_| BadEvent)
    }

    /// The events that are whole, in a test.
    #[cfg(test)]
    pub(crate) fn events(&mut self, bytes: &[u8]) -> Result<Vec<String>, BadEvent> {
        self.feed(bytes);
        let mut events = Vec::new();
        while let Some(event) = self.next_event()? {
            events.push(event.to_owned());
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::{BadEvent, SseReader};

    const STREAM: &[u8] =
        ": hi\r\nevent: x\ndata: {\"a\":\"é\"}\r\n\r\ndata:one\ndata: two\nid: 7\ndata:\n\n\n\ndata: \n\ndata: [DONE]\n\n".as_bytes();

    #[test]
    fn every_split_gives_the_same_events() {
        let whole = SseReader::default().events(STREAM).unwrap();
        assert_eq!(whole, ["{\"a\":\"é\"}", "one\ntwo\n", "", "[DONE]"]);
        for cut in 0..STREAM.len() {
            for second in cut..STREAM.len() {
                let mut reader = SseReader::default();
                let mut events = reader.events(&STREAM[..cut]).unwrap();
                events.extend(reader.events(&STREAM[cut..second]).unwrap());
                events.extend(reader.events(&STREAM[second..]).unwrap());
                assert_eq!(events, whole, "split at {cut} and {second}");
            }
        }
    }

    #[test]
    fn an_event_without_end_is_refused_at_the_limit() {
        let long = vec![b'x'; crate::limits::ENGINE_EVENT_BYTES_MAX + 1];
        assert_eq!(SseReader::default().events(&long), Err(BadEvent));
        let mut reader = SseReader::default();
        let line = [b"data: ".as_slice(), &[b'x'; 1000], b"\n"].concat();
        let refused = (0..2000).find(|_| reader.events(&line) == Err(BadEvent));
        assert!(refused.is_some(), "many short data lines are bounded too");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(SseReader::default().events(b"data: \xff\n\n"), Err(BadEvent));
        assert_eq!(
            SseReader::default().events(b": \xff\ndata: a\n\n"),
            Ok(vec!["a".to_owned()]),
            "a comment is not read"
        );
    }
}
