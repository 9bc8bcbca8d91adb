//! How many requests an application, a client address and all together may have in tunnels at once,
//! counted exactly: whatever holds a number gives it back when it is dropped.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::affinity::Client;
use super::respond::Failure;
use crate::model::{Application, ApplicationName, ErrorCode, RequestLimit};

/// So many tables, each with a lock of its own, so that cores do not wait for one another.
const SHARDS: usize = 16;

/// What one application has in tunnels.
#[derive(Debug)]
pub(super) struct Load {
    application: ApplicationName,
    limit: RequestLimit,
    /// Everywhere, and what still looks for a tunnel.
    requests: Arc<Gauge>,
    /// At each of its internal URLs.
    urls: Box<[AtomicU32]>,
    /// In each of its connector groups.
    groups: Box<[AtomicU32]>,
}

/// What there is now, and whether the log was told that more are refused.
#[derive(Debug, Default)]
struct Gauge {
    now: AtomicU32,
    /// Since there were so many; 0 where none are refused. It has recovered with half.
    refused_at: AtomicU32,
}

impl Gauge {
    /// One more, where there are fewer than `most`.
    fn add(&self, most: u32) -> bool {
        add(&self.now, most)
    }

    /// One is refused; how many there are where it is the first one.
    fn refuses(&self) -> Option<u32> {
        let now = self.now.load(Ordering::Relaxed).max(1);
        let first = self
            .refused_at
            .compare_exchange(0, now, Ordering::AcqRel, Ordering::Relaxed);
        first.is_ok().then_some(now)
    }

    /// One has ended; how many are left where it has recovered with that.
    fn ends(&self) -> Option<u32> {
        let left = self.now.fetch_sub(1, Ordering::AcqRel) - 1;
        let refused_at = self.refused_at.load(Ordering::Relaxed);
        if refused_at == 0 || left > refused_at / 2 {
            return None;
        }
        let ends =
            self.refused_at
                .compare_exchange(refused_at, 0, Ordering::AcqRel, Ordering::Relaxed);
        ends.is_ok().then_some(left)
    }
}

/// One request in a group on its way to an internal URL.
#[derive(Debug)]
pub(super) struct Loading {
    load: Arc<Load>,
    url: usize,
    group: usize,
}

/// One request that may go into a tunnel.
#[derive(Debug)]
pub(super) struct Ticket {
    load: Arc<Load>,
    _of_all: OfAll,
    _client: Counted,
    _of_application: Option<Counted>,
}

impl Load {
    /// Of this application; what it has in tunnels goes on to count where its limit or its ways are
    /// others than `before`.
    pub(super) fn of(application: &Application, before: Option<&Self>) -> Arc<Self> {
        let zeros = |count| (0..count).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Self {
            application: application.name.clone(),
            limit: application.limits.requests,
            requests: before.map_or_else(Arc::default, |before| Arc::clone(&before.requests)),
            urls: zeros(application.internal.all().len()),
            groups: zeros(application.connectors.groups().len()),
        })
    }

    /// Requests on their way to an internal URL, over all connectors.
    pub(super) fn at(&self, url: usize) -> u32 {
        let count = self.urls.get(url);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Whether it has its share of a group's places already.
    pub(super) fn has_its_share(&self, group: usize, places: u32) -> bool {
        let count = self.groups.get(group);
        count.is_some_and(|count| count.load(Ordering::Relaxed) >= self.share(places))
    }

    /// Counts one more in a group with so many places; `None` where it has its share already.
    pub(super) fn begin(
        self: &Arc<Self>,
        url: usize,
        group: usize,
        places: u32,
    ) -> Option<Loading> {
        if !add(self.groups.get(group)?, self.share(places)) {
            return None;
        }
        if let Some(count) = self.urls.get(url) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Some(Loading {
            load: Arc::clone(self),
            url,
            group,
        })
    }

    fn share(&self, places: u32) -> u32 {
        match self.limit {
            RequestLimit::Share(hundredths) => {
                let share = (u64::from(places) * u64::from(hundredths)).div_ceil(100);
                u32::try_from(share).unwrap_or(u32::MAX)
            }
            RequestLimit::Count(_) => u32::MAX,
        }
    }

    /// The refusal of one more: one line in the log for the first, until half have ended.
    pub(super) fn refuse(&self) -> Failure {
        if let Some(in_flight) = self.requests.refuses() {
            tracing::warn!(application = %self.application, in_flight, limit = %describe(self.limit), "application has as many requests in tunnels as it may: further ones are refused");
        }
        let detail = "the application has as many requests in tunnels as it may";
        Failure::new(ErrorCode::TunnelBusy, detail).said()
    }

    fn ended(&self) {
        if let Some(in_flight) = self.requests.ends() {
            tracing::info!(application = %self.application, in_flight, "application is below its limit again");
        }
    }
}

