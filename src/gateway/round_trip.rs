//! How long a word takes to a connector and back, over its tunnel's control stream.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::tunnels::Tunnel;
use crate::tunnel::control::Down;

/// How often it is measured: as often as what reads metrics usually asks.
const EVERY: Duration = Duration::from_secs(15);

/// The measurements of one tunnel.
#[derive(Debug, Default)]
pub(super) struct RoundTrip(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The number of the question that was asked last.
    asked: u64,
    /// Since when its answer is waited for.
    since: Option<Instant>,
    last: Option<Duration>,
}

impl RoundTrip {
    /// The number of another question. What was asked before counts no longer.
    fn ask(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked += 1;
        state.since = Some(Instant::now());
        state.asked
    }

    /// The answer to a question has come. One that was not asked last, or twice, says nothing.
    pub(super) fn answered(&self, id: u64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if id == state.asked
            && let Some(since) = state.since.take()
        {
            state.last = Some(since.elapsed());
        }
    }

    /// What was measured last; `None` before the first answer, and from connectors that give none.
    pub(super) fn last(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last
    }
}

/// Measures a tunnel for as long as it lasts; never ends.
pub(super) async fn measure(tunnel: &Tunnel) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let id = tunnel.round_trip.ask();
        // One that takes no messages ends by itself.
        let _ = tunnel.say(&Down::Measure { id });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_answer_to_the_last_question_counts_once() {
        let trip = RoundTrip::default();
        trip.answered(1);
        assert_eq!(trip.last(), None);
        let first = trip.ask();
        tokio::time::advance(Duration::from_millis(30)).await;
        trip.answered(first + 1);
        assert_eq!(trip.last(), None);
        trip.answered(first);
        assert_eq!(trip.last(), Some(Duration::from_millis(30)));
        tokio::time::advance(Duration::from_secs(5)).await;
        trip.answered(first);
        assert_eq!(trip.last(), Some(Duration::from_millis(30)));
        let second = trip.ask();
        trip.answered(first);
        assert_eq!(trip.last(), Some(Duration::from_millis(30)));
        tokio::time::advance(Duration::from_millis(7)).await;
        trip.answered(second);
        assert_eq!(trip.last(), Some(Duration::from_millis(7)));
    }
}
