//! A value that is changed with every request and waited for now and then.
//!
//! tokio's `watch` does the same, takes ten times the memory, of which every idle connection has two,
//! and wakes eight lists of waiters at each change.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The value, and who waits for another.
#[derive(Debug)]
pub(super) struct Told<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: Copy> Told<T> {
    pub(super) fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it; gives what it is then.
    pub(super) fn change(&self, change: impl FnOnce(&mut T)) -> T {
        let mut value = self.lock();
        change(&mut value);
        let changed = *value;
        drop(value);
        self.changed.notify_waiters();
        changed
    }

    /// Waits until it is as wanted and then, without any change, until what `then` makes of it has
    /// completed.
    pub(super) async fn stays<F: Future>(&self, wanted: impl Fn(T) -> bool, then: impl Fn(T) -> F) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Before the look, so that no change is missed.
            changed.as_mut().enable();
            let value = *self.lock();
            if !wanted(value) {
                changed.await;
                continue;
            }
            tokio::select! {
                biased;
                () = changed => {}
                _ = then(value) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use tokio::time::{advance, sleep};

    use super::*;

    const TIME: Duration = Duration::from_secs(3);

    #[tokio::test(start_paused = true)]
    async fn every_change_begins_the_time_anew_and_what_is_not_wanted_is_waited_out() {
        let told = Told::new(1);
        let mut stays = Box::pin(told.stays(|value| value == 0, |_| sleep(TIME)));
        assert!(stays.as_mut().now_or_never().is_none());
        advance(TIME * 2).await;
        assert!(stays.as_mut().now_or_never().is_none());
        assert_eq!(told.change(|value| *value -= 1), 0);
        assert!(stays.as_mut().now_or_never().is_none());
        advance(TIME - Duration::from_millis(2)).await;
        assert!(stays.as_mut().now_or_never().is_none());
        // Gone and back between two looks is a change too.
        told.change(|value| *value += 1);
        told.change(|value| *value -= 1);
        assert!(stays.as_mut().now_or_never().is_none());
        advance(TIME - Duration::from_millis(2)).await;
        assert!(stays.as_mut().now_or_never().is_none());
        advance(Duration::from_millis(4)).await;
        assert!(stays.now_or_never().is_some());
    }
}
