//! NVIDIA's opaque data in a report: type, length, value triples (public in NVIDIA's verifiers' `opaque data` tables).
//!
//! Decides: the form of the fields a verdict depends on, and that no type occurs twice. Types without a meaning here are
//! skipped: newer firmware adds some. Nothing is genuine yet on exit; the report's signature covers all of it.

use std::collections::BTreeSet;

use crate::gpu::GpuRejection;
use crate::reader::Reader;

const TYPE_DRIVER_VERSION: u16 = 3;
const TYPE_VBIOS_VERSION: u16 = 6;
const TYPE_NVDEC0_STATUS: u16 = 11;
const TYPE_CHIP_SKU: u16 = 15;
const TYPE_PROJECT: u16 = 17;
const TYPE_PROJECT_SKU: u16 = 18;
const TYPE_FWID: u16 = 20;
const TYPE_PROTECTED_PCIE_STATUS: u16 = 21;
const TYPE_SWITCH_PDI: u16 = 22;
const TYPE_OPAQUE_VERSION: u16 = 34;
const TYPE_FEATURE_FLAG: u16 = 36;

/// Status bytes, far apart so that one flipped bit makes neither.
const STATUS_ENABLED: u8 = 0xaa;
const STATUS_DISABLED: u8 = 0x55;

/// Length of a VBIOS version in binary form; any other length is text.
const VBIOS_BINARY_LEN: usize = 8;
/// Length of a switch's device identifier.
const PDI_LEN: usize = 8;
/// Longest text field.
const TEXT_BYTES_MAX: usize = 64;

/// The fields of the opaque data; `None` where the firmware does not report one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpaqueData {
    /// Driver version, such as `580.95.05`. Switches have none.
    pub driver_version: Option<String>,
    /// VBIOS version, such as `96.00.74.00.1A`.
    pub vbios_version: Option<String>,
    /// Board project, such as `G520`.
    pub project: Option<String>,
    /// Board project SKU, such as `0200`.
    pub project_sku: Option<String>,
    /// Chip SKU, such as `885`.
    pub chip_sku: Option<String>,
    /// Digest of the firmware whose key signs, SHA-384.
    pub fwid: Option<[u8; 48]>,
    /// Whether the video decoder 0 is enabled.
    pub nvdec0: Option<bool>,
    /// Whether protected PCIe is enabled.
    pub protected_pcie: Option<bool>,
    /// Device identifiers of the switches behind the links, one per link; of a switch, its own.
    pub switch_pdis: Vec<[u8; 8]>,
    /// Version of the opaque data's form.
    pub version: Option<u16>,
    /// FEATURE_FLAG, as received: 0 SPT, 1 MPT, 2 PPCIE.
    pub feature_flag: Option<u16>,
}

impl OpaqueData {
    /// Parse the opaque data.
    ///
    /// # Errors
    /// `gpu.opaque_malformed`, `gpu.opaque_duplicate`.
    pub fn parse(bytes: &[u8]) -> Result<Self, GpuRejection> {
        let mut reader = Reader::new(bytes);
        let mut data = Self::default();
        let mut seen = BTreeSet::new();
        while !reader.is_empty() {
            let truncated = || GpuRejection::OpaqueMalformed { field: "type and length" };
            let kind = reader.u16_le().ok_or_else(truncated)?;
            let length = reader.u16_le().ok_or_else(truncated)?;
            let value = reader.take(usize::from(length)).ok_or_else(truncated)?;
            if !seen.insert(kind) {
                return Err(GpuRejection::OpaqueDuplicate { kind });
            }
            data.read(kind, value)?;
        }
        Ok(data)
    }

    fn read(&mut self, kind: u16, value: &[u8]) -> Result<(), GpuRejection> {
        match kind {
            TYPE_DRIVER_VERSION => self.driver_version = Some(text("driver version", value)?),
            TYPE_VBIOS_VERSION => self.vbios_version = Some(vbios_version(value)?),
            TYPE_PROJECT => self.project = Some(text("project", value)?),
            TYPE_PROJECT_SKU => self.project_sku = Some(text("project SKU", value)?),
            TYPE_CHIP_SKU => self.chip_sku = Some(text("chip SKU", value)?),
            TYPE_FWID => self.fwid = Some(fixed("FWID", value)?),
            TYPE_NVDEC0_STATUS => self.nvdec0 = Some(status("NVDEC0 status", value)?),
            TYPE_PROTECTED_PCIE_STATUS => self.protected_pcie = Some(status("protected PCIe status", value)?),
            TYPE_SWITCH_PDI => self.switch_pdis = pdis(value)?,
            TYPE_OPAQUE_VERSION => self.version = Some(u16::from_le_bytes(fixed("opaque data version", value)?)),
            TYPE_FEATURE_FLAG => self.feature_flag = Some(u16::from_le_bytes(fixed("feature flag", value)?)),
            _ => {}
        }
        Ok(())
    }
}

fn fixed<const N: usize>(field: &'static str, value: &[u8]) -> Result<[u8; N], GpuRejection> {
    value.try_into().map_err(|_| GpuRejection::OpaqueMalformed { field })
}

fn status(field: &'static str, value: &[u8]) -> Result<bool, GpuRejection> {
    match value {
        [STATUS_ENABLED] => Ok(true),
        [STATUS_DISABLED] => Ok(false),
        _ => Err(GpuRejection::OpaqueMalformed { field }),
    }
}

/// Letters, digits, dots and dashes, ended by NULs.
fn text(field: &'static str, value: &[u8]) -> Result<String, GpuRejection> {
    let malformed = || GpuRejection::OpaqueMalformed { field };
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    let (characters, padding) = value.split_at_checked(end).ok_or_else(malformed)?;
    let plain = characters.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let sized = !characters.is_empty() && value.len() <= TEXT_BYTES_MAX;
    if !plain || !sized || padding.iter().any(|byte| *byte != 0) {
        return Err(malformed());
    }
    String::from_utf8(characters.to_vec()).map_err(|_| malformed())
}

/// GPUs report a little-endian number and one byte more, switches text.
fn vbios_version(value: &[u8]) -> Result<String, GpuRejection> {
    const FIELD: &str = "VBIOS version";
    if value.len() != VBIOS_BINARY_LEN {
        return text(FIELD, value);
    }
    let [d, c, b, a, e, 0, 0, 0] = fixed::<VBIOS_BINARY_LEN>(FIELD, value)? else {
        return Err(GpuRejection::OpaqueMalformed { field: FIELD });
    };
    Ok(format!("{a:02X}.{b:02X}.{c:02X}.{d:02X}.{e:02X}"))
}

fn pdis(value: &[u8]) -> Result<Vec<[u8; 8]>, GpuRejection> {
    let malformed = GpuRejection::OpaqueMalformed { field: "switch PDI" };
    let (pdis, rest) = value.as_chunks::<PDI_LEN>();
    if pdis.is_empty() || !rest.is_empty() { Err(malformed) } else { Ok(pdis.to_vec()) }
}
