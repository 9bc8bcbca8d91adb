//! How long the reader of a body waits.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// How long a reader waits for the next part of a body.
pub(super) struct Idle {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// The timer counts: a reader that is busy elsewhere does not wait.
    waiting: bool,
}

/// A body stopped half way for longer than its reader would wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing came for {0:?} in the middle of a body")]
pub struct Stalled(pub Duration);

impl Idle {
    /// So long.
    pub(super) fn of(limit: Duration) -> Self {
        Self {
            limit,
            timer: None,
            waiting: false,
        }
    }

    /// What was waited for is there.
    pub(super) fn ends(&mut self) {
        self.waiting = false;
    }

    /// Completes where it has waited too long.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Stalled> {
        let deadline = Instant::now() + self.limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if !std::mem::replace(&mut self.waiting, true) {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx).map(|()| Stalled(self.limit))
    }
}
