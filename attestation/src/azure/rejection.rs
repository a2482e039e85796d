//! Why Azure vTPM evidence is refused, with the stable code and exit class of each reason in one table.
//!
//! Decides: the vocabulary of refusal here. A code never changes its meaning.

use super::{EVIDENCE_BYTES_MAX, HCL_REPORT_LEN, NONCE_BYTES_MAX};
use crate::rejection::codes;
use crate::time::UnixTime;

/// Why Azure vTPM evidence is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AzureRejection {
    /// The evidence is larger than `EVIDENCE_BYTES_MAX`.
    #[error("the evidence has {got} bytes, more than {EVIDENCE_BYTES_MAX}")]
    EvidenceTooLarge {
        /// Its size.
        got: usize,
    },
    /// The evidence is not the JSON expected.
    #[error("the evidence is malformed: {detail}")]
    EvidenceMalformed {
        /// What is wrong.
        detail: String,
    },
    /// The evidence's `version` or `platform` is not one this library knows.
    #[error("evidence {got:?} is not supported")]
    EvidenceVersion {
        /// What was found.
        got: String,
    },
    /// The caller's nonce cannot be a TPM's qualifying data.
    #[error("the expected nonce has {got} bytes: expected 1 to {NONCE_BYTES_MAX}")]
    NonceLength {
        /// Its size.
        got: usize,
    },
    /// The HCL report does not have its only size.
    #[error("the HCL report has {got} bytes, expected {HCL_REPORT_LEN}")]
    HclLength {
        /// Its size.
        got: usize,
    },
    /// The HCL report contradicts itself.
    #[error("the HCL report is malformed: {detail}")]
    HclMalformed {
        /// What is wrong.
        detail: &'static str,
    },
    /// The HCL report is of a version, type or hash this library does not know.
    #[error("the HCL report's {field} {got} is not supported")]
    HclUnsupported {
        /// Which field.
        field: &'static str,
        /// Its value.
        got: u32,
    },
    /// The paravisor reports that it could not attest.
    #[error("the HCL report has status {got}")]
    HclStatus {
        /// The status.
        got: u32,
    },
    /// REPORT_DATA is not the hash of the runtime claims, followed by zeros.
    #[error("the hardware report is not bound to the runtime claims")]
    ClaimsNotBound,
    /// The runtime claims are not the JSON expected.
    #[error("the runtime claims are malformed: {detail}")]
    ClaimsMalformed {
        /// What is wrong.
        detail: String,
    },
    /// The runtime claims do not name exactly one usable attestation key.
    #[error("the attestation key is unusable: {detail}")]
    AkKey {
        /// What is wrong.
        detail: &'static str,
    },
    /// The paravisor runs in a TD, and no quote of it came along.
    #[error("the HCL report is of a TD, but there is no TD quote")]
    TdQuoteMissing,
    /// The TD quote is too short or not a TD quote.
    #[error("the TD quote is malformed")]
    TdQuoteMalformed,
    /// The evidence mixes parts of SNP and TDX.
    #[error("the evidence mixes SNP and TDX")]
    HardwareMixed,
    /// The quoted structure contradicts itself.
    #[error("the TPM quote is malformed: {detail}")]
    QuoteMalformed {
        /// What is wrong.
        detail: &'static str,
    },
    /// The structure does not come from inside a TPM.
    #[error("the TPM quote lacks TPM_GENERATED_VALUE")]
    QuoteMagic,
    /// The TPM signed something that is not a quote.
    #[error("the TPM structure has type {got:#06x}, not a quote")]
    QuoteType {
        /// The type.
        got: u16,
    },
    /// The signature is not the attestation key's.
    #[error("the TPM quote is not signed by the attestation key")]
    QuoteSignature,
    /// The quote answers another nonce.
    #[error("the TPM quote does not answer the expected nonce")]
    NonceMismatch,
    /// The quote is not over one non-empty selection of the SHA-256 bank.
    #[error("the TPM quote does not select PCRs of the SHA-256 bank alone")]
    PcrSelection,
    /// There are more or fewer PCR values than the quote selects.
    #[error("{got} PCR values for {selected} selected")]
    PcrCount {
        /// Values in the evidence.
        got: usize,
        /// Values the quote covers.
        selected: usize,
    },
    /// The PCR values are not the quoted ones.
    #[error("the PCR values do not hash to the quoted digest")]
    PcrDigest,
    /// A PCR has a value the policy does not allow, or was not quoted.
    #[error("PCR {index} is {got}, which the policy does not accept")]
    PcrNotAllowed {
        /// Its index.
        index: String,
        /// Its value in hex, or that there is none.
        got: String,
    },
    /// Another level than the paravisor's asked for the hardware report.
    #[error("the hardware report was requested at privilege level {got}, the paravisor's is 0")]
    Vmpl {
        /// The level.
        got: u32,
    },
    /// The policy requires secure boot.
    #[error("secure boot is off")]
    SecureBootOff,
    /// The policy forbids a console.
    #[error("the host has a console")]
    ConsoleEnabled,
    /// A certificate was asked for and the evidence has none.
    #[error("the evidence has no attestation key certificate")]
    CertificateMissing,
    /// A certificate does not parse.
    #[error("a certificate of the attestation key's chain is malformed")]
    CertificateMalformed,
    /// No chain to a trusted root.
    #[error("the attestation key's certificate does not chain to a trusted root")]
    CertificateChain,
    /// A certificate is signed with an algorithm this library does not accept.
    #[error("a certificate of the attestation key's chain is signed with another algorithm")]
    CertificateAlgorithm,
    /// A certificate is not what its place in the chain needs.
    #[error("a certificate of the attestation key's chain is not for this use")]
    CertificateRole,
    /// A certificate is outside its dates.
    #[error("a certificate of the attestation key's chain is not valid at {now}")]
    CertificateDates {
        /// When it was needed.
        now: UnixTime,
    },
    /// The certificate is of another key.
    #[error("the certificate is not of the attestation key")]
    CertificateKey,
}

