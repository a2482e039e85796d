//! The ACI `aci/1` workload keyset: the keys one boot of the guardian answers for (protocol.md §2.1).
//!
//! Decides: which bytes the keyset digest covers, and which receipt key an id names. Trusts nothing on entry; a
//! keyset means something only once an appraisal has bound its digest into a report.

use serde::{Deserialize, Serialize};

use crate::digest::{Hex32, Sha256Digest, decode_hex};
use crate::jcs;
use crate::signing::ReceiptPublicKey;
use crate::time::UnixTime;

/// The longest a keyset may live from the moment it is appraised: 7 days (protocol.md §2.1).
pub const KEYSET_LIFETIME_SECS_MAX: u64 = 7 * 24 * 3600;

/// The algorithm name of receipt keys in ACI `aci/1`.
pub const ALGO_ED25519: &str = "ed25519";

/// The algorithm name of the key that Oblivious HTTP envelopes are sealed to (protocol.md §2.10).
pub const ALGO_OHTTP: &str = "ohttp-x25519-hkdf-sha256";

/// The number of that key in envelopes. A node has one.
pub const OHTTP_KEY_NUMBER: u8 = 1;

/// The keys of one boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keyset {
    /// A stable name of the workload; `null` when it has none, never left out.
    #[serde(deserialize_with = "Option::deserialize")]
    pub subject: Option<String>,
    /// After this time nothing signed by these keys is acceptable.
    pub not_after: UnixTime,
    /// Keys that sign receipts, offers and settlements.
    pub receipt_signing_keys: Vec<KeyEntry>,
    /// Keys that messages are sealed to, beside or instead of a TLS channel.
    pub e2ee_public_keys: Vec<KeyEntry>,
    /// TLS leaf keys the guardian serves with.
    pub tls_public_keys: Vec<TlsKeyEntry>,
}

/// One named public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// Name used by signatures to point here.
    pub key_id: String,
    /// Algorithm: `ed25519` for receipts, [`ALGO_OHTTP`] for envelopes.
    pub algo: String,
    /// Public key, lowercase hex.
    pub public_key: String,
}

/// One TLS key, named by the digest of its SubjectPublicKeyInfo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsKeyEntry {
    /// SHA-256 of the DER SubjectPublicKeyInfo, bare hex.
    pub spki_sha256: Hex32,
    /// Host name this key is for, when it is limited to one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub domain: Option<String>,
}

/// What makes a keyset unusable, whoever vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysetFault {
    /// No key can sign receipts.
    #[error("the keyset has no receipt signing key")]
    NoReceiptKey,
    /// No TLS key is listed.
    #[error("the keyset has no TLS key")]
    NoTlsKey,
    /// A receipt key is not a well-formed Ed25519 key.
    #[error("receipt key {key_id:?} is not an ed25519 key of 64 lowercase hex characters")]
    ReceiptKey {
        /// Its id.
        key_id: String,
    },
    /// Two keys share one id, so a signature would not say which it means.
    #[error("key id {key_id:?} is used twice")]
    DuplicateKeyId {
        /// The repeated id.
        key_id: String,
    },
}

impl Keyset {
    /// SHA-256 of the canonical JSON form.
    #[must_use]
    pub fn digest(&self) -> Sha256Digest {
        let value = serde_json::to_value(self).expect("invariant: strings and integers are representable as JSON");
        Sha256Digest::of(&jcs::canonical_bytes(&value))
    }

    /// The receipt key called `key_id`, when it is a well-formed Ed25519 key.
    #[must_use]
    pub fn receipt_key(&self, key_id: &str) -> Option<ReceiptPublicKey> {
        self.receipt_signing_keys.iter().find(|entry| entry.key_id == key_id).and_then(parse_receipt_key)
    }

    /// The X25519 key that Oblivious HTTP envelopes are sealed to: the only one there is.
    #[must_use]
    pub fn envelope_key(&self) -> Option<[u8; 32]> {
        let mut keys = self.e2ee_public_keys.iter().filter(|entry| entry.algo == ALGO_OHTTP);
        let (Some(entry), None) = (keys.next(), keys.next()) else { return None };
        decode_hex(&entry.public_key).ok()
    }

    /// Whether the keyset lists this TLS key.
    #[must_use]
    pub fn lists_spki(&self, spki_sha256: &[u8; 32]) -> bool {
        self.tls_public_keys.iter().any(|entry| entry.spki_sha256.0 == *spki_sha256)
    }

    /// Refuse keysets whose signatures would be ambiguous or impossible to verify.
    ///
    /// # Errors
    /// The first [`KeysetFault`] found.
    pub fn require_usable(&self) -> Result<(), KeysetFault> {
        if self.receipt_signing_keys.is_empty() {
            return Err(KeysetFault::NoReceiptKey);
        }
        if self.tls_public_keys.is_empty() {
            return Err(KeysetFault::NoTlsKey);
        }
        if let Some(bad) = self.receipt_signing_keys.iter().find(|entry| parse_receipt_key(entry).is_none()) {
            return Err(KeysetFault::ReceiptKey { key_id: bad.key_id.clone() });
        }
        let mut ids: Vec<&str> =
            self.receipt_signing_keys.iter().chain(&self.e2ee_public_keys).map(|entry| entry.key_id.as_str()).collect();
        ids.sort_unstable();
        let repeated = ids.iter().zip(ids.iter().skip(1)).find(|(left, right)| left == right);
        match repeated {
            Some((id, _)) => Err(KeysetFault::DuplicateKeyId { key_id: (*id).to_owned() }),
            None => Ok(()),
        }
    }
}

fn parse_receipt_key(entry: &KeyEntry) -> Option<ReceiptPublicKey> {
    if entry.algo != ALGO_ED25519 {
        return None;
    }
    decode_hex(&entry.public_key).ok().map(ReceiptPublicKey)
}
