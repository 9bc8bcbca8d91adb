//! Which connector carries a request, and to which of the application's internal URLs.

use std::sync::Arc;

use tokio::time::Instant;

use super::affinity::{Client, Mark, Wish};
use super::health::{Standing, Way, Ways};
use super::limits::{Load, Loading};
use super::pins::Pinned;
use super::tunnels::{Group, Tunnel, Tunnels};
use crate::http::Guard;
use crate::model::Application;
use crate::tunnel::link::Place;

/// A tunnel and an internal URL chosen for one request, with its place.
pub(super) struct Lease {
    pub(super) tunnel: Arc<Tunnel>,
    /// The internal URL's number.
    pub(super) url: usize,
    /// What is known of this connector's ways to the application.
    pub(super) ways: Arc<Ways>,
    pub(super) hold: Hold,
}

/// A place in a tunnel, counted for its application.
#[derive(Debug)]
pub(super) struct Hold {
    _place: Place,
    _loading: Loading,
}

impl Guard for Hold {}

/// What a request asks of the choice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) application: &'a Application,
    pub(super) load: &'a Arc<Load>,
    /// Where the request was already.
    pub(super) tried: &'a [Tried],
    /// It can be sent again where it does not reach the application, so it may try a connector
    /// that did not reach it a moment ago.
    pub(super) may_try: bool,
    pub(super) wish: Wish,
    /// Where the client connection has a connection of its own.
    pub(super) pinned: Option<&'a Pinned>,
}

/// Where a request was, in vain.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    pub(super) tunnel: Arc<Tunnel>,
    pub(super) url: usize,
    /// The connector lives and did not reach the URL: other tunnels of it would not either, and
    /// this one is good for another URL. Otherwise it is the tunnel that did not do.
    pub(super) unreached: bool,
}

/// Why nobody was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nobody {
    /// No connector of the groups is connected.
    NoConnector,
    /// None of those that are connected can do what the application depends on.
    TooOld,
    /// Every tunnel of the groups is full.
    AllFull,
    /// The application has its share of the places.
    HasItsShare,
}

/// How far the choice goes; the next where the one before finds nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Connectors that did not lose the request and are known to reach the application.
    Good,
    /// Another tunnel of a connector that lost it.
    SameConnector,
    /// Connectors that fail: an answer with the true error is better than none.
    Ejected,
}

/// How far another attempt keeps away from those that reached nothing; the next where the one
/// before finds nobody. Whether a connector or a copy is to blame is not known, so both change
/// where they can; three attempts find what works, whichever of the two it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Apart {
    ConnectorAndUrl,
    Url,
    Either,
}

/// One that may be chosen.
struct Candidate<'g> {
    tunnel: &'g Arc<Tunnel>,
    ways: Arc<Ways>,
    url: usize,
}

impl Tunnels {
    /// A place in the better of two ways (power of two choices by peak EWMA) of the first group
    /// that has one.
    ///
    /// # Errors
    /// With the reason where there is none.
    pub(super) fn choose(&self, wanted: &Wanted<'_>) -> Result<Lease, Nobody> {
        let by_group = self.by_group();
        let names = wanted.application.connectors.groups().iter();
        let groups: Vec<(usize, &Group)> = names
            .enumerate()
            .filter_map(|(at, name)| Some((at, by_group.get(name)?)))
            .collect();
        let now = Instant::now();
        let search = |(at, group), reach| Search {
            tunnels: self,
            at,
            group,
            wanted,
            reach,
            now,
        };
        // Nowhere else it is signed in.
        if let Some(pinned) = wanted.pinned {
            for &group in &groups {
                if let Some(lease) = search(group, Reach::Good).pinned(pinned) {
                    return Ok(lease);
                }
            }
        }
        // A visitor who is somewhere stays there while that is well, in whatever group it is: what
        // it began there may be nowhere else.
        if let Wish::Mark(mark) = wanted.wish {
            for &group in &groups {
                if let Some(lease) = search(group, Reach::Good).marked(mark) {
                    return Ok(lease);
                }
            }
        }
        for reach in [Reach::Good, Reach::SameConnector, Reach::Ejected] {
            for &group in &groups {
                if let Some(lease) = search(group, reach).lease() {
                    return Ok(lease);
                }
            }
        }
        Err(nobody(&groups, wanted))
    }
}

