//! One way to a gateway: keeps its tunnels open, opens more while load asks for them, and replaces
//! those that are of no use any more.

mod opening;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use super::flight::InFlight;
use super::size::Size;
use super::status::Why;
use super::supervisor::Shared;
use super::tunnel::{Ended, Tunnel};
use crate::model::Endpoint;
use crate::net::Route;
use opening::{Before, Open, Past, Place};

/// How often it is asked whether there are too many tunnels.
const SIZE_LOOK: Duration = Duration::from_secs(1);

/// How often it is asked whether a tunnel would be dialled from another address by now.
const ADDRESS_LOOK: Duration = Duration::from_secs(5);

/// Tunnels of one way that others stand for and that their gateway has not ended yet: those of two
/// restarts, with as many as there can be. SECURITY: a gateway that asks for others and never ends
/// any could otherwise have a connector hold more and more.
const MOST_RETIRED: usize = 16;

/// What the ways to one gateway share.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) endpoint: Endpoint,
    /// Tunnels that stand, over all its ways.
    pub(super) standing: AtomicUsize,
    /// One stood since this connector started.
    pub(super) worked: AtomicBool,
    /// Its name may lead elsewhere by now.
    pub(super) look_up: Notify,
}

/// One way to a gateway.
pub(super) struct Way {
    shared: Arc<Shared>,
    route: Route,
    gateway: Arc<Gateway>,
    load: Arc<InFlight>,
    /// Tunnels that stand.
    standing: watch::Sender<usize>,
    /// A tunnel stood since this connector started.
    worked: AtomicBool,
    /// Whether the gateways and their names still lead here.
    wanted: watch::Sender<bool>,
    /// Whether there are others beside it.
    alone: watch::Receiver<bool>,
    /// One dials at a time.
    turn: Semaphore,
    past: Mutex<Past>,
    /// Those that load asked for.
    more: Mutex<Vec<Weak<Tunnel>>>,
    /// Those that the gateway wanted replaced, oldest first.
    retired: Mutex<VecDeque<Weak<Tunnel>>>,
}

/// What became of a tunnel.
enum Next {
    Another(Before, Option<Arc<Tunnel>>),
    End(Ended),
}

