//! Two streams become one WebSocket.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::frame::may_be_sent;
use super::pipe::{Fault, Pipe, State};

/// How long things may take once the WebSocket is coming to its end.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// To take the Close frame and hang up, after a cut: a session that was revoked is gone
    /// within a second.
    farewell: Duration,
    /// Without an octet, after one side has ended or both have said Close: the other side of a
    /// browser that vanished would otherwise stay for ever.
    half_open: Duration,
}

const PATIENCE: Patience = Patience {
    farewell: Duration::from_secs(1),
    half_open: Duration::from_secs(30),
};

/// Why a WebSocket is ended from outside, as its two sides are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub(super) code: u16,
    pub(super) reason: Cow<'static, str>,
}

impl Cut {
    /// Close code 1001: a drain.
    #[must_use]
    pub fn going_away() -> Self {
        Self::new(1001, "")
    }

    /// This close code and reason (at most 123 octets are sent). A code that may not stand in a
    /// Close frame (RFC 6455, section 7.4) becomes 1001.
    #[must_use]
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: if may_be_sent(code) { code } else { 1001 },
            reason: reason.into(),
        }
    }
}

/// One of the two ends of a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The browser, or what stands before it.
    Client,
    /// The application, or what stands before it.
    Application,
}

/// How a WebSocket ended.
#[derive(Debug)]
pub enum End {
    /// By this side, which was the first to send Close or to end its stream.
    Closed(Side),
    /// From outside.
    Cut {
        /// The client stood between frames and was sent a Close frame.
        client_told: bool,
        /// The application stood between frames and was sent a Close frame.
        application_told: bool,
    },
    /// This side's stream broke before any Close frame.
    Failed(Side, io::Error),
}

/// What became of a WebSocket.
#[derive(Debug)]
pub struct Summary {
    /// Octets the application took, a Close frame of ours not counted.
    pub to_application: u64,
    /// Octets the client took, a Close frame of ours not counted.
    pub to_client: u64,
    /// How it ended.
    pub end: End,
}

/// Copies between `client` and `application` until both directions have ended, one of them
/// breaks, or `cut` fires.
///
/// Octets are read only when the octets before them were taken, so a slow side slows the other.
/// The end of one direction is passed on and the other goes on, for as long as it moves.
///
/// When `cut` fires nothing more is read. Each side that stands between two frames (or will, once
/// the octets already read are written) is sent a Close frame, masked towards the application;
/// the other is dropped as it is. This returns at most a second after the cut, and both streams
/// are dropped with it.
pub async fn splice(
    client: impl AsyncRead + AsyncWrite,
    application: impl AsyncRead + AsyncWrite,
    cut: impl Future<Output = Cut>,
) -> Summary {
    splice_with(PATIENCE, client, application, cut).await
}

async fn splice_with(
    patience: Patience,
    client: impl AsyncRead + AsyncWrite,
    application: impl AsyncRead + AsyncWrite,
    cut: impl Future<Output = Cut>,
) -> Summary {
    let mut client = pin!(client);
    let mut application = pin!(application);
    let mut both = Both::new(patience.half_open);
    let outcome = tokio::select! {
        // A busy WebSocket must not outrun its end.
        biased;
        cut = cut => Err(cut),
        end = poll_fn(|cx| both.poll(cx, client.as_mut(), application.as_mut())) => Ok(end),
    };
    let to_application = both.up.octets;
    let to_client = both.down.octets;
    let end = match outcome {
        Ok(end) => end,
        Err(cut) => {
            let to_client = both.down.last_words(&cut, None);
            let to_application = both.up.last_words(&cut, Some(super::random()));
            let told = tokio::join!(
                farewell(client, to_client, patience.farewell),
                farewell(application, to_application, patience.farewell),
            );
            End::Cut {
                client_told: told.0,
                application_told: told.1,
            }
        }
    };
    Summary {
        to_application,
        to_client,
        end,
    }
}

