//! What one connection has written out, so that an answer that breaks off is cut behind its last
//! octet and not before.
//!
//! hyper ends a connection (HTTP/1) or resets a stream (HTTP/2) as soon as a body breaks, and throws
//! away what still waits in memory then: octets that the application sent, sometimes the whole head.
//! A body that knows its connection's [`Delivery`] keeps its error back until that is written. What
//! waits for the reader of an HTTP/2 stream to open its window (a part of the last frame at most) is
//! not waited for.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

/// How far the writing of one connection is. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Delivery(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Times that the connection was polled.
    polls: AtomicU64,
    /// The last of these that left nothing to write.
    flushed: AtomicU64,
    /// Nothing was written since the last flush.
    is_flushed: AtomicBool,
    /// The connection's task.
    driver: AtomicWaker,
    /// Those who wait, and their word.
    waiting: AtomicUsize,
    news: Notify,
    /// How long the other end may take nothing of what is written, in milliseconds; 0: for ever.
    patience: AtomicU64,
}

impl Delivery {
    /// Watches the stream that the connection writes to.
    pub fn of<S>(&self, stream: S) -> Watched<S> {
        Watched {
            stream,
            delivery: self.clone(),
            stall: None,
            stalls: false,
        }
    }

    /// Ends the connection where its other end takes nothing of what is written for so long; `None`:
    /// it may take its time. It counts from the next write that has to wait.
    pub fn set_patience(&self, patience: Option<Duration>) {
        let millis = patience.map_or(0, |patience| patience.as_millis().max(1));
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.0.patience.store(millis, Ordering::Relaxed);
    }

    fn patience(&self) -> Option<Duration> {
        match self.0.patience.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(Duration::from_millis(millis)),
        }
    }

    /// Polls the connection; all its polls must go through here.
    pub fn drive<C: Future>(&self, mut connection: Pin<&mut C>) -> impl Future<Output = C::Output> {
        poll_fn(move |cx| {
            self.0.driver.register(cx.waker());
            let poll = self.0.polls.fetch_add(1, Ordering::SeqCst) + 1;
            let polled = connection.as_mut().poll(cx);
            // HTTP/2 flushes between frames too, so a flush alone says nothing of what is left.
            if polled.is_pending() && self.0.is_flushed.load(Ordering::SeqCst) {
                self.0.flushed(poll);
            }
            polled
        })
    }

    /// Completes when all is written out that the connection was given before this is called.
    pub(super) fn of_all_before(&self) -> impl Future<Output = ()> + Send + 'static {
        let state = Arc::clone(&self.0);
        // The poll that may be under way has perhaps not seen all of it.
        let wanted = state.polls.load(Ordering::SeqCst) + 1;
        async move {
            state.waiting.fetch_add(1, Ordering::SeqCst);
            let waits = Waits(state);
            let state = &waits.0;
            state.driver.wake();
            loop {
                let mut news = std::pin::pin!(state.news.notified());
                news.as_mut().enable();
                if state.flushed.load(Ordering::SeqCst) >= wanted {
                    return;
                }
                news.await;
            }
        }
    }
}

impl State {
    /// Nothing is left to write after a poll.
    fn flushed(&self, poll: u64) {
        self.flushed.store(poll, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.news.notify_waiters();
        }
    }
}

/// One who waits.
struct Waits(Arc<State>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A stream whose flushes are taken note of. Whoever writes to it has nothing of its own in memory
/// when it has it flushed.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    delivery: Delivery,
    /// Made when it is needed first: most connections never are in need of it.
    stall: Option<Pin<Box<Sleep>>>,
    /// It counts.
    stalls: bool,
}

impl<S> Watched<S> {
    /// What became of a write.
    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.delivery.0.is_flushed.store(false, Ordering::SeqCst);
        if wrote.is_ready() {
            self.stalls = false;
            return wrote;
        }
        let Some(patience) = self.delivery.patience() else {
            return Poll::Pending;
        };
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(patience)));
        if !std::mem::replace(&mut self.stalls, true) {
            stall.as_mut().reset(Instant::now() + patience);
        }
        ready!(stall.as_mut().poll(cx));
        let why = format!("the other end took nothing for {patience:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, octets);
        self.wrote(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wrote(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        ready!(self.wrote(cx, flushed))?;
        self.delivery.0.is_flushed.store(true, Ordering::SeqCst);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is left is written first, and whoever takes none of it holds this up as well.
        let ended = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.wrote(cx, ended)
    }
}
