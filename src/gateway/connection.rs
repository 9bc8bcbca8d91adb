//! One connection of a person: HTTP/1.1 or HTTP/2 under limits, ended gently when the gateway stops.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::client_tls::ClientTls;
use super::crowd::Seat;
use super::kept::Kept;
use super::pins::Pins;
use super::scanned::{Scan, Scanned};
use super::{Gateway, pipeline};
use crate::http::{Delivery, Streams};
use crate::model::{Ends, Scheme};

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

/// How long an HTTP/2 connection is kept on which nobody asks for anything; browsers give one up
/// after about as long. HTTP/1.1 has [`HEAD`] for that.
const HTTP2_IDLE: Duration = Duration::from_secs(5 * 60);

/// How long a client may take nothing of an answer of ours; those of applications have their time.
const READER: Duration = Duration::from_secs(60);

/// Octets of one answer that wait in memory for the socket.
const SEND_BUFFER: usize = 256 * 1024;

/// How a request came in.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    /// The client, be it at the other end or behind who passes its connection on.
    pub(crate) peer: SocketAddr,
    /// The client's connection.
    pub(super) ends: Ends,
    pub(crate) scheme: Scheme,
    h2: bool,
    /// What its client was asked for in the handshake; `None`: nothing.
    pub(super) client_tls: Option<Arc<ClientTls>>,
    /// What it holds on to.
    pub(super) pins: Arc<Pins>,
}

impl Transport {
    /// Plain HTTP/1.1.
    pub(crate) fn plain(ends: Ends) -> Self {
        Self {
            peer: ends.source(),
            ends,
            scheme: Scheme::Http,
            h2: false,
            client_tls: None,
            pins: Arc::default(),
        }
    }

    /// TLS, with the protocol that ALPN chose.
    pub(super) fn tls(ends: Ends, h2: bool, client_tls: Option<Arc<ClientTls>>) -> Self {
        Self {
            peer: ends.source(),
            ends,
            scheme: Scheme::Https,
            h2,
            client_tls,
            pins: Arc::default(),
        }
    }
}

/// Serves a connection to its end.
pub(super) async fn serve<S>(
    gateway: Arc<Gateway>,
    stream: S,
    transport: Transport,
    seat: Arc<Seat>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if !seat.enters() {
        tracing::debug!(peer = %transport.peer, "no room for another connection");
        return;
    }
    // The builders are named by what ALPN chose: one that guesses waits for ever for a first octet.
    let outcome = match transport.h2 {
        // In a box, so that a connection of HTTP/1.1 has no room for it.
        true => Box::pin(serve_http2(&gateway, stream, &transport, &seat)).await,
        false => serve_http1(&gateway, stream, &transport, &seat).await,
    };
    if let Err(error) = outcome {
        // The client's doing: malformed requests, resets, silence.
        tracing::debug!(peer = %transport.peer, %error, "connection ended");
    }
}

async fn serve_http1<S>(
    gateway: &Arc<Gateway>,
    stream: S,
    transport: &Transport,
    seat: &Arc<Seat>,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (spoke, kept, scan) = (CancellationToken::new(), Kept::new(), Scan::default());
    let delivery = Delivery::default();
    let stream = delivery.of(Scanned::new(stream, scan.clone()));
    let service = service_fn(|request: Request<Incoming>| {
        spoke.cancel();
        let (begun, refused) = scan.begins(&request);
        let (gateway, kept, scan) = (Arc::clone(gateway), kept.clone(), scan.clone());
        let delivery = &delivery;
        let busy = seat.takes();
        let handled = pipeline::handle(gateway, transport.clone(), busy, refused, request);
        // In a box: hyper keeps room for what stands here as long as the connection is open.
        let handled = Box::pin(handled);
        async move {
            let response = handled.await;
            let is_upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            scan.answered(begun, is_upgraded);
            // A WebSocket may be still for as long as it likes.
            let patience = response.body().patience().unwrap_or(READER);
            delivery.set_patience((!is_upgraded).then_some(patience));
            Ok::<_, Infallible>(
                kept.answers(response)
                    .map(|body| body.with_delivery(delivery)),
            )
        }
    });
    // Dropped at the end of the block: what the connection leaves behind is waited for below, and
    // where it broke nothing is left only once it is gone.
    let outcome = {
        let connection = http1_builder()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            // First, so that a request that has arrived is read before the connection counts as idle.
            biased;
            outcome = delivery.drive(connection.as_mut()) => outcome,
            () = gateway.drain.ends_kept(&spoke, &kept) => {
                connection.as_mut().graceful_shutdown();
                delivery.drive(connection).await
            }
            () = seat.leaves() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    outcome = delivery.drive(connection) => outcome,
                    () = seat.is_over() => Ok(()),
                }
            }
        }
    };
    scan.ended().await;
    outcome
}

