//! Bytes to a typed GPU report: an SPDM 1.1 GET_MEASUREMENTS exchange (DMTF DSP0274 1.1.0 §10.11).
//!
//! Decides: whether bytes are exactly one request for all signed measurements followed by its response: known version
//! and codes, bounded lengths, blocks in ascending order without repetition, known opaque fields, and a 96-byte
//! signature with nothing behind it. Nothing is genuine yet on exit. The bytes the signature covers are kept as received.
//!
//! A byte behind the signature is refused: one published capture has one, left by the tool that wrote it, and no driver
//! interface returns any. Tolerating it would give one report many encodings.

use crate::gpu::GpuRejection;
use crate::gpu::opaque::OpaqueData;
use crate::reader::Reader;

/// Longest report: what the driver's interface returns at most (NVML `nvmlConfComputeGpuAttestationReport_t`).
pub const GPU_REPORT_BYTES_MAX: usize = 8192;

/// SPDM 1.1, the only version these devices speak.
const SPDM_VERSION: u8 = 0x11;
/// Request code GET_MEASUREMENTS and response code MEASUREMENTS (DSP0274 table 4 and 6).
const GET_MEASUREMENTS: u8 = 0xe0;
const MEASUREMENTS: u8 = 0x60;
/// Request attributes: a signature is wanted, and nothing else.
const WITH_SIGNATURE: u8 = 0x01;
/// Measurement operation: all blocks.
const ALL_BLOCKS: u8 = 0xff;
/// Certificate slot of the device identity.
const SLOT: u8 = 0;
/// MeasurementSpecification: DMTF.
const DMTF: u8 = 0x01;
/// Highest DMTFSpecMeasurementValueType of a digest; bit 7 would mean raw bytes.
const VALUE_TYPE_MAX: u8 = 4;
/// Bytes of a block before its value: DMTF type and value size.
const DMTF_HEADER_LEN: u16 = 3;
/// r ‖ s.
const SIGNATURE_LEN: usize = 96;

/// One measurement block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasurementBlock {
    /// Index, from 1.
    pub index: u8,
    /// DMTF type: 0 immutable ROM, 1 mutable firmware, 2 hardware and 3 firmware configuration, 4 manifest.
    pub value_type: u8,
    /// The digest.
    pub value: Vec<u8>,
}

/// A parsed report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuReport {
    /// The verifier's nonce, from the request.
    pub nonce: [u8; 32],
    /// The device's own nonce, from the response. It proves nothing to a verifier.
    pub responder_nonce: [u8; 32],
    /// The blocks, ascending by index.
    pub blocks: Vec<MeasurementBlock>,
    /// NVIDIA's fields.
    pub opaque: OpaqueData,
    /// Request and response without the signature, as received.
    signed: Vec<u8>,
    /// r ‖ s, big endian.
    signature: [u8; SIGNATURE_LEN],
}

impl GpuReport {
    /// Parse a report.
    ///
    /// # Errors
    /// `gpu.length`, `gpu.malformed`, `gpu.spdm_version`, `gpu.no_blocks`, `gpu.block_index`,
    /// `gpu.measurement_specification`, `gpu.opaque_*`.
    pub fn parse(bytes: &[u8]) -> Result<Self, GpuRejection> {
        let wrong_length = GpuRejection::ReportLength { got: bytes.len() };
        if bytes.len() > GPU_REPORT_BYTES_MAX {
            return Err(wrong_length);
        }
        let (signed, signature) = bytes.split_last_chunk::<SIGNATURE_LEN>().ok_or_else(|| wrong_length.clone())?;
        let mut reader = Reader::new(signed);
        let nonce = read_request(&mut reader, &wrong_length)?;
        let blocks = read_blocks(&mut reader, &wrong_length)?;
        let responder_nonce = reader.array().ok_or_else(|| wrong_length.clone())?;
        let opaque_len = reader.u16_le().ok_or_else(|| wrong_length.clone())?;
        let opaque = reader.take(usize::from(opaque_len)).ok_or_else(|| wrong_length.clone())?;
        // Checked before the fields are read, so that a report cut anywhere has a wrong length.
        if !reader.is_empty() {
            return Err(wrong_length);
        }
        let opaque = OpaqueData::parse(opaque)?;
        Ok(Self { nonce, responder_nonce, blocks, opaque, signed: signed.to_vec(), signature: *signature })
    }

