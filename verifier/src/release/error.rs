//! Why a release was refused.

use std::path::PathBuf;

use attestation::RejectionClass;
use attestation::reference::{ManifestError, ReferenceRejection};

use tlog::LogFault;

use super::entry::Version;
use crate::files::FileError;

/// Why a release was refused. Every reason has a code of its own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The log's key, its checkpoint or a proof is not what it should be.
    #[error(transparent)]
    Log(#[from] LogFault),
    /// The named signer is neither a key nor a file with one.
    #[error("{text:?} is not a signer: expected 64 lowercase hex characters, or a file that holds them")]
    Signer {
        /// What was given.
        text: String,
    },
    /// A part does not have its form.
    #[error("the {part} is malformed: {problem}")]
    Malformed {
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The manifest does not have its form.
    #[error("the manifest is not usable")]
    Manifest(#[source] ManifestError),
    /// The reference values are not the signer's, or did not hold.
    #[error("the reference values are not usable")]
    ReferenceValues(#[source] ReferenceRejection),
    /// The reference values are those of another manifest.
    #[error("the reference values are not those of the manifest")]
    ReferenceValuesDiffer,
    /// A part is not the one that was logged.
    #[error("the {part} has SHA-256 {got}, the log says {expected}")]
    Digest {
        /// Which part.
        part: Part,
        /// SHA-256 of what the bundle holds.
        got: String,
        /// What the entry says.
        expected: String,
    },
    /// No signature of the provenance is the signer's.
    #[error("the provenance is not signed by the named signer")]
    ProvenanceSignature,
    /// What is signed is no provenance of this kind.
    #[error("the signed statement has {item} {got:?}, expected {expected:?}")]
    ProvenanceType {
        /// Which member.
        item: &'static str,
        /// Its value.
        got: String,
        /// The value of a release.
        expected: &'static str,
    },
    /// The signer spoke of other files.
    #[error("the provenance and the manifest differ about {name}: {problem}")]
    Subjects {
        /// Which file.
        name: String,
        /// How they differ.
        problem: &'static str,
    },
    /// Entry and another part disagree.
    #[error("the {part} says {item} {got:?}, the log says {expected:?}")]
    Disagrees {
        /// Which part.
        part: Part,
        /// About what.
        item: &'static str,
        /// What it says.
        got: String,
        /// What the entry says.
        expected: String,
    },
    /// A file of the release is not in the directory.
    #[error("{} is missing", path.display())]
    ArtifactMissing {
        /// Which.
        path: PathBuf,
    },
    /// A file of the directory is not the release's.
    #[error("{} has {item} {got}, the release says {expected}", path.display())]
    ArtifactDiffers {
        /// Which.
        path: PathBuf,
        /// In what.
        item: &'static str,
        /// What it has.
        got: String,
        /// What it should have.
        expected: String,
    },
    /// A newer release was seen before.
    #[error("version {got} of {kind} is older than version {seen}, which was seen before")]
    OlderThanSeen {
        /// Flavour and mode.
        kind: String,
        /// The bundle's version.
        got: Version,
        /// The newest seen.
        seen: Version,
    },
    /// Another release of this version was seen before.
    #[error("version {version} of {kind} was seen before with other content")]
    DiffersFromSeen {
        /// Flavour and mode.
        kind: String,
        /// The version.
        version: Version,
    },
    /// A longer log was seen before.
    #[error("the log has {got} entries, {seen} were seen before")]
    LogSmaller {
        /// The bundle's.
        got: u64,
        /// The longest seen.
        seen: u64,
    },
    /// The bundle does not show how the log grew.
    #[error("the log grew from {seen} to {got} entries and the bundle has no proof of how")]
    ConsistencyMissing {
        /// The bundle's.
        got: u64,
        /// The one seen.
        seen: u64,
    },
    /// The memory of what was seen is not usable.
    #[error("the record of seen releases {} is damaged: {problem}", path.display())]
    SeenDamaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file could not be used.
    #[error("use a file of the release")]
    File(#[source] FileError),
}

/// A part of a bundle whose digest is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What was built, and what it measures as.
    Manifest,
    /// The signed CoRIM.
    ReferenceValues,
    /// The bill of materials.
    Sbom,
    /// The signed statement of how it was built.
    Provenance,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Manifest => "manifest",
            Self::ReferenceValues => "reference values",
            Self::Sbom => "bill of materials",
            Self::Provenance => "provenance",
        })
    }
}

