//! The live tunnels: who is connected.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use hyper::client::conn::http2::SendRequest;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::affinity::mix;
use super::health::{ConnectorHealth, Ways};
use super::round_trip::RoundTrip;
use super::waiting::{Unanswered, Waiting};
use crate::http::Body;
use crate::model::{Application, ConnectorId, GroupName, Mode};
use crate::tunnel::ProfileHash;
use crate::tunnel::control::{self, Down, Feature};
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
    /// What its connector can do that older ones cannot.
    features: Vec<Feature>,
    /// Profiles the connector has been told.
    told: Mutex<HashSet<ProfileHash>>,
    /// The connector wants no new requests.
    draining: CancellationToken,
    /// Ends the tunnel at once.
    cut: CancellationToken,
    /// What is known of its connector, over all its tunnels.
    health: Arc<ConnectorHealth>,
    waiting: Arc<Waiting>,
    lost: AtomicBool,
    stuck: CancellationToken,
    /// How far away its connector is.
    pub(super) round_trip: RoundTrip,
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
        self.say(&message)?;
        told.insert(hash.clone());
        Ok(())
    }

    /// Says something over this tunnel's control stream.
    pub(crate) fn say(&self, message: &Down) -> Result<(), control::Stuck> {
        self.control
            .send(message)
            .inspect_err(|_| self.stuck.cancel())
    }

    /// Says something that may be lost.
    pub(super) fn mention(&self, message: &Down) {
        self.control.send_if_room(message);
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

    /// Requests that it takes at once.
    pub(crate) fn places(&self) -> u32 {
        self.places.all()
    }

    /// A request goes into the tunnel; until the guard is dropped it waits for its answer.
    pub(super) fn begin(&self) -> Unanswered {
        self.waiting.begin()
    }

    /// An answer came back.
    pub(super) fn heard(&self) {
        self.waiting.heard();
    }

    /// Whether a request is the first to find this tunnel lost.
    pub(super) fn is_first_loss(&self) -> bool {
        !self.lost.swap(true, Ordering::Relaxed)
    }

    /// Waits until a message could not be said. A connector that does not read its control stream
    /// misses what it has to know, and is better off with a new tunnel.
    pub(crate) async fn is_stuck(&self) {
        self.stuck.cancelled().await;
    }

    /// How long nothing has come back although something is waited for, in milliseconds.
    pub(super) fn silence(&self) -> u64 {
        self.waiting.silence()
    }

    /// Whether all its places are taken.
    pub(super) fn is_full(&self) -> bool {
        self.places.are_taken()
    }

    /// Takes a place; `None` where all are taken.
    pub(super) fn take(&self) -> Option<Place> {
        self.places.take()
    }

    /// What is known of its connector's ways to an application.
    pub(super) fn ways(&self, application: &Application) -> Arc<Ways> {
        self.health.of(&self.connector, application)
    }

    /// Whether its connector can do this.
    pub(super) fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// Whether its connector can do what the application depends on.
    pub(super) fn knows(&self, application: &Application) -> bool {
        let has = |feature| self.has(feature);
        (application.proxy_protocol.is_none() || has(Feature::ProxyProtocol))
            && (!application.connection_authentication || has(Feature::ConnectionAuthentication))
            && (application.mode != Mode::TlsPassthrough || has(Feature::TlsPassthrough))
    }

    /// Whether it can be given requests.
    pub(super) fn usable(&self) -> bool {
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
    by_group: ArcSwap<HashMap<GroupName, Group>>,
    state: Mutex<State>,
    numbers: AtomicU64,
    turn: AtomicU64,
    /// A tunnel came into service.
    added: Notify,
}

/// The tunnels of one group.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) tunnels: Vec<Arc<Tunnel>>,
}

impl Group {
    /// The places of those that can be given requests, taken or not.
    pub(super) fn places(&self) -> u32 {
        let usable = self.tunnels.iter().filter(|tunnel| tunnel.usable());
        usable.map(|tunnel| tunnel.places()).sum()
    }
}

#[derive(Debug, Default)]
struct State {
    live: Vec<Arc<Tunnel>>,
    /// Connectors removed while this gateway ran: a tunnel whose handshake was under way when the
    /// removal was noted is refused here.
    removed: HashSet<ConnectorId>,
}

impl State {
    fn of(&self, connector: &ConnectorId) -> usize {
        let own = |live: &&Arc<Tunnel>| live.connector == *connector;
        self.live.iter().filter(own).count()
    }
}

/// What makes a tunnel.
pub(crate) struct NewTunnel {
    pub(crate) connector: ConnectorId,
    pub(crate) group: GroupName,
    pub(crate) requests: SendRequest<Body>,
    pub(crate) places: Arc<Places>,
    pub(crate) control: control::Sender,
    pub(crate) features: Vec<Feature>,
    pub(crate) cut: CancellationToken,
}

/// Tunnels of one connector, over all its processes: more than it opens to eight addresses of this
/// gateway. SECURITY: without it one stolen identity could hold every socket there is.
pub(super) const MOST_OF_ONE: usize = 64;

/// Why a tunnel is not taken into service: its connector was removed, or has [`MOST_OF_ONE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAdded {
    Removed,
    TooMany,
}

impl Tunnels {
    /// Takes a tunnel into service.
    pub(crate) fn add(&self, new: NewTunnel) -> Result<Arc<Tunnel>, NotAdded> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.removed.contains(&new.connector) {
            return Err(NotAdded::Removed);
        }
        if state.of(&new.connector) >= MOST_OF_ONE {
            return Err(NotAdded::TooMany);
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
            places: new.places,
            control: new.control,
            features: new.features,
            told: Mutex::default(),
            draining: CancellationToken::new(),
            cut: new.cut,
            health,
            waiting: Arc::new(Waiting::new()),
            lost: AtomicBool::new(false),
            stuck: CancellationToken::new(),
            round_trip: RoundTrip::default(),
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
            let _ = tunnel.say(message);
        }
    }

    fn publish(&self, state: &State) {
        let mut by_group: HashMap<GroupName, Group> = HashMap::new();
        // One without places is there to talk: it stands for no connector that serves.
        for tunnel in state.live.iter().filter(|tunnel| tunnel.places() > 0) {
            let group = by_group.entry(tunnel.group.clone()).or_default();
            group.tunnels.push(Arc::clone(tunnel));
        }
        self.by_group.store(Arc::new(by_group));
    }

    /// The tunnels of each group at this moment.
    pub(super) fn by_group(&self) -> Guard<Arc<HashMap<GroupName, Group>>> {
        self.by_group.load()
    }

    /// Waits for the next tunnel that comes into service. The wait begins with this call.
    pub(super) fn another(&self) -> impl Future<Output = ()> {
        self.added.notified()
    }

    /// A number below `limit` that looks random: the choice needs no secret, only no pattern.
    pub(super) fn draw(&self, limit: usize) -> usize {
        let step = self
            .turn
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        // Half the bits: a remainder of it fits every machine's word.
        let drawn = usize::try_from(mix(step) >> 32).unwrap_or_default();
        drawn % limit.max(1)
    }

    /// Every live tunnel.
    pub(super) fn live(&self) -> Vec<Arc<Tunnel>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.live.clone()
    }

    /// How many of the live tunnels are this connector's.
    pub(super) fn of(&self, connector: &ConnectorId) -> usize {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .of(connector)
    }

    /// How many tunnels are live.
    pub(crate) fn len(&self) -> usize {
        self.live().len()
    }
}
