//! Why a TDX quote or its collateral was refused.
//!
//! Decides: the vocabulary; a code never changes its meaning. Faults of certificates, chains and revocation lists have
//! their own codes ([`crate::ChainFault`]), which every platform shares.

use crate::rejection::codes;
use crate::tdx::TcbStatus;
use crate::time::UnixTime;

/// Why a TDX quote or its collateral was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TdxRejection {
    // Quote, DCAP Quote Library appendix 3.
    /// A part of the quote is cut off, too long, or something trails it.
    #[error("the {part} of the quote does not have the required length")]
    QuoteLength {
        /// Which part.
        part: &'static str,
    },
    /// The quote version is not 4 or 5.
    #[error("quote version {got} is not supported")]
    QuoteVersion {
        /// The version found.
        got: u16,
    },
    /// The quote is not of a TD.
    #[error("TEE type {got:#x} is not TDX")]
    TeeType {
        /// The type found.
        got: u32,
    },
    /// The attestation key is not an ECDSA P-256 key.
    #[error("attestation key type {got} is not supported")]
    AttestationKeyType {
        /// The type found.
        got: u16,
    },
    /// The body of a version 5 quote is not a report of TD 1.0 or TD 1.5.
    #[error("quote body type {got} is not supported")]
    BodyType {
        /// The type found.
        got: u16,
    },
    /// The quoting enclave is not Intel's.
    #[error("quoting enclave vendor {got} is not supported")]
    QeVendor {
        /// The vendor found, hex.
        got: String,
    },
    /// A reserved byte of the header is not zero.
    #[error("a reserved byte of the quote header is not zero")]
    ReservedNotZero,
    /// The quote does not carry its PCK chain.
    #[error("certification data type {got} is not supported, expected {expected}")]
    CertificationDataType {
        /// The type found.
        got: u16,
        /// The only type its place has.
        expected: u16,
    },
    /// The attestation key did not sign this quote.
    #[error("the quote signature does not verify")]
    QuoteSignature,

    // Collateral, PCS API v4.
    /// The collateral is longer than the limit.
    #[error("the collateral has {got} bytes, more than {maximum}")]
    CollateralTooLarge {
        /// Its size.
        got: usize,
        /// The limit.
        maximum: usize,
    },
    /// The collateral is not the JSON of quote collateral.
    #[error("the collateral is malformed: {detail}")]
    CollateralMalformed {
        /// What the parser said.
        detail: String,
    },
    /// Intel did not sign this TCB information.
    #[error("the signature on the TCB information does not verify")]
    TcbInfoSignature,
    /// The signed TCB information does not have the required form.
    #[error("the TCB information is malformed: {detail}")]
    TcbInfoMalformed {
        /// What the parser said.
        detail: String,
    },
    /// The TCB information is not version 3 of TDX.
    #[error("TCB information {id} version {version} type {tcb_type} is not supported")]
    TcbInfoKind {
        /// What it is about.
        id: String,
        /// Its version.
        version: u32,
        /// Its type.
        tcb_type: u32,
    },
    /// Intel did not sign this QE identity.
    #[error("the signature on the QE identity does not verify")]
    QeIdentitySignature,
    /// The signed QE identity does not have the required form.
    #[error("the QE identity is malformed: {detail}")]
    QeIdentityMalformed {
        /// What the parser said.
        detail: String,
    },
    /// The QE identity is not version 2 of the TD quoting enclave.
    #[error("enclave identity {id} version {version} is not supported")]
    QeIdentityKind {
        /// Which enclave it is about.
        id: String,
        /// Its version.
        version: u32,
    },
    /// The collateral is not valid yet.
    #[error("the {what} is not valid before {issue_date}, it is {now}")]
    CollateralNotYetValid {
        /// Which part.
        what: &'static str,
        /// When it was issued.
        issue_date: UnixTime,
        /// Time of evaluation.
        now: UnixTime,
    },
    /// Newer collateral must exist.
    #[error("the {what} expired at {next_update}, it is {now}")]
    CollateralExpired {
        /// Which part.
        what: &'static str,
        /// When the next was due.
        next_update: UnixTime,
        /// Time of evaluation.
        now: UnixTime,
    },
    /// The collateral is older than the policy allows.
    #[error("the {what} is {age_secs} seconds old, the policy allows {maximum_secs}")]
    CollateralTooOld {
        /// Which part.
        what: &'static str,
        /// Its age.
        age_secs: u64,
        /// The policy's limit.
        maximum_secs: u64,
    },
    /// TCB information and QE identity are of different TCB recoveries.
    #[error("TCB information has evaluation number {tcb_info}, QE identity {qe_identity}")]
    EvaluationNumberMixed {
        /// Number in the TCB information.
        tcb_info: u32,
        /// Number in the QE identity.
        qe_identity: u32,
    },
    /// The collateral is of an older TCB recovery than the policy allows.
    #[error("TCB evaluation number {got} is lower than {minimum}")]
    EvaluationNumberTooLow {
        /// Number found.
        got: u32,
        /// The policy's minimum.
        minimum: u32,
    },

    // PCK certificate, "PCK Certificate and CRL Specification" §1.3.5.
    /// The PCK certificate lacks Intel's extension.
    #[error("the PCK certificate lacks Intel's extension")]
    PckExtensionMissing,
    /// Intel's extension does not have the required form.
    #[error("Intel's extension of the PCK certificate is malformed")]
    PckExtensionMalformed,
    /// The PCK is of another platform family than the TCB information.
    #[error("the PCK has FMSPC {pck}, the TCB information {tcb_info}")]
    FmspcMismatch {
        /// FMSPC of the PCK, hex.
        pck: String,
        /// FMSPC of the TCB information, hex.
        tcb_info: String,
    },
    /// The PCK is of another provisioning certification enclave than the TCB information.
    #[error("the PCK has PCE-ID {pck}, the TCB information {tcb_info}")]
    PceIdMismatch {
        /// PCE-ID of the PCK, hex.
        pck: String,
        /// PCE-ID of the TCB information, hex.
        tcb_info: String,
    },

    // Quoting enclave.
    /// The PCK did not sign the enclave's report.
    #[error("the signature on the QE report does not verify")]
    QeReportSignature,
    /// The enclave does not vouch for the attestation key.
    #[error("the QE report does not bind the attestation key")]
    QeReportData,
    /// The enclave may be debugged.
    #[error("the quoting enclave is a debug enclave")]
    QeDebug,
    /// The enclave has another signer than its identity.
    #[error("the quoting enclave has signer {got}")]
    QeMrSigner {
        /// Signer found, hex.
        got: String,
    },
    /// The enclave is another product than its identity.
    #[error("the quoting enclave has product number {got}, expected {expected}")]
    QeIsvProdId {
        /// Number found.
        got: u16,
        /// Number of the identity.
        expected: u16,
    },
    /// The enclave has other extended features than its identity.
    #[error("the quoting enclave has MISCSELECT {got}")]
    QeMiscSelect {
        /// Value found, hex as in the report.
        got: String,
    },
    /// The enclave has other attributes than its identity.
    #[error("the quoting enclave has attributes {got}")]
    QeAttributes {
        /// Value found, hex as in the report.
        got: String,
    },
    /// The enclave is older than every level of its identity.
    #[error("the quoting enclave has security version {got}, which is no TCB level")]
    QeNoLevel {
        /// Version found.
        got: u16,
    },

    // TCB levels.
    /// The platform is older than every level.
    #[error("the platform matches no TCB level")]
    TcbNoLevel,
    /// The collateral does not know the TDX module.
    #[error("the TCB information has no TDX module identity {id}")]
    ModuleIdentity {
        /// The identity looked for.
        id: String,
    },
    /// The TDX module is older than every level of its identity.
    #[error("the TDX module has security version {got}, which is no TCB level")]
    ModuleNoLevel {
        /// Version found.
        got: u8,
    },
    /// A TCB level that applies is revoked.
    #[error("the TCB level is revoked")]
    TcbRevoked,
    /// The TDX module is not signed by Intel.
    #[error("the TDX module has signer {got}")]
    SeamSigner {
        /// Signer found, hex.
        got: String,
    },
    /// The TDX module has attributes a production module never has.
    #[error("the TDX module has attributes {got}")]
    SeamAttributes {
        /// Value found, hex as in the report.
        got: String,
    },

    // Policy.
    /// The quote version is known, but the policy does not accept it.
    #[error("quote version {got} is not accepted by the policy")]
    VersionNotAllowed {
        /// The version found.
        got: u16,
    },
    /// The TCB status is not accepted.
    #[error("TCB status {got} (level of {tcb_date}) is not accepted by the policy")]
    TcbStatusNotAllowed {
        /// The converged status.
        got: TcbStatus,
        /// Date of the oldest level that applies.
        tcb_date: UnixTime,
    },
    /// An advisory that applies is not accepted.
    #[error("advisory {got} is not accepted by the policy")]
    AdvisoryNotAllowed {
        /// The advisory.
        got: String,
    },
    /// The PCK was issued by a CA the policy does not accept.
    #[error("the policy does not accept PCKs of the {got} CA")]
    PckCaNotAllowed {
        /// Which CA.
        got: crate::tdx::PckCa,
    },
    /// The platform family is not on the list.
    #[error("FMSPC {got} is not accepted by the policy")]
    FmspcNotAllowed {
        /// FMSPC found, hex.
        got: String,
    },
    /// The machine is not on the list.
    #[error("PPID {got} is not accepted by the policy")]
    PpidNotAllowed {
        /// PPID found, hex.
        got: String,
    },
    /// The platform is not configured as the policy requires, or its PCK does not say.
    #[error("the platform's configuration item {item} is {got}")]
    PlatformConfiguration {
        /// Which item.
        item: &'static str,
        /// What the PCK says.
        got: &'static str,
    },
    /// The TD may be debugged.
    #[error("the TD is a debug TD")]
    Debug,
    /// Attribute bits without a known meaning are set.
    #[error("reserved TD attribute bits {got:#x} are set")]
    AttributesReserved {
        /// The bits.
        got: u64,
    },
    /// SEPT_VE_DISABLE is not as the policy requires.
    #[error("the TD's SEPT_VE_DISABLE is {got}")]
    SeptVeDisable {
        /// `set` or `clear`.
        got: &'static str,
    },
    /// MIGRATABLE is not as the policy requires.
    #[error("the TD's MIGRATABLE is {got}")]
    Migratable {
        /// `set` or `clear`.
        got: &'static str,
    },
    /// PKS is not as the policy requires.
    #[error("the TD's PKS is {got}")]
    ProtectionKeys {
        /// `set` or `clear`.
        got: &'static str,
    },
    /// KL is not as the policy requires.
    #[error("the TD's KL is {got}")]
    KeyLocker {
        /// `set` or `clear`.
        got: &'static str,
    },
    /// PERFMON is not as the policy requires.
    #[error("the TD's PERFMON is {got}")]
    Perfmon {
        /// `set` or `clear`.
        got: &'static str,
    },
    /// XFAM lacks the bits every TD has.
    #[error("XFAM {got:#x} lacks bits that are always set")]
    XfamFixed {
        /// XFAM found.
        got: u64,
    },
    /// XFAM has bits the policy does not accept.
    #[error("XFAM bits {got:#x} are not accepted by the policy")]
    XfamNotAllowed {
        /// The bits.
        got: u64,
    },
    /// Service TDs are bound that the policy does not name.
    #[error("service TDs {got} are bound")]
    ServiceTd {
        /// MR_SERVICETD found, hex.
        got: String,
    },
    /// MRTD is not on the list.
    #[error("MRTD {got} is not accepted by the policy")]
    MrTd {
        /// Value found, hex.
        got: String,
    },
    /// A run-time measurement is not on its list.
    #[error("RTMR{index} {got} is not accepted by the policy")]
    Rtmr {
        /// Which one, 0 to 3.
        index: usize,
        /// Value found, hex.
        got: String,
    },
    /// MRSEAM is not on the list.
    #[error("MRSEAM {got} is not accepted by the policy")]
    MrSeam {
        /// Value found, hex.
        got: String,
    },
    /// MRCONFIGID is not on the list.
    #[error("MRCONFIGID {got} is not accepted by the policy")]
    MrConfigId {
        /// Value found, hex.
        got: String,
    },
    /// MROWNER is not on the list.
    #[error("MROWNER {got} is not accepted by the policy")]
    MrOwner {
        /// Value found, hex.
        got: String,
    },
    /// MROWNERCONFIG is not on the list.
    #[error("MROWNERCONFIG {got} is not accepted by the policy")]
    MrOwnerConfig {
        /// Value found, hex.
        got: String,
    },
}

