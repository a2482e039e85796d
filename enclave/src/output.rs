//! The client's end of one answer: frames, and what the receipt and a repeat need of them.
//!
//! Decides: what counts as sent. The hash covers exactly the bytes that the connection took, and those of a finished answer whose
//! client left, which can be fetched again under its idempotency key.

use std::pin::Pin;
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

/// The body that the connection reads from.
#[derive(Debug)]
pub struct ChannelBody(pub mpsc::Receiver<Result<Frame<Bytes>, Aborted>>);

impl http_body::Body for ChannelBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        self.0.poll_recv(cx)
    }
}

/// One answer as it is sent.
#[derive(Debug)]
pub struct Output {
    tx: FrameSender,
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
    /// Over all bytes.
    pub hasher: Sha256Stream,
    /// All bytes, unless they are too many to hold.
    pub replay: Option<BytesMut>,
}

impl Output {
    /// An answer of which nothing is sent yet.
    #[must_use]
    pub fn new(tx: FrameSender, shaping: Shaping) -> Self {
        let (hasher, replay) = (Sha256Stream::new(), Some(BytesMut::new()));
        Self { tx, hasher, replay, shaping, ticks: shaping.cadence().map(ticks), waiting: BytesMut::new() }
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
        if self.ticks.is_none() || self.waiting.len() >= WAITING_BYTES_MAX { self.flush().await } else { Ok(()) }
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

    /// The answer is finished: the last events leave in the next frame. If the client left, they are part of the answer all the same.
    pub async fn finish(&mut self) {
        if self.ticks.is_some() {
            self.due().await;
        }
        let rest = self.waiting.split().freeze();
        if self.send(rest.clone()).await.is_err() {
            self.take(&rest);
        }
    }

    /// A whole document. If the client left, it is the answer all the same.
    pub async fn document(&mut self, json: Vec<u8>) {
        let document = self.shaping.document(json);
        if self.send(document.clone()).await.is_err() {
            self.take(&document);
        }
    }

    /// What is left when all is sent.
    #[must_use]
    pub fn into_sent(self) -> Sent {
        Sent { tx: self.tx, hasher: self.hasher, replay: self.replay }
    }

    /// Sends bytes and hashes what the connection took.
    async fn send(&mut self, bytes: Bytes) -> Result<(), Aborted> {
        let tx = self.tx.clone();
        let permit = match tx.try_reserve() {
            Ok(permit) => permit,
            Err(_) => {
                let taken = tokio::time::timeout(CLIENT_STALL_TIMEOUT, tx.reserve()).await;
                taken.map_err(|_| Aborted)?.map_err(|_| Aborted)?
            }
        };
        self.take(&bytes);
        permit.send(Ok(Frame::data(bytes)));
        Ok(())
    }

    fn take(&mut self, bytes: &Bytes) {
        self.hasher.update(bytes);
        self.replay = self.replay.take().filter(|held| held.len().saturating_add(bytes.len()) <= REPLAY_BODY_BYTES_MAX);
        if let Some(held) = &mut self.replay {
            held.extend_from_slice(bytes);
        }
    }
}

fn ticks(cadence: Duration) -> Interval {
    let mut ticks = tokio::time::interval_at(Instant::now() + cadence, cadence);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
