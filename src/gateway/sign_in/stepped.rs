//! Who was asked for further proof a moment ago: whoever comes back without it is not sent there again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::auth::StepUp;
use crate::model::SessionId;

/// How long it is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Sign-ins that are remembered.
const MOST: usize = 10_000;

/// Sign-ins that were made because further proof was asked for.
#[derive(Debug, Default)]
pub(crate) struct Stepped(Mutex<HashMap<SessionId, (StepUp, Instant)>>);

impl Stepped {
    /// Notes one.
    pub(super) fn note(&self, sign_in: &SessionId, wanted: &StepUp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (_, at)| at.elapsed() < REMEMBERED);
        }
        // Whoever is forgotten is asked once more.
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(sign_in.clone(), (wanted.clone(), Instant::now()));
    }

    /// Whether it was made a moment ago for that.
    pub(super) fn has(&self, sign_in: &SessionId, wanted: &StepUp) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = known.get(sign_in);
        last.is_some_and(|(asked, at)| asked == wanted && at.elapsed() < REMEMBERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_was_asked_a_moment_ago_is_not_asked_again() {
        let stepped = Stepped::default();
        let [one, other] = [1, 2].map(|octet| SessionId::from_random([octet; 16]));
        let wanted = StepUp {
            max_age: Some(60),
            ..StepUp::default()
        };
        stepped.note(&one, &wanted);
        assert!(stepped.has(&one, &wanted) && !stepped.has(&other, &wanted));
        assert!(
            !stepped.has(&one, &StepUp::default()),
            "something else is wanted"
        );
        tokio::time::advance(REMEMBERED).await;
        assert!(!stepped.has(&one, &wanted));
    }
}
