//! The body of a request, whole and within its limits.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;

use crate::limits::REQUEST_BODY_BYTES_MAX;
use crate::problem::Problem;
use crate::routes::read_body_within;

/// What came over the wire, where that was not the body itself but sealed.
#[derive(Debug, Clone)]
pub struct ContentAsSent(pub Bytes);

/// A request's body.
#[derive(Debug, Clone)]
pub struct Payload {
    /// What is meant.
    pub body: Bytes,
    /// What was sent, which is what its sender signed (RFC 9530: the digest is of the content).
    pub sent: Bytes,
}

impl<S: Sync> FromRequest<S> for Payload {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (mut head, body) = request.into_parts();
        let body = read_body_within(body, REQUEST_BODY_BYTES_MAX).await?;
        let sent = head.extensions.remove::<ContentAsSent>().map_or_else(|| body.clone(), |sent| sent.0);
        Ok(Self { body, sent })
    }
}
