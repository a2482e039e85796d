//! The client's end of one answer: frames, and what the receipt and a repeat need of them.
//!
//! Decides: what counts as sent. A frame that was put into the channel is sent once the connection has taken it out; one that is still
//! there when the client leaves is not. The hash covers exactly the bytes that were sent, and those of a finished answer that can be
//! fetched again under its idempotency key.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use attestation::Sha256Stream;
use bytes::{Bytes, BytesMut};
use http_body::Frame;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::limits::{CLIENT_STALL_TIMEOUT, REPLAY_BODY_BYTES_MAX, WAITING_BYTES_MAX};
use crate::shaping::Shaping;

/// The body ends here without a proper end: truncation must be visible to the client (N9).
#[derive(Debug, thiserror::Error)]
#[error("the answer was broken off")]
pub struct Aborted;

/// Frames on their way to the connection.
pub type FrameSender = mpsc::Sender<Result<Frame<Bytes>, Aborted>>;

/// The body that the connection reads from. It breaks off unless it was marked as whole, whatever became of the task that fills it.
#[derive(Debug)]
pub struct ChannelBody {
    frames: mpsc::Receiver<Result<Frame<Bytes>, Aborted>>,
    progress: Arc<Progress>,
}

/// What the two ends of a body tell each other.
#[derive(Debug, Default)]
struct Progress {
    /// Frames with data that the connection took.
    taken: AtomicU64,
    /// The frames are all there are.
    whole: AtomicBool,
}

impl ChannelBody {
    /// A body of these frames, which are all there are.
    #[must_use]
    pub fn whole(frames: mpsc::Receiver<Result<Frame<Bytes>, Aborted>>) -> Self {
        let progress = Arc::<Progress>::default();
        progress.whole.store(true, Ordering::Release);
        Self { frames, progress }
    }
}

impl http_body::Body for ChannelBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let frame = std::task::ready!(self.frames.poll_recv(cx));
        if matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            self.progress.taken.fetch_add(1, Ordering::AcqRel);
        }
        // A break is told once; after it there is nothing.
        let broken = frame.is_none() && !self.progress.whole.swap(true, Ordering::AcqRel);
        Poll::Ready(if broken { Some(Err(Aborted)) } else { frame })
    }
}

/// One answer as it is sent.
#[derive(Debug)]
pub struct Output {
    tx: FrameSender,
    /// Frames that were put into the channel.
    put: u64,
    progress: Arc<Progress>,
    /// What was put and may not have been taken.
    unsent: Vec<Bytes>,
    /// The end of a finished answer, if it could not be put.
    lost: Vec<Bytes>,
    hasher: Sha256Stream,
    replay: Option<BytesMut>,
    shaping: Shaping,
    ticks: Option<Interval>,
    /// Filled-up events that wait for the others that are there already, or with a cadence for the next frame.
    waiting: BytesMut,
}

/// What is left of an answer when all of it is sent.
#[derive(Debug)]
pub struct Sent {
    /// For trailers and last words.
    pub tx: FrameSender,
    /// How the body ends.
    pub end: BodyEnd,
    /// Over all bytes.
    pub hasher: Sha256Stream,
    /// All bytes, unless they are too many to hold.
    pub replay: Option<BytesMut>,
}

/// The end of a body, which breaks off unless this says otherwise.
#[derive(Debug)]
pub struct BodyEnd(Arc<Progress>);

impl BodyEnd {
    /// What was put is all there is.
    pub fn mark_whole(self) {
        self.0.whole.store(true, Ordering::Release);
    }
}

impl Output {
    /// An answer of which nothing is sent yet, and the body that the connection gets.
    #[must_use]
    pub fn new(shaping: Shaping) -> (Self, ChannelBody) {
        // One place: what was put before is taken when there is room again.
        let (tx, frames) = mpsc::channel(1);
        let body = ChannelBody { frames, progress: Arc::default() };
        let output = Self {
            tx,
            put: 0,
            progress: Arc::clone(&body.progress),
            unsent: Vec::new(),
            lost: Vec::new(),
            hasher: Sha256Stream::new(),
            replay: Some(BytesMut::new()),
            shaping,
            ticks: shaping.cadence().map(ticks),
            waiting: BytesMut::new(),
        };
        (output, body)
    }

