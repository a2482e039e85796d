//! Why an event log is refused.
//!
//! Decides: the vocabulary of refusal here. A code never changes its meaning.

use super::{EVENT_DATA_BYTES_MAX, EVENTS_MAX, LOG_BYTES_MAX};

/// Why an event log is refused. Events are counted from 0, the header not included.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventLogError {
    /// The log is larger than `LOG_BYTES_MAX`.
    #[error("the log has {got} bytes, more than {LOG_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        got: usize,
    },
    /// The log has more than `EVENTS_MAX` events.
    #[error("the log has more than {EVENTS_MAX} events")]
    TooManyEvents,
    /// The first event is not a "Spec ID Event03" header.
    #[error("the log's header is malformed: {detail}")]
    Header {
        /// What is wrong.
        detail: &'static str,
    },
    /// The header names a hash algorithm this version does not know.
    #[error("hash algorithm {got:#06x} is not supported")]
    Algorithm {
        /// The TCG number of the algorithm.
        got: u16,
    },
    /// The log ends inside an event.
    #[error("the log ends inside event {event}")]
    Truncated {
        /// Which event.
        event: usize,
    },
    /// An event does not have exactly the digests the header announces.
    #[error("the digests of event {event} are not those the header announces")]
    Digests {
        /// Which event.
        event: usize,
    },
    /// An event's data is longer than `EVENT_DATA_BYTES_MAX`.
    #[error("event {event} has {got} bytes of data, more than {EVENT_DATA_BYTES_MAX}")]
    EventTooLarge {
        /// Which event.
        event: usize,
        /// Size of its data.
        got: u32,
    },
    /// An event extends a register that does not exist or cannot be extended.
    #[error("event {event} extends register {index}, which cannot be extended")]
    Register {
        /// Which event.
        event: usize,
        /// The register index as logged.
        index: u32,
    },
    /// The log has no digests of the algorithm the registers are extended with.
    #[error("the log has no {algorithm} digests")]
    BankMissing {
        /// Name of the algorithm.
        algorithm: &'static str,
    },
    /// Replaying the log does not give the value an RTMR has.
    #[error("the log does not replay to RTMR{register}")]
    RtmrMismatch {
        /// The first register that differs, 0 to 3.
        register: usize,
    },
    /// Replaying the log does not give the value a PCR has.
    #[error("the log does not replay to PCR {register}")]
    PcrMismatch {
        /// The first register that differs.
        register: u32,
    },
    /// An event says one thing and measured another.
    #[error("the data of event {event} does not hash to its digest")]
    DataMismatch {
        /// The first such event.
        event: usize,
    },
    /// The JSON form of the log is malformed.
    #[error("the JSON event log is malformed: {detail}")]
    Json {
        /// What the parser said.
        detail: String,
    },
}

/// One row per variant: the compiler refuses a variant without a row.
macro_rules! codes {
    ($($variant:ident => $code:literal;)*) => {
        impl EventLogError {
            /// Every code there is.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// Stable name of the reason.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $code,)* }
            }
        }
    };
}

codes! {
    TooLarge => "eventlog.too_large";
    TooManyEvents => "eventlog.too_many_events";
    Header => "eventlog.header";
    Algorithm => "eventlog.algorithm";
    Truncated => "eventlog.truncated";
    Digests => "eventlog.digests";
    EventTooLarge => "eventlog.event_too_large";
    Register => "eventlog.register";
    BankMissing => "eventlog.bank_missing";
    RtmrMismatch => "eventlog.rtmr_mismatch";
    PcrMismatch => "eventlog.pcr_mismatch";
    DataMismatch => "eventlog.data_mismatch";
    Json => "eventlog.json";
}
