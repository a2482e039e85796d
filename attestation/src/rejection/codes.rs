//! The stable code and the exit class of every rejection, in one table.
//!
//! Decides: the names scripts match on. A code is never reused for another reason.

use super::Rejection;

/// What kind of failure a rejection is, as a process reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Understood and refused.
    Rejected,
    /// Of a kind this version does not know.
    Unsupported,
    /// Not well formed.
    Malformed,
}

/// One row per variant: the compiler refuses a variant without a row.
macro_rules! codes {
    ($($variant:ident => $code:literal, $class:ident;)*) => {
        impl Rejection {
            /// Every code there is.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// Stable name of the reason.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $code,)* }
            }

            fn class(&self) -> Class {
                match self { $(Self::$variant { .. } => Class::$class,)* }
            }
        }
    };
}

impl Rejection {
    /// The exit code of a process that ends with this rejection: 10 rejected, 20 unsupported, 30 malformed.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.class() {
            Class::Rejected => 10,
            Class::Unsupported => 20,
            Class::Malformed => 30,
        }
    }
}

codes! {
    DocumentTooLarge => "document.too_large", Malformed;
    DocumentMalformed => "document.malformed", Malformed;
    DocumentVersion => "document.version", Unsupported;
    EvidenceFormat => "document.evidence_format", Unsupported;
    GpuUnsupported => "document.gpu_unsupported", Unsupported;

    ReportLength => "snp.length", Malformed;
    ReportVersion => "snp.version", Unsupported;
    SignatureAlgorithm => "snp.signature_algorithm", Unsupported;
    ReservedNotZero => "snp.reserved_not_zero", Malformed;
    SigningKeyNone => "snp.signing_key_none", Rejected;
    SigningKeyUnknown => "snp.signing_key_unknown", Unsupported;
    ChipKeyMasked => "snp.chip_key_masked", Rejected;
    CpuUnknown => "snp.cpu_unknown", Unsupported;

    CertificateMalformed => "chain.malformed", Malformed;
    RootUnknown => "chain.root_unknown", Rejected;
    CertificateName => "chain.name", Rejected;
    CertificateAlgorithm => "chain.algorithm", Rejected;
    CertificateKey => "chain.key", Rejected;
    CertificateSignature => "chain.signature", Rejected;
    CertificateNotYetValid => "chain.not_yet_valid", Rejected;
    CertificateExpired => "chain.expired", Rejected;
    CertificateRole => "chain.role", Rejected;
    CertificateCriticalExtension => "chain.critical_extension", Rejected;
    ExtensionMissing => "chain.extension_missing", Rejected;
    ExtensionMalformed => "chain.extension_malformed", Malformed;
    ProductMismatch => "chain.product_mismatch", Rejected;
    SigningKeyMismatch => "chain.signing_key_mismatch", Rejected;
    EndorsedTcbMismatch => "chain.tcb_mismatch", Rejected;
    ChipIdMismatch => "chain.chip_id_mismatch", Rejected;

    CrlMissing => "crl.missing", Rejected;
    CrlNotYetValid => "crl.not_yet_valid", Rejected;
    CrlExpired => "crl.expired", Rejected;
    CrlTooOld => "crl.too_old", Rejected;
    Revoked => "crl.revoked", Rejected;

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
}
