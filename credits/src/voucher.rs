//! Vouchers: one-time rights to mint, signed by a ledger's administrator. `docs/protocol.md` §4.5.
//!
//! A decoded voucher is only a claim: [`Voucher::verify`] decides whether the administrator signed it, the ledger whether
//! it is still unused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::bytes::{Bytes32, LengthPrefixed, SignatureBytes};
use crate::keys::{AdminKey, verify_ed25519};
use crate::value::Credits;

/// First characters of a voucher's text.
pub const VOUCHER_PREFIX: &str = "cloister-voucher-v1.";
/// Longest accepted text; an honest one is below 500 characters.
pub const VOUCHER_TEXT_BYTES_MAX: usize = 1024;

/// The right to mint `value` once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Voucher {
    /// The ledger that redeems it.
    pub ledger_id: Bytes32,
    /// Random; what the ledger remembers as used.
    pub voucher_id: Bytes32,
    /// What it is worth.
    pub value: Credits,
    /// By the administrator key.
    pub signature: SignatureBytes,
}

/// Why a text is not a voucher, or a voucher not the administrator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VoucherError {
    /// The text does not start with [`VOUCHER_PREFIX`].
    #[error("a voucher starts with \"{VOUCHER_PREFIX}\"")]
    Prefix,
    /// The text is longer than [`VOUCHER_TEXT_BYTES_MAX`].
    #[error("a voucher has at most {VOUCHER_TEXT_BYTES_MAX} characters, this has {got}")]
    TooLong {
        /// Bytes found.
        got: usize,
    },
    /// What follows the prefix is not unpadded base64url.
    #[error("the voucher is cut off or mistyped")]
    Base64,
    /// The decoded bytes are not a voucher's JSON.
    #[error("the voucher's content is malformed")]
    Json,
    /// The signature does not verify under the administrator key.
    #[error("the voucher is not signed by the ledger's administrator")]
    Signature,
}

impl VoucherError {
    /// The stable code of the refusal.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Prefix => "voucher.prefix",
            Self::TooLong { .. } => "voucher.too_long",
            Self::Base64 => "voucher.base64",
            Self::Json => "voucher.json",
            Self::Signature => "voucher.signature",
        }
    }
}

impl Voucher {
    /// Signs a voucher. `voucher_id` must be random and never used before.
    pub fn issue(key: &AdminKey, ledger_id: Bytes32, voucher_id: Bytes32, value: Credits) -> Self {
        let signature = key.sign(&message(&ledger_id, &voucher_id, value));
        Self { ledger_id, voucher_id, value, signature }
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        let json = serde_json::to_vec(self).expect("invariant: a voucher has only string and integer members");
        format!("{VOUCHER_PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }

    /// Decodes the text form.
    pub fn from_text(text: &str) -> Result<Self, VoucherError> {
        if text.len() > VOUCHER_TEXT_BYTES_MAX {
            return Err(VoucherError::TooLong { got: text.len() });
        }
        let payload = text.strip_prefix(VOUCHER_PREFIX).ok_or(VoucherError::Prefix)?;
        let json = URL_SAFE_NO_PAD.decode(payload).map_err(|_| VoucherError::Base64)?;
        serde_json::from_slice(&json).map_err(|_| VoucherError::Json)
    }

    /// Verifies the administrator's signature.
    pub fn verify(&self, admin_key: &Bytes32) -> Result<(), VoucherError> {
        verify_ed25519(admin_key, &message(&self.ledger_id, &self.voucher_id, self.value), &self.signature)
            .map_err(|_| VoucherError::Signature)
    }
}

fn message(ledger_id: &Bytes32, voucher_id: &Bytes32, value: Credits) -> Vec<u8> {
    LengthPrefixed::new("cloister/voucher/v1").bytes(ledger_id).bytes(voucher_id).number(value.get()).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    fn voucher(key: &SigningKey) -> Voucher {
        Voucher::issue(key, Bytes32([1; 32]), Bytes32([2; 32]), Credits::new(5000).unwrap())
    }

    #[test]
    fn text_round_trips_and_verifies() {
        let key = SigningKey::from_seed(&[1; 32]);
        let text = voucher(&key).to_text();
        let read = Voucher::from_text(&text).unwrap();
        assert_eq!(read, voucher(&key));
        assert_eq!(read.verify(&key.public()), Ok(()));
        assert_eq!(read.verify(&SigningKey::from_seed(&[2; 32]).public()), Err(VoucherError::Signature));
    }

    #[test]
    fn one_fault_one_code() {
        let key = SigningKey::from_seed(&[1; 32]);
        let text = voucher(&key).to_text();
        let extended = |json: &str| format!("{VOUCHER_PREFIX}{}", URL_SAFE_NO_PAD.encode(json));
        let table = [
            (text.replace("v1.", "v2."), "voucher.prefix"),
            (format!("{text}{}", "A".repeat(1024)), "voucher.too_long"),
            (format!("{text}="), "voucher.base64"),
            (format!("{text} "), "voucher.base64"),
            (text[..text.len() - 1].to_owned(), "voucher.base64"),
            (extended("{}"), "voucher.json"),
            (extended("{\"surprise\":1}"), "voucher.json"),
        ];
        for (bad, code) in table {
            assert_eq!(Voucher::from_text(&bad).map_err(VoucherError::code), Err(code), "{bad}");
        }
        let more = Voucher { value: Credits::new(5001).unwrap(), ..voucher(&key) };
        assert_eq!(more.verify(&key.public()).map_err(VoucherError::code), Err("voucher.signature"));
    }
}
