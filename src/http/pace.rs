//! How many small parts of a stream may go into a tunnel.
//!
//! SECURITY: HTTP/2 carries each part in a frame, and what the other end has not read yet costs it some
//! 256 octets a frame, however small the frame is. h2 ends the whole connection where many are unread:
//! a few uploads in chunks of one octet would take the requests of everybody else with them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Parts with fewer octets are small: from here on a frame costs what it carries.
pub(super) const SMALL: usize = 256;

/// So many small ones may follow one another, for talk that is quick and short.
const BURST: u32 = 1024;

/// And one more in each such time. Nobody further away than this asks and is answered more often; who
/// sends into an application that reads nothing needs half an hour to fill a stream with them.
const EACH: Duration = Duration::from_millis(2);

/// The small parts of one stream.
#[derive(Debug)]
pub(super) struct Pace {
    left: u32,
    /// Until when what was given back is counted.
    since: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            left: BURST,
            since: Instant::now(),
            timer: None,
        }
    }
}

impl Pace {
    /// Completes when one more may go.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.left > 0 {
            return Poll::Ready(());
        }
        let now = Instant::now();
        let given = (now - self.since).as_millis() / EACH.as_millis();
        let given = u32::try_from(given).unwrap_or(BURST).min(BURST);
        if given > 0 {
            (self.left, self.since) = (given, now);
            return Poll::Ready(());
        }
        let due = self.since + EACH;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(EACH)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        ready!(timer.as_mut().poll(cx));
        (self.left, self.since) = (1, Instant::now());
        Poll::Ready(())
    }

    /// One has gone.
    pub(super) fn take(&mut self) {
        if self.left == BURST {
            self.since = Instant::now();
        }
        self.left = self.left.saturating_sub(1);
    }
}

/// A stream of octets on its way into a tunnel, such as a WebSocket's: after small reads beyond the
/// pace the next one waits, and finds more.
#[derive(Debug)]
pub struct Paced<S> {
    stream: S,
    pace: Pace,
}

impl<S> Paced<S> {
    /// What is read of this stream goes into a tunnel.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            pace: Pace::default(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.pace.poll(cx));
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() - before < SMALL {
            self.pace.take();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_then_one_each_time() {
        let mut pace = Pace::default();
        let began = Instant::now();
        for _ in 0..BURST + 100 {
            poll_fn(|cx| pace.poll(cx)).await;
            pace.take();
        }
        let took = began.elapsed();
        assert!((EACH * 99..=EACH * 201).contains(&took), "{took:?}");
        // Quiet gives the burst back, and no more.
        tokio::time::advance(EACH * BURST * 9).await;
        let began = Instant::now();
        for _ in 0..BURST {
            poll_fn(|cx| pace.poll(cx)).await;
            pace.take();
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        poll_fn(|cx| pace.poll(cx)).await;
        assert!(began.elapsed() >= EACH);
    }

    #[tokio::test(start_paused = true)]
    async fn octets_that_come_one_by_one_are_read_together() {
        const OCTETS: usize = 20_000;
        let (mut near, far) = tokio::io::duplex(OCTETS);
        let writing = tokio::spawn(async move {
            for n in 0..OCTETS {
                near.write_all(&[n.to_be_bytes()[7]]).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let (mut far, mut all, mut reads) = (Paced::new(far), Vec::new(), 0);
        loop {
            let mut part = [0; 4096];
            let read = far.read(&mut part).await.unwrap();
            if read == 0 {
                break;
            }
            all.extend_from_slice(&part[..read]);
            reads += 1;
        }
        writing.await.unwrap();
        let sent: Vec<u8> = (0..OCTETS).map(|n| n.to_be_bytes()[7]).collect();
        assert_eq!(all, sent);
        assert!(reads < 1500, "{reads} reads");
    }
}