fn nobody(groups: &[(usize, &Group)], wanted: &Wanted<'_>) -> Nobody {
    let usable = |group: &'_ Group, also: &dyn Fn(&Tunnel) -> bool| {
        let mut tunnels = group.tunnels.iter();
        tunnels.any(|t| t.usable() && also(t) && !wanted.lost(t))
    };
    let knows = |tunnel: &Tunnel| tunnel.knows(wanted.application);
    if !groups.iter().any(|(_, group)| usable(group, &|_| true)) {
        return Nobody::NoConnector;
    }
    if !groups.iter().any(|(_, group)| usable(group, &knows)) {
        return Nobody::TooOld;
    }
    // Where no place is left, it is not the application's share that is in the way.
    let mut free = groups
        .iter()
        .filter(|(_, group)| usable(group, &|tunnel| knows(tunnel) && !tunnel.is_full()));
    match free.any(|(at, group)| wanted.load.has_its_share(*at, group.places())) {
        true => Nobody::HasItsShare,
        false => Nobody::AllFull,
    }
}

impl Wanted<'_> {
    fn lost(&self, tunnel: &Arc<Tunnel>) -> bool {
        let mut tried = self.tried.iter();
        tried.any(|t| !t.unreached && Arc::ptr_eq(&t.tunnel, tunnel))
    }

    fn unreached(&self) -> impl Iterator<Item = &Tried> {
        self.tried.iter().filter(|tried| tried.unreached)
    }
}

/// The search in one group.
struct Search<'g, 'w> {
    tunnels: &'g Tunnels,
    /// The group's number among those of the application.
    at: usize,
    group: &'g Group,
    wanted: &'g Wanted<'w>,
    reach: Reach,
    now: Instant,
}

