//! A receipt with everything needed to judge it again, offline, years later.
//!
//! Decides: what a stored receipt proves. Trusts on entry: nothing in the file. What each step proves, and to whom:
//!
//! 1. The attestation document's evidence is appraised under the roots and policy *the reader* names, at the time the reader
//!    names. Without them the step is a SKIP, and nothing ties the keyset to a machine.
//! 2. REPORT_DATA is recomputed from the stored nonce, exporter and leaf key. This proves that the hardware signed a report over
//!    this keyset for a connection with that nonce and exporter. That the connection was the holder's own is known only to the
//!    holder: the exporter cannot be recomputed offline.
//! 3. The offer and the receipt are signed by keys of that keyset, the cost is the offer's price.
//! 4. The receipt covers the request and response whose digests are stored. The bytes themselves are not kept; with
//!    `--request-body` and `--response-body` they can be given and are then compared with the receipt.
//! 5. The receipt stands in the node's log, under a head that was cosigned by witnesses the reader names (`logged.rs`).

use std::path::Path;

use attestation::{
    AssuranceClass, AttestationDocument, ChannelView, Exporter, Hex32, Nonce, Receipt, Rejection, Sha256Digest, Signed,
    SignedError, Transcript, UnixTime,
};
use credits::offer::{OFFER_VERSION, Offer};
use credits::{Bytes32, Credits, Nullifier};
use serde::{Deserialize, Serialize};
use tlog::LogFault;

use crate::files::{FileError, write_private};
use crate::receipts::{CheckedReceipt, Expected, Machine, ReceiptError, check_receipt};
use crate::refusals::{check_refusal, is_refusal};
use crate::session::Session;
use crate::tab::Tab;
use crate::verify::{Trust, appraise_document};

