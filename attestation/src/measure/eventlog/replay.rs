//! Event logs to register values.
//!
//! Decides: what RTMR0 to RTMR3 or the PCRs must be if a log is complete, and whether they are. Equality proves that the
//! digests of the log, in their order, are what was extended; no event was left out, added or moved within a register.

use super::{Event, EventLog, EventLogError, EventType, HashAlgorithm};
use crate::crypto;
use crate::measure::rtmr::{self, RTMR_COUNT, RTMR_INITIAL, Rtmrs};

/// How many PCRs a PC Client TPM has.
pub const PCR_COUNT: u32 = 24;

/// PCRs that start with all bits set: only a dynamic launch resets them (PFP §3.3.4).
const DYNAMIC_PCRS: std::ops::RangeInclusive<u32> = 17..=22;

/// The event that says from which locality PCR 0 was first extended (PFP §10.4.5.3).
const STARTUP_LOCALITY: &[u8; 16] = b"StartupLocality\0";

/// PCR values a log replays to, one bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedPcrs<const N: usize> {
    values: Vec<[u8; N]>,
    extended: u32,
}

impl<const N: usize> ReplayedPcrs<N> {
    /// The value of a PCR; `None` for an index that does not exist.
    #[must_use]
    pub fn get(&self, index: u32) -> Option<&[u8; N]> {
        self.values.get(usize::try_from(index).ok()?)
    }

    /// The PCRs the log extends, and their values.
    pub fn extended(&self) -> impl Iterator<Item = (u32, &[u8; N])> {
        (0..PCR_COUNT).zip(&self.values).filter(|(index, _)| self.extended & (1 << index) != 0)
    }
}

/// Whether `log` replays to `expected`.
///
/// # Errors
/// `eventlog.rtmr_mismatch`, naming the first register that differs; `eventlog.bank_missing`, `eventlog.register`.
pub fn verify_replay(log: &EventLog<'_>, expected: &Rtmrs) -> Result<(), EventLogError> {
    compare_rtmrs(&log.replay_rtmrs()?, expected)
}

pub(super) fn compare_rtmrs(replayed: &Rtmrs, expected: &Rtmrs) -> Result<(), EventLogError> {
    let mut pairs = replayed.iter().zip(expected);
    pairs.position(|(one, other)| one != other).map_or(Ok(()), |register| Err(EventLogError::RtmrMismatch { register }))
}

/// Whether `log` replays to `expected`, pairs of PCR index and value of the SHA-256 bank.
///
/// # Errors
/// `eventlog.pcr_mismatch`, naming the first register of `expected` that differs or does not exist;
/// `eventlog.bank_missing`, `eventlog.register`.
pub fn verify_pcr_replay(log: &EventLog<'_>, expected: &[(u32, [u8; 32])]) -> Result<(), EventLogError> {
    let replayed = log.replay_pcrs_sha256()?;
    let different = expected.iter().find(|(index, value)| replayed.get(*index) != Some(value));
    different.map_or(Ok(()), |(register, _)| Err(EventLogError::PcrMismatch { register: *register }))
}

impl EventLog<'_> {
    /// RTMR0 to RTMR3, from register indexes 1 to 4.
    ///
    /// # Errors
    /// `eventlog.bank_missing` without SHA-384 digests; `eventlog.register` for a measured event of another index, among
    /// them 0, which is MRTD and fixed at launch.
    pub fn replay_rtmrs(&self) -> Result<Rtmrs, EventLogError> {
        let mut registers = [RTMR_INITIAL; RTMR_COUNT];
        for (number, event) in self.measured() {
            let digest = digest_of(event, HashAlgorithm::Sha384, "SHA-384")?;
            let index = event.register.checked_sub(1).and_then(|index| usize::try_from(index).ok());
            let register = index.and_then(|index| registers.get_mut(index));
            let register = register.ok_or(EventLogError::Register { event: number, index: event.register })?;
            *register = rtmr::extend(register, digest);
        }
        Ok(registers)
    }

    /// The SHA-256 bank of PCRs.
    ///
    /// # Errors
    /// `eventlog.bank_missing`, `eventlog.register`.
    pub fn replay_pcrs_sha256(&self) -> Result<ReplayedPcrs<32>, EventLogError> {
        self.replay_pcrs(HashAlgorithm::Sha256, "SHA-256", crypto::sha256)
    }

    /// The SHA-384 bank of PCRs.
    ///
    /// # Errors
    /// `eventlog.bank_missing`, `eventlog.register`.
    pub fn replay_pcrs_sha384(&self) -> Result<ReplayedPcrs<48>, EventLogError> {
        self.replay_pcrs(HashAlgorithm::Sha384, "SHA-384", crypto::sha384)
    }

    fn replay_pcrs<const N: usize>(
        &self,
        algorithm: HashAlgorithm,
        name: &'static str,
        hash: impl Fn(&[u8]) -> [u8; N],
    ) -> Result<ReplayedPcrs<N>, EventLogError> {
        let initial = |index| [if DYNAMIC_PCRS.contains(&index) { 0xff } else { 0x00 }; N];
        let mut values: Vec<[u8; N]> = (0..PCR_COUNT).map(initial).collect();
        if let (Some(locality), Some(last)) =
            (self.startup_locality(), values.first_mut().and_then(|pcr| pcr.last_mut()))
        {
            *last = locality;
        }
        let mut extended = 0;
        for (number, event) in self.measured() {
            let digest: &[u8; N] = digest_of(event, algorithm, name)?;
            let value = usize::try_from(event.register).ok().and_then(|index| values.get_mut(index));
            let value = value.ok_or(EventLogError::Register { event: number, index: event.register })?;
            *value = hash(&[value.as_slice(), digest.as_slice()].concat());
            extended |= 1 << event.register;
        }
        Ok(ReplayedPcrs { values, extended })
    }

    fn measured(&self) -> impl Iterator<Item = (usize, &Event<'_>)> {
        self.events().iter().enumerate().filter(|(_, event)| event.is_measured())
    }

    fn startup_locality(&self) -> Option<u8> {
        self.events().iter().filter(|event| event.event_type == EventType::NO_ACTION && event.register == 0).find_map(
            |event| match event.data.strip_prefix(STARTUP_LOCALITY)? {
                [locality] => Some(*locality),
                _ => None,
            },
        )
    }
}

fn digest_of<'a, const N: usize>(
    event: &Event<'a>,
    algorithm: HashAlgorithm,
    name: &'static str,
) -> Result<&'a [u8; N], EventLogError> {
    let digest = event.digest(algorithm).and_then(|digest| digest.try_into().ok());
    digest.ok_or(EventLogError::BankMissing { algorithm: name })
}
