//! Opens a tunnel on one way to a gateway: one at a time, with pauses after failures, and few words.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::SemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::super::awake::Bearings;
use super::super::backoff::{BackOff, random};
use super::super::serving::serve;
use super::super::status::{Connection, Reason, Why};
use super::super::tunnel::{Ended, Tunnel};
use super::Way;

/// After this time it is known of the other ways whether they work.
const EARLY: Duration = Duration::from_secs(1);

/// What dialling it came to so far.
#[derive(Debug)]
pub(super) struct Past {
    begun: Instant,
    back_off: BackOff,
    /// What was said last of why it does not open, and whether as a matter of little weight.
    told: Option<(bool, Reason)>,
}

/// A tunnel that stands.
pub(super) struct Open {
    pub(super) tunnel: Arc<Tunnel>,
    pub(super) serving: JoinHandle<Ended>,
    pub(super) bearings: Bearings,
    pub(super) since: Instant,
}

/// The place of one tunnel, and what is told of it to those who ask.
pub(super) struct Place {
    pub(super) number: usize,
    pub(super) state: Arc<Connection>,
}

/// Why another tunnel is opened.
pub(super) enum Before {
    /// It is the first in its place.
    Nothing,
    /// The one before was lost.
    Lost { at: Instant, stood: Duration },
    /// The gateway asks for another in its place.
    Asked,
    /// The one before is of no use, and what failed before says nothing.
    Anew,
}

impl Place {
    pub(super) fn new(way: &Way, number: usize) -> Self {
        let status = &way.shared.supervisor.status;
        let gateway = way.gateway.endpoint.to_string();
        let state = status.connection(gateway, way.route.to_string(), number);
        let state = Arc::new(state);
        Self { number, state }
    }
}

impl Past {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            back_off: BackOff::new(),
            told: None,
        }
    }
}

impl Way {
    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens one tunnel, when it is its turn and the pause is over.
    pub(super) async fn open(&self, place: &Place, before: Before) -> Result<Open, Ended> {
        if matches!(before, Before::Asked | Before::Anew) {
            place.state.waits();
        }
        let opening = async {
            let _turn = self.turn(before).await;
            place.state.dialling();
            let (why, ended) = match self.attempt(place).await {
                Ok(open) => {
                    let mut past = self.past();
                    past.back_off.worked(Instant::now());
                    past.told = None;
                    return Ok(open);
                }
                Err(failed) => failed,
            };
            match &ended {
                Ended::Lost(reason) => {
                    self.past().back_off.failed(Instant::now(), random());
                    self.complain(place.number, reason);
                    self.is_lost(place, why, reason);
                    self.gateway.look_up.notify_one();
                }
                Ended::Removed => self.was_removed(place.number),
                Ended::Stopped => {}
            }
            Err(ended)
        };
        tokio::select! {
            biased;
            () = self.shared.supervisor.stop.cancelled() => Err(Ended::Stopped),
            opened = opening => opened,
        }
    }

    /// Waits for the turn to dial.
    async fn turn(&self, before: Before) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        let turn = self.turn.acquire().await.ok();
        let now = Instant::now();
        match before {
            Before::Nothing => {}
            Before::Lost { at, stood } => self.past().back_off.lost(at, stood, random()),
            Before::Asked => self.past().back_off.asked(now, random()),
            Before::Anew => self.past().back_off.forget(now),
        }
        let mut wanted = self.wanted.subscribe();
        // The sender is here.
        let _ = wanted.wait_for(|wanted| *wanted).await;
        let mut standing = self.shared.standing.subscribe();
        let mut woken = self.shared.woken.subscribe();
        loop {
            let is_minor = self.is_minor();
            let until = self.past().back_off.until(is_minor);
            tokio::select! {
                () = sleep_until(until) => return turn,
                // The others may be lost now, and this one what is left.
                _ = standing.changed() => {}
                _ = woken.changed() => self.past().back_off.forget(Instant::now()),
            }
        }
    }

    /// Whether it never worked while others do that lead to the same, or that the operator named:
    /// such as one of `localhost`'s two addresses, or a public name where the way leads elsewhere.
    /// It is tried rarely.
    fn is_minor(&self) -> bool {
        let of_gateway = self.gateway.standing.load(Ordering::Relaxed) > 0;
        let of_any = *self.shared.standing.borrow() > 0;
        self.is_beside(of_gateway, of_any)
    }

    /// Whether that was so at any time: that the others are lost for a moment, such as in a restart
    /// of the gateway, makes this one no more of a trouble, though it is worth a try.
    fn was_minor(&self) -> bool {
        let of_gateway = self.gateway.worked.load(Ordering::Relaxed);
        let of_any = self.shared.worked.load(Ordering::Relaxed);
        self.is_beside(of_gateway, of_any)
    }

    fn is_beside(&self, of_gateway: bool, of_any: bool) -> bool {
        let known = &self.shared.supervisor.known;
        let is_extra = known.is_extra(&self.gateway.endpoint);
        !self.has_worked() && (of_gateway || is_extra && of_any)
    }

    /// Says why it does not work: the same reason again and again once.
    fn complain(&self, connection: usize, reason: &Reason) {
        let minor = self.was_minor();
        let mut past = self.past();
        // At first nobody knows which ways work; where another one does, this is no trouble.
        let is_early = past.back_off.is_first() && past.begun.elapsed() < EARLY;
        if is_early && !self.has_worked() && !*self.alone.borrow() {
            return;
        }
        let news = (minor, reason.clone());
        if past.told.as_ref() == Some(&news) {
            return;
        }
        let Reason { code, text: reason } = reason;
        if minor {
            tracing::info!(gateway = %self.route, code, reason, "this way to a gateway does not work, others do; it is tried now and then");
        } else {
            tracing::warn!(gateway = %self.route, connection, code, reason, "no tunnel; trying again");
        }
        past.told = Some(news);
    }

    pub(super) fn was_removed(&self, connection: usize) {
        tracing::error!(gateway = %self.route, connection, code = "connector_removed", "this connector was removed at the gateway; register it again with a new token");
    }

    /// Whoever asks for this connector's status is told that a tunnel is missing.
    pub(super) fn is_lost(&self, place: &Place, why: Why, reason: &Reason) {
        let until = self.past().back_off.until(self.is_minor());
        let pause = until.saturating_duration_since(Instant::now());
        place.state.lost(why, reason, pause);
    }

    async fn attempt(&self, place: &Place) -> Result<Open, (Why, Ended)> {
        let dialled = self.shared.supervisor.dial(&self.route).await;
        let stream = dialled.map_err(|failed| (failed.why, Ended::Lost(failed.reason)))?;
        let bearings = Bearings::of(stream.get_ref().0);
        let tunnel = Arc::new(Tunnel::new(&self.shared, self.route.gateway(), &self.load));
        let serving = serve(
            Arc::clone(&self.shared),
            Arc::clone(&tunnel),
            stream,
            self.route.clone(),
            place.number,
            Arc::clone(&place.state),
        );
        let mut serving = self.shared.tracker.spawn(serving);
        tokio::select! {
            biased;
            () = tunnel.welcome.cancelled() => Ok(Open {
                tunnel,
                serving,
                bearings,
                since: Instant::now(),
            }),
            ended = &mut serving => {
                let ended = ended.unwrap_or_else(Ended::from);
                Err((Why::Lost, ended))
            }
        }
    }
}
