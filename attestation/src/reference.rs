//! Reference values: what images of a release measure as, signed by whoever vouches for the release.
//!
//! Decides: whether a trusted signer said these values, and whether they hold now. Trusts the signers the caller names and
//! nothing else. On exit a [`VerifiedReferenceValues`] exists, which only the check can make; what the policy wants from it
//! is for [`crate::AppraisalPolicy::with_reference_values`].
//!
//! - [`manifest`]: what a build says of itself; unsigned.
//! - The wire form is a CoRIM in COSE_Sign1 (draft-ietf-rats-corim), deterministic CBOR of exactly one shape.

mod cbor;
mod corim;
mod cose;
pub mod manifest;
mod rejection;

use std::fmt;

pub use manifest::{ImageManifest, ImageMode, ManifestError};
use manifest::{SnpLaunch, TdxMeasurements, VtpmMeasurements, parse_version, require_launches};
pub use rejection::ReferenceRejection;

use crate::signing::{ReceiptKey, ReceiptPublicKey};
use crate::time::UnixTime;

/// Longest signed reference values that are read.
pub const REFERENCE_VALUES_BYTES_MAX: usize = 1 << 20;

/// What images of one version and flavour measure as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceValues {
    /// Version of the image, `major.minor.patch`.
    pub image_version: String,
    /// Its flavour.
    pub flavour: String,
    /// What may be seen from outside.
    pub mode: ImageMode,
    /// From when the values hold.
    pub not_before: UnixTime,
    /// Until when.
    pub not_after: UnixTime,
    /// SEV-SNP launch digests, one per way to launch.
    pub snp: Vec<SnpLaunch>,
    /// TDX registers.
    pub tdx: Option<TdxMeasurements>,
    /// PCRs.
    pub vtpm: Option<VtpmMeasurements>,
}

/// Reference values a trusted signer signed and that hold now. Only [`ReferenceValues::verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReferenceValues {
    values: ReferenceValues,
    signer: ReceiptPublicKey,
}

impl ReferenceValues {
    /// The values of a manifest, to hold from `not_before` to `not_after`.
    #[must_use]
    pub fn from_manifest(manifest: &ImageManifest, not_before: UnixTime, not_after: UnixTime) -> Self {
        Self {
            image_version: manifest.version.clone(),
            flavour: manifest.flavour.clone(),
            mode: manifest.mode,
            not_before,
            not_after,
            snp: manifest.snp.clone(),
            tdx: manifest.tdx.clone(),
            vtpm: manifest.vtpm.clone(),
        }
    }

    /// The values of an unsigned CoRIM. Nobody vouches for them: [`Self::verify`] is what an appraisal needs.
    ///
    /// # Errors
    /// `reference.too_large`, `reference.malformed`.
    pub fn from_corim(bytes: &[u8]) -> Result<Self, ReferenceRejection> {
        if bytes.len() > REFERENCE_VALUES_BYTES_MAX {
            return Err(ReferenceRejection::TooLarge { got: bytes.len() });
        }
        corim::decode(bytes)
    }

    /// The values as an unsigned CoRIM, the payload of what [`Self::sign`] makes.
    ///
    /// # Errors
    /// `reference.malformed` when a value has no sense, so that no reader would take it.
    pub fn to_corim(&self) -> Result<Vec<u8>, ReferenceRejection> {
        self.require_sensible().map_err(|detail| ReferenceRejection::Malformed { detail })?;
        Ok(corim::encode(self))
    }

    /// The values as a signed CoRIM.
    ///
    /// # Errors
    /// `reference.malformed` when a value has no sense, so that no reader would take it.
    pub fn sign(&self, key: &ReceiptKey) -> Result<Vec<u8>, ReferenceRejection> {
        Ok(cose::sign(self.to_corim()?, key))
    }

    /// The values, once one of `signers` is found to have signed them and they hold at `now`.
    ///
    /// # Errors
    /// See [`ReferenceRejection`].
    pub fn verify(
        bytes: &[u8],
        signers: &[ReceiptPublicKey],
        now: UnixTime,
    ) -> Result<VerifiedReferenceValues, ReferenceRejection> {
        if bytes.len() > REFERENCE_VALUES_BYTES_MAX {
            return Err(ReferenceRejection::TooLarge { got: bytes.len() });
        }
        let (payload, signer) = cose::verify(bytes, signers)?;
        let values = corim::decode(&payload)?;
        values.require_valid(now)?;
        Ok(VerifiedReferenceValues { values, signer })
    }

    /// Whether the values hold at `now`.
    pub(crate) fn require_valid(&self, now: UnixTime) -> Result<(), ReferenceRejection> {
        let Self { not_before, not_after, .. } = *self;
        if now < not_before {
            return Err(ReferenceRejection::NotYetValid { not_before, now });
        }
        if now > not_after {
            return Err(ReferenceRejection::Expired { not_after, now });
        }
        Ok(())
    }

    fn require_sensible(&self) -> Result<(), &'static str> {
        if parse_version(&self.image_version).is_none() {
            return Err("the image version is not three numbers with dots");
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.flavour.is_empty() || self.flavour.len() > FLAVOUR_BYTES_MAX || !self.flavour.bytes().all(plain) {
            return Err("the flavour is not a short word of lowercase letters, digits and dashes");
        }
        if self.not_before > self.not_after {
            return Err("the values end before they begin");
        }
        require_launches(&self.snp)
    }
}

/// Longest name of a flavour.
const FLAVOUR_BYTES_MAX: usize = 64;

impl VerifiedReferenceValues {
    /// What was signed.
    #[must_use]
    pub fn values(&self) -> &ReferenceValues {
        &self.values
    }

    /// Who signed.
    #[must_use]
    pub fn signer(&self) -> &ReceiptPublicKey {
        &self.signer
    }
}

/// `cpu 0.1.0 (production), signed by 9f86…`.
impl fmt::Display for VerifiedReferenceValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReferenceValues { flavour, image_version, mode, .. } = &self.values;
        write!(f, "{flavour} {image_version} ({mode}), signed by {}", self.signer)
    }
}
