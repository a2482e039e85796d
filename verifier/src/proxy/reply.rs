//! What the proxy itself answers: errors in the shape OpenAI's clients read, and the body types of all answers.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use serde_json::json;
use tokio::sync::mpsc;

/// Official clients retry 408, 409, 429 and 5xx unless told not to.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The body of an answer: known in full, or relayed piece by piece. An error in the pieces aborts the connection.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    Whole(Option<Bytes>),
    Pieces(mpsc::Receiver<Result<Bytes, Aborted>>),
}

/// The relayed answer was not complete: the connection is cut, so that it cannot be taken for complete.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the answer was not complete")]
pub(crate) struct Aborted;

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(pieces) => pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
            }
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// An error of the proxy's own.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn invalid(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, kind: "invalid_request_error", code: code.to_owned(), message: message.into() }
    }

    /// The JSON that names the error, as in a body or in an event of a stream.
    pub(crate) fn json(&self) -> serde_json::Value {
        json!({"error": {"message": self.message, "type": self.kind, "param": null, "code": self.code}})
    }

    /// An event that clients raise as an error, OpenAI's by its data and Anthropic's by its name. The blank line ends whatever was cut off before it.
    pub(crate) fn event(&self) -> Bytes {
        format!("\n\nevent: error\ndata: {}\n\n", self.json()).into()
    }

    pub(crate) fn response(&self) -> Response<ReplyBody> {
        let mut response = json_response(self.status, self.json().to_string().into());
        // Whether to try again is the user's decision: a repeat can be a second charge.
        response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        response
    }
}

pub(crate) fn json_response(status: StatusCode, body: Bytes) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Whole(Some(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_shape_clients_read() {
        let problem = Problem::invalid(StatusCode::NOT_FOUND, "proxy.not_found", "no such path");
        let response = problem.response();
        assert_eq!(response.headers().get("x-should-retry").unwrap(), "false");
        let error = &problem.json()["error"];
        assert_eq!(error["code"], "proxy.not_found");
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error["param"].is_null() && error["message"].is_string());
        let event = problem.event();
        assert!(event.starts_with(b"\n\nevent: error\ndata: {") && event.ends_with(b"}\n\n"));
    }
}
