//! What is left of a request's body when its answer is known.
//!
//! Decides: how much of it is still taken. A node that refuses a request by its head would otherwise close the connection under an
//! HTTP/1.1 client that is still sending, which then has an error of its connection instead of the answer. What is taken is thrown
//! away, and bounded in size and time. HTTP/2 needs none of it, since a stream can end without its connection; and whoever waits for
//! "100 Continue" rightly sends no body after a refusal, so what comes then is not one.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::limits::{REQUEST_REST_BYTES_MAX, REQUEST_REST_TIMEOUT};

/// What counts of a frame at least: bytes sent one by one cost the node more than bytes.
const FRAME_BYTES_MIN: u64 = 256;

/// A request's body, whose rest may be taken if its reader leaves before the end.
#[derive(Debug)]
pub struct RestTaken<B: Rest> {
    body: Option<B>,
    is_taken: bool,
}

/// A body whose rest somebody may take on another task.
pub trait Rest: Body<Data = Bytes> + Unpin + Send + 'static {}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> Rest for B {}

impl<B: Rest> RestTaken<B> {
    /// The request with a body that is taken to its end, if there is a client that would send on.
    #[must_use]
    pub fn of(request: Request<B>) -> Request<Self> {
        let is_taken = request.version() < Version::HTTP_2 && !request.headers().contains_key(EXPECT);
        request.map(|body| Self { body: Some(body), is_taken })
    }
}

impl<B: Rest> Body for RestTaken<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Rest> Drop for RestTaken<B> {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| self.is_taken && !body.is_end_stream()) else { return };
        // Whoever announces more than is taken is not waited for.
        let announced = body.size_hint().lower();
        if announced <= REQUEST_REST_BYTES_MAX
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(tokio::time::timeout(REQUEST_REST_TIMEOUT, take(body)));
        }
    }
}

async fn take(mut body: impl Rest) {
    let mut taken = 0_u64;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        taken = taken.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX).max(FRAME_BYTES_MIN));
        if taken > REQUEST_REST_BYTES_MAX {
            return;
        }
    }
}
