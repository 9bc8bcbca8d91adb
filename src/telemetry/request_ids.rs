//! References for requests.

use std::sync::{Mutex, PoisonError};

use crate::model::RequestId;

/// Octets of one reference.
const EACH: usize = 8;

/// Octets drawn at once: the generator's cost is in the call (microseconds), not in the octets.
const DRAWN: usize = 64 * EACH;

/// Makes the references of requests; never taken from clients, who could otherwise point support
/// at somebody else's request.
///
/// 64 random bits each: nobody can guess the reference on another person's page, and two alike
/// are not to be expected within four thousand million requests.
#[derive(Debug)]
pub struct RequestIds {
    pool: Mutex<Pool>,
}

struct Pool {
    octets: [u8; DRAWN],
    /// Octets from here on were not given out yet. At most `DRAWN`.
    next: usize,
    /// Stands in where the generator fails.
    counter: u64,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the octets: they are the references to come.
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl RequestIds {
    /// A new source.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pool: Mutex::new(Pool {
                octets: [0; DRAWN],
                next: DRAWN,
                counter: 0,
            }),
        }
    }

    /// The next reference.
    #[must_use]
    pub fn next(&self) -> RequestId {
        let octets = self
            .pool
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        RequestId::from_random(octets)
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

impl Pool {
    fn take(&mut self) -> [u8; EACH] {
        if self.next == DRAWN && aws_lc_rs::rand::fill(&mut self.octets).is_ok() {
            self.next = 0;
        }
        let Some(octets) = self
            .octets
            .get(self.next..)
            .and_then(|rest| rest.first_chunk())
        else {
            // A reference is no secret: one that can be guessed is better than no answer.
            self.counter = self.counter.wrapping_add(1);
            return self.counter.to_be_bytes();
        };
        self.next += EACH;
        *octets
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_are_alike() {
        let ids = RequestIds::new();
        let seen: HashSet<_> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(seen.len(), 10_000);
        assert!(seen.iter().all(|id| id.as_str().len() == 16));
        assert!(!format!("{ids:?}").contains("octets"));
    }

    #[test]
    fn threads_share_one_source() {
        let ids = RequestIds::new();
        let seen: HashSet<_> = std::thread::scope(|scope| {
            let four: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).map(|_| ids.next()).collect::<Vec<_>>()))
                .collect();
            four.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(seen.len(), 4000);
    }
}
