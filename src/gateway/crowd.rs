//! How many connections people have, in total and from one address, and which of them make room.
//!
//! | stage | from | counts as |
//! |---|---|---|
//! | at the door | the accept | nobody's yet: it makes room as it waits |
//! | a person's | the end of the TLS handshake | one of the limit; idle while no request or WebSocket is on it |
//! | a connector's | the same | nothing: what takes its place is dropped |
//!
//! Where a limit is reached, the oldest idle connection is closed for a new one. The door has a
//! reserve beyond the limits, so whoever comes is always let in so far that it can show whose it is:
//! people that fill the gateway keep no connector out.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::Counter;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::affinity::Client;
use crate::config::ConnectionLimits;
use crate::http::Guard;
use crate::telemetry::metrics::{CONNECTIONS_EVICTED, CONNECTIONS_REFUSED};

/// Places at the door beyond the limits, in total and of one address. A connector needs one for the
/// time of a handshake; the oldest goes first, so it takes this many newcomers within a round trip
/// to keep one out.
const RESERVE: usize = 1024;
const RESERVE_OF_ADDRESS: usize = 64;

/// How long a connection that makes room has to say goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// All connections that are at the door or a person's.
#[derive(Debug)]
pub(super) struct Crowd {
    total: usize,
    per_address: usize,
    state: Mutex<State>,
    evicted: ByReason,
    refused: ByReason,
}

/// Counts by the limit that was reached.
#[derive(Debug)]
struct ByReason {
    total: Counter,
    address: Counter,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the next place, and of the next moment at which one becomes idle.
    next: u64,
    places: HashMap<u64, Place>,
    all: Group,
    addresses: HashMap<Client, Group>,
}

/// The connections under one limit.
#[derive(Debug, Default)]
struct Group {
    door: Part,
    people: Part,
    /// The log was told that the limit is reached.
    told: bool,
}

#[derive(Debug, Default)]
struct Part {
    open: usize,
    /// The idle ones, oldest first: the moment and the place.
    idle: BTreeMap<u64, u64>,
}

#[derive(Debug)]
struct Place {
    client: Client,
    stage: Stage,
    /// The moment since which it is idle.
    idle: Option<u64>,
    leave: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Door,
    Person,
}

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Total,
    Address,
}

/// One connection's place. It is given back when the last request on it has ended too: a WebSocket
/// outlives what serves its connection.
#[derive(Debug)]
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    number: u64,
    client: Client,
    leave: CancellationToken,
    requests: watch::Sender<usize>,
}

/// A request or a WebSocket on a connection: it is not idle.
#[derive(Debug)]
pub(super) struct Busy(Arc<Seat>);

