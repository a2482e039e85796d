//! The events of a receipt: ACI's, ours, and other people's.
//!
//! Decides: the exact form of the event types we know. A known type with a missing, extra or ill-typed member is
//! refused; an unknown type is carried word for word.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::digest::{Hex32, Sha256Digest};
use crate::report_data::Role;

pub(super) const REQUEST_RECEIVED: &str = "request.received";
pub(super) const REQUEST_FORWARDED: &str = "request.forwarded";
pub(super) const RESPONSE_RETURNED: &str = "response.returned";
pub(super) const ATTESTATION_BOUND: &str = "attestation.bound";
pub(super) const GPU_EVIDENCE: &str = "gpu.evidence";
pub(super) const MODEL_WEIGHTS: &str = "model.weights";
pub(super) const TOKENS_METERED: &str = "tokens.metered";
pub(super) const CREDIT_SPENT: &str = "credit.spent";

/// The types [`Event`] has a variant for.
pub(super) const KNOWN_TYPES: [&str; 8] = [
    REQUEST_RECEIVED,
    REQUEST_FORWARDED,
    RESPONSE_RETURNED,
    ATTESTATION_BOUND,
    GPU_EVIDENCE,
    MODEL_WEIGHTS,
    TOKENS_METERED,
    CREDIT_SPENT,
];

/// One event of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", tag = "type", deny_unknown_fields)]
pub enum Event {
    /// The request body that was processed.
    #[serde(rename = "request.received")]
    RequestReceived {
        /// Digest of the body.
        body_hash: Sha256Digest,
    },
    /// The bytes given to the model, after any rewriting.
    #[serde(rename = "request.forwarded")]
    RequestForwarded {
        /// Digest of the bytes.
        body_hash: Sha256Digest,
    },
    /// The response body as it went over the wire, framing included.
    #[serde(rename = "response.returned")]
    ResponseReturned {
        /// Digest of the body.
        body_hash: Sha256Digest,
    },
    /// The boot report that binds the keyset.
    #[serde(rename = "attestation.bound")]
    AttestationBound {
        /// SHA-256 of the report.
        report_digest: Sha256Digest,
        /// Launch digest in it, hex.
        launch_digest: String,
        /// Role of the report; `keyset`.
        role: Role,
    },
    /// The GPUs that answered, by the evidence that was the newest when they did. A node without GPUs has no such event.
    #[serde(rename = "gpu.evidence")]
    GpuEvidence {
        /// What REPORT_DATA names that evidence by ([`crate::GpuSection::binding`]).
        evidence_digest: Hex32,
        /// Counts how often the evidence was renewed.
        epoch: u64,
    },
    /// The weights that answered.
    #[serde(rename = "model.weights")]
    ModelWeights {
        /// Name of the model.
        model: String,
        /// SHA-256 of the weights.
        weights: Sha256Digest,
    },
    /// What was metered.
    #[serde(rename = "tokens.metered")]
    TokensMetered {
        /// Tokens read.
        prompt_tokens: u64,
        /// Tokens written.
        completion_tokens: u64,
        /// `complete`, `length`, `client_abort` or `upstream_error`.
        outcome: String,
    },
    /// What was charged.
    #[serde(rename = "credit.spent")]
    CreditSpent {
        /// The ledger charged.
        ledger_id: Hex32,
        /// The spend, which is also the tab's id.
        nullifier: Hex32,
        /// Cost of this request.
        cost: u64,
        /// Cost of all requests of the tab so far.
        running_total: u64,
        /// What the tab may cost at most.
        reserve: u64,
        /// Digest of the price sheet applied.
        price_sheet_digest: Hex32,
    },
    /// An event of a type that is not ours.
    #[serde(skip)]
    Other(OtherEvent),
}

/// An event of a type we do not know, as it was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OtherEvent(Map<String, Value>);

impl OtherEvent {
    /// The event's type.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    /// The event's members.
    #[must_use]
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl Event {
    /// The type, when it is one we know.
    pub(super) fn known_type(&self) -> Option<&'static str> {
        match self {
            Self::RequestReceived { .. } => Some(REQUEST_RECEIVED),
            Self::RequestForwarded { .. } => Some(REQUEST_FORWARDED),
            Self::ResponseReturned { .. } => Some(RESPONSE_RETURNED),
            Self::AttestationBound { .. } => Some(ATTESTATION_BOUND),
            Self::GpuEvidence { .. } => Some(GPU_EVIDENCE),
            Self::ModelWeights { .. } => Some(MODEL_WEIGHTS),
            Self::TokensMetered { .. } => Some(TOKENS_METERED),
            Self::CreditSpent { .. } => Some(CREDIT_SPENT),
            Self::Other(_) => None,
        }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Other(other) => other.serialize(serializer),
            known => Self::serialize(known, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Map::<String, Value>::deserialize(deserializer)?;
        let kind = members.get("type").and_then(Value::as_str).ok_or_else(|| D::Error::missing_field("type"))?;
        if KNOWN_TYPES.contains(&kind) {
            Self::deserialize(Value::Object(members)).map_err(D::Error::custom)
        } else {
            Ok(Self::Other(OtherEvent(members)))
        }
    }
}
