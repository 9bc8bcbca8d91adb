//! HTTP/2 with its roles reversed: the connector dials and is the server, the gateway the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Notify;

use super::Tied;
use crate::http::Guard;
use crate::model::StreamWindow;

/// What the connection may have in flight: all that HTTP/2 can express. A smaller one lets twenty
/// slow readers stop every other request of the tunnel; memory is bounded by window times streams.
pub const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// Streams on one connection, whatever their window.
const MOST_STREAMS: u32 = 1024;

/// Streams on one connection, the control stream not counted: as many as the connection's window
/// bears with each stream's full.
#[must_use]
pub fn streams(window: StreamWindow) -> u32 {
    (CONNECTION_WINDOW / window.octets()).min(MOST_STREAMS)
}

/// Streams beyond [`streams`] that the connector's HTTP/2 still takes: the control stream, and
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

/// The gateway's end, whose tasks `tied` runs; answers may have so much in flight towards it.
#[must_use]
pub fn client(tied: &Tied, window: StreamWindow) -> hyper::client::conn::http2::Builder<Tied> {
    let mut builder = hyper::client::conn::http2::Builder::new(tied.clone());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(window.octets())
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

/// The connector's end; requests may have so much in flight towards it.
#[must_use]
pub fn server(window: StreamWindow) -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(window.octets())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(streams(window) + STREAM_SLACK)
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
    /// As many places as the connector announced by its window, and no more than the gateway's own
    /// window allows: what is under way is bounded in both directions.
    #[must_use]
    pub fn new(announced: u32, window: StreamWindow) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicU32::new(0),
            all: announced.min(streams(window)),
            returned: Notify::new(),
        })
    }

    /// How many there are.
    #[must_use]
    pub fn all(&self) -> u32 {
        self.all
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
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn window(octets: u64) -> StreamWindow {
        StreamWindow::new(octets).unwrap()
    }

    #[test]
    fn memory_is_bounded_by_streams_and_not_by_the_connections_window() {
        for (octets, expected) in [
            (64 << 10, 1024),
            (1 << 20, 1024),
            ((2 << 20) - 1024, 1024),
            (2 << 20, 1023),
            (4 << 20, 511),
        ] {
            let streams = streams(window(octets));
            assert_eq!(streams, expected, "{octets}");
            assert!(u64::from(streams) * octets <= u64::from(CONNECTION_WINDOW));
        }
        let bounds = [(64 << 10) - 1, (4 << 20) + 1, 0, u64::MAX];
        assert!(bounds.map(StreamWindow::new).iter().all(Option::is_none));
    }

    /// The settings that an end says first: identifiers and values.
    async fn settings(mut stream: DuplexStream) -> Vec<(u16, u32)> {
        let length = stream.read_u32().await.unwrap() >> 8;
        assert_eq!(length % 6, 0);
        // The rest of the frame's head: flags and stream.
        stream.read_exact(&mut [0; 5]).await.unwrap();
        let mut settings = Vec::new();
        for _ in 0..length / 6 {
            let identifier = stream.read_u16().await.unwrap();
            settings.push((identifier, stream.read_u32().await.unwrap()));
        }
        settings
    }

    #[tokio::test]
    async fn each_end_says_its_own_window_and_the_connector_how_many_streams_it_takes() {
        const MAX_CONCURRENT_STREAMS: u16 = 3;
        const INITIAL_WINDOW_SIZE: u16 = 4;
        for (octets, streams) in [(64 << 10, 1024), (4 << 20, 511)] {
            let says_window = (INITIAL_WINDOW_SIZE, window(octets).octets());
            let (near, mut far) = duplex(1 << 16);
            let tied = Tied::to(CancellationToken::new());
            let handshake =
                client(&tied, window(octets)).handshake::<_, crate::http::Body>(TokioIo::new(near));
            let (_requests, _connection) = handshake.await.unwrap();
            far.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
            assert!(settings(far).await.contains(&says_window));

            let (near, mut far) = duplex(1 << 16);
            let service = hyper::service::service_fn(async |_| {
                Ok::<_, std::convert::Infallible>(hyper::Response::new(crate::http::Body::empty()))
            });
            let serving = server(window(octets)).serve_connection(TokioIo::new(near), service);
            let serving = tokio::spawn(serving);
            far.write_all(PREFACE).await.unwrap();
            // Settings that say nothing.
            far.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            let said = settings(far).await;
            assert!(said.contains(&says_window), "{said:?}");
            let most = (MAX_CONCURRENT_STREAMS, streams + STREAM_SLACK);
            assert!(said.contains(&most), "{said:?}");
            serving.abort();
        }
    }

    /// DESIGN section 4: PING every 5 s with 5 s to answer, from both ends, also while idle.
    const LOST_AFTER: Duration = Duration::from_secs(10);

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// The gateway's end or the connector's, of a tunnel without a request.
    #[derive(Debug, Clone, Copy)]
    enum End {
        Gateway,
        Connector,
    }

    /// Runs an end until it gives the other up.
    async fn live(end: End, stream: DuplexStream) -> hyper::Error {
        let stream = TokioIo::new(stream);
        match end {
            End::Gateway => {
                let tied = Tied::to(CancellationToken::new());
                let handshake = client(&tied, StreamWindow::USUAL)
                    .handshake::<_, crate::http::Body>(stream)
                    .await;
                let (_requests, connection) = handshake.unwrap();
                connection.await.unwrap_err()
            }
            End::Connector => {
                let service = hyper::service::service_fn(|_| {
                    let answer = hyper::Response::new(crate::http::Body::empty());
                    std::future::ready(Ok::<_, std::convert::Infallible>(answer))
                });
                let serving = server(StreamWindow::USUAL).serve_connection(stream, service);
                serving.await.unwrap_err()
            }
        }
    }

    /// The other end: says what HTTP/2 begins with and then nothing but answers to PINGs, each this
    /// long after it came and as many as this.
    async fn answer(end: End, stream: DuplexStream, delay: Duration, count: usize) {
        const SETTINGS: u8 = 4;
        const PING: u8 = 6;
        const ACK: u8 = 1;
        let (mut read, mut write) = tokio::io::split(stream);
        match end {
            End::Gateway => drop(read.read_exact(&mut [0; PREFACE.len()]).await.unwrap()),
            End::Connector => write.write_all(PREFACE).await.unwrap(),
        }
        let settings = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
        write.write_all(&settings).await.unwrap();
        let mut answered = 0;
        let mut head = [0; 9];
        // The end that is asked for may have given this one up.
        while read.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            read.read_exact(&mut payload).await.unwrap();
            let [.., kind, flags, _, _, _, _] = head;
            if kind == SETTINGS && flags & ACK == 0 {
                let acknowledged = [0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0];
                write.write_all(&acknowledged).await.unwrap();
            }
            if kind == PING && flags & ACK == 0 && answered < count {
                answered += 1;
                tokio::time::sleep(delay).await;
                let acknowledged = [0, 0, 8, PING, ACK, 0, 0, 0, 0];
                if write.write_all(&acknowledged).await.is_err()
                    || write.write_all(&payload).await.is_err()
                {
                    return;
                }
            }
        }
    }

    /// After how long each end gives up another that answers so many PINGs, each after this delay.
    async fn given_up(delay: Duration, count: usize) -> Vec<Duration> {
        let mut all = Vec::new();
        for end in [End::Gateway, End::Connector] {
            let (near, far) = duplex(1 << 16);
            let since = Instant::now();
            let answering = tokio::spawn(answer(end, far, delay, count));
            let error = live(end, near).await;
            let source = std::error::Error::source(&error).map(ToString::to_string);
            assert_eq!(source.as_deref(), Some("keep-alive timed out"), "{end:?}");
            all.push(since.elapsed());
            answering.abort();
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_falls_silent_is_lost_after_ten_seconds_and_not_earlier() {
        // Timers go by whole milliseconds, each of them rounded up.
        let tick = Duration::from_millis(50);
        for answered in [0, 1, 20] {
            let last = u32::try_from(answered).unwrap() * PING;
            for after in given_up(Duration::ZERO, answered).await {
                let due = last + LOST_AFTER;
                assert!((due..due + tick).contains(&after), "{answered}: {after:?}");
            }
        }
        // An answer that is late by a moment is none.
        let late = PING + tick;
        for after in given_up(late, usize::MAX).await {
            let due = LOST_AFTER;
            assert!((due..due + tick).contains(&after), "{after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_answers_in_its_five_seconds_is_never_lost() {
        let hour = Duration::from_secs(3600);
        for delay in [Duration::ZERO, PING - Duration::from_millis(5)] {
            let lost = tokio::time::timeout(hour, given_up(delay, usize::MAX)).await;
            assert!(lost.is_err(), "{delay:?}: {lost:?}");
        }
        // And two of ours, which is what there is.
        let (near, far) = duplex(1 << 16);
        let both = async {
            tokio::join!(live(End::Gateway, near), live(End::Connector, far));
        };
        assert!(tokio::time::timeout(hour, both).await.is_err());
    }

    #[test]
    fn a_place_is_taken_once_and_comes_back() {
        let places = Places::new(2, StreamWindow::USUAL);
        let (a, b) = (places.take(), places.take());
        assert!(a.is_some() && b.is_some() && places.take().is_none());
        assert!(places.are_taken() && Places::new(0, StreamWindow::USUAL).are_taken());
        drop(a);
        assert_eq!((places.taken(), places.are_taken()), (1, false));
        assert!(places.take().is_some());
    }

    #[tokio::test]
    async fn the_last_place_that_comes_back_is_noticed() {
        let places = Places::new(2, StreamWindow::USUAL);
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
    fn a_connector_cannot_announce_more_than_the_gateways_own_window_bears() {
        for (announced, octets, expected) in [
            (u32::MAX, 1 << 20, 1024),
            (1024, 4 << 20, 511),
            (511, 64 << 10, 511),
        ] {
            let places = Places::new(announced, window(octets));
            let taken: Vec<_> = std::iter::from_fn(|| places.take()).collect();
            assert_eq!(taken.len(), expected, "{announced} at {octets}");
        }
    }
}
