//! Refusals, and the receipts that say that a node refused a call (ACI §7.5, protocol §5.3).
//!
//! Decides: whether a receipt says that exactly this call was answered by exactly this error, and that it cost nothing. Trusts on entry what
//! `receipts.rs` does. A node that refuses whom it does not like leaves a trace in the hands of whom it refused; one that gives no such
//! receipt, or no answer at all, leaves none. The steps are those of a served call, without a model and a price.

use std::time::Duration;

use attestation::{Event, Receipt, Sha256Digest, Transcript};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::bundle::ReceiptBundle;
use crate::exchange::{Asked, ExchangeError, expected, parse_receipt};
use crate::fetch::{NodeError, printable, refusal};
use crate::receipts::{Expected, ReceiptError, check_bytes, check_machine, is_receipt_id, step};
use crate::session::{Session, SessionError};
use crate::tab::Tab;

/// Longest wait for the receipt of a refusal.
const RECEIPT_SECS_MAX: u64 = 5;

/// A refusal, with the bytes the node sent.
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// The headers a client may act on.
    pub headers: HeaderMap,
    /// The error body.
    pub body: Bytes,
    pub(crate) asked: Asked,
    /// Whether the tab's account still holds it possible that this call was charged.
    pub(crate) may_be_charged: bool,
}

impl Refusal {
    /// The refusal as an error.
    #[must_use]
    pub fn to_error(&self) -> NodeError {
        refusal(self.status, &self.body)
    }

    /// Asks for the receipt that the node says it signed of this, which `session` and `tab` were refused; nothing where it says none, and
    /// where it has none any more. With it, the tab's account knows that the call cost nothing.
    ///
    /// # Errors
    /// When the connection breaks, it takes too long, or the receipt says something else than what was received.
    pub async fn receipt(
        &mut self,
        session: &Session,
        tab: &Tab,
        transcript: &mut Transcript,
    ) -> Result<Option<ReceiptBundle>, ExchangeError> {
        let id = self.headers.get("x-receipt-id").and_then(|id| id.to_str().ok()).filter(|id| is_receipt_id(id));
        let Some(id) = id else { return Ok(None) };
        let fetched = tokio::time::timeout(Duration::from_secs(RECEIPT_SECS_MAX), session.fetch_receipt(tab, id)).await;
        let slow = |_| NodeError::TimedOut { during: "the receipt of a refusal", limit_secs: RECEIPT_SECS_MAX };
        let bytes = match fetched.map_err(|elapsed| ExchangeError::Node(slow(elapsed)))? {
            Ok(bytes) => bytes,
            Err(SessionError::Node(NodeError::Refused { .. })) => return Ok(None),
            Err(error) => return Err(ExchangeError::Session(error)),
        };
        let receipt = parse_receipt(&bytes).map_err(ExchangeError::Receipt)?;
        if receipt.receipt_id != id {
            let (got, expected) = (printable(&receipt.receipt_id, 200), id.to_owned());
            return Err(ExchangeError::Receipt(ReceiptError::Mismatch { what: "id", got, expected }));
        }
        let expected = expected(session, tab, &self.asked, Some(Sha256Digest::of(&self.body)));
        check_refusal(&receipt, &expected, transcript).map_err(ExchangeError::Receipt)?;
        if std::mem::take(&mut self.may_be_charged) {
            tab.recovered();
        }
        Ok(Some(ReceiptBundle::new(session, tab, &receipt, &expected)))
    }
}

/// Whether a receipt is of a call that was refused: it meters and charges nothing.
#[must_use]
pub fn is_refusal(receipt: &Receipt) -> bool {
    let serves = |event: &Event| matches!(event, Event::TokensMetered { .. } | Event::CreditSpent { .. });
    !receipt.event_log.iter().any(serves)
}

/// Judges the receipt of a refusal. Every step is written to `transcript`.
///
/// # Errors
/// At the first step that fails.
pub fn check_refusal(
    receipt: &Receipt,
    expected: &Expected<'_>,
    transcript: &mut Transcript,
) -> Result<(), ReceiptError> {
    check_bytes(receipt, expected, transcript)?;
    step(transcript, "receipt.subject", check_machine(receipt, expected))?;
    let free = if is_refusal(receipt) { Ok(()) } else { Err(ReceiptError::RefusalCharged) };
    step(transcript, "receipt.refusal", free)
}

#[cfg(test)]
mod tests {
    use attestation::{GpuBinding, Hex32, Keyset, ReceiptKey, Role, UnixTime, UnsignedReceipt};
    use credits::{Bytes32, Credits, Nullifier, Offer};

    use super::*;
    use crate::receipts::Machine;

    const REQUEST: &[u8] = b"{\"messages\":[]}";
    const BODY: &[u8] = b"{\"error\":{}}";

    struct Node {
        key: ReceiptKey,
        keyset: Keyset,
        offer: Offer,
    }

