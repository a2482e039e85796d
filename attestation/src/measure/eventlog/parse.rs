//! Bytes to an event log.
//!
//! Decides: whether bytes are one header, whole events, and nothing but padding after them. Every count and length is
//! bounded before it is used; nothing is allocated for events that are not there.

use super::{
    EVENT_DATA_BYTES_MAX, EVENTS_MAX, Event, EventDigest, EventLog, EventLogError, EventType, HashAlgorithm,
    LOG_BYTES_MAX,
};
use crate::reader::Reader;

/// The header's signature and its terminator.
const SIGNATURE: &[u8; 16] = b"Spec ID Event03\0";

/// Firmware fills the unused end of its log with one byte. Fewer bytes than this could be the start of an event.
const PADDING_LEN_MIN: usize = 8;

impl HashAlgorithm {
    fn from_tcg(number: u16) -> Result<Self, EventLogError> {
        match number {
            0x0004 => Ok(Self::Sha1),
            0x000b => Ok(Self::Sha256),
            0x000c => Ok(Self::Sha384),
            0x000d => Ok(Self::Sha512),
            0x0012 => Ok(Self::Sm3),
            got => Err(EventLogError::Algorithm { got }),
        }
    }

    /// Bytes of a digest.
    #[must_use]
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 | Self::Sm3 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl<'a> EventLog<'a> {
    /// Parse a TCG crypto-agile log, from a CCEL table or a TPM. Padding of zero or of one bits may follow the events.
    ///
    /// # Errors
    /// `eventlog.too_large`, `eventlog.too_many_events`, `eventlog.header`, `eventlog.algorithm`,
    /// `eventlog.truncated`, `eventlog.digests`, `eventlog.event_too_large`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EventLogError> {
        if bytes.len() > LOG_BYTES_MAX {
            return Err(EventLogError::TooLarge { got: bytes.len() });
        }
        let mut fields = Reader::new(bytes);
        let algorithms = header(&mut fields)?;
        let mut events = Vec::new();
        while !fields.is_empty() && !is_padding(fields.rest()) {
            if events.len() == EVENTS_MAX {
                return Err(EventLogError::TooManyEvents);
            }
            events.push(event(&mut fields, &algorithms, events.len())?);
        }
        Ok(Self { algorithms, events })
    }
}

fn is_padding(rest: &[u8]) -> bool {
    rest.len() >= PADDING_LEN_MIN && [0x00, 0xff].iter().any(|fill| rest.iter().all(|byte| byte == fill))
}

/// TCG_PCR_EVENT with a TCG_EfiSpecIDEvent inside (PFP §10.4.5.1); returns the algorithms of the log.
fn header(fields: &mut Reader<'_>) -> Result<Vec<HashAlgorithm>, EventLogError> {
    let wrong = |detail| EventLogError::Header { detail };
    let short = || wrong("it is cut off");
    // CCEL headers name register 1, TPM headers PCR 0; the header is not extended, so the index says nothing.
    let _register = fields.u32_le().ok_or_else(short)?;
    if fields.u32_le().ok_or_else(short)? != EventType::NO_ACTION.0 {
        return Err(wrong("it is not an EV_NO_ACTION event"));
    }
    if fields.array().ok_or_else(short)? != [0_u8; 20] {
        return Err(wrong("its digest is not zero"));
    }
    let length = fields.u32_le().ok_or_else(short)?;
    let mut body = Reader::new(fields.take_u32(length).ok_or_else(short)?);
    if body.array().ok_or_else(short)? != *SIGNATURE {
        return Err(wrong("its signature is not Spec ID Event03"));
    }
    let _platform_class = body.u32_le().ok_or_else(short)?;
    let [minor, major, _errata, _uintn_size] = body.array().ok_or_else(short)?;
    if (major, minor) != (2, 0) {
        return Err(wrong("its version is not 2.0"));
    }
    let algorithms = algorithms(&mut body)?;
    let vendor_info = body.u8().and_then(|length| body.take(usize::from(length)));
    if vendor_info.is_none() || !body.is_empty() {
        return Err(wrong("its length does not fit its fields"));
    }
    Ok(algorithms)
}

fn algorithms(body: &mut Reader<'_>) -> Result<Vec<HashAlgorithm>, EventLogError> {
    let wrong = |detail| EventLogError::Header { detail };
    let short = || wrong("it is cut off");
    let count = body.u32_le().ok_or_else(short)?;
    if count == 0 {
        return Err(wrong("it names no algorithm"));
    }
    let mut algorithms = Vec::new();
    // An unknown or repeated algorithm ends the loop, so it runs at most once per algorithm there is.
    for _ in 0..count {
        let algorithm = HashAlgorithm::from_tcg(body.u16_le().ok_or_else(short)?)?;
        if usize::from(body.u16_le().ok_or_else(short)?) != algorithm.digest_len() {
            return Err(wrong("an algorithm has the wrong digest size"));
        }
        if algorithms.contains(&algorithm) {
            return Err(wrong("an algorithm occurs twice"));
        }
        algorithms.push(algorithm);
    }
    Ok(algorithms)
}

/// TCG_PCR_EVENT2 (PFP §10.2.2).
fn event<'a>(fields: &mut Reader<'a>, algorithms: &[HashAlgorithm], event: usize) -> Result<Event<'a>, EventLogError> {
    let truncated = || EventLogError::Truncated { event };
    let wrong_digests = || EventLogError::Digests { event };
    let register = fields.u32_le().ok_or_else(truncated)?;
    let event_type = EventType(fields.u32_le().ok_or_else(truncated)?);
    let count = fields.u32_le().ok_or_else(truncated)?;
    if usize::try_from(count) != Ok(algorithms.len()) {
        return Err(wrong_digests());
    }
    let mut digests: Vec<EventDigest<'a>> = Vec::with_capacity(algorithms.len());
    for _ in algorithms {
        let number = fields.u16_le().ok_or_else(truncated)?;
        let algorithm = HashAlgorithm::from_tcg(number).map_err(|_| wrong_digests())?;
        let announced = algorithms.contains(&algorithm);
        if !announced || digests.iter().any(|digest| digest.algorithm == algorithm) {
            return Err(wrong_digests());
        }
        let digest = fields.take(algorithm.digest_len()).ok_or_else(truncated)?;
        digests.push(EventDigest { algorithm, digest });
    }
    let length = fields.u32_le().ok_or_else(truncated)?;
    if length > EVENT_DATA_BYTES_MAX {
        return Err(EventLogError::EventTooLarge { event, got: length });
    }
    let data = fields.take_u32(length).ok_or_else(truncated)?;
    Ok(Event { register, event_type, digests, data })
}
