//! The threads that serve connections, each with a runtime of its own.
//!
//! Decides: which thread serves a connection, for all of its life. What a connection starts runs beside it on the same thread, so an event
//! of the engine reaches its client without waking another processor: with threads that share their work, that waking costs more than all
//! that is done with an event.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Context;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// Threads that serve. They end when this is dropped, and what they were doing with them.
#[derive(Debug)]
pub struct Workers {
    handles: Vec<Handle>,
    next: AtomicUsize,
    _alive: watch::Sender<()>,
}

impl Workers {
    /// One for each processor.
    ///
    /// # Errors
    /// When the machine gives no thread.
    pub fn start() -> anyhow::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let (alive, watched) = watch::channel(());
        let mut handles = Vec::with_capacity(count);
        for _ in 0..count {
            let runtime =
                Builder::new_current_thread().enable_all().build().context("make a serving thread's runtime")?;
            handles.push(runtime.handle().clone());
            let mut watched = watched.clone();
            thread::Builder::new()
                .name("serving".to_owned())
                .spawn(move || runtime.block_on(async move { while watched.changed().await.is_ok() {} }))
                .context("start a serving thread")?;
        }
        Ok(Self { handles, next: AtomicUsize::new(0), _alive: alive })
    }

    /// Serves a connection on one of them, in turn.
    pub fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(handle) = self.handles.get(turn % self.handles.len().max(1)) {
            handle.spawn(connection);
        }
    }
}
