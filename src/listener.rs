//! A listener that speaks HTTP/1.1 and HTTP/2 without TLS, with limits on what a caller may take, and a graceful stop.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{extract::Request, response::Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutBody};
use tower_layer::Layer;
use tower_service::Service;
use tracing::{debug, warn};

/// Most connections at once; Centrifugo needs one over gRPC, and a few hundred over HTTP.
const MAX_CONNECTIONS: usize = 4096;
/// How long a new connection may say nothing, and how long a request's body may pause.
const SILENCE: Duration = Duration::from_secs(5);
/// How long an HTTP/1.1 connection may be idle, its next headers included. Long: a gateway that sends a call just as we
/// close its idle connection does not repeat it.
const IDLE: Duration = Duration::from_mins(5);
/// How long calls in hand may take at the end.
const GRACE: Duration = Duration::from_secs(2);
/// A gateway sends every client's calls over one connection, so streams are as many as calls under way; and after a stall
/// it resets as many at once.
const MAX_STREAMS: u32 = 100_000;
/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A request as it reaches a service: its body ends when it says nothing for too long.
pub type Call = Request<TimeoutBody<Incoming>>;

/// What can be served: a router, or one with something in front of it.
pub trait Serves:
    Service<Call, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Serves for S where
    S: Service<Call, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// Serves until told to stop; then takes no more calls and finishes those in hand.
pub async fn serve(listener: TcpListener, service: impl Serves, stop: CancellationToken) {
    let service = RequestBodyTimeoutLayer::new(SILENCE).layer(service);
    let http = builder();
    let connections = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
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
        let (http, service) = (http.clone(), TowerToHyperService::new(service.clone()));
        let watcher = connections.watcher();
        let stop = stop.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let speaks = stop.run_until_cancelled(timeout(SILENCE, begins(&stream))).await;
            if !matches!(speaks, Some(Ok(Ok(())))) {
                return;
            }
            let _ = stream.set_nodelay(true);
            let connection = http.serve_connection(TokioIo::new(stream), service).into_owned();
            if let Err(error) = watcher.watch(connection).await {
                debug!("A connection broke: {error}");
            }
        });
    }
    drop(listener);
    if timeout(GRACE, connections.shutdown()).await.is_err() {
        warn!("Calls were still under way {GRACE:?} after the stop");
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_STREAMS as usize)
        .max_local_error_reset_streams(MAX_STREAMS as usize)
        .initial_connection_window_size(16 << 20)
        .initial_stream_window_size(1 << 20)
        .keep_alive_interval(Duration::from_secs(20));
    http
}

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

/// Resolves once the first bytes say which version of HTTP this is; hyper itself would wait for ever.
async fn begins(stream: &TcpStream) -> io::Result<()> {
    let mut first = [0; PREFACE.len()];
    loop {
        let read = stream.peek(&mut first).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if read == PREFACE.len() || first[..read] != PREFACE[..read] {
            return Ok(());
        }
        // The beginning of a preface: `peek` would return at once with the same.
        sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_or_stalls_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", axum::routing::post(async |body: String| body));
        tokio::spawn(serve(listener, router, CancellationToken::new()));
        for said in ["", "PRI * HTTP/2.0", "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nx"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            let mut answer = String::new();
            let closed = timeout(IDLE * 2, stream.read_to_string(&mut answer)).await;
            assert!(closed.is_ok() && !answer.contains("200"), "{said:?}: {answer}");
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nxy").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("200") && answer.ends_with("xy"), "{answer}");
    }
}
