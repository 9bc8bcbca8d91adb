//! The only source of "now".

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time: whole seconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This long after.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)),
        )
    }

    /// This long before.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)),
        )
    }

    /// The form of RFC 3339 in UTC, such as `2026-11-22T20:59:01Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        OffsetDateTime::from_unix_timestamp(self.0)
            .ok()
            .and_then(|t| t.format(&Rfc3339).ok())
            .unwrap_or_else(|| format!("@{}", self.0))
    }
}

/// Tells the time; a manual one stands still until a test moves it.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    manual: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { manual: None }
    }

    /// A clock that stands at `now` until [`Clock::advance`].
    #[must_use]
    pub fn manual(now: Timestamp) -> Self {
        Self {
            manual: Some(Arc::new(AtomicI64::new(now.0))),
        }
    }

    /// Moves a manual clock; the system's clock does not move.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.manual {
            manual.fetch_add(
                i64::try_from(by.as_secs()).unwrap_or(i64::MAX),
                Ordering::SeqCst,
            );
        }
    }

    /// Sets a manual clock, back too, as one is that was wrong; the system's clock does not move.
    pub fn set(&self, to: Timestamp) {
        if let Some(manual) = &self.manual {
            manual.store(to.0, Ordering::SeqCst);
        }
    }

    /// Now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the system"
    )]
    pub fn now(&self) -> Timestamp {
        if let Some(manual) = &self.manual {
            return Timestamp(manual.load(Ordering::SeqCst));
        }
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = Clock::manual(Timestamp(0));
        assert_eq!(clock.now().to_rfc3339(), "1970-01-01T00:00:00Z");
        clock.advance(Duration::from_secs(61));
        assert_eq!(clock.now().to_rfc3339(), "1970-01-01T00:01:01Z");
        clock.set(Timestamp(7));
        assert_eq!(clock.now(), Timestamp(7));
        assert!(Clock::system().now() > Timestamp(1_700_000_000));
    }
}
