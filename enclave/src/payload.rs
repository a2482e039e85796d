//! The body of a request, whole and within its limits.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use credits::Nullifier;
use http::StatusCode;
use serde::Deserialize;

use crate::config::LimitsConfig;
use crate::problem::Problem;
use crate::routes::read_body_within;

/// What came over the wire, where that was not the body itself but sealed, by somebody who is not known to be who signed.
#[derive(Debug, Clone)]
pub struct ContentAsSent(pub Bytes);

/// The answer leaves when all of it is there.
#[derive(Debug, Clone, Copy)]
pub struct AnsweredAtOnce;

/// A request's body.
#[derive(Debug, Clone)]
pub struct Payload {
    /// What is meant.
    pub body: Bytes,
    /// What was sent, if that is something else. It is what its sender signed (RFC 9530: the digest is of the content).
    sealed: Option<Bytes>,
    /// Whether the answer leaves when all of it is there.
    pub answered_at_once: bool,
}

impl Payload {
    /// What was sent.
    #[must_use]
    pub fn sent(&self) -> &Bytes {
        self.sealed.as_ref().unwrap_or(&self.body)
    }

    /// Whether who sealed the body meant this tab to pay for it. The signature is over what was sent, which anybody can sign who sees it;
    /// so what is sealed names its tab.
    ///
    /// # Errors
    /// 403 `tab.not_named`. Nothing of the body may be told or done then, not even in a receipt.
    pub fn require_named(&self, tab: &Nullifier) -> Result<(), Problem> {
        #[derive(Deserialize)]
        struct Named {
            cloister_tab: Option<String>,
        }

        let named = || serde_json::from_slice(&self.body).ok().and_then(|named: Named| named.cloister_tab);
        if self.sealed.is_none() || named().is_some_and(|named| named == tab.to_string()) {
            return Ok(());
        }
        let text = "a sealed body under a tab is a JSON object that names it: \"cloister_tab\"";
        Err(Problem::new(StatusCode::FORBIDDEN, "tab.not_named", text))
    }
}

impl<S: Sync> FromRequest<S> for Payload {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (mut head, body) = request.into_parts();
        let limits = LimitsConfig::of(&head.extensions);
        let body = read_body_within(body, limits.body_bytes, limits.body()).await?;
        let sealed = head.extensions.remove::<ContentAsSent>().map(|sent| sent.0);
        let answered_at_once = head.extensions.get::<AnsweredAtOnce>().is_some();
        Ok(Self { body, sealed, answered_at_once })
    }
}
