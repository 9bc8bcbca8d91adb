//! Notices that this machine slept, or that its address changed: what was open before is of no use
//! any more, whatever TCP believes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::clock::{Clock, Timestamp};
use crate::net::source_towards;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(2);

/// After this long the other end's PING, every 5 s with 5 s for the answer, has run out: it holds
/// this end for dead. Sleeping less is left to the PINGs.
const SLEPT: Duration = Duration::from_secs(10);

/// Waits until this machine has slept, or stood still, and says how long.
pub(super) async fn slept(clock: &Clock) -> Duration {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch::new(clock.now(), Instant::now());
    loop {
        looks.tick().await;
        if let Some(slept) = watch.look(clock.now(), Instant::now()) {
            return slept;
        }
    }
}

/// Two clocks: the one that stands still while a machine sleeps, and the one that does not.
#[derive(Debug)]
struct Watch {
    wall: Timestamp,
    running: Instant,
}

impl Watch {
    fn new(wall: Timestamp, running: Instant) -> Self {
        Self { wall, running }
    }

    /// How long the machine slept since the last look, if it did: the clocks part where it sleeps,
    /// and the look is late where it, or this process, stood still. A clock that was set forward
    /// looks like sleep; to be wrong about that costs a few handshakes.
    fn look(&mut self, wall: Timestamp, running: Instant) -> Option<Duration> {
        let by_wall = u64::try_from(wall.0.saturating_sub(self.wall.0)).unwrap_or(0);
        let by_wall = Duration::from_secs(by_wall);
        let passed = by_wall.max(running.duration_since(self.running));
        *self = Self { wall, running };
        let slept = passed.saturating_sub(LOOK);
        (slept > SLEPT).then_some(slept)
    }
}

/// From which address of this machine a tunnel was dialled, and whether it still would be.
#[derive(Debug)]
pub(super) struct Bearings {
    peer: Option<SocketAddr>,
    /// What the system chose when the tunnel was new. Compared with itself later, and not with the
    /// tunnel's own address: rules for TCP may differ from those for what is asked here.
    source: Option<IpAddr>,
    /// Another choice, seen once. Seen again it counts: while a network changes the system may
    /// waver.
    other: Option<IpAddr>,
}

impl Bearings {
    pub(super) fn of(stream: &TcpStream) -> Self {
        let peer = stream.peer_addr().ok();
        Self {
            peer,
            source: peer.and_then(|peer| source_towards(peer).ok()),
            other: None,
        }
    }

    /// Whether the tunnel would be dialled from another address by now, and which.
    pub(super) fn moved(&mut self) -> Option<IpAddr> {
        let now = source_towards(self.peer?).ok();
        self.compare(now)
    }

    fn compare(&mut self, now: Option<IpAddr>) -> Option<IpAddr> {
        // Where there is no way at all a new tunnel is no help.
        let now = now?;
        let source = *self.source.get_or_insert(now);
        if now == source {
            self.other = None;
            return None;
        }
        (self.other.replace(now) == Some(now)).then_some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn sleep_shows_where_the_clocks_part_or_the_look_is_late() {
        let begun = Instant::now();
        for (wall, running, slept) in [
            // On time, and late as a busy machine is.
            (2, 2 * S, None),
            (9, 9 * S, None),
            // The machine slept: only one of the clocks went on.
            (3_602, 2 * S, Some(3_600 * S)),
            // The process stood still: both did, and the look is late.
            (30, 30 * S, Some(28 * S)),
            // A clock that is set back says nothing, nor one that stands still.
            (-3_600, 2 * S, None),
            (0, 2 * S, None),
            (0, 30 * S, Some(28 * S)),
        ] {
            let mut watch = Watch::new(Timestamp(5_000), begun);
            let now = (Timestamp(5_000 + wall), begun + running);
            assert_eq!(watch.look(now.0, now.1), slept, "{wall} {running:?}");
            // Once: the next look begins from here.
            assert_eq!(watch.look(now.0.plus(2 * S), now.1 + 2 * S), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_ends_the_wait_and_the_passing_of_time_does_not() {
        let clock = Clock::manual(Timestamp(0));
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move { slept(&clock).await }
        });
        for _ in 0..10 {
            tokio::time::sleep(LOOK).await;
            clock.advance(LOOK);
            assert!(!waiting.is_finished());
        }
        clock.advance(600 * S);
        assert!(waiting.await.unwrap() >= 598 * S);
    }

    #[test]
    fn another_address_counts_when_it_is_seen_twice() {
        let address = |last| Some(IpAddr::from([10, 0, 0, last]));
        let mut bearings = Bearings {
            peer: None,
            source: address(1),
            other: None,
        };
        for (now, moved) in [
            (address(1), None),
            // No network, and then another.
            (None, None),
            (address(2), None),
            (address(1), None),
            (address(2), None),
            (None, None),
            (address(2), address(2)),
        ] {
            assert_eq!(bearings.compare(now), moved, "{now:?}");
        }
        // One that had no way when it was new takes the first there is.
        let mut late = Bearings {
            peer: None,
            source: None,
            other: None,
        };
        assert_eq!(late.compare(address(3)), None);
        assert_eq!(late.compare(address(4)), None);
        assert_eq!(late.compare(address(4)), address(4));
        assert_eq!(late.moved(), None, "nobody to ask about");
    }
}
