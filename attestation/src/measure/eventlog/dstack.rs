//! dstack's JSON form of a TD's event log: the boot events of the CCEL table and the guest's own events in RTMR3.
//!
//! Decides: whether the JSON is well formed, what it adds up to, and whether each event's payload is what was measured.
//! Names and rules are dstack's: `imr` 0 to 3 is RTMR0 to RTMR3; a run-time event's digest is SHA-384 over its type
//! (little endian), `:`, its name, `:`, its payload.

use serde::Deserialize;

use super::coverage;
use super::replay::compare_rtmrs;
use super::{DataCoverage, EVENT_DATA_BYTES_MAX, EVENTS_MAX, EventLogError, EventType, LOG_BYTES_MAX};
use crate::crypto::Sha384Context;
use crate::measure::rtmr::{self, RTMR_COUNT, RTMR_INITIAL, Rtmrs};

/// One event of a dstack log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DstackEvent {
    /// Which RTMR, 0 to 3.
    pub imr: usize,
    /// What the event records.
    pub event_type: EventType,
    /// The digest that was extended.
    pub digest: [u8; 48],
    /// Name of a run-time event; empty for boot events.
    pub event: String,
    /// What the event says was measured.
    pub payload: Vec<u8>,
}

/// A well-formed dstack log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DstackEventLog {
    events: Vec<DstackEvent>,
}

/// The JSON as written; digest and payload in hexadecimal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvent {
    imr: u32,
    event_type: u32,
    digest: String,
    event: String,
    event_payload: String,
}

impl DstackEventLog {
    /// Parse the JSON array of events.
    ///
    /// # Errors
    /// `eventlog.too_large`, `eventlog.too_many_events`, `eventlog.json`, `eventlog.digests`, `eventlog.register`,
    /// `eventlog.event_too_large`.
    pub fn from_json(json: &[u8]) -> Result<Self, EventLogError> {
        if json.len() > LOG_BYTES_MAX {
            return Err(EventLogError::TooLarge { got: json.len() });
        }
        let raw: Vec<RawEvent> =
            serde_json::from_slice(json).map_err(|error| EventLogError::Json { detail: error.to_string() })?;
        if raw.len() > EVENTS_MAX {
            return Err(EventLogError::TooManyEvents);
        }
        let events = raw.into_iter().enumerate().map(|(number, event)| event.decode(number));
        Ok(Self { events: events.collect::<Result<_, _>>()? })
    }

    /// The events in order.
    #[must_use]
    pub fn events(&self) -> &[DstackEvent] {
        &self.events
    }

    /// RTMR0 to RTMR3.
    #[must_use]
    pub fn replay_rtmrs(&self) -> Rtmrs {
        let mut registers = [RTMR_INITIAL; RTMR_COUNT];
        for event in &self.events {
            if let Some(register) = registers.get_mut(event.imr) {
                *register = rtmr::extend(register, &event.digest);
            }
        }
        registers
    }

    /// Whether the log replays to `expected`.
    ///
    /// # Errors
    /// `eventlog.rtmr_mismatch`, naming the first register that differs.
    pub fn verify_replay(&self, expected: &Rtmrs) -> Result<(), EventLogError> {
        compare_rtmrs(&self.replay_rtmrs(), expected)
    }

    /// Whether no event's payload contradicts its digest.
    ///
    /// # Errors
    /// `eventlog.data_mismatch`, naming the first event that does.
    pub fn verify_data(&self) -> Result<(), EventLogError> {
        let contradicted = self.events.iter().position(|event| event.coverage() == DataCoverage::Contradicted);
        contradicted.map_or(Ok(()), |event| Err(EventLogError::DataMismatch { event }))
    }
}

impl DstackEvent {
    /// What the digest says about the payload.
    #[must_use]
    pub fn coverage(&self) -> DataCoverage {
        if self.event_type == EventType::DSTACK_RUNTIME {
            let covered = self.runtime_digest() == self.digest;
            return if covered { DataCoverage::Covered } else { DataCoverage::Contradicted };
        }
        // dstack may leave out what boot events said; every boot event has something to say.
        if self.payload.is_empty() {
            return DataCoverage::Absent;
        }
        coverage::of_data(self.event_type, &self.payload, &self.digest)
    }

    fn runtime_digest(&self) -> [u8; 48] {
        let mut context = Sha384Context::new();
        context.update(&self.event_type.0.to_le_bytes());
        context.update(b":");
        context.update(self.event.as_bytes());
        context.update(b":");
        context.update(&self.payload);
        context.finish()
    }
}

impl RawEvent {
    fn decode(self, number: usize) -> Result<DstackEvent, EventLogError> {
        let json = |detail: &str| EventLogError::Json { detail: format!("event {number}: {detail}") };
        let imr = usize::try_from(self.imr).ok().filter(|imr| *imr < RTMR_COUNT);
        let imr = imr.ok_or(EventLogError::Register { event: number, index: self.imr })?;
        // Such an event is never extended, so a log that gives it a register contradicts itself.
        if EventType(self.event_type) == EventType::NO_ACTION {
            return Err(json("an EV_NO_ACTION event"));
        }
        let mut digest = [0; 48];
        hex::decode_to_slice(&self.digest, &mut digest).map_err(|_| EventLogError::Digests { event: number })?;
        let payload = hex::decode(&self.event_payload).map_err(|_| json("the payload is not hexadecimal"))?;
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        if length > EVENT_DATA_BYTES_MAX {
            return Err(EventLogError::EventTooLarge { event: number, got: length });
        }
        Ok(DstackEvent { imr, event_type: EventType(self.event_type), digest, event: self.event, payload })
    }
}
