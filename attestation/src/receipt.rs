//! ACI `aci/1` receipts: what was asked, what was answered, and what it cost (protocol.md §5.3).
//!
//! Decides: whether a receipt was signed by a receipt key of the given keyset, over exactly this content, with the
//! events ACI requires. Trusts the keyset: the caller got it from an appraisal. Unknown event types are kept word
//! for word, so the signature still covers them; unknown members elsewhere are refused.

mod event;

use serde::{Deserialize, Serialize};

pub use event::{Event, OtherEvent};

use crate::digest::{Sha256Digest, decode_hex};
use crate::jcs::{JcsError, to_jcs};
use crate::keyset::Keyset;
use crate::signing::ReceiptKey;
use crate::time::UnixTime;
use crate::transcript::Transcript;

/// The `api_version` of every receipt.
pub const RECEIPT_API_VERSION: &str = "aci/1";

/// The largest receipt a verifier reads.
const RECEIPT_BYTES_MAX: usize = 64 * 1024;

/// A signed receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`RECEIPT_API_VERSION`].
    pub api_version: String,
    /// Opaque id.
    pub receipt_id: String,
    /// The answer's own id, if it has one.
    pub chat_id: Option<String>,
    /// The model the client asked for.
    pub model: Option<String>,
    /// Digest of the keyset the signing key belongs to.
    pub workload_keyset_digest: Sha256Digest,
    /// Request path.
    pub endpoint: String,
    /// Request method.
    pub method: String,
    /// When the answer was finished.
    pub served_at: UnixTime,
    /// What happened, in order.
    pub event_log: Vec<Event>,
    /// The receipt key that signed.
    pub key_id: String,
    /// Ed25519 over the canonical JSON of all of the above, 128 lowercase hex characters.
    pub signature: String,
}

/// A receipt before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedReceipt {
    /// Opaque id.
    pub receipt_id: String,
    /// The answer's own id, if it has one.
    pub chat_id: Option<String>,
    /// The model the client asked for.
    pub model: Option<String>,
    /// Digest of the keyset the signing key belongs to.
    pub workload_keyset_digest: Sha256Digest,
    /// Request path.
    pub endpoint: String,
    /// Request method.
    pub method: String,
    /// When the answer was finished.
    pub served_at: UnixTime,
    /// What happened, in order.
    pub event_log: Vec<Event>,
}

/// Why a receipt was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptRejection {
    /// Not the JSON of an ACI receipt.
    #[error("the receipt is malformed: {detail}")]
    Malformed {
        /// What the parser said.
        detail: String,
    },
    /// Another protocol version.
    #[error("receipt version {got:?} is not supported")]
    ApiVersion {
        /// The version found.
        got: String,
    },
    /// The receipt belongs to another keyset.
    #[error("the receipt is for keyset {got}, expected {expected}")]
    KeysetMismatch {
        /// Digest in the receipt.
        got: Sha256Digest,
        /// Digest of the keyset at hand.
        expected: Sha256Digest,
    },
    /// The keyset has no such receipt key.
    #[error("receipt key {key_id:?} is not in the keyset")]
    KeyUnknown {
        /// The id the receipt names.
        key_id: String,
    },
    /// The receipt says it was served after its keyset expired.
    #[error("served at {served_at}, after the keyset expired at {not_after}")]
    ServedAfterKeyset {
        /// Time in the receipt.
        served_at: UnixTime,
        /// End of the keyset.
        not_after: UnixTime,
    },
    /// The signature does not verify.
    #[error("the receipt's signature does not verify")]
    Signature,
    /// The first event is not `request.received`.
    #[error("the first event is not request.received")]
    EventOrder,
    /// An event that must be there is missing.
    #[error("the receipt has no {kind} event")]
    EventMissing {
        /// The event type.
        kind: &'static str,
    },
    /// An event that may occur once occurs again, so its meaning is ambiguous.
    #[error("the receipt has more than one {kind} event")]
    EventRepeated {
        /// The event type.
        kind: &'static str,
    },
    /// The request hashed is not the one that was sent.
    #[error("the receipt is for a request with digest {got}, not {expected}")]
    RequestMismatch {
        /// Digest in the receipt.
        got: Sha256Digest,
        /// Digest of what was sent.
        expected: Sha256Digest,
    },
    /// The response hashed is not the one that arrived.
    #[error("the receipt is for a response with digest {got}, not {expected}")]
    ResponseMismatch {
        /// Digest in the receipt.
        got: Sha256Digest,
        /// Digest of what arrived.
        expected: Sha256Digest,
    },
}

