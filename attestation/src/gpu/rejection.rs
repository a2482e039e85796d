//! Why GPU evidence, a manifest or an OCSP response was refused.
//!
//! Decides: the vocabulary; a code never changes its meaning. Faults of chains are [`crate::ChainFault`]s.

use crate::gpu::{Architecture, FeatureMode, RimKind};
use crate::rejection::codes;
use crate::time::UnixTime;
use crate::x509::Link;

/// Why GPU evidence, a manifest or an OCSP response was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuRejection {
    // Evidence as JSON.
    /// The evidence is not JSON of the known form, or its parts contradict each other.
    #[error("the GPU evidence is not JSON of the known form")]
    EvidenceMalformed,

    // Report, DSP0274 1.1 §10.11.
    /// The report ends early, or something follows the signature.
    #[error("the GPU report's {got} bytes do not end where its lengths say")]
    ReportLength {
        /// Its size.
        got: usize,
    },
    /// A field does not have the value or size it must have.
    #[error("the GPU report's {field} is malformed")]
    ReportMalformed {
        /// Which.
        field: &'static str,
    },
    /// The SPDM version is not 1.1.
    #[error("SPDM version {got:#04x} is not supported")]
    SpdmVersion {
        /// The version found.
        got: u8,
    },
    /// The report holds no measurements.
    #[error("the GPU report holds no measurement blocks")]
    NoBlocks,
    /// Block indices do not ascend from 1.
    #[error("measurement block {got} is out of order or repeated")]
    BlockIndex {
        /// The index found.
        got: u8,
    },
    /// A block is not a digest as DMTF specifies.
    #[error("measurement specification or type {got:#04x} is not supported")]
    MeasurementSpecification {
        /// The value found.
        got: u8,
    },
    /// A field of the opaque data is malformed.
    #[error("the {field} in the GPU report's opaque data is malformed")]
    OpaqueMalformed {
        /// Which.
        field: &'static str,
    },
    /// A type of opaque data occurs twice.
    #[error("type {kind} occurs twice in the GPU report's opaque data")]
    OpaqueDuplicate {
        /// The type.
        kind: u16,
    },

    // Genuineness.
    /// The device's key did not sign this report.
    #[error("the GPU report's signature does not verify")]
    ReportSignature,
    /// The report answers another nonce.
    #[error("the GPU report answers another nonce")]
    NonceMismatch,
    /// The firmware identity in the certificate is malformed.
    #[error("the firmware identity in the attestation key certificate is malformed")]
    FwidMalformed,
    /// The report's firmware identity is not the certified one.
    #[error("the GPU report's firmware identity is not the one its certificate names")]
    FwidMismatch,
    /// Certificates name a chip this version does not know.
    #[error("chip {got:?} is not supported")]
    ArchitectureUnknown {
        /// Its name.
        got: String,
    },

    // Policy.
    /// There are fewer or more devices than the policy allows.
    #[error("{got} devices, the policy allows {minimum} to {maximum}")]
    Count {
        /// Devices found.
        got: usize,
        /// Fewest.
        minimum: usize,
        /// Most.
        maximum: usize,
    },
    /// Two reports are of one device.
    #[error("device {device} reports twice")]
    DeviceRepeated {
        /// Its serial number, hex.
        device: String,
    },
    /// The architecture is not in the policy.
    #[error("architecture {got} is not accepted by the policy")]
    ArchitectureNotAllowed {
        /// The architecture found.
        got: Architecture,
    },
    /// The device is not in the policy.
    #[error("device {got} is not accepted by the policy")]
    DeviceNotAllowed {
        /// Its serial number, hex.
        got: String,
    },
    /// The report does not name the firmware that signed it.
    #[error("the GPU report does not name its firmware identity")]
    FwidAbsent,
    /// The report does not say which mode the device is in.
    #[error("the GPU report does not say which mode the device is in")]
    ModeAbsent,
    /// The mode is not one this version knows.
    #[error("mode {got} is not supported")]
    ModeUnknown {
        /// The value found.
        got: u16,
    },
    /// The mode is not in the policy.
    #[error("mode {got} is not accepted by the policy")]
    ModeNotAllowed {
        /// The mode found.
        got: FeatureMode,
    },
    /// Protected PCIe is on, off or unreported against the policy.
    #[error("protected PCIe is {got}, which the policy does not accept")]
    ProtectedPcie {
        /// What the report says.
        got: &'static str,
    },
    /// The version is not in the policy, or is not reported.
    #[error("{kind} version {got:?} is not accepted by the policy")]
    VersionNotAllowed {
        /// Of what.
        kind: RimKind,
        /// The version found; empty when unreported.
        got: String,
    },

    // Manifests, TCG RIM IM and XMLDSig.
    /// The policy requires a manifest and none was given.
    #[error("the {kind} manifest was not given")]
    RimMissing {
        /// Which.
        kind: RimKind,
    },
    /// The manifest's text is not the XML that manifests are written in.
    #[error("the manifest is malformed: {what}")]
    RimMalformed {
        /// Where.
        what: &'static str,
    },
    /// The manifest is larger than any manifest is.
    #[error("the manifest is over the limit of {limit}")]
    RimLimit {
        /// Which limit.
        limit: &'static str,
    },
    /// The manifest has a document type, processing instruction, comment, CDATA section or needless entity.
    #[error("the manifest has a construct that manifests may not have")]
    RimForbidden,
    /// The document is XML but not a manifest.
    #[error("the manifest does not have the required structure: {what}")]
    RimSchema {
        /// What is required.
        what: &'static str,
    },
    /// The signature names another algorithm.
    #[error("the manifest's signature does not use {expected}")]
    RimAlgorithm {
        /// The algorithm required.
        expected: String,
    },
    /// The signature does not refer to exactly the document around it.
    #[error("the manifest's signature does not refer to the whole manifest")]
    RimReference,
    /// The manifest is not what was signed.
    #[error("the manifest's digest is not the signed one")]
    RimDigest,
    /// The signer's key did not sign this.
    #[error("the manifest's signature does not verify")]
    RimSignature,
    /// The manifest is for another chip.
    #[error("the {kind} manifest is for {got:?}, the device is {expected}")]
    RimProduct {
        /// Which.
        kind: RimKind,
        /// Its product.
        got: String,
        /// The device's.
        expected: &'static str,
    },
    /// The manifest is for another version than the report states.
    #[error("the {kind} manifest is for version {got:?}, the report says {expected:?}")]
    RimVersion {
        /// Which.
        kind: RimKind,
        /// Its version.
        got: String,
        /// The reported one; empty when unreported.
        expected: String,
    },
    /// Both manifests claim one index.
    #[error("both manifests claim measurement {index}")]
    RimIndexConflict {
        /// The index.
        index: u8,
    },
    /// The manifests expect nothing.
    #[error("the manifests have no active measurement")]
    RimEmpty,

    // Comparison.
    /// The report lacks measurements the manifests expect.
    #[error("measurements {indices:?} are not reported")]
    MeasurementMissing {
        /// Their indices in the manifests.
        indices: Vec<u8>,
    },
    /// Measurements are not what the manifests expect.
    #[error("measurements {indices:?} are not what the manifests expect")]
    MeasurementMismatch {
        /// Their indices in the manifests.
        indices: Vec<u8>,
    },

    // OCSP, RFC 6960.
    /// The policy requires a response about this certificate and none was given.
    #[error("no OCSP response about the {link} was given")]
    OcspMissing {
        /// Which certificate.
        link: Link,
    },
    /// The response is not DER of the known form, or answers several questions.
    #[error("the OCSP response is malformed")]
    OcspMalformed,
    /// The responder says that it could not answer.
    #[error("the OCSP responder answered with status {got}")]
    OcspStatus {
        /// Its responseStatus.
        got: u8,
    },
    /// The response is about none of the certificates.
    #[error("the OCSP response is about another certificate")]
    OcspCertId,
    /// The signer is neither the issuer nor authorised by it.
    #[error("the OCSP responder for the {link} is not authorised by the issuer")]
    OcspResponder {
        /// Which certificate.
        link: Link,
    },
    /// The response is signed with another algorithm.
    #[error("the OCSP response about the {link} is not signed with ECDSA P-384 and SHA-384")]
    OcspAlgorithm {
        /// Which certificate.
        link: Link,
    },
    /// The responder did not sign this.
    #[error("the signature of the OCSP response about the {link} does not verify")]
    OcspSignature {
        /// Which certificate.
        link: Link,
    },
    /// The response does not repeat the nonce of the request.
    #[error("the OCSP response about the {link} does not repeat the nonce")]
    OcspNonce {
        /// Which certificate.
        link: Link,
    },
    /// The response is for later, or was produced before the time it speaks about.
    #[error("the OCSP response about the {link} is not valid before {this_update}, it is {now}")]
    OcspNotYetValid {
        /// Which certificate.
        link: Link,
        /// Start of validity.
        this_update: UnixTime,
        /// Time of evaluation.
        now: UnixTime,
    },
    /// A newer response must exist.
    #[error("the OCSP response about the {link} expired at {next_update}, it is {now}")]
    OcspExpired {
        /// Which certificate.
        link: Link,
        /// When the next was due.
        next_update: UnixTime,
        /// Time of evaluation.
        now: UnixTime,
    },
    /// The response was produced before the time it speaks about.
    #[error("the OCSP response about the {link} was produced before the time it speaks about")]
    OcspProducedAt {
        /// Which certificate.
        link: Link,
    },
    /// The response is older than the policy allows.
    #[error("the OCSP response about the {link} is {age_secs} seconds old, the policy allows {maximum_secs}")]
    OcspTooOld {
        /// Which certificate.
        link: Link,
        /// Its age.
        age_secs: u64,
        /// The policy's limit.
        maximum_secs: u64,
    },
    /// The certificate is revoked.
    #[error("the {link} is revoked, says its issuer's OCSP responder")]
    OcspRevoked {
        /// Which certificate.
        link: Link,
    },
    /// The certificate is on hold, which the policy does not accept.
    #[error("the {link} is on hold, says its issuer's OCSP responder")]
    OcspHold {
        /// Which certificate.
        link: Link,
    },
    /// The responder does not know the certificate.
    #[error("the {link} is unknown to its issuer's OCSP responder")]
    OcspUnknown {
        /// Which certificate.
        link: Link,
    },
}

