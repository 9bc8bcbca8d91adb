//! How well each connector reaches each application; what the choice among connectors goes by.
//!
//! One connector may reach an application fast, another slowly and a third not at all, so this is
//! kept for each pair. Latency is a peak-sensitive moving average (peak EWMA): a slow answer counts
//! at once, and is forgotten within seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::ApplicationName;

/// After this time an observation counts for little more than a third.
const FORGET: Duration = Duration::from_secs(10);

/// Latencies below this are equal: what lies between them is the machine's noise.
const FLOOR: Duration = Duration::from_millis(4);

/// So many failures in a row, and a connector is not chosen for this application any more.
const IN_A_ROW: u32 = 5;

/// How long it is left alone; twice as long after each trial that fails, up to the second.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MOST: Duration = Duration::from_secs(30);

/// What is known of one connector, by application.
#[derive(Debug, Default)]
pub(super) struct ConnectorHealth {
    applications: RwLock<HashMap<ApplicationName, Arc<Health>>>,
}

impl ConnectorHealth {
    /// What is known of its way to an application.
    pub(super) fn of(&self, application: &ApplicationName) -> Arc<Health> {
        let known = self
            .applications
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(health) = known.get(application) {
            return Arc::clone(health);
        }
        drop(known);
        let mut known = self
            .applications
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(application.clone()).or_default())
    }
}

/// What is known of one connector's way to one application.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The average in seconds, as of an instant.
    latency: Option<(f64, Instant)>,
    failures: u32,
    ejected: Option<Ejected>,
}

#[derive(Debug, Clone, Copy)]
struct Ejected {
    until: Instant,
    pause: Duration,
    /// One request is trying whether it is reached again, since this instant.
    trial: Option<Instant>,
}

/// Whether a connector may be chosen for an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may.
    Good,
    /// It failed too often, and one request may try whether it still does.
    Trial,
    /// It failed too often, a moment ago.
    Ejected,
}

/// What an observation changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changed {
    Nothing,
    /// It is not chosen any more.
    Ejected,
    /// It is chosen again.
    Returned,
}

impl Health {
    /// The latency to reckon with, in milliseconds, as a power of two: connectors that differ by
    /// less than that share the work evenly.
    pub(super) fn weight(&self, now: Instant) -> u64 {
        let latency = self.state().latency(now).max(FLOOR.as_secs_f64());
        let millis = Duration::from_secs_f64(latency).as_millis();
        u64::try_from(millis)
            .unwrap_or(u64::MAX >> 1)
            .next_power_of_two()
    }

