//! Receipts: what one must say about the exchange it came with.
//!
//! Decides: whether a receipt is about exactly what this side sent and received, names the model that was offered, charges the
//! price that was offered, and is signed by a key of the keyset that was attested. Trusts on entry: the appraised keyset and
//! the offer it signed, and this side's own digests. Holds on exit: a [`CheckedReceipt`]. The same code judges live receipts
//! and stored ones. Steps:
//!
//! 1. signature, key, keyset and order of events (the `attestation` crate);
//! 2. request and response bytes;
//! 3. endpoint, machine, model;
//! 4. tab, price sheet, cost.

use std::cmp::Ordering;

use attestation::{
    Appraisal, AttestationDocument, Event, GpuBinding, GpuSection, Keyset, Receipt, ReceiptRejection, Role,
    Sha256Digest, Transcript,
};
use credits::offer::{ModelOffer, Offer};
use credits::{Bytes32, Credits, Nullifier};

use crate::error::chain;
use crate::fetch::printable;

/// What the exchange was, as this side knows it.
pub struct Expected<'a> {
    /// The attested keyset.
    pub keyset: &'a Keyset,
    /// What was appraised; absent when nothing was.
    pub machine: Option<Machine>,
    /// The offer, its signature verified under the keyset.
    pub offer: &'a Offer,
    /// SHA-256 of the JCS form of that offer.
    pub price_sheet_digest: Bytes32,
    /// The tab that pays.
    pub tab: Nullifier,
    /// The tab's reserve.
    pub reserve: Credits,
    /// Method of the request.
    pub method: &'a str,
    /// Path of the request.
    pub endpoint: &'a str,
    /// Digest of the request body as sent.
    pub request_digest: Sha256Digest,
    /// Digest of the response body as received; absent when this side gave up before the end.
    pub response_digest: Option<Sha256Digest>,
    /// The most completion tokens the request allowed, when it said so.
    pub completion_tokens_max: Option<u64>,
}

/// The machine that was appraised.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its launch digest, hex.
    pub launch_digest: String,
    /// Its GPUs' evidence, if it has any.
    pub gpus: Option<GpuBinding>,
}

impl Machine {
    /// The machine of an appraised document.
    #[must_use]
    pub fn of(appraisal: &Appraisal, document: &AttestationDocument) -> Self {
        Self { launch_digest: appraisal.launch_digest(), gpus: document.gpu.as_ref().map(GpuSection::binding) }
    }
}

/// A receipt that says what happened.
#[derive(Debug, Clone)]
pub struct CheckedReceipt {
    /// The receipt.
    pub receipt: Receipt,
    /// Tokens and money it states.
    pub usage: Usage,
}

/// The metered and charged part of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The model that answered.
    pub model: String,
    /// Prompt tokens.
    pub prompt_tokens: u64,
    /// Completion tokens.
    pub completion_tokens: u64,
    /// `complete`, `length`, `client_abort` or `upstream_error`.
    pub outcome: String,
    /// What this request cost.
    pub cost: Credits,
    /// What the tab was charged so far.
    pub running_total: Credits,
}

/// Why a receipt or settlement does not account for what happened. The node is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Signature, key, keyset, order of events, or a digest of the bytes exchanged.
    #[error("the receipt does not verify")]
    Rejected(#[source] ReceiptRejection),
    /// There is no receipt.
    #[error("the answer came without a receipt")]
    Missing,
    /// The receipt is not readable.
    #[error("the receipt is malformed: {detail}")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
    /// An event that must be there once is not.
    #[error("the receipt has no usable {event} event")]
    Event {
        /// Type of the event.
        event: &'static str,
    },
    /// The receipt is about something else.
    #[error("the receipt says {what} {got:?}, expected {expected:?}")]
    Mismatch {
        /// Which statement.
        what: &'static str,
        /// What it says.
        got: String,
        /// What this side knows.
        expected: String,
    },
    /// The cost is above the offered price.
    #[error("the receipt charges {got} credits, the offer says {expected}")]
    Cost {
        /// What is charged.
        got: Credits,
        /// The price.
        expected: Credits,
    },
    /// More tokens than the request allowed.
    #[error("the receipt meters {got} completion tokens, the request allowed {allowed}")]
    Tokens {
        /// What is metered.
        got: u64,
        /// What was allowed.
        allowed: u64,
    },
    /// The running total is impossible.
    #[error("a running total of {got} with a cost of {cost} does not fit a reserve of {reserve}")]
    RunningTotal {
        /// The running total.
        got: Credits,
        /// The cost.
        cost: Credits,
        /// The reserve.
        reserve: Credits,
    },
    /// Two receipts charge the same credits.
    #[error("receipt {receipt_id} charges {cost} credits up to {running_total}, which another receipt already did")]
    Overlap {
        /// The later receipt.
        receipt_id: String,
        /// Its running total.
        running_total: Credits,
        /// Its cost.
        cost: Credits,
    },
    /// What says that a call was refused charges for it.
    #[error("the receipt of a refusal meters or charges")]
    RefusalCharged,
    /// The settlement does not agree with the receipts.
    #[error("the settlement is wrong: {what}")]
    Settlement {
        /// What is wrong.
        what: &'static str,
    },
}