async fn serve_http2<S>(
    gateway: &Arc<Gateway>,
    stream: S,
    transport: &Transport,
    seat: &Arc<Seat>,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (spoke, delivery) = (CancellationToken::new(), Delivery::default());
    let service = service_fn(|request| {
        spoke.cancel();
        let (gateway, busy) = (Arc::clone(gateway), seat.takes());
        let delivery = delivery.clone();
        // In a box: what stands here is moved several times before it first runs.
        let handled = Box::pin(pipeline::handle(
            gateway,
            transport.clone(),
            busy,
            None,
            request,
        ));
        async move {
            let response = handled.await;
            let patience = response.body().patience().unwrap_or(READER);
            Ok::<_, Infallible>(
                response.map(|body| body.with_patience(patience).with_delivery(&delivery)),
            )
        }
    });
    let connection = http2_builder().serve_connection(TokioIo::new(delivery.of(stream)), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        outcome = delivery.drive(connection.as_mut()) => outcome,
        () = silence(&spoke) => Ok(()),
        () = gateway.drain.ends_connection(&spoke) => {
            connection.as_mut().graceful_shutdown();
            delivery.drive(connection).await
        }
        () = leaves_or_idles(seat) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                outcome = delivery.drive(connection) => outcome,
                () = seat.is_over() => Ok(()),
            }
        }
    }
}

async fn leaves_or_idles(seat: &Seat) {
    tokio::select! {
        () = seat.leaves() => {}
        () = seat.idle_for(HTTP2_IDLE) => {}
    }
}

/// Completes where a client has sent no request within the time for one; HTTP/2 has no deadline of
/// its own for that.
async fn silence(spoke: &CancellationToken) {
    if timeout(HEAD, spoke.cancelled()).await.is_ok() {
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

fn http2_builder() -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(Streams);
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

#[cfg(test)]
mod tests {
    use http::Response;
    use http_body_util::Empty;
    use hyper::body::Bytes;
    use tokio::io::AsyncWriteExt as _;
    use tokio::time::Instant;

    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    /// When a connection ends whose client says this and then nothing.
    async fn open_for(h2: bool, said: &[u8]) -> Duration {
        let (near, mut client) = tokio::io::duplex(1 << 16);
        client.write_all(said).await.unwrap();
        let service = service_fn(async |_: Request<Incoming>| {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        });
        let (stream, since) = (TokioIo::new(near), Instant::now());
        // However it ends.
        match h2 {
            true => drop(http2_builder().serve_connection(stream, service).await),
            false => drop(http1_builder().serve_connection(stream, service).await),
        }
        since.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_less_than_a_request_is_closed_in_its_time_and_not_earlier() {
        let spoke = CancellationToken::new();
        let since = Instant::now();
        silence(&spoke).await;
        let mut cases = vec![("HTTP/2 without a request", HEAD, since.elapsed())];
        for (what, h2, said, due) in [
            ("nothing", false, &b""[..], HEAD),
            ("half a head", false, b"GET / HTTP/1.1\r\nHo", HEAD),
            (
                "a request, and no other",
                false,
                b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                HEAD,
            ),
            ("no answer to PING", true, PREFACE, 2 * PING),
        ] {
            cases.push((what, due, open_for(h2, said).await));
        }
        assert_eq!(cases.len(), 5);
        for (what, due, open) in cases {
            // Timers go by whole milliseconds.
            let late = due + Duration::from_millis(5);
            assert!((due..late).contains(&open), "{what}: {open:?}");
        }
        assert_eq!((HEAD.as_secs(), 2 * PING.as_secs()), (30, 40));
    }
}
