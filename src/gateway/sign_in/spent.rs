//! Sign-ins whose answer has come from the provider: none counts twice.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::carried::WITHIN;
use crate::auth::SignInId;
use crate::clock::Timestamp;

/// Sign-ins that are remembered: those of an hour, of a company that comes back from an outage. Beyond
/// it nobody signs in until the oldest are over, which is better than to forget what was spent.
const MOST: usize = 100_000;

/// The sign-ins of the last hour whose answer has come.
#[derive(Debug, Default)]
pub(crate) struct Spent(Mutex<HashMap<SignInId, Timestamp>>);

impl Spent {
    /// Whether the answer to this one comes for the first time.
    pub(super) fn first(&self, id: &SignInId, now: Timestamp) -> bool {
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.len() >= MOST {
            spent.retain(|_, at| now < at.plus(WITHIN));
        }
        spent.len() < MOST && spent.insert(id.clone(), now).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_first_once_and_room_is_made_by_time() {
        let spent = Spent::default();
        // Told apart by their time, since of so many at one moment two may be alike.
        let id = |number: usize| {
            let at = i64::try_from(number).unwrap();
            SignInId::new(Timestamp(at)).unwrap()
        };
        let first = id(0);
        assert!(spent.first(&first, Timestamp(0)));
        assert!(!spent.first(&first, Timestamp(10)));
        for number in 1..MOST {
            assert!(spent.first(&id(number), Timestamp(10)));
        }
        assert!(!spent.first(&id(MOST), Timestamp(20)));
        assert!(spent.first(&id(MOST), Timestamp(4000)));
    }
}