impl ReceiptRejection {
    /// Every code there is.
    pub const CODES: &'static [&'static str] = &[
        "receipt.malformed",
        "receipt.version",
        "receipt.keyset_mismatch",
        "receipt.key_unknown",
        "receipt.served_after_keyset",
        "receipt.signature",
        "receipt.event_order",
        "receipt.event_missing",
        "receipt.event_repeated",
        "receipt.request_mismatch",
        "receipt.response_mismatch",
    ];

    /// Stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "receipt.malformed",
            Self::ApiVersion { .. } => "receipt.version",
            Self::KeysetMismatch { .. } => "receipt.keyset_mismatch",
            Self::KeyUnknown { .. } => "receipt.key_unknown",
            Self::ServedAfterKeyset { .. } => "receipt.served_after_keyset",
            Self::Signature => "receipt.signature",
            Self::EventOrder => "receipt.event_order",
            Self::EventMissing { .. } => "receipt.event_missing",
            Self::EventRepeated { .. } => "receipt.event_repeated",
            Self::RequestMismatch { .. } => "receipt.request_mismatch",
            Self::ResponseMismatch { .. } => "receipt.response_mismatch",
        }
    }
}

impl UnsignedReceipt {
    /// Sign with `key`.
    ///
    /// # Errors
    /// When an event holds a number that has no canonical form.
    pub fn sign(self, key: &ReceiptKey) -> Result<Receipt, JcsError> {
        let mut receipt = Receipt {
            api_version: RECEIPT_API_VERSION.to_owned(),
            receipt_id: self.receipt_id,
            chat_id: self.chat_id,
            model: self.model,
            workload_keyset_digest: self.workload_keyset_digest,
            endpoint: self.endpoint,
            method: self.method,
            served_at: self.served_at,
            event_log: self.event_log,
            key_id: key.key_id().to_owned(),
            signature: String::new(),
        };
        receipt.signature = hex::encode(key.sign(&receipt.signing_input()?));
        Ok(receipt)
    }
}

