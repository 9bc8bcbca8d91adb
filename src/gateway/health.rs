//! How well each connector reaches each application; what the choice among connectors goes by.
//!
//! One connector may reach an application fast, another slowly and a third not at all, and of two
//! copies of it perhaps only one, so this is kept for each connector and internal URL. Latency is a
//! peak-sensitive moving average (peak EWMA): a slow answer counts at once, and is forgotten within
//! seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::affinity::Mark;
use crate::model::{Application, ApplicationName, ConnectorId, InternalUrls};

/// After this time an observation counts for little more than a third.
const FORGET: Duration = Duration::from_secs(10);

/// Latencies below this are equal: what lies between them is the machine's noise.
const FLOOR: Duration = Duration::from_millis(4);

/// So many failures in a row, and a connector is not chosen for this application any more.
const IN_A_ROW: u32 = 5;

/// How long it is left alone; twice as long after each trial that fails, up to the second.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MOST: Duration = Duration::from_secs(30);

/// So many probes in a row, and it is not chosen either. Fewer than of visitors' requests, which come
/// by the dozen: one may have met a restart, but with the second the application has been away for
/// as long as lies between two probes, and each further one is as long again in which visitors meet
/// it.
const PROBES_IN_A_ROW: u32 = 2;

/// What is known of one connector, by application.
#[derive(Debug, Default)]
pub(super) struct ConnectorHealth {
    applications: RwLock<HashMap<ApplicationName, Arc<Ways>>>,
}

/// One connector's ways to one application: one to each of its internal URLs, in their order.
#[derive(Debug)]
pub(super) struct Ways {
    urls: InternalUrls,
    ways: Box<[Way]>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) health: Health,
    /// What stands for it in a visitor's cookie.
    pub(super) mark: Mark,
}

impl ConnectorHealth {
    /// What is known of the ways of `connector`, whose health this is, to an application.
    pub(super) fn of(&self, connector: &ConnectorId, application: &Application) -> Arc<Ways> {
        let urls = application.internal.all();
        let known = self
            .applications
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let fit = |ways: &&Arc<Ways>| ways.urls == application.internal;
        if let Some(ways) = known.get(&application.name).filter(fit) {
            return Arc::clone(ways);
        }
        drop(known);
        let mut known = self
            .applications
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let way = |url| Way {
                health: Health::default(),
                mark: Mark::of(connector, &application.name, url),
            };
            Arc::new(Ways {
                urls: application.internal.clone(),
                ways: urls.iter().map(way).collect(),
            })
        };
        let ways = known.entry(application.name.clone()).or_insert_with(new);
        // A reload gave it other internal URLs, of which nothing is known yet.
        if ways.urls != application.internal {
            *ways = new();
        }
        Arc::clone(ways)
    }
}

impl Ways {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ways.len()
    }

    /// The way to one of the internal URLs.
    pub(super) fn to(&self, url: usize) -> &Way {
        // Whoever has a number has it from here.
        &self.ways[url.min(self.ways.len() - 1)]
    }

    /// Whether none of them is good: the connector does not reach the application.
    pub(super) fn none_is_good(&self) -> bool {
        self.ways.iter().all(|way| way.health.is_ejected())
    }
}

