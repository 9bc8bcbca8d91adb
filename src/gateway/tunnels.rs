//! The live tunnels: who is connected, and which of them carries the next request.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use hyper::client::conn::http2::SendRequest;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::health::{ConnectorHealth, Health, Standing};
use super::waiting::{Unanswered, Waiting};
use crate::http::Body;
use crate::model::{ApplicationName, ConnectorId, ErrorCode, GroupName};
use crate::tunnel::ProfileHash;
use crate::tunnel::control::{self, Down};
use crate::tunnel::link::{Place, Places};

/// One mutually authenticated connection from a connector.
pub(crate) struct Tunnel {
    /// Tells tunnels apart in the log.
    pub(crate) number: u64,
    pub(crate) connector: ConnectorId,
    pub(crate) group: GroupName,
    requests: SendRequest<Body>,
    places: Arc<Places>,
    control: control::Sender,
    /// Profiles the connector has been told.
    told: Mutex<HashSet<ProfileHash>>,
    /// The connector wants no new requests.
    draining: CancellationToken,
    /// Ends the tunnel at once.
    cut: CancellationToken,
    /// What is known of its connector, over all its tunnels.
    health: Arc<ConnectorHealth>,
    waiting: Arc<Waiting>,
}

/// A tunnel chosen for one request, with its place in it.
pub(crate) struct Lease {
    pub(crate) tunnel: Arc<Tunnel>,
    pub(crate) place: Place,
    /// What is known of this connector's way to the application.
    pub(super) health: Arc<Health>,
}

/// What a request asks of the choice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) groups: &'a [GroupName],
    pub(super) application: &'a ApplicationName,
    /// Tunnels that had the request already.
    pub(super) tried: &'a [Arc<Tunnel>],
    /// It can be sent again where it does not reach the application, so it may try a connector
    /// that did not reach it a moment ago.
    pub(super) may_try: bool,
}

/// How far the choice goes; the next where the one before finds nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Connectors that did not have the request and are known to reach the application.
    Good,
    /// Another tunnel of a connector that had it.
    SameConnector,
    /// Connectors that fail: an answer with the true error is better than none.
    Ejected,
}

impl Tunnel {
    /// A handle to send a request with.
    pub(crate) fn requests(&self) -> SendRequest<Body> {
        self.requests.clone()
    }

    /// Makes sure that the connector knows a profile before a request names it.
    pub(crate) fn tell(&self, hash: &ProfileHash, profile: &str) -> Result<(), control::Stuck> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.contains(hash) {
            return Ok(());
        }
        let message = Down::Profile {
            hash: hash.clone(),
            profile: profile.to_owned(),
        };
        self.control.send(&message)?;
        told.insert(hash.clone());
        Ok(())
    }

    /// Says something over this tunnel's control stream.
    pub(crate) fn say(&self, message: &Down) -> Result<(), control::Stuck> {
        self.control.send(message)
    }

    /// The connector wants no new requests. Returns whether it says so for the first time.
    pub(crate) fn drain(&self) -> bool {
        let first = !self.draining.is_cancelled();
        self.draining.cancel();
        first
    }

    /// Waits until the connector wants no new requests and those it has are answered: the tunnel
    /// can end, and nothing is lost. Only the gateway knows of a request that is on its way.
    pub(crate) async fn drained(&self) {
        self.draining.cancelled().await;
        self.places.none_taken().await;
    }

    /// Requests in flight.
    pub(crate) fn in_flight(&self) -> u32 {
        self.places.taken()
    }

    /// A request goes into the tunnel; until the guard is dropped it waits for its answer.
    pub(super) fn begin(&self) -> Unanswered {
        self.waiting.begin()
    }

    fn cost(&self, health: &Health, now: Instant) -> u64 {
        let latency = health.weight(now).max(self.waiting.silence());
        latency.saturating_mul(u64::from(self.in_flight()) + 1)
    }

    fn usable(&self) -> bool {
        !self.draining.is_cancelled() && !self.cut.is_cancelled() && !self.requests.is_closed()
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tunnel {} of {}", self.number, self.connector)
    }
}

