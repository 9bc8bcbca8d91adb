//! The clock here against the gateway's: certificates begin and end by both.

use std::sync::{Mutex, PoisonError};

/// From here on a differing clock is worth a sentence, in seconds; and so is a change by as much.
const SKEW: u64 = 60;

/// What was said and what was measured of the clock last.
#[derive(Debug, Default)]
pub(super) struct Skew {
    said: Mutex<Option<i64>>,
    measured: Mutex<Option<i64>>,
}

/// One sentence, where the clock here differs from a gateway's by more than a minute.
pub(super) fn sentence(here: i64, there: i64) -> Option<String> {
    let seconds = here.abs_diff(there);
    let direction = if here < there { "behind" } else { "ahead of" };
    (seconds > SKEW).then(|| {
        format!(
            "this host's clock is {seconds} s {direction} the gateway's: set one of them right, or certificates will seem expired or not valid yet"
        )
    })
}

impl Skew {
    /// Says it in the log where it changed.
    pub(super) fn measure(&self, here: i64, there: i64) {
        let skew = here.saturating_sub(there);
        *self.measured.lock().unwrap_or_else(PoisonError::into_inner) = Some(skew);
        if let Some(text) = self.news(here, there) {
            match text {
                News::Differs(text) => tracing::warn!(code = "clock_wrong", "{text}"),
                News::Agrees => tracing::info!("this host's clock agrees with the gateway's again"),
            }
        }
    }

    /// How far the clock here was ahead at the last measurement, in seconds.
    pub(super) fn last(&self) -> Option<i64> {
        *self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn news(&self, here: i64, there: i64) -> Option<News> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let skew = here.saturating_sub(there);
        let Some(text) = sentence(here, there) else {
            return said.take().map(|_| News::Agrees);
        };
        if said.is_some_and(|before| before.abs_diff(skew) <= SKEW) {
            return None;
        }
        *said = Some(skew);
        Some(News::Differs(text))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum News {
    Differs(String),
    Agrees,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_is_said_from_a_minute_on() {
        assert_eq!(sentence(100, 160), None);
        assert!(sentence(100, 161).unwrap().contains("61 s behind"));
        assert!(sentence(400, 100).unwrap().contains("300 s ahead of"));
    }

    #[test]
    fn the_same_difference_is_said_once() {
        let skew = Skew::default();
        assert_eq!(skew.news(1000, 1010), None);
        assert!(
            matches!(skew.news(1000, 1300), Some(News::Differs(t)) if t.contains("300 s behind"))
        );
        assert_eq!(skew.news(1060, 1320), None, "40 s are no change");
        assert!(matches!(skew.news(1800, 1300), Some(News::Differs(t)) if t.contains("ahead")));
        assert_eq!(skew.news(1300, 1301), Some(News::Agrees));
        assert_eq!(skew.news(1300, 1301), None);
    }
}
