//! The kernel's device for SEV-SNP alone, `/dev/sev-guest` (include/uapi/linux/sev-guest.h, Linux 5.19): for kernels that have no
//! `configfs-tsm`, which is what the image uses (docs/decisions/0017).
//!
//! On entry: the device, which this user may open, and 64 bytes. On exit: a report over these bytes and no others. The kernel and the
//! firmware share a key for one message after the other; when the host lets a message fail, the kernel gives that key up, and nothing
//! but a restart of the machine brings it back.

#![allow(unsafe_code, reason = "the kernel is handed addresses; the call says why they are valid")]

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestation::snp::SnpReport;
use attestation::{Base64, CpuEvidence, EvidenceFormat};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use tokio::sync::Mutex;

use super::AttesterError;

/// The only version of the messages (`msg_version` must not be 0).
const MESSAGE_VERSION: u8 = 1;
/// The privilege level that the report is to name: the kernel's own.
const VMPL: u32 = 0;
/// What the kernel copies back, whatever the report's length (`struct snp_report_resp`).
const RESPONSE_LEN: usize = 4000;
/// Where the report begins in it (SEV-SNP ABI, MSG_REPORT_RSP: status, size, 24 reserved bytes).
const REPORT_OFFSET: usize = 32;

/// `struct snp_report_req`.
#[repr(C)]
struct ReportRequest {
    report_data: [u8; 64],
    vmpl: u32,
    reserved: [u8; 28],
}

/// `struct snp_guest_request_ioctl`.
#[repr(C)]
struct GuestRequest {
    message_version: u8,
    request: *const ReportRequest,
    response: *mut [u8; RESPONSE_LEN],
    /// The firmware's error in the lower half, the host's in the upper.
    exit_info: u64,
}

/// `SNP_GET_REPORT`.
const GET_REPORT: Opcode = opcode::read_write::<GuestRequest>(b'S', 0);

// The kernel's addresses are 64 bits wide everywhere.
const _: () = assert!(size_of::<ReportRequest>() == 96 && size_of::<GuestRequest>() == 32);

/// The device, used by one call at a time.
#[derive(Debug)]
pub struct ReportDevice {
    path: Arc<Mutex<PathBuf>>,
}

impl ReportDevice {
    /// The device at this path.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path: Arc::new(Mutex::new(path)) }
    }

    /// A report over `report_data`.
    ///
    /// # Errors
    /// [`AttesterError`]. A host that is busy is asked again by the kernel, for up to a minute.
    pub async fn report(&self, report_data: [u8; 64]) -> Result<CpuEvidence, AttesterError> {
        // The lock goes with the thread: a caller that gives up leaves the device locked until the kernel has answered.
        let path = Arc::clone(&self.path).lock_owned().await;
        let asked = tokio::task::spawn_blocking(move || report(&path, report_data)).await;
        asked.map_err(|error| AttesterError::Io(io::Error::other(error)))?
    }
}

fn report(device: &Path, report_data: [u8; 64]) -> Result<CpuEvidence, AttesterError> {
    let device = OpenOptions::new().read(true).write(true).open(device).map_err(AttesterError::Io)?;
    let report = report_of(&response(&device, report_data)?)?;
    let refused = |error| AttesterError::Refused(format!("not a report: {error}"));
    if SnpReport::parse(&report).map_err(refused)?.report_data != report_data {
        return Err(AttesterError::Refused("a report over other bytes".to_owned()));
    }
    Ok(CpuEvidence { format: EvidenceFormat::SevSnpReportV1, report: Base64(report) })
}

/// The firmware's whole answer.
fn response(device: &File, report_data: [u8; 64]) -> Result<[u8; RESPONSE_LEN], AttesterError> {
    let request = ReportRequest { report_data, vmpl: VMPL, reserved: [0; 28] };
    let mut response = [0; RESPONSE_LEN];
    let mut call = GuestRequest {
        message_version: MESSAGE_VERSION,
        request: &raw const request,
        response: &raw mut response,
        exit_info: 0,
    };
    // SAFETY: `call` is the structure of this opcode. It points to a request and a response of the lengths that the kernel reads and
    // writes, which outlive the call and which nobody else has.
    let asked = unsafe { ioctl(device, Updater::<GET_REPORT, GuestRequest>::new(&mut call)) };
    match asked {
        Ok(()) => Ok(response),
        Err(Errno::NOTTY) => Err(AttesterError::Refused(
            "it has no key to the firmware: it is another device, or gave the key up after an error and needs a restart of the machine"
                .to_owned(),
        )),
        Err(error) if call.exit_info == 0 => Err(AttesterError::Io(error.into())),
        Err(error) => {
            Err(AttesterError::Refused(format!("{error}; the firmware and the host said {:#x}", call.exit_info)))
        }
    }
}

/// The report in an answer: what the answer says its length is.
fn report_of(response: &[u8; RESPONSE_LEN]) -> Result<Vec<u8>, AttesterError> {
    let word = |at: usize| response.get(at..)?.first_chunk().copied().map(u32::from_le_bytes);
    match word(0) {
        Some(0) => {}
        status => {
            return Err(AttesterError::Refused(format!("the firmware's status is {:#x}", status.unwrap_or_default())));
        }
    }
    let end = word(4).and_then(|length| usize::try_from(length).ok()?.checked_add(REPORT_OFFSET));
    let report = end.and_then(|end| response.get(REPORT_OFFSET..end));
    report.map(<[u8]>::to_vec).ok_or_else(|| AttesterError::Refused("a report longer than its answer".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{GET_REPORT, RESPONSE_LEN, report_of};
    use crate::attester::AttesterError;

    fn answer(status: u32, length: u32) -> [u8; RESPONSE_LEN] {
        let mut response = [7; RESPONSE_LEN];
        let words = status.to_le_bytes().into_iter().chain(length.to_le_bytes());
        for (byte, value) in response.iter_mut().zip(words) {
            *byte = value;
        }
        response
    }

    /// The number as the header's macro makes it: `_IOWR('S', 0x0, 32 bytes)`.
    #[test]
    fn the_call_has_the_kernels_number() {
        assert_eq!(GET_REPORT, 0xc020_5300);
    }

    #[test]
    fn an_answer_has_the_report_that_it_says() {
        assert_eq!(report_of(&answer(0, 1184)).ok(), Some(vec![7; 1184]));
        assert_eq!(report_of(&answer(0, 3968)).ok(), Some(vec![7; 3968]));
    }

    #[test]
    fn an_answer_without_a_report_is_an_error() {
        for (status, length, words) in [
            (0x16, 1184, "status is 0x16"),
            (0, 3969, "longer than its answer"),
            (0, u32::MAX, "longer than its answer"),
        ] {
            let refused = report_of(&answer(status, length));
            assert!(matches!(refused, Err(AttesterError::Refused(text)) if text.contains(words)), "{status} {length}");
        }
    }
}
