//! Receipts: what was asked, forwarded, answered, metered and charged, hashed here from the bytes this process saw.

use std::sync::Arc;

use attestation::{Event, GpuBinding, Receipt, Role, Sha256Digest, UnsignedReceipt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credits::Credits;

use crate::calls;
use crate::endpoint::Endpoint;
use crate::state::Guardian;
use crate::tabs::{FinishedCall, Hold, Tab};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The engine finished.
    Complete,
    /// The client left; it is charged for what was sent.
    ClientAbort,
    /// The engine failed; nothing is charged.
    UpstreamError,
    /// The tab reached its end; what was sent is charged.
    TabExpired,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientAbort => "client_abort",
            Self::UpstreamError => "upstream_error",
            Self::TabExpired => "tab_expired",
        }
    }
}

/// What is known of a call before it is forwarded.
#[derive(Debug, Clone)]
pub struct CallFacts {
    /// `rcpt-…`
    pub receipt_id: String,
    /// Where it came in.
    pub endpoint: Endpoint,
    /// `chatcmpl-…`, `cmpl-…` or `resp_…`
    pub chat_id: String,
    /// The model asked for.
    pub model: String,
    /// Digest of the request body as received.
    pub request: Sha256Digest,
    /// Digest of the bytes sent to the engine.
    pub forwarded: Sha256Digest,
}

/// What was metered.
#[derive(Debug, Clone, Copy)]
pub struct Metered {
    /// Prompt tokens.
    pub prompt_tokens: u64,
    /// Completion tokens.
    pub completion_tokens: u64,
    /// Their price.
    pub cost: Credits,
}

/// Charges a finished call, signs its receipt and keeps it. Returns the receipt, the tab's running total, and the handle
/// under which the answer may be held for repeats.
pub fn finish(
    guardian: &Guardian,
    hold: Hold,
    facts: &CallFacts,
    outcome: Outcome,
    metered: Metered,
    response: Sha256Digest,
) -> Result<(Arc<Receipt>, Credits, FinishedCall), attestation::JcsError> {
    let tab = Arc::clone(hold.tab());
    let served_at = guardian.clock.now();
    let (running_total, finished) = hold.charge(metered.cost, &facts.receipt_id);
    guardian.work.metrics.call(facts.endpoint, outcome, &metered);
    let keys = &guardian.keys;
    let receipt = UnsignedReceipt {
        receipt_id: facts.receipt_id.clone(),
        chat_id: Some(facts.chat_id.clone()),
        model: Some(facts.model.clone()),
        workload_keyset_digest: keys.keyset_digest,
        endpoint: facts.endpoint.path().to_owned(),
        method: "POST".to_owned(),
        served_at,
        event_log: [
            Event::RequestReceived { body_hash: facts.request },
            Event::RequestForwarded { body_hash: facts.forwarded },
            Event::ResponseReturned { body_hash: response },
        ]
        .into_iter()
        .chain(machine(guardian))
        .chain([
            Event::ModelWeights { model: facts.model.clone(), weights: guardian.config.engine.weights },
            Event::TokensMetered {
                prompt_tokens: metered.prompt_tokens,
                completion_tokens: metered.completion_tokens,
                outcome: outcome.as_str().to_owned(),
            },
            Event::CreditSpent {
                ledger_id: attestation::Hex32(guardian.config.ledger.ledger_id.0),
                nullifier: attestation::Hex32(*tab.id.as_bytes()),
                cost: metered.cost.get(),
                running_total: running_total.get(),
                reserve: tab.reserve.get(),
                price_sheet_digest: attestation::Hex32(guardian.price_sheet_digest.0),
            },
        ])
        .collect(),
    }
    .sign(&keys.receipt)?;
    if let Some(log) = &guardian.receipt_log {
        log.append(receipt.digest()?);
    }
    let receipt = Arc::new(receipt);
    guardian.work.receipts.keep(tab.id, tab.tab_key, Arc::clone(&receipt));
    Ok((receipt, running_total, finished))
}

/// A call that was refused, or failed before there was an answer.
#[derive(Debug, Clone, Copy)]
pub struct Refused {
    /// Where it came in.
    pub endpoint: Endpoint,
    /// Digest of the request body as received.
    pub request: Sha256Digest,
    /// Digest of the bytes sent to the engine, if it came to that.
    pub forwarded: Option<Sha256Digest>,
}

/// Signs that a call of a tab was answered by this error, at no charge, and keeps that (ACI §7.5). A node that refuses whom it does not
/// like leaves a trace.
pub fn refusal(guardian: &Guardian, tab: &Tab, refused: Refused, response: Sha256Digest) -> Option<Arc<Receipt>> {
    let received = Event::RequestReceived { body_hash: refused.request };
    let forwarded = refused.forwarded.map(|body_hash| Event::RequestForwarded { body_hash });
    let returned = Event::ResponseReturned { body_hash: response };
    let receipt = UnsignedReceipt {
        receipt_id: calls::fresh_id("rcpt-").ok()?,
        chat_id: None,
        model: None,
        workload_keyset_digest: guardian.keys.keyset_digest,
        endpoint: refused.endpoint.path().to_owned(),
        method: "POST".to_owned(),
        served_at: guardian.clock.now(),
        event_log: [received].into_iter().chain(forwarded).chain([returned]).chain(machine(guardian)).collect(),
    };
    let receipt = Arc::new(receipt.sign(&guardian.keys.receipt).ok()?);
    guardian.work.refusals.keep(tab.id, tab.tab_key, Arc::clone(&receipt));
    Some(receipt)
}

/// What answered: the machine, and its GPUs if it has any.
fn machine(guardian: &Guardian) -> impl Iterator<Item = Event> {
    let bound = Event::AttestationBound {
        report_digest: guardian.boot_report_digest(),
        launch_digest: guardian.launch_digest.clone(),
        role: Role::Keyset,
    };
    let gpus = guardian.gpus.as_ref().map(|gpus| gpus.binding());
    let gpus = gpus.map(|GpuBinding { evidence_digest, epoch }| Event::GpuEvidence { evidence_digest, epoch });
    [bound].into_iter().chain(gpus)
}

/// The value of the `cloister-receipt` trailer.
#[must_use]
pub fn trailer_value(receipt: &Receipt) -> Option<http::HeaderValue> {
    let json = serde_json::to_vec(receipt).ok()?;
    http::HeaderValue::from_str(&STANDARD.encode(json)).ok()
}
