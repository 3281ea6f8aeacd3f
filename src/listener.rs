//! A listener that speaks HTTP/1.1 and HTTP/2 without TLS, with limits on what a caller may take, and a graceful stop.

use std::{io, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Most connections at once; Centrifugo needs one over gRPC, and a few hundred over HTTP.
const MAX_CONNECTIONS: usize = 4096;
/// How long a caller may take to send its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long calls in hand may take at the end.
const GRACE: Duration = Duration::from_secs(2);
/// A gateway sends every client's calls over one connection, so streams are as many as calls under way.
const MAX_STREAMS: u32 = 100_000;

/// Serves `router` until told to stop; then takes no more calls and finishes those in hand.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_connection_window_size(16 << 20)
        .initial_stream_window_size(1 << 20)
        .keep_alive_interval(Duration::from_secs(20));
    let connections = GracefulShutdown::new();
    let room = std::sync::Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to come back.
                warn!("A connection could not be accepted: {error}");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = http.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!("A connection broke: {error}");
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, connections.shutdown()).await.is_err() {
        warn!("Calls were still under way {GRACE:?} after the stop");
    }
}

async fn accept(
    listener: &TcpListener,
    room: &std::sync::Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}
