//! The live tunnels: who is connected, and which of them carries the next request.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use hyper::client::conn::http2::SendRequest;
use tokio_util::sync::CancellationToken;

use crate::http::Body;
use crate::model::{ConnectorId, ErrorCode, GroupName};
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
}

/// A tunnel chosen for one request, with its place in it.
pub(crate) struct Lease {
    pub(crate) tunnel: Arc<Tunnel>,
    pub(crate) place: Place,
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
    turn: AtomicUsize,
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
        });
        state.live.push(Arc::clone(&tunnel));
        self.publish(&state);
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

    /// A place in the least loaded tunnel of the first group that has one; `except` is not chosen.
    ///
    /// # Errors
    /// `no_connector` where no group has a tunnel, `tunnel_busy` where all their places are taken.
    pub(crate) fn choose(
        &self,
        groups: &[GroupName],
        except: Option<&Arc<Tunnel>>,
    ) -> Result<Lease, ErrorCode> {
        let by_group = self.by_group.load();
        let mut outcome = ErrorCode::NoConnector;
        for group in groups {
            let Some(tunnels) = by_group.get(group) else {
                continue;
            };
            let eligible =
                |t: &&Arc<Tunnel>| t.usable() && !except.is_some_and(|e| Arc::ptr_eq(e, t));
            // The walk begins at another tunnel each time, so that equals take turns.
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % tunnels.len().max(1);
            let (before, from) = tunnels.split_at(turn.min(tunnels.len()));
            let walk = || from.iter().chain(before).filter(eligible);
            // SECURITY: a tunnel that offers few places, or none, has always the fewest requests:
            // chosen by load alone it would be chosen always, and have the whole group refused.
            let free = || walk().filter(|tunnel| !tunnel.places.are_taken());
            // Another request may take the last place between the two looks; each time round at
            // least one tunnel has filled up, so the loop ends.
            while let Some(tunnel) = free().min_by_key(|tunnel| tunnel.in_flight()) {
                // A tunnel may begin to drain after the look at it, and its end may have come before
                // the place was taken: such a place is given back.
                if let Some(place) = tunnel.places.take().filter(|_| tunnel.usable()) {
                    return Ok(Lease {
                        tunnel: Arc::clone(tunnel),
                        place,
                    });
                }
            }
            if walk().next().is_some() {
                outcome = ErrorCode::TunnelBusy;
            }
        }
        Err(outcome)
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