impl Part {
    /// The check's name in a transcript, and the code when the digest differs.
    #[must_use]
    pub fn digest_code(self) -> &'static str {
        match self {
            Self::Manifest => "release.manifest_digest",
            Self::ReferenceValues => "release.reference_values_digest",
            Self::Sbom => "release.sbom_digest",
            Self::Provenance => "release.provenance_digest",
        }
    }
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The user's: an argument is wrong.
    Usage,
    /// The release is not acceptable.
    Rejected,
    /// A file is not what it should be.
    Malformed,
    /// This machine's.
    File,
}

impl ReleaseError {
    /// A part that does not have its form.
    pub(crate) fn malformed(part: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::Malformed { part, problem: problem.to_string() }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Log(fault) => match fault {
                LogFault::Key { .. } => "release.log_key",
                LogFault::Unsigned { .. } => "release.checkpoint_unsigned",
                LogFault::Signature => "release.checkpoint_signature",
                LogFault::Origin { .. } => "release.checkpoint_origin",
                LogFault::NotInLog => "release.not_in_log",
                LogFault::Forked { .. } => "release.log_forked",
                LogFault::Malformed { .. } => "release.malformed",
                other => other.code(),
            },
            Self::Signer { .. } => "release.signer",
            Self::Malformed { .. } => "release.malformed",
            Self::Manifest(error) => error.code(),
            Self::ReferenceValues(error) => error.code(),
            Self::ReferenceValuesDiffer => "release.reference_values_differ",
            Self::Digest { part, .. } => part.digest_code(),
            Self::ProvenanceSignature => "release.provenance_signature",
            Self::ProvenanceType { .. } => "release.provenance_type",
            Self::Subjects { .. } => "release.subjects_differ",
            Self::Disagrees { part: Part::Manifest, .. } => "release.manifest_disagrees",
            Self::Disagrees { .. } => "release.provenance_disagrees",
            Self::ArtifactMissing { .. } => "release.artifact_missing",
            Self::ArtifactDiffers { .. } => "release.artifact_differs",
            Self::OlderThanSeen { .. } => "release.older_than_seen",
            Self::DiffersFromSeen { .. } => "release.differs_from_seen",
            Self::LogSmaller { .. } => "release.log_smaller_than_seen",
            Self::ConsistencyMissing { .. } => "release.consistency_missing",
            Self::SeenDamaged { .. } => "release.seen_damaged",
            Self::File(_) => "file.unusable",
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Log(LogFault::Key { .. }) | Self::Signer { .. } => Fault::Usage,
            Self::Log(LogFault::Malformed { .. })
            | Self::Malformed { .. }
            | Self::Manifest(_)
            | Self::SeenDamaged { .. } => Fault::Malformed,
            Self::File(_) => Fault::File,
            Self::ReferenceValues(error) => match error.class() {
                RejectionClass::Malformed => Fault::Malformed,
                RejectionClass::Rejected | RejectionClass::Unsupported => Fault::Rejected,
            },
            Self::Log(_)
            | Self::ReferenceValuesDiffer
            | Self::Digest { .. }
            | Self::ProvenanceSignature
            | Self::ProvenanceType { .. }
            | Self::Subjects { .. }
            | Self::Disagrees { .. }
            | Self::ArtifactMissing { .. }
            | Self::ArtifactDiffers { .. }
            | Self::OlderThanSeen { .. }
            | Self::DiffersFromSeen { .. }
            | Self::LogSmaller { .. }
            | Self::ConsistencyMissing { .. } => Fault::Rejected,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Log(LogFault::Key { .. }) => {
                Some("give the log's key as its operator publishes it: NAME+HASH+BASE64")
            }
            Self::Signer { .. } => Some("give the signer's Ed25519 public key, or a file with it"),
            Self::Log(LogFault::Malformed { .. }) | Self::Malformed { .. } | Self::Manifest(_) => {
                Some("get the bundle again from where it is published")
            }
            Self::OlderThanSeen { .. } => Some("get the newest release; an older one may have known faults"),
            Self::LogSmaller { .. } => Some("get the bundle again: its log has grown since it was made"),
            Self::ConsistencyMissing { .. } => Some("get a bundle that was made under a newer checkpoint"),
            Self::Log(LogFault::Forked { .. }) | Self::DiffersFromSeen { .. } => {
                Some("do not use this release; keep the bundle and the record of seen releases as evidence")
            }
            Self::SeenDamaged { .. } => {
                Some("restore the file, or remove it and know that older releases pass once more")
            }
            Self::ArtifactMissing { .. } | Self::ArtifactDiffers { .. } => Some("get the artifacts again"),
            Self::File(_) => None,
            _ => Some("do not use this release"),
        }
    }
}