impl ReceiptError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.code(),
            Self::Missing => "receipt.missing",
            Self::RefusalCharged => "receipt.refusal_charged",
            Self::Malformed { .. } | Self::Event { .. } => "receipt.malformed",
            Self::Mismatch { .. } => "receipt.mismatch",
            Self::Cost { .. } => "receipt.cost",
            Self::Tokens { .. } => "receipt.tokens",
            Self::RunningTotal { .. } | Self::Overlap { .. } => "receipt.running_total",
            Self::Settlement { .. } => "settlement.mismatch",
        }
    }
}

/// Judges a receipt. Every step is written to `transcript`.
///
/// # Errors
/// At the first step that fails.
pub fn check_receipt(
    receipt: Receipt,
    expected: &Expected<'_>,
    transcript: &mut Transcript,
) -> Result<CheckedReceipt, ReceiptError> {
    check_bytes(&receipt, expected, transcript)?;
    // 3. Endpoint, machine, model.
    let subject = check_subject(&receipt, expected);
    let model = step(transcript, "receipt.subject", subject)?;
    // 4. Tab, price sheet, cost.
    let usage = check_usage(&receipt, expected, model);
    let usage = step(transcript, "receipt.cost", usage)?;
    Ok(CheckedReceipt { receipt, usage })
}

/// Steps 1 and 2, which receipts of refusals have too.
pub(crate) fn check_bytes(
    receipt: &Receipt,
    expected: &Expected<'_>,
    transcript: &mut Transcript,
) -> Result<(), ReceiptError> {
    // 1. Signature, key, keyset, order of events.
    receipt.verify(expected.keyset, transcript).map_err(ReceiptError::Rejected)?;
    // 2. The bytes this side sent and received.
    step(
        transcript,
        "receipt.request",
        receipt.check_request_body(expected.request_digest).map_err(ReceiptError::Rejected),
    )?;
    match expected.response_digest {
        Some(digest) => {
            step(transcript, "receipt.response", receipt.check_response_body(digest).map_err(ReceiptError::Rejected))?;
        }
        None => transcript.skip("receipt.response", "the answer was not received to its end"),
    }
    Ok(())
}

/// Of step 3 what receipts of refusals have too: endpoint and machine.
pub(crate) fn check_machine(receipt: &Receipt, expected: &Expected<'_>) -> Result<(), ReceiptError> {
    if !is_receipt_id(&receipt.receipt_id) {
        return Err(ReceiptError::Malformed { detail: "its id is not made of letters, digits, - and _".to_owned() });
    }
    equal("method", &receipt.method, expected.method)?;
    equal("endpoint", &receipt.endpoint, expected.endpoint)?;
    let launch_digest = one(receipt, "attestation.bound", |event| match event {
        Event::AttestationBound { launch_digest, role: Role::Keyset, .. } => Some(launch_digest.clone()),
        _ => None,
    })?;
    let Some(machine) = &expected.machine else { return Ok(()) };
    equal("launch digest", &launch_digest, &machine.launch_digest)?;
    check_gpus(receipt, machine.gpus.as_ref())
}

/// Evidence is renewed while a node runs, never taken back.
fn check_gpus(receipt: &Receipt, appraised: Option<&GpuBinding>) -> Result<(), ReceiptError> {
    let Some(appraised) = appraised else {
        let named = receipt.event_log.iter().any(|event| matches!(event, Event::GpuEvidence { .. }));
        return equal("GPU evidence", if named { "some" } else { "none" }, "none");
    };
    let (evidence_digest, epoch) = one(receipt, "gpu.evidence", |event| match event {
        Event::GpuEvidence { evidence_digest, epoch } => Some((*evidence_digest, *epoch)),
        _ => None,
    })?;
    match epoch.cmp(&appraised.epoch) {
        Ordering::Greater => Ok(()),
        Ordering::Equal => equal("GPU evidence", &evidence_digest.to_string(), &appraised.evidence_digest.to_string()),
        Ordering::Less => equal("epoch of GPU evidence", &epoch.to_string(), &appraised.epoch.to_string()),
    }
}

