//! The checks of a release, in an order in which nothing is read before what vouches for it was verified.
//!
//! 1. the checkpoint is signed by the log's key;
//! 2. the entry's bytes stand in that log;
//! 3. manifest, reference values, bill of materials and provenance are those whose digests were logged;
//! 4. the provenance is signed by the signer;
//! 5. manifest, provenance and entry speak of the same release and the same files;
//! 6. the reference values are signed by the signer too, and are the manifest's.
//!
//! No clock is read: reference values must have held on the release's own date. Whether they still hold is asked by the policy that
//! takes values from them.
//! Whether an older release is being shown is [`super::seen`]'s question.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use attestation::reference::{ImageManifest, ReferenceValues, VerifiedReferenceValues};
use attestation::{Hex32, ReceiptPublicKey, Sha256Stream, Transcript, UnixTime};
use tlog::{Checkpoint, Growth, LogKey, LogProof};

use super::bundle::ReleaseBundle;
use super::entry::ReleaseEntry;
use super::error::{Part, ReleaseError};
use super::provenance::{PAYLOAD_TYPE, check_statement, sha256, subjects};
use super::{MANIFEST_FILE, REFERENCE_VALUES_FILE, SBOM_FILE, dsse};
use crate::files::FileError;

/// Whom releases are believed from.
#[derive(Debug, Clone)]
pub struct ReleaseTrust {
    /// The log they must stand in.
    pub log: LogKey,
    /// The key they must be signed with.
    pub signer: ReceiptPublicKey,
}

/// A release that was found in the log and under the signer's signature. Only [`verify`] makes one.
#[derive(Debug, Clone)]
pub struct VerifiedRelease {
    log: LogKey,
    entry: ReleaseEntry,
    entry_sha256: Hex32,
    manifest: ImageManifest,
    values: VerifiedReferenceValues,
    parts: BTreeMap<&'static str, Vec<u8>>,
    index: u64,
    head: Checkpoint,
    growth: Vec<Growth>,
}

/// Verifies a bundle; every check leaves a line.
///
/// # Errors
/// See [`ReleaseError`].
pub fn verify(
    bundle: &ReleaseBundle,
    trust: &ReleaseTrust,
    transcript: &mut Transcript,
) -> Result<VerifiedRelease, ReleaseError> {
    // 1 and 2: the log.
    let proof = LogProof::from_text(&bundle.log_proof);
    let opened = proof.and_then(|proof| Ok((proof.checkpoint(&trust.log)?, proof))).map_err(ReleaseError::Log);
    let (head, proof) = step(transcript, "release.checkpoint", opened, |(head, _)| {
        format!("{} entries, signed by {}", head.size, trust.log.name())
    })?;
    let included = proof.verify(&bundle.entry.0, &head).map_err(ReleaseError::Log);
    step(transcript, "release.inclusion", included, |()| format!("entry {} of {}", proof.index, head.size))?;
    let entry = ReleaseEntry::from_bytes(&bundle.entry.0);
    let entry = step(transcript, "release.entry", entry, |entry| format!("{} {}", entry.kind(), entry.version))?;
    // 3: the parts.
    let parts = [
        (Part::Manifest, &bundle.manifest.0, entry.manifest_sha256),
        (Part::ReferenceValues, &bundle.reference_values.0, entry.reference_values_sha256),
        (Part::Sbom, &bundle.sbom.0, entry.sbom_sha256),
        (Part::Provenance, &bundle.provenance.0, entry.provenance_sha256),
    ];
    for (part, bytes, expected) in parts {
        let got = sha256(bytes);
        let same = if got == expected {
            Ok(got)
        } else {
            Err(ReleaseError::Digest { part, got: got.to_string(), expected: expected.to_string() })
        };
        step(transcript, part.digest_code(), same, ToString::to_string)?;
    }
    // 4: the signer.
    let payload = dsse::open(&bundle.provenance.0, PAYLOAD_TYPE, &trust.signer);
    let payload = step(transcript, "release.provenance_signature", payload, |_| format!("by {}", trust.signer))?;
    // 5: what they speak of.
    let manifest = read_manifest(&bundle.manifest.0, &entry);
    let manifest = step(transcript, "release.manifest", manifest, |manifest| {
        format!("{} {} {}", manifest.flavour, manifest.mode, manifest.version)
    })?;
    let subjects = subjects(&manifest, &bundle.manifest.0, &bundle.reference_values.0, &bundle.sbom.0);
    let agreed = subjects.and_then(|subjects| check_statement(&payload, &subjects, &entry).map(|()| subjects.len()));
    step(transcript, "release.provenance", agreed, |count| format!("SLSA provenance of {count} files"))?;
    // 6: what a policy will take from it.
    let values = reference_values(&bundle.reference_values.0, &manifest, entry.released_at, &trust.signer);
    let values = step(transcript, "release.reference_values", values, ToString::to_string)?;
    let parts = BTreeMap::from([
        (MANIFEST_FILE, bundle.manifest.0.clone()),
        (REFERENCE_VALUES_FILE, bundle.reference_values.0.clone()),
        (SBOM_FILE, bundle.sbom.0.clone()),
    ]);
    Ok(VerifiedRelease {
        log: trust.log.clone(),
        entry_sha256: sha256(&bundle.entry.0),
        entry,
        manifest,
        values,
        parts,
        index: proof.index,
        head,
        growth: bundle.consistency.clone(),
    })
}

