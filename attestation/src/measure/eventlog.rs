//! Event logs: what firmware, boot loader and guest say they measured, held against the registers they measured into.
//!
//! Decides: whether a log is well formed, what its digests add up to, and whether each event's data is what was
//! measured. A log proves nothing by itself: trust begins where its replay equals registers of verified evidence, and
//! reaches only the digests. The data of an event is as trustworthy as its [`DataCoverage`] says.
//!
//! Format: TCG PC Client Platform Firmware Profile §10 "Event Logging", crypto-agile; the CCEL table of a TD holds the
//! same format with measurement register indexes 1 to 4 for RTMR0 to RTMR3 (UEFI §38.4.1, "CC measurement registers").

mod coverage;
mod dstack;
mod error;
mod parse;
mod replay;

pub use coverage::DataCoverage;
pub use dstack::{DstackEvent, DstackEventLog};
pub use error::EventLogError;
pub use replay::{PCR_COUNT, ReplayedPcrs, verify_pcr_replay, verify_replay};

/// Largest log read: firmware reserves 64 KiB, a long-lived guest's log grows to a few hundred.
pub const LOG_BYTES_MAX: usize = 4 << 20;

/// Most events in one log.
pub const EVENTS_MAX: usize = 16_384;

/// Most bytes of data in one event.
pub const EVENT_DATA_BYTES_MAX: u32 = 1 << 20;

/// Hash algorithms of the TCG registry that logs are seen with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// TPM_ALG_SHA1. Parsed, never relied on.
    Sha1,
    /// TPM_ALG_SHA256.
    Sha256,
    /// TPM_ALG_SHA384.
    Sha384,
    /// TPM_ALG_SHA512. Parsed, never relied on.
    Sha512,
    /// TPM_ALG_SM3_256. Parsed, never relied on.
    Sm3,
}

/// What an event records; the number is the TCG's (PC Client PFP §10.4.1 "Event types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventType(pub u32);

impl EventType {
    /// Information that is not extended into any register.
    pub const NO_ACTION: Self = Self(0x03);
    /// The border between what firmware and what the boot loader measures.
    pub const SEPARATOR: Self = Self(0x04);
    /// A string.
    pub const ACTION: Self = Self(0x05);
    /// Tagged data; the digest covers what the tag's owner defines.
    pub const EVENT_TAG: Self = Self(0x06);
    /// Version of the first code that ran.
    pub const S_CRTM_VERSION: Self = Self(0x08);
    /// Boot loader events.
    pub const IPL: Self = Self(0x0d);
    /// A firmware variable that configures drivers, such as the secure-boot databases.
    pub const EFI_VARIABLE_DRIVER_CONFIG: Self = Self(0x8000_0001);
    /// A boot variable; the digest covers its value.
    pub const EFI_VARIABLE_BOOT: Self = Self(0x8000_0002);
    /// The partition table of the boot disk.
    pub const EFI_GPT_EVENT: Self = Self(0x8000_0006);
    /// A string.
    pub const EFI_ACTION: Self = Self(0x8000_0007);
    /// A boot variable; the digest covers the whole record.
    pub const EFI_VARIABLE_BOOT2: Self = Self(0x8000_000c);
    /// The secure-boot database entry that let an image run.
    pub const EFI_VARIABLE_AUTHORITY: Self = Self(0x8000_00e0);
    /// dstack's own events, extended into RTMR3 by its guest.
    pub const DSTACK_RUNTIME: Self = Self(0x0800_0001);
}

/// One digest of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventDigest<'a> {
    /// With which algorithm.
    pub algorithm: HashAlgorithm,
    /// As many bytes as the algorithm has.
    pub digest: &'a [u8],
}

/// One event of a TCG log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// PCR index, or CC measurement register index 1 to 4 for RTMR0 to RTMR3.
    pub register: u32,
    /// What the event records.
    pub event_type: EventType,
    /// One digest per algorithm of the log.
    pub digests: Vec<EventDigest<'a>>,
    /// What the event says was measured.
    pub data: &'a [u8],
}

/// A well-formed TCG crypto-agile log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLog<'a> {
    algorithms: Vec<HashAlgorithm>,
    events: Vec<Event<'a>>,
}

impl<'a> EventLog<'a> {
    /// The algorithms every event has a digest of, in the header's order.
    #[must_use]
    pub fn algorithms(&self) -> &[HashAlgorithm] {
        &self.algorithms
    }

    /// The events after the header.
    #[must_use]
    pub fn events(&self) -> &[Event<'a>] {
        &self.events
    }

    /// Whether no event's data contradicts its digest.
    ///
    /// # Errors
    /// `eventlog.data_mismatch`, naming the first event that does.
    pub fn verify_data(&self) -> Result<(), EventLogError> {
        let contradicted = self.events.iter().position(|event| event.coverage() == DataCoverage::Contradicted);
        contradicted.map_or(Ok(()), |event| Err(EventLogError::DataMismatch { event }))
    }
}

impl<'a> Event<'a> {
    /// The digest made with `algorithm`.
    #[must_use]
    pub fn digest(&self, algorithm: HashAlgorithm) -> Option<&'a [u8]> {
        self.digests.iter().find(|digest| digest.algorithm == algorithm).map(|digest| digest.digest)
    }

    /// Whether the event is extended into its register.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.event_type != EventType::NO_ACTION
    }

    /// What the digests say about the data. Every SHA-256 and SHA-384 digest must agree.
    #[must_use]
    pub fn coverage(&self) -> DataCoverage {
        coverage::of_event(self)
    }
}