/// What is known of one connector's way to one internal URL.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The average in seconds, as of an instant.
    latency: Option<(f64, Instant)>,
    failures: u32,
    failed_probes: u32,
    /// Until then probes tell, and no visitor tries: the last answer of one is not long ago. A
    /// connector that answers none is tried by visitors.
    probed_until: Option<Instant>,
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
        self.state().standing(now)
    }

    fn is_ejected(&self) -> bool {
        self.state().ejected.is_some()
    }

    /// Takes the one trial there is; `false` where another request has it.
    pub(super) fn begin_trial(&self, now: Instant) -> bool {
        // Looked at and taken under one lock: of two that saw it free one has it.
        let mut state = self.state();
        if state.standing(now) != Standing::Trial {
            return false;
        }
        if let Some(ejected) = &mut state.ejected {
            ejected.trial = Some(now);
        }
        true
    }

    /// The application answered after this time.
    pub(super) fn answered(&self, took: Duration, now: Instant) -> Changed {
        let mut state = self.state();
        state.failures = 0;
        if state.ejected.is_none() || state.is_probed(now) {
            state.observe(took, now);
            return Changed::Nothing;
        }
        state.restore();
        state.observe(took, now);
        Changed::Returned
    }

    /// A probe found it alive, or not. For `counts` from now on probes tell how it is.
    pub(super) fn probed(&self, alive: bool, counts: Duration, now: Instant) -> Changed {
        let mut state = self.state();
        state.probed_until = Some(now + counts);
        if alive {
            state.failed_probes = 0;
            if state.ejected.is_none() {
                return Changed::Nothing;
            }
            state.restore();
            return Changed::Returned;
        }
        state.failed_probes = state.failed_probes.saturating_add(1);
        if state.ejected.is_some() || state.failed_probes < PROBES_IN_A_ROW {
            return Changed::Nothing;
        }
        state.eject(now);
        Changed::Ejected
    }

    /// A request took so long, or counts as if; whether the application was reached is not said by
    /// that.
    pub(super) fn observed(&self, took: Duration, now: Instant) {
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
                state.eject(now);
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
    fn standing(&self, now: Instant) -> Standing {
        let Some(Ejected {
            until,
            pause,
            trial,
        }) = self.ejected
        else {
            return Standing::Good;
        };
        // A trial that never ended is none.
        let trying = trial.is_some_and(|since| now < since + pause);
        if now < until || trying || self.is_probed(now) {
            return Standing::Ejected;
        }
        Standing::Trial
    }

    fn is_probed(&self, now: Instant) -> bool {
        self.probed_until.is_some_and(|until| now < until)
    }

    fn eject(&mut self, now: Instant) {
        self.ejected = Some(Ejected {
            until: now + PAUSE_FIRST,
            pause: PAUSE_FIRST,
            trial: None,
        });
    }

    /// It is well again. What its failures counted for as time is forgotten too, or it would be
    /// chosen by nobody for another minute.
    fn restore(&mut self) {
        self.ejected = None;
        self.failures = 0;
        self.latency = None;
    }

    fn latency(&self, now: Instant) -> f64 {
        let Some((latency, at)) = self.latency else {
            return 0.0;
        };
        latency * (-now.duration_since(at).as_secs_f64() / FORGET.as_secs_f64()).exp()
    }

    fn observe(&mut self, took: Duration, now: Instant) {
        let took = took.as_secs_f64();
        let next = match self.latency {
            Some((average, at)) if took < self.latency(now) => {
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
        for _ in 0..80 {
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

    #[test]
    fn of_two_that_see_the_trial_free_one_has_it() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let _inside = runtime.enter();
        let now = Instant::now();
        for _ in 0..2000 {
            let health = Health::default();
            for _ in 0..5 {
                health.failed(SECOND, now);
            }
            let later = now + SECOND;
            let together = std::sync::Barrier::new(2);
            let begin = || {
                together.wait();
                health.begin_trial(later)
            };
            let won = std::thread::scope(|threads| {
                let other = threads.spawn(begin);
                u32::from(begin()) + u32::from(other.join().unwrap())
            });
            assert_eq!(won, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_back_is_as_good_as_new() {
        let health = Health::default();
        for _ in 0..5 {
            health.failed(10 * SECOND, Instant::now());
        }
        assert!(health.weight(Instant::now()) > 8000);
        tokio::time::advance(SECOND).await;
        assert!(health.begin_trial(Instant::now()));
        let took = Duration::from_millis(3);
        assert_eq!(health.answered(took, Instant::now()), Changed::Returned);
        assert_eq!(health.weight(Instant::now()), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn two_failed_probes_eject_and_only_a_probe_brings_back() {
        let health = Health::default();
        let counts = 10 * SECOND;
        let probed = |alive| health.probed(alive, counts, Instant::now());
        assert_eq!(probed(false), Changed::Nothing);
        assert_eq!(probed(true), Changed::Nothing);
        assert_eq!(probed(false), Changed::Nothing);
        // A visitor's answer is no word about what probes ask for.
        assert_eq!(health.answered(SECOND, Instant::now()), Changed::Nothing);
        assert_eq!(probed(false), Changed::Ejected);
        tokio::time::advance(5 * SECOND).await;
        assert_eq!(health.standing(Instant::now()), Standing::Ejected);
        assert_eq!(health.answered(SECOND, Instant::now()), Changed::Nothing);
        assert_eq!(probed(false), Changed::Nothing);
        assert_eq!(probed(true), Changed::Returned);
        assert_eq!(health.standing(Instant::now()), Standing::Good);
        // What visitors find is ejected as ever, and a probe brings that back too.
        for _ in 0..5 {
            health.failed(SECOND, Instant::now());
        }
        assert_eq!(health.standing(Instant::now()), Standing::Ejected);
        assert_eq!(probed(true), Changed::Returned);
    }

    #[tokio::test(start_paused = true)]
    async fn where_probes_stay_unanswered_visitors_try_again() {
        let health = Health::default();
        for _ in 0..2 {
            health.probed(false, 10 * SECOND, Instant::now());
        }
        tokio::time::advance(9 * SECOND).await;
        assert_eq!(health.standing(Instant::now()), Standing::Ejected);
        tokio::time::advance(SECOND).await;
        assert_eq!(health.standing(Instant::now()), Standing::Trial);
        assert_eq!(health.answered(SECOND, Instant::now()), Changed::Returned);
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
