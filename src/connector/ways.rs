//! Which ways there are to the gateways that are known: names are looked up again and again, new
//! addresses get tunnels, and those that nothing leads to any more get no others.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::backoff;
use super::dial::DIAL;
use super::supervisor::{Outcome, Shared};
use super::tunnel::Ended;
use super::way::{Gateway, Way};
use crate::model::Endpoint;
use crate::net::{DialError, Dialled, Route};

/// How often a name is looked up that works.
const LOOK_UP: Duration = Duration::from_secs(30);

/// The shortest time between two look-ups, however often something fails.
const LOOK_UP_LEAST: Duration = Duration::from_secs(1);

/// The most ways that are kept. A gateway takes 64 tunnels of one connector, and a connector that
/// needs more ways than this needs fewer gateways.
const MOST_WAYS: usize = 64;

/// The ways of one connector.
pub(super) struct Ways {
    shared: Arc<Shared>,
    gateways: HashMap<Endpoint, Followed>,
    ways: HashMap<Route, Kept>,
    keepers: JoinSet<(Route, Ended)>,
    alone: watch::Sender<bool>,
    found: mpsc::Receiver<(Endpoint, Vec<Route>)>,
    tell: mpsc::Sender<(Endpoint, Vec<Route>)>,
    /// There are too many, which is said once.
    said_many: bool,
}

/// A gateway whose name is followed.
struct Followed {
    gateway: Arc<Gateway>,
    routes: Vec<Route>,
    _look_up: AbortOnDropHandle<()>,
}

struct Kept {
    way: Arc<Way>,
    removed: bool,
    keeper: tokio::task::AbortHandle,
}

impl Ways {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let (tell, found) = mpsc::channel(1);
        Self {
            shared: Arc::clone(shared),
            gateways: HashMap::new(),
            ways: HashMap::new(),
            keepers: JoinSet::new(),
            alone: watch::Sender::new(true),
            found,
            tell,
            said_many: false,
        }
    }

    /// Keeps tunnels on each until every gateway that ever answered has removed this connector.
    pub(super) async fn run(mut self) -> Outcome {
        let known = Arc::clone(&self.shared.supervisor.known);
        let mut changes = known.changes();
        let mut looks = interval(LOOK_UP);
        loop {
            self.follow();
            tokio::select! {
                // The sender lives as long as this.
                _ = changes.changed() => {}
                Some((gateway, routes)) = self.found.recv() => {
                    if let Some(followed) = self.gateways.get_mut(&gateway) {
                        followed.routes = routes;
                    }
                }
                Some(Ok((route, ended))) = self.keepers.join_next() => {
                    if ended == Ended::Removed && self.removed(&route) {
                        return Outcome::Removed;
                    }
                }
                _ = looks.tick() => {
                    let standing = |f: &&Followed| f.gateway.standing.load(Ordering::Relaxed) > 0;
                    let answering = self.gateways.values().filter(standing);
                    known.answer(answering.map(|followed| &followed.gateway.endpoint));
                }
            }
        }
    }

    /// Follows the gateways that are known and keeps the ways that lead to them.
    fn follow(&mut self) {
        let known = self.shared.supervisor.known.all();
        self.gateways.retain(|gateway, _| known.contains(gateway));
        for endpoint in &known {
            if !self.gateways.contains_key(endpoint) {
                let followed = self.begin(endpoint.clone());
                self.gateways.insert(endpoint.clone(), followed);
            }
        }
        // In the order of the gateways, so that what is configured comes first.
        let mut wanted: Vec<(Route, Arc<Gateway>)> = Vec::new();
        for followed in known
            .iter()
            .filter_map(|gateway| self.gateways.get(gateway))
        {
            for route in &followed.routes {
                if !wanted.iter().any(|(known, _)| known == route) {
                    wanted.push((route.clone(), Arc::clone(&followed.gateway)));
                }
            }
        }
        if wanted.len() > MOST_WAYS && !std::mem::replace(&mut self.said_many, true) {
            tracing::warn!(
                code = "too_many_ways",
                ways = wanted.len(),
                kept = MOST_WAYS,
                "there are too many ways to gateways; the last ones are not used"
            );
        }
        wanted.truncate(MOST_WAYS);
        self.alone.send_replace(known.len().max(wanted.len()) == 1);
        for kept in self.ways.values().filter(|kept| !kept.removed) {
            let is_wanted = wanted.iter().any(|(route, _)| *route == *kept.way.route());
            kept.way.want(is_wanted);
        }
        self.ways.retain(|route, kept| {
            let over = match kept.removed {
                true => !wanted.iter().any(|(wanted, _)| wanted == route),
                false => kept.way.is_over(),
            };
            if over {
                kept.keeper.abort();
            }
            !over
        });
        for (route, gateway) in wanted {
            if !self.ways.contains_key(&route) {
                let way = Way::new(
                    &self.shared,
                    &gateway,
                    route.clone(),
                    self.alone.subscribe(),
                );
                let keeping = Arc::clone(&way).keep();
                let of = route.clone();
                let keeper = self.keepers.spawn(async move { (of, keeping.await) });
                let removed = false;
                self.ways.insert(
                    route,
                    Kept {
                        way,
                        removed,
                        keeper,
                    },
                );
            }
        }
    }

    /// Begins to look up a gateway's name.
    fn begin(&self, endpoint: Endpoint) -> Followed {
        let gateway = Arc::new(Gateway {
            endpoint,
            standing: AtomicUsize::new(0),
            worked: AtomicBool::new(false),
            look_up: Notify::new(),
        });
        let task = look_up(
            Arc::clone(&self.shared),
            Arc::clone(&gateway),
            self.alone.subscribe(),
            self.tell.clone(),
        );
        Followed {
            gateway,
            routes: Vec::new(),
            _look_up: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }

    /// The gateway on this way has removed the connector. Returns whether all have that ever
    /// answered.
    fn removed(&mut self, route: &Route) -> bool {
        if let Some(kept) = self.ways.get_mut(route) {
            kept.removed = true;
        }
        let mut all = self.ways.values();
        all.all(|kept| kept.removed || !kept.way.has_worked())
    }
}

