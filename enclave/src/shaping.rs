//! How an answer looks to somebody who sees only sizes and times (threat I2).
//!
//! Encryption hides what a frame says, not how long it is, and the lengths of the tokens of an answer tell its topic. So every
//! event of a stream is filled up to a multiple of one size, and with a cadence events leave together at fixed times, with or without
//! something to say. What remains visible: how long an answer takes, and how many events it has, with a cadence in each interval.
//!
//! The filling is white space to JSON and a comment to readers of server-sent events (HTML Living Standard §9.2.6); receipts cover
//! it like any other byte.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::config::ShapingConfig;

/// Shortest comment line: a colon and a line feed.
const COMMENT_BYTES_MIN: usize = 2;

/// The measured settings, for one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shaping {
    /// Frames are multiples of this many bytes; 0 leaves them as they are.
    frame_bytes: usize,
    /// Time between two frames; without it each event leaves as soon as it is there.
    cadence: Option<Duration>,
}

impl Shaping {
    /// As configured, or without filling for a client that asked for none (`stream_options.include_obfuscation`).
    #[must_use]
    pub fn new(config: &ShapingConfig, obfuscate: bool) -> Self {
        let cadence = Duration::from_millis(u64::from(config.cadence_millis));
        Self {
            frame_bytes: if obfuscate { usize::from(config.frame_bytes) } else { 0 },
            cadence: (obfuscate && !cadence.is_zero()).then_some(cadence),
        }
    }

    /// Time between two frames, if frames are paced.
    #[must_use]
    pub fn cadence(&self) -> Option<Duration> {
        self.cadence
    }

    /// Whole events as one frame. The filling goes first, so that nothing follows the mark of a finished stream.
    #[must_use]
    pub fn frame(&self, events: &[u8]) -> Bytes {
        let mut frame = BytesMut::new();
        self.fill(events, &mut frame);
        frame.freeze()
    }

    /// The same, after what `frames` holds already.
    pub fn fill(&self, events: &[u8], frames: &mut BytesMut) {
        let filling = self.filling(events.len(), COMMENT_BYTES_MIN);
        frames.reserve(events.len().saturating_add(filling));
        if filling > 0 {
            frames.extend_from_slice(b":");
            frames.resize(frames.len().saturating_add(filling.saturating_sub(COMMENT_BYTES_MIN)), b' ');
            frames.extend_from_slice(b"\n");
        }
        frames.extend_from_slice(events);
    }

    /// A frame that says nothing.
    #[must_use]
    pub fn silence(&self) -> Bytes {
        self.frame(b"\n")
    }

    /// A whole JSON document, filled up with spaces.
    #[must_use]
    pub fn document(&self, json: Vec<u8>) -> Bytes {
        let mut document = json;
        document.resize(document.len().saturating_add(self.filling(document.len(), 0)), b' ');
        Bytes::from(document)
    }

    /// Bytes that are missing to the next multiple, at least `least` unless none are.
    fn filling(&self, length: usize, least: usize) -> usize {
        let missing = |length: usize| match length.checked_rem(self.frame_bytes) {
            None | Some(0) => 0,
            Some(over) => self.frame_bytes.saturating_sub(over),
        };
        match missing(length) {
            0 => 0,
            filling if filling < least => filling.saturating_add(self.frame_bytes),
            filling => filling,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shaping;
    use crate::config::ShapingConfig;
    use crate::sse::SseReader;

    fn shaping(frame_bytes: u16) -> Shaping {
        Shaping::new(&ShapingConfig { frame_bytes, cadence_millis: 0 }, true)
    }

    #[test]
    fn frames_are_multiples_and_say_the_same() {
        for length in 0..600 {
            let event = format!("data: {}\n\n", "x".repeat(length));
            let frame = shaping(256).frame(event.as_bytes());
            assert_eq!(frame.len() % 256, 0, "{length}");
            assert!(frame.len() < event.len() + 2 * 256, "{length}");
            assert!(frame.ends_with(event.as_bytes()));
            let events = SseReader::default().events(&frame).unwrap();
            assert_eq!(events, ["x".repeat(length)], "readers see the event alone");
        }
    }

    #[test]
    fn silence_is_a_frame_without_an_event() {
        let silence = shaping(256).silence();
        assert_eq!(silence.len(), 256);
        assert_eq!(SseReader::default().events(&silence), Ok(vec![]));
    }

    #[test]
    fn documents_stay_the_same_to_json() {
        for length in 0..600 {
            let json = serde_json::json!({"content": "x".repeat(length)});
            let document = shaping(256).document(json.to_string().into_bytes());
            assert_eq!(document.len() % 256, 0);
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&document).unwrap(), json);
        }
    }

    #[test]
    fn what_is_off_changes_nothing() {
        let config = ShapingConfig { frame_bytes: 512, cadence_millis: 40 };
        for plain in [shaping(0), Shaping::new(&config, false)] {
            assert_eq!(&plain.frame(b"data: x\n\n")[..], b"data: x\n\n");
            assert_eq!(&plain.document(b"{}".to_vec())[..], b"{}");
            assert_eq!(plain.cadence(), None);
        }
    }
}
