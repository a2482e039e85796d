//! Server-sent events of the engine: bytes in any split → whole events' data.

use crate::limits::ENGINE_EVENT_BYTES_MAX;

/// An event longer than the limit, or one that is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub struct BadEvent;

/// Assembles events from pieces.
#[derive(Debug, Default)]
pub struct SseReader {
    line: Vec<u8>,
    data: Option<String>,
}

impl SseReader {
    /// Takes bytes, returns the data of the events they complete. Lines end in LF or CRLF; comments and other fields are
    /// passed over; several `data:` lines of one event are joined by LF (HTML Living Standard §9.2.6).
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>, BadEvent> {
        let mut events = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() > ENGINE_EVENT_BYTES_MAX {
                    return Err(BadEvent);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(&line)).map_err(|_| BadEvent)?;
            if line.is_empty() {
                events.extend(self.data.take());
            } else if let Some(value) = line.strip_prefix("data:") {
                self.push(value.strip_prefix(' ').unwrap_or(value))?;
            }
        }
        Ok(events)
    }

    fn push(&mut self, value: &str) -> Result<(), BadEvent> {
        let data = match &mut self.data {
            None => self.data.insert(value.to_owned()),
            Some(data) => {
                data.push('\n');
                data.push_str(value);
                data
            }
        };
        if data.len() > ENGINE_EVENT_BYTES_MAX { Err(BadEvent) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{BadEvent, SseReader};

    const STREAM: &[u8] =
        ": hi\r\nevent: x\ndata: {\"a\":\"é\"}\r\n\r\ndata:one\ndata: two\n\n\n\ndata: [DONE]\n\n".as_bytes();

    #[test]
    fn every_split_gives_the_same_events() {
        let whole = SseReader::default().feed(STREAM).unwrap();
        assert_eq!(whole, ["{\"a\":\"é\"}", "one\ntwo", "[DONE]"]);
        for cut in 0..STREAM.len() {
            let mut reader = SseReader::default();
            let mut events = reader.feed(&STREAM[..cut]).unwrap();
            events.extend(reader.feed(&STREAM[cut..]).unwrap());
            assert_eq!(events, whole, "split at {cut}");
        }
    }

    #[test]
    fn an_event_without_end_is_refused_at_the_limit() {
        let long = vec![b'x'; crate::limits::ENGINE_EVENT_BYTES_MAX + 1];
        assert_eq!(SseReader::default().feed(&long), Err(BadEvent));
        let mut reader = SseReader::default();
        let line = [b"data: ".as_slice(), &[b'x'; 1000], b"\n"].concat();
        let refused = (0..2000).find(|_| reader.feed(&line) == Err(BadEvent));
        assert!(refused.is_some(), "many short data lines are bounded too");
    }
}