/// Looks up a gateway's name for ever; tells what was found.
async fn look_up(
    shared: Arc<Shared>,
    gateway: Arc<Gateway>,
    alone: watch::Receiver<bool>,
    tell: mpsc::Sender<(Endpoint, Vec<Route>)>,
) {
    let supervisor = &shared.supervisor;
    let (mut failures, mut told) = (0_u32, String::new());
    let mut woken = shared.woken.subscribe();
    loop {
        let deadline = Instant::now() + DIAL;
        let permitted = |dialled: Dialled<'_>| supervisor.known.permit(&gateway.endpoint, dialled);
        let found = supervisor
            .dialler
            .routes(&gateway.endpoint, &permitted, deadline);
        let pause = match found.await {
            Ok(routes) => {
                if !std::mem::take(&mut told).is_empty() {
                    tracing::info!(gateway = %gateway.endpoint, "the gateway's name leads somewhere again");
                }
                failures = 0;
                if tell.send((gateway.endpoint.clone(), routes)).await.is_err() {
                    return;
                }
                LOOK_UP
            }
            // That is said already, with what to do about it.
            Err(DialError::NotPermitted(_)) => LOOK_UP,
            // What was found before counts on.
            Err(error) => {
                let (code, reason) = (error.code(), error.to_string());
                let minor = supervisor.known.is_extra(&gateway.endpoint)
                    && shared.worked.load(Ordering::Relaxed);
                // At the start nobody knows which gateways are needed.
                let early = failures == 0 && !*alone.borrow();
                if !early && told != reason {
                    if minor {
                        tracing::info!(gateway = %gateway.endpoint, code, reason, "a gateway's name leads nowhere, others answer; it is tried now and then");
                    } else {
                        tracing::warn!(gateway = %gateway.endpoint, code, reason, "no tunnel; trying again");
                    }
                    told = reason;
                }
                let pause = backoff::look_up(failures);
                failures = failures.saturating_add(1);
                if minor { LOOK_UP } else { pause }
            }
        };
        let begun = Instant::now();
        tokio::select! {
            () = sleep(pause) => {}
            () = gateway.look_up.notified() => {}
            _ = woken.changed() => failures = 0,
        }
        // A failure that asks for a look-up again and again does not get one each time.
        let rest = (begun + LOOK_UP_LEAST).saturating_duration_since(Instant::now());
        sleep(rest.min(pause)).await;
    }
}
