//! Requests that wait for the head of their answer: a tunnel that went silent is left long before
//! PING finds out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::time::Instant;

/// Where nothing has come back for so many milliseconds, that counts as latency.
const SILENT: u64 = 1000;

/// After so many it is no sign any more: PING would have ended the tunnel by now, so what is waited
/// for only takes long, such as a poll that is answered when something happens.
const ALIVE: u64 = 11_000;

/// What waits in one tunnel.
#[derive(Debug)]
pub(super) struct Waiting {
    born: Instant,
    count: AtomicU32,
    /// Milliseconds after birth at which the first of them began, or something came back last.
    since: AtomicU64,
}

/// A request that waits for its answer; dropped when it waits no more.
pub(super) struct Unanswered(Arc<Waiting>);

impl Waiting {
    /// Nothing waits.
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            count: AtomicU32::new(0),
            since: AtomicU64::new(0),
        }
    }

    /// One more waits, until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Unanswered {
        if self.count.fetch_add(1, Ordering::AcqRel) == 0 {
            self.since.store(self.now(), Ordering::Release);
        }
        Unanswered(Arc::clone(self))
    }

    /// Something came back.
    pub(super) fn heard(&self) {
        self.since.store(self.now(), Ordering::Release);
    }

    /// How long nothing has come back although something is waited for, in milliseconds; 0 where
    /// that is no wonder yet.
    pub(super) fn silence(&self) -> u64 {
        if self.count.load(Ordering::Acquire) == 0 {
            return 0;
        }
        let silence = self
            .now()
            .saturating_sub(self.since.load(Ordering::Acquire));
        if (SILENT..ALIVE).contains(&silence) {
            silence
        } else {
            0
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_counts_after_a_second_and_while_something_waits() {
        let waiting = Arc::new(Waiting::new());
        let advance = |millis| tokio::time::advance(Duration::from_millis(millis));
        advance(5000).await;
        let (first, second) = (waiting.begin(), waiting.begin());
        assert_eq!(waiting.silence(), 0);
        advance(999).await;
        assert_eq!(waiting.silence(), 0);
        advance(1000).await;
        assert_eq!(waiting.silence(), 1999);
        waiting.heard();
        drop(first);
        assert_eq!(waiting.silence(), 0);
        advance(1500).await;
        assert_eq!(waiting.silence(), 1500);
        // A poll that waits for an event is no silent tunnel.
        advance(9499).await;
        assert_eq!(waiting.silence(), 10_999);
        advance(1).await;
        assert_eq!(waiting.silence(), 0);
        drop(second);
        assert_eq!(waiting.silence(), 0);
    }
}
