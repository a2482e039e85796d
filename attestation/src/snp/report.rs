//! Bytes to a typed attestation report (SNP ABI §7.3, table "ATTESTATION_REPORT Structure").
//!
//! Decides: whether 1184 bytes are a report of version 2, 3 or 5 with every reserved byte zero. Nothing is genuine
//! yet on exit. The bytes the signature covers are kept as received, so that what is verified is what arrived.

use std::fmt;

use crate::rejection::Rejection;
use crate::snp::{Product, RawTcb};

/// The size of every report.
pub const REPORT_LEN: usize = 0x4a0;

/// The signature covers the bytes before this offset.
pub const SIGNED_LEN: usize = 0x2a0;

/// SIGNATURE_ALGO: ECDSA P-384 with SHA-384, the only one defined (SNP ABI table "Encodings for Signature Algorithm").
const ALGORITHM_ECDSA_P384_SHA384: u32 = 1;

/// Size of r and of s in the signature field, little endian, zero-extended (SNP ABI table "ECDSA Signature").
const SCALAR_FIELD_LEN: usize = 72;

/// Which key signed a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SigningKey {
    /// The chip's own key.
    Vcek,
    /// A key AMD gave a cloud provider.
    Vlek,
}

impl fmt::Display for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
        })
    }
}

/// The key bits of a report (offset 0x48).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyInformation {
    /// Whether an author key signed the id key.
    pub author_key_en: bool,
    /// Which key signed the report.
    pub signing_key: SigningKey,
}

/// CPU family, model and stepping, in reports of version 3 and later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cpu {
    /// Combined family.
    pub family: u8,
    /// Combined model.
    pub model: u8,
    /// Stepping.
    pub stepping: u8,
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}-{:02x}-{:02x}", self.family, self.model, self.stepping)
    }
}

/// A firmware version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirmwareVersion {
    /// Major.
    pub major: u8,
    /// Minor.
    pub minor: u8,
    /// Build.
    pub build: u8,
}

/// A parsed report. Field names are the ABI's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpReport {
    /// Report version: 2, 3 or 5.
    pub version: u32,
    /// The guest's own security version number.
    pub guest_svn: u32,
    /// Guest policy bits.
    pub policy: u64,
    /// FAMILY_ID of the id block.
    pub family_id: [u8; 16],
    /// IMAGE_ID of the id block.
    pub image_id: [u8; 16],
    /// Privilege level that asked; `u32::MAX` when the host asked.
    pub vmpl: u32,
    /// Signature algorithm; always 1 after parsing.
    pub signature_algo: u32,
    /// TCB of the running firmware.
    pub current_tcb: RawTcb,
    /// PLATFORM_INFO bits.
    pub platform_info: u64,
    /// What the report says about keys.
    pub key_information: KeyInformation,
    /// The guest's 64 bytes.
    pub report_data: [u8; 64],
    /// Launch digest.
    pub measurement: [u8; 48],
    /// 32 bytes the host chose at launch.
    pub host_data: [u8; 32],
    /// SHA-384 of the id key.
    pub id_key_digest: [u8; 48],
    /// SHA-384 of the author key.
    pub author_key_digest: [u8; 48],
    /// Id of this guest instance.
    pub report_id: [u8; 32],
    /// Id of the migration agent; all ones without one.
    pub report_id_ma: [u8; 32],
    /// TCB the endorsement key certifies.
    pub reported_tcb: RawTcb,
    /// CPU identification; version 3 and later.
    pub cpu: Option<Cpu>,
    /// Chip id; zero when masked.
    pub chip_id: [u8; 64],
    /// TCB that cannot be rolled back.
    pub committed_tcb: RawTcb,
    /// Running firmware version.
    pub current_version: FirmwareVersion,
    /// Committed firmware version.
    pub committed_version: FirmwareVersion,
    /// TCB when the guest was launched.
    pub launch_tcb: RawTcb,
    /// Mitigations active at launch; version 5.
    pub launch_mit_vector: Option<u64>,
    /// Mitigations active now; version 5.
    pub current_mit_vector: Option<u64>,
    /// The signed bytes, as received.
    signed: [u8; SIGNED_LEN],
    /// The signature field, as received.
    signature: SignatureField,
}

/// The 512-byte signature field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignatureField {
    /// r, little endian.
    pub(crate) r: [u8; SCALAR_FIELD_LEN],
    /// s, little endian.
    pub(crate) s: [u8; SCALAR_FIELD_LEN],
    /// Whether everything after s is zero.
    pub(crate) rest_is_zero: bool,
}

impl SnpReport {
    /// Parse a report.
    ///
    /// # Errors
    /// `snp.length`, `snp.version`, `snp.signature_algorithm`, `snp.signing_key_*`, `snp.chip_key_masked`,
    /// `snp.reserved_not_zero`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Rejection> {
        let wrong_length = || Rejection::ReportLength { got: bytes.len(), expected: REPORT_LEN };
        let whole: &[u8; REPORT_LEN] = bytes.try_into().map_err(|_| wrong_length())?;
        let (signed, signature) = whole.split_first_chunk::<SIGNED_LEN>().ok_or_else(wrong_length)?;
        let mut field = Fields { rest: whole, offset: 0 };

