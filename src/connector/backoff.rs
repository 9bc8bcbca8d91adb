//! When one way to a gateway is dialled again.

use std::time::Duration;

use tokio::time::Instant;

/// The first pause after a failure; it doubles.
const FIRST: Duration = Duration::from_millis(500);

/// The longest pause.
const MOST: Duration = Duration::from_secs(5);

/// The longest pause on a way that never worked while others do.
const RARELY: Duration = Duration::from_secs(60);

/// A tunnel that stood this long was a good one: the next pause is short again.
const STABLE: Duration = Duration::from_secs(30);

/// So many times within [`ASKS_WITHIN`] a gateway may ask for other tunnels and has them at once: more
/// than a few restarts need. SECURITY: asked over and over, a connector would do nothing but dial.
const ASKS: u32 = 32;
const ASKS_WITHIN: Duration = Duration::from_secs(60);

/// What all tunnels of one way know of its failures: a gateway that is down is dialled as often
/// with eight tunnels as with one.
#[derive(Debug)]
pub(super) struct BackOff {
    failures: u32,
    failed: Option<Instant>,
    worked: Option<Instant>,
    /// How often the gateway has asked for other tunnels since an instant.
    asks: (u32, Instant),
    /// The end of the pause.
    soon: Instant,
    /// The end of the pause where the way is one that is tried rarely.
    late: Instant,
}

impl BackOff {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            failures: 0,
            failed: None,
            worked: None,
            asks: (0, now),
            soon: now,
            late: now,
        }
    }

    /// The end of the pause; longer where it is a way that is tried rarely.
    pub(super) fn until(&self, rarely: bool) -> Instant {
        if rarely { self.late } else { self.soon }
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, now: Instant, random: u64) {
        self.soon = now + pause(self.failures, MOST, random);
        self.late = now + pause(self.failures, RARELY, random);
        self.failures = self.failures.saturating_add(1);
        self.failed = Some(now);
    }

    /// A tunnel opened. Whether it was a good one shows at its end.
    pub(super) fn worked(&mut self, now: Instant) {
        self.worked = Some(now);
        (self.soon, self.late) = (now, now);
    }

    /// A tunnel was lost that had stood so long.
    pub(super) fn lost(&mut self, at: Instant, stood: Duration, random: u64) {
        // What another tunnel has found out since is newer.
        if self.worked.max(self.failed) > Some(at) {
            return;
        }
        if stood >= STABLE {
            self.failures = 0;
        }
        self.failed(at, random);
    }

    /// The gateway asks for another tunnel, and maybe other connectors too.
    pub(super) fn asked(&mut self, now: Instant, random: u64) {
        let (asks, since) = self.asks;
        self.asks = match now.duration_since(since) < ASKS_WITHIN {
            true => (asks.saturating_add(1), since),
            false => (1, now),
        };
        if self.asks.0 > ASKS {
            self.failed(now, random);
            return;
        }
        self.forget(now);
        let until = now + pause(0, MOST, random);
        (self.soon, self.late) = (until, until);
    }

    /// What failed before means nothing any more.
    pub(super) fn forget(&mut self, now: Instant) {
        self.failures = 0;
        (self.soon, self.late) = (now, now);
    }

    /// Whether nothing but the first attempt has failed.
    pub(super) fn is_first(&self) -> bool {
        self.failures == 1
    }
}

/// Exponential back-off with full jitter: a thousand connectors do not come back in step.
pub(super) fn pause(failures: u32, most: Duration, random: u64) -> Duration {
    let most = FIRST.saturating_mul(1 << failures.min(8)).min(most);
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % (millis + 1))
}

/// The pause before a name is looked up again.
pub(super) fn look_up(failures: u32) -> Duration {
    pause(failures, MOST, random())
}

