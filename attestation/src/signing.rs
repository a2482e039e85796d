//! Ed25519 receipt keys, and signed statements (protocol.md §5.2).
//!
//! Decides: whether a signature by a key of the keyset covers exactly this statement for exactly this purpose.
//! The private key never leaves [`ReceiptKey`]; its `Debug` shows the key id only.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto;
use crate::digest::{decode_hex, hex_newtype};
use crate::jcs::{JcsError, to_jcs};
use crate::keyset::{ALGO_ED25519, KeyEntry, Keyset};
use crate::lp::Lp;

/// A key could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The operating system's generator failed.
    #[error("the random generator of the cryptographic library failed")]
    Random,
    /// The library refused the seed.
    #[error("the seed is not a usable Ed25519 key")]
    Seed,
}

/// A signature does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// The guardian's receipt key: signs receipts, offers, settlements and journal totals.
pub struct ReceiptKey {
    key: crypto::Ed25519Key,
    key_id: String,
}

impl ReceiptKey {
    /// A fresh key from the cryptographic library's operating-system generator.
    ///
    /// # Errors
    /// When the generator fails.
    pub fn generate() -> Result<Self, KeyError> {
        let seed = Zeroizing::new(crypto::random_32().map_err(|_| KeyError::Random)?);
        Self::from_seed(&seed)
    }

    /// The key with this RFC 8032 seed.
    ///
    /// # Errors
    /// When the library refuses the seed.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let key = crypto::Ed25519Key::from_seed(seed).map_err(|_| KeyError::Seed)?;
        let key_id = ReceiptPublicKey(key.public()).key_id();
        Ok(Self { key, key_id })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> ReceiptPublicKey {
        ReceiptPublicKey(self.key.public())
    }

    /// The id this key has in a keyset.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Sign `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message)
    }

    /// The keyset entry that publishes this key.
    #[must_use]
    pub fn entry(&self) -> KeyEntry {
        KeyEntry {
            key_id: self.key_id.clone(),
            algo: ALGO_ED25519.to_owned(),
            public_key: hex::encode(self.key.public()),
        }
    }
}

impl fmt::Debug for ReceiptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiptKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

hex_newtype! {
    /// An Ed25519 public key.
    ReceiptPublicKey, 32
}

impl ReceiptPublicKey {
    /// Verify `signature` over `message`.
    ///
    /// # Errors
    /// [`BadSignature`] when it does not verify.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), BadSignature> {
        crypto::verify_ed25519(&self.0, message, signature).map_err(|_| BadSignature)
    }

    /// The id our guardians give this key: the first 16 bytes of its SHA-256, in hex.
    #[must_use]
    pub fn key_id(&self) -> String {
        let digest = crypto::sha256(&self.0);
        let mut id = hex::encode(digest);
        id.truncate(32);
        id
    }
}

/// A statement with a signature by a receipt key over `lp(purpose) ‖ lp(JCS(statement))`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed<T> {
    /// What is being said. `T` must refuse unknown members, or a part of what was received would not be covered.
    pub statement: T,
    /// The receipt key that signed.
    pub key_id: String,
    /// 128 lowercase hex characters.
    pub signature: String,
}

/// Why a signed statement was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignedError {
    /// The keyset has no such receipt key.
    #[error("receipt key {key_id:?} is not in the keyset")]
    KeyUnknown {
        /// The id the statement names.
        key_id: String,
    },
    /// The signature is not 128 lowercase hex characters.
    #[error("the signature is not 128 lowercase hex characters")]
    Encoding,
    /// The statement has no canonical form.
    #[error("the statement has no canonical form")]
    Canonical(#[source] JcsError),
    /// The signature does not verify for this purpose.
    #[error("the statement's signature does not verify")]
    Signature,
}

impl SignedError {
    /// Stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::KeyUnknown { .. } => "signed.key_unknown",
            Self::Encoding => "signed.encoding",
            Self::Canonical(_) => "signed.not_canonical",
            Self::Signature => "signed.signature",
        }
    }
}

impl<T: Serialize> Signed<T> {
    /// Sign `statement` for `purpose`.
    ///
    /// # Errors
    /// When the statement has no canonical form.
    pub fn sign(purpose: &str, statement: T, key: &ReceiptKey) -> Result<Self, JcsError> {
        let message = message(purpose, &statement)?;
        let signature = hex::encode(key.sign(&message));
        Ok(Self { statement, key_id: key.key_id().to_owned(), signature })
    }

    /// The statement, once the named key of `keyset` is found to have signed it for `purpose`.
    ///
    /// # Errors
    /// See [`SignedError`].
    pub fn verify(&self, purpose: &str, keyset: &Keyset) -> Result<&T, SignedError> {
        let key =
            keyset.receipt_key(&self.key_id).ok_or_else(|| SignedError::KeyUnknown { key_id: self.key_id.clone() })?;
        let signature = decode_hex(&self.signature).map_err(|_| SignedError::Encoding)?;
        let message = message(purpose, &self.statement).map_err(SignedError::Canonical)?;
        key.verify(&message, &signature).map_err(|_| SignedError::Signature)?;
        Ok(&self.statement)
    }
}

fn message<T: Serialize>(purpose: &str, statement: &T) -> Result<Vec<u8>, JcsError> {
    Ok(Lp::new(purpose).bytes(&to_jcs(statement)?).finish())
}