        // SNP ABI: version 4 was never released; layouts of later versions are unknown here and refused.
        let version = field.u32()?;
        if !matches!(version, 2 | 3 | 5) {
            return Err(Rejection::ReportVersion { got: version });
        }
        // Fields are read in the order they are written here, which is the order of the ABI's table.
        let report = Self {
            version,
            guest_svn: field.u32()?,
            policy: field.u64()?,
            family_id: field.take()?,
            image_id: field.take()?,
            vmpl: field.u32()?,
            signature_algo: field.u32()?,
            current_tcb: field.tcb()?,
            platform_info: field.u64()?,
            key_information: field.key_information()?,
            report_data: field.take()?,
            measurement: field.take()?,
            host_data: field.take()?,
            id_key_digest: field.take()?,
            author_key_digest: field.take()?,
            report_id: field.take()?,
            report_id_ma: field.take()?,
            reported_tcb: field.tcb()?,
            cpu: field.cpu(version)?,
            chip_id: field.take()?,
            committed_tcb: field.tcb()?,
            current_version: field.firmware_version()?,
            committed_version: field.firmware_version()?,
            launch_tcb: field.tcb()?,
            launch_mit_vector: field.mit_vector(version)?,
            current_mit_vector: field.mit_vector(version)?,
            signed: *signed,
            signature: SignatureField::split(signature).ok_or_else(wrong_length)?,
        };
        field.reserved::<152>()?;
        report.require_known_algorithm()?;
        Ok(report)
    }

    /// Which key signed.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        self.key_information.signing_key
    }

    fn require_known_algorithm(&self) -> Result<(), Rejection> {
        match self.signature_algo {
            ALGORITHM_ECDSA_P384_SHA384 => Ok(()),
            got => Err(Rejection::SignatureAlgorithm { got }),
        }
    }

    /// The product the report itself names; `None` in version 2, which has no CPU identification.
    ///
    /// # Errors
    /// [`Rejection::CpuUnknown`] when the CPU is not a known product.
    pub fn product(&self) -> Result<Option<Product>, Rejection> {
        self.cpu.map(|cpu| Product::from_cpuid(cpu.family, cpu.model)).transpose()
    }

    /// The bytes the signature covers, as received.
    pub(crate) fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }

    /// The signature field, as received.
    pub(crate) fn signature_field(&self) -> &SignatureField {
        &self.signature
    }
}

impl SignatureField {
    fn split(bytes: &[u8]) -> Option<Self> {
        let (r, rest) = bytes.split_first_chunk()?;
        let (s, rest) = rest.split_first_chunk()?;
        Some(Self { r: *r, s: *s, rest_is_zero: rest.iter().all(|byte| *byte == 0) })
    }
}

/// Reads fields front to back and knows where it is.
struct Fields<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Rejection> {
        let got = self.offset.saturating_add(self.rest.len());
        let (field, rest) =
            self.rest.split_first_chunk::<N>().ok_or(Rejection::ReportLength { got, expected: REPORT_LEN })?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(N);
        Ok(*field)
    }

    fn u32(&mut self) -> Result<u32, Rejection> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Rejection> {
        self.take().map(u64::from_le_bytes)
    }

    fn tcb(&mut self) -> Result<RawTcb, Rejection> {
        let offset = self.offset;
        Ok(RawTcb { bytes: self.take()?, offset })
    }

    /// Bytes 0x48..0x50: AUTHOR_KEY_EN (bit 0), MASK_CHIP_KEY (1), SIGNING_KEY (2-4), the rest reserved.
    fn key_information(&mut self) -> Result<KeyInformation, Rejection> {
        let offset = self.offset;
        let [low, b1, b2, b3] = self.take()?;
        if low & 0xe0 != 0 || [b1, b2, b3] != [0; 3] {
            return Err(Rejection::ReservedNotZero { offset });
        }
        self.reserved::<4>()?;
        let signing_key = match (low >> 2) & 0x07 {
            0 => SigningKey::Vcek,
            1 => SigningKey::Vlek,
            7 => return Err(Rejection::SigningKeyNone),
            got => return Err(Rejection::SigningKeyUnknown { got }),
        };
        if low & 0x02 != 0 {
            return Err(Rejection::ChipKeyMasked);
        }
        Ok(KeyInformation { author_key_en: low & 0x01 != 0, signing_key })
    }

    /// CPUID_FAM_ID, CPUID_MOD_ID, CPUID_STEP from version 3 on, and 21 reserved bytes; before, 24 reserved bytes.
    fn cpu(&mut self, version: u32) -> Result<Option<Cpu>, Rejection> {
        if version < 3 {
            self.reserved::<24>()?;
            return Ok(None);
        }
        let [family, model, stepping] = self.take()?;
        self.reserved::<21>()?;
        Ok(Some(Cpu { family, model, stepping }))
    }

    /// LAUNCH_MIT_VECTOR or CURRENT_MIT_VECTOR from version 5 on; before, reserved.
    fn mit_vector(&mut self, version: u32) -> Result<Option<u64>, Rejection> {
        if version < 5 { self.reserved::<8>().map(|()| None) } else { self.u64().map(Some) }
    }

    /// BUILD, MINOR, MAJOR and a reserved byte.
    fn firmware_version(&mut self) -> Result<FirmwareVersion, Rejection> {
        let [build, minor, major] = self.take()?;
        self.reserved::<1>()?;
        Ok(FirmwareVersion { major, minor, build })
    }

    fn reserved<const N: usize>(&mut self) -> Result<(), Rejection> {
        let start = self.offset;
        let bytes: [u8; N] = self.take()?;
        match bytes.iter().position(|byte| *byte != 0) {
            Some(index) => Err(Rejection::ReservedNotZero { offset: start.saturating_add(index) }),
            None => Ok(()),
        }
    }
}
