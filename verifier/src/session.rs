//! A session with an appraised node: the only type that can send a prompt.
//!
//! Decides: which answers of the node are believed (those signed under the attested keyset). Trusts on entry: a
//! [`VerifiedChannel`], which exists only after the appraisal of evidence bound to that very connection. Holds on exit of
//! [`Session::open`]: an offer signed by the attested receipt key.
//!
//! A connection that was not verified cannot become a session:
//!
//! ```compile_fail,E0308
//! async fn skip_the_appraisal(channel: verifier::Channel, clock: std::sync::Arc<dyn attestation::Clock>) {
//!     let _ = verifier::Session::open(channel, clock).await; // a `Channel` is not a `VerifiedChannel`
//! }
//! ```
//!
//! nor can a verified channel be made up,
//!
//! ```compile_fail,E0451
//! fn make_one_up(other: verifier::VerifiedChannel, document: attestation::AttestationDocument) -> verifier::VerifiedChannel {
//!     verifier::VerifiedChannel { document, ..other }
//! }
//! ```
//!
//! and a prompt needs a session:
//!
//! ```compile_fail,E0599
//! async fn send_early(channel: verifier::VerifiedChannel, tab: std::sync::Arc<verifier::Tab>, prompt: verifier::InferenceRequest) {
//!     let _ = channel.infer(&tab, prompt).await; // no method `infer` on `VerifiedChannel`
//! }
//! ```

use std::sync::Arc;

use attestation::{
    Appraisal, AttestationDocument, ChannelBoundAppraisal, ChannelView, Clock, Keyset, Receipt, Sha256Digest, Signed,
    SignedError, Transcript, UnixTime,
};
use bytes::Bytes;
use credits::http_sig::{RequestHeaders, sign_request};
use credits::keys::TabKey;
use credits::offer::{OFFER_VERSION, Offer};
use credits::settlement::{SETTLEMENT_VERSION, Settlement};
use credits::tab::{OpenTabRequest, OpenTabResponse, TabStatus};
use credits::{Bytes32, SpendContextInputs};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body_util::Full;

use crate::connect::Sender;
use crate::fetch::{NodeError, call, call_json};
use crate::receipts::{ReceiptError, is_receipt_id};
use crate::tab::Tab;
use crate::target::NodeUrl;
use crate::verify::{VerifiedChannel, request};

/// Why a session's call did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The node gave no usable answer.
    #[error("the node did not carry out the call")]
    Node(#[source] NodeError),
    /// A statement's signature does not verify under the attested keyset.
    #[error("the node's {what} is not signed by the attested keyset")]
    Signature {
        /// Which statement.
        what: &'static str,
        /// Why.
        #[source]
        source: SignedError,
    },
    /// A statement is signed but is not what was asked for.
    #[error("the node's {what} is not usable: {detail}")]
    Statement {
        /// Which statement.
        what: &'static str,
        /// Why.
        detail: String,
    },
    /// The settlement does not agree with the receipts.
    #[error("the settlement does not agree with the receipts")]
    Settlement(#[source] ReceiptError),
}

impl SessionError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Node(error) => error.code(),
            Self::Signature { source, .. } => source.code(),
            Self::Statement { .. } => "node.statement",
            Self::Settlement(error) => error.code(),
        }
    }
}

/// A session with one node over one verified connection. Clones share it.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    sender: Sender,
    target: NodeUrl,
    bound: ChannelBoundAppraisal,
    document: AttestationDocument,
    view: ChannelView,
    appraised_at: UnixTime,
    offer: Signed<Offer>,
    price_sheet_digest: Bytes32,
    settle_key: Bytes32,
    clock: Arc<dyn Clock>,
}

impl Session {
    /// Opens a session on a verified channel and fetches the node's offer.
    ///
    /// # Errors
    /// When there is no offer, or it is not signed by the attested keyset.
    pub async fn open(channel: VerifiedChannel, clock: Arc<dyn Clock>) -> Result<Self, SessionError> {
        let VerifiedChannel { sender, target, bound, document, view, appraised_at } = channel;
        let ask = request(&target, Method::GET, "/v1/offer", Bytes::new()).map_err(SessionError::Node)?;
        let offer: Signed<Offer> = call_json(&sender, ask, "the offer").await.map_err(SessionError::Node)?;
        let keyset = bound.appraisal().keyset();
        let verified =
            offer.verify(OFFER_VERSION, keyset).map_err(|source| SessionError::Signature { what: "offer", source })?;
        let fault = |detail: String| SessionError::Statement { what: "offer", detail };
        if verified.version != OFFER_VERSION {
            return Err(fault(format!("its version is {:?}", verified.version)));
        }
        let price_sheet_digest = verified.price_sheet_digest().map_err(|error| fault(error.to_string()))?;
        let settle_key = keyset.receipt_key(&offer.key_id).ok_or_else(|| fault("its key is unknown".to_owned()))?;
        let settle_key = Bytes32(settle_key.0);
        let inner =
            Inner { sender, target, bound, document, view, appraised_at, offer, price_sheet_digest, settle_key, clock };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What was established about the node.
    #[must_use]
    pub fn appraisal(&self) -> &Appraisal {
        self.inner.bound.appraisal()
    }

    /// The attested keyset.
    #[must_use]
    pub fn keyset(&self) -> &Keyset {
        self.appraisal().keyset()
    }

    /// Digest of the attested keyset.
    #[must_use]
    pub fn keyset_digest(&self) -> Sha256Digest {
        self.appraisal().keyset_digest()
    }

    /// The node's offer, signed by the attested keyset.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.inner.offer.statement
    }