    /// Whether it may be chosen.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        match self.state().ejected {
            None => Standing::Good,
            // A trial that never ended is none.
            Some(Ejected {
                until,
                pause,
                trial,
            }) => {
                let trying = trial.is_some_and(|since| now < since + pause);
                if now >= until && !trying {
                    Standing::Trial
                } else {
                    Standing::Ejected
                }
            }
        }
    }

    /// Takes the one trial there is; `false` where another request has it.
    pub(super) fn begin_trial(&self, now: Instant) -> bool {
        if self.standing(now) != Standing::Trial {
            return false;
        }
        if let Some(ejected) = &mut self.state().ejected {
            ejected.trial = Some(now);
        }
        true
    }

    /// The application answered after this time.
    pub(super) fn answered(&self, took: Duration, now: Instant) -> Changed {
        let mut state = self.state();
        state.observe(took, now);
        state.failures = 0;
        match state.ejected.take() {
            Some(_) => Changed::Returned,
            None => Changed::Nothing,
        }
    }

    /// The application took too long; whether it was reached is not said by that.
    pub(super) fn was_slow(&self, took: Duration, now: Instant) {
        self.state().observe(took, now);
    }

    /// The application was not reached. A failure counts as the time it may have taken: a connector
    /// that fails fast must not attract everything.
    pub(super) fn failed(&self, patience: Duration, now: Instant) -> Changed {
        let mut state = self.state();
        state.observe(patience, now);
        state.failures = state.failures.saturating_add(1);
        match state.ejected {
            None if state.failures < IN_A_ROW => Changed::Nothing,
            None => {
                state.ejected = Some(Ejected {
                    until: now + PAUSE_FIRST,
                    pause: PAUSE_FIRST,
                    trial: None,
                });
                Changed::Ejected
            }
            Some(Ejected { pause, trial, .. }) => {
                // Requests that were under way when it was ejected fail too; only a trial tells.
                if trial.is_some() {
                    let pause = (2 * pause).min(PAUSE_MOST);
                    state.ejected = Some(Ejected {
                        until: now + pause,
                        pause,
                        trial: None,
                    });
                }
                Changed::Nothing
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn latency(&self, now: Instant) -> f64 {
        let Some((latency, at)) = self.latency else {
            return 0.0;
        };
        latency * (-now.duration_since(at).as_secs_f64() / FORGET.as_secs_f64()).exp()
    }

    fn observe(&mut self, took: Duration, now: Instant) {
        let (took, average) = (took.as_secs_f64(), self.latency(now));
        let next = match self.latency {
            Some((_, at)) if took < average => {
                let keep = (-now.duration_since(at).as_secs_f64() / FORGET.as_secs_f64()).exp();
                average * keep + took * (1.0 - keep)
            }
            // A peak counts at once.
            _ => took,
        };
        self.latency = Some((next, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_peak_counts_at_once_and_is_forgotten() {
        let health = Health::default();
        assert_eq!(health.weight(Instant::now()), 4);
        health.answered(Duration::from_millis(900), Instant::now());
        assert_eq!(health.weight(Instant::now()), 1024);
        let mut weights = Vec::new();
        for _ in 0..60 {
            tokio::time::advance(SECOND).await;
            health.answered(Duration::from_millis(3), Instant::now());
            weights.push(health.weight(Instant::now()));
        }
        assert!(weights.is_sorted_by(|a, b| a >= b), "{weights:?}");
        assert_eq!(weights.last(), Some(&4));
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_eject_and_a_trial_that_succeeds_brings_back() {
        let health = Health::default();
        let now = Instant::now;
        for _ in 0..4 {
            assert_eq!(health.failed(SECOND, now()), Changed::Nothing);
        }
        assert_eq!(health.answered(SECOND, now()), Changed::Nothing);
        for _ in 0..4 {
            assert_eq!(health.failed(SECOND, now()), Changed::Nothing);
        }
        assert_eq!(health.failed(SECOND, now()), Changed::Ejected);
        assert_eq!(health.failed(SECOND, now()), Changed::Nothing);
        assert_eq!(health.standing(now()), Standing::Ejected);
        assert!(!health.begin_trial(now()));
        tokio::time::advance(SECOND).await;
        assert_eq!(health.standing(now()), Standing::Trial);
        assert!(health.begin_trial(now()));
        // One at a time.
        assert!(!health.begin_trial(now()));
        assert_eq!(health.answered(SECOND, now()), Changed::Returned);
        assert_eq!(health.standing(now()), Standing::Good);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_fails_doubles_the_pause_up_to_half_a_minute() {
        let health = Health::default();
        for _ in 0..5 {
            health.failed(SECOND, Instant::now());
        }
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let since = Instant::now();
            while health.standing(Instant::now()) != Standing::Trial {
                tokio::time::advance(SECOND).await;
            }
            pauses.push(since.elapsed().as_secs());
            assert!(health.begin_trial(Instant::now()));
            health.failed(SECOND, Instant::now());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_never_ends_does_not_stand_in_the_way_of_another() {
        let health = Health::default();
        for _ in 0..5 {
            health.failed(SECOND, Instant::now());
        }
        tokio::time::advance(SECOND).await;
        assert!(health.begin_trial(Instant::now()));
        tokio::time::advance(SECOND).await;
        assert!(health.begin_trial(Instant::now()));
    }
}
