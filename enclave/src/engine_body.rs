//! An answer of the engine as it arrives, with the connection that brings it.
//!
//! The connection is driven by whoever reads the answer, in one task: handing each event from one task to another costs more than all
//! else that is done with it. Dropping this drops the connection, on which engines stop generating.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::inference::EngineError;

/// One connection to the engine, for one request.
#[derive(Debug)]
pub struct EngineConnection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Driver,
}

/// The connection's own work, until it is done.
#[derive(Debug)]
struct Driver(Option<Connection<TokioIo<UnixStream>, Full<Bytes>>>);

impl Driver {
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.0
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.0 = None;
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub struct EngineBody {
    body: Incoming,
    driver: Driver,
    /// How it ended: told as often as it is asked for.
    ended: Option<Ended>,
}

#[derive(Debug, Clone, Copy)]
enum Ended {
    Whole,
    Broken,
}

/// What was there of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrived {
    /// Its next bytes.
    Bytes(Bytes),
    /// Its end, as HTTP has it.
    End,
    /// It broke off.
    Broken,
}

impl EngineConnection {
    /// A connection over this socket.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] when the engine does not take it.
    pub async fn open(stream: UnixStream) -> Result<Self, EngineError> {
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|_| EngineError::Unavailable)?;
        Ok(Self { sender, driver: Driver(Some(connection)) })
    }

    /// Sends the request; head and body of the answer.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] when none comes.
    pub async fn send(self, request: Request<Full<Bytes>>) -> Result<http::Response<EngineBody>, EngineError> {
        let Self { mut sender, mut driver } = self;
        let mut answer = std::pin::pin!(sender.send_request(request));
        let answer = std::future::poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            driver.drive(cx);
            answer.as_mut().poll(cx)
        });
        let answer = answer.await.map_err(|_| EngineError::Unavailable)?;
        Ok(answer.map(|body| EngineBody { body, driver, ended: None }))
    }
}

impl EngineBody {
    /// Waits for more of the answer, and takes all that is there by then, at most about `limit` bytes. Safe to give up waiting for.
    pub async fn next(&mut self, limit: usize) -> Arrived {
        let first = std::future::poll_fn(|cx| self.poll(cx)).await;
        let Arrived::Bytes(first) = first else { return first };
        let mut more = BytesMut::new();
        while first.len().saturating_add(more.len()) < limit {
            // An end or a break is told again by the next call.
            let Some(Arrived::Bytes(bytes)) = std::future::poll_fn(|cx| Poll::Ready(self.ready(cx))).await else {
                break;
            };
            more.extend_from_slice(&bytes);
        }
        if more.is_empty() { Arrived::Bytes(first) } else { Arrived::Bytes([&first[..], &more[..]].concat().into()) }
    }

    fn ready(&mut self, cx: &mut Context<'_>) -> Option<Arrived> {
        match self.poll(cx) {
            Poll::Ready(arrived) => Some(arrived),
            Poll::Pending => None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Arrived> {
        if let Poll::Ready(arrived) = self.poll_body(cx) {
            return Poll::Ready(arrived);
        }
        self.driver.drive(cx);
        self.poll_body(cx)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Arrived> {
        loop {
            match self.ended {
                Some(Ended::Whole) => return Poll::Ready(Arrived::End),
                Some(Ended::Broken) => return Poll::Ready(Arrived::Broken),
                None => {}
            }
            let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
            match frame {
                None => self.ended = Some(Ended::Whole),
                Some(Err(_)) => self.ended = Some(Ended::Broken),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if !bytes.is_empty() => return Poll::Ready(Arrived::Bytes(bytes)),
                    // Trailers say nothing that is read.
                    _ => {}
                },
            }
        }
    }
}