    fn node() -> Node {
        let key = ReceiptKey::from_seed(&[5; 32]).unwrap();
        let keyset = Keyset {
            subject: None,
            not_after: UnixTime(2000),
            receipt_signing_keys: vec![key.entry()],
            e2ee_public_keys: Vec::new(),
            tls_public_keys: Vec::new(),
        };
        let offer = Offer {
            version: credits::offer::OFFER_VERSION.to_owned(),
            ledger_id: Bytes32([1; 32]),
            vk_digest: Bytes32([2; 32]),
            payee: Bytes32([3; 32]),
            models: Vec::new(),
            tiers: Vec::new(),
            tab_secs_max: 1,
        };
        Node { key, keyset, offer }
    }

    impl Node {
        /// A receipt of these events after those that every refusal has.
        fn receipt(&self, request: &[u8], response: &[u8], endpoint: &str, more: Option<Event>) -> Receipt {
            let events = [
                Event::RequestReceived { body_hash: Sha256Digest::of(request) },
                Event::ResponseReturned { body_hash: Sha256Digest::of(response) },
                Event::AttestationBound {
                    report_digest: Sha256Digest::of(b"report"),
                    launch_digest: "ab".to_owned(),
                    role: Role::Keyset,
                },
            ];
            let unsigned = UnsignedReceipt {
                receipt_id: "rcpt-1".to_owned(),
                chat_id: None,
                model: None,
                workload_keyset_digest: self.keyset.digest(),
                endpoint: endpoint.to_owned(),
                method: "POST".to_owned(),
                served_at: UnixTime(1000),
                event_log: events.into_iter().chain(more).collect(),
            };
            unsigned.sign(&self.key).unwrap()
        }

        fn judge(&self, receipt: &Receipt) -> Result<(), ReceiptError> {
            self.judge_of(receipt, None)
        }

        /// Of a machine with these GPUs.
        fn judge_of(&self, receipt: &Receipt, gpus: Option<GpuBinding>) -> Result<(), ReceiptError> {
            let expected = Expected {
                keyset: &self.keyset,
                machine: Some(Machine { launch_digest: "ab".to_owned(), gpus }),
                offer: &self.offer,
                price_sheet_digest: Bytes32([0; 32]),
                tab: Nullifier::from_bytes([0; 32]).unwrap(),
                reserve: Credits::new(1).unwrap(),
                method: "POST",
                endpoint: "/v1/chat/completions",
                request_digest: Sha256Digest::of(REQUEST),
                response_digest: Some(Sha256Digest::of(BODY)),
                completion_tokens_max: None,
            };
            check_refusal(receipt, &expected, &mut Transcript::default())
        }
    }

    #[test]
    fn a_receipt_of_a_refusal_is_of_this_call_and_this_error_and_free() {
        let (node, path) = (node(), "/v1/chat/completions");
        let forwarded = Event::RequestForwarded { body_hash: Sha256Digest::of(b"to the engine") };
        for more in [None, Some(forwarded)] {
            let receipt = node.receipt(REQUEST, BODY, path, more);
            assert!(node.judge(&receipt).is_ok() && is_refusal(&receipt));
        }
        let metered = Event::TokensMetered { prompt_tokens: 1, completion_tokens: 1, outcome: "complete".to_owned() };
        for (receipt, code) in [
            (node.receipt(b"another request", BODY, path, None), "receipt.request_mismatch"),
            (node.receipt(REQUEST, b"another answer", path, None), "receipt.response_mismatch"),
            (node.receipt(REQUEST, BODY, "/v1/completions", None), "receipt.mismatch"),
            (node.receipt(REQUEST, BODY, path, Some(metered)), "receipt.refusal_charged"),
            (Receipt { served_at: UnixTime(1001), ..node.receipt(REQUEST, BODY, path, None) }, "receipt.signature"),
        ] {
            assert_eq!(node.judge(&receipt).unwrap_err().code(), code);
        }
    }

    #[test]
    fn a_receipt_names_the_gpus_that_were_appraised_or_newer_evidence_of_them() {
        let (node, path) = (node(), "/v1/chat/completions");
        let of = |byte, epoch| GpuBinding { evidence_digest: Hex32([byte; 32]), epoch };
        let says = |byte, epoch| Some(Event::GpuEvidence { evidence_digest: Hex32([byte; 32]), epoch });
        for (event, appraised, code) in [
            (says(1, 4), Some(of(1, 4)), "ok"),
            (says(2, 5), Some(of(1, 4)), "ok"),
            (None, None, "ok"),
            (says(2, 4), Some(of(1, 4)), "receipt.mismatch"),
            (says(1, 3), Some(of(1, 4)), "receipt.mismatch"),
            (None, Some(of(1, 4)), "receipt.malformed"),
            // A machine whose evidence shows no GPU cannot have answered with one.
            (says(1, 4), None, "receipt.mismatch"),
        ] {
            let judged = node.judge_of(&node.receipt(REQUEST, BODY, path, event), appraised.clone());
            assert_eq!(judged.map_or_else(|error| error.code(), |()| "ok"), code, "{appraised:?}");
        }
    }
}
