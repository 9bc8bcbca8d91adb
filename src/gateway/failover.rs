//! Which of an application's connector groups serves it: said once for each change, not for each
//! request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Application, GroupName};
use crate::telemetry::metrics::FAILOVERS;

/// A group serves again once no other has stood in for it so long; while two share the work of an
/// overload there is one line and not one for each request.
const STEADY: Duration = Duration::from_secs(5);

/// The group that serves one application.
#[derive(Debug, Default)]
pub(super) struct Failover {
    /// Spares the lock where the first group serves, as it should.
    active: AtomicBool,
    state: Mutex<Option<StandIn>>,
}

/// A group that stands in, by its place in the application's list, and when it did so last.
#[derive(Debug, Clone, Copy)]
struct StandIn {
    place: usize,
    last: Instant,
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Nothing,
    StandsIn,
    Returned,
}

impl Failover {
    /// A request goes to a connector of this group.
    pub(super) fn served_by(&self, application: &Application, group: &GroupName) {
        let groups = application.connectors.groups();
        let place = groups.iter().position(|g| g == group).unwrap_or(0);
        if place == 0 && !self.active.load(Ordering::Relaxed) {
            return;
        }
        let application = &application.name;
        match self.note(place, Instant::now()) {
            Change::Nothing => {}
            Change::StandsIn => {
                FAILOVERS.count(&[application.as_str()]);
                tracing::warn!(%application, %group, "connector group stands in: the groups before it have no connector that can be chosen");
            }
            Change::Returned => {
                tracing::info!(%application, %group, "connector group serves again");
            }
        }
    }

    fn note(&self, place: usize, now: Instant) -> Change {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.map_or(0, |s| s.place);
        let steady = state.is_none_or(|s| now.duration_since(s.last) >= STEADY);
        let change = match place.cmp(&before) {
            std::cmp::Ordering::Equal => Change::Nothing,
            std::cmp::Ordering::Greater => Change::StandsIn,
            std::cmp::Ordering::Less if steady => Change::Returned,
            std::cmp::Ordering::Less => return Change::Nothing,
        };
        *state = (place > 0).then_some(StandIn { place, last: now });
        self.active.store(place > 0, Ordering::Relaxed);
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_group_that_stands_in_is_said_once_and_so_is_the_return() {
        let failover = Failover::default();
        let note = |place| failover.note(place, Instant::now());
        assert_eq!(note(0), Change::Nothing);
        assert_eq!(note(1), Change::StandsIn);
        for _ in 0..3 {
            // Both serve for a while.
            assert_eq!((note(0), note(1)), (Change::Nothing, Change::Nothing));
        }
        assert_eq!(note(2), Change::StandsIn);
        tokio::time::advance(STEADY / 2).await;
        assert_eq!(note(1), Change::Nothing);
        tokio::time::advance(STEADY / 2).await;
        assert_eq!(note(1), Change::Returned);
        assert_eq!(note(0), Change::Nothing);
        tokio::time::advance(STEADY).await;
        assert_eq!(note(0), Change::Returned);
        assert_eq!(note(0), Change::Nothing);
        assert!(!failover.active.load(Ordering::Relaxed));
    }
}
