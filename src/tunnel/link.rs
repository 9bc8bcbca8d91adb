//! HTTP/2 with its roles reversed: the connector dials and is the server, the gateway the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Notify;

use crate::http::Guard;

/// What one stream may have in flight. 1 MiB carries about 106 Mbit/s at 50 ms; HTTP/2's own
/// default of 64 KiB carries 8.
pub const STREAM_WINDOW: u32 = 1 << 20;

/// What the connection may have in flight: all that HTTP/2 can express. A smaller one lets twenty
/// slow readers stop every other request of the tunnel; memory is bounded by window times streams.
pub const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// Streams on one connection, the control stream not counted: bounded by the connection's window.
pub const MAX_STREAMS: u32 = {
    let fit = CONNECTION_WINDOW / STREAM_WINDOW;
    if fit < 1024 { fit } else { 1024 }
};

/// Streams beyond [`MAX_STREAMS`] that the connector's HTTP/2 still takes: the control stream, and
/// those the gateway counts as ended a moment before the connector does.
const STREAM_SLACK: u32 = 64;

/// How often each end asks whether the other is still there, also while idle, and how long it waits
/// for the answer.
const PING: Duration = Duration::from_secs(5);

/// The largest header list in the tunnel, in octets; what passes the front (64 KiB) fits in its
/// worst encoding.
pub const HEADER_LIST: u32 = 256 * 1024;

/// The compression table of each direction, in octets.
const HEADER_TABLE: u32 = 64 * 1024;

/// Streams reset by the other side before they were answered. HTTP/2's default of 20 is meant for
/// strangers; a gateway resets a stream whenever a person presses stop.
const RESETS: usize = 4096;

/// Octets of one stream that wait in memory for the socket.
const SEND_BUFFER: usize = 256 * 1024;

/// The gateway's end.
#[must_use]
pub fn client() -> hyper::client::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(1)
        .max_header_list_size(HEADER_LIST)
        .header_table_size(HEADER_TABLE)
        .max_concurrent_reset_streams(RESETS)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .keep_alive_while_idle(true);
    builder
}

/// The connector's end.
#[must_use]
pub fn server() -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS + STREAM_SLACK)
        .max_header_list_size(HEADER_LIST)
        .header_table_size(HEADER_TABLE)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .auto_date_header(false)
        .enable_connect_protocol();
    builder
}

/// The places of one tunnel, counted by the gateway: HTTP/2 itself would queue unseen.
#[derive(Debug)]
pub struct Places {
    taken: AtomicU32,
    all: u32,
    returned: Notify,
}

/// One place; free again when it is dropped.
#[derive(Debug)]
pub struct Place(Arc<Places>);

impl Places {
    /// As many places as the connector announced, [`MAX_STREAMS`] at most.
    #[must_use]
    pub fn new(announced: u32) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicU32::new(0),
            all: announced.min(MAX_STREAMS),
            returned: Notify::new(),
        })
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether none is left.
    #[must_use]
    pub fn are_taken(&self) -> bool {
        self.taken() >= self.all
    }

    /// Takes one; `None` where all are taken.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> Option<Place> {
        let more = |taken: u32| (taken < self.all).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, more);
        taken.ok().map(|_| Place(Arc::clone(self)))
    }

    /// Waits until none is taken.
    pub async fn none_taken(&self) {
        loop {
            let mut returned = std::pin::pin!(self.returned.notified());
            returned.as_mut().enable();
            if self.taken() == 0 {
                return;
            }
            returned.await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.taken.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.returned.notify_waiters();
        }
    }
}

impl Guard for Place {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_by_streams_and_not_by_the_connections_window() {
        assert!(u64::from(MAX_STREAMS) * u64::from(STREAM_WINDOW) <= u64::from(CONNECTION_WINDOW));
    }

    #[test]
    fn a_place_is_taken_once_and_comes_back() {
        let places = Places::new(2);
        let (a, b) = (places.take(), places.take());
        assert!(a.is_some() && b.is_some() && places.take().is_none());
        assert!(places.are_taken() && Places::new(0).are_taken());
        drop(a);
        assert_eq!((places.taken(), places.are_taken()), (1, false));
        assert!(places.take().is_some());
    }

    #[tokio::test]
    async fn the_last_place_that_comes_back_is_noticed() {
        let places = Places::new(2);
        places.none_taken().await;
        let taken: Vec<_> = std::iter::from_fn(|| places.take()).collect();
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.none_taken().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(taken);
        waiting.await.unwrap();
    }

    #[test]
    fn a_connector_cannot_announce_more_than_the_window_bears() {
        let places = Places::new(u32::MAX);
        let taken: Vec<_> = std::iter::from_fn(|| places.take()).collect();
        assert_eq!(taken.len(), MAX_STREAMS as usize);
    }
}
