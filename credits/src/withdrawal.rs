//! Withdrawals as text: the right to claim what was withdrawn, for whoever holds it. `docs/protocol.md` §4.7.
//!
//! Unlike a voucher it is not the administrator's word: it holds the payee's key, and the ledger says what there is to claim.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::bytes::{Bytes32, decode_hex};
use crate::claim::PayeeKey;
use crate::keys::SEED_LEN;
use crate::value::Credits;

/// First characters of a withdrawal's text.
pub const WITHDRAWAL_PREFIX: &str = "cloister-withdrawal-v1.";
/// Longest accepted text; an honest one is below 400 characters.
pub const WITHDRAWAL_TEXT_BYTES_MAX: usize = 1024;

/// The right to claim a withdrawal. Whoever has it has the credits.
#[derive(Clone)]
pub struct Withdrawal {
    /// The ledger that it was withdrawn from.
    pub ledger_id: Bytes32,
    /// What was withdrawn.
    pub value: Credits,
    /// The payee's key.
    pub key: PayeeKey,
}

/// Why a text is not a withdrawal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WithdrawalError {
    /// The text does not start with [`WITHDRAWAL_PREFIX`].
    #[error("a withdrawal starts with \"{WITHDRAWAL_PREFIX}\"")]
    Prefix,
    /// The text is longer than [`WITHDRAWAL_TEXT_BYTES_MAX`].
    #[error("a withdrawal has at most {WITHDRAWAL_TEXT_BYTES_MAX} characters, this has {got}")]
    TooLong {
        /// Bytes found.
        got: usize,
    },
    /// What follows the prefix is not unpadded base64url.
    #[error("the withdrawal is cut off or mistyped")]
    Base64,
    /// The decoded bytes are not a withdrawal's JSON.
    #[error("the withdrawal's content is malformed")]
    Json,
}

impl WithdrawalError {
    /// The stable code of the refusal.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Prefix => "withdrawal.prefix",
            Self::TooLong { .. } => "withdrawal.too_long",
            Self::Base64 => "withdrawal.base64",
            Self::Json => "withdrawal.json",
        }
    }
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Content {
    #[zeroize(skip)]
    ledger_id: Bytes32,
    #[zeroize(skip)]
    value: Credits,
    key: String,
}

impl Withdrawal {
    /// The text form. Secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        let key = hex::encode(self.key.seed());
        let json = serde_json::to_vec(&Content { ledger_id: self.ledger_id, value: self.value, key });
        let json = Zeroizing::new(json.expect("invariant: a withdrawal has only string and integer members"));
        Zeroizing::new(format!("{WITHDRAWAL_PREFIX}{}", URL_SAFE_NO_PAD.encode(&*json)))
    }

    /// Decodes the text form.
    pub fn from_text(text: &str) -> Result<Self, WithdrawalError> {
        if text.len() > WITHDRAWAL_TEXT_BYTES_MAX {
            return Err(WithdrawalError::TooLong { got: text.len() });
        }
        let payload = text.strip_prefix(WITHDRAWAL_PREFIX).ok_or(WithdrawalError::Prefix)?;
        let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).map_err(|_| WithdrawalError::Base64)?);
        let content: Content = serde_json::from_slice(&json).map_err(|_| WithdrawalError::Json)?;
        let seed = Zeroizing::new(decode_hex::<SEED_LEN>(&content.key).map_err(|_| WithdrawalError::Json)?);
        Ok(Self { ledger_id: content.ledger_id, value: content.value, key: PayeeKey::from_seed(&seed) })
    }
}

impl fmt::Debug for Withdrawal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Withdrawal({} of payee {})", self.value, self.key.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn withdrawal() -> Withdrawal {
        let key = PayeeKey::from_seed(&[7; 32]);
        Withdrawal { ledger_id: Bytes32([1; 32]), value: Credits::new(5000).unwrap(), key }
    }

    #[test]
    fn text_round_trips_and_debug_hides_the_key() {
        let read = Withdrawal::from_text(&withdrawal().to_text()).unwrap();
        assert_eq!((read.ledger_id, read.value), (withdrawal().ledger_id, withdrawal().value));
        assert_eq!(read.key.seed(), withdrawal().key.seed());
        assert!(!format!("{read:?}").contains("0707"), "{read:?}");
    }

    #[test]
    fn one_fault_one_code() {
        let text = withdrawal().to_text().to_string();
        let extended = |json: &str| format!("{WITHDRAWAL_PREFIX}{}", URL_SAFE_NO_PAD.encode(json));
        let zeros = "00".repeat(32);
        let table = [
            (text.replace("v1.", "v2."), "withdrawal.prefix"),
            (format!("{text}{}", "A".repeat(1024)), "withdrawal.too_long"),
            (format!("{text}="), "withdrawal.base64"),
            (format!("{text} "), "withdrawal.base64"),
            (extended("{}"), "withdrawal.json"),
            (extended(&format!(r#"{{"ledger_id":"{zeros}","value":1,"key":"00"}}"#)), "withdrawal.json"),
            (extended(&format!(r#"{{"ledger_id":"{zeros}","value":1,"key":"{zeros}","more":1}}"#)), "withdrawal.json"),
        ];
        for (bad, code) in table {
            assert_eq!(Withdrawal::from_text(&bad).map(|_| ()).map_err(WithdrawalError::code), Err(code), "{bad}");
        }
    }
}