fn describe(limit: RequestLimit) -> String {
    match limit {
        RequestLimit::Share(share) => format!("{share}% of a group's places"),
        RequestLimit::Count(count) => format!("{count} requests"),
    }
}

/// Adds one where there are fewer than `most`.
fn add(count: &AtomicU32, most: u32) -> bool {
    let more = |count: u32| (count < most).then_some(count + 1);
    let added = count.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more);
    added.is_ok()
}

impl Drop for Loading {
    fn drop(&mut self) {
        let Load { urls, groups, .. } = &*self.load;
        for count in urls.get(self.url).iter().chain(&groups.get(self.group)) {
            count.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.load.ended();
    }
}

/// The requests of each client that has any.
#[derive(Debug)]
pub(super) struct Clients {
    shards: Box<[Mutex<HashMap<Key, Count>>]>,
    most: AtomicU32,
    all: Gauge,
    most_of_all: AtomicU32,
}

/// A client, at the whole gateway or at one application.
type Key = (Client, Option<ApplicationName>);

#[derive(Debug, Default)]
struct Count {
    requests: u32,
    /// The log was told that more are refused.
    told: bool,
}

/// One of all requests.
#[derive(Debug)]
struct OfAll(Arc<Clients>);

impl Drop for OfAll {
    fn drop(&mut self) {
        if let Some(in_flight) = self.0.all.ends() {
            tracing::info!(
                in_flight,
                "the gateway is below its limit of requests again"
            );
        }
    }
}

/// One request of a client.
#[derive(Debug)]
struct Counted {
    clients: Arc<Clients>,
    key: Key,
}

impl Clients {
    /// Nobody; each may have `most` requests at once, and together they may have `most_of_all`.
    pub(super) fn new(most: u32, most_of_all: u32) -> Arc<Self> {
        Arc::new(Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            most: AtomicU32::new(most),
            all: Gauge::default(),
            most_of_all: AtomicU32::new(most_of_all),
        })
    }

    /// As in [`Clients::new`], from now on. What is in tunnels stays there.
    pub(super) fn limit(&self, most: u32, most_of_all: u32) {
        self.most.store(most, Ordering::Relaxed);
        self.most_of_all.store(most_of_all, Ordering::Relaxed);
    }

    /// Lets one more request of this application and this client into the tunnels.
    ///
    /// # Errors
    /// `tunnel_busy` where the application has as many as it may, or all have. `throttled` where the client has:
    /// the places it wants are its own, the application serves everybody else, and no connector is
    /// to blame.
    pub(super) fn admit(
        self: &Arc<Self>,
        application: &Application,
        load: &Arc<Load>,
        address: IpAddr,
    ) -> Result<Ticket, Failure> {
        let client = Client::at(address);
        // First: nothing is done for those that come on top.
        let of_all = self.begin()?;
        let counted = self.count((client, None), self.most.load(Ordering::Relaxed))?;
        let of_application = match application.limits.per_address {
            Some(most) => Some(self.count((client, Some(application.name.clone())), most)?),
            None => None,
        };
        let most = match application.limits.requests {
            RequestLimit::Share(_) => u32::MAX,
            RequestLimit::Count(most) => most,
        };
        if !load.requests.add(most) {
            return Err(load.refuse());
        }
        Ok(Ticket {
            load: Arc::clone(load),
            _of_all: of_all,
            _client: counted,
            _of_application: of_application,
        })
    }