    /// The bytes the signature covers.
    pub(crate) fn signed(&self) -> &[u8] {
        &self.signed
    }

    /// r ‖ s.
    pub(crate) fn signature(&self) -> &[u8; SIGNATURE_LEN] {
        &self.signature
    }

    /// The block with this index.
    pub(crate) fn block(&self, index: u8) -> Option<&MeasurementBlock> {
        self.blocks.binary_search_by_key(&index, |block| block.index).ok().and_then(|at| self.blocks.get(at))
    }
}

/// The request's nonce, behind its four fixed bytes and before its slot.
fn read_request(reader: &mut Reader<'_>, wrong_length: &GpuRejection) -> Result<[u8; 32], GpuRejection> {
    let header: [u8; 4] = reader.array().ok_or_else(|| wrong_length.clone())?;
    let [version, code, attributes, operation] = header;
    require_version(version)?;
    if (code, attributes, operation) != (GET_MEASUREMENTS, WITH_SIGNATURE, ALL_BLOCKS) {
        return Err(GpuRejection::ReportMalformed { field: "request header" });
    }
    let nonce = reader.array().ok_or_else(|| wrong_length.clone())?;
    match reader.u8() {
        None => Err(wrong_length.clone()),
        Some(SLOT) => Ok(nonce),
        Some(_) => Err(GpuRejection::ReportMalformed { field: "request slot" }),
    }
}

/// The response's header and its blocks.
fn read_blocks(reader: &mut Reader<'_>, wrong_length: &GpuRejection) -> Result<Vec<MeasurementBlock>, GpuRejection> {
    let [version, code, param1, param2]: [u8; 4] = reader.array().ok_or_else(|| wrong_length.clone())?;
    require_version(version)?;
    // Parameter 1 counts blocks in answers to a count request only; parameter 2 repeats the slot.
    if (code, param1, param2) != (MEASUREMENTS, 0, SLOT) {
        return Err(GpuRejection::ReportMalformed { field: "response header" });
    }
    let count = reader.u8().ok_or_else(|| wrong_length.clone())?;
    let length = reader.u24_le().ok_or_else(|| wrong_length.clone())?;
    let record = usize::try_from(length).ok().and_then(|length| reader.take(length));
    let mut record = Reader::new(record.ok_or_else(|| wrong_length.clone())?);
    let mut blocks: Vec<MeasurementBlock> = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let block = read_block(&mut record)?;
        if block.index == 0 || blocks.last().is_some_and(|before| before.index >= block.index) {
            return Err(GpuRejection::BlockIndex { got: block.index });
        }
        blocks.push(block);
    }
    if !record.is_empty() {
        return Err(GpuRejection::ReportMalformed { field: "measurement record length" });
    }
    if blocks.is_empty() { Err(GpuRejection::NoBlocks) } else { Ok(blocks) }
}

fn read_block(record: &mut Reader<'_>) -> Result<MeasurementBlock, GpuRejection> {
    let malformed = || GpuRejection::ReportMalformed { field: "measurement block" };
    let index = record.u8().ok_or_else(malformed)?;
    let specification = record.u8().ok_or_else(malformed)?;
    if specification != DMTF {
        return Err(GpuRejection::MeasurementSpecification { got: specification });
    }
    let size = record.u16_le().ok_or_else(malformed)?;
    let value_type = record.u8().ok_or_else(malformed)?;
    let value_size = record.u16_le().ok_or_else(malformed)?;
    if value_type > VALUE_TYPE_MAX {
        return Err(GpuRejection::MeasurementSpecification { got: value_type });
    }
    if value_size.checked_add(DMTF_HEADER_LEN) != Some(size) {
        return Err(malformed());
    }
    let value = record.take(usize::from(value_size)).ok_or_else(malformed)?.to_vec();
    Ok(MeasurementBlock { index, value_type, value })
}

fn require_version(got: u8) -> Result<(), GpuRejection> {
    if got == SPDM_VERSION { Ok(()) } else { Err(GpuRejection::SpdmVersion { got }) }
}
