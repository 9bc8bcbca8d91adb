//! One connection of a person: HTTP/1.1 or HTTP/2 under limits, ended gently when the gateway stops.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Gateway, pipeline};
use crate::model::Scheme;

/// For the whole head of a request, and for an idle connection until its next one.
const HEAD: Duration = Duration::from_secs(30);

/// Fields of a request's head.
const HEAD_FIELDS: usize = 256;

/// Octets of a request's head: 64 KiB of fields and a long request line.
const HEAD_OCTETS: usize = 72 * 1024;

/// Requests at once on one HTTP/2 connection; browsers want about a hundred.
const STREAMS: u32 = 128;

/// What one upload may have in flight, and what a connection may: enough that one slow application
/// does not stop a person's other uploads.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// How often an HTTP/2 client is asked whether it is still there, and how long its answer may take.
const PING: Duration = Duration::from_secs(20);

/// Octets of one answer that wait in memory for the socket.
const SEND_BUFFER: usize = 256 * 1024;

/// How a request came in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transport {
    /// The other end of the connection.
    pub(crate) peer: SocketAddr,
    pub(crate) scheme: Scheme,
    h2: bool,
}

impl Transport {
    /// Plain HTTP/1.1.
    pub(crate) fn plain(peer: SocketAddr) -> Self {
        Self {
            peer,
            scheme: Scheme::Http,
            h2: false,
        }
    }

    /// TLS, with the protocol that ALPN chose.
    pub(crate) fn tls(peer: SocketAddr, h2: bool) -> Self {
        Self {
            peer,
            scheme: Scheme::Https,
            h2,
        }
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve<S>(gateway: Arc<Gateway>, stream: S, transport: Transport)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let spoke = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let (gateway, spoke) = (Arc::clone(&gateway), Arc::clone(&spoke));
        move |request| {
            spoke.store(true, Ordering::Relaxed);
            let gateway = Arc::clone(&gateway);
            async move { Ok::<_, Infallible>(pipeline::handle(gateway, transport, request).await) }
        }
    });
    let io = TokioIo::new(stream);
    // The builders are named by what ALPN chose: one that guesses waits for ever for a first octet.
    let outcome = if transport.h2 {
        let mut connection = std::pin::pin!(http2_builder().serve_connection(io, service));
        tokio::select! {
            outcome = &mut connection => outcome,
            () = silence(&spoke) => return,
            () = gateway.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    } else {
        let connection = http1_builder()
            .serve_connection(io, service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            outcome = &mut connection => outcome,
            () = gateway.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = outcome {
        // The client's doing: malformed requests, resets, silence.
        tracing::debug!(peer = %transport.peer, %error, "connection ended");
    }
}

/// Completes where a client has sent no request within the time for one; HTTP/2 has no deadline of
/// its own for that.
async fn silence(spoke: &AtomicBool) {
    tokio::time::sleep_until(Instant::now() + HEAD).await;
    if spoke.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEAD_FIELDS)
        .max_header_size(HEAD_OCTETS);
    builder
}

fn http2_builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(HEAD_OCTETS).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .enable_connect_protocol();
    builder
}