    fn begin(self: &Arc<Self>) -> Result<OfAll, Failure> {
        let most_of_all = self.most_of_all.load(Ordering::Relaxed);
        if self.all.add(most_of_all) {
            return Ok(OfAll(Arc::clone(self)));
        }
        if let Some(in_flight) = self.all.refuses() {
            tracing::warn!(
                in_flight,
                limit = most_of_all,
                "the gateway has as many requests in tunnels as it may: further ones are refused; see `limits.requests_total`"
            );
        }
        let detail = "the gateway has as many requests in tunnels as it may";
        Err(Failure::new(ErrorCode::TunnelBusy, detail).said())
    }

    fn count(self: &Arc<Self>, key: Key, most: u32) -> Result<Counted, Failure> {
        let mut shard = self.shard(key.0);
        let count = shard.entry(key.clone()).or_default();
        if count.requests < most {
            count.requests += 1;
            drop(shard);
            let clients = Arc::clone(self);
            return Ok(Counted { clients, key });
        }
        let first = !std::mem::replace(&mut count.told, true);
        drop(shard);
        if first {
            let application = key.1.as_ref().map(ApplicationName::as_str);
            tracing::info!(client = %key.0, application, limit = most, "client address has as many requests in tunnels as it may: further ones are refused");
        }
        let detail = "its address has as many requests in tunnels as it may";
        Err(Failure::new(ErrorCode::Throttled, detail).said())
    }

    fn shard(&self, client: Client) -> std::sync::MutexGuard<'_, HashMap<Key, Count>> {
        let shard = usize::try_from(client.hash() % SHARDS as u64).unwrap_or_default();
        self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut shard = self.clients.shard(self.key.0);
        if let Entry::Occupied(mut count) = shard.entry(self.key.clone()) {
            count.get_mut().requests -= 1;
            // Whoever has none leaves nothing behind.
            if count.get().requests == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::gateway::route::tests::application;

    fn limited(requests: RequestLimit, per_address: Option<u32>) -> (Arc<Application>, Arc<Load>) {
        let mut wiki = (*application("wiki", "https://wiki.example.com/", "http://a/")).clone();
        wiki.limits.requests = requests;
        wiki.limits.per_address = per_address;
        let load = Load::of(&wiki, None);
        (Arc::new(wiki), load)
    }

    fn address(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    fn entries(clients: &Clients) -> usize {
        clients.shards.iter().map(|s| s.lock().unwrap().len()).sum()
    }

    #[test]
    fn an_application_has_as_many_as_it_may_and_one_more_when_one_ends() {
        let (wiki, load) = limited(RequestLimit::Count(3), None);
        let clients = Clients::new(100, u32::MAX);
        let mut tickets: Vec<Ticket> = (0..3)
            .map(|n| clients.admit(&wiki, &load, address(n)).unwrap())
            .collect();
        let refused = clients.admit(&wiki, &load, address(9)).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::TunnelBusy);
        // Who was refused is not counted.
        assert_eq!(entries(&clients), 3);
        tickets.pop();
        tickets.push(clients.admit(&wiki, &load, address(9)).unwrap());
        assert!(clients.admit(&wiki, &load, address(9)).is_err());
        assert_ne!(load.requests.refused_at.load(Ordering::Relaxed), 0);
        tickets.truncate(1);
        assert_eq!(load.requests.refused_at.load(Ordering::Relaxed), 0);
        tickets.clear();
        assert_eq!(
            (entries(&clients), load.requests.now.load(Ordering::Relaxed)),
            (0, 0)
        );
    }

    #[test]
    fn an_address_has_as_many_as_it_may_everywhere_and_at_one_application() {
        let (wiki, load) = limited(RequestLimit::default(), Some(2));
        let (shop, other) = limited(RequestLimit::default(), None);
        let clients = Clients::new(3, u32::MAX);
        let admit = |application, load, n| clients.admit(application, load, address(n));
        let mut tickets = vec![
            admit(&wiki, &load, 1).unwrap(),
            admit(&wiki, &load, 1).unwrap(),
        ];
        let refused = admit(&wiki, &load, 1).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Throttled);
        tickets.push(admit(&shop, &other, 1).unwrap());
        assert!(admit(&shop, &other, 1).is_err());
        tickets.push(admit(&wiki, &load, 2).unwrap());
        tickets.clear();
        assert_eq!(entries(&clients), 0);
        assert!(admit(&wiki, &load, 1).is_ok());
    }