    /// The sending half, to notice that the client left.
    #[must_use]
    pub fn sender(&self) -> FrameSender {
        self.tx.clone()
    }

    /// Whether nothing waits for the next frame.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether so much waits that it should leave before more is read.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_BYTES_MAX
    }

    /// Number of the last frame that was put.
    #[must_use]
    pub fn put(&self) -> u64 {
        self.put
    }

    /// Number of the last frame that was sent.
    pub fn sent(&mut self) -> u64 {
        let taken = self.progress.taken.load(Ordering::Acquire);
        if taken >= self.put {
            self.commit();
        }
        taken
    }

    /// Waits until everything that was put is sent; false when the client left or takes too long.
    pub async fn all_sent(&mut self, time: Duration) -> bool {
        // Room in the channel means that what was in it is taken, although the connection, on another thread, may not have counted it yet.
        let taken = matches!(tokio::time::timeout(time, self.tx.reserve()).await, Ok(Ok(_)));
        if taken {
            self.commit();
        }
        (taken || self.sent() >= self.put) && self.lost.is_empty()
    }

    /// Makes a finished answer's last bytes part of it, although the client did not take them: it can fetch them again.
    pub fn commit_all(&mut self) {
        self.unsent.append(&mut self.lost);
        self.commit();
    }

    /// Whether all of the answer is held for repeats, and its length.
    #[must_use]
    pub fn replay_bytes(&self) -> Option<usize> {
        let held = self.replay.as_ref()?.len();
        let length =
            self.unsent.iter().chain(&self.lost).fold(held, |length, bytes| length.saturating_add(bytes.len()));
        (length <= REPLAY_BODY_BYTES_MAX).then_some(length)
    }

    /// Waits until a frame is due: for ever without a cadence.
    pub async fn due(&mut self) {
        match &mut self.ticks {
            Some(ticks) => drop(ticks.tick().await),
            None => std::future::pending().await,
        }
    }

    /// One event, which leaves in the next frame.
    pub fn say(&mut self, event: &[u8]) {
        // Each event is filled up by itself, so that a frame tells how many there are and not how long.
        self.shaping.fill(event, &mut self.waiting);
    }

    /// Nothing more is there to say now: without a cadence what waits leaves; with one, when it is too much.
    ///
    /// # Errors
    /// When the client left.
    pub async fn send_ready(&mut self) -> Result<(), Aborted> {
        if self.ticks.is_none() || self.is_full() { self.flush().await } else { Ok(()) }
    }

    /// The frame that is due, whether there is something to say or not.
    ///
    /// # Errors
    /// When the client left.
    pub async fn tick(&mut self) -> Result<(), Aborted> {
        let sent = if self.is_flushed() { self.send(self.shaping.silence()).await } else { self.flush().await };
        // From now on, not from when it was due: a client that reads slowly must not keep the engine from being read.
        if let Some(ticks) = &mut self.ticks {
            ticks.reset();
        }
        sent
    }

    /// What still waits.
    ///
    /// # Errors
    /// When the client left.
    pub async fn flush(&mut self) -> Result<(), Aborted> {
        let events = self.waiting.split().freeze();
        if events.is_empty() { Ok(()) } else { self.send(events).await }
    }

    /// The answer is finished: the last events leave in the next frame, if the client is still there.
    pub async fn finish(&mut self) {
        if self.ticks.is_some() {
            self.due().await;
        }
        let rest = self.waiting.split().freeze();
        self.send_or_keep(rest).await;
    }

    async fn send_or_keep(&mut self, bytes: Bytes) {
        if self.send(bytes.clone()).await.is_err() && !bytes.is_empty() {
            self.lost.push(bytes);
        }
    }

    /// A whole document, if the client is still there.
    pub async fn document(&mut self, json: Vec<u8>) {
        let document = self.shaping.document(json);
        self.send_or_keep(document).await;
    }

    /// What is left when all is sent.
    #[must_use]
    pub fn into_sent(self) -> Sent {
        Sent { tx: self.tx, end: BodyEnd(self.progress), hasher: self.hasher, replay: self.replay }
    }

    /// Puts bytes into the channel once what was there before is taken.
    async fn send(&mut self, bytes: Bytes) -> Result<(), Aborted> {
        let tx = self.tx.clone();
        let permit = match tx.try_reserve() {
            Ok(permit) => permit,
            Err(_) => {
                let taken = tokio::time::timeout(CLIENT_STALL_TIMEOUT, tx.reserve()).await;
                taken.map_err(|_| Aborted)?.map_err(|_| Aborted)?
            }
        };
        self.commit();
        self.unsent.push(bytes.clone());
        self.put = self.put.saturating_add(1);
        permit.send(Ok(Frame::data(bytes)));
        Ok(())
    }

    /// What was put is part of the answer.
    fn commit(&mut self) {
        for bytes in self.unsent.drain(..) {
            self.hasher.update(&bytes);
            let fits = |held: &BytesMut| held.len().saturating_add(bytes.len()) <= REPLAY_BODY_BYTES_MAX;
            self.replay = self.replay.take().filter(fits);
            if let Some(held) = &mut self.replay {
                held.extend_from_slice(&bytes);
            }
        }
    }
}