impl<'g> Search<'g, '_> {
    fn lease(&self) -> Option<Lease> {
        let apart = match self.wanted.unreached().next() {
            None => &[Apart::Either][..],
            Some(_) => &[Apart::ConnectorAndUrl, Apart::Url, Apart::Either],
        };
        apart.iter().find_map(|&apart| {
            self.take(|| match self.wanted.wish {
                Wish::Address(client) => self.first_for(client, apart),
                Wish::Anybody | Wish::Mark(_) => self.better_of_two(apart),
            })
        })
    }

    fn pinned(&self, (tunnel, url): &Pinned) -> Option<Lease> {
        self.take(|| {
            self.all(Apart::Either, |_| true)
                .find(|candidate| candidate.url == *url && Arc::ptr_eq(candidate.tunnel, tunnel))
        })
    }

    fn marked(&self, mark: Mark) -> Option<Lease> {
        self.take(|| {
            let is_it = |way: &Way| way.mark == mark;
            self.all(Apart::Either, is_it)
                .min_by_key(|candidate| candidate.tunnel.in_flight())
        })
    }

    /// Takes a place in what `choose` chooses. Another request may take the last one between the
    /// look and the taking: then it chooses again, and as each time one is gone, it ends.
    fn take(&self, choose: impl Fn() -> Option<Candidate<'g>>) -> Option<Lease> {
        let (load, places) = (self.wanted.load, self.group.places());
        loop {
            if load.has_its_share(self.at, places) {
                return None;
            }
            let Candidate { tunnel, ways, url } = choose()?;
            // A tunnel may begin to drain after the look at it, and its end may have come before
            // the place was taken: such a place is given back.
            let Some(place) = tunnel.take().filter(|_| tunnel.usable()) else {
                continue;
            };
            let health = &ways.to(url).health;
            let is_trial =
                self.reach != Reach::Ejected && health.standing(self.now) == Standing::Trial;
            if is_trial && !health.begin_trial(self.now) {
                continue;
            }
            let loading = load.begin(url, self.at, places)?;
            return Some(Lease {
                tunnel: Arc::clone(tunnel),
                url,
                ways,
                hold: Hold {
                    _place: place,
                    _loading: loading,
                },
            });
        }
    }

    fn better_of_two(&self, apart: Apart) -> Option<Candidate<'g>> {
        let one = self.sample(apart, None)?;
        let other = self.sample(apart, Some(&one));
        match other {
            Some(other) if self.cost(&other) < self.cost(&one) => Some(other),
            _ => Some(one),
        }
    }

    /// Latency, times what is under way in the tunnel, times what is under way to the URL: where
    /// one of the two is the same for all it changes nothing.
    fn cost(&self, candidate: &Candidate<'_>) -> u64 {
        let Candidate { tunnel, ways, url } = candidate;
        let health = &ways.to(*url).health;
        // Whoever may try one that is not known to be well does: what its failures counted for
        // would keep it away for another minute.
        if self.reach != Reach::Ejected && health.standing(self.now) == Standing::Trial {
            return 0;
        }
        let latency = health.weight(self.now).max(tunnel.silence());
        latency
            .saturating_mul(u64::from(tunnel.in_flight()) + 1)
            .saturating_mul(u64::from(self.wanted.load.at(*url)) + 1)
    }

    /// One of the ways that may be chosen of the first tunnel that has any, from a random one on.
    fn sample(&self, apart: Apart, except: Option<&Candidate<'_>>) -> Option<Candidate<'g>> {
        let tunnels = &self.group.tunnels;
        let (before, from) = tunnels.split_at(self.tunnels.draw(tunnels.len()));
        from.iter().chain(before).find_map(|tunnel| {
            let is_taken = |url| {
                let same = |e: &&Candidate<'_>| e.url == url && Arc::ptr_eq(e.tunnel, tunnel);
                except.as_ref().is_some_and(same)
            };
            let ways = self.ways(tunnel)?;
            let may = |&url: &usize| !is_taken(url) && self.may(tunnel, &ways, url, apart);
            let count = (0..ways.len()).filter(may).count();
            let url = match count {
                0 => return None,
                1 => (0..ways.len()).find(may)?,
                // How many there are may have changed since.
                _ => (0..ways.len()).filter(may).nth(self.tunnels.draw(count))?,
            };
            Some(Candidate { tunnel, ways, url })
        })
    }

    /// Whoever stands first for a client; of its tunnels the one with the fewest requests.
    fn first_for(&self, client: Client, apart: Apart) -> Option<Candidate<'g>> {
        self.all(apart, |_| true).max_by_key(|candidate| {
            let mark = candidate.ways.to(candidate.url).mark;
            let fewest = std::cmp::Reverse(candidate.tunnel.in_flight());
            (mark.rank(client), fewest)
        })
    }

    /// All that may be chosen.
    fn all(
        &self,
        apart: Apart,
        also: impl Fn(&Way) -> bool,
    ) -> impl Iterator<Item = Candidate<'g>> {
        let tunnels = self.group.tunnels.iter();
        let ways = tunnels.filter_map(|tunnel| Some((tunnel, self.ways(tunnel)?)));
        ways.flat_map(move |(tunnel, ways)| {
            let may = |&url: &usize| also(ways.to(url)) && self.may(tunnel, &ways, url, apart);
            let urls: Vec<usize> = (0..ways.len()).filter(may).collect();
            urls.into_iter().map(move |url| Candidate {
                tunnel,
                ways: Arc::clone(&ways),
                url,
            })
        })
    }

    /// The ways that lead through a tunnel; `None` where it cannot be chosen at all.
    fn ways(&self, tunnel: &Arc<Tunnel>) -> Option<Arc<Ways>> {
        // SECURITY: a tunnel that offers few places, or none, has always the fewest requests:
        // chosen by load alone it would be chosen always, and have the whole group refused.
        let application = self.wanted.application;
        if !tunnel.usable()
            || !tunnel.knows(application)
            || tunnel.is_full()
            || self.wanted.lost(tunnel)
        {
            return None;
        }
        Some(tunnel.ways(application))
    }

    fn may(&self, tunnel: &Arc<Tunnel>, ways: &Ways, url: usize, apart: Apart) -> bool {
        let is_same = |tried: &Tried| tried.tunnel.connector == tunnel.connector;
        let mut unreached = self.wanted.unreached();
        let excluded = unreached.any(|tried| match apart {
            Apart::ConnectorAndUrl => is_same(tried) || tried.url == url,
            Apart::Url => tried.url == url,
            Apart::Either => is_same(tried) && tried.url == url,
        });
        if excluded {
            return false;
        }
        let mut lost = self.wanted.tried.iter().filter(|tried| !tried.unreached);
        if self.reach == Reach::Good && lost.any(is_same) {
            return false;
        }
        match ways.to(url).health.standing(self.now) {
            Standing::Good => true,
            Standing::Trial => self.wanted.may_try || self.reach == Reach::Ejected,
            Standing::Ejected => self.reach == Reach::Ejected,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use hyper_util::rt::TokioIo;
    use tokio_util::sync::CancellationToken;

    use super::super::tunnels::NewTunnel;
    use super::*;
    use crate::gateway::route::tests::application;
    use crate::model::{ConnectorId, GroupName, InternalUrl, InternalUrls, StreamWindow};
    use crate::tunnel::link::{self, Places};
    use crate::tunnel::{Tied, control};

    /// Connectors with two tunnels each, and an application of so many copies. Nothing is sent: who
    /// is chosen is all there is to see, and time goes by as the test has it.
    struct Rig {
        tunnels: Tunnels,
        application: Arc<Application>,
        load: Arc<Load>,
        /// What a tunnel lives by.
        _alive: Vec<Box<dyn std::any::Any>>,
    }

    fn connector(number: u8) -> ConnectorId {
        ConnectorId::from_random([number; 12])
    }

    impl Rig {
        async fn new(connectors: u8, copies: u8) -> Self {
            let mut wiki = (*application("wiki", "https://wiki.example.com/", "http://a/")).clone();
            let urls = (0..copies).map(|n| InternalUrl::parse(&format!("http://copy-{n}/")));
            wiki.internal = InternalUrls::new(urls.map(Result::unwrap).collect()).unwrap();
            let (tunnels, mut alive) = (Tunnels::default(), Vec::<Box<dyn std::any::Any>>::new());
            for number in (0..connectors).flat_map(|number| [number; 2]) {
                let (near, far) = tokio::io::duplex(4096);
                let client = link::client(&Tied::to(CancellationToken::new()), StreamWindow::USUAL);
                let (requests, connection) = client.handshake(TokioIo::new(near)).await.unwrap();
                let (control, body) = control::channel();
                let new = NewTunnel {
                    connector: connector(number),
                    group: GroupName::new("default").unwrap(),
                    requests,
                    places: Places::new(1000, StreamWindow::USUAL),
                    features: Vec::new(),
                    control,
                    cut: CancellationToken::new(),
                };
                tunnels.add(new).unwrap();
                alive.push(Box::new((far, connection, body)));
            }
            Self {
                tunnels,
                load: Load::of(&wiki, None),
                application: Arc::new(wiki),
                _alive: alive,
            }
        }

        fn choose(&self) -> Lease {
            let wanted = Wanted {
                application: &self.application,
                load: &self.load,
                tried: &[],
                may_try: true,
                wish: Wish::Anybody,
                pinned: None,
            };
            self.tunnels.choose(&wanted).unwrap()
        }

        /// Sends so many requests, so many at once, each of which is answered after what `takes` says
        /// of its way, and counts them by connector and copy.
        async fn send(
            &self,
            requests: usize,
            at_once: usize,
            takes: impl Fn(&Lease) -> Duration,
        ) -> HashMap<(ConnectorId, usize), usize> {
            let mut served = HashMap::new();
            let mut under_way: Vec<(Instant, Duration, Lease)> = Vec::new();
            let mut sent = 0;
            while sent < requests || !under_way.is_empty() {
                while sent < requests && under_way.len() < at_once {
                    let lease = self.choose();
                    let takes = takes(&lease);
                    under_way.push((Instant::now() + takes, takes, lease));
                    sent += 1;
                }
                let ends = under_way.iter().map(|(end, ..)| *end);
                let (first, end) = ends.enumerate().min_by_key(|(_, end)| *end).unwrap();
                tokio::time::advance(end.saturating_duration_since(Instant::now())).await;
                let (_, took, lease) = under_way.swap_remove(first);
                let health = &lease.ways.to(lease.url).health;
                health.answered(took, Instant::now());
                let way = (lease.tunnel.connector.clone(), lease.url);
                *served.entry(way).or_default() += 1;
            }
            served
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_four_connectors_the_faster_carry_more_by_far_equals_alike_and_none_nothing() {
        const REQUESTS: usize = 1200;
        let delays = [1, 1, 40, 160].map(Duration::from_millis);
        let rig = Rig::new(4, 1).await;
        let number = |id: &ConnectorId| (0..4).find(|&n| connector(n) == *id).unwrap();
        let takes = |lease: &Lease| delays[usize::from(number(&lease.tunnel.connector))];
        let served = rig.send(REQUESTS, 16, takes).await;
        let of = |n| served.get(&(connector(n), 0)).copied().unwrap_or_default();
        let all = [0, 1, 2, 3].map(of);
        assert_eq!(all.iter().sum::<usize>(), REQUESTS);
        let [one, other, slow, slower] = all;
        // Of two choices both are slow ones in a sixth of the cases; the rest goes to the fast.
        assert!(one + other > 2 * (slow + slower), "{all:?}");
        assert!(slow > slower && slower > 0, "{all:?}");
        // Equals share evenly.
        assert!(one.min(other) * 2 > one.max(other), "{all:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn copies_and_connectors_that_are_equal_share_the_work_evenly() {
        const REQUESTS: usize = 600;
        let rig = Rig::new(2, 3).await;
        for takes in [1, 30].map(Duration::from_millis) {
            let served = rig.send(REQUESTS, 16, |_| takes).await;
            assert_eq!(served.values().sum::<usize>(), REQUESTS);
            assert_eq!(served.len(), 6, "{served:?}");
            let sum = |is: &dyn Fn(&(ConnectorId, usize)) -> bool| -> usize {
                let ways = served.iter().filter(|(way, _)| is(way));
                ways.map(|(_, count)| count).sum()
            };
            for copy in 0..3 {
                let count = sum(&|(_, url)| *url == copy);
                assert!(count > REQUESTS / 6, "{copy}: {served:?}");
            }
            for number in 0..2 {
                let count = sum(&|(id, _)| *id == connector(number));
                assert!(count > REQUESTS / 3, "{number}: {served:?}");
            }
        }
    }
}
