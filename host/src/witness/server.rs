//! HTTP for strangers: every limit has a name, and no connection lasts.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections at once; further ones wait in the kernel.
const CONNECTIONS_MAX: usize = 512;
/// Time for a request's head to arrive, also the first.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a connection may last: a log's keeper opens another.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(600);
/// Time that requests under way get once the process is asked to stop.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);
/// Pause after a connection could not be accepted, for want of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` resolves.
pub(super) async fn serve(
    listener: TcpListener,
    routes: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let place = Arc::clone(&places).acquire_owned();
        let accepted = async { (place.await, listener.accept().await) };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let routes = routes.clone();
        connections.spawn(async move {
            let _place = place;
            // What a client does to its own connection is its own business.
            let _ = tokio::time::timeout(CONNECTION_TIME_MAX, connection(stream, routes)).await;
        });
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN_TIME_MAX, drained).await;
    Ok(())
}

async fn connection(stream: TcpStream, routes: Router) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .await
}
