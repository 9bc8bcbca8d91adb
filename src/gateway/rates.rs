//! How fast requests may come: all of an application's, those of one client address at it, and those
//! of one address at the whole gateway.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::time::Instant;

use super::affinity::Client;
use super::respond::Failure;
use crate::model::{ApplicationName, ErrorCode, Rate, RateUnit};

/// After so many requests, addresses are forgotten that have their whole rate again, at the latest an
/// hour after their last one. Each takes about 100 octets and a connection.
const SWEEP: u32 = 1 << 16;

/// The log is told of refusals at most so often.
const TELL: Duration = Duration::from_secs(60);

/// The rates of one application, or of the gateway.
#[derive(Debug)]
pub(super) struct Rates {
    application: Option<ApplicationName>,
    all: Option<(Rate, DefaultDirectRateLimiter)>,
    per_address: Option<(Rate, DefaultKeyedRateLimiter<Client>)>,
    requests: AtomicU32,
    of_all: Told,
    of_addresses: Told,
}

/// What the log was told.
#[derive(Debug, Default)]
struct Told(Mutex<Tally>);

#[derive(Debug, Default)]
struct Tally {
    last: Option<Instant>,
    /// Refused since, and not told.
    untold: u64,
}

impl Rates {
    /// Those of an application, or of the gateway where none is named.
    pub(super) fn new(
        application: Option<ApplicationName>,
        all: Option<Rate>,
        per_address: Option<Rate>,
    ) -> Self {
        Self {
            application,
            all: all.map(|rate| (rate, RateLimiter::direct(quota(rate)))),
            per_address: per_address.map(|rate| (rate, RateLimiter::keyed(quota(rate)))),
            requests: AtomicU32::new(0),
            of_all: Told::default(),
            of_addresses: Told::default(),
        }
    }

    /// Lets one request pass.
    ///
    /// # Errors
    /// `throttled`, with the time after which one passes again. One that its address has too many
    /// of counts for nobody else.
    pub(super) fn admit(&self, client: Client) -> Result<(), Failure> {
        let application = self.application.as_ref().map(ApplicationName::as_str);
        if let Some((rate, limiter)) = &self.per_address {
            if self.requests.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
                limiter.retain_recent();
                limiter.shrink_to_fit();
            }
            if let Err(not_until) = limiter.check_key(&client) {
                if let Some(refused) = self.of_addresses.again() {
                    tracing::info!(%client, application, limit = %rate, refused, "requests of a client address come faster than they may: they are refused");
                }
                let detail = "its address sends requests faster than it may";
                return Err(throttled(detail, not_until.wait_time_from(now())));
            }
        }
        if let Some((rate, limiter)) = &self.all
            && let Err(not_until) = limiter.check()
        {
            if let Some(refused) = self.of_all.again() {
                tracing::warn!(application, limit = %rate, refused, "requests come faster than the application may have them: they are refused");
            }
            let detail = "requests come faster than the application may have them";
            return Err(throttled(detail, not_until.wait_time_from(now())));
        }
        Ok(())
    }
}

fn now() -> <DefaultClock as governor::clock::Clock>::Instant {
    DefaultClock::default().now()
}

fn throttled(detail: &str, wait: Duration) -> Failure {
    Failure::new(ErrorCode::Throttled, detail)
        .said()
        .again_after(wait)
}

fn quota(rate: Rate) -> Quota {
    match rate.per {
        RateUnit::Second => Quota::per_second(rate.requests),
        RateUnit::Minute => Quota::per_minute(rate.requests),
        RateUnit::Hour => Quota::per_hour(rate.requests),
    }
}

impl Told {
    /// One more was refused; how many since the last line where it is time for another.
    fn again(&self) -> Option<u64> {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tally.untold += 1;
        let now = Instant::now();
        if tally.last.is_some_and(|last| now - last < TELL) {
            return None;
        }
        tally.last = Some(now);
        Some(std::mem::take(&mut tally.untold))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::num::NonZeroU32;

    use super::*;

    fn rate(requests: u32, per: RateUnit) -> Option<Rate> {
        let requests = NonZeroU32::new(requests).unwrap();
        Some(Rate { requests, per })
    }

    fn client(n: u8) -> Client {
        Client::at(IpAddr::from([192, 0, 2, n]))
    }

    #[test]
    fn an_address_has_its_rate_and_takes_nothing_from_others() {
        let rates = Rates::new(None, rate(4, RateUnit::Hour), rate(2, RateUnit::Hour));
        for _ in 0..2 {
            assert!(rates.admit(client(1)).is_ok());
        }
        for _ in 0..100 {
            let refused = rates.admit(client(1)).unwrap_err();
            assert_eq!(refused.code(), ErrorCode::Throttled);
        }
        // What was refused before does not count for all.
        for _ in 0..2 {
            assert!(rates.admit(client(2)).is_ok());
        }
        assert!(rates.admit(client(3)).is_err());
    }

    #[test]
    fn who_is_refused_learns_when_one_passes_again() {
        let rates = Rates::new(None, rate(60, RateUnit::Minute), None);
        while rates.admit(client(1)).is_ok() {}
        let wait = rates.admit(client(1)).unwrap_err().again().unwrap();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        let rates = Rates::new(None, None, rate(1, RateUnit::Hour));
        assert!(rates.admit(client(1)).is_ok());
        let wait = rates.admit(client(1)).unwrap_err().again().unwrap();
        let minutes = wait.as_secs() / 60;
        assert!((59..=60).contains(&minutes), "{wait:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_is_told_once_a_minute_and_of_all() {
        let told = Told::default();
        assert_eq!(told.again(), Some(1));
        for _ in 0..9 {
            assert_eq!(told.again(), None);
        }
        tokio::time::advance(TELL).await;
        assert_eq!(told.again(), Some(10));
        assert_eq!(told.again(), None);
    }
}
