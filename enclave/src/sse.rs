//! Server-sent events of the engine: bytes in any split → whole events' data.

use crate::limits::ENGINE_EVENT_BYTES_MAX;

/// An event that is too long, has several `data` lines, or is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub struct BadEvent;

/// Assembles events from pieces.
#[derive(Debug, Default)]
pub struct SseReader {
    bytes: Vec<u8>,
    /// Before this, all is read.
    at: usize,
    /// Before this, no line ends from `at` on.
    searched: usize,
    data: Vec<u8>,
    has_data: bool,
}

impl SseReader {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at.min(self.bytes.len()));
        self.searched = self.searched.saturating_sub(self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The data of the next whole event. Lines end in LF or CRLF; comments and other fields are passed over (HTML Living Standard
    /// §9.2.6). An event whose data spans several lines is refused: no engine says one, and its line breaks would break the event that
    /// parts of it are passed on in.
    ///
    /// # Errors
    /// For an event that is too long, even before it is whole, has several `data` lines, or is no text.
    pub fn next_event(&mut self) -> Result<Option<&str>, BadEvent> {
        loop {
            let unsearched = self.bytes.get(self.searched..).unwrap_or_default();
            let found = unsearched.iter().position(|byte| *byte == b'\n');
            let end = self.searched.saturating_add(found.unwrap_or(unsearched.len()));
            let line = self.bytes.get(self.at..end).unwrap_or_default();
            if line.len() > ENGINE_EVENT_BYTES_MAX {
                return Err(BadEvent);
            }
            if found.is_none() {
                self.searched = end;
                return Ok(None);
            }
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let ends = line.is_empty() && self.has_data;
            if let Some(value) = line.strip_prefix(b"data:") {
                if self.has_data {
                    return Err(BadEvent);
                }
                self.has_data = true;
                self.data.clear();
                self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            }
            self.at = end.saturating_add(1);
            self.searched = self.at;
            if ends {
                self.has_data = false;
                return std::str::from_utf8(&self.data).map(Some).map_err(|_| BadEvent);
            }
        }
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
        ": hi\r\nevent: x\ndata: {\"a\":\"é\"}\r\nid: 7\r\n\r\ndata:one\n: two\n\n\n\ndata: \n\ndata: [DONE]\n\n"
            .as_bytes();

    #[test]
    fn every_split_gives_the_same_events() {
        let whole = SseReader::default().events(STREAM).unwrap();
        assert_eq!(whole, ["{\"a\":\"é\"}", "one", "", "[DONE]"]);
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
        let refused = (0..2000).find(|_| reader.events(&[b'x'; 1000]) == Err(BadEvent));
        assert_eq!(refused, Some(crate::limits::ENGINE_EVENT_BYTES_MAX / 1000), "piece by piece, too");
        assert_eq!(SseReader::default().events(b"data: a\ndata: b\n\n"), Err(BadEvent));
    }

    #[test]
    fn what_is_passed_over_is_not_kept() {
        let mut reader = SseReader::default();
        assert_eq!(reader.events(b"data: a\n"), Ok(vec![]));
        for _ in 0..10_000 {
            assert_eq!(reader.events(b":\nid: x\n:comment\n"), Ok(vec![]));
            assert!(reader.bytes.capacity() < 4096 && reader.data.capacity() < 4096);
        }
        assert_eq!(reader.events(b"\n"), Ok(vec!["a".to_owned()]));
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