/// Every live tunnel, by group.
#[derive(Debug, Default)]
pub(crate) struct Tunnels {
    by_group: ArcSwap<HashMap<GroupName, Vec<Arc<Tunnel>>>>,
    state: Mutex<State>,
    numbers: AtomicU64,
    turn: AtomicU64,
    /// A tunnel came into service.
    added: Notify,
}

#[derive(Debug, Default)]
struct State {
    live: Vec<Arc<Tunnel>>,
    /// Connectors removed while this gateway ran: a tunnel whose handshake was under way when the
    /// removal was noted is refused here.
    removed: HashSet<ConnectorId>,
}

/// What makes a tunnel.
pub(crate) struct NewTunnel {
    pub(crate) connector: ConnectorId,
    pub(crate) group: GroupName,
    pub(crate) requests: SendRequest<Body>,
    pub(crate) max_streams: u32,
    pub(crate) control: control::Sender,
    pub(crate) cut: CancellationToken,
}

impl Wanted<'_> {
    fn had(&self, tunnel: &Arc<Tunnel>) -> bool {
        self.tried.iter().any(|tried| Arc::ptr_eq(tried, tunnel))
    }
}

/// The connector was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Removed;

impl Tunnels {
    /// Takes a tunnel into service.
    pub(crate) fn add(&self, new: NewTunnel) -> Result<Arc<Tunnel>, Removed> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.removed.contains(&new.connector) {
            return Err(Removed);
        }
        // What is known of a connector outlives its tunnels only in the others it has.
        let health = state
            .live
            .iter()
            .find(|live| live.connector == new.connector)
            .map_or_else(Arc::default, |live| Arc::clone(&live.health));
        let tunnel = Arc::new(Tunnel {
            number: self.numbers.fetch_add(1, Ordering::Relaxed) + 1,
            connector: new.connector,
            group: new.group,
            requests: new.requests,
            places: Places::new(new.max_streams),
            control: new.control,
            told: Mutex::default(),
            draining: CancellationToken::new(),
            cut: new.cut,
            health,
            waiting: Arc::new(Waiting::new()),
        });
        state.live.push(Arc::clone(&tunnel));
        self.publish(&state);
        self.added.notify_waiters();
        Ok(tunnel)
    }

    /// Takes a tunnel out of service.
    pub(crate) fn remove(&self, tunnel: &Arc<Tunnel>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.live.retain(|live| !Arc::ptr_eq(live, tunnel));
        self.publish(&state);
    }

    /// Cuts every tunnel of a removed connector at once, and refuses later ones. Returns how many
    /// were cut.
    pub(crate) fn cut(&self, connector: &ConnectorId) -> usize {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.removed.insert(connector.clone());
        let (cut, live) = std::mem::take(&mut state.live)
            .into_iter()
            .partition(|t| t.connector == *connector);
        state.live = live;
        self.publish(&state);
        drop(state);
        let cut: Vec<Arc<Tunnel>> = cut;
        for tunnel in &cut {
            // Told first, so that the connector knows why; the cut does not wait for it to listen.
            let _ = tunnel.control.send(&Down::Removed);
            tunnel.cut.cancel();
        }
        cut.len()
    }

    /// Says something over every tunnel. One that takes no more messages ends by itself.
    pub(crate) fn tell_all(&self, message: &Down) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for tunnel in &state.live {
            let _ = tunnel.control.send(message);
        }
    }

    fn publish(&self, state: &State) {
        let mut by_group: HashMap<GroupName, Vec<Arc<Tunnel>>> = HashMap::new();
        for tunnel in &state.live {
            by_group
                .entry(tunnel.group.clone())
                .or_default()
                .push(Arc::clone(tunnel));
        }
        self.by_group.store(Arc::new(by_group));
    }

    /// A place in the better of two tunnels (power of two choices by peak EWMA) of the first group
    /// that has one.
    ///
    /// # Errors
    /// `no_connector` where no group has a tunnel, `tunnel_busy` where all their places are taken.
    pub(super) fn choose(&self, wanted: &Wanted<'_>) -> Result<Lease, ErrorCode> {
        let by_group = self.by_group.load();
        let groups = || wanted.groups.iter().filter_map(|group| by_group.get(group));
        for reach in [Reach::Good, Reach::SameConnector, Reach::Ejected] {
            for tunnels in groups() {
                if let Some(lease) = self.choose_among(tunnels, wanted, reach) {
                    return Ok(lease);
                }
            }
        }
        let usable = |t: &Arc<Tunnel>| t.usable() && !wanted.had(t);
        match groups().flatten().any(usable) {
            true => Err(ErrorCode::TunnelBusy),
            false => Err(ErrorCode::NoConnector),
        }
    }

    /// Waits for the next tunnel that comes into service. The wait begins with this call.
    pub(super) fn another(&self) -> impl Future<Output = ()> {
        self.added.notified()
    }

    fn choose_among(
        &self,
        tunnels: &[Arc<Tunnel>],
        wanted: &Wanted<'_>,
        reach: Reach,
    ) -> Option<Lease> {
        let now = Instant::now();
        // Another request may take the last place between the look and the taking; each time round
        // at least one tunnel has filled up, so the loop ends.
        loop {
            let (one, its_health) = self.sample(tunnels, wanted, reach, now, None)?;
            let other = self.sample(tunnels, wanted, reach, now, Some(one));
            let (tunnel, health) = match other {
                Some((other, health)) if other.cost(&health, now) < one.cost(&its_health, now) => {
                    (other, health)
                }
                _ => (one, its_health),
            };
            // A tunnel may begin to drain after the look at it, and its end may have come before
            // the place was taken: such a place is given back.
            if let Some(place) = tunnel.places.take().filter(|_| tunnel.usable()) {
                if reach != Reach::Ejected && health.standing(now) == Standing::Trial {
                    health.begin_trial(now);
                }
                return Some(Lease {
                    tunnel: Arc::clone(tunnel),
                    place,
                    health,
                });
            }
        }
    }

    /// The first tunnel that may be chosen, from a random one on.
    fn sample<'t>(
        &self,
        tunnels: &'t [Arc<Tunnel>],
        wanted: &Wanted<'_>,
        reach: Reach,
        now: Instant,
        except: Option<&Arc<Tunnel>>,
    ) -> Option<(&'t Arc<Tunnel>, Arc<Health>)> {
        let from = usize::try_from(self.draw()).unwrap_or_default() % tunnels.len().max(1);
        let (before, from) = tunnels.split_at(from);
        from.iter().chain(before).find_map(|tunnel| {
            // SECURITY: a tunnel that offers few places, or none, has always the fewest requests:
            // chosen by load alone it would be chosen always, and have the whole group refused.
            if !tunnel.usable() || tunnel.places.are_taken() || wanted.had(tunnel) {
                return None;
            }
            if except.is_some_and(|except| Arc::ptr_eq(except, tunnel)) {
                return None;
            }
            let same = || wanted.tried.iter().any(|t| t.connector == tunnel.connector);
            if reach == Reach::Good && same() {
                return None;
            }
            let health = tunnel.health.of(wanted.application);
            let may = match health.standing(now) {
                Standing::Good => true,
                Standing::Trial => wanted.may_try || reach == Reach::Ejected,
                Standing::Ejected => reach == Reach::Ejected,
            };
            may.then_some((tunnel, health))
        })
    }

    /// A number that looks random (SplitMix64): the choice needs no secret, only no pattern.
    fn draw(&self) -> u64 {
        let step = self
            .turn
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (step ^ (step >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Half the bits: a remainder of it fits every machine's word.
        (mixed ^ (mixed >> 31)) >> 32
    }

    /// How many tunnels are live.
    pub(crate) fn len(&self) -> usize {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .live
            .len()
    }
}
