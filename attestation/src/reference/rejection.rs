//! Why reference values were refused.
//!
//! Decides: the vocabulary of refusal here. A code never changes its meaning.

use super::{ImageMode, REFERENCE_VALUES_BYTES_MAX};
use crate::rejection::codes;
use crate::signing::ReceiptPublicKey;
use crate::time::UnixTime;

/// Why reference values were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceRejection {
    /// Longer than [`REFERENCE_VALUES_BYTES_MAX`].
    #[error("the reference values have {got} bytes, more than {REFERENCE_VALUES_BYTES_MAX}")]
    TooLarge {
        /// Their size.
        got: usize,
    },
    /// Not a CoRIM of our profile in COSE_Sign1, in deterministic CBOR.
    #[error("the reference values are malformed: {detail}")]
    Malformed {
        /// What is wrong.
        detail: &'static str,
    },
    /// The signer is none of those trusted.
    #[error("the reference values are signed by key {key_id}, which is not among the trusted signers")]
    SignerUnknown {
        /// The key id they name, printable.
        key_id: String,
    },
    /// The signature does not verify.
    #[error("the signature of {signer} over the reference values does not verify")]
    Signature {
        /// The signer named.
        signer: ReceiptPublicKey,
    },
    /// Not valid yet.
    #[error("the reference values are valid from {not_before}, and it is {now}")]
    NotYetValid {
        /// From when.
        not_before: UnixTime,
        /// The time judged at.
        now: UnixTime,
    },
    /// No longer valid.
    #[error("the reference values ended at {not_after}, and it is {now}")]
    Expired {
        /// Until when.
        not_after: UnixTime,
        /// The time judged at.
        now: UnixTime,
    },
    /// For a flavour the policy does not name.
    #[error("the reference values are for flavour {got:?}, which the policy does not accept")]
    Flavour {
        /// Which flavour.
        got: String,
    },
    /// For an image that shows more of itself than the policy accepts.
    #[error("the reference values are for a {got} image, which the policy does not accept")]
    Mode {
        /// Which mode.
        got: ImageMode,
    },
    /// For an image older than the policy accepts.
    #[error("the reference values are for image version {got}, older than {minimum}")]
    ImageVersion {
        /// Which version.
        got: String,
        /// The lowest accepted.
        minimum: String,
    },
    /// The policy takes its measurements from reference values, and none were given.
    #[error("the policy takes {item} from reference values, and none that say it were given")]
    Missing {
        /// Which item.
        item: &'static str,
    },
    /// Reference values were given to a policy that has no use for them.
    #[error("reference values were given, and the policy takes nothing from them")]
    Unused,
}

codes! { ReferenceRejection {
    TooLarge => "reference.too_large", Malformed;
    Malformed => "reference.malformed", Malformed;
    SignerUnknown => "reference.signer_unknown", Rejected;
    Signature => "reference.signature", Rejected;
    NotYetValid => "reference.not_yet_valid", Rejected;
    Expired => "reference.expired", Rejected;
    Flavour => "reference.flavour", Rejected;
    Mode => "reference.mode", Rejected;
    ImageVersion => "reference.image_version", Rejected;
    Missing => "reference.missing", Rejected;
    Unused => "reference.unused", Rejected;
}}