fn ticks(cadence: Duration) -> Interval {
    let mut ticks = tokio::time::interval_at(Instant::now() + cadence, cadence);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use attestation::Sha256Digest;
    use http_body_util::BodyExt;

    use super::*;
    use crate::config::ShapingConfig;

    const SOON: Duration = Duration::from_millis(50);

    async fn two_frames() -> (Output, ChannelBody) {
        let plain = ShapingConfig { frame_bytes: 0, cadence_millis: 0 };
        let (mut output, mut body) = Output::new(Shaping::new(&plain, true));
        output.say(b"one ");
        output.send_ready().await.unwrap();
        assert_eq!((output.put(), output.sent()), (1, 0), "it is on its way");
        assert_eq!(&body.frame().await.unwrap().unwrap().into_data().unwrap()[..], b"one ");
        assert!(output.all_sent(SOON).await && output.sent() == 1);
        output.say(b"two ");
        output.send_ready().await.unwrap();
        assert!(!output.all_sent(SOON).await, "nobody took it");
        (output, body)
    }

    /// How the rest of a body ends.
    async fn ends_whole(mut body: ChannelBody) -> bool {
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                assert!(body.frame().await.is_none(), "and no more");
                return false;
            }
        }
        true
    }

    /// The connection takes a frame and counts it a moment later, maybe on another processor.
    #[tokio::test]
    async fn what_was_taken_is_sent_although_nobody_counted_it_yet() {
        let (mut output, mut body) = two_frames().await;
        assert!(body.frames.try_recv().is_ok());
        assert!(output.all_sent(SOON).await, "an answer that was taken whole is not broken off");
    }

    #[tokio::test]
    async fn a_body_breaks_off_unless_it_was_marked_as_whole() {
        let (output, body) = two_frames().await;
        drop(output);
        assert!(!ends_whole(body).await, "the task that filled it is gone");
        let (output, body) = two_frames().await;
        output.into_sent().end.mark_whole();
        assert!(ends_whole(body).await);
    }

    fn hash(output: Output) -> Sha256Digest {
        output.into_sent().hasher.finish()
    }

    #[tokio::test]
    async fn what_the_connection_did_not_take_was_not_sent() {
        let (mut output, body) = two_frames().await;
        drop(body);
        output.say(b"three");
        assert!(output.send_ready().await.is_err());
        assert!(!output.all_sent(SOON).await);
        assert_eq!((output.put(), output.sent()), (2, 1));
        assert_eq!(hash(output), Sha256Digest::of(b"one "));
    }

    #[tokio::test]
    async fn a_finished_answer_that_can_be_fetched_again_is_whole_all_the_same() {
        let (mut output, body) = two_frames().await;
        drop(body);
        output.say(b"three");
        output.finish().await;
        assert!(!output.all_sent(SOON).await);
        assert_eq!(output.replay_bytes(), Some(13));
        output.commit_all();
        let sent = output.into_sent();
        assert_eq!(&sent.replay.unwrap()[..], b"one two three");
        assert_eq!(sent.hasher.finish(), Sha256Digest::of(b"one two three"));
    }
}
