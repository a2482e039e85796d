//! What a report's REPORT_DATA field must be for one channel (protocol.md §2.2).
//!
//! Decides: the 64 bytes. Every input is the caller's own: its nonce, the exporter it computed, the certificate it
//! saw. Nothing is read from the answer except the batch path (`batch.rs`), whose root is covered by the same hash.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::crypto;
use crate::digest::{Hex32, Sha256Digest, hex_newtype};
use crate::lp::Lp;
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
