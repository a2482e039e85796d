//! A node held against an image somebody rebuilt: line by line, what is the same and what is not.
//!
//! Decides: equality, nothing else. Trusts on entry: the manifest and the files the user names, which are the yardstick; and
//! what was established about the node, whose report was verified before. Holds on exit: no line is left out: what a node
//! does not show, or a directory does not hold, has a line that says so.
//!
//! A report names one thing, the launch digest (or MRTD and RTMRs); that covers firmware, kernel, ramdisk and command line, and
//! through the root hashes in the ramdisk every volume. So the files are compared with the manifest, the manifest's digests are
//! computed again from the files, and these are compared with the report.

mod directory;
mod initrd;
mod live;

use std::fmt;
use std::path::{Path, PathBuf};

use attestation::reference::manifest::MANIFEST_BYTES_MAX;
use attestation::{ImageManifest, ManifestError};
use serde::Serialize;

pub use live::{Measured, compare_node, compare_offer, measured_of_claims, measured_of_rejection};

use crate::files::{FileError, read_capped};

/// Name of the manifest in an image's directory.
const MANIFEST_NAME: &str = "manifest.json";

/// Why an image cannot be compared with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The manifest cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The manifest is not one.
    #[error("{} is not the manifest of an image", path.display())]
    Manifest {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ManifestError,
    },
}

impl AuditError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(_) => "file.unusable",
            Self::Manifest { source, .. } => source.code(),
        }
    }
}

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Equality {
    /// Both are the same.
    Equal,
    /// They are not.
    Differs,
    /// There was nothing to compare; the detail says why.
    NotShown,
}

impl fmt::Display for Equality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Equal => "EQUAL",
            Self::Differs => "DIFFERS",
            Self::NotShown => "NOT SHOWN",
        })
    }
}

/// One line of an audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What was compared.
    pub item: String,
    /// Whether it is the same.
    pub equality: Equality,
    /// What both are, or what was expected and what was found.
    pub detail: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9} {:<34} {}", self.equality, self.item, self.detail)
    }
}

/// Every comparison made, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Audit {
    /// The lines.
    pub lines: Vec<Line>,
}

impl Audit {
    /// How many lines differ.
    #[must_use]
    pub fn differences(&self) -> usize {
        self.lines.iter().filter(|line| line.equality == Equality::Differs).count()
    }

    /// `got`, held against what is expected.
    fn compare<T: PartialEq + fmt::Display + ?Sized>(&mut self, item: impl Into<String>, expected: &T, got: &T) {
        let (equality, detail) = if expected == got {
            (Equality::Equal, got.to_string())
        } else {
            (Equality::Differs, format!("expected {expected}, got {got}"))
        };
        self.push(item, equality, detail);
    }

    fn push(&mut self, item: impl Into<String>, equality: Equality, detail: impl Into<String>) {
        self.lines.push(Line { item: item.into(), equality, detail: detail.into() });
    }
}

/// A rebuilt image.
#[derive(Debug, Clone)]
pub struct Image {
    /// What it says of itself.
    pub manifest: ImageManifest,
    /// Where its files are, when more than the manifest was named.
    pub directory: Option<PathBuf>,
}

impl Image {
    /// Reads an image's directory, or a manifest alone.
    ///
    /// # Errors
    /// When the manifest is missing or is not one.
    pub fn load(path: &Path) -> Result<Self, AuditError> {
        let directory = path.is_dir().then(|| path.to_owned());
        let path = directory.as_ref().map_or_else(|| path.to_owned(), |directory| directory.join(MANIFEST_NAME));
        let bytes = read_capped(&path, u64::try_from(MANIFEST_BYTES_MAX).unwrap_or(u64::MAX))?;
        let manifest = ImageManifest::from_json(&bytes).map_err(|source| AuditError::Manifest { path, source })?;
        Ok(Self { manifest, directory })
    }

    /// Compares the files with the manifest, and what they measure as with the digests it states.
    pub fn compare_files(&self, audit: &mut Audit) {
        match &self.directory {
            Some(directory) => directory::compare(directory, &self.manifest, audit),
            None => audit.push("files", Equality::NotShown, "only the manifest was named, no directory with files"),
        }
    }
}