    /// The offer with its signature.
    #[must_use]
    pub fn signed_offer(&self) -> &Signed<Offer> {
        &self.inner.offer
    }

    /// SHA-256 of the JCS form of the offer.
    #[must_use]
    pub fn price_sheet_digest(&self) -> Bytes32 {
        self.inner.price_sheet_digest
    }

    /// The node's address.
    #[must_use]
    pub fn target(&self) -> &NodeUrl {
        &self.inner.target
    }

    /// The document the node was appraised by.
    #[must_use]
    pub fn document(&self) -> &AttestationDocument {
        &self.inner.document
    }

    /// This side's view of the channel, from which REPORT_DATA was recomputed.
    #[must_use]
    pub fn view(&self) -> &ChannelView {
        &self.inner.view
    }

    /// When the node was appraised.
    #[must_use]
    pub fn appraised_at(&self) -> UnixTime {
        self.inner.appraised_at
    }

    /// Whether the connection is gone. A new one needs a new verification.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.sender.is_closed()
    }

    /// The key that journals and settles at this node.
    pub(crate) fn settle_key(&self) -> Bytes32 {
        self.inner.settle_key
    }

    /// What a spend at this node is bound to.
    #[must_use]
    pub fn spend_context(&self, not_after: u64) -> SpendContextInputs {
        let offer = self.offer();
        SpendContextInputs {
            ledger_id: offer.ledger_id,
            vk_digest: offer.vk_digest,
            keyset_digest: Bytes32(self.keyset_digest().0),
            settle_key: self.inner.settle_key,
            payee: offer.payee,
            price_sheet_digest: self.inner.price_sheet_digest,
            not_after,
        }
    }

    /// Opens a tab with a proved spend. `key` signs the requests under it.
    ///
    /// # Errors
    /// When the node refuses, gives no answer, or answers about another tab.
    pub async fn open_tab(&self, open: &OpenTabRequest, key: TabKey) -> Result<Tab, SessionError> {
        let body = serde_json::to_vec(open).map_err(|error| statement("tab", &error))?;
        let mut ask = self.request(Method::POST, "/v1/tabs", body.into())?;
        ask.headers_mut().insert(CONTENT_TYPE, JSON);
        let answer: OpenTabResponse =
            call_json(&self.inner.sender, ask, "the opening of a tab").await.map_err(SessionError::Node)?;
        if answer.tab_id != open.nullifier || answer.reserve != open.c_max || answer.not_after != open.not_after {
            return Err(SessionError::Statement {
                what: "tab",
                detail: "it is not the tab that was asked for".to_owned(),
            });
        }
        Ok(Tab::new(open.nullifier, key, open.c_max, open.not_after, self.keyset_digest()))
    }

    /// Asks where a tab stands.
    ///
    /// # Errors
    /// When the node refuses or gives no answer.
    pub async fn tab_status(&self, tab: &Tab) -> Result<TabStatus, SessionError> {
        let ask =
            self.signed(Method::GET, &format!("/v1/tabs/{}", tab.id()), tab, &fresh_idempotency_key()?, Bytes::new())?;
        call_json(&self.inner.sender, ask, "the tab's status").await.map_err(SessionError::Node)
    }

    /// Closes a tab. The settlement is signed by the attested keyset and agrees with the receipts this side verified.
    ///
    /// # Errors
    /// When the node refuses, gives no answer, or its settlement charges what no receipt explains.
    pub async fn close_tab(&self, tab: &Tab) -> Result<Signed<Settlement>, SessionError> {
        let signed = self.bill(tab).await?;
        tab.check_settlement(&signed.statement).map_err(SessionError::Settlement)?;
        Ok(signed)
    }

    /// Closes a tab. The settlement is signed by the key that settles it; whether it agrees with the receipts is not asked.
    ///
    /// # Errors
    /// When the node refuses or gives no answer.
    pub(crate) async fn bill(&self, tab: &Tab) -> Result<Signed<Settlement>, SessionError> {
        // One key per tab: a repeated close is the same request.
        let ask = self.signed(Method::POST, &format!("/v1/tabs/{}/close", tab.id()), tab, "close", Bytes::new())?;
        let signed: Signed<Settlement> =
            call_json(&self.inner.sender, ask, "the closing of the tab").await.map_err(SessionError::Node)?;
        let settlement = signed
            .verify(SETTLEMENT_VERSION, self.keyset())
            .map_err(|source| SessionError::Signature { what: "settlement", source })?;
        let about_us = settlement.version == SETTLEMENT_VERSION
            && signed.key_id == self.inner.offer.key_id
            && settlement.ledger_id == self.offer().ledger_id
            && settlement.keyset_digest.0 == self.keyset_digest().0;
        if !about_us {
            return Err(SessionError::Statement {
                what: "settlement",
                detail: "it names another ledger or keyset".to_owned(),
            });
        }
        Ok(signed)
    }

    /// A receipt by its id, signed by the attested keyset. That it accounts for an exchange is judged elsewhere.
    ///
    /// # Errors
    /// When the node has none, or what it gives is not signed by the keyset.
    pub async fn receipt(&self, tab: &Tab, receipt_id: &str) -> Result<Receipt, SessionError> {
        if !is_receipt_id(receipt_id) {
            let detail = "its id is not made of letters, digits, - and _".to_owned();
            return Err(SessionError::Statement { what: "receipt", detail });
        }
        let bytes = self.fetch_receipt(tab, receipt_id).await?;
        let receipt = Receipt::from_json(&bytes).map_err(|error| statement("receipt", &error))?;
        receipt.verify(self.keyset(), &mut Transcript::default()).map_err(|error| statement("receipt", &error))?;
        Ok(receipt)
    }

    /// Fetches a receipt by its id, for answers whose trailer did not arrive. It is not verified here.
    ///
    /// # Errors
    /// When the node refuses or gives no answer.
    pub(crate) async fn fetch_receipt(&self, tab: &Tab, receipt_id: &str) -> Result<Bytes, SessionError> {
        let ask = self.signed(
            Method::GET,
            &format!("/v1/aci/receipts/{receipt_id}"),
            tab,
            &fresh_idempotency_key()?,
            Bytes::new(),
        )?;
        Ok(call(&self.inner.sender, ask, "the receipt").await.map_err(SessionError::Node)?.1)
    }

    /// `GET` of something public, such as the list of models.
    ///
    /// # Errors
    /// When the node refuses or gives no answer.
    pub async fn get(&self, path: &str) -> Result<(http::HeaderMap, Bytes), SessionError> {
        let ask = self.request(Method::GET, path, Bytes::new())?;
        call(&self.inner.sender, ask, "what is public").await.map_err(SessionError::Node)
    }

    /// Whether two handles are the same session.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    pub(crate) fn sender(&self) -> &Sender {
        &self.inner.sender
    }

    /// A request signed with the tab's key (RFC 9421, protocol.md §5).
    pub(crate) fn signed(
        &self,
        method: Method,
        path: &str,
        tab: &Tab,
        key: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, SessionError> {
        let created = self.inner.clock.now().0;
        let headers = sign_request(&tab.key, method.as_str(), path, &tab.id, key, &body, created);
        let mut ask = self.request(method, path, body)?;
        insert_signature(&mut ask, &headers)?;
        Ok(ask)
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, SessionError> {
        request(&self.inner.target, method, path, body).map_err(SessionError::Node)
    }
}

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

fn insert_signature(ask: &mut Request<Full<Bytes>>, headers: &RequestHeaders) -> Result<(), SessionError> {
    for (name, value) in [
        ("cloister-tab", &headers.cloister_tab),
        ("idempotency-key", &headers.idempotency_key),
        ("content-digest", &headers.content_digest),
        ("signature-input", &headers.signature_input),
        ("signature", &headers.signature),
    ] {
        let value = HeaderValue::from_str(value).map_err(|error| statement("request", &error))?;
        ask.headers_mut().insert(HeaderName::from_static(name), value);
    }
    Ok(())
}

/// An idempotency key nobody has used.
///
/// # Errors
/// When the operating system gives no randomness.
pub fn fresh_idempotency_key() -> Result<String, SessionError> {
    let nonce = attestation::Nonce::random().map_err(|error| statement("request", &error))?;
    Ok(nonce.to_string())
}

fn statement(what: &'static str, error: &dyn std::error::Error) -> SessionError {
    SessionError::Statement { what, detail: error.to_string() }
}
