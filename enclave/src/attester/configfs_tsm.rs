//! The kernel's report interface, for SEV-SNP and TDX alike: `configfs-tsm` (Documentation/ABI/testing/configfs-tsm, Linux 6.7).
//!
//! On entry: a report entry, which init made and gave to this user (image/init), and 64 bytes. On exit: a report over these bytes
//! and no others. What the interface itself promises is little: a write that is not taken is not an error (it fails when the file is
//! closed), and another user of the entry changes what the next read gives. So the entry's `generation` is looked at before,
//! between and after, and the report must hold the bytes asked for.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use attestation::snp::SnpReport;
use attestation::tdx::{TdQuote, without_padding};
use attestation::{Base64, CpuEvidence, EvidenceFormat};
use tokio::sync::Mutex;

use super::AttesterError;

/// Largest report: the kernel's own limit (`TSM_OUTBLOB_MAX` of `drivers/virt/coco/tsm.c`).
const REPORT_BYTES_MAX: u64 = 32 << 10;
/// What a quote may have at most: the buffer that the kernel shares with the host, without its header (`GET_QUOTE_BUF_SIZE` and
/// `struct tdx_quote_buf` of `drivers/virt/coco/tdx-guest/tdx-guest.c`).
const QUOTE_BUFFER_LEN: usize = (8 << 10) - 24;
/// Longest of the entry's short texts.
const TEXT_BYTES_MAX: u64 = 64;
/// Tries until the entry counts as busy, and the time between two. A quote that is under way takes the firmware a second or so.
const TRIES_MAX: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// One directory below `/sys/kernel/config/tsm/report`, used by one call at a time.
#[derive(Debug)]
pub struct ReportEntry {
    files: Arc<Mutex<Files>>,
}

#[derive(Debug)]
struct Files {
    entry: PathBuf,
}

impl ReportEntry {
    /// The entry that is this directory.
    #[must_use]
    pub fn at(entry: PathBuf) -> Self {
        Self { files: Arc::new(Mutex::new(Files { entry })) }
    }

    /// A report over `report_data`.
    ///
    /// # Errors
    /// [`AttesterError`]; what passes by itself is tried again for a while first.
    pub async fn report(&self, report_data: [u8; 64]) -> Result<CpuEvidence, AttesterError> {
        // The lock goes with the thread: a caller that gives up leaves the entry locked until the kernel has answered.
        let files = Arc::clone(&self.files).lock_owned().await;
        let asked = tokio::task::spawn_blocking(move || files.report(&report_data)).await;
        asked.map_err(|error| AttesterError::Io(io::Error::other(error)))?
    }
}

impl Files {
    fn report(&self, report_data: &[u8; 64]) -> Result<CpuEvidence, AttesterError> {
        for _ in 0..TRIES_MAX {
            match self.report_once(report_data) {
                Err(AttesterError::Busy) => std::thread::sleep(PAUSE),
                ended => return ended,
            }
        }
        Err(AttesterError::Busy)
    }

    fn report_once(&self, report_data: &[u8; 64]) -> Result<CpuEvidence, AttesterError> {
        let format = self.format()?;
        let before = self.generation()?;
        // One open, one write, one close: the bytes count from the close on. Never truncated first, which configfs has no use for.
        let mut inblob = OpenOptions::new().write(true).open(self.entry.join("inblob")).map_err(read_error)?;
        inblob.write_all(report_data).map_err(read_error)?;
        drop(inblob);
        let asked = self.generation()?;
        // Read even if the write was not taken: an entry that was written too often without a read takes no more until then (EBUSY).
        let report = self.read("outblob", REPORT_BYTES_MAX)?;
        // The counter wraps.
        if asked != before.wrapping_add(1) || self.generation()? != asked {
            return Err(AttesterError::Busy);
        }
        let report = exactly(format, report)?;
        if report_data_of(format, &report)? != *report_data {
            return Err(AttesterError::Refused("a report over other bytes".to_owned()));
        }
        Ok(CpuEvidence { format, report: Base64(report) })
    }

    /// Which platform answers.
    fn format(&self) -> Result<EvidenceFormat, AttesterError> {
        match self.text("provider")?.as_str() {
            "sev_guest" => Ok(EvidenceFormat::SevSnpReportV1),
            "tdx_guest" => Ok(EvidenceFormat::TdxQuoteV1),
            other => Err(AttesterError::Refused(format!("its provider is {other:?}, not sev_guest or tdx_guest"))),
        }
    }

    fn generation(&self) -> Result<u64, AttesterError> {
        let text = self.text("generation")?;
        text.parse().map_err(|_| AttesterError::Refused(format!("its generation is {text:?}, not a number")))
    }

    fn text(&self, attribute: &str) -> Result<String, AttesterError> {
        let bytes = self.read(attribute, TEXT_BYTES_MAX)?;
        let text = String::from_utf8(bytes).map_err(|_| AttesterError::Refused(format!("{attribute} is not text")))?;
        Ok(text.trim_end_matches('\n').to_owned())
    }

    fn read(&self, attribute: &str, bytes_max: u64) -> Result<Vec<u8>, AttesterError> {
        let mut bytes = Vec::new();
        let file = File::open(self.entry.join(attribute)).map_err(read_error)?;
        let read = file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(read_error)?;
        if u64::try_from(read).is_ok_and(|read| read <= bytes_max) {
            Ok(bytes)
        } else {
            Err(AttesterError::Refused(format!("{attribute} is longer than {bytes_max} bytes")))
        }
    }
}

/// EBUSY: a quote is under way, or too many writes were not read. EWOULDBLOCK: another user wrote meanwhile. EINTR: interrupted
/// while waiting for the firmware. ETXTBSY: another user has the attribute open.
fn read_error(error: io::Error) -> AttesterError {
    match error.kind() {
        ErrorKind::ResourceBusy | ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ExecutableFileBusy => {
            AttesterError::Busy
        }
        _ => AttesterError::Io(error),
    }
}

/// The report without what is behind it: quoting services fill their buffer up with zeros. What the host says a quote's length is
/// must fit its buffer, or bytes of our memory behind that would be handed out.
fn exactly(format: EvidenceFormat, report: Vec<u8>) -> Result<Vec<u8>, AttesterError> {
    match format {
        EvidenceFormat::SevSnpReportV1 => Ok(report),
        EvidenceFormat::TdxQuoteV1 if report.len() > QUOTE_BUFFER_LEN => {
            Err(AttesterError::Refused("a quote longer than the kernel's buffer for it".to_owned()))
        }
        EvidenceFormat::TdxQuoteV1 => match without_padding(&report) {
            Some(quote) => Ok(quote.to_vec()),
            None => Err(AttesterError::Refused(
                "not a report: no quote, or something other than zeros behind it".to_owned(),
            )),
        },
    }
}

fn report_data_of(format: EvidenceFormat, report: &[u8]) -> Result<[u8; 64], AttesterError> {
    let refused = |error: &dyn std::fmt::Display| AttesterError::Refused(format!("not a report: {error}"));
    match format {
        EvidenceFormat::SevSnpReportV1 => Ok(SnpReport::parse(report).map_err(|error| refused(&error))?.report_data),
        EvidenceFormat::TdxQuoteV1 => Ok(TdQuote::parse(report).map_err(|error| refused(&error))?.body.report_data),
    }
}
