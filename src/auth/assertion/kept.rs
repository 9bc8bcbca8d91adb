//! What was signed a moment ago: a page and what it loads are many requests.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;

use crate::clock::Timestamp;
use crate::model::Assertion;

/// How long it is said again; whoever gets it has four minutes left then.
const AGAIN: Duration = Duration::from_secs(60);

/// Applications that somebody uses at once, of which it is remembered.
const MOST: usize = 16;

/// What was signed of one sign-in as it stands. What the provider says anew is another, which knows nothing.
#[derive(Default)]
pub struct Kept(Mutex<Vec<Signed>>);

struct Signed {
    /// For which application, with which settings.
    settings: Arc<Assertion>,
    at: Timestamp,
    value: HeaderValue,
}

impl Kept {
    /// What was signed for these settings within the last minute.
    pub(super) fn get(&self, settings: &Arc<Assertion>, now: Timestamp) -> Option<HeaderValue> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.iter().find(|one| Arc::ptr_eq(&one.settings, settings));
        let found = found.filter(|one| one.is_fresh(now))?;
        Some(found.value.clone())
    }

    /// Keeps what was signed, in place of what was before.
    pub(super) fn keep(&self, settings: &Arc<Assertion>, value: &HeaderValue, now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| one.is_fresh(now) && !Arc::ptr_eq(&one.settings, settings));
        if all.len() >= MOST {
            all.remove(0);
        }
        all.push(Signed {
            settings: Arc::clone(settings),
            at: now,
            value: value.clone(),
        });
    }
}

impl Signed {
    /// A clock that was set back makes nothing last longer.
    fn is_fresh(&self, now: Timestamp) -> bool {
        (self.at..self.at.plus(AGAIN)).contains(&now)
    }
}

/// A copy is of what is known anew.
impl Clone for Kept {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_for_the_same_settings_and_no_longer() {
        let settings = || {
            Arc::new(Assertion {
                header: Assertion::HEADER,
                issuer: "i".into(),
                audience: "a".into(),
                claims: Arc::default(),
            })
        };
        let value = |text| HeaderValue::from_static(text);
        let (one, other) = (settings(), settings());
        let kept = Kept::default();
        kept.keep(&one, &value("1"), Timestamp(100));
        for (now, found) in [(99, false), (100, true), (159, true), (160, false)] {
            let got = kept.get(&one, Timestamp(now));
            assert_eq!(got.is_some(), found, "{now}");
        }
        // The same words of another application, or after a reload, are others.
        assert_eq!(kept.get(&other, Timestamp(100)), None);
        kept.keep(&one, &value("2"), Timestamp(101));
        assert_eq!(kept.get(&one, Timestamp(101)).unwrap(), "2");
        let copy = kept.clone();
        assert!(copy.get(&one, Timestamp(101)).is_none());
        assert!(kept.get(&one, Timestamp(101)).is_some());
        for _ in 0..100 {
            kept.keep(&settings(), &value("3"), Timestamp(101));
        }
        assert_eq!(kept.0.lock().unwrap().len(), MOST);
    }
}
