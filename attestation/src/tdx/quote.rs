//! TD quotes, version 4 and 5 (Intel TDX DCAP Quote Library, appendix 3 "Quote Format").
//!
//! Decides: whether bytes are one TD quote signed with ECDSA P-256, with every length exact and nothing behind it.
//! Nothing in it is trusted on exit: signatures and the certificates are for `chain`, `qe` and `verify`. The signed
//! range is kept as received, never written again from the fields.

use crate::reader::Reader;
use crate::tdx::TdxRejection;

/// The largest quote that is read. Captured ones have 5 KiB.
pub const QUOTE_BYTES_MAX: usize = 16 * 1024;

const VERSION_4: u16 = 4;
const VERSION_5: u16 = 5;
/// ECDSA over P-256 with SHA-256.
const KEY_TYPE_ECDSA_P256: u16 = 2;
const TEE_TYPE_TDX: u32 = 0x81;
/// Intel's quoting enclave, 939a7233-f79c-4ca9-940a-0db3957f0607.
const QE_VENDOR_INTEL: [u8; 16] =
    [0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07];
/// Body types of version 5, each with its only size in bytes.
const BODY_TD_1_0: u16 = 2;
const BODY_TD_1_0_LEN: u32 = 584;
const BODY_TD_1_5: u16 = 3;
const BODY_TD_1_5_LEN: u32 = 648;
/// Certification data: a quoting enclave's report with further certification data inside.
const CERTIFICATION_QE_REPORT: u16 = 6;
/// Certification data: the PCK certificate chain, PEM.
const CERTIFICATION_PCK_CHAIN: u16 = 5;
/// Bytes of an SGX REPORT body.
pub(crate) const QE_REPORT_LEN: usize = 384;

/// A TD quote, field by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdQuote {
    /// Quote version: 4 or 5.
    pub version: u16,
    /// What the quoting enclave put into the header: its platform's id, then zeros.
    pub user_data: [u8; 20],
    /// The TD's own report.
    pub body: TdReport,
    /// ECDSA signature of the attestation key over header and body: r ‖ s, big endian.
    pub signature: [u8; 64],
    /// The attestation key: x ‖ y of a P-256 point, big endian.
    pub attestation_key: [u8; 64],
    /// The report of the quoting enclave that made the attestation key.
    pub qe_report: QeReport,
    /// ECDSA signature of the PCK over the enclave's report: r ‖ s, big endian.
    pub qe_report_signature: [u8; 64],
    /// What the enclave hashes beside the attestation key.
    pub qe_auth_data: Vec<u8>,
    /// The PCK certificate chain, PEM, as received.
    pub pck_chain_pem: Vec<u8>,
    signed: Vec<u8>,
    qe_report_bytes: [u8; QE_REPORT_LEN],
}

/// The body of a quote: what the TDX module says about the TD (TDX Module ABI, TDREPORT_STRUCT).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdReport {
    /// TCB of the TDX module and its loader when the TD was launched.
    pub tee_tcb_svn: [u8; 16],
    /// Measurement of the TDX module.
    pub mr_seam: [u8; 48],
    /// Signer of the TDX module; zero is Intel.
    pub mr_signer_seam: [u8; 48],
    /// Attributes of the TDX module.
    pub seam_attributes: [u8; 8],
    /// Attributes of the TD, bit 0 first.
    pub td_attributes: u64,
    /// Processor state the TD may use, bit 0 first.
    pub xfam: u64,
    /// Measurement of what the TD was built from.
    pub mr_td: [u8; 48],
    /// Chosen by the owner: configuration that is not software.
    pub mr_config_id: [u8; 48],
    /// Chosen by the host: the owner.
    pub mr_owner: [u8; 48],
    /// Chosen by the host: configuration by the owner.
    pub mr_owner_config: [u8; 48],
    /// Run-time measurements, RTMR0 to RTMR3.
    pub rtmrs: [[u8; 48]; 4],
    /// Chosen by the TD.
    pub report_data: [u8; 64],
    /// What TD 1.5 added; absent in quotes of TD 1.0.
    pub td_1_5: Option<Td15>,
}

