//! The stable code and the class of every rejection, in tables.
//!
//! Decides: the names scripts match on. A code is never reused for another reason.

use super::Rejection;
use crate::azure::AzureRejection;
use crate::gpu::GpuRejection;
use crate::reference::ReferenceRejection;
use crate::tdx::TdxRejection;
use crate::x509::ChainFault;

/// What kind of failure a rejection is, as a process reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionClass {
    /// Understood and refused.
    Rejected,
    /// Of a kind this version does not know.
    Unsupported,
    /// Not well formed.
    Malformed,
}

impl RejectionClass {
    /// The exit code of a process that ends so: 10 rejected, 20 unsupported, 30 malformed.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Rejected => 10,
            Self::Unsupported => 20,
            Self::Malformed => 30,
        }
    }
}

/// One row per variant: the compiler refuses a variant without a row. Variants behind `@` hold another such
/// enumeration, whose codes they carry.
macro_rules! codes {
    ($name:ident {
        $($variant:ident => $code:literal, $class:ident;)*
        $(@ $inner:ident($inner_type:ty);)*
    }) => {
        impl $name {
            /// Every code there is.
            #[must_use]
            pub fn codes() -> Vec<&'static str> {
                let mut codes: Vec<&'static str> = vec![$($code),*];
                $(codes.extend(<$inner_type>::codes());)*
                codes.sort_unstable();
                codes
            }

            /// Stable name of the reason.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $code,)*
                    $(Self::$inner(inner) => inner.code(),)*
                }
            }

            /// What kind of failure it is.
            #[must_use]
            pub fn class(&self) -> $crate::rejection::RejectionClass {
                match self {
                    $(Self::$variant { .. } => $crate::rejection::RejectionClass::$class,)*
                    $(Self::$inner(inner) => inner.class(),)*
                }
            }
        }
    };
}
pub(crate) use codes;

impl Rejection {
    /// The exit code of a process that ends with this rejection.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.class().exit_code()
    }
}

codes! { Rejection {
    DocumentTooLarge => "document.too_large", Malformed;
    DocumentMalformed => "document.malformed", Malformed;
    DocumentVersion => "document.version", Unsupported;
    EvidenceFormat => "document.evidence_format", Unsupported;
    EvidenceUnrecognised => "evidence.unrecognised", Malformed;
    EvidenceEmpty => "evidence.empty", Malformed;
    EvidencePartMissing => "evidence.part_missing", Rejected;
    ExpectationUnused => "evidence.expectation_unused", Rejected;
    PlatformRefused => "policy.platform_refused", Rejected;

    ReportLength => "snp.length", Malformed;
    ReportVersion => "snp.version", Unsupported;
    SignatureAlgorithm => "snp.signature_algorithm", Unsupported;
    ReservedNotZero => "snp.reserved_not_zero", Malformed;
    SigningKeyNone => "snp.signing_key_none", Rejected;
    SigningKeyUnknown => "snp.signing_key_unknown", Unsupported;
    ChipKeyMasked => "snp.chip_key_masked", Rejected;
    CpuUnknown => "snp.cpu_unknown", Unsupported;

    ExtensionMissing => "chain.extension_missing", Rejected;
    ExtensionMalformed => "chain.extension_malformed", Malformed;
    ProductMismatch => "chain.product_mismatch", Rejected;
    SigningKeyMismatch => "chain.signing_key_mismatch", Rejected;
    EndorsedTcbMismatch => "chain.tcb_mismatch", Rejected;
    ChipIdMismatch => "chain.chip_id_mismatch", Rejected;


    SignatureEncoding => "snp.signature_encoding", Malformed;
    ReportSignature => "snp.signature", Rejected;

    ReportVersionNotAllowed => "snp.version_not_allowed", Rejected;
    ProductNotAllowed => "snp.product_not_allowed", Rejected;
    SigningKeyNotAllowed => "snp.signing_key_not_allowed", Rejected;
    CspNotAllowed => "snp.csp_not_allowed", Rejected;
    LaunchDigest => "snp.launch_digest", Rejected;
    HostData => "snp.host_data", Rejected;
    HostRequested => "snp.host_requested", Rejected;
    Vmpl => "snp.vmpl", Rejected;
    PolicyReservedBitClear => "snp.policy_reserved_bit", Rejected;
    PolicyUnknownBits => "snp.policy_unknown_bits", Rejected;
    DebugAllowed => "snp.debug_allowed", Rejected;
    MigrationAgentAllowed => "snp.migration_agent", Rejected;
    SmtAllowed => "snp.smt_allowed", Rejected;
    SingleSocketNotRequired => "snp.single_socket", Rejected;
    CxlAllowed => "snp.cxl_allowed", Rejected;
    Aes256XtsNotRequired => "snp.aes_256_xts", Rejected;
    RaplNotDisabled => "snp.rapl", Rejected;
    CiphertextHidingNotRequired => "snp.ciphertext_hiding", Rejected;
    PageSwapNotDisabled => "snp.page_swap", Rejected;
    AbiTooOld => "snp.abi_too_old", Rejected;
    Platform => "snp.platform", Rejected;
    TcbOrder => "snp.tcb_order", Rejected;
    ProvisionalFirmware => "snp.provisional_firmware", Rejected;
    TcbTooOld => "snp.tcb_too_old", Rejected;
    TcbFloorMissing => "snp.tcb_floor_missing", Rejected;
    MitigationMissing => "snp.mitigation_missing", Rejected;
    ChipNotAllowed => "snp.chip_not_allowed", Rejected;
    GuestSvn => "snp.guest_svn", Rejected;
    FamilyId => "snp.family_id", Rejected;
    ImageId => "snp.image_id", Rejected;
    IdKey => "snp.id_key", Rejected;
    AuthorKey => "snp.author_key", Rejected;

    KeysetDigest => "keyset.digest_mismatch", Rejected;
    KeysetUnusable => "keyset.unusable", Rejected;
    KeysetExpired => "keyset.expired", Rejected;
    KeysetLifetime => "keyset.lifetime", Rejected;

    ChannelRole => "channel.role", Rejected;
    NonceMismatch => "channel.nonce_mismatch", Rejected;
    BatchPath => "channel.batch_path", Malformed;
    ReportDataMismatch => "channel.report_data_mismatch", Rejected;
    SpkiNotInKeyset => "channel.spki_not_in_keyset", Rejected;
    NoEnvelopeKey => "channel.no_envelope_key", Rejected;

    @Chain(ChainFault);
    @Azure(AzureRejection);
    @Tdx(TdxRejection);
    @Gpu(GpuRejection);
    @Reference(ReferenceRejection);
} }
