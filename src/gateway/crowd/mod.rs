//! How many connections people have, in total and from one address, and which of them make room.
//!
//! | stage | from | counts as |
//! |---|---|---|
//! | unnamed | the accept, where a load balancer passes it on | no client's yet: its address stands in a header that is to come |
//! | at the door | the accept, or the header's end | nobody's yet: it makes room as it waits |
//! | a person's | the end of the TLS handshake | one of the limit; idle while no request or WebSocket is on it |
//! | a connector's | the same | nothing: what takes its place is dropped |
//!
//! Where a limit is reached, the oldest idle connection is closed for a new one. The door has a
//! reserve beyond the limits, so whoever comes is always let in so far that it can show whose it is:
//! people that fill the gateway keep no connector out.

mod books;

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::Counter;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::affinity::Client;
use super::told::Told;
use crate::config::ConnectionLimits;
use crate::http::Guard;
use crate::telemetry::metrics::{CONNECTIONS_EVICTED, CONNECTIONS_REFUSED};

use books::{Group, Limit, Owner, Place, Stage, State};

/// Places at the door beyond the limits, in total and of one address. A connector needs one for the
/// time of a handshake; the oldest goes first, so it takes this many newcomers within a round trip
/// to keep one out.
const RESERVE: usize = 1024;
const RESERVE_OF_ADDRESS: usize = 64;

/// Connections whose header is still to come. A load balancer writes it at once, so more than a few are
/// a fault of its, or somebody in its place: those are as many as the door has room for.
const UNNAMED: usize = RESERVE;

/// How long a connection that makes room has to say goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// All connections that are at the door or a person's.
#[derive(Debug)]
pub(super) struct Crowd {
    total: AtomicUsize,
    per_address: AtomicUsize,
    state: Mutex<State>,
    evicted: ByReason,
    refused: ByReason,
}

/// Counts by the limit that was reached.
#[derive(Debug)]
struct ByReason {
    total: Counter,
    address: Counter,
    header: Counter,
}

/// One connection's place. It is given back when the last request on it has ended too: a WebSocket
/// outlives what serves its connection.
#[derive(Debug)]
pub(super) struct Seat {
    held: Held,
    requests: Told<usize>,
}

/// The place of a connection that a load balancer passes on, until it has said whose it is.
#[derive(Debug)]
pub(super) struct Unnamed(Held);

/// A place, given back when this is dropped.
#[derive(Debug)]
struct Held {
    crowd: Arc<Crowd>,
    number: u64,
    leave: CancellationToken,
}

/// A request or a WebSocket on a connection: it is not idle.
#[derive(Debug)]
pub(super) struct Busy(Arc<Seat>);

fn count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