/// What the report of TD 1.5 has more than the one of TD 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Td15 {
    /// TCB of the TDX module and its loader now.
    pub tee_tcb_svn_2: [u8; 16],
    /// Measurement of the service TDs bound to the TD; zero when there are none.
    pub mr_service_td: [u8; 48],
}

/// The report of the quoting enclave (SGX REPORT body).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QeReport {
    /// CPUSVN.
    pub cpu_svn: [u8; 16],
    /// MISCSELECT, little endian as in the report.
    pub misc_select: [u8; 4],
    /// ATTRIBUTES: flags, then XFRM.
    pub attributes: [u8; 16],
    /// Measurement of the enclave.
    pub mr_enclave: [u8; 32],
    /// Signer of the enclave.
    pub mr_signer: [u8; 32],
    /// Product number.
    pub isv_prod_id: u16,
    /// Security version.
    pub isv_svn: u16,
    /// Chosen by the enclave: what it vouches for.
    pub report_data: [u8; 64],
}

/// A part of a quote still to be read; every read is exact, and a refusal names the part.
struct PartReader<'a> {
    reader: Reader<'a>,
    part: &'static str,
}

impl<'a> PartReader<'a> {
    fn new(bytes: &'a [u8], part: &'static str) -> Self {
        Self { reader: Reader::new(bytes), part }
    }

    fn length(&self) -> TdxRejection {
        TdxRejection::QuoteLength { part: self.part }
    }

    fn rest(&self) -> &'a [u8] {
        self.reader.rest()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TdxRejection> {
        self.reader.array().ok_or_else(|| self.length())
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], TdxRejection> {
        self.reader.take(length).ok_or_else(|| self.length())
    }

    fn u16(&mut self) -> Result<u16, TdxRejection> {
        self.reader.u16_le().ok_or_else(|| self.length())
    }

    fn u32(&mut self) -> Result<u32, TdxRejection> {
        self.reader.u32_le().ok_or_else(|| self.length())
    }

    /// The last part: a 32-bit length that everything left must have.
    fn enter(mut self, part: &'static str) -> Result<Self, TdxRejection> {
        self.part = part;
        let length = usize::try_from(self.u32()?).map_err(|_| self.length())?;
        if self.rest().len() == length { Ok(self) } else { Err(self.length()) }
    }
}

impl TdQuote {
    /// Read a quote: at most [`QUOTE_BYTES_MAX`] bytes, versions 4 and 5, bodies of TD 1.0 and TD 1.5.
    ///
    /// # Errors
    /// `tdx.*` rejections of class malformed for wrong lengths and reserved bytes, unsupported for unknown types.
    pub fn parse(bytes: &[u8]) -> Result<Self, TdxRejection> {
        let mut reader = PartReader::new(bytes, "quote");
        if bytes.len() > QUOTE_BYTES_MAX {
            return Err(reader.length());
        }
        let (version, user_data) = header(&mut reader)?;
        let body = if version == VERSION_4 { td_report(&mut reader, false)? } else { sized_body(&mut reader)? };
        let signed_len = bytes.len().saturating_sub(reader.rest().len());
        let signed = bytes.get(..signed_len).unwrap_or_default().to_vec();

        let mut reader = reader.enter("signature data")?;
        let (signature, attestation_key) = (reader.array()?, reader.array()?);
        let mut reader = certification_data(reader, CERTIFICATION_QE_REPORT, "QE certification data")?;
        let qe_report_bytes = reader.array()?;
        let qe_report_signature = reader.array()?;
        let auth_len = usize::from(reader.u16()?);
        let qe_auth_data = reader.bytes(auth_len)?.to_vec();
        let reader = certification_data(reader, CERTIFICATION_PCK_CHAIN, "PCK certification data")?;
        Ok(Self {
            version,
            user_data,
            body,
            signature,
            attestation_key,
            qe_report: QeReport::read(&qe_report_bytes)?,
            qe_report_signature,
            qe_auth_data,
            pck_chain_pem: reader.rest().to_vec(),
            signed,
            qe_report_bytes,
        })
    }

    /// Header and body as received: what the attestation key signed.
    #[must_use]
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }

    /// The quoting enclave's report as received: what the PCK signed.
    #[must_use]
    pub fn qe_report_bytes(&self) -> &[u8; 384] {
        &self.qe_report_bytes
    }
}