codes! { TdxRejection {
    QuoteLength => "tdx.length", Malformed;
    QuoteVersion => "tdx.version", Unsupported;
    TeeType => "tdx.tee_type", Unsupported;
    AttestationKeyType => "tdx.attestation_key_type", Unsupported;
    BodyType => "tdx.body_type", Unsupported;
    QeVendor => "tdx.qe_vendor", Unsupported;
    ReservedNotZero => "tdx.reserved_not_zero", Malformed;
    CertificationDataType => "tdx.certification_data_type", Unsupported;
    QuoteSignature => "tdx.signature", Rejected;

    CollateralTooLarge => "tdx.collateral_too_large", Malformed;
    CollateralMalformed => "tdx.collateral_malformed", Malformed;
    TcbInfoSignature => "tdx.tcb_info_signature", Rejected;
    TcbInfoMalformed => "tdx.tcb_info_malformed", Malformed;
    TcbInfoKind => "tdx.tcb_info_kind", Unsupported;
    QeIdentitySignature => "tdx.qe_identity_signature", Rejected;
    QeIdentityMalformed => "tdx.qe_identity_malformed", Malformed;
    QeIdentityKind => "tdx.qe_identity_kind", Unsupported;
    CollateralNotYetValid => "tdx.collateral_not_yet_valid", Rejected;
    CollateralExpired => "tdx.collateral_expired", Rejected;
    CollateralTooOld => "tdx.collateral_too_old", Rejected;
    EvaluationNumberMixed => "tdx.evaluation_number_mixed", Rejected;
    EvaluationNumberTooLow => "tdx.evaluation_number_too_low", Rejected;

    PckExtensionMissing => "tdx.pck_extension_missing", Rejected;
    PckExtensionMalformed => "tdx.pck_extension_malformed", Malformed;
    FmspcMismatch => "tdx.fmspc_mismatch", Rejected;
    PceIdMismatch => "tdx.pce_id_mismatch", Rejected;

    QeReportSignature => "tdx.qe_report_signature", Rejected;
    QeReportData => "tdx.qe_report_data", Rejected;
    QeDebug => "tdx.qe_debug", Rejected;
    QeMrSigner => "tdx.qe_mr_signer", Rejected;
    QeIsvProdId => "tdx.qe_isv_prod_id", Rejected;
    QeMiscSelect => "tdx.qe_misc_select", Rejected;
    QeAttributes => "tdx.qe_attributes", Rejected;
    QeNoLevel => "tdx.qe_no_level", Rejected;

    TcbNoLevel => "tdx.tcb_no_level", Rejected;
    ModuleIdentity => "tdx.module_identity", Rejected;
    ModuleNoLevel => "tdx.module_no_level", Rejected;
    TcbRevoked => "tdx.tcb_revoked", Rejected;
    SeamSigner => "tdx.seam_signer", Rejected;
    SeamAttributes => "tdx.seam_attributes", Rejected;

    VersionNotAllowed => "tdx.version_not_allowed", Rejected;
    TcbStatusNotAllowed => "tdx.tcb_status", Rejected;
    AdvisoryNotAllowed => "tdx.advisory", Rejected;
    PckCaNotAllowed => "tdx.pck_ca_not_allowed", Rejected;
    FmspcNotAllowed => "tdx.fmspc_not_allowed", Rejected;
    PpidNotAllowed => "tdx.ppid_not_allowed", Rejected;
    PlatformConfiguration => "tdx.platform_configuration", Rejected;
    Debug => "tdx.debug", Rejected;
    AttributesReserved => "tdx.attributes_reserved", Rejected;
    SeptVeDisable => "tdx.sept_ve_disable", Rejected;
    Migratable => "tdx.migratable", Rejected;
    ProtectionKeys => "tdx.protection_keys", Rejected;
    KeyLocker => "tdx.key_locker", Rejected;
    Perfmon => "tdx.perfmon", Rejected;
    XfamFixed => "tdx.xfam_fixed", Rejected;
    XfamNotAllowed => "tdx.xfam_not_allowed", Rejected;
    ServiceTd => "tdx.service_td", Rejected;
    MrTd => "tdx.mr_td", Rejected;
    Rtmr => "tdx.rtmr", Rejected;
    MrSeam => "tdx.mr_seam", Rejected;
    MrConfigId => "tdx.mr_config_id", Rejected;
    MrOwner => "tdx.mr_owner", Rejected;
    MrOwnerConfig => "tdx.mr_owner_config", Rejected;
} }
