//! Counts what is in flight: in one tunnel, on one way to a gateway, in the whole connector.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::http::Guard;

/// Requests and WebSockets in flight.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    count: AtomicUsize,
    /// What this is a part of.
    whole: Option<Arc<InFlight>>,
    /// More than so many are told of; nobody wants to know where it is zero.
    mark: AtomicUsize,
    passed: Notify,
}

/// One request or WebSocket in flight.
#[derive(Debug)]
pub(super) struct Flight(Arc<InFlight>);

impl InFlight {
    /// What is counted as a part of `whole` too.
    pub(super) fn part_of(whole: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self {
            whole: Some(Arc::clone(whole)),
            ..Self::default()
        })
    }

    pub(super) fn begin(self: &Arc<Self>) -> Flight {
        for part in self.and_wholes() {
            let count = part.count.fetch_add(1, Ordering::AcqRel) + 1;
            part.tell(count);
        }
        Flight(Arc::clone(self))
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// From now on more than `mark` are told of; with zero nothing is.
    pub(super) fn mark(&self, mark: usize) {
        self.mark.store(mark, Ordering::Release);
        self.tell(self.count());
    }

    /// Waits until there have been more than the mark.
    pub(super) async fn passed(&self) {
        self.passed.notified().await;
    }

    fn tell(&self, count: usize) {
        let mark = self.mark.load(Ordering::Acquire);
        if mark != 0 && count > mark {
            self.passed.notify_one();
        }
    }

    fn and_wholes(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |part| part.whole.as_deref())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        for part in self.0.and_wholes() {
            part.count.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Guard for Flight {}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_part_counts_in_the_whole_and_what_passes_the_mark_is_told() {
        let whole = Arc::new(InFlight::default());
        let (one, other) = (InFlight::part_of(&whole), InFlight::part_of(&whole));
        whole.mark(2);
        let flights = [one.begin(), other.begin()];
        assert_eq!((one.count(), other.count(), whole.count()), (1, 1, 2));
        assert!(whole.passed().now_or_never().is_none());
        let third = one.begin();
        assert!(whole.passed().now_or_never().is_some());
        drop(third);
        assert!(whole.passed().now_or_never().is_none());
        // A mark that was passed before it was set counts as well.
        whole.mark(1);
        assert!(whole.passed().now_or_never().is_some());
        whole.mark(0);
        assert!(whole.passed().now_or_never().is_none());
        drop(flights);
        assert_eq!((one.count(), other.count(), whole.count()), (0, 0, 0));
    }
}
