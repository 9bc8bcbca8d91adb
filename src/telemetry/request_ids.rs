//! References for requests.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::RequestId;

/// Makes the references of requests; never taken from clients, who could otherwise point support
/// at somebody else's request.
///
/// 64 random bits each: nobody can guess the reference on another person's page, and two alike
/// are not to be expected within four thousand million requests.
#[derive(Debug, Default)]
pub struct RequestIds {
    made_without_chance: AtomicU64,
}

impl RequestIds {
    /// A new source.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next reference.
    #[must_use]
    pub fn next(&self) -> RequestId {
        let mut octets = [0; 8];
        if aws_lc_rs::rand::fill(&mut octets).is_err() {
            // A reference is no secret: one that can be guessed is better than no answer.
            octets = self
                .made_without_chance
                .fetch_add(1, Ordering::Relaxed)
                .to_be_bytes();
        }
        RequestId::from_random(octets)
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
    }
}