fn check_subject<'a>(receipt: &Receipt, expected: &Expected<'a>) -> Result<&'a ModelOffer, ReceiptError> {
    check_machine(receipt, expected)?;
    let (model, weights) = one(receipt, "model.weights", |event| match event {
        Event::ModelWeights { model, weights } => Some((model.clone(), weights.to_string())),
        _ => None,
    })?;
    let offered = expected.offer.model(&model).ok_or_else(|| ReceiptError::Mismatch {
        what: "model",
        got: model.clone(),
        expected: "a model of the offer".to_owned(),
    })?;
    equal("weights", &weights, &offered.weights_digest)?;
    if let Some(named) = &receipt.model {
        equal("model", named, &model)?;
    }
    Ok(offered)
}

fn check_usage(receipt: &Receipt, expected: &Expected<'_>, model: &ModelOffer) -> Result<Usage, ReceiptError> {
    let (prompt_tokens, completion_tokens, outcome) = one(receipt, "tokens.metered", |event| match event {
        Event::TokensMetered { prompt_tokens, completion_tokens, outcome } => {
            Some((*prompt_tokens, *completion_tokens, outcome.clone()))
        }
        _ => None,
    })?;
    let spent = one(receipt, "credit.spent", |event| match event {
        Event::CreditSpent { ledger_id, nullifier, cost, running_total, reserve, price_sheet_digest } => Some((
            [ledger_id.to_string(), nullifier.to_string(), price_sheet_digest.to_string()],
            [*cost, *running_total, *reserve],
        )),
        _ => None,
    })?;
    let ([ledger_id, nullifier, price_sheet_digest], [cost, running_total, reserve]) = spent;
    equal("ledger", &ledger_id, &expected.offer.ledger_id.to_string())?;
    equal("tab", &nullifier, &expected.tab.to_string())?;
    equal("price sheet", &price_sheet_digest, &expected.price_sheet_digest.to_string())?;
    equal("reserve", &reserve.to_string(), &expected.reserve.to_string())?;
    let [cost, running_total] = [credits(cost)?, credits(running_total)?];
    if let Some(allowed) = expected.completion_tokens_max.filter(|allowed| completion_tokens > *allowed) {
        return Err(ReceiptError::Tokens { got: completion_tokens, allowed });
    }
    // Below the price is allowed: a request is never charged above what was reserved for it (protocol.md §5.1).
    let price = model.cost(prompt_tokens, completion_tokens).unwrap_or(Credits::MAX);
    if cost > price {
        return Err(ReceiptError::Cost { got: cost, expected: price });
    }
    if cost > running_total || running_total > expected.reserve {
        return Err(ReceiptError::RunningTotal { got: running_total, cost, reserve: expected.reserve });
    }
    Ok(Usage { model: model.id.clone(), prompt_tokens, completion_tokens, outcome, cost, running_total })
}

/// A receipt's id becomes part of a path and of a file name.
pub(crate) fn is_receipt_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// The one event of a kind; none or several is a malformed receipt.
fn one<T>(receipt: &Receipt, event: &'static str, pick: impl Fn(&Event) -> Option<T>) -> Result<T, ReceiptError> {
    let mut found = receipt.event_log.iter().filter_map(pick);
    match (found.next(), found.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(ReceiptError::Event { event }),
    }
}

fn equal(what: &'static str, got: &str, expected: &str) -> Result<(), ReceiptError> {
    if got == expected {
        return Ok(());
    }
    Err(ReceiptError::Mismatch { what, got: printable(got, 200), expected: expected.to_owned() })
}

fn credits(number: u64) -> Result<Credits, ReceiptError> {
    Credits::new(number).map_err(|error| ReceiptError::Malformed { detail: error.to_string() })
}

pub(crate) fn step<T>(
    transcript: &mut Transcript,
    id: &'static str,
    result: Result<T, ReceiptError>,
) -> Result<T, ReceiptError> {
    match &result {
        Ok(_) => transcript.pass(id, pass_detail(id)),
        Err(error) => transcript.fail(id, chain(error)),
    }
    result
}

fn pass_detail(id: &'static str) -> &'static str {
    match id {
        "receipt.request" => "covers the request bytes as sent",
        "receipt.response" => "covers the response bytes as received",
        "receipt.refusal" => "says that the call was refused, and charges nothing",
        "receipt.subject" => "names the attested machine and the offered model and weights",
        _ => "charges no more than the offered price",
    }
}
