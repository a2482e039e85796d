//! Whether a connection is used: from a request's first byte to its answer's last one.
//!
//! Decides: when a connection has been idle for so long that its place goes to another client. HTTP/2 has no such rule of its own: a
//! client that answers pings could keep a place for ever.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// The use of one connection.
#[derive(Debug)]
pub struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    requests: usize,
    last_use: Instant,
}

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(State { requests: 0, last_use: Instant::now() }))
    }
}

impl Activity {
    /// A request began.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> InUse {
        let mut state = self.state();
        state.requests = state.requests.saturating_add(1);
        InUse(Arc::clone(self))
    }

    /// Returns once no request was served for `limit`.
    pub async fn idle_for(&self, limit: Duration) {
        loop {
            let idle_at = {
                let state = self.state();
                let since = if state.requests > 0 { Instant::now() } else { state.last_use };
                since + limit
            };
            if Instant::now() >= idle_at {
                return;
            }
            tokio::time::sleep_until(idle_at).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being served.
#[derive(Debug)]
pub struct InUse(Arc<Activity>);

impl Drop for InUse {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests = state.requests.saturating_sub(1);
        state.last_use = Instant::now();
    }
}

/// An answer's body, whose end is the end of the use.
#[derive(Debug)]
pub struct InUseBody<B> {
    body: B,
    _in_use: InUse,
}

impl<B> InUseBody<B> {
    /// `body`, in use until it is dropped.
    #[must_use]
    pub fn new(body: B, in_use: InUse) -> Self {
        Self { body, _in_use: in_use }
    }
}

impl<B: Body + Unpin> Body for InUseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::Activity;

    const LIMIT: Duration = Duration::from_millis(60);

    async fn is_idle_within(activity: &Activity, time: Duration) -> bool {
        tokio::time::timeout(time, activity.idle_for(LIMIT)).await.is_ok()
    }

    #[tokio::test]
    async fn a_connection_is_idle_after_its_last_request_and_never_in_one() {
        let activity = Arc::new(Activity::default());
        let (first, second) = (activity.begin(), activity.begin());
        assert!(!is_idle_within(&activity, LIMIT * 4).await, "two requests");
        drop(first);
        assert!(!is_idle_within(&activity, LIMIT * 4).await, "one request");
        drop(second);
        assert!(!is_idle_within(&activity, LIMIT / 4).await, "the time starts at the end of the last request");
        assert!(is_idle_within(&activity, LIMIT * 40).await);
    }
}