impl Crowd {
    /// Nobody yet.
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        let count = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
        Arc::new(Self {
            total: count(limits.total),
            per_address: count(limits.per_address),
            state: Mutex::default(),
            evicted: ByReason {
                total: CONNECTIONS_EVICTED.counter(&["total"]),
                address: CONNECTIONS_EVICTED.counter(&["address"]),
            },
            refused: ByReason {
                total: CONNECTIONS_REFUSED.counter(&["total"]),
                address: CONNECTIONS_REFUSED.counter(&["address"]),
            },
        })
    }

    /// Lets a connection in as far as the door. There is always room: of a limit and its reserve
    /// people have the limit at most, so whoever is there beyond it is idle.
    pub(super) fn arrives(self: &Arc<Self>, address: IpAddr) -> Arc<Seat> {
        let client = Client::at(address);
        let mut state = self.lock();
        let of_address = state.addresses.get(&client).map_or(0, Group::open);
        if of_address >= self.per_address + RESERVE_OF_ADDRESS {
            self.evict(&mut state, client, Limit::Address, None);
        }
        if state.all.open() >= self.total + RESERVE {
            self.evict(&mut state, client, Limit::Total, None);
        }
        let number = state.number();
        let leave = CancellationToken::new();
        let place = Place {
            client,
            stage: Stage::Door,
            idle: Some(number),
            leave: leave.clone(),
        };
        state.add(number, place);
        drop(state);
        Arc::new(Seat {
            crowd: Arc::clone(self),
            number,
            client,
            leave,
            requests: watch::Sender::new(0),
        })
    }

    /// Whether people may have one more.
    fn has_room(&self, state: &State, client: Client, limit: Limit) -> bool {
        match limit {
            Limit::Total => state.all.people.open < self.total,
            Limit::Address => {
                let group = state.addresses.get(&client);
                group.is_none_or(|group| group.people.open < self.per_address)
            }
        }
    }

    /// Takes the oldest idle one under a limit out, and tells it to leave. Whether there was one.
    fn evict(&self, state: &mut State, client: Client, limit: Limit, stage: Option<Stage>) -> bool {
        let group = match limit {
            Limit::Total => Some(&state.all),
            Limit::Address => state.addresses.get(&client),
        };
        let Some(oldest) = group.and_then(|group| group.oldest(stage)) else {
            return false;
        };
        if let Some(place) = state.remove(oldest) {
            place.leave.cancel();
        }
        self.evicted.of(limit).increment(1);
        self.tell(state, client, limit);
        true
    }

    /// One line in the log until there is room again.
    fn tell(&self, state: &mut State, client: Client, limit: Limit) {
        match limit {
            Limit::Total => {
                if !std::mem::replace(&mut state.all.told, true) {
                    tracing::warn!(
                        limit = self.total,
                        "people have as many connections as they may: the oldest idle ones are closed, and new ones where none is idle"
                    );
                }
            }
            Limit::Address => {
                let group = state.addresses.get_mut(&client);
                if group.is_some_and(|group| !std::mem::replace(&mut group.told, true)) {
                    tracing::info!(%client, limit = self.per_address, "client address has as many connections as it may: its oldest idle ones are closed, and new ones where none is idle");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ByReason {
    fn of(&self, limit: Limit) -> &Counter {
        match limit {
            Limit::Total => &self.total,
            Limit::Address => &self.address,
        }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn groups(&mut self, client: Client) -> [&mut Group; 2] {
        [&mut self.all, self.addresses.entry(client).or_default()]
    }

    fn add(&mut self, number: u64, place: Place) {
        for group in self.groups(place.client) {
            let part = group.part(place.stage);
            part.open += 1;
            if let Some(moment) = place.idle {
                part.idle.insert(moment, number);
            }
        }
        self.places.insert(number, place);
    }

    fn remove(&mut self, number: u64) -> Option<Place> {
        let place = self.places.remove(&number)?;
        for group in self.groups(place.client) {
            let part = group.part(place.stage);
            part.open -= 1;
            if let Some(moment) = place.idle {
                part.idle.remove(&moment);
            }
        }
        // Whoever has none leaves nothing behind.
        if let Entry::Occupied(group) = self.addresses.entry(place.client)
            && group.get().open() == 0
        {
            group.remove();
        }
        Some(place)
    }
}

impl Group {
    fn open(&self) -> usize {
        self.door.open + self.people.open
    }

    fn part(&mut self, stage: Stage) -> &mut Part {
        match stage {
            Stage::Door => &mut self.door,
            Stage::Person => &mut self.people,
        }
    }

    /// The oldest idle one, of a stage or of both.
    fn oldest(&self, stage: Option<Stage>) -> Option<u64> {
        let first = |part: &Part| part.idle.first_key_value().map(|(at, who)| (*at, *who));
        let [door, person] = [
            first(&self.door).filter(|_| stage != Some(Stage::Person)),
            first(&self.people).filter(|_| stage != Some(Stage::Door)),
        ];
        door.into_iter().chain(person).min().map(|(_, who)| who)
    }
}

impl Seat {
    /// It is a person's from now on. `false` where it has to go, since nobody else is idle or it had
    /// to make room already.
    #[must_use]
    pub(super) fn enters(&self) -> bool {
        let crowd = &self.crowd;
        let mut state = crowd.lock();
        let Some(mut place) = state.remove(self.number) else {
            return false;
        };
        // Room made under the first is room under the second. In the other order a stranger's could be
        // closed for one that is refused all the same.
        for limit in [Limit::Address, Limit::Total] {
            let has_room = crowd.has_room(&state, self.client, limit);
            if !has_room && !crowd.evict(&mut state, self.client, limit, Some(Stage::Person)) {
                crowd.refused.of(limit).increment(1);
                crowd.tell(&mut state, self.client, limit);
                return false;
            }
        }
        place.stage = Stage::Person;
        place.idle = Some(state.number());
        state.add(self.number, place);
        true
    }

    /// A request begins.
    pub(super) fn takes(self: &Arc<Self>) -> Busy {
        let mut state = self.crowd.lock();
        self.requests.send_modify(|count| *count += 1);
        self.sets_idle(&mut state, None);
        Busy(Arc::clone(self))
    }

    fn ends(&self) {
        let mut state = self.crowd.lock();
        self.requests.send_modify(|count| *count -= 1);
        if *self.requests.borrow() == 0 {
            let now = state.number();
            self.sets_idle(&mut state, Some(now));
        }
    }

    fn sets_idle(&self, state: &mut State, idle: Option<u64>) {
        // One that had to make room is not there any more.
        if let Some(mut place) = state.remove(self.number) {
            place.idle = idle;
            state.add(self.number, place);
        }
    }

    /// Waits until it has to make room.
    pub(super) async fn leaves(&self) {
        self.leave.cancelled().await;
    }

    /// Waits until it has had its time to say goodbye, and no request is on it.
    pub(super) async fn is_over(&self) {
        sleep(FAREWELL).await;
        // The sender is held here.
        let _ = self
            .requests
            .subscribe()
            .wait_for(|count| *count == 0)
            .await;
    }

    /// Waits until no request was on it for so long.
    pub(super) async fn idle_for(&self, time: Duration) {
        let mut requests = self.requests.subscribe();
        loop {
            let _ = requests.wait_for(|count| *count == 0).await;
            if timeout(time, requests.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.crowd.lock();
        state.remove(self.number);
        if state.all.told && state.all.people.open < self.crowd.total - self.crowd.total / 10 {
            state.all.told = false;
            tracing::info!(
                connections = state.all.people.open,
                "people have room for connections again"
            );
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.ends();
    }
}

impl Guard for Busy {}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;
    use tokio::time::{Instant, advance};

    use super::*;

    fn crowd(total: u32, per_address: u32) -> Arc<Crowd> {
        Crowd::new(ConnectionLimits { total, per_address })
    }

    fn address(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn person(crowd: &Arc<Crowd>, n: u8) -> Option<Arc<Seat>> {
        let seat = crowd.arrives(address(n));
        seat.enters().then_some(seat)
    }

    fn left(seat: &Seat) -> bool {
        seat.leave.is_cancelled()
    }

    #[test]
    fn the_oldest_idle_one_makes_room_and_a_busy_one_never() {
        let crowd = crowd(3, 100);
        let seats: Vec<_> = (0..3).map(|n| person(&crowd, n).unwrap()).collect();
        // The first was idle longest, and is busy; the second was busy, and is idle since later.
        let first = seats[0].takes();
        drop(seats[1].takes());
        let fourth = person(&crowd, 9).unwrap();
        assert_eq!(
            seats.iter().map(|s| left(s)).collect::<Vec<_>>(),
            [false, false, true]
        );
        let busy = [seats[1].takes(), fourth.takes()];
        assert!(person(&crowd, 9).is_none());
        drop(busy);
        let fifth = person(&crowd, 9).unwrap();
        assert!(left(&seats[1]) && !left(&fourth));
        drop((first, fifth, fourth, seats));
        let state = crowd.lock();
        assert!(state.places.is_empty() && state.addresses.is_empty());
        assert!(!state.all.told);
    }

    #[test]
    fn an_address_makes_room_among_its_own_and_a_subnet_is_one_address() {
        let crowd = crowd(100, 2);
        let stranger = person(&crowd, 1).unwrap();
        let mine = [person(&crowd, 2).unwrap(), person(&crowd, 2).unwrap()];
        let third = person(&crowd, 2).unwrap();
        assert!(left(&mine[0]) && !left(&mine[1]) && !left(&stranger));
        let _busy = [mine[1].takes(), third.takes()];
        assert!(person(&crowd, 2).is_none());
        assert!(!left(&stranger));
        let at = |text: &str| {
            let seat = crowd.arrives(text.parse().unwrap());
            seat.enters().then_some(seat)
        };
        let subnet = [at("2001:db8::1").unwrap(), at("2001:db8::2").unwrap()];
        let _third = at("2001:db8::3:3").unwrap();
        assert!(left(&subnet[0]));
        let _other = at("2001:db8:0:1::1").unwrap();
        assert!(!left(&subnet[1]));
    }

    #[test]
    fn however_full_it_is_a_newcomer_comes_as_far_as_the_door() {
        let crowd = crowd(2, 1);
        let people = [person(&crowd, 1).unwrap(), person(&crowd, 2).unwrap()];
        let busy: Vec<_> = people.iter().map(Seat::takes).collect();
        let door: Vec<_> = (0..RESERVE_OF_ADDRESS)
            .map(|_| crowd.arrives(address(1)))
            .collect();
        let connector = crowd.arrives(address(1));
        // The oldest of its address at the door went, and no person.
        assert!(left(&door[0]) && !left(&door[1]) && !left(&connector));
        assert!(people.iter().all(|seat| !left(seat)));
        // What it turns out to be, it is no person's and takes nobody's place.
        drop(connector);
        assert!(!door[1].enters());
        let many: Vec<_> = (0..RESERVE + 10)
            .map(|n| crowd.arrives(IpAddr::from(u32::try_from(n).unwrap().to_be_bytes())))
            .collect();
        // The oldest at the door went first, and again no person.
        assert!(door[2..].iter().chain(&many[..10]).all(|seat| left(seat)));
        assert!(many[10..].iter().chain(&people).all(|seat| !left(seat)));
        assert_eq!(crowd.lock().all.open(), 2 + RESERVE);
        drop(busy);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_since_its_last_request_and_over_when_none_is_on_it() {
        const IDLE: Duration = Duration::from_secs(300);
        let crowd = crowd(2, 2);
        let seat = person(&crowd, 1).unwrap();
        let request = seat.takes();
        advance(IDLE * 2).await;
        let mut idle = Box::pin(seat.idle_for(IDLE));
        assert!(idle.as_mut().now_or_never().is_none());
        drop(request);
        let since = Instant::now();
        idle.await;
        assert_eq!(since.elapsed(), IDLE);
        let request = seat.takes();
        let mut over = Box::pin(seat.is_over());
        assert!(timeout(IDLE, over.as_mut()).await.is_err());
        drop(request);
        over.await;
    }

    proptest! {
        #[test]
        fn the_limits_hold_and_the_books_are_right(
            steps in prop::collection::vec((0_u8..5, 0_u8..4, any::<prop::sample::Index>()), 1..200),
        ) {
            let crowd = crowd(6, 3);
            let mut seats: Vec<(Arc<Seat>, Vec<Busy>)> = Vec::new();
            for (what, n, which) in steps {
                let index = (!seats.is_empty()).then(|| which.index(seats.len()));
                match (what, index) {
                    (0 | 1, _) => {
                        if let Some(seat) = person(&crowd, n) {
                            seats.push((seat, Vec::new()));
                        }
                    }
                    (2, Some(index)) => {
                        let (seat, busy) = &mut seats[index];
                        let request = seat.takes();
                        busy.push(request);
                    }
                    (3, Some(index)) => drop(seats[index].1.pop()),
                    (_, Some(index)) => drop(seats.swap_remove(index)),
                    (_, None) => {}
                }
                let state = crowd.lock();
                prop_assert!(state.all.people.open <= 6);
                prop_assert!(state.addresses.values().all(|g| (1..=3).contains(&g.people.open)));
                let sum: usize = state.addresses.values().map(Group::open).sum();
                prop_assert_eq!(sum, state.all.open());
                prop_assert_eq!(state.places.len(), sum);
                for (seat, busy) in &seats {
                    if let Some(place) = state.places.get(&seat.number) {
                        prop_assert_eq!(place.idle.is_none(), !busy.is_empty());
                    } else {
                        prop_assert!(left(seat));
                    }
                }
            }
            drop(seats);
            prop_assert!(crowd.lock().places.is_empty() && crowd.lock().addresses.is_empty());
        }
    }
}