/// Writes the last octets, ends the stream and waits for its other end to do so too, because a
/// socket that is closed with unread octets resets, and the Close frame is lost with it.
/// Returns whether the last octets were written.
pub(super) async fn farewell(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    last: Option<Vec<u8>>,
    limit: Duration,
) -> bool {
    let Some(last) = last else {
        return false;
    };
    let mut told = false;
    let goodbye = async {
        stream.write_all(&last).await?;
        stream.flush().await?;
        told = true;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // However it ends, the stream is dropped next.
    let _ = timeout(limit, goodbye).await;
    told
}

/// Both directions at once.
struct Both {
    up: Pipe,
    down: Pipe,
    /// Who was first to say Close or to end its stream.
    first: Option<Side>,
    /// A side that no longer takes octets; what it sent before may still be on its way.
    broken: Option<(Side, io::Error)>,
    half_open: Duration,
    /// Runs while the WebSocket is half open, with the octets seen when it was last set.
    timer: Option<(Pin<Box<Sleep>>, u64)>,
}

impl Both {
    fn new(half_open: Duration) -> Self {
        Self {
            up: Pipe::default(),
            down: Pipe::default(),
            first: None,
            broken: None,
            half_open,
            timer: None,
        }
    }

    fn poll<C, A>(
        &mut self,
        cx: &mut Context<'_>,
        mut client: Pin<&mut C>,
        mut application: Pin<&mut A>,
    ) -> Poll<End>
    where
        C: AsyncRead + AsyncWrite,
        A: AsyncRead + AsyncWrite,
    {
        let up = self.up.poll(cx, client.as_mut(), application.as_mut());
        if let Some(end) = self.note(up, Side::Client, Side::Application) {
            return Poll::Ready(end);
        }
        let down = self.down.poll(cx, application, client);
        if let Some(end) = self.note(down, Side::Application, Side::Client) {
            return Poll::Ready(end);
        }
        if self.up.state == State::Done && self.down.state == State::Done {
            return Poll::Ready(self.end());
        }
        if self.is_half_open() {
            let octets = self.up.octets + self.down.octets;
            let (timer, seen) = self
                .timer
                .get_or_insert_with(|| (Box::pin(sleep(self.half_open)), octets));
            if *seen != octets {
                *seen = octets;
                timer.as_mut().reset(Instant::now() + self.half_open);
            }
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(self.end());
        }
        Poll::Pending
    }

    /// Keeps what one direction has to say; an end where there is nothing left to do.
    fn note(&mut self, step: Poll<Result<(), Fault>>, from: Side, to: Side) -> Option<End> {
        let pipe = match from {
            Side::Client => &self.up,
            Side::Application => &self.down,
        };
        if self.first.is_none() && (pipe.state != State::Open || pipe.follower.saw_close()) {
            self.first = Some(from);
        }
        match step {
            Poll::Ready(Err(Fault::Read(error))) => {
                self.broken.get_or_insert((from, error));
                Some(self.end())
            }
            Poll::Ready(Err(Fault::Write(error))) => {
                self.broken.get_or_insert((to, error));
                None
            }
            Poll::Ready(Ok(())) | Poll::Pending => None,
        }
    }

    fn is_half_open(&self) -> bool {
        let said_close = self.up.follower.saw_close() && self.down.follower.saw_close();
        said_close || self.up.state != State::Open || self.down.state != State::Open
    }

    fn end(&mut self) -> End {
        // Many a peer resets its connection after Close: that is an end like any other.
        let said_close = self.up.follower.saw_close() || self.down.follower.saw_close();
        match (self.broken.take(), self.first) {
            (Some((side, error)), _) if !said_close => End::Failed(side, error),
            (_, Some(side)) => End::Closed(side),
            (Some((side, error)), None) => End::Failed(side, error),
            // Not reached: a direction that has ended has set `first`.
            (None, None) => End::Closed(Side::Client),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::super::frame::{self, encode};
    use tokio::io::ReadBuf;

    use super::super::frame::encode_close;
    use super::super::pipe::CHUNK;
    use super::*;

    const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

    struct Bench {
        browser: DuplexStream,
        application: DuplexStream,
        cut: oneshot::Sender<Cut>,
        splice: JoinHandle<Summary>,
    }

    /// A splice between two pipes that hold `capacity` octets each way.
    fn bench(capacity: usize, patience: Patience) -> Bench {
        bench_of(capacity, capacity, patience)
    }

    fn bench_of(to_browser: usize, to_application: usize, patience: Patience) -> Bench {
        let (browser, client) = duplex(to_browser);
        let (server, application) = duplex(to_application);
        let (cut, fired) = oneshot::channel();
        let splice = tokio::spawn(splice_with(patience, client, server, async {
            match fired.await {
                Ok(cut) => cut,
                Err(_) => std::future::pending().await,
            }
        }));
        Bench {
            browser,
            application,
            cut,
            splice,
        }
    }

    async fn receive(stream: &mut DuplexStream, octets: usize) -> Vec<u8> {
        let mut received = vec![0; octets];
        stream.read_exact(&mut received).await.unwrap();
        received
    }

    async fn rest(mut stream: DuplexStream) -> Vec<u8> {
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        received
    }

    /// The code and reason of a single Close frame.
    fn close_of(mut octets: &[u8], masked: bool) -> (u16, String) {
        let head = frame::HeadReader::default().read(&mut octets).unwrap();
        assert_eq!(head.opcode, frame::CLOSE);
        assert_eq!(head.mask.is_some(), masked);
        assert_eq!(head.length, octets.len() as u64, "and nothing behind it");
        let mut payload = octets.to_vec();
        frame::apply_mask(&mut payload, head.mask.unwrap_or_default(), 0);
        let code = u16::from_be_bytes([payload[0], payload[1]]);
        (code, String::from_utf8(payload[2..].to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_cut_puts_close_only_between_frames() {
        // The long frame at the end is cut a little into its payload.
        let frames = frame::tests::table();
        let stream = frames.concat();
        let mut ends = vec![0];
        for frame in &frames {
            ends.push(ends[ends.len() - 1] + frame.len());
        }
        for place in 0..ends[frames.len() - 1] + 20 {
            let mut bench = bench(128 * 1024, PATIENCE);
            bench.browser.write_all(&stream[..place]).await.unwrap();
            bench.application.write_all(&stream[..place]).await.unwrap();
            assert_eq!(
                receive(&mut bench.application, place).await,
                stream[..place]
            );
            assert_eq!(receive(&mut bench.browser, place).await, stream[..place]);
            bench.cut.send(Cut::new(1008, "session ended")).unwrap();
            let between = ends.contains(&place);
            let (to_browser, to_application) =
                tokio::join!(rest(bench.browser), rest(bench.application));
            if between {
                let expected = (1008, "session ended".to_owned());
                assert_eq!(close_of(&to_browser, false), expected, "at {place}");
                assert_eq!(close_of(&to_application, true), expected, "at {place}");
            } else {
                assert!(
                    to_browser.is_empty() && to_application.is_empty(),
                    "at {place}"
                );
            }
            let summary = bench.splice.await.unwrap();
            assert_eq!(summary.to_application, place as u64);
            assert_eq!(summary.to_client, place as u64);
            assert!(
                matches!(summary.end, End::Cut { client_told, application_told }
                    if client_told == between && application_told == between)
            );
        }
    }

    #[tokio::test]
    async fn a_cut_judges_each_side_by_itself() {
        let mut bench = bench(1024, PATIENCE);
        let message = encode(frame::BINARY, &[5; 100], None);
        bench.application.write_all(&message[..50]).await.unwrap();
        receive(&mut bench.browser, 50).await;
        bench.cut.send(Cut::going_away()).unwrap();
        let (to_browser, to_application) =
            tokio::join!(rest(bench.browser), rest(bench.application));
        assert!(to_browser.is_empty());
        assert_eq!(close_of(&to_application, true), (1001, String::new()));
        assert!(matches!(
            bench.splice.await.unwrap().end,
            End::Cut {
                client_told: false,
                application_told: true
            }
        ));
    }

    #[tokio::test]
    async fn a_slow_reader_gets_the_frame_it_is_in_and_then_close() {
        let mut bench = bench_of(64, 4096, PATIENCE);
        let first = encode(frame::BINARY, &[5; 1000], None);
        let second = encode(frame::BINARY, &[6; 1000], None);
        // The splice reads all of this at once, and the browser's pipe takes 64 octets of it.
        let sent = [first.as_slice(), &second[..10]].concat();
        bench.application.write_all(&sent).await.unwrap();
        let mut got = receive(&mut bench.browser, 1).await;
        bench.cut.send(Cut::going_away()).unwrap();
        drop(bench.application);
        got.extend(rest(bench.browser).await);
        assert_eq!(got[..first.len()], first);
        assert_eq!(got[first.len()..], encode_close(1001, "", None));
        let summary = bench.splice.await.unwrap();
        assert!(matches!(
            summary.end,
            End::Cut {
                client_told: true,
                ..
            }
        ));
    }

    #[tokio::test]
    async fn nothing_is_read_that_cannot_be_written() {
        let mut bench = bench(1000, PATIENCE);
        let flood = vec![0; 1 << 20];
        let sent = {
            let mut sent = 0;
            // The pipe to the splice, its one chunk, and the pipe from it: then it stands still.
            while let Ok(taken) =
                timeout(Duration::from_millis(20), bench.browser.write(&flood)).await
            {
                sent += taken.unwrap();
            }
            sent
        };
        assert!(sent <= 1000 + CHUNK + 1000, "{sent}");
        let (browser, mut application) = (bench.browser, bench.application);
        drop(browser);
        assert_eq!(receive(&mut application, sent).await.len(), sent);
        drop(application);
        assert_eq!(bench.splice.await.unwrap().to_application, sent as u64);
    }

    #[tokio::test]
    async fn the_end_of_one_direction_leaves_the_other_open() {
        for (first, expected) in [(Side::Client, "client"), (Side::Application, "application")] {
            let bench = bench(1024, PATIENCE);
            let (mut early, mut late) = match first {
                Side::Client => (bench.browser, bench.application),
                Side::Application => (bench.application, bench.browser),
            };
            early.write_all(b"last words").await.unwrap();
            early.shutdown().await.unwrap();
            let mut heard = Vec::new();
            late.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"last words", "{expected}");
            late.write_all(b"an answer after that").await.unwrap();
            drop(late);
            assert_eq!(rest(early).await, b"an answer after that", "{expected}");
            let summary = bench.splice.await.unwrap();
            assert!(matches!(summary.end, End::Closed(side) if side == first));
        }
    }

    #[tokio::test]
    async fn the_first_to_say_close_has_ended_it() {
        let mut bench = bench(1024, PATIENCE);
        let close = encode_close(1000, "", MASK);
        bench.browser.write_all(&close).await.unwrap();
        receive(&mut bench.application, close.len()).await;
        let reply = encode_close(1000, "", None);
        bench.application.write_all(&reply).await.unwrap();
        drop(bench.application);
        assert_eq!(rest(bench.browser).await, reply);
        let summary = bench.splice.await.unwrap();
        assert!(matches!(summary.end, End::Closed(Side::Client)));
        assert_eq!(summary.to_application, close.len() as u64);
        assert_eq!(summary.to_client, reply.len() as u64);
    }

    #[tokio::test]
    async fn after_close_a_cut_says_nothing_more_to_that_side() {
        let mut bench = bench(1024, PATIENCE);
        let close = encode_close(1000, "", MASK);
        bench.browser.write_all(&close).await.unwrap();
        receive(&mut bench.application, close.len()).await;
        bench.cut.send(Cut::going_away()).unwrap();
        let (to_browser, to_application) =
            tokio::join!(rest(bench.browser), rest(bench.application));
        assert_eq!(close_of(&to_browser, false).0, 1001);
        assert!(to_application.is_empty());
        bench.splice.await.unwrap();
    }

    #[tokio::test]
    async fn a_side_that_vanishes_ends_it() {
        // The application is gone; the browser finds out as it writes.
        let mut vanished = bench(1024, PATIENCE);
        drop(vanished.application);
        assert!(rest_of(&mut vanished.browser).await.is_empty());
        vanished.browser.write_all(b"anyone there?").await.unwrap();
        let summary = vanished.splice.await.unwrap();
        assert!(matches!(
            summary.end,
            End::Failed(Side::Application, _) | End::Closed(Side::Application)
        ));

        // Neither side moves after one has ended: that is not kept for ever.
        let patience = Patience {
            half_open: Duration::from_millis(20),
            ..PATIENCE
        };
        let mut silent = bench(1024, patience);
        silent.browser.shutdown().await.unwrap();
        let summary = silent.splice.await.unwrap();
        assert!(matches!(summary.end, End::Closed(Side::Client)));
        drop(silent.application);
    }

    async fn rest_of(stream: &mut DuplexStream) -> Vec<u8> {
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        received
    }

    #[tokio::test]
    async fn a_stream_that_breaks_is_named() {
        struct Broken;
        impl AsyncRead for Broken {
            fn poll_read(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
                _: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
        }
        impl AsyncWrite for Broken {
            fn poll_write(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
                octets: &[u8],
            ) -> Poll<io::Result<usize>> {
                Poll::Ready(Ok(octets.len()))
            }
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
        let (mut browser, client) = duplex(64);
        let summary = splice(client, Broken, std::future::pending()).await;
        assert!(matches!(summary.end, End::Failed(Side::Application, error)
            if error.kind() == io::ErrorKind::ConnectionReset));
        assert!(rest_of(&mut browser).await.is_empty());
        let (_application, server) = duplex(64);
        let summary = splice(Broken, server, std::future::pending()).await;
        assert!(matches!(summary.end, End::Failed(Side::Client, _)));
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_does_not_hold_up_a_cut() {
        let patience = Patience {
            farewell: Duration::from_millis(50),
            ..PATIENCE
        };
        // Neither end reads or hangs up, and the pipes are too small for a Close frame.
        let bench = bench(2, patience);
        bench.cut.send(Cut::going_away()).unwrap();
        let summary = bench.splice.await.unwrap();
        assert!(matches!(
            summary.end,
            End::Cut {
                client_told: false,
                application_told: false
            }
        ));
        drop((bench.browser, bench.application));
    }

    #[test]
    fn a_code_that_may_not_be_sent_is_replaced() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 2000, 5000] {
            assert_eq!(Cut::new(code, "").code, 1001);
        }
        assert_eq!(Cut::new(1008, "").code, 1008);
        assert_eq!(Cut::new(4001, "").code, 4001);
    }
}
