//! What a report's REPORT_DATA field must be for one channel (protocol.md §2.2).
//!
//! Decides: the 64 bytes. Every input is the caller's own: its nonce, the exporter it computed, the certificate it
//! saw. Nothing is read from the answer except the batch path, whose root is covered by the same hash.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::crypto;
use crate::digest::{Hex32, Sha256Digest, hex_newtype};
use crate::lp::Lp;
use crate::rejection::Rejection;
use crate::signing::KeyError;

/// RFC 9266 `tls-exporter`: the label; context empty, 32 bytes.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// Names this construction inside the hash.
const REPORT_DATA_TAG: &str = "cloister/report-data/v1";

/// What a report vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// One TLS connection.
    Tls,
    /// Oblivious HTTP: no connection, the HPKE key is in the keyset.
    Ohttp,
    /// The keyset of one boot, without client input.
    Keyset,
}

impl Role {
    /// The ASCII string that is hashed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Ohttp => "ohttp",
            Self::Keyset => "keyset",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

hex_newtype! {
    /// A client's fresh 32 bytes.
    Nonce, 32
}

impl Nonce {
    /// Stands where there is no client: in the leaf of a boot report (role `keyset`).
    pub const ABSENT: Self = Self([0; 32]);

    /// A fresh nonce from the cryptographic library's operating-system generator.
    ///
    /// # Errors
    /// When the generator fails.
    pub fn random() -> Result<Self, KeyError> {
        crypto::random_32().map(Self).map_err(|_| KeyError::Random)
    }
}

hex_newtype! {
    /// The RFC 9266 exporter of one TLS connection.
    Exporter, 32
}

/// Where a client's leaf sits in a batch of clients answered by one report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchPosition {
    /// Index of the leaf, from zero.
    pub leaf_index: u64,
    /// Number of leaves.
    pub tree_size: u64,
    /// RFC 9162 inclusion path, from the leaf upwards.
    pub path: Vec<Hex32>,
}

impl BatchPosition {
    /// The only position in a batch of one.
    #[must_use]
    pub fn alone() -> Self {
        Self { leaf_index: 0, tree_size: 1, path: Vec::new() }
    }

    /// The root this path leads to from `leaf` (RFC 9162 §2.1.3.2).
    ///
    /// # Errors
    /// [`Rejection::BatchPath`] when the path does not have the shape of its tree.
    pub fn root(&self, leaf: [u8; 32]) -> Result<[u8; 32], Rejection> {
        if self.leaf_index >= self.tree_size {
            return Err(Rejection::BatchPath);
        }
        let mut index = self.leaf_index;
        let mut last = self.tree_size.saturating_sub(1);
        let mut root = leaf;
        for sibling in &self.path {
            if last == 0 {
                return Err(Rejection::BatchPath);
            }
            if index & 1 == 1 || index == last {
                root = batch_node(&sibling.0, &root);
                // A right edge without siblings of its own skips the levels where it stood alone.
                while index & 1 == 0 && index != 0 {
                    index >>= 1;
                    last >>= 1;
                }
            } else {
                root = batch_node(&root, &sibling.0);
            }
            index >>= 1;
            last >>= 1;
        }
        if last == 0 { Ok(root) } else { Err(Rejection::BatchPath) }
    }
}

/// The leaf of one client: `SHA-256(0x00 ‖ lp(role) ‖ lp(nonce) ‖ lp(exporter))`, without exporter a zero-length one.
#[must_use]
pub fn batch_leaf(role: Role, nonce: &Nonce, exporter: Option<&Exporter>) -> [u8; 32] {
    let exporter: &[u8] = exporter.map_or(&[], AsRef::as_ref);
    let mut bytes = vec![0x00];
    bytes.extend(Lp::new(role.as_str()).bytes(&nonce.0).bytes(exporter).finish());
    crypto::sha256(&bytes)
}

/// The root of a batch with a single leaf: the leaf.
#[must_use]
pub fn batch_root_of_one(leaf: [u8; 32]) -> [u8; 32] {
    leaf
}

/// An inner node of a batch: `SHA-256(0x01 ‖ left ‖ right)`.
fn batch_node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut context = crypto::Sha256Context::new();
    context.update(&[0x01]);
    context.update(left);
    context.update(right);
    context.finish()
}

/// GPU evidence a report is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuBinding {
    /// SHA-256 of the evidence set.
    pub evidence_digest: Hex32,
    /// Counts how often the evidence was renewed.
    pub epoch: u64,
}

/// Everything REPORT_DATA covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportDataInputs {
    /// What the report vouches for.
    pub role: Role,
    /// Root of the batch the client's leaf is in.
    pub batch_root: [u8; 32],
    /// SHA-256 of the SubjectPublicKeyInfo of the certificate the channel was opened with.
    pub leaf_spki_sha256: [u8; 32],
    /// Digest of the keyset.
    pub keyset_digest: Sha256Digest,
    /// GPU evidence, when there is a GPU.
    pub gpu: Option<GpuBinding>,
}

impl ReportDataInputs {
    /// The 64 bytes of REPORT_DATA.
    #[must_use]
    pub fn report_data(&self) -> [u8; 64] {
        let (gpu_digest, gpu_epoch): (&[u8], u64) = match &self.gpu {
            Some(gpu) => (gpu.evidence_digest.as_ref(), gpu.epoch),
            None => (&[], 0),
        };
        let bytes = Lp::new(REPORT_DATA_TAG)
            .bytes(self.role.as_str().as_bytes())
            .bytes(&self.batch_root)
            .bytes(&self.leaf_spki_sha256)
            .bytes(&self.keyset_digest.0)
            .bytes(gpu_digest)
            .u64(gpu_epoch)
            .finish();
        crypto::sha512(&bytes)
    }
}
