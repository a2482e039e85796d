//! From a connection about which nothing is known to one whose peer is appraised.
//!
//! Decides: whether the machine at the other end of *this* connection is acceptable. Trusts on entry: the roots and the policy
//! the user named, and this side's clock. Holds on exit: a [`VerifiedChannel`], which exists only when the evidence verified
//! and was bound to this very channel. Order of protocol.md §2.4; the numbered steps reappear at the calls.
//!
//! 1. A fresh nonce is sent on the connection to be bound.
//! 2. The document is decoded, its evidence appraised under roots and policy.
//! 3. REPORT_DATA is recomputed from nonce, exporter and leaf key as this side knows them.
//! 4. A key that is limited to a name was reached by that name, or by an address (N2).

use attestation::{
    Appraisal, AppraisalPolicy, AttestationDocument, ChannelBoundAppraisal, ChannelView, Clock, Keyset, Nonce,
    Rejection, Transcript, TrustRoots, UnixTime, appraise,
};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use rustls_pki_types::ServerName;

use crate::connect::{Channel, Sender};
use crate::fetch::{NodeError, call};
use crate::target::NodeUrl;

/// What a node is judged by.
pub struct Trust {
    /// The roots evidence must chain to.
    pub roots: TrustRoots,
    /// What is acceptable beyond being genuine.
    pub policy: AppraisalPolicy,
}

/// Why a node was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The node gave no attestation document.
    #[error("fetch the attestation document")]
    Fetch(#[source] NodeError),
    /// The document does not verify, or is not acceptable, or is not about this channel.
    #[error("the node was not accepted")]
    Rejected(#[source] Rejection),
    /// The node's TLS key is limited to a name, and it was reached by another: whoever said that name led here is not its owner.
    #[error("the node's key is for {domain}, and it was reached as {host}")]
    OtherName {
        /// What the keyset says.
        domain: String,
        /// What the address says.
        host: String,
    },
    /// The operating system gave no randomness for the nonce.
    #[error("draw a nonce")]
    Nonce(#[source] attestation::KeyError),
}

/// A connection whose peer was appraised, on this connection. Only [`Channel::verify`] makes one.
pub struct VerifiedChannel {
    pub(crate) sender: Sender,
    pub(crate) target: NodeUrl,
    pub(crate) bound: ChannelBoundAppraisal,
    pub(crate) document: AttestationDocument,
    pub(crate) view: ChannelView,
    pub(crate) appraised_at: UnixTime,
}

impl Channel {
    /// Asks the node for evidence bound to this connection and appraises it. Every step is written to `transcript`, also when
    /// the answer is no. The connection is consumed: a rejected one cannot be used for anything.
    ///
    /// # Errors
    /// When the node gives no document, or when the document is rejected.
    pub async fn verify(
        self,
        trust: &Trust,
        clock: &dyn Clock,
        transcript: &mut Transcript,
    ) -> Result<VerifiedChannel, VerifyError> {
        // 1. A fresh nonce.
        let nonce = Nonce::random().map_err(VerifyError::Nonce)?;
        let bytes = self.fetch_document(&nonce).await.map_err(VerifyError::Fetch)?;
        // 2. Evidence, roots, policy, clock. Steps 2 and 3 run on bytes in memory: no I/O, nothing to await.
        let now = clock.now();
        let (document, appraisal) = appraise_document(&bytes, trust, now, transcript).map_err(VerifyError::Rejected)?;
        // 3. This channel, from this side's own knowledge.
        let view =
            ChannelView { nonce, exporter: self.secrets.exporter, leaf_spki_sha256: self.secrets.leaf_spki_sha256 };
        let bound = appraisal.bind_channel(&view, transcript).map_err(VerifyError::Rejected)?;
        // 4. Its name, if it has one.
        check_name(bound.appraisal().keyset(), &view.leaf_spki_sha256, &self.target, transcript)?;
        Ok(VerifiedChannel { sender: self.sender, target: self.target, bound, document, view, appraised_at: now })
    }

    async fn fetch_document(&self, nonce: &Nonce) -> Result<Bytes, NodeError> {
        let path = format!("/v1/attestation?nonce={nonce}");
        let request = request(&self.target, Method::GET, &path, Bytes::new())?;
        Ok(call(&self.sender, request, "attestation").await?.1)
    }
}

/// Whether a node was reached by the name its key is limited to. An address is no name: who dials one was told by nobody else.
fn check_name(
    keyset: &Keyset,
    spki_sha256: &[u8; 32],
    target: &NodeUrl,
    transcript: &mut Transcript,
) -> Result<(), VerifyError> {
    let ServerName::DnsName(name) = target.server_name() else { return Ok(()) };
    let key = keyset.tls_public_keys.iter().find(|key| key.spki_sha256.0 == *spki_sha256);
    let Some(domain) = key.and_then(|key| key.domain.as_deref()) else { return Ok(()) };
    if domain.eq_ignore_ascii_case(name.as_ref()) {
        transcript.pass("channel.name", domain);
        return Ok(());
    }
    let other = VerifyError::OtherName { domain: domain.to_owned(), host: name.as_ref().to_owned() };
    transcript.fail("channel.name", other.to_string());
    Err(other)
}

/// Decodes and appraises a document, not yet bound to any channel.
pub(crate) fn appraise_document(
    bytes: &[u8],
    trust: &Trust,
    now: UnixTime,
    transcript: &mut Transcript,
) -> Result<(AttestationDocument, Appraisal), Rejection> {
    let document = AttestationDocument::from_json(bytes)?;
    let appraisal = appraise(&document, &trust.roots, &trust.policy, now, transcript)?;
    Ok((document, appraisal))
}

/// A request to the node; HTTP/2 takes scheme and authority from the URI.
pub(crate) fn request(
    target: &NodeUrl,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, NodeError> {
    Request::builder()
        .method(method)
        .uri(format!("{target}{path}"))
        .body(Full::new(body))
        .map_err(|error| NodeError::Malformed { during: "building the request", detail: error.to_string() })
}

impl VerifiedChannel {
    /// What was established about the node.
    #[must_use]
    pub fn appraisal(&self) -> &Appraisal {
        self.bound.appraisal()
    }

    /// The node's address.
    #[must_use]
    pub fn target(&self) -> &NodeUrl {
        &self.target
    }

    /// The document that was appraised.
    #[must_use]
    pub fn document(&self) -> &AttestationDocument {
        &self.document
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use attestation::{Hex32, TlsKeyEntry, UnixTime};

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn reached(host: &str, domain: Option<&str>, spki: [u8; 32]) -> bool {
        let entry = TlsKeyEntry { spki_sha256: Hex32(KEY), domain: domain.map(str::to_owned) };
        let keyset = Keyset {
            subject: None,
            not_after: UnixTime(0),
            receipt_signing_keys: Vec::new(),
            e2ee_public_keys: Vec::new(),
            tls_public_keys: vec![entry],
        };
        check_name(&keyset, &spki, &host.parse().unwrap(), &mut Transcript::new()).is_ok()
    }

    #[test]
    fn a_key_that_is_limited_to_a_name_is_reached_by_that_name_or_an_address() {
        let name = Some("node.example.com");
        for host in ["node.example.com", "NODE.example.com:8443", "127.0.0.1", "[::1]:8443"] {
            assert!(reached(host, name, KEY), "{host}");
        }
        for host in ["example.com", "other.example.com", "node.example.com.evil.example", "localhost"] {
            assert!(!reached(host, name, KEY), "{host}");
            assert!(reached(host, None, KEY), "{host}");
        }
    }
}