codes! { AzureRejection {
    EvidenceTooLarge => "azure.evidence_too_large", Malformed;
    EvidenceMalformed => "azure.evidence_malformed", Malformed;
    EvidenceVersion => "azure.evidence_version", Unsupported;
    NonceLength => "azure.nonce_length", Rejected;
    HclLength => "azure.hcl_length", Malformed;
    HclMalformed => "azure.hcl_malformed", Malformed;
    HclUnsupported => "azure.hcl_unsupported", Unsupported;
    HclStatus => "azure.hcl_status", Rejected;
    ClaimsNotBound => "azure.claims_not_bound", Rejected;
    ClaimsMalformed => "azure.claims_malformed", Malformed;
    AkKey => "azure.ak_key", Rejected;
    TdQuoteMissing => "azure.td_quote_missing", Rejected;
    TdQuoteMalformed => "azure.td_quote_malformed", Malformed;
    HardwareMixed => "azure.hardware_mixed", Malformed;
    QuoteMalformed => "azure.quote_malformed", Malformed;
    QuoteMagic => "azure.quote_magic", Rejected;
    QuoteType => "azure.quote_type", Rejected;
    QuoteSignature => "azure.quote_signature", Rejected;
    NonceMismatch => "azure.nonce_mismatch", Rejected;
    PcrSelection => "azure.pcr_selection", Unsupported;
    PcrCount => "azure.pcr_count", Rejected;
    PcrDigest => "azure.pcr_digest", Rejected;
    PcrNotAllowed => "azure.pcr_not_allowed", Rejected;
    Vmpl => "azure.vmpl", Rejected;
    SecureBootOff => "azure.secure_boot_off", Rejected;
    ConsoleEnabled => "azure.console_enabled", Rejected;
    CertificateMissing => "azure.ak_certificate_missing", Rejected;
    CertificateMalformed => "azure.ak_certificate_malformed", Malformed;
    CertificateChain => "azure.ak_certificate_chain", Rejected;
    CertificateAlgorithm => "azure.ak_certificate_algorithm", Unsupported;
    CertificateRole => "azure.ak_certificate_role", Rejected;
    CertificateDates => "azure.ak_certificate_dates", Rejected;
    CertificateKey => "azure.ak_certificate_key", Rejected;
} }
