//! What the signer says: these files were built like this (in-toto Statement v1, SLSA provenance v1).
//!
//! Decides: whether a signed statement is about exactly the files of a release and exactly its version, flavour, mode and date.
//! A file more is refused like a file less: what is signed and what is measured must be the same set. How the files were built
//! is the signer's word; `make reproduce` is how anyone checks it.

use std::collections::BTreeMap;

use attestation::reference::{ImageManifest, ImageMode};
use attestation::{Hex32, Sha256Digest, UnixTime};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::entry::{ReleaseEntry, Version};
use super::error::{Part, ReleaseError};
use super::{MANIFEST_FILE, REFERENCE_VALUES_FILE, SBOM_FILE};

/// Payload type of the envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// `_type` of the statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// `predicateType` of the statement.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// `buildType`: what `externalParameters` and `internalParameters` mean is said in [`statement`].
pub const BUILD_TYPE: &str = "urn:cloister:image-build:v1";
/// `builder.id`: the builder has no identity beyond the key that signs.
const BUILDER_ID: &str = "urn:cloister:image-builder";
/// Most files a statement speaks of.
const SUBJECTS_MAX: usize = 8192;

/// Files by name, with their SHA-256.
pub type Subjects = BTreeMap<String, Hex32>;

/// Something the image was made from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Material {
    /// Package URL.
    pub uri: String,
    /// SHA-256 of the package.
    pub sha256: Hex32,
}

/// SHA-256 of a part, without prefix.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hex32 {
    Hex32(Sha256Digest::of(bytes).0)
}

/// The files a release consists of: the manifest's artifacts, the manifest, the reference values and the bill of materials.
///
/// # Errors
/// [`ReleaseError::Subjects`] when the manifest names one of the other three with another digest.
pub fn subjects(
    manifest: &ImageManifest,
    manifest_bytes: &[u8],
    reference_values: &[u8],
    sbom: &[u8],
) -> Result<Subjects, ReleaseError> {
    let mut subjects: Subjects = manifest.artifacts.iter().map(|(name, file)| (name.clone(), file.sha256)).collect();
    let parts = [(MANIFEST_FILE, manifest_bytes), (REFERENCE_VALUES_FILE, reference_values), (SBOM_FILE, sbom)];
    for (name, bytes) in parts {
        let digest = sha256(bytes);
        if *subjects.entry(name.to_owned()).or_insert(digest) != digest {
            let problem = "the manifest has another digest for it";
            return Err(ReleaseError::Subjects { name: name.to_owned(), problem });
        }
    }
    Ok(subjects)
}

/// The statement to sign.
///
/// `externalParameters` are the release's version, flavour, mode and date; `internalParameters` is the manifest's `source`;
/// `resolvedDependencies` are the sources' commit, the lock files, and the packages of the bill of materials.
#[must_use]
pub fn statement(
    manifest: &ImageManifest,
    subjects: &Subjects,
    released_at: UnixTime,
    materials: &[Material],
) -> Vec<u8> {
    let subject: Vec<Value> =
        subjects.iter().map(|(name, sha256)| json!({"name": name, "digest": {"sha256": sha256}})).collect();
    let commit = &manifest.source.git_commit;
    let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    let commit = is_commit.then(|| json!({"name": "source", "digest": {"gitCommit": commit}}));
    let locks = manifest.locks.iter().map(|(name, sha256)| json!({"name": name, "digest": {"sha256": sha256}}));
    let packages = materials.iter().map(|material| json!({"uri": material.uri, "digest": {"sha256": material.sha256}}));
    let dependencies: Vec<Value> = commit.into_iter().chain(locks).chain(packages).collect();
    let statement = json!({
        "_type": STATEMENT_TYPE,
        "subject": subject,
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "version": manifest.version,
                    "flavour": manifest.flavour,
                    "mode": manifest.mode,
                    "released_at": released_at,
                },
                "internalParameters": {"source": manifest.source},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {"builder": {"id": BUILDER_ID}},
        },
    });
    statement.to_string().into_bytes()
}

#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Value,
}

#[derive(Deserialize)]
struct Subject {
    name: String,
    digest: SubjectDigest,
}

#[derive(Deserialize)]
struct SubjectDigest {
    sha256: Hex32,
}

/// SLSA v1: parameters that are not understood refuse the provenance.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExternalParameters {
    version: Version,
    flavour: String,
    mode: ImageMode,
    released_at: UnixTime,
}

/// That `payload` is a statement about exactly `subjects` and the release of `entry`.
///
/// # Errors
/// [`ReleaseError::Malformed`], [`ReleaseError::ProvenanceType`], [`ReleaseError::Subjects`] or [`ReleaseError::Disagrees`].
pub fn check_statement(payload: &[u8], subjects: &Subjects, entry: &ReleaseEntry) -> Result<(), ReleaseError> {
    let bad = |error: serde_json::Error| ReleaseError::malformed("provenance", error);
    let statement: Statement = serde_json::from_slice(payload).map_err(bad)?;
    if statement.subject.len() > SUBJECTS_MAX {
        return Err(ReleaseError::malformed("provenance", "it has too many subjects"));
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let build = statement.predicate.get("buildDefinition").cloned().unwrap_or_default();
    let types = [
        ("_type", statement.statement_type, STATEMENT_TYPE),
        ("predicateType", statement.predicate_type, PREDICATE_TYPE),
        ("buildType", build.get("buildType").map(text).unwrap_or_default(), BUILD_TYPE),
    ];
    for (item, got, expected) in types {
        if got != expected {
            return Err(ReleaseError::ProvenanceType { item, got, expected });
        }
    }
    compare_subjects(statement.subject, subjects)?;
    let external = build.get("externalParameters").cloned().unwrap_or_default();
    let external: ExternalParameters = serde_json::from_value(external).map_err(bad)?;
    let items = [
        ("version", external.version.to_string(), entry.version.to_string()),
        ("flavour", external.flavour, entry.flavour.clone()),
        ("mode", external.mode.to_string(), entry.mode.to_string()),
        ("released_at", external.released_at.to_string(), entry.released_at.to_string()),
    ];
    for (item, got, expected) in items {
        if got != expected {
            return Err(ReleaseError::Disagrees { part: Part::Provenance, item, got, expected });
        }
    }
    Ok(())
}

fn compare_subjects(signed: Vec<Subject>, expected: &Subjects) -> Result<(), ReleaseError> {
    let differ = |name: &str, problem| Err(ReleaseError::Subjects { name: name.to_owned(), problem });
    let mut seen = Subjects::new();
    for Subject { name, digest } in signed {
        match expected.get(&name) {
            None => return differ(&name, "it is signed but is no file of the release"),
            Some(sha256) if *sha256 != digest.sha256 => return differ(&name, "it is signed with another digest"),
            Some(_) => {}
        }
        if seen.insert(name.clone(), digest.sha256).is_some() {
            return differ(&name, "it is signed twice");
        }
    }
    match expected.keys().find(|name| !seen.contains_key(*name)) {
        Some(name) => differ(name, "it is not signed"),
        None => Ok(()),
    }
}