impl Way {
    pub(super) fn new(
        shared: &Arc<Shared>,
        gateway: &Arc<Gateway>,
        route: Route,
        alone: watch::Receiver<bool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            route,
            gateway: Arc::clone(gateway),
            load: InFlight::part_of(&shared.supervisor.status.in_flight),
            standing: watch::Sender::new(0),
            worked: AtomicBool::new(false),
            wanted: watch::Sender::new(true),
            alone,
            turn: Semaphore::new(1),
            past: Mutex::new(Past::new()),
            more: Mutex::default(),
            retired: Mutex::default(),
        })
    }

    /// Says whether it is wanted. One that is not keeps the tunnels it has and opens no other.
    pub(super) fn want(&self, wanted: bool) {
        let news = self
            .wanted
            .send_if_modified(|now| std::mem::replace(now, wanted) != wanted);
        if news && !wanted {
            tracing::info!(gateway = %self.route, "nothing leads to this address any more: no new tunnels to it");
        }
    }

    /// Where it leads.
    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    /// Whether nothing is lost with it.
    pub(super) fn is_over(&self) -> bool {
        !*self.wanted.borrow() && *self.standing.borrow() == 0
    }

    /// Whether a tunnel stood since this connector started.
    pub(super) fn has_worked(&self) -> bool {
        self.worked.load(Ordering::Relaxed)
    }

    /// Keeps tunnels open until the connector stops or is removed at the gateway.
    pub(super) async fn keep(self: Arc<Self>) -> Ended {
        let allowed = self.shared.supervisor.connections;
        let (least, most) = (usize::from(allowed.least), usize::from(allowed.most));
        let mut kept = JoinSet::new();
        for connection in 1..=least {
            kept.spawn(Arc::clone(&self).keep_one(connection));
        }
        let mut more = JoinSet::new();
        let mut size = Size::new(allowed);
        let mut standing = self.standing.subscribe();
        let mut looks = interval(SIZE_LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut removed = false;
        loop {
            let open = *standing.borrow_and_update();
            // One after the other, and none before those are there that there are always.
            let may_open = open == least + more.len() && open < most;
            self.load.mark(if may_open { size.mark(open) } else { 0 });
            tokio::select! {
                ended = kept.join_next() => match ended {
                    Some(ended) => removed |= matches!(ended, Ok(Ended::Removed)),
                    None if removed => return Ended::Removed,
                    None => return Ended::Stopped,
                },
                _ = standing.changed() => {}
                () = self.load.passed(), if may_open => {
                    // The word may be an old one.
                    if self.load.count() > size.mark(open) {
                        more.spawn(Arc::clone(&self).open_more(open + 1));
                    }
                }
                Some(_) = more.join_next() => {}
                _ = looks.tick(), if open > least => {
                    if size.is_too_large(open, self.load.count(), Instant::now()) {
                        self.close_one();
                    }
                }
            }
        }
    }

    /// Keeps one tunnel open.
    async fn keep_one(self: Arc<Self>, connection: usize) -> Ended {
        let place = Place::new(&self, connection);
        let mut before = Before::Nothing;
        let mut retired: Option<Arc<Tunnel>> = None;
        loop {
            let open = match self.open(&place, before).await {
                Ok(open) => open,
                Err(Ended::Lost(_)) => {
                    before = Before::Nothing;
                    continue;
                }
                Err(ended) => return ended,
            };
            // Only now: until another one stood it was better than none.
            if let Some(retired) = retired.take() {
                retired.leave();
            }
            match self.follow(open, &place).await {
                Next::Another(why, old) => (before, retired) = (why, old),
                Next::End(ended) => return ended,
            }
        }
    }

    /// Opens a tunnel because load asks for it, and follows it to its end.
    async fn open_more(self: Arc<Self>, connection: usize) {
        let place = Place::new(&self, connection);
        let Ok(open) = self.open(&place, Before::Nothing).await else {
            return;
        };
        let tunnel = Arc::clone(&open.tunnel);
        self.more().push(Arc::downgrade(&tunnel));
        if let Next::Another(_, Some(old)) = self.follow(open, &place).await {
            // Load asks again, if it does.
            old.leave();
        }
        self.more()
            .retain(|more| !std::ptr::eq(more.as_ptr(), Arc::as_ptr(&tunnel)));
    }

    /// Has the youngest of those that load asked for end, among those that carry nothing: a tunnel
    /// that only waits for the end of a WebSocket would be of no use for as long as that takes.
    fn close_one(&self) {
        let more = self.more();
        let young = more.iter().rev().filter_map(Weak::upgrade);
        let idle = young
            .into_iter()
            .find(|tunnel| tunnel.in_flight() == 0 && !tunnel.leaving.is_cancelled());
        if let Some(idle) = idle {
            idle.leave();
        }
    }

    fn retire(&self, tunnel: &Arc<Tunnel>) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.retain(|tunnel| tunnel.strong_count() > 0);
        retired.push_back(Arc::downgrade(tunnel));
        if retired.len() > MOST_RETIRED
            && let Some(oldest) = retired.pop_front().and_then(|oldest| oldest.upgrade())
        {
            tracing::warn!(gateway = %self.route, code = "tunnels_not_ended", "the gateway asks for other tunnels and ends none: the oldest of those it has is cut");
            oldest.over.cancel();
        }
    }

    fn more(&self) -> MutexGuard<'_, Vec<Weak<Tunnel>>> {
        self.more.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows a tunnel until it is lost, or another one is to stand in its place.
    async fn follow(&self, mut open: Open, place: &Place) -> Next {
        let connection = place.number;
        let _standing = Standing::of(self);
        let stop = &self.shared.supervisor.stop;
        let mut woken = self.shared.woken.subscribe();
        let mut looks = interval_at(Instant::now() + ADDRESS_LOOK, ADDRESS_LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = &mut open.serving => {
                    let reason = match ended.unwrap_or_else(Ended::from) {
                        Ended::Lost(_) if stop.is_cancelled() => return Next::End(Ended::Stopped),
                        Ended::Lost(_) if open.tunnel.leaving.is_cancelled() => {
                            tracing::info!(gateway = %self.route, connection, "tunnel closed: load asks for fewer");
                            return Next::End(Ended::Stopped);
                        }
                        Ended::Lost(reason) => reason,
                        Ended::Removed => {
                            self.was_removed(connection);
                            return Next::End(Ended::Removed);
                        }
                        Ended::Stopped => return Next::End(Ended::Stopped),
                    };
                    tracing::warn!(gateway = %self.route, connection, code = reason.code, reason = reason.text, "no tunnel; trying again");
                    self.is_lost(place, Why::Lost, &reason);
                    let lost = Before::Lost { at: Instant::now(), stood: open.since.elapsed() };
                    return Next::Another(lost, None);
                }
                // The old one goes on until the gateway has nothing more for it.
                () = open.tunnel.replace.cancelled() => {
                    tracing::info!(gateway = %self.route, connection, "the gateway asks for another tunnel in the place of this one");
                    self.gateway.look_up.notify_one();
                    self.retire(&open.tunnel);
                    return Next::Another(Before::Asked, None);
                }
                // TCP would believe in it for a while: another one is opened beside it.
                _ = woken.changed() => return Next::Another(Before::Anew, Some(open.tunnel)),
                _ = looks.tick() => if let Some(address) = open.bearings.moved() {
                    tracing::info!(gateway = %self.route, connection, %address, "this machine's address has changed: the tunnel is opened anew");
                    return Next::Another(Before::Anew, Some(open.tunnel));
                },
            }
        }
    }
}

/// A tunnel that stands, counted until this is dropped.
struct Standing<'a>(&'a Way);

impl<'a> Standing<'a> {
    fn of(way: &'a Way) -> Self {
        way.worked.store(true, Ordering::Relaxed);
        way.gateway.worked.store(true, Ordering::Relaxed);
        way.shared.worked.store(true, Ordering::Relaxed);
        way.gateway.standing.fetch_add(1, Ordering::Relaxed);
        way.shared.supervisor.known.works(&way.gateway.endpoint);
        way.standing.send_modify(|count| *count += 1);
        way.shared.standing.send_modify(|count| *count += 1);
        Self(way)
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.0.gateway.standing.fetch_sub(1, Ordering::Relaxed);
        self.0.standing.send_modify(|count| *count -= 1);
        self.0.shared.standing.send_modify(|count| *count -= 1);
    }
}