fn read_manifest(bytes: &[u8], entry: &ReleaseEntry) -> Result<ImageManifest, ReleaseError> {
    let manifest = ImageManifest::from_json(bytes).map_err(ReleaseError::Manifest)?;
    let items = [
        ("version", manifest.version.clone(), entry.version.to_string()),
        ("flavour", manifest.flavour.clone(), entry.flavour.clone()),
        ("mode", manifest.mode.to_string(), entry.mode.to_string()),
    ];
    for (item, got, expected) in items {
        if got != expected {
            return Err(ReleaseError::Disagrees { part: Part::Manifest, item, got, expected });
        }
    }
    Ok(manifest)
}

/// The reference values in `bytes`, once `signer` is found to have signed them, they held at `at`, and they are the manifest's.
///
/// # Errors
/// [`ReleaseError::ReferenceValues`] or [`ReleaseError::ReferenceValuesDiffer`].
pub fn reference_values(
    bytes: &[u8],
    manifest: &ImageManifest,
    at: UnixTime,
    signer: &ReceiptPublicKey,
) -> Result<VerifiedReferenceValues, ReleaseError> {
    let verified = ReferenceValues::verify(bytes, &[*signer], at).map_err(ReleaseError::ReferenceValues)?;
    let ReferenceValues { not_before, not_after, .. } = *verified.values();
    if *verified.values() == ReferenceValues::from_manifest(manifest, not_before, not_after) {
        Ok(verified)
    } else {
        Err(ReleaseError::ReferenceValuesDiffer)
    }
}

impl VerifiedRelease {
    /// The log's key.
    #[must_use]
    pub fn log(&self) -> &LogKey {
        &self.log
    }

    /// What was logged.
    #[must_use]
    pub fn entry(&self) -> &ReleaseEntry {
        &self.entry
    }

    /// SHA-256 of what was logged.
    #[must_use]
    pub fn entry_sha256(&self) -> Hex32 {
        self.entry_sha256
    }

    /// Its position in the log.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The log's head.
    #[must_use]
    pub fn head(&self) -> Checkpoint {
        self.head
    }

    /// The image's manifest.
    #[must_use]
    pub fn manifest(&self) -> &ImageManifest {
        &self.manifest
    }

    /// The reference values, which held on the release's date.
    #[must_use]
    pub fn reference_values(&self) -> &VerifiedReferenceValues {
        &self.values
    }

    /// How the log grew from `size`, if the bundle says.
    pub(crate) fn growth_from(&self, size: u64) -> Option<&Growth> {
        self.growth.iter().find(|growth| growth.from == size)
    }

    /// Holds the files of `directory` against the manifest. All artifacts must be there; manifest, reference values and bill of
    /// materials may be, and then are the bundle's. Other files are nobody's concern.
    ///
    /// # Errors
    /// [`ReleaseError::ArtifactMissing`], [`ReleaseError::ArtifactDiffers`] or [`ReleaseError::File`].
    pub fn check_artifacts(&self, directory: &Path, transcript: &mut Transcript) -> Result<(), ReleaseError> {
        for (name, artifact) in &self.manifest.artifacts {
            let checked = check_file(&directory.join(name), artifact.sha256, artifact.size);
            step(transcript, "release.artifact", checked, |()| format!("{name} {}", artifact.sha256))?;
        }
        for (name, bytes) in self.parts.iter().filter(|(name, _)| !self.manifest.artifacts.contains_key(**name)) {
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            match check_file(&directory.join(name), sha256(bytes), size) {
                Err(ReleaseError::ArtifactMissing { .. }) => {}
                checked => step(transcript, "release.artifact", checked, |()| format!("{name} is the bundle's"))?,
            }
        }
        Ok(())
    }
}

/// That the file at `path` has this digest and size.
///
/// # Errors
/// [`ReleaseError::ArtifactMissing`], [`ReleaseError::ArtifactDiffers`] or [`ReleaseError::File`].
pub fn check_file(path: &Path, expected: Hex32, size: u64) -> Result<(), ReleaseError> {
    let failed = |action| move |source| ReleaseError::File(FileError::Io { action, path: PathBuf::from(path), source });
    let differs = |item, got: String, expected: String| {
        Err(ReleaseError::ArtifactDiffers { path: path.to_owned(), item, got, expected })
    };
    let mut file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ReleaseError::ArtifactMissing { path: path.to_owned() });
        }
        opened => opened.map_err(failed("open"))?,
    };
    let got = file.metadata().map_err(failed("examine"))?.len();
    if got != size {
        return differs("size", got.to_string(), size.to_string());
    }
    let mut stream = Sha256Stream::new();
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        let read = file.read(&mut buffer).map_err(failed("read"))?;
        if read == 0 {
            break;
        }
        stream.update(buffer.get(..read).unwrap_or_default());
    }
    let got = Hex32(stream.finish().0);
    if got == expected { Ok(()) } else { differs("SHA-256", got.to_string(), expected.to_string()) }
}

/// Records a check and hands its result on.
pub(crate) fn step<T>(
    transcript: &mut Transcript,
    id: &'static str,
    result: Result<T, ReleaseError>,
    found: impl FnOnce(&T) -> String,
) -> Result<T, ReleaseError> {
    match &result {
        Ok(value) => transcript.pass(id, found(value)),
        Err(error) => transcript.fail(id, crate::error::chain(error)),
    }
    result
}
