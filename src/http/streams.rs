//! The streams of an HTTP/2 connection, each given up where its reader takes nothing of an answer.
//!
//! HTTP/2 lets a client hold back one stream of a connection that is otherwise alive (RFC 9113
//! section 5.2), and hyper waits for it for ever; what the answer holds on to, such as a place in a
//! tunnel, would be held as well.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, sleep};

thread_local! {
    /// What the body said last that was polled on this thread.
    static SAID: Cell<Option<Waits>> = const { Cell::new(None) };
}

/// For whom a body waits that is not polled on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// For its source.
    Source,
    /// For its reader, which may take nothing for so long.
    Reader(Duration),
}

/// A body says for whom it waits.
pub(super) fn says(waits: Waits) {
    SAID.set(Some(waits));
}

/// Runs the streams of HTTP/2 connections. One whose reader takes nothing for as long as
/// [`Body::with_patience`](super::Body::with_patience) says is dropped, which resets it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        tokio::spawn(run(stream));
    }
}

async fn run(stream: impl Future) {
    let mut stream = pin!(stream);
    let mut stall = pin!(sleep(Duration::ZERO));
    let mut stalls = false;
    poll_fn(|cx| {
        SAID.set(None);
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match SAID.take() {
            // Whatever it waited for before.
            None => {}
            Some(Waits::Source) => stalls = false,
            Some(Waits::Reader(patience)) => {
                stalls = true;
                stall.as_mut().reset(Instant::now() + patience);
            }
        }
        if !stalls {
            return Poll::Pending;
        }
        ready!(stall.as_mut().poll(cx));
        tracing::debug!("an answer is given up: its reader took nothing of it");
        Poll::Ready(())
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;
    use tokio::time::{advance, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Says what it waits for each time it is woken.
    async fn body(wakes: Arc<Notify>, said: Vec<Option<Waits>>) {
        for waits in said {
            // Once: like a body that is not polled on.
            if let Some(waits) = waits {
                says(waits);
            }
            wakes.notified().await;
        }
        std::future::pending().await
    }

    async fn lives_for(said: Vec<Option<Waits>>, wakes: usize) -> Option<Duration> {
        let notify = Arc::new(Notify::new());
        let began = Instant::now();
        let task = tokio::spawn(run(body(Arc::clone(&notify), said)));
        for _ in 0..wakes {
            tokio::task::yield_now().await;
            advance(PATIENCE / 2).await;
            notify.notify_one();
        }
        let ended = timeout(PATIENCE * 100, task).await;
        ended.ok().map(|_| began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_not_waited_for() {
        let reader = Some(Waits::Reader(PATIENCE));
        assert_eq!(lives_for(vec![reader], 0).await, Some(PATIENCE));
        // A wake that is not the reader's leaves it as it is.
        assert_eq!(lives_for(vec![reader, None], 1).await, Some(PATIENCE));
        // Each part that it takes counts anew.
        let lives = lives_for(vec![reader; 4], 3).await;
        assert_eq!(lives, Some(PATIENCE / 2 * 3 + PATIENCE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_is_waited_for() {
        let (reader, source) = (Some(Waits::Reader(PATIENCE)), Some(Waits::Source));
        assert_eq!(lives_for(vec![source], 0).await, None);
        assert_eq!(lives_for(vec![reader, source], 1).await, None);
        assert_eq!(lives_for(vec![None], 0).await, None);
    }
}