impl Crowd {
    /// Nobody yet.
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            total: AtomicUsize::new(count(limits.total)),
            per_address: AtomicUsize::new(count(limits.per_address)),
            state: Mutex::default(),
            evicted: ByReason {
                total: CONNECTIONS_EVICTED.counter(&["total"]),
                address: CONNECTIONS_EVICTED.counter(&["address"]),
                header: CONNECTIONS_EVICTED.counter(&["header"]),
            },
            refused: ByReason {
                total: CONNECTIONS_REFUSED.counter(&["total"]),
                address: CONNECTIONS_REFUSED.counter(&["address"]),
                header: CONNECTIONS_REFUSED.counter(&["header"]),
            },
        })
    }

    /// Has other limits from now on. Who is there stays; each that comes on top makes one go.
    pub(super) fn limit(&self, limits: ConnectionLimits) {
        self.total.store(count(limits.total), Ordering::Relaxed);
        let per_address = count(limits.per_address);
        self.per_address.store(per_address, Ordering::Relaxed);
    }

    fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    fn per_address(&self) -> usize {
        self.per_address.load(Ordering::Relaxed)
    }

    /// Lets a connection in as far as the door. There is always room: of a limit and its reserve
    /// people have the limit at most, so whoever is there beyond it is idle.
    pub(super) fn arrives(self: &Arc<Self>, address: IpAddr) -> Arc<Seat> {
        let client = Client::at(address);
        let mut state = self.lock();
        self.make_room_at_the_door(&mut state, client);
        Seat::new(self.enter(state, Owner::Client(client)))
    }

    /// Lets a connection in that a load balancer passes on: it counts in total, and for no address
    /// until [`Unnamed::named`].
    pub(super) fn arrives_unnamed(self: &Arc<Self>) -> Unnamed {
        let mut state = self.lock();
        if state.unnamed.open() >= UNNAMED {
            self.evict(&mut state, Limit::Unnamed, None);
        }
        Unnamed(self.enter(state, Owner::Unnamed))
    }

    fn enter(self: &Arc<Self>, mut state: MutexGuard<'_, State>, owner: Owner) -> Held {
        if state.all.open() >= self.total() + RESERVE {
            self.evict(&mut state, Limit::Total, None);
        }
        let number = state.number();
        let leave = CancellationToken::new();
        let place = Place {
            owner,
            stage: Stage::Door,
            idle: Some(number),
            leave: leave.clone(),
        };
        state.add(number, place);
        Held {
            crowd: Arc::clone(self),
            number,
            leave,
        }
    }

    fn make_room_at_the_door(&self, state: &mut State, client: Client) {
        let group = state.addresses.get(&client);
        if group.map_or(0, Group::open) >= self.per_address() + RESERVE_OF_ADDRESS {
            self.evict(state, Limit::Address(client), None);
        }
    }

    /// Whether people may have one more.
    fn has_room(&self, state: &mut State, limit: Limit) -> bool {
        let most = match limit {
            Limit::Total => self.total(),
            Limit::Address(_) => self.per_address(),
            Limit::Unnamed => return true,
        };
        state.under(limit).is_none_or(|g| g.people.open < most)
    }

    /// Takes the oldest idle one under a limit out, and tells it to leave. Whether there was one.
    fn evict(&self, state: &mut State, limit: Limit, stage: Option<Stage>) -> bool {
        let group = state.under(limit);
        let Some(oldest) = group.and_then(|group| group.oldest(stage)) else {
            return false;
        };
        if let Some(place) = state.remove(oldest) {
            place.leave.cancel();
        }
        self.evicted.of(limit).increment(1);
        self.tell(state, limit);
        true
    }

    /// One line in the log until there is room again.
    fn tell(&self, state: &mut State, limit: Limit) {
        let group = state.under(limit);
        if group.is_none_or(|group| std::mem::replace(&mut group.told, true)) {
            return;
        }
        match limit {
            Limit::Total => tracing::warn!(
                limit = self.total(),
                "people have as many connections as they may: the oldest idle ones are closed, and new ones where none is idle"
            ),
            Limit::Address(client) => {
                tracing::info!(%client, limit = self.per_address(), "client address has as many connections as it may: its oldest idle ones are closed, and new ones where none is idle");
            }
            Limit::Unnamed => tracing::warn!(
                limit = UNNAMED,
                "too many connections of `listen.proxy_protocol` wait for their PROXY header: the oldest are closed"
            ),
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
            Limit::Address(_) => &self.address,
            Limit::Unnamed => &self.header,
        }
    }
}

impl Unnamed {
    /// Whose it is, its header has said. There is room at the door, as there is for who comes alone.
    pub(super) fn named(self, address: IpAddr) -> Arc<Seat> {
        let Self(held) = self;
        let client = Client::at(address);
        let mut state = held.crowd.lock();
        // One that had to make room is not there any more, and is told so.
        if let Some(mut place) = state.remove(held.number) {
            held.crowd.make_room_at_the_door(&mut state, client);
            place.owner = Owner::Client(client);
            state.add(held.number, place);
        }
        drop(state);
        Seat::new(held)
    }

    /// Waits until it has to make room.
    pub(super) async fn leaves(&self) {
        self.0.leave.cancelled().await;
    }
}

impl Seat {
    fn new(held: Held) -> Arc<Self> {
        Arc::new(Self {
            held,
            requests: Told::new(0),
        })
    }

