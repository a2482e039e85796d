//! Why evidence was refused: one variant per reason, each with a stable code.
//!
//! Decides: the vocabulary of refusal. A code never changes its meaning; scripts and tests match on it. The exit
//! code tells three situations apart: the evidence was understood and refused (10), it is of a kind this version
//! does not know (20), or it is not well formed (30).

mod codes;
mod kinds;

pub use codes::RejectionClass;
pub(crate) use codes::codes;
pub use kinds::{PlatformItem, TcbKind};

use crate::azure::AzureRejection;
use crate::digest::Sha256Digest;
use crate::gpu::GpuRejection;
use crate::keyset::KeysetFault;
use crate::reference::ReferenceRejection;
use crate::report_data::Role;
use crate::snp::{Product, SigningKey, Tcb};
use crate::tdx::TdxRejection;
use crate::time::UnixTime;
use crate::x509::ChainFault;

/// Why evidence was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    // Document, protocol.md §2.3.
    /// The document is longer than `DOCUMENT_BYTES_MAX`.
    #[error("the document has {got} bytes, more than {maximum}")]
    DocumentTooLarge {
        /// Its size.
        got: usize,
        /// The limit.
        maximum: usize,
    },
    /// The document is not the JSON of §2.3.
    #[error("the document is malformed: {detail}")]
    DocumentMalformed {
        /// What the parser said.
        detail: String,
    },
    /// The document's `version` is not ours.
    #[error("document version {got:?} is not supported")]
    DocumentVersion {
        /// The version found.
        got: String,
    },
    /// The evidence format is not one we know.
    #[error("evidence format {got:?} is not supported")]
    EvidenceFormat {
        /// The format found.
        got: String,
    },
    /// The file does not begin like any evidence.
    #[error("the file does not begin like any evidence this version reads")]
    EvidenceUnrecognised,
    /// The set of evidence has no part.
    #[error("there is no evidence to appraise")]
    EvidenceEmpty,
    /// A part of the set is missing that the policy, or another part, requires.
    #[error("there is no {part} evidence, which is required")]
    EvidencePartMissing {
        /// Which part.
        part: &'static str,
    },
    /// The caller expects a value that no part of the evidence could show.
    #[error("an expected {expectation} was given, but no part of the evidence answers it")]
    ExpectationUnused {
        /// Which.
        expectation: &'static str,
    },
    /// The policy refuses evidence of this platform.
    #[error("the policy refuses {platform} evidence")]
    PlatformRefused {
        /// The platform.
        platform: &'static str,
    },

    // Report, SNP ABI §7.3.
    /// The report is not exactly 1184 bytes.
    #[error("the report has {got} bytes, expected {expected}")]
    ReportLength {
        /// Its size.
        got: usize,
        /// The only size there is.
        expected: usize,
    },
    /// The report version is not 2, 3 or 5.
    #[error("report version {got} is not supported")]
    ReportVersion {
        /// The version found.
        got: u32,
    },
    /// The report is not signed with ECDSA P-384/SHA-384.
    #[error("report signature algorithm {got} is not supported")]
    SignatureAlgorithm {
        /// The algorithm number found.
        got: u32,
    },
    /// A byte that is reserved in this report version is not zero.
    #[error("reserved byte at {offset:#x} of the report is not zero")]
    ReservedNotZero {
        /// Where it is.
        offset: usize,
    },
    /// The firmware says it did not sign the report.
    #[error("the report is not signed: the firmware had no key for it")]
    SigningKeyNone,
    /// The signing-key field holds a value without a meaning.
    #[error("signing key selector {got} is not supported")]
    SigningKeyUnknown {
        /// The value found.
        got: u8,
    },
    /// Chip keys are masked: the platform hides what the report would be bound to.
    #[error("the platform masks its chip key")]
    ChipKeyMasked,
    /// The CPU family and model are not a known product.
    #[error("CPU family {family:#x} model {model:#x} is not a known product")]
    CpuUnknown {
        /// CPUID family.
        family: u8,
        /// CPUID model.
        model: u8,
    },

    // Chains and revocation lists, whoever the vendor is.
    /// A certificate, a chain or a revocation list.
    #[error(transparent)]
    Chain(#[from] ChainFault),
    /// A TDX quote or its collateral.
    #[error(transparent)]
    Tdx(#[from] TdxRejection),
    /// Azure's paravisor evidence.
    #[error(transparent)]
    Azure(#[from] AzureRejection),
    /// GPU evidence, its manifests or its OCSP responses.
    #[error(transparent)]
    Gpu(#[from] GpuRejection),
    // Reference values.
    /// The policy's reference values are missing, or no longer hold.
    #[error(transparent)]
    Reference(#[from] ReferenceRejection),

    // AMD's endorsement keys, 57230 §3.
    /// The endorsement key lacks a required AMD extension.
    #[error("the endorsement key certificate lacks extension {oid}")]
    ExtensionMissing {
        /// The extension.
        oid: &'static str,
    },
    /// An AMD extension does not have the required form.
    #[error("extension {oid} of the endorsement key certificate is malformed")]
    ExtensionMalformed {
        /// The extension.
        oid: &'static str,
    },
    /// Report, endorsement key and chain disagree about the product.
    #[error("the report says {report}, the certificates say {chain}")]
    ProductMismatch {
        /// Product of the report (or of the endorsement key where the report has none).
        report: Product,
        /// Product of the chain.
        chain: Product,
    },
    /// The report names another kind of key than the certificate is.
    #[error("the report is signed by a {report}, the certificate is a {certificate}")]
    SigningKeyMismatch {
        /// Kind the report names.
        report: SigningKey,
        /// Kind the certificate is.
        certificate: SigningKey,
    },
    /// The TCB the key certifies is not the one reported.
    #[error("the endorsement key certifies {certificate}, the report says {report}")]
    EndorsedTcbMismatch {
        /// TCB in the certificate.
        certificate: Tcb,
        /// Reported TCB.
        report: Tcb,
    },
    /// The chip the key certifies is not the one that reports.
    #[error("the endorsement key belongs to another chip")]
    ChipIdMismatch,

    // Report signature.
    /// r, s or the padding is not in the only form the ABI allows.
    #[error("the signature field has non-zero bytes outside r and s")]
    SignatureEncoding,
    /// The endorsement key did not sign this report.
    #[error("the report signature does not verify")]
    ReportSignature,

    // Policy, attestation checklist items 8-12.
    /// The report version is known, but the policy does not accept it.
    #[error("report version {got} is not accepted by the policy")]
    ReportVersionNotAllowed {
        /// The version found.
        got: u32,
    },
    /// The product is not in the policy.
    #[error("product {got} is not accepted by the policy")]
    ProductNotAllowed {
        /// The product found.
        got: Product,
    },
    /// The kind of endorsement key is not in the policy.
    #[error("reports signed by a {got} are not accepted by the policy")]
    SigningKeyNotAllowed {
        /// The kind found.
        got: SigningKey,
    },
    /// The cloud provider of a VLEK is not in the policy.
    #[error("cloud provider {got:?} is not accepted by the policy")]
    CspNotAllowed {
        /// The provider found.
        got: String,
    },
    /// The launch digest is not in the policy.
    #[error("launch digest {got} is not accepted by the policy")]
    LaunchDigest {
        /// The digest found, hex.
        got: String,
    },
    /// HOST_DATA is not in the policy.
    #[error("host data {got} is not accepted by the policy")]
    HostData {
        /// The value found, hex.
        got: String,
    },
    /// The report was requested by the host, so it says nothing about what the guest wanted to say.
    #[error("the report was requested by the host, not by the guest")]
    HostRequested,
    /// The privilege level is not in the policy.
    #[error("privilege level {got} is not accepted by the policy")]
    Vmpl {
        /// The level found.
        got: u32,
    },
    /// Guest policy bit 17 must be one.
    #[error("bit 17 of the guest policy is clear")]
    PolicyReservedBitClear,
    /// The guest policy has a bit without a known meaning.
    #[error("the guest policy {got:#x} has unknown bits")]
    PolicyUnknownBits {
        /// The policy found.
        got: u64,
    },
    /// The guest may be debugged by the host.
    #[error("the guest policy allows debugging")]
    DebugAllowed,
    /// A migration agent may read the guest, or one is named.
    #[error("the guest policy allows a migration agent")]
    MigrationAgentAllowed,
    /// The guest may run with SMT.
    #[error("the guest policy allows SMT")]
    SmtAllowed,
    /// The guest may run on more than one socket.
    #[error("the guest policy does not require a single socket")]
    SingleSocketNotRequired,
    /// The guest may use CXL memory.
    #[error("the guest policy allows CXL")]
    CxlAllowed,
    /// Memory may be encrypted with AES-128.
    #[error("the guest policy does not require AES-256-XTS")]
    Aes256XtsNotRequired,
    /// Running-average power limiting may be on.
    #[error("the guest policy does not require RAPL off")]
    RaplNotDisabled,
    /// Ciphertext hiding is not required.
    #[error("the guest policy does not require ciphertext hiding")]
    CiphertextHidingNotRequired,
    /// Page moves and swaps are not disabled.
    #[error("the guest policy does not disable page swap")]
    PageSwapNotDisabled,
    /// The guest accepts firmware older than the policy does.
    #[error(
        "the guest policy accepts ABI {got_major}.{got_minor}, the policy requires {minimum_major}.{minimum_minor}"
    )]
    AbiTooOld {
        /// Major found.
        got_major: u8,
        /// Minor found.
        got_minor: u8,
        /// Major required.
        minimum_major: u8,
        /// Minor required.
        minimum_minor: u8,
    },
    /// A bit of PLATFORM_INFO is not as the policy requires.
    #[error("platform: {item} is {got}, the policy requires {required}")]
    Platform {
        /// Which bit.
        item: PlatformItem,
        /// Its value.
        got: bool,
        /// The value required.
        required: bool,
    },
    /// The four TCB versions are not in the order firmware keeps.
    #[error("{lower_kind} TCB {lower} is above {upper_kind} TCB {upper}")]
    TcbOrder {
        /// Kind that must not be higher.
        lower_kind: TcbKind,
        /// Its value.
        lower: Tcb,
        /// Kind that bounds it.
        upper_kind: TcbKind,
        /// Its value.
        upper: Tcb,
    },
    /// The firmware is provisional: it can still be rolled back.
    #[error("firmware is provisional: current and committed versions differ")]
    ProvisionalFirmware,
    /// A TCB is below the policy's floor.
    #[error("{kind} TCB {got} is below the policy minimum {minimum}")]
    TcbTooOld {
        /// Which TCB.
        kind: TcbKind,
        /// Its value.
        got: Tcb,
        /// The floor.
        minimum: Tcb,
    },
    /// The policy has no floor for this processor.
    #[error("the policy has no TCB floor for {product} {cpu}")]
    TcbFloorMissing {
        /// The product.
        product: Product,
        /// Family-model-stepping, or "unknown".
        cpu: String,
    },
    /// A mitigation the policy requires is not active.
    #[error("mitigation vector {got:#x} lacks bits of {required:#x}")]
    MitigationMissing {
        /// The vector found; zero when the report version has none.
        got: u64,
        /// Bits required.
        required: u64,
    },
    /// The chip is not in the policy.
    #[error("chip {got} is not accepted by the policy")]
    ChipNotAllowed {
        /// Its id, hex.
        got: String,
    },
    /// The guest's own version number is too low.
    #[error("guest version {got} is below the policy minimum {minimum}")]
    GuestSvn {
        /// The number found.
        got: u32,
        /// The floor.
        minimum: u32,
    },
    /// FAMILY_ID is not in the policy.
    #[error("family id {got} is not accepted by the policy")]
    FamilyId {
        /// The id found, hex.
        got: String,
    },
    /// IMAGE_ID is not in the policy.
    #[error("image id {got} is not accepted by the policy")]
    ImageId {
        /// The id found, hex.
        got: String,
    },
    /// ID_KEY_DIGEST is not in the policy.
    #[error("id key {got} is not accepted by the policy")]
    IdKey {
        /// The digest found, hex.
        got: String,
    },
    /// AUTHOR_KEY_DIGEST is not in the policy.
    #[error("author key {got} is not accepted by the policy")]
    AuthorKey {
        /// The digest found, hex.
        got: String,
    },

    // Keyset, protocol.md §2.1.
    /// The keyset's digest is not the one the document states.
    #[error("the keyset has digest {got}, the document says {stated}")]
    KeysetDigest {
        /// Digest computed.
        got: Sha256Digest,
        /// Digest stated.
        stated: Sha256Digest,
    },
    /// The keyset cannot be used.
    #[error("the keyset is unusable: {0}")]
    KeysetUnusable(KeysetFault),
    /// The keyset has expired.
    #[error("the keyset expired at {not_after}, it is {now}")]
    KeysetExpired {
        /// End of life.
        not_after: UnixTime,
        /// Time of evaluation.
        now: UnixTime,
    },
    /// The keyset lives longer than is plausible for keys made at boot.
    #[error("the keyset lives until {not_after}, at most {latest} is plausible")]
    KeysetLifetime {
        /// End of life.
        not_after: UnixTime,
        /// The latest acceptable end.
        latest: UnixTime,
    },

    // Channel, protocol.md §2.2.
    /// The evidence was made for another role than a TLS channel.
    #[error("the evidence is for role {got}, the channel requires {expected}")]
    ChannelRole {
        /// Role of the evidence.
        got: Role,
        /// Role required.
        expected: Role,
    },
    /// The document answers another nonce.
    #[error("the document answers another nonce")]
    NonceMismatch,
    /// The batch path does not lead from a leaf to a root.
    #[error("the batch path is not a path of its tree")]
    BatchPath,
    /// REPORT_DATA is not what this channel's own values give.
    #[error("the report is not bound to this channel")]
    ReportDataMismatch,
    /// The key of this channel is not in the keyset.
    #[error("this channel's TLS key is not in the keyset")]
    SpkiNotInKeyset,
    /// The keyset does not have exactly one key to seal envelopes to.
    #[error("the keyset does not have one key for envelopes")]
    NoEnvelopeKey,
}