    #[test]
    fn all_together_have_as_many_as_they_may() {
        let (wiki, load) = limited(RequestLimit::default(), None);
        let (shop, other) = limited(RequestLimit::default(), None);
        let clients = Clients::new(100, 3);
        let mut tickets: Vec<Ticket> = (0..3)
            .map(|n| clients.admit(&wiki, &load, address(n)).unwrap())
            .collect();
        for n in 0..9 {
            let refused = clients.admit(&shop, &other, address(n)).unwrap_err();
            assert_eq!(refused.code(), ErrorCode::TunnelBusy);
        }
        assert_eq!(clients.all.refused_at.load(Ordering::Relaxed), 3);
        // Who was refused for another reason holds nothing.
        let (full, at_its_end) = limited(RequestLimit::Count(1), None);
        tickets.truncate(1);
        assert_eq!(clients.all.refused_at.load(Ordering::Relaxed), 0);
        tickets.push(clients.admit(&full, &at_its_end, address(1)).unwrap());
        assert!(clients.admit(&full, &at_its_end, address(1)).is_err());
        tickets.push(clients.admit(&shop, &other, address(1)).unwrap());
        drop(tickets);
        assert_eq!(clients.all.now.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_share_is_one_of_a_groups_places() {
        let (_, load) = limited(RequestLimit::Share(80), None);
        let all: Vec<Loading> = std::iter::from_fn(|| load.begin(0, 0, 10)).collect();
        assert_eq!((all.len(), load.at(0)), (8, 8));
        assert!(load.has_its_share(0, 10) && !load.has_its_share(0, 11));
        drop(all);
        assert_eq!(load.at(0), 0);
        // Of one place it is that one.
        assert!(load.begin(0, 0, 1).is_some());
    }

    #[test]
    fn however_many_come_at_once_none_is_counted_twice_or_forgotten() {
        const MOST: u32 = 50;
        let (wiki, load) = limited(RequestLimit::Count(MOST), None);
        let clients = Clients::new(MOST, u32::MAX);
        let most = AtomicUsize::new(0);
        let now = AtomicUsize::new(0);
        std::thread::scope(|threads| {
            for worker in 0..8 {
                let (wiki, load, clients) = (&wiki, &load, &clients);
                let (most, now) = (&most, &now);
                threads.spawn(move || {
                    let mut held = Vec::new();
                    for n in 0..20_000_u32 {
                        if let Ok(ticket) = clients.admit(wiki, load, address(worker % 2)) {
                            most.fetch_max(
                                now.fetch_add(1, Ordering::SeqCst) + 1,
                                Ordering::SeqCst,
                            );
                            held.push(ticket);
                        }
                        if n % 3 == 0 || held.len() > 20 {
                            now.fetch_sub(held.len().min(1), Ordering::SeqCst);
                            held.pop();
                        }
                    }
                    now.fetch_sub(held.len(), Ordering::SeqCst);
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= MOST as usize);
        assert_eq!(
            (entries(&clients), load.requests.now.load(Ordering::SeqCst)),
            (0, 0)
        );
    }
}