pub(super) fn random() -> u64 {
    // Without randomness all come back in step, which is no reason not to come back.
    crate::certs::random().map(u64::from_ne_bytes).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_five_seconds_and_are_spread_over_all_of_it() {
        let longest = |failures, most| {
            (0..70_000)
                .map(|r| pause(failures, most, r))
                .max()
                .unwrap()
                .as_millis()
        };
        assert_eq!(
            [0, 1, 2, 3, 4, 40].map(|failures| longest(failures, MOST)),
            [500, 1000, 2000, 4000, 5000, 5000]
        );
        assert_eq!(longest(40, RARELY), 60_000);
        assert_eq!(pause(9, MOST, 0), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn after_thirty_seconds_a_loss_counts_as_the_first() {
        // The longest pause of each step.
        let longest = |back_off: &BackOff, from: Instant| back_off.soon - from;
        let mut back_off = BackOff::new();
        let now = Instant::now();
        for most in [500, 1000, 2000, 4000, 5000, 5000] {
            back_off.failed(now, most);
            assert_eq!(longest(&back_off, now), Duration::from_millis(most));
        }
        // One that opened and was lost soon goes on where the failures were.
        back_off.worked(now);
        assert_eq!(longest(&back_off, now), Duration::ZERO);
        back_off.lost(now + S, S, 5000);
        assert_eq!(longest(&back_off, now + S), 5 * S);
        back_off.worked(now + 2 * S);
        back_off.lost(now + 40 * S, 38 * S, 500);
        assert_eq!(longest(&back_off, now + 40 * S), S / 2);
        back_off.failed(now + 41 * S, 1000);
        assert_eq!(longest(&back_off, now + 41 * S), S);
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_that_asks_for_other_tunnels_over_and_over_waits_longer_and_longer() {
        let mut back_off = BackOff::new();
        let mut now = Instant::now();
        for _ in 0..ASKS {
            back_off.asked(now, 500);
            assert_eq!(back_off.soon - now, S / 2);
            back_off.worked(now);
        }
        for most in [500, 1000, 2000, 4000, 5000, 5000] {
            back_off.asked(now, most);
            assert_eq!(back_off.soon - now, Duration::from_millis(most));
            back_off.worked(now);
        }
        now += ASKS_WITHIN;
        back_off.asked(now, 500);
        assert_eq!(back_off.soon - now, S / 2);
    }

    /// When connectors with two tunnels each dial a gateway that lost all of them at once and can be
    /// reached again after this time, counted from the loss.
    fn dials(connectors: usize, away: Duration) -> Vec<Duration> {
        let mut seed = 0_u64;
        let mut random = move || {
            // SplitMix64.
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        let begun = Instant::now();
        let lost = begun + 60 * S;
        let mut dials = Vec::new();
        for _ in 0..connectors {
            let mut back_off = BackOff::new();
            back_off.worked(begun);
            for _ in 0..2 {
                back_off.lost(lost, 60 * S, random());
            }
            let mut open = 0;
            while open < 2 {
                let now = back_off.until(false);
                dials.push(now - lost);
                if now - lost < away {
                    back_off.failed(now, random());
                } else {
                    back_off.worked(now);
                    open += 1;
                }
            }
        }
        dials.sort();
        dials
    }

    /// A dial and its handshake have 5 s at most: so all are back within 15 s of the gateway's return.
    #[tokio::test(start_paused = true)]
    async fn a_hundred_connectors_are_back_soon_and_are_no_storm() {
        const CONNECTORS: usize = 100;
        const TENTH: Duration = Duration::from_millis(100);
        // Tunnels are cut and the gateway is there; it restarts; and it is away for long.
        for (away, dialled) in [(0, 2), (3, 8), (60, 30)] {
            let away = away * S;
            let dials = dials(CONNECTORS, away);
            let last = *dials.last().unwrap();
            assert!(last <= away + MOST, "{away:?}: the last after {last:?}");
            assert!(
                (2 * CONNECTORS..=dialled * CONNECTORS).contains(&dials.len()),
                "{away:?}: {} dials",
                dials.len()
            );
            let within = |from: &Duration| {
                let until = dials.partition_point(|at| *at < *from + TENTH);
                until - dials.partition_point(|at| at < from)
            };
            let worst = dials.iter().map(within).max().unwrap();
            assert!(
                worst <= CONNECTORS,
                "{away:?}: {worst} in a tenth of a second"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_tunnel_found_out_since_is_newer() {
        let now = Instant::now();
        let mut back_off = BackOff::new();
        // Both tunnels of a way are lost at once; one has opened again before the other's turn.
        back_off.lost(now, 60 * S, 500);
        back_off.worked(now + S);
        back_off.lost(now, 60 * S, 500);
        assert_eq!(back_off.soon, now + S);
        // Or has failed: the pause is the one that runs.
        back_off.failed(now + 2 * S, 1000);
        let until = back_off.soon;
        back_off.lost(now + S, S, 5000);
        assert_eq!(back_off.soon, until);
    }
}