/// The 48-byte header: version and user data, the rest has one right value.
fn header(reader: &mut PartReader<'_>) -> Result<(u16, [u8; 20]), TdxRejection> {
    reader.part = "header";
    let (version, key_type, tee_type) = (reader.u16()?, reader.u16()?, reader.u32()?);
    let (reserved, vendor): ([u8; 4], [u8; 16]) = (reader.array()?, reader.array()?);
    let user_data = reader.array()?;
    if version != VERSION_4 && version != VERSION_5 {
        return Err(TdxRejection::QuoteVersion { got: version });
    }
    if tee_type != TEE_TYPE_TDX {
        return Err(TdxRejection::TeeType { got: tee_type });
    }
    if key_type != KEY_TYPE_ECDSA_P256 {
        return Err(TdxRejection::AttestationKeyType { got: key_type });
    }
    if vendor != QE_VENDOR_INTEL {
        return Err(TdxRejection::QeVendor { got: hex::encode(vendor) });
    }
    if reserved != [0; 4] {
        return Err(TdxRejection::ReservedNotZero);
    }
    Ok((version, user_data))
}

/// The body of version 5: its type, the only size of that type, and the body.
fn sized_body(reader: &mut PartReader<'_>) -> Result<TdReport, TdxRejection> {
    reader.part = "body";
    let (body_type, length) = (reader.u16()?, reader.u32()?);
    let (is_td_1_5, expected) = match body_type {
        BODY_TD_1_0 => (false, BODY_TD_1_0_LEN),
        BODY_TD_1_5 => (true, BODY_TD_1_5_LEN),
        got => return Err(TdxRejection::BodyType { got }),
    };
    if length != expected {
        return Err(reader.length());
    }
    td_report(reader, is_td_1_5)
}

fn td_report(reader: &mut PartReader<'_>, is_td_1_5: bool) -> Result<TdReport, TdxRejection> {
    reader.part = "body";
    Ok(TdReport {
        tee_tcb_svn: reader.array()?,
        mr_seam: reader.array()?,
        mr_signer_seam: reader.array()?,
        seam_attributes: reader.array()?,
        td_attributes: reader.array().map(u64::from_le_bytes)?,
        xfam: reader.array().map(u64::from_le_bytes)?,
        mr_td: reader.array()?,
        mr_config_id: reader.array()?,
        mr_owner: reader.array()?,
        mr_owner_config: reader.array()?,
        rtmrs: [reader.array()?, reader.array()?, reader.array()?, reader.array()?],
        report_data: reader.array()?,
        td_1_5: match is_td_1_5 {
            false => None,
            true => Some(Td15 { tee_tcb_svn_2: reader.array()?, mr_service_td: reader.array()? }),
        },
    })
}

/// Certification data of the one type its place has; it fills the rest.
fn certification_data<'a>(
    mut reader: PartReader<'a>,
    expected: u16,
    part: &'static str,
) -> Result<PartReader<'a>, TdxRejection> {
    reader.part = part;
    let got = reader.u16()?;
    // The length first: a cut-off quote is malformed whatever type it would have had.
    let reader = reader.enter(part)?;
    if got == expected { Ok(reader) } else { Err(TdxRejection::CertificationDataType { got, expected }) }
}

impl QeReport {
    /// Read the fields; the gaps are reserved and have no meaning here.
    fn read(bytes: &[u8; QE_REPORT_LEN]) -> Result<Self, TdxRejection> {
        let mut reader = PartReader::new(bytes, "QE report");
        let cpu_svn = reader.array()?;
        let misc_select = reader.array()?;
        reader.bytes(28)?;
        let attributes = reader.array()?;
        let mr_enclave = reader.array()?;
        reader.bytes(32)?;
        let mr_signer = reader.array()?;
        reader.bytes(96)?;
        let (isv_prod_id, isv_svn) = (reader.u16()?, reader.u16()?);
        reader.bytes(60)?;
        let report_data = reader.array()?;
        Ok(Self { cpu_svn, misc_select, attributes, mr_enclave, mr_signer, isv_prod_id, isv_svn, report_data })
    }
}