codes! { GpuRejection {
    EvidenceMalformed => "gpu.evidence_malformed", Malformed;
    ReportLength => "gpu.length", Malformed;
    ReportMalformed => "gpu.malformed", Malformed;
    SpdmVersion => "gpu.spdm_version", Unsupported;
    NoBlocks => "gpu.no_blocks", Malformed;
    BlockIndex => "gpu.block_index", Malformed;
    MeasurementSpecification => "gpu.measurement_specification", Unsupported;
    OpaqueMalformed => "gpu.opaque_malformed", Malformed;
    OpaqueDuplicate => "gpu.opaque_duplicate", Malformed;
    ReportSignature => "gpu.signature", Rejected;
    NonceMismatch => "gpu.nonce_mismatch", Rejected;
    FwidMalformed => "gpu.fwid_malformed", Malformed;
    FwidMismatch => "gpu.fwid_mismatch", Rejected;
    ArchitectureUnknown => "gpu.architecture_unknown", Unsupported;
    Count => "gpu.count", Rejected;
    DeviceRepeated => "gpu.device_repeated", Rejected;
    ArchitectureNotAllowed => "gpu.architecture_not_allowed", Rejected;
    DeviceNotAllowed => "gpu.device_not_allowed", Rejected;
    FwidAbsent => "gpu.fwid_absent", Rejected;
    ModeAbsent => "gpu.mode_absent", Rejected;
    ModeUnknown => "gpu.mode_unknown", Unsupported;
    ModeNotAllowed => "gpu.mode_not_allowed", Rejected;
    ProtectedPcie => "gpu.protected_pcie", Rejected;
    VersionNotAllowed => "gpu.version_not_allowed", Rejected;
    RimMissing => "gpu.rim.missing", Rejected;
    RimMalformed => "gpu.rim.malformed", Malformed;
    RimLimit => "gpu.rim.limit", Malformed;
    RimForbidden => "gpu.rim.forbidden", Malformed;
    RimSchema => "gpu.rim.schema", Malformed;
    RimAlgorithm => "gpu.rim.algorithm", Rejected;
    RimReference => "gpu.rim.reference", Rejected;
    RimDigest => "gpu.rim.digest", Rejected;
    RimSignature => "gpu.rim.signature", Rejected;
    RimProduct => "gpu.rim.product", Rejected;
    RimVersion => "gpu.rim.version", Rejected;
    RimIndexConflict => "gpu.rim.index_conflict", Rejected;
    RimEmpty => "gpu.rim.empty", Rejected;
    MeasurementMissing => "gpu.measurement_missing", Rejected;
    MeasurementMismatch => "gpu.measurement_mismatch", Rejected;
    OcspMissing => "gpu.ocsp.missing", Rejected;
    OcspMalformed => "gpu.ocsp.malformed", Malformed;
    OcspStatus => "gpu.ocsp.status", Rejected;
    OcspCertId => "gpu.ocsp.cert_id", Rejected;
    OcspResponder => "gpu.ocsp.responder", Rejected;
    OcspAlgorithm => "gpu.ocsp.algorithm", Rejected;
    OcspSignature => "gpu.ocsp.signature", Rejected;
    OcspNonce => "gpu.ocsp.nonce", Rejected;
    OcspNotYetValid => "gpu.ocsp.not_yet_valid", Rejected;
    OcspExpired => "gpu.ocsp.expired", Rejected;
    OcspProducedAt => "gpu.ocsp.produced_at", Rejected;
    OcspTooOld => "gpu.ocsp.too_old", Rejected;
    OcspRevoked => "gpu.ocsp.revoked", Rejected;
    OcspHold => "gpu.ocsp.hold", Rejected;
    OcspUnknown => "gpu.ocsp.unknown", Rejected;
} }
