//! Releases of the VM image: what a maintainer signed, and what an append-only public log shows everybody alike.
//!
//! Decides: whether a release bundle is the named signer's, stands in the named log, and is not older than what this machine
//! has seen. Trusts on entry: the log's key and the signer's key, both named by the user; nothing is fetched. A log key alone
//! makes no release and a signer alone cannot hide one: every release that is accepted here was logged before. That holds for
//! reference values that came through `cloister release verify --install`; a file that a user names to a policy is held against its
//! signer, its dates and the policy's least version only.
//!
//! | part | format |
//! |---|---|
//! | [`tlog`] | notes, checkpoints and proofs: C2SP signed-note, tlog-checkpoint, tlog-proof v1; consistency: JSON |
//! | [`entry`] | canonical JSON (RFC 8785); its RFC 9162 leaf hash is what is logged |
//! | [`dsse`], [`provenance`] | DSSE v1 envelope over an in-toto Statement v1 with SLSA provenance v1 |
//! | [`bundle`] | one JSON file with all of it |
//! | [`mod@verify`] | the checks, and the only maker of a [`VerifiedRelease`] |
//! | [`seen`] | what this machine has seen: no older release, no other log |

pub mod bundle;
pub mod dsse;
pub mod entry;
pub mod error;
pub mod provenance;
pub mod seen;
#[cfg(test)]
mod tests;
pub mod verify;

pub use bundle::ReleaseBundle;
pub use tlog::{checkpoint, note, proof};

pub use entry::{ReleaseEntry, Version};
pub use error::ReleaseError;
pub use seen::SeenReleases;
pub use tlog::{LogKey, NoteSigner};
pub use verify::{ReleaseTrust, VerifiedRelease, verify};

/// Name of the manifest's file.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Name of the signed reference values' file.
pub const REFERENCE_VALUES_FILE: &str = "reference-values.corim";
/// Name of the bill of materials' file.
pub const SBOM_FILE: &str = "sbom.cdx.json";
/// Name of the signed provenance's file.
pub const PROVENANCE_FILE: &str = "provenance.intoto.json";
/// Name of the bundle's file.
pub const BUNDLE_FILE: &str = "release-bundle.json";