impl Receipt {
    /// Parse a receipt.
    ///
    /// # Errors
    /// `receipt.malformed`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReceiptRejection> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(ReceiptRejection::Malformed { detail: format!("{} bytes are too many", bytes.len()) });
        }
        serde_json::from_slice(bytes).map_err(|error| ReceiptRejection::Malformed { detail: error.to_string() })
    }

    /// The receipt as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("invariant: a receipt holds only JSON values")
    }

    /// SHA-256 of the canonical JSON, the signature included: what a log holds of it (protocol.md §6.1).
    ///
    /// # Errors
    /// When an event holds a number that has no canonical form.
    pub fn digest(&self) -> Result<Sha256Digest, JcsError> {
        Ok(Sha256Digest::of(&to_jcs(self)?))
    }

    /// Verify that a receipt key of `keyset` signed this receipt and that it has the events ACI requires.
    ///
    /// # Errors
    /// See [`ReceiptRejection`].
    pub fn verify(&self, keyset: &Keyset, transcript: &mut Transcript) -> Result<(), ReceiptRejection> {
        transcript.check("receipt.version", self.require_version(), |()| self.api_version.clone())?;
        transcript
            .check("receipt.keyset", self.require_keyset(keyset), |()| self.workload_keyset_digest.to_string())?;
        transcript.check("receipt.signature", self.verify_signature(keyset), |()| format!("key {}", self.key_id))?;
        transcript.check("receipt.events", self.require_events(), |()| format!("{} events", self.event_log.len()))
    }

    /// Check that the receipt is for the request body with this digest.
    ///
    /// # Errors
    /// `receipt.request_mismatch`, `receipt.event_missing`.
    pub fn check_request_body(&self, expected: Sha256Digest) -> Result<(), ReceiptRejection> {
        let received = self.event_log.iter().find_map(|event| match event {
            Event::RequestReceived { body_hash } => Some(*body_hash),
            _ => None,
        });
        let got = received.ok_or(ReceiptRejection::EventMissing { kind: event::REQUEST_RECEIVED })?;
        if got == expected { Ok(()) } else { Err(ReceiptRejection::RequestMismatch { got, expected }) }
    }

    /// Check that the receipt is for the response body with this digest.
    ///
    /// # Errors
    /// `receipt.response_mismatch`, `receipt.event_missing`.
    pub fn check_response_body(&self, expected: Sha256Digest) -> Result<(), ReceiptRejection> {
        let returned = self.event_log.iter().find_map(|event| match event {
            Event::ResponseReturned { body_hash } => Some(*body_hash),
            _ => None,
        });
        let got = returned.ok_or(ReceiptRejection::EventMissing { kind: event::RESPONSE_RETURNED })?;
        if got == expected { Ok(()) } else { Err(ReceiptRejection::ResponseMismatch { got, expected }) }
    }

    /// What the request cost, when the receipt says so.
    #[must_use]
    pub fn cost(&self) -> Option<u64> {
        self.event_log.iter().find_map(|event| match event {
            Event::CreditSpent { cost, .. } => Some(*cost),
            _ => None,
        })
    }

    /// The canonical JSON of everything but the signature (ACI §7.2).
    fn signing_input(&self) -> Result<Vec<u8>, JcsError> {
        let mut value = serde_json::to_value(self).map_err(JcsError::Serialize)?;
        if let Some(members) = value.as_object_mut() {
            members.remove("signature");
        }
        to_jcs(&value)
    }

    fn require_version(&self) -> Result<(), ReceiptRejection> {
        if self.api_version == RECEIPT_API_VERSION {
            return Ok(());
        }
        Err(ReceiptRejection::ApiVersion { got: self.api_version.clone() })
    }

    fn require_keyset(&self, keyset: &Keyset) -> Result<(), ReceiptRejection> {
        let expected = keyset.digest();
        if self.workload_keyset_digest != expected {
            return Err(ReceiptRejection::KeysetMismatch { got: self.workload_keyset_digest, expected });
        }
        if self.served_at > keyset.not_after {
            let (served_at, not_after) = (self.served_at, keyset.not_after);
            return Err(ReceiptRejection::ServedAfterKeyset { served_at, not_after });
        }
        Ok(())
    }

    fn verify_signature(&self, keyset: &Keyset) -> Result<(), ReceiptRejection> {
        let key = keyset
            .receipt_key(&self.key_id)
            .ok_or_else(|| ReceiptRejection::KeyUnknown { key_id: self.key_id.clone() })?;
        let malformed = |detail: String| ReceiptRejection::Malformed { detail };
        let signature = decode_hex(&self.signature).map_err(|error| malformed(format!("signature: {error}")))?;
        let message = self.signing_input().map_err(|error| malformed(error.to_string()))?;
        key.verify(&message, &signature).map_err(|_| ReceiptRejection::Signature)
    }

    /// ACI §7.3: `request.received` comes first; §7.4: `response.returned` is required. Each type we know says one
    /// thing once, or "what did it cost" would have two answers.
    fn require_events(&self) -> Result<(), ReceiptRejection> {
        if !matches!(self.event_log.first(), Some(Event::RequestReceived { .. })) {
            return Err(ReceiptRejection::EventOrder);
        }
        for kind in event::KNOWN_TYPES {
            if self.event_log.iter().filter(|event| event.known_type() == Some(kind)).count() > 1 {
                return Err(ReceiptRejection::EventRepeated { kind });
            }
        }
        if !self.event_log.iter().any(|event| matches!(event, Event::ResponseReturned { .. })) {
            return Err(ReceiptRejection::EventMissing { kind: event::RESPONSE_RETURNED });
        }
        Ok(())
    }
}