/// Value of [`ReceiptBundle::version`].
pub const BUNDLE_VERSION: &str = "cloister/receipt-bundle/v1";
/// Longest bundle that is read.
pub const BUNDLE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A receipt and its context, as stored in `receipts/<id>.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptBundle {
    /// [`BUNDLE_VERSION`].
    pub version: String,
    /// The receipt.
    pub receipt: Receipt,
    /// The exchange as the holder saw it.
    pub exchange: StoredExchange,
    /// The tab that paid.
    pub tab: StoredTab,
    /// The offer in force.
    pub offer: Signed<Offer>,
    /// The document the node was appraised by; it contains the keyset.
    pub attestation: AttestationDocument,
    /// The holder's view of the channel.
    pub channel: StoredChannel,
    /// What the holder decided then.
    pub appraisal: StoredAppraisal,
    /// That the receipt stands in the node's log (C2SP tlog-proof), if the node keeps one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_proof: Option<String>,
}

/// The exchange as the holder saw it. Digests only: no prompt, no answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredExchange {
    /// Method.
    pub method: String,
    /// Path.
    pub endpoint: String,
    /// Digest of the request body as sent.
    pub request_digest: Sha256Digest,
    /// Digest of the response body as received; absent when reading was given up.
    pub response_digest: Option<Sha256Digest>,
    /// The completion tokens the request allowed, when it said so.
    pub completion_tokens_max: Option<u64>,
}

/// The tab that paid.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredTab {
    /// Its id.
    pub id: Nullifier,
    /// Its reserve.
    pub reserve: Credits,
}

/// The holder's view of the channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredChannel {
    /// The nonce the holder drew.
    pub nonce: Nonce,
    /// The exporter of the holder's connection. It identifies the connection and opens nothing.
    pub exporter: Exporter,
    /// The leaf key the holder saw.
    pub leaf_spki_sha256: Hex32,
}

/// What the holder decided then. Information only: a reader decides again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredAppraisal {
    /// When.
    pub at: UnixTime,
    /// Assurance class.
    pub assurance: String,
    /// Name of the policy.
    pub policy: String,
}

/// Why a bundle does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The file is not a bundle.
    #[error("the file is not a receipt bundle: {detail}")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
    /// The stored evidence is not accepted.
    #[error("the stored evidence was not accepted")]
    Rejected(#[source] Rejection),
    /// The stored offer is not signed by the keyset.
    #[error("the stored offer does not verify")]
    Offer(#[source] SignedError),
    /// The receipt does not account for the exchange.
    #[error("the receipt was not accepted")]
    Receipt(#[source] ReceiptError),
    /// The receipt is not shown to be in a log.
    #[error("the proof that the receipt is logged was not accepted")]
    Log(#[source] LogFault),
}

impl BundleError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "bundle.malformed",
            Self::Rejected(rejection) => rejection.code(),
            Self::Offer(error) => error.code(),
            Self::Receipt(error) => error.code(),
            Self::Log(fault) => fault.code(),
        }
    }
}

/// What offline verification established.
#[derive(Debug)]
pub struct BundleVerdict {
    /// What the receipt says.
    pub judged: Judged,
    /// Assurance of the keyset; absent when no roots and policy were given, so that nothing ties the keyset to a machine.
    pub assurance: Option<AssuranceClass>,
}

/// What a receipt says.
#[derive(Debug)]
pub enum Judged {
    /// That a call was answered, and charged.
    Served(CheckedReceipt),
    /// That a call was refused, at no charge.
    Refused(Receipt),
}

impl Judged {
    /// The receipt.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        match self {
            Self::Served(checked) => &checked.receipt,
            Self::Refused(receipt) => receipt,
        }
    }
}

impl ReceiptBundle {
    pub(crate) fn new(session: &Session, tab: &Tab, receipt: &Receipt, expected: &Expected<'_>) -> Self {
        let view = session.view();
        Self {
            version: BUNDLE_VERSION.to_owned(),
            receipt: receipt.clone(),
            exchange: StoredExchange {
                method: expected.method.to_owned(),
                endpoint: expected.endpoint.to_owned(),
                request_digest: expected.request_digest,
                response_digest: expected.response_digest,
                completion_tokens_max: expected.completion_tokens_max,
            },
            tab: StoredTab { id: tab.id(), reserve: tab.reserve() },
            offer: session.signed_offer().clone(),
            attestation: session.document().clone(),
            channel: StoredChannel {
                nonce: view.nonce,
                exporter: view.exporter,
                leaf_spki_sha256: Hex32(view.leaf_spki_sha256),
            },
            appraisal: StoredAppraisal {
                at: session.appraised_at(),
                assurance: session.appraisal().assurance().to_string(),
                policy: session.appraisal().policy_name().to_owned(),
            },
            log_proof: None,
        }
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BundleError> {
        let malformed = |detail: String| BundleError::Malformed { detail };
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(malformed(format!("it has {} bytes, more than {BUNDLE_BYTES_MAX}", bytes.len())));
        }
        let bundle: Self = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if bundle.version != BUNDLE_VERSION {
            return Err(malformed(format!("its version is {:?}", bundle.version)));
        }
        Ok(bundle)
    }

    /// Stores the bundle as `<directory>/<receipt id>.json`, that of a refusal as `refusal-<receipt id>.json`, readable by its owner only; returns the path.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn store(&self, directory: &Path) -> Result<std::path::PathBuf, FileError> {
        // The id was checked to be letters, digits, - and _ before a bundle could exist.
        // Those of refusals, which a node gives for nothing, never take the place of one that something was paid for.
        let kind = if is_refusal(&self.receipt) { "refusal-" } else { "" };
        let path = directory.join(format!("{kind}{}.json", self.receipt.receipt_id));
        let mut bytes =
            serde_json::to_vec_pretty(self).expect("invariant: a bundle holds only strings, integers and lists");
        bytes.push(b'\n');
        write_private(&path, &bytes)?;
        Ok(path)
    }

    /// Judges the bundle. `trust` is what the reader trusts and the time to judge dates by.
    ///
    /// # Errors
    /// At the first step that fails.
    pub fn verify(
        &self,
        trust: Option<(&Trust, UnixTime)>,
        transcript: &mut Transcript,
    ) -> Result<BundleVerdict, BundleError> {
        // 1. and 2. Evidence, and REPORT_DATA over the stored channel view.
        let (assurance, machine) = match trust {
            Some((trust, at)) => self.appraise(trust, at, transcript)?,
            None => {
                transcript.skip("bundle.evidence", "no policy given: nothing ties the keyset to a machine");
                (None, None)
            }
        };
        let keyset = &self.attestation.keyset;
        if keyset.digest() != self.attestation.keyset_digest {
            return Err(BundleError::Malformed { detail: "the keyset does not have the stated digest".to_owned() });
        }
        // 3. Offer and receipt.
        let offer = self.offer.verify(OFFER_VERSION, keyset).map_err(BundleError::Offer)?;
        transcript.pass("bundle.offer", "signed by the keyset");
        let expected = Expected {
            keyset,
            machine,
            offer,
            price_sheet_digest: digest(offer)?,
            tab: self.tab.id,
            reserve: self.tab.reserve,
            method: &self.exchange.method,
            endpoint: &self.exchange.endpoint,
            request_digest: self.exchange.request_digest,
            response_digest: self.exchange.response_digest,
            completion_tokens_max: self.exchange.completion_tokens_max,
        };
        let receipt = self.receipt.clone();
        let judged = if is_refusal(&receipt) {
            check_refusal(&receipt, &expected, transcript).map(|()| Judged::Refused(receipt))
        } else {
            check_receipt(receipt, &expected, transcript).map(Judged::Served)
        };
        Ok(BundleVerdict { judged: judged.map_err(BundleError::Receipt)?, assurance })
    }

    fn appraise(
        &self,
        trust: &Trust,
        at: UnixTime,
        transcript: &mut Transcript,
    ) -> Result<(Option<AssuranceClass>, Option<Machine>), BundleError> {
        let bytes = self.attestation.to_json();
        let (_, appraisal) = appraise_document(&bytes, trust, at, transcript).map_err(BundleError::Rejected)?;
        let view = ChannelView {
            nonce: self.channel.nonce,
            exporter: self.channel.exporter,
            leaf_spki_sha256: self.channel.leaf_spki_sha256.0,
        };
        let bound = appraisal.bind_channel(&view, transcript).map_err(BundleError::Rejected)?;
        let appraisal = bound.appraisal();
        Ok((Some(appraisal.assurance()), Some(Machine::of(appraisal, &self.attestation))))
    }

    /// 4. Compares bodies given by the reader with the receipt's digests.
    ///
    /// # Errors
    /// When one is not what the receipt covers.
    pub fn check_bodies(
        &self,
        request: Option<&[u8]>,
        response: Option<&[u8]>,
        transcript: &mut Transcript,
    ) -> Result<(), BundleError> {
        let rejected = |rejection| BundleError::Receipt(ReceiptError::Rejected(rejection));
        if let Some(body) = request {
            self.receipt.check_request_body(Sha256Digest::of(body)).map_err(rejected)?;
            transcript.pass("bundle.request_body", "the given request is the one the receipt covers");
        }
        if let Some(body) = response {
            self.receipt.check_response_body(Sha256Digest::of(body)).map_err(rejected)?;
            transcript.pass("bundle.response_body", "the given response is the one the receipt covers");
        }
        Ok(())
    }
}

fn digest(offer: &Offer) -> Result<Bytes32, BundleError> {
    offer.price_sheet_digest().map_err(|error| BundleError::Malformed { detail: error.to_string() })
}
