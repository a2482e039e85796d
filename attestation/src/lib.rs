//! Evidence, endorsements, appraisal, report-data binding and receipts: bytes in, verdict out.
//!
//! The crate does no input or output, reads no clock and keeps no state: bytes, roots, policy and time are arguments.
//! The paved path, in the words of RFC 9334:
//!
//! 1. [`AttestationDocument::from_json`] decodes what a guardian answered (limits, no unknown members).
//! 2. [`appraise`] verifies the evidence under the given roots and holds it against the policy: an [`Appraisal`].
//! 3. [`Appraisal::bind_channel`] recomputes REPORT_DATA from the caller's own connection: a
//!    [`ChannelBoundAppraisal`], which nothing else can make. Only that may carry a prompt.
//! 4. [`Receipt::verify`] checks what was served under a keyset so bound.
//!
//! Every check leaves a line in a [`Transcript`]; every refusal is a [`Rejection`] with a stable code.

mod aci;
mod appraise;
pub mod azure;
mod batch;
mod bundle;
mod cache;
mod cpu;
mod crypto;
mod digest;
mod document;
mod ear;
mod evidence;
mod findings;
pub mod gpu;
mod jcs;
mod keyset;
mod lp;
pub mod measure;
mod policy;
mod reader;
mod receipt;
pub mod reference;
mod rejection;
mod report_data;
mod result;
mod roots;
mod signing;
pub mod snp;
pub mod tdx;
mod time;
mod transcript;
mod x509;

pub use aci::{aci_report_data, aci_statement};
pub use appraise::{Appraisal, ChannelBoundAppraisal, ChannelView, EnvelopeAppraisal, appraise, appraise_with};
pub use batch::{Batch, BatchPosition, batch_leaf, batch_root_of_one};
pub use bundle::{APPRAISAL_BUNDLE_BYTES_MAX, APPRAISAL_BUNDLE_VERSION, AppraisalBundle, BundleError, StoredVerdict};
pub use cpu::CpuClaims;
pub use digest::{Hex32, HexError, Sha256Digest, Sha256Stream};
pub use document::{
    AttestationDocument, Base64, CpuEvidence, DOCUMENT_BYTES_MAX, DOCUMENT_VERSION, Endorsements, EvidenceFormat,
    GpuSection, SnpEndorsements,
};
pub use ear::{EAR_BYTES_MAX, EAR_PROFILE, EarError, VerifierKey, sign_ear, verify_ear};
pub use evidence::{
    CpuEvidenceSet, EVIDENCE_BYTES_MAX, EvidenceKind, EvidenceSet, ExpectedReportData, GpuEvidenceSet, NonceHex,
    VerificationCache, appraise_evidence,
};
pub use jcs::{JcsError, SAFE_INTEGER_MAX, to_jcs};
pub use keyset::{
    ALGO_ED25519, ALGO_OHTTP, KEYSET_LIFETIME_SECS_MAX, KeyEntry, Keyset, KeysetFault, OHTTP_KEY_NUMBER, TlsKeyEntry,
};
pub use lp::Lp;
pub use policy::{AppraisalPolicy, DEMO_POLICY, PolicyError, RELEASE_POLICY, STRICT_POLICY};
pub use receipt::{Event, OtherEvent, RECEIPT_API_VERSION, Receipt, ReceiptRejection, UnsignedReceipt};
pub use reference::{
    ImageManifest, ImageMode, ManifestError, REFERENCE_VALUES_BYTES_MAX, ReferenceRejection, ReferenceValues,
    VerifiedReferenceValues,
};
pub use rejection::{PlatformItem, Rejection, RejectionClass, TcbKind};
pub use report_data::{EXPORTER_LABEL, Exporter, GpuBinding, Nonce, ReportDataInputs, Role};
pub use result::{AttestationResult, Claim, ClaimSource};
pub use roots::{
    AssuranceClass, NAMED_ROOTS_MAX, RootError, RootKind, TrustRoots, VendorCertificates, vendor_certificates,
};
pub use signing::{BadSignature, KeyError, ReceiptKey, ReceiptPublicKey, Signed, SignedError};
pub use snp::Product;
pub use time::{Clock, UnixTime};
pub use transcript::{Check, Outcome, Transcript};
pub use x509::{ChainFault, Link};
