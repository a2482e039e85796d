//! When a service is told to end.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves at SIGTERM or SIGINT. They are caught from the call on.
pub(crate) fn asked() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