    /// It is a person's from now on. `false` where it has to go, since nobody else is idle or it had
    /// to make room already.
    #[must_use]
    pub(super) fn enters(&self) -> bool {
        let crowd = &self.held.crowd;
        let mut state = crowd.lock();
        let Some(mut place) = state.remove(self.held.number) else {
            return false;
        };
        let own = match place.owner {
            Owner::Client(client) => Limit::Address(client),
            Owner::Unnamed => Limit::Unnamed,
        };
        // Room made under the first is room under the second. In the other order a stranger's could be
        // closed for one that is refused all the same.
        for limit in [own, Limit::Total] {
            let has_room = crowd.has_room(&mut state, limit);
            if !has_room && !crowd.evict(&mut state, limit, Some(Stage::Person)) {
                crowd.refused.of(limit).increment(1);
                crowd.tell(&mut state, limit);
                return false;
            }
        }
        place.stage = Stage::Person;
        place.idle = Some(state.number());
        state.add(self.held.number, place);
        true
    }

    /// A request begins.
    pub(super) fn takes(self: &Arc<Self>) -> Busy {
        let mut state = self.held.crowd.lock();
        self.requests.change(|count| *count += 1);
        self.sets_idle(&mut state, None);
        Busy(Arc::clone(self))
    }

    fn ends(&self) {
        let mut state = self.held.crowd.lock();
        if self.requests.change(|count| *count -= 1) == 0 {
            let now = state.number();
            self.sets_idle(&mut state, Some(now));
        }
    }

    fn sets_idle(&self, state: &mut State, idle: Option<u64>) {
        // One that had to make room is not there any more.
        if let Some(mut place) = state.remove(self.held.number) {
            place.idle = idle;
            state.add(self.held.number, place);
        }
    }

    /// Waits until it has to make room.
    pub(super) async fn leaves(&self) {
        self.held.leave.cancelled().await;
    }

    /// Waits until it has had its time to say goodbye, and no request is on it.
    pub(super) async fn is_over(&self) {
        sleep(FAREWELL).await;
        let none = |count| count == 0;
        self.requests.stays(none, |_| std::future::ready(())).await;
    }

    /// Waits until no request was on it for so long.
    pub(super) async fn idle_for(&self, time: Duration) {
        self.requests
            .stays(|count| count == 0, |_| sleep(time))
            .await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.crowd.lock();
        state.remove(self.number);
        if state.all.told && state.all.people.open < self.crowd.total() - self.crowd.total() / 10 {
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
    use tokio::time::{Instant, advance, timeout};

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
        seat.held.leave.is_cancelled()
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

    #[test]
    fn one_that_is_passed_on_counts_for_nobody_until_it_is_named() {
        let crowd = crowd(10, 2);
        let mine = [person(&crowd, 1).unwrap(), person(&crowd, 1).unwrap()];
        let unnamed: Vec<_> = (0..UNNAMED).map(|_| crowd.arrives_unnamed()).collect();
        assert_eq!(crowd.lock().all.open(), 2 + UNNAMED);
        assert_eq!(crowd.lock().addresses.len(), 1);
        // There are as many as may wait: the oldest goes, and nobody who has a name.
        let one_more = crowd.arrives_unnamed();
        let gone = |unnamed: &Unnamed| unnamed.0.leave.is_cancelled();
        assert!(gone(&unnamed[0]) && !gone(&unnamed[1]) && !gone(&one_more));
        assert!(crowd.lock().unnamed.told);
        // Named, each is one of its address, under the limit of that.
        let mut named = unnamed.into_iter().map(|one| one.named(address(1)));
        assert!(!named.next().unwrap().enters());
        let second = named.next().unwrap();
        assert!(second.enters() && left(&mine[0]) && !left(&mine[1]));
        let at_door: Vec<_> = named.by_ref().take(RESERVE_OF_ADDRESS).collect();
        assert!(at_door.iter().all(|seat| !left(seat)));
        let _last = named.next().unwrap();
        // Two are people's, so the door of the address is full, and the oldest idle one is a person.
        assert!(left(&mine[1]) && !left(&at_door[0]));
        drop(named);
        assert!(crowd.lock().unnamed.told, "one waits");
        let stranger = one_more.named(address(2));
        assert!(!crowd.lock().unnamed.told);
        drop((stranger, at_door, second, mine, _last));
        let state = crowd.lock();
        assert!(state.places.is_empty() && state.addresses.is_empty());
        assert_eq!((state.unnamed.open(), state.all.open()), (0, 0));
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
                    if let Some(place) = state.places.get(&seat.held.number) {
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
